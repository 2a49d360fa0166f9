package mysql

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
)

// Settings that limit how long the log is kept. The first has another name on
// servers before 10.6, the last is there from 11.4 on.
const (
	keptSeconds = "binlog_expire_logs_seconds"
	keptDays    = "expire_logs_days"
	keptBytes   = "max_binlog_total_size"
	// keptByHand, of MySQL, says OFF where the server itself removes nothing.
	keptByHand = "binlog_expire_logs_auto_purge"
)

// logFile is one file of the log.
type logFile struct {
	place // of its first byte
	bytes int64
}

// kept is what the server tells about its log.
type kept struct {
	now      time.Time // the server's clock
	settings map[string]string
	files    []logFile // oldest first, at least one
	// begun returns when a file was begun: what came before it was written before
	// that, and the server goes by when a file was last written.
	begun func(logFile) (time.Time, error)
}

// Retention tells how long the server keeps its log.
func (s *source) Retention(ctx context.Context, at position.Position) (connector.Retention, error) {
	var none connector.Retention
	var need *place
	if !at.IsZero() {
		sp, err := parsePosition(at)
		if err != nil {
			return none, err
		}
		need = &sp.place
	}
	ask := func(c *conn) (kept, error) { return s.keptLog(ctx, c) }
	k, err := consult(ctx, s, &s.desk.kept, s.desk.all.keptAge, ask)
	if err == nil && need != nil && need.log == k.what.files[0].log && need.file > k.what.files[len(k.what.files)-1].file {
		k, err = consult(ctx, s, &s.desk.kept, 0, ask) // a file was begun since
	}
	if err != nil {
		return none, err
	}
	if need != nil && need.log != k.what.files[0].log {
		return none, fault.New(fault.SourceDiverged, "the place is in the log of another server").At("%s", s.where())
	}
	return s.withBegun(ctx, k.what).retention(need)
}

// keptLog reads settings and the list of files.
func (s *source) keptLog(ctx context.Context, c *conn) (kept, error) {
	k := kept{settings: map[string]string{}}
	var err error
	if k.now, err = s.serverClock(ctx, c); err != nil {
		return k, err
	}
	log, err := s.serverLog(ctx, c)
	if err != nil {
		return k, err
	}
	err = c.each(ctx, fmt.Sprintf("SHOW GLOBAL VARIABLES WHERE Variable_name IN ('%s', '%s', '%s', '%s')", keptSeconds, keptDays, keptBytes, keptByHand), func(v []value) error {
		k.settings[strings.ToLower(v[0].text())] = v[1].text()
		return nil
	})
	if err != nil {
		return k, err
	}
	err = c.each(ctx, "SHOW BINARY LOGS", func(v []value) error {
		p, err := parsePlace(log, v[0].text(), 0)
		k.files = append(k.files, logFile{p, max(number(v[1]), 0)})
		return err
	})
	if err == nil && len(k.files) == 0 {
		err = fault.New(fault.SourceSettings, "the server writes no binary log").At("%s", s.where())
	}
	return k, err
}

// withBegun lets k find out when files were begun.
func (s *source) withBegun(ctx context.Context, k kept) kept {
	k.begun = func(f logFile) (time.Time, error) { return s.begun(ctx, f.place) }
	return k
}

// maxBegun bounds how many files' beginnings are remembered.
const maxBegun = 16

