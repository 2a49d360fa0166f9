package sourcetest

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"godwit/internal/row"
)

// memServer is a small server in memory: the statements that the kit sends, and a
// log of transactions.
type memServer struct {
	mu      sync.Mutex
	tables  map[row.Name]*memTable
	log     []*memTxn // transaction i has number first+i
	first   int
	history int // rises with Reset
	partial bool
	moved   chan struct{} // closed and made anew when the log grows
}

type memTable struct {
	shape *row.Table // without number
	rows  [][]string
}

// memTxn is a transaction: its items in order.
type memTxn struct {
	id    string
	time  time.Time
	items []memItem
}

// memItem is a row or a change of a schema.
type memItem struct {
	op     row.Op
	table  row.Name
	cells  []cell
	kind   row.ChangeKind
	after  *row.Table
	rename map[string]string
	text   string
}

func newMemServer() *memServer {
	return &memServer{tables: map[row.Name]*memTable{}, first: 1, moved: make(chan struct{})}
}

func (s *memServer) Address() string    { return "" }
func (s *memServer) Restart(bool) error { return nil }

// Exec runs statements; BEGIN to COMMIT is one transaction, others are each one.
func (s *memServer) Exec(sql string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var open *memTxn
	for _, q := range strings.Split(sql, ";") {
		q = strings.TrimSpace(q)
		switch q {
		case "":
		case "BEGIN":
			open = &memTxn{}
		case "COMMIT":
			s.commit(open)
			open = nil
		default:
			x := open
			if x == nil {
				x = &memTxn{}
			}
			if err := s.statement(x, q); err != nil {
				return fmt.Errorf("%w in %.100s", err, q)
			}
			if open == nil {
				s.commit(x)
			}
		}
	}
	return nil
}

func (s *memServer) commit(x *memTxn) {
	if len(x.items) == 0 {
		return
	}
	x.time = time.Now()
	x.id = fmt.Sprintf("%d-%d", s.history, s.first+len(s.log))
	s.log = append(s.log, x)
	close(s.moved)
	s.moved = make(chan struct{})
}

// patterns of statements.
type memSyntax struct {
	pattern *regexp.Regexp
	run     func(s *memServer, x *memTxn, m []string) error
}

func memGrammar() []memSyntax {
	name := `(\w+)\.(\w+)`
	p := func(text string, run func(*memServer, *memTxn, []string) error) memSyntax {
		return memSyntax{regexp.MustCompile("(?s)^" + strings.ReplaceAll(text, "%n", name) + "$"), run}
	}
	return []memSyntax{
		p(`CREATE DATABASE \w+`, func(*memServer, *memTxn, []string) error { return nil }),
		p(`CREATE TABLE %n \((.*)\)`, (*memServer).create),
		p(`DROP TABLE %n`, (*memServer).drop),
		p(`RENAME TABLE %n TO %n`, (*memServer).rename),
		p(`TRUNCATE TABLE %n`, (*memServer).truncate),
		p(`ALTER TABLE %n (.*)`, (*memServer).alter),
		p(`INSERT INTO %n VALUES (.*)`, (*memServer).insert),
		p(`UPDATE %n SET (.*) WHERE (.*)`, (*memServer).update),
		p(`DELETE FROM %n(?: WHERE (.*))?`, (*memServer).remove),
		p(`UNLOGGED %n`, func(s *memServer, x *memTxn, m []string) error {
			n := row.Name{Space: m[1], Table: m[2]}
			x.items = append(x.items, memItem{kind: row.Stop, table: n, text: m[0]})
			return nil
		}),
		p(`(PARTIAL|WHOLE)`, func(s *memServer, _ *memTxn, m []string) error { s.partial = m[1] == "PARTIAL"; return nil }),
		p(`PRUNE`, func(s *memServer, _ *memTxn, _ []string) error {
			s.first += len(s.log)
			s.log = nil
			return nil
		}),
		p(`RESET`, func(s *memServer, _ *memTxn, _ []string) error {
			s.first, s.log = 1, nil
			s.history++
			return nil
		}),
	}
}

func (s *memServer) statement(x *memTxn, q string) error {
	for _, g := range memGrammar() {
		if m := g.pattern.FindStringSubmatch(q); m != nil {
			return g.run(s, x, m)
		}
	}
	return fmt.Errorf("not understood")
}

func (s *memServer) table(space, table string) (*memTable, error) {
	t := s.tables[row.Name{Space: space, Table: table}]
	if t == nil {
		return nil, fmt.Errorf("no table %s.%s", space, table)
	}
	return t, nil
}

// memList splits at commas outside of quotes and parentheses.
func memList(text string) []string {
	var out []string
	depth, quoted, from := 0, false, 0
	for i, c := range text {
		switch {
		case c == '\'':
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == ',' && depth == 0:
			out = append(out, strings.TrimSpace(text[from:i]))
			from = i + 1
		}
	}
	return append(out, strings.TrimSpace(text[from:]))
}

