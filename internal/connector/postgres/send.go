package postgres

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// arrays gathers rows as one array for each of some columns.
type arrays struct {
	g       *target
	columns []int
	data    [][]byte
	rows    int
}

// arrayHeader is the length of what stands before the elements of an array.
const arrayHeader = 20

func (g *target) arrays(columns []int) *arrays {
	a := &arrays{g: g, columns: columns, data: make([][]byte, len(columns))}
	for i := range a.data {
		a.data[i] = make([]byte, arrayHeader, 1024)
	}
	return a
}

// args returns the arrays as parameters.
func (a *arrays) args() []arg {
	out := make([]arg, len(a.data))
	for i, c := range a.columns {
		f := &a.g.fields[c]
		putHeader(a.data[i], f.oid, a.rows)
		out[i] = arg{data: a.data[i], oid: f.array, binary: true}
	}
	return out
}

// putHeader writes what stands before the elements: one dimension, there may be
// nulls, their type, how many, counted from 1.
func putHeader(b []byte, oid uint32, n int) {
	for i, v := range []uint32{1, 1, oid, uint32(n), 1} {
		binary.BigEndian.PutUint32(b[4*i:], v)
	}
}

// add adds a row whose cells are those of the columns, one after the other.
func (a *arrays) add(cells []byte) {
	p := int32(0)
	for i := range a.data {
		c := cellAt(cells, p)
		a.data[i] = append(a.data[i], c...)
		p += int32(len(c))
	}
	a.rows++
}

// addOf adds the cells of the columns out of those of a whole row.
func (a *arrays) addOf(cells []byte) {
	p, k := int32(0), 0
	for i := range a.g.fields {
		c := cellAt(cells, p)
		if k < len(a.columns) && a.columns[k] == i {
			a.data[k] = append(a.data[k], c...)
			k++
		}
		p += int32(len(c))
	}
	a.rows++
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
	f.sendGone(c)
	for _, s := range f.shapes() {
		a := f.g.arrays(s.columns)
		for _, k := range s.slots {
			a.addOf(f.arena[f.slots[k].at:f.slots[k].end])
		}
		if s.op == put {
			c.queue(f.g.upsert(s.columns), a.args()...)
		} else {
			c.queue(f.g.update(s.columns), a.args()...)
		}
	}
	return true
}

// sendGone deletes keys: of rows that are gone, and of those that another row takes
// the place of.
func (f *fold) sendGone(c *session) {
	a := f.g.arrays(f.g.key)
	for k := range f.slots {
		s := &f.slots[k]
		switch cells := f.arena[s.at:s.end]; {
		case f.truncate && !s.clear && s.op == gone:
		case s.op == gone:
			a.add(cells)
		case s.clear:
			a.add(f.g.keyCells(nil, cells))
		}
	}
	if a.rows > 0 {
		c.queue("DELETE FROM "+f.g.qualified+" AS t USING ("+unnest(len(f.g.key), 1)+") AS u WHERE "+f.g.same(f.g.key), a.args()...)
	}
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
	sql := "INSERT INTO " + g.qualified + " (" + g.names(columns, "") + ") " + unnest(len(columns), 1) + " ON CONFLICT (" + g.names(g.key, "") + ") DO "
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
		return "SELECT 1 FROM (" + unnest(len(columns), 1) + ") AS u LIMIT 0"
	}
	return "UPDATE " + g.qualified + " AS t SET " + strings.Join(sets, ", ") + " FROM (" + unnest(len(columns), 1) + ") AS u WHERE " + strings.Join(where, " AND ")
}
