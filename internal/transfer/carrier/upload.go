package carrier

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"godwit/internal/fault"
	"godwit/internal/store"
)

// uploadVersion is the version of the form of upload files (docs/formats/upload.md).
const uploadVersion = 1

// uploadMost bounds what is read of an upload file: 10,000 parts take a third.
const uploadMost = 16 << 20

// uploadHead is the first line of an upload file.
type uploadHead struct {
	Version  int       `json:"version"`
	Key      string    `json:"key"`  // in the source
	Name     string    `json:"name"` // in the target
	Source   source    `json:"source"`
	Upload   string    `json:"upload"` // the target's own text
	PartSize int64     `json:"part_size"`
	Begun    time.Time `json:"begun"`
}

// source is the version of the object that the parts are of.
type source struct {
	Size     int64       `json:"size"`
	Modified time.Time   `json:"modified,omitzero"`
	Version  string      `json:"version,omitempty"`
	Sums     []store.Sum `json:"sums,omitempty"`
}

func (s source) object() store.Object {
	return store.Object{Size: s.Size, Modified: s.Modified, Version: s.Version, Sums: s.Sums}
}

// donePart is a further line: a part that the target has, and was found to have
// right.
type donePart struct {
	store.Part
	Sums []store.Sum `json:"sums"` // of the bytes that left
}

// upload is the upload of one large object and its file.
type upload struct {
	uploadHead
	path string

	mu   sync.Mutex
	f    *os.File
	done map[int]donePart
}

// uploadPath is the file for an object: a name of its own for any keys.
func uploadPath(dir, key, name string) string {
	h := store.XXH3.New()
	_, _ = io.WriteString(h, key+"\x00"+name)
	return filepath.Join(dir, store.SumOf(store.XXH3, h).Value+".upload")
}

func ofFile(err error) error {
	return fault.New(fault.StateBroken, "the upload of a large object cannot be kept").By(err)
}

// createUpload makes the file, durably: an upload whose text is lost cannot be
// gone on with nor dropped. Parts are added without a sync: what is lost in a power
// cut is sent again.
func createUpload(path string, h uploadHead, sync func(*os.File) error) (*upload, error) {
	h.Version = uploadVersion
	line, err := json.Marshal(h)
	if err != nil {
		return nil, ofFile(err)
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, ofFile(err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, ofFile(err)
	}
	if _, err = f.Write(append(line, '\n')); err == nil {
		err = sync(f)
	}
	if err == nil {
		err = syncFolder(dir, sync)
	}
	if err != nil {
		f.Close()
		return nil, ofFile(err)
	}
	return &upload{uploadHead: h, path: path, f: f, done: map[int]donePart{}}, nil
}

func syncFolder(dir string, sync func(*os.File) error) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return sync(d)
}

// openUpload reads the file; nil when there is none, or one that was torn before
// it meant anything. What is torn behind whole lines is cut off.
func openUpload(path string) (*upload, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, ofFile(err)
	}
	u, good, err := readUpload(f)
	if u == nil || err != nil {
		f.Close()
		return nil, err
	}
	if err := f.Truncate(good); err != nil {
		f.Close()
		return nil, ofFile(err)
	}
	u.path, u.f = path, f
	return u, nil
}

// readUpload returns what r says and how many bytes of it are whole lines.
func readUpload(r io.Reader) (*upload, int64, error) {
	text, err := io.ReadAll(io.LimitReader(r, uploadMost))
	if err != nil {
		return nil, 0, ofFile(err)
	}
	head, rest, whole := bytes.Cut(text, []byte("\n"))
	u := &upload{done: map[int]donePart{}}
	if !whole || !means(head, &u.uploadHead) || u.Version < 1 {
		return nil, 0, nil
	}
	if u.Version > uploadVersion {
		return nil, 0, fault.New(fault.FormatNewer, "an upload file has version %d, this program knows %d", u.Version, uploadVersion)
	}
	if u.PartSize < 1 || u.Upload == "" {
		return nil, 0, nil
	}
	good := int64(len(head) + 1)
	for {
		line, next, whole := bytes.Cut(rest, []byte("\n"))
		var p donePart
		if !whole || !means(line, &p) || p.N < 1 || p.N > u.count() || p.Size != u.size(p.N) {
			return u, good, nil
		}
		u.done[p.N] = p
		good += int64(len(line) + 1)
		rest = next
	}
}

// means reports whether a line could be read: one that could not is torn.
func means(line []byte, into any) bool { return json.Unmarshal(line, into) == nil }

// count returns how many parts the object has.
func (h uploadHead) count() int { return int((h.Source.Size + h.PartSize - 1) / h.PartSize) }

// off returns where part n begins.
func (h uploadHead) off(n int) int64 { return int64(n-1) * h.PartSize }

// size returns the length of part n.
func (h uploadHead) size(n int) int64 { return min(h.PartSize, h.Source.Size-h.off(n)) }

// add notes a part that the target has.
func (u *upload) add(p donePart) error {
	line, err := json.Marshal(p)
	if err != nil {
		return ofFile(err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.done[p.N] = p
	if _, err := u.f.Write(append(line, '\n')); err != nil {
		return ofFile(err)
	}
	return nil
}

// keep drops what is noted of parts that the target does not have so.
func (u *upload) keep(there []store.Part) {
	has := map[int]store.Part{}
	for _, p := range there {
		has[p.N] = p
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for n, p := range u.done {
		t, ok := has[n]
		agree, _ := store.Compare([]store.Sum{t.Sum}, append([]store.Sum{p.Sum}, p.Sums...))
		if !ok || t.Size != p.Size || agree == store.Unlike {
			delete(u.done, n)
			continue
		}
		p.Part = t
		u.done[n] = p
	}
}

// todo returns the parts that are missing.
func (u *upload) todo() []int {
	u.mu.Lock()
	defer u.mu.Unlock()
	var out []int
	for n := 1; n <= u.count(); n++ {
		if _, ok := u.done[n]; !ok {
			out = append(out, n)
		}
	}
	return out
}

// parts returns the parts that are done, in order.
func (u *upload) parts() []donePart {
	u.mu.Lock()
	defer u.mu.Unlock()
	out := make([]donePart, 0, len(u.done))
	for n := 1; n <= u.count(); n++ {
		if p, ok := u.done[n]; ok {
			out = append(out, p)
		}
	}
	return out
}

func (u *upload) close() { u.f.Close() }

// remove forgets the upload.
func (u *upload) remove() error { return removeUpload(u.path) }

func removeUpload(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return ofFile(err)
	}
	return nil
}

// uploadFiles returns the upload files of a folder.
func uploadFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, ofFile(err)
	}
	var out []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".upload") {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	return out, nil
}
