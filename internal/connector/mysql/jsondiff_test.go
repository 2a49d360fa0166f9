package mysql

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"godwit/internal/row"
	"godwit/test/servers/mysql"
)

// documents makes up documents of MySQL, and changes of them.
type documents struct{ *rand.Rand }

// jsonKeys are few, so that paths meet what is there.
var jsonKeys = []string{"a", "b", "c.d", `q"x`, "é", "", "😀", "k[0]", `back\slash`, "sp ace", "last", "$", "_x1", "new\nline", "tab\t", "\x01", strings.Repeat("long", 90)}

func oneOf[T any](d documents, of []T) T { return of[d.IntN(len(of))] }

// value is an expression of SQL.
func (d documents) value() string {
	if d.IntN(3) == 0 {
		return "CAST(" + quoteText(d.text(d.IntN(4))) + " AS JSON)"
	}
	return oneOf(d, []string{
		"NULL", "0", "-1", "32768", "-2147483649", "18446744073709551615", "9223372036854775807", "1.50", "-0.010", "1e300", "0.1e0", "TRUE", "'é\"\\\\'", "REPEAT('x', 200)", "''",
		"CAST('2024-02-29' AS DATE)", "CAST('-838:59:59.5' AS TIME(1))", "CAST('2024-02-29 23:59:59.123456' AS DATETIME(6))", "x'00ff'", "CAST(REPEAT('b', 80) AS BINARY)",
		"12345678901234567890.123456789", "JSON_ARRAY()", "JSON_OBJECT()", "JSON_ARRAY(1, 2.50, JSON_ARRAY('x'))", "JSON_OBJECT('a', 1, 'b', JSON_ARRAY(1, 2))",
	})
}

// text is a document.
func (d documents) text(depth int) string {
	kind := d.IntN(7)
	if depth > 0 && kind > 1 {
		kind = 5 + d.IntN(2)
	}
	switch {
	case kind < 5 || depth < 0:
		return oneOf(d, []string{"null", "true", "1", "-70000", "4294967296", "1.5", `"é"`, `"a\"b\\c\n"`, `""`, "[]", "{}"})
	case kind == 5:
		var out []string
		for range d.IntN(5) {
			out = append(out, d.text(depth-1))
		}
		return "[" + strings.Join(out, ",") + "]"
	}
	var out []string
	for range d.IntN(6) {
		out = append(out, quoteJSON(oneOf(d, jsonKeys))+":"+d.text(depth-1))
	}
	return "{" + strings.Join(out, ",") + "}"
}

// whole is a document that is so large that what changes of it is less.
func (d documents) whole() string {
	filler := oneOf(d, []int{10, 600, 600, 600, 1000, 1000, 2000, 2000, 70_000})
	if d.IntN(3) == 0 {
		return fmt.Sprintf(`[%s,%s,{"a":%s},%q]`, d.text(3), d.text(3), d.text(3), strings.Repeat("f", filler))
	}
	return fmt.Sprintf(`{"a":%s,"b":%s,"é":[%s],"fill":%q}`, d.text(3), d.text(3), d.text(2), strings.Repeat("f", filler))
}

func quoteJSON(s string) string {
	b, _ := json.Marshal(s) // texts never fail
	return string(b)
}

// path is one as the functions of SQL take it.
func (d documents) path(least int) string {
	out := "$"
	for range least + d.IntN(4) {
		switch d.IntN(5) {
		case 0:
			out += fmt.Sprintf("[%d]", d.IntN(5))
		case 1:
			out += oneOf(d, []string{"[last]", "[last-1]", "[9]"})
		case 2:
			out += "." + oneOf(d, []string{"a", "b", "last"})
		default:
			out += "." + quoteJSON(oneOf(d, jsonKeys))
		}
	}
	return quoteText(out)
}

// change is an expression that changes a column, often much at once.
func (d documents) change(column string) string {
	out := column
	for range 1 + d.IntN(2) {
		var args []string
		call := oneOf(d, []string{"JSON_SET", "JSON_SET", "JSON_REPLACE", "JSON_REMOVE"})
		for range 1 + d.IntN(4) {
			if call == "JSON_REMOVE" {
				args = append(args, d.path(1))
			} else {
				args = append(args, d.path(d.IntN(2)), d.value())
			}
		}
		out = call + "(" + out + ", " + strings.Join(args, ", ") + ")"
	}
	return out
}

