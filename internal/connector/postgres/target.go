package postgres

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"godwit/internal/row"
)

// maxName is how many bytes of a name the server keeps.
const maxName = 63

// systemColumns are names that no column may have.
var systemColumns = []string{"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}

// nameOf returns the name that something of the source has in the target: its own,
// cut where it is too long, with a part that keeps names apart which differ behind
// the cut.
func nameOf(name string) string {
	if len(name) <= maxName {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return fmt.Sprintf("%s_%x", clipTo(name, maxName-9), sum[:4])
}

func clipTo(s string, n int) string {
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}

func columnName(name string) string {
	if slices.Contains(systemColumns, name) {
		return name + "_"
	}
	return nameOf(name)
}

// target is how one version of a table is kept.
type target struct {
	table        *row.Table
	schema, name string
	qualified    string // quoted
	fields       []field
	key          []int // columns of the primary key; empty: none
	exact        bool  // columns and types are the table's own
	sorts        bool  // rows may be sent in any order: no index but that of the key is unique
	frees        bool  // rows may go and be put again: no foreign key refers to the table
	crosses      bool  // they must, as rows take one another's place in such an index
}

// target returns how t is kept.
func (c config) target(t *row.Table) *target {
	g := &target{table: t, schema: nameOf(t.Name.Space), name: nameOf(t.Name.Table), key: t.Key, exact: true}
	if c.schema != "" {
		g.schema = c.schema
	}
	g.qualified = quote(g.schema) + "." + quote(g.name)
	for i, col := range t.Columns {
		f := fieldOf(col.Type, c.unrepresentable, c.documents(t))
		f.name = columnName(col.Name)
		f.quoted = quote(f.name)
		f.inKey = slices.Contains(t.Key, i)
		if f.inKey {
			f.nulls = false
		}
		g.fields = append(g.fields, f)
	}
	return g
}

// names lists columns for SQL, each behind prefix.
func (g *target) names(columns []int, prefix string) string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = prefix + g.fields[c].quoted
	}
	return strings.Join(out, ", ")
}

// all are the numbers of all columns.
func (g *target) all() []int {
	out := make([]int, len(g.fields))
	for i := range out {
		out[i] = i
	}
	return out
}

// create is the statement that makes the table. Only columns of the key are not
// null: what is absent from the log or has no form here is null elsewhere.
func (g *target) create() string {
	var parts []string
	for _, f := range g.fields {
		parts = append(parts, f.definition())
	}
	if len(g.key) > 0 {
		parts = append(parts, "PRIMARY KEY ("+g.names(g.key, "")+")")
	}
	return "CREATE TABLE " + g.qualified + " (" + strings.Join(parts, ", ") + ")"
}

func (f *field) definition() string {
	d := f.quoted + " " + f.sql
	if f.inKey {
		d += " NOT NULL"
	}
	return d
}

// unnest is a query of columns, as c0, c1 and so on, that come as one array each. They have the types of the columns: no cast is needed, and
// one to bit would cut. In the list of what is selected they are taken apart as they
// are needed; behind FROM each would be put aside first.
func (g *target) unnest(columns []int) string {
	parts := make([]string, len(columns))
	for i, c := range columns {
		parts[i] = fmt.Sprintf("unnest($%d)", i+1)
		if cast := g.fields[c].cast; cast != "" {
			parts[i] += "::" + cast
		}
		parts[i] += fmt.Sprintf(" AS c%d", i)
	}
	return "SELECT " + strings.Join(parts, ", ")
}
