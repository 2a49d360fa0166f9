// Package csv writes RFC 4180 files. A value has one text form, whether it came
// by snapshot or by stream:
//
//	Int, Uint, Bits  decimal digits, a leading - where negative
//	Float32, Float64 the shortest text that reads back as the same number:
//	                 digits from 1e-6 up to 1e21, otherwise 1.5e-07;
//	                 NaN, Inf, -Inf
//	Decimal          as the cell holds it: [-]digits[.digits], Scale digits
//	Text, JSON,      the text itself
//	Enum, Labels
//	Bytes            lower-case hexadecimal, or base64 with padding (option binary)
//	Date             YYYY-MM-DD; zero and partial dates as they are: 2024-00-00
//	Time             [-]HH:MM:SS[.f], three digits of hours from 100 on
//	DateTime         YYYY-MM-DD HH:MM:SS[.f], no zone; partial dates as they are
//	Timestamp        as DateTime, in UTC; ZeroTimestamp is 0000-00-00 00:00:00[.f]
//	Year             four digits
//
// where [.f] is exactly Type.Scale digits, nothing for 0.
//
// A null cell and an absent one are the null text, never quoted. A field is
// quoted if it is empty, equal to the null text, or holds the delimiter, the
// quote, CR or LF; a quote inside is doubled. So an empty text and null differ
// for every reader that looks at quotes.
//
// A changelog has five columns before the table's. _op is a letter. _pos is the
// row's place in lower-case hexadecimal (row.AppendPos). _ts is the commit time as
// 2026-11-21T14:05:20.123456Z: with T and Z it is one and the same instant in
// DuckDB, Spark and pyarrow, whatever zone a session has; a text without zone
// would not be. It is null when unknown, as _txn is. _absent names the columns
// that the log did not carry, as the file's header calls them, joined by commas;
// in a name, % is written %25 and a comma %2C, so that splitting at commas is
// safe. It is empty in all other rows and in those of op t (two quotes if the null
// text is empty).
package csv

import (
	"fmt"
	"io"
	"strings"

	"godwit/internal/codec"
	"godwit/internal/codec/text"
	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/row"
)

// Format is the format csv of a job file.
var Format = codec.Format{
	Name:    "csv",
	Help:    "Comma-separated values as RFC 4180 has them, UTF-8. Null and the empty text differ.",
	Options: fields(),
	New:     open,
}

func fields() []option.Field {
	return append([]option.Field{
		{Name: "dialect", Kind: option.Enum, Default: "rfc4180", Values: []string{"rfc4180", "spark", "hive", "openmldb"}, Help: "Whose files they are: sets the options below, as far as they are not given. docs/file-formats.md says how each is read."},
		{Name: "header", Kind: option.Bool, Default: true, Help: "Whether each file begins with the names of its columns. `spark`, `hive` and `openmldb`: no."},
		{Name: "null", Kind: option.Text, Default: `\N`, Help: "What stands for null, never quoted; a value equal to it is quoted. With an empty text, null is nothing between two delimiters and an empty value is two quotes. `openmldb`: `null`.", Example: `""`},
		{Name: "delimiter", Kind: option.Text, Default: ",", Help: "One ASCII character between fields. Letters, digits, space and `+-./:=_` are not possible. `hive`: the character 1.", Example: `"\t"`},
		{Name: "quote", Kind: option.Text, Default: `"`, Help: "One ASCII character around fields that need it."},
		{Name: "quoting", Kind: option.Enum, Default: "needed", Values: []string{"needed", "text", "none"}, Help: "Which fields are quoted: those that need it, all of texts (`openmldb`), or none (`hive`), where a backslash stands before what would need it, and a line end is `\\n` or `\\r`."},
		{Name: "escape", Kind: option.Enum, Default: "double", Values: []string{"double", "backslash"}, Help: "How a quote stands inside quotes: doubled, or behind a backslash, as a backslash then does too. `spark`, `hive`, `openmldb`: `backslash`."},
		{Name: "line_end", Kind: option.Enum, Default: "lf", Values: []string{"lf", "crlf"}, Help: "What ends a line."},
		{Name: "binary", Kind: option.Enum, Default: "hex", Values: []string{"hex", "base64"}, Help: "How binary values are written: `hex` sorts as the bytes do, `base64` is a third shorter. `hive`: `base64`."},
		{Name: "timestamps", Kind: option.Enum, Default: "plain", Values: []string{"plain", "instant"}, Help: "How moments are written, both in UTC: `plain` 2026-11-21 14:05:20, or `instant` 2026-11-21T14:05:20Z, which is the same to readers in every zone. `spark`: `instant`."},
	}, text.CompressionFields()...)
}

// format is a codec.Codec: options, checked.
type format struct {
	header    bool
	null      string
	delimiter byte
	quote     byte
	crlf      bool
	base64    bool
	backslash bool // the escape; else quotes are doubled
	bare      bool // nothing is quoted
	allText   bool // all texts are quoted
	instants  bool
	infinity  string
	blind     bool
	unfit     func(row.Name, string) codec.Unfit
	// clash: the text of some bytes may equal the null text.
	clash bool
	none  []byte // _absent of a row with none
	pack  *text.Compression
	scan  scanner
}

// maxNull bounds the null text: it is written for every null cell.
const maxNull = 32

