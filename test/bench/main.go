// Command bench measures godwit against others on the same work and the same
// machine: each output is read back and compared by value before its run
// counts, contestants take turns, godwit runs twice a round as a control, and
// medians are reported. It writes docs/benchmarks.md, each part of it when all
// of that part was measured. The first run builds the programs that move
// objects, which takes half an hour on two processors.
//
//	go run ./test/bench -only files -rounds 5
//	go run ./test/bench -only up-small -with godwit,s5cmd -rounds 1
//	go run ./test/bench -only serve
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"godwit/test/servers/mariadb"
	"godwit/test/servers/postgres"
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
	with         string
	objects      int
	large        int
	steady       time.Duration
	jobs         int
	idle         time.Duration
	pressed      time.Duration
}

// Parts of the page, and the workloads of table jobs.
const (
	partTables, partFiles     = "tables", "files"
	partServe                 = "serve"
	lineitemName, changesName = "lineitem", "changes"
	parquetName, postgresName = "parquet", "postgres"
	applyName, verifyName     = "apply", "verify"
)

// tableNames are the workloads of table jobs.
func tableNames() []string {
	return []string{lineitemName, parquetName, postgresName, changesName, applyName, verifyName}
}

// fileNames are the workloads of file jobs.
func fileNames() []string {
	var names []string
	for _, f := range fileWorkloads() {
		names = append(names, f.name)
	}
	return names
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
	flag.StringVar(&o.only, "only", "", "tables, files, serve, or one workload: "+strings.Join(append(tableNames(), fileNames()...), ", "))
	flag.StringVar(&o.with, "with", "", "only these contestants of file jobs, such as godwit,juicefs-32; the first runs twice")
	flag.IntVar(&o.objects, "objects", 20_000, "small objects, of 4 KiB")
	flag.IntVar(&o.large, "large", 20, "large objects, of 100 MiB")
	flag.DurationVar(&o.steady, "steady", time.Minute, "how long runs with nothing to do are repeated, over all rounds")
	flag.IntVar(&o.jobs, "jobs", 200, "jobs on a server")
	flag.DurationVar(&o.idle, "idle", time.Minute, "how long a server is measured while nothing changes, each round")
	flag.DurationVar(&o.pressed, "pressed", 30*time.Second, "how long a server is sent requests, each round")
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
	if err := o.known(); err != nil {
		return err
	}
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
	if o.selects(tableNames()...) {
		if err := b.tables(ctx); err != nil {
			return err
		}
	}
	if o.selects(fileNames()...) {
		if err := b.files(ctx); err != nil {
			return err
		}
	}
	if o.only == "" || o.only == partServe {
		return b.serve(ctx)
	}
	return nil
}

// known returns an error for a workload or a contestant that there is not.
func (o options) known() error {
	workloads := slices.Concat([]string{"", partTables, partFiles, partServe}, tableNames(), fileNames())
	if !slices.Contains(workloads, o.only) {
		return fmt.Errorf("-only %s: there are %s", o.only, strings.Join(workloads[1:], ", "))
	}
	labels := []string{"", godwitLabel}
	for _, r := range rivals() {
		labels = append(labels, r.label)
	}
	for _, label := range strings.Split(o.with, ",") {
		if !slices.Contains(labels, label) {
			return fmt.Errorf("-with %s: there are %s", label, strings.Join(labels[1:], ", "))
		}
	}
	if o.rounds < 1 || o.objects < 1 || o.large < 1 || o.jobs < 1 {
		return errors.New("-rounds, -objects, -large and -jobs are 1 or more")
	}
	return nil
}

// selects reports whether one of these workloads is to run.
func (o options) selects(names ...string) bool {
	part := partFiles
	if slices.Contains(tableNames(), names[0]) {
		part = partTables
	}
	return o.only == "" || o.only == part || slices.Contains(names, o.only)
}

// wanted reports whether a contestant of file jobs is to run.
func (o options) wanted(label string) bool {
	return o.with == "" || slices.Contains(strings.Split(o.with, ","), label)
}

// tables measures table jobs.
func (b *bench) tables(ctx context.Context) (err error) {
	if b.tools, err = fetch(ctx); err != nil {
		return err
	}
	// What the recorded figures of others were measured with: all data in the
	// buffer pool, commits that reach the kernel.
	if b.server, err = mariadb.Launch("--innodb-buffer-pool-size=2G", "--innodb-log-file-size=1G", "--max-connections=100", "--max-allowed-packet=256M"); err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, b.server.Close())
		for _, s := range []*postgres.Server{b.target, b.origin} {
			if s != nil {
				err = errors.Join(err, s.Close())
			}
		}
	}()
	var all []workload
	for _, next := range []struct {
		name    string
		prepare func(context.Context) (workload, error)
	}{{lineitemName, b.lineitem}, {parquetName, b.parquet}, {postgresName, b.postgres}, {changesName, b.changes}, {applyName, b.applied}, {verifyName, b.verified}} {
		if !b.selects(next.name) {
			continue
		}
		w, err := next.prepare(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", next.name, err)
		}
		w.failed = map[string]string{}
		w.servers = func() []int { return b.pids(w.name) }
		if err := b.measure(ctx, &w); err != nil {
			return fmt.Errorf("%s: %w", next.name, err)
		}
		all = append(all, w)
	}
	return b.publish(partTables, b.tablesPart(all), b.only == "" || b.only == partTables)
}

