package parquet

import (
	"bytes"
	"slices"

	"godwit/internal/codec"
	"godwit/internal/codec/text"
	"godwit/internal/row"
)

// known returns the fields of the columns of t, the same ones again for the same
// table.
func (f *format) known(t *row.Table) []field {
	if k, ok := f.tables.Load(t); ok {
		return k.([]field)
	}
	fields, err := f.fields(codec.Shape{Table: t})
	if err != nil {
		fields = make([]field, len(t.Columns)) // NewEncoder says why
	}
	f.tables.Store(t, fields)
	return fields
}

// Stored implements codec.Decoding.
func (f *format) Stored(t *row.Table) *row.Table {
	out := *t
	out.Columns = slices.Clone(t.Columns)
	for i, one := range f.known(t) {
		c := &out.Columns[i].Type
		switch {
		case one.texted:
			*c = row.Type{Kind: row.Text, Native: c.Native}
		case one.digits > 0:
			c.Digits = one.digits
		}
	}
	return &out
}

// Store implements codec.Decoding.
func (f *format) Store(x *row.Builder, b *row.Batch, t *row.Table, column int, word uint64, flag row.Flag) {
	one := &f.known(t)[column]
	switch {
	case flag == row.Absent:
		x.Absent()
	case flag == row.Null, one.unfit == codec.Nullify && !one.holds(b, word):
		x.Null()
	case one.how == asText:
		x.Bytes(text.Append(nil, one.source, word, nil))
	case one.how == asDecimal, one.how == asBigDecimal:
		x.Bytes(unsigned(b.Data(word)))
	case one.source.Kind.InBytes():
		x.Bytes(b.Data(word))
	default:
		x.Word(word)
	}
}

// unsigned takes the sign off a zero.
func unsigned(p []byte) []byte {
	if len(p) > 0 && p[0] == '-' && len(bytes.Trim(p[1:], "0.")) == 0 {
		return p[1:]
	}
	return p
}