// begun is fileCreated, which never changes for a file, remembered.
func (s *source) begun(ctx context.Context, p place) (time.Time, error) {
	s.mu.Lock()
	at, ok := s.fileBegun[p]
	s.mu.Unlock()
	if ok {
		return at, nil
	}
	from := p
	from.offset = 4 // behind the magic number
	at, err := s.fileCreated(ctx, from)
	if err != nil {
		return at, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fileBegun == nil || len(s.fileBegun) >= maxBegun {
		s.fileBegun = map[place]time.Time{}
	}
	s.fileBegun[p] = at
	return at, nil
}

// retention reckons how long the log stays, and what is left of it from need on.
func (k kept) retention(need *place) (connector.Retention, error) {
	oldest := k.files[0]
	r := connector.Retention{Removed: int(oldest.file) - 1, Longer: "let nothing remove binary logs by hand (PURGE BINARY LOGS) that this job still needs"}
	begun, err := k.begun(oldest)
	if err != nil {
		return r, err
	}
	r.Reach = max(k.now.Sub(begun), 0)
	byTime, name, week := k.limitTime()
	byBytes, pace := k.limitBytes(), k.pace(r.Reach)
	if byTime > 0 {
		r.Kept, r.By = byTime, name
		r.Longer = fmt.Sprintf("SET GLOBAL %s = %d; -- and in the server's configuration", name, week)
	}
	if bySize := lasts(byBytes, pace); byBytes > 0 && (r.Kept == 0 || bySize < r.Kept) {
		r.Kept, r.By = bySize, keptBytes
		r.Longer = fmt.Sprintf("SET GLOBAL %s = %d; -- and in the server's configuration", keptBytes, 4*byBytes)
	}
	if need == nil {
		return r, nil
	}
	return r, k.leftOf(&r, *need, byTime, byBytes, pace)
}

// leftOf fills in what is about a place. A file goes once it is older than the
// time limit, counted from when it was last written, or once the files from it on
// are larger than the limit of size. The one that is written to now never goes.
func (k kept) leftOf(r *connector.Retention, need place, byTime time.Duration, byBytes int64, pace float64) error {
	at := -1
	for i, f := range k.files {
		if f.file == need.file {
			at = i
		}
	}
	if at < 0 {
		r.Lost = need.file < k.files[0].file
		return nil
	}
	r.Spare, r.Behind, r.Left = at, len(k.files)-1-at, r.Kept
	if at+1 < len(k.files) && byTime > 0 {
		ended, err := k.begun(k.files[at+1])
		if err != nil {
			return err
		}
		r.Left = min(r.Left, ended.Add(byTime).Sub(k.now))
	}
	if byBytes > 0 {
		free := byBytes
		for _, f := range k.files[at:] {
			free -= f.bytes
		}
		r.Left = min(r.Left, lasts(max(free, 0), pace))
	}
	r.Left = max(r.Left, 0)
	return nil
}

// limitTime is the limit by time, 0 none, with the setting's name and what a week
// is in its unit.
func (k kept) limitTime() (limit time.Duration, name string, week int) {
	if k.settings[keptByHand] == "OFF" {
		return 0, "", 0
	}
	for _, set := range []struct {
		name    string
		seconds float64
	}{{keptSeconds, 1}, {keptDays, 24 * 60 * 60}} {
		if n, err := strconv.ParseFloat(k.settings[set.name], 64); err == nil && n > 0 {
			return clampDuration(n * set.seconds), set.name, int(7 * 24 * 60 * 60 / set.seconds)
		}
	}
	return 0, "", 0
}

// limitBytes is the limit by size, 0 none.
func (k kept) limitBytes() int64 {
	n, err := strconv.ParseInt(k.settings[keptBytes], 10, 64)
	if err != nil {
		return 0
	}
	return max(n, 0)
}

// pace is how many bytes a second the log grew by over its reach.
func (k kept) pace(reach time.Duration) float64 {
	total := int64(0)
	for _, f := range k.files {
		total += f.bytes
	}
	return float64(total) / max(reach.Seconds(), 1)
}

// lasts is how long it takes to write so many bytes.
func lasts(bytes int64, pace float64) time.Duration {
	return clampDuration(float64(bytes) / max(pace, 1e-9))
}

// longest is more than any log is kept; a Duration holds 292 years.
const longest = 100 * 365 * 24 * time.Hour

func clampDuration(seconds float64) time.Duration {
	if seconds >= longest.Seconds() {
		return longest
	}
	return time.Duration(seconds * float64(time.Second))
}
