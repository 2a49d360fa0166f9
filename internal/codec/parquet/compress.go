package parquet

import (
	"bytes"
	"runtime"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// Numbers of the format's compressions.
const (
	packNone   = 0
	packSnappy = 1
	packGzip   = 2
	packZstd   = 6
)

// packer compresses pages. It is used by all files of a codec, concurrently.
type packer struct {
	id    int
	level int
	zstd  *zstd.Encoder
	gzip  sync.Pool
}

func newPacker(name string, level int) (*packer, error) {
	p := &packer{id: map[string]int{"none": packNone, "snappy": packSnappy, "gzip": packGzip, "zstd": packZstd}[name], level: level}
	if p.id != packZstd {
		return p, nil
	}
	speed := zstd.SpeedFastest
	if level > 0 {
		speed = zstd.EncoderLevelFromZstd(level)
	}
	var err error
	p.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(speed), zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)),
		zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(zstdWindow), zstd.WithEncoderCRC(false))
	return p, err
}

// zstdWindow is as much as a page usually has.
const zstdWindow = 512 << 10

// pack appends what p compresses to.
func (p *packer) pack(dst, page []byte) ([]byte, error) {
	switch p.id {
	case packZstd:
		return p.zstd.EncodeAll(page, dst), nil
	case packSnappy:
		at := len(dst)
		dst = append(dst, make([]byte, s2.MaxEncodedLen(len(page)))...)
		return dst[:at+len(s2.EncodeSnappy(dst[at:], page))], nil
	case packGzip:
		return p.deflate(dst, page)
	}
	return append(dst, page...), nil
}

func (p *packer) deflate(dst, page []byte) ([]byte, error) {
	out := bytes.NewBuffer(dst)
	w, _ := p.gzip.Get().(*gzip.Writer)
	if w == nil {
		var err error
		if w, err = gzip.NewWriterLevel(out, max(p.level, 1)); err != nil {
			return nil, err
		}
	} else {
		w.Reset(out)
	}
	if _, err := w.Write(page); err != nil {
		return nil, err
	}
	err := w.Close()
	p.gzip.Put(w)
	return out.Bytes(), err
}
