package mysql

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"godwit/internal/connector"
	"godwit/internal/row"
	"godwit/test/servers/mysql"
	"godwit/test/servers/sqlserver"
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
	{"varchar(40) compressed", "", []string{"''", "'short'", "repeat('é', 40)", "repeat('ab', 20)"}},
	{"varchar(254) character set latin1 compressed", "", []string{"repeat('é', 254)"}},
	{"varchar(255) character set latin1 compressed", "", []string{"'x'", "repeat('é', 255)"}},
	{"varchar(256) character set latin1 compressed", "", []string{"repeat('é', 256)"}},
	{"varchar(900) character set ucs2 compressed", "", []string{"repeat('aé', 450)"}},
	{"tinytext compressed", "", []string{"''", "repeat('x', 254)", "'é'"}},
	{"text character set gbk compressed", "", []string{"repeat('中文', 10000)", "''"}},
	{"longtext compressed", "", []string{"repeat('😀', 100000)"}},
	{"varbinary(300) compressed", "hex(%s)", []string{"''", "x'00'", "repeat(x'00ff', 150)"}},
	{"mediumblob compressed", "hex(%s)", []string{"repeat(x'fb', 70000)", "x'80'"}},
	{"varchar(30) generated always as (concat('v', id)) virtual", "", nil},
	{"int as (id * 2) stored", "", nil},
	{"int invisible default 7", "", []string{"8"}},
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

