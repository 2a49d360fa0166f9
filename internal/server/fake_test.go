package server

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/service"
	"godwit/internal/watch"
)

// fake is a service in memory: jobs that are submitted, edited, paused and deleted,
// tokens, an audit log and a feed of what happens, and nothing that moves.
type fake struct {
	mu      sync.Mutex
	jobs    map[string]*fakeJob
	keys    map[string]api.Job
	tokens  map[string]*api.Token // by text
	audit   []api.Entry
	alarms  []api.Alarm
	proofs  map[string]api.Verification // that go on
	feed    []service.Happening
	changed chan struct{} // closed when feed grows
	first   uint64        // the least id that is still known
	asked   int           // calls that reached the service

	// before is called with the name of a method before it does anything.
	before func(ctx context.Context, call string) error
}

type fakeJob struct {
	job      api.Job
	versions []api.Version
}

var anyTime = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// Tokens that the fake knows.
const (
	operator = "operator-token-0123456789"
	reader   = "reader-token-0123456789"
)

func newFake() *fake {
	f := &fake{jobs: map[string]*fakeJob{}, proofs: map[string]api.Verification{}, keys: map[string]api.Job{}, changed: make(chan struct{}), first: 1}
	f.tokens = map[string]*api.Token{
		operator: {Name: "ana", Role: api.Operate, Created: anyTime},
		reader:   {Name: "bob", Role: api.Read, Created: anyTime},
	}
	for _, name := range []string{"shop", "media", "old"} {
		f.add(name)
	}
	f.jobs["shop"].job.Progress = shopProgress()
	f.alarms = []api.Alarm{{ID: "a1", Kind: "task failed", Job: "shop", What: "SOURCE_LOST: gone", Raised: anyTime}}
	return f
}

func shopProgress() *watch.Progress {
	lag, kept := 1.5, 259200.0
	return &watch.Progress{
		Job: "shop", Phase: watch.Stream, Since: anyTime, Started: anyTime, Sampled: time.Now(), Bytes: 4096, KeptFor: &kept,
		Rows: watch.Count{Done: 100, Total: 120, Kind: watch.Estimate}, Changes: &watch.Changes{Rows: 7, Lag: watch.Lag{State: watch.Behind, Seconds: &lag}},
		Sinks: []watch.Sink{
			{Name: "lake", Rows: 107, Commits: 3, CommittedAt: &anyTime, Lag: watch.Lag{State: watch.Behind, Seconds: &lag}},
			{Name: "pg", Rows: 90, Commits: 2, Lag: watch.Lag{State: watch.Unknown}},
		},
	}
}

func (f *fake) add(name string) *fakeJob {
	j := &fakeJob{job: api.Job{
		Name: name, Kind: api.Tables, Version: 1, Created: anyTime, Updated: anyTime, Health: api.JobHealthOk,
		Standing: api.Standing{Status: api.StatusRunning, Since: anyTime}, Wish: api.Wish{Desired: api.DesiredRunning, Since: anyTime},
	}}
	j.versions = []api.Version{{Version: 1, At: anyTime, By: "ana", File: "name: " + name + "\n"}}
	f.jobs[name] = j
	return j
}

// enter is the beginning of each method; the caller unlocks f.mu.
func (f *fake) enter(ctx context.Context, call string) error {
	if f.before != nil {
		if err := f.before(ctx, call); err != nil {
			f.mu.Lock()
			return err
		}
	}
	f.mu.Lock()
	if call != "Bearer" && call != "Overview" {
		f.asked++
	}
	return ctx.Err()
}

func (f *fake) job(name string) (*fakeJob, error) {
	if j, ok := f.jobs[name]; ok {
		return j, nil
	}
	return nil, fault.New(fault.JobUnknown, "no job %s lives here", name)
}

// happen tells the followers; f.mu is held.
func (f *fake) happen(kind, job string, data any) {
	f.feed = append(f.feed, service.Happening{ID: f.first + uint64(len(f.feed)), Type: kind, Job: job, Data: data})
	close(f.changed)
	f.changed = make(chan struct{})
}

// forget drops what happened so far, as a feed does that has only so much room.
func (f *fake) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.first += uint64(len(f.feed))
	f.feed = nil
}

