package watch

import "time"

// Object is how one object of a file job ended in its last round, as reports show
// it (docs/formats/report.md). Fields are only ever added.
type Object struct {
	Key      string     `json:"key"`              // in the source; of an object that only the target has: there
	Target   string     `json:"target,omitempty"` // where it has another name there
	Size     int64      `json:"size"`
	Modified *time.Time `json:"modified,omitempty"`
	Action   string     `json:"action"`           // copy, same, skip, delete, erase, refuse
	Reason   string     `json:"reason,omitempty"` // why this action: "new", "size differs"
	State    string     `json:"state"`            // copied, same, skipped, deleted, failed, gone; waiting: not done yet
	Code     string     `json:"code,omitempty"`
	Error    string     `json:"error,omitempty"`
	How      string     `json:"how,omitempty"`     // put, batch, parts, server
	Checked  string     `json:"checked,omitempty"` // how the copy was verified
	Sum      string     `json:"sum,omitempty"`     // "algorithm:hex" of the contents
	Bytes    int64      `json:"bytes"`             // sent, repetitions included
	Attempts int        `json:"attempts"`
	Erased   bool       `json:"erased,omitempty"` // the source was deleted after verification
	At       *time.Time `json:"at,omitempty"`
	Millis   int64      `json:"ms"`
	Task     string     `json:"task,omitempty"`
}

// StateWaiting is the state of an object that was decided and not yet done.
const StateWaiting = "waiting"

// Task is a key range of a file job.
type Task struct {
	ID          string `json:"task"`
	Description string `json:"description"` // "keys after a up to m"
	State       string `json:"state"`       // done; open: the round has not ended
	Objects     int64  `json:"objects"`
	Failed      int64  `json:"failed"`
}

// Entry is a line of a job's audit log.
type Entry struct {
	At   time.Time `json:"t"`
	Run  uint64    `json:"run"`
	What string    `json:"what"`
}

// FilesReport is what is known of a file job besides its objects.
type FilesReport struct {
	Description string     `json:"description"` // "source → sink"
	State       string     `json:"state"`       // as JobStatus
	Run         uint64     `json:"run"`
	Started     *time.Time `json:"started,omitempty"`
	Ended       *time.Time `json:"ended,omitempty"`
	Error       string     `json:"error,omitempty"`
	Counts      Objects    `json:"counts"`
	Tasks       []Task     `json:"tasks,omitempty"`
	Audit       []Entry    `json:"audit,omitempty"`
}

// Kinds of differences.
const (
	Missing       = "missing"        // in the target
	Extra         = "extra"          // in the target
	Different     = "different"      // contents
	NotComparable = "not_comparable" // neither side gives what would prove it
)

// Difference is one object that a verification did not find equal.
type Difference struct {
	Kind    string     `json:"kind"`
	Key     string     `json:"key"`
	Target  string     `json:"target,omitempty"`
	Reason  string     `json:"reason"` // one clause: "size", "md5", "byte 4711"
	Code    string     `json:"code,omitempty"`
	Source  *Side      `json:"source,omitempty"`
	Sink    *Side      `json:"sink,omitempty"`
	Checked *time.Time `json:"checked_at,omitempty"`
	// Row says more of a row of a table job; Key then names it, as "shop.orders id=7".
	Row *RowDifference `json:"row,omitempty"`
}

// RowDifference is a row that differs. Values are text for people, cut where they are
// long.
type RowDifference struct {
	Table string `json:"table"`
	On    string `json:"on"` // the sink
	// Columns are those that differ, of a row that both sides have once.
	Columns []ColumnDifference `json:"columns,omitempty"`
	// Source and Sink are how many such rows each side has.
	Source int64 `json:"source_rows"`
	Sink   int64 `json:"sink_rows"`
	// SourceAt and SinkAt are the places at which they were looked at.
	SourceAt string `json:"source_at,omitempty"`
	SinkAt   string `json:"sink_at,omitempty"`
}

