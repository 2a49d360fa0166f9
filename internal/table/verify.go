package table

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"godwit/internal/connector"
	"godwit/internal/engine"
	"godwit/internal/engine/local"
	"godwit/internal/fault"
	"godwit/internal/flow"
	"godwit/internal/job"
	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/internal/verify/rows"
	"godwit/internal/watch"
)

var _ engine.Verifier = Engine{}

// verifyShare is the part of the memory ceiling that a comparison may take beside batches.
const verifyShare = 4

// verification compares the tables of a job.
type verification struct {
	*opened
	o      engine.Options
	each   func(watch.Difference) error
	report watch.VerifyReport
	// seed is that of all comparisons of this act.
	seed [2]uint64
	// keep, when it is set, returns what takes the rows of a table that are found.
	keep func(s *flow.SinkState, t *row.Table) func(id []byte) error
	// patience is how long sinks are waited for that do not go on; 0: as long as one that
	// goes on may stand still.
	patience time.Duration
	// present are the tables of the source as they are now.
	present map[row.Name]*row.Table
}

// Verify compares the rows that the source has with those in each sink, while the job may
// run, and changes neither.
func (e Engine) Verify(ctx context.Context, s *job.Spec, o engine.Options, each func(watch.Difference) error) (r watch.VerifyReport, err error) {
	opened, err := e.connect(ctx, s, o)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, opened.close()) }()
	v, err := newVerification(opened, o, each)
	if err != nil {
		return r, err
	}
	defer v.close()
	v.patience = patience(ctx, o.State, s.Name)
	err = v.run(ctx)
	v.report.Ended = time.Now().UTC()
	return v.report, err
}

func newVerification(opened *opened, o engine.Options, each func(watch.Difference) error) (*verification, error) {
	folder, err := verifyFolder(o.State)
	if err != nil {
		return nil, err
	}
	v := &verification{opened: opened, o: o, each: each, seed: rows.NewSeed(), present: map[row.Name]*row.Table{}}
	v.o.State = folder
	v.report = watch.VerifyReport{Description: opened.way(), Started: time.Now().UTC(), Strength: "values", Tables: []watch.VerifiedTable{}}
	return v, nil
}

func (v *verification) close() { _ = os.RemoveAll(v.o.State) } // it is empty: files in it have no names

// restingPatience is how long the sinks of a job are waited for that does not run,
// and runningPatience those of others, beside the time between two commits.
const (
	restingPatience = 2 * time.Second
	runningPatience = 30 * time.Second
)

// patience is how long sinks are waited for: long, unless it is known here that the job
// does not run.
func patience(ctx context.Context, state, name string) time.Duration {
	r, err := local.Statuses(ctx, state, name)
	if err != nil || len(r.Jobs) != 1 || r.Jobs[0].State == "running" || r.Jobs[0].State == "new" {
		return 0
	}
	return restingPatience
}

// patient is how long a sink is waited for.
func (v *verification) patient(s *flow.Sink) time.Duration {
	if v.patience > 0 {
		return v.patience
	}
	return runningPatience + s.Every
}

// verifyFolder makes a folder for what a comparison keeps on disk.
func verifyFolder(state string) (string, error) {
	if err := os.MkdirAll(state, 0o700); err != nil {
		return "", fault.New(fault.StateBroken, "the state folder cannot be made").At("%s", state).By(err)
	}
	folder, err := os.MkdirTemp(state, ".verify-*")
	if err != nil {
		return "", fault.New(fault.StateBroken, "a folder for the comparison cannot be made").At("%s", state).By(err)
	}
	return filepath.Clean(folder), nil
}

// way says where rows come from and go to.
func (o *opened) way() string {
	var to []string
	for _, s := range o.flow.Sinks {
		name := s.Name
		if p, ok := s.Sink.(connector.Placer); ok {
			name += " (" + p.Where() + ")"
		}
		to = append(to, name)
	}
	return o.spec.Source.Driver + " → " + strings.Join(to, ", ")
}

func (v *verification) run(ctx context.Context) error {
	tables, _, err := v.source.Discover(ctx, v.spec.Tables)
	if err != nil {
		return err
	}
	for _, t := range tables {
		v.present[t.Name] = t
		if v.o.Files != nil {
			v.o.Files.Listed(int(max(t.Rows, 0))*len(v.flow.Sinks), max(t.Bytes, 0))
		}
	}
	states, err := v.flow.Find(ctx)
	if err != nil {
		return err
	}
	for _, s := range states {
		if err := v.sink(ctx, s); err != nil {
			return fault.InSink(s.Sink.Name, err)
		}
	}
	return nil
}

