package sinktest

import (
	"errors"
	"fmt"
	"strings"
)

// ErrDead is what everything returns that a dead process tries.
var ErrDead = errors.New("the process is dead")

// Fault makes one step of a process fail.
type Fault struct {
	// At names a kind of step, the first word of a step; N counts those. Empty: all.
	At    string
	N     int   // which step, counted from 0
	After bool  // the step has its effect before it fails
	Err   error // what it fails with; nil: the process dies there
	Lasts bool  // all later steps fail too
	// Late: the step has its effect some steps after it failed, where the world can
	// do that; else before it fails.
	Late bool
}

func (f Fault) String() string {
	when := "before"
	if f.After {
		when = "after"
	}
	what := "crash"
	if f.Err != nil {
		what = f.Err.Error()
	}
	return fmt.Sprintf("%s %s step %d", what, when, f.N)
}

// Process is one process that uses a sink. The world that gives it its sink leads
// every step through it: with Do, or, where the world has means of its own, by
// obeying Fault and Dead and calling Pass and Struck.
type Process struct {
	Name string
	// Fault is what is to fail; nil: nothing.
	Fault *Fault

	steps   []string
	fitting int // steps that the fault could have struck
	struck  string
	dead    bool
	pass    func(step string)
	later   func(effect func() error)
	killed  []func()
	ended   []func()
}

// Pass is called before each step, with no lock held. It returns when it is this
// process's turn.
func (p *Process) Pass(step string) {
	if !p.dead && p.pass != nil {
		p.pass(step)
	}
}

// Count returns how many steps the process has taken by Do.
func (p *Process) Count() int { return len(p.steps) }

// Dead reports whether the process was killed.
func (p *Process) Dead() bool { return p.dead }

// OnKill has f called when the process is killed.
func (p *Process) OnKill(f func()) { p.killed = append(p.killed, f) }

// OnEnd has f called when the process came to its end, of whatever kind.
func (p *Process) OnEnd(f func()) { p.ended = append(p.ended, f) }

func (p *Process) end() {
	for _, f := range p.ended {
		f()
	}
}

// Kill ends the process.
func (p *Process) Kill() {
	if p.dead {
		return
	}
	p.dead = true
	for _, f := range p.killed {
		f()
	}
}

// Struck notes that the fault struck at a step.
func (p *Process) Struck(step string) {
	if p.struck == "" {
		p.struck = step
	}
}

// Do carries out one step.
func (p *Process) Do(step string, effect func() error) error {
	p.Pass(step)
	if p.dead {
		return ErrDead
	}
	p.steps = append(p.steps, step)
	f := p.Fault
	if f == nil || f.At != "" && f.At != kind(step) {
		return effect()
	}
	n := p.fitting
	p.fitting++
	if n != f.N && !(f.Lasts && n > f.N) {
		return effect()
	}
	p.Struck(step)
	if f.Late && p.later != nil && f.Err != nil {
		p.later(effect)
		return f.Err
	}
	if f.After || f.Late {
		if err := effect(); err != nil {
			return err
		}
	}
	if f.Err == nil {
		p.Kill()
		return ErrDead
	}
	return f.Err
}

func kind(step string) string {
	k, _, _ := strings.Cut(step, " ")
	return k
}
