package mysql

import (
	"context"
	"fmt"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

const (
	// batchBytes is the payload at which a batch of rows is handed on: small
	// enough that many fit the memory budget, large enough that handing on costs
	// nothing.
	batchBytes = 384 << 10
	// largeRow is from when on a row gets a batch and a share of memory of its own.
	largeRow = 256 << 10
)

// chunkReader turns the rows of one chunk into batches.
type chunkReader struct {
	s       *source
	in      *packetReader
	parser  *rowParser
	x       *row.Builder
	prefix  string
	next    uint64 // counter of the next row
	last    uint64 // the last counter there may be
	taken   int64  // of the budget, for the batch being built
	guess   int64  // memory of the next batch
	open    bool   // a batch is being built
	where   string
	emitted error // of emit, or of waiting for memory: returned unchanged
}

func newChunkReader(s *source, t *row.Table, snap *snapshot, split connector.Split) *chunkReader {
	first, last := row.ChunkCounter(split.Generation, split.Chunk, 1), row.ChunkCounter(split.Generation, split.Chunk, row.MaxOrdinal)
	return &chunkReader{
		s: s, in: snap.c.packets(), parser: newRowParser(t), x: row.NewBuilder(&s.pool),
		prefix: snap.place.prefix(0), next: first, last: last,
		guess: 2 * batchBytes, where: split.ID,
	}
}

// run reads rows until the end of the result.
func (r *chunkReader) run(ctx context.Context, emit func(*row.Batch) error) error {
	for {
		msg, err := r.in.next()
		switch {
		case err != nil:
			return short(err)
		case isEnd(msg):
			return r.flush(emit)
		case isError(msg):
			return readError(msg)
		}
		if len(msg) >= largeRow {
			if err := r.flush(emit); err != nil {
				return err
			}
			// The row lies in the reader's buffer and again in the batch, whose
			// memory grows by doubling.
			r.guess = 3*int64(len(msg)) + batchBytes
		}
		if !r.open {
			if err := r.begin(ctx); err != nil {
				return err
			}
		}
		if err := r.parser.row(r.x, msg); err != nil {
			return fault.New(fault.SourceProtocol, "a row cannot be understood").At("%s", r.where).By(err)
		}
		if r.next++; r.next > r.last {
			return fault.New(fault.SourceProtocol, "a chunk has more than %d rows", int64(row.MaxOrdinal)).At("%s", r.where)
		}
		if r.x.Size() >= batchBytes {
			if err := r.flush(emit); err != nil {
				return err
			}
		}
	}
}

// begin waits for memory and starts a batch.
func (r *chunkReader) begin(ctx context.Context) error {
	if b := r.s.env.Budget; b != nil {
		if err := b.Take(ctx, r.guess); err != nil {
			r.emitted = err
			return errEmit
		}
		r.taken = r.guess
	}
	r.x.At(r.prefix, r.next, row.Txn{})
	r.open = true
	return nil
}

// flush hands the batch on, with what it really takes on the budget.
func (r *chunkReader) flush(emit func(*row.Batch) error) error {
	if !r.open {
		return nil
	}
	r.open = false
	b := r.x.Finish(position.Position{}, 0)
	size := int64(b.Bytes())
	if budget := r.s.env.Budget; budget != nil {
		budget.Add(size - r.taken)
		r.taken = 0
	}
	r.guess = min(size, 4*batchBytes)
	if err := emit(b); err != nil {
		r.emitted = err
		return fmt.Errorf("%w: %w", errEmit, err)
	}
	return nil
}

// giveBack returns what was taken for a batch that was not finished.
func (r *chunkReader) giveBack() {
	if b := r.s.env.Budget; b != nil && r.taken > 0 {
		b.Give(r.taken)
		r.taken = 0
	}
}
