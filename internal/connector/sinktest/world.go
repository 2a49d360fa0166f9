package sinktest

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"godwit/internal/connector"
	"godwit/internal/position"
)

// World is one target and all processes that write it.
type World interface {
	// Start opens the sink in a new process. Everything it does to the target goes
	// through p.
	Start(p *Process) (connector.Sink, error)
	// Look reads the target as it is, by its documented form and without the sink.
	Look(tasks []string) (*View, error)
	// Cut cuts the power: what is not durable is gone, or half of it, drawn by rng.
	// Every process is dead already.
	Cut(rng *rand.Rand)
}

// ErrLocked is what Look returns while a process holds the target so that nobody can
// read it, as a change of a table's shape does.
var ErrLocked = errors.New("a process holds the target")

// Filler is a World whose space can run out.
type Filler interface {
	// Fill leaves so many bytes of space; below zero there is no limit.
	Fill(bytes int64)
}

// View is what a target holds.
type View struct {
	Final   []string // Lines a plain reader sees
	Pending []string // Lines that the last commits name and a plain reader does not see yet
	Sets    map[string]position.Set
}

// Harness makes worlds for one kind of sink.
type Harness struct {
	New func() World
	// Steps are names, or beginnings of names, of steps that crashes must have hit.
	Steps []string
	// Publishes is the kind of step that makes a committed file, or what stands for
	// it, visible after its record; empty where the commit is one step.
	Publishes string
	// Delays says that the world can let a step have its effect after it failed.
	Delays bool
	// Ends says that a process may end the session of another one that holds it up, and
	// that one sees a cut connection before the other has come to own its shard.
	Ends bool
	// State says that the target has rows as they are, not their history: lines of a
	// View are "r", with an empty place (StateLine).
	State bool
	// Sample has sweeps strike at one step in about so many, where a world is slow; 0
	// and 1: at each.
	Sample int
	// Faults are the errors that strike; nil: those of disks and stores.
	Faults []Fault
	// Leaves has the letters (codec.OpLetter) of changes that are left out of the
	// target on purpose.
	Leaves string
	// Job and Sink name the shards.
	Job, Sink string
}

// newLog makes the log of a seed for the kind of target, which may leave some changes
// out.
func (h Harness) newLog(seed uint64, s Shape) *Log {
	s.State = h.State
	l := NewLog(seed, s)
	l.leaves = h.Leaves
	return l
}

// stride is how many steps a sweep goes on.
func (h Harness) stride(rng *rand.Rand) int {
	if h.Sample <= 1 || Soak() {
		return 1
	}
	return 1 + rng.IntN(2*h.Sample-1)
}

func (h Harness) shard(task string) connector.Shard {
	return connector.Shard{Job: h.Job, Sink: h.Sink, Task: task}
}

// judge compares a target with the log: what is final and what the last commits
// name together are exactly the rows at the committed places, and the final rows
// alone have none twice and none beyond.
func judge(w World, l *Log) (map[string]position.Set, error) {
	v, err := w.Look(l.tasks())
	if err != nil {
		return nil, fmt.Errorf("the target cannot be read: %w", err)
	}
	wanted := map[string]int{}
	if l.keepsState {
		l.state(v.Sets, wanted)
	} else {
		for _, task := range l.tasks() {
			l.wanted(task, v.Sets[task], wanted)
		}
	}
	seen := map[string]int{}
	for _, line := range v.Final {
		if seen[line]++; seen[line] > 1 {
			return nil, fmt.Errorf("a plain reader sees a row twice: %s", line)
		}
		if wanted[line] == 0 {
			return nil, fmt.Errorf("a plain reader sees a row that no commit has: %s", line)
		}
	}
	for _, line := range v.Pending {
		seen[line]++
	}
	if maps.Equal(seen, wanted) {
		return v.Sets, nil
	}
	return nil, differ(seen, wanted)
}

func differ(seen, wanted map[string]int) error {
	var out []string
	for line, n := range wanted {
		if seen[line] < n {
			out = append(out, "lost:    "+line)
		}
	}
	for line, n := range seen {
		if n > wanted[line] {
			out = append(out, "too much: "+line)
		}
	}
	slices.Sort(out)
	n := len(out)
	if n > 6 {
		out = append(out[:6], "…")
	}
	return fmt.Errorf("the target is not what its positions say, in %d rows:\n%s", n, strings.Join(out, "\n"))
}
