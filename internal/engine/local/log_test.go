package local

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// logged are the lines of a durable log.
func logged(t *testing.T, file string) []string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

func TestLog_when_written(t *testing.T) {
	var shown []string
	log, durable := NewLog(func(s string) string { return strings.ReplaceAll(s, "pa55", "***") },
		func(l slog.Level, line string) { shown = append(shown, l.String()+" "+line) })
	log.Info("begins with pa55", "t", "taken", "task", "a b", "none", "")
	dir := t.TempDir()
	if err := durable.Open(dir); err != nil {
		t.Fatal(err)
	}
	log.With("job", "shop").WithGroup("sink").With("name", "lake").Warn("slow", "by", "pa55word", "quote", `"`)
	log.Debug("a detail")
	log.Log(t.Context(), slog.LevelDebug-1, "less than a detail")
	durable.Close()
	durable.Close()
	log.Error("nobody keeps this")
	want := []string{
		`INFO begins with ***  t=taken  task="a b"  none=""`,
		`WARN slow  job=shop  sink.name=lake  sink.by=***word  sink.quote="\""`,
		"ERROR nobody keeps this",
	}
	if strings.Join(shown, "\n") != strings.Join(want, "\n") {
		t.Errorf("shown\n%s", strings.Join(shown, "\n"))
	}
	lines := logged(t, filepath.Join(dir, LogName))
	if len(lines) != 3 || strings.Contains(strings.Join(lines, ""), "pa55") {
		t.Fatalf("%q", lines)
	}
	for i, want := range []map[string]string{
		{"level": "info", "what": "begins with ***", "task": "a b"},
		{"level": "warn", "what": "slow", "job": "shop", "sink.name": "lake", "sink.by": "***word"},
		{"level": "debug", "what": "a detail"},
	} {
		var got map[string]string
		if err := json.Unmarshal([]byte(lines[i]), &got); err != nil || got["t"] == "" || got["t"] == "taken" {
			t.Fatalf("%s: %v", lines[i], err)
		}
		for k, v := range want {
			if got[k] != v {
				t.Errorf("%s: %q is not %q", lines[i], got[k], v)
			}
		}
	}
}

func TestLog_when_it_has_no_folder_yet(t *testing.T) {
	l := &Log{}
	line := strings.Repeat("x", logBefore/4-1)
	for range 6 {
		l.Line(line)
	}
	dir := t.TempDir()
	if err := l.Open(dir); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if lines := logged(t, filepath.Join(dir, LogName)); len(lines) != 4 {
		t.Errorf("%d lines were kept", len(lines))
	}
	if err := (&Log{}).Open(filepath.Join(dir, "nowhere")); err == nil {
		t.Error("a folder that is not there was opened")
	}
}

func TestLog_when_it_is_rotated(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, LogName)
	if err := os.WriteFile(file, []byte(strings.Repeat("x", LogBytes-12)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := &Log{}
	if err := l.Open(dir); err != nil { // what an earlier run wrote counts
		t.Fatal(err)
	}
	defer l.Close()
	for _, line := range []string{"fits", "fits1", "next"} {
		l.Line(line)
	}
	if old := logged(t, file+".1"); len(old) != 3 || old[2] != "fits1" {
		t.Errorf("before: %d lines, the last is %q", len(old), old[len(old)-1])
	}
	if now := logged(t, file); len(now) != 1 || now[0] != "next" {
		t.Errorf("now: %q", now)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	l.Line(strings.Repeat("y", LogBytes)) // it cannot be rotated, and that stops nobody
}
