package page

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"unicode/utf8"

	"godwit/internal/fault"
)

// Range is a stretch of keys: those after After, up to and with Upto. Empty: no
// bound.
type Range struct{ After, Upto string }

// Folder holds the pages of a job's round. One process uses it at a time; its
// methods may be called concurrently for different pages.
type Folder struct {
	dir string
	packing
}

// Open opens a folder, making it when it is missing.
func Open(dir string) (*Folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, broken(dir, err)
	}
	return &Folder{dir, newPacking()}, nil
}

func (f *Folder) ranges() string { return filepath.Join(f.dir, "ranges.json") }

func (f *Folder) page(rg, seq int) string {
	return filepath.Join(f.dir, fmt.Sprintf("%04d", rg), fmt.Sprintf("%08d.page", seq))
}

// rangesFile is ranges.json. Bounds are bytes: a key need not be UTF-8.
type rangesFile struct {
	Version int         `json:"version"`
	Bounds  []boundText `json:"bounds"` // between the ranges, in order
}

type boundText struct {
	Key   string `json:"key,omitempty"`
	Bytes []byte `json:"bytes,omitempty"`
}

// KeepRanges keeps the ranges: those that bounds, in order, divide all keys into.
// Other bounds may be kept later, when all that is listed lies before the first of
// them. Then they are durable before any page is: a page that says that a range is
// listed to its end must not be taken for one of a longer range.
func (f *Folder) KeepRanges(bounds []string) error {
	out := rangesFile{Version: version, Bounds: []boundText{}}
	for _, b := range bounds {
		t := boundText{Key: b}
		if !utf8.ValidString(b) {
			t = boundText{Bytes: []byte(b)}
		}
		out.Bounds = append(out.Bounds, t)
	}
	b, err := json.Marshal(out)
	if err != nil {
		return broken(f.dir, err)
	}
	if err := replace(f.ranges(), append(b, '\n')); err != nil || len(bounds) == 0 {
		return err
	}
	return f.sync()
}

// Ranges returns the ranges that were kept, in order; nil: none were, or what was
// kept cannot be read. Pages of other ranges are removed then.
func (f *Folder) Ranges() ([]Range, error) {
	b, err := os.ReadFile(f.ranges())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, broken(f.dir, err)
	}
	var in rangesFile
	if err == nil && json.Unmarshal(b, &in) == nil && in.Version > version {
		return nil, fault.New(fault.FormatNewer, "the ranges of a job have version %d, this program knows %d", in.Version, version).At("%s", f.ranges())
	}
	if in.Version != version {
		return nil, f.clear()
	}
	var out []Range
	last := ""
	for _, t := range in.Bounds {
		key := t.Key
		if len(t.Bytes) > 0 {
			key = string(t.Bytes)
		}
		if key <= last {
			return nil, f.clear()
		}
		out = append(out, Range{last, key})
		last = key
	}
	return append(out, Range{last, ""}), nil
}

// sync makes ranges.json and its name durable.
func (f *Folder) sync() error {
	for _, path := range []string{f.ranges(), f.dir} {
		r, err := os.Open(path)
		if err == nil {
			err = errors.Join(r.Sync(), r.Close())
		}
		if err != nil {
			return broken(path, err)
		}
	}
	return nil
}

func (f *Folder) clear() error {
	if err := os.RemoveAll(f.dir); err != nil {
		return broken(f.dir, err)
	}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return broken(f.dir, err)
	}
	return nil
}

// Pages returns the headers of a range's pages, in order. A page that is not whole
// is removed, and so are those after it: their keys are listed again.
func (f *Folder) Pages(rg int) ([]*Header, error) {
	if err := os.MkdirAll(filepath.Dir(f.page(rg, 1)), 0o700); err != nil {
		return nil, broken(f.dir, err)
	}
	var out []*Header
	for seq := 1; ; seq++ {
		h, err := readHead(f.page(rg, seq))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return out, f.Drop(rg, seq)
		case errors.Is(err, ErrTorn), err == nil && (h.Range != rg || h.Seq != seq):
			return out, f.Drop(rg, seq)
		case fault.Has(err, fault.FormatNewer):
			return nil, err
		case err != nil:
			return nil, broken(f.dir, err)
		}
		out = append(out, h)
	}
}

// Drop removes page seq, what stands after it, and their logs.
func (f *Folder) Drop(rg, seq int) error {
	for ; ; seq++ {
		path := f.page(rg, seq)
		_ = os.Remove(logOf(path))
		err := os.Remove(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return broken(f.dir, err)
		}
	}
}

// Seal writes a page. h has Range, Seq and the cursor; the rest is filled in.
func (f *Folder) Seal(h *Header, entries []Entry) error {
	b, err := f.encode(h, entries)
	if err != nil {
		return err
	}
	_ = os.Remove(logOf(f.page(h.Range, h.Seq))) // of a page that was dropped
	return replace(f.page(h.Range, h.Seq), b)
}

// Finish writes a page anew with the outcomes that its log had, and removes the
// log. All of the header but the counts stays.
func (f *Folder) Finish(h *Header, entries []Entry) error {
	b, err := f.encode(h, entries)
	if err != nil {
		return err
	}
	path := f.page(h.Range, h.Seq)
	if err := replace(path, b); err != nil {
		return err
	}
	_ = os.Remove(logOf(path)) // one that stays names another body, and is not read
	return nil
}

// Load returns a page with the outcomes of its log. ErrTorn: it must be dropped.
func (f *Folder) Load(rg, seq int) (*Header, []Entry, error) {
	path := f.page(rg, seq)
	h, entries, err := f.readFile(path)
	switch {
	case errors.Is(err, ErrTorn), fault.Has(err, fault.FormatNewer):
		return nil, nil, err
	case err != nil:
		return nil, nil, broken(path, err)
	}
	if err := readLog(path, h, entries); err != nil {
		return nil, nil, broken(path, err)
	}
	h.count(entries)
	return h, entries, nil
}

// Resume is Load for a page that an earlier process was at work on: what its log had
// is written into the page, so that a new log begins.
func (f *Folder) Resume(rg, seq int) (*Header, []Entry, error) {
	h, entries, err := f.Load(rg, seq)
	if err != nil {
		return nil, nil, err
	}
	if _, err := os.Stat(logOf(f.page(rg, seq))); errors.Is(err, fs.ErrNotExist) {
		return h, entries, nil
	}
	return h, entries, f.Finish(h, entries)
}

// Walk calls each for every item in order of ranges and pages, with its outcome, nil
// when it has none yet. It may run beside the job. A missing folder has no items.
func Walk(dir string, each func(Range, Item, *Outcome) error) error {
	f := &Folder{dir, newPacking()}
	if _, err := os.Stat(f.ranges()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	ranges, err := f.Ranges()
	if err != nil {
		return err
	}
	for n, rg := range ranges {
		for seq := 1; ; seq++ {
			h, entries, err := f.readFile(f.page(n, seq))
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrTorn) {
				break
			}
			if err == nil {
				err = readLog(f.page(n, seq), h, entries)
			}
			if err != nil {
				return err
			}
			for _, e := range entries {
				if err := each(rg, e.Item, e.Outcome); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// lines calls each for the lines of b that are whole.
func lines(b []byte, each func([]byte) bool) {
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 || !each(b[:i]) {
			return
		}
		b = b[i+1:]
	}
}
