package local

import (
	"io"
	"os"
	"strconv"
	"strings"
)

// mountBytes bounds what is read of the table of mounts.
const mountBytes = 16 << 20

// mountTable reads what is mounted for this process; nothing where that is not told.
func mountTable() mounts {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	defer f.Close()
	text, _ := io.ReadAll(io.LimitReader(f, mountBytes))
	return parseMounts(string(text))
}

// parseMounts reads lines such as "36 35 98:0 /mnt1 /mnt2 rw,noatime …" (proc(5)).
func parseMounts(text string) (out mounts) {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 4 {
			out = append(out, mount{f[2], unescape(f[3]), unescape(f[4])})
		}
	}
	return out
}

// unescape puts back the spaces and the like that stand as \040.
func unescape(s string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, `\`)
		b.WriteString(before)
		if !found {
			return b.String()
		}
		n, err := strconv.ParseUint(after[:min(3, len(after))], 8, 8)
		if err != nil || len(after) < 3 {
			b.WriteByte('\\')
			s = after
			continue
		}
		b.WriteByte(byte(n))
		s = after[3:]
	}
}
