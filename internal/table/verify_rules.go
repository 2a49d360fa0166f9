package table

import (
	"context"

	"godwit/internal/connector"
	"godwit/internal/position"
	"godwit/internal/route"
	"godwit/internal/row"
)

// ruled is the source of one table as the rules of a sink let its rows through.
type ruled struct {
	connector.Source
	router   *route.Router
	from, to *row.Table
}

// Splits implements connector.Source, for the table as the sink has it.
func (r *ruled) Splits(ctx context.Context, q connector.Request) ([]connector.Split, error) {
	q.Table = r.from
	return r.Source.Splits(ctx, q)
}

// Read implements connector.Source.
func (r *ruled) Read(ctx context.Context, split connector.Split, from position.Position, emit func(*row.Batch) error) error {
	return r.Source.Read(ctx, split, from, through(r.router, emit))
}

// looked is a ruled one that can be looked at again. It looks up no single rows, as keys
// may have other names or be others in the target: whoever wants some gets them all.
type looked struct {
	*ruled
	looker connector.Looker
}

// Look implements connector.Looker.
func (l *looked) Look(ctx context.Context, _ *row.Table, _ *row.Batch, emit func(*row.Batch) error) error {
	return l.looker.Look(ctx, l.from, nil, through(l.router, emit))
}

// through returns a function that gives batches to emit as rules let them through.
func through(router *route.Router, emit func(*row.Batch) error) func(*row.Batch) error {
	session := router.Open()
	return func(b *row.Batch) error {
		defer b.Release()
		out, err := session.Batch(b, nil)
		if err != nil {
			return err
		}
		return emit(out)
	}
}
