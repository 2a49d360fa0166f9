package apt

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

func TestOnce_when_many_ask(t *testing.T) {
	path := filepath.Join(t.TempDir(), "made")
	var fills atomic.Int32
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			err := Once(path, func(fresh string) error {
				fills.Add(1)
				return os.WriteFile(filepath.Join(fresh, "x"), nil, 0o600)
			})
			if err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(filepath.Join(path, "x")); err != nil {
				t.Error("Once returned before the folder was whole:", err)
			}
		})
	}
	wait.Wait()
	if fills.Load() != 1 {
		t.Errorf("filled %d times", fills.Load())
	}
}

func TestOnce_when_filling_fails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "made")
	broken := errors.New("broken")
	err := Once(path, func(fresh string) error {
		return errors.Join(os.WriteFile(filepath.Join(fresh, "half"), nil, 0o600), broken)
	})
	if !errors.Is(err, broken) {
		t.Fatalf("%v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Fatal("a folder half filled was left")
	}
	err = Once(path, func(fresh string) error {
		if left, err := os.ReadDir(fresh); err != nil || len(left) > 0 {
			t.Errorf("filling begins with %v, %v", left, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPick_when_the_archive_moved_on(t *testing.T) {
	p := Package{Name: "x", Version: "1:10.11.19-0", Series: "1:10.11."}
	for _, c := range []struct {
		served []string
		want   string
	}{
		{[]string{"1:10.11.20-0", "1:10.11.19-0"}, "1:10.11.19-0"},
		{[]string{"1:11.4.1-0", "1:10.11.21-0", "1:10.11.20-0"}, "1:10.11.21-0"},
		{[]string{"1:11.8.1-0"}, ""},
		{nil, ""},
	} {
		got, err := p.pick(c.served)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("of %q: %q, %v; want %q", c.served, got, err, c.want)
		}
	}
}

func TestCandidates_when_names_end_in_digits(t *testing.T) {
	for soname, want := range map[string]string{"libaio.so.1": "libaio1", "liburing.so.2": "liburing2", "libglib-2.0.so.0": "libglib2.0-0", "libpcre2-8.so.0": "libpcre2-8-0", "libaio.so.1t": "libaio1t", "libFLAC.so.12": "libflac12", "libkadm5srv_mit.so.12": "libkadm5srv-mit12"} {
		if got := candidates(soname); !slices.Contains(got, want) {
			t.Errorf("%s: %q lacks %s", soname, got, want)
		}
	}
}
