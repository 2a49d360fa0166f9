package cli

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/option"
)

// setsMost is how many jobs one file of values may ask for.
const setsMost = 10_000

// readValues reads the values of many jobs: rows of a CSV file, or objects of one of JSON
// lines. An empty cell leaves the parameter to its default.
func readValues(path string) ([]api.Values, error) {
	bad := func(err error) error {
		return fault.New(fault.Usage, "the file of values cannot be read").At("%s", path).By(err).
			Try("give a .csv file with the names of parameters in its first line, or a .jsonl file with an object on each line")
	}
	text, err := readFile(path)
	if err == nil && len(text) > option.MaxBytes {
		err = fmt.Errorf("it has more than %s", option.FormatSize(option.MaxBytes))
	}
	if err != nil {
		return nil, bad(err)
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	var all []api.Values
	switch strings.ToLower(filepath.Ext(path)) {
	case ".csv":
		all, err = csvValues(text)
	case ".jsonl", ".ndjson":
		all, err = jsonValues(text)
	default:
		err = errors.New("its name ends neither in .csv nor in .jsonl")
	}
	switch {
	case err != nil:
	case len(all) == 0:
		err = errors.New("there are no values in it")
	case len(all) > setsMost:
		err = fmt.Errorf("it has values for more than %d jobs", setsMost)
	}
	if err != nil {
		return nil, bad(err)
	}
	return all, nil
}

func csvValues(text []byte) (all []api.Values, err error) {
	r := csv.NewReader(bytes.NewReader(text))
	head, err := r.Read()
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	seen := map[string]bool{}
	for i, name := range head {
		head[i] = strings.TrimSpace(name)
		if err == nil && (head[i] == "" || seen[head[i]]) {
			err = fmt.Errorf("line 1: the name of column %d is empty, or there twice", i+1)
		}
		seen[head[i]] = true
	}
	for err == nil {
		var row []string
		if row, err = r.Read(); err != nil {
			break
		}
		one := api.Values{}
		for i, cell := range row {
			if cell != "" {
				one[head[i]] = cell
			}
		}
		all = append(all, one)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return all, err
}

func jsonValues(text []byte) (all []api.Values, err error) {
	n := 0
	for line := range bytes.Lines(text) {
		n++
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		one, err := objectValues(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		all = append(all, one)
	}
	return all, nil
}

// objectValues reads an object of texts. Numbers, true and false are taken as they are
// written.
func objectValues(line []byte) (api.Values, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil || fields == nil {
		return nil, errors.New("expected an object, such as {\"shard\": \"07\"}")
	}
	out := api.Values{}
	for name, raw := range fields {
		var text string
		switch raw[0] {
		case '"':
			if err := json.Unmarshal(raw, &text); err != nil {
				return nil, err
			}
		case '{', '[', 'n':
			return nil, fmt.Errorf("%.40q is no text; leave it out where its default is meant", name)
		default:
			text = string(raw)
		}
		out[name] = text
	}
	return out, nil
}