// moreCases are the rest of what each type can be: every width of BIT, edges of
// fractions, labels as odd as they get, every geometry.
func moreCases() []valueCase {
	out := []valueCase{
		{"float(7,3)", "cast(%s as double)", []string{"1234.5678", "-0.0005", "0"}},
		{"double(20,2) unsigned", "cast(%s as double)", []string{"123456789.125", "0"}},
		{"float unsigned zerofill", "cast(%s as double)", []string{"1.5", "0"}},
		{"double", "", []string{"-0.0e0", "5e-324", "-1.7976931348623157e308", "1e15", "1e16"}},
		{"decimal(1,0)", "", []string{"9", "-9", "0"}},
		{"decimal(9,9) unsigned", "", []string{"0.999999999", "0"}},
		{"decimal(38,38)", "", []string{"-0.99999999999999999999999999999999999999", "0.00000000000000000000000000000000000001"}},
		{"decimal(65)", "", []string{strings.Repeat("9", 65), "-" + strings.Repeat("9", 65)}},
		{"tinyint(3) unsigned zerofill", "%s + 0", []string{"0", "7"}},
		{"char(0)", "", []string{"''"}},
		{"varchar(0)", "", []string{"''"}},
		{"binary(0)", "hex(%s)", []string{"''"}},
		{"varbinary(0)", "hex(%s)", []string{"''"}},
		{"char(255)", "", []string{"repeat('😀', 255)", "'x'", "' lead'"}},
		{"char(100) character set utf16", "", []string{"repeat('😀', 100)", "'é  '"}},
		{"char(20) character set utf32 collate utf32_bin", "", []string{"repeat('😀', 20)", "' '"}},
		{"char(30) character set sjis", "", []string{"'日本語ｱ'", `'a\\b'`}},
		{"binary(255)", "hex(%s)", []string{"repeat(x'ff', 255)", "x'2000'", "''"}},
		{"varchar(300) character set utf8mb3", "", []string{"repeat('é', 300)", "' x '"}},
		{"tinytext character set utf16le", "", []string{"repeat('é', 127)", "''"}},
		{"date", "", []string{"'0001-01-01'", "'0000-01-01'", "'2023-01-00'", "'0999-12-31'"}},
		{"datetime(6)", "", []string{"'0001-01-01 00:00:00.000001'", "'0000-00-00 00:00:00.000000'", "'2023-00-00 23:59:59.999999'"}},
		{"timestamp(1) null", "", []string{"'1970-01-01 00:00:00.1'", "'2038-01-19 03:14:07.9'", "0"}},
		{"timestamp(5) null", "", []string{"'2038-01-19 03:14:07.99999'"}},
		{"tinyblob", "hex(%s)", []string{"repeat(x'00', 255)", "''"}},
		{"mediumblob", "hex(%s)", []string{"repeat(x'01', 70000)"}},
		{"year(4)", "", []string{"'0'", "'70'", "'69'", "1902"}},
		{"enum('','x')", "", []string{"''", "'x'", "0", "1"}},
		{`enum('é','''''','"','%%s') character set latin1`, "", []string{"'é'", "''''''", `'"'`, "4"}},
		{`set('x'' y','\\','a b') character set utf16`, "", []string{"'x'' y'", `'\\,a b'`, "7"}},
		{"longtext check (json_valid(c%d))", "", []string{`'[1, 2.50, "\\u00e9"]'`}},
		{"blob default 'd'", "hex(%s)", []string{"default"}},
		{`varchar(9) default 'd"''' not null`, "", []string{"default"}},
	}
	for n := 1; n <= 64; n++ {
		most := fmt.Sprint(^uint64(0) >> (64 - n))
		out = append(out, valueCase{fmt.Sprintf("bit(%d)", n), "%s + 0", []string{"0", "1", most}})
	}
	out = append(out, labelCases()...)
	for digits := range 7 {
		out = append(out,
			valueCase{fmt.Sprintf("time(%d)", digits), "", []string{"'-838:59:59.999999'", "'838:59:59.999999'", "'-00:00:00.999999'", "'00:00:00.000001'", "'-00:00:01.1'", "'-01:00:00'"}},
			valueCase{fmt.Sprintf("datetime(%d)", digits), "", []string{"'9999-12-31 23:59:59'", "'1969-12-31 23:59:59.987654'"}},
			valueCase{fmt.Sprintf("timestamp(%d) null", digits), "", []string{"'1970-01-01 00:00:01'", "'2001-09-09 01:46:40.123456'"}})
	}
	for _, text := range []string{
		"LINESTRING(0 0,1 -1.5)", "POLYGON((0 0,1 0,1 1,0 0))", "MULTIPOINT(0 0,1 1)", "MULTILINESTRING((0 0,1 1),(2 2,3 3))",
		"MULTIPOLYGON(((0 0,1 0,1 1,0 0)))", "GEOMETRYCOLLECTION(POINT(1 1),LINESTRING(0 0,1 1))",
	} {
		typ, _, _ := strings.Cut(strings.ToLower(text), "(")
		for _, typ := range []string{typ, "geometry"} {
			out = append(out, valueCase{typ, "hex(%s)", []string{"st_geomfromtext('" + text + "')", "st_geomfromtext('" + text + "', 4326)"}})
		}
	}
	return out
}

// labelCases are enums and sets of every size in which they are stored.
func labelCases() (out []valueCase) {
	var labels []string
	for i := range 300 {
		labels = append(labels, fmt.Sprintf("'m%d'", i))
	}
	for _, n := range []int{1, 255, 256, 300} {
		out = append(out, valueCase{"enum(" + strings.Join(labels[:n], ",") + ")", "", []string{"1", fmt.Sprint(n), "0"}})
	}
	for _, n := range []int{1, 8, 9, 16, 17, 24, 25, 32, 33, 63, 64} {
		out = append(out, valueCase{"set(" + strings.Join(labels[:n], ",") + ")", "", []string{"''", "1", fmt.Sprint(^uint64(0) >> (64 - n)), fmt.Sprint(uint64(1) << (n - 1))}})
	}
	return out
}

// typedTable is a table of some cases.
type typedTable struct {
	name                string
	create, insert, ask string
	given               map[int]int // id of a row → index of its only column that was given
}

// typedTables makes SQL for tables with every case, each with a row for every value and
// one without any.
func typedTables(db, settings string) (out []typedTable) {
	return tablesOf(slices.Concat(valueCases, moreCases()), db, settings)
}

