package local_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/text/unicode/norm"

	"godwit/internal/fault"
	"godwit/internal/store"
	"godwit/internal/store/local"
	"godwit/internal/store/powerfs"
	"godwit/internal/store/storetest"
)

// foldLetters ignores case and normal forms.
func foldLetters(name string) string { return norm.NFD.String(strings.ToLower(name)) }

// foldNames ignores dots at the end too.
func foldNames(name string) string { return strings.TrimRight(foldLetters(name), ".") }

// folding is a disk whose names fold and are kept as they are given.
func folding() *powerfs.Disk { return foldingBy(foldNames) }

func foldingBy(fold func(string) string) *powerfs.Disk {
	d := powerfs.New()
	d.Name(powerfs.Names{Fold: fold})
	return d
}

// writers are all ways to give objects their names: each prepares some, by key, and
// then gives them their names in order. It returns the errors by key.
var writers = map[string]func(*local.Store, []string, string) map[string]error{
	"put": func(s *local.Store, keys []string, data string) map[string]error {
		errs := make([]error, len(keys))
		var begun, done sync.WaitGroup
		begun.Add(len(keys))
		for i, key := range keys {
			done.Go(func() {
				begin := sync.OnceFunc(begun.Done)
				defer begin() // one that is refused at once holds nobody up
				b := bodyOf(data)
				open := b.Open
				b.Open = func(off int64) (io.ReadCloser, error) {
					begin()
					begun.Wait()
					return open(off)
				}
				_, errs[i] = s.Put(background, key, b, store.PutOptions{})
			})
		}
		done.Wait()
		out := map[string]error{}
		for i, key := range keys {
			out[key] = errs[i]
		}
		return out
	},
	"batch": func(s *local.Store, keys []string, data string) map[string]error {
		out := map[string]error{}
		b, err := s.Batch(background)
		for _, key := range keys {
			out[key] = err
			if err == nil {
				_, out[key] = b.Put(background, key, bodyOf(data), store.PutOptions{})
			}
		}
		for key, err := range b.Commit(background) {
			out[key] = errors.Join(out[key], err)
		}
		return out
	},
	"parts": func(s *local.Store, keys []string, data string) map[string]error {
		out, uploads := map[string]error{}, map[string]string{}
		for _, key := range keys {
			uploads[key], out[key] = s.Begin(background, key, int64(len(data)), store.PutOptions{})
		}
		for _, key := range keys {
			if out[key] != nil {
				continue
			}
			p, err := s.PutPart(background, key, uploads[key], 1, 0, bodyOf(data))
			if err == nil {
				_, err = s.Complete(background, key, uploads[key], []store.Part{p})
			}
			out[key] = errors.Join(err, s.Abandon(background, key, uploads[key]))
		}
		return out
	},
}

// creators are the ways that never replace anything.
var creators = map[string]func(*local.Store, []string, string) map[string]error{
	"create": func(s *local.Store, keys []string, data string) map[string]error {
		out := map[string]error{}
		for _, key := range keys {
			out[key] = s.Create(background, key, []byte(data))
		}
		return out
	},
	"publish": func(s *local.Store, keys []string, data string) map[string]error {
		out, receipts := map[string]error{}, map[string]store.Receipt{}
		for _, key := range keys {
			receipts[key], out[key] = stage(s, key, data)
		}
		for _, key := range keys {
			if out[key] == nil {
				_, err := s.Publish(background, receipts[key])
				out[key] = errors.Join(err, s.Discard(background, receipts[key]))
			}
		}
		return out
	},
}

// pairs of keys, each of which would overwrite the other where names fold, or put
// files of one folder into another.
var pairs = [][2]string{
	{"A/b.txt", "A/B.txt"}, {"b.txt", "B.txt"}, {"caf\u00e9", "cafe\u0301"}, {"caf\u00e9", "CAFE\u0301"},
	{"A/x", "a/y"}, {"A/b/x", "A/B/y"}, {"A/b.txt", "a/b.txt"}, {"a", "A/b"}, {"A/b", "a"}, {"name", "name."},
	{"STRASSE/\u00c4", "STRASSE/\u00e4"},
}

