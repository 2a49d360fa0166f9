package mysql

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"godwit/internal/connector"
	"godwit/internal/row"
)

// valueCase is a column type with values as SQL, and how the server's client is
// asked for them.
type valueCase struct {
	typ    string
	ask    string // with %s for the column; empty: as it is
	values []string
}

var valueCases = []valueCase{
	{"tinyint", "", []string{"0", "-128", "127"}},
	{"tinyint unsigned", "", []string{"0", "255"}},
	{"bool", "", []string{"true", "false", "7"}},
	{"smallint", "", []string{"-32768", "32767"}},
	{"smallint unsigned", "", []string{"65535"}},
	{"mediumint", "", []string{"-8388608", "8388607"}},
	{"mediumint unsigned", "", []string{"16777215"}},
	{"int", "", []string{"-2147483648", "2147483647"}},
	{"int unsigned", "", []string{"4294967295"}},
	{"int(10) unsigned zerofill", "%s + 0", []string{"42", "0"}},
	{"bigint", "", []string{"-9223372036854775808", "9223372036854775807"}},
	{"bigint unsigned", "", []string{"18446744073709551615", "9223372036854775808"}},
	{"bigint(60) unsigned zerofill", "%s + 0", []string{"18446744073709551615", "0"}},
	{"decimal(65,30)", "", []string{"0", "-12345678901234567890123456789012345.678901234567890123456789012345", "99999999999999999999999999999999999.999999999999999999999999999999"}},
	{"decimal(5,5)", "", []string{"0.00001", "-0.99999", "-0.0"}},
	{"decimal(10,2) unsigned zerofill", "%s + 0", []string{"1.5", "0", "99999999.99"}},
	{"decimal(20)", "", []string{"-1", "10000000000000000000"}},
	{"char(10) character set latin1", "", []string{"'ab  '", "'éÿ'", "''"}},
	{"char(5)", "", []string{"'😀é  '", "''"}},
	{"varchar(20)", "", []string{"'a  '", "'😀'", "'\\Z\\n\\\\'"}},
	{"varchar(20) character set ucs2", "", []string{"'é'", "'абв'"}},
	{"varchar(20) character set cp1251", "", []string{"'абв'"}},
	{"text", "", []string{"repeat('é', 30000)", "''"}},
	{"longtext character set latin1", "", []string{"repeat('ÿ', 70000)"}},
	{"mediumtext", "", []string{"repeat('x', 100000)"}},
	{"binary(4)", "hex(%s)", []string{"x'00'", "x'ff00'", "'abcd'"}},
	{"varbinary(9)", "hex(%s)", []string{"x'00'", "x'ff0020'", "''"}},
	{"blob", "hex(%s)", []string{"x'fb00fefd'", "repeat(x'ff', 300)"}},
	{"longblob", "hex(%s)", []string{"repeat(x'00ff', 20000)"}},
	{"date", "", []string{"'0000-00-00'", "'2020-00-00'", "'1000-01-01'", "'9999-12-31'", "'2024-02-29'"}},
	{"time", "", []string{"'-838:59:59'", "'838:59:59'", "'00:00:00'", "'-00:00:01'"}},
	{"time(6)", "", []string{"'-838:59:59.999999'", "'838:59:59.999999'", "'-00:00:00.000001'", "'99:59:59.5'"}},
	{"time(2)", "", []string{"'100:00:00.25'", "'-99:00:00.01'"}},
	{"datetime", "", []string{"'0000-00-00 00:00:00'", "'2020-01-00 01:02:03'", "'9999-12-31 23:59:59'"}},
	{"datetime(1)", "", []string{"'2020-01-31 01:02:03.4'"}},
	{"datetime(6)", "", []string{"'9999-12-31 23:59:59.999999'", "'1000-01-01 00:00:00.000001'"}},
	{"timestamp null", "", []string{"'0000-00-00 00:00:00'", "'1970-01-01 00:00:01'", "'2038-01-19 03:14:07'"}},
	{"timestamp(6) null", "", []string{"'2024-02-29 23:59:59.999999'", "'2000-03-01 00:00:00'"}},
	{"timestamp(3) null", "", []string{"'2024-10-27 01:30:00.125'"}},
	{"year", "", []string{"0", "1901", "2155"}},
	{`enum('a','b''c','x,y','back\\slash','nl
x','é','😀')`, "", []string{"'a'", "'b''c'", "'x,y'", `'back\\slash'`, "'nl\\nx'", "'é'", "'😀'", "0"}},
	{"set('a','b','c d','é')", "", []string{"''", "'a,b,c d,é'", "'é'"}},
	{"json", "", []string{"'{\"a\": [1, \"é\"]}'", "'null'", "'1'"}},
	{"bit(1)", "%s + 0", []string{"b'0'", "b'1'"}},
	{"bit(10)", "%s + 0", []string{"b'1111111111'", "5"}},
	{"bit(64)", "%s + 0", []string{"18446744073709551615", "0"}},
	{"uuid", "", []string{"'123e4567-e89b-12d3-a456-426655440000'"}},
	{"inet4", "", []string{"'192.0.2.1'"}},
	{"inet6", "", []string{"'2001:db8::ff00:42:8329'", "'::ffff:192.0.2.1'"}},
	{"point", "hex(%s)", []string{"point(1, -2)"}},
	{"geometry", "hex(%s)", []string{"st_geomfromtext('LINESTRING(0 0, 1 1)', 4326)"}},
	{"varchar(30) generated always as (concat('v', id)) virtual", "", nil},
	{"int as (id * 2) stored", "", nil},
	{"int invisible default 7", "", []string{"8"}},
}

