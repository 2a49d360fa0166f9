package mysql

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"io"
)

// Methods by which the values of a COMPRESSED column are stored, in the high half of
// their first byte.
const (
	packedNot  = 0 // the value follows as it is
	packedZlib = 8 // the low half: 8, no zlib frame, plus the bytes of the length that follows
)

// unpacker undoes the compression of MariaDB's COMPRESSED columns. What it returns is
// lent until the next value.
type unpacker struct {
	zlib, flate io.ReadCloser
	in          bytes.Reader
	out         bytes.Buffer
}

// value returns the plain form of a stored value.
func (p *unpacker) value(v []byte) (plain []byte, ok bool) {
	if len(v) == 0 {
		return v, true
	}
	front := v[0]
	switch front >> 4 {
	case packedNot:
		return v[1:], front == 0
	case packedZlib:
		n := 1 + int(front&7)
		if n > len(v) || n > 5 {
			return nil, false
		}
		return p.inflate(v[n:], int64(bigEndian(v[1:n])), front&8 != 0)
	}
	return nil, false
}

func (p *unpacker) inflate(v []byte, size int64, bare bool) (plain []byte, ok bool) {
	if size > maxInflated {
		return nil, false
	}
	p.in.Reset(v)
	from, err := p.reader(bare)
	if err != nil {
		return nil, false
	}
	p.out.Reset() // grows as it comes, so that a false length takes no memory
	n, err := io.Copy(&p.out, io.LimitReader(from, size+1))
	return p.out.Bytes(), err == nil && n == size
}

// reader returns what inflates p.in; readers are made once and used again.
func (p *unpacker) reader(bare bool) (io.Reader, error) {
	switch {
	case bare && p.flate == nil:
		p.flate = flate.NewReader(&p.in)
		return p.flate, nil
	case bare:
		return p.flate, p.flate.(flate.Resetter).Reset(&p.in, nil)
	case p.zlib == nil:
		var err error
		p.zlib, err = zlib.NewReader(&p.in)
		return p.zlib, err
	}
	return p.zlib, p.zlib.(zlib.Resetter).Reset(&p.in, nil)
}
