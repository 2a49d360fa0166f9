package flow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

// StreamTask is the stream of one log for sinks that start it together: of what
// is together in all of them, or of the parts that one table is.
type StreamTask struct {
	Sinks []*SinkState
	// Until is the end that was asked for; the real end is never before the
	// greatest mark of the chunks.
	Until connector.Until
	// ToMarks ends the stream at the greatest mark itself: a snapshot alone.
	ToMarks bool
	// Reached is noted with the commit that comes to the end; empty: none.
	Reached string
	// Discard and Committed are those of a ChunkTask.
	Discard   string
	Committed func()
	// Healable is called, at the beginning and after each commit of other shapes, with the
	// tables that are marked and that a copy makes whole (row.Table.Heals), if there are
	// any. Sinks call it side by side; nil: nobody wants to know.
	Healable func(tables []string)
}

// Stream applies changes from the least of the sinks' places on, each sink
// cutting what it already has. It returns nil at the end asked for, or when ctx
// is done and what was read is committed. Sinks that are not alike any more, because a
// table was marked in one of them since the task was found, read the log each for
// themselves.
func (j *Job) Stream(ctx context.Context, t *StreamTask, claim connector.Claim) error {
	if len(t.Sinks) == 1 {
		return j.stream(ctx, t, claim)
	}
	for _, s := range t.Sinks {
		if err := j.look(ctx, s); err != nil {
			return err
		}
	}
	groups := Together(t.Sinks)
	if len(groups) == 1 {
		return j.stream(ctx, t, claim)
	}
	reading, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	errs := make([]error, len(groups))
	var wg sync.WaitGroup
	for i, g := range groups {
		wg.Go(func() {
			of := *t
			of.Sinks = g
			if errs[i] = j.stream(reading, &of, claim); errs[i] != nil {
				cancel(errs[i])
			}
		})
	}
	wg.Wait()
	if err := context.Cause(reading); err != nil {
		return err
	}
	return errors.Join(errs...)
}

// stream is Stream for sinks that are alike.
func (j *Job) stream(ctx context.Context, t *StreamTask, claim connector.Claim) (err error) {
	var lanes []*lane
	var appliers []applier
	defer func() { closeLanes(lanes, &err) }()
	for _, s := range t.Sinks {
		l := &lane{job: j, sink: s.Sink, committed: t.Committed}
		if l.writer, l.set, err = s.Sink.Open(ctx, j.shard(s.Sink, s.task()), claim); err != nil {
			return err
		}
		lanes = append(lanes, l)
		if err := l.discard(t.Discard); err != nil {
			return err
		}
		defer j.places.Delete(j.shard(s.Sink, s.task()))
		a, err := j.streamApplier(ctx, s, l)
		if err != nil {
			return err
		}
		a.onHealable = t.Healable
		a.tellHealable()
		if s.Whole && s.Number == 0 { // tables may have joined since it was told last
			if err := a.announce(ctx); err != nil {
				return err
			}
		}
		appliers = append(appliers, a)
	}
	if err := j.rebase(ctx, appliers); err != nil {
		return err
	}
	least, err := leastOf(appliers)
	if err != nil {
		return err
	}
	until := t.Until
	if until.Place, err = j.inLog(ctx, until.Place, least.at.Log()); err != nil {
		return err
	}
	if until, err = untilPast(until, t.ToMarks, appliers); err != nil {
		return err
	}
	ends := !until.IsZero() || t.ToMarks
	g := startGroup(ctx, lanes, appliers, true)
	return g.finish(j.readStream(g.reading(ctx), g, t, until, ends, least, appliers))
}

// untilPast moves an end to the greatest mark where that is later.
func untilPast(u connector.Until, toMarks bool, appliers []applier) (connector.Until, error) {
	if u.IsZero() && !toMarks {
		return u, nil
	}
	for _, a := range appliers {
		s := a.(*streamApplier).state
		if s.Whole || s.Copied.IsZero() {
			continue
		}
		if c, err := s.Copied.Compare(u.Place); err != nil {
			return u, err
		} else if c > 0 {
			u.Place = s.Copied
		}
	}
	return u, nil
}

