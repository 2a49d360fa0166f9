package service

import (
	"database/sql"
	"encoding/json"
	"time"

	"godwit/internal/job"
)

// command is a job.Event that somebody asked for, as it is kept until a state that
// it has gone into is (docs/formats/server.md).
type command struct {
	seq      int64
	Do       string    `json:"do"`
	At       time.Time `json:"at"`
	By       string    `json:"by,omitempty"`
	Why      string    `json:"why,omitempty"`
	Tables   []string  `json:"tables,omitempty"`
	Tasks    []string  `json:"tasks,omitempty"`
	Version  int64     `json:"version,omitempty"` // of an edit
	Parallel int       `json:"parallel,omitempty"`
	Changes  []effect  `json:"changes,omitempty"`
}

// effect is a job.Change as it is kept.
type effect struct {
	Field string          `json:"field"`
	Does  job.Consequence `json:"does"`
}

// What can be asked of a job that lives.
const (
	doPause  = "pause"
	doResume = "resume"
	doRetry  = "retry"
	doResync = "resync"
	doStop   = "stop"
	doStart  = "start" // never a command: a new life begins
	doEdit   = "edit"
)

var kinds = map[string]job.EventKind{
	doPause: job.PauseAsked, doResume: job.ResumeAsked, doRetry: job.RetryAsked, doResync: job.ResyncAsked, doStop: job.StopAsked, doEdit: job.EditAsked,
}

// event is the command as job.Step takes it.
func (c command) event(now time.Time) job.Event {
	e := job.Event{Kind: kinds[c.Do], Now: now, By: c.By, Why: c.Why, Tables: c.Tables, Only: c.Tasks, Spec: uint64(c.Version), Parallel: c.Parallel}
	for _, x := range c.Changes {
		e.Changed = append(e.Changed, job.Change{Field: x.Field, Consequence: x.Does})
	}
	return e
}

// putCommand keeps a command and gives it its number.
func putCommand(tx *sql.Tx, name string, c *command) error {
	done, err := tx.Exec("INSERT INTO command (job, command) VALUES (?, ?)", name, jsonText(c))
	if err != nil {
		return err
	}
	c.seq, err = done.LastInsertId()
	return err
}

// commands reads the commands of a job that its state may not have, in order.
func (f *folder) commands(name string) ([]command, error) {
	found, err := f.firm.Query("SELECT seq, command FROM command WHERE job = ? ORDER BY seq", name)
	if err != nil {
		return nil, f.broken(err)
	}
	defer found.Close()
	var out []command
	for found.Next() {
		var c command
		var text string
		if err := found.Scan(&c.seq, &text); err != nil {
			return nil, f.broken(err)
		}
		if err := json.Unmarshal([]byte(text), &c); err != nil {
			return nil, f.broken(err)
		}
		out = append(out, c)
	}
	return out, f.check(found.Err())
}
