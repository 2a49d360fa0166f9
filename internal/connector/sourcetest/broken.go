package sourcetest

import (
	"math/rand/v2"
	"testing"
	"time"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

// through reports whether the server can be reached through a proxy.
func through(t testing.TB, s Server) bool {
	t.Helper()
	if s.Address() == "" {
		t.Log("left out: the server has no address for a proxy")
	}
	return s.Address() != ""
}

// cuts: a stream whose connections are cut anywhere, also in the middle of a
// message, is the stream.
func cuts(t testing.TB, h Harness, s Server) {
	if !through(t, s) {
		return
	}
	x := begin(t, h, s)
	defer x.end()
	w := x.fill(h.Dialect.Keys[0], "@.t", 100, 7)
	tables, _ := x.discover()
	from := x.head()
	for range 20 {
		x.exec(w.script(60))
	}
	end := x.head()
	whole := x.read(tables, from, end)
	for seed := range uint64(scale(3, 60)) {
		r := rand.New(rand.NewPCG(seed, 3))
		left := 6
		p := newProxy(t, s.Address(), func() (int64, bool) {
			if left--; left < 0 {
				return -1, false
			}
			return int64(r.IntN(60_000)), false
		})
		src := h.Open(t, s, p.address())
		got := x.readOf(src, tables, from, end)
		if err := src.Close(); err != nil {
			t.Error(err)
		}
		cut := p.count()
		p.close()
		if cut < 2 {
			t.Errorf("seed %d: only %d connections were cut", seed, cut)
		}
		sameEntries(t, "cut connections", got.entries, whole.entries)
	}
}

// cutChunks: a chunk whose connection is cut is an error that may be tried again,
// or whole; never less.
func cutChunks(t testing.TB, h Harness, s Server) {
	if !through(t, s) {
		return
	}
	x := begin(t, h, s)
	defer x.end()
	x.fill(h.Dialect.Keys[0], "@.t", 1500, 8)
	tables, _ := x.discover()
	splits, err := x.src.Splits(x.ctx, connector.Request{Table: tables[0], Generation: 1, ChunkBytes: 1 << 30})
	if err != nil || len(splits) != 1 {
		t.Fatalf("%d chunks, %v", len(splits), err)
	}
	failed, done := 0, 0
	for n := int64(500); n < 600_000; n = n*3/2 + 777 {
		p := newProxy(t, s.Address(), func() (int64, bool) { return n, false })
		src := h.Open(t, s, p.address())
		tape := newTape(t, position.Position{}, true)
		switch err := src.Read(x.ctx, splits[0], position.Position{}, tape.take); {
		case err == nil && len(tape.entries) != 1500:
			t.Errorf("cut after %d bytes: %d rows of 1500 and no error", n, len(tape.entries))
		case err == nil:
			done++
		case fault.ClassOf(err) != fault.Retry:
			t.Errorf("cut after %d bytes: %v, which is not to be tried again", n, err)
		default:
			failed++
		}
		if err := src.Close(); err != nil {
			t.Error(err)
		}
		p.close()
	}
	if failed < 3 || done == 0 {
		t.Errorf("%d reads failed and %d were whole: the cuts do not fit the table", failed, done)
	}
}

// stalls: a connection over which nothing more comes is given up; meanwhile Read
// can be cancelled.
func stalls(t testing.TB, h Harness, s Server) {
	if !through(t, s) {
		return
	}
	x := begin(t, h, s)
	defer x.end()
	w := x.fill(h.Dialect.Keys[0], "@.t", 100, 9)
	tables, _ := x.discover()
	from := x.head()
	for range 10 {
		x.exec(w.script(60))
	}
	end := x.head()
	stall := func(n int64, times int) (*proxy, connector.Source) {
		p := newProxy(t, s.Address(), func() (int64, bool) {
			if times--; times < 0 {
				return -1, false
			}
			return n, true
		})
		return p, h.Open(t, s, p.address())
	}
	for _, n := range []int64{10, 200, 30_000} {
		p, src := stall(n, 1000)
		l := x.streamOf(src, tables, from, connector.Until{Place: end}, nil)
		for i := 0; p.count() == 0 && i < 5000; i++ {
			time.Sleep(time.Millisecond)
		}
		l.cancel()
		if err := src.Close(); err != nil {
			t.Error(err)
		}
		p.close()
	}
	if !soak() {
		return
	}
	whole := x.read(tables, from, end)
	p, src := stall(30_000, 2)
	sameEntries(t, "stalled connections", x.readOf(src, tables, from, end).entries, whole.entries)
	if err := src.Close(); err != nil {
		t.Error(err)
	}
	p.close()
}

// restarts: the server goes and comes back, in order and killed, and the stream is
// the stream.
func restarts(t testing.TB, h Harness, s Server) {
	x := begin(t, h, s)
	defer x.end()
	w := x.fill(h.Dialect.Keys[0], "@.t", 200, 10)
	tables, _ := x.discover()
	from, now := x.head(), x.initial(tables)
	l := x.stream(tables, from, connector.Until{})
	for i := range scale(3, 12) {
		x.exec(w.script(40))
		if i > 0 {
			l.await(x.ctx, "a row", func() bool { return len(l.entries) > 0 })
		}
		if err := s.Restart(i%2 == 1); err != nil {
			t.Fatal(err)
		}
		x.exec(w.script(40))
	}
	end := x.head()
	l.await(x.ctx, "the head after restarts", func() bool { return l.reached(end) })
	l.cancel()
	x.replay(now, l.entries)
	x.matches("after restarts", now)
	sameEntries(t, "the same stretch read again", x.read(tables, from, end).entries, l.entries)
}

// pruned: a place before the log's beginning is lost, and nothing is emitted.
func pruned(t testing.TB, h Harness, s Server) {
	if lacks(t, h.Dialect.Prune, "pruning the log") {
		return
	}
	x := begin(t, h, s)
	defer x.end()
	w := x.fill(h.Dialect.Keys[0], "@.t", 50, 11)
	tables, _ := x.discover()
	from := x.head()
	x.exec(w.script(20))
	seen := x.read(tables, from, x.head())
	x.exec(w.script(20))
	x.prune()
	x.exec(w.script(5))
	places := []position.Position{from, seen.stops[len(seen.stops)-1].at}
	for _, at := range places {
		x.refused(tables, at, fault.SourceLost)
	}
	// What the log still has goes on.
	at := x.head()
	x.exec(w.script(5))
	if got := x.read(tables, at, x.head()); len(got.entries) == 0 {
		t.Error("nothing came after the log was pruned")
	}
}

// prune removes the log up to now: again and again, as servers keep for a while
// what they believe that somebody needs.
func (x *session) prune() {
	x.Helper()
	begin, _ := x.server.Rows(x.h.Dialect.Oldest)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		x.exec(x.h.Dialect.Prune)
		now, err := x.server.Rows(x.h.Dialect.Oldest)
		if err == nil && len(now) == 1 && (len(begin) == 0 || now[0][0] != begin[0][0]) {
			return
		}
		if time.Now().After(deadline) {
			x.Fatalf("the server does not prune its log: %v, %v", now, err)
		}
	}
}

