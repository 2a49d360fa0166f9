package service

import (
	"context"
	"database/sql"
	"math"
	"slices"
	"strings"

	"godwit/internal/api"
	"godwit/internal/connector"
	"godwit/internal/engine"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/row"
)

// Act does what somebody asks of a job: it is wanted when Act returns.
func (s *Service) Act(_ context.Context, who Who, name string, a api.Act) (api.Job, error) {
	leave, err := s.enter()
	if err != nil {
		return api.Job{}, err
	}
	defer leave()
	j, err := s.job(name)
	if err == nil {
		err = j.act(who, a)
	}
	if err != nil {
		s.note(who, entryOf(name, a), err)
		return api.Job{}, err
	}
	return j.view(true), nil
}

func entryOf(name string, a api.Act) api.Entry {
	return api.Entry{Job: name, What: string(a.Act), To: strings.Join(append(slices.Clone(a.Tables), a.Tasks...), " "), Reason: a.Reason}
}

// act does an act; nothing where it is so already.
func (j *living) act(who Who, a api.Act) error {
	j.turn.Lock()
	defer j.turn.Unlock()
	if !a.Act.Valid() {
		return fault.New(fault.BadRequest, "act: %q is nothing that can be asked of a job", a.Act)
	}
	if why := j.refuses(a); why != nil {
		return why
	}
	if len(a.Tables)+len(a.Tasks) > 0 {
		if err := j.knows(a); err != nil {
			return err
		}
		return j.command(who, a)
	}
	if j.isSo(a.Act) {
		return nil
	}
	switch a.Act {
	case api.ActActStart:
		return j.start(who, a.Reason)
	case api.ActActRetry:
		return j.retryAll(who, a)
	}
	return j.want(who, a)
}

// actDelete is an act only on many jobs at once.
const actDelete = api.ActAct(api.BulkActActDelete)

// refuses says why an act makes no sense now; nil: it does.
func (j *living) refuses(a api.Act) error {
	j.mu.Lock()
	r, s, lives, counts := j.card, j.state, j.life != nil, j.counts
	j.mu.Unlock()
	whole := len(a.Tables)+len(a.Tasks) == 0
	notNow := func(why, try string) error {
		return fault.New(fault.NotNow, "%s cannot %s now: %s", j.name, a.Act, why).At("%s", j.name).Try("%s", try)
	}
	start, resume := "godwit job start "+j.name, "godwit job resume "+j.name
	switch {
	case r.leaving:
		return notNow("it is being deleted", "godwit job list")
	case a.Act == actDelete:
	case !whole && (a.Act == api.ActActStart || a.Act == api.ActActStop):
		return fault.New(fault.BadRequest, "%s is for whole jobs: leave tables and tasks out", a.Act)
	case len(a.Tables) > 0 && r.kind == string(job.KindFiles), a.Act == api.ActActResync && r.kind == string(job.KindFiles):
		return fault.New(fault.BadRequest, "%s is a file job: it has no tables", j.name)
	case a.Act == api.ActActResync && len(a.Tables) == 0:
		return fault.New(fault.BadRequest, "resync needs the names of tables").
			Try("%s", readAgain(j.name))
	case a.Act == api.ActActStart && r.wish.Desired == api.DesiredPaused:
		return notNow("it is paused", resume)
	case a.Act == api.ActActStart || a.Act == api.ActActStop && r.wish.Desired == api.DesiredStopped:
	case r.wish.Desired == api.DesiredStopped:
		return notNow("it is stopped", start)
	case a.Act == api.ActActRetry && whole && r.trouble == nil && r.failed == 0 && counts.Failed+counts.Retrying == 0:
		return notNow("nothing of it has failed", "godwit job show "+j.name)
	case a.Act == api.ActActRetry && whole:
	case s.Ended && !lives && (r.schedule == "" || !whole):
		return notNow("it has finished", start)
	}
	return nil
}

// isSo reports whether what is asked for is what is wanted already.
func (j *living) isSo(act api.ActAct) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch act {
	case api.ActActPause:
		return j.card.wish.Desired == api.DesiredPaused
	case api.ActActResume:
		return j.card.wish.Desired == api.DesiredRunning
	case api.ActActStop:
		return j.card.wish.Desired == api.DesiredStopped
	case api.ActActStart:
		return j.card.wish.Desired == api.DesiredRunning && j.card.trouble == nil && j.life != nil && j.state.Status != job.Failed && !j.state.Ended
	}
	return false
}

// knows refuses tables and tasks that the job does not have.
func (j *living) knows(a api.Act) error {
	s := j.stateNow()
	for _, id := range a.Tasks {
		if !slices.ContainsFunc(s.Tasks, func(t job.TaskState) bool { return t.ID == id }) {
			return fault.New(fault.TaskUnknown, "%s has no task %q", j.name, id).Try("godwit job tasks %s", j.name)
		}
	}
	if len(a.Tables) == 0 {
		return nil
	}
	v, err := j.s.folder.version(j.name, j.show().version)
	if err != nil {
		return err
	}
	chosen := connector.Selector{Patterns: strings.Fields(v.kept["tables"])}
	for _, name := range a.Tables {
		if !chosen.Match(tableName(name)) {
			return fault.New(fault.TableUnknown, "%s has no table %q", j.name, name).Try("godwit tables %s", j.name)
		}
	}
	return nil
}

