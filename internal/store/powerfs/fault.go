package powerfs

import (
	"strings"
	"syscall"
)

// Op is a kind of step.
type Op string

// Steps that change something. Each is counted.
const (
	Mkdir     Op = "mkdir"
	Create    Op = "create"
	Write     Op = "write"
	Sync      Op = "sync"
	Link      Op = "link"
	Rename    Op = "rename"
	RenameNew Op = "rename-new"
	Remove    Op = "remove"
	Reap      Op = "reap"
	SyncDir   Op = "sync-dir"
	SyncAll   Op = "sync-all"
	RemoveDir Op = "remove-dir"
	Mark      Op = "mark"
)

// Steps that only look. They are not counted, and fail only where a Fault names
// them.
const (
	OpenRoot Op = "open-root"
	Open     Op = "open"
	Read     Op = "read"
	List     Op = "list"
	Stat     Op = "stat"
)

func (o Op) looks() bool {
	switch o {
	case OpenRoot, Open, Read, List, Stat:
		return true
	}
	return false
}

// Step is one step of a process.
type Step struct {
	N    int // counted from 0; the number of the next one for steps that only look
	Op   Op
	Path string
}

// Fault fails a step of a process. It belongs to one process at a time.
type Fault struct {
	Op   Op     // "": every step that changes something
	Path string // only steps whose path contains it
	N    int    // the step that fails, among those that fit, counted from 0

	After bool  // fail after its effect
	Torn  bool  // a write: half of it is done
	Err   error // what it fails with; nil: EIO
	Lasts bool  // all later steps that fit fail too
	Dies  bool  // the process dies with it

	seen    int
	reached bool
	step    Step
}

func (f *Fault) err() error {
	if f.Err == nil {
		return syscall.EIO
	}
	return f.Err
}

// hit says whether the step is the one.
func (f *Fault) hit(s Step) bool {
	if f.Op == "" && s.Op.looks() || f.Op != "" && f.Op != s.Op || !strings.Contains(s.Path, f.Path) {
		return false
	}
	f.seen++
	if f.seen-1 == f.N {
		f.reached, f.step = true, s
		return true
	}
	return f.Lasts && f.seen-1 > f.N
}
