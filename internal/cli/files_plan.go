package cli

import (
	"fmt"
	"strings"

	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/watch"
)

// filePlanLines shows the plan of a file job: what would be done by reason, with the
// first few names, dangers last.
func filePlanLines(s *job.Spec, r watch.PlanReport, c colours) []string {
	p := r.Files
	out := []string{"plan " + c.bold(s.Name) + fmt.Sprintf(" (run %d)      %s → %s", r.Run, clean(p.Source), clean(p.Sink))}
	var dangers []string
	for _, e := range r.Edits {
		line, danger := editLine(e, c)
		out = append(out, line)
		if danger {
			dangers = append(dangers, line)
		}
	}
	n := map[string]watch.Ended{}
	for _, g := range p.Objects {
		e := n[g.Action]
		n[g.Action] = watch.Ended{Objects: e.Objects + g.Objects, Bytes: e.Bytes + g.Bytes}
		out = append(out, planObjects(g, c)...)
	}
	if len(p.Objects) == 0 {
		out = append(out, " = nothing   no object of the source is chosen")
	}
	out = append(out, " guarantee   "+clean(p.Guarantee))
	for _, d := range p.Dangers {
		dangers = append(dangers, c.red(" ! danger ")+"  "+clean(d))
	}
	out = append(out, dangers...)
	return append(out, fmt.Sprintf("%s to copy, %s; %s the same, %s to delete, %s refused. Nothing has been done: godwit run %s",
		plural(n["copy"].Objects, "object"), bytesText(float64(n["copy"].Bytes)), grouped(n["same"].Objects), grouped(n["delete"].Objects), grouped(n["refuse"].Objects), s.File))
}

func planObjects(g watch.PlanObjects, c colours) []string {
	sign := map[string]string{
		"copy": " + copy    ", "same": " = same    ", "skip": " = leave   ", "delete": c.red(" - delete  "), "erase": c.red(" - erase   "), "refuse": c.yellow(" ! refuse  "),
	}[g.Action]
	if sign == "" {
		sign = " ? " + clean(g.Action)
	}
	why := clean(g.Reason)
	if g.Code != "" {
		why = strings.TrimSuffix(g.Code+": "+why, ": ")
	}
	out := []string{fit(160, "  ", sign+" "+objectsText(watch.Ended{Objects: g.Objects, Bytes: g.Bytes}), why)}
	if g.Action == "same" {
		return out
	}
	names := make([]string, len(g.Examples))
	for i, e := range g.Examples {
		names[i] = cut(clean(e), 60)
	}
	if more := g.Objects - int64(len(names)); more > 0 {
		names = append(names, "… and "+grouped(more)+" more")
	}
	return append(out, "             "+strings.Join(names, ", "))
}

// tablesOnly refuses file jobs where positions are meant.
func tablesOnly(s *job.Spec) error {
	if s.Kind != job.KindFiles {
		return nil
	}
	return fault.New(fault.Usage, "%s is a file job: it has no positions", s.Name).At("%s", s.File).
		Try("godwit report %s tells how objects ended; godwit run --again %s begins a new round", s.File, s.File)
}
