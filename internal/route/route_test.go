package route

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/position"
	"godwit/internal/row"
)

// rules reads rules as a job file has them.
func rules(t testing.TB, text string) []Rule {
	t.Helper()
	v, ps := option.Parse("job.yaml", []byte("rules:\n"+text), []option.Field{{Name: "rules", Kind: option.Objects, Fields: Fields()}}, option.Resolver{})
	if len(ps) > 0 {
		t.Fatal(ps.Err())
	}
	return Rules(v.Objects("rules"))
}

var orders = &row.Table{Name: row.Name{Space: "shop", Table: "orders"}, Number: 3, Version: 7, Key: []int{0}, Columns: []row.Column{
	{Name: "id", Type: row.Type{Kind: row.Int, Size: 8, Native: "bigint"}},
	{Name: "amount", Type: row.Type{Kind: row.Int, Size: 4, Native: "int"}, Nullable: true},
	{Name: "note", Type: row.Type{Kind: row.Text, Native: "varchar(9)"}},
}}

func keyless(t *row.Table) *row.Table {
	c := *t
	c.Key = nil
	return &c
}

// shape is a table as text.
func shape(t *row.Table) string {
	if t == nil {
		return "nothing"
	}
	s := t.Name.String() + "("
	for i, c := range t.Columns {
		key, null := "", ""
		if slices.Contains(t.Key, i) {
			key = "*"
		}
		if c.Nullable {
			null = "?"
		}
		s += fmt.Sprintf("%s%s %s%s,", key, c.Name, c.Type.Native, null)
	}
	return strings.TrimSuffix(s, ",") + ")"
}

func TestTable(t *testing.T) {
	for text, want := range map[string]string{
		`  - {tables: ["shop.*"], rename: "sales.{table}_{database}"}`: "sales.orders_shop(*id bigint,amount int?,note varchar(9))",
		`  - {rename: "x_{table}"}`:                                    "shop.x_orders(*id bigint,amount int?,note varchar(9))",
		`  - {tables: ["crm.*"], omit: true}`:                          "shop.orders(*id bigint,amount int?,note varchar(9))",
		`  - {tables: ["*.*", "!crm.*"], omit: true}`:                  "nothing",
		`  - {columns: ["*", "!n*"]}`:                                  "shop.orders(*id bigint,amount int?)",
		`  - {columns: [note, id]}`:                                    "shop.orders(*id bigint,note varchar(9))",
		`  - {rename_columns: {id: order_id, note: id}}`:               "shop.orders(*order_id bigint,amount int?,id varchar(9))",
		`  - {set: {note: "upper(note)", double: "amount * 2"}}`:       "shop.orders(*id bigint,amount int?,note longtext,double bigint?)",
		`  - {where: "amount > 1"}`:                                    "shop.orders(*id bigint,amount int?,note varchar(9))",
		`  - {set: {amount: note, note: "text(amount)"}}`:              "shop.orders(*id bigint,amount varchar(9),note longtext?)",
		`  - {set: {id: "id + 1000"}, key: [id]}`:                      "shop.orders(*id decimal(20,0),amount int?,note varchar(9))",
		`  - {set: {shard: "'a'"}, key: [shard, id]}`:                  "shop.orders(*id bigint,amount int?,note varchar(9),*shard longtext)",
		"  - {set: {a: \"amount ?? 0\"}}\n  - {set: {b: \"a + 1\"}, columns: [id, b]}\n  - {rename: \"y\"}\n  - {rename: \"z.{table}\"}": "z.y(*id bigint,b bigint)",
	} {
		got, err := New(rules(t, text)).Table(orders)
		if err != nil || shape(got) != want {
			t.Errorf("%s gives %s, %v; expected %s", text, shape(got), err, want)
		}
		if got != nil && (got.Number != 3 || got.Version != 7) {
			t.Errorf("number and version became %d and %d", got.Number, got.Version)
		}
	}
	if got, err := (*Router)(nil).Table(orders); got != orders || err != nil {
		t.Error("no rules change something")
	}
}

