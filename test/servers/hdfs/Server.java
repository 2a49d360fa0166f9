import java.io.BufferedReader;
import java.io.File;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.BindException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.StandardCopyOption;
import java.security.MessageDigest;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.FileUtil;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.SafeModeAction;
import org.apache.hadoop.fs.permission.FsPermission;
import org.apache.hadoop.hdfs.DistributedFileSystem;
import org.apache.hadoop.hdfs.MiniDFSCluster;
import org.apache.hadoop.hdfs.MiniDFSNNTopology;
import org.apache.hadoop.hdfs.protocol.HdfsConstants;
import org.apache.hadoop.hdfs.security.token.block.BlockTokenSecretManager;
import org.apache.hadoop.hdfs.server.datanode.DataNode;
import org.apache.hadoop.hdfs.server.namenode.FSNamesystem;
import org.apache.hadoop.minikdc.MiniKdc;
import org.apache.hadoop.security.UserGroupInformation;

/**
 * A cluster of HDFS on loopback for tests: name nodes, data nodes and, if asked for, a
 * Kerberos KDC, all in this process. It obeys commands on standard input, one a line,
 * parts divided by tabs; each is answered by lines that begin with a tab and then "ok"
 * or "error" and a text. The files are seen through Hadoop's own client.
 */
public class Server {
  private static final String NAMESERVICE = "godwit";
  private static final String KDC_HOST = "localhost";

  private final Map<String, String> options = new HashMap<>();
  private final Configuration conf = new Configuration();
  private final Map<Integer, MiniDFSCluster.DataNodeProperties> stopped = new HashMap<>();
  private final Map<String, FSDataOutputStream> open = new HashMap<>();
  private final PrintStream out;
  private MiniDFSCluster cluster;
  private MiniKdc kdc;

  private Server(PrintStream out) { this.out = out; }

  public static void main(String[] args) throws Exception {
    // What Hadoop prints goes to the log; the answers are the only output.
    Server s = new Server(new PrintStream(System.out, true, "UTF-8"));
    System.setOut(System.err);
    for (String a : args) {
      int eq = a.indexOf('=');
      s.options.put(a.substring(0, eq), a.substring(eq + 1));
    }
    s.start();
    s.out.println("ok\t" + UserGroupInformation.getCurrentUser().getShortUserName());
    s.serve();
  }

  private File dir() { return new File(options.get("dir")); }

  private int[] ports() {
    String[] parts = options.get("ports").split(",");
    int[] ports = new int[parts.length];
    for (int i = 0; i < parts.length; i++) ports[i] = Integer.parseInt(parts[i]);
    return ports;
  }

  private void start() throws Exception {
    conf.set("dfs.namenode.safemode.extension", "0");
    conf.set("dfs.namenode.safemode.min.datanodes", "1");
    conf.set("dfs.permissions.enabled", "true");
    conf.set("dfs.namenode.fs-limits.min-block-size", "1048576");
    conf.set("dfs.ha.tail-edits.period", "1");
    conf.set("dfs.namenode.acls.enabled", "true");
    // A data node is missed soon.
    conf.set("dfs.heartbeat.interval", "1");
    conf.set("dfs.namenode.heartbeat.recheck-interval", "500");
    for (Map.Entry<String, String> o : options.entrySet()) {
      if (o.getKey().contains(".")) conf.set(o.getKey(), o.getValue());
    }
    if (options.containsKey("kerberos")) secure(options.get("kerberos"));
    int[] ports = ports(); // rpc and http of each name node
    File formatted = new File(dir(), "formatted");
    boolean fresh = !formatted.exists();
    MiniDFSCluster.Builder b = new MiniDFSCluster.Builder(conf, dir())
        .numDataNodes(Integer.parseInt(options.getOrDefault("datanodes", "1"))).format(fresh).checkDataNodeAddrConfig(false);
    if (ports.length > 2) {
      MiniDFSNNTopology.NSConf ns = new MiniDFSNNTopology.NSConf(NAMESERVICE);
      for (int i = 0; i < ports.length; i += 2) {
        ns.addNN(new MiniDFSNNTopology.NNConf("nn" + (i / 2 + 1)).setIpcPort(ports[i]).setHttpPort(ports[i + 1]));
      }
      b.nnTopology(new MiniDFSNNTopology().addNameservice(ns));
      b.waitSafeMode(false); // a standby does not leave it by itself
      if (!fresh) { // the cluster would empty the folder of the edits that both read
        conf.set("dfs.namenode.shared.edits.dir", new File(dir(), "shared-edits-0-through-1").toURI().toString());
        b.manageNameDfsSharedDirs(false);
      }
    } else {
      b.nameNodePort(ports[0]).nameNodeHttpPort(ports[1]);
    }
    cluster = b.build();
    if (ports.length > 2) cluster.transitionToActive(0);
    cluster.waitActive();
    while (cluster.getNameNode(0).isInSafeMode()) Thread.sleep(50);
    formatted.createNewFile();
  }

