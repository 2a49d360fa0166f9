package page

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"godwit/internal/fault"
)

func logOf(path string) string { return strings.TrimSuffix(path, ".page") + ".log" }

// Done is how an item of a page ended.
type Done struct {
	Index   int     `json:"i"` // of the page's items, from 0
	Outcome Outcome `json:"outcome"`
}

// logMark begins a log; the sum of the page's body follows, so that a log never
// speaks of another page.
const logMark = "godwit-log"

// Log takes outcomes of a page as they come.
type Log struct {
	path string
	w    *os.File
	text bytes.Buffer
}

// Log opens the log of a page, which may have outcomes already.
func (f *Folder) Log(h *Header) (*Log, error) {
	path := logOf(f.page(h.Range, h.Seq))
	w, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, broken(path, err)
	}
	l := &Log{path: path, w: w}
	if st, err := w.Stat(); err == nil && st.Size() == 0 {
		fmt.Fprintf(&l.text, "%s %d %s\n", logMark, version, h.sum)
	}
	return l, nil
}

// Append adds outcomes. They are with the system when it returns: a process that
// dies keeps them. A power cut may lose the last ones, and their objects are
// compared again.
func (l *Log) Append(done []Done) error {
	enc := json.NewEncoder(&l.text)
	for _, d := range done {
		if err := enc.Encode(d); err != nil {
			return fault.New(fault.Internal, "an outcome cannot be written").By(err)
		}
	}
	_, err := l.w.Write(l.text.Bytes())
	l.text.Reset()
	if err != nil {
		return broken(l.path, err)
	}
	return nil
}

// Close ends the use of the log.
func (l *Log) Close() error {
	if err := l.w.Close(); err != nil {
		return broken(l.path, err)
	}
	return nil
}

// maxLog bounds a log: each item a few times.
const maxLog = 256 << 20

// readLog applies the log of a page, as far as it is whole and belongs to it.
func readLog(path string, h *Header, entries []Entry) error {
	f, err := os.Open(logOf(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxLog))
	if err != nil {
		return err
	}
	first := fmt.Sprintf("%s %d %s", logMark, version, h.sum)
	begun := false
	lines(b, func(text []byte) bool {
		if !begun {
			begun = true
			return string(text) == first
		}
		var d Done
		if json.Unmarshal(text, &d) != nil || d.Index < 0 || d.Index >= len(entries) {
			return false
		}
		entries[d.Index].Outcome = &d.Outcome
		return true
	})
	return nil
}
