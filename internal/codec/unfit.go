package codec

import "godwit/internal/row"

// Unfit says what becomes of a value that a format cannot hold exactly, such as the
// date 0000-00-00 where dates are days.
type Unfit uint8

// What may become of it.
const (
	Refuse  Unfit = iota // its row is refused: fault.RowRefused
	Nullify              // null is written, and counted
	AsText               // the whole column is text, so that there is no such value
)

// Fitter is a Codec of a format that cannot hold every value exactly.
type Fitter interface {
	// Fit returns the codec that does in each column as unfit says; without it such
	// values are refused. In the columns of a key Nullify is Refuse: rows with one
	// key would become rows of none.
	Fit(unfit func(t row.Name, column string) Unfit) Codec
}

// of returns what u is in column i of t.
func (u Unfit) of(t *row.Table, i int) Unfit {
	if u != Nullify {
		return u
	}
	for _, k := range t.Key {
		if k == i {
			return Refuse
		}
	}
	return u
}

// UnfitOf returns what f, which may be nil, says of column i of t.
func UnfitOf(f func(t row.Name, column string) Unfit, t *row.Table, i int) Unfit {
	if f == nil {
		return Refuse
	}
	return f(t.Name, t.Columns[i].Name).of(t, i)
}

// Refuser is an Encoder of a format that cannot hold every row.
type Refuser interface {
	// Refuse returns why row i of section s of b cannot be encoded, with the code
	// fault.RowRefused, or nil. Encode of such a row fails with the same error, and
	// then only Close may follow.
	Refuse(b *row.Batch, s *row.Section, i int) error
	// Nullified returns how many values so far were written as null because the
	// format cannot hold them.
	Nullified() int64
}

// Shrinker is an Encoder that holds much of what it was given.
type Shrinker interface {
	// Shrink writes what the encoder holds, as far as the format lets it, and gives
	// its memory back. The file is whole all the same, but larger by it.
	Shrink() error
}
