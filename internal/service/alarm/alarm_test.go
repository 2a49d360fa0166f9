package alarm

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"godwit/internal/api"
	"godwit/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a clock that tests set.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 11, 21, 14, 5, 20, 0, time.UTC)} }

func (c *clock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// logged is a log whose lines are kept, and can be waited for.
type logged struct {
	mu    sync.Mutex
	text  strings.Builder
	lines chan string
}

func newLog() *logged { return &logged{lines: make(chan string, 10_000)} }

func (l *logged) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(line)
	l.lines <- string(line)
	return len(line), nil
}

func (l *logged) all() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// wait waits for a line with a text in it.
func (l *logged) wait(t *testing.T, text string) {
	t.Helper()
	for {
		select {
		case line := <-l.lines:
			if strings.Contains(line, text) {
				return
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("nothing was logged with %q:\n%s", text, l.all())
		}
	}
}

// rig is a board that can be closed and opened again on the same database.
type rig struct {
	*Board
	*clock
	o    Options
	pace pace
	path string
	log  *logged

	mu   sync.Mutex
	told []string
}

func newRig(t *testing.T, change func(*Options)) *rig {
	t.Helper()
	r := &rig{clock: newClock(), path: filepath.Join(t.TempDir(), "server.db"), log: newLog(), pace: usualPace()}
	r.o = Options{Now: r.clock.read, Log: slog.New(slog.NewTextHandler(r.log, nil)), Told: r.hear}
	if change != nil {
		change(&r.o)
	}
	r.open(t)
	return r
}

func (r *rig) hear(a api.Alarm) {
	r.mu.Lock()
	defer r.mu.Unlock()
	state := "raised"
	switch {
	case !a.Resolved.IsZero():
		state = "resolved"
	case !a.SilencedUntil.IsZero():
		state = "silenced"
	case a.Repeated > 0:
		state = fmt.Sprint("repeated ", a.Repeated)
	}
	r.told = append(r.told, state+" "+a.Job+" "+a.Kind+": "+a.What)
}

// heard compares what was told since heard was called last.
func (r *rig) heard(t *testing.T, want ...string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.told, want) {
		t.Fatalf("told %q\nwant %q", r.told, want)
	}
	r.told = nil
}

func (r *rig) open(t *testing.T) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+r.path+"?_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	b, err := open(db, r.o, r.pace)
	if err != nil {
		t.Fatal(err)
	}
	r.Board = b
	t.Cleanup(func() { b.Close(); db.Close() })
}

func (r *rig) again(t *testing.T) {
	t.Helper()
	r.Close()
	r.db.Close()
	r.open(t)
}

func (r *rig) list(t *testing.T, q api.ListAlarmsParams) []api.Alarm {
	t.Helper()
	all, err := r.List(t.Context(), q)
	if err != nil || all == nil {
		t.Fatal(all, err)
	}
	return all
}

func TestRaise_when_seen_again(t *testing.T) {
	r := newRig(t, nil)
	r.Raise("j", "job failed", "", "no room", "make some")
	r.pass(time.Minute)
	r.Raise("j", "job failed", "", "no room", "make some")
	r.heard(t, "raised j job failed: no room")
	r.Raise("j", "job failed", "", "no route", "find one")
	r.heard(t, "raised j job failed: no route")
	all := r.list(t, api.ListAlarmsParams{})
	if len(all) != 1 || all[0].What != "no route" || all[0].Hint != "find one" || !all[0].Raised.Equal(newClock().at) || r.Count("j") != 1 {
		t.Fatalf("%+v", all)
	}
	r.Raise("j", "task failed", "a", "x", "")
	r.Raise("j", "task failed", "b", "x", "")
	r.Raise("k", "job failed", "", "x", "")
	r.Raise("", "disk", "", "x", "") // of the server
	if r.Count("j") != 3 || r.Count("k") != 1 || r.Count("nobody") != 0 || r.Count("") != 1 {
		t.Error(r.Count("j"), r.Count("k"))
	}
	if one := r.list(t, api.ListAlarmsParams{Job: "k"}); len(one) != 1 || one[0].Job != "k" {
		t.Errorf("%+v", one)
	}
}

