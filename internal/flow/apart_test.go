package flow

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

// A life in which tables leave the others, are read again, join, are added and removed,
// while the source changes and the process dies at any durable act. Attempts that the
// engine has given up still run, and commit when they can.

type apartLife struct {
	*rand.Rand
	src     *logSource
	sinks   []*memSink
	wrap    func(*memSink) connector.Sink
	claim   connector.Claim
	away    map[row.Name]bool // wanted apart
	healing map[row.Name]bool // marked
	tables  []string          // patterns
	before  []string          // of the edit that may be refused
	mode    Beginning
	zombies []*zombie
	seen    map[string]int
	most    int  // tables apart at once
	without bool // the second sink is no part of the job
	calm    bool // nobody wants anything else any more
	plans   bool // planning, or a resync, goes on
}

// zombie is an attempt that hangs in a commit.
type zombie struct {
	release chan struct{}
	ended   chan error
}

// stalled hangs in its first commit that has rows, or a place, in it.
type stalled struct {
	connector.Sink
	at, go_ chan struct{}
	once    *sync.Once
}

func (s stalled) Open(ctx context.Context, sh connector.Shard, c connector.Claim) (connector.Writer, position.Set, error) {
	w, set, err := s.Sink.Open(ctx, sh, c)
	return stalledWriter{w, s}, set, err
}

func (s stalled) History() bool { return s.Sink.(connector.Historian).History() }

type stalledWriter struct {
	connector.Writer
	s stalled
}

func (w stalledWriter) Commit(ctx context.Context, set position.Set) error {
	w.s.once.Do(func() { close(w.s.at) })
	<-w.s.go_
	return w.Writer.Commit(ctx, set)
}

func newApartLife(seed uint64) *apartLife {
	l := &apartLife{
		Rand: rand.New(rand.NewPCG(seed, 5)), src: newStoppingSource(seed, 150, map[int]int{30: 1, 60: 4, 90: 2, 120: 1}), away: map[row.Name]bool{}, tables: []string{"db.*"},
		mode: Beginning{Snapshot: seed%5 != 4}, seen: map[string]int{}, wrap: func(m *memSink) connector.Sink { return m },
	}
	for range 1 + seed%2 {
		l.sinks = append(l.sinks, newMemSink())
	}
	l.src.head, l.src.perRead = 5, 1
	l.before, l.most = l.tables, 1+int(seed%4)
	return l
}

func (l *apartLife) job() *Job {
	j := newJob(l.src, l.sinks...)
	for i, s := range j.Sinks {
		s.Sink = l.wrap(l.sinks[i])
	}
	j.Tables = connector.Selector{Patterns: l.tables}
	return j
}

func (l *apartLife) next() connector.Claim {
	l.claim.Attempt++
	return l.claim
}

// one lives through one process: some plans, and tasks after each.
func (l *apartLife) one(ctx context.Context, plans int) error {
	l.claim = connector.Claim{Run: l.claim.Run + 1}
	j := l.job()
	states, err := j.Find(ctx)
	if err != nil {
		return err
	}
	if err := j.Begin(ctx, states, l.mode, l.next()); err != nil {
		return err
	}
	if l.claim.Run == 1 && l.IntN(2) == 0 {
		l.age()
	}
	for range plans {
		if err := l.plan(ctx, j); err != nil {
			return err
		}
		l.wish()
		j.Tables.Patterns = l.tables
	}
	return nil
}

// age has had so many generations that counters tell the next ones no more apart.
func (l *apartLife) age() {
	l.seen["aged"]++
	for _, s := range l.sinks {
		s.mu.Lock()
		s.shards[streamTask].set[keyNewest] = numberNote(row.CountedGenerations - 1)
		s.mu.Unlock()
	}
}

func (l *apartLife) plan(ctx context.Context, j *Job) error {
	l.src.mu.Lock()
	l.src.head = min(l.src.head+l.IntN(4), len(l.src.log))
	l.src.mu.Unlock()
	states, err := j.Find(ctx)
	if err != nil {
		return err
	}
	if Edited(states, j.Tables) && !Edited(states[:1], j.Tables) {
		l.seen["edit missed"]++
	}
	if l.without && len(states) > 1 && states[1].done() {
		states = states[:1]
	}
	l.healing = map[row.Name]bool{}
	for _, s := range states {
		for _, of := range append([]*SinkState{s}, s.Parts...) {
			for _, t := range of.Shapes.tables {
				if t.Stopped != "" && (of != s || !s.away.has(t.Number)) {
					l.healing[t.Name] = true
				}
			}
		}
	}
	if l.IntN(3) == 0 {
		l.wake()
	}
	l.hang(ctx, j, states)
	l.plans = true
	err = j.Arrange(ctx, states, l.wanted(), l.next())
	l.plans = false
	if fault.Has(err, fault.JobEdit) {
		l.seen["edit refused"]++
		l.tables = l.before
		j.Tables.Patterns = l.tables
		return nil
	}
	if err != nil {
		return err
	}
	l.before = l.tables
	l.count(states)
	return l.tasks(ctx, j, states)
}

