package cli

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"godwit/internal/api"
	"godwit/internal/watch"
)

// operator and reader are tokens that the fake server knows. Neither may ever be
// shown.
const (
	operator = "op-" + canary
	reader   = "rd-" + canary
)

// there is a server as its contract says, for a handful of jobs, in memory.
type there struct {
	api.ServerInterface // what is not here panics
	*httptest.Server
	t *testing.T
	// before may answer instead, or break the answer.
	before func(w http.ResponseWriter, r *http.Request) (answered bool)
	page   int // items of one page at most

	mu       sync.Mutex
	asked    []string // method and path with its query
	keys     []string // idempotency keys
	bodies   []string
	jobs     map[string]api.Job
	versions map[string][]api.Version
	tokens   map[string]api.Token
	proofs   proofs
	follow   chan string // what a stream sends, as it is; closing it ends the stream
	lastIDs  []string    // Last-Event-ID of each stream
}

func newThere(t *testing.T) *there {
	t.Helper()
	th := &there{t: t, page: pageMost, jobs: map[string]api.Job{}, versions: map[string][]api.Version{}, tokens: map[string]api.Token{}, follow: make(chan string)}
	for _, j := range someJobs() {
		th.jobs[j.Name] = j
	}
	th.versions["shop-to-lake"] = []api.Version{
		{Version: 2, At: *moment(time.Hour), By: "alice", Reason: "smaller files", File: strings.Replace(example, "30s", "60s", 1), Changes: []api.Change{everyChange}},
		{Version: 1, At: *moment(48 * time.Hour), By: "cli", File: example},
	}
	th.tokens["alice"] = api.Token{Name: "alice", Role: api.Operate, Created: *moment(time.Hour), CreatedBy: "local", Expires: now.Add(90 * 24 * time.Hour), Used: *moment(time.Minute)}
	th.tokens["old"] = api.Token{Name: "old", Role: api.Read, Created: *moment(48 * time.Hour), Revoked: *moment(24 * time.Hour)}
	mux := api.HandlerWithOptions(th, api.StdHTTPServerOptions{ErrorHandlerFunc: func(w http.ResponseWriter, r *http.Request, err error) {
		problem(w, 400, "BAD_REQUEST", err.Error())
	}})
	th.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { th.answer(mux, w, r) }))
	t.Cleanup(th.Close)
	return th
}

var everyChange = api.Change{Field: "sinks[0].files.roll.every", From: "30s", To: "60s", Effect: "applies", Does: api.ChangeDoesTakenOver, Why: "from the next file on"}

func someJobs() []api.Job {
	p := inStream()
	return []api.Job{
		{Name: "shop-to-lake", Kind: api.Tables, Way: "mysql shop → lake", Version: 2, Created: *moment(48 * time.Hour), Updated: *moment(time.Hour), UpdatedBy: "alice", Health: api.JobHealthOk,
			Standing: api.Standing{Status: api.StatusRunning, Since: *moment(90 * time.Second), Attempt: 1}, Wish: api.Wish{Desired: api.DesiredRunning, By: "alice", Since: *moment(time.Hour)},
			Tasks: api.TaskCounts{Total: 3, Running: 1, Finished: 2}, Run: 3, Progress: &p},
		{Name: "nightly", Kind: api.Tables, Way: "mysql shop → pg", Version: 1, Created: *moment(time.Hour), Updated: *moment(time.Hour), Health: api.JobHealthFailed, Alarms: 1,
			Standing: api.Standing{Status: api.StatusFailed, Since: *moment(10 * time.Minute), Error: &api.Fault{Class: api.FaultClassUser, Code: "TARGET_FULL", What: "the disk is full", Where: "pg", Hint: "free space"}},
			Wish:     api.Wish{Desired: api.DesiredRunning, Since: *moment(time.Hour)}, Tasks: api.TaskCounts{Total: 1, Failed: 1}, Schedule: &api.Schedule{Text: "0 3 * * *", Next: []time.Time{now.Add(13 * time.Hour)}}},
		{Name: "media", Kind: api.Files, Way: "s3 media → folder", Group: "archive", Version: 1, Created: *moment(time.Hour), Updated: *moment(time.Hour), Health: api.JobHealthChanging,
			Standing: api.Standing{Status: api.StatusRunning, Since: *moment(time.Hour)}, Wish: api.Wish{Desired: api.DesiredPaused, By: "bob", Reason: "the disk is moved", Since: *moment(5 * time.Second)}},
	}
}

