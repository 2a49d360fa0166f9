package codectest

import (
	"errors"
	"fmt"
	"io"
	"os"

	"godwit/internal/codec"
	"godwit/internal/position"
	"godwit/internal/row"
)

// decoded is a row as a decoder gives it, or as it should.
type decoded struct {
	op          row.Op
	incarnation uint16
	order       string
	txn         row.Txn
	cells       []cell
}

type cell struct {
	flag row.Flag
	word uint64
	data string
}

func (c cell) String() string { return clip(fmt.Sprintf("flag %d, %#x %q", c.flag, c.word, c.data)) }

// readBack compares what the format itself reads in a file with what Store says of
// each cell of the batches that were written.
func readBack(f codec.Codec, path string, s codec.Shape, batches []*row.Batch) error {
	d, ok := f.(codec.Decoding)
	if !ok {
		return nil
	}
	got, err := decode(d, path, s)
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	var want []decoded
	stored := d.Stored(s.Table)
	for _, b := range batches {
		want = append(want, storedRows(d, stored, b, s)...)
	}
	if len(got) != len(want) {
		return fmt.Errorf("read back: %d rows, %d were written", len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		if g.op != w.op || g.incarnation != w.incarnation || g.order != w.order || g.txn != w.txn {
			return fmt.Errorf("read back: row %d is %d %d %x %v, not %d %d %x %v", i, g.op, g.incarnation, g.order, g.txn, w.op, w.incarnation, w.order, w.txn)
		}
		for k := range w.cells {
			if g.cells[k] != w.cells[k] {
				return fmt.Errorf("read back: row %d column %s: %v, not %v", i, s.Table.Columns[k].Name, g.cells[k], w.cells[k])
			}
		}
	}
	return nil
}

// decode reads a file a few rows at a time.
func decode(d codec.Decoding, path string, s codec.Shape) ([]decoded, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	r, err := d.NewDecoder(file, info.Size(), s)
	if err != nil {
		return nil, err
	}
	x := row.NewBuilder(&row.Pool{})
	var out []decoded
	for most := 1; ; most = most%97 + 5 {
		err := r.Decode(x, most)
		if errors.Is(err, io.EOF) {
			return out, r.Close()
		}
		if err != nil {
			return nil, err
		}
		b := x.Finish(position.Position{}, 0)
		if b.Rows() == 0 || b.Rows() > 2*most+1000 {
			return nil, fmt.Errorf("%d rows, of not many more than %d", b.Rows(), most)
		}
		rows := rowsOf(b, s.Meta)
		for i := range rows {
			if s.Meta {
				rows[i].incarnation = r.Incarnation()
			}
		}
		out = append(out, rows...)
		b.Release()
	}
}

// rowsOf returns all rows of b.
func rowsOf(b *row.Batch, meta bool) []decoded {
	var out []decoded
	for k := range b.Sections() {
		sec := &b.Sections()[k]
		for span := range b.Spans(sec) {
			for i := span.Row; i < span.Row+span.Rows; i++ {
				one := decoded{op: b.Op(i)}
				if meta {
					one.order, one.txn = b.Order(i), span.Txn
				}
				words, flags := b.Cells(sec, i)
				for c, w := range words {
					v := cell{flag: flags[c]}
					switch {
					case v.flag != row.Value:
					case sec.Table.Columns[c].Type.Kind.InBytes():
						v.data = string(b.Data(w))
					default:
						v.word = w
					}
					one.cells = append(one.cells, v)
				}
				out = append(out, one)
			}
		}
	}
	return out
}

// storedRows returns the rows of b in a file of shape s as they should be read back.
func storedRows(d codec.Decoding, stored *row.Table, b *row.Batch, s codec.Shape) []decoded {
	x := row.NewBuilder(&row.Pool{})
	var out []decoded
	for k := range b.Sections() {
		sec := &b.Sections()[k]
		if sec.Table != s.Table {
			continue
		}
		for span := range b.Spans(sec) {
			for i := span.Row; i < span.Row+span.Rows; i++ {
				x.At("", 0, row.Txn{})
				x.Row(stored, row.Read)
				words, flags := b.Cells(sec, i)
				for c, w := range words {
					if !s.Meta && flags[c] == row.Absent {
						x.Null()
						continue
					}
					d.Store(x, b, s.Table, c, w, flags[c])
				}
				one := rowsOf(x.Finish(position.Position{}, 0), false)[0]
				one.op = row.Read
				if s.Meta {
					one.op, one.incarnation, one.order, one.txn = b.Op(i), b.Incarnation, b.Order(i), span.Txn
				}
				if one.op == row.Before {
					one.op = row.Delete
				}
				out = append(out, one)
			}
		}
	}
	return out
}
