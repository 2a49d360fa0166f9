package csv

import (
	"bytes"
	"errors"
	"math"
	"strconv"
	"time"

	"godwit/internal/row"
)

// errText is a text that no value of the column has.
var errText = errors.New("no value has this text")

// parseWord reads the text of a value whose kind is not in bytes.
func parseWord(k row.Kind, s []byte) (uint64, error) {
	switch k {
	case row.Int:
		n, ok := parseInt(s)
		return uint64(n), right(ok)
	case row.Uint, row.Bits, row.Year:
		n, ok := parseUint(s)
		return n, right(ok)
	case row.Float32:
		v, err := strconv.ParseFloat(string(s), 32)
		return uint64(math.Float32bits(float32(v))), right(err == nil)
	case row.Float64:
		v, err := strconv.ParseFloat(string(s), 64)
		return math.Float64bits(v), right(err == nil)
	case row.Date:
		y, m, d, ok := parseDate(s)
		return row.PackDate(y, m, d), right(ok)
	case row.Time:
		negative := len(s) > 0 && s[0] == '-'
		if negative {
			s = s[1:]
		}
		us, ok := parseClock(s)
		if negative {
			us = -us
		}
		return uint64(us), right(ok)
	case row.DateTime:
		y, m, d, us, ok := parseDateTime(s)
		return row.PackDateTime(y, m, d, us), right(ok)
	case row.Timestamp:
		us, ok := parseTimestamp(s)
		return uint64(us), right(ok)
	}
	return 0, errText
}

func right(ok bool) error {
	if !ok {
		return errText
	}
	return nil
}

func parseUint(s []byte) (n uint64, ok bool) {
	if len(s) == 0 || len(s) > 20 {
		return 0, false
	}
	for _, c := range s {
		d := uint64(c - '0')
		if d > 9 || n > math.MaxUint64/10 || n*10 > math.MaxUint64-d {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}

func parseInt(s []byte) (int64, bool) {
	if len(s) == 0 || s[0] != '-' {
		n, ok := parseUint(s)
		return int64(n), ok && n <= math.MaxInt64
	}
	n, ok := parseUint(s[1:])
	return -int64(n), ok && n <= 1<<63
}

// parseDate reads YYYY-MM-DD; the year may have more digits.
func parseDate(s []byte) (year, month, day int, ok bool) {
	n := len(s)
	if n < 10 || s[n-3] != '-' || s[n-6] != '-' {
		return 0, 0, 0, false
	}
	y, ok1 := parseUint(s[:n-6])
	m, ok2 := parseUint(s[n-5 : n-3])
	d, ok3 := parseUint(s[n-2:])
	return int(y), int(m), int(d), ok1 && ok2 && ok3 && y < 1<<20
}

// parseClock reads HH:MM:SS[.f] as microseconds.
func parseClock(s []byte) (us int64, ok bool) {
	at := bytes.IndexByte(s, ':')
	if at < 2 || len(s) < at+6 || s[at+3] != ':' {
		return 0, false
	}
	h, ok1 := parseUint(s[:at])
	m, ok2 := parseUint(s[at+1 : at+3])
	sec, ok3 := parseUint(s[at+4 : at+6])
	us = int64((h*60+m)*60+sec) * 1_000_000
	if !ok1 || !ok2 || !ok3 || h > 1<<20 {
		return 0, false
	}
	s = s[at+6:]
	if len(s) == 0 {
		return us, true
	}
	f, ok := parseUint(s[1:])
	if s[0] != '.' || !ok || len(s) > 7 {
		return 0, false
	}
	for range 7 - len(s) {
		f *= 10
	}
	return us + int64(f), true
}

// parseDateTime reads YYYY-MM-DD HH:MM:SS[.f].
func parseDateTime(s []byte) (year, month, day int, us int64, ok bool) {
	at := bytes.IndexByte(s, ' ')
	if at < 0 {
		return 0, 0, 0, 0, false
	}
	year, month, day, ok1 := parseDate(s[:at])
	us, ok2 := parseClock(s[at+1:])
	return year, month, day, us, ok1 && ok2
}

// parseTimestamp reads the same as an instant in UTC.
func parseTimestamp(s []byte) (int64, bool) {
	y, m, d, us, ok := parseDateTime(s)
	if !ok {
		return 0, false
	}
	if y == 0 && m == 0 && d == 0 {
		return row.ZeroTimestamp, us == 0
	}
	return time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC).UnixMicro() + us, true
}

// parseInstant reads 2026-11-21T14:05:20.123456Z.
func parseInstant(s []byte) (int64, error) {
	t, err := time.Parse("2006-01-02T15:04:05.000000Z", string(s))
	if err != nil {
		return 0, errText
	}
	return t.UnixMicro(), nil
}
