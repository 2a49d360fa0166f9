package postgres

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"godwit/internal/fault"
)

// arrays returns one array for each of some columns, with the cells of as many rows as
// there are offsets into cells; these are moved on. The cells of a row are those of the
// columns of, in their order. What is returned holds until the next call.
func (g *target) arrays(c *session, columns, of []int, cells []byte, rows []int32) []arg {
	out := make([]arg, 0, len(columns))
	ends := make([]int, 0, len(columns))
	c.scratch = c.scratch[:0]
	for _, column := range of {
		wanted := len(out) < len(columns) && columns[len(out)] == column
		if wanted {
			f := &g.fields[column]
			out = append(out, arg{oid: f.array, binary: true})
			c.scratch = appendHeader(c.scratch, f.oid, len(rows))
		}
		for k, p := range rows {
			cell := cellAt(cells, p)
			rows[k] = p + int32(len(cell))
			if wanted {
				c.scratch = append(c.scratch, cell...)
			}
		}
		if wanted {
			ends = append(ends, len(c.scratch))
		}
	}
	begin := 0
	for i, end := range ends {
		out[i].data = c.scratch[begin:end:end]
		begin = end
	}
	return out
}

// appendHeader appends what stands before the elements: one dimension, there may be
// nulls, their type, how many, counted from 1.
func appendHeader(b []byte, oid uint32, n int) []byte {
	for _, v := range []uint32{1, 1, oid, uint32(n), 1} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// send queues what the fold comes to; false: nothing does.
func (f *fold) send(c *session) bool {
	if !f.truncate && len(f.slots) == 0 {
		return false
	}
	if f.truncate {
		c.queue("TRUNCATE TABLE " + f.g.qualified)
	}
	if len(f.g.key) == 0 {
		f.sendCounts(c)
		return true
	}
	if f.g.sorts {
		f.sort()
	}
	f.sendGone(c)
	all := f.g.all()
	for _, s := range f.shapes() {
		rows := make([]int32, len(s.slots))
		for i, k := range s.slots {
			rows[i] = f.slots[k].at
		}
		args := f.g.arrays(c, s.columns, all, f.arena, rows)
		if s.op == put {
			c.queue(f.g.upsert(s.columns), args...)
		} else {
			c.queue(f.g.update(s.columns), args...)
		}
	}
	return true
}

// sort brings what is sent into the order of the key's cells: neighbours lie near each
// other in the table and its index, which spares the server a fifth of its work.
func (f *fold) sort() {
	slices.SortFunc(f.slots, func(a, b slot) int { return strings.Compare(a.key, b.key) })
}

// sendGone deletes keys: of rows that are gone, and of those that another row takes
// the place of.
func (f *fold) sendGone(c *session) {
	var rows []int32
	for k := range f.slots {
		s := &f.slots[k]
		switch {
		case f.truncate && !s.clear && s.op == gone:
		case s.op == gone:
			rows = append(rows, s.at)
		case s.clear, f.g.crosses && s.op == put && !s.partial:
			rows = append(rows, int32(len(f.arena)))
			f.arena = append(f.arena, s.key...)
		}
	}
	if len(rows) > 0 {
		args := f.g.arrays(c, f.g.key, f.g.key, f.arena, rows)
		c.queue("DELETE FROM "+f.g.qualified+" AS t USING ("+f.g.unnest(f.g.key)+") AS u WHERE "+f.g.same(f.g.key), args...)
	}
}

// mayCross reports whether rows were refused that are right together: where another index
// than that of the key is unique, two may have exchanged what they have in it.
func (g *target) mayCross(err error) bool {
	return stateOf(err) == stateUnique && g.frees && !g.sorts && !g.crosses
}

// cross notes it: from the next attempt on rows go before they are put.
func (s *sink) cross(g *target, cause error) error {
	s.note(s.crossing, g)
	return fault.New(fault.TargetFailed, "rows of %s take one another's place in a unique index; they go first from now on", g.table.Name).At("%s", s.Where()).By(cause).
		Try("nothing is to be done: the rows are written again")
}

// same compares columns of the table t with those given.
func (g *target) same(columns []int) string {
	parts := make([]string, len(columns))
	for i, c := range columns {
		parts[i] = fmt.Sprintf("t.%s = u.c%d", g.fields[c].quoted, i)
	}
	return strings.Join(parts, " AND ")
}

// shape is a group of rows that lack the same cells.
type shape struct {
	op      outcome
	columns []int
	slots   []int32
}

// shapes groups what is to be put and patched.
func (f *fold) shapes() []*shape {
	var all []*shape
	byMask := map[string]*shape{}
	whole := &shape{op: put, columns: f.g.all()}
	for k := range f.slots {
		s := &f.slots[k]
		if s.op == gone {
			continue
		}
		if !s.partial {
			whole.slots = append(whole.slots, int32(k))
			continue
		}
		mask, columns := f.mask(s)
		group := byMask[mask]
		if group == nil {
			group = &shape{op: s.op, columns: columns}
			byMask[mask] = group
			all = append(all, group)
		}
		group.slots = append(group.slots, int32(k))
	}
	if len(whole.slots) > 0 {
		all = append(all, whole)
	}
	return all
}

// mask tells which columns a row has.
func (f *fold) mask(s *slot) (string, []int) {
	mask := []byte{byte(s.op)}
	var columns []int
	p := s.at
	for i := range f.g.fields {
		c := cellAt(f.arena, p)
		p += int32(len(c))
		if binary.BigEndian.Uint32(c) == lengthAbsent {
			mask = append(mask, '-')
			continue
		}
		mask = append(mask, 'x')
		columns = append(columns, i)
	}
	return string(mask), columns
}

// others are the columns that are not part of the key.
func (g *target) others(columns []int) []int {
	var out []int
	for _, c := range columns {
		if !g.fields[c].inKey {
			out = append(out, c)
		}
	}
	return out
}

// upsert makes rows be there with the cells given.
func (g *target) upsert(columns []int) string {
	sql := "INSERT INTO " + g.qualified + " (" + g.names(columns, "") + ") " + g.unnest(columns) + " ON CONFLICT (" + g.names(g.key, "") + ") DO "
	others := g.others(columns)
	if len(others) == 0 {
		return sql + "NOTHING"
	}
	sets := make([]string, len(others))
	for i, c := range others {
		sets[i] = g.fields[c].quoted + " = excluded." + g.fields[c].quoted
	}
	return sql + "UPDATE SET " + strings.Join(sets, ", ")
}

// update changes cells of rows that are there.
func (g *target) update(columns []int) string {
	var sets, where []string
	for i, c := range columns {
		f := &g.fields[c]
		if f.inKey {
			where = append(where, fmt.Sprintf("t.%s = u.c%d", f.quoted, i))
		} else {
			sets = append(sets, fmt.Sprintf("%s = u.c%d", f.quoted, i))
		}
	}
	if len(sets) == 0 {
		return "SELECT 1 FROM (" + g.unnest(columns) + ") AS u LIMIT 0"
	}
	return "UPDATE " + g.qualified + " AS t SET " + strings.Join(sets, ", ") + " FROM (" + g.unnest(columns) + ") AS u WHERE " + strings.Join(where, " AND ")
}