func TestTable_when_rules_do_not_fit(t *testing.T) {
	for text, want := range map[string]string{
		`  - {where: "price > 1"}`:                 "table shop.orders: rules: where: no column is called price; there are id, amount, note (at 1:1",
		`  - {set: {x: "note > 1"}}`:               "rules: set.x: text and a number are not compared",
		`  - {columns: [id, nope]}`:                "no column is called nope",
		`  - {columns: ["x*"]}`:                    "no column is left",
		`  - {columns: ["*", "!id"]}`:              "column id of its key is left out or changed",
		`  - {set: {id: "id + 1"}}`:                "declare what tells the target's rows apart: key",
		`  - {columns: ["*", "!id"], key: [note]}`: "follows from note, which is not in the table's key",
		`  - {key: [nope]}`:                        "key: no column is called nope",
		`  - {set: {k: "id / 2"}, key: [k]}`:       "column k can be null",
		`  - {rename_columns: {nope: x}}`:          "no column is called nope",
		`  - {rename_columns: {id: note}}`:         "two columns would be called note",
	} {
		_, err := New(rules(t, text)).Table(orders)
		f := fault.Of(err)
		if err == nil || f.Code != fault.JobValue || !strings.Contains(f.What, want) {
			t.Errorf("%s: %v, expected %s", text, err, want)
		}
	}
	other := *orders
	other.Name.Table = "archive"
	r := New(rules(t, `  - {rename: "all.all"}`))
	if _, err := r.Tables([]*row.Table{orders, &other}); err == nil || !strings.Contains(err.Error(), "shop.orders and shop.archive one name, all.all") {
		t.Error(err)
	}
	next := *orders // a later version of the same table
	if _, err := r.Table(&next); err != nil {
		t.Error(err)
	}
}

func TestFields_when_wrong(t *testing.T) {
	for text, want := range map[string]string{
		`{where: "a >"}`:            "unexpected token",
		`{set: {a: "b +"}}`:         "unexpected token",
		`{tables: [shop]}`:          "is not of the form database.table",
		`{rename: "{schema}.x"}`:    "only {database} and {table} may stand there",
		`{rename: "a."}`:            "expected database.table",
		`{columns: ["!"]}`:          "expected the name of a column",
		`{rename_columns: {a: ""}}`: "expected a name",
		`{were: "a"}`:               "no such key",
	} {
		_, ps := option.Parse("job.yaml", []byte("rules:\n  - "+text), []option.Field{{Name: "rules", Kind: option.Objects, Fields: Fields()}}, option.Resolver{})
		if len(ps) != 1 || !strings.Contains(ps[0].What, want) {
			t.Errorf("%s: %v", text, ps)
		}
	}
}

// image is a row of orders; amount below 0 is null.
type image struct {
	id, amount int64
	note       string
}

func put(x *row.Builder, t *row.Table, op row.Op, r image) {
	x.Row(t, op)
	x.Int(r.id)
	if r.amount < 0 {
		x.Null()
	} else {
		x.Int(r.amount)
	}
	x.String(r.note)
}

// lines are the rows of a batch as text, each with its place.
func lines(b *row.Batch) (out []string) {
	for _, s := range b.Sections() {
		for i := s.Row; i < s.Row+s.Rows; i++ {
			words, flags := b.Cells(&s, i)
			line := fmt.Sprintf("%d %c", row.Counter(b.Order(i)), " riudbt"[b.Op(i)])
			for k := range words {
				switch c := s.Table.Columns[k]; {
				case flags[k] == row.Null:
					line += " null"
				case flags[k] == row.Absent:
					line += " -"
				case c.Type.Kind.InBytes():
					line += " " + string(b.Data(words[k]))
				default:
					line += fmt.Sprint(" ", int64(words[k]))
				}
			}
			out = append(out, line)
		}
	}
	return out
}

func at(n uint64) position.Position { return position.Note(fmt.Sprint(n)) }