// leastOf returns the applier whose place is first: its shapes are the ones to
// start decoding with.
func leastOf(appliers []applier) (*streamApplier, error) {
	least := appliers[0].(*streamApplier)
	for _, a := range appliers[1:] {
		s := a.(*streamApplier)
		if c, err := s.at.Compare(least.at); err != nil {
			return nil, err
		} else if c < 0 {
			least = s
		}
	}
	return least, nil
}

// readStream reads to until, in two steps when it has both a place and a time:
// the place is where the chunks end, the time what was asked for.
func (j *Job) readStream(ctx context.Context, g *group, t *StreamTask, until connector.Until, ends bool, least *streamApplier, appliers []applier) error {
	from, tables := least.at, least.shapes.tables
	steps := []connector.Until{until}
	if !until.Place.IsZero() && !until.Time.IsZero() {
		steps = []connector.Until{{Place: until.Place}, {Time: until.Time}}
	}
	known := least.shapes
	for _, end := range steps {
		if end.IsZero() && ends {
			continue // no table has a mark ahead
		}
		if done, err := atOrBeyond(from, end.Place); err != nil {
			return err
		} else if done {
			continue
		}
		split := connector.Split{ID: connector.StreamSplit, Tables: tables, Selector: j.selector(least.state), Until: end}
		emitted := time.Now()
		err := j.Source.Read(ctx, split, from, func(b *row.Batch) error {
			defer b.Release()
			j.recordStream(b, from, emitted, least.state.Number > 0)
			defer func() { emitted = time.Now() }()
			if !b.End.IsZero() {
				from = b.End
			}
			if b.Change != nil {
				known = numberChange(known, b.Change)
				tables = known.tables
			}
			return j.fanOut(ctx, g, b)
		})
		if err != nil {
			return err
		}
	}
	if !ends {
		return nil
	}
	for i, a := range appliers { // the reader came to the end: note it with the last commit
		s := a.(*streamApplier)
		if err := g.put(ctx, g.lanes[i], item{act: func(context.Context) error { s.reached = t.Reached; return nil }}); err != nil {
			return err
		}
	}
	return nil
}

func atOrBeyond(p, end position.Position) (bool, error) {
	if end.IsZero() {
		return false, nil
	}
	c, err := p.Compare(end)
	return c >= 0, err
}

// numberChange gives a new table its number and returns the shapes after the
// change. Every sink comes to the same number, because it follows from the
// history before the change.
func numberChange(known *shapes, c *row.SchemaChange) *shapes {
	if c.After != nil && c.After.Number == 0 {
		c.After.Number = known.next
	}
	return known.after(c)
}

// selector chooses the tables as they were chosen when the sink last followed an
// edit: the shapes that it has are the tables of those patterns.
func (j *Job) selector(s *SinkState) connector.Selector {
	if s.Patterns == patterns(j.Tables) || s.Patterns == "" {
		return j.Tables
	}
	return connector.Selector{Patterns: strings.Fields(s.Patterns)}
}

// recordStream counts a batch. A batch without rows is the source having waited
// for the log, and so is one of a transaction that has only just been committed. The place of a job is that of the stream of all.
func (j *Job) recordStream(b *row.Batch, at position.Position, emitted time.Time, part bool) {
	if !b.End.IsZero() {
		at = b.End
	}
	if part {
		at = position.Position{}
	}
	j.Record.Streamed(b.Rows(), int64(b.Payload()), at)
	if b.Rows() > 0 {
		j.Record.FirstRow()
	}
	if took := time.Since(emitted); b.Rows() == 0 || b.EndTime > 0 && j.Record.Fresh(b.EndTime) {
		j.Record.Stage("", "source", 0, 0, took)
	} else {
		j.Record.Stage("", "source", took, 0, 0)
	}
}

func (j *Job) fanOut(ctx context.Context, g *group, b *row.Batch) error {
	for _, l := range g.lanes {
		if err := g.put(ctx, l, item{batch: b}); err != nil {
			return err
		}
	}
	return nil
}

