package mysql

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/internal/secret"
	"godwit/test/servers/mariadb"
	"godwit/test/servers/mysql"
	"godwit/test/servers/sqlserver"
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

func TestTypes_when_read_by_snapshot_and_by_stream(t *testing.T) {
	for name, options := range map[string][]string{
		"defaults":    nil,
		"old times":   {"--mysql56-temporal-format=OFF"},
		"full names":  {"--binlog-row-metadata=FULL"},
		"compressed":  {"--log-bin-compress=ON", "--log-bin-compress-min-len=10"},
		"no checksum": {"--binlog-checksum=NONE"},
		"zlib frames": {"--column-compression-zlib-wrap=ON", "--column-compression-threshold=0"},
	} {
		t.Run(name, func(t *testing.T) {
			srv := server(t)
			if options != nil {
				srv = mariadb.Start(t, options...)
			}
			srv.Exec(t, "CREATE OR REPLACE DATABASE types CHARACTER SET utf8mb4")
			for _, x := range typedTables("types", "") {
				t.Run(x.name, func(t *testing.T) { bothWays(t, srv, "types", x) })
			}
		})
	}
}

// mysqlCases are those that MySQL has too, and what it alone has.
func mysqlCases() (out []valueCase) {
	for _, c := range slices.Concat(valueCases, moreCases()) {
		word := nativeWord(c.typ)
		switch {
		case addressLike(word), strings.Contains(c.typ, " compressed"), strings.Contains(c.typ, "decimal(38"), strings.HasPrefix(c.typ, "blob default"):
		case strings.HasPrefix(c.typ, "longtext check"): // MySQL keeps it as what it is
			out = append(out, valueCase{c.typ, "", []string{"'[1, 2.50]'"}})
		case strings.Contains(c.typ, "as (") && !strings.Contains(c.typ, "stored"):
			out = append(out, valueCase{"varchar(30) generated always as (concat('v', id)) virtual", "", nil})
		default:
			c.values = slices.Clone(c.values)
			for i, v := range c.values { // longitude and latitude have limits there, and other places
				c.values[i] = strings.ReplaceAll(v, ", 4326)", ", 3857)")
			}
			out = append(out, c)
		}
	}
	return append(out,
		valueCase{"decimal(30,30)", "", []string{"-0.999999999999999999999999999999"}},
		valueCase{"char(9) character set gb18030", "", []string{"'é中😀'", "''"}},
		valueCase{"varchar(9) collate utf8mb4_0900_ai_ci", "", []string{"'é  '", "'😀'"}},
		valueCase{"varchar(9) collate utf8mb4_ja_0900_as_cs_ks", "", []string{"'かな'"}},
		valueCase{"json", "", []string{`'{"b": 1, "a": [1.50, "é"]}'`, "cast(cast('2024-02-29' as date) as json)"}},
		valueCase{"point srid 4326", "hex(%s)", []string{"st_geomfromtext('POINT(1 2)', 4326)"}},
		valueCase{"blob default ('d')", "hex(%s)", []string{"default"}},
		valueCase{"int as (json_length('[1,2]')) stored", "", nil},
	)
}

func TestTypes_when_MySQL_is_read_by_snapshot_and_by_stream(t *testing.T) {
	for name, options := range map[string][]string{
		"defaults":   nil,
		"full names": {"--binlog-row-metadata=FULL"},
		"compressed": {"--binlog-transaction-compression=ON"},
	} {
		t.Run(name, func(t *testing.T) {
			srv := mysql.Start(t, options...)
			srv.Exec(t, "CREATE DATABASE types CHARACTER SET utf8mb4")
			for _, x := range tablesOf(mysqlCases(), "types", "") {
				t.Run(x.name, func(t *testing.T) { bothWays(t, srv, "types", x) })
			}
		})
	}
}

// bothWays compares what snapshot and stream bring of a table with what the server's
// client prints.
func bothWays(t *testing.T, srv *sqlserver.Server, db string, x typedTable) {
	srv.Exec(t, x.create)
	name := db + "." + x.name
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, name)
	from := head(t, s)
	srv.Exec(t, x.insert)
	old := expect(t, srv, x.ask)
	fresh := sourceOf(t, srv, nil)
	snapshot, _ := readAll(t, fresh, discover(t, fresh, name)[0], 1<<40)
	srv.Exec(t, "UPDATE "+name+" SET id = id + 1000")
	moved := expect(t, srv, x.ask)
	srv.Exec(t, "DELETE FROM "+name)
	got := streamed(t, s, tables, from, head(t, s))
	compareRows(t, clipped(snapshot), clipped(old))
	for op, want := range map[row.Op][]string{row.Insert: old, row.Before: old, row.Update: moved, row.Delete: moved} {
		t.Log(opText(op))
		compareRows(t, clipped(got[op]), clipped(want))
	}
}

