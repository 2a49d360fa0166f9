package sinktest

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"

	"godwit/internal/connector"
	"godwit/internal/position"
	"godwit/internal/row"
)

// alive is the rows of each table, by its number: what the cells of each are made of.
type alive map[uint32]map[int64][]int64

// newAlive returns the rows that chunks copy.
func newAlive(runs []ChunkRun) alive {
	a := alive{}
	for _, c := range runs {
		for _, rows := range c.Chunks {
			for i := range rows {
				a.take(&rows[i], nil)
			}
		}
	}
	return a
}

// take carries out an entry. moved are the cells of the row of a Before just before.
func (a alive) take(e *entry, moved []int64) {
	rows := a[e.table.Number]
	if rows == nil {
		rows = map[int64][]int64{}
		a[e.table.Number] = rows
	}
	switch e.op {
	case row.Truncate:
		a[e.table.Number] = map[int64][]int64{}
	case row.Delete, row.Before:
		delete(rows, e.id)
	default:
		old := rows[e.id]
		if moved != nil {
			old = moved
		}
		cells := slices.Clone(e.cells)
		for i := range cells {
			if e.absent>>i&1 == 1 {
				cells[i] = 0
				if i < len(old) {
					cells[i] = old[i]
				}
			}
		}
		rows[e.id] = cells
	}
}

// changes makes a transaction of changes of rows that are there.
func (a alive) changes(tables []*row.Table, n, rows int, id *int64, rng *rand.Rand) txn {
	var t txn
	for k := range rows {
		table := tables[rng.IntN(len(tables))]
		*id++
		for i, e := range a.change(table, *id, rng) {
			// A few changes to an event, as in real logs, each with room for two images.
			e.order = string(binary.BigEndian.AppendUint64([]byte(prefix(n, uint32(k/4+1))), uint64(1+k%4*2+i)))
			t.rows = append(t.rows, e)
		}
	}
	return t
}

// change makes the entries of one change.
func (a alive) change(t *row.Table, id int64, rng *rand.Rand) []entry {
	rows := a[t.Number]
	op := rng.IntN(6)
	if len(rows) == 0 {
		op = 0
	}
	if rng.IntN(60) == 0 {
		return a.all(entry{table: t, op: row.Truncate})
	}
	fresh := make([]int64, len(t.Columns))
	for i := range fresh {
		fresh[i] = id
	}
	if op < 2 {
		return a.all(entry{table: t, op: row.Insert, id: id, cells: fresh})
	}
	ids := make([]int64, 0, len(rows))
	for k := range rows {
		ids = append(ids, k)
	}
	slices.Sort(ids)
	of := ids[rng.IntN(len(ids))]
	old := entry{table: t, op: row.Before, id: of, cells: extended(rows[of], len(t.Columns))}
	now := entry{table: t, op: row.Update, id: of, cells: fresh}
	if len(t.Key) > 0 && rng.IntN(3) == 0 { // a partial image
		now.absent = rng.Uint64() & (1<<len(t.Columns) - 2)
	}
	switch {
	case op == 2:
		old.op = row.Delete
		return a.all(old)
	case op == 3:
		now.id = id
		return a.all(a.moved(old, now, rng)...)
	case len(t.Key) == 0:
		return a.all(old, now)
	}
	return a.all(now)
}

// moved is what a sink is told of a row that takes another key: both images, or the one
// whose chunk lacks the change, as the other is in a chunk that was read after it.
func (a alive) moved(old, now entry, rng *rand.Rand) []entry {
	switch n := rng.IntN(5); {
	case len(old.table.Key) > 0 && n == 0:
		return []entry{old}
	case len(old.table.Key) > 0 && n == 1 && now.absent == 0:
		return []entry{now}
	}
	return []entry{old, now}
}

// extended gives a row the columns that were added since.
func extended(cells []int64, n int) []int64 {
	return append(slices.Clone(cells), make([]int64, n-len(cells))...)
}

// all carries out entries and returns them.
func (a alive) all(entries ...entry) []entry {
	var moved []int64
	for i := range entries {
		e := &entries[i]
		before := a[e.table.Number][e.id]
		a.take(e, moved)
		moved = nil
		if e.op == row.Before && i+1 < len(entries) && e.precedes(&entries[i+1]) {
			moved = before
		}
	}
	return entries
}

// precedes reports whether o is the image that follows e in its change.
func (e *entry) precedes(o *entry) bool {
	return e.order == "" || row.Counter(o.order) == row.Counter(e.order)+1 && o.order[:len(o.order)-8] == e.order[:len(e.order)-8]
}

// state adds the lines of the rows that are there when the tasks have committed sets.
// Chunks come before the stream.
func (l *Log) state(sets map[string]position.Set, into map[string]int) {
	a := alive{}
	for _, c := range l.Chunks {
		for k, rows := range c.Chunks {
			if _, ok := sets[c.Task][chunkKey(k)]; !ok {
				continue
			}
			for i := range rows {
				a.take(&rows[i], nil)
			}
		}
	}
	tables := slices.Clone(l.Tables)
	for _, t := range l.txns[:l.at(sets[connector.StreamSplit][connector.StreamSplit])] {
		if t.change != nil {
			i := slices.Index(tables, t.change.Before)
			tables[i] = t.change.After
		}
		a.all(t.rows...)
	}
	for _, t := range tables {
		for id, cells := range a[t.Number] {
			into[StateLine(t, id, cells)]++
		}
	}
}

// StateLine is how a row of a target without history is compared: its table and
// "name=value" of each column that has a value.
func StateLine(t *row.Table, id int64, cells []int64) string {
	out := []string{fmt.Sprintf("%s=%d", t.Columns[0].Name, id)}
	for i := 1; i < len(cells); i++ {
		if cells[i] != 0 {
			out = append(out, t.Columns[i].Name+"="+text(cells[i], i))
		}
	}
	return Line(t.Name.String(), letter(row.Read), "", out)
}
