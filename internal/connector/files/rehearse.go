package files

import (
	"io"

	"godwit/internal/codec"
	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/row"
)

var _ connector.Rehearser = (*sink)(nil)

// rehearsal encodes rows to nowhere.
type rehearsal struct {
	sink  *sink
	open  map[*row.Table]codec.Encoder
	bytes int64 // of files that are ended
}

// rehearsed bounds what an encoder of a rehearsal holds, in bytes.
const rehearsed = 4 << 20

// Rehearse implements connector.Rehearser.
func (s *sink) Rehearse() connector.Rehearsal {
	return &rehearsal{sink: s, open: map[*row.Table]codec.Encoder{}}
}

// Apply implements connector.Rehearsal.
func (r *rehearsal) Apply(b *row.Batch, refused func(*fault.Error)) error {
	for k := range b.Sections() {
		s := &b.Sections()[k]
		if err := r.section(b, s, refused); err != nil {
			return err
		}
		if e := r.open[s.Table]; e.Memory() > rehearsed {
			if err := r.end(s.Table, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// section encodes a section, without the rows of it that are refused.
func (r *rehearsal) section(b *row.Batch, s *row.Section, refused func(*fault.Error)) error {
	e := r.open[s.Table]
	if e == nil {
		var err error
		if e, err = r.sink.codec.NewEncoder(io.Discard, r.sink.shape(s.Table)); err != nil {
			return err
		}
		r.open[s.Table] = e
	}
	for i := s.Row; i < s.Row+s.Rows; i++ {
		one := s.Part(i, i+1)
		if err := encodeOne(e, b, &one); fault.Has(err, fault.RowRefused) {
			refused(fault.Of(err))
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (r *rehearsal) end(t *row.Table, e codec.Encoder) error {
	delete(r.open, t)
	err := e.Close()
	r.bytes += e.Written()
	return err
}

// Close implements connector.Rehearsal.
func (r *rehearsal) Close() (int64, error) {
	for t, e := range r.open {
		if err := r.end(t, e); err != nil {
			return r.bytes, err
		}
	}
	return r.bytes, nil
}
