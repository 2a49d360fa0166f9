package flow

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"strings"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

// SinkState is what one sink holds of a job, read from the sink: of the stream of
// all tables that do not stand apart, or of one that does (a part).
type SinkState struct {
	Sink *Sink
	// Number is that of the table of a part; 0: this is no part.
	Number uint32
	// Parts are the tables that stand apart, by number. A part has none.
	Parts       []*SinkState
	Claim       connector.Claim
	At          position.Position // zero: nothing was begun
	Shapes      *shapes
	Incarnation uint16
	Patterns    string // that chose the tables, joined by spaces
	edits       uint64 // of the tables, that it has followed: sinks of as many number new tables alike
	editing     bool   // some of an edit of them was done, and not all
	rules       string // a checksum of the rules it was written by; empty: nobody knows
	Reached     string // the end the last run was asked for and came to
	// Generation is 0 when there is no snapshot.
	Generation uint32
	Copied     position.Position // greatest mark, once all chunks are committed
	Whole      bool              // the stream has passed all marks
	newest     uint32            // the greatest generation of any table that did not stand apart
	snapshot   *shapes           // the tables of the snapshot
	complete   bitmap
	away       bitmap // numbers of the tables that stand apart
	marks      map[uint32]position.Position
}

// Find reads what every sink holds. It fences nobody and changes nothing.
func (j *Job) Find(ctx context.Context) ([]*SinkState, error) {
	states, failed := j.Reach(ctx)
	for _, s := range j.sinks() {
		if err := failed[s.Name]; err != nil {
			return nil, err
		}
	}
	return states, nil
}

// Reach is Find of the sinks that can be asked, and tells by name why others cannot.
func (j *Job) Reach(ctx context.Context) (states []*SinkState, failed map[string]error) {
	failed = map[string]error{}
	for _, s := range j.sinks() {
		st := &SinkState{Sink: s}
		if err := j.look(ctx, st); err != nil {
			failed[s.Name] = err
			continue
		}
		states = append(states, st)
	}
	return states, failed
}

// sinks are those there are by now.
func (j *Job) sinks() []*Sink {
	j.adding.Lock()
	defer j.adding.Unlock()
	return j.Sinks
}

// Add adds a sink that could not be opened when the job began, while tasks may run.
func (j *Job) Add(s *Sink) {
	j.adding.Lock()
	defer j.adding.Unlock()
	j.Sinks = append(slices.Clone(j.Sinks), s)
}

// look reads what is committed into st, and into its parts.
func (j *Job) look(ctx context.Context, st *SinkState) error {
	claim, set, err := st.Sink.Positions(ctx, j.shard(st.Sink, st.task()))
	if err != nil {
		return err
	}
	st.Claim = claim
	if err := st.load(ctx, set); err != nil {
		return err
	}
	return j.lookParts(ctx, st)
}

// lookParts reads the parts that st names.
func (j *Job) lookParts(ctx context.Context, st *SinkState) error {
	st.Parts = nil
	for _, n := range st.away.numbers() {
		part := &SinkState{Sink: st.Sink, Number: n}
		if err := j.look(ctx, part); err != nil {
			return err
		}
		if part.At.IsZero() {
			return fault.New(fault.TargetBroken, "table number %d of sink %q stands apart and its stream has no place", n, st.Sink.Name)
		}
		st.Parts = append(st.Parts, part)
	}
	return nil
}

// task is the Shard.Task of s.
func (s *SinkState) task() string {
	if s.Number > 0 {
		return partTask(s.Number)
	}
	return streamTask
}

// part returns the part of a table; nil: it does not stand apart.
func (s *SinkState) part(number uint32) *SinkState {
	for _, p := range s.Parts {
		if p.Number == number {
			return p
		}
	}
	return nil
}

// done reports whether s waits for no chunk: it has no snapshot, or has passed it.
func (s *SinkState) done() bool { return s.Generation == 0 || s.Whole }

// greatest returns the greatest generation that any table of the sink has had.
func (s *SinkState) greatest() uint32 {
	most := max(s.Generation, s.newest)
	for _, p := range s.Parts {
		most = max(most, p.greatest())
	}
	return most
}

