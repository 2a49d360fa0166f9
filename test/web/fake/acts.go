package fake

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"godwit/internal/api"
)

// ActOnJob implements the API: what is asked is wanted at once, and is once Settle
// is called.
func (s *Server) ActOnJob(w http.ResponseWriter, r *http.Request, name api.Name) {
	var a api.Act
	if err := json.NewDecoder(r.Body).Decode(&a); err != nil {
		refuse(w, http.StatusBadRequest, "BAD_REQUEST", err.Error(), "")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.find(w, name)
	if j == nil {
		return
	}
	s.want(j, string(a.Act), a.Reason, append(a.Tables, a.Tasks...))
	answer(w, j)
}

// ActOnJobs implements the API.
func (s *Server) ActOnJobs(w http.ResponseWriter, r *http.Request) {
	var a api.BulkAct
	if err := json.NewDecoder(r.Body).Decode(&a); err != nil {
		refuse(w, http.StatusBadRequest, "BAD_REQUEST", err.Error(), "")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var out api.BulkResult
	for _, j := range slices.Clone(s.jobs) {
		if a.Filter == nil && !slices.Contains(a.Names, j.Name) || a.Filter != nil && !strings.Contains(j.Name, a.Filter.Q) {
			continue
		}
		out.Results = append(out.Results, struct {
			Error   *api.Fault                   `json:"error,omitempty"`
			Name    api.Name                     `json:"name"`
			Outcome api.BulkResultResultsOutcome `json:"outcome"`
			Why     string                       `json:"why,omitempty,omitzero"`
		}{Name: j.Name})
		x := &out.Results[len(out.Results)-1]
		switch {
		case a.Act == api.BulkActActPause && j.Wish.Desired == api.DesiredPaused:
			x.Outcome, x.Why = api.BulkResultResultsOutcomeSkipped, "is paused already"
			out.Skipped++
		case a.Preview:
			x.Outcome = api.BulkResultResultsOutcomeWould
		case strings.HasSuffix(j.Name, "-7"):
			x.Outcome, x.Error = api.BulkResultResultsOutcomeFailed, &api.Fault{Class: api.FaultClassUser, Code: "NOT_NOW", What: "the job is being edited", Hint: "try again in a moment"}
			out.Failed++
		default:
			x.Outcome = api.BulkResultResultsOutcomeDone
			out.Done++
			s.want(j, string(a.Act), a.Reason, nil)
		}
	}
	answer(w, out)
}

// DeleteJob implements the API.
func (s *Server) DeleteJob(w http.ResponseWriter, _ *http.Request, name api.Name, p api.DeleteJobParams) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.find(w, name)
	if j == nil {
		return
	}
	delete(s.byName, name)
	s.jobs = slices.DeleteFunc(s.jobs, func(o *api.Job) bool { return o == j })
	s.note(name, "delete", p.Reason, "", "")
	s.tell("gone", map[string]string{"name": name})
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) want(j *api.Job, act, reason string, parts []string) {
	now := time.Now().UTC()
	before := j.Wish.Desired
	wish := map[string]api.Desired{"pause": api.DesiredPaused, "resume": api.DesiredRunning, "retry": api.DesiredRunning, "stop": api.DesiredStopped, "start": api.DesiredRunning}
	status := map[string]api.Status{"pause": api.StatusPaused, "resume": api.StatusRunning, "retry": api.StatusRunning, "stop": api.StatusStopped, "start": api.StatusRunning}
	if len(parts) == 0 {
		if d, ok := wish[act]; ok {
			j.Wish = api.Wish{Desired: d, Since: now, By: "ana", Reason: reason}
			j.Health = api.JobHealthChanging
		}
	}
	s.settle[j.Name] = func(j *api.Job) {
		for _, p := range parts {
			s.mended[j.Name+"/"+p] = true
		}
		if act == "retry" {
			j.Standing.Error = nil
			j.Alarms, j.Tasks.Failed = 0, 0
			s.resolve(j.Name)
		}
		if st, ok := status[act]; ok && len(parts) == 0 {
			j.Standing = api.Standing{Status: st, Since: time.Now().UTC(), Attempt: j.Standing.Attempt + 1, Worker: j.Standing.Worker}
		}
		j.Health = api.JobHealthOk
		if j.Wish.Desired != api.DesiredRunning {
			j.Health = api.JobHealthIdle
		}
	}
	s.note(j.Name, act, reason, string(before), string(j.Wish.Desired))
	s.tell("job", *j)
}

// resolve ends the alarms of a job; s.mu is held.
func (s *Server) resolve(job string) {
	for i := range s.alarms {
		if a := &s.alarms[i]; a.Job == job && a.Resolved.IsZero() {
			a.Resolved = time.Now().UTC()
			s.tell("alarm", *a)
		}
	}
}

// Settle makes everything true that was asked of a job.
func (s *Server) Settle(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.settle[name]; f != nil {
		delete(s.settle, name)
		f(s.byName[name])
		s.tell("job", *s.byName[name])
	}
}

func (s *Server) note(job, what, reason, from, to string) {
	e := api.Entry{ID: int64(len(s.audit) + 1), At: time.Now().UTC(), By: "ana", Job: job, What: what, Reason: reason, From: from, To: to, Outcome: api.EntryOutcomeDone, Request: "r-17"}
	s.audit = append(s.audit, e)
	s.tell("audit", e)
}

// Wanted is what is wanted of a job now.
func (s *Server) Wanted(name string) api.Desired {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byName[name].Wish.Desired
}
