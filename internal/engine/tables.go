package engine

import (
	"godwit/internal/fault"
	"godwit/internal/job"
)

// ForCopies returns a command for a table job as it can be carried out. A table
// cannot leave the stream that carries all yet, so what is asked for a table is asked
// for its copies: the stream waits for them, and no row is lost or doubled. It gives
// fault.NotNow where nothing of a table is copied, and for a table that is to be read
// again by itself. s is the state the command is for.
func ForCopies(s job.State, command job.Event) (job.Event, error) {
	switch {
	case command.Kind == job.ResyncAsked:
		return command, fault.New(fault.NotNow, "a table cannot be read again by itself yet").
			Try("read all tables again: stop the job, reset its positions, start it")
	case len(command.Tables) == 0:
		return command, nil
	case command.Kind == job.PauseAsked && s.Tasks[0].Status != job.Finished:
		return command, fault.New(fault.NotNow, "it is still being found out what there is to copy").Try("pause the table later, or the job now")
	}
	only := append([]string(nil), command.Only...)
	for _, table := range command.Tables {
		n := len(only)
		for _, t := range s.Tasks {
			if t.Kind == job.Copy && t.Table == table && t.Status != job.Finished {
				only = append(only, t.ID)
			}
		}
		if len(only) == n {
			return command, fault.New(fault.NotNow, "nothing of table %s is being copied: its changes come in the stream of all tables", table).
				Try("pause or retry the job")
		}
	}
	command.Tables, command.Only = nil, only
	return command, nil
}
