package sourcetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

// entry is a row or a schema change as it was emitted.
type entry struct {
	order  string
	op     row.Op
	table  *row.Table
	cells  []cell
	txn    row.Txn
	change *row.SchemaChange
}

type cell struct {
	text string
	flag row.Flag
}

func (c cell) String() string {
	switch c.flag {
	case row.Null:
		return "NULL"
	case row.Absent:
		return "-"
	}
	return fmt.Sprintf("%q", clip(c.text))
}

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}

// String is what two reads of one stretch of log must have in common.
func (e *entry) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%x ", e.order)
	if c := e.change; c != nil {
		fmt.Fprintf(&b, "change %d", c.Kind)
		for _, t := range []*row.Table{c.Before, c.After} {
			b.WriteString(" [" + shapeText(t) + "]")
		}
		for _, k := range slices.Sorted(maps.Keys(c.Renamed)) {
			fmt.Fprintf(&b, " %s<-%s", k, c.Renamed[k])
		}
		return b.String()
	}
	fmt.Fprintf(&b, "%s %s %s", opNames()[e.op], e.table.Name, e.txn.ID)
	for _, c := range e.cells {
		b.WriteString(" " + c.String())
	}
	return b.String()
}

func opNames() []string {
	return []string{"?", "read", "insert", "update", "delete", "before", "truncate"}
}

func shapeText(t *row.Table) string {
	if t == nil {
		return "none"
	}
	text := t.Name.String()
	for _, c := range t.Columns {
		text += " " + c.Name + ":" + c.Type.Native
	}
	return fmt.Sprintf("%s key %v stopped %q", text, t.Key, t.Stopped)
}

// stop is a place at which the stream can be taken up again.
type stop struct {
	at      position.Position
	entries int // of the tape before it
	time    int64
	arrived time.Time
}

// tape records one Read. It is filled by the reading goroutine and looked at by
// others under mu.
type tape struct {
	t       testing.TB
	from    position.Position
	bounded bool

	mu      sync.Mutex
	entries []*entry
	stops   []stop
	batches int
	moved   chan struct{}
	wrong   []string
	tables  uint32 // created
}

func newTape(t testing.TB, from position.Position, bounded bool) *tape {
	return &tape{t: t, from: from, bounded: bounded, moved: make(chan struct{}, 1)}
}

// take is an emit function.
func (p *tape) take(b *row.Batch) error {
	defer b.Release()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.batches++
	if b.Change != nil && b.Rows() > 0 {
		p.fail("a batch has a schema change and rows")
	}
	if b.Change != nil {
		if n := len(p.stops); len(p.entries) > 0 && (n == 0 || p.stops[n-1].entries != len(p.entries)) {
			p.fail("nothing can be committed right before the schema change %q", b.Change.Statement)
		}
		if c := b.Change; c.Kind == row.Create && c.After.Number == 0 {
			p.tables++ // the reader numbers new tables
			c.After.Number = 1000 + p.tables
		}
		p.add(&entry{order: b.At, change: b.Change})
	}
	sections := b.Sections()
	for i := range sections {
		p.section(b, &sections[i])
	}
	if !b.End.IsZero() {
		p.end(b)
	} else if b.Rows() == 0 && b.Change == nil {
		p.fail("a batch has neither rows nor an end nor a change")
	}
	select {
	case p.moved <- struct{}{}:
	default:
	}
	return nil
}

func (p *tape) section(b *row.Batch, s *row.Section) {
	at, spans := 0, 0
	for sp := range b.Spans(s) {
		spans++
		for i := range sp.Rows {
			r := sp.Row + i
			e := &entry{order: b.Order(r), op: b.Op(r), table: s.Table, txn: sp.Txn}
			words, flags := b.Cells(s, r)
			for c, w := range words {
				e.cells = append(e.cells, cell{cellText(b, s.Table.Columns[c].Type, w, flags[c]), flags[c]})
			}
			p.add(e)
			at++
		}
	}
	if at != s.Rows {
		p.fail("a section of %d rows has spans of %d", s.Rows, at)
	}
}

