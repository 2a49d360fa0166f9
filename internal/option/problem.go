package option

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"godwit/internal/fault"
)

// MaxProblems is how many problems of one file are reported.
const MaxProblems = 20

// Problem is one thing wrong with a file. It holds no secret: values of secret
// fields are masked in Line and never quoted in What.
type Problem struct {
	Code    fault.Code
	Place   Place
	Path    string   // the field, e.g. sinks[0].files.roll.evry; empty for the whole file
	What    string   // what is wrong and what was expected, e.g. "no such key"
	Nearest string   // the known word that was probably meant; may be empty
	Known   []string // all words that may stand there; may be empty
	Hint    string   // what to do, where What does not say it; may be empty
	Line    string   // the source line, secrets masked; empty when there is none
	Caret   int      // column of the wrong piece in Line, from 1
	Width   int      // its length in characters, at least 1
}

// Problems are the problems of one file in the order of the text.
type Problems []Problem

// Fault returns the problem as an error.
func (p Problem) Fault() *fault.Error {
	what := p.What
	if p.Path != "" {
		what = p.Path + ": " + what
	}
	return &fault.Error{Code: p.Code, What: what, Where: p.Place.String(), Hint: p.Advice()}
}

// Advice returns what to do on one line: the nearest word, the known ones, the
// hint. It may be empty.
func (p Problem) Advice() string {
	var parts []string
	if p.Nearest != "" {
		parts = append(parts, fmt.Sprintf("did you mean %q?", p.Nearest))
	}
	if len(p.Known) > 0 {
		parts = append(parts, "known: "+strings.Join(p.Known, ", "))
	}
	if p.Hint != "" {
		parts = append(parts, p.Hint)
	}
	return strings.Join(parts, " ")
}

// Err returns nil when there are no problems, else an error that stands for all
// of them: the first, and how many more there are.
func (ps Problems) Err() error {
	if len(ps) == 0 {
		return nil
	}
	e := ps[0].Fault()
	if n := len(ps) - 1; n > 0 {
		e.What += fmt.Sprintf(" (and %d more problems)", n)
	}
	return e
}

// sorted returns the problems in the order of the text, cut to MaxProblems.
func (ps Problems) sorted() Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Place.Line, b.Place.Line), cmp.Compare(a.Place.Col, b.Place.Col))
	})
	return ps[:min(len(ps), MaxProblems)]
}

// Merge returns the problems of both in the order of the text, at most
// MaxProblems.
func (ps Problems) Merge(more ...Problem) Problems {
	return append(slices.Clone(ps), more...).sorted()
}

// Problem returns a problem of the named field, found by a check across fields;
// it stands at the field, or at the object when the field was not given.
func (v Values) Problem(name string, code fault.Code, format string, args ...any) Problem {
	p := Problem{Code: code, Place: v.Place(name), Path: join(v.path, name), What: fmt.Sprintf(format, args...), Width: 1}
	if v.doc != nil {
		p.Line, p.Caret = v.doc.show(p.Place.Line, p.Place.Col)
	}
	return p
}

// ItemPlace returns where item i of a List stands, or the list itself.
func (v Values) ItemPlace(name string, i int) Place {
	if p, ok := v.places[item(name, i)]; ok {
		return p
	}
	return v.Place(name)
}

func join(path, name string) string {
	switch {
	case path == "":
		return name
	case name == "":
		return path
	}
	return path + "." + name
}

func item(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
