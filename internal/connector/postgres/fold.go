package postgres

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"godwit/internal/fault"
	"godwit/internal/row"
)

// fold is what the rows of a table since the last time they were sent come to: for
// each key what is to become of it, or without a key how many equal rows are to come
// or go.
type fold struct {
	g        *target
	truncate bool // everything before is gone
	slots    []slot
	index    map[string]int32 // key, or all cells → slot
	arena    []byte           // cells: length and binary form
	again    int              // bytes that rows take in what is sent, beside those in arena
	moved    []byte           // the old key of the update that is to follow; nil: none
	movedAt  string           // the order of its old image, in the log of
	movedIn  uint16           // that incarnation
	last     int32            // the slot that was set last
	key      []byte           // room for one
}

// slot is what becomes of a key, or of equal rows.
type slot struct {
	op      outcome
	clear   bool // the row that the target has goes first: it is another one
	partial bool // some cells are absent
	at, end int32
	key     string // its cells; empty where rows are counted
	count   int64  // without a key: rows to come, below zero to go
	// pos and of are the place and the op of the last row, where rows are put aside.
	pos string
	of  row.Op
}

// outcome is what becomes of a key.
type outcome uint8

const (
	gone  outcome = iota // cells: the key
	put                  // cells: the row, which is there afterwards
	patch                // cells: the row; if it is there, these cells change
)

func newFold(g *target) *fold { return &fold{g: g, index: map[string]int32{}} }

// reset forgets what was sent.
func (f *fold) reset() {
	f.truncate, f.slots, f.arena, f.again, f.moved = false, f.slots[:0], f.arena[:0], 0, nil
	clear(f.index)
}

// weight is about how many bytes are to be sent.
func (f *fold) weight() int { return len(f.arena) + f.again }

// take takes row i. An act that it returns is to be done after everything before it
// was sent.
func (f *fold) take(b *row.Batch, s *row.Section, i int) (act func(*session), err error) {
	op := b.Op(i)
	if f.moved != nil && (op != row.Update || !follows(f.movedAt, b.Order(i))) {
		f.leave()
	}
	if op == row.Truncate {
		f.reset()
		f.truncate, f.moved = true, nil
		return nil, nil
	}
	if len(f.g.key) == 0 {
		return nil, f.count(b, s, i)
	}
	if op == row.Before || op == row.Delete {
		key, err := f.keyOf(b, s, i)
		if err != nil {
			return nil, err
		}
		if op == row.Before {
			f.moved, f.movedAt, f.movedIn = bytes.Clone(key), b.Order(i), b.Incarnation
			f.arena = f.arena[:len(f.arena)-len(key)]
			return nil, nil
		}
		f.set(key, slot{op: gone, at: int32(len(f.arena) - len(key)), end: int32(len(f.arena))})
		return nil, nil
	}
	return f.row(b, s, i)
}

// follows reports whether an order is the next one in the same event.
func follows(before, order string) bool {
	n := len(order) - 8
	return len(before) == len(order) && before[:n] == order[:n] && row.Counter(order) == row.Counter(before)+1
}

// leave takes an old image for what it says where its update does not follow: then the
// chunk of the new key has that already.
func (f *fold) leave() {
	if f.moved == nil {
		return
	}
	f.arena = append(f.arena, f.moved...)
	f.set(f.moved, slot{op: gone, at: int32(len(f.arena) - len(f.moved)), end: int32(len(f.arena)), pos: posOf(f.movedIn, f.movedAt), of: row.Before})
	f.moved = nil
}

// row takes the new image of a row.
func (f *fold) row(b *row.Batch, s *row.Section, i int) (act func(*session), err error) {
	at := len(f.arena)
	var partial bool
	if f.arena, partial, err = f.g.appendRow(f.arena, b, s, i, lengthAbsent); err != nil {
		return nil, err
	}
	now := slot{op: put, partial: partial, at: int32(at), end: int32(len(f.arena))}
	if partial && b.Op(i) == row.Update {
		now.op = patch
	}
	var whole bool
	if f.key, whole = f.g.keyCells(f.key[:0], f.arena[at:]); !whole {
		return nil, fault.New(fault.RowRefused, "%s: a row came without its key", f.g.table.Name)
	}
	key, old := f.key, f.moved
	f.moved = nil
	if old == nil || bytes.Equal(old, key) {
		f.merge(key, now)
		return nil, nil
	}
	if partial {
		k, held := f.index[string(old)]
		if !held || f.slots[k].op != put || f.slots[k].partial {
			return f.move(old, f.arena[at:]), nil
		}
		now = f.complete(f.slots[k], now)
	}
	f.arena = append(f.arena, old...)
	f.set(old, slot{op: gone, at: int32(len(f.arena) - len(old)), end: int32(len(f.arena))})
	f.merge(key, now)
	return nil, nil
}

