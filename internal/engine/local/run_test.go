package local

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

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

func (s *script) Find(ctx context.Context, found func(job.Task)) error {
	for _, t := range s.tasks {
		found(t)
	}
	if s.find != nil {
		return s.find(ctx)
	}
	return nil
}

func (s *script) RunTask(ctx context.Context, id string, attempt uint64) (bool, error) {
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
	if err := Run(t.Context(), s, 2, quiet); err != nil {
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
		if err := Run(t.Context(), s, 1, quiet); err != nil {
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
	if err := Run(t.Context(), s, 2, quiet); !fault.Has(err, fault.FencedOff) || s.running != 0 {
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
	if err := Run(ctx, s, 1, quiet); !errors.Is(err, context.Canceled) || s.running != 0 {
		t.Fatalf("%v, %d still running", err, s.running)
	}
}

func TestRun_when_nothing_can_be_found(t *testing.T) {
	s := &script{find: func(context.Context) error { return fault.New(fault.SourceUnreachable, "no") }}
	if err := Run(t.Context(), s, 1, quiet); !fault.Has(err, fault.SourceUnreachable) {
		t.Fatal(err)
	}
}
