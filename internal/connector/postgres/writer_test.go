package postgres

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/test/servers/postgres"
)

func plainTable(name string, keyed bool, columns ...string) *row.Table {
	t := &row.Table{Name: row.Name{Space: "shop", Table: name}, Number: 1, Version: 1}
	for i, c := range columns {
		k := row.Column{Name: c, Type: row.Type{Kind: row.Text, Native: "text"}, Nullable: true}
		if i == 0 {
			k.Type = row.Type{Kind: row.Int, Size: 4, Native: "int(11)"}
		}
		t.Columns = append(t.Columns, k)
	}
	if keyed {
		t.Key = []int{0}
	}
	return t
}

// Changes of keys within one commit, which stay right in any order of rows.
func TestWriter_when_keys_are_exchanged(t *testing.T) {
	table := plainTable("t", true, "id", "a", "b")
	r := newRig(t, postgres.Start(t), nil, table)
	r.must(r.write(table, change{row.Insert, cells(1, "one", "x")}, change{row.Insert, cells(2, "two", "y")}))
	r.must(r.write(table, // 1 ↔ 2 over 9, whole images
		change{row.Before, cells(1, "one", "x")}, change{row.Update, cells(9, "one", "x")},
		change{row.Before, cells(2, "two", "y")}, change{row.Update, cells(1, "two", "y")},
		change{row.Before, cells(9, "one", "x")}, change{row.Update, cells(2, "one", "x")}))
	r.wants("SELECT * FROM shop.t ORDER BY id", "1|two|y", "2|one|x")
	r.must(r.write(table, // and back, of which the log has the keys only
		change{row.Before, cells(1, absent{}, absent{})}, change{row.Update, cells(9, absent{}, absent{})},
		change{row.Before, cells(2, absent{}, absent{})}, change{row.Update, cells(1, absent{}, "z")},
		change{row.Before, cells(9, absent{}, absent{})}, change{row.Update, cells(2, absent{}, absent{})}))
	r.wants("SELECT * FROM shop.t ORDER BY id", "1|one|z", "2|two|y")
}

func TestWriter_when_images_are_partial(t *testing.T) {
	table := plainTable("t", true, "id", "a", "b")
	r := newRig(t, postgres.Start(t), nil, table)
	r.must(r.write(table, change{row.Insert, cells(1, "a1", "b1")}, change{row.Insert, cells(2, "a2", "b2")}, change{row.Insert, cells(3, "a3", "b3")}))
	r.must(r.write(table,
		change{row.Update, cells(1, absent{}, "B1")}, change{row.Update, cells(1, "A1", absent{})},
		change{row.Update, cells(2, nil, absent{})},
		change{row.Delete, cells(3, absent{}, absent{})}, change{row.Insert, cells(3, "new", absent{})},
		change{row.Insert, cells(4, "a4", absent{})}, change{row.Update, cells(4, absent{}, "b4")},
		change{row.Update, cells(7, "not there", absent{})}, change{row.Delete, cells(8, absent{}, absent{})}))
	r.wants("SELECT * FROM shop.t ORDER BY id", "1|A1|B1", "2|∅|b2", "3|new|∅", "4|a4|b4")
}

// Rows of a table without a key are counted, nulls and all.
func TestWriter_when_there_is_no_key(t *testing.T) {
	table := plainTable("t", false, "id", "a")
	table.Columns = append(table.Columns, row.Column{Name: "j", Type: row.Type{Kind: row.JSON, Native: "json"}}, row.Column{Name: "f", Type: row.Type{Kind: row.Float64, Native: "double"}})
	r := newRig(t, postgres.Start(t), nil, table)
	same, other := cells(1, nil, `{"a":1}`, 0.1), cells(1, "", `{"a":1}`, 0.1)
	r.must(r.write(table, change{row.Read, same}, change{row.Read, same}, change{row.Read, same}, change{row.Read, other}))
	r.must(r.write(table, change{row.Delete, same}, change{row.Insert, other}, change{row.Before, same}, change{row.Update, cells(2, nil, "null", 1.5)}))
	r.wants("SELECT id, a, j, f, count(*) FROM (SELECT id, a, j::text, f FROM shop.t) x GROUP BY 1, 2, 3, 4 ORDER BY 1, 2",
		`1||{"a":1}|0.1|2`, `1|∅|{"a":1}|0.1|1`, `2|∅|null|1.5|1`)
	r.must(r.write(table, change{row.Truncate, nil}, change{row.Insert, other}))
	r.wants("SELECT count(*) FROM shop.t", "1")
}

