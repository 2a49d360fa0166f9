package table

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"godwit/internal/connector"
	"godwit/internal/engine"
	"godwit/internal/fault"
	"godwit/internal/flow"
	"godwit/internal/job"
	"godwit/internal/position"
	"godwit/internal/route"
	"godwit/internal/row"
	"godwit/internal/watch"
)

var _ engine.Tables = Engine{}

// previewChunks is how many chunks are looked into for rows: the first ones may be empty.
const previewChunks = 16

// Preview shows the first rows of tables, and what each sink would get of them.
func (e Engine) Preview(ctx context.Context, s *job.Spec, o engine.Options, p engine.Preview) (r watch.PreviewReport, err error) {
	opened, err := e.connect(ctx, s, o)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, opened.close()) }()
	tables, _, err := opened.source.Discover(ctx, s.Tables)
	if err != nil {
		return r, err
	}
	for _, t := range tables {
		switch {
		case len(p.Tables) > 0 && !(connector.Selector{Patterns: p.Tables}).Match(t.Name):
		case len(r.Tables) == p.Most:
			r.More++
		default:
			shown, err := opened.previewTable(ctx, t, p.Rows)
			if err != nil {
				return r, err
			}
			r.Tables = append(r.Tables, shown)
		}
	}
	if len(r.Tables) == 0 {
		return r, fault.New(fault.NoTables, "no table of the job matches %s", strings.Join(append(s.Tables.Patterns, p.Tables...), " ")).
			Try("what is named must be chosen by `tables` of the job too; patterns are database.table, as in shop.*")
	}
	return r, nil
}

// errEnough ends a read that has shown what it is to show.
var errEnough = errors.New("enough rows")

// previewTable reads the first rows of t.
func (o *opened) previewTable(ctx context.Context, t *row.Table, rows int) (watch.PreviewTable, error) {
	out := watch.PreviewTable{Table: t.Name.String(), Columns: columnTexts(t), Rows: []watch.PreviewRow{}}
	var sessions []*previewSink
	for _, s := range o.flow.Sinks {
		p, err := newPreviewSink(s, t)
		if err != nil {
			return out, err
		}
		sessions = append(sessions, p)
	}
	splits, err := o.source.Splits(ctx, connector.Request{Table: t, Generation: 1, ChunkBytes: o.spec.Chunk})
	if err != nil {
		return out, err
	}
	for i, s := range splits[:min(len(splits), previewChunks)] {
		split := connector.Split{ID: fmt.Sprint("preview.", i), Bounded: true, Tables: []*row.Table{t}, Generation: 1, Chunk: uint32(i), Range: s.Range} //nolint:gosec // few
		err := o.source.Read(ctx, split, position.Position{}, func(b *row.Batch) error {
			defer b.Release()
			return previewBatch(b, &out, sessions, rows)
		})
		if errors.Is(err, errEnough) {
			break
		}
		if err != nil {
			return out, err
		}
	}
	for _, s := range sessions {
		out.Sinks = append(out.Sinks, s.shown)
	}
	return out, nil
}

// previewBatch shows rows of b until there are enough.
func previewBatch(b *row.Batch, out *watch.PreviewTable, sinks []*previewSink, most int) error {
	for k := range b.Sections() {
		s := &b.Sections()[k]
		for i := s.Row; i < s.Row+s.Rows; i++ {
			if len(out.Rows) == most {
				return errEnough
			}
			out.Rows = append(out.Rows, cellTexts(b, s, i))
			one := b.Only(s.Part(i, i+1))
			for _, p := range sinks {
				if err := p.show(one, len(out.Rows)-1); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// previewSink is one sink's view of a table.
type previewSink struct {
	route *route.Session
	shown watch.PreviewSink
}

func newPreviewSink(s *flow.Sink, t *row.Table) (*previewSink, error) {
	p := &previewSink{route: s.Route.Open(), shown: watch.PreviewSink{Sink: s.Name, Columns: []string{}, Rows: []watch.PreviewRow{}, Refused: map[int]string{}}}
	to, err := s.Route.Table(t)
	if err != nil {
		return nil, err
	}
	if to != nil {
		p.shown.Table, p.shown.Columns = to.Name.String(), columnTexts(to)
	}
	return p, nil
}

// show adds what the sink gets of one row.
func (p *previewSink) show(b *row.Batch, index int) error {
	routed, err := p.route.Batch(b, func(_ *row.Section, _ int, why *fault.Error) error {
		p.shown.Refused[index] = why.What
		return nil
	})
	if err != nil {
		return err
	}
	defer routed.Release()
	var cells watch.PreviewRow
	if routed.Rows() > 0 {
		s := &routed.Sections()[0]
		cells = cellTexts(routed, s, s.Row)
	}
	p.shown.Rows = append(p.shown.Rows, cells)
	return nil
}

func columnTexts(t *row.Table) []string {
	out := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		out[i] = c.Name + " " + c.Type.Native
	}
	return out
}

// maxCellText bounds what is shown of a cell, in bytes.
const maxCellText = 200

func cellTexts(b *row.Batch, s *row.Section, i int) watch.PreviewRow {
	words, flags := b.Cells(s, i)
	out := make(watch.PreviewRow, len(words))
	for k, c := range s.Table.Columns {
		if flags[k] != row.Value {
			continue
		}
		text := shortText(string(row.AppendText(nil, b, c.Type, words[k])))
		out[k] = &text
	}
	return out
}

// shortText is the beginning of a text that is too long to be shown.
func shortText(text string) string {
	if len(text) <= maxCellText {
		return text
	}
	return strings.ToValidUTF8(text[:maxCellText], "") + "…"
}
