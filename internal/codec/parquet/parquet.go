// Package parquet writes Parquet files: columns with exact logical types, in row
// groups, with a dictionary where a column has few values. Pages are made and read
// here (docs/decisions/0023-parquet-by-hand.md says why); other readers judge them.
//
// What a value becomes:
//
//	Int, Uint, Bits     INT32 or INT64 with the integer type of its size
//	Year                INT32, 16 bits
//	Float32, Float64    FLOAT, DOUBLE
//	Decimal             DECIMAL of up to 38 digits
//	Text, Enum, Labels  STRING; a text of the native type uuid is a UUID
//	JSON                JSON
//	Bytes               BYTE_ARRAY
//	Date                DATE
//	Time                TIME in microseconds
//	DateTime            TIMESTAMP in microseconds, not adjusted to UTC
//	Timestamp           TIMESTAMP in microseconds, adjusted to UTC
//
// Values that these do not have are refused, or null, or their column is text in the
// forms of package csv (codec.Unfit).
//
// A changelog has five columns before the table's: _op, _pos, _txn and _absent are
// STRING, with the same texts as package csv has, and _ts is a TIMESTAMP in UTC.
//
// The format is https://parquet.apache.org/docs/file-format/.
package parquet

import (
	"sync"

	"godwit/internal/codec"
	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/row"
)

// Every file says in its metadata which version of this form it has; one that says
// nothing has the first.
const (
	versionKey = "godwit.version"
	version    = "1"
)

// Format is the format parquet of a job file.
var Format = codec.Format{
	Name: "parquet",
	Help: "Apache Parquet: columns with types, compressed page by page.",
	Options: []option.Field{
		{Name: "compression", Kind: option.Enum, Default: "zstd", Values: []string{"zstd", "snappy", "gzip", "none"}, Help: "How pages are compressed."},
		{Name: "level", Kind: option.Int, Default: int64(0), Min: 0, Max: 22, Help: "Compression level: zstd 1 to 22, gzip 1 to 9; 0 takes a fast one."},
		{Name: "row_group", Kind: option.Size, Default: int64(16 << 20), Min: 64 << 10, Max: 1 << 30, Example: "16MiB",
			Help: "A row group ends when its columns have this size, compressed. Where many tables are written at once and memory is short, it ends earlier."},
	},
	New: open,
}

// format is a codec.Codec.
type format struct {
	pack   *packer
	group  int // bytes of a row group
	blocks blocks
	unfit  func(row.Name, string) codec.Unfit
	tables sync.Map // *row.Table → []field, for Store
}

var _ codec.Fitter = (*format)(nil)

func open(v option.Values) (codec.Codec, error) {
	name, level := v.Text("compression"), int(v.Int("level"))
	if name == "gzip" && level > 9 || (name == "none" || name == "snappy") && level != 0 {
		return nil, fault.New(fault.JobValue, "level: compression %s has no such level", name).At("%s", v.Place("level"))
	}
	p, err := newPacker(name, level)
	if err != nil {
		return nil, fault.New(fault.Internal, "compression cannot be had").By(err)
	}
	return &format{pack: p, group: int(v.Int("row_group"))}, nil
}

// Fit implements codec.Fitter.
func (f *format) Fit(unfit func(row.Name, string) codec.Unfit) codec.Codec {
	return &format{pack: f.pack, group: f.group, unfit: unfit}
}

// Extension implements codec.Codec.
func (f *format) Extension() string { return "parquet" }

// fields returns the columns of a file of shape s.
func (f *format) fields(s codec.Shape) ([]field, error) {
	var out []field
	if s.Meta {
		out = metaFields()
	}
	names := codec.Names(s)[len(out):]
	for i := range s.Table.Columns {
		one, err := newField(names[i], s.Table.Columns[i].Type, codec.UnfitOf(f.unfit, s.Table, i))
		if err != nil {
			return nil, fault.New(fault.Internal, "%s cannot be written as Parquet", s.Table.Name).By(err)
		}
		out = append(out, one)
	}
	if len(s.Table.Columns) == 0 {
		return nil, fault.New(fault.Internal, "table %s has no columns", s.Table.Name)
	}
	return out, nil
}

// Columns implements codec.Codec.
func (f *format) Columns(s codec.Shape) []string {
	fields, err := f.fields(s)
	if err != nil {
		return codec.Names(s)
	}
	out := make([]string, len(fields))
	for i := range fields {
		out[i] = fields[i].describe()
	}
	return out
}