func (l *apartLife) wanted() Wanted {
	return Wanted{
		Apart:    func(n row.Name) bool { return l.away[n] || l.calm && l.healing[n] },
		Caught:   func(*SinkState) bool { return l.IntN(2) == 0 },
		Snapshot: l.mode.Snapshot, Most: l.most,
	}
}

func (l *apartLife) count(states []*SinkState) {
	for _, s := range states {
		l.seen[fmt.Sprintf("%d apart", len(s.Parts))]++
		for _, p := range s.Parts {
			if p.Generation > 1 && p.Whole {
				l.seen["read again"]++
			}
		}
		l.seen[fmt.Sprintf("%d tables", len(s.Shapes.tables))]++
		if s.Whole {
			l.seen["whole"]++
		}
	}
}

// hang leaves an attempt behind that hangs in a commit.
func (l *apartLife) hang(ctx context.Context, j *Job, states []*SinkState) {
	if l.IntN(3) > 0 {
		return
	}
	at := l.IntN(len(states))
	s := states[at]
	if len(s.Parts) > 0 && l.IntN(3) > 0 {
		s = s.Parts[l.IntN(len(s.Parts))]
	}
	for _, p := range s.Parts { // a copy of a table without a key shows more
		if missing, err := l.missing(ctx, j, p); missing && err == nil && p.Number%2 == 0 {
			s = p
		}
	}
	if missing, err := l.missing(ctx, j, s); err != nil || s.At.IsZero() {
		return
	} else if missing {
		l.hangCopy(ctx, j, s)
		return
	}
	stall := stalled{Sink: l.sinks[at], at: make(chan struct{}), go_: make(chan struct{}), once: &sync.Once{}}
	of := newJob(l.src)
	of.Tables = j.Tables
	sink := through(j.Sinks[at], stall)
	other := *s
	other.Sink = sink
	of.Sinks = []*Sink{sink}
	z := &zombie{release: stall.go_, ended: make(chan error, 1)}
	claim := l.next()
	end := min(countOf(s.At)+1+l.IntN(5), len(l.src.log))
	l.src.head = max(l.src.head, end)
	go func() {
		z.ended <- of.Stream(ctx, &StreamTask{Sinks: []*SinkState{&other}, Until: connector.Until{Place: placeAfter(end)}}, claim)
	}()
	select {
	case <-stall.at:
		l.zombies = append(l.zombies, z)
		l.seen["hangs"]++
	case <-z.ended:
	}
}

// through is a sink as another process has it.
func through(s *Sink, inner connector.Sink) *Sink {
	return &Sink{Sink: inner, Name: s.Name, Every: s.Every, Bytes: s.Bytes}
}

// hangCopy leaves a copy behind that has read nothing yet.
func (l *apartLife) hangCopy(ctx context.Context, j *Job, s *SinkState) {
	numbers := s.Numbers()
	tasks, err := j.PlanTable(ctx, numbers[l.IntN(len(numbers))], []*SinkState{s})
	if err != nil {
		return
	}
	slow := &slowSource{logSource: l.src, at: make(chan struct{}), release: make(chan struct{})}
	of := newJob(l.src)
	of.Source, of.Tables = slow, j.Tables
	z := &zombie{release: slow.release, ended: make(chan error, 1)}
	other := *s
	other.Sink = through(s.Sink, l.sinks[slices.Index(j.Sinks, s.Sink)])
	task := *tasks[l.IntN(len(tasks))]
	task.Sinks = []*SinkState{&other}
	claim := l.next()
	go func() { z.ended <- of.RunChunks(ctx, &task, claim) }()
	select {
	case <-slow.at:
		l.zombies = append(l.zombies, z)
		l.seen["copies hang"]++
	case <-z.ended:
	}
}

