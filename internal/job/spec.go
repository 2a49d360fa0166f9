// Package job says what is asked: the Spec of a job, read from a job file, and
// what an edit of it means. Everything here is pure.
package job

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/route"
)

// Version is the highest version of the job file that is known.
const Version = 1

// Mode says what of the tables is moved.
type Mode string

// Modes.
const (
	Snapshot           Mode = "snapshot"
	Changes            Mode = "changes"
	SnapshotAndChanges Mode = "snapshot_and_changes"
)

// Start is where mode changes begins: at the head, at the first transaction
// committed at or after Time, or at a place as the source describes it. Exactly
// one is set in mode changes, none in the others.
type Start struct {
	Head  bool
	Time  time.Time
	Place string
}

// Until is where a run ends. The zero Until is never reached.
type Until struct {
	Head bool      // the log's end as it stands when the run starts
	Time time.Time // before the first transaction committed after it
}

// IsZero reports whether the run has no end.
func (u Until) IsZero() bool { return u == Until{} }

// Endpoint is a system and its options.
type Endpoint struct {
	Driver string
	Values option.Values
}

// Sink is one target of a job.
type Sink struct {
	Name string
	Endpoint
	// Rules say as what tables reach the sink: those of the job, then its own.
	Rules []route.Rule
	// RulesSum is a checksum of Rules as they are written: what was written by other ones
	// has another.
	RulesSum string
	OnError  OnError
}

// Spec is one checked job. It is immutable.
type Spec struct {
	File    string // the job file, for places in messages
	Version int
	Name    string // [a-z0-9-], at most 64
	Kind    Kind
	// Parallel is how much is done at once: chunks read, or requests under way; 0:
	// the engine chooses.
	Parallel int

	// Files is set in file jobs, and what follows in table jobs.
	Files  *Files
	Source Endpoint
	Tables connector.Selector
	Mode   Mode
	Start  Start
	Until  Until
	Sinks  []Sink // at least one, names unique
	Chunk  int64  // bytes of a chunk aimed at

	values option.Values
}

// Values returns all options of the job file as they were checked.
func (s *Spec) Values() option.Values { return s.values }

// Parse reads a job file. All problems come at once; with problems the Spec is
// nil. References to the environment and to files are resolved by r.
func Parse(file string, text []byte, sys Systems, r option.Resolver) (*Spec, option.Problems) {
	fields, other := Fields(sys.Registry), FileFields(sys.Stores)
	v, problems := option.Parse(file, text, fields, r)
	kind := Kind(v.Text("kind"))
	if kind == KindFiles {
		fields, other = other, fields
		v, problems = option.Parse(file, text, fields, r)
	}
	problems = foreign(problems, kind, other)
	s := &Spec{
		File:     file,
		Version:  int(v.Int("version")),
		Name:     v.Text("name"),
		Kind:     kind,
		Parallel: int(v.Int("parallel")),
		values:   v,
	}
	if s.Version > Version {
		// Whatever else is wrong may be right in the newer form.
		p := v.Problem("version", fault.JobVersion, "version %d is newer than this godwit knows (%d)", s.Version, Version)
		return nil, option.Problems{p}
	}
	read := s.readTables
	if kind == KindFiles {
		read = s.readFiles
	}
	if problems = problems.Merge(append(read(v), s.unable(v, sys)...)...); len(problems) > 0 {
		return nil, problems
	}
	return s, nil
}

// readTables reads the keys of a table job and checks what lies across keys.
func (s *Spec) readTables(v option.Values) (ps option.Problems) {
	s.Source = endpoint(v.Object("source"))
	s.Tables = connector.Selector{Patterns: v.List("tables")}
	s.Mode, s.Chunk = Mode(v.Text("mode")), v.Int("chunk_size")
	ps = append(s.readPlaces(v), s.readSinks(v)...)
	if v.Given("tables") && len(s.Tables.Patterns) > 0 && !choosesAny(s.Tables) {
		ps = append(ps, v.Problem("tables", fault.JobValue, "every pattern leaves out; expected at least one without \"!\""))
	}
	return ps
}

