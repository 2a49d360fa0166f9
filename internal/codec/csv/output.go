package csv

import (
	"io"
	"unsafe"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	firstSize = 4 << 10  // the first buffer of a file: many stay small
	fullSize  = 64 << 10 // a full buffer: written at once
	direct    = 16 << 10 // longer text is not copied into the buffer
)

const planSize = unsafe.Sizeof(plan{})

// output is the buffer of a file and what is behind it. After an error it takes
// everything and writes nothing.
type output struct {
	w       io.Writer
	format  *format
	buf     []byte
	pack    compressor // nil: not compressed, or nothing flushed yet
	written int64      // bytes that w took
	err     error
}

type compressor interface {
	io.WriteCloser
	Reset(io.Writer)
}

// Write hands bytes to w; it is what a compressor writes to.
func (o *output) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	o.written += int64(n)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return n, err
}

// reserve makes room for n more bytes, writing out a full buffer.
func (o *output) reserve(n int) {
	if cap(o.buf)-len(o.buf) >= n {
		return
	}
	if len(o.buf)+n > fullSize {
		o.flush()
	}
	o.reserveKeeping(n)
}

// reserveKeeping makes room for n more bytes without writing out.
func (o *output) reserveKeeping(n int) {
	if cap(o.buf)-len(o.buf) >= n {
		return
	}
	size := max(firstSize, 4*cap(o.buf), len(o.buf)+n)
	if len(o.buf)+n <= fullSize {
		size = min(size, fullSize)
	} else {
		size = len(o.buf) + n
	}
	grown := make([]byte, len(o.buf), size)
	copy(grown, o.buf)
	o.buf = grown
}

// write appends p, or passes it on at once when it is long.
func (o *output) write(p []byte) {
	if cap(o.buf)-len(o.buf) < len(p) {
		if len(p) >= direct {
			o.flush()
			o.pass(p)
			return
		}
		o.reserve(len(p))
	}
	o.buf = append(o.buf, p...)
}

// delimit appends one byte.
func (o *output) delimit(c byte) {
	o.reserve(1)
	o.buf = append(o.buf, c)
}

func (o *output) flush() {
	if len(o.buf) > 0 {
		o.pass(o.buf)
	}
	if o.buf = o.buf[:0]; cap(o.buf) > 2*fullSize {
		o.buf = nil
	}
}

// pass writes p behind the buffer.
func (o *output) pass(p []byte) {
	if o.err != nil {
		return
	}
	if o.format.compression == "none" {
		_, o.err = o.Write(p)
		return
	}
	if o.pack == nil {
		if o.pack, o.err = o.format.compressor(o); o.err != nil {
			return
		}
	}
	_, o.err = o.pack.Write(p)
}

func (o *output) close() {
	o.flush()
	o.buf = nil
	if o.err == nil && o.format.compression != "none" && o.pack == nil {
		o.pack, o.err = o.format.compressor(o)
	}
	if o.pack == nil {
		return
	}
	if o.err == nil {
		o.err = o.pack.Close()
	}
	if o.err == nil {
		o.pack.Reset(nil)
		o.format.compressors.Put(o.pack)
	}
	o.pack = nil
}

func (o *output) memory() int {
	n := cap(o.buf)
	if o.pack != nil {
		n += o.format.packMemory()
	}
	return n
}

// zstdWindow is small because hundreds of files may be open at once.
const zstdWindow = 512 << 10

// compressor returns one that writes to w.
func (f *format) compressor(w io.Writer) (compressor, error) {
	if c, _ := f.compressors.Get().(compressor); c != nil {
		c.Reset(w)
		return c, nil
	}
	if f.compression == "gzip" {
		level := f.level
		if level == 0 {
			level = 3
		}
		return gzip.NewWriterLevel(w, level)
	}
	return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true),
		zstd.WithWindowSize(zstdWindow), zstd.WithEncoderLevel(f.zstdLevel()))
}

func (f *format) zstdLevel() zstd.EncoderLevel {
	if f.level == 0 {
		return zstd.SpeedFastest
	}
	return zstd.EncoderLevelFromZstd(f.level)
}

// packMemory returns what a compressor holds: as measured, for none of them says.
func (f *format) packMemory() int {
	if f.compression == "gzip" {
		return 1300 << 10
	}
	switch f.zstdLevel() {
	case zstd.SpeedFastest:
		return 1300 << 10
	case zstd.SpeedDefault:
		return 2400 << 10
	case zstd.SpeedBetterCompression:
		return 6 << 20
	}
	return 36 << 20
}
