package watch

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ResidentWithin returns a Resident for many who ask: what it tells was measured less than
// age ago by now's clock. It is safe for concurrent use.
func ResidentWithin(age time.Duration, now func() time.Time) func() int64 {
	var mu sync.Mutex
	var last int64
	var at time.Time
	return func() int64 {
		mu.Lock()
		defer mu.Unlock()
		if t := now(); at.IsZero() || t.Before(at) || t.Sub(at) >= age {
			last, at = Resident(), t
		}
		return last
	}
}

// Resident is the resident memory of this process in bytes, 0 unknown.
func Resident() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b))
	if len(f) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(f[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