  /** secure starts a KDC and makes the cluster use it, with a protection of data transfer. */
  private void secure(String protection) throws Exception {
    Properties p = MiniKdc.createConf();
    p.setProperty(MiniKdc.KDC_BIND_ADDRESS, KDC_HOST);
    p.setProperty(MiniKdc.MIN_TICKET_LIFETIME, "1"); // seconds
    File work = new File(dir(), "kdc");
    work.mkdirs();
    kdc = new MiniKdc(p, work);
    kdc.start();
    Files.copy(kdc.getKrb5conf().toPath(), new File(work, "krb5.conf").toPath(), StandardCopyOption.REPLACE_EXISTING);
    File services = new File(work, "services.keytab");
    kdc.createPrincipal(services, "hdfs/" + KDC_HOST, "HTTP/" + KDC_HOST);
    kdc.createPrincipal(new File(work, "lark.keytab"), "lark");
    kdc.createPrincipal("wren", "Zaunkoenig-2610");
    conf.set("hadoop.security.authentication", "kerberos");
    conf.set("hadoop.rpc.protection", options.getOrDefault("rpc_protection", "authentication"));
    for (String daemon : new String[] {"namenode", "datanode"}) {
      conf.set("dfs." + daemon + ".kerberos.principal", "hdfs/" + KDC_HOST + "@" + kdc.getRealm());
      conf.set("dfs." + daemon + ".keytab.file", services.getPath());
    }
    conf.set("dfs.web.authentication.kerberos.principal", "HTTP/" + KDC_HOST + "@" + kdc.getRealm());
    conf.set("dfs.web.authentication.kerberos.keytab", services.getPath());
    conf.set("dfs.block.access.token.enable", "true");
    conf.set("dfs.data.transfer.protection", protection);
    conf.set("ignore.secure.ports.for.testing", "true");
    UserGroupInformation.setConfiguration(conf);
    UserGroupInformation.loginUserFromKeytab("hdfs/" + KDC_HOST, services.getPath());
  }

