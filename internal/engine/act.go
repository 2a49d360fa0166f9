package engine

import (
	"context"
	"log/slog"

	"godwit/internal/job"
	"godwit/internal/watch"
)

// Engine acts on jobs. Errors are fault.Errors; a nil error and a report mean
// that the act was done. Every method returns soon after ctx ends.
type Engine interface {
	// Run runs a job to its end. When ctx ends, or somebody asks for it, it finishes
	// the commit and returns an Outcome that is Stopped, and no error.
	Run(ctx context.Context, s *job.Spec, o Options) (watch.Outcome, error)
	// Check looks at everything a run needs. What does not fit is a finding and
	// not an error.
	Check(ctx context.Context, s *job.Spec, o Options) (watch.CheckReport, error)
	// Plan tells what a run would do and does nothing.
	Plan(ctx context.Context, s *job.Spec, o Options) (watch.PlanReport, error)
	// Status tells how a job stands; with a nil Spec all jobs of the state folder.
	Status(ctx context.Context, s *job.Spec, o Options) (watch.StatusReport, error)
	// Positions tells what the sinks have committed; it fences nobody.
	Positions(ctx context.Context, s *job.Spec, o Options) (watch.PositionReport, error)
	// ResetPositions makes the next run read everything again, as a new
	// generation. It was confirmed.
	ResetPositions(ctx context.Context, s *job.Spec, o Options) error
}

// Verifier compares source and target.
type Verifier interface {
	// Verify changes neither. It calls each with every difference as it is found; with
	// Options.Moving only with those that are left when what was on its way has arrived.
	Verify(ctx context.Context, s *job.Spec, o Options, each func(watch.Difference) error) (watch.VerifyReport, error)
}

// Tables are acts on table jobs alone. Their errors and contexts are as Engine's.
type Tables interface {
	// Preview shows the first rows of tables, as the source has them and as each sink
	// would get them. It changes nothing.
	Preview(ctx context.Context, s *job.Spec, o Options, p Preview) (watch.PreviewReport, error)
	// DryRun reads every row that a snapshot would read, makes of it what each sink
	// would write, as far as that can be told without its target, and writes nothing.
	DryRun(ctx context.Context, s *job.Spec, o Options) (watch.DryRunReport, error)
}

// Preview says what Tables.Preview shows.
type Preview struct {
	Tables []string // patterns; none: all tables of the job
	Rows   int      // of each table
	Most   int      // tables
}

// Repairer makes rows of sinks what the source has.
type Repairer interface {
	// Repair verifies as a Verifier does, of a job that does not run. It calls ask when
	// something can be mended, writes only rows that differ once ask has returned nil, and
	// looks at them again. An error of ask ends it, with nothing written.
	Repair(ctx context.Context, s *job.Spec, o Options, each func(watch.Difference) error, ask func(watch.VerifyReport) error) (watch.RepairReport, error)
}

// Files are acts on file jobs alone. Their errors and contexts are as Engine's.
type Files interface {
	// Retry runs only the objects that failed in the last round.
	Retry(ctx context.Context, s *job.Spec, o Options) (watch.Outcome, error)
	// Report calls each with the objects of the last round, or only with the failed
	// ones, task by task, and tells the rest at the end. It disturbs no run.
	Report(ctx context.Context, s *job.Spec, o Options, failed bool, each func(watch.Object) error) (watch.FilesReport, error)
	Verifier
}

// Options are what a user gives with an act.
type Options struct {
	// State is the folder of all jobs' state. It may not exist yet.
	State string
	// Again starts a new generation; it was confirmed. Each Run with it does, so under
	// a Driving it is not given again once a state is kept: ResetPositions is for that.
	Again bool
	// Memory is the budget of the process in bytes; under a Driving that of the job,
	// and the ceiling of the process is set by who has the process.
	Memory int64
	// Share, under a Driving, is what Memory is by now: jobs come and go. It returns at
	// once; nil: Memory stays as it is.
	Share func() int64
	// Parallel is how many chunks are read at once; 0: the engine chooses.
	Parallel int
	// Driving, when it is not nil, is how somebody who keeps the life of the job drives
	// it: Run then fails only where the job cannot live at all (its state is locked or
	// broken, the job file asks for what cannot be, a state cannot be kept); that a
	// system cannot be reached is a failure of planning, which Step retries. Of a file
	// job one round is run, and the next Run begins the next one. How many tasks run at
	// once the engine sets in From. Commands for tables are Allowed.
	Driving *Driving
	// Watch records the run of a table job, Files that of a file job, or a Verify of
	// either; nil for other acts.
	Watch *watch.Job
	Files *watch.Files
	// Moving, of Verify alone, says that somebody may run the job meanwhile; nil:
	// nobody does.
	Moving *Moving
	// Getenv looks up the environment of the process; nil: nothing is set.
	Getenv func(name string) (string, bool)
	// Reload receives the job file of a file job when it was read again while the job
	// runs; nil: never. A table job takes an edit over when it is run again.
	Reload <-chan *job.Spec
	// Log takes lines for people. OpenLog makes them durable as well, in the
	// file godwit.log of a folder that exists, with all lines logged so far; it
	// is called once at most, by an engine that has locked its folder.
	Log     *slog.Logger
	OpenLog func(folder string) error
}
