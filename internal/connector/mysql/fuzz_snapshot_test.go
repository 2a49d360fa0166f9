package mysql

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"godwit/internal/position"
	"godwit/internal/row"
)

func FuzzPacketReader(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00a\x02\x00\x00\x01bc"), byte(3))
	f.Add([]byte("\xff\xff\xff\x00a"), byte(0))
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x01"), byte(1))
	f.Fuzz(func(t *testing.T, wire []byte, by byte) {
		var in io.Reader = bytes.NewReader(wire)
		if by%2 == 1 {
			in = iotest.OneByteReader(in)
		}
		p := newPacketReader(in)
		at, seq := 0, byte(0)
		for {
			msg, err := p.next()
			// What a reading of the definition says of the next packet:
			if len(wire)-at < 4 || wire[at+3] != seq {
				if err == nil {
					t.Fatal("a message out of nothing")
				}
				return
			}
			n := int(wire[at]) | int(wire[at+1])<<8 | int(wire[at+2])<<16
			if len(wire)-at-4 < n {
				if !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatal("a cut packet gave", err)
				}
				if len(p.buf) > 2*max(len(wire), readBuffer)+readBuffer {
					t.Fatal("an announced length took", len(p.buf), "bytes")
				}
				return
			}
			if err != nil || !bytes.Equal(msg, wire[at+4:at+4+n]) {
				t.Fatal(msg, err)
			}
			at, seq = at+4+n, seq+1
		}
	})
}

func FuzzRowParser(f *testing.F) {
	var types []row.Type
	for _, n := range []string{"int(11)", "bigint(20) unsigned", "decimal(10,2)", "double", "float", "date", "time(6)", "datetime(6)", "timestamp(6)", "bit(64)", "varchar(10)", "year(4)", "json"} {
		typ, err := parseType(n, "utf8mb4", "utf8mb4_bin")
		if err != nil {
			f.Fatal(err)
		}
		types = append(types, typ)
	}
	f.Add(uint16(0), []byte("\x0242"))
	f.Add(uint16(6), []byte("\x0c-838:59:59.5"))
	f.Add(uint16(8), []byte("\x132020-01-01 00:00:00"))
	f.Add(uint16(7), []byte("\xfc\x13\x002020-01-01 00:00:00\xfb"))
	f.Add(uint16(10), []byte("\xfe\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, which uint16, msg []byte) {
		table := &row.Table{Name: row.Name{Space: "d", Table: "t"}}
		for i := range int(which>>8)%3 + 1 {
			table.Columns = append(table.Columns, row.Column{Name: "c", Type: types[(int(which&255)+i)%len(types)]})
		}
		x := row.NewBuilder(&row.Pool{})
		if err := newRowParser(table).row(x, msg); err != nil {
			return
		}
		b := x.Finish(position.Position{}, 0)
		words, flags := b.Cells(&b.Sections()[0], 0)
		values := make([]value, len(table.Columns))
		if err := splitRow(msg, values); err != nil {
			t.Fatal("taken, but it is no row:", err)
		}
		for i := range values {
			if values[i].null != (flags[i] == row.Null) {
				t.Fatal("null")
			}
			if table.Columns[i].Type.Kind == row.Date && flags[i] == row.Value {
				if y, m, d := row.UnpackDate(words[i]); y > 9999 || m > 12 || d > 31 {
					t.Fatal("date", y, m, d)
				}
			}
		}
	})
}

func FuzzParseType(f *testing.F) {
	for _, c := range valueCases {
		f.Add(c.typ)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parseType(text, "utf8mb4", "utf8mb4_bin")
		if err != nil {
			return
		}
		again, err := parseType(p.Native, "utf8mb4", "utf8mb4_bin")
		if err != nil || !reflect.DeepEqual(p, again) {
			t.Fatalf("%q is %+v, its own text %+v, %v", text, p, again, err)
		}
	})
}

func FuzzParseRange(f *testing.F) {
	full := keyRange{index: "PRIMARY", columns: []string{"a", "b`"}, lower: []literal{{litNumber, "", "-1.5"}}, upper: []literal{{litText, "latin1", "x'\\"}, {litPlain, "", "2020-01-01 00:00:00"}}}
	f.Add(full.bytes())
	f.Add((&keyRange{}).bytes())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRange(b)
		if err != nil {
			return
		}
		again, err := parseRange(r.bytes())
		if err != nil || !reflect.DeepEqual(r, again) {
			t.Fatalf("%+v is read back as %+v, %v", r, again, err)
		}
		for i := range r.columns {
			r.columns[i] = "c" // their names are quoted, and must be the table's
		}
		sql := strings.ReplaceAll(r.where(), "`c`", "")
		if strings.ContainsAny(sql, ";\"\\#/*`") || strings.Contains(sql, "--") {
			t.Fatalf("the condition %q has more than values", sql)
		}
	})
}

func TestParseRange_refuses_what_would_change_the_query(t *testing.T) {
	for _, l := range []literal{
		{litNumber, "", "1 OR 1=1"}, {litNumber, "", ""}, {litNumber, "", "1\n"}, {litNumber, "", "1e5"}, {litPlain, "", "'; DROP TABLE t; --"}, {litPlain, "", ""},
		{litText, "utf8mb4'", "x"}, {litText, "", "x"}, {'z', "", "1"},
	} {
		r := keyRange{columns: []string{"a"}, lower: []literal{l}}
		if _, err := parseRange(r.bytes()); err == nil {
			t.Errorf("%+v was taken", l)
		}
	}
	for _, b := range [][]byte{nil, {2, 0, 0, 0, 0}, {1}, {1, 0, 0, 0, 0, 9}, {1, 0, 0, 1, 'n', 0, 1, '1', 0}} {
		if r, err := parseRange(b); err == nil {
			t.Errorf("%v was taken as %+v", b, r)
		}
	}
}

// A plan that was kept must stay readable: this is its form, byte for byte.
func TestRange_form_is_durable(t *testing.T) {
	r := keyRange{index: "PRIMARY", columns: []string{"a", "b"}, lower: []literal{{litNumber, "", "-7"}, {litText, "latin1", "\xe9"}}, upper: []literal{{litPlain, "", "2020-01-01"}}}
	const golden = "\x01\x07PRIMARY\x02\x01a\x01b\x02n\x00\x02-7t\x06latin1\x01\xe9\x01p\x00\x0a2020-01-01"
	if got := string(r.bytes()); got != golden {
		t.Errorf("written as %q", got)
	}
	if back, err := parseRange([]byte(golden)); err != nil || !reflect.DeepEqual(back, r) {
		t.Errorf("read as %+v, %v", back, err)
	}
	if got, want := r.where(), "`a` >= -7 AND (`a` > -7 OR (`a` = -7 AND `b` >= _latin1 x'e9')) AND `a` < '2020-01-01'"; got != want {
		t.Errorf("the condition is %s", got)
	}
}
