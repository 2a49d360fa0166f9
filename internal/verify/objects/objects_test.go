package objects

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"godwit/internal/fault"
	"godwit/internal/store"
	"godwit/internal/store/local"
	"godwit/internal/store/mem"
	"godwit/internal/transfer/selection"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func choose(t *testing.T, r selection.Rules) *selection.Selection {
	t.Helper()
	s, err := selection.New(r)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// everything is what a job chooses without any rules.
var everything = selection.Rules{}

func put(t *testing.T, s store.Store, key, text string) {
	t.Helper()
	b := store.Body{Size: int64(len(text)), Open: func(off int64) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(text[off:])), nil
	}}
	if _, err := s.Put(context.Background(), key, b, store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
}

// verify runs a verification and returns the findings as "name verdict how", in
// order.
func verify(t *testing.T, c Config) (Report, []string) {
	t.Helper()
	var found []string
	c.Found = func(f Finding) error {
		found = append(found, fmt.Sprintf("%s %s %s", f.Name, f.Verdict, f.How))
		if f.Reason == "" {
			t.Errorf("%s: no reason", f.Name)
		}
		return nil
	}
	r, err := Verify(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	return r, found
}

// sides are the kinds of stores that meet: which sums each gives unasked.
var sides = map[string][2][]store.Algorithm{
	"sums of one kind":     {{store.MD5}, {store.MD5}},
	"the source has none":  {{}, {store.MD5}},
	"the target has none":  {{store.SHA256}, {}},
	"sums of two kinds":    {{store.SHA256}, {store.MD5}},
	"neither has any sums": {{}, {}},
}

func TestVerify_when_things_differ(t *testing.T) {
	for name, sums := range sides {
		t.Run(name, func(t *testing.T) {
			a, b := mem.New(mem.Options{Sums: sums[0]}), mem.New(mem.Options{Sums: sums[1]})
			for i := range 500 {
				key := fmt.Sprintf("d%d/k%03d", i%7, i)
				put(t, a, key, fmt.Sprint("contents ", i))
				put(t, b, key, fmt.Sprint("contents ", i))
			}
			if r, found := verify(t, Config{Source: a, Target: b, Choose: choose(t, everything)}); !r.Whole() || len(found) > 0 || r.Objects() != 500 {
				t.Fatalf("equal sides: %+v, %q", r, found)
			}
			put(t, b, "d0/k007", "contentS 7")
			put(t, b, "d1/k008", "contents 88")
			put(t, a, "only here", "")
			put(t, b, "only there", "")
			for i, how := range []string{"size", "bytes", ""} {
				r, found := verify(t, Config{Source: a, Target: b, Choose: choose(t, everything), Strength: []Strength{Sizes, Bytes, Strongest}[i]})
				want := []string{"d1/k008 different size", "only here missing listing", "only there extra listing"}
				if how != "size" {
					if len(found) > 0 && how == "" { // which kind of sum depends on the sides
						how = strings.TrimPrefix(found[0], "d0/k007 different ")
					}
					want = append([]string{"d0/k007 different " + how}, want...)
				}
				if !slices.Equal(found, want) || r.Whole() || r.Objects() != 502 {
					t.Errorf("found %q, want %q", found, want)
				}
			}
		})
	}
}

func TestVerify_when_one_byte_of_many_objects_differs(t *testing.T) {
	const objects = 100_000
	a, b := mem.New(mem.Options{Sums: []store.Algorithm{}}), mem.New(mem.Options{Sums: []store.Algorithm{store.MD5}})
	wrong := rand.IntN(objects)
	for i := range objects {
		key, text := fmt.Sprintf("%02x/%06d", i%256, i), fmt.Sprintf("this is object %d", i)
		put(t, a, key, text)
		if i == wrong {
			text = "T" + text[1:]
		}
		put(t, b, key, text)
	}
	r, found := verify(t, Config{Source: a, Target: b, Choose: choose(t, everything)})
	if want := fmt.Sprintf("%02x/%06d different md5", wrong%256, wrong); len(found) != 1 || found[0] != want || r.Objects() != objects {
		t.Errorf("found %q of %d, want %q", found, r.Objects(), want)
	}
}

func TestVerify_when_names_change(t *testing.T) {
	a, b := mem.New(mem.Options{}), mem.New(mem.Options{})
	for _, k := range []string{"a/1", "a/2", "a/skip", "c/b", "elsewhere"} {
		put(t, a, k, "text of "+k)
	}
	put(t, b, "z/1", "text of a/1")
	put(t, b, "z/2", "Text of a/2")
	put(t, b, "z/3", "more")
	put(t, b, "z/skip", "not the job's")
	put(t, b, "b", "text of c/b")
	put(t, b, "elsewhere", "not the job's either")
	in := []string{"a/", "c/b"}
	for name, c := range map[string]struct {
		rename  []selection.Rename
		unknown string
		want    []string
	}{
		"by prefixes":                 {[]selection.Rename{{From: "a/", To: "z/"}, {From: "c/", To: ""}}, "", []string{"z/2 different xxh3", "z/3 extra listing"}},
		"by prefixes, some of no use": {[]selection.Rename{{From: "a/", To: "z/"}, {From: "c/b", To: "b"}, {From: "a/1", To: "never"}, {From: "c/", To: "b"}}, "", []string{"z/2 different xxh3", "z/3 extra listing"}},
		"by a pattern":                {[]selection.Rename{{From: "^a/", To: "z/", Pattern: true}, {From: "^c/", To: "", Pattern: true}}, "by a pattern", []string{"z/2 different xxh3"}},
	} {
		var asked atomic.Int64
		target := &asking{b, &asked}
		r, found := verify(t, Config{Source: a, Target: target, Choose: choose(t, selection.Rules{Prefixes: in, Exclude: []string{"*skip"}, Rename: c.rename})})
		if !slices.Equal(found, c.want) || (r.ExtraUnknown == "") != (c.unknown == "") || !strings.Contains(r.ExtraUnknown, c.unknown) || r.Whole() {
			t.Errorf("%s: %q, want %q; %+v", name, found, c.want, r)
		}
		if most := int64(len(found)); c.unknown == "" && asked.Load() > most { // only what looks wrong is looked at once more
			t.Errorf("%s: %d objects were asked for by themselves, want %d", name, asked.Load(), most)
		}
	}
	// What may be the copy of another key is not called extra.
	r, found := verify(t, Config{Source: a, Target: b, Choose: choose(t, selection.Rules{Prefixes: []string{"a/1", "c/"}, Rename: []selection.Rename{{From: "a/", To: "z/"}, {From: "c/", To: "z/"}}})})
	if want := []string{"z/b missing listing"}; !slices.Equal(found, want) || !strings.Contains(r.ExtraUnknown, "two keys") {
		t.Errorf("two keys of one name: %q, want %q; %+v", found, want, r)
	}
}

// asking counts the objects that are asked for by themselves.
type asking struct {
	*mem.Store
	n *atomic.Int64
}

func (s *asking) Stat(ctx context.Context, key string) (store.Object, error) {
	s.n.Add(1)
	return s.Store.Stat(ctx, key)
}

// An object that came to the source after it was listed is looked for under the key
// that its name comes from.
func TestVerify_when_a_renamed_object_arrives_meanwhile(t *testing.T) {
	var a *mem.Store
	before := func(_ context.Context, c mem.Call) error {
		if c == (mem.Call{Name: "stat", Key: "in/late"}) {
			put(t, a, "in/late", "text")
		}
		return nil
	}
	a = mem.New(mem.Options{Before: before})
	b := mem.New(mem.Options{})
	put(t, b, "out/late", "text")
	rules := selection.Rules{Prefixes: []string{"in/"}, Rename: []selection.Rename{{From: "in/", To: "out/"}}}
	if r, found := verify(t, Config{Source: a, Target: b, Choose: choose(t, rules)}); len(found) > 0 || !r.Whole() || r.Objects() != 1 {
		t.Errorf("%q, %+v", found, r)
	}
}

// A folder cannot have what only marks a folder in a bucket, and needs it not; what
// else is not there is missing.
func TestVerify_when_objects_mark_folders(t *testing.T) {
	folder, err := local.New(local.OS{}, t.TempDir(), local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	a := mem.New(mem.Options{})
	put(t, folder, "d/file", "text")
	put(t, folder, "in/d/file", "text")
	bucket := mem.New(mem.Options{})
	put(t, bucket, "d/file", "text")
	put(t, a, "d/file", "text")
	put(t, a, "d/", "")
	put(t, a, "e/f/", "")
	put(t, a, "g/", "not empty")
	put(t, a, "h", "")
	below := func(from, to string, pattern bool) selection.Rules {
		return selection.Rules{Exclude: []string{"/in/"}, Rename: []selection.Rename{{From: from, To: to, Pattern: pattern}}}
	}
	for _, c := range []struct {
		to     store.Store
		choose selection.Rules
		want   string
		equal  int64
	}{
		{folder, selection.Rules{Exclude: []string{"/in/"}}, "g/ unreadable , h missing listing", 2},
		{folder, below("", "in/", false), "in/g/ unreadable , in/h missing listing", 2},
		{folder, below("^", "in/", true), "in/g/ unreadable , in/h missing listing", 2},
		{folder, below("/?$", "_", true), "d/file_ missing listing, d_ missing listing, e/f_ missing listing, g_ missing listing, h_ missing listing", 0},
		{bucket, everything, "d/ missing listing, e/f/ missing listing, g/ missing listing, h missing listing", 0},
	} {
		r, found := verify(t, Config{Source: a, Target: c.to, Choose: choose(t, c.choose)})
		if got := strings.Join(found, ", "); got != c.want || r.By["folder"] != c.equal {
			t.Errorf("found %s, want %s; %d mark folders, want %d", got, c.want, r.By["folder"], c.equal)
		}
	}
}

func TestVerify_when_only_checksums_are_asked_for(t *testing.T) {
	a, b := mem.New(mem.Options{Sums: []store.Algorithm{store.MD5}}), mem.New(mem.Options{Sums: []store.Algorithm{}})
	put(t, a, "k", "x")
	put(t, b, "k", "x")
	if r, found := verify(t, Config{Source: a, Target: b, Choose: choose(t, everything), Strength: Checksums}); !slices.Equal(found, []string{"k not_comparable "}) || r.Whole() || r.Read != 0 {
		t.Errorf("found %q, %+v", found, r)
	}
}

func TestVerify_when_the_listing_is_older_than_the_objects(t *testing.T) {
	var a, b *mem.Store
	var once sync.Once
	// Between the listings and the comparison both sides are written anew, and
	// what was missing arrives.
	before := func(_ context.Context, c mem.Call) error {
		if c.Name == "stat" {
			once.Do(func() {
				for _, s := range []*mem.Store{a, b} {
					put(t, s, "new", "text")
					put(t, s, "changed", "other contents")
				}
			})
		}
		return nil
	}
	a, b = mem.New(mem.Options{Before: before}), mem.New(mem.Options{Before: before})
	put(t, a, "new", "text")
	put(t, a, "changed", "contents 1")
	put(t, b, "changed", "contents 2")
	if r, found := verify(t, Config{Source: a, Target: b, Choose: choose(t, everything)}); len(found) > 0 || !r.Whole() {
		t.Errorf("found %q, %+v", found, r)
	}
}

func TestVerify_when_an_object_never_rests(t *testing.T) {
	var a *mem.Store
	var mu sync.Mutex
	n := 0
	before := func(_ context.Context, c mem.Call) error {
		if c.Name != "open" {
			return nil
		}
		mu.Lock()
		n++
		text := fmt.Sprintf("contents %04d", n)
		mu.Unlock()
		put(t, a, "k", text)
		return nil
	}
	a = mem.New(mem.Options{Sums: []store.Algorithm{}, Before: before})
	b := mem.New(mem.Options{Sums: []store.Algorithm{}})
	put(t, a, "k", "contents 0000")
	put(t, b, "k", "contents 0000")
	if _, found := verify(t, Config{Source: a, Target: b, Choose: choose(t, everything)}); !slices.Equal(found, []string{"k changing "}) {
		t.Errorf("found %q", found)
	}
}

func TestVerify_when_stores_fail(t *testing.T) {
	fails := 0
	var mu sync.Mutex
	fill := func(o mem.Options) *mem.Store {
		s := mem.New(o)
		put(t, s, "k", "x")
		put(t, s, "l", "y")
		return s
	}
	none := []store.Algorithm{}
	b := fill(mem.Options{Sums: none})
	passing := fill(mem.Options{Sums: none, Before: func(_ context.Context, c mem.Call) error {
		mu.Lock()
		defer mu.Unlock()
		if fails++; c.Name == "open" && fails%2 == 0 {
			return fault.New(fault.StoreBusy, "slow down")
		}
		return nil
	}})
	if r, found := verify(t, Config{Source: passing, Target: b, Choose: choose(t, everything), Parallel: 1}); len(found) > 0 || !r.Whole() {
		t.Errorf("failures that pass: %q", found)
	}
	refusing := fill(mem.Options{Sums: none, Before: func(_ context.Context, c mem.Call) error {
		if c == (mem.Call{Name: "open", Key: "k"}) {
			return fault.New(fault.SourceRefused, "no permission")
		}
		return nil
	}})
	if r, found := verify(t, Config{Source: refusing, Target: b, Choose: choose(t, everything)}); !slices.Equal(found, []string{"k unreadable "}) || r.Objects() != 2 {
		t.Errorf("one may not be read: %q", found)
	}
	locked := fill(mem.Options{Sums: none, Before: func(_ context.Context, c mem.Call) error {
		if c.Name == "open" {
			return fault.New(fault.StoreAuth, "who are you")
		}
		return nil
	}})
	if _, err := Verify(context.Background(), Config{Source: locked, Target: b, Choose: choose(t, everything)}); !fault.Has(err, fault.StoreAuth) {
		t.Errorf("credentials: %v", err)
	}
}

func TestVerify_when_it_is_stopped(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("enough")
	a := mem.New(mem.Options{List: func(_, _ string) iter.Seq2[store.Object, error] {
		return func(yield func(store.Object, error) bool) {
			for i := 0; yield(store.Object{Key: fmt.Sprintf("%09d", i)}, nil); i++ {
				if i == 10_000 {
					cancel(why)
				}
			}
		}
	}})
	if _, err := Verify(ctx, Config{Source: a, Target: mem.New(mem.Options{}), Choose: choose(t, everything)}); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}

func TestDigest_when_it_is_of_parts(t *testing.T) {
	data := make([]byte, 2_500)
	for i := range data {
		data[i] = byte(rand.Uint32())
	}
	var sums []byte
	for p := range slices.Chunk(data, 1_000) {
		s := md5.Sum(p)
		sums = append(sums, s[:]...)
	}
	whole := md5.Sum(sums)
	want := store.Sum{Algorithm: store.MD5, Value: hex.EncodeToString(whole[:]), Parts: 3, PartSize: 1_000}
	for _, step := range []int{1, 7, 999, 1_000, 1_001, 2_500} {
		d := newDigest(want)
		for p := range slices.Chunk(data, step) {
			_, _ = d.Write(p)
		}
		if got := d.sum(); got != want.Value {
			t.Errorf("written by %d: %s, want %s", step, got, want.Value)
		}
	}
}

func TestDiffer_when_a_byte_differs(t *testing.T) {
	j := &job{}
	a := bytes.Repeat([]byte("abc"), 1_000)
	for _, at := range []int{0, 1, 255, 256, 2_999} {
		b := bytes.Clone(a)
		b[at]++
		if got, err := j.differ(bytes.NewReader(a), bytes.NewReader(b), make([]byte, 512)); err != nil || got != int64(at) {
			t.Errorf("byte %d: %d, %v", at, got, err)
		}
	}
	if got, _ := j.differ(bytes.NewReader(a), bytes.NewReader(a[:2_000]), make([]byte, 512)); got != 2_000 {
		t.Errorf("cut: %d", got)
	}
	if got, _ := j.differ(bytes.NewReader(a), bytes.NewReader(a), make([]byte, 512)); got != -1 {
		t.Errorf("equal: %d", got)
	}
}

func TestReport_when_counted(t *testing.T) {
	a, b := mem.New(mem.Options{}), mem.New(mem.Options{})
	put(t, a, "k", "12345")
	put(t, b, "k", "12345")
	r, _ := verify(t, Config{Source: a, Target: b, Choose: choose(t, everything)})
	if got := slices.Collect(maps.Keys(r.Verdicts)); len(got) != 1 || r.Verdicts[Equal].Bytes != 5 || r.By["xxh3"] != 1 {
		t.Errorf("%+v", r)
	}
}
