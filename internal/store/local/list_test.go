package local_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"godwit/internal/fault"
	"godwit/internal/store"
	"godwit/internal/store/local"
	"godwit/internal/store/powerfs"
)

// lookedAt returns the folders that call opens, below the store's.
func lookedAt(fsys *powerfs.FS, call func()) (dirs []string) {
	fsys.Before(func(s powerfs.Step) {
		if s.Op == powerfs.List {
			if d := strings.TrimPrefix(s.Path, "/lake/"); !slices.Contains(dirs, d) {
				dirs = append(dirs, d)
			}
		}
	})
	call()
	fsys.Before(nil)
	return dirs
}

func TestList_when_it_begins_deep_in_a_tree_opens_no_folder_before(t *testing.T) {
	fsys := powerfs.New().Process()
	s := openDisk(t, fsys)
	for i := range 20 {
		must(t, put(s, fmt.Sprintf("d%02d/e/f", i), "x"))
	}
	dirs := lookedAt(fsys, func() {
		for o, err := range s.List(background, "", "d10/e/f") {
			must(t, err)
			if o.Key == "d12/e/f" {
				break
			}
		}
	})
	if want := []string{"/lake", "d10", "d10/e", "d11", "d11/e", "d12", "d12/e"}; !slices.Equal(dirs, want) {
		t.Errorf("opened %q, want %q", dirs, want)
	}
	dirs = lookedAt(fsys, func() {
		for range s.List(background, "d05/e/", "") {
			break
		}
	})
	if want := []string{"d05/e"}; !slices.Equal(dirs, want) {
		t.Errorf("opened %q, want %q", dirs, want)
	}
}

func TestDivide_when_there_are_many_folders_reads_few(t *testing.T) {
	fsys := powerfs.New().Process()
	s := openDisk(t, fsys)
	for i := range 300 {
		must(t, put(s, fmt.Sprintf("%03d/%d/f", i/3, i%3), "x"))
	}
	var cuts []string
	dirs := lookedAt(fsys, func() {
		var err error
		cuts, err = s.Divide(background, "", "", 10)
		must(t, err)
	})
	if len(dirs) > 40 || len(cuts) != 9 {
		t.Errorf("%d folders were opened for the cuts %q", len(dirs), cuts)
	}
}

// A folder is sorted through a file when its names do not fit in memory, which
// leaves nothing behind.
func TestList_when_names_are_sorted_on_disk(t *testing.T) {
	temp, dir := t.TempDir(), t.TempDir()
	want := []string{}
	for i := range 5000 {
		name := fmt.Sprintf("%05d-%s", i*7919%10_007, strings.Repeat("n", i%40))
		must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
		want = append(want, name)
	}
	slices.Sort(want)
	s, err := local.New(local.OS{}, dir, local.Options{ListBytes: 5000, Temp: temp})
	must(t, err)
	if got := listed(t, s); !slices.Equal(got, want) {
		t.Errorf("%d keys, want %d, in order", len(got), len(want))
	}
	for range s.List(background, "", "") {
		break // given up
	}
	if left, err := os.ReadDir(temp); len(left) > 0 || err != nil {
		t.Errorf("left %v, %v", left, err)
	}
	s, err = local.New(local.OS{}, dir, local.Options{ListBytes: 5000, Temp: filepath.Join(temp, "gone")})
	must(t, err)
	last := error(nil)
	for _, err := range s.List(background, "", "") {
		last = err
	}
	if !errors.Is(last, os.ErrNotExist) || !fault.Has(last, fault.TargetFailed) {
		t.Errorf("without a folder for it: %v", last)
	}
}

func TestList_when_names_are_not_UTF8(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"\xff\xfe", "a\x80", "a"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Skip("this file system refuses such names: ", err)
		}
	}
	s := openDir(t, dir)
	if got := listed(t, s); !slices.Equal(got, []string{"a", "a\x80", "\xff\xfe"}) {
		t.Errorf("%q", got)
	}
	if got, err := get(s, "\xff\xfe"); got != "x" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	cuts, err := s.Divide(background, "", "", 3)
	must(t, err)
	for _, c := range cuts {
		if c != "a" {
			t.Errorf("cut at %q, which is not text", c)
		}
	}
}

var _ store.Divider = (*local.Store)(nil)
