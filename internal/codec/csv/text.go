package csv

import (
	"bytes"
	"encoding/binary"
)

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// scanner finds the bytes for which a field must be quoted.
type scanner struct {
	delimiter, quote uint64 // in each of eight bytes
	escape           uint64 // the same; the quote again where there is none
	bad              [256]bool
}

func newScanner(delimiter, quote byte, backslash bool) scanner {
	escape := quote
	if backslash {
		escape = '\\'
	}
	s := scanner{delimiter: uint64(delimiter) * ones, quote: uint64(quote) * ones, escape: uint64(escape) * ones}
	for _, c := range []byte{delimiter, quote, escape, '\r', '\n'} {
		s.bad[c] = true
	}
	return s
}

// found reports whether p contains the delimiter, the quote, CR or LF.
func (s *scanner) found(p []byte) bool {
	if len(p) < 8 {
		return s.slow(p)
	}
	hits := uint64(0)
	for q := p; len(q) > 8; q = q[8:] {
		hits |= s.word(binary.LittleEndian.Uint64(q))
	}
	hits |= s.word(binary.LittleEndian.Uint64(p[len(p)-8:]))
	return hits != 0 && s.slow(p)
}

// word is not zero if one of eight bytes is the delimiter, the quote, or one of
// the control characters 8 to 15, among which are CR and LF. A byte is zero if
// subtracting one from it borrows and its high bit was not set.
func (s *scanner) word(w uint64) uint64 {
	d, q, c, x := w^s.delimiter, w^s.quote, w&(0xf8*ones)^0x08*ones, w^s.escape
	return ((d-ones)&^d | (q-ones)&^q | (c-ones)&^c | (x-ones)&^x) & highs
}

func (s *scanner) slow(p []byte) bool {
	for _, c := range p {
		if s.bad[c] {
			return true
		}
	}
	return false
}

// quoted appends p in quotes, and a delimiter.
func (e *encoder) quoted(p []byte) {
	o := &e.out
	o.Byte(e.quote)
	if e.backslash {
		e.escaped(p)
	} else {
		e.doubled(p)
	}
	o.Reserve(2)
	o.Buf = append(o.Buf, e.quote, e.delimiter)
}

// doubled appends p with its quotes twice.
func (e *encoder) doubled(p []byte) {
	o := &e.out
	for {
		i := bytes.IndexByte(p, e.quote)
		if i < 0 {
			break
		}
		o.Append(p[:i+1])
		o.Byte(e.quote)
		p = p[i+1:]
	}
	o.Append(p)
}

// escaped appends p with backslashes before what would end it.
func (e *encoder) escaped(p []byte) {
	o := &e.out
	first := 0
	for i, c := range p {
		if c = e.behind(c); c == 0 {
			continue
		}
		o.Append(p[first:i])
		o.Reserve(2)
		o.Buf = append(o.Buf, '\\', c)
		first = i + 1
	}
	o.Append(p[first:])
}

// behind returns what stands behind a backslash for c, or 0 when c stands for itself.
func (f *format) behind(c byte) byte {
	switch {
	case c == '\\', c == f.quote && !f.bare, c == f.delimiter && f.bare:
		return c
	case c == '\n' && f.bare:
		return 'n'
	case c == '\r' && f.bare:
		return 'r'
	}
	return 0
}

// appendText appends s as a field, without delimiter; for texts that are kept.
func (e *encoder) appendText(b []byte, s string) []byte {
	p := []byte(s)
	if !e.bare && !e.allText && s != "" && s != e.null && !e.scan.slow(p) {
		return append(b, p...)
	}
	if !e.bare {
		b = append(b, e.quote)
	}
	for _, c := range p {
		switch k := e.behind(c); {
		case e.backslash && k != 0:
			b = append(b, '\\', k)
		case !e.backslash && c == e.quote:
			b = append(b, c, c)
		default:
			b = append(b, c)
		}
	}
	if !e.bare {
		b = append(b, e.quote)
	}
	return b
}
