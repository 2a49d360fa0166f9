package main

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"godwit/test/judge"
)

// fold returns the SQL of docs/reading-a-changelog.md for one table's files: a
// script to run first, and the query of the state.
func (q *quickstart) fold(table string, columns []column) (script, state string, err error) {
	doc, err := judge.Document()
	if err != nil {
		return "", "", err
	}
	p := judge.Params{Files: []string{filepath.Join(q.lake(), "shop", table, "*.csv")}}
	for _, c := range columns {
		if c.key {
			p.Key = append(p.Key, c.name)
		}
	}
	sql, err := judge.FoldSQL(doc, p)
	if err != nil {
		return "", "", err
	}
	sql = strings.TrimSuffix(strings.TrimSpace(sql), ";")
	at := strings.LastIndex(sql, ";\n")
	if at < 0 {
		return "", "", fmt.Errorf("no files of %s are in %s", table, q.lake())
	}
	return sql[:at+2], sql[at+2:], nil
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