// Rows that are equal wait as one, and are sent as many.
func TestWriter_when_many_rows_are_equal(t *testing.T) {
	table := plainTable("t", false, "id", "a")
	r := newRig(t, postgres.Start(t), nil, table)
	r.sink.held = 1000
	same := slices.Repeat([]change{{row.Insert, cells(1, "a")}}, 500)
	b := r.batch(table, same...)
	defer b.Release()
	r.must(r.w.Apply(context.Background(), b))
	if w := r.w.(*writer); w.held > 0 {
		t.Errorf("%d bytes are held", w.held)
	}
	r.must(r.w.Commit(context.Background(), position.Set{}))
	r.wants("SELECT count(*) FROM shop.t", "500")
}

func TestWriter_when_a_table_is_truncated(t *testing.T) {
	table := plainTable("t", true, "id", "a")
	r := newRig(t, postgres.Start(t), nil, table)
	r.must(r.write(table, change{row.Read, cells(1, "a")}, change{row.Insert, cells(2, "b")}))
	r.must(r.write(table, change{row.Insert, cells(3, "c")}, change{row.Truncate, nil}, change{row.Insert, cells(4, "d")}, change{row.Delete, cells(1, "a")}))
	r.wants("SELECT * FROM shop.t", "4|d")
}

// A chunk that has a row which is there already, as of sources without snapshots of
// one moment, is merged at the next attempt.
func TestWriter_when_a_chunk_clashes(t *testing.T) {
	table := plainTable("t", true, "id", "a")
	r := newRig(t, postgres.Start(t), nil, table)
	r.must(r.write(table, change{row.Read, cells(1, "old")}))
	if err := r.write(table, change{row.Read, cells(1, "new")}); fault.ClassOf(err) != fault.Retry {
		t.Fatalf("%v", err)
	}
	r.open(1)
	r.must(r.write(table, change{row.Read, cells(1, "new")}))
	r.wants("SELECT * FROM shop.t", "1|new")
}

// A reader sees a commit whole or not at all, here over the sum of two tables.
func TestCommit_when_a_reader_adds_up(t *testing.T) {
	a, b := plainTable("a", true, "id", "n"), plainTable("b", true, "id", "n")
	b.Number = 2
	s := postgres.Start(t)
	r := newRig(t, s, nil, a, b)
	move := func(n int) error {
		x, y := r.batch(a, change{row.Insert, cells(1, fmt.Sprint(100-n))}), r.batch(b, change{row.Insert, cells(1, fmt.Sprint(n))})
		defer x.Release()
		defer y.Release()
		for _, z := range []*row.Batch{x, y} {
			if err := r.w.Apply(context.Background(), z); err != nil {
				return err
			}
			if err := r.w.(*writer).flush(context.Background()); err != nil {
				return err
			}
		}
		return r.w.Commit(context.Background(), position.Set{connector.StreamSplit: y.End})
	}
	r.must(move(0))
	c, err := testConfig(t, s, nil).dial(context.Background())
	r.must(err)
	defer c.close()
	done := make(chan error)
	go func() {
		for n := range 50 {
			if err := move(n); err != nil {
				done <- err
				return
			}
		}
		close(done)
	}()
	for {
		select {
		case err := <-done:
			r.must(err)
			return
		default:
		}
		x, err := c.query(context.Background(), "SELECT sum(n::int) FROM (SELECT n FROM shop.a UNION ALL SELECT n FROM shop.b) x")
		r.must(err)
		if got := string(x.rows[0][0]); got != "100" {
			t.Fatalf("a reader saw the sum %s", got)
		}
	}
}