// streamApplier applies the stream to one sink.
type streamApplier struct {
	lane   *lane
	state  *SinkState
	shapes *shapes           // at the place applied, kept in the sink
	at     position.Position // applied up to here, between transactions
	time   int64             // commit time of the last transaction applied
	inside bool              // rows beyond at are applied
	dirty  bool              // at is beyond what is committed
	since  time.Time         // when it became dirty
	// floors are the marks of tables without a key: their events up to there are
	// in the chunk and must not be counted again. Stopped tables have beyond.
	floors     map[uint32]string
	passing    []tableMark // tables whose mark is still ahead, least first
	filter     *filter     // nil: the sink takes everything
	reached    string
	onHealable func(tables []string) // StreamTask.Healable
	told       *shapes               // of which onHealable was told last
	// taken are the names of tables that stand apart and whose chunks are not all
	// passed.
	taken map[row.Name]bool
}

func (j *Job) streamApplier(ctx context.Context, s *SinkState, l *lane) (*streamApplier, error) {
	at, ok := l.set[keyStream]
	if !ok {
		return nil, s.Sink.blame(ctx, fault.New(fault.TargetBroken, "the stream of sink %q has no place", s.Sink.Name))
	}
	if err := s.load(ctx, l.set); err != nil {
		return nil, err
	}
	a := &streamApplier{lane: l, state: s, shapes: s.Shapes, at: at, floors: map[uint32]string{}, taken: map[row.Name]bool{}}
	for _, t := range s.Shapes.tables {
		if t.Stopped != "" {
			a.floors[t.Number] = beyond
		}
	}
	for _, p := range s.Parts {
		for _, t := range slices.Concat(p.Shapes.tables, p.snapshot.all()) {
			a.taken[t.Name] = a.taken[t.Name] || !p.done()
		}
	}
	if err := a.loadMarks(ctx, j); err != nil {
		return nil, err
	}
	n, err := a.passed()
	if n > 0 || s.Generation > 0 && !s.Whole && len(a.passing) == 0 {
		a.dirty = true // the marks lie behind already: to be committed at once, even if nothing follows
	}
	a.moved()
	return a, err
}

// carries reports whether the rows of a table are for this stream: a part has one
// table, and all others but those apart are together.
func (a *streamApplier) carries(number uint32) bool {
	if a.state.Number > 0 {
		return number == a.state.Number
	}
	return !a.state.away.has(number)
}

// floor is the order up to which rows of a table are left out; empty: none are.
func (a *streamApplier) floor(t *row.Table) string {
	if !a.carries(t.Number) {
		return beyond
	}
	return a.floors[t.Number]
}

func (a *streamApplier) apply(ctx context.Context, b *row.Batch) error {
	end, commitTime := b.End, b.EndTime
	rest, err := b.From(a.at)
	if err != nil {
		return err
	}
	if rest.Change != nil {
		return a.barrier(ctx, a.settled(rest))
	}
	if b.Change != nil && b.Change.Kind == row.Stop {
		return a.stopped(ctx, b.Change)
	}
	if len(a.floors) > 0 || len(a.state.away) > 0 || a.state.Number > 0 {
		rest = rest.After(a.floor)
	}
	if rest, err = a.fresh(ctx, rest); err != nil {
		return err
	}
	if rest.Rows() > 0 {
		if err := a.lane.writer.Apply(ctx, rest.In(a.state.Incarnation)); err != nil {
			return err
		}
		a.touch()
		a.inside = true
	}
	if end.IsZero() {
		return nil
	}
	return a.advance(ctx, end, commitTime)
}

// fresh returns b without what the sink's chunks have already.
func (a *streamApplier) fresh(ctx context.Context, b *row.Batch) (*row.Batch, error) {
	switch {
	case a.filter != nil:
		return a.filter.rest(ctx, b)
	case len(a.passing) > 0:
		return b, a.traceable(b)
	}
	return b, nil
}

// advance moves the place to end, between transactions, and commits when that is
// due.
func (a *streamApplier) advance(ctx context.Context, end position.Position, commitTime int64) error {
	if c, err := end.Compare(a.at); err != nil {
		return err
	} else if c <= 0 {
		return nil
	}
	a.at, a.inside = end, false
	if commitTime > a.time {
		a.time = commitTime
	}
	a.moved()
	a.touch()
	if a.filter != nil && len(a.filter.halted) > 0 {
		if err := a.halt(ctx); err != nil {
			return err
		}
		return a.commit(ctx)
	}
	if a.lane.writer.Staged() >= a.lane.sink.Bytes || time.Since(a.since) >= a.lane.sink.Every {
		return a.commit(ctx)
	}
	return nil
}

