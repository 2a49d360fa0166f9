package mysql

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/test/servers/mariadb"
)

// expect returns what the server's own client prints for the table.
func expect(t testing.TB, srv *mariadb.Server, query string) []string {
	t.Helper()
	var out []string
	for _, r := range srv.Query(t, query) {
		out = append(out, strings.Join(r, "|"))
	}
	sort.Strings(out)
	return out
}

func compareRows(t testing.TB, got, want []string) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	t.Errorf("%d rows, want %d", len(got), len(want))
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("row %d:\n got %.400q\nwant %.400q", i, got[i], want[i])
		}
	}
}

func TestRead_every_kind_of_key(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	const n = 16000
	cases := []struct{ name, key, value string }{
		{"signed", "k bigint primary key", "cast(seq as signed) * 7 - 100000"},
		{"crowded", "k bigint primary key", "if(seq < 15990, seq, seq * 200000000000)"},
		{"unsigned", "k bigint unsigned primary key", "18446744073709551615 - seq * 3"},
		{"small", "k mediumint primary key", "seq"},
		{"deci", "k decimal(30,4) primary key", "(cast(seq as signed) - 20000) * 1.0007"},
		{"string", "k varchar(64) collate utf8mb4_unicode_ci primary key", "concat('user-', sha1(seq))"},
		{"latin", "k char(40) character set latin1 primary key", "sha1(seq)"},
		{"cyrillic", "k varchar(40) primary key", "concat('ключ', seq)"},
		{"wide", "k varchar(40) character set utf16 primary key", "concat('é', seq)"},
		{"bin", "k binary(16) primary key", "unhex(md5(seq))"},
		{"varbin", "k varbinary(40) primary key", "concat('x', seq)"},
		{"day", "k date, i int, primary key (k, i)", "date '2020-01-01' + interval (seq % 900) day, seq"},
		{"moment", "k datetime(3) primary key", "timestamp '2020-01-01 00:00:00' + interval seq second"},
		{"stamp", "k timestamp(6) primary key", "timestamp '2020-01-01 00:00:00' + interval seq second"},
		{"clockt", "k time(6) primary key", "sec_to_time(cast(seq as signed) - 20000) + interval seq microsecond"},
		{"composite", "a int, b int, primary key (a, b)", "seq % 3, seq"},
		{"hot", "a bigint, b varchar(20), c int, primary key (a, b, c)", "if(seq < 12000, 42, seq), concat('b', seq % 5), seq"},
		{"uniq", "k int not null, j int, unique (k)", "seq, seq"},
		{"uid", "k uuid primary key", "uuid()"},
		{"enumled", "e enum('z','a') , k int, primary key (e, k)", "if(seq % 2, 'z', 'a'), seq"},
		{"enumlast", "k int, e enum('z','a') , primary key (k, e)", "seq div 2, if(seq % 2, 'z', 'a')"},
		{"folded", "k varchar(40) collate utf8mb4_unicode_ci primary key", "concat(elt(seq % 6 + 1, 'a', 'B', 'é', 'D', 'ß', '_'), lpad(seq, 8, elt(seq % 3 + 1, 'x', 'Y', 'ü')))"},
		{"swedish", "k varchar(40) character set latin1 collate latin1_swedish_ci primary key", "concat(elt(seq % 6 + 1, 'a', 'B', 'é', 'Å', 'ß', '_'), seq)"},
		{"spanish", "k varchar(40) collate utf8mb4_spanish2_ci primary key", "concat(elt(seq % 6 + 1, 'ch', 'c', 'll', 'lz', 'ñ', 'cz'), seq)"},
		{"nopad", "k varchar(40) collate utf8mb4_nopad_bin primary key", "concat(space(seq % 3), seq, space(seq % 2))"},
		{"years", "k year, i int, primary key (k, i)", "if(seq % 3, 1970 + seq % 50, 0), seq"},
		{"zerodate", "k date, i int, primary key (k, i)", "if(seq % 2, '0000-00-00', date '2020-01-01' + interval (seq % 900) day), seq"},
		{"partday", "k date, i int, primary key (k, i)", "concat('2020-', lpad(seq % 13, 2, 0), '-00'), seq"},
		{"decihot", "a decimal(10,3), b datetime(6), primary key (a, b)", "if(seq < 15600, 7.5, seq), timestamp '2020-01-01 00:00:00' + interval seq second"},
		{"parted", "k int, j int, primary key (k, j)", "seq, seq"},
		{"none", "k int", "seq"},
		{"floating", "k double primary key", "seq + 0.25"},
		{"nullable", "k int, unique (k)", "if(seq % 10, seq, null)"},
	}
	for _, c := range cases {
		srv.Exec(t, fmt.Sprintf("USE %s; CREATE TABLE %[1]s.%s (%s, pad varchar(100)); INSERT INTO %[1]s.%[2]s SELECT %[4]s, repeat('x', 100) FROM seq_1_to_%[5]d; ANALYZE TABLE %[1]s.%[2]s", db, c.name, c.key, c.value, n))
	}
	srv.Exec(t, "ALTER TABLE "+db+".parted PARTITION BY HASH (j) PARTITIONS 4; ANALYZE TABLE "+db+".parted")
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, db+".*")
	if len(tables) != len(cases) {
		t.Fatalf("%d tables, want %d", len(tables), len(cases))
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			table := tableNamed(t, tables, c.name)
			columns := "*"
			if strings.HasSuffix(c.name, "bin") {
				columns = "hex(k), pad"
			}
			rows, sizes := readAll(t, s, table, 192<<10)
			compareRows(t, rows, expect(t, srv, "SELECT "+columns+" FROM "+db+"."+c.name))
			if asked, _ := agreeing(t, s, table, 192<<10); asked != len(rows) {
				t.Errorf("%d rows were found in their chunks, of %d", asked, len(rows))
			}
			whole := c.name == "none" || c.name == "floating" || c.name == "nullable" || c.name == "enumled"
			if whole != (len(sizes) == 1) {
				t.Errorf("%d chunks", len(sizes))
			}
			if !whole && slices.Max(sizes) > n/3 {
				t.Errorf("chunks of very different sizes: %v", sizes)
			}
			t.Logf("%d bytes, chunks %v", table.Bytes, sizes)
		})
	}
}

