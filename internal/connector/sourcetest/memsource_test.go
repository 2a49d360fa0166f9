package sourcetest

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

// memSource reads a memServer. It is right; planted makes it wrong.
type memSource struct {
	s    *memServer
	pool row.Pool
}

// place is the one before transaction n.
func (s *memServer) place(n int) position.Position {
	last := ""
	if i := n - 1 - s.first; i >= 0 && i < len(s.log) {
		last = s.log[i].id
	}
	return position.New("mem", memOrder(n, 0, 0), fmt.Sprintf("%d %d %s", s.history, n, last))
}

func memOrder(n, event int, counter uint64) string {
	return string(binary.BigEndian.AppendUint64([]byte(memPrefix(n, event)), counter))
}

func memPrefix(n, event int) string {
	return string(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(n)), uint32(event)))
}

func (m *memSource) Discover(_ context.Context, sel connector.Selector) ([]*row.Table, position.Position, error) {
	m.s.mu.Lock()
	defer m.s.mu.Unlock()
	out := slices.DeleteFunc(m.s.shapes(), func(t *row.Table) bool { return !sel.Match(t.Name) })
	return out, m.s.place(m.s.first + len(m.s.log)), nil
}

func (m *memSource) Head(context.Context, time.Duration) (position.Position, time.Time, error) {
	m.s.mu.Lock()
	defer m.s.mu.Unlock()
	return m.s.place(m.s.first + len(m.s.log)), time.Now(), nil
}

// Splits cuts the keys that are there in pieces; a range is its bounds, "" open.
func (m *memSource) Splits(_ context.Context, r connector.Request) ([]connector.Split, error) {
	m.s.mu.Lock()
	defer m.s.mu.Unlock()
	t := m.s.tables[r.Table.Name]
	var keys [][]string
	for _, cells := range t.rows {
		keys = append(keys, keyOf(t.shape, cells))
	}
	slices.SortFunc(keys, func(a, b []string) int {
		if less(a, b) {
			return -1
		}
		return 1
	})
	bounds := []string{""}
	if step := int(r.ChunkBytes / 150); len(t.shape.Key) > 0 {
		for i := step; i < len(keys); i += step {
			bounds = append(bounds, strings.Join(keys[i], between))
		}
	}
	bounds = append(bounds, "")
	var out []connector.Split
	for i := range len(bounds) - 1 {
		out = append(out, connector.Split{ID: fmt.Sprint(i), Bounded: true, Tables: []*row.Table{r.Table}, Generation: r.Generation, Chunk: uint32(i), Range: []byte(bounds[i] + "\x01" + bounds[i+1])})
	}
	return out, nil
}

func (m *memSource) Read(ctx context.Context, s connector.Split, from position.Position, emit func(*row.Batch) error) error {
	if s.Bounded {
		return m.chunk(s, emit)
	}
	return m.stream(ctx, s, from, emit)
}

func (m *memSource) chunk(s connector.Split, emit func(*row.Batch) error) error {
	m.s.mu.Lock()
	n := m.s.first + len(m.s.log)
	mark := m.s.place(n)
	t := m.s.tables[s.Tables[0].Name]
	rows, shape := slices.Clone(t.rows), s.Tables[0]
	if !shape.SameShape(t.shape) {
		c := *t.shape
		c.Number, c.Version = shape.Number, shape.Version+1
		shape = &c
	}
	m.s.mu.Unlock()
	if err := emit(row.Mark(mark, 0)); err != nil {
		return err
	}
	low, high, _ := strings.Cut(string(s.Range), "\x01")
	x := row.NewBuilder(&m.pool)
	x.At(memPrefix(n, 0), row.ChunkCounter(s.Generation, s.Chunk, 1), row.Txn{})
	for _, cells := range rows {
		key := keyOf(shape, cells)
		if low != "" && less(key, strings.Split(low, between)) || high != "" && !less(key, strings.Split(high, between)) {
			continue
		}
		x.Row(shape, row.Read)
		for i, v := range cells {
			memCell(x, shape.Columns[i], cell{text: v})
		}
	}
	if x.Rows() == 0 {
		return nil
	}
	return emit(x.Finish(mark, 0))
}

func memCell(x *row.Builder, col row.Column, c cell) {
	switch {
	case c.flag == row.Absent:
		x.Absent()
	case c.flag == row.Null || c.text == Null:
		x.Null()
	case col.Type.Kind == row.Int:
		v, _ := strconv.ParseInt(c.text, 10, 64)
		x.Int(v)
	default:
		x.String(c.text)
	}
}