func tablesOf(cases []valueCase, db, settings string) (out []typedTable) {
	for k, group := range slices.Collect(slices.Chunk(cases, 40)) {
		front := "USE " + db + "; SET NAMES utf8mb4; SET sql_mode = ''; SET time_zone = '+00:00'; " + settings
		x := typedTable{name: fmt.Sprintf("t%d", k), given: map[int]int{}}
		var cols, asks []string
		var sql strings.Builder
		fmt.Fprintf(&sql, "%s INSERT INTO %s (id) VALUES (0);", front, x.name)
		for i, c := range group {
			column := fmt.Sprintf("c%d", i)
			cols = append(cols, column+" "+strings.Replace(c.typ, "c%d", column, 1))
			asks = append(asks, strings.Replace(cmp.Or(c.ask, "%s"), "%s", column, 1))
			for _, v := range c.values {
				id := len(x.given) + 1
				x.given[id] = i
				fmt.Fprintf(&sql, " INSERT INTO %s (id, c%d) VALUES (%d, %s);", x.name, i, id, v)
			}
		}
		x.create = fmt.Sprintf("%s CREATE TABLE %s (id int primary key, %s) ROW_FORMAT=DYNAMIC;", front, x.name, strings.Join(cols, ", "))
		x.insert = sql.String()
		x.ask = "SET NAMES utf8mb4; SET time_zone = '+00:00'; SELECT id, " + strings.Join(asks, ", ") + " FROM " + db + "." + x.name
		out = append(out, x)
	}
	return out
}

// TestTypes_when_the_server_lists_them fails for a type of the server without a case
// here: each word that it knows is tried as a type.
func TestTypes_when_the_server_lists_them(t *testing.T) {
	t.Run("MariaDB", func(t *testing.T) {
		everyType(t, server(t), slices.Concat(valueCases, moreCases()), "SELECT word FROM information_schema.KEYWORDS UNION SELECT plugin_name FROM information_schema.PLUGINS WHERE plugin_type = 'DATA TYPE'")
	})
	t.Run("MySQL", func(t *testing.T) {
		everyType(t, mysql.Start(t), mysqlCases(), "SELECT word FROM information_schema.KEYWORDS")
	})
}

func everyType(t *testing.T, srv *sqlserver.Server, list []valueCase, words string) {
	srv.Exec(t, "CREATE DATABASE IF NOT EXISTS listed")
	cases := map[string]bool{}
	for _, c := range list {
		cases[plainName(nativeWord(c.typ))] = true
	}
	s := sourceOf(t, srv, nil)
	c, err := s.dial(within(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	found := 0
	for _, w := range srv.Query(t, words) {
		for _, form := range []string{"%s", "%s(1)", "%s('a')"} {
			typ := fmt.Sprintf(form, w[0])
			if c.exec(within(t), "CREATE TEMPORARY TABLE listed.t (c "+typ+")") != nil {
				continue
			}
			rows, err := c.query(within(t), "SHOW COLUMNS FROM listed.t")
			if err != nil {
				t.Fatal(err)
			}
			if err := c.exec(within(t), "DROP TEMPORARY TABLE listed.t"); err != nil {
				t.Fatal(err)
			}
			found++
			native := rows[0][1].text()
			if word := nativeWord(native); !cases[word] && !(word == "geomcollection" && cases["geometrycollection"]) {
				t.Errorf("the type %s, which the server prints as %s, has no case", typ, native)
			}
			if _, err := parseType(native, "", ""); err != nil {
				t.Errorf("%s: %v", typ, err)
			}
		}
	}
	if found < 60 {
		t.Errorf("only %d forms of types were found", found)
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
		if err != nil || p.Native != strings.TrimSuffix(r[0], " /*M!100301 COMPRESSED*/") {
			t.Errorf("%q: %q, %v", r[0], p.Native, err)
		}
	}
}

func TestParseType_refuses(t *testing.T) {
	for _, typ := range []string{"", "blub", "int(", "int(x)", "int(1,2,3)", "enum()", "enum('a", "enum('a' 'b')", "decimal(66,2)", "decimal(2,5)", "bit(65)", "datetime(7)", "vector(3)", "set('a') x"} {
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
