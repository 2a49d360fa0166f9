package enginetest

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"godwit/internal/engine"
	"godwit/internal/engine/local"
	"godwit/internal/job"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func sound(ctx context.Context, work engine.Work, from job.State, commands <-chan job.Event, save func(job.State) error) error {
	return local.Drive(ctx, work, engine.Driving{From: from, Commands: commands, Save: save, Log: quiet})
}

// sameAttempt tells every attempt that it is the first.
type sameAttempt struct{ engine.Work }

func (w sameAttempt) RunTask(ctx context.Context, r engine.Run) (bool, error) {
	r.Attempt = 1
	return w.Work.RunTask(ctx, r)
}

// noOrder finds streams that wait for nothing.
type noOrder struct{ engine.Work }

func (w noOrder) Find(ctx context.Context, apart map[string]job.Apart, found func(job.Task)) error {
	return w.Work.Find(ctx, apart, func(t job.Task) {
		t.AfterCopies = false
		found(t)
	})
}

// hasty does not wait for tasks that it cancels.
type hasty struct{ engine.Work }

func (w hasty) RunTask(ctx context.Context, r engine.Run) (bool, error) {
	ended := make(chan error, 1)
	go func() {
		_, err := w.Work.RunTask(ctx, r)
		ended <- err
	}()
	select {
	case err := <-ended:
		return false, err
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// forgetful does not say which tables stand apart.
type forgetful struct{ engine.Work }

func (w forgetful) Find(ctx context.Context, _ map[string]job.Apart, found func(job.Task)) error {
	return w.Work.Find(ctx, nil, found)
}

// mute does not hand on that a table has caught up.
type mute struct{ engine.Work }

func (w mute) RunTask(ctx context.Context, r engine.Run) (bool, error) {
	r.CaughtUp = func() {}
	r.Healable = func([]string) {}
	return w.Work.RunTask(ctx, r)
}

// onlyFound carries out nothing but what was found.
type onlyFound struct{ engine.Work }

func (w onlyFound) RunTask(ctx context.Context, r engine.Run) (bool, error) {
	if r.Task.Kind == job.Resync {
		return false, nil
	}
	return w.Work.RunTask(ctx, r)
}

// deaf takes commands also after ctx has ended, and forgets those. stops says that
// it asks for a stop then, instead of ending.
func deaf(ctx context.Context, from <-chan job.Event, stops bool, drive func(context.Context, <-chan job.Event) error) error {
	inner := ctx
	if stops {
		inner = context.WithoutCancel(ctx)
	}
	to, over := make(chan job.Event, 10), make(chan struct{})
	defer close(over)
	go func() {
		for outside := ctx.Done(); ; {
			select {
			case e := <-from:
				if ctx.Err() == nil {
					to <- e
				}
			case <-outside:
				if outside = nil; stops {
					to <- job.Event{Kind: job.StopAsked}
				}
			case <-over:
				return
			}
		}
	}()
	if err := drive(inner, to); ctx.Err() == nil {
		return err
	}
	return ctx.Err()
}

// defects are engines with something wrong around a sound one.
var defects = map[string]Drive{
	"commands are not heard": func(ctx context.Context, w engine.Work, from job.State, _ <-chan job.Event, save func(job.State) error) error {
		return sound(ctx, w, from, nil, save)
	},
	"it begins anew each time": func(ctx context.Context, w engine.Work, from job.State, c <-chan job.Event, save func(job.State) error) error {
		return sound(ctx, w, job.New(from.Options, from.Spec, time.Now()), c, save)
	},
	"states are kept one step late": func(ctx context.Context, w engine.Work, from job.State, c <-chan job.Event, save func(job.State) error) error {
		return sound(ctx, w, from, c, func(s job.State) error {
			late := from
			from = s
			return save(late)
		})
	},
	"every other state is kept": func(ctx context.Context, w engine.Work, from job.State, c <-chan job.Event, save func(job.State) error) error {
		n := 0
		return sound(ctx, w, from, c, func(s job.State) error {
			if n++; n%2 == 0 {
				return nil
			}
			return save(s)
		})
	},
	"a state that cannot be kept is not minded": func(ctx context.Context, w engine.Work, from job.State, c <-chan job.Event, save func(job.State) error) error {
		return sound(ctx, w, from, c, func(s job.State) error {
			_ = save(s) // the defect
			return nil
		})
	},
	"the work is not told how its job stands": func(ctx context.Context, w engine.Work, from job.State, c <-chan job.Event, save func(job.State) error) error {
		return sound(ctx, struct{ engine.Work }{w}, from, c, save)
	},
	"tasks do not learn their attempt": func(ctx context.Context, w engine.Work, from job.State, c <-chan job.Event, save func(job.State) error) error {
		return sound(ctx, sameAttempt{w}, from, c, save)
	},
	"planning does not learn what stands apart": func(ctx context.Context, w engine.Work, from job.State, c <-chan job.Event, save func(job.State) error) error {
		return sound(ctx, forgetful{w}, from, c, save)
	},
	"a table that has caught up is not heard": func(ctx context.Context, w engine.Work, from job.State, c <-chan job.Event, save func(job.State) error) error {
		return sound(ctx, mute{w}, from, c, save)
	},
	"a resync is taken for done": func(ctx context.Context, w engine.Work, from job.State, c <-chan job.Event, save func(job.State) error) error {
		return sound(ctx, onlyFound{w}, from, c, save)
	},
	"streams wait for nothing": func(ctx context.Context, w engine.Work, from job.State, c <-chan job.Event, save func(job.State) error) error {
		return sound(ctx, noOrder{w}, from, c, save)
	},
	"too many at once": func(ctx context.Context, w engine.Work, from job.State, c <-chan job.Event, save func(job.State) error) error {
		from.Parallel++
		return sound(ctx, w, from, c, save)
	},
	"failures are swallowed": func(ctx context.Context, w engine.Work, from job.State, c <-chan job.Event, save func(job.State) error) error {
		if err := sound(ctx, w, from, c, save); ctx.Err() != nil {
			return err
		}
		return nil
	},
	"a drain is taken for a stop": func(ctx context.Context, w engine.Work, from job.State, c <-chan job.Event, save func(job.State) error) error {
		return deaf(ctx, c, true, func(ctx context.Context, c <-chan job.Event) error { return sound(ctx, w, from, c, save) })
	},
	"commands are heard and forgotten while it drains": func(ctx context.Context, w engine.Work, from job.State, c <-chan job.Event, save func(job.State) error) error {
		return deaf(ctx, c, false, func(ctx context.Context, c <-chan job.Event) error { return sound(ctx, w, from, c, save) })
	},
	"what runs is not waited for": func(ctx context.Context, w engine.Work, from job.State, c <-chan job.Event, save func(job.State) error) error {
		return sound(ctx, hasty{w}, from, c, save)
	},
	"a stop is taken for the end": func(ctx context.Context, w engine.Work, from job.State, c <-chan job.Event, save func(job.State) error) error {
		err := sound(ctx, w, from, c, save)
		if ctx.Err() != nil {
			return nil
		}
		return err
	},
	"it does not end when told from outside": func(ctx context.Context, w engine.Work, from job.State, c <-chan job.Event, save func(job.State) error) error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience/2)
		defer cancel()
		return sound(ctx, w, from, c, save)
	},
	"it ends at the first failure": func(ctx context.Context, w engine.Work, from job.State, c <-chan job.Event, save func(job.State) error) error {
		from.EndOnFailure = true
		return sound(ctx, w, from, c, save)
	},
	"it never ends at a failure": func(ctx context.Context, w engine.Work, from job.State, c <-chan job.Event, save func(job.State) error) error {
		from.EndOnFailure = false
		return sound(ctx, w, from, c, save)
	},
}

// check returns how many cases find something wrong, and one of what they find.
func check(t *testing.T, d Drive) (found int, what string) {
	for _, c := range Cases() {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if err := c.Check(ctx, d); err != nil {
				found++
				what = c.Name + ": " + err.Error()
			}
			cancel()
			<-time.After(patience) // of the bubble: what a defect left running ends
		})
	}
	return found, what
}

func TestCases_when_a_defect_is_planted(t *testing.T) {
	if found, what := check(t, sound); found > 0 {
		t.Fatal(what)
	}
	for name, d := range defects {
		t.Run(name, func(t *testing.T) {
			found, what := check(t, d)
			if found == 0 {
				t.Error("the cases found nothing wrong")
			}
			t.Logf("%d cases, e.g. %.200s", found, what)
		})
	}
}
