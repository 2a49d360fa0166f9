package row

import (
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// AppendText appends the text of a value of type t, whole and exact, for people and for
// what is kept of a row aside: bytes, and text that is no UTF-8, as 0x and hex digits,
// timestamps in UTC.
func AppendText(to []byte, b *Batch, t Type, word uint64) []byte {
	switch t.Kind {
	case Int:
		return strconv.AppendInt(to, int64(word), 10)
	case Float32:
		return strconv.AppendFloat(to, float64(math.Float32frombits(uint32(word))), 'g', -1, 32)
	case Float64:
		return strconv.AppendFloat(to, math.Float64frombits(word), 'g', -1, 64)
	case Date:
		y, m, d := UnpackDate(word)
		return fmt.Appendf(to, "%04d-%02d-%02d", y, m, d)
	case Time:
		micros := int64(word)
		if micros < 0 {
			to, micros = append(to, '-'), -micros
		}
		return appendClock(to, micros, t.Scale)
	case DateTime:
		y, m, d, micros := UnpackDateTime(word)
		return appendClock(fmt.Appendf(to, "%04d-%02d-%02d ", y, m, d), micros, t.Scale)
	case Timestamp:
		if int64(word) == ZeroTimestamp {
			return append(to, "0000-00-00 00:00:00Z"...)
		}
		at := time.UnixMicro(int64(word)).UTC()
		to = append(at.AppendFormat(to, time.DateOnly), ' ')
		midnight := time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, time.UTC)
		return append(appendClock(to, at.Sub(midnight).Microseconds(), t.Scale), 'Z')
	}
	if !t.Kind.InBytes() {
		return strconv.AppendUint(to, word, 10)
	}
	data := b.Data(word)
	if t.Kind == Bytes || !utf8.Valid(data) {
		return hex.AppendEncode(append(to, "0x"...), data)
	}
	return append(to, data...)
}

// appendClock appends a time of day with so many digits of fraction; those that are
// needed, where there are more.
func appendClock(to []byte, micros int64, scale int) []byte {
	to = fmt.Appendf(to, "%02d:%02d:%02d", micros/3600e6, micros/60e6%60, micros/1e6%60)
	fraction := fmt.Sprintf("%06d", micros%1e6)
	for len(fraction) > scale && fraction[len(fraction)-1] == '0' {
		fraction = fraction[:len(fraction)-1]
	}
	if fraction == "" {
		return to
	}
	return append(append(to, '.'), fraction...)
}