// load fills s from a stream shard's Set. Its Parts stay as they were.
func (s *SinkState) load(ctx context.Context, set position.Set) (err error) {
	defer func() { err = s.Sink.blame(ctx, err) }()
	at, ok := set[keyStream]
	if !ok {
		return nil
	}
	inc, err := noteNumber(set, keyLog)
	if err != nil {
		return err
	}
	gen, err := noteNumber(set, keyGeneration)
	if err != nil {
		return err
	}
	newest, err := noteNumber(set, keyNewest)
	if err != nil {
		return err
	}
	if s.edits, err = noteNumber(set, keyEdits); err != nil {
		return err
	}
	if s.Patterns, err = patternsIn(ctx, s.Sink, set[keyTables]); err != nil {
		return err
	}
	s.At, s.Incarnation, s.Generation, s.newest = at, uint16(inc), uint32(gen), uint32(newest)
	s.snapshot = nil
	if s.away = bitmapOf(set[keyApart]); s.away == nil && !set[keyApart].IsZero() {
		return fault.New(fault.TargetBroken, "a committed position set has %q for %s", set[keyApart].Token(), keyApart)
	}
	s.Reached = set[keyReached].Token()
	_, s.editing = set[keyEditing]
	s.Copied, s.complete = set[keyCopied], bitmapOf(set[keyComplete])
	_, s.Whole = set[keyWhole]
	s.marks = map[uint32]position.Position{}
	if err := s.loadRules(set); err != nil {
		return err
	}
	if s.Shapes, err = loadShapes(ctx, s.Sink, set[keySchemas].Token()); err != nil {
		return err
	}
	if s.Generation > 0 {
		s.snapshot, err = loadShapes(ctx, s.Sink, set[keySnapshot].Token())
	}
	return err
}

// Numbers returns the numbers of the snapshot's tables, least first.
func (s *SinkState) Numbers() []uint32 {
	if s.snapshot == nil {
		return nil
	}
	var out []uint32
	for _, t := range s.snapshot.tables {
		out = append(out, t.Number)
	}
	return out
}

// Table returns a table of the snapshot, or nil.
func (s *SinkState) Table(number uint32) *row.Table { return s.snapshot.table(number) }

// Tables returns the tables at the place the sink has reached, those that stand apart
// as they are there.
func (s *SinkState) Tables() []*row.Table {
	var out []*row.Table
	for _, t := range s.Shapes.all() {
		if p := s.part(t.Number); p != nil && p.Shapes.table(t.Number) != nil {
			t = p.Shapes.table(t.Number)
		}
		out = append(out, t)
	}
	return out
}

// Name is the name of a part's table at the place it has reached; empty: it was
// dropped there.
func (s *SinkState) Name() string {
	if s.Number == 0 || s.Shapes.table(s.Number) == nil {
		return ""
	}
	return s.Shapes.table(s.Number).Name.String()
}

// Beginning says how a sink without a place begins.
type Beginning struct {
	Snapshot bool
	// Start is where changes begin without a snapshot; zero: at the head.
	Start position.Position
	// Beside are the sinks that have begun before: tables have the same numbers in all.
	Beside []*SinkState
}

