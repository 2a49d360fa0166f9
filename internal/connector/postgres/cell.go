package postgres

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"godwit/internal/row"
)

// Lengths of cells that have no bytes.
const (
	lengthNull   = 0xffffffff // as the protocol has it
	lengthAbsent = 0xfffffffe // only in rows that wait for a commit
)

// The server counts from the year 2000.
const (
	epochDays   = 10957
	epochMicros = 946684800_000000
)

// appendCell appends a value: its length and its binary form. why is not empty when
// the value has no such form; nothing is appended then.
func (f *field) appendCell(dst []byte, b *row.Batch, w uint64) (out []byte, why string) {
	switch f.form {
	case asInt2:
		return binary.BigEndian.AppendUint16(append(dst, 0, 0, 0, 2), uint16(w)), ""
	case asInt4:
		return binary.BigEndian.AppendUint32(append(dst, 0, 0, 0, 4), uint32(w)), ""
	case asFloat4:
		return binary.BigEndian.AppendUint32(append(dst, 0, 0, 0, 4), uint32(w)), ""
	case asInt8, asFloat8:
		return binary.BigEndian.AppendUint64(append(dst, 0, 0, 0, 8), w), ""
	case asUnsigned:
		var digits [20]byte
		return appendNumeric(dst, strconv.AppendUint(digits[:0], w, 10))
	case asNumeric:
		return appendNumeric(dst, b.Data(w))
	case asBytea:
		return appendBytes(dst, b.Data(w)), ""
	case asText:
		p := b.Data(w)
		if bytes.IndexByte(p, 0) >= 0 {
			return dst, "PostgreSQL has no texts with the character NUL"
		}
		return appendBytes(dst, p), ""
	case asDocument:
		p := b.Data(w)
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(p)+1))
		return append(append(dst, jsonbVersion), p...), ""
	case asUUID:
		return appendUUID(dst, b.Data(w))
	case asBits:
		return appendBits(dst, w, f.size), ""
	case asInterval:
		dst = binary.BigEndian.AppendUint64(append(dst, 0, 0, 0, 16), w)
		return append(dst, 0, 0, 0, 0, 0, 0, 0, 0), ""
	}
	return f.appendMoment(dst, w)
}

// jsonbVersion begins a document in the binary form of jsonb.
const jsonbVersion = 1

func appendBytes(dst, p []byte) []byte {
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(p))), p...)
}

func (f *field) appendMoment(dst []byte, w uint64) (out []byte, why string) {
	switch f.form {
	case asDate:
		days, ok := daysOf(w)
		if !ok {
			return dst, "PostgreSQL has no such date: " + string(appendDate(nil, w))
		}
		return binary.BigEndian.AppendUint32(append(dst, 0, 0, 0, 4), uint32(days-epochDays)), ""
	case asTimestamp:
		days, ok := daysOf(w >> 37)
		if !ok {
			return dst, "PostgreSQL has no such date: " + string(appendDateTime(nil, w, f.size))
		}
		_, _, _, micros := row.UnpackDateTime(w)
		return binary.BigEndian.AppendUint64(append(dst, 0, 0, 0, 8), uint64(days*86400_000000+micros-epochMicros)), ""
	case asInstant:
		if int64(w) == row.ZeroTimestamp {
			return dst, "PostgreSQL has no such time: 0000-00-00 00:00:00"
		}
		return binary.BigEndian.AppendUint64(append(dst, 0, 0, 0, 8), uint64(int64(w)-epochMicros)), ""
	}
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	switch f.form {
	case asDateText:
		dst = appendDate(dst, w)
	case asTimestampText:
		dst = appendDateTime(dst, w, f.size)
	case asInstantText:
		dst = appendInstant(dst, int64(w), f.size)
	}
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst, ""
}

// daysOf returns the days from 1970-01-01 to a date; false: there is no such date,
// as it has a part of zero or a day that the month does not have.
func daysOf(w uint64) (days int64, ok bool) {
	year, month, day := row.UnpackDate(w)
	if year == 0 || month == 0 || month > 12 || day == 0 {
		return 0, false
	}
	t := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	return t.Unix() / 86400, t.Day() == day && (t.Unix()%86400 == 0)
}

// dayMicros is the length of a day; firstDay and lastDay are those of the years that
// dates have.
const (
	dayMicros = 86400_000000
	firstDay  = -719162
	lastDay   = 2932896
)

