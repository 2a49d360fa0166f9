package mysql

import (
	"context"
	"slices"
	"strings"

	"godwit/internal/fault"
	"godwit/internal/row"
)

// link is a foreign key that changes rows of the child along with the parent's.
type link struct{ child, parent row.Name }

// showMost is how many tables are shown by one message.
const showMost = 64

// links returns the foreign keys of these tables of a database that cascade, whoever
// their parents are. A table that is gone has none.
func (c *conn) links(ctx context.Context, space string, tables []string) (out []link, err error) {
	if c.mysql {
		return c.linksListed(ctx, space, tables)
	}
	if err := c.allowMany(ctx); err != nil {
		return nil, err
	}
	for part := range slices.Chunk(tables, showMost) {
		found, err := c.linksShown(ctx, space, part)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

// linksListed reads MySQL's catalogue.
func (c *conn) linksListed(ctx context.Context, space string, tables []string) (out []link, err error) {
	ask := "SELECT TABLE_NAME, UNIQUE_CONSTRAINT_SCHEMA, REFERENCED_TABLE_NAME, UPDATE_RULE, DELETE_RULE FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = " + quoteText(space)
	if len(tables) == 1 {
		ask += " AND TABLE_NAME = " + quoteText(tables[0])
	}
	wanted := map[string]bool{}
	for _, t := range tables {
		wanted[t] = true
	}
	err = c.each(ctx, ask, func(v []value) error {
		if wanted[v[0].text()] && (follows(v[3].text()) || follows(v[4].text())) {
			out = append(out, link{row.Name{Space: space, Table: v[0].text()}, row.Name{Space: v[1].text(), Table: v[2].text()}})
		}
		return nil
	})
	return out, err
}

func follows(rule string) bool {
	return rule == "CASCADE" || rule == "SET NULL" || rule == "SET DEFAULT"
}

// linksShown reads the statements that would make the tables: MariaDB's catalogue hides
// foreign keys from who may do no more with a table than SELECT.
func (c *conn) linksShown(ctx context.Context, space string, tables []string) (out []link, err error) {
	var ask []string
	for _, t := range tables {
		ask = append(ask, "SHOW CREATE TABLE "+tableName(row.Name{Space: space, Table: t}))
	}
	shown, err := c.together(ctx, ask...)
	switch {
	case fault.Has(err, fault.SourceShape) && len(tables) == 1:
		return nil, nil
	case fault.Has(err, fault.SourceShape): // one of them is gone: nothing behind it was answered
		first, err := c.linksShown(ctx, space, tables[:len(tables)/2])
		if err != nil {
			return nil, err
		}
		second, err := c.linksShown(ctx, space, tables[len(tables)/2:])
		return append(first, second...), err
	case err != nil:
		return nil, err
	}
	for i, rows := range shown {
		if len(rows) == 1 && len(rows[0]) > 1 {
			out = append(out, linksIn(rows[0][1].text(), row.Name{Space: space, Table: tables[i]})...)
		}
	}
	return out, nil
}

// linksIn reads the foreign keys that cascade in what SHOW CREATE TABLE printed.
func linksIn(text string, child row.Name) (out []link) {
	if !strings.Contains(text, "FOREIGN KEY") {
		return nil
	}
	w := words{tokensUpTo(text, true, false, len(text))} // keys stand last: behind all labels of all enums
	for len(w.t) > 0 {
		if !w.skipAll("FOREIGN", "KEY") {
			w.t = w.t[1:]
			continue
		}
		w.skipTo("REFERENCES")
		space, table, ok := w.name()
		w.skipTo(")")
		if !w.follows() || !ok {
			continue
		}
		if space == "" {
			space = child.Space
		}
		out = append(out, link{child, row.Name{Space: space, Table: table}})
	}
	return out
}

// skipTo takes everything up to and with the word.
func (w *words) skipTo(word string) {
	for len(w.t) > 0 && !w.skip(word) {
		w.t = w.t[1:]
	}
}

// follows takes what stands behind the columns of a foreign key, and reports whether one
// of its rules changes the child.
func (w *words) follows() (yes bool) {
	for w.skipAll("ON", "DELETE") || w.skipAll("ON", "UPDATE") {
		switch {
		case w.skip("CASCADE"), w.skipAll("SET", "NULL"), w.skipAll("SET", "DEFAULT"):
			yes = true
		case w.skip("RESTRICT"), w.skipAll("NO", "ACTION"):
		}
	}
	return yes
}
