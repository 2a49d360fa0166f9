package mysql

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// Kinds of values in MySQL's binary form of JSON (sql-common/json_binary.h).
const (
	jsonSmallObject = 0x0
	jsonLargeObject = 0x1
	jsonSmallArray  = 0x2
	jsonLargeArray  = 0x3
	jsonLiteral     = 0x4
	jsonInt16       = 0x5
	jsonUint16      = 0x6
	jsonInt32       = 0x7
	jsonUint32      = 0x8
	jsonInt64       = 0x9
	jsonUint64      = 0xa
	jsonDouble      = 0xb
	jsonString      = 0xc
	jsonOpaque      = 0xf
)

// jsonDepth is how deep documents may be; servers refuse deeper ones.
const jsonDepth = 100

var (
	errJSON       = errors.New("a JSON document has an unknown form")
	errJSONChange = errors.New("a change of a JSON document does not fit it")
)

// appendJSON appends the text of a binary document, as the server prints it.
func appendJSON(dst, v []byte) ([]byte, error) {
	if len(v) == 0 { // what an insert that ignores errors leaves
		return append(dst, "null"...), nil
	}
	return jsonValue(dst, v[0], v[1:], 0)
}

// jsonValue appends a value whose bytes begin at the front of v.
func jsonValue(dst []byte, kind byte, v []byte, depth int) ([]byte, error) {
	switch kind {
	case jsonSmallObject, jsonLargeObject, jsonSmallArray, jsonLargeArray:
		if depth > jsonDepth {
			return dst, errJSON
		}
		return jsonContainer(dst, kind, v, depth)
	case jsonString:
		text, err := jsonBytes(v)
		return appendQuoted(dst, text), err
	case jsonOpaque:
		if len(v) == 0 {
			return dst, errJSON
		}
		data, err := jsonBytes(v[1:])
		if err != nil {
			return dst, err
		}
		return jsonOther(dst, v[0], data)
	}
	return jsonScalar(dst, kind, v)
}

// jsonSize is the bytes of a scalar of fixed size, 0 for others.
func jsonSize(kind byte) int {
	switch kind {
	case jsonLiteral, jsonInt16, jsonUint16:
		return 2
	case jsonInt32, jsonUint32:
		return 4
	case jsonInt64, jsonUint64, jsonDouble:
		return 8
	}
	return 0
}

func jsonScalar(dst []byte, kind byte, v []byte) ([]byte, error) {
	n := jsonSize(kind)
	if kind == jsonLiteral { // one byte, except inside a container
		n = 1
	}
	if n == 0 || len(v) < n {
		return dst, errJSON
	}
	v = v[:n]
	switch kind {
	case jsonLiteral:
		if v[0] > 2 {
			return dst, errJSON
		}
		return append(dst, [...]string{"null", "true", "false"}[v[0]]...), nil
	case jsonInt16, jsonInt32, jsonInt64:
		return strconv.AppendInt(dst, littleInt(v), 10), nil
	case jsonDouble:
		f := math.Float64frombits(binary.LittleEndian.Uint64(v))
		if math.IsNaN(f) || math.IsInf(f, 0) { // JSON has none
			return dst, errJSON
		}
		return appendJSONDouble(dst, f), nil
	}
	return strconv.AppendUint(dst, littleEndian(v), 10), nil
}

// jsonBytes returns the bytes at the front of v behind their length, of which each byte
// holds seven bits.
func jsonBytes(v []byte) ([]byte, error) {
	n := 0
	for i := 0; i < min(len(v), 5); i++ {
		n |= int(v[i]&0x7f) << (7 * i)
		if v[i]&0x80 == 0 {
			if v = v[i+1:]; n > len(v) {
				return nil, errJSON
			}
			return v[:n], nil
		}
	}
	return nil, errJSON
}