// sink compares all tables of a sink.
func (v *verification) sink(ctx context.Context, s *flow.SinkState) error {
	if s.At.IsZero() {
		return fault.New(fault.NotNow, "the job has not begun to write to sink %s: there is nothing to compare", s.Sink.Name).Try("godwit run %s", v.spec.File)
	}
	known := map[row.Name]bool{}
	for _, t := range s.Tables() {
		known[t.Name] = true
		if err := v.table(ctx, s, t); err != nil {
			return err
		}
	}
	for name := range v.present {
		if known[name] {
			continue
		}
		if err := v.notCompared(s, name, "the sink does not have it yet"); err != nil {
			return err
		}
	}
	return nil
}

// table compares a table of a sink, where it can be.
func (v *verification) table(ctx context.Context, s *flow.SinkState, t *row.Table) error {
	target, ok := s.Sink.Sink.(connector.Readable)
	now := v.present[t.Name]
	why := s.Unreadable(t)
	to, err := s.Sink.Route.Table(t)
	if err == nil && to == nil {
		return nil // the rules leave it out
	}
	switch {
	case err != nil:
		why = "its rules do not fit it: " + err.Error()
	case why != "":
	case !ok:
		why = "rows cannot be read back from this kind of sink"
	case now == nil:
		why = "the source does not have it any more, or the job does not choose it"
	case !now.SameShape(t):
		why = "the source has it in a newer shape, which the sink has not got yet"
	default:
		return v.compare(ctx, s, t, target)
	}
	return v.notCompared(s, t.Name, why)
}

// compare compares the rows of a table.
func (v *verification) compare(ctx context.Context, s *flow.SinkState, t *row.Table, target connector.Readable) error {
	var last rows.Progress
	c := v.config(s, t, target)
	c.Found = func(f rows.Finding) error { return v.found(s, t, f) }
	if v.keep != nil {
		c.Differs = v.keep(s, t)
	}
	c.Progress = func(p rows.Progress) {
		v.progress(last, p)
		last = p
	}
	found, err := rows.Verify(ctx, c)
	if errors.Is(err, rows.ErrShape) {
		return v.notCompared(s, t.Name, err.Error())
	}
	if f := fault.Of(err); err != nil && f.Code == fault.NotVerifiable {
		return v.notCompared(s, t.Name, f.What)
	}
	if fault.Has(err, fault.RowRefused) { // nobody knows what becomes of such rows, nor their keys
		return v.notCompared(s, t.Name, "a rule refuses rows of it: "+fault.Of(err).What)
	}
	if err != nil {
		return fmt.Errorf("table %s: %w", t.Name, err)
	}
	v.add(watch.VerifiedTable{
		Table: t.Name.String(), On: s.Sink.Name, Equal: found.Equal, Missing: found.Missing, Extra: found.Extra, Different: found.Different,
		Doubled: found.Doubled, NotComparable: found.Unknown, Lossy: lossyText(found.Lossy),
		SourceAt: v.describe(found.SourceAt), SinkAt: v.describe(found.TargetAt),
	})
	v.report.Read += found.Bytes
	return nil
}

// config says what to compare.
func (v *verification) config(s *flow.SinkState, t *row.Table, target connector.Readable) rows.Config {
	h, ok := s.Sink.Sink.(connector.Historian)
	source, whole, here := v.source, false, t
	if to, err := s.Sink.Route.Table(t); err == nil && to != t {
		r := &ruled{v.source, s.Sink.Route, t, to}
		source, t, whole = r, to, true
		if l, ok := v.source.(connector.Looker); ok {
			source = &looked{r, l}
		}
	}
	return rows.Config{
		Source: source, Whole: whole, Target: target, History: ok && h.History(), Table: t, Seed: v.seed,
		Place: func(ctx context.Context) (p rows.Place, err error) {
			p.At, p.Incarnation, err = v.flow.Place(ctx, s, here)
			return p, err
		},
		Changes: func(ctx context.Context, from, to position.Position, visit func(*row.Batch) error) error {
			return v.changes(ctx, s.Sink.Name, from, to, visit)
		},
		Broke: func(err error, wait time.Duration) {
			if v.o.Log != nil {
				v.o.Log.Warn("a read of a comparison broke and begins again", "table", t.Name.String(), "sink", s.Sink.Name, "after", wait.String(), "error", err.Error())
			}
		},
		Patience: v.patient(s.Sink), Folder: v.o.State, Memory: v.o.Memory / verifyShare, Chunk: v.spec.Chunk,
	}
}

