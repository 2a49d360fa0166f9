package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/zeebo/xxh3"

	"godwit/internal/fault"
	"godwit/internal/store"
	"godwit/internal/store/staged"
)

// An upload is two files in the staging folder: u-<hash of the key>-<nonce>, into
// which parts are written in place, and a record of the same name with ".parts": a
// line for what the upload is, then one for each part that is durable. A line
// carries its own checksum, so that one torn by a power cut counts as none. The
// upload is named by its file.
const (
	recordEnd  = ".parts"
	uploadSize = len(uploadMark) + staged.SumDigits + 1 + 2*staged.NonceBytes
	recordMost = 64 << 20 // bytes of a record that are read
	partsMost  = 2_000    // of which PartSize makes no more
)

// header is the first line of a record.
type header struct {
	Size       int64            `json:"size"`
	Attributes store.Attributes `json:"attributes"`
	Sums       []store.Sum      `json:"sums,omitempty"`
}

// partLine is a part that is durable, or is not any more.
type partLine struct {
	store.Part
	Off  int64 `json:"off"`
	Gone bool  `json:"gone,omitempty"`
}

// record is what the file of parts says.
type record struct {
	header
	parts map[int]partLine
}

// PartSize implements store.Parter: any size will do.
func (s *Store) PartSize(size, least int64) int64 {
	return max(least, 1, (size+partsMost-1)/partsMost)
}

func (s *Store) uploadPath(key, upload string) (string, error) {
	prefix := uploadMark + staged.Prefix(key)[len(staged.Mark):]
	if len(upload) != uploadSize || !strings.HasPrefix(upload, prefix) || !staged.IsHex(upload[len(prefix):]) {
		return "", fmt.Errorf("upload %s of %w", show(upload), notFound(s.where(key)))
	}
	return s.staging + "/" + upload, nil
}

// Begin implements store.Parter.
func (s *Store) Begin(ctx context.Context, key string, size int64, o store.PutOptions) (string, error) {
	if err := s.begin(ctx, key); err != nil {
		return "", err
	}
	if size < 0 {
		return "", fault.New(fault.Internal, "an upload of %d bytes", size).At("%s", s.where(key))
	}
	root, err := s.writable()
	if err == nil {
		err = s.admit(root, key)
	}
	if err != nil {
		return "", err
	}
	nonce, err := s.nonce()
	if err != nil {
		return "", err
	}
	upload := uploadMark + staged.Prefix(key)[len(staged.Mark):] + nonce
	head, err := line(header{Size: size, Attributes: o.Attributes, Sums: o.Sums})
	if err != nil {
		return "", err
	}
	at := s.staging + "/" + upload
	if err := s.makeUpload(root, at, head); err != nil {
		s.forget() // the staging folder may be gone
		_ = root.Remove(at)
		_ = root.Remove(at + recordEnd)
		return "", s.fail("begin the upload of", key, err)
	}
	return upload, nil
}

func (s *Store) makeUpload(root Root, at string, head []byte) error {
	for _, name := range []string{at + recordEnd, at} {
		w, err := root.Create(name)
		if err != nil {
			return err
		}
		if name != at {
			_, err = w.Write(head)
		}
		if err = errors.Join(err, w.Sync(), w.Close()); err != nil {
			return err
		}
	}
	return root.SyncDir(s.staging)
}

// line begins with a new line, so that it stands alone after a torn one.
func line(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fault.New(fault.Internal, "cannot write a record of parts").By(err)
	}
	return fmt.Appendf(nil, "\n%s %s\n", b, staged.Hex(xxh3.Hash128(b))), nil
}

// parseLine returns the JSON of a line that is whole.
func parseLine(b []byte) ([]byte, bool) {
	i := len(b) - staged.SumDigits - 1
	if i < 0 || b[i] != ' ' || staged.Hex(xxh3.Hash128(b[:i])) != string(b[i+1:]) {
		return nil, false
	}
	return b[:i], true
}