// slowSource waits before it reads.
type slowSource struct {
	*logSource
	at, release chan struct{}
	once        sync.Once
}

func (s *slowSource) Read(ctx context.Context, split connector.Split, from position.Position, emit func(*row.Batch) error) error {
	s.once.Do(func() { close(s.at) })
	<-s.release
	return s.logSource.Read(ctx, split, from, emit)
}

// wake lets attempts that hang go on, to their end.
func (l *apartLife) wake() {
	for _, z := range l.zombies {
		close(z.release)
		if err := <-z.ended; fault.Has(err, fault.FencedOff) {
			l.seen["fenced"]++
		}
	}
	l.zombies = nil
}

// missing reports whether chunks are missing before a stream.
func (l *apartLife) missing(ctx context.Context, j *Job, s *SinkState) (bool, error) {
	if s.done() {
		return false, nil
	}
	for _, n := range s.Numbers() {
		if _, missing, err := j.tableMark(ctx, s, n); missing > 0 || err != nil {
			return true, err
		}
	}
	return false, nil
}

// tasks carries out some of what there is to do.
func (l *apartLife) tasks(ctx context.Context, j *Job, states []*SinkState) error {
	seats := map[uint32][]*SinkState{0: states}
	for _, s := range states {
		for _, p := range s.Parts {
			seats[p.Number] = append(seats[p.Number], p)
		}
	}
	for _, number := range slices.Sorted(maps.Keys(seats)) {
		of := seats[number]
		if l.IntN(4) == 0 {
			continue
		}
		if number > 0 && marked(of) && l.IntN(2) == 0 {
			l.seen["heal"]++
			if err := l.resync(ctx, j, of[0]); err != nil {
				return err
			}
			continue
		}
		if number > 0 && wantedApart(of[0], l.wanted()) && l.IntN(3) > 0 { // paused
			if l.IntN(2) == 0 {
				continue
			}
			l.seen["resync"]++
			if err := l.resync(ctx, j, of[0]); err != nil {
				return err
			}
			continue
		}
		if err := l.carry(ctx, j, of); err != nil {
			return err
		}
	}
	return nil
}

func (l *apartLife) resync(ctx context.Context, j *Job, p *SinkState) error {
	if len(p.Shapes.tables) == 0 {
		return nil
	}
	l.plans = true
	defer func() { l.plans = false }()
	states, err := j.Find(ctx)
	if err != nil {
		return err
	}
	return j.Resync(ctx, states, p.Shapes.tables[0].Name, l.next())
}

// marked reports whether a table waits for a resync.
func marked(of []*SinkState) bool {
	return slices.ContainsFunc(of, func(s *SinkState) bool {
		return slices.ContainsFunc(s.Shapes.tables, func(t *row.Table) bool { return t.Stopped != "" })
	})
}

// carry copies what is missing, mostly, and then streams.
func (l *apartLife) carry(ctx context.Context, j *Job, of []*SinkState) error {
	numbers := map[uint32]bool{}
	var copying []*SinkState
	for _, s := range of {
		if !s.done() {
			copying = append(copying, s)
			for _, n := range s.Numbers() {
				numbers[n] = true
			}
		}
	}
	for _, n := range slices.Sorted(maps.Keys(numbers)) {
		tasks, err := j.PlanTable(ctx, n, copying)
		if err != nil {
			return err
		}
		for _, t := range tasks {
			if l.IntN(6) == 0 {
				continue
			}
			if err := j.RunChunks(ctx, t, l.next()); err != nil {
				return err
			}
		}
	}
	for _, g := range Together(of) {
		least := g[0]
		for _, s := range g {
			if missing, err := l.missing(ctx, j, s); missing || err != nil {
				return err
			}
			if s.At.Order() < least.At.Order() {
				least = s
			}
		}
		end := min(countOf(least.At)+l.IntN(10), l.src.head)
		if err := j.Stream(ctx, &StreamTask{Sinks: g, Until: connector.Until{Place: placeAfter(end)}}, l.next()); err != nil {
			return err
		}
		for _, s := range g {
			if err := j.look(ctx, s); err != nil {
				return err
			}
		}
	}
	return nil
}

