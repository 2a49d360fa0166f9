// Package position names places in change logs. It imports only std.
package position

import (
	"errors"
	"strings"
)

// ErrOtherLog reports a comparison of places in two physical logs. Their orders
// are unrelated: the source must translate one of them (connector.Rebaser).
var ErrOtherLog = errors.New("positions of two different logs cannot be compared")

// Position is a place in one physical change log. It is an immutable value; the
// zero Position is before everything in any log.
//
// Only the source that made it reads the token; everybody else may compare
// places and store them.
type Position struct {
	log   string // names one physical log, e.g. "mariadb:<server id>"
	order string // total and bytewise within that log
	token string // what the source resumes from
}

// New returns a place in log. order must sort bytewise in log order; token is
// the source's own and is kept unread.
func New(log, order, token string) Position { return Position{log, order, token} }

// Note returns a Position that carries only text. Sets use notes for entries
// that are not places, such as the id of a schemas object.
func Note(text string) Position { return Position{token: text} }

// Log names the physical log the place is in.
func (p Position) Log() string { return p.log }

// Order returns the bytes that sort places of one log.
func (p Position) Order() string { return p.order }

// Token returns what the source stored to resume from here.
func (p Position) Token() string { return p.token }

// IsZero reports whether p is before everything.
func (p Position) IsZero() bool { return p == Position{} }

// Compare returns -1, 0 or +1 as p lies before, at or after q. The zero Position
// is before every other. Places in different logs give ErrOtherLog.
func (p Position) Compare(q Position) (int, error) {
	switch {
	case p.IsZero() && q.IsZero():
		return 0, nil
	case p.IsZero():
		return -1, nil
	case q.IsZero():
		return 1, nil
	case p.log != q.log:
		return 0, ErrOtherLog
	}
	return strings.Compare(p.order, q.order), nil
}
