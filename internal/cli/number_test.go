package cli

import (
	"testing"
	"time"
)

func TestNumbers_when_shown(t *testing.T) {
	for got, want := range map[string]string{
		grouped(0): "0", grouped(999): "999", grouped(1000): "1,000", grouped(2104883): "2,104,883", grouped(-1234567): "-1,234,567",
		short(0): "0", short(7): "7", short(999): "999", short(84_120): "84.1 k", short(999_949): "1.00 M", short(128e6): "128 M", short(1.2345e9): "1.23 G", short(0.5): "0.50", short(-1): "?",
		bytesText(0): "0 B", bytesText(1023): "1023 B", bytesText(1536): "1.50 KiB", bytesText(31.2 * (1 << 20)): "31.2 MiB", bytesText(64 << 20): "64 MiB", bytesText(1.9 * (1 << 40)): "1.90 TiB",
		percentText(0): "0 %", percentText(0.3): "<1 %", percentText(61.9): "61 %", percentText(98.99): "98 %", percentText(99.46): "99.4 %", percentText(99.99): "99.9 %", percentText(100): "100 %",
		clockText(25*time.Minute + 31*time.Second): "0:25:31", clockText(30 * time.Hour): "30:00:00", clockText(76 * time.Hour): "3 d 4 h",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0 s", 400 * time.Millisecond: "0.4 s", 1200 * time.Millisecond: "1.2 s", 2 * time.Second: "2 s", 9990 * time.Millisecond: "10 s", 59 * time.Second: "59 s", 975 * time.Second: "16 m 15 s",
		250 * time.Second: "4 m 10 s", 3599600 * time.Millisecond: "1 h", 4 * time.Hour: "4 h", 76*time.Hour + 29*time.Minute: "3 d 4 h", 366 * 24 * time.Hour: ">1 y", -1: "?",
		time.Hour + 29*time.Second: "1 h", 47*time.Hour + 59*time.Minute + 59*time.Second: "2 d",
	} {
		if got := durationText(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestText_when_cut(t *testing.T) {
	for _, c := range []struct {
		in   string
		n    int
		want string
	}{
		{"orders", 6, "orders"}, {"orders", 5, "orde…"}, {"orders", 1, "…"}, {"orders", 0, ""}, {"表格表格", 8, "表格表格"}, {"表格表格", 7, "表格表…"}, {"表格表格", 6, "表格…"},
		{"e\u0301a\u0301o\u0301", 3, "e\u0301a\u0301o\u0301"}, {"\x1b[1mbold text\x1b[0m x", 6, "\x1b[1mbold …\x1b[0m"}, {"\x1b[1mab\x1b[0mcdef", 4, "\x1b[1mab\x1b[0mc…"},
	} {
		got := cut(c.in, c.n)
		if got != c.want {
			t.Errorf("cut(%q, %d) = %q, want %q", c.in, c.n, got, c.want)
		}
		if cells(got) > c.n {
			t.Errorf("cut(%q, %d) takes %d columns", c.in, c.n, cells(got))
		}
	}
	if got := clean("a\x1b[31mb\nc\td\u202ee\u0085"); got != "a?[31mb c d?e?" {
		t.Errorf("clean: %q", got)
	}
	if got := fit(12, "  ", "first", "", "too long to fit", "abc"); got != "first  abc" {
		t.Errorf("fit: %q", got)
	}
}

func TestColour_when_decided(t *testing.T) {
	for _, c := range []struct {
		flag     string
		env      map[string]string
		terminal bool
		want     bool
	}{
		{"auto", nil, true, true}, {"auto", nil, false, false}, {"never", nil, true, false}, {"always", nil, false, true},
		{"auto", map[string]string{"NO_COLOR": "1"}, true, false}, {"auto", map[string]string{"NO_COLOR": ""}, true, true}, {"auto", map[string]string{"TERM": "dumb"}, true, false},
		{"auto", map[string]string{"CLICOLOR_FORCE": "1"}, false, true}, {"auto", map[string]string{"CLICOLOR_FORCE": "0"}, false, false}, {"always", map[string]string{"NO_COLOR": "1"}, true, true},
		{"never", map[string]string{"CLICOLOR_FORCE": "1"}, true, false},
	} {
		if got := colourOn(c.flag, func(n string) string { return c.env[n] }, c.terminal); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
