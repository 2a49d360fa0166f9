package local

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"godwit/internal/engine"
	"godwit/internal/engine/enginetest"
	"godwit/internal/fault"
	"godwit/internal/job"
)

func TestDrive_as_every_engine(t *testing.T) {
	drive := func(ctx context.Context, work engine.Work, from job.State, commands <-chan job.Event, save func(job.State) error) error {
		return Drive(ctx, work, engine.Driving{From: from, Commands: commands, Save: save, Log: quiet})
	}
	enginetest.Run(t, drive, synctest.Test)
}

func TestDrive_when_nobody_commands_any_more(t *testing.T) {
	commands := make(chan job.Event)
	close(commands)
	s := &script{tasks: copies("a")}
	if err := Drive(t.Context(), s, engine.Driving{From: job.New(job.Options{}, 1, time.Now()), Commands: commands, Log: quiet}); err != nil || len(s.ran) != 2 {
		t.Fatal(err, s.ran)
	}
}

func TestDrive_when_the_job_has_ended(t *testing.T) {
	var last job.State
	from := job.New(job.Options{}, 1, time.Now())
	save := func(s job.State) error { last = s; return nil }
	if err := Drive(t.Context(), &script{}, engine.Driving{From: from, Save: save, Log: quiet}); err != nil || !last.Ended {
		t.Fatal(err, last)
	}
	s := &script{tasks: copies("a")}
	if err := Drive(t.Context(), s, engine.Driving{From: last, Log: quiet}); err != nil || len(s.ran) > 0 {
		t.Fatal(err, s.ran)
	}
}

func TestDrive_when_alarms_are_told(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{tasks: []job.Task{{ID: "a", Kind: job.Copy}}}
		s.run = func(_ context.Context, _ string, attempt uint64) error {
			if attempt < 5 {
				return context.DeadlineExceeded // an error without a code is a defect: it gives up at once
			}
			return nil
		}
		told := map[job.Alarm]int{}
		commands := make(chan job.Event)
		alarm := func(a job.Action) {
			name := job.Alarm{Kind: a.Alarm.Kind, On: a.Alarm.On}
			if told[name]++; a.Kind == job.RaiseAlarm && name.Kind == job.AlarmJob {
				go func() { commands <- job.Event{Kind: job.RetryAsked} }()
			}
		}
		if err := Drive(t.Context(), s, engine.Driving{From: job.New(job.Options{}, 1, time.Now()), Commands: commands, Alarm: alarm, Log: quiet}); err != nil {
			t.Fatal(err)
		}
		if len(told) != 2 || told[job.Alarm{Kind: job.AlarmTask, On: "a"}] != 8 || told[job.Alarm{Kind: job.AlarmJob}] != 8 {
			t.Fatalf("%v", told)
		}
	})
}

// recovering is work whose task commits something in the attempt after the outage, and goes
// on until it is over.
type recovering struct {
	*script
	outage uint64 // attempts
	over   chan struct{}
}

func (w *recovering) RunTask(_ context.Context, r engine.Run) (bool, error) {
	if r.Attempt <= w.outage {
		return false, fault.New(fault.SourceUnreachable, "away")
	}
	r.Progressed()
	<-w.over
	return true, nil
}

func TestDrive_when_a_source_is_away_for_long(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &recovering{&script{tasks: []job.Task{{ID: "a", Kind: job.Copy}}}, 3 * job.MaxFruitless, make(chan struct{})}
		var told []string
		alarm := func(a job.Action) {
			told = append(told, string(a.Alarm.Kind))
			if a.Kind == job.ResolveAlarm {
				close(w.over) // it is resolved while the task goes on
			}
		}
		if err := Drive(t.Context(), w, engine.Driving{From: job.New(job.Options{}, 1, time.Now()), Alarm: alarm, Log: quiet}); err != nil {
			t.Fatal(err)
		}
		if len(told) != 2 || told[0] != string(job.AlarmRetrying) || told[1] != told[0] {
			t.Errorf("%q", told)
		}
	})
}
