package cli

import (
	"fmt"

	"godwit/internal/api"
)

// What commands that speak to a server print with --json: the API's own objects with
// the head of every line.
type (
	jobLine struct {
		head
		api.Job
	}
	jobTaskLine struct {
		jobHead
		api.Task
	}
	jobTableLine struct {
		jobHead
		api.Table
	}
	jobVersionLine struct {
		jobHead
		api.Version
	}
	jobChangeLine struct {
		jobHead
		api.Change
	}
	// jobEditLine ends an edit: the version that lives then.
	jobEditLine struct {
		jobHead
		Version  int64 `json:"version"`
		Changes  int   `json:"changes"`
		Preview  bool  `json:"preview,omitempty"`
		Detached bool  `json:"detached,omitempty"` // it belongs to no template any more
	}
	jobDiffLine struct {
		jobHead
		From int64  `json:"from"`
		To   int64  `json:"to"`
		Diff string `json:"diff"`
	}
	// jobActLine is what became of one act on one job.
	jobActLine struct {
		jobHead
		Act     string     `json:"act"`
		Outcome string     `json:"outcome"` // would, done, skipped, failed
		Why     string     `json:"why,omitempty"`
		Error   *api.Fault `json:"error,omitempty"`
	}
	goneLine struct {
		head
		Name string `json:"name"`
	}
	verificationLine struct {
		head
		api.Verification
	}
	alarmLine struct {
		head
		api.Alarm
	}
	auditLine struct {
		head
		api.Entry
	}
	tokenLine struct {
		head
		api.Token
		Text string `json:"text,omitempty"` // once, when it is made
		File string `json:"file,omitempty"` // that the text was written to instead
	}
	tokenGoneLine struct {
		head
		Name string `json:"name"`
	}
	// serverLine says that a server came up, or how it ends.
	serverLine struct {
		head
		Status  string `json:"status"` // starting, ok, stopping, stopped
		URL     string `json:"url"`
		State   string `json:"state"`
		PID     int    `json:"pid"`
		Version string `json:"version"`
	}
)

// Kinds of these lines.
const (
	lineJob     = "job"
	lineTask    = "job_task"
	lineTables  = "job_table"
	lineVersion = "job_version"
	lineChange  = "job_change"
	lineEdit    = "job_edit"
	lineDiff    = "job_diff"
	lineAct     = "job_act"
	lineGone    = "gone"
	lineAlarm   = "alarm"
	lineAudit   = "audit_entry"
	lineToken   = "token"
	lineServer  = "server"

	lineVerification = "job_verification"

	lineTokenGone = "token_revoked"
)

func (a *app) emit(line any) { fmt.Fprintln(a.out, jsonLine(line)) }

func (a *app) head(kind string) head { return newHead(kind, a.p.Now()) }

func (a *app) jobHead(kind, job string) jobHead { return newJobHead(kind, job, a.p.Now()) }

// say tells people what was done; it is no result.
func (a *app) say(lines ...string) {
	if !a.json {
		a.scr.print(lines...)
	}
}
