package e2e

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/zeebo/xxh3"

	"godwit/test/servers/s3"
)

// hugeBytes is more than one request may carry or copy: 5 GiB.
const hugeBytes = 5<<30 + 7<<20 + 11

// TestFiles_when_an_object_is_huge sends one into a bucket, inside the service into
// another, and back. Only in a soak: it takes minutes, and some 25 GiB of disk.
func TestFiles_when_an_object_is_huge(t *testing.T) {
	if !soak() {
		t.Log("only in a soak")
		return
	}
	server := s3.MinIO(t)
	j := newFileJob(t)
	sent := j.huge("in/huge")
	first, second := server.Bucket(t), server.Bucket(t)
	bucket := func(name string) string {
		return fmt.Sprintf("s3: {endpoint: \"%s\", bucket: %s, region: us-east-1, access_key: %s, secret_key: \"${env:E2E_PASSWORD}\"}", server.Endpoint, name, server.AccessKey)
	}
	ends := []string{fmt.Sprintf("url: \"file://%s\"", j.path("in")), bucket(first), bucket(second), fmt.Sprintf("url: \"file://%s\"", j.path("out"))}
	for way := range len(ends) - 1 {
		j.raw(fmt.Sprintf("name: way-%d\nkind: files\nsource: {%s}\nsink: {%s}\n", way, ends[way], ends[way+1]))
		code, said := run(t, server.SecretKey, j.args("run")...)
		want(t, code, said, 0)
		code, said = run(t, server.SecretKey, j.args("verify")...)
		want(t, code, said, 0)
	}
	if got := sumOf(t, j.path("out/huge")); got != sent {
		t.Error("what came back is not what was sent")
	}
}

// huge makes a file of hugeBytes whose parts all differ, and returns its sum.
func (j *fileJob) huge(name string) xxh3.Uint128 {
	j.t.Helper()
	err := os.MkdirAll(filepath.Dir(j.path(name)), 0o755)
	var f *os.File
	if err == nil {
		f, err = os.Create(j.path(name))
	}
	if err == nil {
		_, err = io.CopyN(f, rand.NewChaCha8([32]byte{1}), hugeBytes)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		j.t.Fatal(err)
	}
	return sumOf(j.t, j.path(name))
}

func sumOf(t testing.TB, path string) xxh3.Uint128 {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := xxh3.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return h.Sum128()
}
