package carrier

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"godwit/internal/limit"
	"godwit/internal/store"
	"godwit/internal/store/mem"
	"godwit/internal/transfer/page"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, // servers and connections to them last as long as the process
		goleak.IgnoreAnyFunction("godwit/test/servers/process.Start.func1"), goleak.IgnoreAnyFunction("os/exec.(*Cmd).Start.func2"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

// scene is a way for an object to go.
type scene struct {
	name   string
	size   int
	sums   []store.Algorithm // that both stores give
	erase  bool
	how    string
	target func(f *faulty) store.Store // with the capabilities that matter
	must   []string                    // calls that a mishap must have reached
}

// blind reports whether neither store gives sums: nobody could notice a flip.
func (s scene) blind() bool { return s.sums != nil && len(s.sums) == 0 }

// Capabilities of targets. A field called Stat would hide the method.
type (
	teller = store.Stat
	plain  struct {
		store.Store
		teller
	}
	parted struct {
		store.Store
		teller
		store.Parter
	}
	batcher = store.Batcher
	batched struct {
		store.Store
		teller
		batcher
	}
	copier = store.Copier
	served struct {
		store.Store
		teller
		copier
	}
)

const testPart = 256 << 10

func scenes() []scene {
	asPlain := func(f *faulty) store.Store { return plain{f, f} }
	asParted := func(f *faulty) store.Store { return parted{f, f, f} }
	asBatch := func(f *faulty) store.Store { return batched{f, f, f} }
	asServed := func(f *faulty) store.Store { return served{f, f, f} }
	md5, crc, no := []store.Algorithm{store.MD5}, []store.Algorithm{store.CRC32C}, []store.Algorithm{}
	return []scene{
		{name: "held", size: 5000, sums: md5, how: "put", target: asPlain, must: []string{"source open", "target put"}},
		{name: "streamed", size: 1<<20 + 99, sums: crc, how: "put", target: asPlain, must: []string{"source open", "target put"}},
		{name: "batch", size: 5000, sums: nil, how: "batch", target: asBatch, must: []string{"target batch", "target batchput", "target commit"}},
		{name: "parts", size: 3*testPart + 77, sums: crc, how: "parts", target: asParted,
			must: []string{"source stat", "target begin", "target putpart", "target complete"}},
		{name: "parts without sums", size: 3*testPart + 77, sums: no, how: "parts", target: asParted, must: []string{"source open", "target complete"}},
		{name: "server", size: 5000, sums: md5, how: "server", target: asServed, must: []string{"target copy"}},
		{name: "move", size: 5000, sums: md5, erase: true, how: "put", target: asPlain, must: []string{"source stat", "source delete"}},
		{name: "move without sums", size: 5000, sums: no, erase: true, how: "put", target: asPlain,
			must: []string{"target stat", "target open", "source stat", "source delete"}},
		{name: "move in parts", size: 3*testPart + 77, sums: crc, erase: true, how: "parts", target: asParted, must: []string{"target complete", "source delete"}},
		{name: "move on the server", size: 5000, sums: no, erase: true, how: "server", target: asServed,
			must: []string{"target copy", "source open", "target open", "source delete"}},
	}
}

// plant makes stores that stand for a defect of the carrier; nil: none.
type plant func(source, target store.Store) (store.Store, store.Store)

// play runs a scene with a mishap at step n, once more after a crash, and
// returns the call that had it ("": there are fewer steps) and what is wrong.
func (s scene) play(t *testing.T, what mishap, n int, p plant) (reached string, problems []string) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{key: "dir/object", dir: t.TempDir(), what: what, n: n, erases: s.erase && what != vanishes}
		w.source = mem.New(mem.Options{Sums: s.sums, Where: "source"})
		w.target = mem.New(mem.Options{Sums: s.sums, Where: "target"})
		data := make([]byte, s.size)
		random := rand.New(rand.NewPCG(1, uint64(s.size)))
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		w.versions = [][]byte{data}
		mode := store.PutOptions{Attributes: store.Attributes{ContentType: "text/x", Metadata: map[string]string{"a": "b"}}}
		o, err := w.source.Put(t.Context(), "dir/object", bodyOf(data), mode)
		if err != nil {
			t.Fatal(err)
		}
		item := page.Item{Key: o.Key, Size: o.Size, Modified: o.Modified, Version: o.Version, Sums: o.Sums, Action: page.Copy}
		out, err := s.carry(t, w, item, p)
		if w.dead {
			if !errors.Is(err, errCrash) {
				problems = append(problems, fmt.Sprintf("a crash ended with %+v, %v", out, err))
			}
			w.look("after the crash")
			w.dead, w.n = false, -1
			out, err = s.carry(t, w, item, p)
		}
		reached = w.reached
		problems = append(problems, append(w.problems, s.judge(w, item, out, err)...)...)
	})
	return reached, problems
}

