package mysql

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"godwit/internal/row"
	"godwit/test/servers/mysql"
)

// jsonCases are expressions of MySQL that make a document each.
func jsonCases() []string {
	out := []string{
		"'null'", "'true'", "'false'", "'0'", "'-1'", "'\"\"'", "'[]'", "'{}'", "'[[[[]]]]'", `'{"": {"": []}}'`,
		"'32767'", "'-32768'", "'32768'", "'65535'", "'65536'", "'-32769'", "'2147483647'", "'-2147483648'", "'4294967295'", "'4294967296'",
		"'9223372036854775807'", "'-9223372036854775808'", "'18446744073709551615'", "'18446744073709551616'",
		"'[0, -1, 32767, 65535, 65536, -32769, 4294967295, 4294967296, 1.5, true, null, \"x\"]'",
		"'1.0'", "'1e0'", "'-0.0'", "'1e15'", "'1e14'", "'123456789012345678.0'", "'1234567890123456.5'", "'1e-15'", "'1e-14'", "'1e-16'", "'1e300'", "'5e-324'", "'-1.7976931348623157e308'", "'100.0'",
		`'"\\"\\\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f é 😀"'`, `'{"k\\"\\n": "é", "😀": 1, "b": 2, "aa": 3, "a": 4}'`,
		"JSON_ARRAY(CAST('2024-02-29' AS DATE), CAST('-838:59:59' AS TIME), CAST('12:34:56.123456' AS TIME(6)), CAST('2024-02-29 23:59:59.5' AS DATETIME(6)), TIMESTAMP('0001-01-01 00:00:00'))",
		"CAST(CAST('9999-12-31' AS DATE) AS JSON)", "CAST(CAST('-00:00:00.5' AS TIME(1)) AS JSON)",
		"JSON_ARRAY(1.50, -0.01, 99999999999999999999999999999999999.999999999999999999999999999999, CAST(0 AS DECIMAL(10,2)), 12345678901234567890.0)",
		"JSON_ARRAY(x'00ff', b'101', CAST('abc' AS BINARY))", "JSON_ARRAY(CAST(REPEAT('x', 200) AS BINARY), CAST(REPEAT('x', 57) AS BINARY), CAST(REPEAT('x', 58) AS BINARY), CAST(REPEAT('x', 114) AS BINARY), CAST('' AS BINARY))", "JSON_OBJECT('y', YEAR(NOW()) - YEAR(NOW()) + 1999)",
		"JSON_ARRAY(ST_GeomFromText('POINT(1 2)'))",
		"JSON_ARRAY(REPEAT('é', 100), REPEAT('x', 127), REPEAT('x', 128), REPEAT('x', 16384), REPEAT('x', 70000))",
		"CONCAT('[', REPEAT('1,', 70000), '1]')", "CONCAT('[', REPEAT('100000,', 20000), '\"end\"]')",
		"CONCAT(REPEAT('[', 99), '{}', REPEAT(']', 99))",
	}
	var object []string
	for i := range 5000 {
		object = append(object, fmt.Sprintf(`"key%d": [%d, "v", {"n": %d.5}]`, i, i*i, i))
	}
	return append(out, "'{"+strings.Join(object, ",")+"}'")
}

func TestJSON_when_MySQL_stores_it(t *testing.T) {
	srv := mysql.Start(t)
	srv.Exec(t, "CREATE DATABASE d; CREATE TABLE d.j (id INT PRIMARY KEY, j JSON)")
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, "d.j")
	from := head(t, s)
	sql := "SET NAMES utf8mb4; USE d; INSERT INTO j VALUES (0, NULL);"
	for i, c := range jsonCases() {
		sql += fmt.Sprintf("INSERT INTO j VALUES (%d, %s);", i+1, c)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 4))
	for i := range 300 {
		var numbers []string
		for len(numbers) < 20 {
			f := math.Float64frombits(rnd.Uint64())
			if len(numbers)%2 == 1 { // of ordinary sizes
				f = math.Trunc(rnd.NormFloat64()*math.Pow10(rnd.IntN(12))) * math.Pow10(rnd.IntN(30)-20)
			}
			if !math.IsNaN(f) && !math.IsInf(f, 0) {
				numbers = append(numbers, fmt.Sprintf("%.17e", f))
			}
		}
		sql += fmt.Sprintf("INSERT INTO j VALUES (%d, '[%s]');", 1000+i, strings.Join(numbers, ","))
	}
	srv.Exec(t, sql)
	want := expect(t, srv, "SET NAMES utf8mb4; SELECT * FROM d.j")
	fresh := sourceOf(t, srv, nil)
	snapshot, _ := readAll(t, fresh, discover(t, fresh, "d.j")[0], 1<<40)
	compareRows(t, snapshot, want)
	compareRows(t, streamed(t, s, tables, from, head(t, s))[row.Insert], want)
}

func FuzzJSON(f *testing.F) {
	f.Add([]byte{jsonSmallArray, 1, 0, 7, 0, jsonInt16, 1, 0})
	f.Add([]byte{jsonString, 1, 'x'})
	f.Fuzz(func(_ *testing.T, v []byte) { _, _ = appendJSON(nil, v) })
}