// ColumnDifference is a column with the values of both sides.
type ColumnDifference struct {
	Column string `json:"column"`
	Source string `json:"source"`
	Sink   string `json:"sink"`
}

// Side is an object as one side has it.
type Side struct {
	Size     int64      `json:"size"`
	Modified *time.Time `json:"modified,omitempty"`
	Sum      string     `json:"sum,omitempty"` // "algorithm:hex"
}

// Strength is how many objects were found equal by one kind of proof.
type Strength struct {
	By      string `json:"by"` // an algorithm, "bytes", "size"
	Objects int64  `json:"objects"`
}

// VerifiedTable is what was found of a table in a sink. Counts are rows.
type VerifiedTable struct {
	Table         string `json:"table"`
	On            string `json:"on"` // the sink
	Equal         int64  `json:"equal"`
	Missing       int64  `json:"missing"`
	Extra         int64  `json:"extra"`
	Different     int64  `json:"different"`
	Doubled       int64  `json:"doubled"`
	NotComparable int64  `json:"not_comparable"` // a table that was not compared counts as one
	// NotCompared says why none of it was compared; empty: it was.
	NotCompared string `json:"not_compared,omitempty"`
	// Lossy names columns that were compared as the sink can hold them, "a bit(3) as text".
	Lossy    []string `json:"lossy,omitempty"`
	SourceAt string   `json:"source_at,omitempty"`
	SinkAt   string   `json:"sink_at,omitempty"`
}

// VerifyReport is a verification that was carried through.
type VerifyReport struct {
	Description   string     `json:"description"` // "source → sink"
	Started       time.Time  `json:"started"`
	Ended         time.Time  `json:"ended"`
	Equal         Ended      `json:"equal"`
	By            []Strength `json:"equal_by,omitempty"` // strongest first
	Missing       int64      `json:"missing"`
	Extra         int64      `json:"extra"`
	Different     int64      `json:"different"`
	NotComparable int64      `json:"not_comparable"`
	Doubled       int64      `json:"doubled,omitempty"` // rows that the target has more often than the source
	Read          int64      `json:"bytes_read"`        // from both sides
	// ExtraUnknown says why objects that only the target has were not looked for;
	// empty: they were.
	ExtraUnknown string `json:"extra_unknown,omitempty"`
	// Strength is how far each comparison went: "strongest" proof that both sides give,
	// or "bytes".
	Strength string `json:"strength,omitempty"`
	// Tables are set for a table job: all counts are rows then.
	Tables []VerifiedTable `json:"tables,omitempty"`
}

// Differences is how many objects, or rows, are not equal, or not proven to be.
func (r VerifyReport) Differences() int64 {
	return r.Missing + r.Extra + r.Different + r.Doubled + r.NotComparable
}

// RepairReport is what a repair did, in rows.
type RepairReport struct {
	Written int64 `json:"written"` // to the sinks, as one act for each
	Left    int64 `json:"left"`    // that no repair mends, or that the source has changed since
	// After is what was found of the same rows afterwards.
	After VerifiedTable `json:"after"`
}

// PlanObjects are objects of a plan that share a fate.
type PlanObjects struct {
	Action   string   `json:"action"` // copy, same, skip, delete, erase, refuse
	Reason   string   `json:"reason,omitempty"`
	Code     string   `json:"code,omitempty"`
	Objects  int64    `json:"objects"`
	Bytes    int64    `json:"bytes"`
	Examples []string `json:"examples,omitempty"` // the first few keys
}

// PlanFiles is the part of a PlanReport of a file job.
type PlanFiles struct {
	Source    string        `json:"source"`
	Sink      string        `json:"sink"`
	Listed    Ended         `json:"listed"`
	Objects   []PlanObjects `json:"objects"` // by action and reason
	Guarantee string        `json:"guarantee"`
	Dangers   []string      `json:"dangers,omitempty"`
}
