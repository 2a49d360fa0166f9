package cli

import (
	"log/slog"
	"time"

	"godwit/internal/engine/local"
)

// newLog returns the logger of a run and its durable part. show gets lines that a
// terminal can take.
func newLog(show func(slog.Level, string), hide func(string) string) (*slog.Logger, *local.Log) {
	return local.NewLog(hide, func(level slog.Level, line string) { show(level, clean(line)) })
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