func (p *tape) add(e *entry) {
	last := p.from.Order()
	if n := len(p.entries); n > 0 {
		last = p.entries[n-1].order
	} else if p.bounded {
		last = ""
	}
	if e.order <= last {
		p.fail("order does not rise: %s comes after %x", e, last)
	}
	if n := len(p.stops); n > 0 && !p.bounded && e.order <= p.stops[n-1].at.Order() {
		p.fail("%s is not after %x, which was an end", e, p.stops[n-1].at.Order())
	}
	if n := len(p.entries); n > 0 && e.change == nil && !p.bounded {
		// The rows of a transaction are neighbours, and no end is among them.
		before := p.entries[n-1]
		if k := len(p.stops); before.change == nil && k > 0 && p.stops[k-1].entries == n && e.txn.ID == before.txn.ID && e.txn.ID != "" {
			p.fail("an end lies inside transaction %s", e.txn.ID)
		}
	}
	if e.change == nil && !p.bounded && e.txn.ID == "" {
		p.fail("a row has no transaction")
	}
	p.entries = append(p.entries, e)
}

func (p *tape) end(b *row.Batch) {
	if n := len(p.stops); n > 0 {
		if c, err := b.End.Compare(p.stops[n-1].at); err != nil || c < 0 {
			p.fail("an end lies before the one before it (%v)", err)
		}
	} else if c, err := b.End.Compare(p.from); !p.bounded && (err != nil || c < 0) {
		p.fail("the first end lies before where reading started (%v)", err)
	}
	if n := len(p.entries); n > 0 && !p.bounded && b.End.Order() < p.entries[n-1].order {
		p.fail("the end %x lies before the row %s", b.End.Order(), p.entries[n-1])
	}
	p.stops = append(p.stops, stop{b.End, len(p.entries), b.EndTime, time.Now()})
}

// fail notes what is wrong, mu held; finish tells it.
func (p *tape) fail(format string, args ...any) {
	if len(p.wrong) < 5 {
		p.wrong = append(p.wrong, fmt.Sprintf(format, args...))
	}
}

// finish tells what was wrong while it was recorded.
func (p *tape) finish() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.wrong {
		p.t.Error(w)
	}
	if len(p.wrong) > 0 {
		p.t.FailNow()
	}
}

// await waits until done of the tape holds; it is called with mu held.
func (p *tape) await(ctx context.Context, what string, done func() bool) {
	p.t.Helper()
	for {
		p.mu.Lock()
		ok := done()
		p.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-p.moved:
		case <-ctx.Done():
			p.t.Fatalf("%s did not come", what)
		}
	}
}

// reached reports whether an end is at or beyond a place, mu held.
func (p *tape) reached(at position.Position) bool {
	n := len(p.stops)
	if n == 0 {
		return false
	}
	c, err := p.stops[n-1].at.Compare(at)
	return err == nil && c >= 0
}

// live is a Read that goes on in the background.
type live struct {
	*tape
	stop   context.CancelFunc
	ended  chan struct{}
	err    error // valid after ended
	reader *session
}

// stream reads the log strictly after from in the background.
func (x *session) stream(tables []*row.Table, from position.Position, until connector.Until) *live {
	return x.streamOf(x.src, tables, from, until, nil)
}

func (x *session) streamOf(src connector.Source, tables []*row.Table, from position.Position, until connector.Until, slow func()) *live {
	ctx, cancel := context.WithCancel(x.ctx)
	l := &live{tape: newTape(x.TB, from, false), stop: cancel, ended: make(chan struct{}), reader: x}
	x.Cleanup(cancel)
	split := connector.Split{ID: connector.StreamSplit, Tables: tables, Selector: x.selector(), Until: until}
	go func() {
		defer close(l.ended)
		l.err = src.Read(ctx, split, from, func(b *row.Batch) error {
			if slow != nil {
				slow()
			}
			return l.take(b)
		})
	}()
	return l
}

