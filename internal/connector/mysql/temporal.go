package mysql

import "godwit/internal/row"

// fractionBytes is the length of a fraction of so many digits.
func fractionBytes(scale int) int { return (scale + 1) / 2 }

// powers of ten, for fractions and decimals.
var powers = [...]uint64{1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000}

// micros gives the value of a big-endian fraction with scale digits, stored in
// whole pairs of digits.
func micros(v []byte) uint64 {
	switch len(v) {
	case 1:
		return uint64(v[0]) * 10_000
	case 2:
		return bigEndian(v) * 100
	case 3:
		return bigEndian(v)
	}
	return 0
}

// maxTime is the greatest TIME, 838:59:59.999999.
const maxTime = (838*3600+59*60+59)*1_000_000 + 999_999

// temporal returns the word of a date or time.
func temporal(f *field, v []byte) (uint64, bool) {
	switch f.how {
	case howDate:
		w := littleEndian(v)
		return row.PackDate(int(w>>9), int(w>>5&15), int(w&31)), true
	case howTimeOld:
		n := littleInt(v)
		sign := int64(1)
		if n < 0 {
			sign, n = -1, -n
		}
		us := sign * (n/10_000*3600 + n/100%100*60 + n%100) * 1_000_000
		return uint64(us), n/100%100 < 60 && n%100 < 60
	case howTimeHires:
		unit := int64(powers[6-f.scale])
		us := int64(bigEndian(v))*unit - (maxTime-999_999+1_000_000)/unit*unit
		return uint64(us), us >= -maxTime && us <= maxTime
	case howTime2:
		return time2(v)
	case howDateTimeOld:
		w := littleEndian(v)
		d, t := w/1_000_000, w%1_000_000
		return dateTime(d/10_000, d/100%100, d%100, t/10_000, t/100%100, t%100, 0)
	case howDateTimeHires:
		w := bigEndian(v) * powers[6-f.scale]
		us := w % 1_000_000
		w /= 1_000_000
		days := w / 86_400
		return dateTime(days/32/13, days/32%13, days%32, w/3600%24, w/60%60, w%60, us)
	case howDateTime2:
		w := bigEndian(v[:5]) - 0x80_0000_0000
		ym := w >> 22
		return dateTime(ym/13, ym%13, w>>17&31, w>>12&31, w>>6&63, w&63, micros(v[5:]))
	case howTimestampOld:
		return timestamp(littleEndian(v), 0)
	case howTimestampHires:
		n := len(v) - 4
		if n == 0 {
			return timestamp(bigEndian(v), 0)
		}
		return timestamp(bigEndian(v[:4]), bigEndian(v[4:])*powers[6-f.scale])
	case howTimestamp2:
		return timestamp(bigEndian(v[:4]), micros(v[4:]))
	}
	return 0, false
}

func dateTime(year, month, day, hour, minute, second, us uint64) (uint64, bool) {
	ok := year <= 9999 && month <= 12 && day <= 31 && hour < 24 && minute < 60 && second < 60 && us < 1_000_000
	if !ok {
		return 0, false
	}
	return row.PackDateTime(int(year), int(month), int(day), int64((hour*3600+minute*60+second)*1_000_000+us)), true
}

// timestamp returns the word of seconds since 1970; 0 is the zero value, which
// names no instant.
func timestamp(seconds, us uint64) (uint64, bool) {
	if seconds == 0 && us == 0 {
		zero := int64(row.ZeroTimestamp)
		return uint64(zero), true
	}
	return seconds*1_000_000 + us, us < 1_000_000
}

// time2 reads a signed duration: the whole, fraction included, is a big-endian
// number counted from a zero point in the middle of its range.
func time2(v []byte) (uint64, bool) {
	n := len(v) - 3
	w := int64(bigEndian(v)) - int64(1)<<(23+8*n)
	sign := int64(1)
	if w < 0 {
		sign, w = -1, -w
	}
	fraction := w & (1<<(8*n) - 1)
	whole := w >> (8 * n)
	us := fraction * [...]int64{0, 10_000, 100, 1}[n]
	hour, minute, second := whole>>12&1023, whole>>6&63, whole&63
	us += (hour*3600 + minute*60 + second) * 1_000_000
	return uint64(sign * us), minute < 60 && second < 60 && us <= maxTime
}