// tableName is the name of a table as it is shown.
func tableName(text string) row.Name {
	parts := strings.SplitN(text, ".", 2)
	if len(parts) < 2 {
		return row.Name{Table: text}
	}
	return row.Name{Space: parts[0], Table: parts[1]}
}

// command keeps a command to a job that has not ended, and gives it to the engine, or
// to the state where no engine is at it.
func (j *living) command(who Who, a api.Act) error {
	c := command{Do: string(a.Act), At: j.s.o.Now().UTC(), By: who.Name, Why: a.Reason, Tables: a.Tables, Tasks: a.Tasks}
	if len(a.Tables) > 0 { // else nothing has to be looked up
		s, _, err := j.heard()
		if err == nil {
			err = engine.Allowed(s, c.event(c.At))
		}
		if err != nil {
			return err
		}
	}
	return j.keepCommand(who, entryOf(j.name, a), c, func(*card) {})
}

// want changes what is wanted of the whole job.
func (j *living) want(who Who, a api.Act) error {
	desired := map[api.ActAct]api.Desired{
		api.ActActPause: api.DesiredPaused, api.ActActResume: api.DesiredRunning, api.ActActStop: api.DesiredStopped,
	}[a.Act]
	now := j.s.o.Now().UTC()
	c := command{Do: string(a.Act), At: now, By: who.Name, Why: a.Reason}
	e := entryOf(j.name, a)
	e.From, e.To = string(j.show().wish.Desired), string(desired)
	return j.keepCommand(who, e, c, func(r *card) {
		r.wish = api.Wish{Desired: desired, By: who.Name, Reason: a.Reason, Since: now}
	})
}

// keepCommand keeps a command with what it changes of the card and with its entry in
// the audit log, all or nothing, before anybody hears of it.
func (j *living) keepCommand(who Who, e api.Entry, c command, edit func(*card)) error {
	if l := j.lifeNow(); l != nil && l.waiting() >= mostWaiting {
		return fault.New(fault.NotNow, "%s has not heard yet of the last %d things that were asked of it", j.name, mostWaiting).Try("ask again later")
	}
	e.By, e.Request, e.Outcome = who.Name, who.Request, api.EntryOutcomeDone
	err := j.change(edit, func(tx *sql.Tx) error {
		if err := putCommand(tx, j.name, &c); err != nil {
			return err
		}
		return j.s.putEntry(tx, &e)
	})
	if err != nil {
		return err
	}
	j.s.tellEntry(e)
	switch l := j.lifeNow(); {
	case l == nil:
		j.follow()
	case c.Do == doRetry && j.renewed(l): // the next life hears of it
		j.drain()
	default:
		l.tell(c)
	}
	j.tell()
	return nil
}

// lastCommand is the number of the last command there is.
const lastCommand = math.MaxInt64

// retryAll begins again what has failed, whatever it was.
func (j *living) retryAll(who Who, a api.Act) error {
	r := j.show()
	if r.trouble == nil && r.failed > 0 && j.stateNow().Ended {
		j.mu.Lock()
		j.retry = true
		j.mu.Unlock()
		return j.start(who, a.Reason)
	}
	if err := j.tryAgain(); err != nil {
		return err
	}
	return j.command(who, a)
}

// start begins a new run of a job that has ended, and another try of one that has
// failed.
func (j *living) start(who Who, why string) error {
	j.mu.Lock()
	s, lives := j.state, j.life != nil
	j.mu.Unlock()
	now := j.s.o.Now().UTC()
	a := api.Act{Act: api.ActActStart, Reason: why}
	called := func(r *card) {
		if r.wish.Desired != api.DesiredRunning {
			r.wish = api.Wish{Desired: api.DesiredRunning, By: who.Name, Reason: why, Since: now}
		}
		r.began, r.ended, r.trouble = now, noTime, nil
	}
	if !s.Ended && s.Desired != job.WantStopped { // what has failed is tried again
		return j.keepCommand(who, entryOf(j.name, a), command{Do: doRetry, At: now, By: who.Name, Why: why}, called)
	}
	e := entryOf(j.name, a)
	e.By, e.Request, e.Outcome = who.Name, who.Request, api.EntryOutcomeDone
	again := reborn(s, j.show().version, now)
	err := j.change(called, func(tx *sql.Tx) error {
		if !lives {
			if err := putState(tx, j.name, again, lastCommand); err != nil {
				return err
			}
		}
		return j.s.putEntry(tx, &e)
	})
	if err != nil {
		return err
	}
	j.s.tellEntry(e)
	if !lives { // else it ends first
		j.keep.Lock()
		j.takeOver(again, false, 0, now)
		j.keep.Unlock()
		j.follow()
	}
	j.tell()
	return nil
}
