package alarm

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"godwit/internal/api"
	"godwit/internal/fault"
)

// An alarm is stored as the API shows it, to which fields are only ever added. tried is
// in milliseconds since 1970, 0: never.
const schema = `
CREATE TABLE IF NOT EXISTS alarm (
	id TEXT PRIMARY KEY, job TEXT NOT NULL, alarm TEXT NOT NULL, knows INTEGER NOT NULL, tried INTEGER NOT NULL
) STRICT`

// knowledge is what the webhook knows of an alarm. Its numbers are stored.
type knowledge int

const (
	knowsNothing knowledge = 0
	knowsRaised  knowledge = 1
	knowsAll     knowledge = 2 // that it is resolved, or it was given up to say so
)

// writeTime bounds how long whoever raises an alarm waits for the disk.
const writeTime = 5 * time.Second

func broken(cause error) error {
	return fault.New(fault.StateBroken, "the server's alarms cannot be read or written").By(cause)
}

// load reads what is stored. An alarm that cannot be read is left out: that would be no
// reason to let no job run.
func (b *Board) load() error {
	if _, err := b.db.Exec(schema); err != nil {
		return broken(err)
	}
	rows, err := b.db.Query("SELECT id, alarm, knows, tried FROM alarm")
	if err != nil {
		return broken(err)
	}
	defer rows.Close()
	for rows.Next() {
		var e entry
		var id string
		var text []byte
		var tried int64
		if err := rows.Scan(&id, &text, &e.knows, &tried); err != nil {
			return broken(err)
		}
		if err := json.Unmarshal(text, &e.Alarm); err != nil || e.ID != id {
			b.o.Log.Error("a stored alarm cannot be read and is left out", "alarm", id, "error", err)
			continue
		}
		if tried != 0 {
			e.tried = time.UnixMilli(tried).UTC()
		}
		b.take(&e)
	}
	if err := rows.Err(); err != nil {
		return broken(err)
	}
	slices.SortFunc(b.resolved, func(x, y *entry) int { return x.Resolved.Compare(y.Resolved) })
	return nil
}

// take puts an alarm that was stored in its place.
func (b *Board) take(e *entry) {
	if !e.Resolved.IsZero() {
		b.resolved = append(b.resolved, e)
		return
	}
	b.holding[key{e.Job, e.Kind, e.On}] = e
	b.counts[e.Job]++
}

// save stores an alarm, unless it is forgotten; b.changing is held. When the disk
// refuses, the alarm is as it should be in memory, and its next change tries again.
func (b *Board) save(e *entry) {
	if e.gone {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), writeTime)
	defer cancel()
	if err := b.store(ctx, e.Alarm, e.knows, e.tried); err != nil {
		b.o.Log.Error("an alarm cannot be stored", "alarm", e.ID, "job", e.Job, "kind", e.Kind, "error", err)
	}
}

func (b *Board) store(ctx context.Context, a api.Alarm, knows knowledge, tried time.Time) error {
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	var ms int64
	if !tried.IsZero() {
		ms = tried.UnixMilli()
	}
	_, err = b.db.ExecContext(ctx, "INSERT OR REPLACE INTO alarm (id, job, alarm, knows, tried) VALUES (?, ?, ?, ?, ?)", a.ID, a.Job, string(text), int(knows), ms)
	return err
}

// erase removes the alarms of an id or a job from the disk.
func (b *Board) erase(column, value string) {
	ctx, cancel := context.WithTimeout(context.Background(), writeTime)
	defer cancel()
	if _, err := b.db.ExecContext(ctx, "DELETE FROM alarm WHERE "+column+" = ?", value); err != nil {
		b.o.Log.Error("alarms cannot be removed from disk", column, value, "error", err)
	}
}

// sweep drops what was resolved long ago, or is too much; b.changing is held.
func (b *Board) sweep() {
	for _, id := range b.swept() {
		b.erase("id", id)
	}
}

func (b *Board) swept() (ids []string) {
	now := b.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for n < len(b.resolved) && (len(b.resolved)-n > mostResolved || now.Sub(b.resolved[n].Resolved) > keptFor) {
		b.resolved[n].gone = true
		ids = append(ids, b.resolved[n].ID)
		n++
	}
	b.resolved = slices.Delete(b.resolved, 0, n)
	return ids
}
