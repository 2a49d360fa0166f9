package csv

import (
	"godwit/internal/codec"
	"godwit/internal/codec/text"
	"godwit/internal/row"
)

var _ codec.Fitter = (*format)(nil)

// Fit implements codec.Fitter. Every text form is in a column of text already:
// codec.AsText is codec.Refuse.
func (f *format) Fit(unfit func(row.Name, string) codec.Unfit) codec.Codec {
	g := *f
	g.unfit = unfit
	return &g
}

// what describes what cannot be held.
const what = "this dialect of CSV, whose readers take it for null,"

// gap reports whether a column of kind k has values that readers take for null.
func (f *format) gap(k row.Kind) bool {
	return f.blind && k.InBytes() && k != row.Decimal && !(k == row.Bytes && !f.clash)
}

// holds reports whether readers tell the value of a cell from null.
func (f *format) holds(k row.Kind, p []byte) bool {
	if !f.gap(k) {
		return true
	}
	if k == row.Bytes {
		return !f.isNull(p)
	}
	return len(p) != len(f.null) || string(p) != f.null
}

// Refuse implements codec.Refuser.
func (e *encoder) Refuse(b *row.Batch, s *row.Section, i int) error {
	words, flags := b.Cells(s, i)
	for _, k := range e.gaps {
		if flags[k] == row.Value && e.plans[k].unfit != codec.Nullify && !e.holds(e.plans[k].kind, b.Data(words[k])) {
			return text.Refusal(b, s, i, k, what)
		}
	}
	return nil
}

// Nullified implements codec.Refuser.
func (e *encoder) Nullified() int64 { return e.nullified }
