// Package text has what formats of text share: the forms of values, reading them, and
// the buffered and compressed output of a file. A value has one form (package csv
// says which), whatever the format.
package text

import (
	"bytes"
	"math"
	"math/bits"
	"strconv"

	"godwit/internal/row"
)

// pairs has the two digits of every number below 100.
const pairs = "00010203040506070809" +
	"10111213141516171819" +
	"20212223242526272829" +
	"30313233343536373839" +
	"40414243444546474849" +
	"50515253545556575859" +
	"60616263646566676869" +
	"70717273747576777879" +
	"80818283848586878889" +
	"90919293949596979899"

// powers[n] is the least number of n+1 digits, for n > 0.
var powers = [20]uint64{0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19}

// digits returns how many decimal digits v has.
func digits(v uint64) int {
	n := bits.Len64(v|1) * 1233 >> 12 // log10(2) ≈ 1233/4096
	if v < powers[n] {
		return n
	}
	return n + 1
}

// AppendInt appends the digits of v. It needs room for MaxScalar bytes, as all scalars
// here do.
func AppendInt(b []byte, v int64) []byte {
	if v >= 0 {
		return AppendUint(b, uint64(v))
	}
	return AppendUint(append(b, '-'), -uint64(v))
}

// AppendUint appends the digits of v.
func AppendUint(b []byte, v uint64) []byte {
	at := len(b) + digits(v)
	b = b[:at]
	for v >= 100 {
		q := v / 100
		r := (v - q*100) * 2
		at -= 2
		b[at+1], b[at] = pairs[r+1], pairs[r]
		v = q
	}
	if v >= 10 {
		b[at-1], b[at-2] = pairs[v*2+1], pairs[v*2]
		return b
	}
	b[at-1] = byte('0' + v)
	return b
}

// appendPair appends the two digits of v < 100.
func appendPair(b []byte, v int) []byte {
	return append(b, pairs[v*2], pairs[v*2+1])
}

// AppendYear appends a year of at least four digits.
func AppendYear(b []byte, y int) []byte {
	if uint(y) > 9999 {
		return appendLongYear(b, y)
	}
	h := y / 100
	return appendPair(appendPair(b, h), y-h*100)
}

func appendLongYear(b []byte, y int) []byte {
	if y < 0 {
		b, y = append(b, '-'), -y
	}
	for n := digits(uint64(y)); n < 4; n++ {
		b = append(b, '0')
	}
	return AppendUint(b, uint64(y))
}

// MaxScalar is the room that any scalar's text, a short text for null and a delimiter
// need.
const MaxScalar = 48

// dateSize is the length of YYYY-MM-DD.
const dateSize = 10

// AppendDate appends YYYY-MM-DD of the word of a Date.
func AppendDate(b []byte, w uint64) []byte {
	return appendCivil(b, int(w>>9), int(w>>5&15), int(w&31))
}

func appendCivil(b []byte, year, month, day int) []byte {
	b = AppendYear(b, year)
	return append(b, '-', pairs[month*2], pairs[month*2+1], '-', pairs[day*2], pairs[day*2+1])
}

const (
	second = 1_000_000
	minute = 60 * second
	hour   = 60 * minute
	day    = 24 * hour
)

// appendClock appends HH:MM:SS and scale digits of fraction; hours of more than
// two digits are written whole.
func appendClock(b []byte, micros uint64, scale int) []byte {
	seconds := micros / second
	fraction := micros - seconds*second
	minutes := seconds / 60
	hours := minutes / 60
	if s, m := (seconds-minutes*60)*2, (minutes-hours*60)*2; hours < 100 {
		b = append(b, pairs[hours*2], pairs[hours*2+1], ':', pairs[m], pairs[m+1], ':', pairs[s], pairs[s+1])
	} else {
		b = append(AppendUint(b, hours), ':', pairs[m], pairs[m+1], ':', pairs[s], pairs[s+1])
	}
	if scale == 0 {
		return b
	}
	high := fraction / 10000
	low := fraction - high*10000
	mid := low / 100
	end := len(b) + 1 + scale
	last := low - mid*100
	b = append(b, '.', pairs[high*2], pairs[high*2+1], pairs[mid*2], pairs[mid*2+1], pairs[last*2], pairs[last*2+1])
	return b[:end]
}

