package mysql

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"godwit/internal/connector"
	"godwit/internal/row"
)

// fuzzTable has a column of every kind and form.
func fuzzTable(t testing.TB) (*row.Table, []byte) {
	t.Helper()
	x := &row.Table{Name: row.Name{Space: "d", Table: "t"}, Number: 1, Key: []int{0}}
	types := []string{"int(11)", "bigint(20) unsigned", "decimal(20,5)", "float", "double", "varchar(300)", "char(10)", "binary(4)", "text", "blob",
		"date", "time(3)", "datetime(6)", "timestamp(2)", "year(4)", "enum('a','b')", "set('x','y','z')", "bit(13)", "mediumint(8)", "uuid", "inet4", "inet6", "longtext"}
	codes := []byte{tyLong, tyLongLong, tyNewDecimal, tyFloat, tyDouble, tyVarchar, tyString, tyString, tyBlob, tyBlob,
		tyDate, tyTime2, tyDateTime2, tyTimestamp2, tyYear, tyString, tyString, tyBit, tyInt24, tyString, tyString, tyString, tyBlob}
	meta := []byte{20, 5, 4, 8, 0xb0, 0x04, 0xfe, 40, 0xfe, 4, 2, 2, 3, 6, 2, 0xf7, 1, 0xf8, 1, 5, 1, 0xfe, 16, 0xfe, 4, 0xfe, 16, 4}
	for i, n := range types {
		typ, err := parseType(n, "utf8mb4", "utf8mb4_bin")
		if err != nil {
			t.Fatal(err)
		}
		x.Columns = append(x.Columns, row.Column{Name: string(rune('a' + i)), Type: typ, Nullable: true})
	}
	body := append([]byte{1, 0, 1, 'd', 0, 1, 't', 0, byte(len(codes))}, codes...)
	body = append(body, byte(len(meta)))
	body = append(body, meta...)
	return x, append(body, 0xff, 0xff, 0xff)
}

