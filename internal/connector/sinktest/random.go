package sinktest

import (
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"

	"godwit/internal/connector"
	"godwit/internal/fault"
)

// Tally counts what interleavings did.
type Tally struct {
	Runs, Steps, Processes, Kills, Cuts, Faults int
	Commits                                     int // that succeeded
	Fenced                                      int // processes that ended because a newer one took over
	Raced                                       int // processes resumed after a newer one had acted
	Judged                                      int
}

// Add adds o.
func (t *Tally) Add(o Tally) {
	t.Runs += o.Runs
	t.Steps += o.Steps
	t.Processes += o.Processes
	t.Kills += o.Kills
	t.Cuts += o.Cuts
	t.Faults += o.Faults
	t.Commits += o.Commits
	t.Fenced += o.Fenced
	t.Raced += o.Raced
	t.Judged += o.Judged
}

// actor is a process that takes one step at a time, when the scheduler says so.
type actor struct {
	p     *Process
	claim connector.Claim
	next  func() (string, bool)
	stop  func()
	err   error
	done  bool
	last  string // the step it will take next
}

// interleaving is one random history of several processes.
type interleaving struct {
	*driver
	rng   *rand.Rand
	live  []*actor
	tally Tally
	claim uint64 // greatest claim given
	// claims counts the processes by claim: those that share one fence each other.
	claims map[uint64]int
	lead   *actor // the last that was started
	trace  []string
}

// Bounds of an interleaving.
const (
	maxLive      = 4
	maxProcesses = 9
	maxTrace     = 60
)

// Interleave runs the history that seed draws: processes start, stop anywhere and
// go on later, meet errors, are killed, lose their power; at each of these the
// target is judged. At the end one process is left alone and must bring the
// target to the log's end, and those still stopped then go on as zombies.
func Interleave(h Harness, seed uint64) (Tally, error) {
	x := &interleaving{rng: rand.New(rand.NewPCG(seed, 1)), claims: map[uint64]int{}, driver: &driver{Harness: h, world: h.New()}}
	x.log = h.newLog(seed, Shape{Txns: 9, Rows: 3, Long: 5, Chunks: int(seed % 2), Schema: seed%3 == 0})
	err := x.play()
	for _, a := range x.live {
		a.p.Kill()
		a.finish()
	}
	x.tally.Runs++
	x.tally.Commits = x.commits
	if err != nil {
		return x.tally, fmt.Errorf("seed %d: %w\nlast steps:\n%s", seed, err, strings.Join(x.trace, "\n"))
	}
	return x.tally, nil
}

func (x *interleaving) play() error {
	x.start(false)
	for x.tally.Processes < maxProcesses {
		if len(x.live) == 0 || len(x.live) < maxLive && x.rng.IntN(12) == 0 {
			x.start(x.rng.IntN(6) == 0)
		}
		var err error
		switch d := x.rng.IntN(100); {
		case d < 4:
			err = x.kill(x.pick())
		case d < 5:
			err = x.cut()
		case d < 8:
			err = x.judge()
		default:
			err = x.burst(x.pick(), 1+x.rng.IntN(25))
		}
		if err != nil {
			return err
		}
	}
	return x.end()
}

// start begins a process, as a rule with a claim above all others.
func (x *interleaving) start(late bool) {
	claim := connector.Claim{Run: x.claim, Attempt: 1}
	if late && x.claim > 0 {
		claim.Run = 1 + x.rng.Uint64N(x.claim)
	} else {
		x.claim++
		claim.Run = x.claim
	}
	x.claims[claim.Run]++
	s := script{claim: claim, batch: 1 + x.rng.IntN(5), every: 1, stop: 1 + x.rng.IntN(6), closes: x.rng.IntN(4) > 0,
		rng: rand.New(rand.NewPCG(x.rng.Uint64(), 2))}
	p := &Process{Name: fmt.Sprintf("p%d", x.tally.Processes)}
	if x.rng.IntN(8) == 0 {
		p.Fault = x.fault()
	}
	x.tally.Processes++
	x.enter(p, s)
}

// fault draws one that processes survive: they end with an error, or their step
// had its effect, or will have it later, and they do not know.
func (x *interleaving) fault() *Fault {
	errs := []error{fault.New(fault.TargetFailed, "an injected error"), fault.New(fault.TargetFull, "an injected full disk")}
	if len(x.Faults) > 0 {
		errs = []error{x.Faults[0].Err, x.Faults[len(x.Faults)-1].Err}
	}
	how := x.rng.IntN(3)
	return &Fault{N: x.rng.IntN(40), After: how == 1, Late: how == 2, Err: errs[x.rng.IntN(2)]}
}