func open(v option.Values) (codec.Codec, error) {
	c := choose(v)
	f := &format{
		header:    c.flag("header", c.header),
		null:      c.text("null", c.null),
		crlf:      v.Text("line_end") == "crlf",
		base64:    c.text("binary", c.binary) == "base64",
		backslash: c.text("escape", c.escape) == "backslash",
		bare:      c.text("quoting", c.quoting) == "none",
		allText:   c.text("quoting", c.quoting) == "text",
		instants:  c.text("timestamps", c.moments) == "instant",
		infinity:  c.infinity,
		blind:     c.blind,
	}
	var err error
	if f.delimiter, err = sign(v, "delimiter", c.text("delimiter", c.delimiter)); err != nil {
		return nil, err
	}
	if f.quote, err = sign(v, "quote", c.text("quote", c.quote)); err != nil {
		return nil, err
	}
	if f.delimiter == f.quote {
		return nil, value(v, "quote", "the quote and the delimiter are the same character")
	}
	if f.bare && !f.backslash {
		return nil, value(v, "quoting", "without quotes the escape must be backslash")
	}
	if f.backslash && (f.delimiter == '\\' || f.quote == '\\') {
		return nil, value(v, "escape", "the backslash is the delimiter or the quote")
	}
	if why := f.badNull(); why != "" {
		return nil, value(v, "null", why)
	}
	if f.pack, err = text.NewCompression(v); err != nil {
		return nil, err
	}
	f.clash = f.base64 && len(f.null)%4 == 0 || strings.Trim(f.null, hexDigits) == ""
	if f.null == "" && !f.bare || f.allText {
		f.none = []byte{f.quote, f.quote}
	}
	f.scan = newScanner(f.delimiter, f.quote, f.backslash)
	return f, nil
}

func value(v option.Values, name, why string) error {
	return fault.New(fault.JobValue, "%s: %s", name, why).At("%s", v.Place(name))
}

// sign reads an option of one ASCII character that no scalar's text contains.
func sign(v option.Values, name, s string) (byte, error) {
	if len(s) != 1 || s[0] >= 0x7f || s[0] == 0 || strings.ContainsAny(s, " \r\n+-./:=_%") || alphanumeric(s[0]) {
		return 0, value(v, name, "expected one ASCII character that is no letter, digit, space, line end or one of + - . / : = _ %")
	}
	return s[0], nil
}

func alphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

// badNull tells why the null text cannot be told from values that are never
// quoted, or "".
func (f *format) badNull() string {
	n := f.null
	switch {
	case n == "":
		if f.bare {
			return "could be an empty text, where nothing is quoted"
		}
		return ""
	case f.bare && n != `\N`:
		return `must be \N where nothing is quoted`
	case len(n) > maxNull:
		return "longer than 32 bytes"
	case strings.ContainsAny(n, "\r\n\x00") || strings.IndexByte(n, f.delimiter) >= 0 || strings.IndexByte(n, f.quote) >= 0:
		return "contains the delimiter, the quote, a line end or NUL"
	case strings.TrimSpace(n) != n:
		return "begins or ends with a space"
	case strings.IndexByte("0123456789+-.", n[0]) >= 0, n == "NaN", n == "Inf":
		return "could be a number"
	case len(n) == 1 && strings.Contains("riudt", n):
		return "could be the op of a row"
	case len(n) >= 16 && strings.Trim(n, hexDigits) == "":
		return "could be the place of a row"
	}
	return ""
}

// Extension implements codec.Codec.
func (f *format) Extension() string {
	return "csv" + f.pack.Extension()
}

// Columns implements codec.Codec.
func (f *format) Columns(s codec.Shape) []string {
	names := codec.Names(s)
	out := make([]string, len(names))
	at := len(names) - len(s.Table.Columns)
	for i, n := range names {
		if i < at {
			out[i] = n + " " + [...]string{"letter", "hexadecimal", "time in UTC", "text", "names"}[i]
			continue
		}
		out[i] = n + " " + f.describe(s.Table.Columns[i-at].Type)
		if f.gap(s.Table.Columns[i-at].Type.Kind) {
			out[i] += fmt.Sprintf("; the value %q: %s", f.null, [...]string{"error", "null", "error"}[codec.UnfitOf(f.unfit, s.Table, i-at)])
		}
	}
	return out
}

// describe says in what form values of type t are written.
func (f *format) describe(t row.Type) string {
	switch t.Kind {
	case row.Int, row.Uint, row.Bits:
		return "integer"
	case row.Float32, row.Float64:
		return "float"
	case row.Decimal:
		return "decimal"
	case row.Bytes:
		if f.base64 {
			return "base64"
		}
		return "hex"
	case row.JSON:
		return "json"
	case row.Date:
		return "date"
	case row.Time:
		return "duration"
	case row.DateTime:
		return "date and time"
	case row.Timestamp:
		return "time in UTC"
	case row.Year:
		return "year"
	}
	return "text"
}

// NewEncoder implements codec.Codec.
func (f *format) NewEncoder(w io.Writer, s codec.Shape) (codec.Encoder, error) {
	if len(s.Table.Columns) == 0 {
		return nil, fault.New(fault.Internal, "table %s has no columns", s.Table.Name)
	}
	e := &encoder{format: f, shape: s, out: text.NewOutput(w, f.pack)}
	for i := range s.Table.Columns {
		p, err := f.plan(&s.Table.Columns[i])
		if err != nil {
			return nil, err
		}
		p.unfit = codec.UnfitOf(f.unfit, s.Table, i)
		if f.gap(p.kind) {
			e.gaps = append(e.gaps, i)
		}
		e.plans = append(e.plans, p)
	}
	names := codec.Names(s)
	if s.Meta {
		e.meta.names = names[len(codec.MetaColumns):]
	}
	if f.header {
		for _, n := range names {
			e.title([]byte(n))
		}
		e.endLine()
	}
	return e, nil
}
