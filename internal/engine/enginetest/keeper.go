package enginetest

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"godwit/internal/engine"
	"godwit/internal/job"
)

// Keeper keeps the life of one job in memory, as a server does on disk. One waits at
// a time.
type Keeper struct {
	commands chan job.Event

	mu      sync.Mutex
	kept    job.State
	changed chan struct{}
}

// NewKeeper keeps a job that begins with a state.
func NewKeeper(from job.State) *Keeper {
	return &Keeper{commands: make(chan job.Event), kept: from, changed: make(chan struct{}, 1)}
}

// Driving is how the job is driven next: on from what was kept last, as another
// process finds it.
func (k *Keeper) Driving() (*engine.Driving, error) {
	from, err := reread(k.Kept())
	return &engine.Driving{From: from, Commands: k.commands, Save: k.Save}, err
}

// Save keeps a state.
func (k *Keeper) Save(s job.State) error {
	k.mu.Lock()
	k.kept = s
	k.mu.Unlock()
	select {
	case k.changed <- struct{}{}:
	default:
	}
	return nil
}

// Kept is the state kept last.
func (k *Keeper) Kept() job.State {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.kept
}

// Await waits for a state.
func (k *Keeper) Await(ctx context.Context, which func(job.State) bool) error {
	for {
		if which(k.Kept()) {
			return nil
		}
		select {
		case <-k.changed:
		case <-ctx.Done():
			return fmt.Errorf("waited in vain; the job is %v: %+v", k.Kept().Status, k.Kept().Tasks)
		}
	}
}

// Tell gives the engine a command, and waits until it has received it.
func (k *Keeper) Tell(ctx context.Context, e job.Event) {
	select {
	case k.commands <- e:
	case <-ctx.Done(): // what is waited for next says so
	}
}

// reread is a state as another process finds it.
func reread(s job.State) (out job.State, err error) {
	b, err := json.Marshal(s)
	if err != nil {
		return out, err
	}
	return out, json.Unmarshal(b, &out)
}