// check finds the transaction that a place is before.
func (s *memServer) check(p position.Position) (int, error) {
	var history, n int
	var last string
	_, _ = fmt.Sscan(p.Token(), &history, &n, &last)
	switch {
	case history != s.history:
		return 0, fault.New(fault.SourceDiverged, "another history")
	case n < s.first:
		return 0, fault.New(fault.SourceLost, "pruned")
	}
	return n, nil
}

func (m *memSource) Rebase(_ context.Context, places []position.Position) ([]position.Position, error) {
	m.s.mu.Lock()
	defer m.s.mu.Unlock()
	for _, p := range places {
		if _, err := m.s.check(p); err != nil {
			return nil, err
		}
	}
	return places, nil
}

// memStream is one unbounded Read.
type memStream struct {
	m      *memSource
	split  connector.Split
	shapes map[row.Name]*row.Table
	emit   func(*row.Batch) error
	most   uint32
}

func (m *memSource) stream(ctx context.Context, split connector.Split, from position.Position, emit func(*row.Batch) error) error {
	m.s.mu.Lock()
	n, err := m.s.check(from)
	m.s.mu.Unlock()
	if err != nil {
		return err
	}
	r := &memStream{m: m, split: split, shapes: map[row.Name]*row.Table{}, emit: emit, most: 100}
	for _, t := range split.Tables {
		r.shapes[t.Name] = t
		r.most = max(r.most, t.Number)
	}
	until := split.Until
	for {
		m.s.mu.Lock()
		here := m.s.place(n)
		var next *memTxn
		if i := n - m.s.first; i < len(m.s.log) {
			next = m.s.log[i]
		}
		moved := m.s.moved
		m.s.mu.Unlock()
		if c, _ := here.Compare(until.Place); !until.Place.IsZero() && c >= 0 {
			return nil
		}
		if !until.Time.IsZero() && (next != nil && next.time.After(until.Time) || next == nil && time.Now().After(until.Time)) {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if next == nil {
			select {
			case <-moved:
			case <-time.After(50 * time.Millisecond):
				if err := emit(row.Mark(here, time.Now().UnixMicro())); err != nil {
					return err
				}
			case <-ctx.Done():
			}
			continue
		}
		m.s.mu.Lock()
		after := m.s.place(n + 1)
		m.s.mu.Unlock()
		if err := r.txn(n, next, after); err != nil {
			return err
		}
		n++
	}
}

// txn emits a transaction: in batches of three rows, the last with the end.
func (r *memStream) txn(n int, x *memTxn, after position.Position) error {
	b := row.NewBuilder(&r.m.pool)
	flush := func(end position.Position) error {
		if b.Rows() == 0 && end.IsZero() {
			return nil
		}
		return r.emit(b.Finish(end, x.time.UnixMicro()))
	}
	for i, item := range x.items {
		if !r.split.Selector.Match(item.table) && r.shapes[item.table] == nil {
			continue
		}
		if item.kind != 0 {
			c := r.change(item)
			if c == nil {
				continue
			}
			return r.emit(row.Barrier(c, memOrder(n, i+1, 0), after, x.time.UnixMicro()))
		}
		t := r.shapes[item.table]
		if t == nil || t.Stopped != "" {
			continue
		}
		b.At(memPrefix(n, 1), uint64(i+1), row.Txn{ID: x.id, Time: x.time.UnixMicro()})
		b.Row(t, item.op)
		for k, c := range item.cells {
			memCell(b, t.Columns[k], c)
		}
		if b.Rows() == 3 && i < len(x.items)-1 {
			if err := flush(position.Position{}); err != nil {
				return err
			}
		}
	}
	return flush(after)
}

func (r *memStream) change(item memItem) *row.SchemaChange {
	c := &row.SchemaChange{Kind: item.kind, Before: r.shapes[item.table], Renamed: item.rename, Statement: item.text}
	if item.kind != row.Create && c.Before == nil {
		return nil
	}
	after := row.Table{}
	switch item.kind {
	case row.Create:
		r.most++
		after = *item.after
		after.Number, after.Version, c.Before = r.most, 1, nil
	case row.Drop:
		delete(r.shapes, item.table)
		return c
	case row.Stop:
		after = *c.Before
		after.Version++
		after.Stopped = "unlogged"
	case row.Alter:
		after = *item.after
		after.Number, after.Version = c.Before.Number, c.Before.Version+1
	}
	c.After = &after
	maps.DeleteFunc(r.shapes, func(n row.Name, _ *row.Table) bool { return n == item.table })
	r.shapes[after.Name] = &after
	return c
}

func (m *memSource) Close() error { return nil }
