package mysql

import "strconv"

// digitBytes is the length of so many digits outside a full group of nine.
func digitBytes(digits int) int { return [...]int{0, 1, 1, 2, 2, 3, 3, 4, 4, 4}[digits] }

// decimalBytes is the length of a binary decimal.
func decimalBytes(whole, scale int) int {
	return whole/9*4 + digitBytes(whole%9) + scale/9*4 + digitBytes(scale%9)
}

// appendDecimal appends the text of a binary decimal with whole digits before
// and scale digits after the point. The first bit is set for positive numbers; a
// negative one has all its bits inverted. ok is false when a group holds more
// than its digits can.
func appendDecimal(dst, v []byte, whole, scale int) (text []byte, ok bool) {
	if len(v) == 0 {
		return append(dst, '0'), false
	}
	negative := v[0]&0x80 == 0
	flip := byte(0)
	if negative {
		flip = 0xff
	}
	d := decimalReader{v: v, flip: flip, ok: true}
	start := len(dst)
	if negative {
		dst = append(dst, '-')
	}
	first := len(dst)
	dst = d.group(dst, first, whole%9)
	for range whole / 9 {
		dst = d.group(dst, first, 9)
	}
	if len(dst) == first {
		dst = append(dst, '0')
	}
	if scale > 0 {
		dst = append(dst, '.')
		for range scale / 9 {
			dst = d.group(dst, -1, 9)
		}
		dst = d.group(dst, -1, scale%9)
	}
	if negative && isZeroText(dst[start+1:]) {
		dst = append(dst[:start], dst[start+1:]...)
	}
	return dst, d.ok
}

func isZeroText(t []byte) bool {
	for _, c := range t {
		if c != '0' && c != '.' {
			return false
		}
	}
	return true
}

type decimalReader struct {
	v    []byte
	flip byte
	at   int
	ok   bool
}

// group appends a group of digits. Leading zeros are left out while nothing
// stands behind first; first -1 keeps them.
func (d *decimalReader) group(dst []byte, first, digits int) []byte {
	if digits == 0 {
		return dst
	}
	var n uint64
	for range digitBytes(digits) {
		b := d.v[d.at] ^ d.flip
		if d.at == 0 {
			b ^= 0x80
		}
		n = n<<8 | uint64(b)
		d.at++
	}
	if n >= powers[digits] {
		d.ok = false
		n = 0
	}
	if first >= 0 && len(dst) == first {
		if n == 0 {
			return dst
		}
		return strconv.AppendUint(dst, n, 10)
	}
	for p := digits - 1; p >= 0; p-- {
		dst = append(dst, '0'+byte(n/powers[p]%10))
	}
	return dst
}
