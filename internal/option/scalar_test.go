package option

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseSize_when_written_in_many_ways(t *testing.T) {
	for in, want := range map[string]int64{
		"0": 0, "4096": 4096, "128MiB": 128 << 20, "1 GB": 1e9, "1gb": 1e9, "1.5 GiB": 3 << 29, "10 B": 10, "2kb": 2000, "2KiB": 2048, "1TiB": 1 << 40, "0.5KiB": 512,
	} {
		if got, err := ParseSize(in); err != nil || got != want {
			t.Errorf("%q: %d %v, want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "MiB", "-1", "1M", "1 G", "1.1", "1..5KB", ".5KB", "5.KB", "1e3", "9999999TiB", "1 PiB", "1KB 2", "0.3KiB", "∞"} {
		if got, err := ParseSize(in); err == nil {
			t.Errorf("%q is taken as %d", in, got)
		}
	}
}

func TestParseDuration_when_written_in_many_ways(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"0": 0, "30s": 30 * time.Second, "5m": 5 * time.Minute, "3d": 72 * time.Hour, "500ms": 500 * time.Millisecond,
		"1h30m": 90 * time.Minute, "1 h 30 min": 90 * time.Minute, "1.5h": 90 * time.Minute, "2m0s": 2 * time.Minute,
	} {
		if got, err := ParseDuration(in); err != nil || got != want {
			t.Errorf("%q: %v %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "30", "s", "-3s", "1h30", "3 weeks", "1.2.3s", "9999999999d", "1s1s1s1s1s1s1s", "1 S"} {
		if got, err := ParseDuration(in); err == nil {
			t.Errorf("%q is taken as %v", in, got)
		}
	}
}

func TestFormat_when_parsed_again(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(0, 1<<50).Draw(t, "bytes")
		if got, err := ParseSize(FormatSize(n)); err != nil || got != n {
			t.Fatalf("%d → %q → %d %v", n, FormatSize(n), got, err)
		}
		d := time.Duration(rapid.Int64Range(0, 1<<40).Draw(t, "ms")) * time.Millisecond
		if got, err := ParseDuration(FormatDuration(d)); err != nil || got != d {
			t.Fatalf("%v → %q → %v %v", d, FormatDuration(d), got, err)
		}
	})
}

func TestNearest_when_misspelt(t *testing.T) {
	known := []string{"every", "rows", "size", "password", "tables"}
	for in, want := range map[string]string{"evry": "every", "Rows": "rows", "szie": "size", "pass": "password", "pasword": "password", "table": "tables", "x": "", "zebra": "", "": ""} {
		if got := Nearest(in, known); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