// files measures file jobs.
func (b *bench) files(ctx context.Context) (err error) {
	o, err := b.openObjects(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.gateway.Close()) }()
	var all []workload
	for _, f := range fileWorkloads() {
		if !b.selects(f.name) {
			continue
		}
		w := o.prepare(f)
		if len(w.contestants) == 0 {
			fmt.Printf("%s: none of those who were asked for can do it\n", f.name)
			continue
		}
		if err := errors.Join(b.measure(ctx, &w), o.tidy(ctx, &w)); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		all = append(all, w)
	}
	return b.publish(partFiles, o.filesPart(all), b.with == "" && (b.only == "" || b.only == partFiles))
}

// bench is one call of this program.
type bench struct {
	options
	tools  tools
	server *mariadb.Server
	target *postgres.Server // nil: it was not needed
	origin *postgres.Server // of PostgreSQL's own replication; nil: it was not needed
	// sameLineitem compares a table of DuckDB with lineitem.
	sameLineitem func(ctx context.Context, table string) error
}

// pids are the servers whose time counts in a workload.
func (b *bench) pids(workload string) []int {
	out := []int{b.server.Pid()}
	if b.target != nil && (workload == postgresName || workload == applyName || workload == verifyName) {
		out = append(out, b.target.Pid())
	}
	if b.origin != nil && workload == applyName {
		out = append(out, b.origin.Pid())
	}
	return out
}

// workload is a piece of work and who does it.
type workload struct {
	name, title, about string
	unit               string // rows, changes
	count              int
	bytes              int64 // contents of all objects; 0 for tables
	contestants        []contestant
	samples            map[string][]sample
	failed             map[string]string // who could not do it, and why
	servers            func() []int      // process ids of the servers, whose CPU counts with that of their children
	local              bool              // a file job into a folder: until it is on the disk
	many               bool              // its outputs are so many files that removing them must wait
	least              time.Duration     // a turn repeats its command until this has passed
	limit              time.Duration     // of one turn; 0: none
}

// contestant is one way to do a workload.
type contestant struct {
	name    string
	setting string // parallelism and what else matters, for the page
	rival   bool   // its failure ends its own part in the workload, not the workload
	once    bool   // a turn is one run also where others are repeated
	// prepare, when it is not nil, brings the target to what a turn starts from.
	prepare func(ctx context.Context) error
	// time, when it is not nil, takes from what the command printed how long the work
	// took; else it is from start to end.
	time func(stdout []byte) (time.Duration, error)
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
			if w.failed[turn.contestant.name] != "" {
				continue
			}
			least := w.least
			if round == 0 || turn.contestant.once {
				least = 0
			}
			s, err := b.turn(ctx, w, turn.contestant, least)
			switch {
			case err != nil && turn.contestant.rival && ctx.Err() == nil:
				w.failed[turn.contestant.name] = err.Error()
				delete(w.samples, turn.contestant.name)
				delete(w.samples, turn.contestant.name+" "+control)
				fmt.Printf("%s, round %d: %s is out: %v\n", w.name, round, turn.label, err)
				continue
			case err != nil:
				return fmt.Errorf("%s: %w", turn.contestant.name, err)
			}
			fmt.Printf("%s, round %d: %-20s %6.2f s   CPU %5.2f s + server %5.2f s   RSS %4d MiB\n",
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
	again := turn{c[0].name + " " + control, c[0]}
	order := []turn{{c[0].name, c[0]}}
	for i, other := range c[1:] {
		order = append(order, turn{other.name, other})
		if i == 0 {
			order = append(order, again)
		}
	}
	if len(c) == 1 {
		order = append(order, again)
	}
	if round%2 == 1 {
		for i, j := 0, len(order)-1; i < j; i, j = i+1, j-1 {
			order[i], order[j] = order[j], order[i]
		}
	}
	return order
}

// turn runs one contestant, once or until least has passed, and checks what it
// made. Of several runs times are means and memory is the greatest.
func (b *bench) turn(ctx context.Context, w *workload, c contestant, least time.Duration) (sample, error) {
	if w.limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, w.limit)
		defer cancel()
	}
	out := filepath.Join(b.dir, "out")
	if err := errors.Join(w.dispose(out, filepath.Join(b.dir, trash)), os.MkdirAll(out, 0o755)); err != nil {
		return sample{}, err
	}
	if c.prepare != nil {
		if err := c.prepare(ctx); err != nil {
			return sample{}, err
		}
		unix.Sync() // what others left to be written is not this one's burden
	}
	var runs []sample
	for begin := time.Now(); len(runs) == 0 || time.Since(begin) < least; {
		call, err := c.command(ctx, out)
		if err != nil {
			return sample{}, err
		}
		s, err := w.sample(call, func() (int64, error) { return w.written(out) })
		if err != nil {
			return sample{}, err
		}
		runs = append(runs, s)
	}
	s := mean(runs)
	if c.time != nil {
		took, err := c.time(s.stdout)
		if err != nil {
			return sample{}, err
		}
		s.wall = took
	}
	if err := c.check(ctx, out, s.stdout); err != nil {
		return sample{}, fmt.Errorf("the output is wrong: %w", err)
	}
	return s, nil
}

// written brings the output to the disk, where that is part of the time.
func (w *workload) written(out string) (int64, error) {
	switch {
	case w.bytes == 0:
		return syncAll(out)
	case w.local:
		return w.bytes, settle(out)
	}
	return w.bytes, nil // the gateway's affair, the same for everyone
}
