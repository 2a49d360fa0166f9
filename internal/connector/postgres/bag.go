package postgres

import (
	"encoding/binary"
	"fmt"
	"strings"

	"godwit/internal/fault"
	"godwit/internal/row"
)

// This file has tables without a key: rows that are equal in all columns are counted.

// count takes a row of a table without a key.
func (f *fold) count(b *row.Batch, s *row.Section, i int) error {
	at := len(f.arena)
	var partial bool
	var err error
	if f.arena, partial, err = f.g.appendRow(f.arena, b, s, i, lengthAbsent); err != nil {
		return err
	}
	if partial {
		return fault.New(fault.RowRefused, "%s has no key, and a row came without all its cells", f.g.table.Name).
			Try("let the source log whole rows (binlog_row_image=FULL)")
	}
	step := int64(1)
	if op := b.Op(i); op == row.Delete || op == row.Before {
		step = -1
	}
	cells := f.arena[at:]
	if k, ok := f.index[string(cells)]; ok {
		was := f.slots[k].count
		f.slots[k].count += step
		f.again += len(cells) * int(max(was+step, 1)-max(was, 1)) // sent as often as it comes
		f.last = k
		f.arena = f.arena[:at]
		return nil
	}
	f.last = int32(len(f.slots))
	f.index[string(cells)] = f.last
	f.slots = append(f.slots, slot{op: put, at: int32(at), end: int32(len(f.arena)), count: step})
	return nil
}

// sendCounts queues the rows that come and go.
func (f *fold) sendCounts(c *session) {
	var come, leave []int32
	var counts []byte
	for k := range f.slots {
		s := &f.slots[k]
		for range s.count {
			come = append(come, s.at)
		}
		if s.count < 0 && !f.truncate {
			leave = append(leave, s.at)
			counts = binary.BigEndian.AppendUint64(append(counts, 0, 0, 0, 8), uint64(-s.count))
		}
	}
	all := f.g.all()
	if len(leave) > 0 {
		counts = append(appendHeader(nil, oidInt8, len(leave)), counts...)
		c.queue(f.g.deleteEqual(), append(f.g.arrays(c, all, all, f.arena, leave), arg{data: counts, oid: 1016, binary: true})...)
	}
	if len(come) > 0 {
		c.queue("INSERT INTO "+f.g.qualified+" ("+f.g.names(all, "")+") "+f.g.unnest(all), f.g.arrays(c, all, all, f.arena, come)...)
	}
}

// deleteEqual deletes as many rows as are asked for of those that equal each one
// given. Rows are compared by their text, which is exact, has nulls and exists for
// types without equality, so that one pass over the table is enough.
func (g *target) deleteEqual() string {
	n := len(g.fields)
	given := make([]string, n)
	for i := range given {
		given[i] = fmt.Sprintf("u.c%d", i)
	}
	names := strings.Join(given, ", ")
	return "DELETE FROM " + g.qualified + " WHERE ctid = ANY (ARRAY(SELECT m.id FROM (" +
		"SELECT t.ctid AS id, u.n, row_number() OVER (PARTITION BY ROW(" + names + ")::text) AS k FROM " + g.qualified + " AS t JOIN (" +
		g.unnest(g.all()) + fmt.Sprintf(", unnest($%d) AS n", n+1) + ") AS u" +
		" ON ROW(" + g.names(g.all(), "t.") + ")::text = ROW(" + names + ")::text) AS m WHERE m.k <= m.n))"
}
