package sourcetest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"godwit/internal/row"
)

// state is what tables hold, told by entries. Cells are texts, Null for NULL.
type state map[row.Name]*content

// content is one table: rows by key, or a bag of rows.
type content struct {
	shape *row.Table
	rows  map[string][]string
	bag   map[string]int
}

func newContent(t *row.Table) *content {
	return &content{shape: t, rows: map[string][]string{}, bag: map[string]int{}}
}

func newState(tables []*row.Table) state {
	s := state{}
	for _, t := range tables {
		s[t.Name] = newContent(t)
	}
	return s
}

const between = "\x00|\x00"

func keyText(t *row.Table, cells []string) string {
	var k []string
	for _, i := range t.Key {
		k = append(k, cells[i])
	}
	return strings.Join(k, between)
}

// apply takes one entry over. strict is for an unbroken history: then a row that
// is inserted must be new and one that is changed must be there.
func (s state) apply(e *entry, strict bool) error {
	if e.change != nil {
		return s.alter(e.change)
	}
	c := s[e.table.Name]
	switch {
	case c == nil:
		return fmt.Errorf("a row of a table that is not there: %s", e)
	case e.op != row.Read && !c.shape.SameShape(e.table):
		return fmt.Errorf("a row of another shape than that of its place [%s]: %s", shapeText(c.shape), e)
	case c.shape.Stopped != "":
		return fmt.Errorf("a row of a table that has left the stream: %s", e)
	case e.op == row.Truncate:
		c.rows, c.bag = map[string][]string{}, map[string]int{}
		return nil
	case len(e.table.Key) == 0:
		return c.applyBag(e)
	}
	return c.applyKeyed(e, strict)
}

func (c *content) applyBag(e *entry) error {
	var cells []string
	for i, x := range e.cells {
		if x.flag == row.Absent {
			return fmt.Errorf("a cell of a table without a key is absent: %s (column %d)", e, i)
		}
		cells = append(cells, x.value())
	}
	text, n := strings.Join(cells, between), 1
	if e.op == row.Delete || e.op == row.Before {
		n = -1
	}
	if c.bag[text] += n; c.bag[text] < 0 {
		return fmt.Errorf("a row is deleted that is not there: %s", e)
	}
	if c.bag[text] == 0 {
		delete(c.bag, text)
	}
	return nil
}

func (c *content) applyKeyed(e *entry, strict bool) error {
	cells := make([]string, len(e.cells))
	for i, x := range e.cells {
		if x.flag == row.Absent && slices.Contains(e.table.Key, i) {
			return fmt.Errorf("a cell of the key is absent: %s", e)
		}
		cells[i] = x.value()
	}
	key := keyText(e.table, cells)
	old, there := c.rows[key]
	switch e.op {
	case row.Delete, row.Before:
		if strict && !there {
			return fmt.Errorf("a row goes that is not there: %s", e)
		}
		delete(c.rows, key)
		c.moved(e, old)
		return nil
	case row.Update:
		if from := c.from(e); from != nil {
			if there && strict {
				return fmt.Errorf("a key is changed to one that is there: %s", e)
			}
			old, there = from, true
		}
		if strict && !there {
			return fmt.Errorf("a row is updated that is not there: %s", e)
		}
	case row.Insert:
		if strict && there {
			return fmt.Errorf("a row is inserted twice: %s", e)
		}
		old = nil
	}
	for i, x := range e.cells {
		if x.flag != row.Absent {
			continue
		}
		if i >= len(old) {
			return fmt.Errorf("a cell is absent and never was there: %s", e)
		}
		cells[i] = old[i]
	}
	c.rows[key] = cells
	return nil
}

// Before and the Update that follows it are neighbours: the row goes over to its
// new key. It is kept under a name that no key has.
const movedKey = "\x00moved"

func (c *content) moved(e *entry, old []string) {
	delete(c.rows, movedKey)
	if e.op == row.Before && old != nil {
		c.rows[movedKey] = old
	}
}

func (c *content) from(*entry) []string {
	old := c.rows[movedKey]
	delete(c.rows, movedKey)
	return old
}

func (c cell) value() string {
	if c.flag == row.Value {
		return c.text
	}
	return Null
}

