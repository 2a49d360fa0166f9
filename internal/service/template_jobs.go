package service

import (
	"context"
	"database/sql"
	"maps"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/job"
)

// MakeJobs makes jobs from a template, one for each set of values, or tells which that
// would be. Each is taken in by itself. One that lives already and was made of the same
// is skipped, so that what broke off can be asked for again.
func (s *Service) MakeJobs(_ context.Context, who Who, name string, in api.TemplateJobs) (api.TemplateResult, error) {
	out := tally{api.TemplateResult{Results: []api.TemplateItem{}}}
	if s.closing() {
		return out.TemplateResult, errGone()
	}
	t, err := s.newest(name)
	if err != nil {
		return out.TemplateResult, err
	}
	out.Version = t.version
	seen := map[string]int{}
	for i, values := range in.Values {
		item := s.makeOne(who, t, in, values, seen)
		item.Item = i + 1
		if _, before := seen[item.Name]; item.Name != "" && !before {
			seen[item.Name] = item.Item
		}
		out.add(item)
	}
	return out.TemplateResult, nil
}

// makeOne makes one job. seen has the names that were given before.
func (s *Service) makeOne(who Who, t *sheet, in api.TemplateJobs, values api.Values, seen map[string]int) (item api.TemplateItem) {
	leave, err := s.enter()
	if err != nil {
		return failed(item, err)
	}
	defer leave()
	s.submitting.Lock()
	defer s.submitting.Unlock()
	e := api.Entry{What: "submit", Reason: t.why()}
	r, err := t.render(values, values)
	var j *living
	var v kept
	if err == nil {
		j, v, e, err = s.newJob(who, api.Submission{File: r.Text, Desired: in.Desired, Group: in.Group, Note: in.Note, Schedule: in.Schedule})
		err = (&back{t, r}).errors(err)
		item.Name, e.Reason = e.Job, t.why()
	}
	first, twice := seen[item.Name]
	switch {
	case fault.Has(err, fault.NameTaken):
		m := s.madeOf(item.Name)
		if m == nil || m.template != t.Name {
			break
		}
		if maps.Equal(m.values, values) {
			item.Outcome, item.Why = api.TemplateItemOutcomeSkipped, "it lives already, made with these values"
			return item
		}
		err = fault.New(fault.NameTaken, "%s lives already, made with other values", item.Name).At("%s", item.Name).Try("godwit job edit %s --set NAME=VALUE", item.Name)
	case err == nil && in.Preview && twice:
		return failed(item, fault.New(fault.NameTaken, "the values of item %d make a job named %s too", first, item.Name).At("%s", item.Name))
	case err == nil && in.Preview:
		item.Outcome, item.Version = api.TemplateItemOutcomeWould, 1
		return item
	case err == nil:
		v.Reason = e.Reason
		j.made = &made{template: t.Name, version: t.version, values: values, tried: t.version}
		err = s.takeIn(j, v, &e, func(tx *sql.Tx) error { return j.putMade(tx, j.made) })
	}
	if err != nil {
		if !in.Preview {
			s.note(who, e, err)
		}
		return failed(item, err)
	}
	s.keepUp(j)
	item.Outcome, item.Version = api.TemplateItemOutcomeDone, 1
	return item
}

// madeOf is which template a job is made from; nil: from none, or there is no such job.
func (s *Service) madeOf(name string) *made {
	j, err := s.job(name)
	if err != nil {
		return nil
	}
	return j.madeNow()
}

// failed is an item that came to nothing.
func failed(item api.TemplateItem, err error) api.TemplateItem {
	item.Outcome, item.Error = api.TemplateItemOutcomeFailed, faultOf(job.FailureOf(err))
	return item
}
