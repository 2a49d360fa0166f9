package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"godwit/internal/fault"
	"godwit/internal/store"
	"godwit/internal/store/mem"
	"godwit/internal/transfer/page"
	"godwit/internal/transfer/selection"
	"godwit/internal/watch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func put(t testing.TB, s store.Store, key, text string) {
	t.Helper()
	b := store.Body{Size: int64(len(text)), Open: func(off int64) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(text[off:])), nil
	}}
	if _, err := s.Put(context.Background(), key, b, store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
}

// porter carries between two stores in memory and keeps count.
type porter struct {
	source, target store.Store
	before         func(item page.Item) error // its error ends the run

	mu      sync.Mutex
	carried map[string]int
}

func (p *porter) Carry(ctx context.Context, item page.Item) (page.Outcome, error) {
	if p.before != nil {
		if err := p.before(item); err != nil {
			return page.Outcome{}, err
		}
	}
	out := page.Outcome{State: page.Copied, At: time.Now()}
	switch item.Action {
	case page.Delete:
		out.State = page.Deleted
		if err := p.target.Delete(ctx, item.Target()); err != nil {
			return out, err
		}
	default:
		r, o, err := p.source.Open(ctx, item.Key, store.Read{})
		if err != nil {
			return out, err
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		if err != nil {
			return out, err
		}
		body := store.Body{Size: o.Size, Open: func(off int64) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(string(b[off:]))), nil
		}}
		if _, err := p.target.Put(ctx, item.Target(), body, store.PutOptions{}); err != nil {
			if ctx.Err() != nil {
				return out, context.Cause(ctx)
			}
			out.State, out.Code = page.Failed, fault.Of(err).Code
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.carried == nil {
		p.carried = map[string]int{}
	}
	p.carried[item.Target()]++
	return out, nil
}

// run carries out a round as an engine would: all ranges side by side.
func run(ctx context.Context, c Config) (err error) {
	if c.Record == nil {
		c.Record = watch.NewFiles(watch.Options{})
	}
	t, err := Open(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	finding, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	err = t.Ranges(finding, func(r Range) {
		wg.Go(func() {
			if _, err := t.Run(ctx, r); err != nil {
				stop()
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	})
	wg.Wait()
	if len(errs) == 0 || finding.Err() == nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// states returns how each object ended, "waiting" for one that has not; an object
// that stands there twice fails the test.
func states(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := Walk(dir, func(_ Range, i page.Item, o *page.Outcome) error {
		if _, twice := out[i.Target()]; twice {
			t.Errorf("%q is recorded twice", i.Target())
		}
		out[i.Target()] = "waiting"
		if o != nil {
			out[i.Target()] = string(o.State)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func contents(t *testing.T, s store.Store) map[string]string {
	t.Helper()
	out := map[string]string{}
	for o, err := range s.List(context.Background(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		r, _, err := s.Open(context.Background(), o.Key, store.Read{})
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		out[o.Key] = string(b)
	}
	return out
}

func TestRun_when_decided_by_rules(t *testing.T) {
	var seconds atomic.Int64 // both stores ask, from many goroutines
	tick := func() time.Time {
		return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(seconds.Add(1)) * time.Second)
	}
	for _, c := range []struct {
		rule Overwrite
		want string
	}{
		{IfDifferent, "missing copied newer copied older same same same size copied"},
		{IfNewer, "missing copied newer copied older same same same size same"},
		{Never, "missing copied newer skipped older skipped same skipped size skipped"},
		{Always, "missing copied newer copied older copied same copied size copied"},
	} {
		none := []store.Algorithm{}
		a, b := mem.New(mem.Options{Now: tick, Sums: none}), mem.New(mem.Options{Now: tick, Sums: none})
		put(t, a, "missing", "x")
		put(t, b, "newer", "1")
		put(t, a, "newer", "2")
		put(t, a, "older", "1")
		put(t, b, "older", "2")
		put(t, a, "same", "1")
		put(t, b, "same", "1")
		put(t, a, "size", "12")
		put(t, b, "size", "1")
		put(t, b, "extra", "1")
		p := &porter{source: a, target: b}
		dir := t.TempDir()
		if err := run(context.Background(), Config{Source: a, Target: b, Dir: dir, Overwrite: c.rule, Carry: p.Carry}); err != nil {
			t.Fatal(err)
		}
		got := states(t, dir)
		var said []string
		for _, k := range slices.Sorted(maps.Keys(got)) {
			said = append(said, k, got[k])
		}
		if strings.Join(said, " ") != c.want {
			t.Errorf("%s: %q, want %q", c.rule, said, c.want)
		}
	}
}

func TestRun_when_listings_have_checksums(t *testing.T) {
	a, b := mem.New(mem.Options{}), mem.New(mem.Options{})
	put(t, a, "differs", "1")
	put(t, b, "differs", "2")
	put(t, b, "same", "1")
	put(t, a, "same", "1") // newer, but equal by checksum
	p := &porter{source: a, target: b}
	dir := t.TempDir()
	if err := run(context.Background(), Config{Source: a, Target: b, Dir: dir, Carry: p.Carry}); err != nil {
		t.Fatal(err)
	}
	if got := states(t, dir); got["differs"] != "copied" || got["same"] != "same" {
		t.Error(got)
	}
}

func TestRun_when_objects_are_renamed_or_named_by_a_list(t *testing.T) {
	a, b := mem.New(mem.Options{}), mem.New(mem.Options{})
	for i := range 50 {
		put(t, a, fmt.Sprintf("in/%02d", i), "text")
	}
	put(t, b, "out/07", "text")
	p := &porter{source: a, target: b}
	rules := selection.Rules{Rename: []selection.Rename{{From: `^in/(\d+)$`, To: "out/$1", Pattern: true}}}
	dir := t.TempDir()
	if err := run(context.Background(), Config{Source: a, Target: b, Dir: dir, Selection: rules, Carry: p.Carry}); err != nil {
		t.Fatal(err)
	}
	if got := states(t, dir); len(got) != 50 || got["out/07"] != "same" || got["out/49"] != "copied" {
		t.Error(got)
	}
	list := func(yield func(store.Object, error) bool) {
		for _, k := range []string{"in/49", "gone", "in/00"} {
			if !yield(store.Object{Key: k}, nil) {
				return
			}
		}
	}
	dir = t.TempDir()
	if err := run(context.Background(), Config{Source: a, Target: b, Dir: dir, List: list, Carry: p.Carry}); err != nil {
		t.Fatal(err)
	}
	if got := states(t, dir); len(got) != 3 || got["in/49"] != "copied" || got["gone"] != "gone" {
		t.Error(got)
	}
}

func TestRun_when_the_target_has_more(t *testing.T) {
	for name, c := range map[string]struct {
		x       Extraneous
		left    int
		code    fault.Code
		unsound bool
	}{
		"off":              {Extraneous{}, 30, "", false},
		"on":               {Extraneous{Delete: true}, 10, "", false},
		"dry":              {Extraneous{DryRun: true}, 30, "", false},
		"too many":         {Extraneous{Delete: true, Count: 19}, 30, fault.TooManyDeletes, false},
		"as many as may":   {Extraneous{Delete: true, Count: 20}, 10, "", false},
		"too many percent": {Extraneous{Delete: true, Percent: 50}, 30, fault.TooManyDeletes, false},
		"source not whole": {Extraneous{Delete: true}, 30, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := mem.New(mem.Options{}), mem.New(mem.Options{})
			for i := range 30 {
				put(t, b, fmt.Sprintf("k%02d", i), "x")
				if i%3 == 0 {
					put(t, a, fmt.Sprintf("k%02d", i), "x")
				}
			}
			var source store.Store = a
			if c.unsound {
				source = &halting{Store: a, key: "k01", err: fault.New(fault.SourceRefused, "a folder may not be read")}
			}
			p := &porter{source: a, target: b}
			dir := t.TempDir()
			err := run(context.Background(), Config{Source: source, Target: b, Dir: dir, Extraneous: c.x, Carry: p.Carry})
			if c.code == "" && err != nil || c.code != "" && !fault.Has(err, c.code) {
				t.Fatalf("%v", err)
			}
			if got := len(contents(t, b)); got != c.left {
				t.Errorf("%d objects left, want %d", got, c.left)
			}
			for k, s := range states(t, dir) {
				if s == "waiting" {
					t.Errorf("%s has no state", k)
				}
			}
		})
	}
}

// halting lists an error for one key besides the objects.
type halting struct {
	store.Store
	key string
	err error
}

func (h *halting) List(ctx context.Context, prefix, after string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		told := after >= h.key
		for o, err := range h.Store.List(ctx, prefix, after) {
			if !told && o.Key > h.key {
				told = true
				if !yield(store.Object{Key: h.key}, h.err) {
					return
				}
			}
			if !yield(o, err) {
				return
			}
		}
	}
}

var errCrash = errors.New("the process dies")

// A process that dies at any moment and one that begins again lead to one state for
// each object, and no object whose end was recorded is carried again.
func TestRun_when_it_dies_again_and_again(t *testing.T) {
	divided := 0
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 7))
		a, b := mem.New(mem.Options{}), mem.New(mem.Options{})
		n := 1 + r.IntN(4_000)
		for i := range n {
			put(t, a, fmt.Sprintf("%c/%05d", 'a'+byte(i%5), i), fmt.Sprint(i))
		}
		for i := range n / 3 {
			put(t, b, fmt.Sprintf("%c/%05d", 'a'+byte(i%5), i), fmt.Sprint(i))
			put(t, b, fmt.Sprintf("x/%05d", i), "extra")
		}
		dir := filepath.Join(t.TempDir(), "pages")
		p := &porter{source: a, target: b}
		power := seed%3 == 2 // the power is cut: files may lack their ends
		for lives := 0; ; lives++ {
			if lives > 200 {
				t.Fatalf("seed %d: no end", seed)
			}
			recorded := map[string]bool{}
			for k, s := range states(t, dir) {
				recorded[k] = s != "waiting"
			}
			left := r.IntN(n)
			var mu sync.Mutex
			p.before = func(item page.Item) error {
				mu.Lock()
				defer mu.Unlock()
				if recorded[item.Target()] {
					t.Errorf("seed %d: %q is carried again after its end was recorded", seed, item.Target())
				}
				if left--; left < 0 {
					return errCrash
				}
				return nil
			}
			err := run(context.Background(), Config{Source: a, Target: b, Dir: dir, Carry: p.Carry, Extraneous: Extraneous{Delete: true}, Parallel: 2, Undivided: 1 + r.IntN(n+1)})
			if err == nil {
				break
			}
			if !errors.Is(err, errCrash) {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if power {
				cutFiles(t, r, dir)
			}
		}
		if more, err := filepath.Glob(filepath.Join(dir, "0001")); err != nil {
			t.Fatal(err)
		} else if len(more) > 0 {
			divided++
		}
		got := states(t, dir)
		if len(got) != n+n/3 && !power {
			t.Errorf("seed %d: %d objects recorded, want %d", seed, len(got), n+n/3)
		}
		for k, s := range got {
			if s == "waiting" || s == "failed" {
				t.Errorf("seed %d: %s is %s", seed, k, s)
			}
		}
		if want := contents(t, a); !maps.Equal(contents(t, b), want) {
			t.Errorf("seed %d: the target differs", seed)
		}
	}
	if divided < 10 || divided == 60 {
		t.Errorf("%d of 60 histories were divided: both kinds are to be looked at", divided)
	}
}

// What is listed while the rest is divided is in one range alone, whatever key the
// division begins at.
func TestRanges_when_a_long_listing_is_divided(t *testing.T) {
	const n = 5_000
	key := func(i int) string { return fmt.Sprintf("%05d", i) }
	for _, behind := range []int{-10, 0, 1, 700, n} { // keys that are listed while the source divides
		dividing, goOn := make(chan string, 1), make(chan struct{})
		a := mem.New(mem.Options{Divide: func(_, after string, _ int) []string {
			dividing <- after
			<-goOn
			var bounds []string
			for i := 1000; i < n; i += 250 {
				bounds = append(bounds, key(i))
			}
			return bounds
		}})
		b := mem.New(mem.Options{})
		for i := range n {
			put(t, a, key(i), "x")
			if i%3 == 0 {
				put(t, b, key(i), "y")
			}
		}
		at := 0
		watched := &watching{Store: a, seen: func(string) {
			if at++; at == 1500+behind {
				select {
				case <-goOn:
				default:
					close(goOn)
				}
			}
		}, done: func() {
			select {
			case <-goOn:
			default:
				close(goOn)
			}
		}}
		p := &porter{source: a, target: b}
		dir := t.TempDir()
		if err := run(context.Background(), Config{Source: watched, Target: b, Dir: dir, Carry: p.Carry, Undivided: 1200}); err != nil {
			t.Fatal(err)
		}
		if after := <-dividing; after < key(1199) {
			t.Errorf("divided after %s already", after)
		}
		if got := states(t, dir); len(got) != n || len(p.carried) != n {
			t.Errorf("%d behind: %d recorded, %d carried", behind, len(got), len(p.carried))
		}
		for k, times := range p.carried {
			if times != 1 {
				t.Errorf("%d behind: %s was carried %d times", behind, k, times)
			}
		}
	}
}

// watching tells what a store lists.
type watching struct {
	*mem.Store
	seen func(key string)
	done func()
	once sync.Once
}

func (w *watching) List(ctx context.Context, prefix, after string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		first := false
		w.once.Do(func() { first = true })
		if first {
			defer w.done()
		}
		for o, err := range w.Store.List(ctx, prefix, after) {
			if first {
				w.seen(o.Key)
			}
			if !yield(o, err) {
				return
			}
		}
	}
}

// cutFiles takes the end off some files, as a power cut does to what was not synced.
func cutFiles(t *testing.T, r *rand.Rand, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || r.IntN(8) > 0 {
			return err
		}
		i, err := d.Info()
		if err != nil {
			return err
		}
		return os.Truncate(path, r.Int64N(i.Size()+1))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRun_when_only_what_failed_is_retried(t *testing.T) {
	a, b := mem.New(mem.Options{}), mem.New(mem.Options{Refuse: func(key string) string {
		if key == "bad" {
			return "it is bad"
		}
		return ""
	}})
	for _, k := range []string{"bad", "good", "late"} {
		put(t, a, k, k)
	}
	p := &porter{source: a, target: b}
	dir := t.TempDir()
	c := Config{Source: a, Target: b, Dir: dir, Carry: p.Carry}
	if err := run(context.Background(), c); err != nil {
		t.Fatal(err)
	}
	if got := states(t, dir); got["bad"] != "failed" || got["good"] != "copied" {
		t.Fatal(got)
	}
	b2 := mem.New(mem.Options{})
	p.target, p.carried = b2, nil
	c.Target, c.Only = b2, Failed
	if err := run(context.Background(), c); err != nil {
		t.Fatal(err)
	}
	if got := states(t, dir); got["bad"] != "copied" || len(p.carried) != 1 {
		t.Errorf("%v, carried %v", got, p.carried)
	}
}

func TestRun_when_one_object_is_slow(t *testing.T) {
	a, b := mem.New(mem.Options{}), mem.New(mem.Options{})
	const n = 5_000
	for i := range n {
		put(t, a, fmt.Sprintf("%06d", i), "x")
	}
	p := &porter{source: a, target: b}
	left := n - 1
	others := make(chan struct{})
	var mu sync.Mutex
	carry := func(ctx context.Context, item page.Item) (page.Outcome, error) {
		if item.Key == "000000" {
			select {
			case <-others: // it is slower than all the others
			case <-time.After(time.Minute):
				return page.Outcome{}, errors.New("the others wait for the slow one")
			}
		}
		out, err := p.Carry(ctx, item)
		mu.Lock()
		defer mu.Unlock()
		if item.Key != "000000" {
			if left--; left == 0 {
				close(others)
			}
		}
		return out, err
	}
	if err := run(context.Background(), Config{Source: a, Target: b, Dir: t.TempDir(), Carry: carry}); err != nil {
		t.Fatal(err)
	}
}

// A source that lists nothing deletes nothing, however much the target is allowed to lose.
func TestRun_when_the_source_is_empty(t *testing.T) {
	for name, c := range map[string]struct {
		x    Extraneous
		rule selection.Rules
		code fault.Code
		left int
	}{
		"a number":       {x: Extraneous{Delete: true, Count: 100}, code: fault.TooManyDeletes, left: 3},
		"nearly all":     {x: Extraneous{Delete: true, Percent: 99.9}, code: fault.TooManyDeletes, left: 3},
		"all":            {x: Extraneous{Delete: true, Percent: 100}, left: 0},
		"nothing chosen": {x: Extraneous{Delete: true, Count: 100}, rule: selection.Rules{Prefixes: []string{"k"}}, code: fault.TooManyDeletes, left: 3},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := mem.New(mem.Options{}), mem.New(mem.Options{})
			for i := range 3 {
				put(t, b, fmt.Sprint("k", i), "x")
			}
			if c.rule.Prefixes != nil {
				put(t, a, "other", "x")
			}
			err := run(t.Context(), Config{Source: a, Target: b, Dir: t.TempDir(), Selection: c.rule, Extraneous: c.x, Carry: (&porter{source: a, target: b}).Carry})
			if c.code == "" && err != nil || c.code != "" && !fault.Has(err, c.code) {
				t.Errorf("%v", err)
			}
			if got := len(contents(t, b)); got != c.left {
				t.Errorf("%d objects left, want %d", got, c.left)
			}
		})
	}
}

// A source whose folder vanishes while it is listed has listed nothing that counts.
func TestRun_when_the_source_vanishes(t *testing.T) {
	a, b := mem.New(mem.Options{}), mem.New(mem.Options{})
	put(t, a, "k1", "x")
	put(t, b, "k1", "x")
	put(t, b, "k2", "x")
	err := run(t.Context(), Config{Source: &vanished{a}, Target: b, Dir: t.TempDir(), Extraneous: Extraneous{Delete: true}, Carry: (&porter{source: a, target: b}).Carry})
	if !fault.Has(err, fault.StoreMissing) || len(contents(t, b)) != 2 {
		t.Errorf("%v; %d objects left", err, len(contents(t, b)))
	}
}

type vanished struct{ store.Store }

func (*vanished) There(context.Context) error { return fault.New(fault.StoreMissing, "it is gone") }

func TestRun_when_it_is_only_planned(t *testing.T) {
	a, b := mem.New(mem.Options{}), mem.New(mem.Options{})
	put(t, a, "new", "x")
	put(t, b, "extra", "x")
	dir := t.TempDir()
	carry := func(context.Context, page.Item) (page.Outcome, error) { return page.Outcome{}, errCrash }
	if err := run(context.Background(), Config{Source: a, Target: b, Dir: dir, Carry: carry, DryRun: true, Extraneous: Extraneous{Delete: true}}); err != nil {
		t.Fatal(err)
	}
	if got := states(t, dir); got["new"] != "waiting" || got["extra"] != "waiting" || len(got) != 2 {
		t.Error(got)
	}
}

func TestRun_when_the_first_object_is_waited_for(t *testing.T) {
	endless := mem.New(mem.Options{List: func(_, after string) iter.Seq2[store.Object, error] {
		return func(yield func(store.Object, error) bool) {
			for i := 0; ; i++ {
				if k := fmt.Sprintf("%09d", i); k > after && !yield(store.Object{Key: k, Size: 1}, nil) {
					return
				}
			}
		}
	}, Divide: func(string, string, int) []string { return nil }})
	ctx, cancel := context.WithCancelCause(context.Background())
	began := time.Now()
	carry := func(context.Context, page.Item) (page.Outcome, error) {
		cancel(errCrash)
		return page.Outcome{State: page.Copied}, nil
	}
	err := run(ctx, Config{Source: endless, Target: mem.New(mem.Options{}), Dir: t.TempDir(), Carry: carry})
	if took := time.Since(began); !errors.Is(err, errCrash) || took > 30*time.Second {
		t.Errorf("%v after %v", err, took)
	} else {
		t.Logf("the first object was carried after %v", took)
	}
}