func (a *streamApplier) touch() {
	if !a.dirty {
		a.dirty, a.since = true, time.Now()
	}
}

// barrier commits what is before the change, evolves the target, and commits the
// place after it together with the new shapes.
func (a *streamApplier) barrier(ctx context.Context, b *row.Batch) error {
	if a.inside {
		return fault.New(fault.SourceProtocol, "a schema change inside a transaction")
	}
	if a.dirty {
		if err := a.commit(ctx); err != nil {
			return err
		}
	}
	if b.Change == nil { // nothing that this sink still follows
		return a.advance(ctx, b.End, b.EndTime)
	}
	next := a.shapes.after(b.Change)
	if err := next.keep(ctx, a.lane.sink, a.shapes); err != nil {
		return err
	}
	if a.carries(changed(b.Change)) {
		if err := a.evolve(ctx, b); err != nil {
			return err
		}
	}
	a.shapes = next
	a.at, a.time = b.End, max(a.time, b.EndTime)
	a.moved()
	a.touch()
	return a.commit(ctx)
}

// stopped sees to a mark that lies behind this sink, at which the reader, who begins
// where another sink is, stops reading the table: where this sink began it anew since,
// its rows would be missing without a word.
func (a *streamApplier) stopped(ctx context.Context, c *row.SchemaChange) error {
	now := a.shapes.table(changed(c))
	if now == nil || now.Stopped != "" || !a.carries(now.Number) {
		return nil
	}
	after := *now
	after.Version++
	after.Stopped, after.Heals = c.After.Stopped, c.After.Heals
	own := row.Barrier(&row.SchemaChange{Kind: row.Stop, Before: now, After: &after, Statement: c.Statement}, a.at.Order(), a.at, a.time)
	return a.barrier(ctx, own)
}

// changed is the number of the table that c is about.
func changed(c *row.SchemaChange) uint32 {
	if c.Before != nil {
		return c.Before.Number
	}
	return c.After.Number
}

// evolve makes the target, and what is known of its tables, fit after a change.
func (a *streamApplier) evolve(ctx context.Context, b *row.Batch) error {
	if err := a.lane.writer.Evolve(ctx, b.Change); err != nil {
		return err
	}
	switch b.Change.Kind {
	case row.Drop:
		a.lane.job.Record.Healed(b.Change.Before.Name.String()) // if it was marked: it is not there
		return a.empty(ctx, b)
	case row.Stop:
		after, record := b.Change.After, a.lane.job.Record
		a.floors[after.Number] = beyond
		if b.Change.Before != nil && b.Change.Before.Name != after.Name {
			record.Healed(b.Change.Before.Name.String()) // there is none of that name now
		}
		record.Marked(after.Name.String(), after.Stopped)
	case row.Create:
		a.inherit(b.Change.After)
	}
	return nil
}

// beyond sorts after every order: a floor for tables whose rows are not wanted any
// more.
const beyond = "\xff\xff\xff\xff\xff\xff\xff\xff"

