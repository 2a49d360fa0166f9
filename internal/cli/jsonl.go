package cli

import (
	"time"

	"godwit/internal/watch"
)

// Kinds of output lines. Readers ignore kinds and fields they do not know.
const (
	lineStart    = "start"
	linePhase    = "phase"
	lineProgress = "progress"
	lineTable    = "table"
	lineWarning  = "warning"
	lineSummary  = "summary"
)

// head begins every output line, with jobHead where nothing else names the job.
type head struct {
	V    int    `json:"v"`
	Type string `json:"type"`
	T    string `json:"t"`
}

type jobHead struct {
	head
	Job string `json:"job,omitempty"`
}

func newHead(kind string, now time.Time) head { return head{V: 1, Type: kind, T: stamp(now)} }

func newJobHead(kind, job string, now time.Time) jobHead { return jobHead{newHead(kind, now), job} }

// startLine is the first line of a run.
type startLine struct {
	jobHead
	Version string `json:"version"`
	Mode    string `json:"mode"`
	File    string `json:"file"`
	PID     int    `json:"pid"`
}

// progressLine is a phase or progress line: the whole Progress.
type progressLine struct {
	head
	watch.Progress
}

// tableLine says that the snapshot of tables went on.
type tableLine struct {
	jobHead
	watch.TableCounts
}

// warningLine is a log line that needs care, or a table that was marked.
type warningLine struct {
	jobHead
	What   string `json:"what"`
	Table  string `json:"table,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// summaryLine is the last line of every command.
type summaryLine struct {
	jobHead
	Command  string         `json:"command"`
	ExitCode int            `json:"exit_code"`
	Code     string         `json:"code,omitempty"` // of the error, when there was one
	Elapsed  float64        `json:"elapsed_s"`
	FirstRow *int64         `json:"first_row_ms,omitempty"`
	Signal   string         `json:"signal,omitempty"`
	Outcome  *watch.Outcome `json:"outcome,omitempty"`

	Rows    *int64             `json:"rows,omitempty"`
	Changes *int64             `json:"changes,omitempty"`
	Bytes   *int64             `json:"bytes,omitempty"`
	Tables  *watch.TableCounts `json:"tables,omitempty"`
	Memory  *watch.Memory      `json:"memory,omitempty"`
	Files   *watch.Objects     `json:"files,omitempty"`
}

// planLine, statusLine, positionLine and checkLine are what the other commands
// print with --json.
type planLine struct {
	jobHead
	watch.PlanReport
}

type statusLine struct {
	head
	watch.JobStatus
}

type positionLine struct {
	jobHead
	watch.SinkPosition
}

type checkLine struct {
	jobHead
	On     string     `json:"on"`
	Name   string     `json:"name"`
	Detail string     `json:"detail"`
	Result string     `json:"result"` // ok, warning, failed
	Error  *errorLine `json:"error,omitempty"`
}

type explainLine struct {
	head
	Code  string `json:"code"`
	Class string `json:"class"`
	Exit  int    `json:"exit_code_of_error"`
	Short string `json:"short"`
	Long  string `json:"long"`
}

type versionLine struct {
	head
	Version string `json:"version"`
	Go      string `json:"go"`
}