func endpoint(v option.Values) Endpoint {
	name := v.Chosen()
	if name == "" {
		return Endpoint{}
	}
	return Endpoint{Driver: name, Values: v.Object(name)}
}

func choosesAny(sel connector.Selector) bool {
	for _, p := range sel.Patterns {
		if p[:min(1, len(p))] != "!" {
			return true
		}
	}
	return false
}

// readPlaces reads start and until, and checks that they fit the mode.
func (s *Spec) readPlaces(v option.Values) (ps option.Problems) {
	if v.Given("until") && v.Text("until") != "" {
		u, err := parseUntil(v.Text("until"))
		if err == nil && s.Mode == Snapshot {
			err = errors.New("mode snapshot ends by itself; leave until out")
		}
		if err != nil {
			ps = append(ps, v.Problem("until", fault.JobValue, "%v", err))
		}
		s.Until = u
	}
	switch {
	case s.Mode == Changes:
		start, err := parseStart(v.Text("start"))
		if err != nil {
			ps = append(ps, v.Problem("start", fault.JobValue, "%v", err))
		}
		s.Start = start
	case v.Given("start"):
		ps = append(ps, v.Problem("start", fault.JobValue, "only mode changes has a start; a snapshot begins by itself"))
	}
	return ps
}

func (s *Spec) readSinks(v option.Values) (ps option.Problems) {
	lines := map[string]int{}
	for _, o := range v.Objects("sinks") {
		name := o.Text("name")
		if line, twice := lines[name]; twice && name != "" {
			ps = append(ps, o.Problem("name", fault.JobValue, "another sink (line %d) has the name %q", line, name))
		}
		lines[name] = o.Place("name").Line
		rules := append(route.Rules(v.Objects("rules")), route.Rules(o.Objects("rules"))...)
		s.Sinks = append(s.Sinks, Sink{Name: name, Endpoint: endpoint(o), Rules: rules, RulesSum: rulesSum(v.Objects("rules"), o.Objects("rules")),
			OnError: OnError{ErrorMode(o.Text("on_error")), int(o.Int("attempts"))}})
	}
	return ps
}

// unable tells of sinks that are to put rows aside and cannot.
func (s *Spec) unable(v option.Values, sys Systems) (ps option.Problems) {
	for i, sink := range s.Sinks {
		if d, known := sys.Sink(sink.Driver); known && !d.Discards && sink.OnError.Mode == DiscardAfter {
			ps = append(ps, v.Objects("sinks")[i].Problem("on_error", fault.JobValue, "a sink of the kind %s cannot put rows aside", sink.Driver))
		}
	}
	return ps
}

// clock matches texts that are meant as a time, to tell them from places.
var clock = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}[ Tt]\d`)

// parseTime reads RFC 3339, also with a blank for the T and before the zone.
func parseTime(text string) (time.Time, error) {
	for _, form := range []string{time.RFC3339, "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05 Z07:00", "2006-01-02T15:04Z07:00"} {
		if t, err := time.Parse(form, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, errors.New("expected a time with its zone, such as 2026-11-21T14:00:00Z or 2026-11-21T14:00:00+01:00")
}

func parseUntil(text string) (Until, error) {
	if text == "head" {
		return Until{Head: true}, nil
	}
	t, err := parseTime(text)
	if err != nil {
		return Until{}, fmt.Errorf("expected head, or %s", err.Error()[len("expected "):])
	}
	return Until{Time: t}, nil
}

func parseStart(text string) (Start, error) {
	switch {
	case text == "" || text == "head":
		return Start{Head: true}, nil
	case clock.MatchString(text):
		t, err := parseTime(text)
		return Start{Time: t}, err
	case len(text) > 1024:
		return Start{}, errors.New("expected head, a time, or a place of at most 1024 characters")
	}
	return Start{Place: text}, nil
}
