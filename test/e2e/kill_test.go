package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"
)

// aims are where a round is to be killed.
func aims() []string {
	return []string{"snapshot", "snapshot", "hand-over", "roll", "publish", "schema change", "stream", "two at once", "publish", "schema change", "roll", "stream"}
}

// TestKill kills the binary again and again, at progress drawn from a seed, while
// the source changes, and judges what each kill left.
func TestKill(t *testing.T) {
	t.Parallel()
	kills(t, 2, mariaDB) // one with tables of one chunk, one with tables of many
}

// TestKill_of_MySQL is TestKill with a log that MySQL compresses.
func TestKill_of_MySQL(t *testing.T) {
	t.Parallel()
	kills(t, 1, mySQL, "--binlog-transaction-compression=ON")
}

// kills runs so many lives with a make of server, more of them in a soak.
func kills(t *testing.T, lives int, of kind, options ...string) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("GODWIT_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	if soak() {
		lives = 200/len(aims()) + 1
	}
	t.Logf("seed %d (GODWIT_SEED)", seed)
	hit := map[string]int{}
	for n := range lives {
		life(t, seed+uint64(n), hit, of, options...)
	}
	t.Logf("kills: %v", hit)
	for _, a := range aims() {
		if hit[a] == 0 {
			t.Errorf("no kill hit %s", a)
		}
	}
}

// life is one target from its beginning to the end.
func life(t *testing.T, seed uint64, hit map[string]int, of kind, options ...string) {
	r := rand.New(rand.NewPCG(seed, 1))
	w := newWorldOf(t, of, seed, options...)
	chunk := map[bool]string{true: "32KiB", false: "64MiB"}[seed%2 == 1]
	j := newJob(t, w.server, "until", "", "roll", "{size: 64KiB, every: 1s}", "chunk_size", chunk)
	w.write()
	var all verdict
	for n, aim := range aims() {
		begin := time.Now()
		state := filepath.Join(j.dir, fmt.Sprint("state", n))
		if r.IntN(2) == 0 {
			state = j.state() // kept from a round before, or not
		}
		p := start(t, w.server.Password, "run", j.file(), "--state", state, "--json")
		k := killer{t: t, w: w, j: j, r: r, p: p}
		if !k.reach(aim) {
			t.Fatalf("seed %d, round %d: godwit ended before %s:\n%s", seed, n, aim, clip(p.said()))
		}
		k.p.kill()
		v, g, wrong := w.judgeQuietly(j.lake())
		if wrong != "" {
			t.Fatalf("seed %d, round %d, killed at %s: %s\nkept: %s\n%s", seed, n, aim, wrong, keep(t, j), clip(k.p.said()))
		}
		hit[aim]++
		if len(g.unpublished) > 0 {
			hit["between record and publish"]++
		}
		all.add(v)
		if v.tables > 0 {
			w.whole.Store(true)
		}
		t.Logf("round %d: %s, state %s, %+v, %d unpublished, %v", n, aim, filepath.Base(state), v, len(g.unpublished), time.Since(begin).Round(time.Millisecond))
	}
	w.halt()
	j.set("until", "head")
	for _, again := range []string{"first", "second"} {
		code, said := run(t, w.server.Password, j.args()...)
		want(t, code, said, 0)
		if code != 0 {
			t.Fatalf("seed %d: the last run, %s time", seed, again)
		}
	}
	if wrong := w.judgeEnd(j); wrong != "" {
		t.Fatalf("seed %d: at the end: %s\nkept: %s", seed, wrong, keep(t, j))
	}
	t.Logf("seed %d: %+v over %d scripts of the writer, %d schema changes; equal at the end", seed, all, w.scripts, w.schema)
	if all.tables == 0 || all.chunks == 0 && seed%2 == 0 {
		t.Errorf("nothing was judged: %+v", all)
	}
}

// judgeQuietly judges a crash while the writer waits.
func (w *world) judgeQuietly(root string) (verdict, *target, string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock() // also when a judge fails the test
	v, g, wrong := w.judgeCrash(root)
	if w.err != nil {
		wrong = w.err.Error()
	}
	return v, g, wrong
}

// judgeEnd compares files at rest with the source itself, as a plain reader would:
// the status file first, then the files up to its place.
func (w *world) judgeEnd(j *job) string { return w.judgeEndIn(j.lake()) }