func TestResolve_when_raised_after_it(t *testing.T) {
	r := newRig(t, nil)
	r.Resolve("j", "lag", "") // nothing holds
	r.heard(t)
	r.Raise("j", "lag", "", "slow", "")
	r.pass(time.Minute)
	r.Resolve("j", "lag", "")
	r.Resolve("j", "lag", "")
	r.heard(t, "raised j lag: slow", "resolved j lag: slow")
	if r.Count("j") != 0 || len(r.list(t, api.ListAlarmsParams{})) != 0 {
		t.Error("it holds still")
	}
	r.pass(time.Minute)
	r.Raise("j", "lag", "", "slow", "")
	all := r.list(t, api.ListAlarmsParams{All: true})
	if len(all) != 2 || all[0].ID == all[1].ID || !all[0].Resolved.IsZero() || all[1].Resolved.Sub(all[1].Raised) != time.Minute {
		t.Errorf("%+v", all)
	}
	r.pass(-time.Hour)
	r.Resolve("j", "lag", "")
	if all := r.list(t, api.ListAlarmsParams{All: true}); all[0].Resolved.Before(all[0].Raised) {
		t.Errorf("resolved before it was raised: %+v", all[0])
	}
}

func TestOpen_when_the_server_was_killed(t *testing.T) {
	r := newRig(t, nil)
	for i := range 4 {
		r.Raise("j", "task failed", fmt.Sprint(i), "no room", "make some")
		r.pass(time.Second)
	}
	r.Resolve("j", "task failed", "0")
	r.pass(time.Second)
	r.Resolve("j", "task failed", "3")
	if _, err := r.Silence(t.Context(), "ana", r.list(t, api.ListAlarmsParams{})[0].ID, api.Silence{Seconds: 60}); err != nil {
		t.Fatal(err)
	}
	r.Raise("j", "task failed", "1", "no route", "find one")
	before := r.list(t, api.ListAlarmsParams{All: true})
	r.told = nil
	// Nothing is written at Close: a second board on the same file sees it all.
	db, err := sql.Open("sqlite", "file:"+r.path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	other, err := Open(db, r.o)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	after, err := other.List(t.Context(), api.ListAlarmsParams{All: true})
	if err != nil || !slices.Equal(before, after) || len(after) != 4 || other.Count("j") != 2 {
		t.Fatalf("before %+v\nafter %+v\n%v", before, after, err)
	}
	r.heard(t)
	other.Raise("j", "task failed", "1", "no route", "find one")
	r.heard(t) // it is the same alarm as before
}

func TestOpen_when_written_by_version_1(t *testing.T) {
	written, err := os.ReadFile("testdata/v1.sql")
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, nil)
	if _, err := r.db.Exec("DROP TABLE alarm; " + string(written)); err != nil {
		t.Fatal(err)
	}
	r.again(t)
	all := r.list(t, api.ListAlarmsParams{All: true})
	want := api.Alarm{
		ID: "w5vkqjnhl6hgxbuyoe4x5rzbsq", Job: "j", Kind: "task failed", On: "a", What: "no room", Hint: "make some", Repeated: 2,
		Raised: time.Date(2026, 11, 21, 14, 5, 20, 5e8, time.UTC), SilencedBy: "ana", SilencedUntil: time.Date(2026, 11, 21, 16, 0, 0, 0, time.UTC),
	}
	if len(all) != 3 || all[0] != want || all[1].Kind != "disk" || all[2].Resolved.Minute() != 35 || r.Count("j") != 1 {
		t.Errorf("%+v", all)
	}
	e := r.Board.holding[key{"j", "task failed", "a"}]
	if e.knows != knowsRaised || e.tried.UnixMilli() != 1795277120000 || r.resolved[0].knows != knowsAll {
		t.Errorf("%+v", e)
	}
}

