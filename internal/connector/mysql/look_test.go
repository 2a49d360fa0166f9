package mysql

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"godwit/internal/position"
	"godwit/internal/row"
)

// keysAmong reads a table and returns every nth of its rows as keys, and as texts.
func keysAmong(t *testing.T, s *source, table *row.Table, nth int) (*row.Batch, []string) {
	t.Helper()
	x := row.NewBuilder(&row.Pool{})
	var want []string
	n := 0
	err := s.Read(within(t), wholeOf(t, s, table), position0, func(b *row.Batch) error {
		defer b.Release()
		for k := range b.Sections() {
			sec := &b.Sections()[k]
			for i := range sec.Rows {
				if n++; n%nth != 0 {
					continue
				}
				words, _ := b.Cells(sec, sec.Row+i)
				want = append(want, cellsText(b, sec, sec.Row+i))
				x.Row(table, row.Read)
				for c := range words {
					switch {
					case !slices.Contains(table.Key, c):
						x.Absent()
					case table.Columns[c].Type.Kind.InBytes():
						x.Bytes(b.Data(words[c]))
					default:
						x.Word(words[c])
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	return x.Finish(position.Position{}, 0), want
}

func cellsText(b *row.Batch, s *row.Section, i int) string {
	words, flags := b.Cells(s, i)
	var cells []string
	for c := range words {
		cells = append(cells, printCell(b, s.Table.Columns[c].Type, words[c], flags[c]))
	}
	return strings.Join(cells, "|")
}

func TestLook_every_kind_of_key(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	cases := []struct{ name, key, value string }{
		{"signed", "k bigint primary key", "cast(seq as signed) * 7 - 1000"},
		{"unsigned", "k bigint unsigned primary key", "18446744073709551615 - seq * 3"},
		{"deci", "k decimal(30,4) primary key", "(cast(seq as signed) - 200) * 1.0007"},
		{"string", "k varchar(64) collate utf8mb4_unicode_ci primary key", "concat('user-', sha1(seq), '''\\\\')"},
		{"latin", "k char(40) character set latin1 primary key", "concat('é', seq)"},
		{"cyrillic", "k varchar(40) primary key", "concat('ключ', seq)"},
		{"wide", "k varchar(40) character set utf16 primary key", "concat('é', seq)"},
		{"bin", "k binary(16) primary key", "unhex(md5(seq))"},
		{"varbin", "k varbinary(40) primary key", "concat('x', seq)"},
		{"day", "k date, i int, primary key (k, i)", "date '2020-01-01' + interval (seq % 900) day, seq"},
		{"moment", "k datetime(3) primary key", "timestamp '2020-01-01 00:00:00' + interval seq second"},
		{"stamp", "k timestamp(6) primary key", "timestamp '2020-01-01 00:00:00' + interval seq second"},
		{"clockt", "k time(6) primary key", "sec_to_time(cast(seq as signed) - 200) + interval seq microsecond"},
		{"uid", "k uuid primary key", "uuid()"},
		{"enumled", "e enum('z','a''b') , k int, primary key (e, k)", "if(seq % 2, 'z', 'a''b'), seq"},
		{"sets", "s set('z','a') , k int, primary key (s, k)", "if(seq % 2, 'z,a', ''), seq"},
		{"bits", "b bit(40) primary key", "seq * 1000"},
		{"years", "y year, k int, primary key (y, k)", "if(seq % 2, 0, 2000 + seq % 50), seq"},
		{"nopad", "k varchar(40) collate utf8mb4_nopad_bin primary key", "concat(space(seq % 3), seq, space(seq % 2))"},
		{"zerodate", "k date, i int, primary key (k, i)", "if(seq % 2, '0000-00-00', date '2020-01-01' + interval (seq % 900) day), seq"},
		{"floating", "k double primary key", "seq + 0.25"},
	}
	for _, c := range cases {
		srv.Exec(t, fmt.Sprintf("USE %s; CREATE TABLE %[1]s.%s (%s, pad varchar(100)); INSERT INTO %[1]s.%[2]s SELECT %[4]s, repeat('x', 10) FROM seq_1_to_700", db, c.name, c.key, c.value))
	}
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, db+".*")
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			table := tableNamed(t, tables, c.name)
			nth := 3 // 233 keys: several queries
			if c.name == "floating" {
				nth = 1
			}
			keys, want := keysAmong(t, s, table, nth)
			var got []string
			marks := 0
			err := s.Look(within(t), table, keys, func(b *row.Batch) error {
				defer b.Release()
				if b.Rows() == 0 && !b.End.IsZero() {
					marks++
				}
				for k := range b.Sections() {
					sec := &b.Sections()[k]
					for i := range sec.Rows {
						got = append(got, cellsText(b, sec, sec.Row+i))
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(got)
			compareRows(t, got, want)
			if marks != 1 || len(want) == 0 {
				t.Errorf("%d marks, %d rows", marks, len(want))
			}
		})
	}
}

// All rows are looked at as they are now, whatever snapshot chunks are read in.
func TestLook_when_all_rows_are_wanted(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	srv.Exec(t, fmt.Sprintf("CREATE TABLE %[1]s.bag (n int); INSERT INTO %[1]s.bag VALUES (1), (1), (2)", db))
	s := sourceOf(t, srv, nil)
	table := tableNamed(t, discover(t, s, db+".*"), "bag")
	rows := 0
	var mark position.Position
	count := func(b *row.Batch) error {
		defer b.Release()
		if rows += b.Rows(); !b.End.IsZero() {
			mark = b.End
		}
		return nil
	}
	for n := 3; n < 5; n++ {
		before := mark
		if err := s.Read(within(t), wholeOf(t, s, table), position0, count); err != nil {
			t.Fatal(err)
		}
		rows = 0
		err := s.Look(within(t), table, nil, count)
		if order, other := mark.Compare(before); err != nil || rows != n || order <= 0 || other != nil {
			t.Errorf("%d rows at %v after %v, %v", rows, mark, before, err)
		}
		srv.Exec(t, fmt.Sprintf("INSERT INTO %s.bag VALUES (3)", db))
	}
}

// Keys with characters that their column cannot hold have no row, and those beside them do.
func TestLook_when_a_key_has_other_characters(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	for _, charset := range []string{"latin1", "utf8mb3", "utf8mb4"} {
		srv.Exec(t, fmt.Sprintf("CREATE TABLE %[1]s.%[2]s (k varchar(20) CHARACTER SET %[2]s, i int, PRIMARY KEY (k, i)); INSERT INTO %[1]s.%[2]s VALUES ('é', 1), ('b', 2), ('c', 3)", db, charset))
	}
	s := sourceOf(t, srv, nil)
	for _, table := range discover(t, s, db+".*") {
		x := row.NewBuilder(&row.Pool{})
		for i, k := range []string{"日本", "é", "😀", "c", "b"} {
			x.Row(table, row.Read)
			x.String(k)
			x.Int(int64([]int{9, 1, 9, 3, 9}[i]))
		}
		keys := x.Finish(position.Position{}, 0)
		rows := 0
		err := s.Look(within(t), table, keys, func(b *row.Batch) error {
			defer b.Release()
			rows += b.Rows()
			return nil
		})
		if err != nil || rows != 2 {
			t.Errorf("%s: %d rows, %v", table.Name, rows, err)
		}
	}
}
