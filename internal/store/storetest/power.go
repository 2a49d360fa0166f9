package storetest

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"

	"godwit/internal/fault"
	"godwit/internal/store"
	"godwit/internal/store/local"
	"godwit/internal/store/powerfs"
)

// PowerOptions of RunPower. The zero PowerOptions are the defaults.
type PowerOptions struct {
	// Disk makes an empty disk. Default powerfs.New.
	Disk func() *powerfs.Disk
	// Samples is how many ways a disk may look after a power cut are tried at each
	// step. Default 8.
	Samples int
	// Rounds of processes that race and die. Default 300.
	Rounds int
	// Reached are kinds of step at which some failure must have been tried. Default:
	// create, write, sync, sync-dir, rename and remove.
	Reached []powerfs.Op
	// Seed of all that is random; printed. Default 1.
	Seed uint64
}

func (o PowerOptions) withDefaults() PowerOptions {
	if o.Disk == nil {
		o.Disk = powerfs.New
	}
	if o.Samples == 0 {
		o.Samples = 8
	}
	if o.Rounds == 0 {
		o.Rounds = 300
	}
	if o.Reached == nil {
		o.Reached = reached()
	}
	if o.Seed == 0 {
		o.Seed = 1
	}
	return o
}

func reached() []powerfs.Op {
	return []powerfs.Op{powerfs.Create, powerfs.Write, powerfs.Sync, powerfs.SyncDir, powerfs.Rename, powerfs.Remove}
}

// RunPower tests that what open returns, a store above a file system, keeps what
// its calls promised when power is cut, the process killed or the file system
// fails before, in and after every step n = 0, 1, 2… until a run has no failure;
// and that it can be gone on with afterwards. open is called for every process; it
// must use one folder.
func RunPower(t *testing.T, open func(fsys local.FS) (store.Store, error), o PowerOptions) {
	o = o.withDefaults()
	p := &power{open: open, o: o}
	for _, c := range p.checks() {
		t.Run(c.name, func(t *testing.T) {
			if err := c.run(); err != nil {
				t.Errorf("seed %d: %v", o.Seed, err)
			}
		})
	}
}

type power struct {
	open func(local.FS) (store.Store, error)
	o    PowerOptions
}

type powerCheck struct {
	name string
	run  func() error
}

func (p *power) checks() []powerCheck {
	var out []powerCheck
	for _, w := range []way{before, torn, after} {
		out = append(out,
			powerCheck{"PowerCut" + w.String(), func() error { return p.steps(w, p.cut, nil) }},
			powerCheck{"Killed" + w.String(), func() error { return p.steps(w, p.killed, nil) }})
		for _, err := range []error{syscall.EIO, syscall.ENOSPC, syscall.EACCES, syscall.EROFS} {
			out = append(out, powerCheck{fmt.Sprintf("Fails%s/%d", w, err), func() error { return p.steps(w, p.failed, err) }})
		}
	}
	return append(out, powerCheck{"Races", p.races})
}

// way is where in a step it breaks.
type way uint8

const (
	before way = iota
	torn       // as before, but half of a write is done
	after
)

func (w way) String() string { return [...]string{"Before", "Torn", "After"}[w] }

// steps breaks every script at every step and judges each time.
func (p *power) steps(w way, judge func(*run) error, fails error) error {
	kinds := map[powerfs.Op]bool{}
	for _, script := range scripts() {
		if err := p.breaks(script, w, judge, fails, kinds); err != nil {
			return err
		}
	}
	for _, op := range p.o.Reached {
		if !kinds[op] {
			return fmt.Errorf("no step %q was reached", op)
		}
	}
	return nil
}

func (p *power) breaks(script []act, w way, judge func(*run) error, fails error, kinds map[powerfs.Op]bool) error {
	clean, err := p.begin(script, nil)
	if err == nil {
		err = clean.goOn()
	}
	if err != nil {
		return fmt.Errorf("without any failure: %w", err)
	}
	want := len(clean.fs.Steps())
	for n := 0; ; n++ {
		f := &powerfs.Fault{N: n, After: w == after, Torn: w == torn, Err: fails, Dies: fails == nil}
		r, err := p.begin(script, f)
		if err == nil {
			err = judge(r)
		}
		step, reached := r.fs.Reached(f)
		if err != nil {
			return fmt.Errorf("%s step %d (%s %s), in %s: %w", w, n, step.Op, step.Path, r.place(), err)
		}
		if !reached {
			if n < want {
				return fmt.Errorf("only %d of %d steps were reached", n, want)
			}
			return nil
		}
		kinds[step.Op] = true
	}
}

