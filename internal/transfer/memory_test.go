package transfer

import (
	"context"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"godwit/internal/store"
	"godwit/internal/store/mem"
	"godwit/internal/transfer/page"
)

// synthetic lists n keys that need no memory: one flat prefix with names of 1,000
// bytes, or a deep tree.
func synthetic(n int, deep bool) func(prefix, after string) iter.Seq2[store.Object, error] {
	long := strings.Repeat("n", 990)
	key := func(i int) string {
		if deep {
			d := fmt.Sprintf("%09d", i)
			return strings.Join([]string{d[:3], d[3:5], d[5:7], d[7:]}, "/")
		}
		return fmt.Sprintf("%09d%s", i, long)
	}
	return func(_, after string) iter.Seq2[store.Object, error] {
		return func(yield func(store.Object, error) bool) {
			for i := range n {
				if k := key(i); k > after && !yield(store.Object{Key: k, Size: 1, Modified: time.Unix(1e9, 0), Version: "v"}, nil) {
					return
				}
			}
		}
	}
}

const inChild = "GODWIT_TEST_MEMORY_OF"

// child carries out a job in a process of its own, so that its peak can be read.
func child(t *testing.T, n int, deep bool) {
	debug.SetGCPercent(20) // what is in use counts, not how late the collector comes
	divide := func(string, string, int) []string { return nil }
	a := mem.New(mem.Options{List: synthetic(n, deep), Divide: divide})
	b := mem.New(mem.Options{List: synthetic(n/2, deep), Divide: divide})
	carry := func(context.Context, page.Item) (page.Outcome, error) {
		return page.Outcome{State: page.Copied}, nil
	}
	if err := run(context.Background(), Config{Source: a, Target: b, Dir: t.TempDir(), Carry: carry}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(text)) {
		if kb, ok := strings.CutPrefix(l, "VmHWM:"); ok {
			fmt.Printf("peak %s\n", strings.Fields(kb)[0])
		}
	}
}

// What a job of many objects takes does not grow with their number.
func TestMemory_when_there_are_many_objects(t *testing.T) {
	if of := os.Getenv(inChild); of != "" {
		var n int
		var deep bool
		if _, err := fmt.Sscan(of, &n, &deep); err != nil {
			t.Fatal(err)
		}
		child(t, n, deep)
		return
	}
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("the system does not tell a process's peak")
	}
	few, many := 60_000, 180_000
	if os.Getenv("GODWIT_SOAK") != "" {
		few, many = 1_000_000, 10_000_000
	}
	for _, deep := range []bool{false, true} {
		x, y := peak(t, few, deep), peak(t, many, deep)
		t.Logf("deep %v: %d MiB for %d objects, %d MiB for %d", deep, x>>10, few, y>>10, many)
		if y > 256<<10 {
			t.Errorf("%d objects took %d MiB", many, y>>10)
		}
		// The collector decides when it works: a tenth, and a few MiB.
		if y > x+x/10+12<<10 {
			t.Errorf("%d objects took %d MiB, %d took %d", few, x>>10, many, y>>10)
		}
	}
}

// peak returns the peak of resident memory in KiB.
func peak(t *testing.T, n int, deep bool) int {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestMemory_when_there_are_many_objects$", "-test.timeout", "60m")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %v", inChild, n, deep))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for l := range strings.Lines(string(out)) {
		if kb, ok := strings.CutPrefix(strings.TrimSpace(l), "peak "); ok {
			p, err := strconv.Atoi(kb)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
	}
	t.Fatalf("no peak in %s", out)
	return 0
}
