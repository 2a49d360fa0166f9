package expression

import (
	"math"
	"math/big"
	"math/bits"
	"strconv"
)

// number is an exact decimal: a whole number divided by ten to the scale.
type number struct {
	small int64
	big   *big.Int // instead of small, where that is too narrow
	scale int
}

// smallDigits is how many digits always fit in a small number.
const smallDigits = 18

var powers = [smallDigits + 1]int64{1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18}

// parseNumber reads [-]digits[.digits]; false: it is something else.
func parseNumber(b []byte) (number, bool) {
	n, digits, point, negative := number{}, 0, -1, false
	for i, c := range b {
		switch {
		case i == 0 && (c == '-' || c == '+'):
			negative = c == '-'
		case c == '.' && point < 0:
			point = digits
		case c < '0' || c > '9':
			return number{}, false
		default:
			if digits++; digits <= smallDigits {
				n.small = n.small*10 + int64(c-'0')
			}
		}
	}
	if digits == 0 {
		return number{}, false
	}
	if point >= 0 {
		n.scale = digits - point
	}
	if digits > smallDigits {
		return parseWide(b, n.scale)
	}
	if negative {
		n.small = -n.small
	}
	return n, true
}

// parseWide reads a number of many digits, which has been looked at.
func parseWide(b []byte, scale int) (number, bool) {
	plain := make([]byte, 0, len(b))
	for _, c := range b {
		if c != '.' && c != '+' {
			plain = append(plain, c)
		}
	}
	w, ok := new(big.Int).SetString(string(plain), 10)
	if !ok {
		return number{}, false
	}
	return wide(w, scale), true
}

// wide is a number by its big form.
func wide(w *big.Int, scale int) number {
	if w.IsInt64() {
		return number{small: w.Int64(), scale: scale}
	}
	return number{big: w, scale: scale}
}

func whole(n int64) number { return number{small: n} }

func unsigned(n uint64) number {
	if n <= math.MaxInt64 {
		return whole(int64(n))
	}
	return number{big: new(big.Int).SetUint64(n)}
}

// integer returns the big form, which must not be changed.
func (n number) integer() *big.Int {
	if n.big != nil {
		return n.big
	}
	return big.NewInt(n.small)
}

func power(scale int) *big.Int {
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)
}

// at returns n with a scale that is not below its own.
func (n number) at(scale int) number {
	up := scale - n.scale
	if up == 0 {
		return n
	}
	if n.big == nil && up <= smallDigits {
		if p, ok := times(n.small, powers[up]); ok {
			return number{small: p, scale: scale}
		}
	}
	return wide(new(big.Int).Mul(n.integer(), power(up)), scale)
}

// times multiplies; false: the product is too wide.
func times(a, b int64) (int64, bool) {
	high, low := bits.Mul64(magnitude(a), magnitude(b))
	if high != 0 || low > math.MaxInt64 {
		return 0, false
	}
	if (a < 0) != (b < 0) {
		return -int64(low), true
	}
	return int64(low), true
}

func magnitude(a int64) uint64 {
	if a < 0 {
		return -uint64(a)
	}
	return uint64(a)
}

func (n number) compare(m number) int {
	if n.scale != m.scale {
		scale := max(n.scale, m.scale)
		n, m = n.at(scale), m.at(scale)
	}
	if n.big != nil || m.big != nil {
		return n.integer().Cmp(m.integer())
	}
	switch {
	case n.small < m.small:
		return -1
	case n.small > m.small:
		return 1
	}
	return 0
}

func (n number) sign() int {
	if n.big != nil {
		return n.big.Sign()
	}
	return n.compare(number{scale: n.scale})
}

func (n number) plus(m number) number {
	scale := max(n.scale, m.scale)
	n, m = n.at(scale), m.at(scale)
	if n.big == nil && m.big == nil {
		if sum := n.small + m.small; (sum > n.small) == (m.small > 0) {
			return number{small: sum, scale: scale}
		}
	}
	return wide(new(big.Int).Add(n.integer(), m.integer()), scale)
}

func (n number) negated() number {
	if n.big == nil && n.small != math.MinInt64 {
		return number{small: -n.small, scale: n.scale}
	}
	return wide(new(big.Int).Neg(n.integer()), n.scale)
}

func (n number) times(m number) number {
	scale := n.scale + m.scale
	if n.big == nil && m.big == nil {
		if p, ok := times(n.small, m.small); ok {
			return number{small: p, scale: scale}
		}
	}
	return wide(new(big.Int).Mul(n.integer(), m.integer()), scale)
}

// over divides and rounds to scale, halves away from zero. m is not 0.
func (n number) over(m number, scale int) number {
	above, below := n.integer(), m.integer()
	if up := scale + m.scale - n.scale; up >= 0 {
		above = new(big.Int).Mul(above, power(up))
	} else {
		below = new(big.Int).Mul(below, power(-up))
	}
	return wide(halvesUp(above, below), scale)
}

// remainder is what is left of a division of whole parts, with the sign of n.
func (n number) remainder(m number) number {
	scale := max(n.scale, m.scale)
	return wide(new(big.Int).Rem(n.at(scale).integer(), m.at(scale).integer()), scale)
}

// halvesUp divides and rounds halves away from zero.
func halvesUp(above, below *big.Int) *big.Int {
	q, r := new(big.Int).QuoRem(above, below, new(big.Int))
	if r.Abs(r).Lsh(r, 1).CmpAbs(below) >= 0 {
		step := int64(1)
		if (above.Sign() < 0) != (below.Sign() < 0) {
			step = -1
		}
		q.Add(q, big.NewInt(step))
	}
	return q
}

// rounded returns n at a scale, halves away from zero.
func (n number) rounded(scale int) number {
	if scale >= n.scale {
		return n.at(scale)
	}
	return wide(halvesUp(n.integer(), power(n.scale-scale)), scale)
}

// floor is the greatest whole number not above n.
func (n number) floor() number {
	if n.scale == 0 {
		return n
	}
	// Euclid's quotient is the floor where the divisor is positive.
	return wide(new(big.Int).Div(n.integer(), power(n.scale)), 0)
}

// fits reports whether n has at most so many digits before the point.
func (n number) fits(digits int) bool {
	if n.big == nil && digits+n.scale > smallDigits {
		return true
	}
	return n.integer().CmpAbs(power(digits+n.scale)) < 0
}

// integral returns a whole number as an int64; false: it is none, or too wide.
func (n number) integral() (int64, bool) { return n.small, n.big == nil && n.scale == 0 }

func (n number) float() float64 {
	if n.scale == 0 && n.big == nil {
		return float64(n.small)
	}
	f, err := strconv.ParseFloat(string(n.appendTo(nil)), 64)
	if err != nil {
		return math.Inf(n.sign())
	}
	return f
}

// appendTo appends the text of n, as a Decimal cell has it.
func (n number) appendTo(b []byte) []byte {
	if n.scale == 0 && n.big == nil {
		return strconv.AppendInt(b, n.small, 10)
	}
	digits := n.integer().Append(nil, 10)
	if digits[0] == '-' {
		b, digits = append(b, '-'), digits[1:]
	}
	for len(digits) <= n.scale {
		digits = append([]byte{'0'}, digits...)
	}
	point := len(digits) - n.scale
	b = append(b, digits[:point]...)
	if n.scale > 0 {
		b = append(append(b, '.'), digits[point:]...)
	}
	return b
}