// A key that is ordered otherwise than when the table was divided would let rows fall
// between chunks read before and after: it is refused. Other changes are not.
func TestRead_when_the_key_is_altered_between_chunks(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	srv.Exec(t, fmt.Sprintf("CREATE TABLE %s.t (k varchar(60) collate utf8mb4_bin primary key, pad varchar(100)); INSERT INTO %[1]s.t SELECT concat(elt(seq %% 2 + 1, 'a', 'B'), sha1(seq)), repeat('x', 100) FROM %[1]s.seq_1_to_16000; ANALYZE TABLE %[1]s.t", db))
	s := sourceOf(t, srv, nil)
	table := tableNamed(t, discover(t, s, db+".*"), "t")
	splits, err := s.Splits(t.Context(), connector.Request{Table: table, Generation: 1, ChunkBytes: 192 << 10})
	if err != nil || len(splits) < 3 {
		t.Fatal(len(splits), err)
	}
	drop := func(b *row.Batch) error { b.Release(); return nil }
	srv.Exec(t, "ALTER TABLE "+db+".t ADD n int NOT NULL DEFAULT 1, MODIFY pad varchar(200)")
	if err := s.Read(t.Context(), splits[0], position.Position{}, drop); err != nil {
		t.Fatal(err)
	}
	srv.Exec(t, "ALTER TABLE "+db+".t MODIFY k varchar(60) collate utf8mb4_general_ci")
	if err := s.Read(t.Context(), splits[1], position.Position{}, drop); !fault.Has(err, fault.ResyncNeeded) {
		t.Errorf("%v", err)
	}
}
