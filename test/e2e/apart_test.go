package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const apartRounds = 10

// TestApart_when_killed has tables of a job under a server paused, resumed, read again,
// left out and taken in again while the source changes, and kills the server each time
// in the middle of it. At each kill what is together is exact; at the end everything is.
func TestApart_when_killed(t *testing.T) {
	t.Parallel()
	lives := 1
	if soak() {
		lives = 200 / apartRounds
	}
	seed := uint64(time.Now().UnixNano())
	for n := range lives {
		t.Run(fmt.Sprint("life ", n+1), func(t *testing.T) { apartAndDie(t, seed+uint64(n)) })
	}
}

// separated is a server with one job of which tables come and go.
type separated struct {
	*served
	j   *job
	did map[string]int
}

func apartAndDie(t *testing.T, seed uint64) {
	t.Logf("seed %d", seed)
	s := &separated{
		served: &served{t: t, r: rand.New(rand.NewPCG(seed, 3)), w: newWorld(t, seed), state: filepath.Join(t.TempDir(), "state")},
		did:    map[string]int{},
	}
	s.j = newJob(t, s.w.server, "name", "apart", "until", "", "roll", "{size: 64KiB, every: 1s}", "chunk_size", "32KiB")
	s.data = append(s.data, s.j.dir)
	s.w.write()
	s.start()
	s.ask("job", "submit", s.j.file())
	s.together()
	s.w.whole.Store(true)
	var seen verdict
	for n := range apartRounds {
		for range 1 + s.r.IntN(3) {
			s.something()
			<-time.After(time.Duration(s.r.IntN(700)) * time.Millisecond)
		}
		s.p.kill()
		v, wrong := s.w.judgeApart(s.j.lake())
		if wrong != "" {
			t.Fatalf("round %d, %v: %s\nkept: %s\n%s", n, s.did, wrong, keep(t, s.j), clip(s.p.said()))
		}
		seen.add(v)
		s.start()
	}
	s.choose(nil)
	s.ask(append([]string{"tables", "resume", "apart"}, s.names()...)...)
	s.together()
	for _, act := range []string{"pause", "resume"} { // who stands apart at the end joins in the last run
		for _, name := range s.names()[:3] {
			s.try(act, "tables", act, "apart", name)
		}
	}
	s.w.halt()
	s.p.signal(syscall.SIGTERM)
	if code := s.p.wait(time.Minute); code != 143 {
		t.Errorf("exit code %d\n%s", code, clip(s.p.said()))
	}
	s.j.set("until", "head")
	code, said := run(t, s.w.server.Password, "run", s.j.file(), "--state", s.state, "--json")
	want(t, code, said, 0)
	if wrong := s.w.judgeEnd(s.j); wrong != "" {
		t.Errorf("at the end, %v: %s\nkept: %s", s.did, wrong, keep(t, s.j))
	}
	t.Logf("%d kills, %v: %+v", apartRounds, s.did, seen)
	if seen.tables == 0 {
		t.Error("nothing was judged")
	}
}

// names are tables that keep their names.
func (s *separated) names() (out []string) {
	for _, names := range tables() {
		if len(names) == 1 {
			out = append(out, "app."+names[0])
		}
	}
	return out
}

// something asks for something, which may not be possible now.
func (s *separated) something() {
	all := s.names()
	name := all[s.r.IntN(len(all))]
	switch act := []string{"pause", "pause", "resume", "resume", "resync", "edit"}[s.r.IntN(6)]; act {
	case "edit":
		s.choose([]string{name, all[s.r.IntN(len(all))]}[:s.r.IntN(3)])
	case "resync":
		s.try("resync", "job", "resync", "apart", name)
	default:
		s.try(act, "tables", act, "apart", name)
	}
}

func (s *separated) try(what string, args ...string) {
	s.t.Helper()
	code, said := run(s.t, s.w.server.Password, append(args, "--state", s.state)...)
	if code != 0 {
		what += " refused"
		if !strings.Contains(said, "NOT_NOW") && !strings.Contains(said, "JOB_EDIT") && !strings.Contains(said, "TABLE_UNKNOWN") {
			s.t.Fatalf("%v: %s", args, said)
		}
	}
	s.did[what]++
}

// choose edits the tables of the job: all but some.
func (s *separated) choose(without []string) {
	s.t.Helper()
	list := `["app.*"`
	for _, name := range without {
		list += fmt.Sprintf(", %q", "!"+name)
	}
	s.j.set("tables", list+"]")
	s.try("edit", "job", "edit", "apart", s.j.file(), "--yes")
}

