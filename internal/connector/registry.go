package connector

import (
	"context"
	"log/slog"

	"godwit/internal/limit"
	"godwit/internal/option"
)

// Env is what a connector gets from its process.
type Env struct {
	// Budget is the memory of all batches. A source takes from it before it
	// builds a batch and gives back when the batch is released.
	Budget *limit.Budget
	// Log takes lines for people: reconnects, warnings. Never secrets.
	Log *slog.Logger
	// Job is the job's name, Name the sink's (empty for a source).
	Job, Name string
	// Getenv looks up the environment of the process, for systems whose
	// credentials may stand there; nil: nothing is set, and nothing else of this
	// machine that the options do not name is taken either.
	Getenv func(name string) (string, bool)
	// Parallel is how many chunks may be read at once.
	Parallel int
}

// SourceDriver makes sources of one system.
type SourceDriver struct {
	Name    string // the key in a job file
	Help    string
	Options []option.Field
	// Open checks what can be checked without a connection and makes one; a
	// server that cannot be reached gives fault.SourceUnreachable with its
	// address within 15 seconds.
	Open func(ctx context.Context, v option.Values, env Env) (Source, error)
}

// SinkDriver makes sinks of one system.
type SinkDriver struct {
	Name    string
	Help    string
	Options []option.Field
	// Discards says that its writers are Discarders.
	Discards bool
	Open     func(ctx context.Context, v option.Values, env Env) (Sink, error)
}

// Registry lists the systems that a binary knows. It is a value, made in
// connector/all.
type Registry struct {
	Sources []SourceDriver
	Sinks   []SinkDriver
}

// Source returns the named driver.
func (r Registry) Source(name string) (SourceDriver, bool) {
	for _, d := range r.Sources {
		if d.Name == name {
			return d, true
		}
	}
	return SourceDriver{}, false
}

// Sink returns the named driver.
func (r Registry) Sink(name string) (SinkDriver, bool) {
	for _, d := range r.Sinks {
		if d.Name == name {
			return d, true
		}
	}
	return SinkDriver{}, false
}