// settled returns the change as it is for this sink. A table that has stopped changes
// no more but its name, which another one may take. A table that got another name before
// its mark stops: its chunks were read under the old name, which another table may have
// had by then.
func (a *streamApplier) settled(b *row.Batch) *row.Batch {
	c := b.Change
	if a.state.Number > 0 && changed(c) != a.state.Number {
		return row.Mark(b.End, b.EndTime)
	}
	if c.Kind == row.Create && len(c.After.Key) == 0 && a.taken[c.After.Name] {
		return stopping(b, "it was made again while the table of that name before it was copied apart")
	}
	if c.Kind == row.Create && a.remade(c.After, b.At) {
		return stopping(b, "it was made again while the chunks of the table of that name before it were read")
	}
	if c.Before == nil || c.Kind == row.Drop {
		return b
	}
	now := a.shapes.table(c.Before.Number)
	if now != nil && now.Stopped != "" {
		if c.Before.Name == c.After.Name {
			return row.Mark(b.End, b.EndTime)
		}
		return renamed(b, now)
	}
	if now != nil && (now.Generation != c.After.Generation || now.Version >= c.After.Version) { // it is another one where the log is read
		own, after := *c, *c.After
		after.Generation, own.After = now.Generation, &after
		if after.Version <= now.Version { // a sink may keep what each version was
			own.Before, after.Version = now, now.Version+1
		}
		b, c = row.Barrier(&own, b.At, b.End, b.EndTime), &own
	}
	if c.Kind == row.Alter && now != nil && a.carries(now.Number) {
		if why := a.unfilled(c, b.At); why != "" {
			return a.unsure(b, now, why)
		}
	}
	mark, ok := a.state.marks[c.Before.Number]
	if c.Kind != row.Alter || c.Before.Name == c.After.Name || a.state.Whole || !ok || b.At > mark.Order() {
		return b
	}
	return stopping(b, fmt.Sprintf("it was renamed from %s while its chunks were read", c.Before.Name))
}

// unfilled tells why rows of a table, in the target, may be others than those of the source
// after a change; empty: they are the same. Chunks that were read after it are right.
func (a *streamApplier) unfilled(c *row.SchemaChange, at string) string {
	least, greatest := a.read(c.Before)
	switch {
	case at <= least:
		return ""
	case c.Unfilled == "" && c.Passing && at <= greatest:
		return "what rows show in a new column is known from its statement alone, and some chunks were read after it"
	}
	return c.Unfilled
}

// read returns at which places, as orders, the chunks of a table were read that the stream
// has not passed; empty: there are none, or it is not known.
func (a *streamApplier) read(t *row.Table) (least, greatest string) {
	mark, ok := a.state.marks[t.Number]
	if !ok || a.state.Whole || a.state.complete.has(t.Number) {
		return "", ""
	}
	switch {
	case len(t.Key) == 0:
		least = mark.Order() // there is one chunk
	case a.filter != nil && a.filter.tables[t.Number] != nil:
		least = a.filter.tables[t.Number].least
	}
	return least, mark.Order()
}

// unsure returns a change, after which rows in the target may be others than those of the
// source, as one that marks its table: a copy is all that it needs. In a job without copies it
// is as it was, with a warning.
func (a *streamApplier) unsure(b *row.Batch, now *row.Table, why string) *row.Batch {
	if a.state.greatest() == 0 {
		if log := a.lane.job.Log; log != nil {
			log.Warn("rows of a table that were written before it was altered may differ from those of the source, and this job makes no copies",
				"table", b.Change.After.Name.String(), "sink", a.lane.sink.Name, "why", why)
		}
		return b
	}
	after := *now
	after.Version++
	after.Stopped, after.Heals = "resync needed: "+why, true
	return row.Barrier(&row.SchemaChange{Kind: row.Stop, Before: now, After: &after, Statement: b.Change.Statement}, b.At, b.End, b.EndTime)
}

// renamed returns a change of a table that has stopped as one of its name alone.
func renamed(b *row.Batch, now *row.Table) *row.Batch {
	after := *now
	after.Version++
	after.Name = b.Change.After.Name
	return row.Barrier(&row.SchemaChange{Kind: row.Stop, Before: now, After: &after, Statement: b.Change.Statement}, b.At, b.End, b.EndTime)
}

// stopping returns a change as one that marks its table as well: another one than its
// chunks may be of.
func stopping(b *row.Batch, why string) *row.Batch {
	after := *b.Change.After
	after.Stopped, after.Heals = "resync needed: "+why, true
	stop := *b.Change
	stop.Kind, stop.After = row.Stop, &after
	return row.Barrier(&stop, b.At, b.End, b.EndTime)
}

// inherit gives a table that was made again under its name, while chunks were
// read, the mark of the one before: its chunk may hold rows of the new one.
func (a *streamApplier) inherit(t *row.Table) {
	if a.state.Whole || a.state.snapshot == nil || len(t.Key) > 0 {
		return
	}
	for _, old := range a.state.snapshot.tables {
		if m, ok := a.state.marks[old.Number]; ok && old.Name == t.Name {
			a.floors[t.Number] = m.Order()
		}
	}
}