func memLiteral(text string) string {
	switch {
	case text == "NULL":
		return Null
	case strings.HasPrefix(text, "'"):
		return strings.Trim(text, "'")
	}
	return text
}

func memColumn(text string) row.Column {
	f := strings.Fields(text)
	c := row.Column{Name: f[0], Nullable: !strings.Contains(text, "NOT NULL") && !strings.Contains(text, "PRIMARY KEY"), Type: row.Type{Native: f[1]}}
	switch strings.ToUpper(f[1]) {
	case "INT", "BIGINT":
		c.Type.Kind, c.Type.Size = row.Int, 8
	default:
		c.Type.Kind = row.Text
	}
	if _, d, ok := strings.Cut(text, " DEFAULT "); ok {
		v := memLiteral(d)
		c.Default = &v
	}
	return c
}

func (s *memServer) create(x *memTxn, m []string) error {
	t := &row.Table{Name: row.Name{Space: m[1], Table: m[2]}, Version: 1}
	for _, item := range memList(m[3]) {
		if rest, ok := strings.CutPrefix(item, "PRIMARY KEY ("); ok {
			for _, k := range memList(strings.TrimSuffix(rest, ")")) {
				t.Key = append(t.Key, t.Column(k))
			}
			continue
		}
		t.Columns = append(t.Columns, memColumn(item))
		if strings.Contains(item, "PRIMARY KEY") {
			t.Key = []int{len(t.Columns) - 1}
		}
	}
	s.tables[t.Name] = &memTable{shape: t}
	x.items = append(x.items, memItem{kind: row.Create, table: t.Name, after: t, text: m[0]})
	return nil
}

func (s *memServer) drop(x *memTxn, m []string) error {
	n := row.Name{Space: m[1], Table: m[2]}
	delete(s.tables, n)
	x.items = append(x.items, memItem{kind: row.Drop, table: n, text: m[0]})
	return nil
}

func (s *memServer) rename(x *memTxn, m []string) error {
	t, err := s.table(m[1], m[2])
	if err != nil {
		return err
	}
	return s.reshape(x, t, m[0], func(after *row.Table, _ *memItem) { after.Name = row.Name{Space: m[3], Table: m[4]} })
}

// reshape makes change the shape of t and of all its rows.
func (s *memServer) reshape(x *memTxn, t *memTable, text string, change func(*row.Table, *memItem)) error {
	after := *t.shape
	after.Columns = slices.Clone(after.Columns)
	item := memItem{kind: row.Alter, table: t.shape.Name, after: &after, rename: map[string]string{}, text: text}
	change(&after, &item)
	ch := &row.SchemaChange{Kind: row.Alter, Before: t.shape, After: &after, Renamed: item.rename}
	before := newContent(t.shape)
	for i, cells := range t.rows {
		before.rows[fmt.Sprint(i)] = cells
	}
	delete(s.tables, t.shape.Name)
	now := &memTable{shape: &after, rows: before.reshaped(ch).list()}
	s.tables[after.Name] = now
	x.items = append(x.items, item)
	return nil
}

func (s *memServer) alter(x *memTxn, m []string) error {
	t, err := s.table(m[1], m[2])
	if err != nil {
		return err
	}
	f := strings.Fields(m[3])
	if len(f) < 3 {
		return fmt.Errorf("short")
	}
	rest := strings.Join(f[2:], " ")
	return s.reshape(x, t, m[0], func(after *row.Table, item *memItem) {
		switch f[0] {
		case "ADD":
			after.Columns = append(after.Columns, memColumn(rest))
		case "DROP":
			after.Columns = slices.Delete(after.Columns, after.Column(f[2]), after.Column(f[2])+1)
		case "RENAME":
			after.Columns[after.Column(f[2])].Name = f[4]
			item.rename[f[4]] = f[2]
		case "MODIFY":
			after.Columns[after.Column(f[2])] = memColumn(rest)
		}
	})
}

func (s *memServer) truncate(x *memTxn, m []string) error {
	t, err := s.table(m[1], m[2])
	if err != nil {
		return err
	}
	t.rows = nil
	x.items = append(x.items, memItem{op: row.Truncate, table: t.shape.Name, cells: slices.Repeat([]cell{{flag: row.Absent}}, len(t.shape.Columns))})
	return nil
}

