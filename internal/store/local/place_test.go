package local

import (
	"os"
	"path/filepath"
	"testing"

	"godwit/internal/fault"
)

func TestNests_when_places_are_one_or_lie_in_one_another(t *testing.T) {
	base := t.TempDir()
	for _, dir := range []string{"a/b/c", "ab", "other"} {
		if err := os.MkdirAll(filepath.Join(base, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{"link": "a", "other/deep": "../a/b"} {
		if err := os.Symlink(to, filepath.Join(base, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		outer, inner, prefix string
		in                   bool
	}{
		{"a", "a", "", true},
		{"a", "a/b", "b/", true},
		{"a", "a/b/c", "b/c/", true},
		{"a/b", "a", "", false},
		{"a", "ab", "", false},
		{"a", "link", "", true},
		{"link", "a", "", true},
		{"link", "a/b", "b/", true},
		{"a", "link/b", "b/", true},
		{"a", "other/deep", "b/", true},
		{"a", "other/deep/new/er", "b/new/er/", true},
		{"a", "a/not/there", "not/there/", true},
		{"missing", "missing", "", true},
		{"missing", "missing/x", "x/", true},
		{"missing", "missing2", "", false},
		{"other", "a", "", false},
	} {
		outer, inner := folder(t, base, c.outer), folder(t, base, c.inner)
		if prefix, in, err := outer.Nests(inner); prefix != c.prefix || in != c.in || err != nil {
			t.Errorf("%s in %s: %q, %v, %v", c.inner, c.outer, prefix, in, err)
		}
	}
}

func folder(t *testing.T, base, name string) *Store {
	t.Helper()
	s, err := New(OS{}, filepath.Join(base, name), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// A folder with two paths is one, whatever they say.
func TestClimb_when_a_folder_has_two_paths(t *testing.T) {
	base := t.TempDir()
	if err := os.Symlink(".", filepath.Join(base, "again")); err != nil {
		t.Fatal(err)
	}
	again := filepath.Join(base, "again") // as if it were mounted there
	for inner, want := range map[string]string{again: "", again + "/x/y": "x/y/"} {
		if prefix, in := climb(inner, base+"/.", sameFolder); prefix != want || !in {
			t.Errorf("%s: %q, %v", inner, prefix, in)
		}
	}
	if _, in := climb(again, filepath.Join(base, "other"), sameFolder); in {
		t.Error("a folder that is not there is another one")
	}
}

// What is mounted in two places is one place, with all that lies below it.
func TestNests_when_folders_are_mounted_elsewhere(t *testing.T) {
	m := mounts{
		{"8:1", "/", "/"}, {"8:1", "/data/sub", "/mnt/b"}, {"8:2", "/", "/data/disk"}, {"8:2", "/x", "/mnt/x"}, {"8:3", "/", "/mnt/hidden"}, {"8:1", "/data", "/mnt/hidden"},
	}
	for _, c := range []struct {
		outer, inner, prefix string
		in                   bool
	}{
		{"/data", "/mnt/b", "sub/", true},
		{"/data", "/mnt/b/deep", "sub/deep/", true},
		{"/data/sub", "/mnt/b", "", true},
		{"/mnt/b", "/data/sub/k", "k/", true},
		{"/data", "/mnt/x/y", "disk/x/y/", true},
		{"/mnt/x", "/data/disk/x/y", "y/", true},
		{"/mnt/x", "/data/disk/xy", "", false},
		{"/data", "/mnt/hidden/k", "k/", true},
		{"/data/other", "/mnt/b", "", false},
		{"/mnt/b", "/data", "", false},
	} {
		if prefix, in := m.nests(c.outer, c.inner); prefix != c.prefix || in != c.in {
			t.Errorf("%s in %s: %q, %v", c.inner, c.outer, prefix, in)
		}
	}
}

func TestThere_when_the_folder_is_not(t *testing.T) {
	base := t.TempDir()
	s := folder(t, base, "x/y")
	if err := s.There(t.Context()); !fault.Has(err, fault.StoreMissing) {
		t.Errorf("%v", err)
	}
	if err := os.MkdirAll(filepath.Join(base, "x/y"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := s.There(t.Context()); err != nil {
		t.Error(err)
	}
	if err := os.RemoveAll(filepath.Join(base, "x")); err != nil {
		t.Fatal(err)
	}
	if err := s.There(t.Context()); !fault.Has(err, fault.StoreMissing) {
		t.Errorf("after it was removed: %v", err)
	}
}
