package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// breakable is a sink whose control folder is taken away and given back.
type breakable struct{ control, away string }

func breakableIn(j *job, sink string) *breakable {
	return &breakable{filepath.Join(j.dir, sink, "_godwit"), filepath.Join(j.dir, "away from "+sink)}
}

func (b *breakable) broken() bool {
	_, err := os.Lstat(b.away)
	return err == nil
}

// smash breaks the sink, if it was begun.
func (b *breakable) smash() error {
	return b.replace(func() error { return os.WriteFile(b.away, nil, 0o600) }) // so that nobody makes it anew
}

// lose breaks the sink so that what it holds cannot be read either: a link to itself.
func (b *breakable) lose() error {
	return b.replace(func() error { return os.Symlink(b.control, b.away) })
}

// replace puts what is made in the place of the control folder, at once: in between the
// sink would make the folder anew.
func (b *breakable) replace(other func() error) error {
	if b.broken() {
		return nil
	}
	if err := other(); err != nil {
		return err
	}
	err := b.exchange()
	if errors.Is(err, os.ErrNotExist) {
		return os.Remove(b.away)
	}
	return err
}

func (b *breakable) exchange() error {
	return unix.Renameat2(unix.AT_FDCWD, b.control, unix.AT_FDCWD, b.away, unix.RENAME_EXCHANGE)
}

func (b *breakable) mend() error {
	if !b.broken() {
		return nil
	}
	return errors.Join(b.exchange(), os.RemoveAll(b.away))
}

// streams are the streams of all tables of a job that live.
func (s *served) streams(name string) (ids []string) {
	for line := range strings.Lines(s.ask("job", "tasks", name, "--json")) {
		var x struct {
			ID, Kind, Table string
			Standing        struct{ Status string }
		}
		if err := json.Unmarshal([]byte(line), &x); err != nil {
			s.t.Fatal(err, line)
		}
		if x.Kind == "stream" && x.Table == "" && x.Standing.Status == "running" {
			ids = append(ids, x.ID)
		}
	}
	return ids
}

// apart are the tables of a job that stand apart.
func (s *served) apart(name string) (names []string) {
	for line := range strings.Lines(s.ask("tables", name, "--json")) {
		var x struct{ Name, Apart string }
		if err := json.Unmarshal([]byte(line), &x); err != nil {
			s.t.Fatal(err, line)
		}
		if x.Apart != "" {
			names = append(names, x.Name)
		}
	}
	return names
}

// retry lets what has failed of a job begin again, if anything has.
func (s *served) retry(name string) {
	s.t.Helper()
	if code, said := run(s.t, s.w.server.Password, "job", "retry", name, "--state", s.state); code != 0 && !strings.Contains(said, "NOT_NOW") {
		s.t.Fatal(said)
	}
}

