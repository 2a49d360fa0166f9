package mysql

import (
	"fmt"
	"strings"
	"testing"

	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/test/servers/mariadb"
	"godwit/test/servers/mysql"
	"godwit/test/servers/sqlserver"
)

// emptiedTables is how many tables are emptied again and again at once.
const emptiedTables = 5

// reading is what a chunk, the whole of a table, had at its mark.
type reading struct {
	table string
	mark  position.Position
	rows  int
}

func TestRead_when_tables_are_truncated_meanwhile(t *testing.T) {
	t.Run("MariaDB", func(t *testing.T) { readTruncated(t, mariadb.Start(t), 9) })
	t.Run("MySQL", func(t *testing.T) { readTruncated(t, mysql.Start(t), 3) })
}

// readTruncated compares chunks of tables that are filled and emptied all the time with
// what the log has up to their marks.
func readTruncated(t *testing.T, srv *sqlserver.Server, rounds int) {
	srv.Exec(t, "CREATE DATABASE h")
	for k := range emptiedTables {
		srv.Exec(t, fmt.Sprintf("CREATE TABLE h.t%d (n INT PRIMARY KEY)", k))
	}
	s := sourceOf(t, srv, nil)
	tables, from := discover(t, s, "h.*"), head(t, s)
	stop := fillAndTruncate(t, srv)
	var seen []reading
	for range rounds {
		for _, x := range tables {
			for _, read := range []readFunc{readWhole, lookForAll, lookForAll} {
				if r, ok := read(t, s, x); ok {
					seen = append(seen, r)
				}
			}
		}
		if snap := s.snapshots.take(tables[0].Name, 0); snap != nil {
			snap.close() // the next round has another
		}
	}
	stop()
	wrong, empty := 0, 0
	have := rowsAt(t, s, tables, from, seen)
	for i, r := range seen {
		if r.rows == 0 {
			empty++
		}
		if r.rows != have[i] {
			wrong++
			t.Errorf("%s at %s: %d rows were read, the log before it has %d", r.table, s.Describe(r.mark), r.rows, have[i])
		}
	}
	t.Logf("%d readings, %d of an empty table, %d wrong", len(seen), empty, wrong)
	if len(seen) < rounds || empty == 0 || empty == len(seen) {
		t.Errorf("%d readings, %d of an empty table: the writers did not write", len(seen), empty)
	}
}

// fillAndTruncate puts rows into each table and empties it, again and again, until stopped.
func fillAndTruncate(t *testing.T, srv *sqlserver.Server) (stop func()) {
	t.Helper()
	return busy(t, srv, emptiedTables, func(k, _ int) []string {
		return []string{fmt.Sprintf("INSERT INTO t%d VALUES (1), (2), (3)", k), fmt.Sprintf("INSERT INTO t%d VALUES (4), (5)", k), fmt.Sprintf("TRUNCATE t%d", k)}
	})
}

// readFunc reads all of a table; not ok says that it changed meanwhile, so that it is to be
// read again.
type readFunc func(t *testing.T, s *source, x *row.Table) (r reading, ok bool)

// readWhole reads a table as one chunk.
func readWhole(t *testing.T, s *source, x *row.Table) (reading, bool) {
	t.Helper()
	return readBy(t, x, func(emit func(*row.Batch) error) error {
		return s.Read(within(t), wholeOf(t, s, x), position0, emit)
	})
}

// lookForAll looks up every row that fillAndTruncate may have put into a table.
func lookForAll(t *testing.T, s *source, x *row.Table) (reading, bool) {
	t.Helper()
	keys := row.NewBuilder(&row.Pool{})
	for n := range uint64(5) {
		keys.Row(x, row.Read)
		keys.Word(n + 1)
	}
	return readBy(t, x, func(emit func(*row.Batch) error) error {
		return s.Look(within(t), x, keys.Finish(position.Position{}, 0), emit)
	})
}

