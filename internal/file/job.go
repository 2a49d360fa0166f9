// Package file carries out file jobs: it joins a Spec, its two stores, what moves
// objects between them and the engine.
package file

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"godwit/internal/engine"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/limit"
	"godwit/internal/option"
	"godwit/internal/store"
	"godwit/internal/transfer/selection"
	"godwit/internal/watch"
)

// opened is a job with its stores.
type opened struct {
	spec           *job.Spec
	source, target store.Store
	limits         *limit.Rates
	slow           *slowed
	record         *watch.Files
	log            *slog.Logger
	options        engine.Options
}

// slowed passes on that a store asks to slow down, to whoever moves objects then.
type slowed struct {
	mu sync.Mutex
	to func()
}

func (s *slowed) set(to func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.to = to
}

func (s *slowed) tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.to != nil {
		s.to()
	}
}

// reach bounds how long a store may take until it answers for the first time.
const reach = 15 * time.Second

// open opens both stores. The caller closes.
func (e Engine) open(ctx context.Context, s *job.Spec, o engine.Options) (*opened, error) {
	j := newOpened(s, o)
	return j, e.connect(ctx, j)
}

// newOpened is a job whose stores are not open yet.
func newOpened(s *job.Spec, o engine.Options) *opened {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Files == nil {
		o.Files = watch.NewFiles(watch.Options{Job: s.Name})
	}
	return &opened{spec: s, record: o.Files, log: o.Log, options: o, slow: &slowed{},
		limits: limit.NewRates(s.Files.Limits.Bytes, s.Files.Limits.Requests, nil)}
}

// connect opens the stores of a job that has none; after a failure it still has none.
func (e Engine) connect(ctx context.Context, j *opened) error {
	source, err := e.store(ctx, j, j.spec.Files.Source)
	if err != nil {
		return at(err, j.spec.Files.Source)
	}
	target, err := e.store(ctx, j, j.spec.Files.Sink)
	if err != nil {
		return errors.Join(fault.InSink(watch.Target, at(err, j.spec.Files.Sink)), source.Close())
	}
	j.source, j.target = source, target
	return nil
}

func (e Engine) store(ctx context.Context, j *opened, v option.Values) (store.Store, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, reach, errSilent)
	defer cancel()
	s, err := e.Stores.Open(ctx, v, store.Env{Log: j.log, Getenv: j.options.Getenv, Requests: j.spec.Parallel, Slow: j.slow.tell, Request: j.limits.Request})
	return s, silent(ctx, err)
}

// errSilent is why a store that does not answer in time is given up.
var errSilent = errors.New("no answer within 15 s")

// silent prefers that a store did not answer over what that led to.
func silent(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errSilent) && !fault.Has(err, fault.StoreUnreachable) {
		return fault.New(fault.StoreUnreachable, "the store does not answer").By(errSilent)
	}
	return err
}

// at says where in the job file a store stands, unless the error names a place.
func at(err error, v option.Values) error {
	f := fault.Of(err)
	if err == nil || f.Where != "" {
		return err
	}
	out := *f
	return out.At("%s", v.At())
}

// where names a store for people.
func where(s store.Store) string {
	if p, ok := s.(store.Placer); ok {
		return p.Where()
	}
	return "a store without a name"
}

// way is source → target in words.
func (j *opened) way() string { return where(j.source) + " → " + where(j.target) }

// probe makes sure that the source is there, and that both stores answer and may be
// listed, so that a run that cannot work ends at once and says why.
func (j *opened) probe(ctx context.Context) error {
	err := there(ctx, j.source)
	for _, end := range []store.Store{j.source, j.target} {
		if err == nil {
			err = listable(ctx, end)
		}
		if f := fault.Of(err); err != nil && f.Where == "" {
			err = f.At("%s", where(end))
		}
		if end == j.target {
			err = fault.InSink(watch.Target, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// there refuses a source in a folder that is not there: it would look like one in which
// everything was deleted.
func there(ctx context.Context, source store.Store) error {
	r, ok := source.(store.Rooted)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, reach, errSilent)
	defer cancel()
	return silent(ctx, r.There(ctx))
}

// listable makes sure that a store may be listed. What it cannot list of itself, such
// as a link, concerns that entry alone.
func listable(ctx context.Context, s store.Store) error {
	ctx, cancel := context.WithTimeoutCause(ctx, reach, errSilent)
	defer cancel()
	for o, err := range s.List(ctx, "", "") {
		if ends(ctx, o, err) {
			return silent(ctx, err)
		}
		break
	}
	return nil
}

// ends reports whether a listing ends with an error.
func ends(ctx context.Context, o store.Object, err error) bool {
	return err != nil && (o.Key == "" || store.Wide(err) || ctx.Err() != nil)
}

// entriesLooked is how many entries of the source are looked at for one to read.
const entriesLooked = 1000

// firstChosen returns the first object that the job takes, and how many entries were
// looked at; nil: none of them is one.
func (j *opened) firstChosen(ctx context.Context, s store.Store) (first *store.Object, entries int, err error) {
	if err := there(ctx, s); err != nil {
		return nil, 0, err
	}
	chosen, err := selection.New(j.spec.Files.At(time.Now()))
	if err != nil {
		return nil, 0, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, reach, errSilent)
	defer cancel()
	for o, err := range s.List(ctx, "", "") {
		if ends(ctx, o, err) {
			return nil, entries, silent(ctx, err)
		}
		entries++
		if err == nil && chosen.Chosen(o) {
			return &o, entries, nil
		}
		if entries == entriesLooked {
			break
		}
	}
	return nil, entries, nil
}

func (j *opened) close() error {
	var errs []error
	for _, s := range []store.Store{j.source, j.target} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(errs...)
}
