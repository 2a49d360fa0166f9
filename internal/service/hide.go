package service

import (
	"errors"
	"slices"

	"godwit/internal/fault"
	"godwit/internal/job"
)

// hidden is an error as it may be shown: what systems say in it may have repeated a
// secret.
func hidden(err error, hide func(string) string) error {
	if err == nil {
		return nil
	}
	f := *fault.Of(err)
	f.What, f.Where, f.Hint = hide(f.What), hide(f.Where), hide(f.Hint)
	if f.Cause != nil {
		f.Cause = errors.New(hide(f.Cause.Error()))
	}
	return &f
}

// hideState hides secrets in the failures of a state; what the engine has of it stays
// as it is.
func hideState(s *job.State, hide func(string) string) {
	cloned := false
	for i := range s.Tasks {
		f := s.Tasks[i].Failure
		if f == nil {
			continue
		}
		if !cloned {
			s.Tasks, cloned = slices.Clone(s.Tasks), true
		}
		s.Tasks[i].Failure = job.FailureOf(hidden(f.Err(), hide))
	}
}
