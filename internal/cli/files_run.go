package cli

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"godwit/internal/engine"
	"godwit/internal/engine/local"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/watch"
)

// This file has what running file jobs needs beyond table jobs.

// fileMemory is the ceiling of a file job when --memory does not say.
const fileMemory = 256 << 20

// lookUp is the environment of the process.
func (a *app) lookUp(name string) (string, bool) { v, ok := a.env[name]; return v, ok }

// confirmAgain asks about run --again. Of a file job it costs a new comparison and
// nothing else.
func (a *app) confirmAgain(given string, spec *job.Spec) error {
	if spec.Kind == job.KindFiles {
		return nil
	}
	return a.confirm(given, spec.Name, "reads every table again as a new generation; what the target holds of the old one is replaced when the new one is complete")
}

func objectsFailed(o watch.Outcome, s *job.Spec) error {
	return fault.New(fault.ObjectsFailed, "finished, but %s failed", plural(o.Failed, "object")).At("%s", s.Name).
		Try("godwit report %s --failed says why; godwit retry %s runs only those again", s.File, s.File)
}

// reloads returns a channel of the job file as it was read again at each SIGHUP.
// A file that is wrong changes nothing, and is said to be wrong.
func (a *app) reloads(spec *job.Spec, log *slog.Logger) (reload <-chan *job.Spec, stop func()) {
	out, in, ended := make(chan *job.Spec, 1), a.p.Hangups, make(chan struct{})
	var own chan os.Signal
	if in == nil {
		own = make(chan os.Signal, 1)
		signal.Notify(own, syscall.SIGHUP)
		in = own
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ended:
				return
			case <-in:
			}
			now, _, err := a.parseJob(spec.File)
			if err != nil {
				log.Warn("the job file was read again and is not taken over", "error", fault.Of(problemOf(err)))
				continue
			}
			select {
			case out <- now:
			case <-ended:
				return
			}
		}
	}()
	return out, func() {
		if own != nil {
			signal.Stop(own)
		}
		close(ended)
		<-done
	}
}

// problemOf makes one error of the problems of a job file.
func problemOf(err error) error {
	var problems problemsError
	if errors.As(err, &problems) {
		return problems.Err()
	}
	return err
}

// jobFile is the job file that an argument means: itself, or the one that a job of
// this name last ran with.
func (a *app) jobFile(ctx context.Context, arg string) (string, error) {
	if isFile(arg) {
		return arg, nil
	}
	state, err := a.stateFolder()
	if err != nil {
		return arg, nil //nolint:nilerr // then only the path of a file can be meant
	}
	file, err := local.JobFile(ctx, state, arg)
	if err == nil && file == "" {
		err = noJob(arg, state, jobNames(state, "", maxKnown))
	}
	return file, err
}

func (a *app) retryCommand() *cobra.Command {
	var every string
	c := &cobra.Command{
		Use:   "retry JOB",
		Short: "Run only the objects of a file job that failed last time",
		Example: `  godwit retry media.yaml
  godwit retry media-move`,
		Long: "Retry takes up what failed in the last round, each object as it is in the source now, and lists nothing else.",
		Args: oneArg("the job file or the job's name"),
		RunE: func(c *cobra.Command, args []string) error {
			spec, err := a.readJob(c.Context(), args[0])
			if err != nil {
				return err
			}
			o, err := a.options(0, spec)
			if err != nil {
				return err
			}
			wait, err := interval("progress-every", every)
			if err != nil {
				return err
			}
			files, err := a.files(spec)
			if err != nil {
				return err
			}
			r := a.newRunner(spec, o, wait)
			r.act = files.Retry
			return r.run(c.Context())
		},
	}
	c.Flags().StringVar(&every, "progress-every", "", "a timed line every `DURATION` when stderr is no terminal (default: 10s, after a minute 60s)")
	a.actFlags(c)
	return c
}

// filesJob reads a job of which objects are moved, with what acts on such jobs alone.
func (a *app) filesJob(ctx context.Context, arg string) (*job.Spec, engine.Files, Options, error) {
	spec, err := a.readJob(ctx, arg)
	if err != nil {
		return nil, nil, Options{}, err
	}
	files, err := a.files(spec)
	if err != nil {
		return nil, nil, Options{}, err
	}
	o, err := a.options(0, spec)
	return spec, files, o, err
}

// files is the engine of acts on file jobs alone.
func (a *app) files(spec *job.Spec) (engine.Files, error) {
	f, ok := a.engine.(engine.Files)
	if spec.Kind != job.KindFiles || !ok {
		return nil, fault.New(fault.Usage, "%s is a table job; this command is for file jobs", spec.Name).At("%s", spec.File).
			Try("godwit status %s", spec.File)
	}
	return f, nil
}