func readBy(t *testing.T, x *row.Table, read func(emit func(*row.Batch) error) error) (r reading, ok bool) {
	t.Helper()
	r.table = x.Name.Table
	err := read(func(b *row.Batch) error {
		defer b.Release()
		if b.Rows() == 0 {
			r.mark = b.End
		}
		r.rows += b.Rows()
		return nil
	})
	if err != nil && !fault.Has(err, fault.SourceShape) {
		t.Fatal(err)
	}
	return r, err == nil
}

// rowsAt returns how many rows each reading should have had, by the log.
func rowsAt(t *testing.T, s *source, tables []*row.Table, from position.Position, seen []reading) []int {
	t.Helper()
	out := make([]int, len(seen))
	for _, e := range readEvents(t, s, from, head(t, s), tables) {
		deed, rest, _ := strings.Cut(e.line, " ")
		table, _, _ := strings.Cut(rest, " ")
		for i, r := range seen {
			switch {
			case r.table != table || e.order >= r.mark.Order():
			case deed == "insert":
				out[i]++
			case deed == "truncate":
				out[i] = 0
			}
		}
	}
	return out
}

// What waits for the table must not wait for a reader that waits behind it: neither could
// go on.
func TestPin_when_a_statement_waits_for_the_table(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	srv.Exec(t, "CREATE TABLE "+db+".t (id INT PRIMARY KEY)")
	s := sourceOf(t, srv, nil)
	name := discover(t, s, db+".t")[0].Name
	guard, err := s.dial(within(t))
	if err != nil {
		t.Fatal(err)
	}
	defer guard.close()
	if err := guard.exec(within(t), "START TRANSACTION"); err != nil {
		t.Fatal(err)
	}
	if some, err := s.lockShape(within(t), guard, name, false); err != nil || some {
		t.Fatal(some, err)
	}
	altered := make(chan error, 1)
	go func() { altered <- srv.Run("ALTER TABLE " + db + ".t ADD a INT") }()
	waits := "SELECT COUNT(*) FROM information_schema.processlist WHERE state LIKE 'Waiting for table metadata lock' AND info LIKE 'ALTER TABLE " + db + "%'"
	for ctx := within(t); srv.Query(t, waits)[0][0] != "1"; {
		if ctx.Err() != nil {
			t.Fatal("the ALTER TABLE does not wait")
		}
	}
	snap, err := s.openSnapshot(within(t), name)
	if err != nil {
		t.Fatal(err)
	}
	defer snap.close()
	if err := s.pinAtOnce(within(t), snap, name); !fault.Has(err, fault.SourceBusy) {
		t.Errorf("a table that somebody waits for was pinned: %v", err)
	}
	fresh, err := s.openGuarded(within(t), guard, name)
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.close()
	if err := <-altered; err != nil {
		t.Error(err)
	}
	if c, err := snap.mark.Compare(fresh.mark); err != nil || c >= 0 || fresh.exact != name {
		t.Error("the snapshot is not behind the statement that waited", err)
	}
}

// A table that is really empty costs one more snapshot, not one for each chunk.
func TestRead_when_a_table_is_empty(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	srv.Exec(t, "USE "+db+"; CREATE TABLE empty (id INT PRIMARY KEY); CREATE TABLE full (id INT PRIMARY KEY); INSERT INTO full VALUES (1)")
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, db+".*")
	mark := func(name string) position.Position {
		r, ok := readWhole(t, s, tableNamed(t, tables, name))
		if !ok {
			t.Fatal("it was not read")
		}
		srv.Exec(t, "INSERT INTO "+db+".full SELECT MAX(id) + 1 FROM "+db+".full")
		return r.mark
	}
	first, empty := mark("full"), mark("empty")
	if c, err := first.Compare(empty); err != nil || c >= 0 {
		t.Error("a table that is empty was not looked at again", err)
	}
	if mark("empty") != empty || mark("full") != empty {
		t.Error("a snapshot that was opened for an empty table is not used again")
	}
}
