package files

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/row"
)

// What the append layout does with a change that takes a row's place or takes it away.
const (
	appendRow = "append" // the row is written like a new one
	dropRow   = "drop"   // it is left out and counted
	failRow   = "fail"   // the sink stops
)

// appending says how rows are appended; the zero value is for the changelog.
type appending struct {
	Meta     bool // the changelog's columns are there too
	OnUpdate string
	OnDelete string
}

// left counts changes that were left out of files, as a job file asks for. A record
// has the sums since the shard began.
type left struct {
	Updates   int64 `json:"updates,omitempty"`
	Deletes   int64 `json:"deletes,omitempty"`
	Truncates int64 `json:"truncates,omitempty"` // each stands for any number of rows
}

func (l left) plus(o left) left {
	return left{l.Updates + o.Updates, l.Deletes + o.Deletes, l.Truncates + o.Truncates}
}

func (l left) sum() int64 { return l.Updates + l.Deletes + l.Truncates }

// String says it in words; empty: nothing.
func (l left) String() string {
	var out []string
	for _, of := range []struct {
		n    int64
		what string
	}{{l.Updates, "updates"}, {l.Deletes, "deletes"}, {l.Truncates, "truncates"}} {
		if of.n > 0 {
			out = append(out, fmt.Sprintf("%d %s", of.n, of.what))
		}
	}
	return strings.Join(out, ", ")
}

// LeftOut implements connector.Omitter.
func (s *sink) LeftOut(ctx context.Context, sh connector.Shard) (string, error) {
	if s.mine.Layout != layoutAppend {
		return "", nil
	}
	r, _, err := s.shard(sh.Task).latest(ctx)
	if err != nil || r == nil {
		return "", err
	}
	return r.Left.String(), nil
}

// appended returns the rows of b that are written, and counts the others.
func (w *writer) appended(b *row.Batch) (*row.Batch, error) {
	var refused error
	out := b.Select(func(s *row.Section, i int) bool {
		keep, err := w.appends(b, s, i)
		if err != nil && refused == nil {
			refused = err
		}
		return keep
	})
	return out, refused
}

func (w *writer) appends(b *row.Batch, s *row.Section, i int) (bool, error) {
	how, count := appendRow, (*int64)(nil)
	switch b.Op(i) {
	case row.Before:
		return false, nil // the update behind it counts
	case row.Update:
		how, count = w.sink.append.OnUpdate, &w.left.Updates
	case row.Delete:
		how, count = w.sink.append.OnDelete, &w.left.Deletes
	case row.Truncate:
		if row.Counter(b.Order(i)) >= row.ChunkCounter(1, 0, 0) {
			return false, nil // a generation begins: its files have a folder of their own
		}
		how, count = w.sink.append.OnDelete, &w.left.Truncates
		if how == appendRow {
			how = dropRow // it has no row to be written
		}
	}
	switch how {
	case dropRow:
		*count++
		return false, nil
	case failRow:
		return false, fault.New(fault.RowRefused, "a row of %s was changed or deleted in the source, and the target takes new rows only", s.Table.Name).
			Try("set on_update or on_delete of the sink to `append` or `drop`")
	}
	return true, w.wholeRow(b, s, i)
}

// wholeRow refuses a row of which the log has only a part: nothing in the files could
// tell what is missing.
func (w *writer) wholeRow(b *row.Batch, s *row.Section, i int) error {
	if w.sink.append.Meta {
		return nil // _absent tells
	}
	_, flags := b.Cells(s, i)
	at := slices.Index(flags, row.Absent)
	if at < 0 {
		return nil
	}
	return fault.New(fault.RowRefused, "a change of %s has no value for %s in the log, and a row must be appended whole", s.Table.Name, s.Table.Columns[at].Name).
		Try("set binlog_row_image=FULL on the source, or `on_update: drop` or `meta: true` of the sink")
}
