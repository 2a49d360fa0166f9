package service

import (
	"context"
	"slices"
	"sync"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/job"
)

// atOnce is how many jobs an act on many is done to at once.
const atOnce = 16

// ActOnAll does one thing to many jobs.
func (s *Service) ActOnAll(ctx context.Context, who Who, a api.BulkAct) (api.BulkResult, error) {
	var out api.BulkResult
	if s.closing() {
		return out, errGone()
	}
	if !a.Act.Valid() {
		return out, fault.New(fault.BadRequest, "act: %q is nothing that can be asked of many jobs", a.Act)
	}
	if (a.Filter == nil) == (len(a.Names) == 0) {
		return out, fault.New(fault.BadRequest, "expected either names or a filter")
	}
	names := slices.Compact(slices.Sorted(slices.Values(a.Names)))
	if a.Filter != nil {
		names = s.chosen(*a.Filter)
	}
	out.Results = slices.Grow(out.Results, len(names)+1)[:len(names)] // not nil, of none either
	var all sync.WaitGroup
	turns := make(chan struct{}, atOnce)
	for i, name := range names {
		r := &out.Results[i]
		r.Name = name
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			var err error
			r.Outcome, r.Why, err = s.oneOf(ctx, who, name, a)
			if err != nil {
				r.Error = faultOf(job.FailureOf(err))
			}
		})
	}
	all.Wait()
	for i := range out.Results {
		switch out.Results[i].Outcome {
		case api.BulkResultResultsOutcomeSkipped:
			out.Skipped++
		case api.BulkResultResultsOutcomeFailed:
			out.Failed++
		case api.BulkResultResultsOutcomeDone:
			out.Done++
		}
	}
	return out, nil
}

// chosen names the jobs that a filter lets through.
func (s *Service) chosen(f api.Filter) (names []string) {
	q := api.ListJobsParams{Q: f.Q, Status: f.Status, Desired: f.Desired, Kind: f.Kind, Group: f.Group, Template: f.Template}
	for _, j := range s.all() {
		if v := j.view(false); matches(q, &v) {
			names = append(names, j.name)
		}
	}
	slices.Sort(names)
	return names
}

// oneOf does a bulk act to one job, or tells whether it would.
func (s *Service) oneOf(ctx context.Context, who Who, name string, a api.BulkAct) (outcome api.BulkResultResultsOutcome, why string, err error) {
	const done, skipped, failed = api.BulkResultResultsOutcomeDone, api.BulkResultResultsOutcomeSkipped, api.BulkResultResultsOutcomeFailed
	j, err := s.job(name)
	if err != nil {
		return failed, "", err
	}
	one := api.Act{Act: api.ActAct(a.Act), Reason: a.Reason}
	remove := a.Act == api.BulkActActDelete
	switch why := j.refuses(one); {
	case fault.Has(why, fault.NotNow):
		return skipped, fault.Of(why).What, nil
	case !remove && j.isSo(one.Act):
		return skipped, "it is so already", nil
	case a.Preview:
		return api.BulkResultResultsOutcomeWould, "", nil
	case remove:
		err = s.Delete(ctx, who, name, a.Reason)
	default:
		_, err = s.Act(ctx, who, name, one)
	}
	switch {
	case fault.Has(err, fault.NotNow): // it changed meanwhile
		return skipped, fault.Of(err).What, nil
	case err != nil:
		return failed, "", err
	}
	return done, "", nil
}
