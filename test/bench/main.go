// Command bench measures godwit against others on the same work and the same
// machine: each output is read back and compared by value before its run
// counts, all outputs are fsynced within the time taken, contestants take turns,
// godwit runs twice a round as a control, and medians are reported. It writes
// docs/benchmarks.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"godwit/test/servers/mariadb"
)

// options are what may be changed to try something quickly; the defaults are
// what docs/benchmarks.md is made with.
type options struct {
	godwit       string
	out          string
	dir          string
	scale        float64
	transactions int
	rounds       int
	only         string
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "decode" {
		exit(decode(os.Args[2:]))
	}
	var o options
	flag.StringVar(&o.godwit, "godwit", "bin/godwit", "the binary to measure")
	flag.StringVar(&o.out, "out", "docs/benchmarks.md", "the page to write; empty: only print it")
	flag.StringVar(&o.dir, "dir", "", "folder for data and outputs, on the disk to measure; default: a temporary one, removed")
	flag.Float64Var(&o.scale, "scale", 0.3334, "TPC-H scale of lineitem; 0.3334 is 2,000,888 rows")
	flag.IntVar(&o.transactions, "transactions", 125_000, "transactions of the change stream, of 4 changes each")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds that count; one before them does not")
	flag.StringVar(&o.only, "only", "", "run one workload: lineitem or changes")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	exit(o.run(ctx))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func (o options) run(ctx context.Context) (err error) {
	if o.godwit, err = filepath.Abs(o.godwit); err != nil {
		return err
	}
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "godwit-bench-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	} else if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return err
	}
	b := &bench{options: o}
	if b.tools, err = fetch(ctx); err != nil {
		return err
	}
	// What the recorded figures of others were measured with: all data in the
	// buffer pool, commits that reach the kernel.
	if b.server, err = mariadb.Launch("--innodb-buffer-pool-size=2G", "--innodb-log-file-size=1G", "--max-connections=100"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.server.Close()) }()
	var pages []workload
	for _, next := range []struct {
		name    string
		prepare func(context.Context) (workload, error)
	}{{"lineitem", b.lineitem}, {"changes", b.changes}} {
		if o.only != "" && o.only != next.name {
			continue
		}
		w, err := next.prepare(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", next.name, err)
		}
		if err := b.measure(ctx, &w); err != nil {
			return fmt.Errorf("%s: %w", next.name, err)
		}
		pages = append(pages, w)
	}
	return b.report(pages)
}

// bench is one call of this program.
type bench struct {
	options
	tools  tools
	server *mariadb.Server
}

// workload is a piece of work and who does it.
type workload struct {
	name, title, about string
	unit               string // rows, changes
	count              int
	contestants        []contestant
	samples            map[string][]sample
}

// contestant is one way to do a workload.
type contestant struct {
	name    string
	setting string // parallelism and what else matters, for the page
	// command does the work into an empty folder.
	command func(ctx context.Context, out string) (call, error)
	// check reads the folder back and fails unless it holds what the source has.
	check func(ctx context.Context, out string, stdout []byte) error
}

// control is the second turn of the first contestant in each round: what it
// differs from the first turn is noise.
const control = "again"

// measure lets the contestants take turns, one round more than counts.
func (b *bench) measure(ctx context.Context, w *workload) error {
	w.samples = map[string][]sample{}
	for round := range b.rounds + 1 {
		for _, turn := range turns(w.contestants, round) {
			s, err := b.turn(ctx, turn.contestant)
			if err != nil {
				return fmt.Errorf("%s: %w", turn.contestant.name, err)
			}
			fmt.Printf("%s, round %d: %-16s %6.2f s   CPU %5.2f s + server %5.2f s   RSS %4d MiB\n",
				w.name, round, turn.label, s.wall.Seconds(), s.cpu.Seconds(), s.server.Seconds(), s.rss>>20)
			if round > 0 {
				w.samples[turn.label] = append(w.samples[turn.label], s)
			}
		}
	}
	return nil
}

type turn struct {
	label      string
	contestant contestant
}

// turns is A B A C for contestants A, B, C, and C A B A every second round.
func turns(c []contestant, round int) []turn {
	order := []turn{{c[0].name, c[0]}}
	for i, other := range c[1:] {
		order = append(order, turn{other.name, other})
		if i == 0 {
			order = append(order, turn{c[0].name + " " + control, c[0]})
		}
	}
	if round%2 == 1 {
		for i, j := 0, len(order)-1; i < j; i, j = i+1, j-1 {
			order[i], order[j] = order[j], order[i]
		}
	}
	return order
}

// turn runs one contestant once, from an empty folder, and checks what it made.
func (b *bench) turn(ctx context.Context, c contestant) (sample, error) {
	out := filepath.Join(b.dir, "out")
	if err := os.RemoveAll(out); err != nil {
		return sample{}, err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return sample{}, err
	}
	call, err := c.command(ctx, out)
	if err != nil {
		return sample{}, err
	}
	s, err := b.sample(call, out)
	if err != nil {
		return sample{}, err
	}
	if err := c.check(ctx, out, s.stdout); err != nil {
		return sample{}, fmt.Errorf("the output is wrong: %w", err)
	}
	return s, nil
}
