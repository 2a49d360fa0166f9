package powerfs

import "math/rand/v2"

// Task is what one process does, with one goroutine at a time taking steps.
type Task struct {
	FS  *FS
	Run func()
}

// Interleave runs the tasks so that one step of one of them is taken at a time,
// each time of a task drawn by rng: the same rng gives the same order. It takes
// the Before of their FS. It returns when all have ended.
func Interleave(rng *rand.Rand, tasks ...Task) {
	stop := make(chan bool) // one task at a time runs: true, it ended; false, it waits at a step
	grant := make([]chan struct{}, len(tasks))
	var waiting []int
	turn := func(i int) {
		if ended := <-stop; !ended {
			waiting = append(waiting, i)
		}
	}
	for i, t := range tasks {
		grant[i] = make(chan struct{})
		t.FS.Before(func(Step) {
			stop <- false
			<-grant[i]
		})
		go func() {
			t.Run()
			stop <- true
		}()
		turn(i)
	}
	for len(waiting) > 0 {
		k := rng.IntN(len(waiting))
		i := waiting[k]
		waiting = append(waiting[:k], waiting[k+1:]...)
		grant[i] <- struct{}{}
		turn(i)
	}
	for _, t := range tasks {
		t.FS.Before(nil)
	}
}
