package text

import (
	"cmp"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"godwit/internal/fault"
	"godwit/internal/option"
)

// CompressionFields are the options of Compression.
func CompressionFields() []option.Field {
	return []option.Field{
		{Name: "compression", Kind: option.Enum, Default: "none", Values: []string{"none", "gzip", "zstd"}, Help: "Compresses each file as a whole; the file name says so (.gz, .zst)."},
		{Name: "level", Kind: option.Int, Default: int64(0), Min: 0, Max: 22, Help: "Compression level: gzip 1 to 9, zstd 1 to 22; 0 takes a fast one."},
	}
}

// Compression is how the files of a codec are compressed, each as a whole. It may be
// used concurrently.
type Compression struct {
	name  string
	level int
	free  sync.Pool
}

// NewCompression reads the options that CompressionFields declares.
func NewCompression(v option.Values) (*Compression, error) {
	c := &Compression{name: v.Text("compression"), level: int(v.Int("level"))}
	if c.name == "gzip" && c.level > 9 || c.name == "none" && c.level != 0 {
		return nil, fault.New(fault.JobValue, "level: compression %s has no such level", c.name).At("%s", v.Place("level"))
	}
	return c, nil
}

// Extension returns what it adds to a file's name: "", ".gz" or ".zst".
func (c *Compression) Extension() string {
	return map[string]string{"gzip": ".gz", "zstd": ".zst"}[c.name]
}

// zstdWindow is small because hundreds of files may be open at once.
const zstdWindow = 512 << 10

// compressor returns one that writes to w.
func (c *Compression) compressor(w io.Writer) (compressor, error) {
	if p, _ := c.free.Get().(compressor); p != nil {
		p.Reset(w)
		return p, nil
	}
	if c.name == "gzip" {
		return gzip.NewWriterLevel(w, cmp.Or(c.level, 3))
	}
	return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true),
		zstd.WithWindowSize(zstdWindow), zstd.WithEncoderLevel(c.zstdLevel()))
}

func (c *Compression) zstdLevel() zstd.EncoderLevel {
	if c.level == 0 {
		return zstd.SpeedFastest
	}
	return zstd.EncoderLevelFromZstd(c.level)
}

// memory returns what a compressor holds: as measured, for none of them says.
func (c *Compression) memory() int {
	if c.name == "gzip" {
		return 1300 << 10
	}
	switch c.zstdLevel() {
	case zstd.SpeedFastest:
		return 1300 << 10
	case zstd.SpeedDefault:
		return 2400 << 10
	case zstd.SpeedBetterCompression:
		return 6 << 20
	}
	return 36 << 20
}

// Reader returns what r has, decompressed. It holds a bounded part of it.
func (c *Compression) Reader(r io.Reader) (io.ReadCloser, error) {
	switch c.name {
	case "gzip":
		return gzip.NewReader(r)
	case "zstd":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return io.NopCloser(r), nil
}

// maxWindow is what a decompressor may hold; ours need zstdWindow.
const maxWindow = 8 << 20
