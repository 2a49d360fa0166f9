package powerfs_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"godwit/internal/store/local"
	"godwit/internal/store/powerfs"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func rootOf(t testing.TB, p *powerfs.FS) local.Root {
	t.Helper()
	r, err := p.OpenRoot("/")
	must(t, err)
	return r
}

func write(t testing.TB, r local.Root, name, data string, sync bool) {
	t.Helper()
	w, err := r.Create(name)
	must(t, err)
	_, err = io.WriteString(w, data)
	must(t, err)
	if sync {
		must(t, w.Sync())
	}
	must(t, w.Close())
}

// look returns what is on the disk as one line, names in order.
func look(t testing.TB, d *powerfs.Disk) string {
	t.Helper()
	r := rootOf(t, d.Process())
	var out []string
	var walk func(string)
	walk = func(dir string) {
		l, err := r.OpenDir(dir)
		must(t, err)
		for {
			list, err := l.Next(2)
			if err == io.EOF {
				return
			}
			must(t, err)
			for _, e := range list {
				name := strings.TrimPrefix(dir+"/"+e.Name, "./")
				if e.Type.IsDir() {
					out = append(out, name+"/")
					walk(name)
					continue
				}
				f, err := r.Open(name)
				must(t, err)
				b, err := io.ReadAll(f)
				must(t, err)
				out = append(out, fmt.Sprintf("%s=%q", name, b))
			}
		}
	}
	walk(".")
	slices.Sort(out)
	return strings.Join(out, " ")
}

// looks returns all that the disk may look like.
func looks(t testing.TB, d *powerfs.Disk) map[string]int {
	t.Helper()
	seen := map[string]int{}
	for seed := range uint64(400) {
		seen[look(t, d.Sample(rand.New(rand.NewPCG(seed, 0))))]++
	}
	return seen
}

func wantLooks(t *testing.T, d *powerfs.Disk, want ...string) {
	t.Helper()
	got := looks(t, d)
	for _, w := range want {
		if got[w] == 0 {
			t.Errorf("never seen: %s", w)
		}
		delete(got, w)
	}
	if len(got) > 0 {
		t.Errorf("may not be: %v", got)
	}
}

func TestCrash_keeps_what_was_synced(t *testing.T) {
	d := powerfs.New()
	r := rootOf(t, d.Process())
	must(t, r.Mkdir("d"))
	must(t, r.SyncDir("."))
	write(t, r, "d/f", "data", true)
	wantLooks(t, d, `d/`, `d/ d/f="data"`)
	must(t, r.SyncDir("d"))
	wantLooks(t, d, `d/ d/f="data"`)
}

func TestCrash_loses_bytes_that_were_not_synced(t *testing.T) {
	d := powerfs.New()
	r := rootOf(t, d.Process())
	write(t, r, "f", "ab", false)
	must(t, r.SyncDir("."))
	wantLooks(t, d, `f=""`, `f="a"`, `f="ab"`, `f="\x00"`, `f="\x00\x00"`)
}

func TestCrash_loses_a_folder_that_was_not_synced_with_all_in_it(t *testing.T) {
	d := powerfs.New()
	r := rootOf(t, d.Process())
	must(t, r.Mkdir("d"))
	write(t, r, "d/f", "x", true)
	must(t, r.SyncDir("d"))
	wantLooks(t, d, ``, `d/ d/f="x"`)
}

func TestCrash_reorders_entries(t *testing.T) {
	d := powerfs.New()
	r := rootOf(t, d.Process())
	write(t, r, "1", "", true)
	write(t, r, "2", "", true)
	wantLooks(t, d, ``, `1=""`, `2=""`, `1="" 2=""`)
}

// A file that is moved never has no name at all, and a name that is replaced
// always holds the old file or the new one.
func TestCrash_when_a_file_was_moved(t *testing.T) {
	d := powerfs.New()
	r := rootOf(t, d.Process())
	must(t, r.Mkdir("a"))
	must(t, r.Mkdir("b"))
	write(t, r, "a/f", "new", true)
	write(t, r, "b/f", "old", true)
	for _, dir := range []string{".", "a", "b"} {
		must(t, r.SyncDir(dir))
	}
	must(t, r.Rename("a/f", "b/f"))
	before, both, moved := `a/ a/f="new" b/ b/f="old"`, `a/ a/f="new" b/ b/f="new"`, `a/ b/ b/f="new"`
	wantLooks(t, d, before, both, moved)
	must(t, r.SyncDir("a")) // the old name cannot go without the new one
	wantLooks(t, d, before, both, moved)
	must(t, r.SyncDir("b"))
	wantLooks(t, d, moved)
}

func TestCrash_when_only_the_new_name_was_synced(t *testing.T) {
	d := powerfs.New()
	r := rootOf(t, d.Process())
	must(t, r.Mkdir("b"))
	write(t, r, "f", "x", true)
	must(t, r.SyncDir("."))
	must(t, r.RenameNew("f", "b/f"))
	must(t, r.SyncDir("b"))
	wantLooks(t, d, `b/ b/f="x" f="x"`, `b/ b/f="x"`)
}

func TestCrash_is_the_same_for_the_same_seed(t *testing.T) {
	d := powerfs.New()
	r := rootOf(t, d.Process())
	for i := range 20 {
		write(t, r, fmt.Sprint(i), strings.Repeat("data", 100), i%2 == 0)
	}
	for seed := range uint64(50) {
		a := look(t, d.Sample(rand.New(rand.NewPCG(seed, 0))))
		if b := look(t, d.Sample(rand.New(rand.NewPCG(seed, 0)))); a != b {
			t.Fatalf("seed %d:\n%s\n%s", seed, a, b)
		}
	}
}

