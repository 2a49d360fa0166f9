package cli

import (
	"bytes"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// processStart finds out when this process began, to the hundredth of a second;
// where the system does not say, it is now.
func processStart(now time.Time) time.Time {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return now
	}
	uptime, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return now
	}
	// Fields are counted after the command's name, which may hold blanks.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 {
		return now
	}
	ticks, err1 := strconv.ParseInt(fields[19], 10, 64)
	up, err2 := strconv.ParseFloat(strings.Fields(string(uptime) + " x")[0], 64)
	if err1 != nil || err2 != nil {
		return now
	}
	const perSecond = 100 // the kernel's fixed unit for user space
	age := time.Duration((up - float64(ticks)/perSecond) * float64(time.Second))
	if age < 0 || age > 24*time.Hour {
		return now
	}
	return now.Add(-age)
}

// version is what the build says when the caller says nothing.
func (a *app) version() string {
	if a.p.Version != "" {
		return a.p.Version
	}
	b, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := b.Main.Version
	if v == "" || v == "(devel)" {
		v = "devel"
	}
	for _, s := range b.Settings {
		if s.Key == "vcs.revision" && v == "devel" {
			v += " " + s.Value[:min(12, len(s.Value))]
		}
	}
	return v
}

// goVersion names the compiler and the machine the binary is for.
func goVersion() string { return runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH }
