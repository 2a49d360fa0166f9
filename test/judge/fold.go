package judge

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Params say which table's state to compute, and where.
type Params struct {
	// Files are globs of the table's files: one for each folder it had.
	Files []string
	// Upto is the place of the state, a _pos; empty: after everything.
	Upto string
	// Key names the key's columns as the files call them; empty: no key.
	Key []string
	// Status is the path of status.json, and Table the table's name in it, when
	// the table's columns changed; both empty when they did not.
	Status, Table string
	// Whole takes the shorter SQL for rows without absent cells.
	Whole bool
	// Null and Delimiter are the format's options, if not the default ones.
	Null, Delimiter *string
}

// Document returns docs/reading-a-changelog.md of the module that the working
// folder lies in.
func Document() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			b, err := os.ReadFile(filepath.Join(dir, "docs", "reading-a-changelog.md"))
			if err == nil || !errors.Is(err, os.ErrNotExist) {
				return string(b), err
			}
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("docs/reading-a-changelog.md is in no folder above the working folder")
		}
		dir = up
	}
}

// FoldSQL returns the SQL of doc, the text of Document, that computes the state of
// a table for DuckDB. Its last statement gives the rows, columns in the files'
// order, all as text. The words in braces are replaced and nothing else. A table
// without any file has no rows, which is the one thing the document leaves to its
// reader.
func FoldSQL(doc string, p Params) (string, error) {
	if strings.Trim(p.Upto, "0123456789abcdef") != "" {
		return "", fmt.Errorf("upto %q is not a place", p.Upto)
	}
	if none, err := nothing(p.Files); err != nil || none {
		return "SELECT NULL WHERE false;\n", err
	}
	names := []string{"duckdb files", "duckdb entries", "duckdb state"}
	if p.Status != "" {
		names[1] = "duckdb entries by history"
	}
	switch {
	case len(p.Key) == 0:
		names[2] = "duckdb state without a key"
	case p.Whole:
		names[2] = "duckdb state of whole rows"
	}
	var script strings.Builder
	for _, n := range names {
		block, err := Block(doc, n)
		if err != nil {
			return "", err
		}
		script.WriteString(block)
		script.WriteByte('\n')
	}
	return p.fill(script.String()), nil
}

// fill puts values in place of the words in braces.
func (p Params) fill(sql string) string {
	var key, files []string
	for _, k := range p.Key {
		key = append(key, Name(k))
	}
	for _, f := range p.Files {
		files = append(files, Literal(f))
	}
	upto := p.Upto
	if upto == "" {
		upto = "g"
	}
	if p.Null != nil {
		sql = strings.Replace(sql, `nullstr = '\N'`, "nullstr = "+Literal(*p.Null), 1)
	}
	if p.Delimiter != nil {
		sql = strings.Replace(sql, `delim = ','`, "delim = "+Literal(*p.Delimiter), 1)
	}
	return strings.NewReplacer("{files}", "["+strings.Join(files, ", ")+"]", "{upto}", upto, "{key}", strings.Join(key, ", "),
		"{status}", inside(p.Status), "{table}", inside(p.Table)).Replace(sql)
}

// inside escapes s for a place within quotes.
func inside(s string) string { return strings.ReplaceAll(s, "'", "''") }

func nothing(globs []string) (bool, error) {
	for _, g := range globs {
		found, err := filepath.Glob(g)
		if err != nil || len(found) > 0 {
			return false, err
		}
	}
	return true, nil
}

// Block returns the SQL of doc that stands below the comment <!-- sql: name -->.
func Block(doc, name string) (string, error) {
	_, after, found := strings.Cut(doc, "<!-- sql: "+name+" -->\n```sql\n")
	block, _, closed := strings.Cut(after, "```")
	if !found || !closed {
		return "", fmt.Errorf("docs/reading-a-changelog.md has no SQL named %q", name)
	}
	return block, nil
}
