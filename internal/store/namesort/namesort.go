// Package namesort sorts the names of a folder, of which there may be more than fit
// the memory.
package namesort

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

// Item is a name and what is noted of it.
type Item struct{ Name, Note string }

// Sorter sorts items by their names, bytewise, in bounded memory: what does not fit
// goes, as sorted runs, to a temporary file that has no name. It is used by one
// goroutine: Add, then Sorted, then Close.
type Sorter struct {
	Limit int    // bytes in memory
	Temp  string // where the file goes; empty: the system's folder

	size  int
	items []Item
	file  *os.File
	out   *bufio.Writer
	at    int64 // bytes written
	runs  []int64
}

const (
	itemBytes = 48 // of an item besides its texts
	runBuffer = 32 << 10
)

// Add takes an item.
func (s *Sorter) Add(it Item) error {
	s.items = append(s.items, it)
	if s.size += len(it.Name) + len(it.Note) + itemBytes; s.size < s.Limit {
		return nil
	}
	return s.spill()
}

func (s *Sorter) sort() {
	slices.SortFunc(s.items, func(a, b Item) int { return strings.Compare(a.Name, b.Name) })
}

// spill writes what is in memory as a run.
func (s *Sorter) spill() error {
	if s.file == nil {
		f, err := os.CreateTemp(s.Temp, "godwit-names-*")
		if err != nil {
			return err
		}
		s.file, s.out = f, bufio.NewWriterSize(f, runBuffer)
		_ = os.Remove(f.Name()) // where it stays, close removes it
	}
	s.sort()
	var b []byte
	for _, it := range s.items {
		b = append(binary.AppendUvarint(b[:0], uint64(len(it.Name))), it.Name...)
		b = append(binary.AppendUvarint(b, uint64(len(it.Note))), it.Note...)
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

// Close removes the temporary file.
func (s *Sorter) Close() {
	if s.file != nil {
		_ = s.file.Close()
		_ = os.Remove(s.file.Name())
	}
}

// run is a sorted run being read, and its next item.
type run struct {
	r    *bufio.Reader
	next Item
	done bool
}

func (r *run) advance() error {
	name, err := r.text()
	if err == io.EOF {
		r.done = true
		return nil
	}
	if err != nil {
		return err
	}
	note, err := r.text()
	if err != nil {
		return errors.Join(io.ErrUnexpectedEOF, err)
	}
	r.next = Item{Name: name, Note: note}
	return nil
}

// text reads a text after its length; io.EOF: there is none.
func (r *run) text() (string, error) {
	n, err := binary.ReadUvarint(r.r)
	if err != nil {
		return "", err
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r.r, b); err != nil {
		return "", errors.Join(io.ErrUnexpectedEOF, err)
	}
	return string(b), nil
}

// Sorted yields all items in order. Of a run that cannot be read comes an error.
func (s *Sorter) Sorted() iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
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
			yield(Item{}, err)
			return
		}
		s.merge(runs, yield)
	}
}

func (s *Sorter) open() ([]*run, error) {
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
func (s *Sorter) merge(runs []*run, yield func(Item, error) bool) {
	memory := s.items
	h := heap(runs)
	h.order()
	for {
		var it Item
		switch top := h.top(); {
		case top == nil && len(memory) == 0:
			return
		case top == nil || len(memory) > 0 && memory[0].Name < top.next.Name:
			it, memory = memory[0], memory[1:]
		default:
			it = top.next
			if err := top.advance(); err != nil {
				yield(Item{}, err)
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
	return h[i].next.Name < h[j].next.Name
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
