package e2e

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"godwit/test/servers/mariadb"
	"godwit/test/servers/s3"
)

// Ceilings that are given are kept.

// TestMemory_when_files_have_a_low_ceiling moves small and large objects into a bucket and
// back.
func TestMemory_when_files_have_a_low_ceiling(t *testing.T) {
	const ceiling = 96 << 20
	server := s3.MinIO(t)
	j := newFileJob(t)
	r := rand.New(rand.NewPCG(7, 7))
	j.fill(r, 2000)
	large := make([]byte, 24<<20)
	for i := range large {
		large[i] = byte(i * (i >> 8))
	}
	for i := range 10 {
		j.put(fmt.Sprintf("in/large %d", i), large)
	}
	bucket := fmt.Sprintf("s3: {endpoint: \"%s\", bucket: %s, region: us-east-1, access_key: %s, secret_key: \"${env:E2E_PASSWORD}\"}", server.Endpoint, server.Bucket(t), server.AccessKey)
	folder := func(name string) string { return fmt.Sprintf("url: \"file://%s\"", j.path(name)) }
	ends := []string{folder("in"), bucket, folder("out")}
	for way, name := range []string{"into a bucket", "out of it"} {
		j.raw(fmt.Sprintf("name: way-%d\nkind: files\nsource: {%s}\nsink: {%s}\n", way, ends[way], ends[way+1]))
		p := start(t, server.SecretKey, j.args("run", "--memory", "96MiB")...)
		most := p.peak(t, 5*time.Minute)
		want(t, p.wait(time.Second), p.said(), 0)
		if t.Logf("%s: at most %d MiB", name, most>>20); most > ceiling {
			t.Errorf("%s took %d MiB of memory, more than %d", name, most>>20, ceiling>>20)
		}
	}
	j.equal(true)
}

// TestServe_when_memory_is_short has jobs whose rows are large share a server's ceiling.
func TestServe_when_memory_is_short(t *testing.T) {
	const jobs, tables, ceiling = 4, 60, 128 << 20
	s := &served{t: t, w: &world{t: t, server: mariadb.Start(t)}, state: t.TempDir(), flags: []string{"--memory", "128MiB"}}
	var sql strings.Builder
	sql.WriteString("CREATE DATABASE app; CREATE TABLE app.wide (id INT PRIMARY KEY, v LONGBLOB); INSERT INTO app.wide SELECT seq, REPEAT(RANDOM_BYTES(1024), 1024) FROM app.seq_1_to_60; ")
	for i := range tables {
		fmt.Fprintf(&sql, "CREATE TABLE app.m%d (id INT PRIMARY KEY, v VARBINARY(1000)); INSERT INTO app.m%[1]d SELECT seq, RANDOM_BYTES(1000) FROM app.seq_1_to_400; ", i)
	}
	s.w.server.Exec(t, sql.String())
	for i := range jobs {
		j := newJob(t, s.w.server, "name", fmt.Sprint("tables-", i), "until", "", "format", "parquet", "roll", parquetRoll)
		s.tables, s.data = append(s.tables, j), append(s.data, j.dir)
	}
	s.start()
	s.submit()
	s.follow(jobs)
	most := highest(t, s.p)
	if t.Logf("%d jobs: at most %d MiB", jobs, most>>20); most > ceiling {
		t.Errorf("%d jobs took %d MiB, more than %d", jobs, most>>20, ceiling>>20)
	}
}
