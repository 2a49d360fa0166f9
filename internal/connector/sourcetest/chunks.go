package sourcetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

// discovers: shapes are those of the server, and nothing else is chosen.
func discovers(t testing.TB, h Harness, s Server) {
	x := begin(t, h, s, "CREATE TABLE @.b (id INT PRIMARY KEY, v VARCHAR(20))", "CREATE TABLE @.a (x INT NOT NULL, y INT NOT NULL, z VARCHAR(5), PRIMARY KEY (y, x))", "CREATE TABLE @.none (v INT)")
	defer x.end()
	x.exec("INSERT INTO @.b VALUES (1, 'x')")
	tables, at := x.discover()
	var got []string
	for _, t := range tables {
		var cols []string
		for _, c := range t.Columns {
			cols = append(cols, fmt.Sprintf("%s:%s:%v", c.Name, c.Type.Kind, c.Nullable))
		}
		got = append(got, fmt.Sprintf("%s %v %v", t.Name.Table, cols, t.Key))
	}
	want := []string{"a [x:int:false y:int:false z:text:true] [1 0]", "b [id:int:false v:text:true] [0]", "none [v:int:true] []"}
	if !slices.Equal(got, want) {
		t.Errorf("discovered\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
	if at.IsZero() {
		t.Error("the place of the shapes is zero")
	}
	if c, err := at.Compare(x.head()); err != nil || c > 0 {
		t.Errorf("the place of the shapes lies beyond the head (%v)", err)
	}
	none, _, err := x.src.Discover(x.ctx, connector.Selector{Patterns: []string{x.space + ".absent*"}})
	if err != nil || len(none) != 0 {
		t.Errorf("nothing matches, but %d tables and %v came", len(none), err)
	}
	fewer, _, err := x.src.Discover(x.ctx, connector.Selector{Patterns: []string{x.space + ".*", "!" + x.space + ".n*"}})
	if err != nil || len(fewer) != 2 {
		t.Errorf("2 of 3 tables match, but %d and %v came", len(fewer), err)
	}
}

// chunk is one chunk as it was read.
type chunk struct {
	*tape
	mark position.Position
}

// readChunk reads one chunk.
func (x *session) readChunk(split connector.Split) (*chunk, error) {
	c := &chunk{tape: newTape(x.TB, position.Position{}, true)}
	err := x.src.Read(x.ctx, split, position.Position{}, c.take)
	if err != nil {
		return nil, err
	}
	c.finish()
	if len(c.stops) == 0 || c.stops[0].entries != 0 || c.stops[0].at.IsZero() {
		x.Fatalf("the first batch of chunk %s is not its mark", split.ID)
	}
	c.mark = c.stops[0].at
	for _, s := range c.stops[1:] {
		if s.at.Order() != c.mark.Order() && s.entries != len(c.entries) {
			x.Fatalf("a batch within chunk %s has an end of its own", split.ID)
		}
	}
	for _, e := range c.entries {
		if e.op != row.Read || e.change != nil {
			x.Fatalf("a chunk has %s", e)
		}
		if e.order < c.mark.Order() {
			x.Fatalf("a row lies before its chunk's mark %x: %s", c.mark.Order(), e)
		}
	}
	return c, nil
}

// split divides a table, and again until it is divided, as servers' estimates may
// lag behind.
func (x *session) split(k Key, name string, bytes int64) ([]*row.Table, []connector.Split) {
	x.Helper()
	if settle := x.h.Dialect.Settle; settle != "" {
		x.exec(fmt.Sprintf(settle, "@."+name))
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		tables, _ := x.discover()
		splits, err := x.src.Splits(x.ctx, connector.Request{Table: named(x, tables, name), Generation: 1, ChunkBytes: bytes})
		if err != nil {
			x.Fatal(err)
		}
		if k.Whole == (len(splits) == 1) {
			return tables, splits
		}
		if k.Whole || time.Now().After(deadline) {
			x.Fatalf("table %s is divided into %d chunks", name, len(splits))
		}
	}
}

// keys: for every kind of key, the chunks of a table that is being changed are
// each exactly the table at its mark, and with the stream from before them they
// are the table at the end.
func keys(t testing.TB, h Harness, s Server) {
	for i, k := range h.Dialect.Keys {
		t.Logf("key %s", k.Name)
		marks(t, h, s, k, uint64(i))
	}
}

func marks(t testing.TB, h Harness, s Server, k Key, seed uint64) {
	x := begin(t, h, s)
	defer x.end()
	w := x.fill(k, "@.t", scale(1500, 20000), seed)
	tables, splits := x.split(k, "t", 32<<10)
	initial, p0 := x.initial(tables), x.head()
	w.start()
	var got []*chunk
	for i := 0; i < len(splits); i++ {
		for attempt := 0; ; attempt++ {
			c, err := x.readChunk(splits[i])
			if err == nil {
				got = append(got, c)
				if i%4 == 0 {
					w.turn()
				}
				break
			}
			if attempt == 5 || fault.ClassOf(err) != fault.Retry {
				t.Fatal(err)
			}
		}
	}
	w.halt()
	end := x.head()
	log := x.read(tables, p0, end)
	table := tables[0]
	x.marksExact(table, initial, got, log)
	x.beginsAt(got[len(got)/2].mark, tables, log, end)
	all := slices.Clone(log.entries)
	for _, c := range got {
		all = append(all, c.entries...)
	}
	slices.SortFunc(all, func(a, b *entry) int { return strings.Compare(a.order, b.order) })
	final := newState(tables)
	for i, e := range all {
		if i > 0 && all[i-1].order == e.order {
			t.Fatalf("one order twice: %s and %s", all[i-1], e)
		}
		if len(table.Key) == 0 && e.order < got[0].mark.Order() {
			continue // a bag begins with its snapshot
		}
		if err := final.apply(e, false); err != nil {
			t.Fatal(err)
		}
	}
	x.matches("key "+k.Name+": chunks and stream together", final)
	if len(log.entries) == 0 {
		t.Error("nothing was changed while chunks were read")
	}
}

// beginsAt: a stream that begins at the mark of a chunk has what the log has from there on.
func (x *session) beginsAt(mark position.Position, tables []*row.Table, log *tape, end position.Position) {
	x.Helper()
	first := slices.IndexFunc(log.entries, func(e *entry) bool { return e.order >= mark.Order() })
	if first < 0 || mark == end {
		return
	}
	got := x.read(tables, mark, end).entries
	if len(got) != len(log.entries)-first {
		x.Fatalf("a stream from a chunk's mark has %d entries, the log has %d from there on", len(got), len(log.entries)-first)
	}
	for i, e := range got {
		if want := log.entries[first+i]; e.order != want.order || e.String() != want.String() {
			x.Fatalf("a stream from a chunk's mark has %s, the log has %s", e, want)
		}
	}
}

// marksExact: the rows of a chunk are those of the table at its mark whose keys
// lie in the chunk.
func (x *session) marksExact(table *row.Table, at state, chunks []*chunk, log *tape) {
	x.Helper()
	owner, hulls := x.owners(table, chunks)
	byMark := slices.Clone(chunks)
	slices.SortStableFunc(byMark, func(a, b *chunk) int { return strings.Compare(a.mark.Order(), b.mark.Order()) })
	done := 0
	for _, c := range byMark {
		for ; done < len(log.entries) && log.entries[done].order < c.mark.Order(); done++ {
			if err := at.apply(log.entries[done], true); err != nil {
				x.Fatal(err)
			}
		}
		if done < len(log.entries) && len(c.entries) > 0 && log.entries[done].order <= c.entries[len(c.entries)-1].order {
			x.Fatalf("a row of a chunk lies at or after a change that is not in its mark: %s", c.entries[len(c.entries)-1])
		}
		want := [][]string{}
		number := slices.Index(chunks, c)
		for _, cells := range at[table.Name].list() {
			if len(table.Key) == 0 || mine(table, cells, number, owner, hulls) {
				want = append(want, cells)
			}
		}
		if d := differs(table, c.cells(), want); d != "" {
			x.Fatalf("chunk %d of %d is not the table at its mark: %s", number, len(chunks), d)
		}
	}
}

func (c *chunk) cells() [][]string {
	var out [][]string
	for _, e := range c.entries {
		var cells []string
		for _, v := range e.cells {
			cells = append(cells, v.value())
		}
		out = append(out, cells)
	}
	return out
}

// owners says which chunk each key seen lies in, and the least and greatest key of
// each chunk.
func (x *session) owners(table *row.Table, chunks []*chunk) (map[string]int, [][2][]string) {
	x.Helper()
	owner := map[string]int{}
	hulls := make([][2][]string, len(chunks))
	for n, c := range chunks {
		for _, cells := range c.cells() {
			if len(table.Key) == 0 {
				continue
			}
			key := keyOf(table, cells)
			text := keyText(table, cells)
			if before, ok := owner[text]; ok {
				x.Fatalf("key %q is in chunks %d and %d", key, before, n)
			}
			owner[text] = n
			h := &hulls[n]
			if h[0] == nil || less(key, h[0]) {
				h[0] = key
			}
			if h[1] == nil || less(h[1], key) {
				h[1] = key
			}
		}
	}
	return owner, hulls
}

func keyOf(t *row.Table, cells []string) []string {
	var k []string
	for _, i := range t.Key {
		k = append(k, cells[i])
	}
	return k
}

// mine reports whether a key lies in chunk n: it was seen there, or it lies between
// keys that were, or beyond the outermost.
func mine(t *row.Table, cells []string, n int, owner map[string]int, hulls [][2][]string) bool {
	if o, ok := owner[keyText(t, cells)]; ok {
		return o == n
	}
	key, h := keyOf(t, cells), hulls[n]
	if h[0] == nil {
		return false
	}
	low := n == 0 || !less(key, h[0])
	high := n == len(hulls)-1 || !less(h[1], key)
	return low && high
}

// splitsCover: rows that come below the least and above the greatest key after a
// table was divided are in its chunks.
func splitsCover(t testing.TB, h Harness, s Server) {
	k := h.Dialect.Keys[0]
	x := begin(t, h, s)
	defer x.end()
	w := x.fill(k, "@.t", 1500, 1)
	_, splits := x.split(k, "t", 32<<10)
	ids := map[string]bool{}
	for i, sp := range splits {
		if !sp.Bounded || len(sp.Tables) != 1 || sp.Generation != 1 || sp.Chunk != uint32(i) || ids[sp.ID] {
			t.Fatalf("chunk %d is %+v", i, sp)
		}
		ids[sp.ID] = true
	}
	x.exec("INSERT INTO @.t VALUES " + w.literals(-900000, "'below'", 1) + ", " + w.literals(900000, "'above'", 2))
	_, p0 := x.discover() // a run that starts now must see them
	n := 0
	for _, sp := range splits {
		c := x.chunkAfter(sp, p0)
		n += len(c.entries)
	}
	if n != 1502 {
		t.Errorf("%d rows of 1502 are in the chunks", n)
	}
	x.exec("CREATE TABLE @.empty (id INT PRIMARY KEY)")
	tables, p0 := x.discover()
	splits, err := x.src.Splits(x.ctx, connector.Request{Table: named(t, tables, "empty"), Generation: 1, ChunkBytes: 32 << 10})
	if err != nil || len(splits) != 1 {
		t.Fatalf("an empty table gave %d chunks and %v", len(splits), err)
	}
	if c := x.chunkAfter(splits[0], p0); len(c.entries) != 0 {
		t.Fatalf("an empty table gave %s", c.entries[0])
	}
}

// chunkAfter reads a chunk, again when the source says that it may be tried again.
// Its mark must not lie before p0, the place that Discover gave last.
func (x *session) chunkAfter(split connector.Split, p0 position.Position) *chunk {
	x.Helper()
	for attempt := 0; ; attempt++ {
		c, err := x.readChunk(split)
		if err != nil && (attempt == 5 || fault.ClassOf(err) != fault.Retry) {
			x.Fatal(err)
		}
		if err != nil {
			continue
		}
		if d, err := c.mark.Compare(p0); err != nil || d < 0 {
			x.Fatalf("the mark of chunk %s lies before the place that Discover gave before it was read (%v)", split.ID, err)
		}
		return c
	}
}

// emitFails: an error of emit ends Read, which returns it unchanged.
func emitFails(t testing.TB, h Harness, s Server) {
	k := h.Dialect.Keys[0]
	x := begin(t, h, s)
	defer x.end()
	x.fill(Key{Name: k.Name, Columns: k.Columns, Literals: k.Literals}, "@.t", 400, 1)
	tables, _ := x.discover()
	splits, err := x.src.Splits(x.ctx, connector.Request{Table: tables[0], Generation: 1, ChunkBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	refuse := func(b *row.Batch) error {
		defer b.Release()
		if b.Rows() > 0 {
			return enough
		}
		return nil
	}
	if err := x.src.Read(x.ctx, splits[0], position.Position{}, refuse); err != enough {
		t.Errorf("emit refused a chunk's batch, Read returned %v", err)
	}
	split := connector.Split{ID: connector.StreamSplit, Selector: x.selector(), Tables: tables}
	at := x.head()
	x.exec("INSERT INTO @.t VALUES " + (&writer{key: k}).literals(500, "'x'", 1))
	ctx, cancel := context.WithTimeout(x.ctx, 20*time.Second)
	defer cancel()
	if err := x.src.Read(ctx, split, at, refuse); err != enough {
		t.Errorf("emit refused a batch of the stream, Read returned %v", err)
	}
}

// schemaOfChunk: a chunk of a table that changed after it was divided has the
// newer shape, in a version of its own, or is refused to be read again.
func schemaOfChunk(t testing.TB, h Harness, s Server) {
	x := begin(t, h, s, "CREATE TABLE @.t (id INT PRIMARY KEY, v VARCHAR(20))")
	defer x.end()
	x.exec("INSERT INTO @.t VALUES (1, 'a'), (2, 'b')")
	tables, p0 := x.discover()
	splits, err := x.src.Splits(x.ctx, connector.Request{Table: tables[0], Generation: 1, ChunkBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.readChunk(splits[0]); err != nil {
		t.Fatal(err)
	}
	x.exec("ALTER TABLE @.t ADD COLUMN n INT; INSERT INTO @.t VALUES (3, 'c', 3)")
	var c *chunk
	for range 5 {
		if c, err = x.readChunk(splits[0]); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	shape := tables[0]
	if len(c.entries) > 0 {
		shape = c.entries[0].table
	}
	// The mark says whether the change is in it.
	log := x.read(tables, p0, x.head())
	at := newState(tables)
	at[tables[0].Name].rows = map[string][]string{"1": {"1", "a"}, "2": {"2", "b"}}
	for _, e := range log.entries {
		if e.order < c.mark.Order() {
			x.replay(at, []*entry{e})
		}
	}
	want := at[tables[0].Name]
	if n := len(shape.Columns); n < len(want.shape.Columns) {
		t.Fatalf("the chunk has shape [%s], its mark says [%s]", shapeText(shape), shapeText(want.shape))
	} else if n > len(want.shape.Columns) {
		// A column that came at once, without the rows being written again, may be
		// seen early: it is null in rows from before.
		for _, cells := range want.rows {
			want.rows[cells[0]] = append(cells, Null)
		}
	}
	if shape != tables[0] && (shape.Number != tables[0].Number || shape.Version <= tables[0].Version) {
		t.Errorf("the newer shape has number %d version %d, the planned one %d and %d", shape.Number, shape.Version, tables[0].Number, tables[0].Version)
	}
	if d := differs(shape, c.cells(), want.list()); d != "" {
		t.Fatal(d)
	}
}
