// Package json writes JSON lines: each row is an object on a line of its own, with a
// key for each column, in the order of the table. Values are in these forms:
//
//	Int, Uint, Bits  a number, whatever its size; with big_numbers text, those of
//	                 columns that may be beyond 2^53 are texts
//	Float32, Float64 a number; NaN, Inf and -Inf as texts
//	Decimal          the digits of package csv as a text, or as a number (decimals)
//	Text, Enum,      a text
//	Labels
//	JSON             the value itself, as the source writes it, line ends as spaces;
//	                 or a text (documents text)
//	Bytes            a text in base64, or lower-case hexadecimal (binary)
//	Date, Time       a text as package csv has it
//	DateTime         a text YYYY-MM-DDTHH:MM:SS[.f]
//	Timestamp        a text YYYY-MM-DDTHH:MM:SS[.f]Z
//	Year             a number
//
// A null cell is null, and so is an absent one. The columns of a changelog are texts
// with the contents that package csv documents; _absent is empty in most rows.
//
// As a value, a JSON column cannot hold a text that is no JSON, nor JSON's null,
// which readers take for a cell without a value: they are refused, or null, or the
// column is text (codec.Unfit).
package json

import (
	"encoding/json"
	"io"

	"godwit/internal/codec"
	"godwit/internal/codec/text"
	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/row"
)

// Format is the format json of a job file.
var Format = codec.Format{
	Name: "json",
	Help: "JSON lines: an object for each row, UTF-8.",
	Options: append([]option.Field{
		{Name: "big_numbers", Kind: option.Enum, Default: "number", Values: []string{"number", "text"}, Help: "How integers of columns of 8 bytes are written, which readers that hold numbers as floats change beyond 2^53."},
		{Name: "decimals", Kind: option.Enum, Default: "text", Values: []string{"text", "number"}, Help: "How decimals are written: as numbers they keep all digits too, but many readers round them."},
		{Name: "documents", Kind: option.Enum, Default: "value", Values: []string{"value", "text"}, Help: "How JSON columns are written: as the value they are, or as a text."},
		{Name: "binary", Kind: option.Enum, Default: "base64", Values: []string{"base64", "hex"}, Help: "How binary values are written."},
	}, text.CompressionFields()...),
	New: open,
}

// format is a codec.Codec.
type format struct {
	bigText     bool
	decimalText bool
	documents   bool // as values
	base64      bool
	pack        *text.Compression
	unfit       func(row.Name, string) codec.Unfit
}

var (
	_ codec.Fitter   = (*format)(nil)
	_ codec.Decoding = (*format)(nil)
)

func open(v option.Values) (codec.Codec, error) {
	pack, err := text.NewCompression(v)
	return &format{
		bigText:     v.Text("big_numbers") == "text",
		decimalText: v.Text("decimals") == "text",
		documents:   v.Text("documents") == "value",
		base64:      v.Text("binary") == "base64",
		pack:        pack,
	}, err
}

// Fit implements codec.Fitter.
func (f *format) Fit(unfit func(row.Name, string) codec.Unfit) codec.Codec {
	g := *f
	g.unfit = unfit
	return &g
}

// Extension implements codec.Codec.
func (f *format) Extension() string { return "jsonl" + f.pack.Extension() }

// form is how the cells of a column are written.
type form uint8

const (
	formNumber   form = iota + 1 // bare digits
	formFloat                    // the same, or a text
	formDecimal                  // bare digits of bytes
	formQuoted                   // a text without escapes
	formText                     // a text
	formBytes                    // base64 or hexadecimal
	formDocument                 // a value
	formDateTime                 // with T
	formMoment                   // with T and Z
)

// column is a column of a file.
type column struct {
	key   []byte // as it stands before each value, with what separates it
	form  form
	t     row.Type
	unfit codec.Unfit
	at    text.Timestamps
}

// formOf returns how values of column i of t are written.
func (f *format) formOf(t *row.Table, i int) form {
	k := t.Columns[i].Type
	switch k.Kind {
	case row.Int, row.Uint, row.Bits, row.Year:
		if f.bigText && wide(k) {
			return formQuoted
		}
		return formNumber
	case row.Float32, row.Float64:
		return formFloat
	case row.Decimal:
		if f.decimalText {
			return formText
		}
		return formDecimal
	case row.JSON:
		if f.documents && codec.UnfitOf(f.unfit, t, i) != codec.AsText {
			return formDocument
		}
	case row.Bytes:
		return formBytes
	case row.Date, row.Time:
		return formQuoted
	case row.DateTime:
		return formDateTime
	case row.Timestamp:
		return formMoment
	}
	return formText
}

// wide reports whether integers of type t may be beyond 2^53.
func wide(t row.Type) bool {
	switch t.Kind {
	case row.Bits:
		return t.Size > 53 || t.Size == 0
	case row.Year:
		return false
	}
	return t.Size > 6 || t.Size == 0
}

// Columns implements codec.Codec.
func (f *format) Columns(s codec.Shape) []string {
	names := codec.Names(s)
	meta := len(names) - len(s.Table.Columns)
	for i := range names {
		label := "text"
		if i >= meta {
			label = f.label(s.Table, i-meta)
		}
		names[i] += " " + label
	}
	return names
}

func (f *format) label(t *row.Table, i int) string {
	switch f.formOf(t, i) {
	case formNumber, formFloat, formDecimal:
		return "number"
	case formBytes:
		if f.base64 {
			return "base64"
		}
		return "hex"
	case formDocument:
		return "value; null and what is no JSON: " + [...]string{"error", "null"}[codec.UnfitOf(f.unfit, t, i)]
	}
	return "text"
}

// holds reports whether a document can be a value.
func holds(p []byte) bool { return json.Valid(p) && string(trim(p)) != "null" }

// trim takes off what JSON allows around a value.
func trim(p []byte) []byte {
	space := func(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
	for len(p) > 0 && space(p[0]) {
		p = p[1:]
	}
	for len(p) > 0 && space(p[len(p)-1]) {
		p = p[:len(p)-1]
	}
	return p
}

// NewEncoder implements codec.Codec.
func (f *format) NewEncoder(w io.Writer, s codec.Shape) (codec.Encoder, error) {
	if len(s.Table.Columns) == 0 {
		return nil, fault.New(fault.Internal, "table %s has no columns", s.Table.Name)
	}
	e := &encoder{format: f, shape: s, out: text.NewOutput(w, f.pack)}
	names := codec.Names(s)
	meta := len(names) - len(s.Table.Columns)
	e.names = names[meta:]
	keys := make(map[string]bool, len(names))
	for i, n := range names {
		if keys[n] {
			return nil, fault.New(fault.Internal, "table %s has two columns %q", s.Table.Name, n)
		}
		keys[n] = true
		before := byte(',')
		if i == 0 {
			before = '{'
		}
		key := append(appendText([]byte{before}, []byte(n)), ':')
		if i < meta {
			e.keys = append(e.keys, key)
			continue
		}
		t := s.Table.Columns[i-meta].Type
		c := column{key: key, form: f.formOf(s.Table, i-meta), t: t, unfit: codec.UnfitOf(f.unfit, s.Table, i-meta), at: text.Timestamps{Scale: t.Scale}}
		if t.Kind == 0 || t.Kind > row.Bits {
			return nil, fault.New(fault.Internal, "column %s has the unknown kind %d", n, t.Kind)
		}
		e.columns = append(e.columns, c)
	}
	return e, nil
}
