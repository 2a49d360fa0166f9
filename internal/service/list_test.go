package service

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"godwit/internal/api"
	"godwit/internal/engine"
	"godwit/internal/fault"
	"godwit/internal/job"
)

func TestList_when_there_are_many(t *testing.T) {
	w := newWorld(t)
	const many = 500
	now := time.Now().UTC()
	for i := range many { // without lives: the listing is what is measured
		name := fmt.Sprintf("job-%03d", i)
		desired := []api.Desired{api.DesiredRunning, api.DesiredPaused}[i%2]
		j := &living{s: w.Service, name: name, card: card{name: name, kind: "tables", way: "here → there", version: 1, created: now.Add(time.Duration(i) * time.Second), wish: api.Wish{Desired: desired}}}
		j.state = job.New(job.Options{}, 1, now)
		if desired == api.DesiredPaused {
			j.state, _ = job.Step(j.state, job.Event{Kind: job.PauseAsked, Now: now})
		}
		w.Service.mu.Lock()
		w.jobs[name] = j
		w.Service.mu.Unlock()
	}
	for _, sort := range []string{"", "name", "-name", "health", "-health", "status", "-status", "since", "-since", "rate", "-rate", "lag", "-lag", "created", "-created"} {
		var names []string
		q := api.ListJobsParams{Sort: api.ListJobsParamsSort(sort), Limit: 70}
		for {
			page, err := w.List(t.Context(), q)
			if err != nil || page.Total != many || page.Counts["paused"] != many/2 {
				t.Fatalf("%s: %d, %v, %v", sort, page.Total, page.Counts, err)
			}
			for _, v := range page.Items {
				names = append(names, v.Name)
			}
			if q.After = page.Next; q.After == "" {
				break
			}
		}
		if slices.Sort(names); len(names) != many || len(slices.Compact(names)) != many {
			t.Errorf("%s: pages have %d names", sort, len(names))
		}
	}
	least := time.Hour
	for range 20 {
		began := time.Now()
		if _, err := w.List(t.Context(), api.ListJobsParams{Limit: 500}); err != nil {
			t.Fatal(err)
		}
		least = min(least, time.Since(began))
	}
	if least > 10*time.Millisecond {
		t.Errorf("a listing of %d jobs takes %v", many, least)
	}
	_, err := w.List(t.Context(), api.ListJobsParams{After: "nonsense"})
	wantCode(t, err, fault.BadRequest)
	_, err = w.List(t.Context(), api.ListJobsParams{Sort: "colour"})
	wantCode(t, err, fault.BadRequest)
}

