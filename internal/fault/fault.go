// Package fault gives errors a class, a stable code and a way out, where they are
// born. It imports only std.
package fault

import (
	"errors"
	"fmt"
	"strings"
)

// Class says what may be done about an error.
type Class uint8

// Classes.
const (
	Retry  Class = iota + 1 // may go away by itself: try again, with back-off
	User                    // somebody must change something outside: not retried
	Fatal                   // a broken invariant or format: not retried
	Fenced                  // a newer writer owns the shard: this attempt ends
	Lost                    // what is needed to go on is gone: never go on "from now"
)

var classNames = [...]string{"unknown", "retry", "user", "fatal", "fenced", "lost"}

func (c Class) String() string { return classNames[c] }

// MarshalText returns the class as a word.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (c *Class) UnmarshalText(text []byte) error {
	for i, name := range classNames {
		if name == string(text) {
			*c = Class(i)
			return nil
		}
	}
	return fmt.Errorf("%.40q is no class of errors", text)
}

// Error is an error as people and programs see it. CLI, API and page show the
// same value.
type Error struct {
	Code  Code
	What  string // one sentence: what went wrong, naming the thing
	Where string // job.yaml:4:3, job/table/chunk, host:port; may be empty
	Sink  string // the sink of a job that caused it; empty: something else did
	Cause error  // verbatim, may be nil
	Hint  string // what to do, a command where there is one; may be empty
}

// New returns an error with a code from the catalogue.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, What: fmt.Sprintf(format, args...)}
}

// At adds where it happened.
func (e *Error) At(format string, args ...any) *Error {
	e.Where = fmt.Sprintf(format, args...)
	return e
}

// By adds the cause.
func (e *Error) By(cause error) *Error { e.Cause = cause; return e }

// Try adds what to do about it.
func (e *Error) Try(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// InSink returns err as one that a sink of a job caused, nil when err is nil: its
// outermost Error, with the name of the sink unless that names one already.
func InSink(name string, err error) error {
	if err == nil {
		return nil
	}
	e := *Of(err)
	if e.Sink == "" {
		e.Sink = name
	}
	return &e
}

// Error returns code, what, where and cause on one line.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", e.Code, e.What)
	if e.Where != "" {
		fmt.Fprintf(&b, " (%s)", e.Where)
	}
	if e.Cause != nil {
		fmt.Fprintf(&b, ": %v", e.Cause)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Class returns the class of the code.
func (e *Error) Class() Class { return e.Code.Info().Class }

// Is reports whether target is an Error of the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && t.What == ""
}

// Of finds the outermost Error in err's chain. An error without one gets the
// code Internal.
func Of(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: Internal, What: "unexpected error", Cause: err}
}

// ClassOf returns the class of err; an error without a code is Fatal.
func ClassOf(err error) Class { return Of(err).Class() }

// Has reports whether err carries the code anywhere in its chain.
func Has(err error, code Code) bool { return errors.Is(err, &Error{Code: code}) }
