package json_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"godwit/internal/codec"
	"godwit/internal/codec/codectest"
	"godwit/internal/row"
)

// readStd reads a file with encoding/json.
func readStd(path string, s codec.Shape, set map[string]any) ([][]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var in io.Reader = bufio.NewReader(file)
	if set["compression"] == "gzip" {
		if in, err = gzip.NewReader(in); err != nil {
			return nil, err
		}
	}
	all, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	names := codec.Names(s)
	meta := len(names) - len(s.Table.Columns)
	var rows [][]string
	for line := range bytes.Lines(all) {
		var object map[string]json.RawMessage
		if err := json.Unmarshal(line, &object); err != nil {
			return nil, err
		}
		if len(object) != len(names) {
			return nil, fmt.Errorf("%d keys, not %d", len(object), len(names))
		}
		var cells []string
		for i, n := range names {
			t := row.Type{Kind: row.Text}
			if i >= meta {
				t = s.Table.Columns[i-meta].Type
			}
			v, err := value(t, object[n])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", n, err)
			}
			cells = append(cells, v)
		}
		rows = append(rows, cells)
	}
	return rows, nil
}

// value returns a value as codectest.Text does.
func value(t row.Type, raw json.RawMessage) (string, error) {
	if string(raw) == "null" || raw == nil {
		return codectest.Null, nil
	}
	if t.Kind == row.JSON {
		return string(raw), nil
	}
	v := string(raw)
	if raw[0] == '"' {
		if err := json.Unmarshal(raw, &v); err != nil {
			return "", err
		}
	}
	switch t.Kind {
	case row.Bytes:
		b, err := base64.StdEncoding.DecodeString(v)
		return hex.EncodeToString(b), err
	case row.DateTime, row.Timestamp:
		return strings.Replace(strings.TrimSuffix(v, "Z"), "T", " ", 1), nil
	case row.Year:
		return fmt.Sprintf("%04s", v), nil
	}
	return v, nil
}