func problem(w http.ResponseWriter, status int, code, what string, ps ...api.FileProblem) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(api.Problem{Type: "docs/errors.md#" + strings.ToLower(code), Title: what, Status: status, Code: code, Detail: "the cause of it", Where: "the place", Hint: "mend it", Problems: ps})
}

func (th *there) ok(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

// answer notes a request, looks at its token, and answers.
func (th *there) answer(mux http.Handler, w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	th.mu.Lock()
	th.asked = append(th.asked, r.Method+" "+r.URL.RequestURI())
	th.bodies = append(th.bodies, string(body))
	if k := r.Header.Get(keyHeader); k != "" {
		th.keys = append(th.keys, k)
	}
	th.mu.Unlock()
	if th.before != nil && th.before(w, r) {
		return
	}
	switch token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "); {
	case token == "":
		problem(w, 401, "TOKEN_MISSING", "a token is needed")
	case token != operator && token != reader:
		problem(w, 401, "TOKEN_REFUSED", "the token is unknown")
	case token == reader && r.Method != http.MethodGet:
		problem(w, 403, "TOKEN_REFUSED", "the token may only read")
	default:
		mux.ServeHTTP(w, r)
	}
}

// requests returns what was asked, without what only looks.
func (th *there) requests(method string) (out []string) {
	th.mu.Lock()
	defer th.mu.Unlock()
	for _, a := range th.asked {
		if strings.HasPrefix(a, method+" ") {
			out = append(out, strings.TrimPrefix(a, method+" "))
		}
	}
	return out
}

// sent returns the body of the last request.
func (th *there) sent() map[string]any {
	th.mu.Lock()
	defer th.mu.Unlock()
	var m map[string]any
	if err := json.Unmarshal([]byte(th.bodies[len(th.bodies)-1]), &m); err != nil {
		th.t.Error(err)
	}
	return m
}

func (th *there) known(w http.ResponseWriter, name string) (api.Job, bool) {
	th.mu.Lock()
	defer th.mu.Unlock()
	j, ok := th.jobs[name]
	if !ok {
		problem(w, 404, "JOB_UNKNOWN", fmt.Sprintf("no job %q lives here", name))
	}
	return j, ok
}

// cutPage returns one page; tokens of pages are numbers.
func cutPage[T any](items []T, limit, most int, after string) ([]T, string) {
	from, _ := strconv.Atoi(after)
	to := min(len(items), from+min(limit, most))
	if to == len(items) {
		return items[from:], ""
	}
	return items[from:to], strconv.Itoa(to)
}

func (th *there) ListJobs(w http.ResponseWriter, r *http.Request, q api.ListJobsParams) {
	th.mu.Lock()
	defer th.mu.Unlock()
	var out []api.Job
	for _, j := range slices.SortedFunc(maps.Values(th.jobs), func(a, b api.Job) int {
		return cmp.Or(cmp.Compare(healthRank(a.Health), healthRank(b.Health)), cmp.Compare(a.Name, b.Name))
	}) {
		if strings.Contains(j.Name+j.Way, q.Q) && (len(q.Status) == 0 || slices.Contains(q.Status, j.Standing.Status)) && (q.Group == "" || q.Group == j.Group) {
			out = append(out, j)
		}
	}
	items, next := cutPage(out, q.Limit, th.page, q.After)
	th.ok(w, 200, api.JobPage{Items: items, Total: len(out), Counts: map[string]int{"running": 2, "failed": 1}, Next: next})
}

func (th *there) ShowJob(w http.ResponseWriter, r *http.Request, name string) {
	if j, ok := th.known(w, name); ok {
		th.ok(w, 200, j)
	}
}

func (th *there) SubmitJob(w http.ResponseWriter, r *http.Request, _ api.SubmitJobParams) {
	var in api.Submission
	json.NewDecoder(r.Body).Decode(&in)
	if strings.Contains(in.File, "evry") {
		problem(w, 422, "JOB_FIELD", "the job file has problems", api.FileProblem{Code: "JOB_FIELD", What: "no such key", Line: 9, Column: 92, Field: "sinks[0].files.roll.evry", Hint: `did you mean "every"?`}, api.FileProblem{Code: "JOB_MISSING", What: "name is missing"})
		return
	}
	name := nameIn(in.File)
	th.mu.Lock()
	defer th.mu.Unlock()
	if _, taken := th.jobs[name]; taken {
		problem(w, 409, "NAME_TAKEN", fmt.Sprintf("a job %q lives here already", name))
		return
	}
	j := api.Job{Name: name, Kind: api.Tables, Version: 1, Group: in.Group, Note: in.Note, Health: api.JobHealthOk, Wish: api.Wish{Desired: cmp.Or(in.Desired, api.DesiredRunning)}, Standing: api.Standing{Status: api.StatusUnassigned}}
	th.jobs[name] = j
	th.ok(w, 201, j)
}