func TestOpen_when_a_row_is_broken(t *testing.T) {
	r := newRig(t, nil)
	r.Raise("j", "lag", "", "slow", "")
	if _, err := r.db.Exec(`INSERT INTO alarm VALUES ('x', 'j', '{"id":', 0, 0), ('y', 'j', '{"id":"z"}', 0, 0)`); err != nil {
		t.Fatal(err)
	}
	r.again(t)
	if all := r.list(t, api.ListAlarmsParams{All: true}); len(all) != 1 || strings.Count(r.log.all(), "cannot be read") != 2 {
		t.Errorf("%+v\n%s", all, r.log.all())
	}
}

func TestSilence_when_it_ends(t *testing.T) {
	r := newRig(t, nil)
	r.Raise("j", "lag", "", "slow", "")
	id := r.list(t, api.ListAlarmsParams{})[0].ID
	silenced, err := r.Silence(t.Context(), "ana", id, api.Silence{Seconds: 60, Reason: "known"})
	if err != nil || silenced.SilencedBy != "ana" || !silenced.SilencedUntil.Equal(r.now().Add(time.Minute)) {
		t.Fatalf("%+v, %v", silenced, err)
	}
	r.heard(t, "raised j lag: slow", "silenced j lag: slow")
	if r.Count("j") != 1 {
		t.Error("a silenced alarm holds")
	}
	r.pass(time.Minute)
	if a := r.list(t, api.ListAlarmsParams{})[0]; a.SilencedBy != "" || !a.SilencedUntil.IsZero() {
		t.Errorf("silenced after the end: %+v", a)
	}
	for _, seconds := range []int{2_592_000, 0} {
		if silenced, err = r.Silence(t.Context(), "bo", id, api.Silence{Seconds: seconds}); err != nil {
			t.Fatal(err)
		}
	}
	if silenced.SilencedBy != "" || !silenced.SilencedUntil.IsZero() {
		t.Errorf("%+v", silenced)
	}
}

func TestSilence_when_refused(t *testing.T) {
	r := newRig(t, nil)
	r.Raise("j", "lag", "", "slow", "")
	id := r.list(t, api.ListAlarmsParams{})[0].ID
	refused := func(id string, seconds int, code fault.Code) {
		t.Helper()
		if _, err := r.Silence(t.Context(), "ana", id, api.Silence{Seconds: seconds}); !fault.Has(err, code) {
			t.Error(err)
		}
	}
	refused(id, -1, fault.BadRequest)
	refused(id, 2_592_001, fault.BadRequest)
	refused("x", 1, fault.AlarmUnknown)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Silence(ended, "ana", id, api.Silence{Seconds: 1}); !fault.Has(err, fault.StateBroken) {
		t.Error(err)
	}
	if a := r.list(t, api.ListAlarmsParams{})[0]; a.SilencedBy != "" {
		t.Errorf("what was refused is shown: %+v", a)
	}
	r.Resolve("j", "lag", "")
	refused(id, 1, fault.NotNow)
	r.Close()
	refused(id, 1, fault.ServerGone)
}

func TestList_when_resolved_long_ago(t *testing.T) {
	r := newRig(t, nil)
	resolve := func() {
		r.Raise("j", "lag", "", "slow", "")
		r.Resolve("j", "lag", "")
	}
	resolve()
	r.pass(keptFor)
	if n := len(r.list(t, api.ListAlarmsParams{All: true})); n != 1 {
		t.Errorf("%d after seven days", n)
	}
	r.pass(time.Second)
	if n := len(r.list(t, api.ListAlarmsParams{All: true})); n != 0 {
		t.Errorf("%d after more than seven days", n)
	}
	for range mostResolved + 5 {
		r.pass(time.Second)
		resolve()
	}
	all := r.list(t, api.ListAlarmsParams{All: true})
	if len(all) != mostResolved || !all[0].Resolved.Equal(r.now()) {
		t.Errorf("%d are kept, the latest of %s", len(all), all[0].Resolved)
	}
	var stored int
	if err := r.db.QueryRow("SELECT count(*) FROM alarm").Scan(&stored); err != nil || stored != mostResolved {
		t.Errorf("%d are stored, %v", stored, err)
	}
}

