package page

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"godwit/internal/fault"
	"godwit/internal/store"
	"godwit/test/golden"
)

var at = time.Date(2026, 11, 21, 14, 5, 20, 123456789, time.UTC)

// samples has every field once, and names that are not UTF-8.
func samples() []Entry {
	return []Entry{
		{Item{Key: "a/b", Name: "x/b", Size: 12, Modified: at, Version: "v1", Action: Copy, Reason: "new",
			Sums: []store.Sum{{Algorithm: store.MD5, Value: "00ff", Parts: 3, PartSize: 5 << 20}}}, nil},
		{Item{Key: "bad\xff", Name: "also\xfe", Size: 1, Action: Refuse, Code: fault.NameRefused, Reason: "not UTF-8"},
			&Outcome{State: Failed, Code: fault.NameRefused, Error: "NAME_REFUSED: no", At: at}},
		{Item{Key: "c", Size: 1 << 40, Modified: at, Action: Copy, Reason: "size differs"},
			&Outcome{State: Copied, Bytes: 7, Attempts: 2, How: "parts", Checked: "md5", Sum: store.Sum{Algorithm: store.MD5, Value: "aa"}, Erased: true, At: at, Millis: 3}},
		{Item{Name: "only there", Size: 5, Action: Delete, Reason: "only in the target"}, nil},
	}
}

func header() *Header { return &Header{Range: 2, Seq: 1, Last: "c\xfd", There: 3, End: true} }

func same(t *testing.T, got, want []Entry) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read\n%+v\nwant\n%+v", got, want)
	}
}

