package rows

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"godwit/internal/fault"
	"godwit/internal/row"
)

// take is what a target does with a batch that a repair wrote.
func (w *world) take(b *row.Batch) {
	s := &b.Sections()[0]
	for span := range b.Spans(s) {
		for i := range span.Rows {
			words, flags := b.Cells(s, span.Row+i)
			cells := make(line, len(words))
			for c := range words {
				switch flags[c] {
				case row.Value:
					cells[c] = new(string(b.Data(words[c])))
				case row.Foreign:
					_, form := row.ParseForeign(b.Data(words[c]))
					cells[c] = new(string(form))
				}
			}
			w.mended = append(w.mended, kept{event{b.Op(span.Row + i), cells, false}, w.at, 0, span.Base + uint64(i)})
		}
	}
}

// repaired is what becomes of rows by what repairs wrote.
func (w *world) repaired(rows []kept) []kept {
	if w.history {
		return append(rows, w.mended...)
	}
	for _, m := range w.mended {
		same := func(k kept) bool {
			return *k.cells[0] == *m.cells[0] && (len(w.table.Key) > 0 || textOf(k.cells) == textOf(m.cells))
		}
		if at := slices.IndexFunc(rows, same); m.op != row.Insert && at >= 0 {
			rows = slices.Delete(rows, at, at+1)
		}
		if m.op != row.Delete {
			m.op = row.Read
			rows = append(rows, m)
		}
	}
	return rows
}

func textOf(l line) string {
	var b strings.Builder
	for _, c := range l {
		if c == nil {
			b.WriteString("NULL|")
		} else {
			fmt.Fprintf(&b, "%q|", *c)
		}
	}
	return b.String()
}

