package local

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"godwit/internal/engine"
	"godwit/internal/fault"
	"godwit/internal/job"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// script is work whose tasks do what a function says.
type script struct {
	tasks []job.Task
	find  func(ctx context.Context) error
	run   func(ctx context.Context, id string, attempt uint64) error

	mu      sync.Mutex
	ran     []string
	running int
	most    int
}

func (s *script) Find(ctx context.Context, _ map[string]job.Apart, found func(job.Task)) error {
	for _, t := range s.tasks {
		found(t)
	}
	if s.find != nil {
		return s.find(ctx)
	}
	return nil
}

func (s *script) RunTask(ctx context.Context, r engine.Run) (bool, error) {
	id, attempt := r.Task.ID, r.Attempt
	s.mu.Lock()
	s.ran = append(s.ran, id)
	s.running++
	s.most = max(s.most, s.running)
	s.mu.Unlock()
	defer func() { s.mu.Lock(); s.running--; s.mu.Unlock() }()
	if s.run == nil {
		return true, nil
	}
	return false, s.run(ctx, id, attempt)
}

func copies(ids ...string) (out []job.Task) {
	out = append(out, job.Task{ID: "stream", Kind: job.Stream, AfterCopies: true})
	for _, id := range ids {
		out = append(out, job.Task{ID: id, Kind: job.Copy})
	}
	return out
}

func TestRun_when_all_goes_well(t *testing.T) {
	s := &script{tasks: copies("a", "b", "c", "d")}
	if _, err := Run(t.Context(), s, nil, 2, quiet); err != nil {
		t.Fatal(err)
	}
	if len(s.ran) != 5 || s.ran[4] != "stream" || s.most > 2 {
		t.Fatalf("ran %v, %d at once", s.ran, s.most)
	}
}

func TestRun_when_a_task_fails_for_a_while(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{tasks: copies("a")}
		s.run = func(_ context.Context, id string, attempt uint64) error {
			if id == "a" && attempt < 4 {
				return fault.New(fault.SourceBusy, "busy")
			}
			return nil
		}
		if _, err := Run(t.Context(), s, nil, 1, quiet); err != nil {
			t.Fatal(err)
		}
		if len(s.ran) != 5 {
			t.Fatalf("ran %v", s.ran)
		}
	})
}

func TestRun_when_a_task_fails_for_good(t *testing.T) {
	s := &script{tasks: copies("a", "b")}
	s.run = func(ctx context.Context, id string, _ uint64) error {
		if id == "a" {
			return fault.New(fault.FencedOff, "another one")
		}
		<-ctx.Done() // the other task is told to end
		return ctx.Err()
	}
	if _, err := Run(t.Context(), s, nil, 2, quiet); !fault.Has(err, fault.FencedOff) || s.running != 0 {
		t.Fatalf("%v, %d still running", err, s.running)
	}
}

func TestRun_when_stopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := &script{tasks: copies("a")}
	s.run = func(ctx context.Context, _ string, _ uint64) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	}
	s.find = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() } // still finding
	if stopped, err := Run(ctx, s, nil, 1, quiet); !stopped || err != nil || s.running != 0 {
		t.Fatalf("%v, %v, %d still running", stopped, err, s.running)
	}
}

func TestRun_when_it_is_driven(t *testing.T) {
	s := &script{tasks: copies("a", "b", "c")}
	started := make(chan struct{}, 3)
	s.run = func(ctx context.Context, _ string, _ uint64) error {
		started <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	var last job.State
	commands := make(chan job.Event)
	go func() {
		<-started
		<-started
		commands <- job.Event{Kind: job.StopAsked}
	}()
	d := &engine.Driving{From: job.New(job.Options{}, 1, time.Now()), Commands: commands, Save: func(s job.State) error { last = s; return nil }}
	stopped, err := Run(t.Context(), s, d, 2, quiet)
	if !stopped || err != nil || last.Status != job.Stopped || s.most != 2 || d.From.Parallel != 0 {
		t.Fatalf("%v, %v, %v, %d at once", stopped, err, last.Status, s.most)
	}
}

func TestRun_when_nothing_can_be_found(t *testing.T) {
	s := &script{find: func(context.Context) error { return fault.New(fault.SourceUnreachable, "no") }}
	if _, err := Run(t.Context(), s, nil, 1, quiet); !fault.Has(err, fault.SourceUnreachable) {
		t.Fatal(err)
	}
}

func TestRun_when_a_task_fails_its_error_is_returned_and_told(t *testing.T) {
	mine := fault.New(fault.TargetFull, "no space")
	var lines []string
	log, _ := NewLog(func(s string) string { return s }, func(_ slog.Level, line string) { lines = append(lines, line) })
	s := &script{tasks: copies("a")}
	s.run = func(context.Context, string, uint64) error { return mine }
	if _, err := Run(t.Context(), s, nil, 1, log); err != error(mine) {
		t.Errorf("not the error itself: %v", err)
	}
	if len(lines) != 1 || lines[0] != `task failed  task=a  error="TARGET_FULL: no space"` {
		t.Errorf("%q", lines)
	}
	lines, s.find = nil, func(context.Context) error { return mine }
	if _, err := Run(t.Context(), s, nil, 1, log); err != error(mine) || len(lines) > 0 && lines[0] != `task failed  task=a  error="TARGET_FULL: no space"` {
		t.Errorf("what ends the run is told twice: %v, %q", err, lines)
	}
}

// fruitful is work that commits something each time, and fails.
type fruitful struct {
	*script
	most int
}

func (f *fruitful) RunTask(ctx context.Context, r engine.Run) (bool, error) {
	_, err := f.script.RunTask(ctx, r)
	if r.Attempt >= uint64(f.most) {
		err = nil
	}
	return true, err
}

func TestRun_when_a_task_fails_and_gets_on(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{tasks: []job.Task{{ID: "a", Kind: job.Copy}}}
		s.run = func(context.Context, string, uint64) error { return fault.New(fault.SourceBusy, "busy") }
		begin := time.Now()
		if _, err := Run(t.Context(), &fruitful{s, 3 * job.MaxFruitless}, nil, 1, quiet); err != nil || len(s.ran) != 3*job.MaxFruitless {
			t.Errorf("%v, %d attempts", err, len(s.ran))
		}
		if took := time.Since(begin); took > time.Minute {
			t.Errorf("it took %v, as if nothing had been committed", took)
		}
	})
}

func TestRun_when_planning_is_stopped_and_says_something_else(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := &script{find: func(ctx context.Context) error {
		cancel()
		<-ctx.Done()
		return fault.New(fault.SourceUnreachable, "broken off")
	}}
	if stopped, err := Run(ctx, s, nil, 1, quiet); !stopped || err != nil {
		t.Errorf("%v, %v", stopped, err)
	}
}