func (s *memServer) insert(x *memTxn, m []string) error {
	t, err := s.table(m[1], m[2])
	if err != nil {
		return err
	}
	for _, r := range memList(m[3]) {
		var cells []string
		for _, l := range memList(strings.TrimSuffix(strings.TrimPrefix(r, "("), ")")) {
			cells = append(cells, memLiteral(l))
		}
		if len(cells) != len(t.shape.Columns) {
			return fmt.Errorf("%d values for %d columns", len(cells), len(t.shape.Columns))
		}
		if len(t.shape.Key) > 0 && slices.ContainsFunc(t.rows, func(o []string) bool { return keyText(t.shape, o) == keyText(t.shape, cells) }) {
			return fmt.Errorf("key %q twice", cells)
		}
		t.rows = append(t.rows, cells)
		x.items = append(x.items, s.image(row.Insert, t, cells, nil))
	}
	return nil
}

// image is a row in the log; with partial rows what is as in old is absent.
func (s *memServer) image(op row.Op, t *memTable, cells, old []string) memItem {
	item := memItem{op: op, table: t.shape.Name}
	for i, v := range cells {
		c := cell{text: v}
		if v == Null {
			c = cell{flag: row.Null}
		}
		if s.partial && old != nil && old[i] == v && !slices.Contains(t.shape.Key, i) {
			c = cell{flag: row.Absent}
		}
		item.cells = append(item.cells, c)
	}
	return item
}

func (t *memTable) match(where string) func([]string) bool {
	want := map[int]string{}
	if where != "" {
		for _, c := range strings.Split(where, " AND ") {
			name, v, _ := strings.Cut(c, " = ")
			want[t.shape.Column(name)] = memLiteral(v)
		}
	}
	return func(cells []string) bool {
		for i, v := range want {
			if cells[i] != v {
				return false
			}
		}
		return true
	}
}

func (s *memServer) update(x *memTxn, m []string) error {
	t, err := s.table(m[1], m[2])
	if err != nil {
		return err
	}
	fits := t.match(m[4])
	for i, old := range t.rows {
		if !fits(old) {
			continue
		}
		now := slices.Clone(old)
		for _, set := range memList(m[3]) {
			name, v, _ := strings.Cut(set, " = ")
			now[t.shape.Column(name)] = memLiteral(v)
		}
		if slices.Equal(old, now) {
			continue
		}
		if len(t.shape.Key) == 0 || keyText(t.shape, old) != keyText(t.shape, now) {
			x.items = append(x.items, s.image(row.Before, t, old, nil))
		}
		t.rows[i] = now
		x.items = append(x.items, s.image(row.Update, t, now, old))
	}
	return nil
}

func (s *memServer) remove(x *memTxn, m []string) error {
	t, err := s.table(m[1], m[2])
	if err != nil {
		return err
	}
	fits := t.match(m[3])
	t.rows = slices.DeleteFunc(slices.Clone(t.rows), func(cells []string) bool {
		if !fits(cells) {
			return false
		}
		x.items = append(x.items, s.image(row.Delete, t, cells, nil))
		return true
	})
	return nil
}

// Rows understands SELECT columns FROM table.
func (s *memServer) Rows(query string) ([][]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if query == "OLDEST" {
		return [][]string{{fmt.Sprint(s.first)}}, nil
	}
	list, name, ok := strings.Cut(strings.TrimPrefix(query, "SELECT "), " FROM ")
	space, table, _ := strings.Cut(name, ".")
	t, err := s.table(space, table)
	if !ok || err != nil {
		return nil, fmt.Errorf("%q: %v", query, err)
	}
	var out [][]string
	for _, cells := range t.rows {
		var r []string
		for _, c := range strings.Split(list, ", ") {
			r = append(r, cells[t.shape.Column(c)])
		}
		out = append(out, r)
	}
	return out, nil
}

func (s *memServer) shapes() []*row.Table {
	var out []*row.Table
	for _, n := range slices.SortedFunc(maps.Keys(s.tables), func(a, b row.Name) int { return strings.Compare(a.String(), b.String()) }) {
		c := *s.tables[n].shape
		out = append(out, &c)
	}
	return out
}

func memDialect() Dialect {
	key := func(columns ...string) []Column {
		var out []Column
		for _, c := range columns {
			n, typ, _ := strings.Cut(c, " ")
			out = append(out, Column{Name: n, Type: typ})
		}
		return out
	}
	return Dialect{
		Columns: []Column{{Name: "i", Type: "INT", Values: []string{"0", "-1", "9223372036854775807"}}, {Name: "v", Type: "TEXT", Values: []string{"''", "'a'", "'é'"}}},
		Partial: "PARTIAL", Whole: "WHOLE", Unlogged: "UNLOGGED %s", Prune: "PRUNE", Oldest: "OLDEST", Reset: "RESET", Silence: 200 * time.Millisecond,
		Keys: []Key{
			{Name: "integer", Columns: key("id INT"), Literals: integer},
			{Name: "composite", Columns: key("a VARCHAR", "b INT"), Literals: func(i int) []string {
				return []string{fmt.Sprintf("'k%07d'", (i+1000000)/10), fmt.Sprint((i + 1000000) % 10)}
			}},
			{Name: "none", Whole: true},
		},
	}
}