// refused: reading from a place, and translating it, gives an error of that code
// before anything is emitted.
func (x *session) refused(tables []*row.Table, at position.Position, code fault.Code) {
	x.Helper()
	l := x.stream(tables, at, connector.Until{})
	select {
	case <-l.ended:
	case <-l.moved: // a batch: that is wrong already
	case <-time.After(20 * time.Second):
		x.Errorf("Read from a place that must give %s goes on", code)
	}
	l.stop()
	<-l.ended
	l.wantFault(l.err, code)
	if r, ok := x.src.(connector.Rebaser); ok {
		if _, err := r.Rebase(x.ctx, []position.Position{at}); !fault.Has(err, code) {
			x.Errorf("Rebase gave %v, want %s", err, code)
		}
	}
}

// replaced: another history under the same names, shorter or as long, is told from
// the one that was read, and nothing is emitted.
func replaced(t testing.TB, h Harness, s Server) {
	if lacks(t, h.Dialect.Reset, "another history") {
		return
	}
	x := begin(t, h, s, "CREATE TABLE @.t (id INT PRIMARY KEY, v VARCHAR(20))")
	defer x.end()
	tables, _ := x.discover()
	write := func(v string) {
		for i := range 10 {
			x.exec("INSERT INTO @.t VALUES (" + string(rune('0'+i)) + ", '" + v + "')")
		}
		x.exec("DELETE FROM @.t")
	}
	x.exec(h.Dialect.Reset)
	from := x.head()
	write("first")
	seen := x.read(tables, from, x.head())
	if len(seen.stops) == 0 {
		t.Fatal("no end was told")
	}
	at := seen.stops[len(seen.stops)-1].at
	time.Sleep(1100 * time.Millisecond) // logs may know whole seconds only
	x.exec(h.Dialect.Reset)
	x.refused(tables, at, fault.SourceDiverged)
	write("other")
	x.refused(tables, at, fault.SourceDiverged)
	write("other")
	x.refused(tables, at, fault.SourceDiverged)
}
