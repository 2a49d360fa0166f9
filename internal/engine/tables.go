package engine

import (
	"godwit/internal/fault"
	"godwit/internal/job"
)

// Allowed refuses a command for tables that would have more of them stand apart than
// may: each reads the log over a connection of its own. s is the state that the command
// is for, which has heard of all commands before it.
func Allowed(s job.State, command job.Event) error {
	if command.Kind != job.PauseAsked && command.Kind != job.ResyncAsked {
		return nil
	}
	apart := s.Apart()
	for _, table := range command.Tables {
		if apart[table] == job.Together {
			apart[table] = job.ApartPaused
		}
	}
	if len(apart) <= job.MostApart {
		return nil
	}
	return fault.New(fault.NotNow, "%d tables would stand apart, and %d may: they are paused, read again, added, or catch up", len(apart), job.MostApart).
		Try("pause or resync fewer tables at once, or the whole job")
}
