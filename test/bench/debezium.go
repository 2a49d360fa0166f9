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

// debezium is Debezium's engine with its connector for MariaDB.
func debezium(ctx context.Context) (string, error) {
	const group = "io.debezium"
	return maven.Root(ctx, maven.Set{Name: "debezium-" + debeziumVersion, Artifacts: []maven.Artifact{
		{Group: group, Name: "debezium-embedded", Version: debeziumVersion},
		{Group: group, Name: "debezium-connector-mariadb", Version: debeziumVersion},
		{Group: group, Name: "debezium-storage-file", Version: debeziumVersion},
	}})
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