func (a *streamApplier) due() time.Time {
	if !a.dirty || a.inside {
		return time.Time{}
	}
	return a.since.Add(a.lane.sink.Every)
}

func (a *streamApplier) idle(ctx context.Context) error {
	if !a.dirty || a.inside || time.Since(a.since) < a.lane.sink.Every {
		return nil
	}
	return a.commit(ctx)
}

func (a *streamApplier) drained(ctx context.Context) error {
	if a.inside {
		return nil // the rest of the transaction was not read: drop it
	}
	if !a.dirty && a.reached == "" {
		return nil
	}
	return a.commit(ctx)
}

// commit commits the place with everything that is known there.
func (a *streamApplier) commit(ctx context.Context) error {
	passed, err := a.passed()
	if err != nil {
		return err
	}
	set := edited(a.lane.set, func(s position.Set) {
		s[keyStream] = a.at
		s[keySchemas] = position.Note(a.shapes.id)
		s[keyLog] = numberNote(uint64(a.state.Incarnation))
		if !a.state.Copied.IsZero() {
			s[keyCopied] = a.state.Copied
		}
		if a.reached != "" {
			s[keyReached] = position.Note(a.reached)
		}
		a.noteComplete(s, passed)
		a.state.keepRules(s)
	})
	told, when := a.at, a.time
	if a.state.Number > 0 { // the place of a sink is that of the stream of all
		told, when = position.Position{}, 0
	}
	if err := a.lane.commit(ctx, set, told, when); err != nil {
		return err
	}
	a.dirty = false
	a.passing = a.passing[passed:]
	a.moved()
	a.tellHealable()
	if a.state.Number > 0 {
		return nil
	}
	return a.announce(ctx)
}

// tellHealable tells of the tables of the committed shapes that a copy makes whole, once
// of each shapes.
func (a *streamApplier) tellHealable() {
	if a.onHealable == nil || a.told == a.shapes {
		return
	}
	a.told = a.shapes
	var names []string
	for _, t := range a.shapes.tables {
		if t.Heals && t.Stopped != "" && a.carries(t.Number) {
			names = append(names, t.Name.String())
		}
	}
	if len(names) > 0 {
		a.onHealable(names)
	}
}

func (a *streamApplier) announce(ctx context.Context) error {
	if _, ok := a.lane.sink.Sink.(connector.Announcer); !ok {
		return nil
	}
	at := a.at
	described := fmt.Sprint(at.Token())
	if d, ok := a.lane.job.Source.(connector.Describer); ok {
		described = d.Describe(at)
	}
	return a.lane.sink.announce(ctx, at, described, a.completions())
}

// traceable refuses, for a sink that takes everything, the one change that no reader
// could make whole: a row that takes another key while chunks are being read, logged without all its cells. Its
// old key may lie in a chunk read after the change and its new key in one read
// before it: then the cells it keeps are in neither.
func (a *streamApplier) traceable(b *row.Batch) error {
	ahead := map[uint32]string{}
	for _, m := range a.passing {
		ahead[m.number] = m.mark.Order()
	}
	for _, s := range b.Sections() {
		mark := ahead[s.Table.Number]
		if len(s.Table.Key) == 0 || b.Rows() == 0 || b.Order(s.Row) > mark {
			continue
		}
		for i := s.Row + 1; i < s.Row+s.Rows; i++ {
			if b.Op(i) != row.Update || b.Op(i-1) != row.Before || b.Order(i) > mark {
				continue
			}
			if _, flags := b.Cells(&s, i); slices.Contains(flags, row.Absent) {
				return untraceable(s.Table)
			}
		}
	}
	return nil
}

// empty ends the rows of a table that was dropped: another one may get its name,
// and then they share a folder.
func (a *streamApplier) empty(ctx context.Context, b *row.Batch) error {
	t := row.TruncateOrder(a.lane.job.Pool, b.Change.Before, b.At, row.Txn{Time: b.EndTime})
	defer t.Release()
	return a.lane.writer.Apply(ctx, t.In(a.state.Incarnation))
}