// enter makes p an actor, stopped before its first step.
func (x *interleaving) enter(p *Process, s script) *actor {
	a := &actor{p: p, claim: s.claim}
	a.next, a.stop = iter.Pull(func(yield func(string) bool) {
		p.pass = func(step string) {
			a.last = step
			if !yield(step) {
				p.Kill()
			}
		}
		a.err = x.driver.run(p, s)
	})
	x.live = append(x.live, a)
	x.lead = a
	return a
}

func (x *interleaving) pick() *actor { return x.live[x.rng.IntN(len(x.live))] }

// step lets a take its next step and go on to the one after.
func (x *interleaving) step(a *actor) error {
	if len(x.trace) == maxTrace {
		x.trace = append(x.trace[:0], x.trace[1:]...)
	}
	x.trace = append(x.trace, a.p.Name+" "+a.last)
	x.tally.Steps++
	if _, more := a.next(); more {
		return nil
	}
	return x.leave(a)
}

// leave takes an actor that came to its end out and judges how it did.
func (x *interleaving) leave(a *actor) error {
	a.done = true
	for i, b := range x.live {
		if b == a {
			x.live = append(x.live[:i], x.live[i+1:]...)
			break
		}
	}
	struck := a.p.struck != ""
	if struck {
		x.tally.Faults++
	}
	var breach broken
	switch {
	case errors.As(a.err, &breach):
		return fmt.Errorf("%s: %w", a.p.Name, a.err)
	case a.err == nil || a.p.dead:
	case fault.Has(a.err, fault.FencedOff):
		x.tally.Fenced++
		if a.claim.Run == x.claim && x.claims[x.claim] == 1 {
			return fmt.Errorf("%s was fenced though it is the newest: %w", a.p.Name, a.err)
		}
	case x.Ends && x.tally.Processes > 1 && fault.ClassOf(a.err) == fault.Retry:
	case !struck:
		return fmt.Errorf("%s ended with an error of its own: %w", a.p.Name, a.err)
	}
	return x.judge()
}

func (x *interleaving) burst(a *actor, steps int) error {
	if a != x.lead && a.last != "" {
		x.tally.Raced++
	}
	for ; steps > 0 && !a.done; steps-- {
		if err := x.step(a); err != nil {
			return err
		}
	}
	return nil
}

func (x *interleaving) judge() error {
	_, err := judge(x.world, x.log)
	if errors.Is(err, ErrLocked) {
		return nil // a process stands in the middle of a step that others wait for
	}
	x.tally.Judged++
	return err
}

// finish lets a dead actor run out: it can do nothing any more.
func (a *actor) finish() {
	for !a.done {
		if _, more := a.next(); !more {
			a.done = true
		}
	}
}

func (x *interleaving) kill(a *actor) error {
	x.tally.Kills++
	x.trace = append(x.trace, a.p.Name+" KILLED before "+a.last)
	a.p.Kill()
	a.finish()
	return x.leave(a)
}

// cut ends everybody and cuts the power.
func (x *interleaving) cut() error {
	x.tally.Cuts++
	for len(x.live) > 0 {
		a := x.live[0]
		a.p.Kill()
		a.finish()
		if err := x.leave(a); err != nil {
			return err
		}
	}
	x.trace = append(x.trace, "POWER CUT")
	x.world.Cut(x.rng)
	return x.judge()
}

// end has a newest process bring everything to the end, and the zombies after it.
func (x *interleaving) end() error {
	zombies := append([]*actor(nil), x.live...)
	x.claim++
	x.claims[x.claim]++
	a := x.enter(&Process{Name: "last"}, script{claim: connector.Claim{Run: x.claim, Attempt: 1}, batch: 4, every: 2, closes: true})
	for !a.done {
		if err := x.step(a); err != nil {
			return err
		}
	}
	if a.err != nil {
		return fmt.Errorf("the last process, alone, failed: %w", a.err)
	}
	if err := x.complete(); err != nil {
		return err
	}
	for _, z := range zombies {
		for !z.done {
			if err := x.step(z); err != nil {
				return err
			}
		}
	}
	return x.complete()
}

func (x *interleaving) complete() error {
	x.tally.Judged++
	v, err := x.world.Look(x.log.tasks())
	if err != nil {
		return err
	}
	if _, err := judge(x.world, x.log); err != nil {
		return err
	}
	if at := v.Sets[connector.StreamSplit][connector.StreamSplit]; at != x.log.End() {
		return errors.New("the last process ended and the target is not at the log's end")
	}
	if len(v.Pending) > 0 {
		return fmt.Errorf("the last process ended and %d rows are not visible", len(v.Pending))
	}
	return nil
}
