package row

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"godwit/internal/position"
)

func table(name string, columns int) *Table {
	t := &Table{Name: Name{"db", name}}
	for i := range columns {
		t.Columns = append(t.Columns, Column{Name: fmt.Sprint("c", i), Type: Type{Kind: Text}})
	}
	return t
}

func order(prefix string, n uint64) string {
	return string(binary.BigEndian.AppendUint64([]byte(prefix), n))
}

// flat is a row as text, to compare batches with what was put in.
type flat struct {
	table, order, txn string
	op                Op
	cells             []string
}

func flatten(b *Batch) (out []flat) {
	for _, s := range b.Sections() {
		for span := range b.Spans(&s) {
			for i := span.Row; i < span.Row+span.Rows; i++ {
				f := flat{table: s.Table.Name.Table, order: order(span.Prefix, span.Base+uint64(i-span.Row)), txn: span.Txn.ID, op: b.Op(i)}
				words, flags := b.Cells(&s, i)
				for c := range words {
					switch flags[c] {
					case Null:
						f.cells = append(f.cells, "null")
					case Absent:
						f.cells = append(f.cells, "absent")
					default:
						f.cells = append(f.cells, string(b.Data(words[c])))
					}
				}
				out = append(out, f)
			}
		}
	}
	return out
}

// build makes a batch of random rows and what it should hold.
func build(r *rand.Rand, x *Builder) (*Batch, []flat) {
	tables := []*Table{table("a", 1), table("b", 3), table("c", 0)}
	var want []flat
	n := uint64(0)
	for txn := range 1 + r.IntN(6) {
		prefix := fmt.Sprintf("p%02d", txn)
		n = uint64(r.IntN(5))
		x.At(prefix, n, Txn{ID: fmt.Sprint("t", txn)})
		for range 1 + r.IntN(4) {
			t := tables[r.IntN(len(tables))]
			f := flat{t.Name.Table, order(prefix, n), fmt.Sprint("t", txn), Op(1 + r.IntN(4)), nil}
			x.Row(t, f.op)
			for range t.Columns {
				switch v := fmt.Sprint("v", r.IntN(1000)); r.IntN(4) {
				case 0:
					x.Null()
					f.cells = append(f.cells, "null")
				case 1:
					x.Absent()
					f.cells = append(f.cells, "absent")
				default:
					x.String(v)
					f.cells = append(f.cells, v)
				}
			}
			want = append(want, f)
			n++
		}
	}
	return x.Finish(position.New("l", order("p99", 0), ""), 1), want
}

func equal(a, b []flat) bool {
	return slices.EqualFunc(a, b, func(x, y flat) bool { return fmt.Sprint(x) == fmt.Sprint(y) })
}

func TestBatch_when_cut_anywhere(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		x := NewBuilder(&Pool{})
		b, want := build(r, x)
		if got := flatten(b); !equal(got, want) {
			t.Fatalf("seed %d: built\n%v\nwant\n%v", seed, got, want)
		}
		for cut, f := range want {
			rest, err := b.From(position.New("l", f.order, ""))
			if err != nil {
				t.Fatal(err)
			}
			if got := flatten(rest); !equal(got, want[cut+1:]) || rest.Rows() != len(got) {
				t.Fatalf("seed %d: after row %d\n%v\nwant\n%v", seed, cut, got, want[cut+1:])
			}
			only := b.After(func(t *Table) string {
				if t.Name.Table == "b" {
					return f.order
				}
				return ""
			})
			kept := slices.DeleteFunc(slices.Clone(want), func(w flat) bool { return w.table == "b" && w.order <= f.order })
			if got := flatten(only); !equal(got, kept) {
				t.Fatalf("seed %d: table b after row %d\n%v\nwant\n%v", seed, cut, got, kept)
			}
		}
		rest, err := b.From(b.End)
		if err != nil || rest.Rows() != 0 || rest.End != b.End {
			t.Fatalf("seed %d: after its end: %d rows, %v", seed, rest.Rows(), err)
		}
	}
}

