package service

import (
	"context"
	"maps"
	"slices"
	"strings"

	"godwit/internal/api"
	"godwit/internal/job"
	"godwit/internal/watch"
)

// Tables lists a table job's tables, by name.
func (s *Service) Tables(_ context.Context, name string, q api.ListTablesParams) (api.TablePage, error) {
	page := api.TablePage{Items: []api.Table{}}
	j, err := s.job(name)
	if err != nil {
		return page, err
	}
	var found []api.Table
	for _, t := range j.tables() {
		if strings.Contains(strings.ToLower(t.Name), strings.ToLower(q.Q)) && (len(q.Status) == 0 || slices.Contains(q.Status, t.Standing.Status)) {
			found = append(found, t)
		}
	}
	page.Total = len(found)
	items, next, err := paged(found, "tables", q.After, q.Limit)
	page.Items, page.Next = append(page.Items, items...), next
	return page, err
}

// tables puts together what the state, and what the life measures, know of tables.
func (j *living) tables() []api.Table {
	j.mu.Lock()
	s, l, whole := j.state, j.life, j.standing()
	j.mu.Unlock()
	known := map[string]*api.Table{}
	table := func(name string) *api.Table {
		if known[name] == nil {
			known[name] = &api.Table{Name: name, Standing: api.Standing{Status: whole.Status, Since: whole.Since}, Rows: -1, Bytes: -1}
		}
		return known[name]
	}
	if l != nil {
		if w, ok := l.record.(*watch.Job); ok {
			for _, m := range w.Marks() {
				table(m.Table).Mark = m.Reason
			}
			for _, t := range w.Tables() {
				measured(table(t.Name), t, whole)
			}
		}
	}
	own := map[string]bool{}
	for i := range s.Tasks {
		if t := &s.Tasks[i]; t.Table != "" {
			standTable(table(t.Table), &s, t, own[t.Table])
			own[t.Table] = true
		}
	}
	for _, t := range s.Tables {
		out := table(t.Name)
		out.Apart, out.Generation, out.Wish = string(t.Apart), int64(t.Generation), viewWish(t.Paused)
		switch { // a stream of its own is about to be planned
		case own[t.Name] && out.Standing.Status != api.StatusFinished:
		case t.Paused != nil:
			out.Standing = api.Standing{Status: api.StatusPaused, Since: t.Since}
		case t.Apart != job.Together:
			out.Standing = api.Standing{Status: api.StatusPreparing, Since: t.Since}
		}
	}
	for name := range own {
		carry(known[name], &s)
	}
	out := make([]api.Table, 0, len(known))
	for _, name := range slices.Sorted(maps.Keys(known)) {
		out = append(out, *known[name])
	}
	return out
}

// measured fills in what a life has measured of a table. One that the others carry
// waits, is copied, or goes on with them.
func measured(out *api.Table, t watch.TableState, whole api.Standing) {
	out.Rows, out.Bytes, out.Done = t.Rows, t.Bytes, t.Done
	out.Chunks, out.ChunksDone, out.RowsS = t.Chunks, t.ChunksDone, t.Rate
	out.DeadLetters = t.Buried
	switch {
	case whole.Status != api.StatusRunning:
	case t.Active:
		out.Standing.Status = api.StatusRunning
	case !t.Whole:
		out.Standing.Status = api.StatusUnassigned
	}
}

// carry lets a table whose own tasks are done stand as the stream does that goes on with it.
func carry(out *api.Table, s *job.State) {
	status, reason := s.StreamStatus()
	if out.Standing.Status != api.StatusFinished || out.Apart != string(job.Together) || status == job.Unassigned || status == job.Finished {
		return
	}
	out.Standing = api.Standing{Status: api.Status(status.String()), Since: out.Standing.Since, Reason: reason}
	for i := range s.Tasks {
		if t := &s.Tasks[i]; t.Kind == job.Stream && t.Table == "" && t.Since.After(out.Standing.Since) {
			out.Standing.Since = t.Since
		}
	}
}

// standTable lets a table stand as its own tasks do; again: another one of them was
// seen before.
func standTable(out *api.Table, s *job.State, t *job.TaskState, again bool) {
	if !again {
		status, reason := s.TableStatus(t.Table)
		out.Standing = api.Standing{Status: api.Status(status.String()), Since: t.Since, Reason: reason}
	}
	st := &out.Standing
	if t.Since.After(st.Since) {
		st.Since = t.Since
	}
	st.Attempt, st.Fruitless = max(st.Attempt, int64(t.Attempt)), max(st.Fruitless, t.Fruitless)
	if t.Failure != nil && st.Error == nil {
		st.Error, st.NextRetryAt = faultOf(t.Failure), t.NotBefore
	}
}
