package postgres

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"godwit/internal/fault"
	"godwit/internal/row"
)

// copying is a COPY that is under way.
type copying struct {
	g     *target
	buf   []byte // one message of the protocol: 'd', its length, rows
	began time.Time
}

// copyMessage is about how large messages with rows are.
const copyMessage = 128 << 10

// signature begins the binary form of COPY; flags and an empty extension follow.
const signature = "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// copy writes rows of a snapshot as they come. Neighbouring batches of a table share
// one COPY, as long as it is far from the time that a statement may take: a chunk may
// be a whole table.
func (w *writer) copy(ctx context.Context, b *row.Batch, s *row.Section, from, to int) error {
	if x := w.copying; x != nil && (x.g.table != s.Table || time.Since(x.began) > w.sink.cfg.statement/2) {
		if err := w.endCopy(ctx); err != nil {
			return err
		}
	}
	if w.held > 0 || w.posted != nil { // rows of the stream before those
		if err := w.flush(ctx); err != nil {
			return err
		}
	}
	if w.copying == nil {
		if err := w.beginCopy(ctx, w.known[s.Table]); err != nil {
			return err
		}
	}
	x := w.copying
	for i := from; i < to; i++ {
		x.buf = binary.BigEndian.AppendUint16(x.buf, uint16(len(x.g.fields)))
		var err error
		if x.buf, _, err = x.g.appendRow(x.buf, b, s, i, lengthNull); err != nil {
			return err
		}
		if len(x.buf) >= copyMessage {
			if err := w.sendCopy(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *writer) beginCopy(ctx context.Context, g *target) error {
	sql := "COPY " + g.qualified + " (" + g.names(g.all(), "") + ") FROM STDIN (FORMAT binary)"
	err := w.c.guard(ctx, func() error {
		w.c.add(&pgproto3.Query{String: sql})
		if err := w.c.flush(); err != nil {
			return err
		}
		return w.c.readyToCopy()
	})
	if err != nil {
		return rowsFault(err, g, "")
	}
	w.c.copying = true
	w.copying = &copying{g: g, buf: append(make([]byte, 5, copyMessage+64<<10), signature...), began: time.Now()}
	return nil
}

// readyToCopy reads up to the server's consent.
func (c *session) readyToCopy() error {
	for {
		m, err := c.front.Receive()
		if err != nil {
			return err
		}
		switch m.(type) {
		case *pgproto3.CopyInResponse:
			return nil
		case *pgproto3.ErrorResponse, *pgproto3.ReadyForQuery:
			_, err := c.rest(m)
			return err
		}
	}
}

// sendCopy sends the rows that were gathered.
func (w *writer) sendCopy(ctx context.Context) error {
	x := w.copying
	if len(x.buf) == 5 {
		return nil
	}
	x.buf[0] = 'd'
	binary.BigEndian.PutUint32(x.buf[1:], uint32(len(x.buf)-1))
	err := w.c.guard(ctx, func() error {
		_, err := w.c.conn.Write(x.buf)
		return err
	})
	x.buf = x.buf[:5]
	return err
}

// endCopy ends the COPY that is under way, if there is one.
func (w *writer) endCopy(ctx context.Context) error {
	x := w.copying
	if x == nil {
		return nil
	}
	x.buf = append(x.buf, 0xff, 0xff)
	if err := w.sendCopy(ctx); err != nil {
		return err
	}
	w.copying = nil
	w.c.add(&pgproto3.CopyDone{})
	w.c.copying = false
	_, err := w.c.answers(ctx)
	if stateOf(err) == stateUnique {
		return w.sink.clash(x.g, err)
	}
	return rowsFault(err, x.g, "")
}

// clash notes that a table had the key of a row of a chunk: of a source whose
// snapshots are not of one moment. Its chunks are merged from the next attempt on.
func (s *sink) clash(g *target, cause error) error {
	s.note(s.clashing, g)
	return fault.New(fault.TargetFailed, "%s has a row of a chunk already; chunks of it are merged from now on", g.table.Name).At("%s", s.Where()).By(cause).
		Try("nothing is to be done: the chunk is read again")
}

func (s *sink) clashes(t *row.Table) bool {
	if len(t.Key) == 0 {
		return false
	}
	return s.noted(s.clashing, s.target(t))
}

// note adds a table to clashing or crossing, and noted looks it up there.
func (s *sink) note(in map[string]bool, g *target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	in[g.qualified] = true
}

func (s *sink) noted(in map[string]bool, g *target) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return in[g.qualified]
}

// appendRow appends the cells of a row. An absent cell has the length absent; partial
// tells that there is one.
func (g *target) appendRow(dst []byte, b *row.Batch, s *row.Section, i int, absent uint32) (out []byte, partial bool, err error) {
	words, flags := b.Cells(s, i)
	for k := range g.fields {
		f, flag := &g.fields[k], flags[k]
		if f.left {
			flag = row.Absent
		}
		switch flag {
		case row.Null:
			dst = binary.BigEndian.AppendUint32(dst, lengthNull)
		case row.Absent:
			dst = binary.BigEndian.AppendUint32(dst, absent)
			partial = true
		case row.Foreign:
			dst = appendForeign(dst, b, words[k])
		default:
			var why string
			if dst, why = f.appendCell(dst, b, words[k]); why == "" {
				continue
			}
			if !f.nulls {
				return dst, partial, g.refuse(b, s, i, k, why)
			}
			dst = binary.BigEndian.AppendUint32(dst, lengthNull)
		}
	}
	return dst, partial, nil
}

// refuse says that a cell of a row has no form in the target.
func (g *target) refuse(b *row.Batch, s *row.Section, i, column int, why string) error {
	c := g.table.Columns[column]
	e := fault.New(fault.RowRefused, "%s, column %s: %s", g.table.Name, c.Name, why).At("%s", g.describe(b, s, i))
	switch c.Type.Kind {
	case row.Date, row.DateTime, row.Timestamp:
		return e.Try("mend the value in the source, or set unrepresentable: null or text")
	}
	return e.Try("mend the value in the source")
}

// maxShown is how many bytes of a value errors show.
const maxShown = 60

// describe names a row for people, by its key.
func (g *target) describe(b *row.Batch, s *row.Section, i int) string {
	words, flags := b.Cells(s, i)
	out := "row"
	for _, k := range g.key {
		if flags[k] == row.Value {
			out += " " + g.table.Columns[k].Name + "=" + clip(shown(g.table.Columns[k].Type, b, words[k]), maxShown)
		}
	}
	if len(g.key) == 0 {
		return out + " without a key"
	}
	return out
}