// eventually waits until something is so.
func (s *served) eventually(name, what string, so func() bool) {
	s.t.Helper()
	for end := time.After(time.Minute); !so(); {
		select {
		case <-end:
			s.t.Fatalf("%s: never\n%s\n%s", what, s.ask("job", "tasks", name), clip(s.p.said()))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// TestServe_when_one_of_two_sinks_breaks: the other one goes on at once, the broken one
// catches up when it is mended, and then both share a reader again.
func TestServe_when_one_of_two_sinks_breaks(t *testing.T) {
	t.Parallel()
	s := &served{t: t, r: rand.New(rand.NewPCG(1, 3)), w: &world{server: one(t)}, state: filepath.Join(t.TempDir(), "state")}
	j := newJob(t, s.w.server, "name", "two", "until", "", "sinks", "second", "roll", "{size: 64KiB, every: 1s}")
	s.data = append(s.data, j.dir)
	s.start()
	s.ask("job", "submit", j.file())
	s.eventually("two", "one stream for both", func() bool { return len(s.streams("two")) == 1 })
	b := breakableIn(j, "second")
	if err := b.smash(); err != nil {
		t.Fatal(err)
	}
	s.w.server.Exec(t, "INSERT INTO app.t SELECT seq + 300000, 'only in one' FROM app.seq_1_to_50")
	s.eventually("two", "rows in the sink that is well", func() bool { return holds(t, j.lake(), "only in one") })
	if holds(t, filepath.Join(j.dir, "second"), "only in one") {
		t.Error("the broken sink has rows")
	}
	if err := b.mend(); err != nil {
		t.Fatal(err)
	}
	s.retry("two")
	s.w.server.Exec(t, "INSERT INTO app.t SELECT seq + 400000, 'in both' FROM app.seq_1_to_50")
	s.eventually("two", "rows in the sink that was broken", func() bool { return holds(t, filepath.Join(j.dir, "second"), "in both") })
	s.eventually("two", "one stream for both again", func() bool { return len(s.streams("two")) == 1 })
	s.end(j, "second")
}

// TestServe_when_tables_are_edited_while_a_sink_is_away: the edit waits for the sink, while
// the other one goes on, and is carried out when it is back. A table that is paused stays so.
func TestServe_when_tables_are_edited_while_a_sink_is_away(t *testing.T) {
	t.Parallel()
	s := &served{t: t, r: rand.New(rand.NewPCG(1, 4)), w: &world{server: one(t)}, state: filepath.Join(t.TempDir(), "state")}
	s.w.server.Exec(t, "CREATE TABLE app.later (id INT PRIMARY KEY, v INT); INSERT INTO app.later VALUES (1, 2)")
	j := newJob(t, s.w.server, "name", "two", "until", "", "tables", `["app.t", "app.u"]`, "sinks", "second", "roll", "{size: 64KiB, every: 1s}")
	s.data = append(s.data, j.dir)
	second, b := filepath.Join(j.dir, "second"), breakableIn(j, "second")
	s.start()
	s.ask("job", "submit", j.file())
	s.eventually("two", "a whole snapshot in both", func() bool { return isWhole(j.lake()) && isWhole(second) })
	s.ask("tables", "pause", "two", "app.u")
	s.eventually("two", "the table that is paused to stand apart", func() bool { return len(s.apart("two")) == 1 })
	if err := b.lose(); err != nil {
		t.Fatal(err)
	}
	j.set("tables", `["app.*"]`)
	s.ask("job", "edit", "two", j.file(), "--yes")
	s.w.server.Exec(t, "INSERT INTO app.t SELECT seq + 300000, 'after the edit' FROM app.seq_1_to_50")
	s.eventually("two", "rows in the sink that is well", func() bool { return holds(t, j.lake(), "after the edit") })
	if err := b.mend(); err != nil {
		t.Fatal(err)
	}
	s.retry("two")
	for _, dir := range []string{j.lake(), second} {
		s.eventually("two", "the table that was added in "+dir, func() bool { return holds(t, filepath.Join(dir, "app/later"), ",") })
	}
	s.eventually("two", "the table that was added to join", func() bool { return slices.Equal(s.apart("two"), []string{"app.u"}) })
	s.ask("tables", "resume", "two", "app.u")
	s.eventually("two", "one stream for both again", func() bool {
		return len(s.apart("two")) == 0 && len(s.streams("two")) == 1 && isWhole(j.lake()) && isWhole(second)
	})
	s.end(j, "second")
	for _, dir := range []string{j.lake(), second} {
		j.equalIn(dir, s.w.server, "t", "u", "later")
	}
}

// end ends the server, runs a job to the end of its source and compares all its sinks.
func (s *served) end(j *job, more ...string) {
	s.t.Helper()
	s.p.signal(syscall.SIGTERM)
	if code := s.p.wait(time.Minute); code != 143 {
		s.t.Errorf("exit code %d\n%s", code, clip(s.p.said()))
	}
	j.set("until", "head")
	code, said := run(s.t, s.w.server.Password, "run", j.file(), "--state", s.state, "--json")
	want(s.t, code, said, 0)
	for _, sink := range append([]string{"lake"}, more...) {
		j.equalIn(filepath.Join(j.dir, sink), s.w.server)
	}
}

// holds reports whether a file that is seen in a folder has a text.
func holds(t *testing.T, dir, text string) (found bool) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), "_"):
			return filepath.SkipDir
		case d.IsDir():
			return nil
		}
		b, err := os.ReadFile(path)
		found = found || strings.Contains(string(b), text)
		return err
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return found
}

