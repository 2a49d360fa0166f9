package sourcetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

// streams: the log is exactly what happened, for keyed tables and those without a
// key, tailed while it is written.
func streams(t testing.TB, h Harness, s Server) {
	x := begin(t, h, s)
	defer x.end()
	var writers []*writer
	for i, k := range append(slices.Clone(h.Dialect.Keys), Key{Name: "other", Columns: []Column{{Name: "id", Type: "INT"}}, Literals: integer}) {
		writers = append(writers, x.fill(k, fmt.Sprintf("@.t%d", i), 200, uint64(i)))
	}
	x.exec("CREATE DATABASE @_foreign; CREATE TABLE @_foreign.f (id INT PRIMARY KEY)")
	tables, _ := x.discover()
	from, now := x.head(), x.initial(tables)
	l := x.stream(tables, from, connector.Until{})
	for i := range scale(6, 60) {
		for _, w := range writers {
			x.exec(w.script(15))
		}
		x.exec(fmt.Sprintf("INSERT INTO @_foreign.f VALUES (%d)", i))
		if i == 2 && h.Dialect.Rotate != "" {
			x.exec(h.Dialect.Rotate)
		}
		if i == 3 {
			x.exec("TRUNCATE TABLE @.t1; INSERT INTO @.t1 VALUES " + writers[1].literals(0, "'after'", 7))
			writers[1].rows = nil
		}
	}
	end := x.head()
	l.await(x.ctx, "the head", func() bool { return l.reached(end) })
	l.cancel()
	x.replay(now, l.entries)
	x.matches("the stream", now)
	sameEntries(t, "the same stretch read again", x.read(tables, from, end).entries, l.entries)
	for _, e := range l.entries {
		if e.txn.Time <= 0 || time.Since(time.UnixMicro(e.txn.Time)) > time.Hour {
			t.Fatalf("a row has commit time %v", time.UnixMicro(e.txn.Time))
		}
	}
	beforeImages(t, l.entries)
}

// beforeImages: a Before stands right before its Update, at the neighbouring
// order, and there is one whenever the key changes or there is none.
func beforeImages(t testing.TB, entries []*entry) {
	t.Helper()
	for i, e := range entries {
		switch {
		case e.op == row.Before:
			if i+1 == len(entries) || entries[i+1].op != row.Update || entries[i+1].table != e.table || !neighbours(e.order, entries[i+1].order) {
				t.Fatalf("no update follows %s at the next order", e)
			}
		case e.op == row.Update && len(e.table.Key) == 0 && (i == 0 || entries[i-1].op != row.Before):
			t.Fatalf("a row without a key is updated and its old image is not there: %s", e)
		}
	}
}

func neighbours(a, b string) bool {
	n := len(a) - 8
	return n >= 0 && len(b) == len(a) && a[:n] == b[:n] && row.Counter(a)+1 == row.Counter(b)
}

// integer gives the literals of an integer key.
func integer(i int) []string { return []string{fmt.Sprint(i)} }