func (th *there) CheckJob(w http.ResponseWriter, r *http.Request) {
	var in api.Draft
	json.NewDecoder(r.Body).Decode(&in)
	if strings.Contains(in.File, "evry") {
		th.ok(w, 200, api.CheckResult{Problems: []api.FileProblem{{Code: "JOB_FIELD", What: "no such key", Line: 9, Column: 92}}})
		return
	}
	out := api.CheckResult{Ok: true, Name: nameIn(in.File), Problems: []api.FileProblem{}, Findings: []api.Finding{}}
	if in.Deep {
		out.Ok = false
		out.Findings = []api.Finding{{On: "source", Name: "binlog format", Detail: "ROW", Ok: true},
			{On: "source", Name: "retention", Detail: "2 h", Ok: true, Warning: true, Error: &api.Fault{Code: "SOURCE_SETTINGS", What: "the log is short", Hint: "keep it longer"}},
			{On: "lake", Name: "target", Detail: "/data", Error: &api.Fault{Code: "TARGET_REFUSED", What: "cannot write", Hint: "chmod u+w /data"}}}
	}
	th.ok(w, 200, out)
}

func (th *there) PlanJob(w http.ResponseWriter, r *http.Request) {
	th.ok(w, 200, api.PlanResult{Changes: []api.Change{everyChange}, Plan: watch.PlanReport{Run: 4, At: "bin.1:4", Tables: []watch.PlanTable{{Table: "shop.orders", Rows: 1200, Bytes: 1 << 20, Chunks: 1, Key: []string{"id"}, State: "new"}}}})
}

func (th *there) EditJob(w http.ResponseWriter, r *http.Request, name string) {
	j, ok := th.known(w, name)
	if !ok {
		return
	}
	var e api.EditRequest
	json.NewDecoder(r.Body).Decode(&e)
	if e.Version != j.Version {
		problem(w, 409, "VERSION_CHANGED", fmt.Sprintf("the job has version %d, not %d", j.Version, e.Version))
		return
	}
	changes := []api.Change{everyChange}
	if strings.Contains(e.File, "layout: append") {
		changes = append(changes, api.Change{Field: "sinks[0].files.layout", From: "changelog", To: "append", Effect: "refused", Does: api.ChangeDoesRefused, Why: "it was written so before"})
	}
	out := api.EditResult{Version: j.Version, Changes: changes}
	if !e.Preview {
		out.Version++
		j.Version++
		th.mu.Lock()
		th.jobs[name] = j
		th.mu.Unlock()
	}
	th.ok(w, 200, out)
}

func (th *there) ListVersions(w http.ResponseWriter, r *http.Request, name string) {
	if _, ok := th.known(w, name); ok {
		items := slices.Clone(th.versions[name])
		for i := range items {
			items[i].File = ""
		}
		th.ok(w, 200, map[string]any{"items": items})
	}
}

func (th *there) ShowVersion(w http.ResponseWriter, r *http.Request, name string, version int64) {
	for _, v := range th.versions[name] {
		if v.Version == version {
			th.ok(w, 200, v)
			return
		}
	}
	problem(w, 404, "JOB_UNKNOWN", fmt.Sprintf("no version %d of %q", version, name))
}

func (th *there) ActOnJob(w http.ResponseWriter, r *http.Request, name string) {
	j, ok := th.known(w, name)
	if !ok {
		return
	}
	var a api.Act
	json.NewDecoder(r.Body).Decode(&a)
	if a.Act == api.ActActRetry && j.Standing.Status == api.StatusRunning {
		problem(w, 409, "NOT_NOW", "nothing of it has failed")
		return
	}
	th.ok(w, 200, j)
}

