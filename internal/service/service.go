// Package service keeps jobs alive: their files in versions, what is wanted of them
// and by whom, and one life each, driven through an engine. It survives its process:
// what it was told is on disk before it answers, and Open takes up every job that is
// wanted. It knows nothing of HTTP.
package service

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"godwit/internal/api"
	"godwit/internal/engine"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/option"
	"godwit/internal/service/alarm"
	"godwit/internal/watch"
)

// Options are what a service is opened with.
type Options struct {
	// Dir is the state folder; it is made with mode 0700. One process has it at a time.
	Dir     string
	Engine  engine.Engine
	Systems job.Systems
	// Resolver gives the references of job files their values, as far as they are
	// allowed; Allow refuses what else a submitted job may not touch; nil: nothing.
	Resolver option.Resolver
	Allow    func(*job.Spec) error
	Memory   int64 // of the process, bytes
	// Still is for a command that looks at, or changes, what a server keeps while none
	// runs. Nothing lives: what is asked for is kept, and has its effect when a server
	// opens the folder. Of a folder that no server had it makes one only where Begin
	// says so; else that is fault.StateBroken.
	Still, Begin bool
	// Alarms says what is too far behind, and whom to tell; Now, Log and Told are the
	// service's.
	Alarms alarm.Options
	Getenv func(string) (string, bool)
	Now    func() time.Time // nil: time.Now
	Log    *slog.Logger
}

// Who asks: the name of a token, or "server", "schedule", "cli", and the id of the
// request.
type Who struct{ Name, Request string }

// Service is safe for concurrent use. Errors are fault.Errors: JobUnknown, NoTemplate,
// NameTaken, VersionChanged, NotNow, NotAllowed, BadRequest, VersionUnknown and its like,
// and those of job files, which FileProblems tells one by one.
type Service struct {
	o      Options
	folder *folder
	parts  parts
	shelf  shelf
	began  time.Time
	// resident is the memory of the process, measured once for all jobs.
	resident func() int64
	// shareNow is what one job may take of the memory, bytes; see reckonShare.
	shareNow atomic.Int64

	submitting sync.Mutex // one submission at a time: names and keys are looked up first
	mu         sync.Mutex
	jobs       map[string]*living

	// gate is held for reading by what may begin a life, and for writing to close.
	gate   sync.RWMutex
	closed atomic.Bool
	// verifies has one for each verification that compares.
	verifies chan struct{}
	quit     chan struct{} // closed when it closes
	running  sync.WaitGroup
}

// Names of those who ask for something without a token.
const (
	byServer   = "server"
	bySchedule = "schedule"
)

// Open opens the state folder and takes up all jobs that are wanted, without waiting
// for any of them. ctx is that of opening alone.
func Open(ctx context.Context, o Options) (*Service, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	f, err := openFolder(ctx, o)
	if err != nil {
		return nil, err
	}
	s := &Service{
		o: o, folder: f, began: o.Now(), resident: watch.ResidentWithin(time.Second/2, o.Now), jobs: map[string]*living{},
		verifies: make(chan struct{}, verifiesAtOnce), quit: make(chan struct{}),
	}
	if err := s.load(); err != nil {
		_ = f.close() // the first error counts
		return nil, err
	}
	if s.parts, err = openParts(f.firm, o); err != nil {
		_ = f.close() // the first error counts
		return nil, err
	}
	if err := s.loadProofs(); err != nil {
		s.parts.close()
		_ = f.close() // the first error counts
		return nil, err
	}
	s.reckonShare()
	if o.Still {
		s.lastKnown(ctx)
		return s, nil
	}
	s.tidy()
	for _, j := range s.all() {
		s.running.Go(j.takeUp)
	}
	s.running.Go(s.rollOn)
	s.running.Go(s.beat)
	return s, nil
}

// load reads the jobs that are kept. One whose state cannot be read begins anew when
// somebody asks for it.
func (s *Service) load() error {
	rows, err := s.folder.rows()
	if err != nil {
		return err
	}
	for _, r := range rows {
		j := &living{s: s, name: r.name, card: r}
		if !s.o.Still {
			j.card.trouble = nil // it may have gone away meanwhile
		}
		state, err := s.folder.state(r.name)
		if fault.Has(err, fault.FormatNewer) {
			return err
		}
		if err != nil {
			state = job.New(job.Options{}, uint64(r.version), s.o.Now())
			j.card.trouble = job.FailureOf(err)
		}
		j.state, j.counts = state, countTasks(state)
		if v, err := s.folder.version(r.name, r.version); err == nil {
			j.newSinks(sinkNames(r.kind, v.kept))
		}
		s.jobs[r.name] = j
	}
	return s.loadTemplates()
}

// takeUp goes on with a job where an earlier process left it.
func (j *living) takeUp() {
	j.turn.Lock()
	defer j.turn.Unlock()
	if j.show().leaving {
		j.s.running.Go(func() { _ = j.leave() }) // it is tried again at the next start
		return
	}
	j.mu.Lock()
	j.takenUp = j.card.wish.Desired == api.DesiredRunning && !j.card.began.IsZero() && !j.state.Ended
	went := j.takenUp
	j.mu.Unlock()
	if went {
		j.s.noteOwn(api.Entry{Job: j.name, What: "taken up again"})
	}
	j.follow()
}

