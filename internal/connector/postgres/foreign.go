package postgres

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"godwit/internal/row"
)

// This file has values that columns of the target may have and no source has: infinity in
// a column of dates, NaN in one of numbers. Somebody else wrote them.

// Signs of numerics that are no numbers.
const (
	signNegative = 0x4000
	signNaN      = 0xc000
	signPlus     = 0xd000 // infinity
	signMinus    = 0xf000 // -infinity
)

// foreign reports whether a value that was read back is none of that kind.
func (f *field) foreign(kind row.Kind, v []byte) bool {
	switch f.form {
	case asInt2, asInt4, asInt8:
		return v[0]&0x80 != 0 && kind != row.Int
	case asUnsigned:
		return !isUnsigned(v)
	case asNumeric:
		return binary.BigEndian.Uint16(v[4:]) >= signNaN
	case asDate:
		return !hasYear(int64(int32(binary.BigEndian.Uint32(v))) + epochDays)
	case asInterval:
		return binary.BigEndian.Uint64(v[8:]) != 0 // days and months
	case asTimestamp, asInstant:
		days, _ := dayOf(int64(binary.BigEndian.Uint64(v)))
		return !hasYear(days)
	}
	return false
}

// isUnsigned reports whether a numeric is an integer of 64 bits.
func isUnsigned(v []byte) bool {
	weight, sign, scale := int16(binary.BigEndian.Uint16(v[2:])), binary.BigEndian.Uint16(v[4:]), binary.BigEndian.Uint16(v[6:])
	switch {
	case sign != 0 || scale != 0 || weight > 4:
		return false
	case weight < 4: // less than 16 digits
		return true
	}
	digits, _ := appendDigits(nil, v)
	_, err := strconv.ParseUint(string(digits), 10, 64)
	return err == nil
}

// hasYear reports whether a day, counted from 1970, lies in a year that dates have.
func hasYear(days int64) bool { return days >= firstDay && days <= lastDay }

// dayOf divides microseconds from the year 2000 on: into the days from 1970 on, and the rest.
func dayOf(micros int64) (days, rest int64) {
	days, rest = micros/dayMicros, micros%dayMicros
	if rest < 0 {
		days, rest = days-1, rest+dayMicros
	}
	return days + epochDays, rest
}

// appendForeign appends a foreign cell as it was read: its length and its binary form.
func appendForeign(dst []byte, b *row.Batch, word uint64) []byte {
	_, form := row.ParseForeign(b.Data(word))
	return appendBytes(dst, form)
}

// foreignText is a foreign value as the server prints it.
func (f *field) foreignText(v []byte) string {
	switch f.form {
	case asInt2:
		return strconv.Itoa(int(int16(binary.BigEndian.Uint16(v))))
	case asInt4:
		return strconv.Itoa(int(int32(binary.BigEndian.Uint32(v))))
	case asInt8:
		return strconv.FormatInt(int64(binary.BigEndian.Uint64(v)), 10)
	case asUnsigned, asNumeric:
		return numericText(v)
	case asInterval:
		return intervalText(v)
	case asDate:
		days := int32(binary.BigEndian.Uint32(v))
		if days == math.MaxInt32 || days == math.MinInt32 {
			return infinity(days > 0)
		}
		return dayText(int64(days)+epochDays, "")
	case asTimestamp, asInstant:
		micros := int64(binary.BigEndian.Uint64(v))
		if micros == math.MaxInt64 || micros == math.MinInt64 {
			return infinity(micros > 0)
		}
		days, rest := dayOf(micros)
		clock := " " + clockText(rest)
		if f.form == asInstant {
			clock += "+00"
		}
		return dayText(days, clock)
	}
	return "0x" + clip(hex.EncodeToString(v), maxShown)
}

func infinity(positive bool) string {
	if positive {
		return "infinity"
	}
	return "-infinity"
}

func numericText(v []byte) string {
	switch binary.BigEndian.Uint16(v[4:]) {
	case signNaN:
		return "NaN"
	case signPlus:
		return "Infinity"
	case signMinus:
		return "-Infinity"
	}
	digits, _ := appendDigits(nil, v)
	return string(digits)
}

// dayText is a day from 1970 on, and what follows it before the era.
func dayText(days int64, clock string) string {
	year, month, day := time.Unix(days*86400, 0).UTC().Date()
	era := ""
	if year <= 0 {
		year, era = 1-year, " BC"
	}
	return fmt.Sprintf("%04d-%02d-%02d", year, month, day) + clock + era
}

// clockText is a span in microseconds, not below zero, without zeros behind the point.
func clockText(micros int64) string {
	seconds := micros / 1_000_000
	out := fmt.Sprintf("%02d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
	if micros %= 1_000_000; micros != 0 {
		out += strings.TrimRight(fmt.Sprintf(".%06d", micros), "0")
	}
	return out
}

// intervalText is an interval that has days or months. What is positive behind a part that
// is not has its sign.
func intervalText(v []byte) string {
	micros, days, months := int64(binary.BigEndian.Uint64(v)), int32(binary.BigEndian.Uint32(v[8:])), int32(binary.BigEndian.Uint32(v[12:]))
	if ends := (months == math.MaxInt32 || months == math.MinInt32) && (micros == math.MaxInt64 || micros == math.MinInt64); ends {
		return infinity(months > 0)
	}
	var parts []string
	below := false
	sign := func() string {
		if below {
			return "+"
		}
		return ""
	}
	for _, p := range []struct {
		n    int32
		unit string
	}{{months / 12, "year"}, {months % 12, "mon"}, {days, "day"}} {
		if p.n == 0 {
			continue
		}
		text := strconv.Itoa(int(p.n)) + " " + p.unit
		if p.n > 0 {
			text = sign() + text
		}
		if p.n != 1 {
			text += "s"
		}
		parts, below = append(parts, text), p.n < 0
	}
	switch {
	case micros < 0:
		parts = append(parts, "-"+clockText(-micros))
	case micros > 0:
		parts = append(parts, sign()+clockText(micros))
	}
	return strings.Join(parts, " ")
}
