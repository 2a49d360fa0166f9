package postgres

import (
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"godwit/internal/fault"
	"godwit/internal/row"
)

// shown writes a value for people, and for dead letters.
func shown(t row.Type, b *row.Batch, w uint64) string {
	switch t.Kind {
	case row.Int:
		return strconv.FormatInt(int64(w), 10)
	case row.Uint, row.Year, row.Bits:
		return strconv.FormatUint(w, 10)
	case row.Float32:
		return strconv.FormatFloat(float64(math.Float32frombits(uint32(w))), 'g', -1, 32)
	case row.Float64:
		return strconv.FormatFloat(math.Float64frombits(w), 'g', -1, 64)
	case row.Bytes:
		return fmt.Sprintf("0x%x", b.Data(w))
	case row.Date:
		return string(appendDate(nil, w))
	case row.DateTime:
		return string(appendDateTime(nil, w, t.Scale))
	case row.Timestamp:
		return string(appendInstant(nil, int64(w), t.Scale))
	case row.Time:
		return string(appendDuration(nil, int64(w), t.Scale))
	}
	return shownText(b.Data(w))
}

// shownText writes a text, in hex digits where it is none.
func shownText(p []byte) string {
	if !utf8.Valid(p) {
		return fmt.Sprintf("0x%x", p)
	}
	return string(p)
}

// appendDuration writes a time as the source does.
func appendDuration(dst []byte, micros int64, digits int) []byte {
	if micros < 0 {
		dst, micros = append(dst, '-'), -micros
	}
	seconds := micros / 1_000_000
	dst = fmt.Appendf(dst, "%02d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
	return appendFraction(dst, micros%1_000_000, digits)
}

// rowsFault says of which table the rows were that the server refused, and which one,
// where that is known.
func rowsFault(err error, g *target, which string) error {
	if err == nil || !fault.Has(err, fault.RowRefused) || stateOf(err) == "" {
		return err
	}
	old := fault.Of(err)
	if which == "" {
		which = "a row"
	}
	e := fault.New(fault.RowRefused, "%s: the target refuses %s", g.table.Name, which).By(old.Cause)
	e.Where, e.Hint = old.Where, old.Hint
	return e
}
