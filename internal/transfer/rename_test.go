package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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

	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/secret"
	"godwit/internal/store"
	"godwit/internal/store/local"
	"godwit/internal/store/mem"
	"godwit/internal/store/s3"
	"godwit/internal/transfer/page"
	"godwit/internal/transfer/selection"
	servers "godwit/test/servers/s3"
)

// letters are few, so that keys, prefixes and names meet often.
var letters = []string{"a", "b", "/", "a/", "\xff", "é", "\xc3", "\x00", strings.Repeat("n", 499)}

func text(r *rand.Rand, least, most int) string {
	var b strings.Builder
	for range least + r.IntN(most-least+1) {
		b.WriteString(letters[min(r.IntN(40), r.IntN(len(letters)))%len(letters)])
	}
	return b.String()
}

// renamed is a job that renames prefixes, with what its stores have.
type renamed struct {
	rules    selection.Rules
	from, to *mem.Store
	keys     []string // of the source
}

func randomRenames(t *testing.T, r *rand.Rand) renamed {
	var j renamed
	for range r.IntN(4) {
		j.rules.Rename = append(j.rules.Rename, selection.Rename{From: text(r, 0, 3), To: text(r, 0, 3)})
	}
	for range r.IntN(3) {
		j.rules.Prefixes = append(j.rules.Prefixes, text(r, 1, 2))
	}
	if r.IntN(4) == 0 {
		j.rules.Exclude = []string{"*b"}
	}
	day := func() time.Time { return time.Unix(1e9, 0) }
	o := mem.Options{Now: day, Sums: []store.Algorithm{}, Refuse: func(string) string { return "" }}
	j.from, j.to = mem.New(o), mem.New(o)
	s, err := selection.New(j.rules)
	if err != nil {
		t.Fatal(err)
	}
	for range r.IntN(60) {
		key := text(r, 1, 6)
		if len(j.rules.Rename) > 0 && r.IntN(2) == 0 {
			key = j.rules.Rename[0].From + key
		}
		put(t, j.from, key, "12"[:r.IntN(3)])
		j.keys = append(j.keys, key)
		if name, ok := s.Name(key); ok && r.IntN(2) == 0 {
			put(t, j.to, name, "12"[:r.IntN(3)])
		}
		if r.IntN(2) == 0 {
			put(t, j.to, text(r, 1, 6), "")
		}
	}
	return j
}

// bounds divide the keys into ranges.
func (j renamed) bounds(r *rand.Rand) []string {
	bounds := []string{""}
	for range r.IntN(4) {
		if len(j.keys) > 0 && r.IntN(2) == 0 {
			bounds = append(bounds, j.keys[r.IntN(len(j.keys))])
		} else {
			bounds = append(bounds, text(r, 1, 4))
		}
	}
	slices.Sort(bounds)
	return append(slices.Compact(bounds), "")
}

type lister func(ctx context.Context, after string, upto func() string, emit func(seen) bool) error

// decisions lists all ranges, each beginning again after any key, and returns what is
// decided, in order.
func decisions(t *testing.T, r *rand.Rand, list lister, bounds []string) []string {
	t.Helper()
	var out []string
	for i, after := range bounds[:len(bounds)-1] {
		upto := bounds[i+1]
		for begun := true; begun; {
			begun = false
			left := 1 + r.IntN(20)
			err := list(t.Context(), after, func() string { return upto }, func(s seen) bool {
				if s.last <= after || upto != "" && s.last > upto {
					t.Errorf("%q is not between %q and %q", s.last, after, upto)
				}
				if left--; left < 0 {
					begun = true // it goes on after the last one
					return false
				}
				after = s.last
				if e := s.entry; e != nil {
					out = append(out, fmt.Sprintf("%q %q: %s, %s %s", e.Key, e.Name, e.Action, e.Reason, e.Code))
				}
				return true
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return out
}

// origins returns the keys that the job would take and call name, whether they are
// there or not.
func (j renamed) origins(s *selection.Selection, name string) (out []string) {
	keys := []string{name}
	for _, r := range j.rules.Rename {
		if rest, ok := strings.CutPrefix(name, r.To); ok {
			keys = append(keys, r.From+rest)
		}
	}
	slices.Sort(keys)
	for _, k := range slices.Compact(keys) {
		if n, ok := s.Name(k); k != "" && ok && n == name && s.Takes(k) {
			out = append(out, k)
		}
	}
	return out
}

// Two joined listings decide what looking up each name decides, whatever the ranges
// are and wherever listing begins again; and what only the target has is what no key
// of the source has the name of.
func TestJoin_when_prefixes_are_renamed(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	decided, copied, deleted, distinct := 0, 0, 0, 0
	for n := range 1_000 {
		j := randomRenames(t, r)
		c := Config{Source: j.from, Target: j.to, Selection: j.rules, Dir: t.TempDir()}
		tr, err := Open(c)
		if err != nil {
			t.Fatal(err)
		}
		defer tr.Close()
		want := decisions(t, r, tr.lookUp, []string{"", ""})
		got := decisions(t, r, tr.join, j.bounds(r))
		if !slices.Equal(got, want) {
			t.Fatalf("case %d: %+v\njoined    %q\nlooked up %q", n, j.rules, got, want)
		}
		decided += len(got)
		copied += len(slices.DeleteFunc(slices.Clone(got), func(s string) bool { return !strings.Contains(s, "differs") }))
		if tr.distinct = tr.selected.Distinct(); !tr.distinct {
			continue
		}
		distinct++
		tr.Extraneous.Delete = true
		want = nil
		for name := range contents(t, j.to) {
			if o := j.origins(tr.selected, name); len(o) > 1 {
				t.Fatalf("case %d: %+v: %q comes from %q, yet names are distinct", n, j.rules, name, o)
			} else if len(o) == 1 && !slices.Contains(j.keys, o[0]) {
				want = append(want, name)
			}
		}
		got = nil
		_ = decisions(t, r, func(ctx context.Context, after string, upto func() string, emit func(seen) bool) error {
			return tr.join(ctx, after, upto, func(s seen) bool {
				if !emit(s) {
					return false
				}
				if s.entry != nil && s.entry.Action == page.Delete {
					got = append(got, s.entry.Name)
				}
				return true
			})
		}, j.bounds(r))
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("case %d: %+v: to be deleted %q, want %q", n, j.rules, got, want)
		}
		deleted += len(got)
	}
	t.Logf("%d decisions, %d of objects that differ; %d deletions in %d cases", decided, copied, deleted, distinct)
	if decided < 5_000 || copied < 500 || deleted < 300 || distinct < 200 {
		t.Error("the cases do not test much")
	}
}

// Real stores take what a listing of other names is asked for: keys that become longer
// than a bucket's may be, that begin in the middle of a letter or a folder.
func TestJoin_when_stores_are_real(t *testing.T) {
	folder, err := local.New(local.OS{}, t.TempDir(), local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	deep := strings.Repeat(strings.Repeat("n", 199)+"/", 4)
	for name, to := range map[string]store.Store{"folder": folder, "bucket": s3Bucket(t)} {
		from := bucket()
		for i := range 60 {
			key := []string{"in/", "in/" + deep, "in/é/", "in.", "other/", "in/" + deep + strings.Repeat("m", 190)}[i%6] + fmt.Sprint(i)
			put(t, from, key, "x")
			if rest, ok := strings.CutPrefix(key, "in/"); ok && i%4 < 2 && len(rest) < 980 {
				put(t, to, "a/long/prefix/"+rest, "x"[:i%2])
			} else if i%4 < 2 {
				put(t, to, key, "")
			}
		}
		c := Config{Source: from, Target: to, Dir: t.TempDir()}
		for _, rename := range [][]selection.Rename{
			{{From: "in/", To: "a/long/prefix/"}},
			{{From: "in/é/", To: "in/\xc3"}, {From: "in/" + deep[:150], To: "a/" + deep}, {From: "in/", To: "a/long/prefix/"}, {From: "in", To: "../"}},
			{{From: "", To: "a/long/prefix/" + deep}, {From: "in", To: ""}},
		} {
			c.Selection = selection.Rules{Rename: rename}
			tr, err := Open(c)
			if err != nil {
				t.Fatal(err)
			}
			defer tr.Close()
			for seed := range uint64(4) {
				r := rand.New(rand.NewPCG(seed, 5))
				want := decisions(t, r, tr.lookUp, []string{"", ""})
				bounds := []string{"", "in/" + deep[:700], "in/" + deep + strings.Repeat("n", 221), "in/\xc3", "o", ""}
				if got := decisions(t, r, tr.join, bounds); !slices.Equal(got, want) {
					t.Errorf("%s: %+v\njoined    %q\nlooked up %q", name, rename, got, want)
				}
			}
		}
	}
}

func s3Bucket(t *testing.T) store.Store {
	server, err := servers.Launch("minio")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	d := s3.Driver()
	s, err := d.Open(t.Context(), option.Of(d.Options, map[string]any{
		"endpoint": server.Endpoint, "bucket": server.Bucket(t), "preset": "minio", "access_key": secret.New(server.AccessKey), "secret_key": secret.New(server.SecretKey),
	}), store.Env{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// A job that renames prefixes asks for no object by itself.
func TestRun_when_renamed_objects_are_many(t *testing.T) {
	const n = 3_000
	var asked, listings atomic.Int64
	a := mem.New(mem.Options{})
	b := mem.New(mem.Options{Before: func(_ context.Context, c mem.Call) error {
		switch c.Name {
		case "stat", "open":
			asked.Add(1)
		case "list":
			listings.Add(1)
		}
		return nil
	}})
	for i := range n {
		put(t, a, fmt.Sprintf("in/%05d", i), "x")
	}
	put(t, b, "elsewhere", "x")
	put(t, b, "out/more", "x")
	p := &porter{source: a, target: b}
	rules := selection.Rules{Prefixes: []string{"in/"}, Rename: []selection.Rename{{From: "in/", To: "out/"}}}
	c := Config{Source: a, Target: b, Selection: rules, Carry: p.Carry, Extraneous: Extraneous{Delete: true}, Undivided: 500}
	for _, want := range []string{"copied", "same"} {
		c.Dir = t.TempDir()
		if err := run(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		ended := map[string]int{}
		for _, s := range states(t, c.Dir) {
			ended[s]++
		}
		if ended[want] != n {
			t.Errorf("%v, want %d %s", ended, n, want)
		}
	}
	if asked.Load() > 0 || listings.Load() > 100 {
		t.Errorf("%d objects were asked for, %d listings", asked.Load(), listings.Load())
	}
	if got := contents(t, b); len(got) != n+1 || got["elsewhere"] == "" {
		t.Errorf("%d objects in the target", len(got))
	}
	for _, rename := range []selection.Rename{{From: "in/", To: "out/"}, {From: "^in/", To: "out/", Pattern: true}} {
		c.Selection = selection.Rules{Rename: []selection.Rename{rename}}
		if _, err := Open(c); !fault.Has(err, fault.JobValue) {
			t.Errorf("%+v: %v: a name may come from two keys, yet it may be deleted", rename, err)
		}
	}
}

// A folder that cannot be read is told of under its own name, which begins with no
// prefix of the job when it is one.
func TestRun_when_the_folder_of_a_prefix_cannot_be_read(t *testing.T) {
	a, b := mem.New(mem.Options{}), mem.New(mem.Options{})
	put(t, a, "in/here", "x")
	put(t, b, "out/perhaps there", "x")
	source := &halting{Store: a, key: "in", err: fault.New(fault.SourceRefused, "a folder may not be read")}
	p := &porter{source: a, target: b}
	rules := selection.Rules{Prefixes: []string{"in/"}, Rename: []selection.Rename{{From: "in/", To: "out/"}}}
	if err := run(t.Context(), Config{Source: source, Target: b, Dir: t.TempDir(), Selection: rules, Carry: p.Carry, Extraneous: Extraneous{Delete: true}}); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, b); len(got) != 2 {
		t.Errorf("%q", got)
	}
}

// clashing renames so that two keys get each name.
var clashing = map[string]selection.Rules{
	"prefixes": {Rename: []selection.Rename{{From: "a/", To: "x/"}, {From: "b/", To: "x/"}}},
	"onto":     {Rename: []selection.Rename{{From: "a/", To: "b/"}}},
	"pattern":  {Rename: []selection.Rename{{From: "^[ab]/", To: "x/", Pattern: true}}},
}

// records returns how each key of the source ended.
func records(t *testing.T, dir string) map[string]page.Outcome {
	t.Helper()
	out := map[string]page.Outcome{}
	err := Walk(dir, func(_ Range, i page.Item, o *page.Outcome) error {
		if _, twice := out[i.Key]; twice {
			t.Errorf("%q is recorded twice", i.Key)
		}
		if out[i.Key] = (page.Outcome{}); o != nil {
			out[i.Key] = *o
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRun_when_two_keys_get_one_name(t *testing.T) {
	for name, rules := range clashing {
		t.Run(name, func(t *testing.T) {
			a, b := mem.New(mem.Options{}), mem.New(mem.Options{})
			keys := []string{"a/1", "a/2", "b/2", "c"}
			var listed []store.Object
			for _, k := range keys {
				put(t, a, k, "text of "+k)
				listed = append(listed, store.Object{Key: k}, store.Object{Key: k})
			}
			p := &porter{source: a, target: b}
			for _, dry := range []bool{true, false} {
				dir := t.TempDir()
				if err := run(t.Context(), Config{Source: a, Target: b, Dir: dir, Selection: rules, Carry: p.Carry, DryRun: dry}); err != nil {
					t.Fatal(err)
				}
				got := records(t, dir)
				lost := got["b/2"]
				if lost.State != page.Failed || lost.Code != fault.NameClash || !strings.Contains(lost.Error, `"a/2"`) {
					t.Errorf("dry %v: %+v", dry, lost)
				}
				if won := got["a/2"]; !dry && won.State != page.Copied {
					t.Errorf("%+v", won)
				}
				if _, err := os.Stat(filepath.Join(dir, "names.db")); err == nil {
					t.Error("the names are left")
				}
			}
			if got := contents(t, b); len(got) != 3 || !slices.Contains(slices.Collect(maps.Values(got)), "text of a/2") {
				t.Errorf("%q", got)
			}
			// A key that a list has twice is one key.
			list := func(yield func(store.Object, error) bool) {
				for _, o := range listed {
					if !yield(o, nil) {
						return
					}
				}
			}
			failed := 0
			dir := t.TempDir()
			if err := run(t.Context(), Config{Source: a, Target: b, Dir: dir, Selection: rules, List: list, Carry: p.Carry}); err != nil {
				t.Fatal(err)
			}
			err := Walk(dir, func(_ Range, i page.Item, o *page.Outcome) error {
				if o.State == page.Failed {
					failed++
				}
				return nil
			})
			if err != nil || failed != 2 {
				t.Errorf("%d failed, %v", failed, err)
			}
		})
	}
}

// mover moves as a job does that empties its source.
type mover struct {
	porter
	erase bool
	die   func() error

	mu      sync.Mutex
	carried map[string]string // the key whose object got to each name in this round
	wrong   []string
}

func (m *mover) Carry(ctx context.Context, item page.Item) (page.Outcome, error) {
	if err := m.die(); err != nil {
		return page.Outcome{}, err
	}
	m.mu.Lock()
	if was, ok := m.carried[item.Target()]; ok && was != item.Key {
		m.wrong = append(m.wrong, fmt.Sprintf("%q is carried for %q after %q", item.Target(), item.Key, was))
	}
	m.mu.Unlock()
	o, err := store.Find(ctx, m.source, item.Key)
	if err != nil {
		return page.Outcome{}, err
	}
	if o == nil { // it was moved, but that was not written down
		return page.Outcome{State: page.Gone, Code: fault.SourceGone}, nil
	}
	out := page.Outcome{State: page.Unchanged}
	if item.Action == page.Copy {
		if out, err = m.porter.Carry(ctx, item); err != nil {
			return out, err
		}
		m.mu.Lock()
		m.carried[item.Target()] = item.Key
		m.mu.Unlock()
	}
	if err := m.die(); err != nil {
		return page.Outcome{}, err
	}
	if !m.erase {
		return out, nil
	}
	return out, m.source.Delete(ctx, item.Key)
}

// No object is lost by a move whose rules give two keys one name, however often the
// process dies, whatever a power cut leaves, and in the next round; and of the keys of
// a name only one ends well, which the target has.
func TestRun_when_it_dies_and_names_clash(t *testing.T) {
	kinds := slices.Sorted(maps.Keys(clashing))
	clashes := 0
	for seed := range uint64(36) {
		r := rand.New(rand.NewPCG(seed, 11))
		a, b := mem.New(mem.Options{}), mem.New(mem.Options{})
		n := 1 + r.IntN(1_000)
		for i := range n {
			for _, folder := range []string{"a", "b", "c"} {
				if r.IntN(3) > 0 {
					put(t, a, fmt.Sprintf("%s/%04d", folder, i), fmt.Sprintf("%s %04d", folder, i))
				}
			}
		}
		all := contents(t, a)
		rules, erase, power := clashing[kinds[seed%3]], seed%4 < 3, seed%2 == 1
		for round := range 2 {
			dir := filepath.Join(t.TempDir(), "pages")
			m := &mover{porter: porter{source: a, target: b}, erase: erase, carried: map[string]string{}}
			for lives := 0; ; lives++ {
				if lives > 300 {
					t.Fatalf("seed %d: no end", seed)
				}
				left := atomic.Int64{}
				left.Store(r.Int64N(int64(3*n + 10)))
				m.die = func() error {
					if left.Add(-1) < 0 {
						return errCrash
					}
					return nil
				}
				err := run(t.Context(), Config{Source: a, Target: b, Dir: dir, Selection: rules, Carry: m.Carry, Erase: erase, Parallel: 2, Undivided: 1 + r.IntN(n+1)})
				if err == nil {
					break
				}
				if !errors.Is(err, errCrash) {
					t.Fatalf("seed %d: %v", seed, err)
				}
				if err := os.WriteFile(filepath.Join(dir, "names.db"), []byte(text(r, 0, 9)), 0o600); err != nil { // as the dead leave it
					t.Fatal(err)
				}
				if power {
					cutFiles(t, r, dir)
				}
			}
			if !power { // else a name may be given anew, and then the later object is there
				for _, w := range m.wrong {
					t.Errorf("seed %d: %s", seed, w)
				}
			}
			clashes += clashed(t, dir, all, contents(t, b))
			still, moved := contents(t, a), slices.Sorted(maps.Values(contents(t, b)))
			for key, text := range all {
				if _, there := slices.BinarySearch(moved, text); still[key] == "" && !there {
					t.Fatalf("seed %d, round %d: %s is lost", seed, round, key)
				}
			}
		}
	}
	if clashes < 1_000 {
		t.Errorf("%d clashes: the histories do not test much", clashes)
	}
}

// clashed counts the objects that ended with NAME_CLASH, and checks that of all others
// the target has the one that has their name.
func clashed(t *testing.T, dir string, texts, target map[string]string) (n int) {
	t.Helper()
	err := Walk(dir, func(_ Range, i page.Item, o *page.Outcome) error {
		switch {
		case o != nil && o.Code == fault.NameClash:
			n++
		case o == nil || o.State == page.Failed:
			t.Errorf("%s ended %+v", i.Key, o)
		case target[i.Target()] != texts[i.Key]:
			t.Errorf("%s ended %s, but the target has %q", i.Key, o.State, target[i.Target()])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Who mends what an object was refused for need not list everything anew.
func TestRun_when_what_was_refused_is_retried(t *testing.T) {
	a, b := bucket(), mem.New(mem.Options{})
	links := map[string]error{"link": fault.New(fault.NotAFile, "a link"), "gone": fault.New(fault.NotAFile, "a link"), "still": fault.New(fault.NotAFile, "a link")}
	folder := fault.New(fault.SourceRefused, "a folder may not be read")
	for _, k := range []string{"a/1", "b/1", "a/2", "b/2", "c/good"} {
		put(t, a, k, "text of "+k)
	}
	source := &refusing{Store: a, errs: maps.Clone(links)}
	source.errs["secret"] = folder
	p := &porter{source: a, target: b}
	dir := t.TempDir()
	c := Config{Source: source, Target: b, Dir: dir, Selection: clashing["pattern"], Carry: p.Carry}
	if err := run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	want := func(want string) {
		t.Helper()
		var got []string
		for k, o := range records(t, dir) {
			got = append(got, fmt.Sprintf("%s %s", k, cmp.Or(string(o.Code), string(o.State))))
		}
		slices.Sort(got)
		if s := strings.Join(got, ", "); s != want {
			t.Errorf("got  %s\nwant %s", s, want)
		}
	}
	want("a/1 copied, a/2 copied, b/1 NAME_CLASH, b/2 NAME_CLASH, c/good copied, gone NOT_A_FILE, link NOT_A_FILE, secret SOURCE_REFUSED, still NOT_A_FILE")
	source.errs = map[string]error{"still": links["still"]}
	put(t, a, "link", "a file now")
	if err := a.Delete(t.Context(), "b/2"); err != nil {
		t.Fatal(err)
	}
	p.carried, c.Only = nil, Failed
	if err := run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	want("a/1 copied, a/2 copied, b/1 NAME_CLASH, b/2 SOURCE_GONE, c/good copied, gone SOURCE_GONE, link copied, secret SOURCE_REFUSED, still NOT_A_FILE")
	if len(p.carried) != 1 || p.carried["link"] != 1 {
		t.Errorf("carried %v", p.carried)
	}
}

// refusing lists and finds keys that cannot be read.
type refusing struct {
	*mem.Store
	errs map[string]error
}

func (s *refusing) Stat(ctx context.Context, key string) (store.Object, error) {
	if err := s.errs[key]; err != nil && fault.Has(err, fault.NotAFile) {
		return store.Object{}, err
	}
	return s.Store.Stat(ctx, key)
}

func (s *refusing) List(ctx context.Context, prefix, after string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		found := maps.Clone(s.errs)
		for o := range s.Store.List(ctx, "", "") {
			found[o.Key] = nil
		}
		for _, key := range slices.Sorted(maps.Keys(found)) {
			if !strings.HasPrefix(key, prefix) || key <= after {
				continue
			}
			if found[key] != nil {
				if !yield(store.Object{Key: key}, found[key]) {
					return
				}
				continue
			}
			o, err := s.Store.Stat(ctx, key)
			if !yield(o, err) {
				return
			}
		}
	}
}