// judgeEndIn is judgeEnd of another target.
func (w *world) judgeEndIn(lake string) string {
	g := readTarget(w.t, lake)
	for _, r := range g.unpublished { // a plain reader misses them; the rest is judged as if they were there
		w.t.Errorf("the job is at rest and %s, which a commit names, is not published", r.Key)
	}
	if left := stagedFiles(w.t, lake); left > len(g.unpublished) {
		w.t.Logf("%d staged files are left that no commit names", left-len(g.unpublished))
	}
	if wrong := w.unique(lake); wrong != "" {
		return wrong
	}
	if g.status == nil {
		return "there is no status file"
	}
	for _, x := range g.status.Tables {
		if !x.Complete || x.From > g.status.At.Pos {
			return fmt.Sprintf("the status file says that %s is complete: %v, from %s, at %s", x.Name, x.Complete, x.From, g.status.At.Pos)
		}
	}
	view := g.view(w.t)
	w.statusPath = filepath.Join(lake, "_godwit/status.json")
	for _, upto := range []string{"", g.status.At.Pos} {
		v, wrong := w.judgeState(view, g.status, upto, w.server)
		if wrong != "" {
			return fmt.Sprintf("read up to %q: %s", upto, wrong)
		}
		if v.tables != len(tables()) {
			return fmt.Sprintf("only %d tables were compared", v.tables)
		}
	}
	return ""
}

func stagedFiles(t testing.TB, root string) int {
	t.Helper()
	left, err := os.ReadDir(filepath.Join(root, "_godwit/staging"))
	if err != nil {
		t.Fatal(err)
	}
	return len(left)
}

// keep saves a target that was judged wrong.
func keep(t *testing.T, j *job) string {
	to, err := os.MkdirTemp("", "godwit-e2e-kept-")
	if err == nil {
		err = os.CopyFS(to, os.DirFS(j.dir))
	}
	if err != nil {
		return err.Error()
	}
	return to
}

// killer brings a process to the moment at which it is to be killed.
type killer struct {
	t *testing.T
	w *world
	j *job
	r *rand.Rand
	p *process
}

// reach returns at the moment; false: the process ended before.
func (k *killer) reach(aim string) bool {
	switch aim {
	case "snapshot":
		n := k.chunks() + 1 + k.r.IntN(2)
		return k.look(func() bool { return k.chunks() >= n || k.copied() }) // all may have been there before the kill of a round before
	case "hand-over":
		ok := k.p.until("the stream", phase("stream"))
		time.Sleep(time.Duration(k.r.IntN(40)) * time.Millisecond)
		return ok
	}
	if !k.p.until("the stream", phase("stream")) || !k.caughtUp() {
		return false
	}
	switch aim {
	case "roll":
		before := k.list("staging")
		return k.look(func() bool {
			return slices.ContainsFunc(k.list("staging"), func(n string) bool { return !slices.Contains(before, n) })
		})
	case "publish":
		n := k.record()
		return k.look(func() bool { return k.record() > n })
	case "schema change":
		n := k.schemas()
		return k.look(func() bool { return k.schemas() > n }) && k.linger(30)
	case "two at once":
		return k.fence()
	}
	n := k.record() + uint64(1+k.r.IntN(4))
	return k.look(func() bool { return k.record() >= n }) && k.linger(300)
}

// caughtUp waits until the snapshot is whole in the committed record.
func (k *killer) caughtUp() bool { return k.look(k.copied) }

// copied reports whether the snapshot is whole in the committed record.
func (k *killer) copied() bool {
	s, err := readShard(k.j.lake(), filepath.Join(k.j.lake(), "_godwit/shards/stream"))
	if err != nil || s.set["copied"].IsZero() {
		return false
	}
	c, err := s.set["copied"].Compare(s.set["stream"])
	return err == nil && c <= 0
}

func (k *killer) linger(most int) bool {
	time.Sleep(time.Duration(k.r.IntN(most)) * time.Millisecond)
	return true
}

// fence starts a second process with a state of its own; the first must end.
func (k *killer) fence() bool {
	first := k.p
	k.p = start(k.t, k.w.server.Password, "run", k.j.file(), "--state", filepath.Join(k.j.dir, "other"), "--json")
	code := first.wait(time.Minute)
	want(k.t, code, first.said(), 1, "FENCED")
	n := k.record()
	return k.look(func() bool { return k.record() > n+1 })
}

// look waits until found holds, looking often.
func (k *killer) look(found func() bool) bool {
	k.t.Helper()
	limit := time.Now().Add(time.Minute)
	for !found() {
		select {
		case <-k.p.ended:
			return false
		default:
		}
		if time.Now().After(limit) {
			k.t.Fatalf("the moment did not come\n%s\n%s", clip(k.p.said()), k.p.stacks())
		}
		time.Sleep(100 * time.Microsecond)
	}
	return true
}

// list returns the names in a folder of the control folder.
func (k *killer) list(dir string) []string {
	entries, _ := os.ReadDir(filepath.Join(k.j.lake(), "_godwit", dir))
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// chunks counts shards of chunks with a commit in them.
func (k *killer) chunks() int {
	n := 0
	for _, s := range k.list("shards") {
		if s != "stream" && len(k.list("shards/"+s+"/commits")) > 1 {
			n++
		}
	}
	return n
}

func (k *killer) schemas() int { return len(k.list("once/schemas")) }

// record is the number of the stream's greatest record.
func (k *killer) record() uint64 {
	var most uint64
	for _, n := range k.list("shards/stream/commits") {
		if v, err := strconv.ParseUint(n, 10, 64); err == nil {
			most = max(most, v)
		}
	}
	return most
}
