package mysql

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
	"strings"
	"testing"

	"godwit/internal/connector"
	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/test/servers/mariadb"
)

// streamed returns the rows of a table that the log brings between two places, as
// printCell prints them, by op.
func streamed(t testing.TB, s *source, tables []*row.Table, from, to position.Position) map[row.Op][]string {
	t.Helper()
	out := map[row.Op][]string{}
	split := connector.Split{ID: connector.StreamSplit, Tables: tables, Selector: connector.Selector{Patterns: []string{"*.*"}}, Until: connector.Until{Place: to}}
	err := s.Read(within(t), split, from, func(b *row.Batch) error {
		defer b.Release()
		if b.Change != nil {
			t.Errorf("a change came: %s (%s)", changeText(b.Change), b.Change.After.Stopped)
		}
		for k := range b.Sections() {
			sec := &b.Sections()[k]
			for r := sec.Row; r < sec.Row+sec.Rows; r++ {
				words, flags := b.Cells(sec, r)
				var cells []string
				for c := range words {
					if flags[c] == row.Absent {
						cells = append(cells, "(absent)")
						continue
					}
					cells = append(cells, printCell(b, sec.Table.Columns[c].Type, words[c], flags[c]))
				}
				out[b.Op(r)] = append(out[b.Op(r)], strings.Join(cells, "|"))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, rows := range out {
		sort.Strings(rows)
	}
	return out
}

// typesTable makes a table with every type and inserts, updates and returns what
// the server's client prints.
func typesTable(t testing.TB, srv *mariadb.Server, db, settings string) (create, insert, ask string) {
	var cols, asks []string
	asks = append(asks, "id")
	for i, c := range valueCases {
		cols = append(cols, fmt.Sprintf("c%d %s", i, c.typ))
		form := c.ask
		if form == "" {
			form = "%s"
		}
		asks = append(asks, fmt.Sprintf(form, fmt.Sprintf("c%d", i)))
	}
	front := "USE " + db + "; SET NAMES utf8mb4; SET sql_mode = ''; SET time_zone = '+00:00'; " + settings
	create = fmt.Sprintf("%s CREATE TABLE t (id int primary key, %s) ROW_FORMAT=DYNAMIC", front, strings.Join(cols, ", "))
	var sql strings.Builder
	sql.WriteString(front + " INSERT INTO t (id) VALUES (0);")
	id := 0
	for i, c := range valueCases {
		for _, v := range c.values {
			id++
			fmt.Fprintf(&sql, " INSERT INTO t (id, c%d) VALUES (%d, %s);", i, id, v)
		}
	}
	return create, sql.String(), "SET NAMES utf8mb4; SET time_zone = '+00:00'; SELECT " + strings.Join(asks, ", ") + " FROM " + db + ".t"
}

func TestTypes_when_read_by_snapshot_and_by_stream(t *testing.T) {
	for name, options := range map[string][]string{
		"defaults":    nil,
		"old times":   {"--mysql56-temporal-format=OFF"},
		"full names":  {"--binlog-row-metadata=FULL"},
		"compressed":  {"--log-bin-compress=ON", "--log-bin-compress-min-len=10"},
		"no checksum": {"--binlog-checksum=NONE"},
	} {
		t.Run(name, func(t *testing.T) {
			srv := server(t)
			if options != nil {
				srv = mariadb.Start(t, options...)
			}
			srv.Exec(t, "CREATE OR REPLACE DATABASE types CHARACTER SET utf8mb4")
			create, insert, ask := typesTable(t, srv, "types", "")
			srv.Exec(t, create)
			s := sourceOf(t, srv, nil)
			tables := discover(t, s, "types.t")
			from := head(t, s)
			srv.Exec(t, insert)
			old := expect(t, srv, ask)
			fresh := sourceOf(t, srv, nil)
			snapshot, _ := readAll(t, fresh, discover(t, fresh, "types.t")[0], 1<<40)
			srv.Exec(t, "UPDATE types.t SET id = id + 1000")
			moved := expect(t, srv, ask)
			srv.Exec(t, "DELETE FROM types.t")
			got := streamed(t, s, tables, from, head(t, s))
			compareRows(t, clipped(snapshot), clipped(old))
			for op, want := range map[row.Op][]string{row.Insert: old, row.Before: old, row.Update: moved, row.Delete: moved} {
				t.Log(opText(op))
				compareRows(t, clipped(got[op]), clipped(want))
			}
		})
	}
}

func clipped(rows []string) []string {
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = clip(r, 3000)
	}
	return out
}

func TestTypes_when_floats_come_by_stream(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 2))
	var values strings.Builder
	for i := range 2000 {
		f, d := math.Float32frombits(rnd.Uint32()), math.Float64frombits(rnd.Uint64())
		if f != f || math.IsInf(float64(f), 0) || d != d || math.IsInf(d, 0) {
			continue
		}
		fmt.Fprintf(&values, ",(%d, %.17e, %.17e, %d)", i+1, f, d, i)
	}
	srv.Exec(t, "USE "+db+"; CREATE TABLE t (id int primary key, f float, d double, m float(10,3))")
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, db+".t")
	from := head(t, s)
	srv.Exec(t, "USE "+db+"; INSERT INTO t VALUES (0, 0, 0, 1234.5678)"+values.String())
	got := streamed(t, s, tables, from, head(t, s))[row.Insert]
	fresh := sourceOf(t, srv, nil)
	want, _ := readAll(t, fresh, discover(t, fresh, db+".t")[0], 1<<40)
	compareRows(t, got, want)
}

func TestTypes_when_addresses_come_by_stream(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 3))
	var values strings.Builder
	for i := range 1000 {
		var six [16]byte
		for g := range 8 {
			switch rnd.IntN(4) {
			case 0:
				six[2*g], six[2*g+1] = byte(rnd.Uint32()), byte(rnd.Uint32())
			case 1:
				six[2*g+1] = byte(rnd.Uint32())
			}
		}
		if i%10 == 0 {
			copy(six[:12], make([]byte, 12))
			if i%20 == 0 {
				six[10], six[11] = 0xff, 0xff
			}
		}
		fmt.Fprintf(&values, ",(%d, x'%x', x'%x', x'%x')", i+1, six, six[12:], six)
	}
	srv.Exec(t, "USE "+db+"; CREATE TABLE t (id int primary key, six inet6, four inet4, u uuid)")
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, db+".t")
	from := head(t, s)
	srv.Exec(t, "USE "+db+"; INSERT INTO t VALUES (0, '::', '0.0.0.0', '00000000-0000-0000-0000-000000000000')"+values.String())
	compareRows(t, streamed(t, s, tables, from, head(t, s))[row.Insert], expect(t, srv, "SELECT * FROM "+db+".t"))
}
