package route

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"godwit/internal/expression"
	"godwit/internal/fault"
	"godwit/internal/row"
)

// Router are the rules of one sink: those of its job, then its own. Every rule that names
// a table is applied, in this order, to what the ones before have made of it. A nil
// Router changes nothing. It may be used concurrently.
type Router struct {
	rules []Rule
	mu    sync.Mutex
	taken map[row.Name]row.Name // names in the target, and whose they are
}

// New returns the Router of rules; nil: there are none.
func New(rules []Rule) *Router {
	if len(rules) == 0 {
		return nil
	}
	return &Router{rules: rules, taken: map[row.Name]row.Name{}}
}

// path is what becomes of one version of a table.
type path struct {
	from, to *row.Table // to nil: it is left out
	cells    []*expression.Expression
	where    []*expression.Expression
	plain    bool // the cells are as they were
	key      []bool
	reads    []int // columns that cells come from
}

// Table returns t as the sink gets it; nil: it does not. An error says what of the rules
// does not fit the table.
func (r *Router) Table(t *row.Table) (*row.Table, error) {
	p, err := r.path(t)
	return p.to, err
}

// Filters reports whether some rows of a table are left out.
func (r *Router) Filters(t *row.Table) bool {
	p, err := r.path(t)
	return err == nil && p.to != nil && len(p.where) > 0
}

// Tables is Table of several; those that are left out are not in the result.
func (r *Router) Tables(tables []*row.Table) ([]*row.Table, error) {
	if r == nil {
		return tables, nil
	}
	var out []*row.Table
	for _, t := range tables {
		to, err := r.Table(t)
		if err != nil {
			return nil, err
		}
		if to != nil {
			out = append(out, to)
		}
	}
	return out, nil
}

// path finds what becomes of t.
func (r *Router) path(t *row.Table) (path, error) {
	if r == nil {
		return path{from: t, to: t, plain: true}, nil
	}
	s, found := state{name: t.Name, scope: expression.Of(t)}, false
	for i := range r.rules {
		rule := &r.rules[i]
		if !rule.Tables.Match(t.Name) {
			continue
		}
		if found = true; rule.Omit {
			return path{from: t}, nil
		}
		if err := rule.apply(&s); err != nil {
			return path{from: t}, about(t, err)
		}
	}
	if !found {
		return path{from: t, to: t, plain: true, cells: s.scope.Meaning}, r.claim(t.Name, t.Name)
	}
	p, err := s.path(t)
	if err != nil {
		return path{from: t}, about(t, err)
	}
	return p, r.claim(s.name, t.Name)
}

// about adds the table to an error.
func about(t *row.Table, err error) error {
	f := (*fault.Error)(nil)
	if !errors.As(err, &f) {
		f = fault.New(fault.JobValue, "rules: %v", err)
	}
	f.What = fmt.Sprintf("table %s: %s", t.Name, f.What)
	return f
}

// claim refuses a name that a table of another name has in the target.
func (r *Router) claim(name, by row.Name) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if of, ok := r.taken[name]; ok && of != by {
		return fault.New(fault.JobValue, "the rules give the tables %s and %s one name, %s", of, by, name).
			Try("rename one of them otherwise, or leave it out: omit: true")
	}
	r.taken[name] = by
	return nil
}

// path is what t becomes by the rules that made s.
func (s *state) path(t *row.Table) (path, error) {
	to := *t
	to.Name, to.Columns, to.Key = s.name, nil, nil
	p := path{from: t, to: &to, cells: s.scope.Meaning, where: s.where}
	p.plain = len(s.where) == 0 && len(p.cells) == len(t.Columns)
	for i, e := range p.cells {
		c := row.Column{Name: s.scope.Names[i], Type: e.Type(), Nullable: e.Nullable()}
		if e.Column() >= 0 {
			c = t.Columns[e.Column()]
			c.Name = s.scope.Names[i]
		}
		to.Columns = append(to.Columns, c)
		p.plain = p.plain && e.Column() == i
		for _, col := range e.Columns() {
			if !slices.Contains(p.reads, col) {
				p.reads = append(p.reads, col)
			}
		}
	}
	err := s.keyed(&p)
	return p, err
}

// keyed finds the key of the target.
func (s *state) keyed(p *path) error {
	p.key = make([]bool, len(p.cells))
	if len(s.key) > 0 {
		return s.declared(p)
	}
	for _, k := range p.from.Key {
		i := slices.IndexFunc(p.cells, func(e *expression.Expression) bool { return e.Column() == k })
		if i < 0 {
			return fmt.Errorf("column %s of its key is left out or changed; "+
				"keep it, or declare what tells the target's rows apart: key: […]", p.from.Columns[k].Name)
		}
		p.to.Key, p.key[i] = append(p.to.Key, i), true
	}
	return nil
}

// declared takes the key that rules declare. Updates that change it are only seen where
// the log tells of the old row: where the key of the source changes, or there is none.
func (s *state) declared(p *path) error {
	for _, name := range s.key {
		i := slices.Index(s.scope.Names, name)
		if i < 0 {
			return fmt.Errorf("key: no column is called %s; there are %s", name, strings.Join(s.scope.Names, ", "))
		}
		if p.to.Columns[i].Nullable {
			return fmt.Errorf("key: column %s can be null", name)
		}
		for _, c := range p.cells[i].Columns() {
			if len(p.from.Key) > 0 && !slices.Contains(p.from.Key, c) {
				return fmt.Errorf("key: column %s follows from %s, which is not in the table's key: a change of it would leave the old row behind", name, p.from.Columns[c].Name)
			}
		}
		p.to.Key, p.key[i] = append(p.to.Key, i), true
	}
	return nil
}

// change returns c as the sink gets it; nil: it is not for it. from and to are what
// becomes of its tables.
func change(c *row.SchemaChange, from, to path) *row.SchemaChange {
	out := *c
	out.Before, out.After, out.Renamed = from.to, to.to, nil
	switch {
	case c.Kind == row.Create && out.After == nil, c.Kind == row.Drop && out.Before == nil:
		return nil
	case c.Kind != row.Alter && c.Kind != row.Stop:
		return &out
	case out.After == nil:
		return nil // it is left out under its new name: what was written stays
	case out.Before == nil:
		out.Kind = row.Create
		return &out
	}
	out.Renamed = renamed(c.Renamed, from, to)
	return &out
}

// renamed tells which columns of the target got another name with the change.
func renamed(source map[string]string, from, to path) map[string]string {
	out := map[string]string{}
	for i, c := range to.to.Columns {
		col := i
		if !to.plain {
			col = to.cells[i].Column()
		}
		if col < 0 {
			continue
		}
		was, ok := source[to.from.Columns[col].Name]
		if !ok {
			continue
		}
		for k, b := range from.to.Columns {
			old := k
			if !from.plain {
				old = from.cells[k].Column()
			}
			if old >= 0 && from.from.Columns[old].Name == was && b.Name != c.Name {
				out[c.Name] = b.Name
			}
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}
