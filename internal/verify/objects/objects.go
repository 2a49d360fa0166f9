// Package objects verifies the copies that file jobs make: every object of the
// source against the target's, by the strongest check both sides give or by
// their bytes. It changes nothing and deletes nothing.
package objects

import (
	"context"
	"errors"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"godwit/internal/fault"
	"godwit/internal/limit"
	"godwit/internal/store"
	"godwit/internal/transfer/pair"
	"godwit/internal/transfer/selection"
	"godwit/internal/watch"
)

// Strength says how far a check goes.
type Strength string

// Strengths.
const (
	// Strongest compares checksums that both sides have or that can be computed by
	// reading one of them, and else the bytes of both.
	Strongest Strength = "strongest"
	// Checksums compares only what the stores already know; objects without a
	// common checksum are not comparable.
	Checksums Strength = "checksums"
	// Bytes reads both sides of every object.
	Bytes Strength = "bytes"
	// Sizes compares sizes alone.
	Sizes Strength = "sizes"
)

// Verdict is what was found of one object. Each object has exactly one.
type Verdict string

// Verdicts. Only Equal counts as right.
const (
	Equal        Verdict = "equal"
	Missing      Verdict = "missing"        // not in the target
	Extra        Verdict = "extra"          // in the target only
	Different    Verdict = "different"      // both are there and differ
	Incomparable Verdict = "not_comparable" // nothing both sides give is enough for the strength asked for
	Unreadable   Verdict = "unreadable"     // an error: Reason
	Changing     Verdict = "changing"       // a side changed each time it was read
)

// Finding is the verdict on one object, with why.
type Finding struct {
	Key     string     `json:"key,omitempty"` // in the source; empty for Extra
	Name    string     `json:"name"`          // in the target
	Verdict Verdict    `json:"verdict"`
	How     string     `json:"how,omitempty"`  // what was compared: "size", "md5", "bytes" …
	Reason  string     `json:"reason"`         // one clause for people
	Code    fault.Code `json:"code,omitempty"` // of Unreadable
	Source  *Side      `json:"source,omitempty"`
	Target  *Side      `json:"target,omitempty"`
	// First is the offset of the first byte that differs, where bytes were compared.
	First *int64 `json:"first_difference,omitempty"`
}

// Side is one side of a finding.
type Side struct {
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified,omitzero"`
	Sum      string    `json:"sum,omitempty"` // "md5:…"
}

// Config says what to verify. Source, Target and Choose are needed.
type Config struct {
	Source, Target store.Store
	// Choose says which objects belong to the job and what they are called in the
	// target.
	Choose *selection.Selection
	// List names the objects instead of a listing: only their keys count. What only
	// the target has is then not looked for.
	List     iter.Seq2[store.Object, error]
	Strength Strength // empty: Strongest
	// Parallel is how many objects are compared at once; 0: 16.
	Parallel int
	// Budget is the memory of buffers; nil: unbounded but for Parallel.
	Budget *limit.Budget
	Limits *limit.Rates // of bytes read from both sides; nil: none
	Record *watch.Files // may be nil
	// ExtraUnknown says why the target may have more than the source, so that what only
	// it has is not looked for; empty: it may not.
	ExtraUnknown string
	// Found takes each finding but those of Equal, in no order, one at a time. An
	// error of it ends the verification. May be nil.
	Found func(Finding) error
	// Moving says that objects may be moved meanwhile; nil: they are not.
	Moving *Moving
}

// Report sums a verification up. Objects of all verdicts together are all that
// either side has and the job chooses.
type Report struct {
	Verdicts map[Verdict]watch.Ended `json:"verdicts"`
	// By counts the equal objects by how they were compared.
	By map[string]int64 `json:"by"`
	// Read is how many bytes were read to compare.
	Read int64 `json:"bytes_read"`
	// ExtraUnknown says why objects that only the target has were not looked for;
	// empty: they were.
	ExtraUnknown string    `json:"extra_unknown,omitempty"`
	Started      time.Time `json:"started"`
	Seconds      float64   `json:"seconds"`
}

// Whole reports whether everything was compared and is equal.
func (r Report) Whole() bool {
	for v, e := range r.Verdicts {
		if v != Equal && e.Objects > 0 {
			return false
		}
	}
	return r.ExtraUnknown == ""
}

// Objects returns how many objects were looked at.
func (r Report) Objects() int64 {
	n := int64(0)
	for _, e := range r.Verdicts {
		n += e.Objects
	}
	return n
}

// job is one verification.
type job struct {
	Config
	read atomic.Int64

	mu       sync.Mutex
	report   Report
	suspects []subject // to be judged again once nothing is on its way
	names    int       // bytes that they take
	settled  bool      // it has arrived: what differs now differs
}

// subject is a pair to be compared.
type subject struct {
	key, name string
	source    *store.Object
	target    *store.Object
	err       error  // of a listing, about this object alone
	looked    bool   // the target was not listed: it has to be asked for
	refused   bool   // the target says that it cannot have such a name
	origin    string // of an object that only the target has: the key that would have its name
}

// Verify compares until everything is compared, and returns the report. What is
// wrong with objects is in it; an error means that the verification itself could
// not be finished: the report then tells how far it came.
func Verify(ctx context.Context, c Config) (Report, error) {
	if c.Strength == "" {
		c.Strength = Strongest
	}
	if c.Parallel == 0 {
		c.Parallel = 16
	}
	j := &job{Config: c, settled: c.Moving == nil}
	j.report = Report{ExtraUnknown: c.ExtraUnknown, Verdicts: map[Verdict]watch.Ended{}, By: map[string]int64{}, Started: time.Now().UTC()}
	err := j.run(ctx)
	j.report.Read = j.read.Load()
	j.report.Seconds = time.Since(j.report.Started).Seconds()
	return j.report, err
}