// dateOf undoes daysOf.
func dateOf(days int64) uint64 {
	t := time.Unix(days*86400, 0).UTC()
	return row.PackDate(t.Year(), int(t.Month()), t.Day())
}

func appendDate(dst []byte, w uint64) []byte {
	year, month, day := row.UnpackDate(w)
	return fmt.Appendf(dst, "%04d-%02d-%02d", year, month, day)
}

func appendDateTime(dst []byte, w uint64, digits int) []byte {
	_, _, _, micros := row.UnpackDateTime(w)
	dst = append(appendDate(dst, w>>37), ' ')
	seconds := micros / 1_000_000
	dst = fmt.Appendf(dst, "%02d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
	return appendFraction(dst, micros%1_000_000, digits)
}

func appendInstant(dst []byte, micros int64, digits int) []byte {
	if micros == row.ZeroTimestamp {
		return appendFraction(append(dst, "0000-00-00 00:00:00"...), 0, digits)
	}
	t := time.UnixMicro(micros).UTC()
	return appendFraction(t.AppendFormat(dst, "2006-01-02 15:04:05"), int64(t.Nanosecond()/1000), digits)
}

func appendFraction(dst []byte, micros int64, digits int) []byte {
	if digits == 0 {
		return dst
	}
	at := len(dst)
	return fmt.Appendf(dst, ".%06d", micros)[:at+1+digits]
}

// appendBits appends a bit string: the number of bits, then these from the first on.
func appendBits(dst []byte, w uint64, n int) []byte {
	size := (n + 7) / 8
	dst = binary.BigEndian.AppendUint32(dst, uint32(4+size))
	dst = binary.BigEndian.AppendUint32(dst, uint32(n))
	var all [8]byte
	binary.BigEndian.PutUint64(all[:], w<<(64-n))
	return append(dst, all[:size]...)
}

func appendUUID(dst, p []byte) (out []byte, why string) {
	var plain [32]byte
	n := 0
	for _, c := range p {
		if c == '-' {
			continue
		}
		if n == len(plain) {
			return dst, "it is not a UUID"
		}
		plain[n] = c
		n++
	}
	at := len(dst)
	dst = append(append(dst, 0, 0, 0, 16), make([]byte, 16)...)
	if _, err := hex.Decode(dst[at+4:], plain[:]); err != nil || n != len(plain) {
		return dst[:at], "it is not a UUID"
	}
	return dst, ""
}

// appendNumeric appends a number from its digits, [-]digits[.digits], as groups of
// four decimal digits.
func appendNumeric(dst, text []byte) (out []byte, why string) {
	negative := len(text) > 0 && text[0] == '-'
	if negative {
		text = text[1:]
	}
	whole, fraction := text, []byte(nil)
	if p := bytes.IndexByte(text, '.'); p >= 0 {
		whole, fraction = text[:p], text[p+1:]
	}
	at := len(dst)
	dst = append(dst, make([]byte, 12)...) // length, groups, weight, sign, scale
	first := len(dst)
	groups := (len(whole) + 3) / 4
	weight := groups - 1
	for g := range groups {
		end := len(whole) - 4*(groups-1-g)
		n := number(whole[max(0, end-4):end])
		if n == 0 && len(dst) == first {
			weight--
			continue
		}
		dst = binary.BigEndian.AppendUint16(dst, n)
	}
	for p := 0; p < len(fraction); p += 4 {
		part := fraction[p:min(p+4, len(fraction))]
		n := number(part)
		for range 4 - len(part) {
			n *= 10
		}
		if n == 0 && len(dst) == first {
			weight--
			continue
		}
		dst = binary.BigEndian.AppendUint16(dst, n)
	}
	for len(dst) > first && dst[len(dst)-1] == 0 && dst[len(dst)-2] == 0 {
		dst = dst[:len(dst)-2]
	}
	if len(dst) == first {
		weight, negative = 0, false
	}
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	binary.BigEndian.PutUint16(dst[at+4:], uint16((len(dst)-first)/2))
	binary.BigEndian.PutUint16(dst[at+6:], uint16(weight))
	if negative {
		dst[at+8] = 0x40
	}
	binary.BigEndian.PutUint16(dst[at+10:], uint16(len(fraction)))
	return dst, ""
}

func number(digits []byte) (n uint16) {
	for _, c := range digits {
		n = n*10 + uint16(c-'0')
	}
	return n
}
