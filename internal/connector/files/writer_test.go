package files

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"godwit/internal/connector"
	"godwit/internal/connector/sinktest"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/internal/store/local"
)

// tables returns n tables of one column more than a key.
func tables(n int) []*row.Table {
	var out []*row.Table
	for i := range n {
		out = append(out, &row.Table{Name: row.Name{Space: "shop", Table: fmt.Sprintf("t%03d", i)}, Number: uint32(i + 1), Version: 1, Key: []int{0},
			Columns: []row.Column{{Name: "id", Type: row.Type{Kind: row.Int, Native: "int"}}, {Name: "v", Type: row.Type{Kind: row.Text, Native: "text"}}}})
	}
	return out
}

// batchOf has rows going round the tables.
func batchOf(pool *row.Pool, ts []*row.Table, rows int, from uint64) *row.Batch {
	x := row.NewBuilder(pool)
	x.At("0123", from, row.Txn{ID: "1"})
	for i := range rows {
		x.Row(ts[i%len(ts)], row.Insert)
		x.Int(int64(from) + int64(i))
		x.String("text")
	}
	return x.Finish(position.Position{}, 0)
}

func TestWriter_when_500_tables_change_at_once(t *testing.T) {
	c := testConfig()
	c.Roll = roll{Size: 1 << 20}
	mem := sinktest.NewMem()
	b := newBench(t, mem, c, "shop")
	b.must(b.sink.Prepare(t.Context(), nil))
	w, _ := b.open(1)
	ts := tables(500)
	var pool row.Pool
	most := 0
	rows := 0
	for n := range uint64(4) {
		batch := batchOf(&pool, ts, 2000, n*10_000)
		rows += batch.Rows()
		b.must(w.Apply(t.Context(), batch))
		batch.Release()
		most = max(most, w.memory)
	}
	if most > int(b.sink.memory) || most == 0 {
		t.Errorf("encoders held %d bytes of %d", most, b.sink.memory)
	}
	if w.Staged() < int64(rows)*10 {
		t.Errorf("staged %d bytes of %d rows", w.Staged(), rows)
	}
	b.must(w.Commit(t.Context(), streamSet(1)))
	if w.record.Side == nil || w.record.Side.Receipts < 500 || w.Staged() != 0 || w.memory != 0 {
		t.Errorf("side %+v, staged %d, memory %d", w.record.Side, w.Staged(), w.memory)
	}
	files, lines := 0, 0
	for k, o := range mem.Objects {
		if !strings.HasPrefix(k, control) {
			files++
			lines += strings.Count(string(o.Data), "\n")
		}
	}
	if lines != rows {
		t.Errorf("%d rows are in files, not %d", lines, rows)
	}
	t.Logf("%d rows of 500 tables in %d files", rows, files)

	// Whoever comes next finds the list, and it goes when it is of no use.
	next := newBench(t, mem, c, "shop")
	v, _ := next.open(2)
	if v.record.Side == nil || mem.Objects[v.record.Side.Key] == nil {
		t.Fatal("the list of files was not carried on")
	}
	side := v.record.Side.Key
	b.must(v.Commit(t.Context(), streamSet(2)))
	if mem.Objects[side] != nil {
		t.Error("the list of files is still there")
	}
}

func TestOpen_when_the_list_of_files_is_gone(t *testing.T) {
	mem := sinktest.NewMem()
	b := newBench(t, mem, testConfig(), "shop")
	b.must(b.sink.Prepare(t.Context(), nil))
	w, _ := b.open(1)
	var pool row.Pool
	batch := batchOf(&pool, tables(300), 300, 0)
	b.must(w.Apply(t.Context(), batch))
	b.must(w.Commit(t.Context(), streamSet(1)))
	delete(mem.Objects, w.record.Side.Key)
	_, _, err := b.sink.Open(t.Context(), connector.Shard{Task: "stream"}, connector.Claim{Run: 2})
	if !fault.Has(err, fault.TargetLost) {
		t.Fatal(err)
	}
}

func TestWriter_when_files_are_rolled(t *testing.T) {
	c := testConfig()
	c.Roll = roll{Size: 1 << 20, Rows: 10}
	mem := sinktest.NewMem()
	b := newBench(t, mem, c, "shop")
	b.must(b.sink.Prepare(t.Context(), nil))
	w, _ := b.open(1)
	var pool row.Pool
	for n := range uint64(10) {
		batch := batchOf(&pool, tables(1), 5, n*5)
		b.must(w.Apply(t.Context(), batch))
	}
	b.must(w.Commit(t.Context(), streamSet(1)))
	for n := range 5 {
		if mem.Objects[fmt.Sprintf("shop/t000/stream-1-%d.txt", n+1)] == nil {
			t.Errorf("file %d is missing: %v", n+1, contents(mem))
		}
	}
}

