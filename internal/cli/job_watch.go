package cli

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"godwit/internal/api"
	"godwit/internal/fault"
)

// Times of watching.
const (
	silenceMost = 45 * time.Second // the server says something every 15 s
	awayFirst   = 500 * time.Millisecond
	awayMost    = 5 * time.Second
	repaint     = 250 * time.Millisecond
)

func (a *app) jobWatchCommand() *cobra.Command {
	return a.onJob(&cobra.Command{
		Use:   "watch [NAME]",
		Short: "Follow what changes: a table on a terminal, a line for each change elsewhere",
		Example: `  godwit job watch
  godwit job watch shop-to-lake --json`,
		Long: "Watch goes on after the server was away, until it is stopped by Ctrl-C or the job it watches is deleted. Jobs do not notice. Of a state folder that no server has it shows what is kept, and ends.",
		Args: jobAnd("nothing else", 0, 1),
		RunE: func(c *cobra.Command, args []string) error {
			name := ""
			if len(args) == 1 {
				name = args[0]
			}
			f, err := a.newFollower(name)
			if err != nil {
				return err
			}
			defer f.close()
			return a.act(c.Context(), f.run)
		},
	})
}

// follower follows a server: what it knows of jobs, and where it stands in the
// stream.
type follower struct {
	a       *app
	name    string // only this job; empty: all
	wait    time.Duration
	silence time.Duration
	c       *client
	jobs    map[string]api.Job
	last    string // the id of the last event
	heard   bool   // the server has answered once
	show    watching
}

// watching shows what a follower finds. Its methods are not called concurrently.
type watching interface {
	job(j api.Job)
	gone(name string)
	alarm(x api.Alarm)
	audit(e api.Entry)
	away(err *fault.Error) // the server does not answer; it is asked again
	back()
	tick() // time has passed
	end()
}

// What ends the watching without anything being wrong.
var (
	errGone  = errors.New("the job is gone")
	errStill = errors.New("nothing changes while no server runs")
)

func (a *app) newFollower(name string) (*follower, error) {
	wait, err := a.patience(false)
	if err != nil {
		return nil, err
	}
	f := &follower{a: a, name: name, wait: wait, silence: silenceMost, jobs: map[string]api.Job{}}
	switch {
	case a.json:
		f.show = &watchJSON{a: a}
	case isTerminal(a.out) && a.scr.terminal() && !a.accessible() && a.getenv("TERM") != "dumb":
		f.show = &watchTable{a: a, f: f}
	default:
		f.show = &watchLines{a: a, said: map[string]said{}}
	}
	return f, nil
}

func (f *follower) close() {
	if f.c != nil {
		f.c.wire.close()
	}
}

// run follows until ctx ends, the job is gone, or what the server says cannot change
// by waiting.
func (f *follower) run(ctx context.Context) error {
	defer f.show.end()
	for rest := awayFirst; ; rest = min(2*rest, awayMost) {
		told, err := f.once(ctx)
		switch {
		case errors.Is(err, errGone), errors.Is(err, errStill):
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !f.heard || fault.ClassOf(err) != fault.Retry:
			return err
		}
		if told {
			rest = awayFirst
		}
		f.show.away(masked(fault.Of(err), f.a.hide))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rest):
		}
	}
}

// connect makes a client of the server where it is now: one that was started again
// may have another address and another token.
func (f *follower) connect() error {
	at, err := f.a.address()
	if err != nil {
		return err
	}
	if f.c != nil && f.c.wire.at.url.String() == at.url.String() && f.c.wire.at.token.Reveal() == at.token.Reveal() {
		return nil
	}
	c, err := f.a.clientOf(at, f.wait)
	if err != nil {
		return err
	}
	f.close()
	f.c = c
	return nil
}

// once follows one stream to its end. told says that it brought something.
func (f *follower) once(parent context.Context) (told bool, err error) {
	if err := f.connect(); err != nil {
		return false, err
	}
	if f.c.wire.at.folder != "" {
		return false, f.stands(parent)
	}
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	events, broken := make(chan event), make(chan error, 1)
	send := func(e event) error {
		select {
		case events <- e:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	go func() {
		broken <- f.c.follow(ctx, f.name, f.last, f.silence, func() error { return send(event{kind: "reset"}) }, send)
	}()
	tick := time.NewTicker(repaint)
	defer tick.Stop()
	for {
		select {
		case err := <-broken:
			return told, err
		case <-tick.C:
			f.show.tick()
		case e := <-events:
			if err := f.take(ctx, e); err != nil {
				cancel()
				return told, errors.Join(err, <-broken)
			}
			told = true
		}
	}
}

// stands shows what a state folder keeps that no server has. One that had a server
// when the watching began is left alone: it is about to be started again.
func (f *follower) stands(ctx context.Context) error {
	if f.heard {
		return fault.New(fault.ServerGone, "no server runs with this state folder any more").At("%s", f.c.wire.at.folder).Try("start it again with godwit serve")
	}
	if err := f.anew(ctx); err != nil {
		return err
	}
	return errStill
}

// take learns from an event.
func (f *follower) take(ctx context.Context, e event) error {
	if e.id != "" {
		f.last = e.id
	}
	switch e.kind {
	case "reset":
		return f.anew(ctx)
	case "job":
		return heardOf(e, func(j api.Job) error {
			f.learn(j)
			return nil
		})
	case "gone":
		return heardOf(e, func(g struct{ Name string }) error { return f.lose(g.Name) })
	case "alarm":
		return heardOf(e, func(x api.Alarm) error {
			f.show.alarm(x)
			return nil
		})
	case "audit":
		return heardOf(e, func(x api.Entry) error {
			f.show.audit(x)
			return nil
		})
	}
	return nil // a kind to come
}

func heardOf[T any](e event, use func(T) error) error {
	var v T
	if err := json.Unmarshal([]byte(e.data), &v); err != nil {
		return fault.New(fault.ServerGone, "an event of the server cannot be read").By(err).Try("see what stands between")
	}
	return use(v)
}

// anew reads everything again.
func (f *follower) anew(ctx context.Context) error {
	var jobs []api.Job
	var err error
	if f.name == "" {
		jobs, _, err = f.c.jobs(ctx, api.ListJobsParams{Sort: api.ListJobsParamsSortHealth}, 0)
	} else {
		var j *api.Job
		if j, err = f.c.job(ctx, f.name); err == nil {
			jobs = []api.Job{*j}
		}
	}
	switch {
	case f.heard && f.name != "" && fault.Has(err, fault.JobUnknown):
		return f.lose(f.name)
	case err != nil:
		return err
	}
	if f.heard {
		f.show.back()
	}
	f.heard = true
	there := map[string]bool{}
	for _, j := range jobs {
		there[j.Name] = true
		f.learn(j)
	}
	var lost []string
	for name := range f.jobs {
		if !there[name] {
			lost = append(lost, name)
		}
	}
	slices.Sort(lost)
	for _, name := range lost {
		if err := f.lose(name); err != nil {
			return err
		}
	}
	return nil
}

func (f *follower) learn(j api.Job) {
	f.jobs[j.Name] = j
	f.show.job(j)
}

func (f *follower) lose(name string) error {
	delete(f.jobs, name)
	f.show.gone(name)
	if name == f.name {
		return errGone
	}
	return nil
}