// errNoPlace is a sink that is not as far as a place.
var errNoPlace = errors.New("the sink has not come there")

// changes reads the log after a place that a sink has reached or passed, up to another. The
// shapes are those at the place the sink has now.
func (v *verification) changes(ctx context.Context, name string, from, to position.Position, visit func(*row.Batch) error) error {
	states, err := v.flow.Find(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(states, func(s *flow.SinkState) bool { return s.Sink.Name == name })
	if i < 0 {
		return errNoPlace
	}
	s := states[i]
	if c, err := from.Compare(s.At); err != nil || c > 0 {
		return errors.Join(err, errNoPlace)
	}
	split := connector.Split{ID: connector.StreamSplit, Tables: s.Streamed(), Selector: v.spec.Tables, Until: connector.Until{Place: to}}
	return v.source.Read(ctx, split, from, through(s.Sink.Route, visit))
}

// progress notes rows of the source as compared, and keys as to be judged again.
func (v *verification) progress(last, now rows.Progress) {
	if r := v.o.Files; r != nil {
		r.Ended(watch.VerifiedEqual, int(now.Source-last.Source), 0)
		r.Ended(watch.VerifiedSuspected, int(now.Again-now.Judged-last.Again+last.Judged), 0)
	}
}

func lossyText(list []rows.Lossy) (out []string) {
	for _, l := range list {
		out = append(out, fmt.Sprintf("%s %s as %s", l.Column, l.Source, l.Target))
	}
	return out
}

// add takes the counts of a table over.
func (v *verification) add(t watch.VerifiedTable) {
	r := &v.report
	r.Tables = append(r.Tables, t)
	r.Equal.Objects += t.Equal
	r.Missing += t.Missing
	r.Extra += t.Extra
	r.Different += t.Different
	r.Doubled += t.Doubled
	r.NotComparable += t.NotComparable
}

// notCompared notes a table of which nothing is known. It counts as one.
func (v *verification) notCompared(s *flow.SinkState, t row.Name, why string) error {
	v.add(watch.VerifiedTable{Table: t.String(), On: s.Sink.Name, NotComparable: 1, NotCompared: why})
	return v.each(watch.Difference{Kind: watch.NotComparable, Key: t.String(), Reason: why, Row: &watch.RowDifference{Table: t.String(), On: s.Sink.Name}})
}

// found tells of a row.
func (v *verification) found(s *flow.SinkState, t *row.Table, f rows.Finding) error {
	d := watch.Difference{Kind: string(f.Kind), Key: t.Name.String(), Reason: f.Reason, Row: &watch.RowDifference{
		Table: t.Name.String(), On: s.Sink.Name, Source: f.Source, Sink: f.Target, SourceAt: v.describe(f.SourceAt), SinkAt: v.describe(f.TargetAt),
	}}
	if f.Kind == rows.Unknown {
		d.Kind = watch.NotComparable
	}
	for _, k := range f.Key {
		d.Key += " " + k.Column + "=" + k.Value
	}
	var names []string
	for _, c := range f.Cells {
		names = append(names, c.Column)
		d.Row.Columns = append(d.Row.Columns, watch.ColumnDifference{Column: c.Column, Source: c.Source, Sink: c.Target})
	}
	if d.Reason == "" {
		d.Reason = reasonOf(f, names)
	}
	return v.each(d)
}

// reasonOf says in a clause what a finding is about.
func reasonOf(f rows.Finding, columns []string) string {
	switch f.Kind {
	case rows.Missing:
		return fmt.Sprintf("the source has it %s, the sink %s", times(f.Source), times(f.Target))
	case rows.Extra:
		return "the source does not have it"
	case rows.Doubled:
		return fmt.Sprintf("the source has it %s, the sink %s", times(f.Source), times(f.Target))
	}
	return "values of " + strings.Join(columns, ", ")
}

func times(n int64) string {
	switch n {
	case 0:
		return "not at all"
	case 1:
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
