package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// LogName is the name of the durable log in a job's state folder; the one before
// it has ".1" appended.
const LogName = "godwit.log"

// Bounds of the durable log.
const (
	logBytes  = 16 << 20 // then it is rotated
	logBefore = 1 << 20  // kept in memory until the folder is known
)

// logHandler writes log lines for people to the screen and, as JSON lines, to
// the durable log.
type logHandler struct {
	*logSinks
	attrs  []slog.Attr
	prefix string
}

type logSinks struct {
	hide func(string) string                 // masks secrets
	show func(level slog.Level, line string) // to the screen or as a JSON line
	file *logFile
}

// Enabled keeps everything from Info on; the file takes Debug as well.
func (h *logHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelDebug }

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	out := *h
	out.attrs = append(out.attrs[:len(out.attrs):len(out.attrs)], h.named(attrs)...)
	return &out
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	out := *h
	out.prefix += name + "."
	return &out
}

func (h *logHandler) named(attrs []slog.Attr) []slog.Attr {
	out := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		out[i] = slog.Attr{Key: h.prefix + a.Key, Value: a.Value}
	}
	return out
}

func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	attrs := h.attrs[:len(h.attrs):len(h.attrs)]
	r.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, h.named([]slog.Attr{a})...)
		return true
	})
	what := h.hide(r.Message)
	fields := map[string]any{"t": stamp(r.Time), "level": strings.ToLower(r.Level.String()), "what": what}
	var b strings.Builder
	b.WriteString(clean(what))
	for _, a := range attrs {
		v := h.hide(a.Value.Resolve().String())
		if _, taken := fields[a.Key]; !taken {
			fields[a.Key] = v
		}
		if v == "" || strings.ContainsAny(v, " \"=\n") {
			v = fmt.Sprintf("%q", v)
		}
		b.WriteString("  " + clean(a.Key) + "=" + clean(v))
	}
	if r.Level >= slog.LevelInfo {
		h.show(r.Level, b.String())
	}
	h.file.line(jsonLine(fields))
	return nil
}

// logFile is the durable log. Until open names a folder its lines are kept in
// memory. It is safe for concurrent use.
type logFile struct {
	mu     sync.Mutex
	before []string
	bytes  int64 // of before, or of the file
	path   string
	f      *os.File
}

// line appends one line. That it cannot be written, on a full disk for one, does
// not stop a run: it is the log of it and no more.
func (l *logFile) line(text string) {
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
	if l.bytes+n > logBytes {
		l.rotate()
	}
	l.bytes += n
	_, _ = io.WriteString(l.f, text+"\n")
}

// open makes the log durable in folder, which exists.
func (l *logFile) open(folder string) error {
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
		l.line(line)
	}
	return nil
}

// rotate starts a new file; the last one stays beside it. l.mu is held.
func (l *logFile) rotate() {
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

func (l *logFile) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f != nil {
		l.f.Close()
		l.f = nil
	}
}

// newLog returns the logger of a run and its durable part.
func newLog(show func(slog.Level, string), hide func(string) string) (*slog.Logger, *logFile) {
	f := &logFile{}
	return slog.New(&logHandler{logSinks: &logSinks{hide: hide, show: show, file: f}}), f
}

// humanLog is a log line for a terminal: local time, and the level's word when
// it needs care.
func humanLog(level slog.Level, line string, now time.Time, c colours) string {
	word := ""
	switch {
	case level >= slog.LevelError:
		word = c.red("error") + "  "
	case level >= slog.LevelWarn:
		word = c.yellow("warning") + "  "
	}
	return now.Local().Format("15:04:05") + "  " + word + line
}
