import io.debezium.engine.ChangeEvent;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.format.Json;
import java.io.BufferedOutputStream;
import java.io.FileOutputStream;
import java.io.FileReader;
import java.io.ObjectOutputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * Runs Debezium's embedded engine from a place in the log until it has had so many
 * changes of rows, writes each as a line of JSON, and prints how many there were and how
 * many milliseconds passed between the first and the last.
 *
 * <p>Arguments: a file of properties; the file of offsets to make; its key and its value;
 * how many changes; the file to write.
 */
public class Drain {
  static long first, last, count;

  public static void main(String[] a) throws Exception {
    Properties p = new Properties();
    try (FileReader r = new FileReader(a[0])) {
      p.load(r);
    }
    HashMap<byte[], byte[]> offsets = new HashMap<>();
    offsets.put(a[2].getBytes(StandardCharsets.UTF_8), a[3].getBytes(StandardCharsets.UTF_8));
    try (ObjectOutputStream o = new ObjectOutputStream(new FileOutputStream(a[1]))) {
      o.writeObject(offsets);
    }
    long wanted = Long.parseLong(a[4]);
    CountDownLatch done = new CountDownLatch(1);
    OutputStream out = new BufferedOutputStream(new FileOutputStream(a[5]), 1 << 20);
    DebeziumEngine<ChangeEvent<String, String>> engine =
        DebeziumEngine.create(Json.class)
            .using(p)
            .notifying(
                (records, committer) -> {
                  for (ChangeEvent<String, String> r : records) {
                    if (r.value() != null && r.destination() != null && r.destination().endsWith(".sbtest1")) {
                      try {
                        out.write(r.value().getBytes(StandardCharsets.UTF_8));
                        out.write('\n');
                      } catch (java.io.IOException e) {
                        throw new RuntimeException(e);
                      }
                      if (count++ == 0) {
                        first = System.nanoTime();
                      }
                    }
                    committer.markProcessed(r);
                  }
                  committer.markBatchFinished();
                  last = System.nanoTime();
                  if (count >= wanted) {
                    done.countDown();
                  }
                })
            .using(
                (ok, message, error) -> {
                  if (!ok) {
                    System.err.println(message);
                  }
                  done.countDown();
                })
            .build();
    new Thread(engine).start();
    done.await(10, TimeUnit.MINUTES);
    out.close();
    System.out.println(count + " " + (last - first) / 1_000_000);
    System.out.flush();
    Runtime.getRuntime().halt(count >= wanted ? 0 : 1);
  }
}
