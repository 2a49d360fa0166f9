package parquet

import (
	"fmt"
	"math"

	"godwit/internal/codec"
	"godwit/internal/row"
)

// Physical types of the format.
const (
	physInt32  = 1
	physInt64  = 2
	physFloat  = 4
	physDouble = 5
	physBytes  = 6
	physFixed  = 7
)

// how says by what function a cell becomes a value of the file.
type how uint8

const (
	asWord       how = iota + 1 // the word; narrow columns check that it fits
	asDate                      // days since 1970-01-01
	asDateTime                  // microseconds since 1970-01-01 00:00:00, no zone
	asTime                      // microseconds since midnight
	asTimestamp                 // microseconds since 1970-01-01T00:00:00Z
	asDecimal                   // the digits as one number, at most 18 of them
	asBigDecimal                // the same, in big-endian two's complement
	asUUID                      // sixteen bytes
	asBytes                     // the bytes themselves
	asJSON                      // the same, if they are JSON: readers refuse files where they are not
	asText                      // the text form of the cell
	asMeta                      // a column of a changelog, which is not from a cell
)

// field is a column of a file, as its schema says.
type field struct {
	name      string
	source    row.Type
	how       how
	physical  int
	width     int // bytes of a value; 0: they differ
	signed    bool
	bits      int // asWord: of an integer; 0: all words fit
	digits    int // decimals
	scale     int
	converted int // the older form of logical; -1: none
	logical   func(*thrift)
	label     string // as plan shows it
	gap       string // the values it cannot hold, for people; empty: it holds all
	unfit     codec.Unfit
	texted    bool // it is text because of unfit
	sorts     bool // has statistics
}

// maxDigits is the longest decimal that readers of Parquet agree on.
const maxDigits = 38

// newField returns the column for cells of type t.
func newField(name string, t row.Type, unfit codec.Unfit) (field, error) {
	f := field{name: name, source: t, unfit: unfit, converted: -1}
	switch t.Kind {
	case row.Int:
		f.integer(t.Size, true)
	case row.Uint:
		f.integer(t.Size, false)
	case row.Bits:
		f.integer((max(t.Size, 1)+7)/8, false)
		if t.Size == 0 {
			f.integer(8, false)
		}
	case row.Year:
		f.integer(2, true)
	case row.Float32:
		f.how, f.physical, f.width, f.label = asWord, physFloat, 4, "FLOAT"
	case row.Float64:
		f.how, f.physical, f.width, f.label = asWord, physDouble, 8, "DOUBLE"
	case row.Decimal:
		f.decimal(t)
	case row.Text:
		f.text()
		if t.Native == "uuid" {
			f.uuid()
		}
	case row.Enum, row.Labels:
		f.text()
	case row.JSON:
		f.how, f.physical, f.label, f.converted = asJSON, physBytes, "JSON", 19
		f.logical, f.gap = empty(12), "texts that are no JSON"
	case row.Bytes:
		f.how, f.physical, f.label = asBytes, physBytes, "BINARY"
	case row.Date:
		f.how, f.physical, f.width, f.signed, f.label, f.converted, f.sorts = asDate, physInt32, 4, true, "DATE", 6, true
		f.logical, f.gap = empty(6), "zero and partial dates"
	case row.Time:
		f.clock(asTime, 7, false, "TIME")
		f.gap = "times below 0 and from 24 h on"
	case row.DateTime:
		f.clock(asDateTime, 8, false, "TIMESTAMP")
		f.gap = "zero and partial dates"
	case row.Timestamp:
		f.clock(asTimestamp, 8, true, "TIMESTAMP UTC")
		f.gap, f.converted = "the zero timestamp", 10
	default:
		return f, fmt.Errorf("column %s has the unknown kind %d", name, t.Kind)
	}
	if f.gap != "" && unfit == codec.AsText {
		how := asText
		if t.Kind.InBytes() {
			how = asBytes
		}
		f = field{name: name, source: t, unfit: unfit, texted: true}
		f.text()
		f.how = how
	}
	return f, nil
}

// empty is a logical type without parameters.
func empty(id int) func(*thrift) {
	return func(t *thrift) {
		t.begin(id)
		t.end()
	}
}

