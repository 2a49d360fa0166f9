package flow

import (
	"strings"

	"godwit/internal/fault"
	"godwit/internal/position"
)

// keyRules tells by which rules the sink has been written: the version of the checksum of
// rules, a colon, and the checksum. A target has no form but that of its rows, and who runs a job
// elsewhere, or without its state folder, knows of no edit otherwise.
const (
	keyRules     = "rules"
	rulesVersion = "1:"
)

// keepRules writes the rules of the sink into its Set.
func (s *SinkState) keepRules(set position.Set) {
	if s.Number == 0 && s.Sink.Rules != "" {
		set[keyRules] = position.Note(rulesVersion + s.Sink.Rules)
	}
}

// loadRules reads what keepRules wrote. Older programs wrote nothing: their rules are those
// of whoever goes on.
func (s *SinkState) loadRules(set position.Set) error {
	s.rules = ""
	note, kept := set[keyRules]
	if !kept {
		return nil
	}
	sum, known := strings.CutPrefix(note.Token(), rulesVersion)
	if !known {
		return fault.New(fault.FormatNewer, "the rules of a target are kept as %q, this program knows %q", note.Token(), rulesVersion+"…")
	}
	s.rules = sum
	return nil
}

// Ruled reports whether all that the sink holds was written by the rules that it has now;
// true where nobody knows.
func (s *SinkState) Ruled() bool { return s.rules == "" || s.rules == s.Sink.Rules }