func (th *there) ActOnJobs(w http.ResponseWriter, r *http.Request) {
	var a api.BulkAct
	json.NewDecoder(r.Body).Decode(&a)
	th.mu.Lock()
	defer th.mu.Unlock()
	names := a.Names
	if a.Filter != nil {
		for _, name := range slices.Sorted(maps.Keys(th.jobs)) {
			if a.Filter.Group == "" || a.Filter.Group == th.jobs[name].Group {
				names = append(names, name)
			}
		}
	}
	results := []map[string]any{}
	out := map[string]any{"done": 0, "skipped": 0, "failed": 0}
	for _, name := range names {
		one := map[string]any{"name": name, "outcome": "done"}
		j, ok := th.jobs[name]
		switch {
		case !ok:
			one["outcome"], one["error"] = "failed", api.Fault{Class: api.FaultClassUser, Code: "JOB_UNKNOWN", What: "no such job"}
		case a.Act == api.BulkActActPause && j.Wish.Desired == api.DesiredPaused:
			one["outcome"], one["why"] = "skipped", "paused already"
		case a.Preview:
			one["outcome"] = "would"
		}
		if n, counted := out[one["outcome"].(string)].(int); counted {
			out[one["outcome"].(string)] = n + 1
		}
		results = append(results, one)
	}
	out["results"] = results
	th.ok(w, 200, out)
}

func (th *there) DeleteJob(w http.ResponseWriter, r *http.Request, name string, _ api.DeleteJobParams) {
	if _, ok := th.known(w, name); ok {
		w.WriteHeader(http.StatusNoContent)
	}
}

func (th *there) ResetPositions(w http.ResponseWriter, r *http.Request, name string, p api.ResetPositionsParams) {
	if _, ok := th.known(w, name); ok && p.Confirm == name {
		w.WriteHeader(http.StatusNoContent)
	}
}

func (th *there) ListTasks(w http.ResponseWriter, r *http.Request, name string, q api.ListTasksParams) {
	all := []api.Task{
		{ID: "planning", Kind: api.TaskKindPlanning, Standing: api.Standing{Status: api.StatusFinished, Since: *moment(time.Hour), Attempt: 1}},
		{ID: "copy/shop.orders/1", Kind: api.TaskKindCopy, Table: "shop.orders", Standing: api.Standing{Status: api.StatusRetrying, Since: *moment(time.Minute), Attempt: 2, Error: &api.Fault{Code: "SOURCE_UNREACHABLE", What: "no answer"}}, Wish: &api.Wish{Desired: api.DesiredPaused}},
		{ID: "stream", Kind: api.TaskKindStream, Standing: api.Standing{Status: api.StatusUnassigned, Since: *moment(time.Minute), Reason: "waits for the copies"}},
	}
	items, next := cutPage(all, q.Limit, th.page, q.After)
	th.ok(w, 200, api.TaskPage{Items: items, Total: len(all), Next: next})
}

func (th *there) ListTables(w http.ResponseWriter, r *http.Request, name string, q api.ListTablesParams) {
	all := []api.Table{
		{Name: "shop.items", Standing: api.Standing{Status: api.StatusFinished, Since: *moment(time.Minute)}, Rows: 100, Done: 120, Generation: 1},
		{Name: "shop.log", Standing: api.Standing{Status: api.StatusPaused, Since: *moment(time.Minute)}, Rows: -1, Bytes: -1, Mark: "logged as a statement"},
		{Name: "shop.orders", Standing: api.Standing{Status: api.StatusRunning, Since: *moment(time.Minute)}, Rows: 1000, Done: 500, RowsS: f(84_100), Apart: "read again"},
	}
	items, next := cutPage(all, q.Limit, th.page, q.After)
	th.ok(w, 200, api.TablePage{Items: items, Total: len(all), Next: next})
}

func (th *there) Positions(w http.ResponseWriter, r *http.Request, name string) {
	if _, ok := th.known(w, name); ok {
		th.ok(w, 200, watch.PositionReport{Positions: []watch.SinkPosition{{Sink: "lake", Task: "stream", Claim: "run 3", At: "bin.1:4", Note: "snapshot complete"}}})
	}
}

func (th *there) ListDeadLetters(w http.ResponseWriter, r *http.Request, name string, q api.ListDeadLettersParams) {
	if _, ok := th.known(w, name); !ok {
		return
	}
	all := slices.Clone(letters)
	all[0].What = "no date" // a server hides secrets itself
	items, next := cutPage(all, q.Limit, th.page, q.After)
	report := watch.LetterReport{Letters: items, Next: next}
	if q.Count {
		report.Counts = []watch.LetterCount{{Sink: "lake", Table: "shop.orders", Letters: int64(len(letters))}}
	}
	th.ok(w, 200, report)
}