// alter takes a schema change over, as a target would.
func (s state) alter(c *row.SchemaChange) error {
	var old *content
	if c.Before != nil {
		if old = s[c.Before.Name]; old == nil || !old.shape.SameShape(c.Before) {
			return fmt.Errorf("a schema change begins from [%s], which is not the shape of its place", shapeText(c.Before))
		}
	}
	switch c.Kind {
	case row.Create:
		if s[c.After.Name] != nil {
			return fmt.Errorf("table %s is created twice", c.After.Name)
		}
		s[c.After.Name] = newContent(c.After)
	case row.Drop:
		delete(s, c.Before.Name)
	case row.Stop:
		if c.After.Stopped == "" {
			return fmt.Errorf("table %s leaves the stream without a reason", c.After.Name)
		}
		old.shape = c.After
	case row.Alter:
		if c.After.Number != c.Before.Number {
			return fmt.Errorf("table %s had number %d and has %d after a change", c.After.Name, c.Before.Number, c.After.Number)
		}
		delete(s, c.Before.Name)
		s[c.After.Name] = old.reshaped(c)
	default:
		return fmt.Errorf("a schema change of kind %d", c.Kind)
	}
	return nil
}

// reshaped gives rows the columns after a change.
func (c *content) reshaped(ch *row.SchemaChange) *content {
	out := newContent(ch.After)
	at := make([]int, len(ch.After.Columns))
	for i, col := range ch.After.Columns {
		name := col.Name
		if was, ok := ch.Renamed[name]; ok {
			name = was
		}
		at[i] = ch.Before.Column(name)
	}
	over := func(cells []string) []string {
		now := make([]string, len(at))
		for i, k := range at {
			switch d := ch.After.Columns[i].Default; {
			case k >= 0:
				now[i] = cells[k]
			case d != nil:
				now[i] = *d
			default:
				now[i] = Null
			}
		}
		return now
	}
	for _, cells := range c.rows {
		now := over(cells)
		out.rows[keyText(ch.After, now)] = now
	}
	for text, n := range c.bag {
		out.bag[strings.Join(over(strings.Split(text, between)), between)] += n
	}
	return out
}

// list returns the rows, sorted.
func (c *content) list() [][]string {
	var out [][]string
	for k, cells := range c.rows {
		if k != movedKey {
			out = append(out, cells)
		}
	}
	for text, n := range c.bag {
		for range n {
			out = append(out, strings.Split(text, between))
		}
	}
	slices.SortFunc(out, slices.Compare)
	return out
}

// differs tells how rows differ from what the client prints, or "".
func differs(t *row.Table, got, client [][]string) string {
	count := map[string]int{}
	for _, r := range client {
		count[strings.Join(r, between)]++
	}
	for _, r := range got {
		count[strings.Join(r, between)]--
	}
	var out []string
	n := 0
	for _, k := range slices.Sorted(maps.Keys(count)) {
		if c := count[k]; c != 0 {
			if n++; n <= 6 {
				out = append(out, fmt.Sprintf("%+d %q", -c, strings.Split(clip(k), between)))
			}
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%s differs in %d rows (- missing, + too much):\n\t%s", t.Name, n, strings.Join(out, "\n\t"))
}

// client returns the rows of a table as the server's client prints them.
func (x *session) client(t *row.Table, columns ...Column) [][]string {
	x.Helper()
	var list []string
	for _, c := range t.Columns {
		print := c.Name
		if c.Type.Kind == row.Bytes {
			print = "HEX(" + c.Name + ")"
		}
		for _, k := range columns {
			if k.Name == c.Name && k.Print != "" {
				print = k.Print
			}
		}
		list = append(list, print)
	}
	rows, err := x.server.Rows(x.h.Dialect.Session + "SELECT " + strings.Join(list, ", ") + " FROM " + t.Name.String())
	if err != nil {
		x.Fatal(err)
	}
	return rows
}

// matches fails unless the state of every table is what the client prints.
func (x *session) matches(what string, s state) {
	x.Helper()
	for _, c := range s {
		if c.shape.Stopped != "" {
			continue
		}
		if d := differs(c.shape, c.list(), x.client(c.shape)); d != "" {
			x.Fatalf("%s: %s", what, d)
		}
	}
}

// clone copies a state.
func (s state) clone() state {
	out := state{}
	for n, c := range s {
		out[n] = &content{c.shape, maps.Clone(c.rows), maps.Clone(c.bag)}
	}
	return out
}

// initial returns what tables hold now, from the client.
func (x *session) initial(tables []*row.Table) state {
	x.Helper()
	s := newState(tables)
	for _, t := range tables {
		for _, cells := range x.client(t) {
			if len(t.Key) == 0 {
				s[t.Name].bag[strings.Join(cells, between)]++
			} else {
				s[t.Name].rows[keyText(t, cells)] = cells
			}
		}
	}
	return s
}

// replay applies entries in order, strictly.
func (x *session) replay(s state, entries []*entry) {
	x.Helper()
	for _, e := range entries {
		if err := s.apply(e, true); err != nil {
			x.Fatal(err)
		}
	}
}
