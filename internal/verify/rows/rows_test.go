package rows

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"godwit/internal/row"
)

// eachTarget runs a test for targets that keep rows and history, of tables with a key and
// without one.
func eachTarget(t *testing.T, test func(t *testing.T, keyed, history bool)) {
	for _, history := range []bool{false, true} {
		for _, keyed := range []bool{true, false} {
			t.Run(fmt.Sprintf("history %v key %v", history, keyed), func(t *testing.T) { test(t, keyed, history) })
		}
	}
}

// disks are the room for a table as it is, and none.
func disks() [2]int64 { return [2]int64{0, 1} }

func filled(seed uint64, keyed, history bool) *world {
	w := newWorld(seed, keyed, history)
	for i := range 200 {
		w.start = append(w.start, lineOf(fmt.Sprintf("%c%03d", 'a'+i%26, i), fmt.Sprint("v", i), fmt.Sprint("w", i%7)))
	}
	return w
}

func TestVerify_when_nothing_differs(t *testing.T) {
	eachTarget(t, func(t *testing.T, keyed, history bool) {
		w := filled(1, keyed, history)
		r, found := w.verify(t)
		if !r.Whole() || r.Equal != 200 || len(found) > 0 {
			t.Fatalf("%+v %v", r, found)
		}
	})
}

// Nothing is wrong while source and target go on, however they are met.
func TestVerify_when_both_sides_move(t *testing.T) {
	eachTarget(t, func(t *testing.T, keyed, history bool) {
		for seed := range uint64(150) {
			w := filled(seed, keyed, history)
			w.busy, w.disk = true, disks()[seed%2]
			for range 10 {
				w.move()
			}
			w.first = len(w.log)
			for range 10 {
				w.move()
			}
			w.at = len(w.log)
			r, found := w.verify(t)
			if r.Missing+r.Extra+r.Different+r.Doubled > 0 {
				t.Fatalf("seed %d: %+v %v", seed, r, found)
			}
			if history && keyed && r.Unknown > 0 {
				t.Fatalf("seed %d: a history is certain at every place: %+v %v", seed, r, found)
			}
		}
	})
}

// A target that was waited for in vain, and then is read further than the source, is not
// wrong.
func TestVerify_when_the_target_goes_on_late(t *testing.T) {
	eachTarget(t, func(t *testing.T, keyed, history bool) {
		for seed := range uint64(20) {
			w := filled(seed, keyed, history)
			w.busy, w.late = true, true
			r, found := w.verify(t)
			if r.Missing+r.Extra+r.Different+r.Doubled > 0 {
				t.Fatalf("seed %d: %+v %v", seed, r, found)
			}
		}
	})
}

// What is wrong is found, alone among many rows and while others change.
func TestVerify_when_the_target_is_damaged(t *testing.T) {
	eachTarget(t, func(t *testing.T, keyed, history bool) {
		for name, damage := range damages() {
			for n := range 4 {
				busy := n%2 == 1
				w := filled(5, keyed, history)
				w.disk = disks()[n/2]
				w.start = append(w.start, line{new("empty"), nil, new("x")}, lineOf("zero", "-0", "Straße "), lineOf("zwei", "Zwei", "x"))
				w.busy = busy
				damage.do(w)
				r, found := w.verify(t)
				if got := kinds(found); got != damage.want(keyed) {
					t.Errorf("%s, busy %v: %s, not %s: %+v", name, busy, got, damage.want(keyed), r)
				}
			}
		}
	})
}

type damage struct {
	keyed, bag string // the findings there should be
	do         func(w *world)
}

func (d damage) want(keyed bool) string {
	if keyed {
		return d.keyed
	}
	return d.bag
}

