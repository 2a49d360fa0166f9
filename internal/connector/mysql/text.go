package mysql

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"godwit/internal/row"
)

// rowParser turns rows as the text protocol has them into cells. It keeps nothing
// between rows and allocates nothing for one.
type rowParser struct {
	table *row.Table
	cols  []cellForm
}

// cellForm says how the text of a column is read.
type cellForm uint8

const (
	formBytes   cellForm = iota + 1 // taken as it is
	formDecimal                     // taken without zerofill
	formInt
	formUint
	formFloat32
	formFloat64
	formDate
	formTime
	formDateTime
	formTimestamp
	formBits
)

func newRowParser(t *row.Table) *rowParser {
	p := &rowParser{table: t, cols: make([]cellForm, len(t.Columns))}
	for i := range t.Columns {
		p.cols[i] = formOf(t.Columns[i].Type)
	}
	return p
}

func formOf(t row.Type) cellForm {
	switch t.Kind {
	case row.Int:
		return formInt
	case row.Uint, row.Year:
		return formUint
	case row.Float32:
		return formFloat32
	case row.Float64:
		return formFloat64
	case row.Decimal:
		return formDecimal
	case row.Date:
		return formDate
	case row.Time:
		return formTime
	case row.DateTime:
		return formDateTime
	case row.Timestamp:
		return formTimestamp
	case row.Bits:
		return formBits
	}
	return formBytes
}

// selectExpr is what to select for a column: the text protocol prints floats
// rounded (float to 6 digits, double(m,d) to d), as a double it prints every
// digit that is needed to get the same bits back.
func selectExpr(c *row.Column) string {
	if c.Type.Kind == row.Float32 || c.Type.Kind == row.Float64 {
		return "CAST(" + quoteName(c.Name) + " AS DOUBLE)"
	}
	return quoteName(c.Name)
}

// row appends one row to x. On an error x holds part of a row and is of no more
// use.
func (p *rowParser) row(x *row.Builder, msg []byte) error {
	x.Row(p.table, row.Read)
	at := 0
	for i, form := range p.cols {
		if at >= len(msg) {
			return p.fail(i, errMalformed)
		}
		n := int(msg[at])
		at++
		if n >= 251 {
			if n == 251 {
				x.Null()
				continue
			}
			long, rest, ok := lengthEncoded(msg[at-1:])
			if !ok {
				return p.fail(i, errMalformed)
			}
			n, at = long, len(msg)-len(rest)
		}
		if n > len(msg)-at {
			return p.fail(i, errMalformed)
		}
		v := msg[at : at+n]
		at += n
		if form == formBytes {
			x.Bytes(v)
			continue
		}
		if !cell(x, form, v) {
			return p.fail(i, fmt.Errorf("%q: %w", clip(string(v), 80), errValue))
		}
	}
	if at != len(msg) {
		return p.fail(len(p.cols)-1, errMalformed)
	}
	return nil
}

var errValue = errors.New("the value is not of the column's type")

func (p *rowParser) fail(i int, err error) error {
	return fmt.Errorf("%s, column %s: %w", p.table.Name, p.table.Columns[i].Name, err)
}

// cell appends a value that is not taken as it is.
func cell(x *row.Builder, form cellForm, v []byte) bool {
	switch form {
	case formInt:
		w, ok := parseInt(v)
		x.Int(w)
		return ok
	case formUint:
		w, ok := parseUint(v)
		x.Word(w)
		return ok
	case formDecimal:
		if len(v) == 0 {
			return false
		}
		x.Bytes(plainDecimal(v))
		return true
	case formDate:
		w, ok := parseDate(v)
		x.Word(w)
		return ok && len(v) == 10
	case formDateTime:
		w, micros, ok := parseDateTime(v)
		x.Word(w<<37 | uint64(micros))
		return ok
	case formTimestamp:
		w, ok := parseTimestamp(v)
		x.Int(w)
		return ok
	case formTime:
		w, ok := parseTime(v)
		x.Int(w)
		return ok
	case formFloat32, formFloat64:
		f, err := strconv.ParseFloat(string(v), 64)
		if form == formFloat32 {
			x.Float32(float32(f))
		} else {
			x.Float64(f)
		}
		return err == nil && !math.IsInf(f, 0) && !math.IsNaN(f)
	case formBits:
		if len(v) > 8 {
			return false
		}
		var b [8]byte
		copy(b[8-len(v):], v)
		x.Word(binary.BigEndian.Uint64(b[:]))
		return true
	}
	return false
}

