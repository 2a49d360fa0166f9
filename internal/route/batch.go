package route

import (
	"slices"

	"godwit/internal/expression"
	"godwit/internal/fault"
	"godwit/internal/row"
)

// Session routes the batches of one writer. It is used by one goroutine.
type Session struct {
	router *Router
	paths  map[*row.Table]*path
	rows   *row.Builder
	row    expression.Row
}

// Open returns a session of r; nil for a nil Router, which changes nothing.
func (r *Router) Open() *Session {
	if r == nil {
		return nil
	}
	return &Session{router: r, paths: map[*row.Table]*path{}, rows: row.NewBuilder(&row.Pool{})}
}

func (s *Session) path(t *row.Table) (*path, error) {
	if p := s.paths[t]; p != nil {
		return p, nil
	}
	p, err := s.router.path(t)
	if err != nil {
		return nil, err
	}
	s.paths[t] = &p
	return &p, nil
}

// Change returns c as the sink gets it; nil: it is not for it.
func (s *Session) Change(c *row.SchemaChange) (*row.SchemaChange, error) {
	if s == nil {
		return c, nil
	}
	var from, to path
	for _, side := range []struct {
		t *row.Table
		p *path
	}{{c.Before, &from}, {c.After, &to}} {
		if side.t == nil {
			continue
		}
		p, err := s.path(side.t)
		if err != nil {
			return nil, err
		}
		*side.p = *p
	}
	return change(c, from, to), nil
}

// Batch returns b as the sink gets it, with one hold that the caller gives up: places and
// times are those of b, rows may be fewer. A row that cannot be made is given to refused,
// with an error of fault.RowRefused, and left out; nil: that is an error.
func (s *Session) Batch(b *row.Batch, refused func(*row.Section, int, *fault.Error) error) (*row.Batch, error) {
	if s == nil || b.Rows() == 0 {
		b.Retain()
		return b, nil
	}
	same, plain := true, true
	for _, sec := range b.Sections() {
		p, err := s.path(sec.Table)
		if err != nil {
			return nil, err
		}
		same, plain = same && p.to == p.from, plain && (p.plain || p.to == nil)
	}
	if plain {
		b.Retain()
		if same {
			return b, nil
		}
		return b.As(func(t *row.Table) *row.Table { return s.paths[t].to }), nil
	}
	return s.build(b, refused)
}

// build makes a batch of the rows that are left of b.
func (s *Session) build(b *row.Batch, refused func(*row.Section, int, *fault.Error) error) (*row.Batch, error) {
	sections := b.Sections()
	for k := range sections {
		sec := &sections[k]
		p := s.paths[sec.Table]
		if p.to == nil {
			continue
		}
		for span := range b.Spans(sec) {
			placed := false // the builder knows where the next row stands
			for i := span.Row; i < span.Row+span.Rows; i++ {
				op, part, err := s.judge(p, b, sec, i)
				if err == nil && part != leftOut {
					if !placed {
						s.rows.At(span.Prefix, span.Base+uint64(i-span.Row), span.Txn)
					}
					err = s.make(p, b, sec, i, op, part)
				}
				if placed = err == nil && part != leftOut; err == nil {
					continue
				}
				if refused == nil {
					s.rows.Finish(b.End, b.EndTime).Release()
					return nil, err
				}
				if err := refused(sec, i, fault.Of(err)); err != nil {
					s.rows.Finish(b.End, b.EndTime).Release()
					return nil, err
				}
			}
		}
	}
	return s.rows.Finish(b.End, b.EndTime).In(b.Incarnation), nil
}

// part is how much of a row is written.
type part uint8

const (
	leftOut part = iota
	keyOnly      // it says that a key is gone; what else was in it is nobody's business
	wholeRow
)

// judge says as what a row reaches the sink by the filter of its table, and how much of
// it. Rows that the filter holds for are in the target and no others are: what an update
// takes out is deleted.
func (s *Session) judge(p *path, b *row.Batch, sec *row.Section, i int) (row.Op, part, error) {
	op := b.Op(i)
	if len(p.where) == 0 || op == row.Truncate {
		return op, wholeRow, nil
	}
	now, err := s.holds(p, b, sec, i)
	if err != nil {
		return op, leftOut, err
	}
	keyed := len(p.from.Key) > 0
	if now == expression.Absent && !(keyed && (op == row.Delete || op == row.Before)) {
		return op, leftOut, lacking(p.from)
	}
	switch op {
	case row.Before:
		return s.judgeBefore(p, b, sec, i, now)
	case row.Update:
		return s.judgeUpdate(p, b, sec, i, now)
	case row.Delete:
		if now == expression.Absent {
			return op, keyOnly, nil
		}
	}
	if now == expression.True {
		return op, wholeRow, nil
	}
	return op, leftOut, nil
}

