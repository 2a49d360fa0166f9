package enginetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"godwit/internal/engine"
	"godwit/internal/job"
)

// script is work whose tasks do what a function says.
type script struct {
	tasks []job.Task
	plan  func(apart map[string]job.Apart) []job.Task                // in place of tasks; nil: those
	find  func(n int) error                                          // how the n-th search ends; nil: well
	run   func(ctx context.Context, id string, attempt uint64) error // nil: well
	heals []string                                                   // tables that a copy makes whole, says the stream of all

	mu            sync.Mutex
	searches      int
	ran           []string // "id attempt"
	running, most int
	last          map[string]uint64
	done          map[string]bool
	problems      []error
}

// Find finds the tasks.
func (s *script) Find(_ context.Context, apart map[string]job.Apart, found func(job.Task)) error {
	s.mu.Lock()
	s.searches++
	n := s.searches
	s.mu.Unlock()
	if s.find != nil {
		if err := s.find(n); err != nil {
			return err
		}
	}
	tasks := s.tasks
	if s.plan != nil {
		tasks = s.plan(apart)
	}
	for _, t := range tasks {
		found(t)
	}
	return nil
}

// RunTask runs a task. The stream of a table that stands apart catches up at once.
func (s *script) RunTask(ctx context.Context, r engine.Run) (bool, error) {
	id, attempt := r.Task.ID, r.Attempt
	s.enter(id, attempt)
	if r.Task.Kind == job.Stream && r.Task.Table != "" {
		r.CaughtUp()
	}
	if r.Task.ID == stream.ID && attempt == 1 && s.heals != nil {
		r.Healable(s.heals)
	}
	var err error
	if s.run != nil {
		err = s.run(ctx, id, attempt)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	s.done[id] = s.done[id] || err == nil
	return false, err
}

func (s *script) enter(id string, attempt uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil {
		s.last, s.done = map[string]uint64{}, map[string]bool{}
	}
	if attempt <= s.last[id] {
		s.problems = append(s.problems, fmt.Errorf("task %s is run as attempt %d after %d", id, attempt, s.last[id]))
	}
	s.last[id] = attempt
	if id == stream.ID {
		for _, t := range s.tasks {
			if t.Kind == job.Copy && !s.done[t.ID] {
				s.problems = append(s.problems, fmt.Errorf("the stream runs before copy %s has finished", t.ID))
			}
		}
	}
	s.ran = append(s.ran, fmt.Sprint(id, " ", attempt))
	s.running++
	s.most = max(s.most, s.running)
}

func (s *script) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.ran...)
}

// searched is how often tasks were looked for.
func (s *script) searched() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.searches
}

// now is how many tasks run.
func (s *script) now() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running
}

// wrong is what was seen that must not be.
func (s *script) wrong() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running > 0 {
		return errors.Join(append(s.problems, fmt.Errorf("%d tasks are left running", s.running))...)
	}
	return errors.Join(s.problems...)
}

// trial is one job under the engine.
type trial struct {
	*script
	*Keeper
	ended chan error
}

// begin begins a job.
func begin(ctx context.Context, d Drive, o job.Options, w *script) *trial {
	return takeUp(ctx, d, job.New(o, 1, time.Now()), w)
}

// takeUp goes on with one.
func takeUp(ctx context.Context, d Drive, from job.State, w *script) *trial {
	t := &trial{script: w, Keeper: NewKeeper(from), ended: make(chan error, 1)}
	go func() { t.ended <- d(ctx, w, from, t.commands, t.Save) }()
	return t
}

// running is the state in which so many tasks are said to run.
func running(n int) func(job.State) bool {
	return func(s job.State) bool {
		run := 0
		for _, t := range s.Tasks {
			if t.Kind != job.Planning && t.Status == job.Running {
				run++
			}
		}
		return run == n
	}
}

// stands is the status of a task; 0: there is none.
func stands(s job.State, id string) job.Status {
	for _, t := range s.Tasks {
		if t.ID == id {
			return t.Status
		}
	}
	return 0
}

// drain ends the engine from outside and returns the state it left, as another
// process finds it. Meanwhile somebody asks for a pause, and is heard or not.
func (t *trial) drain(ctx context.Context, cancel context.CancelFunc) (kept job.State, heard bool, err error) {
	cancel()
	select {
	case t.commands <- job.Event{Kind: job.PauseAsked, By: "ben"}:
		heard = true
	case err := <-t.ended:
		t.ended <- err
	case <-ctx.Done():
	}
	if err := t.end(ctx); !errors.Is(err, context.Canceled) || t.wrong() != nil || ctx.Err() != nil {
		return kept, heard, fmt.Errorf("ended with %v", err)
	}
	kept, err = reread(t.Kept())
	return kept, heard, err
}

// end waits for the end, and returns how it was.
func (t *trial) end(ctx context.Context) error {
	select {
	case err := <-t.ended:
		return errors.Join(err, t.wrong())
	case <-ctx.Done():
		return fmt.Errorf("no end; the job is %v: %+v", t.Kept().Status, t.Kept().Tasks)
	}
}

// stands says what is wrong when the job was not kept as having ended so.
func (t *trial) stands(want job.Status) error {
	if s := t.Kept(); s.Status != want || !s.Ended {
		return fmt.Errorf("the last state kept is %v, ended %v; it should be %v", s.Status, s.Ended, want)
	}
	return nil
}
