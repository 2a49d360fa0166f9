package parquet

import (
	"encoding/binary"
	"errors"
)

var errThrift = errors.New("a header is not what Thrift's compact protocol allows")

// thriftReader reads structs in the compact protocol, without taking memory of its
// own. After an error everything is empty.
type thriftReader struct {
	b     []byte
	at    int
	depth int
	err   error
}

func (r *thriftReader) fail() {
	if r.err == nil {
		r.err = errThrift
	}
	r.at = len(r.b)
}

func (r *thriftReader) byte() byte {
	if r.at >= len(r.b) {
		r.fail()
		return 0
	}
	r.at++
	return r.b[r.at-1]
}

func (r *thriftReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b[r.at:])
	if n <= 0 {
		r.fail()
		return 0
	}
	r.at += n
	return v
}

func (r *thriftReader) int() int64 {
	v := r.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// bytes returns a text; it lies in what is read.
func (r *thriftReader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)-r.at) {
		r.fail()
		return nil
	}
	r.at += int(n)
	return r.b[r.at-int(n) : r.at]
}

// list returns the kind and number of a list's elements, each of which has a byte.
func (r *thriftReader) list() (kind, n int) {
	h := r.byte()
	size := uint64(h >> 4)
	if size == 15 {
		size = r.uvarint()
	}
	if size > uint64(len(r.b)-r.at) {
		r.fail()
		return 0, 0
	}
	return int(h & 15), int(size)
}

// maxDepth bounds structs in structs.
const maxDepth = 16

// fields calls f for each field of a struct: f reads its value, and what it does not
// know it skips.
func (r *thriftReader) fields(f func(id, kind int)) {
	if r.depth++; r.depth > maxDepth {
		r.fail()
	}
	defer func() { r.depth-- }()
	for id := 0; r.err == nil; {
		h := r.byte()
		if h&15 == 0 {
			return
		}
		if h>>4 == 0 {
			id = int(int16(r.int()))
		} else {
			id += int(h >> 4)
		}
		f(id, int(h&15))
	}
}

func (r *thriftReader) skip(kind int) {
	switch kind {
	case thriftTrue, thriftFalse:
	case thriftByte:
		r.byte()
	case thriftI16, thriftI32, thriftI64:
		r.uvarint()
	case thriftDouble:
		for range 8 {
			r.byte()
		}
	case thriftBinary:
		r.bytes()
	case thriftList, thriftSet:
		r.skipList()
	case thriftStruct:
		r.fields(func(_, kind int) { r.skip(kind) })
	default:
		r.fail()
	}
}

func (r *thriftReader) skipList() {
	if r.depth++; r.depth > maxDepth {
		r.fail()
	}
	kind, n := r.list()
	for range n {
		if r.err != nil {
			break
		}
		if kind == thriftTrue || kind == thriftFalse {
			kind = thriftByte // in lists they have a byte
		}
		r.skip(kind)
	}
	r.depth--
}

// want reads an integer, of which no other kind may be there.
func (r *thriftReader) want(kind int) int64 {
	if kind != thriftI16 && kind != thriftI32 && kind != thriftI64 {
		r.fail()
		return 0
	}
	return r.int()
}
