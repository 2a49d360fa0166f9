package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// TestServe_when_life_is_random lets people, a source and the machine do to a server what
// they may: pauses, resumes, stops, starts and edits; changes of rows and of tables;
// kill -9, SIGTERM, and a database that goes away. Whatever came, what was wanted is
// still wanted after each start, and at the end every target is what its source is.
//
// It takes some 20 s, in a soak 30 minutes or GODWIT_SOAK_MINUTES.
func TestServe_when_life_is_random(t *testing.T) {
	t.Parallel()
	long := 15 * time.Second
	if soak() {
		long = 30 * time.Minute
	}
	if minutes, err := strconv.ParseFloat(os.Getenv("GODWIT_SOAK_MINUTES"), 64); err == nil {
		long = time.Duration(minutes * float64(time.Minute))
	}
	l := newRandomLife(t, uint64(time.Now().UnixNano()))
	l.jobs(3, 5)
	l.w.write()
	stop := l.feed()
	l.start()
	l.submit()
	for _, name := range l.names() {
		l.want[name] = "running"
	}
	for end := time.Now().Add(long); time.Now().Before(end) && !t.Failed(); {
		l.anything()
	}
	l.die() // at least once
	stop()
	l.w.halt()
	l.settle()
	l.p.signal(syscall.SIGTERM)
	if code := l.p.wait(time.Minute); code != 143 {
		t.Errorf("exit code %d\n%s", code, clip(l.p.said()))
	}
	l.finish()
	t.Logf("%v: %+v; answered within %v", l.done, l.seen, l.slow)
}

// randomLife is a server of which anything may be asked.
type randomLife struct {
	*served
	want map[string]string // of each job
	done map[string]int    // how often something was
	seen verdict
}

func newRandomLife(t *testing.T, seed uint64) *randomLife {
	t.Logf("seed %d", seed)
	s := &served{t: t, r: rand.New(rand.NewPCG(seed, 5)), w: newWorld(t, seed), state: t.TempDir()}
	return &randomLife{served: s, want: map[string]string{}, done: map[string]int{}}
}

func (l *randomLife) names() (names []string) {
	for i := range l.tables {
		names = append(names, fmt.Sprint("tables-", i))
	}
	for i := range l.files {
		names = append(names, fmt.Sprint("files-", i))
	}
	return names
}

// anything does something, of which most is to one job.
func (l *randomLife) anything() {
	l.t.Helper()
	n := l.r.IntN(100)
	switch {
	case n < 8:
		l.die()
	case n < 12:
		l.leave()
	case n < 14:
		l.loseSource()
	case n < 35:
		l.edit()
	default:
		l.act()
	}
	<-time.After(time.Duration(l.r.IntN(400)) * time.Millisecond) // how long each lasts is part of the draw
}

// act asks a job for what it is not.
func (l *randomLife) act() {
	l.t.Helper()
	names := l.names()
	name := names[l.r.IntN(len(names))]
	act := map[string]string{"running": "pause", "paused": "resume", "stopped": "start"}[l.want[name]]
	if act == "pause" && l.r.IntN(3) == 0 {
		act = "stop"
	}
	l.ask("job", act, name, "--reason", "because")
	l.want[name] = map[string]string{"pause": "paused", "stop": "stopped"}[act]
	if l.want[name] == "" {
		l.want[name] = "running"
	}
	l.done[act]++
}

// edit gives a job another file, of what may be edited, or another group.
func (l *randomLife) edit() {
	l.t.Helper()
	group := fmt.Sprint("g", l.r.IntN(3))
	if i := l.r.IntN(len(l.tables) + len(l.files)); i < len(l.tables) {
		j := l.tables[i]
		j.set("roll", fmt.Sprintf("{size: %dKiB, every: %ds}", 64+l.r.IntN(4)*64, 1+l.r.IntN(3)))
		j.set("parallel", fmt.Sprint(1+l.r.IntN(4)))
		l.ask("job", "edit", fmt.Sprint("tables-", i), j.file(), "--yes", "--group", group)
	} else {
		i -= len(l.tables)
		j := l.files[i]
		more := fmt.Sprintf("every: %ds\nparallel: %d", 1+l.r.IntN(3), 1+l.r.IntN(8))
		if l.r.IntN(2) == 0 {
			more += "\nverify: read_back"
		}
		j.raw(l.fileJob(j, i, more))
		l.ask("job", "edit", fmt.Sprint("files-", i), j.path("job.yaml"), "--yes", "--group", group)
	}
	l.done["edit"]++
}

// die is kill -9, a look at what a target holds then, and a new start.
func (l *randomLife) die() {
	l.t.Helper()
	l.p.kill()
	j := l.tables[l.r.IntN(len(l.tables))]
	v, _, wrong := l.w.judgeQuietly(j.lake())
	if wrong != "" {
		l.t.Fatalf("after kill -9: %s\nkept: %s\n%s", wrong, keep(l.t, j), clip(l.p.said()))
	}
	l.seen.add(v)
	l.done["kill"]++
	l.mayRename()
	l.again()
}

// mayRename lets tables be renamed once every snapshot is whole.
func (l *randomLife) mayRename() {
	for _, j := range l.tables {
		if _, whole, ok := readTarget(l.t, j.lake()).stream(l.t); !ok || !whole {
			return
		}
	}
	l.w.whole.Store(true)
}

// leave is SIGTERM, and a new start.
func (l *randomLife) leave() {
	l.t.Helper()
	l.p.signal(syscall.SIGTERM)
	if code := l.p.wait(time.Minute); code != 143 {
		l.t.Errorf("exit code %d\n%s", code, clip(l.p.said()))
	}
	l.done["term"]++
	l.again()
}

// again starts the server, and finds everything wanted as it was.
func (l *randomLife) again() {
	l.t.Helper()
	l.start()
	names := l.names()
	name := names[l.r.IntN(len(names))]
	l.wanted(name, l.want[name])
}

// loseSource takes the database away for a while.
func (l *randomLife) loseSource() {
	l.t.Helper()
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	if l.r.IntN(2) == 0 {
		l.w.server.Kill(l.t)
	} else {
		l.w.server.Stop(l.t)
	}
	<-time.After(time.Duration(l.r.IntN(1500)) * time.Millisecond)
	l.w.server.Restart(l.t)
	l.done["database"]++
}

// settle lets everything run, and waits until it does.
func (l *randomLife) settle() {
	l.t.Helper()
	for _, name := range l.names() {
		switch l.want[name] {
		case "paused":
			l.ask("job", "resume", name)
		case "stopped":
			l.ask("job", "start", name)
		}
	}
	for i := range l.tables {
		l.lists(fmt.Sprint("tables-", i))
	}
}
