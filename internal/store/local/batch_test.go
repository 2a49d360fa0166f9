package local_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"godwit/internal/fault"
	"godwit/internal/store"
	"godwit/internal/store/local"
	"godwit/internal/store/powerfs"
)

func bodyOf(data string) store.Body {
	return store.Body{Size: int64(len(data)), Open: func(off int64) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(data[off:])), nil
	}}
}

func batchOf(t testing.TB, s store.Batcher, keys ...string) store.Batch {
	t.Helper()
	b, err := s.Batch(background)
	must(t, err)
	for _, key := range keys {
		_, err := b.Put(background, key, bodyOf("of a batch"), store.PutOptions{})
		must(t, err)
	}
	return b
}

func TestBatch_when_it_ends_leaves_nothing_in_the_staging_folder(t *testing.T) {
	disk := powerfs.New()
	s := openDisk(t, disk.Process())
	if errs := batchOf(t, s, "a", "b/c", "b/c").Commit(background); errs != nil {
		t.Error(errs)
	}
	batchOf(t, s, "a", "d").Abort()
	failing := disk.Process()
	failing.Inject(&powerfs.Fault{Op: powerfs.Rename})
	if errs := batchOf(t, openDisk(t, failing), "lost").Commit(background); !fault.Has(errs["lost"], fault.TargetFailed) {
		t.Error(errs)
	}
	if keys := inStaging(t, disk); len(keys) > 0 {
		t.Errorf("left %q", keys)
	}
	if keys := listed(t, s); len(keys) != 2 {
		t.Errorf("listed %q", keys)
	}
}

// Many files need one sync of the file system, and one of each folder.
func TestBatch_when_it_is_large_syncs_little(t *testing.T) {
	for name, without := range map[string]powerfs.Feature{"whole": 0, "each": powerfs.WholeSync} {
		disk := powerfs.New()
		disk.Without(without)
		fsys := disk.Process()
		s := openDisk(t, fsys)
		must(t, put(s, "d/first", "x")) // the folders are there
		var keys []string
		for i := range 500 {
			keys = append(keys, fmt.Sprintf("d/%d", i))
		}
		before := len(fsys.Steps())
		if errs := batchOf(t, s, keys...).Commit(background); errs != nil {
			t.Fatal(errs)
		}
		count := map[powerfs.Op]int{}
		for _, step := range fsys.Steps()[before:] {
			count[step.Op]++
		}
		wantSync, wantDirs := 0, 1
		if name == "each" {
			wantSync = 500
		}
		if count[powerfs.Sync] != wantSync || count[powerfs.SyncDir] != wantDirs {
			t.Errorf("%s: %v", name, count)
		}
	}
}

func TestSweep_removes_the_batch_of_the_dead_alone(t *testing.T) {
	disk := powerfs.New()
	dead, live := disk.Process(), disk.Process()
	batchOf(t, openDisk(t, dead), "dead/1", "dead/2")
	s := openDisk(t, live)
	living := batchOf(t, s, "live/1", "live/2")
	disk.Pass(2 * time.Hour)
	for _, want := range []int{0, 1, 0} {
		if n, err := s.Sweep(background, time.Hour); n != want || err != nil {
			t.Errorf("swept %d, %v; want %d", n, err, want)
		}
		dead.Kill()
	}
	if errs := living.Commit(background); errs != nil {
		t.Error(errs)
	}
	if keys := inStaging(t, disk); len(keys) > 0 {
		t.Errorf("left %q", keys)
	}
}

func TestComplete_when_the_contents_have_other_sums(t *testing.T) {
	s := openDir(t, t.TempDir())
	h := store.SHA256.New()
	_, _ = h.Write([]byte("right"))
	for data, want := range map[string]bool{"right": true, "wrong": false} {
		upload, err := s.Begin(background, data, 5, store.PutOptions{Sums: []store.Sum{store.SumOf(store.SHA256, h)}})
		must(t, err)
		part, err := s.PutPart(background, data, upload, 1, 0, bodyOf(data))
		must(t, err)
		_, err = s.Complete(background, data, upload, []store.Part{part})
		if want != (err == nil) || !want && !fault.Has(err, fault.Corrupt) {
			t.Errorf("%s: %v", data, err)
		}
	}
	if keys := listed(t, s); len(keys) != 1 || keys[0] != "right" {
		t.Errorf("listed %q", keys)
	}
}

func TestPut_when_a_file_is_where_a_folder_must_be(t *testing.T) {
	for name, s := range map[string]*local.Store{"disk": openDisk(t, powerfs.New().Process()), "machine": openDir(t, t.TempDir())} {
		must(t, put(s, "file", "x"))
		must(t, put(s, "folder/x", "x"))
		for _, key := range []string{"file/x", "folder"} {
			if err := put(s, key, "y"); !fault.Has(err, fault.NameRefused) {
				t.Errorf("%s: %s: %v", name, key, err)
			}
			if errs := batchOf(t, s, key, "good").Commit(background); len(errs) != 1 || !fault.Has(errs[key], fault.NameRefused) {
				t.Errorf("%s: %s: %v", name, key, errs)
			}
		}
	}
}
