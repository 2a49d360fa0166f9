package postgres

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"godwit/internal/fault"
)

// refusal is what the server says of a statement.
type refusal struct{ *pgconn.PgError }

// Error has the server's message, what it adds to it, and its code.
func (r refusal) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s)", clip(r.Message, 400), r.Code)
	more := []string{r.Detail, r.Hint}
	if strings.HasPrefix(r.Where, "COPY ") { // it has the column
		more = append(more, r.Where)
	}
	for _, more := range more {
		if more != "" {
			fmt.Fprintf(&b, "; %s", clip(more, 400))
		}
	}
	return b.String()
}

// stateOf returns the server's code of err, "" when there is none.
func stateOf(err error) string {
	var r refusal
	if errors.As(err, &r) {
		return r.Code
	}
	return ""
}

// States of the server that are looked for by name.
const (
	stateDivision     = "22012"
	stateUnique       = "23505"
	stateLock         = "55P03"
	stateTooLong      = "54000"
	stateNoTable      = "42P01"
	stateNoColumn     = "42703"
	stateNoSchema     = "3F000"
	statePrivilege    = "42501"
	stateReadOnly     = "25006"
	stateCancelled    = "57014"
	stateDependent    = "2BP01"
	stateCannotCoerce = "42846"
	stateMismatch     = "42804"
)

// serverFault gives an error of the server its code.
func serverFault(e *pgconn.PgError, where string) error {
	r := refusal{e}
	of := func(code fault.Code, what string) *fault.Error {
		return fault.New(code, "%s", what).At("%s", where).By(r)
	}
	switch {
	case e.Code == statePrivilege:
		return of(fault.TargetRefused, "the user lacks a privilege on the target").Try("GRANT CREATE ON DATABASE … TO …; and make the user the owner of tables that were there before")
	case e.Code == stateReadOnly: // it passes when servers change their roles
		return of(fault.TargetUnreachable, "the server is a standby, or read-only").Try("if it stays so: give the address of the primary")
	case strings.HasPrefix(e.Code, "531"):
		return of(fault.TargetFull, "the target is full")
	case strings.HasPrefix(e.Code, "22"), strings.HasPrefix(e.Code, "23"), e.Code == stateTooLong:
		return of(fault.RowRefused, "the target refuses a row").Try("the cause names column and value: mend the row in the source, or the constraint in the target")
	case e.Code == stateNoTable, e.Code == stateNoSchema, e.Code == stateNoColumn:
		return of(fault.TargetLost, "something that was made in the target is not there any more").Try("restore it, or read the table again")
	case strings.HasPrefix(e.Code, "XX"):
		return of(fault.TargetBroken, "the target has a defect")
	}
	return of(fault.TargetFailed, "a statement failed on the target").Try("the cause is the server's word; its log has the statement too")
}