// bank: transfers move money between accounts of two tables; at every end the sum
// is what it was, and every transaction is whole.
func bank(t testing.TB, h Harness, s Server) {
	x := begin(t, h, s, "CREATE TABLE @.a (id INT PRIMARY KEY, n INT)", "CREATE TABLE @.b (id INT PRIMARY KEY, n INT)")
	defer x.end()
	var rows []string
	for i := range 20 {
		rows = append(rows, fmt.Sprintf("(%d, 1000)", i))
	}
	x.exec("INSERT INTO @.a VALUES " + strings.Join(rows, ", ") + "; INSERT INTO @.b VALUES " + strings.Join(rows, ", "))
	tables, _ := x.discover()
	from, now := x.head(), x.initial(tables)
	l := x.stream(tables, from, connector.Until{})
	r := rand.New(rand.NewPCG(5, 5))
	balance := map[string]int{}
	get := func(k string) int {
		if v, ok := balance[k]; ok {
			return v
		}
		return 1000
	}
	for range scale(8, 80) {
		var b strings.Builder
		for range 30 {
			b.WriteString("BEGIN; ")
			for range 1 + r.IntN(4) {
				i, k, sum := r.IntN(20), r.IntN(20), r.IntN(50)
				from, to := fmt.Sprintf("a%d", i), fmt.Sprintf("b%d", k)
				balance[from], balance[to] = get(from)-sum, get(to)+sum
				fmt.Fprintf(&b, "UPDATE @.a SET n = %d WHERE id = %d; UPDATE @.b SET n = %d WHERE id = %d; ", balance[from], i, balance[to], k)
			}
			b.WriteString("COMMIT; ")
		}
		x.exec(strings.TrimSuffix(b.String(), "; "))
	}
	end := x.head()
	l.await(x.ctx, "the head", func() bool { return l.reached(end) })
	l.cancel()
	done := 0
	for _, st := range l.stops {
		x.replay(now, l.entries[done:st.entries])
		done = st.entries
		if sum := total(t, now); sum != 40*1000 {
			t.Fatalf("at the end after entry %d the sum is %d, not 40000: a transaction is not whole", done, sum)
		}
	}
	if done != len(l.entries) {
		t.Errorf("%d entries after the last end", len(l.entries)-done)
	}
	x.matches("the accounts", now)
}

func total(t testing.TB, s state) int {
	sum := 0
	for _, c := range s {
		for _, cells := range c.list() {
			n := 0
			if _, err := fmt.Sscan(cells[1], &n); err != nil {
				t.Fatal(err)
			}
			sum += n
		}
	}
	return sum
}

// resumes: from every end the same rest follows.
func resumes(t testing.TB, h Harness, s Server) {
	x := begin(t, h, s)
	defer x.end()
	a, b := x.fill(h.Dialect.Keys[0], "@.a", 100, 1), x.fill(Key{}, "@.b", 50, 2)
	tables, _ := x.discover()
	from := x.head()
	l := x.stream(tables, from, connector.Until{})
	for range 12 {
		x.exec(a.script(10) + "; " + b.script(3))
	}
	end := x.head()
	l.await(x.ctx, "the head", func() bool { return l.reached(end) })
	l.cancel()
	x.resumeAll(tables, l.tape, end)
}

// resumeAll reads from the ends of a tape, with the shapes that held there.
func (x *session) resumeAll(tables []*row.Table, p *tape, end position.Position) {
	x.Helper()
	now := newState(tables)
	done, every := 0, 1
	if most := scale(40, 400); len(p.stops) > most {
		every = len(p.stops)/most + 1
	}
	for i, st := range p.stops {
		changed := false
		for _, e := range p.entries[done:st.entries] {
			if e.change != nil {
				changed = true
				if err := now.alter(e.change); err != nil {
					x.Fatal(err)
				}
			}
		}
		done = st.entries
		next := st.entries < len(p.entries) && p.entries[st.entries].change != nil
		if i%every != 0 && !changed && !next {
			continue
		}
		if c, err := st.at.Compare(end); err == nil && c >= 0 {
			break
		}
		var at []*row.Table
		for _, c := range now {
			at = append(at, c.shape)
		}
		slices.SortFunc(at, func(a, b *row.Table) int { return strings.Compare(a.Name.String(), b.Name.String()) })
		got := x.read(at, st.at, end)
		sameEntries(x, fmt.Sprintf("taken up again at end %d of %d (entry %d)", i, len(p.stops), st.entries), got.entries, p.entries[st.entries:])
	}
}

// partial: cells that the log does not carry are absent, never null, and what is
// absent did not change.
func partial(t testing.TB, h Harness, s Server) {
	if lacks(t, h.Dialect.Partial, "partial rows") {
		return
	}
	x := begin(t, h, s, "CREATE TABLE @.t (id INT PRIMARY KEY, v VARCHAR(20), w VARCHAR(20), n INT)")
	defer x.end()
	x.exec(h.Dialect.Partial)
	t.Cleanup(func() { x.exec(h.Dialect.Whole) })
	tables, _ := x.discover()
	from := x.head()
	x.exec("INSERT INTO @.t VALUES (1, 'a', 'b', 1), (2, 'a', NULL, 2), (3, NULL, NULL, NULL)")
	x.exec("UPDATE @.t SET n = 7 WHERE id = 1; UPDATE @.t SET v = NULL WHERE id = 2; UPDATE @.t SET w = 'set' WHERE id = 3; UPDATE @.t SET id = 9 WHERE id = 1; DELETE FROM @.t WHERE id = 2")
	got := x.read(tables, from, x.head())
	now := newState(tables)
	x.replay(now, got.entries)
	x.matches("partial rows", now)
	absent := 0
	for _, e := range got.entries {
		for _, c := range e.cells {
			if c.flag == row.Absent {
				absent++
			}
		}
	}
	if absent == 0 {
		t.Error("no cell is absent")
	}
}

