package alarm

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/secret"
)

// key of signatures, in these tests.
const signKey = "s3cr3t-of-the-hook"

// receiver is a webhook. What it answers is said by its script, one status for each
// request; after its end, 200. 0 hangs until the client gives up.
type receiver struct {
	*httptest.Server
	script   chan int
	messages chan message // that were taken
	headers  chan http.Header
	requests atomic.Int64
	arrived  chan struct{} // a request
}

func newReceiver(t *testing.T, script ...int) *receiver {
	t.Helper()
	r := &receiver{script: make(chan int, 100), messages: make(chan message, 1000), headers: make(chan http.Header, 1000), arrived: make(chan struct{}, 1000)}
	for _, s := range script {
		r.script <- s
	}
	r.Server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.Server.Close)
	return r
}

func (r *receiver) serve(w http.ResponseWriter, q *http.Request) {
	r.requests.Add(1)
	r.arrived <- struct{}{}
	body, _ := io.ReadAll(q.Body)
	status := 200
	select {
	case status = <-r.script:
	default:
	}
	switch {
	case status == 0:
		<-q.Context().Done()
		return
	case status/100 == 3:
		w.Header().Set("Location", r.URL+"/elsewhere")
	}
	w.WriteHeader(status)
	if status/100 != 2 {
		return
	}
	var m message
	if err := json.Unmarshal(body, &m); err != nil || q.Method != http.MethodPost || m.V != 1 {
		m.Event = fmt.Sprintf("not understood: %s, %v", body, err)
	}
	if got := q.Header.Get(Signature); got != "" {
		mac := hmac.New(sha256.New, []byte(signKey))
		mac.Write(body)
		if got != "sha256="+hex.EncodeToString(mac.Sum(nil)) {
			m.Event = "wrongly signed"
		}
	}
	r.headers <- q.Header
	r.messages <- m
}

// took waits for the next message and compares it: event, job and kind.
func (r *receiver) took(t *testing.T, want string) message {
	t.Helper()
	select {
	case m := <-r.messages:
		if got := m.Event + " " + m.Alarm.Job + " " + m.Alarm.Kind; got != want {
			t.Fatalf("took %q, want %q", got, want)
		}
		return m
	case <-time.After(20 * time.Second):
		t.Fatalf("nothing came, want %q", want)
	}
	panic("not reached")
}

// hooked is a rig with a webhook and a quick pace. Its clock is the real one.
func hooked(t *testing.T, url string, change func(*rig)) *rig {
	t.Helper()
	r := newRig(t, nil)
	r.Close()
	r.db.Close()
	r.o.Webhook, r.o.Secret, r.o.Now = url, secret.New(signKey), nil
	r.pace = pace{first: time.Millisecond, most: 8 * time.Millisecond, giveUp: 10 * time.Second, attempt: 10 * time.Second, look: time.Hour}
	if change != nil {
		change(r)
	}
	r.open(t)
	return r
}

func TestWebhook_when_it_takes(t *testing.T) {
	to := newReceiver(t)
	r := hooked(t, to.URL, nil)
	r.Raise("j", "lag", "pg", "slow <&>", "hurry")
	m := to.took(t, "raised j lag")
	if want := r.list(t, api.ListAlarmsParams{})[0]; m.Alarm != want || want.What != "slow <&>" {
		t.Errorf("got %+v\nwant %+v", m.Alarm, want)
	}
	if h := <-to.headers; h.Get(Signature) == "" || h.Get("Content-Type") != "application/json" || h.Get("User-Agent") != "godwit" {
		t.Errorf("%v", h)
	}
	r.Raise("j", "lag", "pg", "slower", "hurry") // the same alarm is not told again
	r.Resolve("j", "lag", "pg")
	if m := to.took(t, "resolved j lag"); m.Alarm.Resolved.IsZero() || m.Alarm.What != "slower" {
		t.Errorf("%+v", m.Alarm)
	}
	r.Raise("j", "lag", "pg", "slow", "")
	if next := to.took(t, "raised j lag"); next.Alarm.ID == m.Alarm.ID {
		t.Error("the same id")
	}
	r.Raise("k", "lag", "", "slow", "")
	to.took(t, "raised k lag")
	r.Forget("k")
	to.took(t, "resolved k lag")
	if r.Dropped() != 0 {
		t.Error(r.Dropped())
	}
}