// mend verifies, repairs what was found, and returns what is found of it then. No batch
// is much larger than most bytes.
func (w *world) mend(t *testing.T, first uint64, most int64) (done Mended, after Report, batches int) {
	t.Helper()
	c := w.config(t)
	ids := NewIDs(c.Folder)
	defer ids.Close()
	told := 0
	c.Most, c.Differs, c.Found = 10, ids.Add, func(Finding) error { told++; return nil }
	if _, err := Verify(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if told > c.Most {
		t.Errorf("%d findings were told of", told)
	}
	c.Memory = most
	done, err := Mend(t.Context(), c, ids, Place{place(w.at), 3}, first, func(b *row.Batch) error {
		defer b.Release()
		if n := int64(b.Payload()); n > 2*most {
			t.Errorf("a batch of %d bytes", n)
		}
		batches++
		w.take(b)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if after, err = Recheck(t.Context(), c, ids); err != nil {
		t.Fatal(err)
	}
	return done, after, batches
}

// Whatever differs is mended, in as many batches as it takes; then all is equal.
func TestMend_when_much_differs(t *testing.T) {
	eachTarget(t, func(t *testing.T, keyed, history bool) {
		w := filled(8, keyed, history)
		for i := range 1000 {
			w.start = append(w.start, lineOf(fmt.Sprintf("many%05d", i), "v", strings.Repeat("w", 50)))
		}
		w.damage = func(rows *[]kept) {
			extra := []kept{}
			for i := range *rows {
				k := &(*rows)[i]
				switch n := len(extra); {
				case !strings.HasPrefix(*k.cells[0], "many"):
				case k.counter%3 == 1:
					more := *k
					more.cells, more.counter = lineOf(fmt.Sprintf("more%05d", n), "x", "y"), k.counter+100_000
					extra = append(extra, more)
				case k.counter%3 == 2:
					k.cells = slices.Clone(k.cells)
					k.cells[1] = nil
				}
			}
			*rows = slices.DeleteFunc(*rows, func(k kept) bool { return strings.HasSuffix(*k.cells[0], "7") && len(*k.cells[0]) == 9 })
			*rows = append(*rows, extra...)
		}
		if !history {
			number(w)
		}
		before, _ := w.verify(t)
		done, after, batches := w.mend(t, 1, 8<<10)
		if before.Whole() || !after.Whole() || done.Left > 0 || done.Written < 300 || batches < 5 {
			t.Errorf("before %+v, done %+v in %d batches, after %+v", before, done, batches, after)
		}
		if r, found := w.verify(t); !r.Whole() || r.Equal != 1200 {
			t.Errorf("%+v %v", r, found)
		}
	})
}

// Values that no source has are shown as the target does, and go as all others.
func TestMend_when_no_source_has_a_value(t *testing.T) {
	eachTarget(t, func(t *testing.T, keyed, history bool) {
		for column := range 3 {
			w := filled(11, keyed, history)
			w.damage = func(rows *[]kept) {
				for i := range *rows {
					if k := &(*rows)[i]; *k.cells[0] == "h007" || *k.cells[0] == "i008" {
						k.cells = slices.Clone(k.cells)
						k.cells[column] = new(foreign + *k.cells[0])
					}
				}
			}
			_, found := w.verify(t)
			if all := fmt.Sprint(found); len(found) < 2 || !strings.Contains(all, foreign+"h007") || !strings.Contains(all, foreign+"i008") {
				t.Errorf("column %d: %v", column, found)
			}
			done, after, _ := w.mend(t, 1, 1<<20)
			if r, found := w.verify(t); done.Left > 0 || !after.Whole() || !r.Whole() || r.Equal != 200 {
				t.Errorf("column %d: %+v %+v %+v %v", column, done, after, r, found)
			}
		}
	})
}

// number gives the rows of a target without history numbers that damage can go by.
func number(w *world) {
	spoil := w.damage
	w.damage = func(rows *[]kept) {
		for i := range *rows {
			(*rows)[i].counter = uint64(i)
		}
		spoil(rows)
	}
}

// Entries of a changelog that are there twice do no harm once the row is written again. A
// key that rows have twice cannot be told apart, and is left.
func TestMend_when_a_row_is_doubled(t *testing.T) {
	eachTarget(t, func(t *testing.T, keyed, history bool) {
		w := filled(9, keyed, history)
		damages()["a doubled row"].do(w)
		for first := range uint64(2) {
			done, after, _ := w.mend(t, 1+100*first, 1<<20)
			if keyed && !history {
				if done.Left != 1 || after.Doubled != 1 {
					t.Errorf("%+v %+v", done, after)
				}
				continue
			}
			if r, found := w.verify(t); done.Left > 0 || done.Written != int64(1-first) || !after.Whole() || !r.Whole() {
				t.Errorf("%+v %+v %+v %v", done, after, r, found)
			}
		}
		if !history {
			return
		}
		again := w.mended[0]
		w.mended = append(w.mended, again) // and once more
		if r, _ := w.verify(t); r.Whole() {
			t.Errorf("%+v", r)
		}
	})
}

// Rows that the target refuses for what they hold are left; all others are mended.
func TestMend_when_rows_are_refused(t *testing.T) {
	eachTarget(t, func(t *testing.T, keyed, history bool) {
		w := filled(10, keyed, history)
		bad := map[string]bool{"h007": true, "i008": true}
		w.damage = func(rows *[]kept) {
			*rows = slices.DeleteFunc(*rows, func(k kept) bool { return k.op == row.Read && strings.HasSuffix(*k.cells[0], "7") || bad[*k.cells[0]] })
		}
		c := w.config(t)
		ids := NewIDs(c.Folder)
		defer ids.Close()
		c.Differs = ids.Add
		before, err := Verify(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		done, err := Mend(t.Context(), c, ids, Place{place(w.at), 3}, 1, func(b *row.Batch) error {
			defer b.Release()
			s := &b.Sections()[0]
			for i := range s.Rows {
				if words, _ := b.Cells(s, i); bad[string(b.Data(words[0]))] {
					return fmt.Errorf("sink lake: %w", fault.New(fault.RowRefused, "it has no such text"))
				}
			}
			w.take(b)
			return nil
		})
		if err != nil || before.Missing != 21 || done != (Mended{Written: 19, Left: 2}) {
			t.Fatalf("%+v %+v %v", before, done, err)
		}
		if after, err := Recheck(t.Context(), c, ids); err != nil || after.Missing != 2 || after.Equal != 19 {
			t.Errorf("%+v %v", after, err)
		}
	})
}
