package table

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"godwit/internal/connector"
	"godwit/internal/engine"
	"godwit/internal/fault"
	"godwit/internal/flow"
	"godwit/internal/job"
	"godwit/internal/row"
)

// This file has what a run does for tables that stand apart (flow.Job.Arrange).

// claim is that of the next attempt to open shards. Attempts of one run count through,
// whatever they are of: planning opens the shards that streams have had, and streams
// those that planning had. They are never below what the engine counts.
func (w *work) claim(attempt uint64) connector.Claim {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.opens = max(w.opens+1, attempt)
	return connector.Claim{Run: w.run, Attempt: w.opens}
}

// streaming notes that a stream of all tables runs until the function that it returns is called.
func (w *work) streaming() func() {
	add := func(n int) {
		w.mu.Lock()
		w.running += n
		w.mu.Unlock()
	}
	add(1)
	return func() { add(-1) }
}

// arrange makes the sinks follow what is wanted of tables. While a stream of all tables
// runs nothing has changed in that: planning goes on after a failure, or after a resync.
// But for an edit of the tables, which waits until all sinks are together: when they are
// they stream already, and interrupts says that they are to end for it. So they are for a
// sink that was away when a table was to leave the others.
func (w *work) arrange(ctx context.Context, states []*flow.SinkState, apart map[string]job.Apart) (interrupts bool, err error) {
	w.mu.Lock()
	running := w.running > 0
	w.mu.Unlock()
	edited, alone := flow.Edited(states, w.spec.Tables), w.anyAlone()
	if waits := edited && alone; running || waits {
		return running && !waits && (edited || missed(states, apart)), nil
	}
	wanted := flow.Wanted{
		Apart:    func(n row.Name) bool { return apart[n.String()] != job.Together },
		Caught:   w.hasCaughtUp,
		Snapshot: w.spec.Mode != job.Changes,
		Most:     job.MostApart,
	}
	again := false
	return false, bearing(ctx, w.attempts, func(discard string) error {
		if again { // some of it was done
			if err := w.ask(ctx, states); err != nil {
				return err
			}
		}
		again, wanted.Discard = true, discard
		return w.flow.Arrange(ctx, states, wanted, w.claim(0))
	})
}

// missed reports whether a sink has a table with the others that somebody wants apart, and
// has room for it.
func missed(states []*flow.SinkState, apart map[string]job.Apart) bool {
	for table, why := range apart {
		name, ok := nameOf(table)
		if ok && why != job.ApartAdded && slices.ContainsFunc(states, func(s *flow.SinkState) bool { return len(s.Parts) < job.MostApart && s.Joined(name) }) {
			return true
		}
	}
	return false
}

// nameOf is the name that a table is known by to people and in commands.
func nameOf(table string) (row.Name, bool) {
	space, name, ok := strings.Cut(table, ".")
	return row.Name{Space: space, Table: name}, ok
}

// ask asks sinks anew what they hold.
func (w *work) ask(ctx context.Context, states []*flow.SinkState) error {
	found, failed := w.flow.Reach(ctx)
	for _, s := range states {
		i := slices.IndexFunc(found, func(o *flow.SinkState) bool { return o.Sink == s.Sink })
		if i < 0 {
			return failed[s.Sink.Name]
		}
		*s = *found[i]
	}
	return nil
}

// attempts is after how many of them a sink puts aside the rows that it refuses; 0: it
// does not.
func (w *work) attempts(sink string) int {
	for _, s := range w.spec.Sinks {
		if s.Name == sink && s.OnError.Mode == job.DiscardAfter {
			return max(s.OnError.Attempts, 1)
		}
	}
	return 0
}

// refusedPause is how long it takes until what refused a row is tried again.
const refusedPause = time.Second

// bearing calls f until it does not fail because a sink refuses a row, or that sink puts
// none aside: what planning streams is a part of the stream. After as many failures as a
// sink bears, f is called with its name among those that do.
func bearing(ctx context.Context, attempts func(sink string) int, f func(discard string) error) error {
	var aside []string
	refused := map[string]int{}
	for {
		err := f(strings.Join(aside, " "))
		if err == nil || fault.Of(err).Code != fault.RowRefused {
			return err
		}
		sink := fault.Of(err).Sink
		most := attempts(sink)
		if most == 0 || slices.Contains(aside, sink) {
			return err
		}
		if refused[sink]++; refused[sink] >= most {
			aside = append(aside, sink)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(refusedPause):
		}
	}
}

// forEdit is the revision of what is found so that everything that runs ends.
const forEdit = "tables are edited"

// interrupt finds one stream, which begins when all that ran has ended and planning is
// done, and has planning begin anew, as tables can be edited then. Streams of tables that
// stand apart wait beside it: what is not found is forgotten.
func (w *work) interrupt(states []*flow.SinkState, found func(job.Task)) {
	for _, s := range states {
		for _, p := range s.Parts {
			found(job.Task{ID: streamOf(p.Number), Kind: job.Stream, Table: partName(p), Revision: forEdit})
		}
	}
	found(job.Task{ID: streamNow, Kind: job.Stream, AfterCopies: true, Revision: forEdit})
}

// awaitEdit is what such a stream does.
func awaitEdit(ctx context.Context, r engine.Run) error {
	if r.Task.Table == "" {
		r.Regroup()
	}
	<-ctx.Done() // planning finds what it has to do from now on
	return ctx.Err()
}

// streamOf is the ID of the stream of a table that stands apart.
func streamOf(number uint32) string { return fmt.Sprintf("%s.%d", streamNow, number) }

// partKey names a part.
func partKey(p *flow.SinkState) string { return fmt.Sprint(p.Number, " ", p.Sink.Name) }

