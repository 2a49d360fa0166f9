package mysql

import (
	"compress/flate"
	"embed"
	"fmt"
	"io"
	"sync"
	"unicode/utf8"
)

// charset turns text of the log into UTF-8 as the server itself would.
type charset struct {
	name  string
	table [256][]byte // one-byte charsets: UTF-8 of each byte
	unit  int         // 2 or 4: UTF-16 or UTF-32 in units of so many bytes
	swap  bool        // little-endian units
	pairs bool        // surrogate pairs have a meaning
	wide  *wide       // characters of several bytes that are no Unicode
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
		if load, ok := wides[name]; ok {
			c.wide = load()
			return c, true
		}
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
	if c.wide != nil {
		return c.wide.append(dst, v)
	}
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

// wide is a charset of characters of one to four bytes. Its file in charsets/ has, as
// a server converts it, the Unicode of every code in 16 bits, 0 where there is none:
// the one-byte codes, those of two bytes from 0x8000 on, and where there are any those
// of three bytes without their first one, 0x8f, or of four (see fourBytes). First all
// high bytes, then all low ones, deflated.
type wide struct {
	name  string
	codes []uint16
}

// wideCodes is how many codes of two bytes there are.
const wideCodes = 0x8000

//go:embed charsets/*.z
var wideFiles embed.FS

// wides are the charsets with a file, each read when it is first needed.
var wides = func() map[string]func() *wide {
	out := map[string]func() *wide{}
	for _, name := range wideNames() {
		out[name] = sync.OnceValue(func() *wide { return loadWide(name) })
	}
	return out
}()

func wideNames() []string {
	return []string{"big5", "cp932", "euckr", "eucjpms", "gb18030", "gb2312", "gbk", "sjis", "ujis"}
}

// loadWide reads the file of a charset, which is part of the program.
func loadWide(name string) *wide {
	f, err := wideFiles.Open("charsets/" + name + ".z")
	if err != nil {
		panic(err)
	}
	defer f.Close()
	b, err := io.ReadAll(flate.NewReader(f))
	if err != nil {
		panic(fmt.Errorf("charset %s: %w", name, err))
	}
	w := &wide{name: name, codes: make([]uint16, len(b)/2)}
	for i := range w.codes {
		w.codes[i] = uint16(b[i])<<8 | uint16(b[len(w.codes)+i])
	}
	return w
}

// size returns how many bytes the character at the front of v takes.
func (w *wide) size(v []byte) int {
	b := v[0]
	var two bool
	switch w.name {
	case "sjis", "cp932":
		two = b >= 0x81 && b <= 0x9f || b >= 0xe0 && b <= 0xfc
	case "big5":
		two = b >= 0xa1 && b <= 0xf9
	case "gb2312":
		two = b >= 0xa1 && b <= 0xf7
	case "ujis", "eucjpms":
		if b == 0x8f {
			return 3
		}
		two = b == 0x8e || b >= 0xa1 && b <= 0xfe
	case "gb18030":
		if b >= 0x81 && b <= 0xfe && len(v) > 1 && v[1] >= 0x30 && v[1] <= 0x39 {
			return 4
		}
		two = b >= 0x81 && b <= 0xfe
	default: // gbk, euckr
		two = b >= 0x81 && b <= 0xfe
	}
	if two {
		return 2
	}
	return 1
}

func (w *wide) append(dst, v []byte) []byte {
	for len(v) > 0 {
		n := min(w.size(v), len(v))
		r := w.code(v[:n])
		if r == 0 && v[0] != 0 {
			r = '?'
		}
		dst = utf8.AppendRune(dst, r)
		v = v[n:]
	}
	return dst
}

func (w *wide) code(v []byte) rune {
	at := int(bigEndian(v))
	switch len(v) {
	case 2:
		at += 0x100 - 0x8000
	case 3:
		at += 0x100 + wideCodes - 0x8f8000
	case 4:
		n := fourBytes(v)
		if n >= fourPlanes && n-fourPlanes < 0x100000 {
			return rune(0x10000 + n - fourPlanes)
		}
		if n < 0 || n >= fourCodes {
			return 0
		}
		at = 0x100 + wideCodes + n
	}
	if at < 0 || at >= len(w.codes) {
		return 0
	}
	return rune(w.codes[at])
}

const (
	// fourCodes is how many codes of four bytes stand for characters of 16 bits, from
	// the first on; fourPlanes is from which on they count through all others.
	fourCodes  = 39420
	fourPlanes = 189000
)

// fourBytes returns the number of a code of four bytes: the first and third have 126
// values from 0x81 on, the second and fourth ten from 0x30 on.
func fourBytes(v []byte) int {
	if v[1]-0x30 > 9 || v[2]-0x81 > 125 || v[3]-0x30 > 9 {
		return -1
	}
	return ((int(v[0]-0x81)*10+int(v[1]-0x30))*126+int(v[2]-0x81))*10 + int(v[3]-0x30)
}