// lacking says that the log has too little of a row to filter it.
func lacking(t *row.Table) error {
	return fault.New(fault.RowRefused, "the log has only a part of a row of %s, and the filter of the rules needs all of it", t.Name).
		Try("set binlog_row_image=FULL on the source, then read the table again")
}

// pair reports whether rows i and i+1 are the old and the new image of one update.
func pair(b *row.Batch, sec *row.Section, i int) bool {
	return i >= sec.Row && i+1 < sec.Row+sec.Rows && b.Op(i) == row.Before && b.Op(i+1) == row.Update
}

func (s *Session) judgeBefore(p *path, b *row.Batch, sec *row.Section, i int, old expression.Known) (row.Op, part, error) {
	op := row.Delete
	if pair(b, sec, i) {
		switch now, err := s.holds(p, b, sec, i+1); {
		case err != nil: // the update itself is refused
			return op, leftOut, nil //nolint:nilerr // with what it says
		case now == expression.True:
			op = row.Before
		}
	} else {
		op = row.Before
	}
	switch old {
	case expression.True:
		return op, wholeRow, nil
	case expression.Absent:
		return op, keyOnly, nil
	}
	return op, leftOut, nil
}

func (s *Session) judgeUpdate(p *path, b *row.Batch, sec *row.Section, i int, now expression.Known) (row.Op, part, error) {
	paired := pair(b, sec, i-1)
	switch {
	case now != expression.True && paired:
		return row.Update, leftOut, nil // its key is new: the target has no such row
	case now != expression.True && len(p.from.Key) == 0:
		return row.Update, leftOut, nil
	case now != expression.True:
		return row.Delete, keyOnly, nil
	case s.partly(p, b, sec, i):
		return row.Update, leftOut, lacking(p.from) // the target may not have had the row
	case !paired:
		return row.Update, wholeRow, nil
	}
	old, err := s.holds(p, b, sec, i-1)
	if err == nil && (old == expression.False || old == expression.Unknown) {
		return row.Insert, wholeRow, nil
	}
	return row.Update, wholeRow, nil
}

// partly reports whether the log lacks a cell that is written.
func (s *Session) partly(p *path, b *row.Batch, sec *row.Section, i int) bool {
	_, flags := b.Cells(sec, i)
	return slices.ContainsFunc(p.reads, func(c int) bool { return flags[c] == row.Absent })
}

// holds says whether all filters hold for a row.
func (s *Session) holds(p *path, b *row.Batch, sec *row.Section, i int) (expression.Known, error) {
	s.row.At(b, sec, i)
	out := expression.True
	for _, w := range p.where {
		k, err := w.Holds(&s.row)
		if err != nil || k == expression.Absent {
			return k, err
		}
		if k != expression.True {
			out = expression.False
		}
	}
	return out, nil
}

// make appends row i as the sink gets it, or nothing and an error.
func (s *Session) make(p *path, b *row.Batch, sec *row.Section, i int, op row.Op, of part) error {
	s.rows.Row(p.to, op)
	if op == row.Truncate {
		for range p.cells {
			s.rows.Absent()
		}
		return nil
	}
	s.row.At(b, sec, i)
	for k, e := range p.cells {
		if of == keyOnly && !p.key[k] {
			s.rows.Absent()
			continue
		}
		whole, err := e.Append(s.rows, &s.row)
		if err == nil && !whole {
			if old := op == row.Delete || op == row.Before; old && !p.key[k] && len(p.from.Key) > 0 {
				s.rows.Absent()
				continue
			}
			err = fault.New(fault.RowRefused, "column %s of %s is made of several, of which the log has only some", p.to.Columns[k].Name, p.from.Name).
				Try("set binlog_row_image=FULL on the source")
		}
		if err != nil {
			s.rows.Undo()
			return err
		}
	}
	return nil
}
