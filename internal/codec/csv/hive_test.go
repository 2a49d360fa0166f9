package csv_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"os"
	"strings"

	"godwit/internal/codec"
	"godwit/internal/codec/codectest"
	"godwit/internal/row"
)

// readHive reads a file by the rules of Hive's LazySimpleSerDe: rows are lines, fields
// are divided at the delimiter unless a backslash stands before it, a field that is
// \N as it stands is null, and only then are backslashes undone.
func readHive(path string, s codec.Shape) ([][]string, error) {
	all, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	first := len(codec.Names(s)) - len(s.Table.Columns)
	var rows [][]string
	for line := range bytes.Lines(all) {
		var cells []string
		for i, f := range hiveFields(strings.TrimSuffix(string(line), "\n")) {
			switch {
			case f == `\N`:
				f = codectest.Null
			case i >= first && s.Table.Columns[i-first].Type.Kind == row.Bytes:
				b, err := base64.StdEncoding.DecodeString(f)
				if err != nil {
					return nil, err
				}
				f = hex.EncodeToString(b)
			default:
				f = hiveText(f)
			}
			cells = append(cells, f)
		}
		rows = append(rows, cells)
	}
	return rows, nil
}

func hiveFields(line string) []string {
	var out []string
	first, escaped := 0, false
	for i := range len(line) {
		switch {
		case escaped:
			escaped = false
		case line[i] == '\\':
			escaped = true
		case line[i] == 1:
			out = append(out, line[first:i])
			first = i + 1
		}
	}
	return append(out, line[first:])
}

func hiveText(f string) string {
	var b strings.Builder
	for i := 0; i < len(f); i++ {
		if f[i] == '\\' && i+1 < len(f) {
			i++
			switch f[i] {
			case 'n':
				b.WriteByte('\n')
				continue
			case 'r':
				b.WriteByte('\r')
				continue
			}
		}
		b.WriteByte(f[i])
	}
	return b.String()
}
