package files

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/store"
)

var _ connector.Letterbox = (*sink)(nil)

// maxLetter bounds a letter that is read whole; of a larger one the row is left out.
const maxLetter = 1 << 20

// Letters implements connector.Letterbox. A mark is the name of a file and the place in
// it at which the next letter begins.
func (s *sink) Letters(ctx context.Context, after string, each func(connector.StoredLetter) error) error {
	if ok, err := s.owns(ctx); err != nil || !ok {
		return err
	}
	name, off, err := letterMark(after)
	if err != nil {
		return err
	}
	if name != "" {
		err := s.lettersOf(ctx, deadDir+name, off, each)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		name = deadDir + name
	}
	for o, err := range s.store.List(ctx, deadDir, name) {
		if err != nil {
			return s.fail(err, "%s cannot be listed", deadDir)
		}
		if !strings.HasSuffix(o.Key, "."+lettersExtension) {
			continue
		}
		if err := s.lettersOf(ctx, o.Key, 0, each); err != nil {
			return err
		}
	}
	return nil
}

// letterMark takes a mark apart.
func letterMark(mark string) (name string, off int64, err error) {
	if mark == "" {
		return "", 0, nil
	}
	name, at, _ := strings.Cut(mark, ":")
	off, err = strconv.ParseInt(at, 10, 64)
	if err != nil || off < 0 || !made(name, ".-") {
		return "", 0, fault.New(fault.BadRequest, "%.80q is no mark of a dead letter", mark)
	}
	return name, off, nil
}

// lettersOf reads the letters of one file from an offset on.
func (s *sink) lettersOf(ctx context.Context, key string, off int64, each func(connector.StoredLetter) error) error {
	r, o, err := s.store.Open(ctx, key, store.Read{Off: off})
	if errors.Is(err, store.ErrNotFound) {
		return err
	}
	if err != nil {
		return s.fail(err, "%s cannot be read", key)
	}
	defer r.Close()
	lines := bufio.NewReaderSize(r, 64<<10)
	for n := 1; ; n++ {
		line, size, err := boundedLine(lines, maxLetter)
		if size == 0 && errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return s.fail(err, "%s cannot be read", key)
		}
		off += size
		l, err := storedLetter(line, size)
		if err != nil {
			return at(broken("a letter that ends at byte %d cannot be read: %v", off, err), key)
		}
		l.Mark, l.Time, l.At = fmt.Sprintf("%s:%d", strings.TrimPrefix(key, deadDir), off), o.Modified, key
		if err := each(l); err != nil {
			return err
		}
	}
}

// boundedLine reads a line, of which it returns at most limit bytes, and how long it is.
func boundedLine(r *bufio.Reader, limit int) (line []byte, size int64, err error) {
	for {
		part, err := r.ReadSlice('\n')
		size += int64(len(part))
		line = append(line, part[:min(len(part), limit-len(line))]...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, size, err
		}
	}
}

// storedLetter reads a line, the first bytes of one that is size bytes long.
func storedLetter(line []byte, size int64) (out connector.StoredLetter, err error) {
	var l letter
	if int64(len(line)) == size {
		err = json.Unmarshal(line, &l)
	} else {
		err = l.head(line)
		l.Reason.Code, l.Reason.What = fault.RowRefused, fmt.Sprintf("a letter of %d bytes is too large to be shown", size)
	}
	return connector.StoredLetter{Table: l.Table, Op: l.Op, Pos: l.Pos, Key: l.Key, Row: l.Row,
		Code: string(l.Reason.Code), What: l.Reason.What, Hint: l.Reason.Hint}, err
}

// head reads what stands before the row.
func (l *letter) head(line []byte) error {
	fields := map[string]any{"table": &l.Table, "op": &l.Op, "pos": &l.Pos, "time": &l.Time, "txn": &l.Txn, "key": &l.Key}
	d := json.NewDecoder(bytes.NewReader(line))
	for {
		token, err := d.Token()
		name, ok := token.(string)
		switch {
		case err != nil:
			return err
		case !ok: // the brace
			continue
		case name == "row", fields[name] == nil:
			return nil
		}
		if err := d.Decode(fields[name]); errors.Is(err, io.ErrUnexpectedEOF) {
			l.Key = nil // the key is what is so large
			return nil
		} else if err != nil {
			return err
		}
	}
}
