package mysql

import (
	"testing"

	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/test/servers/mysql"
	"godwit/test/servers/sqlserver"
)

// A file of the log is larger than 4 GiB when its last transaction is large. That a dump
// can be asked for less makes each place such a one here.
func TestStream_when_places_lie_beyond_what_a_dump_can_be_asked_for(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *sqlserver.Server{
		"MariaDB":         func(t testing.TB) *sqlserver.Server { return server(t) },
		"MySQL":           func(t testing.TB) *sqlserver.Server { return mysql.Start(t) },
		"MySQL, no GTIDs": func(t testing.TB) *sqlserver.Server { return mysql.Start(t, mysql.NoGTID...) },
	} {
		t.Run(name, func(t *testing.T) {
			srv := start(t)
			const db = "far"
			srv.Exec(t, "DROP DATABASE IF EXISTS far; CREATE DATABASE far; USE far; CREATE TABLE a (id INT PRIMARY KEY)")
			open := func() *source {
				s := sourceOf(t, srv, nil)
				s.reach = firstEvent
				return s
			}
			s := open()
			tables := discover(t, s, db+".*")
			places, lines := []position.Position{head(t, s)}, []string{}
			for _, v := range []string{"1", "2", "3", "4"} {
				if v == "3" {
					srv.Exec(t, "FLUSH BINARY LOGS")
				}
				srv.Exec(t, "INSERT INTO "+db+".a VALUES ("+v+")")
				places, lines = append(places, lastEnd(t, s, tables, places[len(places)-1])), append(lines, "insert a "+v)
			}
			for i, p := range places {
				if got, err := open().Rebase(within(t), []position.Position{p}); err != nil || got[0] != p {
					t.Errorf("%s: %v %v", s.Describe(p), got, err)
				}
				same(t, follow(t, open(), tables, p, places[len(places)-1]), lines[i:]...)
			}
			at, err := parsePosition(places[1])
			if err != nil {
				t.Fatal(err)
			}
			for _, off := range []uint64{3, 1 << 20} {
				wrong := at
				wrong.offset += off
				p := s.position(wrong.place, wrong.gtids.String(), wrong.last)
				if got, err := open().Rebase(within(t), []position.Position{p}); !fault.Has(err, fault.SourceDiverged) {
					t.Errorf("%d bytes behind a place: %v %v", off, got, err)
				}
			}
		})
	}
}

func TestCursor_when_a_file_is_larger_than_4_GiB(t *testing.T) {
	c := cursor{at: place{"mysql:x", "bin", 7, 1<<32 - 60}, anchored: true, known: true}
	for i := range 40 { // of a quarter of a GiB: the end of each wraps now and then
		from := c.at.offset
		h := header{kind: evWrite, size: 1 << 28, end: uint32(from) + 1<<28}
		start, err := c.advance(h)
		if err != nil || start != from || c.at.offset != from+1<<28 {
			t.Fatalf("event %d: at %d after %d, %v", i, c.at.offset, from, err)
		}
	}
	from := c.at.offset
	left := header{kind: evXID, size: 31, end: uint32(from) + 1<<31 - 1 + 31} // as much was left out
	if start, err := c.advance(left); err != nil || start != from+1<<31-1 {
		t.Error(start, err)
	}
	from = c.at.offset
	c.heartbeat(header{end: uint32(from) + 1<<30}, []byte("bin.000007"))
	if c.at.offset != from+1<<30 {
		t.Errorf("a heartbeat moves from %d to %d", from, c.at.offset)
	}
	back := header{kind: evXID, size: 31, end: uint32(c.at.offset)}
	if _, err := c.advance(back); err != errOffsets {
		t.Errorf("an event before the place: %v", err)
	}
}
