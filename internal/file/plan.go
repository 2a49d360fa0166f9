package file

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"godwit/internal/engine"
	"godwit/internal/engine/local"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/transfer"
	"godwit/internal/transfer/page"
	"godwit/internal/watch"
)

// Plan lists and compares as a run would, in a folder of its own, and moves nothing.
func (e Engine) Plan(ctx context.Context, s *job.Spec, o engine.Options) (r watch.PlanReport, err error) {
	j, err := e.open(ctx, s, o)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, j.close()) }()
	if err := j.overlap(); err != nil {
		return r, err
	}
	if err := j.probe(ctx); err != nil {
		return r, err
	}
	if r.Run, r.Edits, err = remembered(ctx, s, o); err != nil {
		return r, err
	}
	dir, err := os.MkdirTemp("", "godwit-plan-")
	if err != nil {
		return r, fault.New(fault.StateBroken, "no folder for the plan").By(err)
	}
	defer os.RemoveAll(dir)
	c := j.config(time.Now(), dir, transfer.All)
	c.DryRun = true
	t, err := transfer.Open(c)
	if err != nil {
		return r, err
	}
	j.record.Round(1)
	stopped, err := local.Run(ctx, &work{transfer: t, record: j.record}, nil, rangesAtOnce, j.log)
	considered, cerr := t.Considered()
	if err = errors.Join(err, cerr, t.Close()); err != nil {
		return r, err
	}
	if stopped {
		return r, context.Cause(ctx)
	}
	r.Files, err = j.planned(dir, transfer.Extraneous(s.Files.Extraneous).Refuse(considered))
	return r, err
}

// remembered tells the next run's number and the edits since the last one.
func remembered(ctx context.Context, s *job.Spec, o engine.Options) (uint64, []watch.PlanEdit, error) {
	state, err := local.OpenState(o.State, s.Name, false)
	if err != nil || state == nil {
		return 1, nil, err
	}
	defer state.Close()
	last, err := state.LastRun(ctx)
	if err != nil {
		return 0, nil, err
	}
	edits, err := state.Accept(ctx, s, true)
	var out []watch.PlanEdit
	for _, d := range edits {
		out = append(out, watch.PlanEdit{Field: d.Field, From: d.From, To: d.To, Effect: string(d.Effect), Why: d.Why})
	}
	return last + 1, out, err
}

// Bounds of a plan.
const (
	planExamples = 3
	planGroups   = 100 // of action, reason and code
)

// planned sums up the pages of a plan; refused is why nothing would be deleted of what
// only the target has.
func (j *opened) planned(dir string, refused error) (*watch.PlanFiles, error) {
	p := &watch.PlanFiles{Source: where(j.source), Sink: where(j.target), Guarantee: j.guarantee()}
	groups := map[[3]string]*watch.PlanObjects{}
	err := transfer.Walk(dir, func(_ transfer.Range, i page.Item, _ *page.Outcome) error {
		k := [3]string{string(i.Action), i.Reason, string(i.Code)}
		g := groups[k]
		if g == nil {
			if len(groups) >= planGroups { // reasons are few; names in them would be many
				k[1] = "other reasons"
				g = groups[k]
			}
			if g == nil {
				g = &watch.PlanObjects{Action: k[0], Reason: k[1], Code: k[2]}
				groups[k] = g
			}
		}
		g.Objects++
		g.Bytes += i.Size
		if len(g.Examples) < planExamples {
			g.Examples = append(g.Examples, object(i, nil).Key)
		}
		if i.Action != page.Delete {
			p.Listed.Objects++
			p.Listed.Bytes += i.Size
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	order := []page.Action{page.Copy, page.Same, page.Skip, page.Refuse, page.Erase, page.Delete}
	for _, g := range groups {
		if g.Action == string(page.Delete) && refused != nil {
			g.Action, g.Reason = string(page.Skip), g.Reason+"; none is deleted"
		}
		p.Objects = append(p.Objects, *g)
	}
	slices.SortFunc(p.Objects, func(a, b watch.PlanObjects) int {
		return cmp.Or(cmp.Compare(slices.Index(order, page.Action(a.Action)), slices.Index(order, page.Action(b.Action))), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Code, b.Code))
	})
	p.Dangers = j.dangers(p, refused)
	return p, nil
}

// dangers say what of a run cannot be taken back, and what it would refuse.
func (j *opened) dangers(p *watch.PlanFiles, refused error) (out []string) {
	n := map[page.Action]int64{}
	for _, g := range p.Objects {
		n[page.Action(g.Action)] += g.Objects
	}
	deletes, x := n[page.Delete], j.spec.Files.Extraneous
	switch {
	case refused != nil:
		f := fault.Of(refused)
		out = append(out, fmt.Sprintf("the run would end with %s: %s", f.Code, f.What))
	case deletes > 0 && x.Delete:
		out = append(out, fmt.Sprintf("%s deleted in %s: the source does not have %s", objectsAre(deletes), where(j.target), them(deletes)))
	case deletes > 0:
		out = append(out, fmt.Sprintf("%s only in %s; nothing is deleted (delete_extraneous: dry_run)", objectsAre(deletes), where(j.target)))
	}
	if moved := n[page.Copy] + n[page.Erase]; j.spec.Files.Erase && moved > 0 {
		out = append(out, fmt.Sprintf("%s deleted in %s once the copies are verified", objectsAre(moved), where(j.source)))
	}
	return out
}

func objectsAre(n int64) string {
	if n == 1 {
		return "1 object is"
	}
	return fmt.Sprintf("%d objects are", n)
}

func them(n int64) string {
	if n == 1 {
		return "it"
	}
	return "them"
}

func (j *opened) guarantee() string {
	how := "by the strongest checksum both sides give, else by size"
	if j.spec.Files.ReadBack {
		how = "by reading it back"
	}
	return "each object whole or not at all, one version of it, checked " + how
}
