package postgres

import (
	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/row"
)

var _ connector.Rehearser = (*sink)(nil)

// rehearsal makes rows as they are sent, and sends none.
type rehearsal struct {
	sink  *sink
	known map[*row.Table]*target
	buf   []byte
	bytes int64
}

// Rehearse implements connector.Rehearser.
func (s *sink) Rehearse() connector.Rehearsal {
	return &rehearsal{sink: s, known: map[*row.Table]*target{}}
}

// Apply implements connector.Rehearsal.
func (r *rehearsal) Apply(b *row.Batch, refused func(*fault.Error)) error {
	for k := range b.Sections() {
		s := &b.Sections()[k]
		g := r.known[s.Table]
		if g == nil {
			g = r.sink.target(s.Table)
			r.known[s.Table] = g
		}
		for i := s.Row; i < s.Row+s.Rows; i++ {
			var err error
			r.buf, _, err = g.appendRow(r.buf[:0], b, s, i, lengthAbsent)
			if fault.Has(err, fault.RowRefused) {
				refused(fault.Of(err))
			} else if err != nil {
				return err
			}
			r.bytes += int64(len(r.buf))
		}
	}
	return nil
}

// Close implements connector.Rehearsal.
func (r *rehearsal) Close() (int64, error) { return r.bytes, nil }