func (th *there) Audit(w http.ResponseWriter, r *http.Request, q api.AuditParams) {
	th.ok(w, 200, api.AuditPage{Items: []api.Entry{
		{ID: 2, At: *moment(time.Minute), By: "alice", Job: "shop-to-lake", What: "edited", From: "1", To: "2", Reason: "smaller files", Outcome: api.EntryOutcomeDone, Request: "r2"},
		{ID: 1, At: *moment(time.Hour), By: "bob", Job: "shop-to-lake", What: "pause", Outcome: api.EntryOutcomeRefused, Code: "TOKEN_REFUSED"}}})
}

func (th *there) ListAlarms(w http.ResponseWriter, r *http.Request, q api.ListAlarmsParams) {
	th.ok(w, 200, map[string]any{"items": []api.Alarm{{ID: "a1", Kind: "failed", Job: "nightly", What: "the job has failed", Hint: "godwit job retry nightly", Raised: *moment(10 * time.Minute)}}})
}

func (th *there) SilenceAlarm(w http.ResponseWriter, r *http.Request, id string) {
	var in api.Silence
	json.NewDecoder(r.Body).Decode(&in)
	x := api.Alarm{ID: id, Kind: "failed", Job: "nightly", What: "the job has failed", Raised: *moment(10 * time.Minute)}
	switch {
	case id != "a1":
		problem(w, 404, "ALARM_UNKNOWN", "no alarm has this id")
		return
	case in.Seconds > 0:
		x.SilencedUntil, x.SilencedBy = now.Add(time.Duration(in.Seconds)*time.Second), "alice"
	}
	th.ok(w, 200, x)
}

func (th *there) ListTokens(w http.ResponseWriter, r *http.Request) {
	th.ok(w, 200, map[string]any{"items": slices.SortedFunc(maps.Values(th.tokens), func(a, b api.Token) int { return cmp.Compare(a.Name, b.Name) })})
}

func (th *there) CreateToken(w http.ResponseWriter, r *http.Request) {
	var in api.TokenRequest
	json.NewDecoder(r.Body).Decode(&in)
	if _, taken := th.tokens[in.Name]; taken {
		problem(w, 409, "NAME_TAKEN", "a token of this name is there")
		return
	}
	th.ok(w, 201, api.NewToken{Token: api.Token{Name: in.Name, Role: in.Role, Created: now, Expires: in.Expires}, Text: "fresh-token-text"})
}

func (th *there) RevokeToken(w http.ResponseWriter, r *http.Request, token string) {
	if _, ok := th.tokens[token]; !ok {
		problem(w, 404, "JOB_UNKNOWN", "no such token")
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (th *there) Events(w http.ResponseWriter, r *http.Request, q api.EventsParams) {
	th.mu.Lock()
	th.lastIDs = append(th.lastIDs, r.Header.Get("Last-Event-ID"))
	th.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case text, ok := <-th.follow:
			if !ok || text == "" {
				return // the stream breaks
			}
			io.WriteString(w, text)
			w.(http.Flusher).Flush()
		}
	}
}

// eventText is an event as it is sent.
func eventText(id int, kind string, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf(": a comment\nid: %d\nevent: %s\ndata: %s\n\n", id, kind, b)
}

// try is a command line that speaks to the server.
func (th *there) try(args ...string) *try {
	th.t.Helper()
	r := newTry(th.t, args...)
	r.p.Env = append(r.p.Env, envServer+"="+th.URL, envToken+"="+operator)
	r.p.Now = func() time.Time { return now }
	return r
}

// json runs with --json, holds every line against the schema and returns those of a
// kind.
func (th *there) json(code int, kind string, args ...string) (out []map[string]any) {
	th.t.Helper()
	r := th.try(append(args, "--json")...)
	r.want(code, "", "")
	for _, l := range lines(th.t, r.out.String()) {
		validate(th.t, l)
		if l["type"] == kind {
			out = append(out, l)
		}
	}
	if code == 0 && r.err.String() != "" {
		th.t.Errorf("%v: stderr: %s", args, r.err.String())
	}
	return out
}
