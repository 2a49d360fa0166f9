package table

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"godwit/internal/connector"
	"godwit/internal/engine"
	"godwit/internal/engine/local"
	"godwit/internal/fault"
	"godwit/internal/flow"
	"godwit/internal/job"
	"godwit/internal/position"
	"godwit/internal/watch"
)

// work is one run of a table job as its engine sees it (engine.Work). Fields without a
// word about it are written by Find alone, before it finds the first task.
type work struct {
	*opened // nil: nothing is open yet
	connect func(context.Context) (*opened, error)
	spec    *job.Spec
	options engine.Options
	state   *local.State
	record  *watch.Job
	before  map[string]job.TaskState // what was kept of the tasks of earlier lives
	life    context.Context          // of the run

	run     uint64 // 0: it has no number yet
	started bool   // the run is noted, and so is to be its end
	nothing bool   // every sink is where it is to be
	again   bool   // a new generation is to be begun
	begun   bool   // every sink has the place this run starts from
	until   connector.Until
	late    map[string]bool // sinks whose stream begins after their copies
	fixed   bool            // until is
	// stopKeeping and unwatch end what goes on beside the tasks.
	stopKeeping, unwatch func()

	mu      sync.Mutex      // guards what follows
	opens   uint64          // attempts that have opened shards in this run: the number of the last
	running int             // streams of all tables that run
	caught  map[string]bool // parts that were where the others are
	copies  map[string]*flow.ChunkTask
	streams map[string]*flow.StreamTask
	open    map[string]*flow.ChunkTask // those of copies that planning has found so far
	copied  map[string]bool            // copy tasks that have finished since planning looked for them
	left    map[string]map[string]bool // those of a table that have not
	ready   map[string]bool            // sinks that have the place this run starts from
	asides  map[string]aside           // sinks that go alone, or did
	logs    map[string]sinkLog         // by sink
	// unreached are the sinks that could not be asked, and why; reaches counts how often
	// one could be asked again.
	unreached map[string]error
	reaches   int
}

// newWork is a run about which nothing is known yet. The caller closes.
func newWork(ctx context.Context, s *job.Spec, o engine.Options, state *local.State) *work {
	w := &work{
		spec: s, options: o, state: state, record: o.Watch, again: o.Again, life: ctx, late: map[string]bool{}, before: map[string]job.TaskState{},
		caught: map[string]bool{}, copies: map[string]*flow.ChunkTask{}, streams: map[string]*flow.StreamTask{}, copied: map[string]bool{}, left: map[string]map[string]bool{},
		ready: map[string]bool{}, asides: map[string]aside{}, logs: map[string]sinkLog{}, unreached: map[string]error{},
		stopKeeping: func() {}, unwatch: func() {},
	}
	if o.Driving != nil {
		for _, t := range o.Driving.From.Tasks {
			w.before[t.ID] = t
		}
	}
	return w
}

// close ends all connections.
func (w *work) close() error {
	if w.opened == nil {
		return nil
	}
	return w.opened.close()
}

// Task ids of streams: sinks whose snapshot is whole stream at once, the others
// after their chunks.
const (
	streamNow   = "stream"
	afterCopies = " after copies"
	streamAfter = streamNow + afterCopies
)