var nameLine = regexp.MustCompile(`(?m)^name: ([a-z0-9-]+)$`)

// fileError is an error of several problems of a job file.
type fileError struct{ list option.Problems }

func (b fileError) Error() string             { return b.list.Err().Error() }
func (b fileError) Unwrap() error             { return b.list.Err() }
func (b fileError) Problems() option.Problems { return b.list }

func fileName(text string) (string, error) {
	if strings.HasPrefix(text, "broken") {
		return "", fileError{option.Problems{
			{Code: fault.JobField, Path: "nme", What: "no such key", Nearest: "name", Place: option.Place{File: "job.yaml", Line: 1, Col: 1}},
			{Code: fault.JobMissing, Path: "source", What: "is missing", Place: option.Place{File: "job.yaml", Line: 2, Col: 3}},
		}}
	}
	m := nameLine.FindStringSubmatch(text)
	if m == nil {
		return "", fault.New(fault.JobMissing, "name is missing").At("job.yaml:1:1")
	}
	return m[1], nil
}

func (f *fake) Submit(ctx context.Context, w service.Who, key string, in api.Submission) (api.Job, error) {
	err := f.enter(ctx, "Submit")
	defer f.mu.Unlock()
	if err != nil {
		return api.Job{}, err
	}
	if j, ok := f.keys[key]; ok && key != "" {
		return j, nil
	}
	name, err := fileName(in.File)
	if err != nil {
		return api.Job{}, err
	}
	if f.jobs[name] != nil {
		return api.Job{}, fault.New(fault.NameTaken, "a job %s lives here already", name)
	}
	j := f.add(name)
	j.job.Wish.Desired, j.job.Wish.By, j.job.Group = in.Desired, w.Name, in.Group
	j.versions[0].File = in.File
	f.keys[key] = j.job
	f.note(w, name, "submit")
	f.happen("job", name, j.job)
	return j.job, nil
}

// note is the audit log's; f.mu is held.
func (f *fake) note(w service.Who, job, what string) {
	f.audit = append(f.audit, api.Entry{ID: int64(len(f.audit) + 1), At: anyTime, By: w.Name, Job: job, What: what, Outcome: api.EntryOutcomeDone, Request: w.Request})
}

