package postgres

import (
	"fmt"

	"godwit/internal/row"
)

// Types of the server that are written, by their fixed numbers, and arrays of them.
const (
	oidBytea       = 17
	oidInt8        = 20
	oidInt2        = 21
	oidInt4        = 23
	oidText        = 25
	oidJSON        = 114
	oidVarchar     = 1043
	oidJSONB       = 3802
	oidFloat4      = 700
	oidFloat8      = 701
	oidDate        = 1082
	oidTimestamp   = 1114
	oidTimestampTZ = 1184
	oidInterval    = 1186
	oidBit         = 1560
	oidNumeric     = 1700
	oidUUID        = 2950
)

// form is how a cell is written in the binary protocol.
type form uint8

const (
	asInt2 form = iota + 1
	asInt4
	asInt8
	asUnsigned // numeric of a word
	asFloat4
	asFloat8
	asNumeric
	asText
	asBytea
	asUUID
	asDate
	asInterval
	asTimestamp
	asInstant
	asBits
	asDateText
	asTimestampText
	asInstantText
	asDocument
)

// field is how a column is kept.
type field struct {
	name, quoted string
	sql          string // type as in a definition: numeric(20)
	oid, array   uint32
	form         form
	size         int // of bits; digits of fraction in texts of times
	inKey        bool
	nulls        bool // what has no form is null; else the row is refused
	// A chunk may have brought the table to a newer shape than rows of the stream have:
	// their columns that are gone are left out, those of another type are cast.
	left bool
	cast string
}

func fieldOf(t row.Type, unrepresentable string, documents bool) field {
	f := plainField(t)
	if documents && t.Kind == row.JSON {
		f = field{sql: "jsonb", oid: oidJSONB, array: 3807, form: asDocument}
	}
	f.nulls = unrepresentable == unrepresentableNull
	if unrepresentable == unrepresentableText {
		switch f.form {
		case asDate:
			f = textField(asDateText)
		case asTimestamp:
			f = textField(asTimestampText)
		case asInstant:
			f = textField(asInstantText)
		}
		f.size = max(f.size, t.Scale)
	}
	return f
}

func textField(as form) field { return field{sql: "text", oid: oidText, array: 1009, form: as} }

func plainField(t row.Type) field {
	switch t.Kind {
	case row.Int:
		return intField(t.Size)
	case row.Uint:
		if t.Size == 8 || t.Size == 0 {
			return field{sql: "numeric(20,0)", oid: oidNumeric, array: 1231, form: asUnsigned}
		}
		return intField(t.Size + 1) // one wider holds all values
	case row.Float32:
		return field{sql: "real", oid: oidFloat4, array: 1021, form: asFloat4}
	case row.Float64:
		return field{sql: "double precision", oid: oidFloat8, array: 1022, form: asFloat8}
	case row.Decimal:
		return field{sql: fmt.Sprintf("numeric(%d,%d)", t.Digits, t.Scale), oid: oidNumeric, array: 1231, form: asNumeric}
	case row.Bytes:
		return field{sql: "bytea", oid: oidBytea, array: 1001, form: asBytea}
	case row.JSON:
		return field{sql: "json", oid: oidJSON, array: 199, form: asText}
	case row.Date:
		return field{sql: "date", oid: oidDate, array: 1182, form: asDate}
	case row.Time:
		return field{sql: "interval", oid: oidInterval, array: 1187, form: asInterval}
	case row.DateTime:
		return field{sql: fmt.Sprintf("timestamp(%d)", t.Scale), oid: oidTimestamp, array: 1115, form: asTimestamp}
	case row.Timestamp:
		return field{sql: fmt.Sprintf("timestamp(%d) with time zone", t.Scale), oid: oidTimestampTZ, array: 1185, form: asInstant}
	case row.Year:
		return intField(2)
	case row.Bits:
		return field{sql: fmt.Sprintf("bit(%d)", t.Size), oid: oidBit, array: 1561, form: asBits, size: t.Size}
	case row.Text:
		if t.Native == "uuid" {
			return field{sql: "uuid", oid: oidUUID, array: 2951, form: asUUID}
		}
	}
	return textField(asText)
}

// intField returns the least integer of so many bytes.
func intField(size int) field {
	switch {
	case size <= 2 && size > 0:
		return field{sql: "smallint", oid: oidInt2, array: 1005, form: asInt2}
	case size <= 4 && size > 0:
		return field{sql: "integer", oid: oidInt4, array: 1007, form: asInt4}
	}
	return field{sql: "bigint", oid: oidInt8, array: 1016, form: asInt8}
}
