package option

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// ParseSize reads a number of bytes: "4096", "128MiB", "1.5 GB". KB, MB, GB, TB
// are powers of 1000, KiB, MiB, GiB, TiB of 1024; case does not matter.
func ParseSize(text string) (int64, error) {
	number, unit := splitNumber(text)
	factor, ok := sizeUnit(unit)
	if !ok {
		if _, loose := sizeUnit(unit + "B"); loose && unit != "" {
			return 0, fmt.Errorf("is %s powers of 1000 or of 1024? write %sB or %siB", unit, unit, unit)
		}
		return 0, errors.New("expected a size such as 4096, 128MiB or 1 GB")
	}
	n, err := scale(number, factor)
	if err != nil {
		return 0, fmt.Errorf("expected a size such as 4096, 128MiB or 1 GB: %w", err)
	}
	return n, nil
}

func sizeUnit(unit string) (int64, bool) {
	switch strings.ToLower(unit) {
	case "", "b":
		return 1, true
	case "kb":
		return 1e3, true
	case "mb":
		return 1e6, true
	case "gb":
		return 1e9, true
	case "tb":
		return 1e12, true
	case "kib":
		return 1 << 10, true
	case "mib":
		return 1 << 20, true
	case "gib":
		return 1 << 30, true
	case "tib":
		return 1 << 40, true
	}
	return 0, false
}

// ParseDuration reads "30s", "1h30m", "3d", "500ms", "1.5 h"; units are ms, s, m,
// h and d. A number alone is refused: nobody could tell its unit.
func ParseDuration(text string) (time.Duration, error) {
	wrong := errors.New("expected a duration such as 500ms, 30s, 5m, 1h30m or 3d")
	rest := strings.TrimSpace(text)
	if rest == "0" {
		return 0, nil
	}
	var total int64
	for parts := 0; rest != "" || parts == 0; parts++ {
		if parts > 5 {
			return 0, wrong
		}
		end := strings.IndexFunc(rest, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
		if end <= 0 {
			return 0, wrong
		}
		number := rest[:end]
		rest = strings.TrimLeft(rest[end:], " ")
		end = strings.IndexFunc(rest, func(r rune) bool { return r < 'a' || r > 'z' })
		if end < 0 {
			end = len(rest)
		}
		factor, ok := durationUnit(rest[:end])
		if !ok {
			return 0, wrong
		}
		rest = strings.TrimLeft(rest[end:], " ")
		n, err := scale(number, int64(factor))
		if err != nil || total > math.MaxInt64-n {
			return 0, wrong
		}
		total += n
	}
	return time.Duration(total), nil
}

func durationUnit(unit string) (time.Duration, bool) {
	switch unit {
	case "ms":
		return time.Millisecond, true
	case "s":
		return time.Second, true
	case "m", "min":
		return time.Minute, true
	case "h":
		return time.Hour, true
	case "d":
		return 24 * time.Hour, true
	}
	return 0, false
}

// splitNumber divides "1.5 GB" into "1.5" and "GB".
func splitNumber(text string) (number, unit string) {
	text = strings.TrimSpace(text)
	end := strings.IndexFunc(text, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if end < 0 {
		return text, ""
	}
	return text[:end], strings.TrimSpace(text[end:])
}

// scale returns number × factor exactly; number is digits with at most one point.
func scale(number string, factor int64) (int64, error) {
	if len(number) > 24 || number == "" || strings.Count(number, ".") > 1 || number[0] == '.' || number[len(number)-1] == '.' {
		return 0, errors.New("not a number")
	}
	r, ok := new(big.Rat).SetString(number)
	if !ok {
		return 0, errors.New("not a number")
	}
	r.Mul(r, new(big.Rat).SetInt64(factor))
	if !r.IsInt() {
		return 0, errors.New("not a whole number of its smallest unit")
	}
	if !r.Num().IsInt64() {
		return 0, errors.New("too large")
	}
	return r.Num().Int64(), nil
}

// parseInt reads a plain decimal number.
func parseInt(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	digits := strings.TrimPrefix(text, "-")
	if err != nil || len(digits) > 1 && digits[0] == '0' || strings.HasPrefix(text, "+") {
		return 0, errors.New("expected a whole number such as 8")
	}
	return n, nil
}

// FormatSize writes bytes so that ParseSize reads the same number: 128MiB, 1GB,
// 4096.
func FormatSize(n int64) string {
	for _, u := range []struct {
		name  string
		bytes int64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}} {
		if n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// FormatDuration writes d so that ParseDuration reads the same: 3d, 1h30m, 500ms.
// It is exact to the millisecond.
func FormatDuration(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	var b strings.Builder
	for _, u := range []struct {
		name string
		of   time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond}} {
		if n := d / u.of; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			d %= u.of
		}
	}
	return b.String()
}