func TestBatch(t *testing.T) {
	for _, c := range []struct {
		what, rules string
		table       *row.Table
		want        []string
	}{
		{"everything", `  - {rename: "x.y"}`, orders, []string{"1 r 1 5 a", "2 i 2 50 b", "3 b 2 50 b", "4 u 3 60 b", "5 u 1 70 a", "6 u 3 1 c", "7 d 3 1 c", "8 b 1 70 a", "9 u 4 2 a", "10 t - - -", "11 i 5 null e"}},
		{"a filter", `  - {where: "amount > 10"}`, orders, []string{"2 i 2 50 b", "3 b 2 50 b", "4 u 3 60 b", "5 u 1 70 a", "6 d 3 - -", "8 d 1 70 a", "10 t - - -"}},
		{"a filter of a table without a key", `  - {where: "amount > 10"}`, keyless(orders), []string{"2 i 2 50 b", "3 b 2 50 b", "4 u 3 60 b", "5 u 1 70 a", "8 d 1 70 a", "10 t - - -"}},
		{"null is not known", `  - {where: "amount < 3"}`, orders, []string{"5 d 1 - -", "6 u 3 1 c", "7 d 3 1 c", "9 i 4 2 a", "10 t - - -"}},
		{"columns and values", "  - {set: {note: \"upper(note)\", d: \"amount * 2\"}, columns: [id, d, note]}", orders,
			[]string{"1 r 1 A 10", "2 i 2 B 100", "3 b 2 B 100", "4 u 3 B 120", "5 u 1 A 140", "6 u 3 C 2", "7 d 3 C 2", "8 b 1 A 140", "9 u 4 A 4", "10 t - - -", "11 i 5 E null"}},
		{"nothing", `  - {omit: true}`, orders, nil},
	} {
		x := row.NewBuilder(&row.Pool{})
		x.At("p", 1, row.Txn{ID: "a", Time: 9})
		put(x, c.table, row.Read, image{1, 5, "a"})
		put(x, c.table, row.Insert, image{2, 50, "b"})
		put(x, c.table, row.Before, image{2, 50, "b"})
		put(x, c.table, row.Update, image{3, 60, "b"})
		put(x, c.table, row.Update, image{1, 70, "a"})
		x.At("p", 6, row.Txn{ID: "b", Time: 10})
		put(x, c.table, row.Update, image{3, 1, "c"})
		put(x, c.table, row.Delete, image{3, 1, "c"})
		put(x, c.table, row.Before, image{1, 70, "a"})
		put(x, c.table, row.Update, image{4, 2, "a"})
		x.Row(c.table, row.Truncate)
		x.Absent()
		x.Absent()
		x.Absent()
		put(x, c.table, row.Insert, image{5, -1, "e"})
		b := x.Finish(at(12), 10).In(3)
		s := New(rules(t, c.rules)).Open()
		got, err := s.Batch(b, nil)
		if err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		if fmt.Sprint(lines(got)) != fmt.Sprint(c.want) {
			t.Errorf("%s:\n%q, expected\n%q", c.what, lines(got), c.want)
		}
		if got.End != at(12) || got.EndTime != 10 || got.Incarnation != 3 {
			t.Errorf("%s: the place became %v, %d, %d", c.what, got.End, got.EndTime, got.Incarnation)
		}
		if sec := got.Sections(); len(sec) > 0 {
			for span := range got.Spans(&sec[0]) {
				if want := map[bool]string{true: "a", false: "b"}[span.Base < 6]; span.Txn.ID != want || span.Rows == 0 {
					t.Errorf("%s: row %d is of transaction %q", c.what, span.Base, span.Txn.ID)
				}
			}
		}
		got.Release()
		b.Release()
	}
}

// What the target has is what the filter holds for, whatever happens to rows.
func TestBatch_when_rows_change_at_random(t *testing.T) {
	router := New(rules(t, `  - {where: "amount > 10", set: {note: "note + '!'"}}`))
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		table := orders
		if seed%2 == 1 {
			table = keyless(orders)
		}
		s := router.Open()
		source, target := map[image]int{}, map[image]int{}
		counter := uint64(1)
		for range 20 {
			x := row.NewBuilder(&row.Pool{})
			x.At("p", counter, row.Txn{})
			for range 1 + r.IntN(8) {
				happen(x, table, r, source)
			}
			b := x.Finish(at(counter), 0)
			counter += uint64(b.Rows())
			got, err := s.Batch(b, nil)
			if err != nil {
				t.Fatal(err)
			}
			fold(target, got)
			got.Release()
			b.Release()
			want := map[image]int{}
			for k, n := range source {
				if k.amount > 10 {
					k.note += "!"
					want[k] += n
				}
			}
			if fmt.Sprint(target) != fmt.Sprint(want) {
				t.Fatalf("seed %d: the target has\n%v, expected\n%v", seed, target, want)
			}
		}
	}
}

