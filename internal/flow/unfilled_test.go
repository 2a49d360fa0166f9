package flow

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"godwit/internal/connector"
	"godwit/internal/position"
	"godwit/internal/row"
)

// altering is a source whose log has one change and no rows.
type altering struct {
	*logSource
	at     int
	change row.SchemaChange // but for its tables
}

func (s altering) Read(ctx context.Context, split connector.Split, from position.Position, emit func(*row.Batch) error) error {
	if split.ID != connector.StreamSplit {
		return s.logSource.Read(ctx, split, from, emit)
	}
	for n := countOf(from); n < countOf(split.Until.Place); n++ {
		b := row.Mark(placeAfter(n+1), int64(n))
		if n == s.at {
			c := s.change
			c.Kind, c.Before = row.Alter, split.Tables[0]
			after := *c.Before
			after.Version++
			after.Columns = append(after.Columns[:len(after.Columns):len(after.Columns)], row.Column{Name: "more", Type: row.Type{Kind: row.Int}})
			c.After = &after
			b = row.Barrier(&c, prefixOf(uint64(10*n), 1)+strings.Repeat("\x00", 8), placeAfter(n+1), int64(n))
		}
		if err := emit(b); err != nil {
			return err
		}
	}
	return nil
}

// streamed runs a job over an altering source and returns the table that was altered, and
// what was healable.
func (s altering) streamed(t *testing.T, j *Job, snapshot bool) (*row.Table, []string) {
	t.Helper()
	j.Source = s
	claim := connector.Claim{Run: 1}
	states, err := j.Find(t.Context())
	if err == nil {
		err = j.Begin(t.Context(), states, Beginning{Snapshot: snapshot}, claim)
	}
	for _, n := range states[0].Numbers() {
		tasks, e := j.PlanTable(t.Context(), n, states)
		if err = e; err != nil {
			break
		}
		for _, task := range tasks {
			if err == nil {
				err = j.RunChunks(t.Context(), task, claim)
			}
		}
	}
	var told []string
	if err == nil {
		err = j.Stream(t.Context(), &StreamTask{Sinks: states, Until: connector.Until{Place: placeAfter(60)}, Healable: func(tables []string) { told = tables }}, claim)
	}
	if err == nil {
		states, err = j.Find(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return states[0].Shapes.tables[0], told
}

// A table whose rows a change leaves otherwise than the log tells is marked there, under the
// shape that the target has, and heals.
func TestStream_when_a_change_leaves_rows_that_nobody_can_tell(t *testing.T) {
	src := newLogSource(1, 60)
	change := row.SchemaChange{Unfilled: "column more is generated"}
	got, told := altering{src, 58, change}.streamed(t, newJob(src, newRowSink()), true)
	if !got.Heals || got.Stopped != "resync needed: column more is generated" || got.Column("more") >= 0 || len(told) != 1 || told[0] != got.Name.String() {
		t.Errorf("%+v, healable are %v", got, told)
	}
}

// Without copies there is nothing to mark it for: the job says so once and goes on.
func TestStream_when_a_job_without_copies_cannot_tell_rows(t *testing.T) {
	src := newLogSource(1, 60)
	src.head = 0
	j := newJob(src, newRowSink())
	var log bytes.Buffer
	j.Log = slog.New(slog.NewTextHandler(&log, nil))
	got, told := altering{src, 58, row.SchemaChange{Unfilled: "column more is generated"}}.streamed(t, j, false)
	if got.Stopped != "" || got.Column("more") < 0 || len(told) > 0 || strings.Count(log.String(), "column more is generated") != 1 {
		t.Errorf("%+v, healable are %v, told is %s", got, told, log.String())
	}
}

// A default that only the change tells is right for rows that were there when it came; where
// chunks were read on both sides of it, it is not. Chunks that were all read after a change
// have what it left.
func TestStream_when_chunks_are_read_around_a_change(t *testing.T) {
	place := func(n int) string { return placeAfter(n).Order() }
	table := &row.Table{Number: 1, Key: []int{0}}
	a := &streamApplier{
		state:  &SinkState{marks: map[uint32]position.Position{1: placeAfter(20)}},
		filter: &filter{tables: map[uint32]*copied{1: {least: place(10), greatest: place(20)}}},
	}
	for _, c := range []struct {
		at                int
		unfilled, passing bool
	}{{5, false, false}, {15, true, true}, {25, true, false}} {
		unfilled := a.unfilled(&row.SchemaChange{Before: table, Unfilled: "unknown"}, place(c.at)) != ""
		passing := a.unfilled(&row.SchemaChange{Before: table, Passing: true}, place(c.at)) != ""
		if unfilled != c.unfilled || passing != c.passing {
			t.Errorf("at %d: unfilled %v, passing %v", c.at, unfilled, passing)
		}
	}
	bag := &row.Table{Number: 1}
	if a.unfilled(&row.SchemaChange{Before: bag, Unfilled: "unknown"}, place(15)) != "" {
		t.Error("a table of one chunk that was read after the change is marked")
	}
}
