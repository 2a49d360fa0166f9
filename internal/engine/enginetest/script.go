package enginetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"godwit/internal/job"
)

// script is work whose tasks do what a function says.
type script struct {
	tasks []job.Task
	find  func(n int) error                                          // how the n-th search ends; nil: well
	run   func(ctx context.Context, id string, attempt uint64) error // nil: well

	mu            sync.Mutex
	searches      int
	ran           []string // "id attempt"
	running, most int
	last          map[string]uint64
	done          map[string]bool
	problems      []error
}

// Find finds the tasks.
func (s *script) Find(_ context.Context, found func(job.Task)) error {
	s.mu.Lock()
	s.searches++
	n := s.searches
	s.mu.Unlock()
	if s.find != nil {
		if err := s.find(n); err != nil {
			return err
		}
	}
	for _, t := range s.tasks {
		found(t)
	}
	return nil
}

// RunTask runs a task.
func (s *script) RunTask(ctx context.Context, id string, attempt uint64) (bool, error) {
	s.enter(id, attempt)
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
	commands chan job.Event
	ended    chan error

	state   sync.Mutex
	saved   job.State
	changed chan struct{}
}

// begin begins a job.
func begin(ctx context.Context, d Drive, o job.Options, w *script) *trial {
	from := job.New(o, 1, time.Now())
	t := &trial{script: w, commands: make(chan job.Event), ended: make(chan error, 1), changed: make(chan struct{}, 1), saved: from}
	go func() { t.ended <- d(ctx, w, from, t.commands, t.save) }()
	return t
}

func (t *trial) save(s job.State) error {
	t.state.Lock()
	t.saved = s
	t.state.Unlock()
	select {
	case t.changed <- struct{}{}:
	default:
	}
	return nil
}

func (t *trial) last() job.State {
	t.state.Lock()
	defer t.state.Unlock()
	return t.saved
}

// await waits for a state.
func (t *trial) await(ctx context.Context, which func(job.State) bool) error {
	for {
		if s := t.last(); which(s) {
			return nil
		}
		select {
		case <-t.changed:
		case <-ctx.Done():
			return fmt.Errorf("waited in vain; the job is %v: %+v", t.last().Status, t.last().Tasks)
		}
	}
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

// tell gives the engine a command.
func (t *trial) tell(ctx context.Context, e job.Event) {
	select {
	case t.commands <- e:
	case <-ctx.Done(): // what is waited for next says so
	}
}

// end waits for the end, and returns how it was.
func (t *trial) end(ctx context.Context) error {
	select {
	case err := <-t.ended:
		return errors.Join(err, t.wrong())
	case <-ctx.Done():
		return fmt.Errorf("no end; the job is %v: %+v", t.last().Status, t.last().Tasks)
	}
}

// stands says what is wrong when the job was not kept as having ended so.
func (t *trial) stands(want job.Status) error {
	if s := t.last(); s.Status != want || !s.Ended {
		return fmt.Errorf("the last state kept is %v, ended %v; it should be %v", s.Status, s.Ended, want)
	}
	return nil
}
