package file

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"godwit/internal/engine"
	"godwit/internal/job"
	"godwit/internal/limit"
	"godwit/internal/transfer/selection"
	"godwit/internal/verify/objects"
	"godwit/internal/watch"
)

// Verify compares what the job chooses with its copies, and changes nothing. It needs
// no state folder: it compares what the two stores have now.
func (e Engine) Verify(ctx context.Context, s *job.Spec, o engine.Options, each func(watch.Difference) error) (r watch.VerifyReport, err error) {
	j, err := e.open(ctx, s, o)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, j.close()) }()
	if err := j.probe(ctx); err != nil {
		return r, err
	}
	choose, err := selection.New(s.Files.At(time.Now()))
	if err != nil {
		return r, err
	}
	c := objects.Config{
		Source: j.source, Target: j.target, Choose: choose,
		Budget: limit.NewBudget(o.Memory / 2), Parallel: j.options.Parallel, Record: j.record, Limits: j.limits,
		Strength: objects.Strongest, Found: func(f objects.Finding) error { return each(difference(f)) },
	}
	if s.Files.List != nil {
		c.List = j.named(s.Files.List)
	}
	if o.Moving != nil {
		c.Moving = &objects.Moving{Now: o.Moving.Now, Over: o.Moving.Over}
	}
	if s.Files.Erase {
		c.ExtraUnknown = "the job deletes in the source what it has moved"
	}
	if s.Files.ReadBack {
		c.Strength = objects.Bytes
	}
	found, err := objects.Verify(ctx, c)
	r = watch.VerifyReport{
		Description: j.way(), Started: found.Started, Ended: found.Started.Add(time.Duration(found.Seconds * float64(time.Second))),
		Equal: found.Verdicts[objects.Equal], Missing: found.Verdicts[objects.Missing].Objects, Extra: found.Verdicts[objects.Extra].Objects,
		Different: found.Verdicts[objects.Different].Objects, Read: found.Read, ExtraUnknown: found.ExtraUnknown,
		Strength: string(c.Strength),
	}
	for _, v := range []objects.Verdict{objects.Incomparable, objects.Unreadable, objects.Changing} {
		r.NotComparable += found.Verdicts[v].Objects
	}
	for by, n := range found.By {
		r.By = append(r.By, watch.Strength{By: by, Objects: n})
	}
	slices.SortFunc(r.By, func(a, b watch.Strength) int {
		return cmp.Or(cmp.Compare(b.Objects, a.Objects), cmp.Compare(a.By, b.By))
	})
	return r, err
}

func difference(f objects.Finding) watch.Difference {
	d := watch.Difference{Kind: string(f.Verdict), Key: f.Key, Reason: f.Reason, Code: string(f.Code), Source: side(f.Source), Sink: side(f.Target)}
	if d.Key == "" {
		d.Key = f.Name
	} else if f.Name != f.Key {
		d.Target = f.Name
	}
	switch f.Verdict {
	case objects.Incomparable, objects.Unreadable, objects.Changing:
		d.Kind = watch.NotComparable
	}
	return d
}

func side(s *objects.Side) *watch.Side {
	if s == nil {
		return nil
	}
	return &watch.Side{Size: s.Size, Modified: some(s.Modified), Sum: s.Sum}
}
