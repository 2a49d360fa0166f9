package flow

import (
	"context"
	"errors"
	"slices"
	"strings"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

// SinkState is what one sink holds of a job, read from the sink.
type SinkState struct {
	Sink        *Sink
	Claim       connector.Claim
	At          position.Position // zero: nothing was begun
	Shapes      *shapes
	Incarnation uint16
	Patterns    string // that chose the tables, joined by spaces
	Reached     string // the end the last run was asked for and came to
	// Generation is 0 when there is no snapshot.
	Generation uint32
	Copied     position.Position // greatest mark, once all chunks are committed
	Whole      bool              // the stream has passed all marks
	snapshot   *shapes           // the tables of the snapshot
	complete   bitmap
	marks      map[uint32]position.Position
}

// Find reads what every sink holds. It fences nobody and changes nothing.
func (j *Job) Find(ctx context.Context) ([]*SinkState, error) {
	var out []*SinkState
	for _, s := range j.Sinks {
		claim, set, err := s.Positions(ctx, j.shard(s, streamTask))
		if err != nil {
			return nil, err
		}
		st := &SinkState{Sink: s, Claim: claim}
		if err := st.load(ctx, set); err != nil {
			return nil, err
		}
		out = append(out, st)
	}
	return out, nil
}

// load fills s from a stream shard's Set.
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
	s.At, s.Incarnation, s.Generation = at, uint16(inc), uint32(gen)
	s.Patterns, s.Reached = set[keyTables].Token(), set[keyReached].Token()
	s.Copied, s.complete = set[keyCopied], bitmapOf(set[keyComplete])
	_, s.Whole = set[keyWhole]
	s.marks = map[uint32]position.Position{}
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

// Tables returns the tables at the place the sink has reached.
func (s *SinkState) Tables() []*row.Table {
	if s.Shapes == nil {
		return nil
	}
	return s.Shapes.tables
}

// Beginning says how a sink without a place begins.
type Beginning struct {
	Snapshot bool
	// Start is where changes begin without a snapshot; zero: at the head.
	Start position.Position
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
	for _, s := range fresh {
		if err := j.begin(ctx, s, numbered(tables, anyShapes(states)), p0, b, claim); err != nil {
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
	w, set, err := s.Sink.Open(ctx, j.shard(s.Sink, streamTask), claim)
	if err != nil {
		return err
	}
	return errors.Join(s.load(ctx, set), w.Close())
}

func (j *Job) discover(ctx context.Context) ([]*row.Table, position.Position, error) {
	tables, p0, err := j.Source.Discover(ctx, j.Tables)
	if err != nil {
		return nil, p0, err
	}
	if len(tables) == 0 {
		return nil, p0, fault.New(fault.NoTables, "no table of the source matches %s", strings.Join(j.Tables.Patterns, " "))
	}
	if p0.IsZero() {
		return nil, p0, fault.New(fault.SourceSettings, "the source keeps no log of changes").
			Try("switch the log on; godwit check says how")
	}
	return tables, p0, nil
}

// anyShapes returns shapes that some sink knows, for the numbers of tables.
func anyShapes(states []*SinkState) *shapes {
	for _, s := range states {
		if s.Shapes != nil {
			return s.Shapes
		}
	}
	return nil
}

func (j *Job) begin(ctx context.Context, s *SinkState, at *shapes, p0 position.Position, b Beginning, claim connector.Claim) (err error) {
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
	set = position.Set{
		keyStream:  p0,
		keySchemas: position.Note(at.id),
		keyLog:     numberNote(0),
		keyTables:  position.Note(patterns(j.Tables)),
	}
	if b.Snapshot {
		set[keyGeneration] = numberNote(1)
		set[keySnapshot] = position.Note(at.id)
	}
	if err := w.Commit(ctx, set); err != nil {
		return err
	}
	return s.load(ctx, set)
}

func patterns(s connector.Selector) string { return strings.Join(s.Patterns, " ") }

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
		if err := j.fence(ctx, s, claim); err != nil {
			return err
		}
		if err := j.again(ctx, s, numbered(tables, s.Shapes), p0, claim); err != nil {
			return err
		}
	}
	return nil
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
	if s.Generation+1 > row.MaxGeneration || s.Incarnation == 1<<16-1 {
		return fault.New(fault.JobEdit, "the job was started again too often for this target").Try("write to a new target")
	}
	w, set, err := s.Sink.Open(ctx, j.shard(s.Sink, streamTask), claim)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if err := s.load(ctx, set); err != nil {
		return err
	}
	gen, inc := s.Generation+1, s.Incarnation+1
	for _, t := range unionTables(s) {
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
	set = position.Set{
		keyStream:     p0,
		keySchemas:    position.Note(at.id),
		keyLog:        numberNote(uint64(inc)),
		keyTables:     position.Note(patterns(j.Tables)),
		keyGeneration: numberNote(uint64(gen)),
		keySnapshot:   position.Note(at.id),
	}
	if err := w.Commit(ctx, set); err != nil {
		return err
	}
	s.Copied, s.Whole = position.Position{}, false
	return s.load(ctx, set)
}

// unionTables returns every table that may have rows in the target.
func unionTables(s *SinkState) []*row.Table {
	out := slices.Clone(s.Shapes.tables)
	if s.snapshot != nil {
		for _, t := range s.snapshot.tables {
			if s.Shapes.table(t.Number) == nil {
				out = append(out, t)
			}
		}
	}
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
				return fault.New(fault.SourceDiverged, "the source's log changed while the snapshot of sink %q was not complete", s.lane.sink.Name).
					Try("godwit run --again")
			}
			s.state.Incarnation++
			s.touch()
		}
		s.at = now[i]
	}
	return nil
}