func TestList_when_some_are_ill(t *testing.T) {
	w := newWorld(t)
	w.engine.set("ill", &script{find: func(context.Context) error { return fault.New(fault.SourceGrants, "a grant is missing") }})
	w.engine.set("flaky", &script{find: func(context.Context) error { return fault.New(fault.SourceBusy, "busy") }})
	for _, name := range []string{"well", "ill", "flaky", "idle"} {
		w.submit(tableFile(name))
	}
	w.act("idle", api.ActActPause)
	w.stands("idle", api.StatusPaused)
	w.stands("well", api.StatusRunning)
	w.stands("ill", api.StatusFailed)
	w.stands("flaky", api.StatusRetrying)
	page, err := w.List(t.Context(), api.ListJobsParams{})
	var names []string
	for _, v := range page.Items {
		names = append(names, v.Name+" "+string(v.Health))
	}
	if err != nil || !slices.Equal(names, []string{"ill failed", "flaky retrying", "well ok", "idle idle"}) {
		t.Errorf("%q, %v", names, err)
	}
	for _, c := range []struct {
		q    api.ListJobsParams
		want int
	}{
		{api.ListJobsParams{Q: "ILL"}, 1}, {api.ListJobsParams{Q: "mysql"}, 4}, {api.ListJobsParams{NeedsYou: true}, 1}, {api.ListJobsParams{Kind: api.Files}, 0},
		{api.ListJobsParams{Desired: api.DesiredPaused}, 1}, {api.ListJobsParams{Status: []api.Status{api.StatusRunning, api.StatusFailed}}, 2}, {api.ListJobsParams{Group: "g"}, 0},
	} {
		if page, err := w.List(t.Context(), c.q); err != nil || page.Total != c.want || page.Counts["failed"] != 1 {
			t.Errorf("%+v: %d, %v, %v", c.q, page.Total, page.Counts, err)
		}
	}
	o, err := w.Overview(t.Context())
	if err != nil || o.NeedsYou != 1 || o.Counts["retrying"] != 1 {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestActOnAll_when_it_is_previewed_and_done(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"a", "b", "c"} {
		w.submit(tableFile(name))
		w.stands(name, api.StatusRunning)
	}
	w.act("b", api.ActActPause)
	w.stands("b", api.StatusPaused)
	all := api.BulkAct{Act: api.BulkActActPause, Filter: &api.Filter{Q: "mysql"}, Preview: true}
	outcomes := func(a api.BulkAct) string {
		t.Helper()
		out, err := w.ActOnAll(t.Context(), ana, a)
		if err != nil {
			t.Fatal(err)
		}
		var s []string
		for _, r := range out.Results {
			s = append(s, r.Name+" "+string(r.Outcome))
			if r.Outcome == api.BulkResultResultsOutcomeSkipped && r.Why == "" {
				t.Errorf("%+v: no reason", r)
			}
		}
		return strings.Join(s, ", ") + fmt.Sprintf(" = %d %d %d", out.Done, out.Skipped, out.Failed)
	}
	if got := outcomes(all); got != "a would, b skipped, c would = 0 1 0" {
		t.Error(got)
	}
	all.Preview = false
	if got := outcomes(all); got != "a done, b skipped, c done = 2 1 0" {
		t.Error(got)
	}
	w.stands("a", api.StatusPaused)
	if got := outcomes(api.BulkAct{Act: api.BulkActActRetry, Names: []string{"a", "x"}}); got != "a skipped, x failed = 0 1 1" {
		t.Error(got)
	}
	if got := outcomes(api.BulkAct{Act: api.BulkActActDelete, Names: []string{"a", "b"}, Preview: true}); got != "a would, b would = 0 0 0" {
		t.Error(got)
	}
	if got := outcomes(api.BulkAct{Act: api.BulkActActDelete, Names: []string{"a", "b"}}); got != "a done, b done = 2 0 0" {
		t.Error(got)
	}
	if page, err := w.List(t.Context(), api.ListJobsParams{}); err != nil || page.Total != 1 {
		t.Errorf("%+v, %v", page, err)
	}
	_, err := w.ActOnAll(t.Context(), ana, api.BulkAct{Act: api.BulkActActPause})
	wantCode(t, err, fault.BadRequest)
}

func TestCheck_when_a_file_is_looked_at(t *testing.T) {
	w := newWorld(t)
	out, err := w.Check(t.Context(), api.Draft{File: "name: A\n"})
	if err != nil || out.Ok || len(out.Problems) == 0 {
		t.Errorf("%+v, %v", out, err)
	}
	out, err = w.Check(t.Context(), api.Draft{File: tableFile("shop")})
	if err != nil || !out.Ok || out.Name != "shop" || len(out.Findings) != 0 {
		t.Errorf("%+v, %v", out, err)
	}
	out, err = w.Check(t.Context(), api.Draft{File: tableFile("shop"), Deep: true})
	if err != nil || out.Ok || len(out.Findings) != 2 || !out.Findings[0].Ok || strings.Contains(out.Findings[1].Error.What, canary) {
		t.Errorf("%+v, %v", out, err)
	}
	plan, err := w.Plan(t.Context(), api.Draft{File: tableFile("shop")})
	if err != nil || len(plan.Changes) != 0 || plan.Plan.Run != 1 {
		t.Errorf("%+v, %v", plan, err)
	}
	begun(t, w)
	plan, err = w.Plan(t.Context(), api.Draft{File: tableFile("shop") + "parallel: 2\n"})
	if err != nil || len(plan.Changes) != 1 {
		t.Errorf("%+v, %v", plan, err)
	}
}

func TestPositions_when_they_are_read_and_reset(t *testing.T) {
	w := newWorld(t)
	begun(t, w)
	report, err := w.Positions(t.Context(), "shop")
	if err != nil || len(report.Positions) != 1 {
		t.Errorf("%+v, %v", report, err)
	}
	wantCode(t, w.ResetPositions(t.Context(), ana, "shop", "shop", ""), fault.NotNow)
	w.act("shop", api.ActActStop)
	w.await("shop", "over", func(v api.Job) bool { return v.Standing.Status == api.StatusStopped && w.jobs["shop"].lifeNow() == nil })
	wantCode(t, w.ResetPositions(t.Context(), ana, "shop", "shop2", ""), fault.ConfirmNeeded)
	if err := w.ResetPositions(t.Context(), ana, "shop", "shop", "because"); err != nil || len(w.engine.reset) != 1 {
		t.Error(err, w.engine.reset)
	}
}

func TestDeadLetters_when_they_are_asked_for(t *testing.T) {
	w := newWorld(t)
	begun(t, w)
	report, err := w.DeadLetters(t.Context(), "shop", api.ListDeadLettersParams{Sink: "lake", Table: "shop.orders", After: "lake/3", Count: true})
	if err != nil || len(report.Letters) != 1 || report.Next != "lake/7" || strings.Contains(report.Letters[0].What, canary) {
		t.Errorf("%+v, %v", report, err)
	}
	want := engine.LetterQuery{Sink: "lake", Table: "shop.orders", After: "lake/3", Limit: 100, Count: true}
	if len(w.engine.letters) != 1 || w.engine.letters[0] != want {
		t.Errorf("asked: %+v", w.engine.letters)
	}
	_, err = w.DeadLetters(t.Context(), "none", api.ListDeadLettersParams{})
	wantCode(t, err, fault.JobUnknown)
}

func TestAudit_when_it_is_paged_and_too_long(t *testing.T) {
	w := newWorld(t)
	for i := range 25 {
		w.Note(t.Context(), api.Entry{By: "ana", What: fmt.Sprint("thing ", i), Outcome: api.EntryOutcomeRefused})
	}
	var seen []string
	q := api.AuditParams{Limit: 10}
	for {
		page, err := w.Audit(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Items {
			seen = append(seen, e.What)
		}
		if q.After = page.Next; q.After == "" {
			break
		}
	}
	if len(seen) != 25 || seen[0] != "thing 24" || seen[24] != "thing 0" {
		t.Errorf("%q", seen)
	}
	err := w.folder.promise(func(tx *sql.Tx) error {
		_, err := tx.Exec("UPDATE audit SET at = ? WHERE id <= 5", stamp(time.Now().Add(-auditAge-time.Hour)))
		_, err2 := tx.Exec("UPDATE audit SET id = id + ? WHERE id > 20", auditRows-10)
		return errors.Join(err, err2)
	})
	if err != nil {
		t.Fatal(err)
	}
	w.tidy()
	page, err := w.Audit(t.Context(), api.AuditParams{Limit: 100})
	if err != nil || len(page.Items) != 10 || page.Items[9].What != "thing 15" {
		t.Errorf("%d entries: %+v, %v", len(page.Items), page, err)
	}
}
