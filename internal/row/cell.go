package row

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Flag says whether a cell has a value.
type Flag = uint8

// Flags of a cell.
const (
	Value  Flag = 0
	Null   Flag = 1
	Absent Flag = 2 // the log did not carry it; not null: the row keeps what it had
	// Foreign is only in rows that are read back from a target, or take such rows away: the
	// target has there what its column's type has no value for, as somebody else wrote it.
	// The word is that of bytes, whatever the kind (AppendForeign).
	Foreign Flag = 3
)

// ZeroTimestamp is the word of a timestamp that names no instant
// ('0000-00-00 00:00:00').
const ZeroTimestamp = math.MinInt64

// InBytes reports whether values of kind k lie in the arena; the cell's word is
// then offset<<32 | length.
func (k Kind) InBytes() bool {
	switch k {
	case Decimal, Text, Bytes, JSON, Enum, Labels:
		return true
	}
	return false
}

// AppendForeign appends what a Foreign cell has: how the target shows the value, and the
// form in which it has it.
func AppendForeign(dst []byte, text string, form []byte) []byte {
	dst = append(binary.AppendUvarint(dst, uint64(len(text))), text...)
	return append(dst, form...)
}

// ParseForeign undoes AppendForeign; form is part of p.
func ParseForeign(p []byte) (text string, form []byte) {
	n, w := binary.Uvarint(p)
	return string(p[w : w+int(n)]), p[w+int(n):]
}

// PackDate returns the word of a date: year<<9 | month<<5 | day. Words order as
// dates do; month and day may be 0.
func PackDate(year, month, day int) uint64 {
	return uint64(year)<<9 | uint64(month)<<5 | uint64(day)
}

// UnpackDate undoes PackDate.
func UnpackDate(w uint64) (year, month, day int) {
	return int(w >> 9), int(w >> 5 & 15), int(w & 31)
}

// PackDateTime returns the word of a date and time of day in microseconds:
// PackDate<<37 | microseconds of the day (below 86.4e9 < 2^37).
func PackDateTime(year, month, day int, micros int64) uint64 {
	return PackDate(year, month, day)<<37 | uint64(micros)
}

// UnpackDateTime undoes PackDateTime.
func UnpackDateTime(w uint64) (year, month, day int, micros int64) {
	year, month, day = UnpackDate(w >> 37)
	return year, month, day, int64(w & (1<<37 - 1))
}

// kindNames are durable: shapes are stored with them.
var kindNames = [...]string{Int: "int", Uint: "uint", Float32: "float32", Float64: "float64", Decimal: "decimal",
	Text: "text", Bytes: "bytes", JSON: "json", Enum: "enum", Labels: "labels", Date: "date", Time: "time",
	DateTime: "datetime", Timestamp: "timestamp", Year: "year", Bits: "bits"}

func (k Kind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// MarshalText returns the durable name.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what MarshalText wrote; an unknown name is an error.
func (k *Kind) UnmarshalText(b []byte) error {
	for i, n := range kindNames {
		if n != "" && n == string(b) {
			*k = Kind(i)
			return nil
		}
	}
	return fmt.Errorf("unknown kind %q", b)
}