// begin opens the systems, begins the run and returns what the sinks hold that can be
// asked. What it has done before it does not do again: after a failure it goes on, after
// success it only looks.
func (w *work) begin(ctx context.Context) ([]*flow.SinkState, error) {
	states, err := w.reached(ctx)
	if err != nil {
		return states, err
	}
	if !w.begun {
		if !w.started {
			if err := w.start(ctx, states); err != nil || w.nothing {
				return nil, err
			}
		}
		if err := w.prepare(ctx, states); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(states, func(s *flow.SinkState) bool { return !w.isReady(s.Sink.Name) }), nil
}

// prepare begins the sinks, and the run with them. One that fails is left to itself
// where the run bears that, and the others begin without it.
func (w *work) prepare(ctx context.Context, states []*flow.SinkState) error {
	rest := slices.Clone(states)
	for {
		err := w.beginSinks(ctx, rest, nil, connector.Claim{Run: w.run})
		if err == nil {
			break
		}
		sink := fault.Of(err).Sink
		others := slices.DeleteFunc(slices.Clone(rest), func(s *flow.SinkState) bool { return s.Sink.Name == sink })
		if !w.bears() || ctx.Err() != nil || len(others) == 0 || len(others) == len(rest) {
			return err
		}
		w.lacks(sink, err)
		rest = others
	}
	// A job file counts once something was made of it: until then it may be edited as
	// one likes.
	if err := w.state.KeepSpec(context.WithoutCancel(ctx), w.spec); err != nil {
		return err
	}
	w.begun, w.unwatch = true, w.watchLog(w.life)
	return nil
}

// copying reports whether a sink's snapshot is not whole.
func copying(s *flow.SinkState) bool { return s.Generation > 0 && !s.Whole }

// start numbers the run and notes that it begins, unless there is nothing to do.
func (w *work) start(ctx context.Context, states []*flow.SinkState) (err error) {
	if w.run, err = nextRun(ctx, w.state, states); err != nil {
		return err
	}
	for _, s := range states {
		w.record.Opened(s.Sink.Name, s.At, 0)
	}
	if !w.again {
		if err := w.fits(states); err != nil {
			return err
		}
		if w.nothing, err = w.finished(ctx, states); err != nil || w.nothing {
			return err
		}
	}
	keep := context.WithoutCancel(ctx) // it began, also when it is stopped now
	if err := w.state.StartRun(keep, w.run); err != nil {
		return err
	}
	w.record.Parallel(parallel(w.spec, w.options))
	w.record.Began(w.run, w.begins(states))
	w.started, w.stopKeeping = true, w.state.KeepProgress(keep, w.options.Driving != nil, w.record.Snapshot)
	return nil
}

// finished reports whether every sink has come to the end that the spec asks for,
// so that there is nothing to do. A run that was killed within its last commit
// still has that to finish.
func (w *work) finished(ctx context.Context, states []*flow.SinkState) (bool, error) {
	end := w.endAsked()
	if end == "" || len(states) < len(w.spec.Sinks) {
		return false, nil
	}
	for _, s := range states {
		if !w.over(s) {
			return false, nil
		}
		if settled, err := w.flow.Settled(ctx, s); err != nil || !settled {
			return false, err
		}
	}
	return true, nil
}

// endAsked is the note of the end that is asked for; empty when the next run has
// more to do.
func (o *opened) endAsked() string {
	switch {
	case o.spec.Mode == job.Snapshot:
		return "snapshot"
	case !o.spec.Until.Time.IsZero():
		return "time " + o.spec.Until.Time.UTC().Format(time.RFC3339Nano)
	}
	return ""
}

// fits refuses a job file that asks for something else than what the sinks hold.
func (w *work) fits(states []*flow.SinkState) error {
	if err := w.ruled(states); err != nil {
		return err
	}
	want := strings.Join(w.spec.Tables.Patterns, " ")
	begins := slices.ContainsFunc(states, func(s *flow.SinkState) bool { return s.At.IsZero() })
	for _, s := range states {
		switch {
		case s.At.IsZero():
		case s.Patterns != want && begins:
			return fault.New(fault.JobEdit, "tables changed from [%s] to [%s] while a new sink is to begin", s.Patterns, want).
				Try("take the edit of tables back until the new sink has its snapshot, or read everything again: godwit run --again %s", w.spec.File)
		case w.spec.Mode != job.Changes && s.Generation == 0:
			return fault.New(fault.JobEdit, "mode %s needs a snapshot, but sink %q was begun with mode changes", w.spec.Mode, s.Sink.Name).
				Try("take the edit back, or begin with a snapshot: godwit run --again %s", w.spec.File)
		}
	}
	return nil
}

// ruled refuses rules that are others than those by which a sink has been written: it is what
// the sinks say that counts, as the state folder may be gone, or be another machine's.
func (o *opened) ruled(states []*flow.SinkState) error {
	for _, s := range states {
		if !s.Ruled() {
			return fault.New(fault.JobEdit, "the rules of sink %q are not those by which it has been written: %s", s.Sink.Name, job.OtherForm).At("%s", o.spec.File).
				Try("take the edit back, or read everything again: godwit run --again %s", o.spec.File)
		}
	}
	return nil
}

// begins says in words where the run goes on.
func (w *work) begins(states []*flow.SinkState) string {
	if w.again {
		return "begins again"
	}
	for _, s := range states {
		switch {
		case s.At.IsZero():
		case copying(s):
			return "goes on with the snapshot"
		default:
			return "goes on at " + w.describe(s.At)
		}
	}
	return ""
}

// beginSinks fixes where the run ends and makes sure that sinks have a place to start
// from. others have begun before.
func (w *work) beginSinks(ctx context.Context, states, others []*flow.SinkState, claim connector.Claim) error {
	if err := w.checkSource(ctx, states); err != nil {
		return err
	}
	if err := w.fixUntil(ctx); err != nil {
		return err
	}
	if w.again {
		if err := w.flow.Again(ctx, states, claim); err != nil {
			return err
		}
		w.again = false
	} else if err := w.ruled(states); err != nil { // a sink may have come after the run began
		return err
	}
	b := flow.Beginning{Snapshot: w.spec.Mode != job.Changes, Beside: others}
	if !b.Snapshot && !w.spec.Start.Head {
		at, err := w.locate(ctx, states)
		if err != nil {
			return err
		}
		b.Start = at
	}
	if err := w.flow.Begin(ctx, states, b, claim); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range states {
		w.ready[s.Sink.Name], w.late[s.Sink.Name] = true, copying(s)
	}
	return nil
}

// checkSource refuses a source that would let changes pass unseen, such as one that
// logs statements.
func (w *work) checkSource(ctx context.Context, states []*flow.SinkState) error {
	c, ok := w.source.(connector.Checker)
	if !ok {
		return nil
	}
	for _, f := range c.Check(ctx, states[0].Tables()) {
		if f.Fault != nil && !f.Warn {
			return f.Fault
		}
	}
	return nil
}

func (w *work) fixUntil(ctx context.Context) error {
	if w.fixed {
		return nil
	}
	w.until.Time = w.spec.Until.Time
	if !w.spec.Until.Head {
		w.fixed = true
		return nil
	}
	h, ok := w.source.(connector.Header)
	if !ok {
		return fault.New(fault.JobValue, "source %s cannot tell the end of its log: until: head is not possible", w.spec.Source.Driver)
	}
	head, clock, err := h.Head(ctx, 0)
	if err != nil {
		return err
	}
	w.until.Place, w.fixed = head, true
	w.record.Head(head, -1, clock)
	return nil
}

// endHere has a stream end at the head of the server that is the source now, where the head
// that it was to end at is that of another one: their places cannot be compared.
func (w *work) endHere(ctx context.Context, stream *flow.StreamTask) error {
	h, ok := w.source.(connector.Header)
	if !ok || !w.spec.Until.Head {
		return nil
	}
	head, _, err := h.Head(ctx, 0)
	if err == nil && head.Log() != stream.Until.Place.Log() {
		stream.Until.Place = head
	}
	return err
}

func (w *work) locate(ctx context.Context, states []*flow.SinkState) (position.Position, error) {
	for _, s := range states {
		if s.At.IsZero() {
			l, ok := w.source.(connector.Locator)
			if !ok {
				return position.Position{}, fault.New(fault.JobValue, "source %s can only start at head", w.spec.Source.Driver)
			}
			return l.Locate(ctx, w.spec.Start.Place, w.spec.Start.Time)
		}
	}
	return position.Position{}, nil
}

// Find takes tables out of the stream of all and back as is wanted, then finds the
// streams and the chunks that some sink lacks. Before it finds anything it opens the
// systems, so that those that cannot be reached are looked for again as any task is
// tried again.
func (w *work) Find(ctx context.Context, apart map[string]job.Apart, found func(job.Task)) error {
	first := !w.begun
	states, err := w.begin(ctx)
	if err != nil || w.nothing {
		return err
	}
	if interrupts, err := w.arrange(ctx, states, apart); err != nil {
		return err
	} else if interrupts {
		w.interrupt(states, found)
		return nil
	}
	w.lagBehind(states)
	var now, after, lacking []*flow.SinkState
	for _, s := range states {
		if !w.isLate(s.Sink.Name) {
			now = append(now, s)
			continue
		}
		after = append(after, s)
		if copying(s) {
			lacking = append(lacking, s)
		}
	}
	w.record.Carried(tableNames(now))
	for _, s := range states {
		for _, t := range s.Tables() {
			if t.Stopped != "" {
				w.record.Marked(t.Name.String(), t.Stopped)
			}
		}
	}
	w.addStreams(streamNow, "", now, found)
	w.addStreams(streamAfter, "", after, found)
	lacking = append(lacking, w.addParts(states, found)...)
	w.findLacking(found)
	switch {
	case len(lacking) == 0:
		w.record.Phase(watch.Stream)
	case first:
		w.record.Phase(watch.Planning)
	}
	return w.findCopies(ctx, lacking, found)
}

// isLate reports whether the stream of a sink begins after its copies.
func (w *work) isLate(sink string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.late[sink]
}

// lagBehind has the sinks that still copy go alone, where others that are together do
// not any more. None of those that are together streams after its copies then.
func (w *work) lagBehind(states []*flow.SinkState) {
	ahead := slices.ContainsFunc(states, func(s *flow.SinkState) bool {
		return !copying(s) && !w.isLate(s.Sink.Name) && !w.goesAlone(s.Sink.Name)
	})
	if !ahead {
		return
	}
	for _, s := range states {
		name := s.Sink.Name
		if copying(s) {
			w.partSink(name, false)
		} else if !w.goesAlone(name) {
			w.mu.Lock()
			w.late[name] = false
			w.mu.Unlock()
		}
	}
}

// tableNames are the tables that sinks have, each once, in order.
func tableNames(sinks []*flow.SinkState) []string {
	names := map[string]bool{}
	for _, s := range sinks {
		for _, t := range s.Tables() {
			names[t.Name.String()] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// addStreams finds the streams of sinks that begin together, mostly one: of all tables,
// or of one that stands apart. Their revision says what they carry.
func (w *work) addStreams(id, table string, sinks []*flow.SinkState, found func(job.Task)) {
	groups, suffixes := w.groups(sinks)
	for n, group := range groups {
		t := job.Task{ID: id + suffixes[n], Kind: job.Stream, Table: table, AfterCopies: strings.HasSuffix(id, afterCopies), Sinks: w.sinksOf(group), OnError: w.onError(group)}
		if t.Revision = carried(group); w.before[t.ID].Status == job.Finished {
			t.Revision += w.revision(t.ID)
		}
		w.mu.Lock()
		w.streams[t.ID] = &flow.StreamTask{Sinks: group, Until: w.until, ToMarks: w.spec.Mode == job.Snapshot, Reached: w.endAsked()}
		w.mu.Unlock()
		found(t)
	}
}

// sinksOf names the sinks of a task (job.Task.Sinks); empty: they are all there are.
func (w *work) sinksOf(sinks []*flow.SinkState) string {
	if len(sinks) == len(w.spec.Sinks) {
		return ""
	}
	names := make([]string, len(sinks))
	for i, s := range sinks {
		names[i] = s.Sink.Name
	}
	return strings.Join(names, " ")
}

// Follow tells the record how the sinks stand.
func (w *work) Follow(s job.State) {
	for _, sink := range w.spec.Sinks {
		w.record.SinkStands(sink.Name, s.SinkStanding(sink.Name))
	}
}

// revision tells what is to be done now from what an earlier life had done under the
// same ID: what it took for finished and a sink lacks is to be done anew. The sink
// was set back, or is another one by now.
func (w *work) revision(id string) string {
	t := w.before[id]
	if t.Status == job.Finished {
		return fmt.Sprint("run ", w.run)
	}
	return t.Revision
}

// planners is how many tables are divided at once: planning is many small waits.
const planners = 4

// findCopies finds what is to be copied, and forgets what was found before: each time
// that a table is read again its tasks are others.
func (w *work) findCopies(ctx context.Context, sinks []*flow.SinkState, found func(job.Task)) error {
	w.mu.Lock()
	w.open, w.copied = map[string]*flow.ChunkTask{}, map[string]bool{}
	w.mu.Unlock()
	numbers := make(chan uint32)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for range planners {
		wg.Go(func() {
			for n := range numbers {
				if err := w.findTable(ctx, n, sinks, found); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, n := range tableNumbers(sinks) {
		select {
		case numbers <- n:
		case <-ctx.Done():
		}
	}
	close(numbers)
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.copies = w.open
	return nil
}

func tableNumbers(sinks []*flow.SinkState) []uint32 {
	seen := map[uint32]bool{}
	var out []uint32
	for _, s := range sinks {
		for _, n := range s.Numbers() {
			if !seen[n] {
				seen[n] = true
				out = append(out, n)
			}
		}
	}
	return out
}

func (w *work) findTable(ctx context.Context, number uint32, sinks []*flow.SinkState, found func(job.Task)) error {
	tasks, err := w.planTable(ctx, number, sinks)
	if err != nil || len(tasks) == 0 {
		return err
	}
	t := tasks[0].Table
	name := tableName(t.Name.String(), tasks)
	chunks, resumed := 0, 0
	var open []*flow.ChunkTask
	for _, task := range tasks {
		lacking, settled, err := w.flow.Lacking(ctx, task)
		if err != nil {
			return err
		}
		chunks += len(task.Splits)
		resumed += len(task.Splits) - lacking
		if !settled {
			open = append(open, task)
		}
	}
	if w.keepOpen(name, open) { // else it was told when the table was found before
		w.record.TablePlanned(name, t.Rows, t.Bytes, chunks)
		if resumed > 0 {
			w.record.Resumed(name, max(0, t.Rows)*int64(resumed)/int64(chunks), resumed)
		}
	}
	if len(open) == 0 {
		w.record.TableDone(name)
		return nil
	}
	w.record.Phase(watch.Snapshot)
	for _, task := range open {
		found(job.Task{ID: task.ID, Kind: job.Copy, Table: name, Revision: w.revision(task.ID), Sinks: w.sinksOf(task.Sinks), OnError: w.onError(task.Sinks)})
	}
	return nil
}

// planTable divides a table for all sinks that copy it, each that goes alone for
// itself.
func (w *work) planTable(ctx context.Context, number uint32, sinks []*flow.SinkState) (tasks []*flow.ChunkTask, err error) {
	var together []*flow.SinkState
	for _, s := range sinks {
		if !w.goesAlone(s.Sink.Name) {
			together = append(together, s)
			continue
		}
		own, err := w.flow.PlanTable(ctx, number, []*flow.SinkState{s})
		if err != nil {
			return nil, err
		}
		for _, t := range own {
			t.ID += ofSink(s.Sink.Name)
		}
		tasks = append(tasks, own...)
	}
	shared, err := w.flow.PlanTable(ctx, number, together)
	return append(shared, tasks...), err
}

// keepOpen keeps the copy tasks that a table has, and reports whether it is seen for
// the first time.
func (w *work) keepOpen(table string, open []*flow.ChunkTask) (first bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, seen := w.left[table]
	w.left[table] = map[string]bool{}
	for _, task := range open {
		w.copies[task.ID], w.open[task.ID] = task, task
		if !w.copied[task.ID] { // else it has finished since it was looked at
			w.left[table][task.ID] = true
		}
	}
	return !seen
}

// RunTask runs chunks or a stream, or begins a table anew.
func (w *work) RunTask(ctx context.Context, r engine.Run) (progressed bool, err error) {
	before := w.flow.Commits()
	defer func() { progressed = w.flow.Commits() > before }()
	claim := w.claim(r.Attempt)
	task, stream := w.taskOf(r)
	switch {
	case r.Task.Kind == job.Resync:
		return false, w.resync(ctx, r, claim)
	case isReach(r.Task):
		return false, w.reach(ctx, r, claim)
	case r.Task.Revision == forEdit:
		return false, awaitEdit(ctx, r)
	case task != nil:
		if err := w.runCopy(ctx, task, claim); err != nil {
			w.blames(ctx, task.Sinks, err, r.Regroup)
			return false, fmt.Errorf("table %s: %w", task.Table.Name, err)
		}
		w.copyDone(task)
		return false, nil
	case stream != nil:
		err := w.runStream(ctx, stream, r, claim)
		w.blames(ctx, stream.Sinks, err, r.Regroup)
		return false, err
	}
	return false, fault.New(fault.Internal, "the engine started the unknown task %q", r.Task.ID)
}

func (w *work) runCopy(ctx context.Context, task *flow.ChunkTask, claim connector.Claim) error {
	ctx, why, done := w.untilLost(ctx, task.Sinks)
	defer done()
	return why(w.flow.RunChunks(ctx, task, claim))
}

func (w *work) runStream(ctx context.Context, stream *flow.StreamTask, r engine.Run, claim connector.Claim) (err error) {
	h := w.heals(stream, r)
	defer func() { h.end(ctx, err == nil) }()
	if err := w.endHere(ctx, stream); err != nil {
		return err
	}
	if r.Task.Table != "" {
		return w.runPart(ctx, stream, claim, r.CaughtUp)
	}
	defer w.streaming()()
	if r.Task.AfterCopies {
		w.record.Phase(watch.Stream)
	}
	defer w.watchHead(ctx)()
	if s := stream.Sinks[0]; w.goesAlone(s.Sink.Name) {
		defer w.watchAlone(s, r.Regroup)()
	}
	return w.flow.Stream(ctx, stream, claim)
}

// taskOf is what an attempt runs: chunks, or a stream.
func (w *work) taskOf(r engine.Run) (chunks *flow.ChunkTask, stream *flow.StreamTask) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t := w.copies[r.Task.ID]; t != nil {
		own := *t
		own.Discard, own.Committed = r.Discard, sync.OnceFunc(r.Progressed)
		chunks = &own
	}
	if t := w.streams[r.Task.ID]; t != nil {
		own := *t
		own.Discard, own.Committed = r.Discard, sync.OnceFunc(r.Progressed)
		stream = &own
	}
	return chunks, stream
}

// onError is what becomes of a task when one of its sinks fails it (job.Task.OnError).
func (w *work) onError(states []*flow.SinkState) string {
	var sinks []job.Sink
	for _, s := range w.spec.Sinks {
		if slices.ContainsFunc(states, func(o *flow.SinkState) bool { return o.Sink.Name == s.Name }) {
			sinks = append(sinks, s)
		}
	}
	return job.ErrorModesOf(sinks)
}

func (w *work) copyDone(task *flow.ChunkTask) {
	table := task.Table.Name.String()
	w.mu.Lock()
	w.copied[task.ID] = true
	delete(w.left[table], task.ID)
	done := len(w.left[table]) == 0
	w.mu.Unlock()
	if done {
		w.record.TableDone(table)
	}
}

// headEvery is how often the end of the log is read while streaming, so that a lag
// of nothing can be told from not knowing, and headAge how old that reading may be.
const (
	headEvery = 5 * time.Second
	headAge   = time.Second
)

func (w *work) watchHead(ctx context.Context) (stop func()) {
	h, ok := w.source.(connector.Header)
	if !ok {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(headEvery)
		defer tick.Stop()
		for {
			if at, clock, err := h.Head(ctx, headAge); err == nil {
				w.record.Head(at, -1, clock)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() { cancel(); <-done }
}