// together waits until all tables are carried together, reading again those that are
// marked.
func (s *separated) together() {
	s.t.Helper()
	said := ""
	for end := time.After(time.Minute); ; {
		said = s.ask("tables", "apart", "--json")
		n, done := 0, s.whole()
		for line := range strings.Lines(said) {
			var x struct {
				Type, Name, Apart, Mark string
			}
			if err := json.Unmarshal([]byte(line), &x); err != nil {
				s.t.Fatalf("%v: %s", err, said)
			}
			if x.Type != "job_table" {
				continue
			}
			n++
			done = done && x.Apart == "" && x.Mark == ""
			if x.Mark != "" && x.Apart == "" {
				s.try("heal", "job", "resync", "apart", x.Name)
			}
		}
		done = done && n >= len(tables())
		if done {
			return
		}
		select {
		case <-end:
			s.t.Fatalf("tables do not come together: %s\n%s\n%s\n%s", said, s.ask("job", "tasks", "apart"), clip(s.p.said()), s.ask("job", "show", "apart"))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// whole reports whether the target has all tables whole.
func (s *separated) whole() bool { return isWhole(s.j.lake()) }

// isWhole reports whether a target has all tables whole, and none apart.
func isWhole(lake string) bool {
	set, err := readShard(lake, filepath.Join(lake, "_godwit/shards/stream"))
	return err == nil && !set.set["whole"].IsZero() && set.set["apart"].IsZero()
}

// TestRun_when_tables_are_edited: what a later run is to have more is copied and joins,
// what it is to have less leaves, and what was written of it stays.
func TestRun_when_tables_are_edited(t *testing.T) {
	t.Parallel()
	for mode, until := range map[string]string{"snapshot_and_changes": "head", "snapshot": ""} {
		t.Run(mode, func(t *testing.T) { runEdited(t, mode, until) })
	}
}

func runEdited(t *testing.T, mode, until string) {
	w := newWorld(t, 21)
	j := newJob(t, w.server, "tables", `["app.*", "!app.bag", "!app.ints"]`, "mode", mode, "until", until)
	w.write()
	runs := func(list string) {
		t.Helper()
		j.set("tables", list)
		code, said := run(t, w.server.Password, j.args()...)
		want(t, code, said, 0)
	}
	runs(j.fields["tables"])
	w.whole.Store(true)
	runs(`["app.*", "!app.bins"]`)
	bins, _ := filepath.Glob(filepath.Join(j.lake(), "app/bins/*"))
	g := readTarget(t, j.lake())
	if len(bins) == 0 || len(g.status.Tables) != len(tables())-1 {
		t.Errorf("%d files of what left, %d tables", len(bins), len(g.status.Tables))
	}
	for _, x := range g.status.Tables {
		if !x.Complete {
			t.Errorf("%s is not complete", x.Name)
		}
	}
	w.halt()
	runs(`["app.*"]`)
	if wrong := w.judgeEnd(j); wrong != "" {
		t.Fatalf("%s\nkept: %s", wrong, keep(t, j))
	}
	code, said := run(t, w.server.Password, j.args()...)
	want(t, code, said, 0)
}

// judgeApart judges what a killed server left: of tables that are together at the place
// of all, while the writer waits.
func (w *world) judgeApart(root string) (v verdict, wrong string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return v, w.err.Error()
	}
	g := readTarget(w.t, root)
	if wrong := w.unique(root); wrong != "" {
		return v, wrong
	}
	at, whole, ok := g.stream(w.t)
	if !ok || !whole || at.inside || g.status == nil || g.status.At.Pos != at.pos || !w.to(at) {
		v.unjudged++
		return v, ""
	}
	w.apart = map[string]bool{}
	defer func() { w.apart = nil }()
	away, err := base64.RawStdEncoding.DecodeString(g.shards["stream"].set["apart"].Token())
	if err != nil {
		return v, err.Error()
	}
	for _, names := range tables() {
		i := slices.IndexFunc(g.status.Tables, func(x statusTable) bool { return slices.Contains(names, strings.TrimPrefix(x.Name, "app.")) })
		if i < 0 {
			w.apart[names[0]] = true
			continue
		}
		x := g.status.Tables[i]
		gone := int(x.Number/8) < len(away) && away[x.Number/8]&(1<<(x.Number%8)) != 0
		w.apart[names[0]] = gone || !x.Complete || x.Stopped != "" || x.From > at.pos
	}
	view := g.view(w.t)
	defer os.RemoveAll(view)
	w.statusPath = filepath.Join(root, "_godwit/status.json")
	return w.judgeState(view, g.status, at.pos, w.second)
}