// A writer that hangs inside a transaction is ended by the next owner.
func TestOpen_when_an_older_session_hangs(t *testing.T) {
	table := plainTable("t", true, "id", "a")
	s := postgres.Start(t)
	r := newRig(t, s, map[string]any{"lock_timeout": 50 * time.Millisecond}, table)
	r.must(r.write(table, change{row.Insert, cells(1, "a")}))
	hung := r.w
	x := r.batch(table, change{row.Insert, cells(2, "b")})
	defer x.Release()
	r.must(hung.Apply(context.Background(), x))
	r.must(hung.(*writer).flush(context.Background()))
	second := &rig{TB: t, s: s, n: 10}
	second.sink = newSink(testConfig(t, s, map[string]any{"lock_timeout": 50 * time.Millisecond}), connector.Env{Job: "shop", Name: "lake"})
	defer second.sink.Close()
	second.open(2)
	r.must(second.write(table, change{row.Insert, cells(3, "c")}))
	if err := hung.Commit(context.Background(), position.Set{}); !fault.Has(err, fault.FencedOff) {
		t.Errorf("the older writer: %v", err)
	}
	r.wants("SELECT id FROM shop.t ORDER BY id", "1", "3")
}

// A target that was set back behind what this process knows to be committed is not
// gone on with.
func TestOpen_when_commits_are_lost(t *testing.T) {
	table := plainTable("t", true, "id", "a")
	r := newRig(t, postgres.Start(t), nil, table)
	r.must(r.write(table, change{row.Insert, cells(1, "a")}))
	r.must(r.write(table, change{row.Insert, cells(2, "a")}))
	r.must(r.w.Close())
	r.s.Exec(t, "UPDATE godwit.godwit_position SET seq = seq - 1")
	_, _, err := r.sink.Open(context.Background(), connector.Shard{Job: "shop", Sink: "lake", Task: "other"}, connector.Claim{Run: 1})
	if !fault.Has(err, fault.TargetLost) || !strings.Contains(err.Error(), "1 commits of shard stream") {
		t.Errorf("%v", err)
	}
}

// The server is killed: what was committed is there, nothing else.
func TestWriter_when_the_server_is_killed(t *testing.T) {
	table := plainTable("t", true, "id", "a")
	r := newRig(t, postgres.Start(t), nil, table)
	r.must(r.write(table, change{row.Insert, cells(1, "a")}))
	x := r.batch(table, change{row.Insert, cells(2, "b")})
	defer x.Release()
	r.must(r.w.Apply(context.Background(), x))
	r.must(r.w.(*writer).flush(context.Background()))
	r.s.Kill(t)
	if err := r.w.Commit(context.Background(), position.Set{}); !fault.Has(err, fault.TargetUnreachable) {
		t.Fatalf("%v", err)
	}
	r.must(r.w.Close())
	r.s.Restart(t)
	if set := r.open(1); set[connector.StreamSplit].Order() != "1" {
		t.Errorf("opened at %v", set)
	}
	r.wants("SELECT id FROM shop.t", "1")
}