// run compares all there is, and what differed while objects were on their way once
// more when they have arrived.
func (j *job) run(ctx context.Context) error {
	if err := j.pass(ctx, j.subjects(ctx)); err != nil || len(j.suspects) == 0 {
		return err
	}
	if err := j.Moving.Over(ctx); err != nil {
		return err
	}
	again := j.suspects
	j.suspects, j.settled = nil, true
	return j.pass(ctx, func(yield func(subject, error) bool) {
		for _, s := range again {
			j.note(suspected, -1, 0)
			if !yield(s, nil) {
				return
			}
		}
	})
}

// pass compares subjects side by side.
func (j *job) pass(ctx context.Context, subjects iter.Seq2[subject, error]) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	work := make(chan subject, j.Parallel)
	var wg sync.WaitGroup
	for range j.Parallel {
		wg.Go(func() {
			for s := range work {
				if ctx.Err() != nil {
					continue
				}
				if err := j.judge(ctx, s); err != nil {
					fail(err)
				}
			}
		})
	}
	for s, err := range subjects {
		if err != nil {
			fail(err)
			break
		}
		select {
		case work <- s:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(work)
	wg.Wait()
	return context.Cause(ctx)
}

// subjects yields everything that either side has.
func (j *job) subjects(ctx context.Context) iter.Seq2[subject, error] {
	objects := selection.List(ctx, j.Source, j.Choose.Keys(), "", unbounded)
	switch {
	case j.List != nil:
		objects = j.List
		j.extraUnknown("the job names its objects by a list")
	case j.Choose.KeepsOrder():
		if !j.Choose.Distinct() {
			j.extraUnknown("the job renames, and objects of two keys may get one name")
		}
		return j.joined(ctx, objects)
	default:
		j.extraUnknown("the job renames by a pattern, so each object of the source was looked up by itself")
	}
	return func(yield func(subject, error) bool) {
		for o, err := range objects {
			if err != nil && o.Key == "" {
				yield(subject{}, err)
				return
			}
			s, ok := j.subject(o, err)
			if j.List != nil {
				s.source, ok = nil, true
			}
			s.looked = true
			if ok && !yield(s, nil) {
				return
			}
		}
	}
}

// extraUnknown notes why what only the target has is not looked for; the first reason
// counts.
func (j *job) extraUnknown(why string) {
	if j.report.ExtraUnknown == "" {
		j.report.ExtraUnknown = why
	}
}

func unbounded() string { return "" }

// joined joins objects of the source with a listing of the target, by their keys.
func (j *job) joined(ctx context.Context, objects iter.Seq2[store.Object, error]) iter.Seq2[subject, error] {
	return func(yield func(subject, error) bool) {
		a := pair.Listing{Name: "the source", Objects: objects}
		b := pair.Listing{Name: "the target", Objects: selection.List(ctx, j.Target, j.Choose.Stretches(), "", unbounded)}
		for p, err := range pair.Join(ctx, a, b) {
			if err != nil {
				yield(subject{}, err)
				return
			}
			if s, ok := j.paired(p); ok && !yield(s, nil) {
				return
			}
		}
	}
}

// paired makes a subject of what two listings have for a key; false: it is not the
// job's.
func (j *job) paired(p pair.Pair) (s subject, ok bool) {
	if p.A != nil {
		if s, ok = j.subject(*p.A, p.AErr); !ok {
			return s, false
		}
	} else {
		name, named := j.Choose.Name(p.Key)
		if !named || j.report.ExtraUnknown != "" || p.BErr == nil && !j.Choose.Chosen(*p.B) {
			return s, false
		}
		s = subject{name: name, origin: p.Key}
	}
	if p.B != nil {
		s.target = p.B
		s.target.Key = s.name
	}
	if p.BErr != nil {
		s.err = p.BErr
	}
	return s, true
}

func (j *job) subject(o store.Object, err error) (s subject, chosen bool) {
	if err == nil && !j.Choose.Chosen(o) {
		return s, false
	}
	name, _ := j.Choose.Name(o.Key)
	return subject{key: o.Key, name: name, source: &o, err: err}, true
}

// judge compares a subject and notes the finding.
func (j *job) judge(ctx context.Context, s subject) error {
	f, err := j.compare(ctx, s)
	if err != nil || j.suspect(s, &f) {
		return err
	}
	size := int64(0)
	if f.Source != nil {
		size = f.Source.Size
	} else if f.Target != nil {
		size = f.Target.Size
	}
	j.note(f.Verdict, 1, size)
	j.mu.Lock()
	defer j.mu.Unlock()
	e := j.report.Verdicts[f.Verdict]
	e.Objects++
	e.Bytes += size
	j.report.Verdicts[f.Verdict] = e
	if f.Verdict == Equal {
		j.report.By[f.How]++
		return nil
	}
	if j.Found == nil {
		return nil
	}
	return j.Found(f)
}

// jobWide reports whether an error concerns the verification and not one object.
func jobWide(ctx context.Context, err error) bool {
	return store.Wide(err) || ctx.Err() != nil || errors.Is(err, context.Canceled)
}