// AppendTime appends [-]HH:MM:SS[.f] of the word of a Time.
func AppendTime(b []byte, micros int64, scale int) []byte {
	if micros < 0 {
		return appendClock(append(b, '-'), -uint64(micros), scale)
	}
	return appendClock(b, uint64(micros), scale)
}

// AppendDateTime appends YYYY-MM-DD HH:MM:SS[.f] of the word of a DateTime.
func AppendDateTime(b []byte, w uint64, scale int) []byte {
	b = append(AppendDate(b, w>>37), ' ')
	return appendClock(b, w&(1<<37-1), scale)
}

// Timestamps appends values of one Timestamp column. It remembers the last day:
// neighbouring rows often share it.
type Timestamps struct {
	Scale int
	day   int64 // that date holds
	date  [dateSize]byte
	known bool // day and date are set
}

// Append appends YYYY-MM-DD HH:MM:SS[.f], in UTC.
func (p *Timestamps) Append(b []byte, micros int64) []byte {
	if micros == row.ZeroTimestamp {
		return appendClock(append(b, "0000-00-00 "...), 0, p.Scale)
	}
	d := micros / day
	if micros < d*day {
		d--
	}
	if !p.known || p.day != d {
		y, m, dd := Civil(d)
		if uint(y) > 9999 {
			return appendClock(append(appendCivil(b, y, m, dd), ' '), uint64(micros-d*day), p.Scale)
		}
		appendCivil(p.date[:0], y, m, dd)
		p.day, p.known = d, true
	}
	b = append(append(b, p.date[:]...), ' ')
	return appendClock(b, uint64(micros-d*day), p.Scale)
}

// AppendInstant appends YYYY-MM-DDTHH:MM:SS[.f]Z.
func (p *Timestamps) AppendInstant(b []byte, micros int64) []byte {
	at := len(b)
	b = p.Append(b, micros)
	if i := bytes.IndexByte(b[at:], ' '); i >= 0 {
		b[at+i] = 'T'
	}
	return append(b, 'Z')
}

// AppendInstant appends 2026-11-21T14:05:20.123456Z.
func AppendInstant(b []byte, micros int64) []byte {
	d := micros / day
	if micros < d*day {
		d--
	}
	var room [MaxScalar]byte
	y, m, dd := Civil(d)
	t := append(appendCivil(room[:0], y, m, dd), 'T')
	t = append(appendClock(t, uint64(micros-d*day), 6), 'Z')
	return append(b, t...)
}

// Civil returns the Gregorian date of a day counted from 1970-01-01, by counting
// years from 1 March in eras of 400 years, so that the leap day ends a year.
func Civil(d int64) (year, month, dayOfMonth int) {
	d += 719468 // days from 0000-03-01 to 1970-01-01
	era := d / 146097
	if d < era*146097 {
		era--
	}
	doe := d - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	year, month, dayOfMonth = int(yoe+era*400), int(mp)+3, int(doy-(153*mp+2)/5)+1
	if month > 12 {
		return year + 1, month - 12, dayOfMonth
	}
	return year, month, dayOfMonth
}

// AppendFloat64 appends the shortest text that is the same number.
func AppendFloat64(b []byte, w uint64) []byte { return AppendFloat(b, math.Float64frombits(w), 64) }

// AppendFloat32 appends the shortest text that is the same number.
func AppendFloat32(b []byte, w uint64) []byte {
	return AppendFloat(b, float64(math.Float32frombits(uint32(w))), 32)
}

// AppendFloat appends the shortest text that is the same number of so many bits.
func AppendFloat(b []byte, v float64, size int) []byte {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return append(b, "NaN"...)
	case math.IsInf(v, 1):
		return append(b, "Inf"...)
	case math.IsInf(v, -1):
		return append(b, "-Inf"...)
	case a != 0 && (a < 1e-6 || a >= 1e21):
		return strconv.AppendFloat(b, v, 'e', -1, size)
	}
	return strconv.AppendFloat(b, v, 'f', -1, size)
}