// Begin takes every sink's stream over, so that an older run ends and no later one
// can be numbered as this one is. For a sink without a place it commits the one
// to start from, with the shapes there, before anything is read for it; a restart
// never takes it again.
func (j *Job) Begin(ctx context.Context, states []*SinkState, b Beginning, claim connector.Claim) error {
	var fresh []*SinkState
	for _, s := range states {
		if s.At.IsZero() {
			fresh = append(fresh, s)
		} else if err := j.takeOver(ctx, s, claim); err != nil {
			return err
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	tables, p0, err := j.discover(ctx)
	if err != nil {
		return err
	}
	if !b.Snapshot && !b.Start.IsZero() {
		p0 = b.Start
	}
	others := slices.DeleteFunc(slices.Concat(states, b.Beside), func(s *SinkState) bool { return s.Shapes == nil })
	known := numbersOf(nil, others)
	for _, s := range fresh {
		if len(others) > 0 {
			s.edits = others[0].edits
		}
		if err := j.begin(ctx, s, numbered(tables, known), p0, b, claim); err != nil {
			return err
		}
	}
	return nil
}

// takeOver opens the stream of a sink that has a place and reads it again, as an
// older run may have moved on meanwhile.
func (j *Job) takeOver(ctx context.Context, s *SinkState, claim connector.Claim) error {
	if err := s.Sink.Prepare(ctx, s.Shapes.tables); err != nil {
		return err
	}
	w, set, err := s.Sink.Open(ctx, j.shard(s.Sink, s.task()), claim)
	if err != nil {
		return err
	}
	if err := errors.Join(s.load(ctx, set), w.Close(), j.lookParts(ctx, s)); err != nil {
		return err
	}
	for _, p := range s.Parts {
		if err := j.takeOver(ctx, p, claim); err != nil {
			return err
		}
	}
	return nil
}

// NoTables says that a source has no table for the patterns of a job.
func NoTables(patterns []string) error {
	return fault.New(fault.NoTables, "no table of the source matches %s", strings.Join(patterns, " ")).
		Try("patterns are database.table, as in shop.*; tables that the user has no right to are not seen: SHOW GRANTS says which it has")
}

func (j *Job) discover(ctx context.Context) ([]*row.Table, position.Position, error) {
	tables, p0, err := j.Source.Discover(ctx, j.Tables)
	if err != nil {
		return nil, p0, err
	}
	if len(tables) == 0 {
		return nil, p0, NoTables(j.Tables.Patterns)
	}
	if p0.IsZero() {
		return nil, p0, fault.New(fault.SourceSettings, "the source keeps no log of changes").
			Try("switch the log on; godwit check says how")
	}
	return tables, p0, nil
}

func (j *Job) begin(ctx context.Context, s *SinkState, at *shapes, p0 position.Position, b Beginning, claim connector.Claim) (err error) {
	if b.Snapshot {
		at.begin(1)
	}
	if err := s.Sink.Prepare(ctx, at.tables); err != nil {
		return err
	}
	if err := at.keep(ctx, s.Sink, nil); err != nil {
		return err
	}
	w, set, err := s.Sink.Open(ctx, j.shard(s.Sink, streamTask), claim)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if _, begun := set[keyStream]; begun { // another run was quicker: its beginning counts
		return s.load(ctx, set)
	}
	chosen, err := patternsNote(ctx, s.Sink, patterns(j.Tables))
	if err != nil {
		return err
	}
	set = position.Set{
		keyStream:  p0,
		keySchemas: position.Note(at.id),
		keyLog:     numberNote(0),
		keyTables:  chosen,
	}
	s.keepEdits(set)
	if b.Snapshot {
		set[keyGeneration] = numberNote(1)
		set[keySnapshot] = position.Note(at.id)
	}
	if err := w.Commit(ctx, set); err != nil {
		return err
	}
	return s.load(ctx, set)
}

// keepEdits writes how many edits there were, and the rules, into a Set that is made anew.
func (s *SinkState) keepEdits(set position.Set) {
	s.keepRules(set)
	if s.edits > 0 {
		set[keyEdits] = numberNote(s.edits)
	}
}

func patterns(s connector.Selector) string { return strings.Join(s.Patterns, " ") }

// shortPatterns is up to which length patterns stand in a Set: it holds few KiB in all. A
// note of longer ones is "@" and what they are kept under.
const shortPatterns = 4 << 10

func patternsNote(ctx context.Context, s *Sink, text string) (position.Position, error) {
	if len(text) <= shortPatterns {
		return position.Note(text), nil
	}
	sum := sha256.Sum256([]byte(text))
	id := hex.EncodeToString(sum[:16])
	_, err := s.Once(ctx, patternsKey(id), []byte(text))
	return position.Note("@" + id), err
}

func patternsIn(ctx context.Context, s *Sink, note position.Position) (string, error) {
	id, long := strings.CutPrefix(note.Token(), "@")
	if !long || strings.Contains(id, ".") { // a pattern has a dot
		return note.Token(), nil
	}
	b, err := s.Once(ctx, patternsKey(id), nil)
	if err == nil && b == nil {
		err = fault.New(fault.TargetLost, "the patterns %s that a position names are gone", id).Try("restore the control folder, or write to a new target")
	}
	return string(b), err
}

func patternsKey(id string) string { return "tables/" + id }

// Again starts a new generation in every sink: a truncate row for each table,
// then a new snapshot from a new place. Nothing is deleted. Tasks of the old
// generation that may still run are fenced first, also those never opened.
func (j *Job) Again(ctx context.Context, states []*SinkState, claim connector.Claim) error {
	tables, p0, err := j.discover(ctx)
	if err != nil {
		return err
	}
	for _, s := range states {
		if s.At.IsZero() {
			continue // Begin does it
		}
		if err := j.fenceAll(ctx, s, claim); err != nil {
			return err
		}
		if err := j.again(ctx, s, numbered(tables, numbersOf(s.Shapes, states)), p0, claim); err != nil {
			return err
		}
	}
	return nil
}

// fenceAll fences the chunks of s and, with their streams, its parts.
func (j *Job) fenceAll(ctx context.Context, s *SinkState, claim connector.Claim) error {
	for _, p := range s.Parts {
		if err := errors.Join(j.takeOver(ctx, p, claim), j.fence(ctx, p, claim)); err != nil {
			return err
		}
	}
	return j.fence(ctx, s, claim)
}

// fence opens every chunk shard of the present generation, so that no older
// attempt can commit to one any more.
func (j *Job) fence(ctx context.Context, s *SinkState, claim connector.Claim) error {
	for _, n := range s.Numbers() {
		p, _, err := planOf(ctx, s.Sink, s.Generation, n)
		if err != nil {
			return err
		}
		if p == nil {
			continue
		}
		for r := range p.Runs {
			w, _, err := s.Sink.Open(ctx, j.shard(s.Sink, p.task(r)), claim)
			if err != nil {
				return err
			}
			if err := w.Close(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (j *Job) again(ctx context.Context, s *SinkState, at *shapes, p0 position.Position, claim connector.Claim) (err error) {
	w, set, err := s.Sink.Open(ctx, j.shard(s.Sink, streamTask), claim)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if err := s.load(ctx, set); err != nil {
		return err
	}
	gen, inc := s.greatest()+1, s.Incarnation
	for _, p := range s.Parts {
		inc = max(inc, p.Incarnation)
	}
	if inc, err = follows(inc, gen, true); err != nil {
		return err
	}
	at.begin(gen)
	tables := unionTables(s)
	if err := reshape(ctx, s.Sink, w, tables, at); err != nil {
		return err
	}
	for _, t := range tables {
		b := row.TruncateAt(j.Pool, t, p0, gen).In(inc)
		err := w.Apply(ctx, b)
		b.Release()
		if err != nil {
			return err
		}
	}
	if err := at.keep(ctx, s.Sink, nil); err != nil {
		return err
	}
	chosen, err := patternsNote(ctx, s.Sink, patterns(j.Tables))
	if err != nil {
		return err
	}
	set = position.Set{
		keyStream:     p0,
		keySchemas:    position.Note(at.id),
		keyLog:        numberNote(uint64(inc)),
		keyTables:     chosen,
		keyGeneration: numberNote(uint64(gen)),
		keySnapshot:   position.Note(at.id),
	}
	s.keepEdits(set)
	if err := w.Commit(ctx, set); err != nil {
		return err
	}
	s.Parts = nil
	return s.load(ctx, set)
}

// reshape gives the target, whose tables are emptied next, the shapes at which a generation
// begins: the log that tells of their changes may be gone. Versions go on rising, as sinks
// may keep what each of them was, and in which generation.
func reshape(ctx context.Context, sink connector.Sink, w connector.Writer, tables []*row.Table, at *shapes) error {
	for i, before := range tables {
		now := at.table(before.Number)
		if now == nil {
			continue
		}
		tables[i] = now
		if now.Version = before.Version; now.Version == 0 && before.SameShape(now) {
			continue // nothing was ever told of its shapes
		}
		now.Version++
		if err := sink.Prepare(ctx, []*row.Table{now}); err != nil {
			return err
		}
		if err := w.Evolve(ctx, &row.SchemaChange{Kind: row.Alter, Before: before, After: now, Anew: true}); err != nil {
			return err
		}
	}
	return nil
}

// follows returns the incarnation in which a generation begins whose rows sort after those of
// one before: another one where the log is another, everything begins anew, or counters
// do not tell generations apart any more.
func follows(before uint16, generation uint32, anew bool) (uint16, error) {
	if !anew && generation <= row.CountedGenerations {
		return before, nil
	}
	if before == math.MaxUint16 {
		return 0, fault.New(fault.JobEdit, "tables were read again too often for this target").Try("write to a new target")
	}
	return before + 1, nil
}

// unionTables returns every table that may have rows in the target, in the shape that it
// has there: of one that stands apart its part knows it.
func unionTables(s *SinkState) []*row.Table {
	var out []*row.Table
	add := func(more *shapes) {
		for _, t := range more.all() {
			if !slices.ContainsFunc(out, func(o *row.Table) bool { return o.Number == t.Number }) {
				out = append(out, t)
			}
		}
	}
	for _, p := range s.Parts {
		add(p.Shapes)
		add(p.snapshot)
	}
	add(s.Shapes)
	add(s.snapshot)
	return out
}

// rebase translates the sinks' places to the log the source has now.
func (j *Job) rebase(ctx context.Context, appliers []applier) error {
	r, ok := j.Source.(connector.Rebaser)
	if !ok {
		return nil
	}
	var places []position.Position
	for _, a := range appliers {
		places = append(places, a.(*streamApplier).at)
	}
	now, err := r.Rebase(ctx, places)
	if err != nil {
		return err
	}
	for i, a := range appliers {
		s := a.(*streamApplier)
		if now[i].Log() != s.at.Log() {
			if !s.state.Whole && s.state.Generation > 0 {
				return movedOn(s.state)
			}
			s.state.Incarnation++
			s.touch()
		}
		s.at = now[i]
	}
	return nil
}

// inLog translates the end of a stream to the log that is read, where the source was
// another server when the end was fixed.
func (j *Job) inLog(ctx context.Context, end position.Position, log string) (position.Position, error) {
	r, ok := j.Source.(connector.Rebaser)
	if !ok || end.IsZero() || end.Log() == log {
		return end, nil
	}
	now, err := r.Rebase(ctx, []position.Position{end})
	if err != nil {
		return end, err
	}
	return now[0], nil
}