// script makes rows with documents and changes them; after each change the table truth
// gets what the server then prints of them.
func (d documents) script(changes int) string {
	const rows = 6
	var b strings.Builder
	b.WriteString("SET NAMES utf8mb4; SET sql_mode = ''; USE d;")
	note := func(where string) {
		fmt.Fprintf(&b, "INSERT INTO truth SELECT id, seq, j, b, k FROM j WHERE %s ORDER BY id;", where)
	}
	fill := func(id int) {
		fmt.Fprintf(&b, "REPLACE INTO j VALUES (%d, 0, %s, 'between', %s);", id, quoteText(d.whole()), quoteText(d.whole()))
		note(fmt.Sprintf("id = %d", id))
	}
	for id := range rows {
		fill(id)
	}
	for n := 1; n <= changes; n++ {
		if d.IntN(10) == 0 {
			fill(d.IntN(rows))
		}
		where := fmt.Sprintf("id = %d", d.IntN(rows))
		if d.IntN(10) == 0 {
			where = fmt.Sprintf("id < %d", d.IntN(rows))
		}
		set := oneOf(d, []string{"j = " + d.change("j"), "k = " + d.change("k"), "j = " + d.change("j") + ", k = " + d.change("k"), "k = NULL, j = " + d.change("j"), "k = " + d.change("j")})
		fmt.Fprintf(&b, "UPDATE j SET seq = %d, %s WHERE %s ORDER BY id;", n, set, where)
		note(where)
	}
	return b.String()
}

