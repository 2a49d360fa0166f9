package engine

import (
	"fmt"
	"testing"
	"time"

	"godwit/internal/fault"
	"godwit/internal/job"
)

func TestAllowed(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s, _ := job.Resume(job.New(job.Options{}, 1, now), now)
	ask := func(kind job.EventKind, names ...string) error {
		e := job.Event{Kind: kind, Tables: names, Now: now}
		err := Allowed(s, e)
		if err == nil {
			s, _ = job.Step(s, e)
		}
		return err
	}
	for i := range job.MostApart {
		if err := ask([]job.EventKind{job.PauseAsked, job.ResyncAsked}[i%2], fmt.Sprint("db.t", i)); err != nil {
			t.Fatal(i, err)
		}
	}
	for _, kind := range []job.EventKind{job.PauseAsked, job.ResyncAsked} {
		if err := ask(kind, "db.more"); !fault.Has(err, fault.NotNow) {
			t.Error(err)
		}
		if err := ask(kind, "db.t0"); err != nil { // it stands apart already
			t.Error(err)
		}
	}
	for _, kind := range []job.EventKind{job.ResumeAsked, job.RetryAsked} {
		if err := ask(kind, "db.more", "db.t0"); err != nil {
			t.Error(err)
		}
	}
	if err := ask(job.PauseAsked); err != nil {
		t.Error(err)
	}
}
