package text

import (
	"encoding/binary"
	"encoding/hex"

	"godwit/internal/fault"
	"godwit/internal/row"
)

// Append appends the text form of a value of type t: of the bytes data when its kind
// is in bytes, else of word. Bytes are in hexadecimal.
func Append(b []byte, t row.Type, word uint64, data []byte) []byte {
	if cap(b)-len(b) < MaxScalar {
		b = append(make([]byte, 0, len(b)+MaxScalar), b...)
	}
	switch t.Kind {
	case row.Int:
		return AppendInt(b, int64(word))
	case row.Uint, row.Bits:
		return AppendUint(b, word)
	case row.Float32:
		return AppendFloat32(b, word)
	case row.Float64:
		return AppendFloat64(b, word)
	case row.Bytes:
		return hex.AppendEncode(b, data)
	case row.Date:
		return AppendDate(b, word)
	case row.Time:
		return AppendTime(b, int64(word), t.Scale)
	case row.DateTime:
		return AppendDateTime(b, word, t.Scale)
	case row.Timestamp:
		at := Timestamps{Scale: t.Scale}
		return at.Append(b, int64(word))
	case row.Year:
		return AppendYear(b, int(word))
	}
	return append(b, data...)
}

// maxShown is how much of a value a message shows.
const maxShown = 80

// show returns the text of cell k of a row, for people.
func show(b *row.Batch, t *row.Table, k int, word uint64, flag row.Flag) string {
	switch flag {
	case row.Null:
		return "null"
	case row.Absent:
		return "absent"
	}
	var data []byte
	if t.Columns[k].Type.Kind.InBytes() {
		if data = b.Data(word); len(data) > maxShown {
			data = data[:maxShown]
		}
	}
	v := Append(nil, t.Columns[k].Type, word, data)
	if len(v) > maxShown {
		return string(v[:maxShown]) + "…"
	}
	return string(v)
}

// Refusal is the error for row i of section s of b, whose cell k cannot be held by
// what is named, such as "Parquet's DATE".
func Refusal(b *row.Batch, s *row.Section, i, k int, what string) *fault.Error {
	words, flags := b.Cells(s, i)
	t := s.Table
	key := ""
	for _, c := range t.Key {
		if key != "" {
			key += ", "
		}
		key += t.Columns[c].Name + " " + show(b, t, c, words[c], flags[c])
	}
	if key == "" {
		key = "no key"
	}
	return fault.New(fault.RowRefused, "%s, row with %s: %s cannot hold the value %q of column %s",
		t.Name, key, what, show(b, t, k, words[k], flags[k]), t.Columns[k].Name).
		Try("choose what becomes of such values of the column with `unrepresentable` (null or text), or mend the row in the source")
}

const ones = 0x0101010101010101

// AnyAbsent reports whether a flag says row.Absent.
func AnyAbsent(flags []row.Flag) bool {
	var all uint64
	for ; len(flags) >= 8; flags = flags[8:] {
		all |= binary.LittleEndian.Uint64(flags)
	}
	for _, f := range flags {
		all |= uint64(f)
	}
	return all&(uint64(row.Absent)*ones) != 0
}
