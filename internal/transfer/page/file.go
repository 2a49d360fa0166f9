package page

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"

	"godwit/internal/fault"
	"godwit/internal/store"
)

// version is the form of pages and logs that is written (docs/formats/pages.md).
const version = 1

// Most is how many items a page holds at most.
const Most = 1000

// Bounds of what is read back.
const (
	headBytes = 64 << 10
	bodyBytes = 64 << 20
	lineBytes = 1 << 20
)

// Header says what a page is.
type Header struct {
	Version int `json:"version"`
	Range   int `json:"range"` // number of its key range, from 0
	Seq     int `json:"seq"`   // dense in the range, from 1
	// Last is where listing goes on after this page: a key of the source, or of the
	// target; Taken is how many lines of a list file were read up to here.
	Last  string `json:"last,omitempty"`
	Last0 []byte `json:"last_bytes,omitempty"` // instead of Last when that is not UTF-8
	Taken int64  `json:"taken,omitempty"`
	// End: the range was listed to its end.
	End bool `json:"end,omitempty"`
	// Unsound: the source could not be listed whole, so that what only the target
	// has may be there after all.
	Unsound bool             `json:"unsound,omitempty"`
	There   int64            `json:"there,omitempty"` // objects of the target that were seen
	Items   Count            `json:"items"`
	Open    int64            `json:"open"`    // items without an outcome
	Deletes int64            `json:"deletes"` // of them, those to be deleted in the target
	States  map[State]*Count `json:"states,omitempty"`

	sum        string // of the body: what a log belongs to
	body, size int64  // bytes of the body and of the file
}

// Count is how many objects, and their size.
type Count struct {
	Objects int64 `json:"objects"`
	Bytes   int64 `json:"bytes"`
}

// Entry is an item and how it ended; nil: it has not.
type Entry struct {
	Item
	Outcome *Outcome
}

// line is an entry as it is written.
type line struct {
	Item
	KeyBytes  []byte   `json:"key_bytes,omitempty"` // instead of a key that is not UTF-8
	NameBytes []byte   `json:"name_bytes,omitempty"`
	Outcome   *Outcome `json:"outcome,omitempty"`
}

func (e Entry) line() line {
	l := line{Item: e.Item, Outcome: e.Outcome}
	if !utf8.ValidString(l.Key) {
		l.KeyBytes, l.Key = []byte(l.Key), ""
	}
	if !utf8.ValidString(l.Name) {
		l.NameBytes, l.Name = []byte(l.Name), ""
	}
	return l
}

func (l line) entry() Entry {
	if len(l.KeyBytes) > 0 {
		l.Key = string(l.KeyBytes)
	}
	if len(l.NameBytes) > 0 {
		l.Name = string(l.NameBytes)
	}
	return Entry{l.Item, l.Outcome}
}

// count fills in what a header says of entries.
func (h *Header) count(entries []Entry) {
	h.Version, h.Items, h.Open, h.Deletes, h.States = version, Count{}, 0, 0, map[State]*Count{}
	for _, e := range entries {
		h.Items.Objects++
		h.Items.Bytes += e.Size
		if e.Outcome == nil {
			if h.Open++; e.Action == Delete {
				h.Deletes++
			}
			continue
		}
		c := h.States[e.Outcome.State]
		if c == nil {
			c = &Count{}
			h.States[e.Outcome.State] = c
		}
		c.Objects++
		c.Bytes += e.Size
	}
}

// mark begins every page and log.
const mark = "godwit-page"

// encode returns a page's file: a line with the version, the sums of header and body
// and the body's length, the header as a line of JSON, and the body, lines of JSON
// under zstd.
func (p packing) encode(h *Header, entries []Entry) ([]byte, error) {
	h.count(entries)
	if !utf8.ValidString(h.Last) {
		h.Last0 = []byte(h.Last)
	}
	var plain bytes.Buffer
	enc := json.NewEncoder(&plain)
	enc.SetEscapeHTML(false)
	for _, e := range entries {
		if err := enc.Encode(e.line()); err != nil {
			return nil, fault.New(fault.Internal, "an item cannot be written").By(err)
		}
	}
	body := p.packer().EncodeAll(plain.Bytes(), nil)
	shown := *h
	if len(h.Last0) > 0 {
		shown.Last = ""
	}
	head, err := json.Marshal(shown)
	if err != nil {
		return nil, fault.New(fault.Internal, "a header cannot be written").By(err)
	}
	h.sum, h.body = sum(body), int64(len(body))
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s %d %s %s %d\n%s\n", mark, version, sum(head), h.sum, len(body), head)
	out.Write(body)
	return out.Bytes(), nil
}