func TestWebhook_when_there_is_no_secret(t *testing.T) {
	to := newReceiver(t)
	r := hooked(t, to.URL, func(r *rig) { r.o.Secret = secret.Text{} })
	r.Raise("j", "lag", "", "slow", "")
	to.took(t, "raised j lag")
	if h := <-to.headers; h.Get(Signature) != "" {
		t.Errorf("%v", h)
	}
}

func TestWebhook_when_it_fails_for_a_while(t *testing.T) {
	to := newReceiver(t, 500, 503, 429, 408, 425, 500)
	r := hooked(t, to.URL, nil)
	r.Raise("j", "lag", "", "slow", "")
	to.took(t, "raised j lag")
	r.Resolve("j", "lag", "")
	to.took(t, "resolved j lag")
	if to.requests.Load() != 8 || r.Dropped() != 0 {
		t.Error(to.requests.Load(), r.Dropped())
	}
}

func TestWebhook_when_it_hangs(t *testing.T) {
	to := newReceiver(t, 0, 0)
	r := hooked(t, to.URL, func(r *rig) { r.pace.attempt = 50 * time.Millisecond })
	r.Raise("j", "lag", "", "slow", "")
	to.took(t, "raised j lag")
	if to.requests.Load() != 3 || !strings.Contains(r.log.all(), "no answer within 50ms") {
		t.Error(to.requests.Load(), r.log.all())
	}
}

// What is refused is not tried again, and does not hold up what follows. Of an alarm
// that was never told the end is not told either.
func TestWebhook_when_it_refuses(t *testing.T) {
	for _, status := range []int{301, 307, 308, 400, 401, 404, 410} {
		to := newReceiver(t, status)
		r := hooked(t, to.URL, nil)
		r.Raise("j", "lag", "", "slow", "")
		r.log.wait(t, fmt.Sprint(status))
		r.Resolve("j", "lag", "")
		r.Raise("k", "lag", "", "slow", "")
		to.took(t, "raised k lag")
		if to.requests.Load() != 2 || r.Dropped() != 1 {
			t.Errorf("%d: %d requests, %d dropped", status, to.requests.Load(), r.Dropped())
		}
		r.Close()
		to.Close()
	}
}

func TestWebhook_when_nobody_is_there(t *testing.T) {
	to := newReceiver(t)
	to.Close()
	r := hooked(t, to.URL, func(r *rig) { r.pace.giveUp = 30 * time.Millisecond })
	r.Raise("j", "lag", "", "slow", "")
	r.log.wait(t, "tried again")
	r.log.wait(t, "was not told of an alarm")
	if text := r.log.all(); !strings.Contains(text, "connection refused") || !strings.Contains(text, "kind=lag") {
		t.Error(text)
	}
}

func TestWebhook_when_its_certificate_is_unknown(t *testing.T) {
	var requests atomic.Int64
	to := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	to.Config.ErrorLog = log.New(io.Discard, "", 0)
	to.StartTLS()
	defer to.Close()
	r := hooked(t, to.URL, func(r *rig) { r.pace.giveUp = 20 * time.Millisecond })
	r.Raise("j", "lag", "", "slow", "")
	r.log.wait(t, "was not told of an alarm")
	if !strings.Contains(r.log.all(), "x509") || requests.Load() != 0 {
		t.Error(r.log.all(), requests.Load())
	}
}

// Raise returns however long the webhook hangs, and what waits has a bound.
func TestWebhook_when_too_many_wait(t *testing.T) {
	to := newReceiver(t, 0)
	r := hooked(t, to.URL, nil)
	r.Raise("j", "task failed", "first", "x", "")
	<-to.arrived
	for i := range queueSize + 20 {
		r.Raise("j", "task failed", fmt.Sprint(i), "x", "")
	}
	if r.Dropped() != 20 || r.Count("j") != queueSize+21 {
		t.Error(r.Dropped(), r.Count("j"))
	}
	r.complain(0, 0)
	r.log.wait(t, "happenings=20")
	to.CloseClientConnections()
	for range queueSize + 1 {
		to.took(t, "raised j task failed")
	}
}

