package rows

import (
	"bufio"
	"encoding/binary"
	"io"
	"os"
	"slices"

	"github.com/zeebo/xxh3"
)

// fanOut is how many parts a spill has, a power of two.
const (
	fanOutBits = 6
	fanOut     = 1 << fanOutBits
)

// spill is a bag of records, divided by a hash of their ids, so that those of one id
// are in one part.
type spill struct {
	depth int
	bytes int64 // of all records
	parts [fanOut]part
}

func newSpill(dir string, depth int) *spill {
	s := &spill{depth: depth}
	for i := range s.parts {
		s.parts[i].dir = dir
	}
	return s
}

// add appends a record. Nothing is kept of id and rest.
func (s *spill) add(id, rest []byte) error {
	p := &s.parts[xxh3.Hash(id)>>(64-fanOutBits*(s.depth+1))%fanOut]
	before := p.size
	err := p.add(id, rest)
	s.bytes += p.size - before
	return err
}

// close empties it.
func (s *spill) close() (err error) {
	s.bytes = 0
	for i := range s.parts {
		if e := s.parts[i].close(); e != nil {
			err = e
		}
	}
	return err
}

// part is a list of records. What does not fit into its buffer lies in a file without
// a name: it is gone when the process is.
type part struct {
	dir  string
	buf  []byte
	file *os.File
	size int64 // bytes of all records
	n    int64 // records
}

// partBuffer is what a part holds in memory.
const partBuffer = 16 << 10

func (p *part) add(id, rest []byte) error {
	before := len(p.buf)
	p.buf = binary.AppendUvarint(p.buf, uint64(len(id)))
	p.buf = append(p.buf, id...)
	p.buf = binary.AppendUvarint(p.buf, uint64(len(rest)))
	p.buf = append(p.buf, rest...)
	p.size += int64(len(p.buf) - before)
	p.n++
	if len(p.buf) < partBuffer {
		return nil
	}
	return p.flush()
}

func (p *part) flush() error {
	if p.file == nil {
		f, err := os.CreateTemp(p.dir, "rows-*")
		if err != nil {
			return spillFault(err, p.dir)
		}
		p.file = f
		if err := os.Remove(f.Name()); err != nil {
			return spillFault(err, p.dir)
		}
	}
	if _, err := p.file.Write(p.buf); err != nil {
		return spillFault(err, p.dir)
	}
	p.buf = p.buf[:0]
	return nil
}

// each calls do with every record, in the order in which they were added. id and rest
// are lent.
func (p *part) each(do func(id, rest []byte) error) error {
	onDisk := p.size - int64(len(p.buf))
	if onDisk > 0 {
		r := bufio.NewReaderSize(io.NewSectionReader(p.file, 0, onDisk), 64<<10)
		var record []byte
		for {
			n, err := binary.ReadUvarint(r)
			if err == io.EOF {
				break
			}
			if err != nil {
				return spillFault(err, p.dir)
			}
			if record, err = take(r, record[:0], n); err != nil {
				return spillFault(err, p.dir)
			}
			m, err := binary.ReadUvarint(r)
			if err != nil {
				return spillFault(err, p.dir)
			}
			if record, err = take(r, record, m); err != nil {
				return spillFault(err, p.dir)
			}
			if err := do(record[:n:n], record[n:]); err != nil {
				return err
			}
		}
	}
	for b := p.buf; len(b) > 0; {
		var id, rest []byte
		id, b = counted(b)
		rest, b = counted(b)
		if err := do(id, rest); err != nil {
			return err
		}
	}
	return nil
}

// chunks calls do with the ids of all records, at most so many at a time. They are lent.
func (p *part) chunks(most func() int, do func(ids [][]byte) error) error {
	var ids [][]byte
	err := p.each(func(id, _ []byte) error {
		if ids = append(ids, slices.Clone(id)); len(ids) < most() {
			return nil
		}
		full := ids
		ids = ids[:0]
		return do(full)
	})
	if err != nil || len(ids) == 0 {
		return err
	}
	return do(ids)
}

// take appends n bytes of r to b.
func take(r io.Reader, b []byte, n uint64) ([]byte, error) {
	at := len(b)
	b = append(b, make([]byte, n)...)
	_, err := io.ReadFull(r, b[at:])
	return b, err
}

// counted splits off what has its length before it.
func counted(b []byte) (first, rest []byte) {
	n, w := binary.Uvarint(b)
	return b[w : w+int(n) : w+int(n)], b[w+int(n):]
}

// close empties it.
func (p *part) close() error {
	p.buf, p.size, p.n = nil, 0, 0
	if p.file == nil {
		return nil
	}
	f := p.file
	p.file = nil
	return f.Close()
}

// IDs is a list of rows that Config.Differs was told of, for Mend and Recheck. What does
// not fit into a small buffer is in a file without a name. It is used by one goroutine.
type IDs struct{ part part }

// NewIDs returns an empty list that is kept in folder; whoever has it closes it.
func NewIDs(folder string) *IDs { return &IDs{part{dir: folder}} }

// Add appends a row. It keeps nothing of id.
func (l *IDs) Add(id []byte) error { return l.part.add(id, nil) }

// Len is how many rows there are.
func (l *IDs) Len() int64 { return l.part.n }

// Close gives the room on disk back.
func (l *IDs) Close() error { return l.part.close() }