func TestPrepare_when_a_table_is_there(t *testing.T) {
	s := postgres.Start(t)
	ctx := context.Background()
	s.Exec(t, `CREATE SCHEMA shop; CREATE TABLE shop.full (id int PRIMARY KEY, a text); INSERT INTO shop.full VALUES (1);
CREATE TABLE shop.other (id smallint PRIMARY KEY, a text); CREATE TABLE shop.keyless (id int, a text); CREATE TABLE shop.more (id int PRIMARY KEY, a text, c int NOT NULL);
CREATE TABLE shop.fits (a text, c int DEFAULT 7, id int PRIMARY KEY); CREATE VIEW shop.seen AS SELECT 1 AS id, ''::text AS a;
CREATE UNLOGGED TABLE shop.unlogged (id int PRIMARY KEY, a text)`)
	r := newRig(t, s, nil)
	for name, want := range map[string]string{"full": "is not empty", "other": `column "id" is smallint, not integer`, "keyless": `no primary or unique key of exactly "id"`,
		"more": "column c is not null, has no default and is not in the source", "seen": "is not a table that can be written", "unlogged": "is unlogged"} {
		if err := r.sink.Prepare(ctx, []*row.Table{plainTable(name, true, "id", "a")}); !fault.Has(err, fault.TargetNotOurs) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	fits := plainTable("fits", true, "id", "a")
	r.must(r.sink.Prepare(ctx, []*row.Table{fits}))
	r.must(r.write(fits, change{row.Insert, cells(1, "x")}))
	r.wants("SELECT * FROM shop.fits", "x|7|1")
	r.must(r.sink.Prepare(ctx, []*row.Table{fits}))
	other := newSink(r.sink.cfg, connector.Env{Job: "another", Name: "lake"})
	defer other.Close()
	if err := other.Prepare(ctx, []*row.Table{fits}); !fault.Has(err, fault.TargetNotOurs) || !strings.Contains(err.Error(), `belongs to sink "lake" of job "shop"`) {
		t.Errorf("%v", err)
	}
	s.Exec(t, "DROP TABLE shop.fits")
	if err := r.sink.Prepare(ctx, []*row.Table{fits}); !fault.Has(err, fault.TargetLost) {
		t.Errorf("%v", err)
	}
}

// An old image without its new one is a delete: the chunk of the new key has the row.
// What follows it is not taken for the new one.
func TestWriter_when_an_old_image_is_alone(t *testing.T) {
	table := plainTable("t", true, "id", "a")
	r := newRig(t, postgres.Start(t), nil, table)
	alone := change{row.Before, cells(1, "one")}
	for n, next := range [][]change{
		nil,
		{{row.Update, cells(2, absent{})}}, // of another row, with a part of its cells
		{{row.Insert, cells(3, "three")}},
		{{row.Delete, cells(2, "two")}},
		{{row.Before, cells(2, "two")}, {row.Update, cells(4, absent{})}},
	} {
		r.must(r.write(table, change{row.Truncate, nil}, change{row.Insert, cells(1, "one")}, change{row.Insert, cells(2, "two")}))
		b := r.batch(table, append([]change{alone, {row.Update, cells(9, "left out")}}, next...)...)
		x := b.Select(func(_ *row.Section, i int) bool { return i != 1 })
		r.must(r.w.Apply(context.Background(), x))
		r.must(r.w.Commit(context.Background(), position.Set{connector.StreamSplit: b.End}))
		b.Release()
		want := [][]string{{"2|two"}, {"2|two"}, {"2|two", "3|three"}, nil, {"4|two"}}[n]
		r.wants("SELECT * FROM shop.t ORDER BY id", want...)
	}
}

// Both images of a row may come in two batches, with rows sent between them.
func TestWriter_when_a_batch_ends_between_two_images(t *testing.T) {
	table := plainTable("t", true, "id", "a", "b")
	r := newRig(t, postgres.Start(t), nil, table)
	r.sink.held = 1
	for _, now := range [][]any{cells(2, "new", "x"), cells(2, absent{}, "x")} {
		r.must(r.write(table, change{row.Truncate, nil}, change{row.Insert, cells(1, "old", "b")}))
		b := r.batch(table, change{row.Insert, cells(5, "other", nil)}, change{row.Before, cells(1, absent{}, absent{})}, change{row.Update, now})
		for _, part := range []int{0, 1} {
			x := b.Select(func(_ *row.Section, i int) bool { return (i == 2) == (part == 1) })
			r.must(r.w.Apply(context.Background(), x))
		}
		r.must(r.w.Commit(context.Background(), position.Set{connector.StreamSplit: b.End}))
		b.Release()
		want := "2|new|x"
		if now[1] == (absent{}) {
			want = "2|old|x"
		}
		r.wants("SELECT * FROM shop.t ORDER BY id", want, "5|other|∅")
	}
}

// Of many rows the one is named that the server refuses, also when more were sent
// behind it, and nothing is committed.
func TestWriter_when_the_server_refuses_a_row(t *testing.T) {
	table := plainTable("t", true, "id", "a")
	s := postgres.Start(t)
	r := newRig(t, s, nil, table)
	s.Exec(t, "ALTER TABLE shop.t ADD CHECK (a <> 'bad')")
	for n, held := range []int{mostHeld, 1} {
		r.sink.held = held
		var rows []change
		for i := range 100 {
			text := "good"
			if i == 63 {
				text = "bad"
			}
			rows = append(rows, change{row.Insert, cells(i, text)})
		}
		first, second := r.batch(table, rows...), r.batch(table, change{row.Insert, cells(200, "good")})
		err := r.w.Apply(context.Background(), first)
		if err == nil {
			err = r.w.Apply(context.Background(), second)
		}
		if err == nil {
			err = r.w.Commit(context.Background(), position.Set{connector.StreamSplit: second.End})
		}
		if !fault.Has(err, fault.RowRefused) || !strings.Contains(err.Error(), "shop.t: the target refuses row id=63") || !strings.Contains(err.Error(), "t_a_check") {
			t.Errorf("with %d bytes held: %v", held, err)
		}
		first.Release()
		second.Release()
		r.wants("SELECT count(*) FROM shop.t", "0")
		r.open(uint64(n + 2))
	}
}

// Where another index is unique rows are applied as they came.
func TestWriter_when_another_index_is_unique(t *testing.T) {
	table := plainTable("t", true, "id", "a")
	s := postgres.Start(t)
	r := newRig(t, s, nil, table)
	s.Exec(t, "CREATE UNIQUE INDEX ON shop.t (a)")
	r.must(r.write(table, change{row.Insert, cells(2, "x")}))
	r.must(r.write(table, change{row.Update, cells(2, "y")}, change{row.Insert, cells(1, "x")}))
	r.wants("SELECT * FROM shop.t ORDER BY id", "1|x", "2|y")
}

// A chunk may take longer than a statement may.
func TestWriter_when_a_chunk_takes_long(t *testing.T) {
	table := plainTable("t", false, "id", "a")
	r := newRig(t, postgres.Start(t), nil, table)
	w := r.w.(*writer)
	for i := range 3 {
		before := w.copying
		if before != nil {
			before.began = before.began.Add(-r.sink.cfg.statement)
		}
		b := r.batch(table, change{row.Read, cells(i, "a")})
		r.must(w.Apply(context.Background(), b))
		b.Release()
		if w.copying == before {
			t.Error("one COPY goes on")
		}
	}
	r.must(w.Commit(context.Background(), position.Set{}))
	r.wants("SELECT count(*) FROM shop.t", "3")
}

// A session whose deadline was set by a context that ended just then is not used again.
func TestSession_when_its_context_ends_with_the_answer(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	c := &session{conn: near, status: 'I'}
	ctx, cancel := context.WithCancel(context.Background())
	if err := c.guard(ctx, func() error { cancel(); return nil }); err != nil || c.usable() {
		t.Errorf("%v, usable %v", err, c.usable())
	}
	c.close()
}

// Rows that exchange what is unique are put in their places at the next attempt, in jobs
// that put rows aside too; what is not unique at all is refused.
func TestWriter_when_rows_cross_in_another_index(t *testing.T) {
	for _, discards := range []bool{false, true} {
		table := plainTable("t", true, "id", "a")
		s := postgres.Start(t)
		r := newRig(t, s, nil, table)
		s.Exec(t, "CREATE UNIQUE INDEX ON shop.t (a)")
		open := func(run uint64) {
			r.open(run)
			if discards {
				r.w.(connector.Discarder).Discard(func(connector.Letter) {})
			}
		}
		open(2)
		r.must(r.write(table, change{row.Insert, cells(1, "x")}, change{row.Insert, cells(2, "y")}))
		swap := []change{{row.Update, cells(1, "z")}, {row.Update, cells(2, "x")}, {row.Update, cells(1, "y")}}
		if err := r.write(table, swap...); fault.ClassOf(err) != fault.Retry {
			t.Fatalf("%v", err)
		}
		open(3)
		r.must(r.write(table, swap...))
		r.wants("SELECT * FROM shop.t ORDER BY id", "1|y", "2|x")
		err := r.write(table, change{row.Insert, cells(3, "x")})
		if discards == (err != nil) || !discards && !fault.Has(err, fault.RowRefused) {
			t.Errorf("discards %v: %v", discards, err)
		}
		r.wants("SELECT * FROM shop.t ORDER BY id", "1|y", "2|x")
	}
}
