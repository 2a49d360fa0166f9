package e2e

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"godwit/test/servers/s3"
)

// TestFiles_when_killed_on_the_way_through_s3 sends objects from a folder into a
// bucket, on into another, and back into a folder. Each way is killed at random
// progress in every round, and at the end the two folders are equal.
func TestFiles_when_killed_on_the_way_through_s3(t *testing.T) {
	t.Parallel()
	server, err := s3.Launch("minio")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	rounds := 10
	if soak() {
		rounds = 200
	}
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 8))
	for round := range rounds {
		j := newFileJob(t)
		j.fill(r, 120)
		j.put("in/large", make([]byte, 11<<20))
		bucket := func() string {
			return fmt.Sprintf("s3: {endpoint: \"%s\", bucket: %s, region: us-east-1, access_key: %s, secret_key: \"${env:E2E_PASSWORD}\"}", server.Endpoint, server.Bucket(t), server.AccessKey)
		}
		folder := func(name string) string { return fmt.Sprintf("url: \"file://%s\"", j.path(name)) }
		ends := []string{folder("in"), bucket(), bucket(), folder("out")}
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