// happen makes one change of the source and logs it.
func happen(x *row.Builder, t *row.Table, r *rand.Rand, source map[image]int) {
	var all []image
	for k := range source {
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b image) int { return int(a.id*1000 + a.amount - b.id*1000 - b.amount) })
	free := func(id int64) bool {
		return len(t.Key) == 0 || !slices.ContainsFunc(all, func(k image) bool { return k.id == id })
	}
	next := image{int64(r.IntN(12)), int64(r.IntN(20)) - 1, "n"}
	if len(all) == 0 || r.IntN(3) == 0 {
		if free(next.id) {
			put(x, t, row.Insert, next)
			source[next]++
		}
		return
	}
	old := all[r.IntN(len(all))]
	remove := func() {
		if source[old]--; source[old] == 0 {
			delete(source, old)
		}
	}
	switch {
	case r.IntN(4) == 0:
		put(x, t, row.Delete, old)
		remove()
		return
	case r.IntN(2) == 0 || !free(next.id):
		next.id = old.id
	}
	if len(t.Key) == 0 || next.id != old.id {
		put(x, t, row.Before, old)
	}
	put(x, t, row.Update, next)
	remove()
	source[next]++
}

// fold is what a target does with a batch.
func fold(target map[image]int, b *row.Batch) {
	for _, s := range b.Sections() {
		for i := s.Row; i < s.Row+s.Rows; i++ {
			words, flags := b.Cells(&s, i)
			k := image{id: int64(words[0]), amount: int64(words[1])}
			if flags[1] == row.Null {
				k.amount = -1
			}
			if flags[2] == row.Value {
				k.note = string(b.Data(words[2]))
			}
			op := b.Op(i)
			if len(s.Table.Key) > 0 {
				for o := range target {
					if o.id == k.id {
						delete(target, o)
					}
				}
			} else if op == row.Delete || op == row.Before {
				if target[k]--; target[k] == 0 {
					delete(target, k)
				}
			}
			if op != row.Delete && op != row.Before {
				target[k]++
			}
		}
	}
}

// part builds an update of which the log has only the key and the amount.
func partly(x *row.Builder, op row.Op) *row.Batch {
	x.At("p", 1, row.Txn{})
	x.Row(orders, op)
	x.Int(1)
	x.Int(50)
	x.Absent()
	put(x, orders, row.Insert, image{2, 60, "b"})
	return x.Finish(at(3), 0)
}

func TestBatch_when_the_log_has_a_part_of_a_row(t *testing.T) {
	x := row.NewBuilder(&row.Pool{})
	for _, c := range []struct {
		rules string
		op    row.Op
		want  string
	}{
		{`  - {rename: "x.y"}`, row.Update, "[1 u 1 50 - 2 i 2 60 b]"},
		{`  - {set: {note: "upper(note)"}}`, row.Update, "[1 u 1 50 - 2 i 2 60 B]"},
		{`  - {set: {note: "concat(note, id)"}}`, row.Update, "ROW_REFUSED"},
		{`  - {set: {note: "concat(note, id)"}}`, row.Delete, "[1 d 1 50 - 2 i 2 60 b2]"},
		{`  - {where: "amount > 10"}`, row.Update, "ROW_REFUSED"},
		{`  - {where: "amount > 10", columns: [id, amount]}`, row.Update, "[1 u 1 50 2 i 2 60]"},
		{`  - {where: "amount > 99"}`, row.Update, "[1 d 1 - -]"},
		{`  - {where: "note == 'b'"}`, row.Update, "ROW_REFUSED"},
		{`  - {where: "note == 'b'"}`, row.Delete, "[1 d 1 - - 2 i 2 60 b]"},
	} {
		b := partly(x, c.op)
		got, err := New(rules(t, c.rules)).Open().Batch(b, nil)
		if err != nil {
			if string(fault.Of(err).Code) != c.want || fault.Of(err).Hint == "" {
				t.Errorf("%s: %v", c.rules, err)
			}
			continue
		}
		if fmt.Sprint(lines(got)) != c.want {
			t.Errorf("%s, %c: %v, expected %s", c.rules, " riudbt"[c.op], lines(got), c.want)
		}
	}
}

