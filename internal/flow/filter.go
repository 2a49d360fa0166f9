package flow

import (
	"context"
	"maps"
	"slices"
	"sort"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/row"
)

// filter leaves out of a stream what the chunks of its tables have already, for a sink
// that keeps rows and not their history: a row of the log is dropped if and only if the
// mark of the chunk in which its key lies contains its transaction. Of an update that
// changes the key the old image and the new one are judged each by its own chunk. It
// ends when the stream has passed the marks (docs/decisions/0025-the-filter-by-marks.md).
type filter struct {
	chunker connector.Chunker // nil: the source has none
	tables  map[uint32]*copied
	// halted are tables whose rows cannot be told from here on, and why.
	halted map[uint32]string

	// Of the batch in hand.
	drop []bool // by row, from base on
	base int
	rows []int // rows of a section of which only their key tells
	in   []int // the part in which each of them lies
}

// copied is a table whose marks are not all behind.
type copied struct {
	// parts are runs of neighbouring chunks with one mark, each told by its first.
	parts           []connector.Split
	marks           []string // of parts: places, as orders
	least, greatest string
}

// add puts the next chunk in key order into c.
func (c *copied) add(s connector.Split, mark string) {
	if n := len(c.marks); n > 0 && c.marks[n-1] == mark {
		return
	}
	c.parts, c.marks = append(c.parts, s), append(c.marks, mark)
	if c.least == "" || mark < c.least {
		c.least = mark
	}
	c.greatest = max(c.greatest, mark)
}

// filter returns the filter of a sink; nil: it takes everything.
func (j *Job) filter(s *Sink, tables map[uint32]*copied) *filter {
	if s.history() || len(tables) == 0 {
		return nil
	}
	chunker, _ := j.Source.(connector.Chunker)
	return &filter{chunker: chunker, tables: tables, halted: map[uint32]string{}}
}

// history reports whether the target keeps the history of its rows.
func (s *Sink) history() bool {
	h, ok := s.Sink.(connector.Historian)
	return ok && h.History()
}

// passed ends the filter of a table whose marks are all behind.
func (f *filter) passed(number uint32) {
	if f != nil {
		delete(f.tables, number)
	}
}

// rest returns b without what chunks have.
func (f *filter) rest(ctx context.Context, b *row.Batch) (*row.Batch, error) {
	if f == nil || len(f.tables) == 0 || b.Rows() == 0 {
		return b, nil
	}
	sections := b.Sections()
	last := sections[len(sections)-1]
	f.base = sections[0].Row
	f.drop = slices.Grow(f.drop[:0], last.Row+last.Rows-f.base)[:last.Row+last.Rows-f.base]
	clear(f.drop)
	for i := range sections {
		s := &sections[i]
		c := f.tables[s.Table.Number]
		if c == nil || b.Order(s.Row) > c.greatest && f.halted[s.Table.Number] == "" {
			continue
		}
		if err := f.section(ctx, c, b, s); err != nil {
			return nil, err
		}
	}
	return b.Select(func(_ *row.Section, i int) bool { return !f.drop[i-f.base] }), nil
}

// section says which rows of s are dropped. What lies before every mark, or behind all
// of them, is told without a look at the keys.
func (f *filter) section(ctx context.Context, c *copied, b *row.Batch, s *row.Section) error {
	upTo := func(order string) int {
		return s.Row + sort.Search(s.Rows, func(i int) bool { return b.Order(s.Row+i) > order })
	}
	f.dropAll(s.Row, upTo(c.least))
	f.rows = f.rows[:0]
	for i := upTo(c.least); i < upTo(c.greatest) && f.halted[s.Table.Number] == ""; i++ {
		if b.Op(i) == row.Truncate {
			f.halted[s.Table.Number] = "resync needed: it was truncated while its chunks were read"
			f.dropAll(i, s.Row+s.Rows)
			break
		}
		f.rows = append(f.rows, i)
	}
	if len(f.rows) == 0 {
		if f.halted[s.Table.Number] != "" {
			f.dropAll(s.Row, s.Row+s.Rows)
		}
		return nil
	}
	return f.judge(ctx, c, b, s)
}

func (f *filter) dropAll(from, to int) {
	for i := from; i < to; i++ {
		f.drop[i-f.base] = true
	}
}

// judge drops those of f.rows that the chunk of their key has.
func (f *filter) judge(ctx context.Context, c *copied, b *row.Batch, s *row.Section) error {
	if f.chunker == nil {
		return fault.New(fault.Internal, "the source cannot tell in which chunk of %s a key lies", s.Table.Name)
	}
	f.in = slices.Grow(f.in[:0], len(f.rows))[:len(f.rows)]
	if err := f.chunker.Chunks(ctx, c.parts, b, s, f.rows, f.in); err != nil {
		return err
	}
	for k, i := range f.rows {
		f.drop[i-f.base] = b.Order(i) <= c.marks[f.in[k]]
	}
	for k, i := range f.rows[1:] {
		if b.Op(i) == row.Update && b.Op(f.rows[k]) == row.Before && f.drop[f.rows[k]-f.base] && !f.drop[i-f.base] {
			if _, flags := b.Cells(s, i); slices.Contains(flags, row.Absent) {
				return untraceable(s.Table)
			}
		}
	}
	return nil
}

// untraceable says that a row took another key, and the cells it keeps are nowhere: its
// old key lies in a chunk that was read after the change and its new one in a chunk that
// was read before it.
func untraceable(t *row.Table) error {
	return fault.New(fault.ResyncNeeded, "a row of %s took another key while its chunks were read, and the log has only a part of it", t.Name).
		Try("set binlog_row_image=FULL on the source, then read everything again: godwit run --again")
}

// halt marks the tables that the filter has halted, at the place just reached. The
// shapes that say so are committed with that place.
func (a *streamApplier) halt(ctx context.Context) error {
	next := a.shapes
	for _, number := range slices.Sorted(maps.Keys(a.filter.halted)) {
		now := next.table(number)
		if now == nil || now.Stopped != "" {
			continue
		}
		after := *now
		after.Version++
		after.Stopped, after.Heals = a.filter.halted[number], true
		next = next.after(&row.SchemaChange{Kind: row.Stop, Before: now, After: &after})
		a.floors[number] = beyond
		a.lane.job.Record.Marked(after.Name.String(), after.Stopped)
	}
	clear(a.filter.halted)
	if next == a.shapes {
		return nil
	}
	if err := next.keep(ctx, a.lane.sink, a.shapes); err != nil {
		return err
	}
	a.shapes = next
	return nil
}

// remade reports whether a table of that name was made at a place of the log before the
// chunks of the one before it were all read: they may hold rows of the new one.
func (a *streamApplier) remade(t *row.Table, at string) bool {
	if a.filter == nil {
		return false
	}
	return slices.ContainsFunc(a.state.snapshot.all(), func(old *row.Table) bool {
		m, ok := a.state.marks[old.Number]
		return ok && old.Name == t.Name && at <= m.Order()
	})
}
