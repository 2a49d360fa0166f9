package rows

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"godwit/internal/fault"
	"godwit/internal/row"
)

// breakNowAndThen makes a world break what is read, and counts how often: never so often that
// one thing could not be read.
func (w *world) breakNowAndThen(seed uint64) *int {
	r, n := rand.New(rand.NewPCG(seed, 11)), new(int)
	w.breaks = func() error {
		if *n == attempts-1 || r.IntN(20) > 0 {
			return nil
		}
		*n++
		return fault.New(fault.TargetUnreachable, "the connection broke")
	}
	return n
}

// Whatever breaks meanwhile, what is wrong is found and nothing else is, while both sides go on.
func TestVerify_when_reading_breaks(t *testing.T) {
	eachTarget(t, func(t *testing.T, keyed, history bool) {
		broke, runs := 0, uint64(0)
		for name, damage := range damages() {
			for seed := range uint64(2) {
				w := filled(seed, keyed, history)
				w.start = append(w.start, line{new("empty"), nil, new("x")}, lineOf("zero", "-0", "Straße "), lineOf("zwei", "Zwei", "x"))
				w.busy, w.disk = seed == 1, disks()[runs/2%2]
				damage.do(w)
				runs++
				n := w.breakNowAndThen(runs)
				r, found := w.verify(t)
				if got := kinds(found); got != damage.want(keyed) {
					t.Errorf("%s, seed %d: %s, not %s: %+v", name, seed, got, damage.want(keyed), r)
				}
				if all := r.Equal + r.Missing + r.Different; !w.busy && all != 203 && !strings.Contains(name, "doubled") {
					t.Errorf("%s, seed %d: %d rows: %+v", name, seed, all, r)
				}
				broke += *n
			}
		}
		if broke < 50 {
			t.Errorf("only %d reads broke", broke)
		}
	})
}

// A target that stands still is judged by the log, which may break too.
func TestVerify_when_the_log_breaks(t *testing.T) {
	eachTarget(t, func(t *testing.T, keyed, history bool) {
		for seed := range uint64(5) {
			w := filled(3, keyed, history)
			w.halt = true
			w.log = append(w.log, event{row.Insert, lineOf("late", "x", "y"), false})
			damages()["a missing row"].do(w)
			w.breakNowAndThen(seed)
			if r, found := w.verify(t); r.Unknown != 1 || r.Missing != 1 || r.Equal != 199 || kinds(found) != "missing, unknown" {
				t.Errorf("seed %d: %+v %v", seed, r, found)
			}
		}
	})
}

// A repair writes rows as they are in the look that did not break.
func TestMend_when_reading_breaks(t *testing.T) {
	eachTarget(t, func(t *testing.T, keyed, history bool) {
		for seed := range uint64(5) {
			w := filled(8, keyed, history)
			w.damage = func(rows *[]kept) {
				*rows = slices.DeleteFunc(*rows, func(k kept) bool { return strings.HasSuffix(*k.cells[0], "7") })
			}
			w.breakNowAndThen(seed)
			done, after, _ := w.mend(t, 1, 1<<20)
			if r, found := w.verify(t); done.Written != 20 || done.Left > 0 || !after.Whole() || !r.Whole() || r.Equal != 200 {
				t.Errorf("seed %d: %+v %+v %+v %v", seed, done, after, r, found)
			}
		}
	})
}

// What does not pass ends it, and what breaks always does in the end.
func TestVerify_when_reading_never_succeeds(t *testing.T) {
	for _, c := range []struct {
		code  fault.Code
		tries int
	}{{fault.TargetUnreachable, attempts}, {fault.TargetLost, 1}} {
		w := filled(1, true, false)
		tries, told := 0, 0
		w.breaks = func() error { tries++; return fault.New(c.code, "it is so") }
		config := w.config(t)
		config.Broke = func(error, time.Duration) { told++ }
		if _, err := Verify(t.Context(), config); !fault.Has(err, c.code) || tries != c.tries || told != c.tries-1 {
			t.Errorf("%s: %v after %d attempts, told of %d", c.code, err, tries, told)
		}
	}
}

// What was added after a mark is taken out, wherever it lies.
func TestSpill_when_it_goes_back(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	s := newSpill(t.TempDir(), 0)
	defer s.close()
	var kept []string
	for round := range 30 {
		mark, undo := s.mark(), round%3 > 0
		for i := range r.IntN(30_000) {
			id := fmt.Sprintf("%d/%d", round, i)
			if err := s.add([]byte(id), bytes.Repeat([]byte{'x'}, r.IntN(60))); err != nil {
				t.Fatal(err)
			}
			if !undo {
				kept = append(kept, id)
			}
		}
		if undo {
			if err := s.back(mark); err != nil {
				t.Fatal(err)
			}
		}
	}
	var got []string
	n := int64(0)
	for i := range s.parts {
		n += s.parts[i].n
		if err := s.parts[i].each(func(id, _ []byte) error { got = append(got, string(id)); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(got)
	slices.Sort(kept)
	if !slices.Equal(got, kept) || n != int64(len(kept)) {
		t.Errorf("%d ids, %d records, of %d", len(got), n, len(kept))
	}
}