// packing packs and unpacks bodies. What it works with is some hundred KiB, and dear
// to make for each page.
type packing struct {
	packer   func() *zstd.Encoder
	unpacker func() *zstd.Decoder
}

func newPacking() packing {
	return packing{
		sync.OnceValue(func() *zstd.Encoder {
			return must(zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2), zstd.WithWindowSize(128<<10)))
		}),
		sync.OnceValue(func() *zstd.Decoder {
			return must(zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(bodyBytes)))
		}),
	}
}

// must is for options that are right or wrong whatever a job is.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func sum(b []byte) string {
	h := store.XXH3.New()
	_, _ = h.Write(b)
	return store.SumOf(store.XXH3, h).Value
}

// ErrTorn says that a page is not whole: a power cut, or a full disk. Pages are
// derived, so it is to be dropped, and its keys are listed again.
var ErrTorn = errors.New("the page is not whole")

// decodeHead reads the first two lines.
func decodeHead(r *bufio.Reader) (*Header, error) {
	first, err := readLine(r)
	if err != nil {
		return nil, ErrTorn
	}
	f := strings.Fields(string(first))
	if len(f) < 2 || f[0] != mark {
		return nil, ErrTorn
	}
	if f[1] != fmt.Sprint(version) {
		if len(f[1]) > 0 && f[1] != "0" && strings.Trim(f[1], "0123456789") == "" {
			return nil, fault.New(fault.FormatNewer, "a page has version %s, this program knows %d", f[1], version)
		}
		return nil, ErrTorn
	}
	head, err := readLine(r)
	if err != nil || len(f) != 5 || sum(head) != f[2] {
		return nil, ErrTorn
	}
	h := &Header{}
	if err := json.Unmarshal(head, h); err != nil || h.Version != version || h.Range < 0 || h.Seq < 1 {
		return nil, ErrTorn
	}
	if len(h.Last0) > 0 {
		h.Last = string(h.Last0)
	}
	h.sum = f[3]
	if h.body, err = strconv.ParseInt(f[4], 10, 64); err != nil {
		return nil, ErrTorn
	}
	h.size = int64(len(first)+1+len(head)+1) + h.body
	return h, nil
}

func readLine(r *bufio.Reader) ([]byte, error) {
	b, err := r.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	return bytes.Clone(b[:len(b)-1]), nil
}

// decodeBody reads the entries.
func (p packing) decodeBody(h *Header, body []byte) ([]Entry, error) {
	if sum(body) != h.sum {
		return nil, ErrTorn
	}
	plain, err := p.unpacker().DecodeAll(body, nil)
	if err != nil {
		return nil, ErrTorn
	}
	d := json.NewDecoder(bytes.NewReader(plain))
	var out []Entry
	for d.More() {
		var l line
		if err := d.Decode(&l); err != nil || len(out) >= Most {
			return nil, ErrTorn
		}
		out = append(out, l.entry())
	}
	if int64(len(out)) != h.Items.Objects {
		return nil, ErrTorn
	}
	return out, nil
}

// readHead returns the header of a file.
func readHead(path string) (*Header, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h, err := decodeHead(bufio.NewReaderSize(f, headBytes))
	if err != nil {
		return nil, err
	}
	if st, err := f.Stat(); err != nil || st.Size() != h.size {
		return nil, ErrTorn
	}
	return h, nil
}

// readFile returns a whole page, without its log.
func (p packing) readFile(path string) (*Header, []Entry, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, headBytes)
	h, err := decodeHead(r)
	if err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(io.LimitReader(r, bodyBytes+1))
	if err != nil {
		return nil, nil, err
	}
	if len(body) > bodyBytes {
		return nil, nil, ErrTorn
	}
	entries, err := p.decodeBody(h, body)
	return h, entries, err
}

// replace writes a file under another name and gives it its own: it is there whole
// or not at all for every process that lives on. It is not synced; a power cut
// leaves what ErrTorn finds.
func replace(path string, b []byte) error {
	t := path + ".new"
	if err := os.WriteFile(t, b, 0o600); err != nil {
		return broken(filepath.Dir(path), err)
	}
	if err := os.Rename(t, path); err != nil {
		return broken(filepath.Dir(path), err)
	}
	return nil
}

func broken(path string, err error) error {
	return fault.New(fault.StateBroken, "the pages of the job cannot be used").At("%s", path).By(err).
		Try("make room or give another folder with --state; deleting it is safe: everything is compared again")
}