// alone checks that key is all there is, with these contents, and that nothing is
// left of what was not taken.
func alone(t *testing.T, s *local.Store, disk *powerfs.Disk, key, want string) {
	t.Helper()
	if keys := listed(t, s); !slices.Equal(keys, []string{key}) {
		t.Errorf("there is %q, not %q", keys, key)
	}
	if got, err := get(s, key); got != want || err != nil {
		t.Errorf("%q holds %q, %v, not %q", key, got, err, want)
	}
	if left := inStaging(t, disk); len(left) > 0 {
		t.Errorf("left in the staging folder: %q", left)
	}
}

func TestWrites_when_names_fold_and_another_is_there(t *testing.T) {
	for name, write := range join(writers, creators) {
		for _, without := range []powerfs.Feature{0, powerfs.ExclusiveMove, powerfs.Links} {
			for _, pair := range pairs {
				disk := folding()
				disk.Without(without)
				must(t, put(openDisk(t, disk.Process()), pair[0], "first"))
				s := openDisk(t, disk.Process())
				err := write(s, pair[1:], "second")[pair[1]]
				if f := fault.Of(err); f.Code != fault.NameClash || f.Hint == "" || f.Where != "/lake/"+pair[1] {
					t.Errorf("%s of %q beside %q: %v", name, pair[1], pair[0], err)
				}
				alone(t, s, disk, pair[0], "first")
			}
		}
	}
}

func TestWrites_when_names_fold_and_the_object_itself_is_there(t *testing.T) {
	for name, write := range writers {
		disk := folding()
		s := openDisk(t, disk.Process())
		for _, data := range []string{"first", "second", "third"} {
			for key, err := range write(s, []string{"Folder/Caf\u00e9.TXT"}, data) {
				if err != nil {
					t.Errorf("%s of %q: %v", name, key, err)
				}
			}
			alone(t, s, disk, "Folder/Caf\u00e9.TXT", data)
		}
	}
}

// Both were admitted before either has its name: exactly one gets it.
func TestWrites_when_names_fold_and_two_are_under_way(t *testing.T) {
	for name, write := range join(writers, creators) {
		for _, without := range []powerfs.Feature{0, powerfs.ExclusiveMove, powerfs.Links} {
			for _, pair := range pairs {
				disk := folding()
				disk.Without(without)
				s := openDisk(t, disk.Process())
				errs := write(s, pair[:], "data")
				won, lost := pair[0], pair[1]
				if errs[won] != nil {
					won, lost = lost, won
				}
				if errs[won] != nil || !fault.Has(errs[lost], fault.NameClash) {
					t.Errorf("%s of %q, without %d: %v", name, pair, without, errs)
					continue
				}
				alone(t, s, disk, won, "data")
			}
		}
	}
}