func TestCrash_ends_all_that_is_open(t *testing.T) {
	d := powerfs.New()
	p := d.Process()
	r := rootOf(t, p)
	w, err := r.Create("f")
	must(t, err)
	after := d.Crash(rand.New(rand.NewPCG(1, 1)))
	if _, err := w.Write([]byte("x")); !errors.Is(err, powerfs.ErrOff) {
		t.Error(err)
	}
	if err := r.SyncDir("."); !errors.Is(err, powerfs.ErrOff) {
		t.Error(err)
	}
	write(t, rootOf(t, after.Process()), "g", "x", true)
}

func TestFault_before_after_torn_and_death(t *testing.T) {
	cases := []struct {
		fault powerfs.Fault
		want  string
		err   error
	}{
		{powerfs.Fault{N: 1}, `f=""`, syscall.EIO},
		{powerfs.Fault{N: 1, Torn: true, Err: syscall.ENOSPC}, `f="da"`, syscall.ENOSPC},
		{powerfs.Fault{N: 1, After: true, Dies: true}, `f="data"`, syscall.EIO},
		{powerfs.Fault{Op: powerfs.Write, Path: "/f"}, `f=""`, syscall.EIO},
	}
	for _, c := range cases {
		d := powerfs.New()
		p := d.Process()
		p.Inject(&c.fault)
		r := rootOf(t, p)
		w, err := r.Create("f")
		must(t, err)
		if _, err := w.Write([]byte("data")); !errors.Is(err, c.err) {
			t.Errorf("%+v: %v", c.fault, err)
		}
		if s, ok := p.Reached(&c.fault); !ok || s.N != 1 || s.Op != powerfs.Write || s.Path != "/f" {
			t.Errorf("reached %v, %v", s, ok)
		}
		if got := look(t, d); got != c.want {
			t.Errorf("%+v: %s", c.fault, got)
		}
		if err := w.Sync(); errors.Is(err, powerfs.ErrDead) != c.fault.Dies {
			t.Errorf("%+v: %v", c.fault, err)
		}
	}
}

func TestReap_when_the_creator_lives_closed_or_died(t *testing.T) {
	d := powerfs.New()
	p := d.Process()
	r, other := rootOf(t, p), rootOf(t, d.Process())
	_, err := r.Create("open")
	must(t, err)
	write(t, r, "closed", "", false)
	reap := func(name string, want bool) {
		t.Helper()
		if gone, err := other.Reap(name); gone != want || err != nil {
			t.Errorf("Reap(%q): %v, %v", name, gone, err)
		}
	}
	reap("open", false)
	reap("closed", true)
	p.Kill()
	reap("open", true)
	if _, err := other.Reap("open"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestSpace_comes_back_with_the_last_name(t *testing.T) {
	d := powerfs.New()
	r := rootOf(t, d.Process())
	d.SetSpace(10)
	write(t, r, "f", "0123456789", true)
	must(t, r.Link("f", "g"))
	w, err := r.Create("h")
	must(t, err)
	full := func(want bool) {
		t.Helper()
		if n, err := w.Write([]byte("x")); errors.Is(err, syscall.ENOSPC) != want || (n == 0) != want {
			t.Errorf("%d, %v", n, err)
		}
	}
	full(true)
	must(t, r.Remove("f"))
	full(true)
	must(t, r.Remove("g"))
	full(false)
}

func TestInterleave_is_the_same_for_the_same_seed_and_meets_every_order(t *testing.T) {
	once := func(seed uint64) string {
		d := powerfs.New()
		var order []byte
		var tasks []powerfs.Task
		for i := range 3 {
			p := d.Process()
			r := rootOf(t, p)
			tasks = append(tasks, powerfs.Task{FS: p, Run: func() {
				for j := range 2 {
					must(t, r.Mkdir(fmt.Sprint(i, "-", j)))
					order = append(order, byte('a'+i)) // one task at a time: no lock
				}
			}})
		}
		powerfs.Interleave(rand.New(rand.NewPCG(seed, 7)), tasks...)
		return string(order)
	}
	seen := map[string]bool{}
	for seed := range uint64(2000) {
		a := once(seed)
		if seed < 50 && a != once(seed) {
			t.Fatalf("seed %d: not the same twice", seed)
		}
		seen[a] = true
	}
	if len(seen) != 90 { // 6! / (2! 2! 2!)
		t.Errorf("%d of 90 orders", len(seen))
	}
}

func TestName_when_names_fold(t *testing.T) {
	d := powerfs.New()
	d.Name(powerfs.Names{Fold: strings.ToLower, Keep: func(n string) string { return strings.TrimRight(n, "!") }})
	r := rootOf(t, d.Process())
	write(t, r, "Name", "one", true)
	if _, err := r.Create("NAME"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create: %v", err)
	}
	if err := r.Mkdir("nAME"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Mkdir: %v", err)
	}
	write(t, r, "other!", "two", true)
	for _, move := range []func(string, string) error{r.RenameNew, r.Link} {
		if err := move("other", "name"); !errors.Is(err, fs.ErrExist) {
			t.Errorf("without replacing: %v", err)
		}
	}
	must(t, r.SyncDir("."))
	d = d.Crash(rand.New(rand.NewPCG(1, 1)))
	if got := look(t, d); got != `Name="one" other="two"` {
		t.Error(got)
	}
	r = rootOf(t, d.Process())
	must(t, r.Rename("OTHER", "name"))
	if got := look(t, d); got != `Name="two"` {
		t.Error(got)
	}
	must(t, r.Remove("NAME"))
	if got := look(t, d); got != "" {
		t.Errorf("%q", got)
	}
}