func TestRead_every_type_with_its_edges(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	var cols, asks []string
	asks = append(asks, "id")
	for i, c := range valueCases {
		cols = append(cols, fmt.Sprintf("c%d %s", i, c.typ))
		ask := c.ask
		if ask == "" {
			ask = "%s"
		}
		asks = append(asks, fmt.Sprintf(ask, fmt.Sprintf("c%d", i)))
	}
	var sql strings.Builder
	fmt.Fprintf(&sql, "USE %s; SET NAMES utf8mb4; SET sql_mode = ''; SET time_zone = '+00:00'; CREATE TABLE t (id int primary key, %s) ROW_FORMAT=DYNAMIC; INSERT INTO t (id) VALUES (0);", db, strings.Join(cols, ", "))
	id := 0
	for i, c := range valueCases {
		for _, v := range c.values {
			id++
			fmt.Fprintf(&sql, " INSERT INTO t (id, c%d) VALUES (%d, %s);", i, id, v)
		}
	}
	srv.Exec(t, sql.String())
	s := sourceOf(t, srv, nil)
	got, _ := readAll(t, s, discover(t, s, db+".t")[0], 1<<40)
	want := expect(t, srv, "SET NAMES utf8mb4; SET time_zone = '+00:00'; SELECT "+strings.Join(asks, ", ")+" FROM "+db+".t")
	for i := range got {
		got[i], want[i] = clip(got[i], 5000), clip(want[i], 5000)
	}
	compareRows(t, got, want)
}