// wait returns the error with which Read ended.
func (l *live) wait() error {
	l.t.Helper()
	select {
	case <-l.ended:
	case <-l.reader.ctx.Done():
		l.t.Fatal("Read does not end")
	}
	l.stop()
	return l.err
}

// cancel ends Read, which must return within a second, and tells what was wrong.
func (l *live) cancel() {
	l.t.Helper()
	l.stop()
	begin := time.Now()
	select {
	case <-l.ended:
	case <-time.After(10 * time.Second):
		l.t.Fatal("Read does not return within 10 s of its context's end")
	}
	if d := time.Since(begin); d > time.Second {
		l.t.Errorf("Read returned %v after its context ended, not within a second", d)
	}
	if l.err == nil {
		l.t.Error("Read was cancelled and returned nil, as if its end was reached")
	} else if !errors.Is(l.err, context.Canceled) {
		l.t.Errorf("Read was cancelled and returned %v", l.err)
	}
	l.finish()
}

// read reads from a place to another, which must end nil.
func (x *session) read(tables []*row.Table, from, to position.Position) *tape {
	x.Helper()
	return x.readOf(x.src, tables, from, to)
}

func (x *session) readOf(src connector.Source, tables []*row.Table, from, to position.Position) *tape {
	x.Helper()
	l := x.streamOf(src, tables, from, connector.Until{Place: to}, nil)
	if err := l.wait(); err != nil {
		x.Fatalf("read to a place: %v", err)
	}
	l.finish()
	l.mu.Lock()
	defer l.mu.Unlock()
	if c, err := from.Compare(to); err == nil && c < 0 && !l.tape.reached(to) {
		x.Fatalf("Read ended nil before the place asked for")
	}
	return l.tape
}

// head returns the log's end.
func (x *session) head() position.Position {
	x.Helper()
	p, _ := x.clock()
	return p
}

func (x *session) clock() (position.Position, time.Time) {
	x.Helper()
	h, ok := x.src.(connector.Header)
	if !ok {
		x.Fatal("the source does not tell the head of its log")
	}
	p, at, err := h.Head(x.ctx, 0)
	if err != nil {
		x.Fatal(err)
	}
	return p, at
}

// discover returns the tables of the schema, numbered, and the place of their
// shapes.
func (x *session) discover() ([]*row.Table, position.Position) {
	x.Helper()
	tables, at, err := x.src.Discover(x.ctx, x.selector())
	if err != nil {
		x.Fatal(err)
	}
	for i, t := range tables {
		t.Number, t.Version = uint32(i+1), 1
	}
	return tables, at
}

func named(t testing.TB, tables []*row.Table, name string) *row.Table {
	t.Helper()
	for _, x := range tables {
		if x.Name.Table == name {
			return x
		}
	}
	t.Fatalf("no table %s among %d", name, len(tables))
	return nil
}

// sameEntries compares two records of one stretch of the log.
func sameEntries(t testing.TB, what string, got, want []*entry) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		if g, w := got[i].String(), want[i].String(); g != w {
			t.Fatalf("%s: entry %d of %d is\n\t%s\nnot\n\t%s", what, i, len(want), g, w)
		}
	}
	if len(got) != len(want) {
		rest := got
		if len(want) > len(got) {
			rest = want
		}
		t.Fatalf("%s: %d entries, not %d; the first that is in one only: %s", what, len(got), len(want), rest[min(len(got), len(want))])
	}
}

// wantFault checks that err carries a code and that nothing was emitted.
func (p *tape) wantFault(err error, code fault.Code) {
	p.t.Helper()
	if !fault.Has(err, code) {
		p.t.Errorf("got %v, want %s", err, code)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.batches > 0 {
		p.t.Errorf("%d batches were emitted before %s", p.batches, code)
	}
}
