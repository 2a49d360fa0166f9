package objects

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"godwit/internal/limit"
	"godwit/internal/store"
	"godwit/internal/store/mem"
	"godwit/internal/watch"
)

// What differs while a job moves objects is judged again once they have arrived, and
// nobody hears of it before; what differs then counts.
func TestVerify_when_objects_are_on_their_way(t *testing.T) {
	a, b := mem.New(mem.Options{}), mem.New(mem.Options{})
	for _, key := range []string{"arrives", "stays away", "is mended", "stays wrong"} {
		put(t, a, key, "text")
	}
	put(t, b, "is mended", "te")
	put(t, b, "stays wrong", "tex")
	put(t, b, "is deleted", "x")
	put(t, b, "stays", "x")
	put(t, b, "comes to the source", "x")
	record := watch.NewFiles(watch.Options{})
	calls := 0
	over := func(ctx context.Context) error {
		calls++
		if v := record.Verified(); v.Again != 7 || v.Compared.Objects != 7 || v.Differing != 0 {
			t.Errorf("%+v", v)
		}
		put(t, b, "arrives", "text")
		put(t, b, "is mended", "text")
		put(t, a, "comes to the source", "x")
		return b.Delete(ctx, "is deleted")
	}
	c := Config{Source: a, Target: b, Choose: choose(t, everything), Record: record, Moving: &Moving{Now: func() bool { return true }, Over: over}}
	r, found := verify(t, c)
	if want := []string{"stays away missing listing", "stays extra listing", "stays wrong different size"}; !slices.Equal(found, want) {
		t.Errorf("%q", found)
	}
	if r.Verdicts[Equal].Objects != 4 || r.Objects() != 7 || calls != 1 {
		t.Errorf("%+v, %d calls", r, calls)
	}
	if v := record.Verified(); v.Again != 0 || v.Compared.Objects != 7 || v.Differing != 3 {
		t.Errorf("%+v", v)
	}
}

func TestVerify_when_nothing_is_on_its_way(t *testing.T) {
	a, b := mem.New(mem.Options{}), mem.New(mem.Options{})
	put(t, a, "same", "text")
	put(t, b, "same", "text")
	c := Config{Source: a, Target: b, Choose: choose(t, everything)}
	c.Moving = &Moving{Now: func() bool { return true }, Over: func(context.Context) error {
		t.Error("there was nothing to wait for")
		return nil
	}}
	if _, found := verify(t, c); len(found) > 0 {
		t.Errorf("%q", found)
	}
	put(t, a, "away", "text")
	c.Moving.Now = func() bool { return false }
	if _, found := verify(t, c); !slices.Equal(found, []string{"away missing listing"}) {
		t.Errorf("%q", found)
	}
}

func TestVerify_when_waiting_ends(t *testing.T) {
	a, b := mem.New(mem.Options{}), mem.New(mem.Options{})
	put(t, a, "away", "text")
	planted := errors.New("planted")
	_, err := Verify(t.Context(), Config{Source: a, Target: b, Choose: choose(t, everything),
		Moving: &Moving{Now: func() bool { return true }, Over: func(context.Context) error { return planted }}})
	if !errors.Is(err, planted) {
		t.Error(err)
	}
}

// What there is no room to judge again is not called different, nor equal.
func TestVerify_when_too_many_are_on_their_way(t *testing.T) {
	a, b := mem.New(mem.Options{}), mem.New(mem.Options{})
	for i := range 3 {
		put(t, a, fmt.Sprint("k", i), "text")
	}
	j := &job{Config: Config{Source: a, Target: b, Choose: choose(t, everything)}, names: mostNames - 5}
	j.Moving = &Moving{Now: func() bool { return true }, Over: func(context.Context) error { return nil }}
	j.Parallel, j.report.Verdicts = 1, map[Verdict]watch.Ended{}
	if err := j.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v := j.report.Verdicts; v[Changing].Objects != 2 || v[Missing].Objects != 1 || v[Equal].Objects != 0 {
		t.Errorf("%+v", v)
	}
}

func TestVerify_when_the_target_may_have_more(t *testing.T) {
	a, b := mem.New(mem.Options{}), mem.New(mem.Options{})
	put(t, b, "more", "text")
	r, found := verify(t, Config{Source: a, Target: b, Choose: choose(t, everything), ExtraUnknown: "it may"})
	if len(found) > 0 || r.ExtraUnknown != "it may" || r.Whole() {
		t.Errorf("%q, %+v", found, r)
	}
}

// What is read of both sides counts against the limits of the job.
func TestVerify_when_bytes_are_limited(t *testing.T) {
	none := mem.Options{Sums: []store.Algorithm{}}
	a, b := mem.New(none), mem.New(none)
	text := strings.Repeat("x", 32<<10)
	put(t, a, "k", text)
	put(t, b, "k", text)
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		r, err := Verify(t.Context(), Config{Source: a, Target: b, Choose: choose(t, everything), Limits: limit.NewRates(limit.Rate{PerSecond: 16 << 10}, limit.Rate{}, nil)})
		took := time.Since(began)
		if err != nil || !r.Whole() || r.Read != 64<<10 || took < 3*time.Second || took > 5*time.Second {
			t.Errorf("%+v, %v, %v", r, took, err)
		}
	})
}
