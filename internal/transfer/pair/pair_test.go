package pair

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"godwit/internal/fault"
	"godwit/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listed yields keys; "!k" is an entry whose error concerns k alone, "!" one that
// ends the listing.
func listed(keys ...string) Listing {
	return Listing{"the test", func(yield func(store.Object, error) bool) {
		for _, k := range keys {
			var err error
			if strings.HasPrefix(k, "!") {
				k, err = k[1:], errors.New("bad")
			}
			if !yield(store.Object{Key: k}, err) {
				return
			}
		}
	}}
}

func joined(seq iter.Seq2[Pair, error]) string {
	var b strings.Builder
	side := func(o *store.Object, err error, sign string) string {
		switch {
		case o == nil:
			return "-"
		case err != nil:
			return "!"
		}
		return sign
	}
	for p, err := range seq {
		if err != nil {
			return b.String() + err.Error()
		}
		b.WriteString(side(p.A, p.AErr, "A") + side(p.B, p.BErr, "B") + p.Key + " ")
	}
	return b.String()
}

func TestJoin_when_listings_differ(t *testing.T) {
	for _, c := range []struct {
		a, b []string
		want string
	}{
		{nil, nil, ""},
		{[]string{"a"}, nil, "A-a "},
		{nil, []string{"a"}, "-Ba "},
		{[]string{"a", "c", "d"}, []string{"b", "c", "e"}, "A-a -Bb ABc A-d -Be "},
		{[]string{"", "a"}, []string{"", "b"}, "AB A-a -Bb "},
		{[]string{"a", "a/b", "a0"}, []string{"a", "a-", "a/b"}, "ABa -Ba- ABa/b A-a0 "},
		{[]string{"a", "!b", "c"}, []string{"b", "!c"}, "A-a !Bb A!c "},
		{[]string{"\xff"}, []string{"z", "é"}, "-Bz -Bé A-\xff "},
	} {
		if got := joined(Join(t.Context(), listed(c.a...), listed(c.b...))); got != c.want {
			t.Errorf("%q with %q: %q, want %q", c.a, c.b, got, c.want)
		}
	}
}

func TestJoin_when_a_listing_fails(t *testing.T) {
	if got := joined(Join(t.Context(), listed("a", "b", "!", "c"), listed("a"))); got != "ABa A-b bad" {
		t.Errorf("the source's error: %q", got)
	}
	if got := joined(Join(t.Context(), listed("a", "b"), listed("!"))); got != "bad" {
		t.Errorf("the target's error: %q", got)
	}
}

func TestJoin_when_a_store_lists_out_of_order(t *testing.T) {
	for _, keys := range [][]string{{"b", "a"}, {"a", "a"}, {"a", "b", "!a"}, {"", "b", "a"}} {
		var last error
		for _, err := range Join(t.Context(), listed(keys...), listed("a", "z")) {
			last = err
		}
		if !fault.Has(last, fault.StoreProtocol) {
			t.Errorf("%q: %v, want STORE_PROTOCOL", keys, last)
		}
	}
}

// endless yields growing keys for ever.
func endless() Listing {
	return Listing{"endless", func(yield func(store.Object, error) bool) {
		for i := 0; ; i++ {
			if !yield(store.Object{Key: fmt.Sprintf("%012d", i)}, nil) {
				return
			}
		}
	}}
}

func TestJoin_when_the_caller_stops(t *testing.T) {
	n := 0
	for range Join(t.Context(), endless(), endless()) {
		if n++; n == 10000 {
			break
		}
	}
}

func TestJoin_when_cancelled_while_a_store_is_silent(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	silent := Listing{"silent", func(func(store.Object, error) bool) { <-ctx.Done() }}
	cancel()
	for _, err := range Join(ctx, silent, listed("a")) {
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("%v", err)
		}
		return
	}
	t.Fatal("a cancelled join looks like one that came to its end")
}

func TestJoin_when_listings_are_random(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		a, b, all := map[string]bool{}, map[string]bool{}, map[string]bool{}
		for range r.IntN(2000) {
			k := fmt.Sprint(r.IntN(1500))
			if r.IntN(2) == 0 {
				a[k] = true
			} else {
				b[k] = true
			}
			all[k] = true
		}
		var want strings.Builder
		sign := func(has bool, s string) string {
			if has {
				return s
			}
			return "-"
		}
		for _, k := range slices.Sorted(maps.Keys(all)) {
			want.WriteString(sign(a[k], "A") + sign(b[k], "B") + k + " ")
		}
		got := joined(Join(t.Context(), listed(slices.Sorted(maps.Keys(a))...), listed(slices.Sorted(maps.Keys(b))...)))
		if got != want.String() {
			t.Fatalf("seed %d: %.300s\nwant %.300s", seed, got, want.String())
		}
	}
}

// A listing is read ahead by a bounded number of objects only.
func TestJoin_when_the_caller_is_slow(t *testing.T) {
	var read atomic.Int64
	counted := Listing{"counted", func(yield func(store.Object, error) bool) {
		for o := range endless().Objects {
			read.Add(1)
			if !yield(o, nil) {
				return
			}
		}
	}}
	for range Join(t.Context(), counted, listed()) {
		for range 10000 {
			runtime.Gosched()
		}
		break
	}
	if n := read.Load(); n == 0 || n > 4*batchObjects {
		t.Errorf("%d objects were read ahead", n)
	}
}

func BenchmarkJoin(b *testing.B) {
	n := 0
	for range Join(b.Context(), endless(), endless()) {
		if n++; n >= b.N {
			break
		}
	}
}