func folder(t *testing.T) *Folder {
	t.Helper()
	f, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := f.KeepRanges([]string{"b", "c\xff"}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Pages(2); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestPage_when_sealed_logged_and_finished(t *testing.T) {
	f := folder(t)
	h := header()
	if err := f.Seal(h, samples()); err != nil {
		t.Fatal(err)
	}
	read, entries, err := f.Load(2, 1)
	if err != nil {
		t.Fatal(err)
	}
	same(t, entries, samples())
	if read.Open != 2 || read.Deletes != 1 || read.Items.Objects != 4 || read.States[Copied].Bytes != 1<<40 || read.Last != "c\xfd" || !read.End {
		t.Errorf("header %+v", read)
	}
	want := samples()
	out := Outcome{State: Copied, At: at, How: "put"}
	want[0].Outcome = &out
	if err := appendTo(f, read, []Done{{0, out}}); err != nil {
		t.Fatal(err)
	}
	if read, entries, err = f.Resume(2, 1); err != nil {
		t.Fatal(err)
	}
	same(t, entries, want)
	if _, err := os.Stat(logOf(f.page(2, 1))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the log is still there: %v", err)
	}
	if heads, err := f.Pages(2); err != nil || len(heads) != 1 || heads[0].Open != 1 || heads[0].sum != read.sum {
		t.Errorf("headers %+v, %v", heads, err)
	}
	ranges, err := f.Ranges()
	if err != nil || !reflect.DeepEqual(ranges, []Range{{"", "b"}, {"b", "c\xff"}, {"c\xff", ""}}) {
		t.Errorf("ranges %q, %v", ranges, err)
	}
	var walked []Entry
	err = Walk(f.dir, func(r Range, i Item, o *Outcome) error {
		if r != ranges[2] {
			t.Errorf("range %q", r)
		}
		walked = append(walked, Entry{i, o})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	same(t, walked, want)
}

// A log of another body, as a crash between the two acts of Finish leaves it, does
// not count.
func TestLog_when_it_is_of_another_page(t *testing.T) {
	f := folder(t)
	h := header()
	if err := f.Seal(h, samples()); err != nil {
		t.Fatal(err)
	}
	if err := appendTo(f, h, []Done{{0, Outcome{State: Failed, At: at}}}); err != nil {
		t.Fatal(err)
	}
	stale, err := os.ReadFile(logOf(f.page(2, 1)))
	if err != nil {
		t.Fatal(err)
	}
	changed := samples()
	changed[0].Size++
	if err := f.Seal(header(), changed); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(logOf(f.page(2, 1)), stale, 0o600); err != nil {
		t.Fatal(err)
	}
	_, entries, err := f.Load(2, 1)
	if err != nil {
		t.Fatal(err)
	}
	same(t, entries, changed)
}

// Whatever length a file is cut to, it is whole or it is dropped with those after it;
// of a log the whole lines count.
func TestPages_when_files_are_cut(t *testing.T) {
	f := folder(t)
	seal := func() (page, log []byte) {
		for seq := 1; seq <= 2; seq++ {
			h := header()
			h.Seq = seq
			if err := f.Seal(h, samples()); err != nil {
				t.Fatal(err)
			}
			if seq == 1 {
				if err := appendTo(f, h, []Done{{3, Outcome{State: Deleted, At: at}}, {0, Outcome{State: Copied, At: at}}}); err != nil {
					t.Fatal(err)
				}
			}
		}
		page, _ = os.ReadFile(f.page(2, 1))
		log, _ = os.ReadFile(logOf(f.page(2, 1)))
		return page, log
	}
	page, log := seal()
	for n := range page {
		seal()
		if err := os.Truncate(f.page(2, 1), int64(n)); err != nil {
			t.Fatal(err)
		}
		if heads, err := f.Pages(2); err != nil || len(heads) != 0 {
			t.Fatalf("cut to %d of %d: %d pages, %v", n, len(page), len(heads), err)
		}
		if _, err := os.Stat(f.page(2, 2)); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("cut to %d: the page after it stays", n)
		}
	}
	seal()
	for n := range log {
		if err := os.Truncate(logOf(f.page(2, 1)), int64(len(log)-1-n)); err != nil {
			t.Fatal(err)
		}
		_, entries, err := f.Load(2, 1)
		if err != nil {
			t.Fatal(err)
		}
		whole := max(bytes.Count(log[:len(log)-1-n], []byte("\n"))-1, 0)
		got := 0
		for _, i := range []int{3, 0} {
			if entries[i].Outcome != nil {
				got++
			}
		}
		if got != whole {
			t.Fatalf("cut to %d: %d outcomes, want %d", len(log)-1-n, got, whole)
		}
	}
}

func TestPage_when_it_is_of_a_newer_version(t *testing.T) {
	f := folder(t)
	if err := f.Seal(header(), samples()); err != nil {
		t.Fatal(err)
	}
	path := f.page(2, 1)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	newer := bytes.Replace(b, []byte(mark+" 1 "), []byte(mark+" 2 "), 1)
	if err := os.WriteFile(path, newer, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Pages(2); !fault.Has(err, fault.FormatNewer) {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadFile(path); !bytes.Equal(left, newer) {
		t.Error("the page was touched")
	}
	if err := os.WriteFile(f.ranges(), []byte(`{"version": 2}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Ranges(); !fault.Has(err, fault.FormatNewer) {
		t.Errorf("ranges: %v", err)
	}
}

// A page that version 1 wrote is read for ever.
func TestPage_when_it_is_old(t *testing.T) {
	const file = "testdata/v1.page"
	b, err := newPacking().encode(header(), samples())
	if err != nil {
		t.Fatal(err)
	}
	golden.Write(t, file, b)
	h, entries, err := newPacking().readFile(file)
	if err != nil {
		t.Fatal(err)
	}
	same(t, entries, samples())
	if h.Range != 2 || h.Open != 2 {
		t.Errorf("%+v", h)
	}
}

func FuzzReadPage(f *testing.F) {
	b, err := newPacking().encode(header(), samples())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(mark + " 1 x y 0\n{}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "page")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		h, entries, err := newPacking().readFile(path)
		if err != nil {
			return
		}
		again, err := newPacking().encode(h, entries)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, again, 0o600); err != nil {
			t.Fatal(err)
		}
		h, back, err := newPacking().readFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if third, err := newPacking().encode(h, back); err != nil || !bytes.Equal(third, again) {
			t.Fatalf("%v: %+v is read back as %+v", err, entries, back)
		}
	})
}

func appendTo(f *Folder, h *Header, done []Done) error {
	l, err := f.Log(h)
	if err != nil {
		return err
	}
	return errors.Join(l.Append(done), l.Close())
}
