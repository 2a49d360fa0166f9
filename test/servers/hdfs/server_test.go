package hdfs

import (
	"strings"
	"testing"
)

func TestServer_when_killed_keeps_its_files(t *testing.T) {
	s := Start(t, Options{})
	s.Do(t, "open", "/a", "bytes")
	s.Do(t, "close", "/a")
	s.Kill()
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	if got := s.Do(t, "sum", "/a"); !strings.HasPrefix(got[0], "5\t") {
		t.Errorf("%q", got)
	}
	if f := s.Files(t, "/"); len(f) != 1 || f[0].Path != "/a" || f[0].Size != 5 {
		t.Errorf("%+v", f)
	}
}