// carry carries the item with a new Carrier.
func (s scene) carry(t *testing.T, w *world, item page.Item, p plant) (page.Outcome, error) {
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	w.kill = cancel
	source, target := store.Store(&faulty{w.source, w, "source"}), s.target(&faulty{w.target, w, "target"})
	if p != nil {
		source, target = p(source, target)
	}
	budget := limit.NewBudget(4 << 20)
	c := New(Config{Source: source, Target: target, Dir: w.dir, Budget: budget, Lanes: 2, PartSize: testPart, Erase: s.erase,
		Rand: func() float64 { return 0.5 }})
	c.sync = func(*os.File) error { return nil }
	out, err := c.Carry(ctx, item)
	if !w.dead {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	} else if c.batches != nil {
		c.batches.close()
	}
	if budget.Taken() != 0 {
		w.problem(fmt.Sprintf("%d bytes of the budget were not given back", budget.Taken()))
	}
	if c.lanes.used != 0 || c.lanes.large != 0 || c.lanes.small.held != 0 {
		w.problem("lanes were not given back")
	}
	return out, err
}

// judge says what is wrong with how a run ended.
func (s scene) judge(w *world, item page.Item, out page.Outcome, err error) []string {
	var problems []string
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	have := contents(w.target, item.Target())
	if err != nil {
		wrong("the job was stopped: %v", err)
		return problems
	}
	last := w.versions[len(w.versions)-1]
	switch {
	case w.what == vanishes && out.State == page.Gone:
		if have != nil {
			wrong("gone, and yet there")
		}
		return problems
	case w.what == crashAfter && w.reached == "source delete" && out.State == page.Gone:
		if !bytes.Equal(have, last) {
			wrong("the last version is lost")
		}
		return problems
	case w.what == changes && s.erase && out.State == page.Failed && out.Code == "SOURCE_CHANGED":
		return problems // it changed after it was copied: the new version stays
	case out.State != page.Copied:
		wrong("ended as %s %s %s", out.State, out.Code, out.Error)
		return problems
	}
	if !slices.ContainsFunc(w.versions, func(v []byte) bool { return bytes.Equal(v, have) }) {
		wrong("the target has other bytes than the source")
	}
	if s.erase && !out.Erased {
		wrong("it was not deleted in the source")
	}
	if s.erase && !bytes.Equal(have, last) {
		wrong("the last version is lost")
	}
	if out.How != s.how {
		wrong("carried by %s, not %s", out.How, s.how)
	}
	bound := int64(s.size) * 2
	if s.how == "parts" {
		bound = int64(s.size) + 2*testPart // two lanes are in flight
	}
	if w.what == changes || w.what == flipped { // a part's flip is found when all are there
		bound += 2 * int64(s.size)
	}
	if w.received > bound {
		wrong("%d bytes were sent of an object of %d", w.received, s.size)
	}
	crashed := strings.HasPrefix(string(w.what), "crash")
	if !crashed && out.Bytes < w.received || out.Bytes > w.received+3*int64(s.size) {
		wrong("%d bytes are recorded, the target read %d", out.Bytes, w.received)
	}
	if st, err := w.target.Stat(context.Background(), item.Target()); err != nil || w.what != changes && (st.Attributes == nil ||
		st.Attributes.ContentType != "text/x" || st.Attributes.Metadata["a"] != "b") {
		wrong("its attributes are %+v, %v", st.Attributes, err)
	}
	if checked := !s.blind() || s.how == "parts" || s.erase && w.what != vanishes; checked == (out.Checked == "size") && w.what != vanishes {
		wrong("checked by %q", out.Checked)
	}
	return problems
}

func TestCarry_when_a_mishap_comes_at_any_step(t *testing.T) {
	for _, s := range scenes() {
		for _, what := range []mishap{errBefore, errAfter, slowDown, stalls, shortBody, flipped, changes, vanishes, crashBefore, crashAfter} {
			t.Run(s.name+"/"+string(what), func(t *testing.T) {
				if what == flipped && s.blind() {
					return
				}
				steps := s.everyStep(t, what, nil, func(n int, reached string, problems []string) {
					t.Errorf("step %d, %s:\n%s", n, reached, strings.Join(problems, "\n"))
				})
				for _, call := range s.must {
					if !slices.Contains(steps, call) {
						t.Errorf("no mishap at %s: only %q", call, steps)
					}
				}
			})
		}
	}
}

// everyStep plays the scene with the mishap at step 0, 1, 2 … until a run has
// fewer steps, and returns the calls that had it.
func (s scene) everyStep(t *testing.T, what mishap, p plant, tell func(n int, reached string, problems []string)) []string {
	var steps []string
	for n := 0; ; n++ {
		if n > 200 {
			t.Fatal("it does not end")
		}
		reached, problems := s.play(t, what, n, p)
		if len(problems) > 0 {
			tell(n, reached, problems)
		}
		if reached == "" {
			return steps
		}
		steps = append(steps, reached)
	}
}