func (f *field) text() {
	f.how, f.physical, f.label, f.converted, f.logical = asBytes, physBytes, "STRING", 0, empty(1)
}

func (f *field) uuid() {
	f.how, f.physical, f.width, f.label, f.converted, f.logical = asUUID, physFixed, 16, "UUID", -1, empty(14)
	f.gap = "texts that are no UUID in small letters"
}

// integer takes as many bytes as the source does; the format has 1, 2, 4 and 8.
func (f *field) integer(size int, signed bool) {
	bits := 64
	for i, n := range []int{1, 2, 4} {
		if size > 0 && size <= n {
			bits = 8 << i
			break
		}
	}
	f.how, f.physical, f.width, f.signed, f.bits, f.sorts = asWord, physInt32, 4, signed, bits, true
	if bits == 64 {
		f.physical, f.width = physInt64, 8
	}
	f.label, f.converted = fmt.Sprintf("INT(%d)", bits), map[int]int{8: 15, 16: 16, 32: 17, 64: 18}[bits]
	if !signed {
		f.label, f.converted = fmt.Sprintf("UINT(%d)", bits), f.converted-4
	}
	f.logical = func(t *thrift) {
		t.begin(10)
		t.byte(1, byte(bits))
		t.bool(2, signed)
		t.end()
	}
}

func (f *field) decimal(t row.Type) {
	f.digits, f.scale = max(t.Digits, t.Scale, 1), t.Scale
	if t.Digits == 0 || f.digits > maxDigits {
		f.digits = maxDigits
		f.gap = fmt.Sprintf("decimals of more than %d digits", maxDigits)
	}
	f.how, f.physical, f.width, f.signed, f.sorts = asDecimal, physInt32, 4, true, true
	switch {
	case f.digits > 18:
		f.how, f.physical, f.sorts = asBigDecimal, physFixed, false
		f.width = int(math.Ceil((float64(f.digits)*math.Log2(10) + 1) / 8))
	case f.digits > 9:
		f.physical, f.width = physInt64, 8
	}
	f.label, f.converted = fmt.Sprintf("DECIMAL(%d,%d)", f.digits, f.scale), 5
	f.logical = func(t *thrift) {
		t.begin(5)
		t.int32(1, int64(f.scale))
		t.int32(2, int64(f.digits))
		t.end()
	}
}

// clock is a time of day or a moment, in microseconds.
func (f *field) clock(h how, id int, utc bool, label string) {
	f.how, f.physical, f.width, f.signed, f.label, f.sorts = h, physInt64, 8, true, label, true
	f.logical = func(t *thrift) {
		t.begin(id)
		t.bool(1, utc)
		t.begin(2)
		t.begin(2) // microseconds
		t.end()
		t.end()
		t.end()
	}
}

// metaFields are the columns of a changelog.
func metaFields() []field {
	out := make([]field, len(codec.MetaColumns))
	for i, n := range codec.MetaColumns {
		f := field{name: n, converted: -1}
		if n == "_ts" {
			f.clock(asMeta, 8, true, "TIMESTAMP UTC")
			f.converted = 10
		} else {
			f.text()
		}
		f.how = asMeta
		out[i] = f
	}
	out[1].sorts = true
	return out
}

// schema appends the field's element of a file's schema.
func (f *field) schema(t *thrift) {
	t.element()
	t.int32(1, int64(f.physical))
	if f.physical == physFixed {
		t.int32(2, int64(f.width))
	}
	t.int32(3, 1) // optional: the log may not have carried a cell
	t.text(4, f.name)
	if f.converted >= 0 {
		t.int32(6, int64(f.converted))
	}
	if f.digits > 0 {
		t.int32(7, int64(f.scale))
		t.int32(8, int64(f.digits))
	}
	if f.logical != nil {
		t.begin(10)
		f.logical(t)
		t.end()
	}
	t.end()
}

// describe is what plan shows.
func (f *field) describe() string {
	if f.gap == "" || f.unfit == codec.AsText {
		return f.name + " " + f.label
	}
	return f.name + " " + f.label + "; " + f.gap + ": " + [...]string{"error", "null"}[f.unfit]
}
