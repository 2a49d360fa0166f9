package cli

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/term"
)

// screen is the one writer of human text: lines scroll, and on a terminal a
// block below them is repainted in place. It is safe for concurrent use.
type screen struct {
	w      io.Writer
	size   func() (width, height int) // columns and lines; nil: no terminal
	now    func() time.Time
	mu     sync.Mutex
	block  []string  // as wanted
	drawn  time.Time // when the block was painted last
	widths []int     // of the lines painted last
}

// newScreen returns a screen on w; it repaints only when w is a terminal.
func newScreen(w io.Writer) *screen {
	s := &screen{w: w, now: time.Now}
	if f := file(w); f != nil && term.IsTerminal(int(f.Fd())) {
		s.size = func() (int, int) {
			width, height, err := term.GetSize(int(f.Fd()))
			if err != nil || width <= 0 || height <= 0 {
				return 80, 24
			}
			return width, height
		}
	}
	return s
}

// terminal reports whether blocks are repainted.
func (s *screen) terminal() bool { return s.size != nil }

// width is the columns a line may have now.
func (s *screen) width() int {
	if s.size == nil {
		return 120
	}
	w, _ := s.size()
	return w
}

// print writes lines that stay, above the block. When lines come fast the block
// is left out until the next paint.
func (s *screen) print(lines ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b bytes.Buffer
	s.erase(&b)
	for _, l := range lines {
		b.WriteString(l)
		b.WriteByte('\n')
	}
	if s.now().Sub(s.drawn) >= frame {
		s.draw(&b)
	}
	_, _ = s.w.Write(b.Bytes()) // a closed terminal does not stop a run
}

// paint replaces the block; nil removes it.
func (s *screen) paint(block []string) {
	if s.size == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.block = block
	var b bytes.Buffer
	s.erase(&b)
	s.draw(&b)
	_, _ = s.w.Write(b.Bytes()) // a closed terminal does not stop a run
}

// erase moves to where the block begins and clears from there. A terminal made
// narrower meanwhile has wrapped the old lines: they take more rows now.
func (s *screen) erase(b *bytes.Buffer) {
	if len(s.widths) == 0 {
		return
	}
	width, _ := s.size()
	rows := 0
	for _, w := range s.widths {
		rows += max(1, (w+width-1)/width)
	}
	fmt.Fprintf(b, "\r\x1b[%dA\x1b[J", rows)
	s.widths = s.widths[:0]
}

// draw writes the block, no line wider and no more lines than fit now.
func (s *screen) draw(b *bytes.Buffer) {
	if len(s.block) == 0 || s.size == nil {
		return
	}
	s.drawn = s.now()
	width, height := s.size()
	for _, l := range s.block[:min(len(s.block), max(1, height-1))] {
		l = cut(l, width-1)
		s.widths = append(s.widths, cells(l))
		b.WriteString(l)
		b.WriteByte('\n')
	}
}