func TestBatch_when_rows_are_refused(t *testing.T) {
	x := row.NewBuilder(&row.Pool{})
	x.At("p", 1, row.Txn{})
	for i, note := range []string{"1", "x", "2", "y", "z", "3"} {
		put(x, orders, row.Insert, image{int64(i), 1, note})
	}
	b := x.Finish(at(7), 0)
	var apart []string
	got, err := New(rules(t, `  - {set: {note: "int(note) * 2"}}`)).Open().Batch(b, func(s *row.Section, i int, reason *fault.Error) error {
		apart = append(apart, fmt.Sprint(s.Table.Name, reason.Code))
		return nil
	})
	if err != nil || fmt.Sprint(lines(got)) != "[1 i 0 1 2 3 i 2 1 4 6 i 5 1 6]" || len(apart) != 3 {
		t.Errorf("%q, %q, %v", lines(got), apart, err)
	}
}

func TestBatch_when_nothing_changes(t *testing.T) {
	x := row.NewBuilder(&row.Pool{})
	x.At("p", 1, row.Txn{})
	put(x, orders, row.Insert, image{1, 1, "a"})
	b := x.Finish(at(2), 0)
	for text, shares := range map[string]bool{`  - {tables: ["crm.*"], omit: true}`: true, `  - {rename: "x.{table}"}`: false} {
		s := New(rules(t, text)).Open()
		got, err := s.Batch(b, nil)
		if err != nil || (got == b) != shares || &got.Data(1)[0] != &b.Data(1)[0] {
			t.Errorf("%s: %v %v", text, got == b, err)
		}
		if n := testing.AllocsPerRun(50, func() {
			r, _ := s.Batch(b, nil)
			r.Release()
		}); n > 2 {
			t.Errorf("%s: %v allocations", text, n)
		}
	}
}

func TestChange(t *testing.T) {
	wider := *orders
	wider.Columns = append(slices.Clone(orders.Columns), row.Column{Name: "secret", Type: row.Type{Kind: row.Text, Native: "text"}})
	renamed := *orders
	renamed.Columns = slices.Clone(orders.Columns)
	renamed.Columns[1].Name = "total"
	moved := *orders
	moved.Name.Table = "hidden"
	r := New(rules(t, "  - {tables: [\"*.hidden\"], omit: true}\n  - {rename: \"x.{table}\", columns: [\"*\", \"!secret\"], rename_columns: {id: key}}"))
	for _, c := range []struct {
		in   row.SchemaChange
		want string
	}{
		{row.SchemaChange{Kind: row.Create, After: &wider}, "1 nothing x.orders(*key bigint,amount int?,note varchar(9)) map[]"},
		{row.SchemaChange{Kind: row.Drop, Before: &wider}, "3 x.orders(*key bigint,amount int?,note varchar(9)) nothing map[]"},
		{row.SchemaChange{Kind: row.Alter, Before: orders, After: &renamed, Renamed: map[string]string{"total": "amount"}},
			"2 x.orders(*key bigint,amount int?,note varchar(9)) x.orders(*key bigint,total int?,note varchar(9)) map[total:amount]"},
		{row.SchemaChange{Kind: row.Alter, Before: orders, After: &moved}, ""},
		{row.SchemaChange{Kind: row.Alter, Before: &moved, After: orders}, "1 nothing x.orders(*key bigint,amount int?,note varchar(9)) map[]"},
		{row.SchemaChange{Kind: row.Create, After: &moved}, ""},
		{row.SchemaChange{Kind: row.Drop, Before: &moved}, ""},
	} {
		got, err := r.Open().Change(&c.in)
		if err != nil {
			t.Fatal(err)
		}
		s := ""
		if got != nil {
			s = fmt.Sprint(got.Kind, " ", shape(got.Before), " ", shape(got.After), " ", got.Renamed)
		}
		if s != c.want {
			t.Errorf("%v gives %s, expected %s", c.in.Kind, s, c.want)
		}
	}
}