// begin runs the script until a call fails.
func (p *power) begin(script []act, f *powerfs.Fault) (*run, error) {
	r := &run{p: p, disk: p.o.Disk(), world: newWorld(), script: script, rng: rand.New(rand.NewPCG(p.o.Seed, 2))}
	if f != nil {
		r.rng = rand.New(rand.NewPCG(p.o.Seed, uint64(f.N)<<8|3))
	}
	r.fs = r.disk.Process()
	if f != nil {
		r.fs.Inject(f)
	}
	s, err := p.open(r.fs)
	if err != nil {
		return r, fmt.Errorf("open: %w", err)
	}
	r.s = s
	r.err = r.world.all(s, r.script, &r.at, false)
	return r, nil
}

// run is one run of the script on one disk.
type run struct {
	p      *power
	disk   *powerfs.Disk
	fs     *powerfs.FS
	s      store.Store
	world  *world
	script []act
	at     int   // the act it stopped at
	err    error // what it stopped with
	rng    *rand.Rand
}

func (r *run) place() string {
	if r.at < len(r.script) {
		return r.script[r.at].String()
	}
	return "the end"
}

// goOn does the rest of the script; then everything must be as it says.
func (r *run) goOn() error {
	if err := r.world.all(r.s, r.script, &r.at, true); err != nil {
		return fmt.Errorf("going on: %w", err)
	}
	if err := r.world.verify(r.s); err != nil {
		return fmt.Errorf("at the end: %w", err)
	}
	return r.samples("after the end", false)
}

// samples judges the disk as it could look if the power were cut now, and with
// goOn set does the rest of the script on each.
func (r *run) samples(when string, goOn bool) error {
	for range r.p.o.Samples {
		next := &run{p: r.p, disk: r.disk.Sample(r.rng), world: r.world.clone(), script: r.script, at: r.at, rng: r.rng}
		if err := next.reopen(); err != nil {
			return fmt.Errorf("power cut %s: %w", when, err)
		}
		if !goOn {
			continue
		}
		if err := next.goOn(); err != nil {
			return fmt.Errorf("power cut %s: %w", when, err)
		}
	}
	return nil
}

// reopen is what a new process finds.
func (r *run) reopen() (err error) {
	r.fs = r.disk.Process()
	if r.s, err = r.p.open(r.fs); err != nil {
		return fmt.Errorf("open: %w", err)
	}
	return r.world.verify(r.s)
}

func (p *power) cut(r *run) error {
	if r.err != nil && !errors.Is(r.err, syscall.EIO) && !errors.Is(r.err, powerfs.ErrDead) {
		return r.err
	}
	return r.samples("then", true)
}

func (p *power) killed(r *run) error {
	if err := r.reopen(); err != nil {
		return fmt.Errorf("killed: %w", err)
	}
	return r.goOn()
}

func (p *power) failed(r *run) error {
	if r.err != nil {
		if code := fault.Of(r.err).Code; !slices.Contains(codes(r.err), code) {
			return fmt.Errorf("code %s for: %w", code, r.err)
		}
	}
	if err := r.world.verify(r.s); err != nil {
		return fmt.Errorf("after the error %v: %w", r.err, err)
	}
	if err := r.samples("after a failed step", false); err != nil {
		return err
	}
	return r.goOn()
}

func codes(err error) []fault.Code {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return []fault.Code{fault.TargetFull}
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EROFS):
		return []fault.Code{fault.TargetRefused}
	case errors.Is(err, syscall.EIO):
		return []fault.Code{fault.TargetFailed}
	}
	return nil
}

// races lets processes that share the disk do the same at the same time, one step
// of one of them at a time, some of them dying on the way; then the power is cut.
func (p *power) races() error {
	for round := range p.o.Rounds {
		r := &race{p: p, rng: rand.New(rand.NewPCG(p.o.Seed, uint64(round)<<8|4)), disk: p.o.Disk()}
		if err := r.run(); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
	}
	return nil
}

// world is what the calls so far promised.
type world struct {
	may   map[string][]value // under each key one of these
	slots map[int]slot

	uploads map[int]uploading
}

type value struct {
	there bool
	data  string
}

type slot struct {
	receipt store.Receipt
	state   slotState
}

type slotState uint8

const (
	staged slotState = iota + 1
	unsure           // a call that ends it did not return
	ended
)

func newWorld() *world {
	return &world{may: map[string][]value{}, slots: map[int]slot{}, uploads: map[int]uploading{}}
}

func (w *world) clone() *world {
	c := &world{may: map[string][]value{}, slots: maps.Clone(w.slots), uploads: map[int]uploading{}}
	for i, u := range w.uploads {
		c.uploads[i] = u.clone()
	}
	for k, v := range w.may {
		c.may[k] = slices.Clone(v)
	}
	return c
}