// Close drains: commits are finished, what is wanted stays as it is. When ctx ends
// it gives up where it stands. After it every method fails with fault.ServerGone.
func (s *Service) Close(ctx context.Context) error {
	s.gate.Lock()
	was := s.closed.Swap(true)
	s.gate.Unlock()
	if was {
		return nil
	}
	close(s.quit)
	for _, j := range s.all() {
		j.drain()
		j.breakOff(errGone())
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.running.Wait()
	}()
	var gaveUp error
	select {
	case <-done:
	case <-ctx.Done():
		gaveUp = fault.New(fault.ServerGone, "the server gave up before all jobs had finished their commits").By(context.Cause(ctx)).
			Try("nothing is lost: they go on from the commit before")
	}
	if gaveUp != nil {
		s.folder.gone.Store(true)
	}
	s.parts.close()
	return errors.Join(gaveUp, s.folder.close())
}

func errGone() error {
	return fault.New(fault.ServerGone, "the server is closing").Try("ask again when it is up")
}

// enter keeps the service from closing until leave is called.
func (s *Service) enter() (leave func(), err error) {
	s.gate.RLock()
	if s.closing() {
		s.gate.RUnlock()
		return nil, errGone()
	}
	return s.gate.RUnlock, nil
}

// closing reports whether nothing more may begin.
func (s *Service) closing() bool { return s.closed.Load() }

// job finds a job.
func (s *Service) job(name string) (*living, error) {
	if s.closing() {
		return nil, errGone()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	j, lives := s.jobs[name]
	if !lives {
		return nil, fault.New(fault.JobUnknown, "no job %q lives here", name).Try("godwit job list")
	}
	return j, nil
}

// all returns all jobs, in no order.
func (s *Service) all() []*living {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*living, 0, len(s.jobs))
	for _, j := range s.jobs {
		out = append(out, j)
	}
	return out
}

// leastShare is what a job gets of the memory however many there are, bytes.
const leastShare = 4 << 20

// share is what one job may take of the memory, as it was reckoned last.
func (s *Service) share() int64 { return s.shareNow.Load() }

// reckonShare divides the memory among the jobs that live and one that may come. It is
// called once a second and when a life begins: what many share shrinks for those, too,
// who were there before.
func (s *Service) reckonShare() {
	lives := int64(1)
	for _, j := range s.all() {
		if j.lifeNow() != nil {
			lives++
		}
	}
	lives += int64(len(s.verifies)) // those who wait take none
	s.shareNow.Store(max(s.o.Memory/lives, leastShare))
}

// History returns rate, lag and memory over a span.
func (s *Service) History(_ context.Context, name string, q api.HistoryParams) (api.History, error) {
	if _, err := s.job(name); err != nil {
		return api.History{}, err
	}
	return s.parts.keeper.Of(name, string(q.Span))
}

// Alarms lists alarms.
func (s *Service) Alarms(ctx context.Context, q api.ListAlarmsParams) ([]api.Alarm, error) {
	if s.closing() {
		return nil, errGone()
	}
	return s.parts.board.List(ctx, q)
}

// Silence keeps an alarm from being repeated.
func (s *Service) Silence(ctx context.Context, who Who, id string, in api.Silence) (api.Alarm, error) {
	if s.closing() {
		return api.Alarm{}, errGone()
	}
	a, err := s.parts.board.Silence(ctx, who.Name, id, in)
	s.note(who, api.Entry{Job: a.Job, What: "silence", From: id, Reason: in.Reason, To: (time.Duration(in.Seconds) * time.Second).String()}, err)
	return a, err
}

// CreateToken makes a token.
func (s *Service) CreateToken(ctx context.Context, who Who, in api.TokenRequest) (api.NewToken, error) {
	if s.closing() {
		return api.NewToken{}, errGone()
	}
	t, err := s.parts.book.Create(ctx, who.Name, in)
	s.note(who, api.Entry{What: "create token", To: in.Name, Reason: string(in.Role)}, err)
	return t, err
}

// Tokens lists tokens.
func (s *Service) Tokens(ctx context.Context) ([]api.Token, error) {
	if s.closing() {
		return nil, errGone()
	}
	return s.parts.book.List(ctx)
}

// RevokeToken makes a token worthless.
func (s *Service) RevokeToken(ctx context.Context, who Who, name string) error {
	if s.closing() {
		return errGone()
	}
	err := s.parts.book.Revoke(ctx, name)
	s.note(who, api.Entry{What: "revoke token", From: name}, err)
	return err
}

// Bearer returns whose token a text is; fault.TokenRefused where it is none that counts.
func (s *Service) Bearer(ctx context.Context, text string) (api.Token, error) {
	if s.closing() {
		return api.Token{}, errGone()
	}
	return s.parts.book.Bearer(ctx, text)
}

// Happening is something that changed, for the event stream: ID rises; Type and
// Data are as openapi.yaml says of /api/v1/events; Job is whom it is about.
type Happening struct {
	ID   uint64
	Type string
	Job  string
	Data any
}

// Follow calls each with what happens after an id, in order, until ctx ends or each
// fails; the first call of it may be a "reset". It never blocks the jobs: a follower
// that is too slow gets a "reset" too. Changes of one job are told at most once a
// second, but for those of its status.
func (s *Service) Follow(ctx context.Context, after uint64, job string, each func(Happening) error) error {
	if s.closing() {
		return errGone()
	}
	return s.parts.hub.Follow(ctx, after, job, func(id uint64, kind, job string, data any) error {
		return each(Happening{ID: id, Type: kind, Job: job, Data: data})
	})
}
