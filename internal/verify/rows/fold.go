package rows

import (
	"encoding/binary"
	"slices"

	"godwit/internal/row"
)

// state is what one side has under one id.
type state struct {
	n      int64 // rows
	sum    sum   // of all of them
	cells  []byte
	texts  []string // nil: not asked for
	unsure bool     // some cell is not in the history
}

func (s *state) same(o *state) bool { return s.n == o.n && s.sum == o.sum && !s.unsure && !o.unsure }

// untold reports whether there are rows of which nobody can be told.
func (s *state) untold() bool { return s.n > 0 && s.texts == nil }

// entry is a row of a history. It is lent.
type entry struct {
	op     row.Op
	pos    []byte
	absent []byte // one byte for each cell, 1 where it is absent; empty: none is
	cells  []byte
	texts  []string
}

// appendEntry appends the form in which spills have entries: the op, place, absent
// cells and sums.
func appendEntry(b []byte, r *seen) []byte {
	b = append(b, byte(r.op), byte(len(r.pos)))
	b = append(b, r.pos...)
	if r.absent == nil {
		b = append(b, 0)
	} else {
		b = append(b, 1)
		b = appendAbsent(b, r.absent)
	}
	return append(b, r.cells...)
}

func appendAbsent(b []byte, absent []bool) []byte {
	for _, a := range absent {
		if a {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
	}
	return b
}

func readEntry(b []byte, columns int) (e entry) {
	n := int(b[1])
	e.op, e.pos, b = row.Op(b[0]), b[2:2+n], b[2+n:]
	some := b[0] == 1
	if b = b[1:]; some {
		e.absent, b = b[:columns], b[columns:]
	}
	e.cells = b
	return e
}

// fold brings the entries of one id together, in whatever order they come, to what it
// is at a place (docs/reading-a-changelog.md).
type fold struct {
	keyed   bool
	after   []byte   // entries up to here are gone: the table was emptied
	bound   []byte   // later ones are not part of the state
	balance int64    // of a table without a key: rows put in less rows taken out
	last    string   // place of the latest entry
	gone    bool     // which took the row away
	whole   string   // place of the latest entry before which no cell counts
	at      []string // of each cell: the place of the entry it is from
	cells   []byte
	texts   []string
	mute    bool     // some entry has no texts: there are none of what they come to
	places  []string // of all entries: none may be there twice
	apart   bool     // places of entries are kept elsewhere
	again   []string // then: of entries that are there once more
	mended  string   // place of the latest entry that a repair wrote: what is twice before it counts no more
}

// add takes an entry, and reports whether it is part of the state.
func (f *fold) add(e entry) (taken bool) {
	if string(e.pos) > string(f.bound) || f.after != nil && string(e.pos) <= string(f.after) {
		return false
	}
	away := e.op == row.Delete || e.op == row.Before
	if !f.keyed {
		if f.balance++; away {
			f.balance -= 2
		}
		f.cells = append(f.cells[:0], e.cells...)
		f.texts = e.texts
		return true
	}
	pos := string(e.pos)
	if !f.apart {
		f.places = append(f.places, pos)
	}
	if row.IsRepair(row.Counter(pos)) {
		f.mended = max(f.mended, pos)
	}
	if pos > f.last {
		f.last, f.gone = pos, away
	}
	if e.op != row.Update {
		f.whole = max(f.whole, pos)
	}
	if !away {
		f.take(e, pos)
	}
	return true
}

// take takes the cells of e over where they are later than those there are.
func (f *fold) take(e entry, pos string) {
	n := len(e.cells) / 8
	if f.at == nil {
		f.at, f.cells = make([]string, n), make([]byte, len(e.cells))
	}
	if f.mute = f.mute || e.texts == nil; f.mute {
		f.texts = nil
	} else if f.texts == nil {
		f.texts = make([]string, n)
	}
	for c := range n {
		if len(e.absent) > 0 && e.absent[c] == 1 || pos <= f.at[c] {
			continue
		}
		f.at[c] = pos
		copy(f.cells[8*c:8*c+8], e.cells[8*c:])
		if !f.mute {
			f.texts[c] = e.texts[c]
		}
	}
}

// state is what the entries come to.
func (f *fold) state(s *summer) state {
	if !f.keyed {
		return state{n: f.balance, cells: f.cells, texts: f.texts}
	}
	out := state{n: f.twice()}
	if f.last == "" || f.gone {
		return out
	}
	out.n++
	out.cells, out.texts, out.sum = f.cells, f.texts, s.row(f.cells)
	for _, at := range f.at {
		out.unsure = out.unsure || at == "" || at < f.whole
	}
	return out
}

// twice counts entries that are there more than once, since a repair wrote the row.
func (f *fold) twice() (n int64) {
	slices.Sort(f.places)
	for i := 1; i < len(f.places); i++ {
		if f.places[i] == f.places[i-1] && f.places[i] >= f.mended {
			n++
		}
	}
	for _, pos := range f.again {
		if pos >= f.mended {
			n++
		}
	}
	return n
}

// mark reads the index of a mark from a record of the source.
func mark(rest []byte) int { return int(binary.LittleEndian.Uint32(rest[16:])) }