func TestRead_gives_floats_bit_by_bit(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	f32 := []float32{0, 0.1, math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32, 1.1754944e-38, 16777217, 3.4e38, 123456.789}
	f64 := []float64{0, 0.1, math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, 2.2250738585072014e-308, 9007199254740993, 1e15, 1e16, 123456789012345680}
	for len(f32) < 3000 {
		if f := math.Float32frombits(rnd.Uint32()); !math.IsNaN(float64(f)) && !math.IsInf(float64(f), 0) {
			f32 = append(f32, f)
		}
	}
	for len(f64) < 3000 {
		if f := math.Float64frombits(rnd.Uint64()); !math.IsNaN(f) && !math.IsInf(f, 0) {
			f64 = append(f64, f)
		}
	}
	var sql strings.Builder
	fmt.Fprintf(&sql, "USE %s; CREATE TABLE t (id int primary key, f float, d double, m float(10,3), n double(20,2)); INSERT INTO t VALUES (0, 0, 0, 1234.5678, 123456789.125)", db)
	for i := range min(len(f32), len(f64)) {
		fmt.Fprintf(&sql, ",(%d, %v, %v, %v, %v)", i+1, fmt.Sprintf("%.17e", f32[i]), fmt.Sprintf("%.17e", f64[i]), i, i)
	}
	srv.Exec(t, sql.String())
	s := sourceOf(t, srv, nil)
	table := discover(t, s, db+".t")[0]
	splits, err := s.Splits(within(t), connector.Request{Table: table, ChunkBytes: 1 << 40})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	err = s.Read(within(t), splits[0], position0, func(b *row.Batch) error {
		defer b.Release()
		for k := range b.Sections() {
			sec := &b.Sections()[k]
			for r := sec.Row; r < sec.Row+sec.Rows; r++ {
				w, _ := b.Cells(sec, r)
				n++
				if i := int(w[0]) - 1; i >= 0 {
					if w[1] != uint64(math.Float32bits(f32[i])) || w[2] != math.Float64bits(f64[i]) {
						t.Fatalf("row %d: %x %x, want %x %x", i, w[1], w[2], math.Float32bits(f32[i]), math.Float64bits(f64[i]))
					}
				} else if math.Float32frombits(uint32(w[3])) != 1234.568 || w[4] != math.Float64bits(123456789.13) && w[4] != math.Float64bits(123456789.12) {
					t.Errorf("fixed digits: %v %v", math.Float32frombits(uint32(w[3])), math.Float64frombits(w[4]))
				}
			}
		}
		return nil
	})
	if err != nil || n != 3001 {
		t.Fatal(n, err)
	}
}

func TestParseType_prints_what_the_server_does(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	for i, c := range valueCases {
		if c.values == nil {
			continue
		}
		srv.Exec(t, fmt.Sprintf("SET NAMES utf8mb4; CREATE TABLE %s.t%d (id int, c %s)", db, i, c.typ))
	}
	for i, typ := range []string{"integer", "dec(7)", "real", "double precision", "float(25)", "float(20)", "float(7,3) unsigned", "bit", "char", "year(4)", "numeric(8,3)", "nchar(3)", "middleint", "int1", "character varying(9)", "boolean", "fixed", "time(0)"} {
		srv.Exec(t, fmt.Sprintf("CREATE TABLE %s.u%d (c %s)", db, i, typ))
		got := srv.Query(t, fmt.Sprintf("SELECT column_type FROM information_schema.columns WHERE table_schema = '%s' AND table_name = 'u%d'", db, i))[0][0]
		p, err := parseType(typ, "", "")
		if err != nil || p.Native != got {
			t.Errorf("%s: %q, %v; the server says %q", typ, p.Native, err, got)
		}
	}
	for _, r := range srv.Query(t, "SET NAMES utf8mb4; SELECT column_type FROM information_schema.columns WHERE table_schema = '"+db+"'") {
		p, err := parseType(r[0], "utf8mb4", "utf8mb4_general_ci")
		if err != nil || p.Native != r[0] {
			t.Errorf("%q: %q, %v", r[0], p.Native, err)
		}
	}
}

func TestParseType_refuses(t *testing.T) {
	for _, typ := range []string{"", "blub", "int(", "int(x)", "int(1,2,3)", "enum()", "enum('a", "enum('a' 'b')", "decimal(66,2)", "decimal(2,5)", "bit(65)", "datetime(7)", "varchar(20) /*M!100301 COMPRESSED*/", "vector(3)", "set('a') x"} {
		if p, err := parseType(typ, "", ""); err == nil {
			t.Errorf("%q gave %+v", typ, p)
		}
	}
}

func TestDiscover_tells_labels_that_the_catalogue_cannot_print(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	srv.Exec(t, "SET NAMES utf8mb4; USE "+db+"; CREATE TABLE `t``1` (id int, `e``1` enum('a','😀','?','x?y','\\'😸'), s set('?','b','🐦 ü'), l enum('ü','?') character set latin1)")
	columns := discover(t, sourceOf(t, srv, nil), db+".*")[0].Columns
	want := [][]string{nil, {"a", "😀", "?", "x?y", "'😸"}, {"?", "b", "🐦 ü"}, {"ü", "?"}}
	for i, c := range columns {
		if !slices.Equal(c.Type.Labels, want[i]) {
			t.Errorf("%s: labels %q, want %q", c.Name, c.Type.Labels, want[i])
		}
		if p, err := parseType(c.Type.Native, c.Type.Charset, c.Type.Collation); err != nil || !slices.Equal(p.Labels, want[i]) {
			t.Errorf("%s: type %s, %v", c.Name, c.Type.Native, err)
		}
	}
}

