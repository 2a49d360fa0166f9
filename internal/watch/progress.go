// Package watch measures what a job does and says it in numbers that programs
// and people can trust: rates, ends, lags, and what is the brake.
package watch

import (
	"time"

	"godwit/internal/job"
)

// Phases of a run, in order. A run may skip some.
const (
	Starting  = "starting"  // connecting, reading schemas
	Planning  = "planning"  // dividing tables into chunks
	Snapshot  = "snapshot"  // chunks are read
	Stream    = "stream"    // changes are read
	Finishing = "finishing" // the last commit
	Done      = "done"
)

// Kinds of totals.
const (
	Exact    = "exact"    // counted
	Estimate = "estimate" // from the source's statistics, corrected by finished chunks
	Growing  = "growing"  // more than estimated already: at least this much
	None     = "none"     // unknown
)

// States of a lag.
const (
	CaughtUp = "caught_up" // the place committed is the head, and the head was read just now
	Behind   = "behind"
	Unknown  = "unknown" // the head was not read lately
	Idle     = "idle"    // nothing is to be read now: paused, stopped or finished
)

// Progress is a job at one moment. Its JSON form is that of `--json` and of the
// API: fields are only ever added. Rates are per second, absent when unknown; what was
// measured is Rounded.
type Progress struct {
	Job      string    `json:"job"`
	Run      uint64    `json:"run,omitempty"`
	Note     string    `json:"note,omitempty"` // how the run began, e.g. "went on at chunk 812 of 2,104"
	Mode     string    `json:"mode,omitempty"`
	Phase    string    `json:"phase"`
	Since    time.Time `json:"since"` // of the phase
	Started  time.Time `json:"started"`
	Sampled  time.Time `json:"sampled_at"`
	Elapsed  float64   `json:"elapsed_s"`
	FirstRow *int64    `json:"first_row_ms,omitempty"` // from the start of the process to the first row handed to a sink

	Rows     Count    `json:"progress"` // rows of the snapshot
	Bytes    int64    `json:"bytes"`    // payload read, snapshot and stream
	Rate     *float64 `json:"rows_s,omitempty"`
	ByteRate *float64 `json:"bytes_s,omitempty"`
	Left     *Left    `json:"left,omitempty"`

	Tables  TableCounts `json:"tables"`
	Active  []Table     `json:"active,omitempty"` // being read now, largest remainder first, at most MaxActive
	Marked  []Mark      `json:"marked,omitempty"` // tables that need a resync, by name
	Changes *Changes    `json:"stream,omitempty"` // nil until the stream is read
	Sinks   []Sink      `json:"sinks,omitempty"`  // by name
	Brake   *Brake      `json:"brake,omitempty"`  // nil: nothing here is the brake
	Stages  []Stage     `json:"stages,omitempty"` // of the last minutes
	Memory  Memory      `json:"memory"`
	KeptFor *float64    `json:"log_kept_s,omitempty"`         // how long the source keeps its log; absent: no limit, or unknown
	Reach   *float64    `json:"log_reaches_back_s,omitempty"` // how far back it goes now

	Files *Objects `json:"files,omitempty"` // of a file job; "progress" then counts objects
}

// Count is how much is done of how much. A Total of kind Estimate or Growing is
// to be shown with ~ or ≥; Percent is absent when it would be a guess, and below
// 100 until all is done.
type Count struct {
	Done    int64    `json:"done"`
	Total   int64    `json:"total"`
	Kind    string   `json:"total_kind"`
	Percent *float64 `json:"pct,omitempty"`
	// Estimated is the total foreseen at first, kept when it was exceeded.
	Estimated int64 `json:"estimated,omitempty"`
}

// Left is the time to the end of the phase in seconds, at this rate: no promise.
type Left struct {
	Seconds float64 `json:"seconds"`
	Low     float64 `json:"low"`
	High    float64 `json:"high"`
	Basis   string  `json:"basis"` // "at this rate"
}

// TableCounts counts tables by state.
type TableCounts struct {
	Total   int `json:"total"`
	Done    int `json:"done"`
	Active  int `json:"active"`
	Waiting int `json:"waiting"`
	Marked  int `json:"marked"`
}

// Table is one table of the snapshot.
type Table struct {
	Name       string   `json:"table"`
	Rows       Count    `json:"progress"`
	Rate       *float64 `json:"rows_s,omitempty"`
	ChunksDone int      `json:"chunks_done"`
	Chunks     int      `json:"chunks"`
}

// Mark is a table that left the stream, and why.
type Mark struct {
	Table  string `json:"table"`
	Reason string `json:"reason"`
}

// Changes is the stream.
type Changes struct {
	Rows     int64      `json:"changes"`
	Rate     *float64   `json:"changes_s,omitempty"`
	Position string     `json:"position,omitempty"` // of the last change read
	Head     string     `json:"head,omitempty"`
	HeadAt   *time.Time `json:"head_at,omitempty"` // when the head was read
	Ahead    *int64     `json:"head_ahead_bytes,omitempty"`
	Lag      Lag        `json:"lag"` // of the worst sink
	// CatchUp is the time to the head in seconds at the present speed; absent
	// when the sink is not behind, or falls behind further.
	CatchUp *float64 `json:"catch_up_s,omitempty"`
	// Falling is by how many seconds a minute the lag grows; LostIn when the log
	// ends before the sink's place at that speed.
	Falling *float64 `json:"falling_s_per_min,omitempty"`
	LostIn  *float64 `json:"lost_in_s,omitempty"`
}

// Lag is how far a sink is behind the source's head. Seconds are absent when
// unknown, and 0 only when nothing is missing.
type Lag struct {
	State   string   `json:"state"`
	Seconds *float64 `json:"seconds,omitempty"`
	Sink    string   `json:"sink,omitempty"`
}

// Sink is one sink.
type Sink struct {
	Name        string     `json:"sink"`
	Rows        int64      `json:"rows"`                   // committed in this run
	Commits     int64      `json:"commits"`                // in this run
	Buried      int64      `json:"dead_letters,omitempty"` // rows that were put aside in this run
	CommittedAt *time.Time `json:"committed_at,omitempty"`
	Position    string     `json:"position,omitempty"`
	Queue       int64      `json:"queue_bytes"`
	QueueLimit  int64      `json:"queue_limit_bytes"`
	Lag         Lag        `json:"lag"`
	// Standing is where it stands, and why; nil: no engine has said so.
	Standing *job.Standing `json:"standing,omitempty"`
}

// Brake is the stage that is busy while others wait for it.
type Brake struct {
	Sink  string  `json:"sink,omitempty"`
	Stage string  `json:"stage"`
	Share float64 `json:"share"` // of its time, 0 to 1
}

// Stage says how a stage spent its time: the three add up to 1.
type Stage struct {
	Sink    string  `json:"sink,omitempty"`
	Stage   string  `json:"stage"`
	Busy    float64 `json:"busy"`
	Blocked float64 `json:"blocked"` // by the next stage
	Waiting float64 `json:"waiting"` // for the previous one
}

// Memory is the process's resident memory and its ceiling, bytes; 0 unknown.
type Memory struct {
	Used  int64 `json:"used"`
	Limit int64 `json:"limit"`
}