func TestAnnounce(t *testing.T) {
	mem := sinktest.NewMem()
	b := newBench(t, mem, testConfig(), "shop")
	ts := tables(2)
	b.must(b.sink.Prepare(t.Context(), ts))
	w, _ := b.open(1)
	set := streamSet(5)
	set[incarnationKey] = position.Note("3")
	b.must(w.Commit(t.Context(), set))
	dflt := "x"
	added := *ts[0]
	added.Version, added.Columns = 2, append(append([]row.Column(nil), ts[0].Columns...), row.Column{Name: "c", Type: row.Type{Kind: row.Text, Native: "text"}, Default: &dflt})
	renamed := added
	renamed.Version, renamed.Columns = 3, append([]row.Column(nil), added.Columns...)
	renamed.Columns[1].Name = "w"
	renamed.Name.Table = "Moved"
	b.must(w.Evolve(t.Context(), &row.SchemaChange{Kind: row.Alter, Before: ts[0], After: &added}))
	set = streamSet(7)
	set[incarnationKey] = position.Note("3")
	b.must(w.Commit(t.Context(), set))
	b.must(w.Evolve(t.Context(), &row.SchemaChange{Kind: row.Alter, Before: &added, After: &renamed, Renamed: map[string]string{"w": "v"}}))
	b.must(w.Evolve(t.Context(), &row.SchemaChange{Kind: row.Alter, Before: &added, After: &renamed, Renamed: map[string]string{"w": "v"}}))
	announce := func(s *sink) string {
		b.must(s.Announce(t.Context(), streamSet(9)["stream"], "bin.1:9", []connector.Completion{
			{Table: &renamed, Complete: true, From: streamSet(6)["stream"]}, {Table: ts[1], Stopped: "xa"}}))
		return string(mem.Objects[statusKey].Data)
	}
	got := announce(b.sink)
	var doc struct {
		Version int
		Job     string
		At      struct {
			Described string
			Pos       string `json:"_pos"`
		}
		Tables []statusTable
	}
	b.must(json.Unmarshal([]byte(got), &doc))
	if doc.Version != 1 || doc.Job != "shop" || doc.At.Described != "bin.1:9" || doc.At.Pos != row.PlacePos(3, streamSet(9)["stream"]) || len(doc.Tables) != 2 {
		t.Fatalf("%s", got)
	}
	m := doc.Tables[0]
	if m.Name != "shop.Moved" || strings.Join(m.Folders, " ") != "shop/t000/ shop/Moved/" || !m.Complete || m.From != row.PlacePos(3, streamSet(6)["stream"]) || m.Folder != "shop/Moved/" {
		t.Errorf("%+v", m)
	}
	c := m.Columns
	if len(c) != 3 || c[1].Name != "w" || len(c[1].Names) != 1 || c[1].Names[0] != (formerName{"v", posText(3, at64(7))}) || c[1].Since != "" ||
		c[2].Since != posText(3, at64(5)) || c[2].Default == nil || *c[2].Default != "x" {
		t.Errorf("%+v", c)
	}
	if doc.Tables[1].Stopped != "xa" || doc.Tables[1].Complete {
		t.Errorf("%+v", doc.Tables[1])
	}
	// Another process says the same, from what is kept.
	later := newBench(t, mem, testConfig(), "shop")
	later.open(2)
	var again struct{ Tables json.RawMessage }
	var first struct{ Tables json.RawMessage }
	b.must(json.Unmarshal([]byte(announce(later.sink)), &again))
	b.must(json.Unmarshal([]byte(got), &first))
	if string(again.Tables) != string(first.Tables) || len(first.Tables) == 0 {
		t.Errorf("%s, before %s", again.Tables, first.Tables)
	}
}

// Tasks of one job write side by side in one sink.
func TestSink_when_many_shards_at_once(t *testing.T) {
	dir := t.TempDir()
	st, err := local.New(local.OS{}, dir, local.Options{Staging: StagingDir})
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSink(st, testConfig(), connector.Env{Job: "shop", Name: "lake"})
	if err != nil {
		t.Fatal(err)
	}
	ts := tables(6)
	if err := s.Prepare(t.Context(), ts); err != nil {
		t.Fatal(err)
	}
	errs := make(chan error, 6)
	for i := range cap(errs) {
		go func() {
			w, _, err := s.Open(t.Context(), connector.Shard{Task: fmt.Sprintf("%d.1.1", i+1)}, connector.Claim{Run: 1})
			var pool row.Pool
			for n := uint64(0); n < 5 && err == nil; n++ {
				b := batchOf(&pool, ts[i:i+1], 9, uint64(i)*1000+n*9)
				err = w.Apply(t.Context(), b)
				b.Release()
				if err == nil {
					err = w.Commit(t.Context(), streamSet(n))
				}
				if err == nil {
					err = s.Announce(t.Context(), streamSet(n)["stream"], "x", []connector.Completion{{Table: ts[i]}})
				}
			}
			if err == nil {
				err = w.Close()
			}
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	lines := 0
	for o, err := range st.List(t.Context(), "shop/", "") {
		if err != nil {
			t.Fatal(err)
		}
		b, err := s.get(t.Context(), o.Key, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		lines += strings.Count(string(b), "\n")
	}
	if lines != 6*5*9 {
		t.Errorf("%d rows", lines)
	}
}