func TestDiscover_tells_keys_columns_and_cascades(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	srv.Exec(t, "USE "+db+`; CREATE TABLE parent (id int primary key, x int);
CREATE TABLE child (id int primary key, p int, FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE);
CREATE TABLE grandchild (id int primary key, c int, FOREIGN KEY (c) REFERENCES child (id) ON DELETE SET NULL);
CREATE TABLE bystander (id int primary key, p int, FOREIGN KEY (p) REFERENCES parent (id));
CREATE TABLE self (id int primary key, up int, FOREIGN KEY (up) REFERENCES self (id) ON DELETE CASCADE);
CREATE TABLE uniq (a int, b int not null, c varchar(10) not null, j json, inv int invisible, g int as (b+1) virtual, UNIQUE ua (a), UNIQUE uc (c(3)), UNIQUE ub (b, c));
CREATE TABLE nokey (a int, b int, KEY (a)); CREATE TABLE part (id int, d int, primary key (id, d)) PARTITION BY HASH (d) PARTITIONS 3;
CREATE SEQUENCE seq; CREATE VIEW vw AS SELECT 1 AS one; CREATE TABLE `+"`odd``name ✓`"+` (id int primary key, `+"`c``1`"+` json)`)
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, db+".*")
	var names []string
	for _, x := range tables {
		names = append(names, x.Name.Table)
	}
	if want := []string{"bystander", "child", "grandchild", "nokey", "odd`name ✓", "parent", "part", "self", "uniq"}; !slices.Equal(names, want) {
		t.Fatalf("tables %q, want %q", names, want)
	}
	cascades := func(n string) string { return fmt.Sprint(tableNamed(t, tables, n).Cascades) }
	if got := cascades("parent"); got != fmt.Sprintf("[%s.child %[1]s.grandchild]", db) {
		t.Errorf("parent reaches %s", got)
	}
	if got := cascades("self"); got != "["+db+".self]" {
		t.Errorf("self reaches %s", got)
	}
	if got := cascades("bystander"); got != "[]" {
		t.Errorf("bystander reaches %s", got)
	}
	u := tableNamed(t, tables, "uniq")
	if !slices.Equal(u.Key, []int{1, 2}) || len(u.Columns) != 6 || u.Columns[3].Type.Kind != row.JSON || u.Columns[3].Type.Native != "json" {
		t.Errorf("uniq: key %v, columns %+v", u.Key, u.Columns)
	}
	if k := tableNamed(t, tables, "nokey").Key; len(k) != 0 {
		t.Errorf("nokey has the key %v", k)
	}
	if c := tableNamed(t, tables, "odd`name ✓").Columns[1]; c.Name != "c`1" || c.Type.Kind != row.JSON {
		t.Errorf("odd name: %+v", c)
	}
	if rows, _ := readAll(t, s, tableNamed(t, tables, "odd`name ✓"), 1); len(rows) != 0 {
		t.Error("rows from an empty table")
	}
	// Many tables are read with the queries for the whole database.
	var all []string
	for i := range fewTables {
		all = append(all, fmt.Sprintf("CREATE TABLE %s.m%02d (id int primary key)", db, i))
	}
	srv.Exec(t, strings.Join(all, ";"))
	more := discover(t, s, db+".*", "!"+db+".self")
	if len(more) != len(tables)+fewTables-1 {
		t.Fatalf("%d tables", len(more))
	}
	for _, x := range more {
		for _, y := range tables {
			if x.Name == y.Name && (!x.SameShape(y) || fmt.Sprint(x.Cascades) != fmt.Sprint(y.Cascades)) {
				t.Errorf("%s differs: %+v, %+v", x.Name, x, y)
			}
		}
	}
}