const asideRounds = 10

// TestAside_when_killed breaks and mends one of two sinks while the source changes, and
// kills the server in the middle of it. The other sink is exact at each kill, both are
// at the end.
func TestAside_when_killed(t *testing.T) {
	t.Parallel()
	lives := 1
	if soak() {
		lives = 200 / asideRounds
	}
	seed := uint64(time.Now().UnixNano())
	for n := range lives {
		t.Run(fmt.Sprint("life ", n+1), func(t *testing.T) { asideAndDie(t, seed+uint64(n)) })
	}
}

func asideAndDie(t *testing.T, seed uint64) {
	t.Logf("seed %d", seed)
	s := &served{t: t, r: rand.New(rand.NewPCG(seed, 3)), w: newWorld(t, seed), state: filepath.Join(t.TempDir(), "state")}
	j := newJob(t, s.w.server, "name", "two", "until", "", "sinks", "second", "roll", "{size: 64KiB, every: 1s}", "chunk_size", "32KiB")
	s.data = append(s.data, j.dir)
	second, b := filepath.Join(j.dir, "second"), breakableIn(j, "second")
	s.w.write()
	s.start()
	s.ask("job", "submit", j.file())
	early := s.r.IntN(2) == 0 // whether it breaks while tables are copied, too
	if !early {
		s.eventually("two", "a whole snapshot in both", func() bool { return isWhole(j.lake()) && isWhole(second) })
		s.w.whole.Store(true)
	}
	var seen verdict
	broke, apart := 0, 0
	for n := range asideRounds {
		for range 1 + s.r.IntN(3) {
			act := b.mend
			if s.r.IntN(2) == 0 {
				act, broke = b.smash, broke+1
			}
			if err := act(); err != nil {
				t.Fatal(err)
			}
			if s.r.IntN(2) == 0 {
				s.retry("two")
			}
			<-time.After(time.Duration(s.r.IntN(900)) * time.Millisecond)
		}
		if b.broken() && s.r.IntN(2) == 0 {
			apart += s.alone("two")
		}
		s.p.kill()
		for _, dir := range []string{j.lake(), second} {
			if dir == second && b.broken() {
				continue
			}
			v, _, wrong := s.w.judgeQuietly(dir)
			if wrong != "" {
				t.Fatalf("round %d: %s: %s\nkept: %s\n%s", n, dir, wrong, keep(t, j), clip(s.p.said()))
			}
			seen.add(v)
		}
		s.start()
	}
	if err := b.mend(); err != nil {
		t.Fatal(err)
	}
	s.retry("two")
	s.eventually("two", "one stream for both", func() bool { return len(s.streams("two")) == 1 })
	s.w.halt()
	s.p.signal(syscall.SIGTERM)
	s.p.wait(time.Minute)
	j.set("until", "head")
	code, said := run(t, s.w.server.Password, "run", j.file(), "--state", s.state, "--json")
	want(t, code, said, 0)
	for _, dir := range []string{j.lake(), second} {
		if wrong := s.w.judgeEndIn(dir); wrong != "" {
			t.Errorf("at the end, %s: %s\nkept: %s", dir, wrong, keep(t, j))
		}
	}
	t.Logf("%d kills, broken %d times, seen alone %d times: %+v", asideRounds, broke, apart, seen)
	if !early && seen.tables == 0 {
		t.Error("nothing was judged")
	}
}

// alone waits a little for a sink to go alone.
func (s *served) alone(name string) int {
	for range 20 {
		if strings.Contains(s.ask("job", "tasks", name), " of second") {
			return 1
		}
		<-time.After(100 * time.Millisecond)
	}
	return 0
}
