package local

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
)

// sorter sorts the entries of a folder in bounded memory: what does not fit goes,
// as sorted runs, to a temporary file that has no name.
type sorter struct {
	limit int    // bytes
	temp  string // where the file goes; empty: the system's folder
	size  int
	items []item
	file  *os.File
	out   *bufio.Writer
	at    int64 // bytes written
	runs  []int64
}

const (
	itemBytes = 48 // of an item besides its name
	runBuffer = 32 << 10
)

func (s *sorter) add(it item) error {
	s.items = append(s.items, it)
	if s.size += len(it.name) + itemBytes; s.size < s.limit {
		return nil
	}
	return s.spill()
}

func (s *sorter) sort() {
	slices.SortFunc(s.items, func(a, b item) int { return strings.Compare(a.name, b.name) })
}

// spill writes what is in memory as a run.
func (s *sorter) spill() error {
	if s.file == nil {
		f, err := os.CreateTemp(s.temp, "godwit-names-*")
		if err != nil {
			return err
		}
		s.file, s.out = f, bufio.NewWriterSize(f, runBuffer)
		_ = os.Remove(f.Name()) // where it stays, close removes it
	}
	s.sort()
	var b []byte
	for _, it := range s.items {
		// The length, and whether it is a link, then the name.
		head := uint64(len(it.name)) << 1
		if it.link {
			head |= 1
		}
		b = append(binary.AppendUvarint(b[:0], head), it.name...)
		n, err := s.out.Write(b)
		if s.at += int64(n); err != nil {
			return err
		}
	}
	s.runs = append(s.runs, s.at)
	clear(s.items)
	s.items, s.size = s.items[:0], 0
	return s.out.Flush()
}

func (s *sorter) close() {
	if s.file != nil {
		_ = s.file.Close()
		_ = os.Remove(s.file.Name())
	}
}

// run is a sorted run being read, and its next item.
type run struct {
	r    *bufio.Reader
	next item
	done bool
}

func (r *run) advance() error {
	head, err := binary.ReadUvarint(r.r)
	if err == io.EOF {
		r.done = true
		return nil
	}
	if err != nil {
		return err
	}
	name := make([]byte, head>>1)
	if _, err := io.ReadFull(r.r, name); err != nil {
		return errors.Join(io.ErrUnexpectedEOF, err)
	}
	r.next = item{name: string(name), link: head&1 != 0}
	return nil
}

// sorted yields all items in order. Of a run that cannot be read comes an error.
func (s *sorter) sorted() iter.Seq2[item, error] {
	return func(yield func(item, error) bool) {
		s.sort()
		if len(s.runs) == 0 {
			for _, it := range s.items {
				if !yield(it, nil) {
					return
				}
			}
			return
		}
		runs, err := s.open()
		if err != nil {
			yield(item{}, err)
			return
		}
		s.merge(runs, yield)
	}
}

func (s *sorter) open() ([]*run, error) {
	var runs []*run
	begin := int64(0)
	for _, end := range s.runs {
		r := &run{r: bufio.NewReaderSize(io.NewSectionReader(s.file, begin, end-begin), runBuffer)}
		if err := r.advance(); err != nil {
			return nil, err
		}
		runs, begin = append(runs, r), end
	}
	return runs, nil
}

// merge yields the least of all runs and of what is in memory, again and again.
func (s *sorter) merge(runs []*run, yield func(item, error) bool) {
	memory := s.items
	h := heap(runs)
	h.order()
	for {
		var it item
		switch top := h.top(); {
		case top == nil && len(memory) == 0:
			return
		case top == nil || len(memory) > 0 && memory[0].name < top.next.name:
			it, memory = memory[0], memory[1:]
		default:
			it = top.next
			if err := top.advance(); err != nil {
				yield(item{}, err)
				return
			}
			h.sink(0)
		}
		if !yield(it, nil) {
			return
		}
	}
}

// heap has the run with the least item first, and runs that are done last.
type heap []*run

func (h heap) top() *run {
	if h[0].done {
		return nil
	}
	return h[0]
}

func (h heap) less(i, j int) bool {
	if h[i].done || h[j].done {
		return !h[i].done
	}
	return h[i].next.name < h[j].next.name
}

func (h heap) order() {
	for i := len(h)/2 - 1; i >= 0; i-- {
		h.sink(i)
	}
}

func (h heap) sink(i int) {
	for {
		least := i
		for _, c := range []int{2*i + 1, 2*i + 2} {
			if c < len(h) && h.less(c, least) {
				least = c
			}
		}
		if least == i {
			return
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}
