package file

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"godwit/internal/engine"
	"godwit/internal/engine/local"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/store"
	"godwit/internal/transfer"
	"godwit/internal/transfer/page"
	"godwit/internal/watch"
)

// Status tells how jobs stand, from the state folder alone.
func (e Engine) Status(ctx context.Context, s *job.Spec, o engine.Options) (watch.StatusReport, error) {
	name := ""
	if s != nil {
		name = s.Name
	}
	return local.Statuses(ctx, o.State, name)
}

// Positions has nothing to tell: a file job keeps its place in the state folder.
func (e Engine) Positions(_ context.Context, s *job.Spec, _ engine.Options) (watch.PositionReport, error) {
	return watch.PositionReport{}, noPositions(s)
}

// ResetPositions refuses: a new comparison needs no reset.
func (e Engine) ResetPositions(_ context.Context, s *job.Spec, _ engine.Options) error {
	return noPositions(s)
}

func noPositions(s *job.Spec) error {
	return fault.New(fault.Usage, "%s is a file job: it has no positions", s.Name).At("%s", s.File).
		Try("godwit report %s tells how objects ended; godwit run --again %s begins a new round", s.File, s.File)
}

// Report tells how the objects of the last round ended.
func (e Engine) Report(ctx context.Context, s *job.Spec, o engine.Options, failed bool, each func(watch.Object) error) (r watch.FilesReport, err error) {
	state, err := local.OpenState(o.State, s.Name, false)
	if err != nil {
		return r, err
	}
	if state == nil {
		return r, fault.New(fault.Usage, "%s has not run with this state folder", s.Name).At("%s", o.State).Try("godwit run %s", s.File)
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	if r, err = e.head(ctx, state, s, o); err != nil {
		return r, err
	}
	tasks := map[transfer.Range]*watch.Task{}
	var order []*watch.Task
	err = transfer.Walk(filepath.Join(state.Dir, pagesDir), func(rg transfer.Range, i page.Item, out *page.Outcome) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		t := tasks[rg]
		if t == nil {
			t = &watch.Task{ID: fmt.Sprintf("range %d", len(order)+1), Description: describe(rg)}
			tasks[rg] = t
			order = append(order, t)
		}
		t.Objects++
		ob := object(i, out)
		ob.Task = t.ID
		isFailed := ob.State == string(page.Failed)
		if isFailed {
			t.Failed++
		}
		if failed && !isFailed {
			return nil
		}
		return each(ob)
	})
	for _, t := range order {
		if t.State = "done"; r.Ended == nil {
			t.State = "open"
		}
		r.Tasks = append(r.Tasks, *t)
	}
	return r, err
}

// head is what the state knows of a job.
func (e Engine) head(ctx context.Context, state *local.State, s *job.Spec, o engine.Options) (r watch.FilesReport, err error) {
	st, err := e.Status(ctx, s, o)
	if err != nil {
		return r, err
	}
	j := st.Jobs[0]
	r = watch.FilesReport{State: j.State, Run: j.Run, Error: j.Error}
	if _, err := state.Kept(ctx, keptWay, &r.Description); err != nil {
		return r, err
	}
	var now round
	if _, err := state.Kept(ctx, keptRound, &now); err != nil {
		return r, err
	}
	r.Started, r.Ended, r.Counts = some(now.Began), some(now.Ended), now.Objects
	if j.State == "running" && j.Progress != nil && j.Progress.Files != nil {
		r.Counts = *j.Progress.Files
	}
	r.Audit, err = state.Audit(ctx)
	return r, err
}

func some(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func describe(r transfer.Range) string {
	switch {
	case r.After == "" && r.Upto == "":
		return "all keys"
	case r.After == "":
		return "keys up to " + r.Upto
	case r.Upto == "":
		return "keys after " + r.After
	}
	return "keys after " + r.After + " up to " + r.Upto
}

// object is an item and how it ended, as reports show it.
func object(i page.Item, out *page.Outcome) watch.Object {
	ob := watch.Object{Key: i.Key, Size: i.Size, Modified: some(i.Modified), Action: string(i.Action), Reason: i.Reason, State: watch.StateWaiting}
	if ob.Key == "" {
		ob.Key = i.Target()
	} else if t := i.Target(); t != i.Key {
		ob.Target = t
	}
	if out == nil {
		return ob
	}
	ob.State, ob.Code, ob.Error = string(out.State), string(out.Code), out.Error
	ob.How, ob.Checked, ob.Sum = out.How, out.Checked, sumText(out.Sum)
	ob.Bytes, ob.Attempts, ob.Erased, ob.At, ob.Millis = out.Bytes, out.Attempts, out.Erased, some(out.At), out.Millis
	return ob
}

func sumText(s store.Sum) string {
	if s.Value == "" {
		return ""
	}
	return string(s.Algorithm) + ":" + s.Value
}
