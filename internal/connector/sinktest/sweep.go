package sinktest

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"godwit/internal/connector"
	"godwit/internal/fault"
)

// Sweep is what sweeps of faults over every step of a history did.
type Sweep struct {
	Points int            // faults that struck
	Hit    map[string]int // by the kind of step: its first word
	Caught []error        // what the judge found
}

func (s *Sweep) add(o Sweep) {
	s.Points += o.Points
	s.Caught = append(s.Caught, o.Caught...)
	if s.Hit == nil {
		s.Hit = map[string]int{}
	}
	for k, n := range o.Hit {
		s.Hit[k] += n
	}
}

// maxSteps bounds a sweep: a history that never gets to its end is a failure.
const maxSteps = 20_000

// history is what sweeps go over.
type history struct {
	h     Harness
	shape Shape
	seed  uint64
	// before brings the target to some state, undisturbed; then work runs with the
	// fault.
	before, work script
	// crash, when set, ends the life before.
	crash *Fault
}

// histories covers a first run, one that goes on where another stopped in order,
// and one that takes over where another was killed with rows staged.
func (h Harness) histories() map[string]history {
	shape := Shape{Txns: 9, Rows: 4, Long: 9, Chunks: 1, Schema: true}
	first := script{claim: connector.Claim{Run: 1, Attempt: 1}, batch: 3, every: 2, closes: true}
	next := first
	next.claim.Run, next.again = 2, 1
	half, cut := first, first
	half.stop, cut.stop, cut.closes, cut.torn = 5, 5, false, true
	all := map[string]history{
		"first run":          {h: h, shape: shape, seed: 1, work: first},
		"after a clean end":  {h: h, shape: shape, seed: 2, before: half, work: next},
		"after a sudden end": {h: h, shape: shape, seed: 3, before: cut, work: next},
		"after a crash between record and publication": {h: h, shape: shape, seed: 6, before: first, crash: &Fault{At: h.Publishes, N: 3}, work: next},
		"many files":            {h: h, shape: Shape{Txns: 3, Rows: 3, Long: 40}, seed: 4, work: script{claim: first.claim, batch: 4, every: 9, closes: true}},
		"nothing but the place": {h: h, shape: Shape{Txns: 4, Rows: 0}, seed: 5, work: first},
	}
	if h.Publishes == "" {
		delete(all, "after a crash between record and publication")
	}
	return all
}

// run makes f strike in one life of the history and judges there, then lets
// another process bring the target to the end and judges again. struck is false
// when the life ended before f.
func (y history) run(f Fault, cut bool, rng *rand.Rand) (step string, err error) {
	log := y.h.newLog(y.seed, y.shape)
	world := y.h.New()
	d := &driver{Harness: y.h, log: log, world: world}
	if y.before.claim.Run > 0 {
		if err := y.begin(d); err != nil {
			return "", err
		}
	}
	p := &Process{Name: "struck", Fault: &f}
	failed := d.run(p, y.work)
	died := p.Dead()
	p.Kill()
	if p.struck == "" {
		if failed != nil {
			return "", fmt.Errorf("without a fault: %w", failed)
		}
		return "", nil
	}
	if cut {
		world.Cut(rng)
	}
	if _, err := judge(world, log); err != nil {
		return p.struck, fmt.Errorf("%v (%s): %w", f, p.struck, err)
	}
	if !died && f.Err != nil {
		if err := clear(failed, f.Err); err != nil {
			return p.struck, fmt.Errorf("%v (%s): %w", f, p.struck, err)
		}
	}
	if err := y.recover(d); err != nil {
		return p.struck, fmt.Errorf("%v (%s), then: %w", f, p.struck, err)
	}
	return p.struck, nil
}

// begin brings the target to where the work starts.
func (y history) begin(d *driver) error {
	p := &Process{Name: "before", Fault: y.crash}
	err := d.run(p, y.before)
	p.Kill()
	switch {
	case y.crash == nil && err != nil:
		return fmt.Errorf("before the fault: %w", err)
	case y.crash != nil && p.struck == "":
		return fmt.Errorf("no step is a %q", y.crash.At)
	}
	return nil
}

// clear checks that an error that came up to the flow says what it was. One that
// the sink could mend or do without need not come up.
func clear(failed, cause error) error {
	if failed == nil {
		return nil
	}
	want, got := fault.Of(cause), fault.Of(failed)
	if got.Code == fault.Internal {
		return fmt.Errorf("the error has no code: %w", failed)
	}
	if want.Code != fault.Internal && got.Code != want.Code {
		return fmt.Errorf("the error is %s, not %s: %w", got.Code, want.Code, failed)
	}
	return nil
}

// recover lets a new process, with other batches, do what is left.
func (y history) recover(d *driver) error {
	s := y.work
	s.claim.Run += 10
	s.batch, s.every, s.again = 7, 3, 2
	if err := d.run(&Process{Name: "next"}, s); err != nil {
		return fmt.Errorf("the next process failed: %w", err)
	}
	sets, err := judge(d.world, d.log)
	if err != nil {
		return err
	}
	if sets[connector.StreamSplit][connector.StreamSplit] != d.log.End() {
		return errors.New("the next process did not come to the end")
	}
	return nil
}

// sweep lets f strike at step 0, 1, 2… until a run has no failure.
func (y history) sweep(f Fault, cut bool) (Sweep, error) {
	out := Sweep{Hit: map[string]int{}}
	rng := rand.New(rand.NewPCG(y.seed, 3))
	for n := 0; n < maxSteps; n += y.h.stride(rng) {
		f.N = n
		step, err := y.run(f, cut, rng)
		if err != nil && step == "" {
			return out, err
		}
		if step == "" {
			return out, nil
		}
		out.Points++
		out.Hit[kind(step)]++
		if err != nil {
			out.Caught = append(out.Caught, err)
		}
	}
	return out, fmt.Errorf("the history has more than %d steps", maxSteps)
}

// Crashes sweeps crashes before every step, with and without a power cut, and after
// every step, over all histories. The error says that the sweep itself went wrong.
func Crashes(h Harness) (Sweep, error) {
	var all Sweep
	for name, y := range h.histories() {
		for _, c := range []struct{ after, cut bool }{{false, false}, {false, true}, {true, false}} {
			s, err := y.sweep(Fault{After: c.after}, c.cut)
			if err != nil {
				return all, fmt.Errorf("%s: %w", name, err)
			}
			all.add(s)
		}
	}
	return all, nil
}