// upload opens an upload; store.ErrNotFound when it is gone.
func (s *Store) upload(key, upload string) (Root, string, *record, error) {
	at, err := s.uploadPath(key, upload)
	if err != nil {
		return nil, "", nil, err
	}
	root, err := s.open()
	if err == nil {
		_, err = root.Stat(at)
	}
	var rec *record
	if err == nil {
		rec, err = readRecord(root, at+recordEnd)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return root, at, nil, fmt.Errorf("upload of %w", notFound(s.where(key)))
	}
	if err != nil {
		return nil, "", nil, s.fail("read the parts of", key, err)
	}
	return root, at, rec, nil
}

func readRecord(root Root, name string) (*record, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, recordMost+1))
	if err != nil {
		return nil, err
	}
	if len(text) > recordMost {
		return nil, fmt.Errorf("the record of parts is longer than %d bytes", recordMost)
	}
	r := &record{parts: map[int]partLine{}}
	headed := false
	for b := range bytes.SplitSeq(text, []byte("\n")) {
		data, ok := parseLine(b)
		if !ok {
			continue
		}
		if !headed {
			if err := json.Unmarshal(data, &r.header); err != nil {
				return nil, err
			}
			headed = true
			continue
		}
		var p partLine
		if err := json.Unmarshal(data, &p); err != nil {
			return nil, err
		}
		if delete(r.parts, p.N); !p.Gone {
			r.parts[p.N] = p
		}
	}
	if !headed {
		return nil, errors.New("the record of parts is damaged")
	}
	return r, nil
}

// PutPart implements store.Parter. The bytes are durable before their line is
// written; one part is not to be sent twice at the same time with other bytes.
func (s *Store) PutPart(ctx context.Context, key, upload string, n int, off int64, b store.Body) (store.Part, error) {
	none := store.Part{}
	if err := s.begin(ctx, key); err != nil {
		return none, err
	}
	root, at, rec, err := s.upload(key, upload)
	if err != nil {
		return none, err
	}
	if n < 1 || off < 0 || b.Size < 0 || off > rec.Size-b.Size {
		return none, fault.New(fault.Internal, "part %d, %d bytes from %d of %d", n, b.Size, off, rec.Size).At("%s", s.where(key))
	}
	note, err := root.Append(at + recordEnd)
	if err != nil {
		return none, s.fail("write the parts of", key, err)
	}
	defer note.Close()
	for _, p := range rec.parts {
		// What is overwritten is not the part it was, whatever happens meanwhile.
		if p.N == n || off < p.Off+p.Size && p.Off < off+b.Size {
			if err := s.note(note, key, partLine{Part: store.Part{N: p.N}, Gone: true}); err != nil {
				return none, err
			}
		}
	}
	sum, err := s.writePart(ctx, root, at, key, off, b)
	if err != nil {
		return none, err
	}
	part := store.Part{N: n, Size: b.Size, Sum: sum}
	return part, s.note(note, key, partLine{Part: part, Off: off})
}

func (s *Store) note(w Writer, key string, p partLine) error {
	b, err := line(p)
	if err != nil {
		return err
	}
	n, err := w.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	if err == nil {
		err = w.Sync()
	}
	if err != nil {
		return s.fail("write the parts of", key, err)
	}
	return nil
}

func (s *Store) writePart(ctx context.Context, root Root, at, key string, off int64, b store.Body) (store.Sum, error) {
	w, err := root.Edit(at)
	if err != nil {
		return store.Sum{}, s.fail("write", key, err)
	}
	defer w.Close()
	h := store.XXH3.New()
	err = store.Pour(ctx, s.where(key), b, func(p []byte) error {
		_, _ = h.Write(p)
		n, err := w.WriteAt(p, off)
		if err == nil && n < len(p) {
			err = io.ErrShortWrite
		}
		if off += int64(n); err != nil {
			return s.fail("write", key, err)
		}
		return nil
	})
	if err != nil {
		return store.Sum{}, err
	}
	if err := w.Sync(); err != nil {
		return store.Sum{}, s.fail("sync", key, err)
	}
	return store.SumOf(store.XXH3, h), nil
}

// Parts implements store.Parter.
func (s *Store) Parts(ctx context.Context, key, upload string) ([]store.Part, error) {
	if err := s.begin(ctx, key); err != nil {
		return nil, err
	}
	_, _, rec, err := s.upload(key, upload)
	if err != nil {
		return nil, err
	}
	var out []store.Part
	for _, n := range slices.Sorted(maps.Keys(rec.parts)) {
		out = append(out, rec.parts[n].Part)
	}
	return out, nil
}