func TestBatch_when_rows_are_selected(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 2))
		b, want := build(r, NewBuilder(&Pool{}))
		if b.Select(func(*Section, int) bool { return true }) != b {
			t.Fatal("a batch of which all is kept is another")
		}
		b, err := b.From(position.New("l", want[len(want)/3].order, "")) // a view of a view
		if err != nil {
			t.Fatal(err)
		}
		want = want[len(want)/3+1:]
		var kept []flat
		n := 0
		some := b.Select(func(s *Section, _ int) bool {
			if s.Table.Name.Table != want[n].table {
				t.Fatal("asked for a row of another table")
			}
			keep := r.IntN(3) > 0
			if keep {
				kept = append(kept, want[n])
			}
			n++
			return keep
		})
		if got := flatten(some); !equal(got, kept) || some.Rows() != len(kept) || n != len(want) || some.End != b.End {
			t.Fatalf("seed %d: selected\n%v\nwant\n%v", seed, got, kept)
		}
	}
}

func TestBatch_when_of_another_log(t *testing.T) {
	b := Mark(position.New("l", "1", ""), 0)
	if _, err := b.From(position.New("m", "1", "")); err == nil {
		t.Fatal("places of two logs were compared")
	}
}

func TestBatch_when_memory_is_used_again(t *testing.T) {
	freed := 0
	pool := &Pool{Freed: func(n int) { freed += n }}
	x := NewBuilder(pool)
	r := rand.New(rand.NewPCG(1, 1))
	var held []*Batch
	var wants [][]flat
	taken := 0
	for range 200 {
		b, want := build(r, x)
		taken += b.Bytes()
		held, wants = append(held, b), append(wants, want)
		if k := r.IntN(len(held)); r.IntN(2) == 0 {
			view := held[k].In(3)
			view.Retain()
			held[k].Release()
			if !equal(flatten(view), wants[k]) {
				t.Fatal("a held batch changed")
			}
			view.Release()
			held, wants = slices.Delete(held, k, k+1), slices.Delete(wants, k, k+1)
		}
		for i := range held {
			if !equal(flatten(held[i]), wants[i]) {
				t.Fatal("a held batch changed when another was built")
			}
		}
	}
	for _, b := range held {
		b.Release()
	}
	if freed != taken {
		t.Fatalf("%d bytes given back of %d", freed, taken)
	}
	defer func() {
		if recover() == nil {
			t.Fatal("one release too many went unnoticed")
		}
	}()
	held[0].Release()
}

func TestOrders_when_generations_share_a_place(t *testing.T) {
	p := position.New("l", order("prefix", 0), "")
	before := order("prefix", 0)
	var last string
	for g := uint32(1); g <= CountedGenerations; g += 511 {
		b := TruncateAt(&Pool{}, table("a", 1), p, g)
		o := b.Order(0)
		if o <= last || o <= before {
			t.Fatalf("generation %d begins before the last row of the one before", g)
		}
		for _, c := range []uint32{0, 1, MaxChunk} {
			for _, n := range []uint64{1, 2, MaxOrdinal} {
				next := order("prefix", ChunkCounter(g, c, n))
				if next <= o {
					t.Fatalf("generation %d chunk %d row %d sorts too early", g, c, n)
				}
				o = next
			}
		}
		last = o
		if text := string(AppendPos(nil, 0, o)); text > PlacePos(0, p) {
			t.Fatal("a row of a chunk is not part of the state at its mark")
		}
	}
	mended := order("prefix", RepairCounter(1))
	if mended <= last || order("prefix", RepairCounter(2)) <= mended || mended <= order("prefix", ChunkCounter(CountedGenerations+9, MaxChunk, MaxOrdinal)) {
		t.Fatal("a repaired row sorts before one of a snapshot")
	}
	if string(AppendPos(nil, 0, order("prefix", RepairCounter(MaxRepair)))) > PlacePos(0, p) {
		t.Fatal("a repaired row is not part of the state at its place")
	}
	if next := string(AppendPos(nil, 0, order("prefiy", 0))); next <= PlacePos(0, p) {
		t.Fatal("a later row is part of the state")
	}
	if string(AppendPos(nil, 1, order("a", 0))) <= string(AppendPos(nil, 0, order("z", 0))) {
		t.Fatal("a later incarnation sorts first")
	}
}

func TestPacked_dates(t *testing.T) {
	for _, d := range [][4]int{{0, 0, 0, 0}, {9999, 12, 31, 86399999999}, {2024, 0, 0, 1}, {1, 1, 1, 0}} {
		w := PackDateTime(d[0], d[1], d[2], int64(d[3]))
		if y, m, day, us := UnpackDateTime(w); y != d[0] || m != d[1] || day != d[2] || us != int64(d[3]) {
			t.Errorf("%v came back as %d %d %d %d", d, y, m, day, us)
		}
	}
}