// types: every value is the same by snapshot, by stream and for the client.
func types(t testing.TB, h Harness, s Server) {
	cols := h.Dialect.Columns
	longest := 0
	var ddl []string
	for _, c := range cols {
		longest = max(longest, len(c.Values)+1)
		ddl = append(ddl, c.Name+" "+c.Type)
	}
	make := func(table string) string {
		return "CREATE TABLE @." + table + " (id INT PRIMARY KEY, " + strings.Join(ddl, ", ") + ")"
	}
	x := begin(t, h, s, make("a"), make("b"))
	defer x.end()
	var rows []string
	for i := range longest {
		cells := []string{fmt.Sprint(i)}
		for _, c := range cols {
			v := "NULL"
			if i < len(c.Values) {
				v = c.Values[i]
			}
			cells = append(cells, v)
		}
		rows = append(rows, "("+strings.Join(cells, ", ")+")")
	}
	insert := h.Dialect.Session + "INSERT INTO @.%s VALUES " + strings.Join(rows, ", ")
	tables, _ := x.discover()
	from := x.head()
	x.exec(fmt.Sprintf(insert, "a"))
	x.exec(fmt.Sprintf(insert, "b") + "; DELETE FROM @.b")
	x.end() // a source that has not read yet
	x.src = h.Open(t, s, s.Address())
	splits, err := x.src.Splits(x.ctx, connector.Request{Table: named(t, tables, "a"), Generation: 1, ChunkBytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	_, p0 := x.discover()
	var snapshot []*entry
	for _, sp := range splits {
		snapshot = append(snapshot, x.chunkAfter(sp, p0).entries...)
	}
	log := x.read(tables, from, x.head())
	client := x.client(named(t, tables, "a"), cols...)
	byID := func(op row.Op, table string, entries []*entry) map[string]*entry {
		out := map[string]*entry{}
		for _, e := range entries {
			if e.op == op && e.table.Name.Table == table {
				out[e.cells[0].text] = e
			}
		}
		return out
	}
	x.sameValues("the snapshot", client, byID(row.Read, "a", snapshot))
	x.sameValues("the stream", client, byID(row.Insert, "a", log.entries))
	x.sameValues("the stream's before images", client, byID(row.Delete, "b", log.entries))
	exact := byID(row.Insert, "a", log.entries)
	for id, e := range byID(row.Read, "a", snapshot) {
		for i, c := range e.cells {
			if o := exact[id]; o != nil && o.cells[i] != c {
				t.Errorf("row %s, %s: %s by snapshot, %s by stream", id, e.table.Columns[i].Name, c, o.cells[i])
			}
		}
	}
}

func (x *session) sameValues(what string, client [][]string, got map[string]*entry) {
	x.Helper()
	if len(got) != len(client) {
		x.Errorf("%s has %d rows, the client %d", what, len(got), len(client))
	}
	wrong := 0
	for _, cells := range client {
		e := got[cells[0]]
		if e == nil {
			x.Errorf("%s lacks row %s", what, cells[0])
			continue
		}
		for i, c := range e.cells {
			if c.flag == row.Absent || !equalText(e.table.Columns[i].Type.Kind, c, cells[i]) {
				if wrong++; wrong <= 12 {
					x.Errorf("%s: row %s, column %s %s: %s, the client prints %q", what, cells[0], e.table.Columns[i].Name, e.table.Columns[i].Type.Native, c, cells[i])
				}
			}
		}
	}
}

// emitBlocks: a reader that takes nothing for a while loses nothing.
func emitBlocks(t testing.TB, h Harness, s Server) {
	x := begin(t, h, s, "CREATE TABLE @.t (id INT PRIMARY KEY, v MEDIUMTEXT)")
	defer x.end()
	if !lacks(t, h.Dialect.Impatient, "an impatient server") {
		x.exec(h.Dialect.Impatient)
	}
	tables, _ := x.discover()
	from := x.head()
	var blocked atomic.Bool
	hold := make(chan struct{})
	src := x.src
	l := x.streamOf(src, tables, from, connector.Until{}, func() {
		if blocked.CompareAndSwap(false, true) {
			<-hold
		}
	})
	wide := strings.Repeat("z", 60000)
	n := scale(400, 4000)
	for i := 0; i < n; i += 20 {
		var rows []string
		for k := range 20 {
			rows = append(rows, fmt.Sprintf("(%d, '%d%s')", i+k, i+k, wide))
		}
		x.exec("INSERT INTO @.t VALUES " + strings.Join(rows, ", "))
	}
	time.Sleep(time.Duration(scale(4, 150)) * time.Second) // that is what is proved
	close(hold)
	end := x.head()
	l.await(x.ctx, "the head", func() bool { return l.reached(end) })
	l.cancel()
	now := newState(tables)
	x.replay(now, l.entries)
	if got := len(now[tables[0].Name].rows); got != n {
		t.Errorf("%d rows of %d came", got, n)
	}
}

// cancels: Read ends within a second wherever it is.
func cancels(t testing.TB, h Harness, s Server) {
	x := begin(t, h, s)
	defer x.end()
	k := h.Dialect.Keys[0]
	w := x.fill(k, "@.t", 200, 1)
	tables, _ := x.discover()
	from := x.head()
	x.stream(tables, from, connector.Until{}).cancel() // while it connects
	l := x.stream(tables, from, connector.Until{})
	x.exec(w.script(5))
	l.await(x.ctx, "a row", func() bool { return len(l.entries) > 0 })
	l.cancel() // while it is idle
	var held atomic.Bool
	w.start()
	release := make(chan struct{})
	l = x.streamOf(x.src, tables, from, connector.Until{}, func() {
		if held.CompareAndSwap(false, true) {
			<-release
		}
	})
	for !held.Load() {
		time.Sleep(time.Millisecond)
	}
	l.stop() // while emit blocks: the context is its too
	close(release)
	l.cancel()
	l = x.stream(tables, from, connector.Until{})
	l.await(x.ctx, "many rows", func() bool { return len(l.entries) > 20 })
	l.cancel() // while rows stream
	w.halt()
}

// untilPlace: Read ends nil at each place asked for, at once when it is there, and
// what came is exactly what lies before it.
func untilPlace(t testing.TB, h Harness, s Server) {
	x := begin(t, h, s)
	defer x.end()
	w := x.fill(h.Dialect.Keys[0], "@.t", 100, 3)
	tables, _ := x.discover()
	from, now := x.head(), x.initial(tables)
	var ends []position.Position
	var states [][][]string
	for range 4 {
		x.exec(w.script(12))
		ends = append(ends, x.head())
		states = append(states, x.client(tables[0]))
	}
	for i, end := range ends {
		got := x.read(tables, from, end)
		at := now.clone()
		x.replay(at, got.entries)
		if d := differs(tables[0], at[tables[0].Name].list(), states[i]); d != "" {
			t.Fatalf("read to place %d: %s", i, d)
		}
		if rest := x.read(tables, end, end); len(rest.entries) != 0 {
			t.Fatalf("read from a place to itself: %s", rest.entries[0])
		}
		last := got.stops[len(got.stops)-1].at
		if c, err := last.Compare(end); err != nil || c != 0 {
			t.Errorf("the last end is not the place asked for, which lies between transactions (%d, %v)", c, err)
		}
	}
}

// untilTime: Read ends before the first transaction committed after the time, or
// when the server's clock is past it.
func untilTime(t testing.TB, h Harness, s Server) {
	x := begin(t, h, s)
	defer x.end()
	w := x.fill(h.Dialect.Keys[0], "@.t", 100, 4)
	tables, _ := x.discover()
	from, now := x.head(), x.initial(tables)
	x.exec(w.script(20))
	want := x.client(tables[0])
	_, at := x.clock()
	at = at.Truncate(time.Second).Add(time.Second)
	for {
		if _, now := x.clock(); now.After(at.Add(1100 * time.Millisecond)) {
			break // logs may know whole seconds only
		}
		time.Sleep(50 * time.Millisecond)
	}
	x.exec(w.script(20))
	l := x.stream(tables, from, connector.Until{Time: at})
	if err := l.wait(); err != nil {
		t.Fatalf("read to a time: %v", err)
	}
	l.finish()
	x.replay(now, l.entries)
	if d := differs(tables[0], now[tables[0].Name].list(), want); d != "" {
		t.Fatalf("read to a time: %s", d)
	}
	from, clock := x.clock()
	begin := time.Now()
	l = x.stream(tables, from, connector.Until{Time: clock.Add(2 * time.Second)})
	if err := l.wait(); err != nil {
		t.Fatalf("read to a time that was still to come: %v", err)
	}
	if d := time.Since(begin); d < 1500*time.Millisecond || d > 10*time.Second {
		t.Errorf("read to a time 2 s away ended after %v", d)
	}
}

// idle: while the log is idle batches without rows come.
func idle(t testing.TB, h Harness, s Server) {
	x := begin(t, h, s)
	defer x.end()
	w := x.fill(h.Dialect.Keys[0], "@.t", 20, 5)
	tables, _ := x.discover()
	silence := h.Dialect.Silence
	if silence == 0 {
		silence = 10 * time.Second
	}
	l := x.stream(tables, x.head(), connector.Until{})
	x.exec(w.script(3))
	l.await(x.ctx, "the rows", func() bool { return len(l.entries) > 0 && len(l.stops) > 0 })
	for range 2 {
		l.mu.Lock()
		before, began := len(l.stops), time.Now()
		l.mu.Unlock()
		limit := time.After(silence + 2*time.Second)
		for done := false; !done; {
			select {
			case <-l.moved:
				l.mu.Lock()
				done = len(l.stops) > before
				l.mu.Unlock()
			case <-limit:
				t.Fatalf("no batch came for %v", time.Since(began))
			}
		}
	}
	// What belongs to nobody moves the end too.
	x.exec("CREATE DATABASE @_foreign; CREATE TABLE @_foreign.f (id INT PRIMARY KEY); INSERT INTO @_foreign.f VALUES (1)")
	end := x.head()
	began := time.Now()
	l.await(x.ctx, "the end behind what belongs to nobody", func() bool { return l.reached(end) })
	if d := time.Since(began); d > silence+2*time.Second {
		t.Errorf("the end moved after %v", d)
	}
	l.cancel()
}

// concurrent: streams, chunks and questions at once do not disturb each other.
func concurrent(t testing.TB, h Harness, s Server) {
	x := begin(t, h, s)
	defer x.end()
	k := h.Dialect.Keys[0]
	w := x.fill(k, "@.t", 1500, 6)
	tables, splits := x.split(k, "t", 32<<10)
	from, now := x.head(), x.initial(tables)
	a, b := x.stream(tables, from, connector.Until{}), x.stream(tables, from, connector.Until{})
	w.start()
	rows := make(chan int, len(splits))
	for _, sp := range splits {
		go func() {
			p := newTape(t, position.Position{}, true)
			if err := x.src.Read(x.ctx, sp, position.Position{}, p.take); err != nil && !fault.Has(err, fault.SourceBusy) {
				t.Errorf("chunk %s: %v", sp.ID, err)
			}
			rows <- len(p.entries)
		}()
	}
	for range splits {
		<-rows
	}
	w.halt()
	end := x.head()
	for _, l := range []*live{a, b} {
		l.await(x.ctx, "the head", func() bool { return l.reached(end) })
		l.cancel()
	}
	sameEntries(t, "two streams", a.entries, b.entries)
	x.replay(now, a.entries)
	x.matches("a stream among chunks", now)
}
