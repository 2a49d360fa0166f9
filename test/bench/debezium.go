package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"godwit/test/servers/maven"
)

const debeziumVersion = "3.0.8.Final"

// debezium is the folder with the jars of Debezium's server: the engine and its
// connectors.
func debezium(ctx context.Context) (string, error) {
	return maven.Root(ctx, maven.Set{
		Name: "debezium", Alone: true,
		Artifacts: []maven.Artifact{{Group: "io.debezium", Name: "debezium-server-dist", Version: debeziumVersion, Type: "tar.gz"}},
		Fill: func(files, folder string) error {
			all, err := filepath.Glob(filepath.Join(files, "*.tar.gz"))
			if err != nil || len(all) != 1 {
				return fmt.Errorf("maven left %v", all)
			}
			out, err := exec.CommandContext(ctx, "tar", "-xzf", all[0], "-C", folder, "--strip-components=2", "debezium-server/lib").CombinedOutput()
			if err != nil {
				return fmt.Errorf("tar: %w: %s", err, out)
			}
			return nil
		},
	})
}

// debeziumCall drains the log from a place to JSON lines.
func (b *bench) debeziumCall(ctx context.Context, out string, from logPlace, gtids string, n int) (call, error) {
	root, err := debezium(ctx)
	if err != nil {
		return call{}, err
	}
	properties := []string{
		"name=bench", "connector.class=io.debezium.connector.mariadb.MariaDbConnector",
		"offset.storage=org.apache.kafka.connect.storage.FileOffsetBackingStore", "offset.storage.file.filename=" + filepath.Join(out, "offsets"),
		"offset.flush.interval.ms=1000",
		"schema.history.internal=io.debezium.storage.file.history.FileSchemaHistory", "schema.history.internal.file.filename=" + filepath.Join(out, "history"),
		"database.hostname=127.0.0.1", fmt.Sprintf("database.port=%d", b.server.Port), "database.user=" + b.server.User, "database.password=" + b.server.Password,
		"database.server.id=4243", "database.ssl.mode=disable", "topic.prefix=t", "database.include.list=bench", "table.include.list=bench.sbtest1",
		"snapshot.mode=recovery", "include.schema.changes=false", "key.converter.schemas.enable=false", "value.converter.schemas.enable=false",
	}
	file := filepath.Join(out, "debezium.properties")
	if err := os.WriteFile(file, []byte(strings.Join(properties, "\n")+"\n"), 0o600); err != nil {
		return call{}, err
	}
	place := fmt.Sprintf(`{"file":%q,"pos":%d,"gtids":%q}`, from.file, from.offset, gtids)
	cmd := exec.CommandContext(ctx, "java", "-Xmx2g", "-cp", filepath.Join(root, "*"), "test/bench/rivals/debezium/Drain.java",
		file, filepath.Join(out, "offsets"), `["bench",{"server":"t"}]`, place, fmt.Sprint(n), filepath.Join(out, "changes.jsonl"))
	return call{cmd}, nil
}

// debeziumTime is the time between the first and the last change: what it takes to start
// is not counted.
func debeziumTime(stdout []byte) (time.Duration, error) {
	var n, ms int64
	if _, err := fmt.Sscan(string(stdout), &n, &ms); err != nil {
		return 0, fmt.Errorf("%q: %w", tail(stdout), err)
	}
	return time.Duration(ms) * time.Millisecond, nil
}