func TestWebhook_when_an_alarm_holds_on(t *testing.T) {
	to := newReceiver(t)
	r := hooked(t, to.URL, func(r *rig) { r.o.Repeat = 20 * time.Millisecond })
	r.Raise("j", "lag", "", "slow", "")
	to.took(t, "raised j lag")
	for i := range 3 {
		if m := to.took(t, "repeated j lag"); m.Alarm.Repeated != i+1 {
			t.Errorf("%+v", m.Alarm)
		}
	}
	id := r.list(t, api.ListAlarmsParams{})[0].ID
	if _, err := r.Silence(t.Context(), "ana", id, api.Silence{Seconds: 3600}); err != nil {
		t.Fatal(err)
	}
	for drained := false; !drained; { // what was under way
		select {
		case <-to.messages:
		case <-time.After(100 * time.Millisecond):
			drained = true
		}
	}
	r.Raise("k", "lag", "", "slow", "")
	to.took(t, "raised k lag")
	to.took(t, "repeated k lag")
	if a := r.list(t, api.ListAlarmsParams{Job: "j"})[0]; a.SilencedBy != "ana" {
		t.Errorf("%+v", a)
	}
	r.Forget("k")
	for m := range to.messages {
		if m.Event == resolved {
			break
		}
		if m.Alarm.Job == "j" {
			t.Fatal("a silenced alarm was told")
		}
	}
	if _, err := r.Silence(t.Context(), "ana", id, api.Silence{}); err != nil {
		t.Fatal(err)
	}
	to.took(t, "repeated j lag")
}

// What could not be told is told as raised when it would be repeated.
func TestWebhook_when_it_comes_back(t *testing.T) {
	to := newReceiver(t, 404)
	r := hooked(t, to.URL, func(r *rig) { r.o.Repeat = 20 * time.Millisecond })
	r.Raise("j", "lag", "", "slow", "")
	to.took(t, "raised j lag")
	to.took(t, "repeated j lag")
}

func TestWebhook_when_the_server_starts_again(t *testing.T) {
	to := newReceiver(t)
	r := hooked(t, to.URL, nil)
	r.Raise("told", "lag", "", "slow", "")
	r.Raise("ends", "lag", "", "slow", "")
	to.took(t, "raised told lag")
	to.took(t, "raised ends lag")
	// Both are noted only after they were taken, so the next is taken after that.
	to.script <- 0
	r.Raise("cut", "lag", "", "slow", "")
	for range 3 {
		<-to.arrived
	}
	r.Resolve("ends", "lag", "")
	r.Raise("waits", "lag", "", "slow", "")
	r.Raise("gone", "lag", "", "slow", "")
	r.Resolve("gone", "lag", "")
	r.again(t)
	to.took(t, "resolved ends lag")
	to.took(t, "raised cut lag")
	to.took(t, "raised waits lag")
	r.Raise("new", "lag", "", "slow", "")
	to.took(t, "raised new lag") // and nothing of "told", nor of "gone", which ended unseen
}

// Whatever goes wrong, the log has no secret: neither that of signatures, nor the
// URL's path, which for many services is one.
func TestWebhook_when_its_url_is_a_secret(t *testing.T) {
	to := newReceiver(t, 500, 307)
	secretURL := strings.Replace(to.URL, "://", "://hookuser:hookpass@", 1) + "/hookpath?token=hooktoken"
	r := hooked(t, secretURL, nil)
	r.Raise("j", "lag", "", "slow", "")
	r.log.wait(t, "was not told")
	to.Close()
	r.Close()
	r.db.Close()
	r.pace.giveUp = time.Millisecond
	r.open(t)
	r.Raise("k", "lag", "", "slow", "")
	r.log.wait(t, "refused")
	text := r.log.all()
	for _, hidden := range []string{"hookuser", "hookpass", "hookpath", "hooktoken", signKey} {
		if strings.Contains(text, hidden) {
			t.Errorf("the log has %q:\n%s", hidden, text)
		}
	}
	for _, wrong := range []string{"hooktoken", "ftp://h/hooktoken", "https:///hooktoken", "http://h/%zzhooktoken", "://hooktoken"} {
		if _, err := Open(r.db, Options{Webhook: wrong}); !fault.Has(err, fault.Usage) || strings.Contains(fmt.Sprintf("%+v", err), "hooktoken") {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

func TestWebhook_when_it_is_described(t *testing.T) {
	page, err := os.ReadFile("../../../docs/formats/alarm-webhook.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{raised, repeated, resolved, Desired, Lag, Retention, Differences, Signature} {
		if !strings.Contains(string(page), "`"+word+"`") {
			t.Errorf("docs/formats/alarm-webhook.md does not say %q", word)
		}
	}
}