// parseUint reads 1 to 20 digits.
func parseUint(v []byte) (uint64, bool) {
	if len(v) == 0 || len(v) > 255 {
		return 0, false
	}
	if len(v) > 19 {
		return parseLong(v)
	}
	var w uint64
	for _, c := range v {
		d := c - '0'
		if d > 9 {
			return 0, false
		}
		w = w*10 + uint64(d)
	}
	return w, true
}

// parseLong reads digits that may not fit; zerofill makes up to 255 of them.
func parseLong(v []byte) (uint64, bool) {
	for len(v) > 1 && v[0] == '0' {
		v = v[1:]
	}
	w, err := strconv.ParseUint(string(v), 10, 64)
	return w, err == nil
}

func parseInt(v []byte) (int64, bool) {
	if len(v) > 0 && v[0] == '-' {
		w, ok := parseUint(v[1:])
		return -int64(w), ok && w <= 1<<63
	}
	w, ok := parseUint(v)
	return int64(w), ok && w < 1<<63
}

// plainDecimal drops the zeros that zerofill puts before the last integer digit.
func plainDecimal(v []byte) []byte {
	for len(v) > 1 && v[0] == '0' && v[1] != '.' {
		v = v[1:]
	}
	return v
}

func two(v []byte) (int, bool) {
	a, b := v[0]-'0', v[1]-'0'
	return int(a)*10 + int(b), a <= 9 && b <= 9
}

// parseDate reads the 10 characters of 2026-01-31 at the start of v.
func parseDate(v []byte) (uint64, bool) {
	if len(v) < 10 || v[4] != '-' || v[7] != '-' {
		return 0, false
	}
	century, ok1 := two(v)
	year, ok2 := two(v[2:])
	month, ok3 := two(v[5:])
	day, ok4 := two(v[8:])
	return row.PackDate(century*100+year, month, day), ok1 && ok2 && ok3 && ok4 && month <= 12 && day <= 31
}

// parseClock reads 12:34:56[.123456] from v and returns microseconds.
func parseClock(v []byte) (int64, bool) {
	if len(v) < 8 || v[2] != ':' || v[5] != ':' {
		return 0, false
	}
	h, ok1 := two(v)
	m, ok2 := two(v[3:])
	s, ok3 := two(v[6:])
	f, ok4 := parseFraction(v[8:])
	return (int64(h)*3600+int64(m)*60+int64(s))*1e6 + f, ok1 && ok2 && ok3 && ok4 && m < 60 && s < 60
}

// parseFraction reads "" or .1 to .123456 as microseconds.
func parseFraction(v []byte) (int64, bool) {
	if len(v) == 0 {
		return 0, true
	}
	if v[0] != '.' || len(v) < 2 || len(v) > 7 {
		return 0, false
	}
	var f int64
	for i := 1; i < 7; i++ {
		f *= 10
		if i < len(v) {
			d := v[i] - '0'
			if d > 9 {
				return 0, false
			}
			f += int64(d)
		}
	}
	return f, true
}

// parseDateTime reads 2026-01-31 12:34:56[.123456] as a packed date and
// microseconds of the day.
func parseDateTime(v []byte) (date uint64, micros int64, ok bool) {
	if len(v) < 19 || v[10] != ' ' {
		return 0, 0, false
	}
	date, ok = parseDate(v)
	micros, clock := parseClock(v[11:])
	return date, micros, ok && clock && micros < 86_400e6
}

func parseTimestamp(v []byte) (int64, bool) {
	date, micros, ok := parseDateTime(v)
	if !ok {
		return 0, false
	}
	if date == 0 {
		return row.ZeroTimestamp, micros == 0
	}
	y, m, d := row.UnpackDate(date)
	if m == 0 || d == 0 {
		return 0, false
	}
	return daysSince1970(y, m, d)*86_400e6 + micros, true
}

// daysSince1970 counts in eras of 400 years from the 1st of March of year 0.
func daysSince1970(y, m, d int) int64 {
	if m <= 2 {
		y--
		m += 12
	}
	era := y / 400
	yoe := y - era*400
	doy := (153*(m-3)+2)/5 + d - 1
	doe := yoe*365 + yoe/4 - yoe/100 + doy
	return int64(era)*146097 + int64(doe) - 719468
}

// parseTime reads [-]hh[h]:mm:ss[.ffffff] as signed microseconds.
func parseTime(v []byte) (int64, bool) {
	neg := len(v) > 0 && v[0] == '-'
	if neg {
		v = v[1:]
	}
	var extra int64
	if len(v) > 8 && v[3] == ':' { // three digits of hours
		d := v[0] - '0'
		if d > 9 {
			return 0, false
		}
		extra, v = int64(d)*100*int64(time.Hour/time.Microsecond), v[1:]
	}
	w, ok := parseClock(v)
	if w += extra; neg {
		w = -w
	}
	return w, ok
}
