package engine

import (
	"context"

	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/watch"
)

// ByKind gives each job to the engine of its kind. Acts of one kind alone refuse
// jobs of the other.
type ByKind map[job.Kind]Engine

var (
	_ Engine = ByKind{}
	_ Files  = ByKind{}
	_ Tables = ByKind{}
)

func (k ByKind) of(s *job.Spec) (Engine, error) {
	if e := k[s.Kind]; e != nil {
		return e, nil
	}
	return nil, fault.New(fault.Usage, "this godwit carries out no jobs of kind %s", s.Kind).At("%s", s.File)
}

func (k ByKind) files(s *job.Spec) (Files, error) {
	if f, ok := k[s.Kind].(Files); ok {
		return f, nil
	}
	return nil, fault.New(fault.Usage, "%s is a job of kind %s; this command is for file jobs", s.Name, s.Kind).At("%s", s.File).
		Try("godwit status %s", s.File)
}

// Preview shows the first rows of tables.
func (k ByKind) Preview(ctx context.Context, s *job.Spec, o Options, p Preview) (watch.PreviewReport, error) {
	t, err := k.tables(s)
	if err != nil {
		return watch.PreviewReport{}, err
	}
	return t.Preview(ctx, s, o, p)
}

// DryRun reads what a snapshot would read, and writes nothing.
func (k ByKind) DryRun(ctx context.Context, s *job.Spec, o Options) (watch.DryRunReport, error) {
	t, err := k.tables(s)
	if err != nil {
		return watch.DryRunReport{}, err
	}
	return t.DryRun(ctx, s, o)
}

func (k ByKind) tables(s *job.Spec) (Tables, error) {
	if t, ok := k[s.Kind].(Tables); ok {
		return t, nil
	}
	return nil, fault.New(fault.Usage, "%s is a job of kind %s; this command is for table jobs", s.Name, s.Kind).At("%s", s.File).
		Try("godwit plan %s", s.File)
}

// Run runs a job to its end.
func (k ByKind) Run(ctx context.Context, s *job.Spec, o Options) (watch.Outcome, error) {
	e, err := k.of(s)
	if err != nil {
		return watch.Outcome{}, err
	}
	return e.Run(ctx, s, o)
}

// Check looks at everything a run needs.
func (k ByKind) Check(ctx context.Context, s *job.Spec, o Options) (watch.CheckReport, error) {
	e, err := k.of(s)
	if err != nil {
		return watch.CheckReport{}, err
	}
	return e.Check(ctx, s, o)
}

// Plan tells what a run would do.
func (k ByKind) Plan(ctx context.Context, s *job.Spec, o Options) (watch.PlanReport, error) {
	e, err := k.of(s)
	if err != nil {
		return watch.PlanReport{}, err
	}
	return e.Plan(ctx, s, o)
}

// Status tells how jobs stand. Without a Spec any engine knows all jobs: it reads
// the state folder alone.
func (k ByKind) Status(ctx context.Context, s *job.Spec, o Options) (watch.StatusReport, error) {
	if s == nil {
		for _, e := range k {
			return e.Status(ctx, nil, o)
		}
		return watch.StatusReport{}, nil
	}
	e, err := k.of(s)
	if err != nil {
		return watch.StatusReport{}, err
	}
	return e.Status(ctx, s, o)
}

// Positions tells what the sinks have committed.
func (k ByKind) Positions(ctx context.Context, s *job.Spec, o Options) (watch.PositionReport, error) {
	e, err := k.of(s)
	if err != nil {
		return watch.PositionReport{}, err
	}
	return e.Positions(ctx, s, o)
}

// ResetPositions makes the next run read everything again.
func (k ByKind) ResetPositions(ctx context.Context, s *job.Spec, o Options) error {
	e, err := k.of(s)
	if err != nil {
		return err
	}
	return e.ResetPositions(ctx, s, o)
}

// Retry runs what failed.
func (k ByKind) Retry(ctx context.Context, s *job.Spec, o Options) (watch.Outcome, error) {
	f, err := k.files(s)
	if err != nil {
		return watch.Outcome{}, err
	}
	return f.Retry(ctx, s, o)
}

// Report tells how objects ended.
func (k ByKind) Report(ctx context.Context, s *job.Spec, o Options, failed bool, each func(watch.Object) error) (watch.FilesReport, error) {
	f, err := k.files(s)
	if err != nil {
		return watch.FilesReport{}, err
	}
	return f.Report(ctx, s, o, failed, each)
}

// Verify compares source and target.
func (k ByKind) Verify(ctx context.Context, s *job.Spec, o Options, each func(watch.Difference) error) (watch.VerifyReport, error) {
	v, ok := k[s.Kind].(Verifier)
	if !ok {
		return watch.VerifyReport{}, fault.New(fault.Usage, "jobs of kind %s cannot be verified here", s.Kind).At("%s", s.File)
	}
	return v.Verify(ctx, s, o, each)
}

// Repair makes rows of sinks what the source has.
func (k ByKind) Repair(ctx context.Context, s *job.Spec, o Options, each func(watch.Difference) error, ask func(watch.VerifyReport) error) (watch.RepairReport, error) {
	r, ok := k[s.Kind].(Repairer)
	if !ok {
		return watch.RepairReport{}, fault.New(fault.Usage, "%s is a job of kind %s; this command is for table jobs", s.Name, s.Kind).At("%s", s.File).
			Try("godwit run %s", s.File)
	}
	return r.Repair(ctx, s, o, each, ask)
}
