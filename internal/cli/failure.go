package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"godwit/internal/fault"
	"godwit/internal/option"
)

// problemLines shows one problem of a file: what, the line, and a caret with the
// way out.
func problemLines(p option.Problem, c colours) []string {
	what := clean(p.What)
	if p.Path != "" {
		what = clean(p.Path) + ": " + what
	}
	out := []string{c.red("error["+string(p.Code)+"]") + ": " + clean(p.Place.String()) + ": " + what}
	advice := clean(p.Advice())
	if p.Line == "" || p.Caret < 1 {
		if advice != "" {
			out = append(out, "  hint   "+advice)
		}
		return out
	}
	line, col := snippet([]rune(p.Line), p.Caret)
	number := fmt.Sprint(p.Place.Line)
	before := cells(string(line[:min(col-1, len(line))]))
	marked := cells(string(line[min(col-1, len(line)):min(col-1+p.Width, len(line))]))
	caret := strings.Repeat(" ", before) + strings.Repeat("^", max(1, marked))
	if advice != "" {
		caret += " " + advice
	}
	out = append(out, "  "+number+" | "+clean(string(line)))
	return append(out, "  "+strings.Repeat(" ", len(number))+" | "+caret)
}

// snippet cuts a very long line to the part around a column.
func snippet(line []rune, col int) ([]rune, int) {
	const around = 60
	if len(line) <= 2*around+20 {
		return line, col
	}
	from := max(0, col-1-around)
	to := min(len(line), col-1+around)
	part := line[from:to]
	if from > 0 {
		part = append([]rune("…"), part...)
		col++
	}
	if to < len(line) {
		part = append(part[:len(part):len(part)], '…')
	}
	return part, col - from
}

// faultLines shows an error: what, where and class, cause, and the way out last.
func faultLines(e *fault.Error, c colours) []string {
	out := []string{c.red("error["+string(e.Code)+"]") + ": " + clean(e.What)}
	class := e.Class().String()
	if e.Class() != fault.Retry {
		class += " (not retried)"
	}
	if e.Where != "" {
		out = append(out, "  where  "+pad(clean(e.Where), 34)+" class  "+class)
	} else {
		out = append(out, "  class  "+class)
	}
	if e.Sink != "" {
		out = append(out, "  sink   "+clean(e.Sink))
	}
	if e.Cause != nil {
		out = append(out, label("cause", cleanLines(e.Cause.Error()))...)
	}
	if e.Hint != "" {
		out = append(out, label("hint", cleanLines(e.Hint))...)
	}
	more := "more: godwit explain " + string(e.Code)
	if last := len(out) - 1; e.Hint != "" && cells(out[last]) <= 80 {
		out[last] += "        " + more
	} else if e.Hint == "" {
		out = append(out, "  hint   "+more)
	}
	return out
}

// label puts a word before the first line and aligns the others under it.
func label(word string, lines []string) []string {
	out := []string{"  " + pad(word, 7) + lines[0]}
	for _, l := range lines[1:] {
		out = append(out, "         "+l)
	}
	return out
}

// masked returns e with secrets masked in all its texts.
func masked(e *fault.Error, hide func(string) string) *fault.Error {
	out := &fault.Error{Code: e.Code, What: hide(e.What), Where: hide(e.Where), Hint: hide(e.Hint), Sink: e.Sink}
	if e.Cause != nil {
		out.Cause = errors.New(hide(e.Cause.Error()))
	}
	return out
}

// errorLine is an error as a JSON line.
type errorLine struct {
	V     int    `json:"v"`
	Type  string `json:"type"`
	T     string `json:"t"`
	Job   string `json:"job,omitempty"`
	Code  string `json:"code"`
	Class string `json:"class"`
	What  string `json:"what"`
	Where string `json:"where,omitempty"`
	Cause string `json:"cause,omitempty"`
	Hint  string `json:"hint,omitempty"`
	Sink  string `json:"sink,omitempty"` // that caused it
}

func newErrorLine(e *fault.Error, job string, now time.Time) errorLine {
	l := errorLine{V: 1, Type: "error", T: stamp(now), Job: job, Code: string(e.Code), Class: e.Class().String(), What: e.What, Where: e.Where, Hint: e.Hint, Sink: e.Sink}
	if e.Cause != nil {
		l.Cause = e.Cause.Error()
	}
	return l
}

// stamp writes a time as RFC 3339 in UTC, to the millisecond.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }

// jsonLine encodes v as one line; v is made of plain data.
func jsonLine(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic("cli: " + err.Error())
	}
	return string(b)
}
