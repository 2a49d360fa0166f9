package local

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// LogName is the name of the durable log in a job's state folder; the one before
// it has ".1" appended.
const LogName = "godwit.log"

// Bounds of the durable log.
const (
	LogBytes  = 16 << 20 // then it is rotated
	logBefore = 1 << 20  // kept in memory until the folder is known
)

// NewLog returns the logger of a run and its durable part, which takes all lines
// as JSON. hide masks secrets; show gets those from Info on for people.
func NewLog(hide func(string) string, show func(level slog.Level, line string)) (*slog.Logger, *Log) {
	f := &Log{}
	return slog.New(&toBoth{logSinks: &logSinks{hide: hide, show: show, file: f}}), f
}

// toBoth is the slog.Handler of such a logger.
type toBoth struct {
	*logSinks
	attrs  []slog.Attr
	prefix string
}

type logSinks struct {
	hide func(string) string                 // masks secrets
	show func(level slog.Level, line string) // from Info on
	file *Log
}

// Enabled keeps everything from Info on; the file takes Debug as well.
func (h *toBoth) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelDebug }

func (h *toBoth) WithAttrs(attrs []slog.Attr) slog.Handler {
	out := *h
	out.attrs = append(out.attrs[:len(out.attrs):len(out.attrs)], h.named(attrs)...)
	return &out
}

func (h *toBoth) WithGroup(name string) slog.Handler {
	out := *h
	out.prefix += name + "."
	return &out
}

func (h *toBoth) named(attrs []slog.Attr) []slog.Attr {
	out := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		out[i] = slog.Attr{Key: h.prefix + a.Key, Value: a.Value}
	}
	return out
}

func (h *toBoth) Handle(_ context.Context, r slog.Record) error {
	attrs := h.attrs[:len(h.attrs):len(h.attrs)]
	r.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, h.named([]slog.Attr{a})...)
		return true
	})
	what := h.hide(r.Message)
	fields := map[string]any{"t": r.Time.UTC().Format("2006-01-02T15:04:05.000Z07:00"), "level": strings.ToLower(r.Level.String()), "what": what}
	var b strings.Builder
	b.WriteString(what)
	for _, a := range attrs {
		v := h.hide(a.Value.Resolve().String())
		if _, taken := fields[a.Key]; !taken {
			fields[a.Key] = v
		}
		if v == "" || strings.ContainsAny(v, " \"=\n") {
			v = fmt.Sprintf("%q", v)
		}
		b.WriteString("  " + a.Key + "=" + v)
	}
	if r.Level >= slog.LevelInfo {
		h.show(r.Level, b.String())
	}
	h.file.Line(jsonText(fields))
	return nil
}

// Log is the durable log of a run. Until Open names a folder its lines are kept in
// memory. It is safe for concurrent use.
type Log struct {
	mu     sync.Mutex
	before []string
	bytes  int64 // of before, or of the file
	path   string
	f      *os.File
}

// Line appends one line. That it cannot be written, on a full disk for one, does
// not stop a run: it is the log of it and no more.
func (l *Log) Line(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := int64(len(text) + 1)
	if l.f == nil {
		if l.bytes+n <= logBefore {
			l.before = append(l.before, text)
			l.bytes += n
		}
		return
	}
	if l.bytes+n > LogBytes {
		l.rotate()
	}
	l.bytes += n
	_, _ = io.WriteString(l.f, text+"\n")
}

// Open makes the log durable in folder, which exists.
func (l *Log) Open(folder string) error {
	path := filepath.Join(folder, LogName)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	l.mu.Lock()
	before := l.before
	l.f, l.path, l.bytes, l.before = f, path, st.Size(), nil
	l.mu.Unlock()
	for _, line := range before {
		l.Line(line)
	}
	return nil
}

// rotate starts a new file; the last one stays beside it. l.mu is held.
func (l *Log) rotate() {
	if os.Rename(l.path, l.path+".1") != nil {
		return
	}
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	l.f.Close()
	l.f, l.bytes = f, 0
}

// Close closes the file. It is idempotent.
func (l *Log) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f != nil {
		l.f.Close()
		l.f = nil
	}
}

// jsonText encodes v, which is made of plain data.
func jsonText(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic("local: " + err.Error())
	}
	return string(b)
}
