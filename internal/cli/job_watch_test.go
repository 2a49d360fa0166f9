package cli

import (
	"context"
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/creack/pty"

	"godwit/internal/api"
	"godwit/internal/fault"
)

// watched runs a watch beside the test until it is interrupted, or ends by itself.
func watched(r *try, th *there) (sig chan os.Signal, code chan int) {
	sig, code = make(chan os.Signal), make(chan int, 1)
	r.p.Signals = sig
	go func() { code <- Main(r.p, testRegistry, r.engine) }()
	return sig, code
}

func shows(want string) func(string) bool {
	return func(s string) bool { return strings.Contains(s, want) }
}

func TestJobWatch_when_piped(t *testing.T) {
	th := newThere(t)
	r := th.try("job", "watch")
	sig, code := watched(r, th)
	r.out.await(shows("shop-to-lake status=running"))
	j := th.jobs["shop-to-lake"]
	th.follow <- eventText(1, "job", j) // nothing new in it
	j.Wish.Desired = api.DesiredPaused
	th.follow <- eventText(2, "job", j)
	r.out.await(shows("shop-to-lake status=running desired=paused health=ok version=2 phase=stream lag="))
	th.follow <- eventText(3, "alarm", api.Alarm{ID: "a", Kind: "lag", Job: "shop-to-lake", What: "it lags", Raised: now})
	th.follow <- eventText(4, "audit", api.Entry{ID: 1, By: "alice", Job: "shop-to-lake", What: "pause", Outcome: api.EntryOutcomeDone})
	th.follow <- eventText(5, "a kind to come", map[string]int{"x": 1})
	th.follow <- eventText(6, "gone", map[string]string{"name": "media"})
	r.out.await(shows("media gone\n"))
	sig <- os.Interrupt
	if got := <-code; got != 130 {
		t.Errorf("exit code %d", got)
	}
	want := `2026-11-21T14:05:20Z nightly status=failed desired=running health=failed version=1 code=TARGET_FULL error="the disk is full"
2026-11-21T14:05:20Z media status=running desired=paused health=changing version=1
2026-11-21T14:05:20Z shop-to-lake status=running desired=running health=ok version=2 phase=stream lag=1.2s
2026-11-21T14:05:20Z shop-to-lake status=running desired=paused health=ok version=2 phase=stream lag=1.2s
2026-11-21T14:05:20Z shop-to-lake alarm=lag what="it lags"
2026-11-21T14:05:20Z shop-to-lake by=alice what="pause" outcome=done
2026-11-21T14:05:20Z media gone
`
	if got := r.out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestJobWatch_when_the_server_was_away breaks the stream; what happened meanwhile is
// told when the server is there again.
func TestJobWatch_when_the_server_was_away(t *testing.T) {
	th := newThere(t)
	var refuse atomic.Bool
	th.before = func(w http.ResponseWriter, r *http.Request) bool {
		if refuse.Load() {
			cutOff(w, "")
			return true
		}
		return false
	}
	r := th.try("job", "watch")
	sig, code := watched(r, th)
	r.out.await(shows("shop-to-lake status=running"))
	th.follow <- eventText(41, "job", th.jobs["shop-to-lake"])
	refuse.Store(true)
	th.mu.Lock()
	j := th.jobs["shop-to-lake"]
	j.Standing.Status = api.StatusPaused
	th.jobs["shop-to-lake"] = j
	delete(th.jobs, "media")
	th.mu.Unlock()
	th.follow <- "" // breaks
	r.err.await(shows("; trying again"))
	refuse.Store(false)
	r.out.await(shows("media gone"))
	r.err.await(shows("the server is there again"))
	if !strings.Contains(r.out.String(), "shop-to-lake status=paused") {
		t.Error(r.out.String())
	}
	th.follow <- eventText(42, "reset", struct{}{})
	sig <- os.Interrupt
	<-code
	if !slices.Contains(th.lastIDs[1:], "41") {
		t.Errorf("went on from %q, not from 41", th.lastIDs)
	}
	if n := strings.Count(r.err.String(), "trying again"); n != 1 {
		t.Errorf("said %d times that there is no news", n)
	}
}

func TestJobWatch_when_json(t *testing.T) {
	th := newThere(t)
	r := th.try("job", "watch", "nightly", "--json")
	_, code := watched(r, th)
	r.out.await(shows(`"name":"nightly"`))
	th.follow <- eventText(7, "alarm", api.Alarm{ID: "a", Kind: "failed", Job: "nightly", What: "x", Raised: now})
	th.follow <- eventText(8, "audit", api.Entry{ID: 1, At: now, By: "alice", Job: "nightly", What: "delete", Outcome: api.EntryOutcomeDone})
	th.follow <- eventText(9, "gone", map[string]string{"name": "nightly"})
	if got := <-code; got != 0 {
		t.Errorf("exit code %d: %s", got, r.err.String())
	}
	kinds := ""
	for _, l := range lines(t, r.out.String()) {
		validate(t, l)
		kinds += l["type"].(string) + " "
	}
	if kinds != "job alarm audit_entry gone summary " {
		t.Errorf("lines: %s", kinds)
	}
	if got := th.requests("GET"); got[0] != "/api/v1/events?job=nightly" {
		t.Errorf("asked %q", got)
	}
}

func TestJobWatch_when_it_cannot(t *testing.T) {
	th := newThere(t)
	th.try("job", "watch", "none").want(2, "", "error[JOB_UNKNOWN]")
	r := th.try("job", "watch")
	r.p.Env = append(r.p.Env, envToken+"=wrong")
	r.want(2, "", "error[TOKEN_REFUSED]")
	th.before = func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Type", "text/html")
		return true
	}
	th.try("job", "watch").want(3, "", "the server sends no events but text/html")
}