// Each of two processes has looked, and found that the name is free.
func TestPut_when_names_fold_and_two_processes_write(t *testing.T) {
	for i := range 2 {
		disk := folding()
		one, two := disk.Process(), disk.Process()
		first, second := openDisk(t, one), openDisk(t, two)
		must(t, put(first, "A/other", "x"))
		one.Before(func(step powerfs.Step) {
			if step.Op != powerfs.RenameNew && step.Op != powerfs.Link {
				return
			}
			one.Before(nil)
			must(t, put(second, "A/KEY", "second"))
		})
		var err error
		if i == 0 {
			err = put(first, "A/key", "first")
		} else {
			err = first.Create(background, "A/key", []byte("first"))
		}
		if !fault.Has(err, fault.NameClash) {
			t.Errorf("%v", err)
		}
		if got, err := get(second, "A/KEY"); got != "second" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
}

func join[M ~map[string]V, V any](maps ...M) M {
	all := M{}
	for _, m := range maps {
		for name, v := range m {
			all[name] = v
		}
	}
	return all
}

// An object is found under its own name only, also by a store that has not written
// anything and must not.
func TestReads_when_names_fold(t *testing.T) {
	for _, pair := range pairs {
		if norm.NFC.String(pair[0]) == norm.NFC.String(pair[1]) || foldNames(pair[0]) != foldNames(pair[1]) || pair[1] == "name." {
			continue // a look at the key in another case finds out about case alone
		}
		for _, wrote := range []bool{false, true} {
			disk := folding()
			must(t, put(openDisk(t, disk.Process()), pair[0], "first"))
			fsys := disk.Process()
			s := openDisk(t, fsys)
			if wrote {
				must(t, put(s, pair[0], "first"))
			}
			before := len(fsys.Steps())
			if _, err := get(s, pair[1]); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("Open(%q) beside %q: %v", pair[1], pair[0], err)
			}
			if _, err := s.Stat(background, pair[1]); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("Stat(%q) beside %q: %v", pair[1], pair[0], err)
			}
			if _, err := s.Stat(background, pair[0]); err != nil {
				t.Errorf("Stat(%q): %v", pair[0], err)
			}
			if after := len(fsys.Steps()); after != before {
				t.Errorf("%d steps that change something", after-before)
			}
			must(t, s.Delete(background, pair[1]))
			if errs := s.Remove(background, pair[1:]); errs != nil {
				t.Error(errs)
			}
			alone(t, s, disk, pair[0], "first")
			for o, err := range s.List(background, pair[1][:strings.LastIndexByte(pair[1], '/')+1], "") {
				if o.Key != pair[0] || err != nil {
					t.Errorf("listed %q, %v", o.Key, err)
				}
			}
			must(t, s.Delete(background, pair[0]))
			if keys := listed(t, s); len(keys) > 0 {
				t.Errorf("%q", keys)
			}
		}
	}
}

func TestWrites_when_the_file_system_alters_names(t *testing.T) {
	for _, c := range []struct {
		names   powerfs.Names
		refused []string
		taken   []string
	}{
		{powerfs.Names{Fold: foldNames, Keep: norm.NFD.String}, []string{"caf\u00e9", "caf\u00e9/x"}, []string{"cafe\u0301", "x"}},
		{powerfs.Names{Fold: foldNames, Keep: func(n string) string { return strings.TrimRight(n, ".") }}, []string{"x.", "x./y"}, []string{"x.y", "caf\u00e9"}},
	} {
		for name, write := range join(writers, creators) {
			disk := powerfs.New()
			disk.Name(c.names)
			s := openDisk(t, disk.Process())
			for _, key := range c.refused {
				if err := write(s, []string{key}, "x")[key]; !fault.Has(err, fault.NameRefused) {
					t.Errorf("%s of %q: %v", name, key, err)
				}
			}
			for _, key := range c.taken {
				if err := write(s, []string{key}, "x")[key]; err != nil {
					t.Errorf("%s of %q: %v", name, key, err)
				}
			}
			if keys := listed(t, s); len(keys) != len(c.taken) {
				t.Errorf("%q", keys)
			}
			if left := inStaging(t, disk); len(left) > 0 {
				t.Errorf("left in the staging folder: %q", left)
			}
		}
	}
}

// steps counts what a process does, by kind and, for looks at one folder, by place.
func steps(fsys *powerfs.FS) func() map[powerfs.Op]int {
	var mu sync.Mutex
	n := map[powerfs.Op]int{}
	fsys.Before(func(s powerfs.Step) {
		mu.Lock()
		defer mu.Unlock()
		n[s.Op]++
	})
	return func() map[powerfs.Op]int {
		mu.Lock()
		defer mu.Unlock()
		was := n
		n = map[powerfs.Op]int{}
		return was
	}
}

