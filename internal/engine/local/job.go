package local

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/watch"
)

// This file has what engines keep of a job in its state folder, whatever its kind.

// Keys of what the state keeps of a job.
const (
	keptSpec     = "spec"
	keptProgress = "progress"
	keptFile     = "file"
	keptAudit    = "audit"
)

// Accept compares a job file with what an earlier run was given. It returns the
// edits, and fault.JobEdit for one that cannot be applied to what is there; with
// again everything can.
func (s *State) Accept(ctx context.Context, spec *job.Spec, again bool) ([]job.Edit, error) {
	var kept job.Kept
	had, err := s.Kept(ctx, keptSpec, &kept)
	if err != nil || !had {
		return nil, err
	}
	edits := spec.Diff(kept)
	if e := refused(edits); e != nil && !again {
		return nil, refusal(e, spec.File)
	}
	return edits, nil
}

// refusal is the error of a refused edit, with what works instead.
func refusal(e *job.Edit, file string) error {
	err := fault.New(fault.JobEdit, "%s changed from %q to %q: %s", e.Field, e.From, e.To, e.Why).At("%s", file)
	if e.Elsewhere {
		return err.Try("take the edit back, or name another target (an empty folder) as well and read everything again: godwit run --again %s", file)
	}
	return err.Try("take the edit back, or read everything again: godwit run --again %s", file)
}

// refused is the edit of which it is told that it is refused: the one that takes most to
// have. nil: none is.
func refused(edits []job.Edit) (most *job.Edit) {
	for i, e := range edits {
		if e.Effect == job.Refused && (most == nil || e.Elsewhere && !most.Elsewhere) {
			most = &edits[i]
		}
	}
	return most
}

// KeepSpec keeps what the job was asked for, for Accept and JobFile.
func (s *State) KeepSpec(ctx context.Context, spec *job.Spec) error {
	file, err := filepath.Abs(spec.File)
	if err != nil {
		file = spec.File
	}
	return errors.Join(s.Keep(ctx, keptSpec, spec.Kept()), s.Keep(ctx, keptFile, file))
}

// JobFile is the job file that a job of the state folder last ran with; empty when
// there is no such job.
func JobFile(ctx context.Context, root, name string) (file string, err error) {
	if name == "" || filepath.Base(name) != name {
		return "", nil
	}
	s, err := OpenState(root, name, false)
	if err != nil || s == nil {
		return "", err
	}
	defer s.Close()
	_, err = s.Kept(ctx, keptFile, &file)
	return file, err
}

// keepEvery is how often the progress of a run is kept for godwit status, keepDriven how
// often where a server drives it, which says itself how it is, and keepIdle how often
// where nothing moves: many jobs wait for changes most of the time.
const (
	keepEvery  = 2 * time.Second
	keepDriven = 20 * time.Second
	keepIdle   = 30 * time.Second
)

// KeepProgress keeps what snapshot says until stop is called, and once more then. driven:
// a server drives the run.
func (s *State) KeepProgress(ctx context.Context, driven bool, snapshot func() watch.Progress) (stop func()) {
	every := keepEvery
	if driven {
		every = keepDriven
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		var last watch.Progress
		var at time.Time
		for {
			select {
			case now := <-tick.C:
				p := snapshot()
				if !p.Moved(&last) && now.Sub(at) < keepIdle {
					continue
				}
				last, at = p, now
				_ = s.Keep(ctx, keptProgress, p) // only for status; a broken state ends the run elsewhere
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
		_ = s.Keep(context.WithoutCancel(ctx), keptProgress, snapshot())
	}
}

// Progress returns the progress kept last; nil: none was.
func (s *State) Progress(ctx context.Context) (*watch.Progress, error) {
	var p watch.Progress
	if had, err := s.Kept(ctx, keptProgress, &p); err != nil || !had {
		return nil, err
	}
	return &p, nil
}

// maxAudit bounds the audit log; the oldest entries go first.
const maxAudit = 500

// Note adds to the audit log.
func (s *State) Note(ctx context.Context, run uint64, what string) error {
	entries, err := s.Audit(ctx)
	if err != nil {
		return err
	}
	entries = append(entries, watch.Entry{At: time.Now().UTC(), Run: run, What: what})
	return s.Keep(ctx, keptAudit, entries[max(0, len(entries)-maxAudit):])
}

// Audit returns the audit log, oldest first.
func (s *State) Audit(ctx context.Context) (entries []watch.Entry, err error) {
	_, err = s.Kept(ctx, keptAudit, &entries)
	return entries, err
}

// End says how a run ended, for EndRun: its exit code and a line.
func End(stopped bool, err error) (exit int, outcome string) {
	switch {
	case err != nil:
		return fault.Of(err).Code.Info().Exit, fault.Of(err).Error()
	case stopped:
		return 130, "stopped"
	}
	return fault.ExitDone, "done"
}

// Statuses tells how the named job stands, from the state folder alone; with an
// empty name all jobs there.
func Statuses(ctx context.Context, root, name string) (r watch.StatusReport, err error) {
	jobs := []string{name}
	if name == "" {
		jobs = nil
		entries, err := os.ReadDir(root)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return r, fault.New(fault.StateBroken, "the state folder cannot be read").At("%s", root).By(err)
		}
		for _, d := range entries {
			if d.IsDir() {
				jobs = append(jobs, d.Name())
			}
		}
	}
	slices.Sort(jobs)
	for _, name := range jobs {
		st, err := status(ctx, root, name)
		if err != nil {
			return r, err
		}
		r.Jobs = append(r.Jobs, st)
	}
	return r, nil
}

func status(ctx context.Context, root, name string) (watch.JobStatus, error) {
	out := watch.JobStatus{Job: name, State: "new"}
	state, err := OpenState(root, name, false)
	if err != nil || state == nil {
		return out, err
	}
	defer state.Close()
	last, err := state.Last(ctx)
	if err != nil || last == nil {
		return out, err
	}
	out.Run = last.Run
	switch {
	case last.Holder > 0:
		out.State, out.Since, out.Process = "running", &last.Started, last.Holder
	case last.Ended.IsZero():
		out.State, out.Since, out.Error = "failed", &last.Started, "the process ended without a word (killed, or the machine went down); run again to go on"
	default:
		out.Since = &last.Ended
		switch last.Exit {
		case fault.ExitDone, fault.ExitNotWhole:
			out.State = "finished"
		case 130, 143:
			out.State = "stopped"
		default:
			out.State, out.Error = "failed", last.Outcome
		}
	}
	out.Progress, err = state.Progress(ctx)
	return out, err
}
