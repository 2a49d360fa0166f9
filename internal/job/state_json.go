package job

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"godwit/internal/fault"
)

// StateVersion is the version of State's JSON form (docs/formats/job-state.md).
const StateVersion = 1

var (
	statusNames = []string{"", "unassigned", "preparing", "running", "retrying", "stopping", "paused", "stopped", "failed", "finished"}
	kindNames   = []string{"", "copy", "stream", "planning", "resync"}
)

// String returns the status as a word.
func (s Status) String() string { return statusNames[s] }

// MarshalText returns the status as a word.
func (s Status) MarshalText() ([]byte, error) { return []byte(statusNames[s]), nil }

// UnmarshalText reads what MarshalText wrote.
func (s *Status) UnmarshalText(text []byte) error { return named(s, statusNames, text) }

// String returns the kind as a word.
func (k TaskKind) String() string { return kindNames[k] }

// MarshalText returns the kind as a word.
func (k TaskKind) MarshalText() ([]byte, error) { return []byte(kindNames[k]), nil }

// UnmarshalText reads what MarshalText wrote.
func (k *TaskKind) UnmarshalText(text []byte) error { return named(k, kindNames, text) }

// named sets v to the number of a name, the first of which is none.
func named[T ~uint8](v *T, names []string, text []byte) error {
	n := slices.Index(names, string(text))
	if n < 1 {
		return fmt.Errorf("%.40q is none of %q", text, names[1:])
	}
	*v = T(n)
	return nil
}

// plainState is State without its methods.
type plainState State

type versioned struct {
	Version int `json:"version"`
	*plainState
}

// MarshalJSON writes the state with the version of its form.
func (s State) MarshalJSON() ([]byte, error) {
	return json.Marshal(versioned{StateVersion, (*plainState)(&s)})
}

// UnmarshalJSON reads a state that this version or an older one wrote. It gives
// fault.FormatNewer for one of a newer version and fault.StateBroken for what is
// no state.
func (s *State) UnmarshalJSON(b []byte) error {
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return broken(err)
	}
	if head.Version > StateVersion {
		return fault.New(fault.FormatNewer, "the state of the job has version %d, this program knows %d", head.Version, StateVersion).
			Try("use the newer godwit")
	}
	var read State
	if err := json.Unmarshal(b, &versioned{plainState: (*plainState)(&read)}); err != nil {
		return broken(err)
	}
	if head.Version < 1 {
		return broken(errors.New("it has no version"))
	}
	if err := read.sound(); err != nil {
		return broken(err)
	}
	*s = read
	return nil
}

func broken(cause error) error {
	return fault.New(fault.StateBroken, "the state of the job cannot be read").By(cause).
		Try("delete it: the job begins again and finds in the sinks how far it was")
}

// sound checks what Step relies on.
func (s *State) sound() error {
	if len(s.Tasks) == 0 || s.Tasks[0].ID != PlanID || s.Tasks[0].Kind != Planning {
		return errors.New("the first task does not plan")
	}
	seen := map[string]bool{}
	for _, t := range s.Tasks {
		if seen[t.ID] || t.Status == 0 || t.Kind == 0 {
			return fmt.Errorf("task %.80q is there twice or not whole", t.ID)
		}
		if seen[t.ID] = true; t.Kind == Resync && s.table(t.Table) == nil {
			return fmt.Errorf("task %.80q is for an unknown table", t.ID)
		}
	}
	if !slices.IsSortedFunc(s.Tables, func(a, b TableState) int { return strings.Compare(a.Name, b.Name) }) {
		return errors.New("tables are not in order")
	}
	switch s.Desired {
	case WantRunning, WantPaused, WantStopped:
		return nil
	}
	return fmt.Errorf("%.40q is not to be desired", s.Desired)
}