func TestPut_when_names_do_not_fold_costs_the_probe_alone(t *testing.T) {
	disk := powerfs.New()
	fsys := disk.Process()
	s := openDisk(t, fsys)
	since := steps(fsys)
	must(t, put(s, "A/first", "x"))
	first := since()
	if first[powerfs.Mkdir] != 3+1 || first[powerfs.RemoveDir] != 1 { // the root, the staging folder, A; the probe's
		t.Errorf("the first: %v", first)
	}
	for _, key := range []string{"A/first", "A/caf\u00e9", "a/FIRST"} {
		must(t, put(s, key, "x"))
		did := since()
		if did[powerfs.List]+did[powerfs.RemoveDir]+did[powerfs.RenameNew]+did[powerfs.Open] > 0 || did[powerfs.Create] != 1 || did[powerfs.Stat] > 1 {
			t.Errorf("%s: %v", key, did)
		}
	}
	for range 3 {
		_, err := s.Stat(background, "A/first")
		must(t, err)
	}
	if did := since(); did[powerfs.Stat] != 3 {
		t.Errorf("three looks: %v", did)
	}
}

func TestPut_when_names_fold_reads_a_large_folder_once(t *testing.T) {
	const n = 300
	fsys := folding().Process()
	s := openDisk(t, fsys)
	for i := range n {
		must(t, put(s, fmt.Sprintf("A/%03d", i), "x"))
	}
	since := steps(fsys)
	for i := range n {
		must(t, put(s, fmt.Sprintf("A/%03d", i), "y"))
	}
	if did := since(); did[powerfs.List] > 4 {
		t.Errorf("%d reads of folders for %d objects", did[powerfs.List], n)
	}
	for i := range n {
		_, err := s.Stat(background, fmt.Sprintf("A/%03d", i))
		must(t, err)
	}
	if did := since(); did[powerfs.List] > 4 {
		t.Errorf("%d reads of folders to look for %d objects", did[powerfs.List], n)
	}
}

// What is known of a folder does not outlive a change by somebody else.
func TestPut_when_names_fold_and_somebody_else_renames(t *testing.T) {
	for _, most := range []int{0, 100} { // names are kept, or too many
		disk := folding()
		s, err := local.New(disk.Process(), "/lake", local.Options{ListBytes: most})
		must(t, err)
		for range 3 {
			must(t, put(s, "A/key", "ours"))
			must(t, put(s, "A/other", "ours"))
		}
		other := openDisk(t, disk.Process())
		must(t, other.Delete(background, "A/key"))
		must(t, put(other, "A/KEY", "theirs"))
		if err := put(s, "A/key", "ours"); !fault.Has(err, fault.NameClash) {
			t.Error(err)
		}
		if got, err := get(s, "A/KEY"); got != "theirs" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		must(t, s.Delete(background, "A/KEY"))
		must(t, put(s, "A/key", "ours"))
	}
}

func TestStore_when_names_fold(t *testing.T) {
	disks := map[store.Store]*powerfs.Disk{}
	storetest.Run(t, func(t *testing.T) store.Store {
		disk := foldingBy(foldLetters)
		s, err := local.New(disk.Process(), "/srv/lake", local.Options{ListBytes: 2 << 10})
		must(t, err)
		disks[s] = disk
		return s
	}, storetest.Options{
		Second: func(t *testing.T, first store.Store) store.Store {
			s, err := local.New(disks[first].Process(), "/srv/lake", local.Options{})
			must(t, err)
			return s
		},
		Fold: foldLetters, ListObjects: 50, Rounds: 2, Keeps: fileKeeps, DivideObjects: 100, LargeBytes: 1 << 20,
	})
}

func TestStore_when_names_fold_and_power_is_cut(t *testing.T) {
	open := func(fsys local.FS) (store.Store, error) {
		return local.New(fsys, "/srv/lake", local.Options{BufferBytes: 256})
	}
	storetest.RunPower(t, open, storetest.PowerOptions{Disk: folding, Samples: 1, Rounds: 10})
}
