package text

import "io"

const (
	firstSize = 4 << 10  // the first buffer of a file: many stay small
	fullSize  = 64 << 10 // a full buffer: written at once
)

// Direct is the length from which a text is not copied into the buffer.
const Direct = 16 << 10

// Output is the buffer of a file and what is behind it. After an error it takes
// everything and writes nothing. It is used by one goroutine.
type Output struct {
	// Buf is what is not written yet. Whoever has made room (Reserve) may append to it.
	Buf []byte
	// Err is the first error.
	Err error

	w       io.Writer
	pack    *Compression
	packer  compressor // nil: not compressed, or nothing flushed yet
	written int64      // bytes that w took
}

type compressor interface {
	io.WriteCloser
	Reset(io.Writer)
}

// NewOutput returns an output to w, compressed by c.
func NewOutput(w io.Writer, c *Compression) Output { return Output{w: w, pack: c} }

// sink hands bytes to w; it is what a compressor writes to.
type sink struct{ *Output }

func (o sink) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	o.written += int64(n)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return n, err
}

// Reserve makes room for n more bytes, writing out a full buffer.
func (o *Output) Reserve(n int) {
	if cap(o.Buf)-len(o.Buf) >= n {
		return
	}
	if len(o.Buf)+n > fullSize {
		o.flush()
	}
	o.ReserveKeeping(n)
}

// ReserveKeeping makes room for n more bytes without writing out.
func (o *Output) ReserveKeeping(n int) {
	if cap(o.Buf)-len(o.Buf) >= n {
		return
	}
	size := max(firstSize, 4*cap(o.Buf), len(o.Buf)+n)
	if len(o.Buf)+n <= fullSize {
		size = min(size, fullSize)
	} else {
		size = len(o.Buf) + n
	}
	grown := make([]byte, len(o.Buf), size)
	copy(grown, o.Buf)
	o.Buf = grown
}

// Append appends p, or passes it on at once when it is long.
func (o *Output) Append(p []byte) {
	if cap(o.Buf)-len(o.Buf) < len(p) {
		if len(p) >= Direct {
			o.flush()
			o.pass(p)
			return
		}
		o.Reserve(len(p))
	}
	o.Buf = append(o.Buf, p...)
}

// Byte appends one byte.
func (o *Output) Byte(c byte) {
	o.Reserve(1)
	o.Buf = append(o.Buf, c)
}

func (o *Output) flush() {
	if len(o.Buf) > 0 {
		o.pass(o.Buf)
	}
	if o.Buf = o.Buf[:0]; cap(o.Buf) > 2*fullSize {
		o.Buf = nil
	}
}

// pass writes p behind the buffer.
func (o *Output) pass(p []byte) {
	if o.Err != nil {
		return
	}
	if o.pack.name == "none" {
		_, o.Err = sink{o}.Write(p)
		return
	}
	if o.packer == nil {
		if o.packer, o.Err = o.pack.compressor(sink{o}); o.Err != nil {
			return
		}
	}
	_, o.Err = o.packer.Write(p)
}

// Close writes what is left and ends the compression.
func (o *Output) Close() {
	o.flush()
	o.Buf = nil
	if o.Err == nil && o.pack.name != "none" && o.packer == nil {
		o.packer, o.Err = o.pack.compressor(sink{o})
	}
	if o.packer == nil {
		return
	}
	if o.Err == nil {
		o.Err = o.packer.Close()
	}
	if o.Err == nil {
		o.packer.Reset(nil)
		o.pack.free.Put(o.packer)
	}
	o.packer = nil
}

// Memory returns the bytes held.
func (o *Output) Memory() int {
	n := cap(o.Buf)
	if o.packer != nil {
		n += o.pack.memory()
	}
	return n
}

// Written returns the bytes written so far and those waiting.
func (o *Output) Written() int64 { return o.written + int64(len(o.Buf)) }