func TestMySQL_when_only_what_changed_of_documents_is_logged(t *testing.T) {
	srv := mysql.Start(t, "--binlog-row-value-options=PARTIAL_JSON")
	srv.Exec(t, `CREATE DATABASE d; CREATE TABLE d.j (id INT PRIMARY KEY, seq INT, j JSON, b VARCHAR(20), k JSON);
		CREATE TABLE d.truth (id INT, seq INT, j LONGTEXT CHARACTER SET utf8mb4, b VARCHAR(20), k LONGTEXT CHARACTER SET utf8mb4)`)
	changes := 700
	if os.Getenv("GODWIT_SOAK") == "1" {
		changes = 20_000
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	d := documents{rand.New(rand.NewPCG(seed, 9))}
	tables := discover(t, sourceOf(t, srv, nil), "d.*")
	for _, compressed := range []string{"OFF", "ON"} {
		t.Run("compressed "+compressed, func(t *testing.T) {
			s := sourceOf(t, srv, nil)
			from := head(t, s)
			srv.Exec(t, "SET SESSION binlog_transaction_compression = "+compressed+"; "+d.script(changes))
			var rows, truth []string
			for _, line := range follow(t, s, tables, from, head(t, s)) {
				op, rest, _ := strings.Cut(line, " ")
				if rest, ok := strings.CutPrefix(rest, "truth "); ok {
					truth = append(truth, rest)
				} else if rest, ok := strings.CutPrefix(rest, "j "); ok && op != "delete" {
					rows = append(rows, rest)
				}
			}
			compareRows(t, rows, truth) // seq changes always, so each update is logged
			if len(rows) < changes {
				t.Errorf("%d rows", len(rows))
			}
		})
	}
	if n := partialUpdates(t, sourceOf(t, srv, nil), tables); n < changes/4 {
		t.Errorf("only %d documents were logged as what changed", n)
	}
}

// partialUpdates counts the rows of the log, but for what is compressed, that are the
// first of their event and have of a document of d.j only what changed.
func partialUpdates(t testing.TB, s *source, tables []*row.Table) (n int) {
	t.Helper()
	at, err := parsePosition(head(t, s))
	if err != nil {
		t.Fatal(err)
	}
	at.offset = 4
	cur := cursor{at: at.place, anchored: true}
	d, l := &decoder{}, (*layout)(nil)
	err = s.scan(within(t), dumpStart{file: at.name(), offset: 4}, &cur, func(h header, body []byte, _ uint64) error {
		switch h.kind {
		case evTableMap:
			m, err := parseTableMap(body[6:])
			if err == nil && m.table == "j" {
				l, err = fit(tables[0], m)
			}
			return err
		case evPartialUpdate:
			e, err := cur.format.parseRows(h.kind, body)
			if err != nil {
				return err
			}
			size, err := d.scan(l, e.present, count(e.present, e.width), e.rows)
			if err != nil {
				return err
			}
			diffs, _, err := l.diffs(e.rows[size:])
			if diffs != nil {
				n += count(diffs, l.documents)
			}
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Where the log has not what documents were before, a change of them cannot be applied:
// the table is marked, and no value is made up.
func TestMySQL_when_changes_of_documents_are_logged_without_what_they_change(t *testing.T) {
	srv := mysql.Start(t, "--binlog-row-value-options=PARTIAL_JSON")
	large := strings.Repeat("f", 500)
	for image, want := range map[string][]string{
		"MINIMAL": {
			`update a 1 - 2`, `stop a`, // of a only the key was there before
			`update n 1 {"a": 1, "f": "F"} {"a": 2, "f": "F"}`, `update n 2 {"a": 1} {"a": 2, "f": "F"}`, // without a key all was
		},
		"NOBLOB": {
			`update a 1 {"a": 1, "f": "F"} 2`, `update a 1 {"a": 2, "f": "F"} 2`,
			`update n 1 {"a": 1, "f": "F"} {"a": 2, "f": "F"}`, `update n 2 {"a": 1} {"a": 2, "f": "F"}`,
		},
	} {
		t.Run(image, func(t *testing.T) {
			fill := fmt.Sprintf(`'{"a":1,"f":%q}'`, large)
			srv.Exec(t, "DROP DATABASE IF EXISTS d; CREATE DATABASE d; USE d; CREATE TABLE a (id INT PRIMARY KEY, j JSON, v INT); CREATE TABLE n (x INT, j JSON, y JSON)")
			s := sourceOf(t, srv, nil)
			tables := discover(t, s, "d.*")
			from := head(t, s)
			srv.Exec(t, "SET SESSION binlog_row_image = "+image+"; USE d; INSERT INTO a VALUES (1, "+fill+", 1); INSERT INTO n VALUES (1, "+fill+", "+fill+
				"); UPDATE a SET v = 2; UPDATE a SET j = JSON_SET(j, '$.a', 2); UPDATE n SET y = JSON_SET(y, '$.a', 2); UPDATE n SET x = 2, j = JSON_REMOVE(j, '$.f')")
			var got []string
			for _, line := range follow(t, s, tables, from, head(t, s)) {
				if strings.HasPrefix(line, "update") || strings.HasPrefix(line, "stop") {
					line = strings.ReplaceAll(line, large, "F")
					got = append(got, strings.NewReplacer(`"{`, "{", `}"`, "}", `\"`, `"`).Replace(line))
				}
			}
			same(t, got, want...)
		})
	}
}

func TestJSON_change_that_does_not_fit_is_refused(t *testing.T) {
	// {"a": [1, 2]}
	document := []byte{jsonSmallObject, 1, 0, 22, 0, 11, 0, 1, 0, jsonSmallArray, 12, 0, 'a', 2, 0, 10, 0, jsonInt16, 1, 0, jsonInt16, 2, 0}
	if text, err := appendJSON(nil, document); err != nil || string(text) != `{"a": [1, 2]}` {
		t.Fatalf("%s %v", text, err)
	}
	diff := func(op byte, path string, value ...byte) []byte {
		b := append([]byte{op, byte(len(path))}, path...)
		if op != jsonRemove {
			b = append(append(b, byte(len(value))), value...)
		}
		return b
	}
	seven := []byte{jsonInt16, 7, 0}
	for path, want := range map[string]string{
		"$.a[0]": `{"a": [7, 2]}`, `$."a"[last]`: `{"a": [1, 7]}`, "$.a[last-1]": `{"a": [7, 2]}`, "$": "7", `$."\u0061"`: `{"a": 7}`,
		"$.b": "", "$.a[2]": "", "$.a.b": "", "$[0]": "", "": "", "$.": "", "$.a[": "", "$.a[x]": "", "$.a[last+1]": "", "$.a[last-2]": "", "$.a[-1]": "", "a": "", `$."a`: "", "$.a[99999999999]": "", "$**.a": "",
	} {
		text, err := appendChanged(nil, document, diff(jsonReplace, path, seven...))
		if want == "" && err == nil || want != "" && (err != nil || string(text) != want) {
			t.Errorf("%s: %s, %v", path, text, err)
		}
	}
	for _, bad := range [][]byte{diff(jsonInsert, "$.a", seven...), diff(jsonInsert, "$", seven...), diff(jsonRemove, "$"), diff(jsonRemove, "$.x"), diff(3, "$.a", seven...), diff(jsonReplace, "$.a"), {0}, {0, 200}, {0, 1, '$', 254}} {
		if text, err := appendChanged(nil, document, bad); err == nil {
			t.Errorf("%v: %s", bad, text)
		}
	}
}

func FuzzJSONChange(f *testing.F) {
	f.Add([]byte{jsonSmallArray, 1, 0, 7, 0, jsonInt16, 1, 0}, []byte{jsonInsert, 4, '$', '[', '1', ']', 3, jsonInt16, 7, 0})
	f.Add([]byte{jsonSmallObject, 0, 0, 4, 0}, []byte{jsonInsert, 3, '$', '.', 'a', 2, jsonLiteral, 1, jsonRemove, 5, '$', '.', '"', 'a', '"'})
	l := &layout{documents: 9, table: &row.Table{}}
	f.Fuzz(func(_ *testing.T, document, diffs []byte) {
		_, _ = appendChanged(nil, document, diffs)
		_, _, _ = l.diffs(diffs)
	})
}
