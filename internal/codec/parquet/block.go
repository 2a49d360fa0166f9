package parquet

import (
	"io"
	"sync"
)

// blockSize is how finished pages are kept: in blocks that go from one row group to
// the next, so that they leave no garbage.
const blockSize = 16 << 10

// blocks lends the memory of finished pages to all files of a codec.
type blocks struct{ free sync.Pool }

func (p *blocks) get() *[blockSize]byte {
	if b, _ := p.free.Get().(*[blockSize]byte); b != nil {
		return b
	}
	return new([blockSize]byte)
}

// chain is bytes in blocks.
type chain struct {
	from   *blocks
	blocks []*[blockSize]byte
	n      int
}

func (c *chain) append(p []byte) {
	for len(p) > 0 {
		at := c.n % blockSize
		if at == 0 {
			c.blocks = append(c.blocks, c.from.get())
		}
		k := copy(c.blocks[len(c.blocks)-1][at:], p)
		c.n += k
		p = p[k:]
	}
}

// drain writes the bytes to w and gives the blocks back.
func (c *chain) drain(w io.Writer) error {
	var err error
	for _, b := range c.blocks {
		k := min(c.n, blockSize)
		if err == nil {
			_, err = w.Write(b[:k])
		}
		c.n -= k
		c.from.free.Put(b)
	}
	clear(c.blocks)
	c.blocks, c.n = c.blocks[:0], 0
	return err
}