func TestTypes_when_the_log_has_partial_rows(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	for _, x := range typedTables(db, "SET binlog_row_image = 'MINIMAL';") {
		t.Run(x.name, func(t *testing.T) {
			srv.Exec(t, x.create)
			s := sourceOf(t, srv, nil)
			tables := discover(t, s, db+"."+x.name)
			from := head(t, s)
			srv.Exec(t, x.insert)
			want := map[string][]string{}
			for _, r := range srv.Query(t, x.ask) {
				want[r[0]] = r
			}
			rows := streamed(t, s, tables, from, head(t, s))[row.Insert]
			if len(rows) != len(want) {
				t.Errorf("%d rows of %d", len(rows), len(want))
			}
			for _, r := range rows {
				cells := strings.Split(r, "|")
				partial(t, x, cells, want[cells[0]])
			}
		})
	}
}

// partial fails for a row that lacks the value that was given, or has others.
func partial(t *testing.T, x typedTable, cells, want []string) {
	t.Helper()
	id, err := strconv.Atoi(cells[0])
	if err != nil {
		t.Fatal(err)
	}
	given, some := x.given[id]
	absent := 0
	for i, c := range cells {
		switch {
		case c == "(absent)" && some && i == given+1:
			t.Errorf("row %d: the value of column %d is absent", id, given)
		case c == "(absent)":
			absent++
		case c != want[i]:
			t.Errorf("row %d, column %d: %.200q, want %.200q", id, i-1, c, want[i])
		}
	}
	if absent == 0 {
		t.Errorf("row %d has every column", id)
	}
}

// TestTypes_when_sessions_have_time_zones writes the same instants from sessions of
// several zones: a timestamp is an instant, everything else is what was written.
func TestTypes_when_sessions_have_time_zones(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	srv.Exec(t, "USE "+db+"; CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, ts TIMESTAMP(6) NULL, dt DATETIME(6), d DATE, tm TIME)")
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, db+".t")
	from := head(t, s)
	sql := "USE " + db + ";"
	for _, zone := range []string{"+00:00", "-12:00", "+13:00", "+05:45"} {
		sql += "SET time_zone = '" + zone + "';"
		for _, second := range []string{"0.000001", "1", "951782400.5", "1730000000.25", "2147483647.999999"} {
			sql += "INSERT INTO t (ts, dt, d, tm) VALUES (FROM_UNIXTIME(" + second + "), FROM_UNIXTIME(" + second + "), '2024-03-31', '02:30:00');"
		}
	}
	srv.Exec(t, sql)
	want := expect(t, srv, "SET time_zone = '+00:00'; SELECT * FROM "+db+".t")
	fresh := sourceOf(t, srv, nil)
	snapshot, _ := readAll(t, fresh, discover(t, fresh, db+".t")[0], 1<<40)
	compareRows(t, snapshot, want)
	compareRows(t, streamed(t, s, tables, from, head(t, s))[row.Insert], want)
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

func TestDiscover_tells_labels_that_the_catalogue_of_MySQL_cannot_print(t *testing.T) {
	srv := mysql.Start(t)
	srv.Exec(t, "SET NAMES utf8mb4; CREATE DATABASE d; USE d; CREATE TABLE `t``1` (id int, `e``1` enum('a','😀','?','x?y','\\'😸'), s set('?','b','🐦 ü'), l enum('ü','?') character set latin1); CREATE USER u@'%' IDENTIFIED BY 'p'; GRANT SELECT ON *.* TO u@'%'")
	columns := discover(t, sourceOf(t, srv, nil), "d.*")[0].Columns
	want := [][]string{nil, {"a", "😀", "?", "x?y", "'😸"}, {"?", "b", "🐦 ü"}, {"ü", "?"}}
	for i, c := range columns {
		if !slices.Equal(c.Type.Labels, want[i]) {
			t.Errorf("%s: labels %q, want %q", c.Name, c.Type.Labels, want[i])
		}
	}
	s := sourceOf(t, srv, map[string]any{"user": "u", "password": secret.New("p")})
	_, _, err := s.Discover(within(t), connector.Selector{Patterns: []string{"d.*"}})
	if !fault.Has(err, fault.SourceGrants) || !strings.Contains(err.Error(), "CREATE TEMPORARY TABLES ON `d`") && !strings.Contains(fault.Of(err).Hint, "CREATE TEMPORARY TABLES ON `d`") {
		t.Error(err)
	}
}