func (f *fake) List(ctx context.Context, q api.ListJobsParams) (api.JobPage, error) {
	err := f.enter(ctx, "List")
	defer f.mu.Unlock()
	var page api.JobPage
	if err != nil {
		return page, err
	}
	page.Counts = map[string]int{}
	var names []string
	for name, j := range f.jobs {
		page.Counts[string(j.job.Standing.Status)]++
		if strings.Contains(name, q.Q) && (len(q.Status) == 0 || slices.Contains(q.Status, j.job.Standing.Status)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	page.Total = len(names)
	for _, name := range names {
		if name <= q.After {
			continue
		}
		if len(page.Items) == q.Limit {
			page.Next = page.Items[len(page.Items)-1].Name
			break
		}
		page.Items = append(page.Items, f.jobs[name].job)
	}
	return page, nil
}

func (f *fake) Show(ctx context.Context, name string) (api.Job, error) {
	err := f.enter(ctx, "Show")
	defer f.mu.Unlock()
	if err != nil {
		return api.Job{}, err
	}
	j, err := f.job(name)
	if err != nil {
		return api.Job{}, err
	}
	return j.job, nil
}

func (f *fake) Overview(ctx context.Context) (api.Overview, error) {
	err := f.enter(ctx, "Overview")
	defer f.mu.Unlock()
	v := api.Overview{At: anyTime, Counts: map[string]int{}, NeedsYou: 1, Memory: 1 << 20, MemoryLimit: 1 << 28}
	for _, j := range f.jobs {
		v.Counts[string(j.job.Standing.Status)]++
	}
	return v, err
}

func (f *fake) Tasks(ctx context.Context, name string, q api.ListTasksParams) (api.TaskPage, error) {
	err := f.enter(ctx, "Tasks")
	defer f.mu.Unlock()
	_, unknown := f.job(name)
	return api.TaskPage{}, cmp.Or(err, unknown)
}

func (f *fake) Tables(ctx context.Context, name string, q api.ListTablesParams) (api.TablePage, error) {
	err := f.enter(ctx, "Tables")
	defer f.mu.Unlock()
	_, unknown := f.job(name)
	return api.TablePage{Items: []api.Table{{Name: "shop.orders", Standing: api.Standing{Status: api.StatusRunning, Since: anyTime}}}, Total: 1}, cmp.Or(err, unknown)
}

func (f *fake) Positions(ctx context.Context, name string) (watch.PositionReport, error) {
	err := f.enter(ctx, "Positions")
	defer f.mu.Unlock()
	_, unknown := f.job(name)
	return watch.PositionReport{}, cmp.Or(err, unknown)
}

func (f *fake) DeadLetters(ctx context.Context, name string, q api.ListDeadLettersParams) (watch.LetterReport, error) {
	err := f.enter(ctx, "DeadLetters")
	defer f.mu.Unlock()
	_, unknown := f.job(name)
	return watch.LetterReport{}, cmp.Or(err, unknown)
}

func (f *fake) Check(ctx context.Context, d api.Draft) (api.CheckResult, error) {
	err := f.enter(ctx, "Check")
	defer f.mu.Unlock()
	name, broken := fileName(d.File)
	if broken != nil {
		return api.CheckResult{Problems: []api.FileProblem{{Code: string(fault.Of(broken).Code), What: "name is missing", Line: 1}}}, err
	}
	return api.CheckResult{Ok: true, Name: name}, err
}

func (f *fake) Plan(ctx context.Context, d api.Draft) (api.PlanResult, error) {
	err := f.enter(ctx, "Plan")
	defer f.mu.Unlock()
	_, broken := fileName(d.File)
	return api.PlanResult{Plan: watch.PlanReport{Run: 1}}, cmp.Or(err, broken)
}

func (f *fake) Edit(ctx context.Context, w service.Who, name string, e api.EditRequest) (api.EditResult, error) {
	err := f.enter(ctx, "Edit")
	defer f.mu.Unlock()
	if err != nil {
		return api.EditResult{}, err
	}
	j, err := f.job(name)
	switch {
	case err != nil:
		return api.EditResult{}, err
	case e.Version != j.job.Version:
		return api.EditResult{}, fault.New(fault.VersionChanged, "version %d lives, not %d", j.job.Version, e.Version)
	case !e.Preview:
		j.job.Version++
		j.versions = append(j.versions, api.Version{Version: j.job.Version, At: anyTime, By: w.Name, File: e.File, Reason: e.Reason})
		f.note(w, name, "edit")
		f.happen("job", name, j.job)
	}
	return api.EditResult{Version: j.job.Version}, nil
}

func (f *fake) Act(ctx context.Context, w service.Who, name string, a api.Act) (api.Job, error) {
	err := f.enter(ctx, "Act")
	defer f.mu.Unlock()
	if err != nil {
		return api.Job{}, err
	}
	j, err := f.job(name)
	if err != nil {
		return api.Job{}, err
	}
	switch a.Act {
	case api.ActActPause:
		j.job.Wish.Desired, j.job.Standing.Status = api.DesiredPaused, api.StatusPaused
	case api.ActActStop:
		j.job.Wish.Desired, j.job.Standing.Status = api.DesiredStopped, api.StatusStopped
	case api.ActActResync:
		return api.Job{}, fault.New(fault.NotNow, "%s is %s", name, j.job.Standing.Status)
	default:
		j.job.Wish.Desired, j.job.Standing.Status = api.DesiredRunning, api.StatusRunning
	}
	f.note(w, name, string(a.Act))
	f.happen("job", name, j.job)
	return j.job, nil
}

func (f *fake) ActOnAll(ctx context.Context, w service.Who, a api.BulkAct) (api.BulkResult, error) {
	err := f.enter(ctx, "ActOnAll")
	defer f.mu.Unlock()
	return api.BulkResult{Skipped: len(a.Names)}, err
}

func (f *fake) Delete(ctx context.Context, w service.Who, name, reason string) error {
	err := f.enter(ctx, "Delete")
	defer f.mu.Unlock()
	if err != nil {
		return err
	}
	if _, err := f.job(name); err != nil {
		return err
	}
	delete(f.jobs, name)
	f.note(w, name, "delete")
	f.happen("gone", name, map[string]string{"name": name})
	return nil
}

func (f *fake) Versions(ctx context.Context, name string) ([]api.Version, error) {
	err := f.enter(ctx, "Versions")
	defer f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	j, err := f.job(name)
	if err != nil {
		return nil, err
	}
	return slices.Clone(j.versions), nil
}

func (f *fake) Version(ctx context.Context, name string, version int64) (api.Version, error) {
	err := f.enter(ctx, "Version")
	defer f.mu.Unlock()
	if err != nil {
		return api.Version{}, err
	}
	j, err := f.job(name)
	if err != nil {
		return api.Version{}, err
	}
	if version > int64(len(j.versions)) {
		return api.Version{}, fault.New(fault.VersionUnknown, "%s has no version %d", name, version)
	}
	return j.versions[version-1], nil
}

func (f *fake) ResetPositions(ctx context.Context, w service.Who, name, confirm, reason string) error {
	err := f.enter(ctx, "ResetPositions")
	defer f.mu.Unlock()
	if err != nil {
		return err
	}
	if _, err := f.job(name); err != nil {
		return err
	}
	if confirm != name {
		return fault.New(fault.ConfirmNeeded, "confirm must be %s", name)
	}
	return nil
}

func (f *fake) History(ctx context.Context, name string, q api.HistoryParams) (api.History, error) {
	err := f.enter(ctx, "History")
	defer f.mu.Unlock()
	_, unknown := f.job(name)
	h := api.History{From: anyTime, StepS: 1}
	h.Series = append(h.Series, struct {
		Name   api.HistorySeriesName `json:"name"`
		Unit   api.HistorySeriesUnit `json:"unit"`
		Values []*float32            `json:"values"`
	}{Name: "rows", Unit: "1/s", Values: make([]*float32, 900)})
	return h, cmp.Or(err, unknown)
}

func (f *fake) Audit(ctx context.Context, q api.AuditParams) (api.AuditPage, error) {
	err := f.enter(ctx, "Audit")
	defer f.mu.Unlock()
	var page api.AuditPage
	for _, e := range slices.Backward(f.audit) {
		if q.Job == "" || q.Job == e.Job {
			page.Items = append(page.Items, e)
		}
	}
	page.Items = page.Items[:min(len(page.Items), q.Limit)]
	return page, err
}

func (f *fake) Alarms(ctx context.Context, q api.ListAlarmsParams) ([]api.Alarm, error) {
	err := f.enter(ctx, "Alarms")
	defer f.mu.Unlock()
	return slices.Clone(f.alarms), err
}

func (f *fake) Verifications(ctx context.Context, name string) (out api.Verifications, err error) {
	err = f.enter(ctx, "Verifications")
	defer f.mu.Unlock()
	_, unknown := f.job(name)
	if v, ok := f.proofs[name]; ok {
		out.Current = &v
	}
	out.Last = &api.Verification{ID: 1, Job: name, State: api.VerificationStateFinished, Verdict: api.VerdictDifferent, Asked: anyTime, By: "ana", Version: 1,
		Differences: []watch.Difference{{Kind: watch.Missing, Key: "k"}}, Equal: &api.ObjectsAndBytes{Objects: 3}}
	return out, cmp.Or(err, unknown)
}

func (f *fake) StartVerification(ctx context.Context, w service.Who, name, reason string) (api.Verification, error) {
	err := f.enter(ctx, "StartVerification")
	defer f.mu.Unlock()
	if err != nil {
		return api.Verification{}, err
	}
	if _, err := f.job(name); err != nil {
		return api.Verification{}, err
	}
	if _, ok := f.proofs[name]; ok {
		return api.Verification{}, fault.New(fault.NotNow, "%s is being verified already", name)
	}
	f.proofs[name] = api.Verification{ID: 2, Job: name, State: api.VerificationStateWaiting, Asked: anyTime, By: w.Name, Reason: reason, Version: 1}
	return f.proofs[name], nil
}

func (f *fake) CancelVerification(ctx context.Context, w service.Who, name, reason string) error {
	err := f.enter(ctx, "CancelVerification")
	defer f.mu.Unlock()
	if err != nil {
		return err
	}
	if _, err := f.job(name); err != nil {
		return err
	}
	if _, ok := f.proofs[name]; !ok {
		return fault.New(fault.NotNow, "%s is not being verified", name)
	}
	delete(f.proofs, name)
	return nil
}

func (f *fake) Silence(ctx context.Context, w service.Who, id string, in api.Silence) (api.Alarm, error) {
	err := f.enter(ctx, "Silence")
	defer f.mu.Unlock()
	for i := range f.alarms {
		if f.alarms[i].ID == id && err == nil {
			f.alarms[i].SilencedBy = w.Name
			return f.alarms[i], nil
		}
	}
	return api.Alarm{}, cmp.Or[error](err, fault.New(fault.AlarmUnknown, "no such alarm"))
}

func (f *fake) CreateToken(ctx context.Context, w service.Who, in api.TokenRequest) (api.NewToken, error) {
	err := f.enter(ctx, "CreateToken")
	defer f.mu.Unlock()
	text := fmt.Sprintf("made-%d-0123456789", len(f.tokens))
	t := &api.Token{Name: in.Name, Role: in.Role, Created: anyTime, CreatedBy: w.Name, Expires: in.Expires}
	if err == nil {
		f.tokens[text] = t
	}
	return api.NewToken{Text: text, Token: *t}, err
}

func (f *fake) Tokens(ctx context.Context) ([]api.Token, error) {
	err := f.enter(ctx, "Tokens")
	defer f.mu.Unlock()
	var out []api.Token
	for _, t := range f.tokens {
		out = append(out, *t)
	}
	return out, err
}

func (f *fake) RevokeToken(ctx context.Context, w service.Who, name string) error {
	err := f.enter(ctx, "RevokeToken")
	defer f.mu.Unlock()
	for _, t := range f.tokens {
		if t.Name == name && err == nil {
			t.Revoked = anyTime
			return nil
		}
	}
	return cmp.Or[error](err, fault.New(fault.TokenUnknown, "no such token"))
}

func (f *fake) Bearer(ctx context.Context, text string) (api.Token, error) {
	err := f.enter(ctx, "Bearer")
	defer f.mu.Unlock()
	if err != nil {
		return api.Token{}, err
	}
	t := f.tokens[text]
	if t == nil || !t.Revoked.IsZero() {
		return api.Token{}, fault.New(fault.TokenRefused, "the token is unknown, expired or revoked")
	}
	return *t, nil
}

func (f *fake) Note(_ context.Context, e api.Entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e.ID = int64(len(f.audit) + 1)
	f.audit = append(f.audit, e)
}

// Follow goes on behind an id; 0 is now.
func (f *fake) Follow(ctx context.Context, after uint64, job string, each func(service.Happening) error) error {
	err := f.enter(ctx, "Follow")
	next := f.first + uint64(len(f.feed))
	reset := after > 0 && (after+1 < f.first || after >= next)
	if after > 0 && !reset {
		next = after + 1
	}
	f.mu.Unlock()
	if err != nil {
		return err
	}
	if reset {
		if err := each(service.Happening{ID: next - 1, Type: "reset"}); err != nil {
			return err
		}
	}
	for {
		f.mu.Lock()
		news := slices.Clone(f.feed[min(uint64(len(f.feed)), next-f.first):])
		changed := f.changed
		f.mu.Unlock()
		for _, h := range news {
			next = h.ID + 1
			if job != "" && h.Job != job {
				continue
			}
			if err := each(h); err != nil {
				return err
			}
		}
		if len(news) > 0 {
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// noted returns the audit entries of refusals.
func (f *fake) noted() (out []api.Entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.audit {
		if e.Outcome == api.EntryOutcomeRefused {
			out = append(out, e)
		}
	}
	return out
}

func (f *fake) reached() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

func TestFake_when_followed(t *testing.T) {
	f := newFake()
	f.happen("job", "shop", nil)
	f.happen("job", "media", nil)
	var got []uint64
	ctx, cancel := context.WithCancel(t.Context())
	_ = f.Follow(ctx, 1, "", func(h service.Happening) error {
		got = append(got, h.ID)
		cancel()
		return nil
	})
	if !slices.Equal(got, []uint64{2}) {
		t.Fatal(got)
	}
}