func fuzzLayout(t testing.TB) *layout {
	table, body := fuzzTable(t)
	m, err := parseTableMap(body)
	if err != nil {
		t.Fatal(err)
	}
	l, err := fit(table, m)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func FuzzRows(f *testing.F) {
	l := fuzzLayout(f)
	full := []byte{0xff, 0xff, 0x7f}
	f.Add(byte(0), full, full, make([]byte, 400))
	f.Add(byte(1), full, []byte{1, 0, 0}, slices.Repeat([]byte{0xff}, 200))
	f.Add(byte(2), []byte{3, 0, 0}, full, slices.Repeat([]byte{0}, 13))
	f.Fuzz(func(t *testing.T, op byte, present, after, rows []byte) {
		if len(present) < 3 || len(after) < 3 {
			return
		}
		d := &decoder{x: row.NewBuilder(&row.Pool{})}
		d.x.At("", 0, row.Txn{})
		e := rowsEvent{op: op % 3, width: len(l.fields), present: present[:3], after: after[:3], rows: rows}
		if op&4 != 0 {
			e.compressed = true
		}
		if err := d.event(l, e); err != nil {
			return
		}
		b := d.x.Finish(noPosition, 0)
		for i := range b.Sections() {
			s := &b.Sections()[i]
			for r := s.Row; r < s.Row+s.Rows; r++ {
				_ = rowText(b, s, r)
			}
		}
	})
}

func FuzzTableMap(f *testing.F) {
	table, body := fuzzTable(f)
	f.Add(body)
	f.Add(append(slices.Clone(body), 1, 2, 0xff, 0xff, 4, 3, 1, 'a', 0))
	f.Fuzz(func(t *testing.T, body []byte) {
		_, _, _ = mapName(body)
		m, err := parseTableMap(body)
		if err != nil {
			return
		}
		if l, err := fit(table, m); err == nil && len(l.fields) != len(table.Columns) {
			t.Fatal("it fits without fitting")
		}
	})
}

// formatEvent is a format description event of a server.
func formatEvent() []byte {
	e := make([]byte, headerBytes+57)
	e[4] = evFormat
	e[headerBytes] = 4
	e[headerBytes+56] = headerBytes
	post := make([]byte, 171)
	for i := range post {
		post[i] = 8
	}
	e = append(append(e, post...), 0, 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(e[9:], uint32(len(e)))
	binary.LittleEndian.PutUint32(e[13:], uint32(4+len(e)))
	return e
}

func event0(kind byte, at uint32, body []byte) []byte {
	e := make([]byte, headerBytes, headerBytes+len(body))
	e[4] = kind
	binary.LittleEndian.PutUint32(e[9:], uint32(headerBytes+len(body)))
	binary.LittleEndian.PutUint32(e[13:], at+uint32(headerBytes+len(body)))
	return append(e, body...)
}

// FuzzEvents gives a whole stream of made-up events to the reader.
func FuzzEvents(f *testing.F) {
	table, body := fuzzTable(f)
	mapBody := append([]byte{7, 0, 0, 0, 0, 0}, body...)
	f.Add([]byte{evGTID, evTableMap, evWriteV1, evXID}, mapBody, append([]byte{7, 0, 0, 0, 0, 0, 1, 0, 23, 0xff, 0xff, 0x7f}, make([]byte, 300)...))
	f.Add([]byte{evGTID, evQuery, evRotate, evHeartbeat}, make([]byte, 40), []byte("bin.000002"))
	f.Fuzz(func(t *testing.T, kinds, one, two []byte) {
		s := &source{env: connector.Env{}}
		split := connector.Split{Tables: []*row.Table{table}}
		r := &streamer{s: s, split: split, shapes: newShapes(s, split), maps: map[uint64]*mapped{}, place: place{"mariadb:1", "bin", 1, 4}}
		r.shapes.known = &collations{byID: map[uint16]collation{}, byName: map[string]collation{}, byCharset: map[string]string{}}
		r.cur = cursor{at: r.place, anchored: true}
		r.prepares = newPrepares(s, place{})
		r.pipe = newPipe(t.Context(), s.env, &s.pool)
		r.ctx = r.pipe.ctx
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = r.pipe.run(func(b *row.Batch) error { b.Release(); return nil })
		}()
		err := r.event(formatEvent())
		if err != nil {
			t.Error(err)
		}
		for i, k := range kinds[:min(len(kinds), 20)] {
			if k == evIncident {
				continue
			}
			body := one
			if i%2 == 1 {
				body = two
			}
			if k == evQuery && strings.Contains(strings.ToUpper(string(body)), "TABLE") {
				continue // it would ask a server
			}
			if err := r.event(event0(k, uint32(r.cur.at.offset), body)); err != nil {
				break
			}
		}
		r.pipe.cancel(nil)
		<-done
		r.pipe.stop()
	})
}

func FuzzDecimal(f *testing.F) {
	f.Add([]byte{0x80, 0, 0, 1}, byte(5), byte(2))
	f.Fuzz(func(t *testing.T, v []byte, whole, scale byte) {
		w, s := int(whole%40), int(scale%31)
		if n := decimalBytes(w, s); n == 0 || len(v) < n {
			return
		} else {
			v = v[:n]
		}
		text, ok := appendDecimal(nil, v, w, s)
		if !ok {
			return
		}
		plain := strings.TrimPrefix(string(text), "-")
		whole0, fraction, point := strings.Cut(plain, ".")
		if len(fraction) != s || point != (s > 0) || whole0 == "" || len(whole0) > max(w, 1) || len(whole0) > 1 && whole0[0] == '0' {
			t.Fatalf("%x as decimal(%d,%d) is %s", v, w+s, s, text)
		}
		if text[0] == '-' && strings.Trim(plain, "0.") == "" {
			t.Fatalf("%x is a negative zero", v)
		}
	})
}

func FuzzStatement(f *testing.F) {
	for _, s := range []string{"ALTER TABLE t ADD COLUMN (x INT, y TEXT) /*! FIRST */", "CREATE OR REPLACE TABLE `a``b`.c LIKE d", "RENAME TABLE a TO b, `c d` TO e",
		"DROP TABLE IF EXISTS a, b.c /* generated by server */", "/*M!100301 ALTER TABLE t */ DROP x", "TRUNCATE t", "INSERT INTO t SELECT '\\'' -- x\n", "ALTER TABLE t EXCHANGE PARTITION p WITH TABLE u"} {
		f.Add(s, uint64(0))
	}
	x := &statementReader{}
	known := &collations{byID: map[uint16]collation{}, byName: map[string]collation{"utf8mb4_bin": {"utf8mb4_bin", "utf8mb4"}}, byCharset: map[string]string{"utf8mb4": "utf8mb4_bin"}}
	table, _ := fuzzTable(f)
	f.Fuzz(func(t *testing.T, text string, mode uint64) {
		acts, _ := x.read(text, "d", mode)
		for _, a := range acts {
			switch {
			case a.create != nil && a.deed == deedCreate:
				made, err := tableOf(a.name, a.create, known, "utf8mb4", "utf8mb4_bin")
				checkShape(t, made, err)
			case len(a.specs) > 0:
				e := newEditor(table, known)
				if e.alter(a.specs) == nil {
					made, _, err := e.finish()
					checkShape(t, made, err)
				}
			}
		}
	})
}

func checkShape(t *testing.T, x *row.Table, err error) {
	if err != nil {
		return
	}
	for _, k := range x.Key {
		if k < 0 || k >= len(x.Columns) {
			t.Fatal("a key without its column")
		}
	}
	seen := map[string]bool{}
	for _, c := range x.Columns {
		if name := strings.ToLower(c.Name); seen[name] && utf8.ValidString(name) {
			t.Fatalf("column %q stands twice", c.Name)
		} else {
			seen[name] = true
		}
	}
}

func FuzzPosition(f *testing.F) {
	s := &source{}
	p := place{"mariadb:1", "my bin", 7, 1 << 40}
	f.Add(s.position(p, "0-1-2,3-4-5", lastTxn{"0-1-2", 7, 100, 200, 300}).Token())
	f.Add(s.position(p, "", lastTxn{}).Token())
	f.Fuzz(func(t *testing.T, token string) {
		at, err := parseToken("mariadb:1", token)
		if err != nil {
			return
		}
		again, err := parseToken("mariadb:1", tokenText(at.place, at.changes, at.gtids.String(), at.last))
		if err != nil || again.place != at.place || again.changes != at.changes || again.last != at.last || again.gtids.String() != at.gtids.String() {
			t.Fatalf("%q: %v, then %v (%v)", token, at, again, err)
		}
	})
}