// jsonContainer appends an object or an array.
func jsonContainer(dst []byte, kind byte, v []byte, depth int) ([]byte, error) {
	c, err := openJSON(kind, v)
	if err != nil {
		return dst, err
	}
	dst = append(dst, "[{"[b2i(c.object)])
	for i := range c.n {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		if c.object {
			key, err := c.key(i)
			if err != nil {
				return dst, err
			}
			dst = append(appendQuoted(dst, key), ": "...)
		}
		kind, v, err := c.value(i)
		if err != nil {
			return dst, err
		}
		if dst, err = jsonValue(dst, kind, v, depth+1); err != nil {
			return dst, err
		}
	}
	return append(dst, "]}"[b2i(c.object)]), nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// jsonEntries are the members of an object or an array. In its bytes stand, behind their
// number and the size of it all, for an object place and length of each key, then kind
// and place of each value; small values stand there themselves. Places count from the
// front.
type jsonEntries struct {
	v            []byte
	object       bool
	n            int // members
	width        int // bytes of a number
	keys, values int // where the entries of keys and of values begin
}

// openJSON reads the front of an object or an array whose bytes begin at that of v.
func openJSON(kind byte, v []byte) (jsonEntries, error) {
	c := jsonEntries{object: kind == jsonSmallObject || kind == jsonLargeObject, width: 2}
	if kind == jsonLargeObject || kind == jsonLargeArray {
		c.width = 4
	}
	if len(v) < 2*c.width {
		return c, errJSON
	}
	size := int(littleEndian(v[c.width : 2*c.width]))
	c.n, c.keys = int(littleEndian(v[:c.width])), 2*c.width
	c.values = c.keys
	if c.object {
		c.values += c.n * (c.width + 2)
	}
	if c.n > len(v) || size > len(v) || c.values+c.n*(c.width+1) > size {
		return c, errJSON
	}
	c.v = v[:size]
	return c, nil
}

func (c *jsonEntries) key(i int) ([]byte, error) {
	entry := c.v[c.keys+i*(c.width+2):]
	at, n := int(littleEndian(entry[:c.width])), int(littleEndian(entry[c.width:c.width+2]))
	if at+n > len(c.v) {
		return nil, errJSON
	}
	return c.v[at : at+n], nil
}

// value returns the kind of a value and bytes at whose front it begins.
func (c *jsonEntries) value(i int) (kind byte, v []byte, err error) {
	entry := c.v[c.values+i*(c.width+1):]
	kind = entry[0]
	if n := jsonSize(kind); n > 0 && n <= c.width {
		return kind, entry[1 : 1+c.width], nil
	}
	at := int(littleEndian(entry[1 : 1+c.width]))
	if at >= len(c.v) {
		return kind, nil, errJSON
	}
	return kind, c.v[at:], nil
}

// jsonOther appends a value of a column's type that JSON itself does not have.
func jsonOther(dst []byte, ty byte, v []byte) ([]byte, error) {
	switch ty {
	case tyNewDecimal:
		return jsonDecimal(dst, v)
	case tyDate, tyTime, tyDateTime, tyTimestamp:
		if len(v) != 8 {
			return dst, errJSON
		}
		return jsonMoment(dst, ty, int64(binary.LittleEndian.Uint64(v))), nil
	}
	dst = append(dst, fmt.Sprintf(`"base64:type%d:`, ty)...)
	const line = 76 / 4 * 3 // bytes of a line; the server breaks them
	for ; len(v) > line; v = v[line:] {
		dst = append(base64.StdEncoding.AppendEncode(dst, v[:line]), `\n`...)
	}
	return append(base64.StdEncoding.AppendEncode(dst, v), '"'), nil
}

func jsonDecimal(dst, v []byte) ([]byte, error) {
	if len(v) < 2 {
		return dst, errJSON
	}
	digits, scale := int(v[0]), int(v[1])
	if digits > 65 || scale > digits || len(v)-2 != decimalBytes(digits-scale, scale) {
		return dst, errJSON
	}
	dst, ok := appendDecimal(dst, v[2:], digits-scale, scale)
	if !ok {
		return dst, errJSON
	}
	return dst, nil
}

// jsonMoment appends a packed date or time: fields of bits, then 24 bits of
// microseconds.
func jsonMoment(dst []byte, ty byte, packed int64) []byte {
	sign := ""
	if packed < 0 {
		sign, packed = "-", -packed
	}
	whole, micros := packed>>24, packed&(1<<24-1)
	hour, minute, second := whole>>12&31, whole>>6&63, whole&63
	day, month, year := whole>>17&31, (whole>>22)%13, (whole>>22)/13
	switch ty {
	case tyTime:
		hour = whole >> 12 & 1023
		return fmt.Appendf(dst, `"%s%02d:%02d:%02d.%06d"`, sign, hour, minute, second, micros)
	case tyDate:
		return fmt.Appendf(dst, `"%04d-%02d-%02d"`, year, month, day)
	}
	return fmt.Appendf(dst, `"%04d-%02d-%02d %02d:%02d:%02d.%06d"`, year, month, day, hour, minute, second, micros)
}

// appendJSONDouble appends a number with an exponent from where the server does, and
// always such that it cannot be taken for an integer.
func appendJSONDouble(dst []byte, f float64) []byte {
	text := strconv.AppendFloat(nil, f, 'e', -1, 64)
	mark := len(text) - 1
	for text[mark] != 'e' {
		mark--
	}
	exponent, _ := strconv.Atoi(string(text[mark+1:]))
	digits := mark - b2i(mark > 1 && f > 0) // without the point …
	if f < 0 {
		digits = mark - 1 - b2i(mark > 2) // … and the sign
	}
	point := exponent + 1
	if f == 0 || point >= -14 && (point <= 15 || digits > point) {
		dst = strconv.AppendFloat(dst, f, 'f', -1, 64)
		if digits <= point || f == 0 {
			dst = append(dst, ".0"...)
		}
		return dst
	}
	dst = append(dst, text[:mark]...)
	return strconv.AppendInt(append(dst, 'e'), int64(exponent), 10)
}

// appendQuoted appends a text in quotes.
func appendQuoted(dst, text []byte) []byte {
	dst = append(dst, '"')
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\b':
			dst = append(dst, `\b`...)
		case c == '\f':
			dst = append(dst, `\f`...)
		case c == '\n':
			dst = append(dst, `\n`...)
		case c == '\r':
			dst = append(dst, `\r`...)
		case c == '\t':
			dst = append(dst, `\t`...)
		case c < ' ':
			dst = append(dst, `\u00`...)
			dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