  private void serve() throws Exception {
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      try {
        obey(line.split("\t", -1));
        out.println("ok");
      } catch (Throwable e) {
        e.printStackTrace();
        out.println("error\t" + String.valueOf(e).replace('\n', ' '));
      }
    }
    System.exit(0); // nobody is there any more
  }

  private int active() throws Exception {
    for (int i = 0; i < cluster.getNumNameNodes(); i++) {
      if (cluster.getNameNode(i) != null && !cluster.getNameNode(i).isStandbyState()) return i;
    }
    throw new IllegalStateException("no name node is active");
  }

  private DistributedFileSystem fs() throws Exception { return cluster.getFileSystem(active()); }

  private void say(Object... parts) {
    StringBuilder b = new StringBuilder();
    for (Object p : parts) b.append('\t').append(p);
    out.println(b);
  }

  private void obey(String[] c) throws Exception {
    switch (c[0]) {
      case "safemode":
        fs().setSafeMode(c[1].equals("on") ? SafeModeAction.ENTER : SafeModeAction.LEAVE);
        break;
      case "stop-datanode":
        int n = Integer.parseInt(c[1]);
        stopped.put(n, cluster.stopDataNode(n));
        break;
      case "start-datanode":
        startDataNode(stopped.remove(Integer.parseInt(c[1])));
        cluster.waitActive();
        break;
      case "stop-namenode":
        cluster.shutdownNameNode(Integer.parseInt(c[1]));
        break;
      case "start-namenode":
        cluster.restartNameNode(Integer.parseInt(c[1]), true);
        break;
      case "standby":
        cluster.transitionToStandby(Integer.parseInt(c[1]));
        break;
      case "activate":
        activate(Integer.parseInt(c[1]));
        break;
      case "lease": // milliseconds after which others may take the file of a writer that is not heard of
        cluster.setLeasePeriod(Long.parseLong(c[1]), Long.parseLong(c[1]) * 20);
        break;
      case "new-keys":
        newKeys();
        break;
      case "mkdir": // path, mode in octal digits, owner
        fs().mkdirs(new Path(c[1]));
        fs().setPermission(new Path(c[1]), new FsPermission(c[2]));
        fs().setOwner(new Path(c[1]), c[3], null);
        break;
      case "quota": // path, bytes
        fs().setQuota(new Path(c[1]), HdfsConstants.QUOTA_DONT_SET,
            c[2].equals("none") ? HdfsConstants.QUOTA_RESET : Long.parseLong(c[2]));
        break;
      case "list":
        list(new Path(c[1]));
        break;
      case "sum":
        sum(new Path(c[1]));
        break;
      case "get": // path, file of this machine
        get(fs().getFileStatus(new Path(c[1])), new File(c[2]));
        break;
      case "put": // file of this machine, path
        FileUtil.copy(new File(c[1]), fs(), new Path(c[2]), false, conf);
        break;
      case "open": // a file that stays open, with some bytes in it
        FSDataOutputStream o = fs().create(new Path(c[1]));
        o.writeBytes(c[2]);
        o.hflush();
        open.put(c[1], o);
        break;
      case "close":
        open.remove(c[1]).close();
        break;
      case "remove":
        fs().delete(new Path(c[1]), true);
        break;
      default:
        throw new IllegalArgumentException("no such command: " + c[0]);
    }
  }

  /** startDataNode starts one on the port that it had, if nobody has taken that meanwhile. */
  private void startDataNode(MiniDFSCluster.DataNodeProperties d) throws Exception {
    try {
      cluster.restartDataNode(d, true);
    } catch (BindException e) {
      cluster.restartDataNode(d, false);
    }
  }

  /** newKeys has data nodes forget the keys of the name node that they know, and gives them later ones. */
  private void newKeys() throws Exception {
    FSNamesystem name = cluster.getNamesystem(active());
    BlockTokenSecretManager keys = name.getBlockManager().getBlockTokenSecretManager();
    keys.updateKeys(Long.MAX_VALUE);
    keys.clearAllKeysForTesting();
    keys.updateKeys(Long.MAX_VALUE);
    for (DataNode n : cluster.getDataNodes()) {
      n.clearAllBlockSecretKeys();
      n.getBlockPoolTokenSecretManager().addKeys(name.getBlockPoolId(), keys.exportKeys());
    }
  }

  /** activate makes a name node the active one; others that run become standbys. */
  private void activate(int n) throws Exception {
    for (int i = 0; i < cluster.getNumNameNodes(); i++) {
      if (i != n && cluster.getNameNode(i) != null && !cluster.getNameNode(i).isStandbyState()) cluster.transitionToStandby(i);
    }
    cluster.transitionToActive(n);
  }

  /** get copies what is in s, but for files that are being written: a killed writer leaves them. */
  private void get(FileStatus s, File to) throws Exception {
    if (!s.isDirectory()) {
      if (fs().isFileClosed(s.getPath())) FileUtil.copy(fs(), s.getPath(), to, false, conf);
      return;
    }
    Files.createDirectories(to.toPath());
    for (FileStatus in : fs().listStatus(s.getPath())) get(in, new File(to, in.getPath().getName()));
  }

  /** list says what lies under a folder, at any depth. */
  private void list(Path p) throws Exception {
    for (FileStatus s : fs().listStatus(p)) {
      say(s.isDirectory() ? "d" : "f", s.getLen(), s.getModificationTime(), Integer.toOctalString(s.getPermission().toShort()),
          s.getOwner(), s.getReplication(), s.getBlockSize(), s.getPath().toUri().getPath());
      if (s.isDirectory()) list(s.getPath());
    }
  }

  private void sum(Path p) throws Exception {
    MessageDigest d = MessageDigest.getInstance("SHA-256");
    long size = 0;
    try (InputStream in = fs().open(p)) {
      byte[] b = new byte[1 << 16];
      for (int n = in.read(b); n >= 0; n = in.read(b)) {
        d.update(b, 0, n);
        size += n;
      }
    }
    StringBuilder hex = new StringBuilder();
    for (byte x : d.digest()) hex.append(String.format("%02x", x));
    say(size, hex);
  }
}
