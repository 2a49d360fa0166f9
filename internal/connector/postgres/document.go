package postgres

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"godwit/internal/row"
)

// This file has documents in columns of the type jsonb, which keeps what a text of JSON
// says and not how it is written: blanks, the order of keys and all but the last of keys
// that are alike are gone.

// plainDocument writes a document in the one form that all texts of JSON with the same
// meaning have, so that what was sent and what jsonb holds can be compared: keys in
// order, the last of each, no blanks, numbers without needless zeros. A text that is no
// JSON is returned as it is.
func plainDocument(text []byte) []byte {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return text
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return text
	}
	return appendDocument(nil, v)
}

func appendDocument(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case bool:
		return strconv.AppendBool(b, v)
	case json.Number:
		return appendPlainNumber(b, string(v))
	case string:
		return appendString(b, v)
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendDocument(b, e)
		}
		return append(b, ']')
	}
	members := v.(map[string]any) // the decoder makes nothing else
	keys := make([]string, 0, len(members))
	for k := range members {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	b = append(b, '{')
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, k), ':')
		b = appendDocument(b, members[k])
	}
	return append(b, '}')
}

func appendString(b []byte, s string) []byte {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // a text
	}
	return append(b, text...)
}

// appendPlainNumber writes a number as its digits, without zeros around them, and the
// power of ten that they are multiplied by.
func appendPlainNumber(b []byte, text string) []byte {
	text, exponent, _ := cutExponent(text)
	sign := strings.HasPrefix(text, "-")
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(text, "-"), ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	exponent -= len(fraction)
	short := strings.TrimRight(digits, "0")
	exponent += len(digits) - len(short)
	if short == "" {
		return append(b, '0')
	}
	if sign {
		b = append(b, '-')
	}
	b = append(b, short...)
	if exponent != 0 {
		b = strconv.AppendInt(append(b, 'e'), int64(exponent), 10)
	}
	return b
}

// cutExponent takes a number apart before its exponent. One that cannot be counted is 0:
// the target has no such number.
func cutExponent(text string) (rest string, exponent int, ok bool) {
	i := strings.IndexAny(text, "eE")
	if i < 0 {
		return text, 0, true
	}
	exponent, err := strconv.Atoi(strings.TrimPrefix(text[i+1:], "+"))
	return text[:i], exponent, err == nil
}

// documents reports whether columns of JSON are kept as jsonb. Those of a table without
// a key are not: its rows are told by how they are written.
func (c config) documents(t *row.Table) bool { return c.json == jsonBinary && len(t.Key) > 0 }