func (w *work) hasCaughtUp(p *flow.SinkState) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.caught[partKey(p)]
}

// catches notes whether parts have caught up.
func (w *work) catches(parts []*flow.SinkState, up bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range parts {
		w.caught[partKey(p)] = up
	}
}

// addParts finds the streams of tables that stand apart, and returns the parts that
// still copy.
func (w *work) addParts(states []*flow.SinkState, found func(job.Task)) (lacking []*flow.SinkState) {
	now, after := map[uint32][]*flow.SinkState{}, map[uint32][]*flow.SinkState{}
	var numbers []uint32
	names := map[uint32]string{}
	for _, s := range states {
		for _, p := range s.Parts {
			if _, known := names[p.Number]; !known {
				numbers = append(numbers, p.Number)
			}
			names[p.Number] = partName(p)
			if copying(p) {
				after[p.Number] = append(after[p.Number], p)
				lacking = append(lacking, p)
			} else {
				now[p.Number] = append(now[p.Number], p)
			}
		}
	}
	for _, n := range numbers {
		id := streamOf(n)
		w.addStreams(id, names[n], now[n], found)
		w.addStreams(id+afterCopies, names[n], after[n], found)
	}
	return lacking
}

// partName is the name of a part's table for people and for commands.
func partName(p *flow.SinkState) string {
	if name := p.Name(); name != "" {
		return name
	}
	return fmt.Sprintf("(dropped table %d)", p.Number)
}

// tableName is the name of the table that tasks copy: one that stands apart may have
// another by now.
func tableName(planned string, tasks []*flow.ChunkTask) string {
	for _, t := range tasks {
		for _, s := range t.Sinks {
			if s.Number > 0 {
				return partName(s)
			}
		}
	}
	return planned
}

// carried says in words what a stream carries: two are the same work if and only if it
// is equal.
func carried(group []*flow.SinkState) string {
	var out []string
	for _, s := range group {
		text := s.Sink.Name
		for _, p := range s.Parts {
			text += fmt.Sprint(" -", p.Number)
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ") + "; " + group[0].Patterns
}

// watchEvery is how often it is looked whether a table has caught up.
const watchEvery = 200 * time.Millisecond

// runPart streams a table that stands apart, and tells when it is where the others are,
// or has come to the end that was asked for.
func (w *work) runPart(ctx context.Context, t *flow.StreamTask, claim connector.Claim, caughtUp func()) error {
	w.catches(t.Sinks, false)
	stop := repeated(watchEvery, func() bool {
		up := true
		for _, p := range t.Sinks {
			up = up && w.flow.CaughtUp(p)
		}
		if up {
			w.catches(t.Sinks, true)
			caughtUp()
		}
		return false
	})
	err := w.flow.Stream(ctx, t, claim)
	stop()
	if err == nil {
		w.catches(t.Sinks, true)
	}
	return err
}

// resync begins a new generation of a table that stands apart, in all sinks: one that
// cannot be opened is waited for, and so is one that was away when the table left the
// others. Else it would keep the old one and nobody would know.
func (w *work) resync(ctx context.Context, r engine.Run, claim connector.Claim) error {
	name, ok := nameOf(r.Task.Table)
	if !ok {
		return fault.New(fault.NoTables, "%q is no name of a table", r.Task.Table).Try("name it as database.table")
	}
	for i := range w.spec.Sinks {
		if err := w.openSink(ctx, &w.spec.Sinks[i]); err != nil {
			return err
		}
	}
	states, err := w.flow.Find(ctx)
	if err != nil {
		return err
	}
	for _, s := range states {
		if s.Joined(name) {
			r.Regroup()
			return fault.InSink(s.Sink.Name, fault.New(fault.SinkSlow, "sink %q was away when table %s left the others, and has not followed yet", s.Sink.Name, name))
		}
	}
	return w.flow.Resync(ctx, states, name, claim)
}

// healEvery is how often tables that wait to be read again are told of again.
const healEvery = 5 * time.Second

// mostHealWait is how long a stream that came to the end that was asked for waits for
// tables that could not be read again yet. It is longer than the first few pauses.
const mostHealWait = time.Minute

// healing tells, while a stream runs, of its tables that a copy makes whole, so that they
// are read again. While a sink goes alone they wait: it has not come to where they were
// marked, or lies behind it.
type healing struct {
	work *work
	run  engine.Run
	stop func()

	mu    sync.Mutex
	names []string
}

// heals begins to tell for a stream; nil: there are no copies, or there is nothing beyond
// them.
func (w *work) heals(stream *flow.StreamTask, r engine.Run) *healing {
	if w.spec.Mode != job.SnapshotAndChanges {
		return nil
	}
	h := &healing{work: w, run: r}
	stream.Healable = func(tables []string) {
		h.mu.Lock()
		h.names = slices.Compact(slices.Sorted(slices.Values(append(h.names, tables...))))
		h.mu.Unlock()
		h.tell()
	}
	h.stop = repeated(healEvery, h.tell)
	return h
}

func (h *healing) tell() (done bool) {
	if now := h.now(); len(now) > 0 {
		h.run.Healable(now)
	}
	return false
}

// now are the tables that may be read again.
func (h *healing) now() []string {
	if h.work.anyAlone() {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.names)
}

// end stops telling. Where the stream came to its end it first gives tables whose pause is
// not over the time to be read again, which ends ctx: else the job would end with them.
func (h *healing) end(ctx context.Context, came bool) {
	if h == nil {
		return
	}
	defer h.stop()
	if !came || len(h.now()) == 0 {
		return
	}
	over := time.NewTimer(mostHealWait)
	defer over.Stop()
	select {
	case <-ctx.Done():
	case <-over.C:
	}
}
