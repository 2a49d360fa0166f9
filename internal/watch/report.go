package watch

import (
	"time"

	"godwit/internal/fault"
)

// Outcome is how a run ended, when it ended without an error.
type Outcome struct {
	Run uint64 `json:"run"`
	// Nothing: there was nothing to do; a finished snapshot, or a time that was
	// reached before.
	Nothing bool `json:"nothing,omitempty"`
	// Stopped: the context ended and everything read so far that may be
	// committed is committed.
	Stopped bool `json:"stopped,omitempty"`
	// At is the place that the target equals the source at, as the source
	// describes it; At may be empty. AtTime is its commit time.
	At     string     `json:"at,omitempty"`
	AtTime *time.Time `json:"at_time,omitempty"`
	// Marked are tables that need a resync; with any the exit code is 4.
	Marked []Mark `json:"marked,omitempty"`
	// Failed is how many objects of a file job failed; with any the exit code is 4.
	Failed int64 `json:"failed_objects,omitempty"`
	// Began is when the last round of a file job began: what came later to the source
	// may not have been looked at.
	Began *time.Time `json:"round_began,omitempty"`
	// Where names each sink's target for people, e.g. "file:///data/lake".
	Where []string `json:"where,omitempty"`
	// Next is the command that is useful next; may be empty.
	Next string `json:"next,omitempty"`
}

// Finding is one line of a check.
type Finding struct {
	On     string       // "source", or the sink's name
	Name   string       // what was looked at
	Detail string       // what was found
	Fault  *fault.Error // nil: fine
	Warn   bool         // with Fault: does not stop a run
}

// CheckReport is everything a check looked at.
type CheckReport struct{ Findings []Finding }

// PlanTarget is a table in a sink as it will be.
type PlanTarget struct {
	Sink    string   `json:"sink"`
	Target  string   `json:"target"`
	Columns []string `json:"columns"` // "name type"
	// Rules say in words what the rules make of the table; absent: it stays as it is.
	Rules     []string `json:"rules,omitempty"`
	Guarantee string   `json:"guarantee"`
	Reason    string   `json:"guarantee_reason"`
}

// HideRules hides what expressions of rules may have of secrets.
func (r *PlanReport) HideRules(hide func(string) string) {
	for _, t := range r.Tables {
		for _, k := range t.Targets {
			for i, rule := range k.Rules {
				k.Rules[i] = hide(rule)
			}
		}
	}
}

// PlanTable is a table as it will be moved.
type PlanTable struct {
	Table   string       `json:"table"`
	Rows    int64        `json:"rows"`  // estimate, -1 unknown
	Bytes   int64        `json:"bytes"` // estimate, -1 unknown
	Chunks  int          `json:"chunks"`
	Key     []string     `json:"key,omitempty"`  // empty: none, the table is one chunk
	State   string       `json:"state"`          // "new", "partly", "done": what earlier runs have made of it; "changes": its rows are not read
	Note    string       `json:"note,omitempty"` // what is special
	Targets []PlanTarget `json:"targets"`
}

// Warning is what needs care before a run, and what to do about it.
type Warning struct {
	What string `json:"what"`
	Hint string `json:"hint,omitempty"`
}

// PlanEdit is an edit of the job since it last ran.
type PlanEdit struct {
	Field  string `json:"field"`
	From   string `json:"from"`
	To     string `json:"to"`
	Effect string `json:"effect"`
	Why    string `json:"why"`
}

// PlanReport is what a run would do.
type PlanReport struct {
	At      string  `json:"at,omitempty"`                 // the place in the log the plan was made at
	KeptFor float64 `json:"log_kept_s,omitempty"`         // how long the source keeps its log; 0: no limit, or unknown
	Reach   float64 `json:"log_reaches_back_s,omitempty"` // how far back it goes now; 0 unknown
	// Takes is how long the copy will take at Pace bytes a second, which is a
	// cautious guess; 0: nothing is to be copied, or its size is unknown.
	Takes    float64     `json:"copy_s,omitempty"`
	Pace     int64       `json:"copy_bytes_s,omitempty"`
	Warnings []Warning   `json:"warnings,omitempty"`
	Run      uint64      `json:"run"` // the number the next run will have
	Edits    []PlanEdit  `json:"edits,omitempty"`
	Tables   []PlanTable `json:"tables"`
	Files    *PlanFiles  `json:"files,omitempty"` // of a file job
}

// JobStatus is one job as its state folder, and its sinks, tell it.
type JobStatus struct {
	Job     string     `json:"job"`
	State   string     `json:"state"` // "running", "stopped", "finished", "failed", "new"
	Since   *time.Time `json:"since,omitempty"`
	Run     uint64     `json:"run"`
	Error   string     `json:"error,omitempty"` // code and what of the last run, when it failed
	Process int        `json:"process,omitempty"`
	// Progress is the last one that was written, nil if none.
	Progress *Progress `json:"progress,omitempty"`
}

// StatusReport is the state of jobs, by name.
type StatusReport struct {
	Jobs []JobStatus `json:"jobs"`
}

// SinkPosition is the place a shard of a sink has reached.
type SinkPosition struct {
	Sink  string     `json:"sink"`
	Task  string     `json:"task"`  // "stream", or a run of chunks
	Claim string     `json:"claim"` // who wrote last
	At    string     `json:"at"`    // as the source describes it
	Time  *time.Time `json:"time,omitempty"`
	Note  string     `json:"note,omitempty"` // e.g. "snapshot complete", "31 of 64 chunks"
}

// PositionReport lists positions, by sink and task.
type PositionReport struct {
	Positions []SinkPosition `json:"positions"`
}