// TestFollow_when_the_stream_is_silent says that a stream that is open and dead is
// left.
func TestFollow_when_the_stream_is_silent(t *testing.T) {
	th := newThere(t)
	r := th.try()
	a := newApp(r.p, testRegistry, r.engine)
	defer a.end()
	c, err := a.client(false)
	if err != nil {
		t.Fatal(err)
	}
	var got []event
	each := func(e event) error { got = append(got, e); return nil }
	go func() { th.follow <- "id: 5\nevent: job\ndata: {\ndata: }\n\nevent: half" }()
	err = c.follow(context.Background(), "", "", 200*time.Millisecond, func() error { return nil }, each)
	if fault.Of(err).Code != fault.ServerGone || !errors.As(err, new(slow)) {
		t.Errorf("%v", err)
	}
	if want := []event{{"5", "job", "{\n}"}}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	endless := newThere(t)
	b := newApp(endless.try().p, testRegistry, r.engine)
	defer b.end()
	if c, err = b.client(false); err != nil {
		t.Fatal(err)
	}
	go func() { endless.follow <- "data: " + strings.Repeat("x", eventBytes) + "\n\n" }()
	if err := c.follow(context.Background(), "", "", 10*time.Second, func() error { return nil }, each); err == nil || !strings.Contains(err.Error(), "an event of more than") {
		t.Errorf("an event without end: %v", err)
	}
}

func TestJobWatch_when_on_a_terminal(t *testing.T) {
	th := newThere(t)
	r := th.try("job", "watch")
	sig := make(chan os.Signal)
	r.p.Signals = sig
	go func() {
		r.err.await(shows("shop-to-lake  running"))
		j := th.jobs["media"]
		j.Standing.Status = api.StatusPaused
		th.follow <- eventText(1, "job", j)
		th.follow <- eventText(2, "alarm", api.Alarm{ID: "a", Kind: "lag", Job: "media", What: "it lags", Raised: now})
		r.err.await(shows("media: it lags"))
		sig <- os.Interrupt
	}()
	out, code := onTerminal(t, r, pty.Winsize{Rows: 24, Cols: 160}, "", "")
	g := &glass{width: 160}
	g.write(out)
	shown := g.text()
	if code != 130 || strings.Count(shown, "nightly") != 1 || strings.Count(shown, "3 jobs as of") != 1 || !strings.Contains(shown, "media         paused") {
		t.Errorf("%d\n%s", code, shown)
	}
	narrow := th.try("job", "watch", "shop-to-lake")
	sig = make(chan os.Signal)
	narrow.p.Signals = sig
	go func() {
		narrow.err.await(shows("wanted"))
		sig <- os.Interrupt
	}()
	if out, _ := onTerminal(t, narrow, pty.Winsize{Rows: 8, Cols: 40}, "", ""); !strings.Contains(out, "1 job as of") {
		t.Error(out)
	}
}
