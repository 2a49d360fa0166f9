package s3

import (
	"io"
	"os"

	"godwit/internal/fault"
	"godwit/internal/limit"
	"godwit/internal/store"
)

// spool keeps what is written until it makes a part: in memory while the store's
// share has some, else in a temporary file that has no name. Many may be open at
// once, so none waits for another's memory.
type spool struct {
	memory *limit.Budget
	held   int64
	bytes  []byte
	file   *os.File
	size   int
}

// spoolStep is by what memory grows.
const spoolStep = 256 << 10

func (p *spool) add(b []byte) error {
	if p.file == nil && !p.grow(len(b)) {
		if err := p.spill(); err != nil {
			return err
		}
	}
	if p.file == nil {
		p.bytes = append(p.bytes, b...)
	} else if _, err := p.file.WriteAt(b, int64(p.size)); err != nil {
		return spoolError(err)
	}
	p.size += len(b)
	return nil
}

// grow makes room for n more bytes of memory, if there is some.
func (p *spool) grow(n int) bool {
	need := int64(p.size + n)
	if need <= p.held {
		return true
	}
	more := (need - p.held + spoolStep - 1) / spoolStep * spoolStep
	if p.memory.Taken()+more > p.memory.Size()/2 { // the other half is for those who wait for it
		return false
	}
	p.memory.Add(more)
	p.held += more
	if int64(cap(p.bytes)) < p.held {
		fresh := make([]byte, p.size, max(p.held, min(2*p.held, stageBytes)))
		copy(fresh, p.bytes)
		p.memory.Add(int64(cap(fresh)) - p.held)
		p.held = int64(cap(fresh))
		p.bytes = fresh
	}
	return true
}

// spill moves what there is to a file.
func (p *spool) spill() error {
	f, err := os.CreateTemp("", "godwit-part-*")
	if err != nil {
		return spoolError(err)
	}
	_ = os.Remove(f.Name()) // it lives as long as it is open
	if _, err := f.WriteAt(p.bytes, 0); err != nil {
		_ = f.Close()
		return spoolError(err)
	}
	p.file = f
	p.release()
	return nil
}

func spoolError(err error) error {
	return fault.New(fault.TargetFailed, "cannot keep a part in a temporary file").At("%s", os.TempDir()).By(err).
		Try("free space there, or set TMPDIR")
}

func (p *spool) body() store.Body {
	if p.file == nil {
		return inMemory(p.bytes)
	}
	file, size := p.file, int64(p.size)
	return store.Body{Size: size, Open: func(off int64) (io.ReadCloser, error) {
		return io.NopCloser(io.NewSectionReader(file, off, size-off)), nil
	}}
}

func (p *spool) clear() error {
	p.size, p.bytes = 0, p.bytes[:0]
	if p.file != nil {
		if err := p.file.Truncate(0); err != nil {
			return spoolError(err)
		}
	}
	return nil
}

func (p *spool) release() {
	p.memory.Give(p.held)
	p.held, p.bytes = 0, nil
}

func (p *spool) close() {
	p.release()
	if p.file != nil {
		_ = p.file.Close()
		p.file = nil
	}
}