// kinds are the findings in short, sorted; what hot keys do is left out.
func kinds(found []Finding) string {
	var out []string
	for _, f := range found {
		if len(f.Key) > 0 && strings.HasPrefix(f.Key[0].Value, `"hot`) {
			continue
		}
		s := string(f.Kind)
		for _, c := range f.Cells {
			s += " " + c.Column
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func damages() map[string]damage {
	at := func(rows *[]kept, key string) *kept {
		for i := range *rows {
			if k := &(*rows)[i]; k.op == row.Read && *k.cells[0] == key {
				return k
			}
		}
		panic(key)
	}
	set := func(key string, column int, value *string) func(*world) {
		return func(w *world) {
			w.damage = func(rows *[]kept) {
				k := at(rows, key)
				k.cells = slices.Clone(k.cells)
				k.cells[column] = value
			}
		}
	}
	changed := damage{keyed: "different b", bag: "extra, missing"}
	with := func(d damage, do func(*world)) damage { d.do = do; return d }
	drop := func(rows *[]kept, key string) {
		*rows = slices.DeleteFunc(*rows, func(k kept) bool { return k.op == row.Read && *k.cells[0] == key })
	}
	double := func(rows *[]kept, key string) { *rows = append(*rows, *at(rows, key)) }
	return map[string]damage{
		"a changed byte": with(changed, set("h007", 2, new("w1"))),
		"trailing space": with(changed, set("zero", 2, new("Straße"))),
		"case":           {"different a", "extra, missing", set("zwei", 1, new("zwei"))},
		"accent":         with(changed, set("zero", 2, new("Straſe "))),
		"NULL for ''":    {"different a", "extra, missing", set("empty", 1, new(""))},
		"0 for -0":       {"different a", "extra, missing", set("zero", 1, new("0"))},
		"no such value":  with(changed, set("h007", 2, new(foreign+"x"))),
		"no such key":    {"extra, missing", "extra, missing", set("h007", 0, new(foreign+"x"))},
		"a missing row":  {"missing", "missing", func(w *world) { w.damage = func(rows *[]kept) { drop(rows, "h007") } }},
		"a doubled row":  {"doubled", "doubled", func(w *world) { w.damage = func(rows *[]kept) { double(rows, "h007") } }},
		"an extra row": {"extra", "extra", func(w *world) {
			w.damage = func(rows *[]kept) {
				k := *at(rows, "h007")
				k.cells, k.counter = lineOf("h007x", "v", "w"), row.ChunkCounter(1, 0, 9999)
				*rows = append(*rows, k)
			}
		}},
		"doubled and missing": {"doubled, missing", "doubled, missing", func(w *world) {
			w.damage = func(rows *[]kept) { drop(rows, "h007"); double(rows, "i008") }
		}},
		"swapped values": {"different a, different a", "extra, extra, missing, missing", func(w *world) {
			w.damage = func(rows *[]kept) {
				a, b := at(rows, "h007"), at(rows, "i008")
				x, y := slices.Clone(a.cells), slices.Clone(b.cells)
				x[1], y[1] = y[1], x[1]
				a.cells, b.cells = x, y
			}
		}},
	}
}

// A target that stands still is not called different for what it has not got yet.
func TestVerify_when_the_target_lags(t *testing.T) {
	eachTarget(t, func(t *testing.T, keyed, history bool) {
		w := filled(3, keyed, history)
		w.halt = true
		w.log = append(w.log, event{row.Insert, lineOf("late", "x", "y"), false})
		r, found := w.verify(t)
		if r.Unknown != 1 || r.Equal != 200 || kinds(found) != "unknown" || !strings.Contains(found[0].Reason, "does not go on") {
			t.Fatalf("%+v %v", r, found)
		}
		// What has not changed since is certain.
		damages()["a missing row"].do(w)
		r, found = w.verify(t)
		if r.Unknown != 1 || r.Missing != 1 || r.Equal != 199 || kinds(found) != "missing, unknown" {
			t.Fatalf("%+v %v", r, found)
		}
	})
}

// Many rows and little memory: parts lie on disk and are divided again.
func TestVerify_when_memory_is_short(t *testing.T) {
	eachTarget(t, func(t *testing.T, keyed, history bool) {
		w := filled(4, keyed, history)
		w.disk = 100 << 10
		for i := range 20_000 {
			w.start = append(w.start, lineOf(fmt.Sprintf("many%05d", i), "v", "w"))
		}
		w.damage = func(rows *[]kept) {
			*rows = slices.DeleteFunc(*rows, func(k kept) bool { return *k.cells[0] == "many04711" })
		}
		r, found := w.verify(t)
		if r.Missing != 1 || r.Equal != 20_199 || kinds(found) != "missing" || found[0].Key[0].Value != `"many04711"` {
			t.Fatalf("%+v %v", r, found)
		}
	})
}

// Chunks may be read in a snapshot that was opened long before; what is judged again is
// looked at as it is now.
func TestVerify_when_chunks_share_a_snapshot(t *testing.T) {
	for _, keyed := range []bool{true, false} {
		w := filled(6, keyed, false)
		w.busy, w.pools = true, true
		damages()["a missing row"].do(w)
		var found []Finding
		c := w.config(t)
		c.Whole, c.Found = true, func(f Finding) error { found = append(found, f); return nil }
		if _, err := Verify(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if kinds(found) != "missing" {
			t.Errorf("key %v: %v", keyed, found)
		}
	}
}

// Keys that are one to the source find its row twice.
func TestVerify_when_a_row_is_found_twice(t *testing.T) {
	w := filled(6, true, false)
	w.times = 2
	damages()["a missing row"].do(w)
	if r, found := w.verify(t); r.Missing != 1 || found[0].Source != 1 {
		t.Errorf("%+v %v", r, found)
	}
	if done, after, _ := w.mend(t, 1, 1<<20); done.Written != 1 || !after.Whole() {
		t.Errorf("%+v %+v", done, after)
	}
}

// A row that was taken out and never put in is no row, and not nothing.
func TestVerify_when_a_row_is_taken_out_alone(t *testing.T) {
	w := filled(6, false, true)
	w.damage = func(rows *[]kept) {
		*rows = append(*rows, kept{event{row.Delete, lineOf("h", "v", "w"), false}, 0, 0, row.ChunkCounter(1, 0, 9999)})
	}
	if r, found := w.verify(t); r.Whole() || len(found) != 1 || r.Equal != 200 {
		t.Errorf("%+v %v", r, found)
	}
}

// A target that stood still is not waited for again as long at the same place.
func TestAwait_when_the_target_rests(t *testing.T) {
	now, asked, at := time.Now(), 0, 1
	v := &comparison{Config: Config{Patience: 8 * time.Second, Now: func() time.Time { now = now.Add(time.Second); return now }}}
	v.Place = func(context.Context) (Place, error) { asked++; return Place{place(at), 3}, nil }
	for i, c := range []struct{ rests, at, asks int }{{0, 1, 8}, {1, 1, 1}, {1, 2, 8}, {2, 9, 1}} {
		v.rests, at, asked = place(c.rests), c.at, 0
		if p, passed, err := v.await(t.Context(), place(9)); passed != (c.at == 9) || asked != c.asks || p.At != place(c.at) || err != nil {
			t.Errorf("%d: %v %v %v, asked %d times", i, p, passed, err, asked)
		}
	}
}

// Of wide rows no more values are held than there is room for; all are counted.
func TestVerify_when_values_are_large(t *testing.T) {
	eachTarget(t, func(t *testing.T, keyed, history bool) {
		w := filled(6, keyed, history)
		w.damage = func(rows *[]kept) {
			for i := range *rows {
				k := &(*rows)[i]
				k.cells = slices.Clone(k.cells)
				k.cells[1] = new(strings.Repeat("x", 200))
			}
		}
		c := w.config(t)
		told := 0
		c.Memory, c.Found = 64<<10, func(f Finding) error {
			if told++; len(f.Key) == 0 || keyed && len(f.Cells) != 1 {
				t.Errorf("%+v", f)
			}
			return nil
		}
		r, err := Verify(t.Context(), c)
		want := map[bool]int64{true: 200, false: 400}[keyed]
		if err != nil || r.Different+r.Missing+r.Extra != want || told == 0 || int64(told) == want {
			t.Errorf("%+v %v, %d told", r, err, told)
		}
	})
}

// Of a row with more changes than memory has room for each counts, and one that is there
// twice is found.
func TestVerify_when_a_row_changes_very_often(t *testing.T) {
	for _, doubled := range []bool{false, true} {
		w := filled(6, true, true)
		for i := range 400 {
			w.log = append(w.log, event{row.Update, lineOf("h007", "x", fmt.Sprint(i)), i > 0 && i%2 == 0})
		}
		w.at = len(w.log)
		if doubled {
			w.damage = func(rows *[]kept) { *rows = append(*rows, (*rows)[len(*rows)-100]) }
		}
		c := w.config(t)
		c.Memory = 16 << 10
		r, err := Verify(t.Context(), c)
		if want := map[bool]int64{true: 1}[doubled]; err != nil || r.Doubled != want || r.Equal != 200-want {
			t.Errorf("%+v %v", r, err)
		}
	}
}
