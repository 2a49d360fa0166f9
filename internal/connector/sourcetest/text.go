package sourcetest

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"

	"godwit/internal/row"
)

// cellText prints a value as servers' clients print it: binary in capital hex,
// instants in UTC.
func cellText(b *row.Batch, typ row.Type, w uint64, f row.Flag) string {
	if f != row.Value {
		return ""
	}
	switch typ.Kind {
	case row.Int:
		return strconv.FormatInt(int64(w), 10)
	case row.Uint, row.Bits:
		return strconv.FormatUint(w, 10)
	case row.Year:
		return fmt.Sprintf("%04d", w)
	case row.Float32:
		return strconv.FormatFloat(float64(math.Float32frombits(uint32(w))), 'g', -1, 32)
	case row.Float64:
		return strconv.FormatFloat(math.Float64frombits(w), 'g', -1, 64)
	case row.Date:
		y, m, d := row.UnpackDate(w)
		return fmt.Sprintf("%04d-%02d-%02d", y, m, d)
	case row.DateTime:
		y, m, d, us := row.UnpackDateTime(w)
		return fmt.Sprintf("%04d-%02d-%02d ", y, m, d) + timeText(us, typ.Scale)
	case row.Timestamp:
		if w == 1<<63 {
			return "0000-00-00 " + timeText(0, typ.Scale)
		}
		at := time.UnixMicro(int64(w)).UTC()
		return at.Format("2006-01-02 ") + timeText(int64(w)-at.Truncate(24*time.Hour).UnixMicro(), typ.Scale)
	case row.Time:
		if v := int64(w); v < 0 {
			return "-" + timeText(-v, typ.Scale)
		}
		return timeText(int64(w), typ.Scale)
	case row.Bytes:
		return fmt.Sprintf("%X", b.Data(w))
	}
	return string(b.Data(w))
}

func timeText(us int64, digits int) string {
	s := us / 1e6
	out := fmt.Sprintf("%02d:%02d:%02d", s/3600, s/60%60, s%60)
	if digits > 0 {
		out += "." + fmt.Sprintf("%06d", us%1e6)[:digits]
	}
	return out
}

// equalText compares a cell with the client's text of it. Floats are compared as
// numbers: clients print them in many ways.
func equalText(kind row.Kind, c cell, client string) bool {
	if (c.flag == row.Null) != (client == Null) {
		return false
	}
	if c.flag == row.Null || c.text == client {
		return true
	}
	bits := 64
	switch kind {
	case row.Float32:
		bits = 32
	case row.Float64:
	default:
		return false
	}
	got, err1 := strconv.ParseFloat(c.text, bits)
	want, err2 := strconv.ParseFloat(client, bits)
	return err1 == nil && err2 == nil && got == want
}

// less orders key texts: as numbers when both are, else bytewise. The kit makes
// only keys for which that is the server's order.
func less(a, b []string) bool {
	for i := range a {
		if a[i] == b[i] {
			continue
		}
		x, ok1 := new(big.Int).SetString(a[i], 10)
		y, ok2 := new(big.Int).SetString(b[i], 10)
		if ok1 && ok2 {
			return x.Cmp(y) < 0
		}
		return strings.Compare(a[i], b[i]) < 0
	}
	return false
}