// wish changes what is wanted.
func (l *apartLife) wish() {
	if l.calm {
		return
	}
	if l.IntN(6) == 0 {
		l.without = !l.without
	}
	n := modelTables[1+l.IntN(4)]
	switch l.IntN(5) {
	case 0:
		l.away[n] = true
	case 1, 2:
		delete(l.away, n)
	case 3:
		edits := [][]string{{"db.*"}, {"*.*"}, {"*.keyed"}, {"*.*", "!db.bag"}, {"ex.*"}}
		l.tables = edits[l.IntN(len(edits))]
	}
}

// live lives to the end of the log and returns what was wrong.
func (l *apartLife) live(ctx context.Context, crashes bool) error {
	for round := 0; ; round++ {
		if crashes && round < 40 {
			for _, m := range l.sinks {
				m.crash = &crash{at: l.IntN(120), after: l.IntN(2) == 0}
			}
		}
		err := l.one(ctx, 1+l.IntN(4))
		if err != nil && !errors.Is(err, errCrash) {
			return fmt.Errorf("round %d: %w", round, err)
		}
		if l.IntN(2) == 0 {
			l.wake()
		}
		for i, m := range l.sinks {
			l.seen["crashes"] += map[bool]int{true: 1}[m.crash.gone]
			m.crash = &crash{at: -1}
			if err := judge(l.src, m); err != nil {
				return fmt.Errorf("round %d, sink %d: %w", round, i, err)
			}
		}
		if round >= 40 {
			break
		}
	}
	l.wake()
	clear(l.away)
	l.calm, l.without = true, false
	for range 200 {
		if err := l.one(ctx, 2); err != nil {
			return fmt.Errorf("at the end: %w", err)
		}
		l.wake()
		if over, err := l.over(ctx); over || err != nil {
			return err
		}
	}
	return fmt.Errorf("it does not come to its end: %s", l.describe(ctx))
}

func (l *apartLife) describe(ctx context.Context) (out string) {
	states, _ := l.job().Find(ctx)
	for _, s := range states {
		for _, p := range append([]*SinkState{s}, s.Parts...) {
			out += fmt.Sprintf("\n%s at %d of %d, generation %d, whole %v, %q, tables", p.task(), countOf(p.At), len(l.src.log), p.Generation, p.Whole, p.Patterns)
			for _, t := range p.Shapes.tables {
				out += fmt.Sprintf(" %d=%s", t.Number, t.Name)
			}
		}
	}
	return out
}

// over reports whether all tables are together at the end of the log, and judges.
func (l *apartLife) over(ctx context.Context) (bool, error) {
	states, err := l.job().Find(ctx)
	if err != nil {
		return false, err
	}
	for i, s := range states {
		if err := judge(l.src, l.sinks[i]); err != nil {
			return false, fmt.Errorf("at the end, sink %d: %w", i, err)
		}
		if s.Patterns != patterns(connector.Selector{Patterns: l.tables}) || len(s.Parts) > 0 || marked([]*SinkState{s}) || !s.done() || countOf(s.At) < len(l.src.log) {
			return false, nil
		}
		for _, t := range s.Shapes.tables {
			if !(connector.Selector{Patterns: l.tables}).Match(t.Name) {
				return false, fmt.Errorf("%s is still there, chosen are %v", t.Name, l.tables)
			}
		}
		var want int
		for _, n := range modelTables[1:] {
			if (connector.Selector{Patterns: l.tables}).Match(n) {
				want++
			}
		}
		if len(s.Shapes.tables) != want {
			return false, fmt.Errorf("%d tables of %v are there", len(s.Shapes.tables), l.tables)
		}
		if first := states[0]; !maps.Equal(s.Shapes.names(), first.Shapes.names()) || s.Shapes.next != first.Shapes.next || s.edits != first.edits {
			return false, fmt.Errorf("tables are %v, next %d, in one sink and %v, next %d, in another", first.Shapes.names(), first.Shapes.next, s.Shapes.names(), s.Shapes.next)
		}
	}
	return true, nil
}

func TestApart_when_tables_come_and_go(t *testing.T) {
	lives := uint64(10)
	if os.Getenv("GODWIT_SOAK") == "1" {
		lives = 1000
	}
	seen := map[string]int{}
	for seed := range lives {
		l := newApartLife(seed)
		err := l.live(t.Context(), seed%4 > 0)
		for k, n := range l.seen {
			seen[k] += n
		}
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	t.Log(seen)
	for _, k := range []string{"2 apart", "4 tables", "crashes", "fenced", "resync", "heal", "read again", "hangs", "edit missed", "aged"} {
		if seen[k] == 0 {
			t.Errorf("never: %s", k)
		}
	}
}