func TestRaise_when_too_many_hold(t *testing.T) {
	r := newRig(t, nil)
	r.Board.mu.Lock()
	for i := range mostHolding {
		r.holding[key{"j", "task failed", fmt.Sprint(i)}] = &entry{}
	}
	r.Board.mu.Unlock()
	r.Raise("j", "task failed", "one more", "x", "")
	if r.holds(key{"j", "task failed", "one more"}) || r.refused != 1 {
		t.Error("there is no bound")
	}
	r.complain(0, 0)
	r.log.wait(t, "too many alarms hold")
}

func TestRaise_when_texts_are_large(t *testing.T) {
	r := newRig(t, nil)
	long := strings.Repeat("ä", 10_000)
	for range 2 {
		r.Raise(long, long, long, long+"\xff", long)
	}
	all := r.list(t, api.ListAlarmsParams{})
	if len(all) != 1 || len(all[0].What) != mostText || len(all[0].On) != mostText || r.Count(long) != 1 {
		t.Fatalf("%d, %d bytes", len(all), len(all[0].What))
	}
	r.Raise("j", "k", "", "\xff x", "")
	r.Resolve(long, long, long)
	if all := r.list(t, api.ListAlarmsParams{}); len(all) != 1 || all[0].What != " x" {
		t.Errorf("%+v", all)
	}
}

func TestRaise_when_the_disk_fails(t *testing.T) {
	r := newRig(t, nil)
	r.db.Close()
	r.Raise("j", "lag", "", "slow", "")
	r.log.wait(t, "cannot be stored")
	if r.Count("j") != 1 {
		t.Error("it does not hold")
	}
	r.heard(t, "raised j lag: slow")
	if _, err := Open(r.db, Options{}); !fault.Has(err, fault.StateBroken) {
		t.Error(err)
	}
}

func TestForget_when_a_job_is_deleted(t *testing.T) {
	r := newRig(t, nil)
	r.Raise("j", "task failed", "a", "x", "")
	r.Raise("j", "task failed", "b", "x", "")
	r.Raise("k", "lag", "", "x", "")
	r.Resolve("j", "task failed", "a")
	r.told = nil
	r.Forget("j")
	r.heard(t, "resolved j task failed: x")
	for range 2 {
		if all := r.list(t, api.ListAlarmsParams{All: true}); len(all) != 1 || all[0].Job != "k" || r.Count("j") != 0 || r.Count("k") != 1 {
			t.Errorf("%+v", all)
		}
		r.again(t)
	}
}

func TestClose_when_used_after_it(t *testing.T) {
	r := newRig(t, nil)
	r.Raise("j", "lag", "", "x", "")
	r.told = nil
	r.Close()
	r.Close()
	r.Raise("j", "job failed", "", "x", "")
	r.Raise("j", "lag", "", "y", "")
	r.Resolve("j", "lag", "")
	r.Forget("j")
	r.heard(t)
	r.db.Close()
	r.open(t)
	if all := r.list(t, api.ListAlarmsParams{}); len(all) != 1 || all[0].What != "x" {
		t.Errorf("%+v", all)
	}
}

func TestBoard_when_many_use_it(t *testing.T) {
	r := newRig(t, nil)
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			for n := range 40 {
				on := fmt.Sprint(n % 4)
				r.Raise("j", "task failed", on, fmt.Sprint(n), "")
				r.Count("j")
				for _, a := range r.list(t, api.ListAlarmsParams{All: true}) {
					_, _ = r.Silence(t.Context(), "ana", a.ID, api.Silence{Seconds: n})
				}
				if i%2 == 0 {
					r.Resolve("j", "task failed", on)
				}
			}
		})
	}
	all.Wait()
	holding := r.list(t, api.ListAlarmsParams{})
	if len(holding) != r.Count("j") || len(holding) > 4 {
		t.Error(len(holding), r.Count("j"))
	}
	before := r.list(t, api.ListAlarmsParams{All: true})
	r.again(t)
	if after := r.list(t, api.ListAlarmsParams{All: true}); len(after) != len(before) {
		t.Error(len(before), len(after))
	}
}
