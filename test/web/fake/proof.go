package fake

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"godwit/internal/api"
	"godwit/internal/watch"
)

// prove invents what verifications found, and rows that were put aside.
func (s *Server) prove() {
	at := s.started.UTC().Truncate(time.Second)
	j := s.byName["shop-to-lake"]
	if j == nil {
		return
	}
	for i := range 130 {
		id, note := fmt.Sprint(1000+i), "0000-00-00"
		l := watch.Letter{Sink: "lake", Table: tableName(i % 2), Op: "i", Pos: fmt.Sprintf("0001000000000000%04x", i), Key: map[string]*string{"id": &id}, Row: map[string]*string{"id": &id, "day": &note, "comment": nil},
			Code: "ROW_REFUSED", What: fmt.Sprintf("column day of row id=%s: 0000-00-00 is no date", id), Hint: "mend the row, or choose another unrepresentable", Time: at.Add(-time.Duration(i) * time.Minute), At: "_godwit/dead/stream-1-1.jsonl"}
		s.letters[j.Name] = append(s.letters[j.Name], l)
	}
	s.letters[j.Name][1].Key, s.letters[j.Name][1].Row = nil, nil
	j.Sinks = []api.Sink{{Name: "lake", Standing: j.Standing, DeadLetters: 130}, {Name: "pg", Standing: j.Standing}}
	tables := []watch.VerifiedTable{
		{Table: tableName(0), On: "lake", Equal: 70_000, Missing: 2, Different: 1, SourceAt: "mysql-bin.007:8467", SinkAt: "mysql-bin.007:8467"},
		{Table: tableName(1), On: "lake", Equal: 12, Lossy: []string{"at datetime(6) as timestamp(3)"}, SourceAt: "mysql-bin.007:8467", SinkAt: "mysql-bin.007:8467"},
		{Table: tableName(1), On: "pg", NotComparable: 1, NotCompared: "the sink does not have it yet"},
	}
	different := api.Verification{ID: 2, Job: j.Name, State: api.VerificationStateFinished, Asked: at.Add(-time.Hour), By: "ana", Version: 1, Started: at.Add(-time.Hour), Ended: at.Add(-50 * time.Minute), Verdict: api.VerdictDifferent,
		Equal: &api.ObjectsAndBytes{Objects: 70_012}, Missing: 2, Different: 1, NotComparable: 1, Tables: tables, Differences: []watch.Difference{
			{Kind: "missing", Key: tableName(0) + " id=7", Reason: "the source has it once, the sink not at all", Row: &watch.RowDifference{Table: tableName(0), On: "lake", Source: 1}},
			{Kind: "different", Key: tableName(0) + " id=8", Reason: "values of note", Row: &watch.RowDifference{Table: tableName(0), On: "lake", Source: 1, Sink: 1, Columns: []watch.ColumnDifference{{Column: "note", Source: "<b>new</b>", Sink: "old"}}}},
		}}
	s.verified[j.Name] = api.Verifications{Last: &different, Earlier: []api.Verification{{ID: 1, Job: j.Name, State: api.VerificationStateBrokenOff, Asked: at.Add(-48 * time.Hour), By: "schedule", Version: 1}}}
	j.Verification = &api.Verified{ID: 2, State: different.State, Since: different.Ended, Verdict: different.Verdict, VerdictAt: different.Ended, Differences: 4}
	if m := s.byName["media-004"]; m != nil {
		s.verified[m.Name] = api.Verifications{Earlier: []api.Verification{}, Last: &api.Verification{ID: 3, Job: m.Name, State: api.VerificationStateFinished, Asked: at, By: "schedule", Version: 1, Started: at.Add(-time.Minute), Ended: at,
			Verdict: api.VerdictEqual, Equal: &api.ObjectsAndBytes{Objects: 12_000, Bytes: 1 << 30}, EqualBy: []api.Proof{{By: "md5", Objects: 12_000}}}}
	}
}

// Prove ends the verification of a job that goes on: all is equal.
func (s *Server) Prove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.verified[name]
	done := *v.Current
	done.State, done.Ended, done.Verdict, done.Equal = api.VerificationStateFinished, time.Now().UTC(), api.VerdictEqual, &api.ObjectsAndBytes{Objects: 70_015}
	s.verified[name] = api.Verifications{Last: &done, Earlier: v.Earlier}
	s.byName[name].Verification = &api.Verified{ID: done.ID, State: done.State, Since: done.Ended, Verdict: done.Verdict, VerdictAt: done.Ended}
	s.tell("job", *s.byName[name])
}

// ShowVerification implements the API.
func (s *Server) ShowVerification(w http.ResponseWriter, _ *http.Request, name api.Name) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.find(w, name) == nil {
		return
	}
	v := s.verified[name]
	v.Earlier = append([]api.Verification{}, v.Earlier...)
	answer(w, v)
}

// StartVerification implements the API.
func (s *Server) StartVerification(w http.ResponseWriter, _ *http.Request, name api.Name, p api.StartVerificationParams) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.find(w, name)
	if j == nil {
		return
	}
	now := time.Now().UTC()
	v := s.verified[name]
	v.Current = &api.Verification{ID: 9, Job: name, State: api.VerificationStateRunning, Asked: now, Started: now, By: "ana", Reason: p.Reason, Version: j.Version, Compared: &api.ObjectsAndBytes{Objects: 35_000}, Again: 3}
	if v.Last != nil {
		v.Earlier = append([]api.Verification{*v.Last}, v.Earlier...)
		v.Last = nil
	}
	s.verified[name] = v
	j.Verification = &api.Verified{ID: 9, State: api.VerificationStateRunning, Since: now}
	s.tell("job", *j)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	answer(w, v.Current)
}

// CancelVerification implements the API.
func (s *Server) CancelVerification(w http.ResponseWriter, _ *http.Request, name api.Name, _ api.CancelVerificationParams) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.verified[name]
	if v.Current == nil {
		refuse(w, http.StatusConflict, "NOT_NOW", "it is not being verified", "verify it")
		return
	}
	gone := *v.Current
	gone.State = api.VerificationStateCancelled
	s.verified[name] = api.Verifications{Last: &gone, Earlier: v.Earlier}
	s.byName[name].Verification = &api.Verified{ID: gone.ID, State: gone.State, Since: time.Now().UTC()}
	w.WriteHeader(http.StatusNoContent)
}

// ListDeadLetters implements the API.
func (s *Server) ListDeadLetters(w http.ResponseWriter, _ *http.Request, name api.Name, p api.ListDeadLettersParams) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.find(w, name) == nil {
		return
	}
	all := s.letters[name]
	report := watch.LetterReport{Letters: []watch.Letter{}}
	counts := map[watch.LetterCount]int64{}
	var some []watch.Letter
	for _, l := range all {
		counts[watch.LetterCount{Sink: l.Sink, Table: l.Table}]++
		if (p.Sink == "" || p.Sink == l.Sink) && (p.Table == "" || p.Table == l.Table) {
			some = append(some, l)
		}
	}
	if p.Count {
		for c, n := range counts {
			c.Letters = n
			report.Counts = append(report.Counts, c)
		}
		slices.SortFunc(report.Counts, func(a, b watch.LetterCount) int { return strings.Compare(a.Sink+a.Table, b.Sink+b.Table) })
	}
	items, next := cut(some, p.After, p.Limit)
	report.Letters, report.Next = append(report.Letters, items...), next
	answer(w, report)
}
