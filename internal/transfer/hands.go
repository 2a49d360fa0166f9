package transfer

import (
	"context"
	"sync"
)

// hands are goroutines that carry objects. They go on from one object to the next:
// a goroutine for each would grow its stack each time, which takes longer than many
// a small object does.
type hands struct {
	tasks  chan func()
	places chan struct{} // one for each goroutine that may be started
	quit   chan struct{}
	all    sync.WaitGroup
}

func newHands(most int) *hands {
	return &hands{tasks: make(chan func()), places: make(chan struct{}, most), quit: make(chan struct{})}
}

// give has do done, as soon as somebody is free. False: ctx ended before.
func (h *hands) give(ctx context.Context, do func()) bool {
	select { // somebody who is free goes before somebody new
	case h.tasks <- do:
		return true
	default:
	}
	select {
	case h.tasks <- do:
	case h.places <- struct{}{}:
		h.all.Go(func() { h.carry(do) })
	case <-ctx.Done():
		return false
	}
	return true
}

func (h *hands) carry(do func()) {
	for {
		do()
		select {
		case do = <-h.tasks:
		case <-h.quit:
			return
		}
	}
}

// end waits for what is being done. Nothing is given any more.
func (h *hands) end() {
	close(h.quit)
	h.all.Wait()
}
