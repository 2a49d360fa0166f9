package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// grouped writes a count with separators: 1,204,883.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// three writes x with three significant digits and no exponent.
func three(x float64) string {
	switch {
	case x >= 99.95 || x == math.Trunc(x):
		return strconv.FormatFloat(x, 'f', 0, 64)
	case x >= 9.995:
		return strconv.FormatFloat(x, 'f', 1, 64)
	}
	return strconv.FormatFloat(x, 'f', 2, 64)
}

// scaled writes x with the greatest of units that is not above it; step lies
// between neighbours.
func scaled(x, step float64, units []string) string {
	i := 0
	for i+1 < len(units) && x >= step*0.9995 {
		x /= step
		i++
	}
	return three(x) + units[i]
}

// short writes a count or rate: 999, 84.1 k, 128 M.
func short(x float64) string {
	if x < 0 {
		return "?"
	}
	return scaled(x, 1000, []string{"", " k", " M", " G", " T"})
}

// bytesText writes bytes: 31.2 MiB.
func bytesText(n float64) string {
	return scaled(n, 1024, []string{" B", " KiB", " MiB", " GiB", " TiB", " PiB"})
}

// clockText writes how long something runs: 0:25:31, 3 d 4 h.
func clockText(d time.Duration) string {
	if d >= 48*time.Hour {
		return durationText(d)
	}
	s := int64(d / time.Second)
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}

// durationText writes a length of time in at most two units: 1.2 s, 4 m 10 s,
// 3 d 4 h, >1 y.
func durationText(d time.Duration) string {
	switch {
	case d < 0:
		return "?"
	case d < 10*time.Second:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", d.Seconds()), ".0") + " s"
	case d > 365*24*time.Hour:
		return ">1 y"
	}
	units := []struct {
		name string
		of   time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}}
	for i, u := range units {
		next := units[min(i+1, len(units)-1)]
		if i == len(units)-1 || d.Round(next.of) >= u.of {
			return twoUnits(d, u.of, u.name, next.of, next.name)
		}
	}
	return ""
}

func twoUnits(d, big time.Duration, bigName string, small time.Duration, smallName string) string {
	d = d.Round(small)
	n := int64(d / big)
	m := int64(d % big / small)
	if m == 0 {
		return fmt.Sprintf("%d %s", n, bigName)
	}
	return fmt.Sprintf("%d %s %d %s", n, bigName, m, smallName)
}

// seconds makes a duration of seconds, bounded.
func seconds(s float64) time.Duration {
	return time.Duration(math.Min(s, 1e9) * float64(time.Second))
}

// percentText writes 61 %, <1 %, 99.4 %; below 100 nothing shows as 100.
func percentText(p float64) string {
	switch {
	case p >= 100:
		return "100 %"
	case p >= 99:
		return fmt.Sprintf("%.1f %%", math.Floor(p*10)/10)
	case p < 1 && p > 0:
		return "<1 %"
	}
	return fmt.Sprintf("%d %%", int(p))
}

// plural writes "1 table", "2 tables".
func plural(n int64, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return grouped(n) + " " + word + "s"
}
