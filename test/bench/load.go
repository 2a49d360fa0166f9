package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// What presses upon a server: so many requests a second, by so many connections, with
// so many tokens.
const (
	loadRate   = 1000
	loadLanes  = 64
	loadTokens = 8
)

// latencies are how long requests took.
type latencies struct {
	mu  sync.Mutex
	all []time.Duration
}

func (l *latencies) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, d)
}

func (l *latencies) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.all)
}

// at is the time that a share of the requests did not take longer than.
func (l *latencies) at(share float64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) == 0 {
		return 0
	}
	slices.Sort(l.all)
	return l.all[min(len(l.all)-1, int(share*float64(len(l.all))))]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// loadFigures are what a server did under load.
type loadFigures struct {
	all    *latencies
	of     map[string]*latencies
	failed int
	why    string  // the first failure
	cpu    float64 // of the server, of one core
}

// request is one kind of request: how many of 1,000 are of it, and how it is made.
type request struct {
	name  string
	share int
	make  func(f *fleet, r *rand.Rand) (method, path, body string)
}

func look(path string) func(*fleet, *rand.Rand) (string, string, string) {
	return func(f *fleet, r *rand.Rand) (string, string, string) {
		return http.MethodGet, strings.ReplaceAll(path, "{job}", f.anyJob(r)), ""
	}
}

// mix is what people, a page and a monitor ask of a server.
func mix() []request {
	return []request{
		{"show", 340, look("/api/v1/jobs/{job}")},
		{"list", 250, func(_ *fleet, r *rand.Rand) (string, string, string) {
			return http.MethodGet, "/api/v1/jobs?" + listed(r), ""
		}},
		{"tables", 120, look("/api/v1/jobs/{job}/tables")},
		{"history", 80, look("/api/v1/jobs/{job}/history")},
		{"alarms", 100, look("/api/v1/alarms")},
		{"overview", 89, look("/api/v1/overview")},
		{"metrics", 1, look("/metrics")},
		{"pause or resume", 20, func(f *fleet, r *rand.Rand) (string, string, string) {
			act := []string{"pause", "resume"}[r.IntN(2)]
			return http.MethodPost, fmt.Sprintf("/api/v1/jobs/job-%03d/act", r.IntN(max(1, f.jobs/10))), `{"act": "` + act + `", "reason": "load"}`
		}},
	}
}

// listed is one of the ways in which jobs are listed.
func listed(r *rand.Rand) string {
	all := []string{"limit=25", "limit=25&sort=-lag", "limit=25&sort=-rate&status=running", "limit=25&q=job-01", "limit=25&needs_you=true",
		"limit=25&sort=name&desired=paused", "limit=100&sort=status"}
	return all[r.IntN(len(all))]
}

func (f *fleet) anyJob(r *rand.Rand) string { return fmt.Sprintf("job-%03d", r.IntN(f.jobs)) }

// press sends requests at a steady rate, whether the ones before are answered or not. A
// request counts from when it was due.
func (f *fleet) press(ctx context.Context) (loadFigures, error) {
	out := loadFigures{all: &latencies{}, of: map[string]*latencies{}}
	for _, q := range mix() {
		out.of[q.name] = &latencies{}
	}
	before, err := cpuOf(f.cmd.Process.Pid)
	if err != nil {
		return out, err
	}
	due := make(chan time.Time, int(f.pressed.Seconds())*loadRate)
	var lanes sync.WaitGroup
	var failed atomic.Int64
	var why atomic.Pointer[string]
	for n := range loadLanes {
		lanes.Go(func() {
			l := newLane(f, n)
			for at := range due {
				q := l.pick()
				if err := l.send(ctx, q); err != nil {
					failed.Add(1)
					text := err.Error()
					why.CompareAndSwap(nil, &text)
					continue
				}
				took := time.Since(at)
				out.all.add(took)
				out.of[q.name].add(took)
			}
		})
	}
	began := time.Now()
	for n := range int(f.pressed.Seconds() * loadRate) {
		at := began.Add(time.Duration(n) * time.Second / loadRate)
		time.Sleep(time.Until(at))
		due <- at
	}
	close(due)
	lanes.Wait()
	after, err := cpuOf(f.cmd.Process.Pid)
	out.failed, out.cpu = int(failed.Load()), (after-before).Seconds()/time.Since(began).Seconds()
	if text := why.Load(); text != nil {
		out.why = *text
	}
	return out, errors.Join(err, f.resumeAll(ctx))
}

// resumeAll brings back what was paused.
func (f *fleet) resumeAll(ctx context.Context) error {
	for n := range max(1, f.jobs/10) {
		if err := f.ask(ctx, f.tokens[0], http.MethodPost, fmt.Sprintf("/api/v1/jobs/job-%03d/act", n), `{"act": "resume"}`, nil); err != nil {
			return err
		}
	}
	return f.awaitAll(ctx)
}

// lane is a connection that requests go by, one after the other.
type lane struct {
	f      *fleet
	r      *rand.Rand
	token  string
	client *http.Client
	kinds  []request
}

func newLane(f *fleet, n int) *lane {
	// Every second client takes compressed answers, as browsers do.
	t := &http.Transport{MaxIdleConnsPerHost: 1, DisableCompression: n%2 == 0}
	return &lane{f: f, r: rand.New(rand.NewPCG(uint64(n), 1)), token: f.tokens[n%len(f.tokens)], client: &http.Client{Transport: t}, kinds: mix()}
}

func (l *lane) pick() request {
	n := l.r.IntN(1000)
	for _, q := range l.kinds {
		if n -= q.share; n < 0 {
			return q
		}
	}
	return l.kinds[0]
}

// send sends one request and takes its answer whole.
func (l *lane) send(ctx context.Context, q request) error {
	method, path, body := q.make(l.f, l.r)
	r, err := http.NewRequestWithContext(ctx, method, l.f.url+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+l.token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := l.client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err == nil && (resp.StatusCode >= 300 || n == 0) {
		return fmt.Errorf("%s %s: %s", method, path, resp.Status)
	}
	return err
}
