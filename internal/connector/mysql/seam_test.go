package mysql

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/internal/secret"
	"godwit/test/servers/mariadb"
)

// wholeOf returns the one chunk of a table.
func wholeOf(t testing.TB, s *source, table *row.Table) connector.Split {
	t.Helper()
	splits, err := s.Splits(within(t), connector.Request{Table: table, ChunkBytes: 1 << 50})
	if err != nil || len(splits) != 1 {
		t.Fatal(len(splits), err)
	}
	return splits[0]
}

// seqOf returns the number of the last transaction before a mark.
func seqOf(t testing.TB, p position.Position) uint64 {
	t.Helper()
	at, err := parsePosition(p)
	if err != nil || len(at.gtids.last) == 0 {
		t.Fatal(p.Token(), err)
	}
	return at.gtids.last[len(at.gtids.last)-1].seq
}

func TestRead_chunk_holds_exactly_what_its_mark_says_under_writers(t *testing.T) {
	srv := mariadb.Start(t, "--sync-binlog=0", "--innodb-flush-log-at-trx-commit=0")
	srv.Exec(t, "CREATE DATABASE m; CREATE TABLE m.t (id int auto_increment primary key, a int)")
	s := sourceOf(t, srv, nil)
	table := discover(t, s, "m.t")[0]
	_, p0, err := s.Discover(within(t), connector.Selector{Patterns: []string{"m.t"}})
	if err != nil {
		t.Fatal(err)
	}
	base := seqOf(t, p0)
	var writers sync.WaitGroup
	var enough atomic.Bool
	defer writers.Wait()
	defer enough.Store(true)
	for range 3 {
		writers.Go(func() {
			for !enough.Load() {
				// one transaction for each row
				if err := srv.Run("USE m; SET autocommit=1;" + strings.Repeat("INSERT INTO t (a) VALUES (1);", 300)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	seen := map[uint64]bool{}
	ctx := within(t) // ends the readings should the writers not write
	for len(seen) < 25 {
		snap := s.snapshots.take(table.Name, 0)
		if snap != nil {
			snap.close() // a new mark for every reading
		}
		var mark position.Position
		rows := 0
		err := s.Read(ctx, wholeOf(t, s, table), position0, func(b *row.Batch) error {
			defer b.Release()
			if b.Rows() == 0 {
				mark = b.End
			}
			rows += b.Rows()
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if n := seqOf(t, mark) - base; n != uint64(rows) {
			t.Fatalf("%d rows, but %d transactions before the mark", rows, n)
		}
		if c, err := p0.Compare(mark); err != nil || c > 0 {
			t.Fatal("a mark lies before P0", err)
		}
		seen[seqOf(t, mark)] = true
	}
}

func TestRead_neighbouring_chunks_share_a_mark(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	srv.Exec(t, "USE "+db+"; CREATE TABLE t (id int primary key, p varchar(200)); INSERT INTO t SELECT seq, repeat('x',200) FROM seq_1_to_20000; ANALYZE TABLE t")
	s := sourceOf(t, srv, nil)
	table := discover(t, s, db+".t")[0]
	splits, err := s.Splits(within(t), connector.Request{Table: table, Generation: 3, ChunkBytes: 1 << 20})
	if err != nil || len(splits) < 4 {
		t.Fatal(len(splits), err)
	}
	marks := map[string]bool{}
	var orders []string
	for _, sp := range splits {
		srv.Exec(t, "INSERT INTO "+db+".t SELECT 100000 + COUNT(*), 'later' FROM "+db+".t")
		err := s.Read(within(t), sp, position0, func(b *row.Batch) error {
			defer b.Release()
			if b.Rows() == 0 {
				marks[b.End.Order()] = true
				orders = append(orders, b.End.Order())
			}
			for i := range b.Rows() {
				orders = append(orders, b.Order(i))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(marks) != 1 {
		t.Errorf("%d marks for %d neighbouring chunks", len(marks), len(splits))
	}
	mark := orders[0]
	orders = slices.DeleteFunc(orders, func(o string) bool { return o == mark })
	if len(orders) != 20000 || !slices.IsSorted(orders) || len(slices.Compact(orders)) != 20000 || orders[0] <= mark {
		t.Error("orders are not ascending and distinct, behind the mark")
	}
}

func TestRead_takes_the_newer_shape_when_the_table_was_altered(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	srv.Exec(t, "USE "+db+"; CREATE TABLE t (id int primary key, p varchar(200)); INSERT INTO t SELECT seq, 'x' FROM seq_1_to_100")
	s := sourceOf(t, srv, nil)
	table := discover(t, s, db+".t")[0]
	read := func() (shapes []*row.Table, rows int, err error) {
		err = s.Read(within(t), wholeOf(t, s, table), position0, func(b *row.Batch) error {
			defer b.Release()
			for _, sec := range b.Sections() {
				shapes = append(shapes, sec.Table)
				rows += sec.Rows
			}
			return nil
		})
		return shapes, rows, err
	}
	if shapes, n, err := read(); err != nil || n != 100 || shapes[0] != table {
		t.Fatal(shapes, n, err)
	}
	// In place, after the snapshot that is kept was opened: the rows read on.
	srv.Exec(t, "ALTER TABLE "+db+".t ADD COLUMN z int DEFAULT 9, ALGORITHM=INSTANT")
	shapes, n, err := read()
	if err != nil || n != 100 || shapes[0] == table || shapes[0].Version != table.Version+1 || shapes[0].Number != table.Number || len(shapes[0].Columns) != 3 {
		t.Fatal(shapes, n, err)
	}
	again, _, err := read()
	if err != nil || again[0] != shapes[0] {
		t.Error("two chunks of one newer shape do not share it", err)
	}
	// Rebuilt: the snapshot cannot read it, the next one can.
	srv.Exec(t, "ALTER TABLE "+db+".t DROP COLUMN z, ALGORITHM=COPY")
	if _, _, err = read(); !fault.Has(err, fault.SourceShape) || fault.ClassOf(err) != fault.Retry {
		t.Fatalf("a rebuilt table gave %v", err)
	}
	if shapes, n, err := read(); err != nil || n != 100 || !shapes[0].SameShape(table) {
		t.Fatal(shapes, n, err)
	}
	srv.Exec(t, "DROP TABLE "+db+".t")
	if _, n, err := read(); err != nil || n != 0 {
		t.Fatalf("a dropped table gave %d rows, %v: at a mark after the drop it has none", n, err)
	}
}

func TestRead_does_not_hold_up_ALTER_TABLE_between_chunks(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	srv.Exec(t, "USE "+db+"; CREATE TABLE t (id int primary key); INSERT INTO t VALUES (1)")
	s := sourceOf(t, srv, nil)
	table := discover(t, s, db+".t")[0]
	if rows, _ := readAll(t, s, table, 1); len(rows) != 1 {
		t.Fatal(rows)
	}
	if len(s.snapshots.idle) != 1 {
		t.Fatal("no snapshot is kept")
	}
	srv.Exec(t, "SET lock_wait_timeout = 2; ALTER TABLE "+db+".t ADD COLUMN a int")
}

func TestRead_with_a_range_whose_index_is_gone(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	srv.Exec(t, "USE "+db+"; CREATE TABLE t (id int not null, p varchar(200), UNIQUE KEY u (id)); INSERT INTO t SELECT seq, repeat('x',200) FROM seq_1_to_20000; ANALYZE TABLE t")
	s := sourceOf(t, srv, nil)
	table := discover(t, s, db+".t")[0]
	splits, err := s.Splits(within(t), connector.Request{Table: table, ChunkBytes: 1 << 20})
	if err != nil || len(splits) < 3 {
		t.Fatal(len(splits), err)
	}
	srv.Exec(t, "ALTER TABLE "+db+".t DROP KEY u")
	n := 0
	for i, sp := range splits {
		read := func() error {
			return s.Read(within(t), sp, position0, func(b *row.Batch) error {
				defer b.Release()
				n += b.Rows()
				return nil
			})
		}
		err := read()
		if i == 0 && fault.Has(err, fault.SourceShape) { // the snapshot of the discovery is older than the change
			err = read()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if n != 20000 {
		t.Errorf("%d rows", n)
	}
	srv.Exec(t, "ALTER TABLE "+db+".t DROP COLUMN id")
	s.snapshots.take(row.Name{}, 0).close()
	if err := s.Read(within(t), splits[1], position0, func(b *row.Batch) error { b.Release(); return nil }); !fault.Has(err, fault.SourceShape) {
		t.Errorf("a lost key column gave %v", err)
	}
}

func TestRead_rows_larger_than_packets_and_than_the_budget(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	srv.Exec(t, "USE "+db+`; CREATE TABLE t (id int primary key, a longblob, b longtext);
INSERT INTO t VALUES (1, repeat('a', 16777208), ''), (2, '', repeat('c', 33554418)), (3, repeat('d', 16777200), repeat('é', 100)), (5, 'small', 'small'), (6, repeat('e', 300000), 'x');`)
	var want []string
	for _, r := range srv.Query(t, "SELECT id, sha2(a, 256), sha2(b, 256) FROM "+db+".t ORDER BY id") {
		want = append(want, strings.Join(r, "|"))
	}
	// The first is one packet of the greatest length and an empty one, the second
	// two and an empty one, the third goes on in a second packet.
	s := sourceOf(t, srv, nil)
	table := discover(t, s, db+".t")[0]
	var got []string
	err := s.Read(within(t), wholeOf(t, s, table), position0, func(b *row.Batch) error {
		defer b.Release()
		for k := range b.Sections() {
			sec := &b.Sections()[k]
			for i := sec.Row; i < sec.Row+sec.Rows; i++ {
				w, _ := b.Cells(sec, i)
				got = append(got, fmt.Sprintf("%d|%x|%x", w[0], sha256.Sum256(b.Data(w[1])), sha256.Sum256(b.Data(w[2]))))
			}
		}
		return nil
	})
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v\n got %s\nwant %s", err, got, want)
	}
}

func TestRead_ends_soon_after_ctx_and_with_the_error_of_emit(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	srv.Exec(t, "USE "+db+"; CREATE TABLE t (id int primary key, p varchar(200)); INSERT INTO t SELECT seq, repeat('x',200) FROM seq_1_to_50000")
	s := sourceOf(t, srv, nil)
	table := discover(t, s, db+".t")[0]
	mine := errors.New("mine")
	seen := 0
	err := s.Read(within(t), wholeOf(t, s, table), position0, func(b *row.Batch) error {
		defer b.Release()
		if seen++; seen == 4 {
			return mine
		}
		return nil
	})
	if err != mine {
		t.Errorf("emit's error came back as %v", err)
	}
	// Ended while emit blocks, while memory is waited for, and before it starts.
	for _, hold := range []bool{false, true} {
		ctx, cancel := context.WithCancelCause(context.Background())
		var held []*row.Batch
		ended := make(chan error, 1)
		reached := make(chan struct{})
		var once sync.Once
		go func() {
			ended <- s.Read(ctx, wholeOf(t, s, table), position0, func(b *row.Batch) error {
				if hold { // the budget runs out
					held = append(held, b)
					if s.env.Budget.Taken() > s.env.Budget.Size()/8 {
						once.Do(func() { close(reached) })
						<-ctx.Done()
					}
					return nil
				}
				defer b.Release()
				once.Do(func() { close(reached) })
				<-ctx.Done()
				return context.Cause(ctx)
			})
		}()
		<-reached
		at := time.Now()
		cancel(mine)
		select {
		case err := <-ended:
			if !errors.Is(err, mine) {
				t.Errorf("cancelled: %v", err)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("Read did not end")
		}
		if d := time.Since(at); d > time.Second {
			t.Errorf("Read ended after %s", d)
		}
		for _, b := range held {
			b.Release()
		}
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(mine)
	if err := s.Read(ctx, wholeOf(t, s, table), position0, func(b *row.Batch) error { t.Error("emitted"); return nil }); !errors.Is(err, mine) {
		t.Errorf("with an ended context: %v", err)
	}
}

func TestRead_after_the_connection_was_killed(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	srv.Exec(t, "USE "+db+"; CREATE TABLE t (id int primary key, p varchar(200)); INSERT INTO t SELECT seq, repeat('x',200) FROM seq_1_to_60000")
	s := sourceOf(t, srv, nil)
	table := discover(t, s, db+".t")[0]
	kill := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.conns {
			srv.Exec(t, fmt.Sprintf("KILL %d", c.id))
		}
	}
	// Killed while it waits for the next chunk: a new one is opened unseen.
	readAll(t, s, table, 1<<40)
	kill()
	if rows, _ := readAll(t, s, table, 1<<40); len(rows) != 60000 {
		t.Error(len(rows), "rows")
	}
	n := 0
	err := s.Read(within(t), wholeOf(t, s, table), position0, func(b *row.Batch) error {
		defer b.Release()
		if n++; n == 3 {
			kill()
		}
		return nil
	})
	if fault.ClassOf(err) != fault.Retry || err == nil {
		t.Errorf("a killed connection gave %v", err)
	}
	if rows, _ := readAll(t, s, table, 1<<40); len(rows) != 60000 {
		t.Error(len(rows), "rows")
	}
}

func TestRead_never_lies_before_a_place_that_Discover_gave(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	srv.Exec(t, "USE "+db+"; CREATE TABLE t (id int primary key)")
	s := sourceOf(t, srv, nil)
	sel := connector.Selector{Patterns: []string{db + ".*"}}
	table := discover(t, s, db+".t")[0]
	for i := range 4 {
		srv.Exec(t, fmt.Sprintf("INSERT INTO %s.t VALUES (%d)", db, i))
		var place position.Position
		again := func() (err error) {
			_, place, err = s.Discover(within(t), sel)
			return err
		}
		if i%2 == 0 {
			if err := again(); err != nil {
				t.Fatal(err)
			}
		}
		rows := 0
		for range 5 { // enough for every snapshot that is kept to be used
			rows = 0
			err := s.Read(within(t), wholeOf(t, s, table), position0, func(b *row.Batch) error {
				defer b.Release()
				rows += b.Rows()
				if b.Rows() == 0 && i%2 == 1 && place.IsZero() {
					// While this chunk is read from an older snapshot.
					srv.Exec(t, fmt.Sprintf("INSERT INTO %s.t VALUES (%d)", db, 100+i))
					return again()
				}
				if c, err := place.Compare(b.End); b.Rows() == 0 && (err != nil || c > 0) {
					t.Error("a mark lies before the place", err)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if want := i + 1 + (i+1)/2; rows != want {
			t.Errorf("%d rows, want %d", rows, want)
		}
	}
}

func TestRead_with_no_more_than_SELECT(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	srv.Exec(t, "USE "+db+"; CREATE TABLE t (id int primary key, p varchar(200)); INSERT INTO t SELECT seq, repeat('x',200) FROM seq_1_to_20000; ANALYZE TABLE t; CREATE OR REPLACE USER reader@'127.0.0.1' IDENTIFIED BY 'pw'; GRANT SELECT ON "+db+".* TO reader@'127.0.0.1'")
	s := sourceOf(t, srv, map[string]any{"user": "reader", "password": secret.New("pw")})
	table := discover(t, s, db+".t")[0]
	if rows, sizes := readAll(t, s, table, 1<<20); len(rows) != 20000 || len(sizes) < 3 {
		t.Error(len(rows), "rows", sizes)
	}
	snap := s.snapshots.take(table.Name, 0)
	if snap == nil || snap.releases || snap.mark.IsZero() {
		t.Fatalf("%+v", snap)
	}
	// Such a snapshot keeps tables locked: it is soon let go.
	s.snapshots.put(snap)
	srv.Exec(t, "SET lock_wait_timeout = 20; ALTER TABLE "+db+".t ADD COLUMN a int")
}

func TestDiscover_shapes_hold_at_the_place_while_tables_are_altered(t *testing.T) {
	srv := mariadb.Start(t, "--sync-binlog=0", "--innodb-flush-log-at-trx-commit=0")
	srv.Exec(t, "CREATE DATABASE m; CREATE TABLE m.t (id int primary key)")
	s := sourceOf(t, srv, nil)
	_, p0, err := s.Discover(within(t), connector.Selector{Patterns: []string{"m.t"}})
	if err != nil {
		t.Fatal(err)
	}
	base := seqOf(t, p0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		var sql strings.Builder
		for i := range 250 {
			fmt.Fprintf(&sql, "ALTER TABLE m.t ADD COLUMN c%d int;", i)
		}
		if err := srv.Run(sql.String()); err != nil {
			t.Error(err)
		}
	}()
	seen := map[int]bool{}
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		tables, p, err := s.Discover(within(t), connector.Selector{Patterns: []string{"m.t"}})
		if fault.Has(err, fault.SourceShape) {
			continue // it never stood still for long enough
		}
		if err != nil {
			t.Fatal(err)
		}
		n := len(tables[0].Columns) - 1
		if uint64(n) != seqOf(t, p)-base {
			t.Fatalf("a shape after %d changes at a place after %d", n, seqOf(t, p)-base)
		}
		seen[n] = true
	}
	if !seen[250] || len(seen) < 2 {
		t.Errorf("seen after %d different changes", len(seen))
	}
}
