package expression

import (
	"fmt"
	"time"

	"github.com/expr-lang/expr/ast"

	"godwit/internal/row"
)

// momentExample is a text that parseMoment reads.
func momentExample(of class) string {
	switch of {
	case date:
		return "'2026-11-26'"
	case duration:
		return "'14:00:00'"
	case datetime:
		return "'2026-11-26 14:00:00'"
	}
	return "'2026-11-26T14:00:00Z', with its zone"
}

// parseMoment reads a text as a date, a time, a datetime or a timestamp.
func parseMoment(of class, b []byte) (value, bool) {
	s := string(b)
	if of == duration {
		return parseDuration(s)
	}
	forms := map[class][]string{
		date:     {time.DateOnly},
		datetime: {"2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", time.DateOnly},
		instant:  {time.RFC3339, "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05 Z07:00"},
	}[of]
	for _, form := range forms {
		if t, err := time.Parse(form, s); err == nil {
			return momentOf(of, t), true
		}
	}
	return value{}, false
}

func momentOf(of class, t time.Time) value {
	t = t.UTC()
	switch of {
	case date:
		return value{word: row.PackDate(t.Year(), int(t.Month()), t.Day())}
	case datetime:
		midnight := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
		return value{word: row.PackDateTime(t.Year(), int(t.Month()), t.Day(), t.Sub(midnight).Microseconds())}
	}
	return value{word: uint64(t.UnixMicro())}
}

// parseDuration reads [-]hours:minutes:seconds[.fraction].
func parseDuration(s string) (value, bool) {
	var hours, minutes int64
	var seconds float64
	sign := int64(1)
	if len(s) > 0 && s[0] == '-' {
		sign, s = -1, s[1:]
	}
	var rest string
	n, _ := fmt.Sscanf(s+" .", "%d:%d:%f %s", &hours, &minutes, &seconds, &rest)
	if n != 4 || rest != "." || hours < 0 || minutes < 0 || minutes > 59 || seconds < 0 || seconds >= 60 {
		return value{}, false
	}
	micros := (hours*3600+minutes*60)*1e6 + int64(seconds*1e6+0.5)
	return value{word: uint64(sign * micros)}, true
}

// appendMoment appends a text that parseMoment reads.
func appendMoment(b []byte, of class, w uint64) []byte {
	switch of {
	case date:
		y, m, d := row.UnpackDate(w)
		return fmt.Appendf(b, "%04d-%02d-%02d", y, m, d)
	case datetime:
		y, m, d, micros := row.UnpackDateTime(w)
		return appendClock(fmt.Appendf(b, "%04d-%02d-%02d ", y, m, d), micros)
	case duration:
		micros := int64(w)
		if micros < 0 {
			b, micros = append(b, '-'), -micros
		}
		return appendClock(b, micros)
	}
	if int64(w) == row.ZeroTimestamp {
		return append(b, "0000-00-00T00:00:00Z"...)
	}
	return time.UnixMicro(int64(w)).UTC().AppendFormat(b, time.RFC3339Nano)
}

func appendClock(b []byte, micros int64) []byte {
	b = fmt.Appendf(b, "%02d:%02d:%02d", micros/3600e6, micros/60e6%60, micros/1e6%60)
	if micros%1e6 != 0 {
		b = fmt.Appendf(b, ".%06d", micros%1e6)
	}
	return b
}

// temporal are the functions of dates and times.
func (c *compiler) temporal(n ast.Node, name string, args []*Expression) (*Expression, error) {
	switch name {
	case "date":
		return c.convert(n, name, args, date)
	case "datetime":
		return c.convert(n, name, args, datetime)
	case "timestamp":
		return c.convert(n, name, args, instant)
	case "year", "month", "day", "hour", "minute", "second":
		if err := c.takes(n, name, args, []class{date, datetime, instant}); err != nil {
			return nil, err
		}
		of := args[0].typ.class
		return of1(Type{class: exact, whole: 4, nullable: of == instant}, args[0], func(_ *Row, v value) value {
			if zeroInstant(of, v) {
				return value{null: true}
			}
			return value{num: whole(field(name, asDateTime(of, v).word))}
		}), nil
	}
	return nil, nil
}

// zeroInstant reports whether v is a timestamp that names no instant.
func zeroInstant(of class, v value) bool { return of == instant && int64(v.word) == row.ZeroTimestamp }

// field is a part of a datetime.
func field(name string, w uint64) int64 {
	y, m, d, micros := row.UnpackDateTime(w)
	switch name {
	case "year":
		return int64(y)
	case "month":
		return int64(m)
	case "day":
		return int64(d)
	case "hour":
		return micros / 3600e6
	case "minute":
		return micros / 60e6 % 60
	}
	return micros / 1e6 % 60
}

// asDateTime is a date, a datetime or a timestamp, in UTC, as a datetime.
func asDateTime(of class, v value) value {
	switch of {
	case date:
		return value{word: v.word << 37}
	case instant:
		return momentOf(datetime, time.UnixMicro(int64(v.word)))
	}
	return v
}

// convert is a moment as one of another class.
func (c *compiler) convert(n ast.Node, name string, args []*Expression, to class) (*Expression, error) {
	if err := c.takes(n, name, args, []class{text, date, datetime, instant}); err != nil {
		return nil, err
	}
	a, from := args[0], args[0].typ.class
	switch {
	case from == to:
		return a, nil
	case from == text && a.constant:
		return c.literal(n, a, to)
	case from == text:
		return of1(Type{class: to}, a, func(r *Row, v value) value {
			m, ok := parseMoment(to, v.data)
			if !ok {
				return r.fail("%.40q is not %s", v.data, to)
			}
			return m
		}), nil
	}
	return of1(Type{class: to, nullable: true}, a, func(_ *Row, v value) value {
		if zeroInstant(from, v) {
			return value{null: true}
		}
		at := asDateTime(from, v)
		if to == datetime {
			return at
		}
		y, m, d, micros := row.UnpackDateTime(at.word)
		if to == date {
			return value{word: row.PackDate(y, m, d)}
		}
		if m == 0 || d == 0 {
			return value{null: true}
		}
		return value{word: uint64(time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC).UnixMicro() + micros)}
	}), nil
}