// keyOf appends the cells of the key of row i to the arena and returns them.
func (f *fold) keyOf(b *row.Batch, s *row.Section, i int) ([]byte, error) {
	at := len(f.arena)
	words, flags := b.Cells(s, i)
	for _, k := range f.g.key {
		why := "it is part of the key and null or absent"
		switch flags[k] {
		case row.Value:
			f.arena, why = f.g.fields[k].appendCell(f.arena, b, words[k])
		case row.Foreign:
			f.arena, why = appendForeign(f.arena, b, words[k]), ""
		}
		if why != "" {
			return nil, f.g.refuse(b, s, i, k, why)
		}
	}
	return f.arena[at:], nil
}

// set makes the outcome of a key known, whatever it was.
func (f *fold) set(key []byte, now slot) {
	if k, ok := f.index[string(key)]; ok {
		now.key = f.slots[k].key
		f.slots[k], f.last = now, k
		return
	}
	f.last, now.key = int32(len(f.slots)), string(key)
	f.index[now.key] = f.last
	f.slots = append(f.slots, now)
}

// merge adds a row to what is known of its key.
func (f *fold) merge(key []byte, now slot) {
	if k, ok := f.index[string(key)]; ok {
		switch old := f.slots[k]; {
		case old.op == gone:
			now.op, now.clear = put, now.partial
		case now.partial:
			now = f.complete(old, now)
			now.clear = old.clear
		}
	}
	f.set(key, now)
}

// complete gives a row the cells that it lacks from an older image of it.
func (f *fold) complete(old, now slot) slot {
	before, after := old.at, now.at
	now.op, now.partial = old.op, false
	at := len(f.arena)
	for range f.g.fields {
		cell := cellAt(f.arena, after)
		if binary.BigEndian.Uint32(cell) == lengthAbsent {
			cell = cellAt(f.arena, before)
			now.partial = now.partial || binary.BigEndian.Uint32(cell) == lengthAbsent
		}
		before += int32(len(cellAt(f.arena, before)))
		after += int32(len(cellAt(f.arena, after)))
		f.arena = append(f.arena, cell...)
	}
	if !now.partial {
		now.op = put
	}
	now.at, now.end = int32(at), int32(len(f.arena))
	return now
}

// cellAt returns the cell at an offset, its length included.
func cellAt(arena []byte, at int32) []byte {
	n := binary.BigEndian.Uint32(arena[at:])
	if n >= lengthAbsent {
		return arena[at : at+4]
	}
	return arena[at : at+4+int32(n)]
}

// keyCells appends the cells of the key of a row; false when one of them is null or
// absent.
func (g *target) keyCells(dst, cells []byte) (key []byte, whole bool) {
	var at [64]int32
	offsets := at[:0]
	p := int32(0)
	for range g.fields {
		offsets = append(offsets, p)
		p += int32(len(cellAt(cells, p)))
	}
	for _, k := range g.key {
		c := cellAt(cells, offsets[k])
		if binary.BigEndian.Uint32(c) >= lengthAbsent {
			return dst, false
		}
		dst = append(dst, c...)
	}
	return dst, true
}

// move changes the key of a row whose other cells only the target has.
func (f *fold) move(old, cells []byte) func(*session) {
	cells = bytes.Clone(cells)
	return func(c *session) {
		var args []arg
		var sets, where []string
		p := int32(0)
		for i := range f.g.fields {
			field, cell := &f.g.fields[i], cellAt(cells, p)
			p += int32(len(cell))
			if binary.BigEndian.Uint32(cell) == lengthAbsent {
				continue
			}
			args = append(args, cellArg(field, cell))
			sets = append(sets, fmt.Sprintf("%s = $%d", field.quoted, len(args)))
		}
		p = 0
		for _, k := range f.g.key {
			field, cell := &f.g.fields[k], cellAt(old, p)
			p += int32(len(cell))
			args = append(args, cellArg(field, cell))
			where = append(where, fmt.Sprintf("%s = $%d", field.quoted, len(args)))
		}
		c.queue("UPDATE "+f.g.qualified+" SET "+strings.Join(sets, ", ")+" WHERE "+strings.Join(where, " AND "), args...)
	}
}

func cellArg(f *field, cell []byte) arg {
	if binary.BigEndian.Uint32(cell) == lengthNull {
		return arg{oid: f.oid, binary: true}
	}
	return arg{data: cell[4:], oid: f.oid, binary: true}
}
