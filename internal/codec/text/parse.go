package text

import (
	"encoding/hex"
	"fmt"
	"math"
	"strconv"

	"godwit/internal/row"
)

// Parse appends the cell of type t whose text form is p. Bytes are in hexadecimal.
func Parse(x *row.Builder, t row.Type, p []byte) error {
	if t.Kind.InBytes() && t.Kind != row.Bytes {
		x.Bytes(p)
		return nil
	}
	w, ok := uint64(0), false
	switch t.Kind {
	case row.Bytes:
		b, err := hex.DecodeString(string(p))
		if err != nil {
			break
		}
		x.Bytes(b)
		return nil
	case row.Int:
		v, err := strconv.ParseInt(string(p), 10, 64)
		w, ok = uint64(v), err == nil
	case row.Uint, row.Bits, row.Year:
		v, err := strconv.ParseUint(string(p), 10, 64)
		w, ok = v, err == nil
	case row.Float32:
		v, err := strconv.ParseFloat(string(p), 32)
		w, ok = uint64(math.Float32bits(float32(v))), err == nil
	case row.Float64:
		v, err := strconv.ParseFloat(string(p), 64)
		w, ok = math.Float64bits(v), err == nil
	case row.Date:
		w, p, ok = cutDate(p)
		ok = ok && len(p) == 0
	case row.Time:
		v := int64(0)
		v, ok = parseTime(p)
		w = uint64(v)
	case row.DateTime:
		w, ok = parseDateTime(p, ' ')
	case row.Timestamp:
		v := int64(0)
		v, ok = ParseTimestamp(p, ' ')
		w = uint64(v)
	}
	if !ok {
		return fmt.Errorf("%.40q is no %s", p, t.Kind)
	}
	x.Word(w)
	return nil
}

// cutNumber takes leading digits off p, as many as most.
func cutNumber(p []byte, least, most int) (uint64, []byte, bool) {
	n, v := 0, uint64(0)
	for n < len(p) && n < most && p[n]-'0' <= 9 {
		v = v*10 + uint64(p[n]-'0')
		n++
	}
	return v, p[n:], n >= least
}

// cutByte takes c off p.
func cutByte(p []byte, c byte) ([]byte, bool) {
	if len(p) == 0 || p[0] != c {
		return p, false
	}
	return p[1:], true
}

// cutDate takes YYYY-MM-DD off p.
func cutDate(p []byte) (uint64, []byte, bool) {
	y, p, ok := cutNumber(p, 4, 15)
	p, ok2 := cutByte(p, '-')
	m, p, ok3 := cutNumber(p, 2, 2)
	p, ok4 := cutByte(p, '-')
	d, p, ok5 := cutNumber(p, 2, 2)
	return row.PackDate(int(y), int(m), int(d)), p, ok && ok2 && ok3 && ok4 && ok5 && m < 16 && d < 32
}

// cutClock takes HH:MM:SS[.f] off p, as microseconds.
func cutClock(p []byte) (int64, []byte, bool) {
	h, p, ok := cutNumber(p, 2, 10)
	p, ok2 := cutByte(p, ':')
	m, p, ok3 := cutNumber(p, 2, 2)
	p, ok4 := cutByte(p, ':')
	s, p, ok5 := cutNumber(p, 2, 2)
	if !ok || !ok2 || !ok3 || !ok4 || !ok5 || h > math.MaxInt64/hour-1 {
		return 0, p, false
	}
	v := int64(h)*hour + int64(m)*minute + int64(s)*second
	rest, point := cutByte(p, '.')
	if !point {
		return v, p, true
	}
	f, rest2, ok := cutNumber(rest, 1, 6)
	for range 6 - (len(rest) - len(rest2)) {
		f *= 10
	}
	return v + int64(f), rest2, ok
}

func parseTime(p []byte) (int64, bool) {
	p, negative := cutByte(p, '-')
	v, rest, ok := cutClock(p)
	if negative {
		v = -v
	}
	return v, ok && len(rest) == 0
}

// parseDateTime reads a date and a time of day with between between them.
func parseDateTime(p []byte, between byte) (uint64, bool) {
	d, p, ok := cutDate(p)
	p, ok2 := cutByte(p, between)
	micros, p, ok3 := cutClock(p)
	return d<<37 | uint64(micros), ok && ok2 && ok3 && len(p) == 0 && micros < day && d < 1<<27
}

// ParseDateTime reads the word of a DateTime with T between date and time.
func ParseDateTime(p []byte) (uint64, bool) { return parseDateTime(p, 'T') }

// ParseTimestamp reads the word of a Timestamp with between between date and time.
func ParseTimestamp(p []byte, between byte) (int64, bool) {
	q, negative := cutByte(p, '-')
	w, q, ok := cutDate(q)
	q, ok2 := cutByte(q, between)
	micros, q, ok3 := cutClock(q)
	if !ok || !ok2 || !ok3 || len(q) > 0 {
		return 0, false
	}
	y, m, d := row.UnpackDate(w)
	if y == 0 && m == 0 && d == 0 {
		return row.ZeroTimestamp, micros == 0
	}
	if y > 300_000 || m == 0 || m > 12 || d == 0 || micros >= day {
		return 0, false
	}
	if negative {
		y = -y
	}
	return Days(y, m, d)*day + micros, true
}

// ParseInstant reads what AppendInstant appends.
func ParseInstant(p []byte) (int64, bool) {
	if len(p) == 0 || p[len(p)-1] != 'Z' {
		return 0, false
	}
	return ParseTimestamp(p[:len(p)-1], 'T')
}

// Days returns the days from 1970-01-01 to a Gregorian date; it undoes Civil.
func Days(year, month, dayOfMonth int) int64 {
	y := int64(year)
	if month <= 2 {
		y--
	}
	era := y / 400
	if y < era*400 {
		era--
	}
	yoe := y - era*400
	doy := int64((153*((month+9)%12)+2)/5 + dayOfMonth - 1)
	return era*146097 + yoe*365 + yoe/4 - yoe/100 + doy - 719468
}

// AppendUUID appends the usual form of sixteen bytes.
func AppendUUID(b, p []byte) []byte {
	if len(p) != 16 {
		return hex.AppendEncode(b, p)
	}
	b = hex.AppendEncode(b, p[:4])
	for _, at := range []int{4, 6, 8} {
		b = hex.AppendEncode(append(b, '-'), p[at:at+2])
	}
	return hex.AppendEncode(append(b, '-'), p[10:])
}

// Stored returns the word that is read back for one of a value of kind k: there is one
// text for all that are no number.
func Stored(k row.Kind, word uint64) uint64 {
	switch {
	case k == row.Float64 && math.IsNaN(math.Float64frombits(word)):
		return math.Float64bits(math.NaN())
	case k == row.Float32 && math.IsNaN(float64(math.Float32frombits(uint32(word)))):
		return uint64(math.Float32bits(float32(math.NaN())))
	}
	return word
}
