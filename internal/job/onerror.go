package job

import (
	"slices"
	"strconv"
	"strings"

	"godwit/internal/fault"
)

// This file says what becomes of a task that one of its sinks fails
// (docs/decisions/0029-on-error.md). It is about errors that may pass (fault.Retry) and
// rows that a sink refuses (fault.RowRefused); all others give up at once.

// ErrorMode is what a sink's failures do.
type ErrorMode string

// Modes. The zero mode is what engines do by themselves: what may pass is tried again
// MaxFruitless times, a refused row fails its task.
const (
	Always       ErrorMode = "always"        // tried again for ever, with an alarm
	DiscardAfter ErrorMode = "discard_after" // after so many attempts refused rows are put aside; what may pass is tried again for ever
	FailAfter    ErrorMode = "fail_after"    // after so many attempts the task fails
	FailAtOnce   ErrorMode = "fail"          // the first error fails the task
)

// ErrorModes are all modes, for options.
func ErrorModes() []string {
	return []string{string(Always), string(DiscardAfter), string(FailAfter), string(FailAtOnce)}
}

// OnError is what becomes of a task that a sink fails.
type OnError struct {
	Mode     ErrorMode
	Attempts int // of DiscardAfter and FailAfter
}

// ErrorModesOf returns what a Task says of its sinks (Task.OnError): those with a mode.
func ErrorModesOf(sinks []Sink) string {
	var out []string
	for _, s := range sinks {
		if s.OnError.Mode != "" {
			out = append(out, s.Name+":"+string(s.OnError.Mode)+":"+strconv.Itoa(s.OnError.Attempts))
		}
	}
	return strings.Join(out, " ")
}

// onError is what is said of a sink.
func (t *Task) onError(sink string) OnError {
	for part := range strings.SplitSeq(t.OnError, " ") {
		f := strings.Split(part, ":")
		if len(f) == 3 && f[0] == sink {
			n, _ := strconv.Atoi(f[2])
			return OnError{ErrorMode(f[1]), max(n, 1)}
		}
	}
	return OnError{}
}

// givesUp reports whether a task that has failed is not tried again by itself. A refused
// row is counted by itself: where other sinks or tables go on, attempts are not fruitless.
func (t *TaskState) givesUp(f *Failure) bool {
	o, passes, tried := t.onError(f.Sink), f.Class == fault.Retry, t.Fruitless-t.Borne
	refused := f.Code == fault.RowRefused
	switch {
	case !passes && !refused:
		return true
	case o.Mode == "":
		return !passes || tried >= MaxFruitless
	case o.Mode == Always:
		return false
	case o.Mode == DiscardAfter:
		return t.Refused > o.Attempts // they were to be put aside, and the row is refused still
	case o.Mode == FailAfter:
		return max(tried, t.Refused) >= o.Attempts
	}
	return true
}

// discards names the sinks, with a blank between, that are to put refused rows aside in
// the next attempt.
func (t *TaskState) discards() string {
	if t.Refused == 0 {
		return ""
	}
	var out []string
	for part := range strings.SplitSeq(t.OnError, " ") {
		name, _, _ := strings.Cut(part, ":")
		if o := t.onError(name); o.Mode == DiscardAfter && t.Refused >= o.Attempts && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return strings.Join(out, " ")
}

// refused counts a failure of an attempt that has ended.
func (t *TaskState) refused(f *Failure, progressed bool) {
	if progressed && t.discards() != "" {
		t.Refused = 0 // what was refused lies behind
	}
	if f.Code == fault.RowRefused {
		t.Refused++
	}
}
