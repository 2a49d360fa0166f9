package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"godwit/test/servers/hdfs"
	"godwit/test/servers/s3"
)

// TestFiles_when_killed_on_the_way_through_hdfs sends files from a folder into HDFS, on
// into a bucket, and back into a folder by way of HDFS again. Each way is killed at
// random progress, and at the end the two folders are equal.
func TestFiles_when_killed_on_the_way_through_hdfs(t *testing.T) {
	t.Parallel()
	cluster, server := hdfs.Shared(t), s3.MinIO(t)
	rounds := 3
	if soak() {
		rounds = 60
	}
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 9))
	for round := range rounds {
		j := newFileJob(t)
		j.fill(r, 60)
		j.put("in/large", make([]byte, 11<<20))
		inHDFS := func() string {
			return fmt.Sprintf("hdfs: {namenodes: [\"%s\"], path: \"%s\", user: lark, block_size: 4MiB}", cluster.NameNodes[0], cluster.Folder(t, "lark"))
		}
		bucket := fmt.Sprintf("s3: {endpoint: \"%s\", bucket: %s, region: us-east-1, access_key: %s, secret_key: \"${env:E2E_PASSWORD}\"}", server.Endpoint, server.Bucket(t), server.AccessKey)
		folder := func(name string) string { return fmt.Sprintf("url: \"file://%s\"", j.path(name)) }
		ends := []string{folder("in"), inHDFS(), bucket, inHDFS(), folder("out")}
		for way := range len(ends) - 1 {
			file := func(limits string) {
				j.raw(fmt.Sprintf("name: way-%d\nkind: files\nsource: {%s}\nsink: {%s}\npart_size: 5MiB\n%s\n", way, ends[way], ends[way+1], limits))
			}
			file("limits: {bytes: 16MiB}")
			p := start(t, server.SecretKey, j.args("run")...)
			p.until("listing", func(e event) bool { return e.Phase == "listing" || e.Phase == "copying" })
			wait := time.NewTimer(time.Duration(r.IntN(900)) * time.Millisecond)
			select {
			case <-wait.C:
			case <-p.ended:
			}
			p.kill()
			file("")
			code, said := run(t, server.SecretKey, j.args("run")...)
			want(t, code, said, 0)
			code, said = run(t, server.SecretKey, j.args("run")...)
			want(t, code, said, 0, `"nothing":true`)
		}
		j.equal(true)
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
}

// TestKill_when_target_is_hdfs is a life with a folder of HDFS as the target; what is
// there is fetched by Hadoop's own client.
func TestKill_when_target_is_hdfs(t *testing.T) {
	t.Parallel()
	lives := 1
	if soak() {
		lives = 200 / bucketRounds
	}
	seed := uint64(time.Now().UnixNano())
	for n := range lives {
		t.Run(fmt.Sprint("life ", n+1), func(t *testing.T) {
			cluster := hdfs.Shared(t)
			folder := cluster.Folder(t, "lark")
			liveAfar(t, seed+uint64(n), distant{
				url: "hdfs://" + cluster.NameNodes[0] + folder, env: []string{"HADOOP_USER_NAME=lark"},
				download: func(dir string) { fetch(t, cluster, folder, dir) },
			})
		})
	}
}

// fetch makes dir what a folder of the cluster is.
func fetch(t testing.TB, cluster *hdfs.Server, folder, dir string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	cluster.Do(t, "get", folder, dir)
	if err := os.MkdirAll(filepath.Join(dir, "_godwit/staging"), 0o755); err != nil {
		t.Fatal(err)
	}
}
