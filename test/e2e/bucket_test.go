package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	servers "godwit/test/servers/s3"
)

const bucketRounds = 10

// TestKill_when_target_is_a_bucket is a life with a bucket of MinIO as the target, in a
// soak many: after each kill what is visible and what the last commits name is exact.
func TestKill_when_target_is_a_bucket(t *testing.T) {
	t.Parallel()
	lives := 1
	if soak() {
		lives = 200 / bucketRounds
	}
	seed := uint64(time.Now().UnixNano())
	for n := range lives {
		t.Run(fmt.Sprint("life ", n+1), func(t *testing.T) { liveInBucket(t, seed+uint64(n)) })
	}
}

func liveInBucket(t *testing.T, seed uint64) {
	server := servers.MinIO(t)
	env := []string{"AWS_ACCESS_KEY_ID=" + server.AccessKey, "AWS_SECRET_ACCESS_KEY=" + server.SecretKey,
		"AWS_ENDPOINT_URL_S3=" + server.Endpoint, "AWS_REGION=us-east-1"}
	b := &bucket{t: t, server: server, name: server.Bucket(t)}
	liveAfar(t, seed, distant{"s3://" + b.name + "/" + lakePrefix, b.download, server.SecretKey, env})
}

// distant is a target that is not on this machine.
type distant struct {
	url      string
	download func(dir string) // makes dir what the target is
	hidden   string           // must not be shown
	env      []string         // how it is reached
}

// liveAfar is a life of a target, killed again and again.
func liveAfar(t *testing.T, seed uint64, target distant) {
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 2))
	w, who := newWorld(t, seed), caller{env: target.env}
	j := newJob(t, w.server, "url", target.url, "until", "", "roll", "{size: 64KiB, every: 1s}", "chunk_size", "64MiB")
	w.write()
	var seen verdict
	waiting := 0
	for n := range bucketRounds {
		p := who.start(t, w.server.Password, "run", j.file(), "--state", filepath.Join(j.dir, fmt.Sprint("state", n%3)), "--json")
		if n > 2 && !p.until("the stream", phase("stream")) {
			t.Fatalf("round %d: godwit ended\n%s", n, clip(p.said()))
		}
		time.Sleep(time.Duration(300+r.IntN(1500)) * time.Millisecond)
		p.kill()
		target.download(j.lake())
		if wrong := w.unique(j.lake()); wrong != "" {
			t.Fatalf("round %d: %s", n, wrong)
		}
		v, g, wrong := w.judgeQuietly(j.lake())
		if wrong != "" {
			t.Fatalf("seed %d, round %d: %s\nkept: %s\n%s", seed, n, wrong, keep(t, j), clip(p.said()))
		}
		waiting += len(g.unpublished)
		seen.add(v)
		if v.tables > 0 {
			w.whole.Store(true)
		}
	}
	w.halt()
	j.set("until", "head")
	for range 2 {
		code, said := who.run(t, w.server.Password, j.args()...)
		want(t, code, said, 0, strings.TrimSuffix(target.url, "/"))
		if target.hidden != "" && strings.Contains(said, target.hidden) {
			t.Error("the secret key is shown")
		}
	}
	target.download(j.lake())
	if wrong := w.judgeEnd(j); wrong != "" {
		t.Fatalf("seed %d: at the end: %s\nkept: %s", seed, wrong, keep(t, j))
	}
	t.Logf("%d kills: %+v; %d files waited for publication; equal at the end", bucketRounds, seen, waiting)
	if seen.tables == 0 {
		t.Errorf("nothing was judged: %+v", seen)
	}
}

const lakePrefix = "lake/"

type bucket struct {
	t      testing.TB
	server *servers.Server
	name   string
}

// download makes dir what the bucket is.
func (b *bucket) download(dir string) {
	b.t.Helper()
	ctx := context.Background()
	err := os.RemoveAll(dir)
	if err == nil {
		err = os.MkdirAll(filepath.Join(dir, "_godwit/staging"), 0o755)
	}
	for o := range b.server.Client().ListObjects(ctx, b.name, minio.ListObjectsOptions{Prefix: lakePrefix, Recursive: true}) {
		if err == nil {
			err = o.Err
		}
		if err == nil {
			err = b.server.Client().FGetObject(ctx, b.name, o.Key, filepath.Join(dir, strings.TrimPrefix(o.Key, lakePrefix)), minio.GetObjectOptions{})
		}
	}
	if err != nil {
		b.t.Fatal(err)
	}
}
