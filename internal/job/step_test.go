package job

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"godwit/internal/fault"
)

// world simulates an engine: it keeps what runs and picks what happens next.
type world struct {
	t       *testing.T
	r       *rand.Rand
	now     time.Time
	state   State
	running map[string]TaskKind
	stopped map[string]bool // cancelled, not ended yet
	kinds   map[string]Task
	done    map[string]bool
	ended   int
	code    fault.Code
	wakes   []time.Time
	asked   bool
}

func (w *world) send(e Event) {
	e.Now = w.now
	before := fmt.Sprint(w.state)
	next, actions := Step(w.state, e)
	if again, _ := Step(w.state, e); fmt.Sprint(again) != fmt.Sprint(next) || fmt.Sprint(w.state) != before {
		w.t.Fatal("Step is not pure")
	}
	w.state = next
	for _, a := range actions {
		w.act(a)
	}
}

func (w *world) act(a Action) {
	switch a.Kind {
	case StartTask:
		if _, twice := w.running[a.ID]; twice {
			w.t.Fatalf("task %s started while it runs", a.ID)
		}
		if w.ended > 0 || w.asked {
			w.t.Fatalf("task %s started after the end", a.ID)
		}
		task := w.kinds[a.ID]
		if task.AfterCopies {
			for id, k := range w.kinds {
				if k.Kind == Copy && !w.done[id] {
					w.t.Fatalf("stream started before copy %s was done", id)
				}
			}
		}
		w.running[a.ID] = task.Kind
		copies := 0
		for _, k := range w.running {
			if k == Copy {
				copies++
			}
		}
		if copies > w.state.Parallel {
			w.t.Fatalf("%d copies at once, allowed %d", copies, w.state.Parallel)
		}
	case CancelTask:
		w.stopped[a.ID] = true
	case WakeAt:
		w.wakes = append(w.wakes, a.At)
	case Finish:
		if w.ended++; w.ended > 1 || len(w.running) > 0 {
			w.t.Fatalf("finished %d times with %d tasks running", w.ended, len(w.running))
		}
		w.code = a.Code
	}
}

// end makes a running task end in some way.
func (w *world) end(id string, kind EventKind, class fault.Class) {
	delete(w.running, id)
	delete(w.stopped, id)
	if kind == TaskFinished {
		w.done[id] = true
	}
	w.send(Event{Kind: kind, ID: id, Class: class, Code: fault.SourceBusy, Progressed: w.r.IntN(3) > 0})
}

func (w *world) randomEnd(hostile bool) {
	for id := range w.running {
		switch n := w.r.IntN(10); {
		case w.stopped[id]:
			w.end(id, TaskStopped, 0)
		case n < 3:
			w.end(id, TaskFailed, fault.Retry)
		case n == 3 && hostile:
			w.end(id, TaskFailed, fault.Fenced)
			w.asked = true
		default:
			w.end(id, TaskFinished, 0)
		}
		return
	}
	if len(w.wakes) > 0 {
		if w.wakes[0].After(w.now) {
			w.now = w.wakes[0]
		}
		w.wakes = w.wakes[1:]
		w.send(Event{Kind: Tick})
	}
}

func TestStep_when_events_come_in_any_order(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := &world{t: t, r: r, now: time.Unix(1e9, 0), running: map[string]TaskKind{}, stopped: map[string]bool{},
			kinds: map[string]Task{}, done: map[string]bool{}, state: State{Parallel: 1 + r.IntN(4)}}
		hostile, stops := seed%3 == 1, seed%3 == 2
		left := r.IntN(20)
		w.kinds["s"] = Task{ID: "s", Kind: Stream, AfterCopies: true}
		for i := range left { // known to the world before they are found: a stream must wait for all
			id := fmt.Sprint("c", i)
			w.kinds[id] = Task{ID: id, Kind: Copy}
		}
		w.send(Event{Kind: TaskFound, Task: w.kinds["s"]})
		listed := false
		for i := 0; w.ended == 0; i++ {
			if i > 10000 {
				t.Fatalf("seed %d: no end: %+v", seed, w.state)
			}
			switch {
			case left > 0 && r.IntN(2) == 0:
				left--
				w.send(Event{Kind: TaskFound, Task: w.kinds[fmt.Sprint("c", left)]})
			case left == 0 && !listed:
				listed = true
				w.send(Event{Kind: AllFound})
			case stops && r.IntN(30) == 0:
				w.asked = true
				w.send(Event{Kind: StopAsked})
			default:
				w.randomEnd(hostile)
			}
		}
		if w.code == "" && !w.asked && !w.done["s"] {
			t.Fatalf("seed %d: finished without the stream", seed)
		}
	}
}

func TestStep_when_a_task_keeps_failing(t *testing.T) {
	now := time.Unix(0, 0)
	s, _ := Step(State{Parallel: 1}, Event{Kind: TaskFound, Task: Task{ID: "c", Kind: Copy}, Now: now})
	starts := 1
	for range 100 {
		var actions []Action
		s, actions = Step(s, Event{Kind: TaskFailed, ID: "c", Class: fault.Retry, Code: fault.SourceBusy, Now: now})
		for _, a := range actions {
			switch a.Kind {
			case Finish:
				if starts != MaxFruitless || a.Code != fault.SourceBusy {
					t.Fatalf("gave up after %d starts with %q", starts, a.Code)
				}
				return
			case WakeAt:
				if wait := a.At.Sub(now); wait < time.Second || wait > maxBackoff {
					t.Fatalf("back-off of %v", wait)
				}
				now = a.At
			}
		}
		s, actions = Step(s, Event{Kind: Tick, Now: now})
		if len(actions) != 1 || actions[0].Kind != StartTask || actions[0].Attempt != uint64(starts+1) {
			t.Fatalf("after back-off: %+v", actions)
		}
		starts++
	}
	t.Fatal("never gave up")
}