// Complete implements store.Parter. Parts that are not those stored, or do not
// make the whole object, are refused (fault.Corrupt), and so are contents without
// the sums that Begin was told of, for which they are read again; the upload stays.
func (s *Store) Complete(ctx context.Context, key, upload string, parts []store.Part) (store.Object, error) {
	none := store.Object{}
	if err := s.begin(ctx, key); err != nil {
		return none, err
	}
	root, at, rec, err := s.upload(key, upload)
	if errors.Is(err, store.ErrNotFound) && root != nil {
		// It may be completed: who hears that must find it there for good.
		if err := s.syncRemoved(root, dirOf(key)); err != nil {
			return none, err
		}
	}
	if err != nil {
		return none, err
	}
	if err := s.whether(rec, key, parts); err != nil {
		return none, err
	}
	i, err := s.finish(ctx, root, at, key, rec)
	if err != nil {
		return none, err
	}
	if err := s.folder(root, dirOf(key)); err != nil {
		return none, err
	}
	if err := s.replace(&tmp{s: s, root: root, name: at}, key); err != nil {
		return none, s.fail("rename", key, err)
	}
	if err := s.syncDir(root, dirOf(key)); err != nil {
		return none, err
	}
	if err := s.dropUpload(root, at, key); err != nil {
		return none, err
	}
	return s.whole(key, i)
}

// whether the parts are those recorded and make the whole object.
func (s *Store) whether(rec *record, key string, parts []store.Part) error {
	end := int64(0)
	right := len(parts) == len(rec.parts)
	for i, p := range parts {
		have, ok := rec.parts[i+1]
		right = right && ok && have.Part == p && have.Off == end
		end += p.Size
	}
	if !right || end != rec.Size {
		return fault.New(fault.Corrupt, "the %d parts of %s are not those stored, or not all", len(parts), show(key)).At("%s", s.where(key))
	}
	return nil
}

// finish gives the file its attributes, durably, and checks it.
func (s *Store) finish(ctx context.Context, root Root, at, key string, rec *record) (Info, error) {
	if err := s.checkSums(ctx, root, at, key, rec.Sums); err != nil {
		return Info{}, err
	}
	w, err := root.Edit(at)
	if err != nil {
		return Info{}, s.fail("complete", key, err)
	}
	defer w.Close()
	if err := s.mark(w, key, rec.Attributes); err != nil {
		return Info{}, err
	}
	i, err := w.Stat()
	if err == nil {
		err = w.Sync()
	}
	if err != nil {
		return Info{}, s.fail("complete", key, err)
	}
	if i.Size != rec.Size {
		return Info{}, fault.New(fault.Corrupt, "the upload of %s has %d bytes, not %d", show(key), i.Size, rec.Size).At("%s", s.where(at))
	}
	return i, nil
}

func (s *Store) checkSums(ctx context.Context, root Root, at, key string, sums []store.Sum) error {
	h := store.NewChecker(sums)
	if h.None() {
		return nil
	}
	f, err := root.Open(at)
	if err != nil {
		return s.fail("read", key, err)
	}
	defer f.Close()
	buf := make([]byte, 256<<10)
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := f.Read(buf)
		h.Add(buf[:n])
		if err == io.EOF {
			return h.Check(s.where(key))
		}
		if err != nil {
			return s.fail("read", key, err)
		}
	}
}

// dropUpload removes both files; after a power cut the first may have its final
// name and this one.
func (s *Store) dropUpload(root Root, at, key string) error {
	for _, name := range []string{at, at + recordEnd} {
		if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return s.fail("end the upload of", key, err)
		}
	}
	return s.syncRemoved(root, s.staging)
}

// Abandon implements store.Parter.
func (s *Store) Abandon(ctx context.Context, key, upload string) error {
	if err := s.begin(ctx, key); err != nil {
		return err
	}
	at, err := s.uploadPath(key, upload)
	if err != nil {
		return nil //nolint:nilerr // there can be none
	}
	root, err := s.open()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return s.fail("end the upload of", key, err)
	}
	return s.dropUpload(root, at, key)
}
