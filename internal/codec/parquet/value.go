package parquet

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math"
	"math/bits"

	"godwit/internal/row"
)

const dayMicros = 24 * 3600 * 1_000_000

// fixed returns the value of a cell of 4 or 8 bytes, and whether the file can hold
// it. Narrow signed values are extended.
func (f *field) fixed(b *row.Batch, w uint64) (uint64, bool) {
	switch f.how {
	case asWord:
		return w, f.fits(w)
	case asDecimal:
		return parseDecimal(b.Data(w), f.digits, f.scale)
	case asDate:
		d, ok := days(w)
		return uint64(d), ok && int64(int32(d)) == d
	case asDateTime:
		d, ok := days(w >> 37)
		micros := int64(w & (1<<37 - 1))
		if d > math.MaxInt64/dayMicros-1 {
			return 0, false
		}
		return uint64(d*dayMicros + micros), ok && micros < dayMicros
	case asTime:
		return w, w < dayMicros // negative ones are huge
	case asTimestamp:
		return w, int64(w) != row.ZeroTimestamp
	}
	return 0, false
}

// holds reports whether the column can hold the value of a cell.
func (f *field) holds(b *row.Batch, w uint64) bool {
	ok := true
	switch f.how {
	case asBytes, asText:
	case asJSON:
		ok = json.Valid(b.Data(w))
	case asBigDecimal, asUUID:
		_, ok = f.packed(nil, b.Data(w))
	default:
		_, ok = f.fixed(b, w)
	}
	return ok
}

// fits reports whether an integer has no more bits than its column.
func (f *field) fits(w uint64) bool {
	switch {
	case f.bits == 0, f.bits == 64:
		return true
	case f.signed:
		return int64(w)<<(64-f.bits)>>(64-f.bits) == int64(w)
	}
	return w>>f.bits == 0
}

// days returns the days from 1970-01-01 to a date in the word of a cell, and whether
// there is such a day: from the year 1 on, in the calendar that all of them follow.
func days(w uint64) (int64, bool) {
	year, month, day := w>>9, int64(w>>5&15), int64(w&31)
	if year == 0 || year > 6_000_000 || month == 0 || month > 12 || day == 0 || day > 31 {
		return 0, false
	}
	y := int64(year)
	if day > 28 && day > monthDays(y, month) {
		return 0, false
	}
	// Years from March on, in eras of 400 years, so that the leap day ends one.
	if month <= 2 {
		y--
	}
	era := y / 400
	yoe := y - era*400
	doy := (153*((month+9)%12)+2)/5 + day - 1
	return era*146097 + yoe*365 + yoe/4 - yoe/100 + doy - 719468, true
}

func monthDays(y, m int64) int64 {
	switch {
	case m == 2 && (y%4 != 0 || y%100 == 0 && y%400 != 0):
		return 28
	case m == 2:
		return 29
	case m == 4, m == 6, m == 9, m == 11:
		return 30
	}
	return 31
}

// parseDecimal reads [-]digits[.digits] with exactly scale digits after the point
// as a number of units of the last one, of at most as many digits.
func parseDecimal(p []byte, digits, scale int) (uint64, bool) {
	negative := len(p) > 0 && p[0] == '-'
	if negative {
		p = p[1:]
	}
	if !framed(p, scale) || len(p) > 20 {
		return 0, false
	}
	v := uint64(0)
	for i, c := range p {
		if d := c - '0'; d <= 9 {
			v = v*10 + uint64(d)
		} else if c != '.' || i != len(p)-scale-1 {
			return 0, false
		}
	}
	if v >= tens[digits] {
		return 0, false
	}
	if negative {
		v = -v
	}
	return v, true
}

// tens are the powers of ten.
var tens = [19]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18}

// framed reports whether p has a digit, and the point where scale says.
func framed(p []byte, scale int) bool {
	if scale == 0 {
		return len(p) > 0
	}
	return len(p) > scale+1 && p[len(p)-scale-1] == '.'
}

// appendDecimal appends the number that parseDecimal reads, of up to maxDigits
// digits, in width bytes.
func appendDecimal(b, p []byte, digits, scale, width int) ([]byte, bool) {
	negative := len(p) > 0 && p[0] == '-'
	if negative {
		p = p[1:]
	}
	if !framed(p, scale) || len(p) > maxDigits+2 {
		return b, false
	}
	var hi, lo uint64
	n := 0
	for i, c := range p {
		d := c - '0'
		if d > 9 {
			if c != '.' || i != len(p)-scale-1 {
				return b, false
			}
			continue
		}
		if n > 0 || d > 0 {
			n++
		}
		if n > digits {
			return b, false
		}
		over, low := bits.Mul64(lo, 10)
		carry := uint64(0)
		lo, carry = bits.Add64(low, uint64(d), 0)
		hi = hi*10 + over + carry
	}
	if negative {
		borrow := uint64(0)
		lo, borrow = bits.Sub64(0, lo, 0)
		hi, _ = bits.Sub64(0, hi, borrow)
	}
	var whole [16]byte
	binary.BigEndian.PutUint64(whole[:], hi)
	binary.BigEndian.PutUint64(whole[8:], lo)
	return append(b, whole[16-width:]...), true
}

// appendUUID appends the sixteen bytes of a UUID in its usual form: small letters,
// hyphens in their places.
func appendUUID(b, p []byte) ([]byte, bool) {
	if len(p) != 36 || p[8] != '-' || p[13] != '-' || p[18] != '-' || p[23] != '-' {
		return b, false
	}
	var digits [32]byte
	n := copy(digits[:], p[:8])
	n += copy(digits[n:], p[9:13])
	n += copy(digits[n:], p[14:18])
	n += copy(digits[n:], p[19:23])
	copy(digits[n:], p[24:])
	for _, c := range digits {
		if 'A' <= c && c <= 'F' {
			return b, false
		}
	}
	out, err := hex.AppendDecode(b, digits[:])
	return out, err == nil
}

// magnitude is a signed number without its sign.
func magnitude(w uint64) uint64 {
	if int64(w) < 0 {
		return -w
	}
	return w
}

// appendDigits appends the number hi·2^64+lo of units of the last of scale digits.
func appendDigits(b []byte, negative bool, hi, lo uint64, scale int) []byte {
	var digits [48]byte
	at := len(digits)
	for n := 0; n <= scale || hi|lo > 0; n++ {
		if n == scale && scale > 0 {
			at--
			digits[at] = '.'
		}
		q, r := bits.Div64(0, hi, 10)
		low, rest := bits.Div64(r, lo, 10)
		hi, lo = q, low
		at--
		digits[at] = '0' + byte(rest)
		if at < 2 {
			break
		}
	}
	if negative {
		b = append(b, '-')
	}
	return append(b, digits[at:]...)
}

// appendWide appends what appendDecimal made of a decimal.
func appendWide(b, p []byte, scale int) []byte {
	if len(p) == 0 || len(p) > 16 {
		return b
	}
	var whole [16]byte
	if p[0] >= 0x80 {
		for i := range whole {
			whole[i] = 0xff
		}
	}
	copy(whole[16-len(p):], p)
	hi, lo := binary.BigEndian.Uint64(whole[:]), binary.BigEndian.Uint64(whole[8:])
	negative := hi>>63 == 1
	if negative {
		borrow := uint64(0)
		lo, borrow = bits.Sub64(0, lo, 0)
		hi, _ = bits.Sub64(0, hi, borrow)
	}
	return appendDigits(b, negative, hi, lo, scale)
}
