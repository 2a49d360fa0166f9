package mysql

import (
	"unicode/utf8"
)

// charset turns text of the log into UTF-8 as the server itself would.
type charset struct {
	name  string
	table [256][]byte // one-byte charsets: UTF-8 of each byte
	unit  int         // 2 or 4: UTF-16 or UTF-32 in units of so many bytes
	swap  bool        // little-endian units
	pairs bool        // surrogate pairs have a meaning
}

// charsetOf returns the charset of that name; nil, true for those that are UTF-8
// already, and false for those that cannot be read.
func charsetOf(name string) (*charset, bool) {
	c := &charset{name: name}
	switch name {
	case "utf8mb4", "utf8mb3", "utf8", "":
		return nil, true
	case "ucs2":
		c.unit = 2
	case "utf16":
		c.unit, c.pairs = 2, true
	case "utf16le":
		c.unit, c.pairs, c.swap = 2, true, true
	case "utf32":
		c.unit = 4
	default:
		runes, full := singleByte(name)
		if runes == "" {
			return nil, false
		}
		c.fill(runes, full)
	}
	return c, true
}

func (c *charset) fill(runes string, full bool) {
	at := 0
	if !full {
		for ; at < 128; at++ {
			c.table[at] = []byte{byte(at)}
		}
	}
	for _, r := range runes {
		c.table[at] = utf8.AppendRune(nil, r)
		at++
	}
}

// append appends v as UTF-8.
func (c *charset) append(dst, v []byte) []byte {
	if c.unit == 0 {
		for _, b := range v {
			dst = append(dst, c.table[b]...)
		}
		return dst
	}
	for len(v) >= c.unit {
		r := c.rune(v)
		v = v[c.unit:]
		if c.pairs && r >= 0xd800 && r < 0xdc00 && len(v) >= 2 {
			if low := c.rune(v); low >= 0xdc00 && low < 0xe000 {
				r = 0x10000 + (r-0xd800)<<10 + (low - 0xdc00)
				v = v[2:]
			}
		}
		dst = appendRune(dst, r)
	}
	if len(v) > 0 {
		dst = append(dst, '?')
	}
	return dst
}

func (c *charset) rune(v []byte) rune {
	if c.swap {
		return rune(littleEndian(v[:c.unit]))
	}
	return rune(bigEndian(v[:c.unit]))
}

// appendRune writes '?' for what is no character, as the server does.
func appendRune(dst []byte, r rune) []byte {
	if !utf8.ValidRune(r) {
		return append(dst, '?')
	}
	return utf8.AppendRune(dst, r)
}
