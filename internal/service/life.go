package service

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"godwit/internal/api"
	"godwit/internal/engine"
	"godwit/internal/engine/local"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/watch"
)

// recorder is what a life writes down of itself.
type recorder interface{ Snapshot() watch.Progress }

// life is one call of Engine.Run for a job: from when it is taken up until it has
// ended, drained or failed.
type life struct {
	j       *living
	began   time.Time
	ctx     context.Context
	cancel  context.CancelFunc // drains it
	record  recorder
	log     *slog.Logger
	file    *local.Log
	hide    func(string) string
	secrets [32]byte  // secretSum of its job file
	looked  time.Time // when they were looked at again; of the service's beat
	cleared bool      // alarms of tables that are not marked any more were resolved; of the beat
	reload  chan *job.Spec

	commands chan job.Event // unbuffered: what was sent was taken
	taken    atomic.Int64   // the last command that was
	returned chan struct{}  // closed when Run has returned
	over     chan struct{}  // closed when what follows from that is done

	mu    sync.Mutex
	queue []command
	more  chan struct{} // has something when queue may have
}

// stopPatience is how long a job that is to stop may take before it hears of it: it
// may be trying to reach a system. Then it is drained from outside.
const stopPatience = 3 * time.Second

// newLife makes a life; run begins it.
func (j *living) newLife(spec *job.Spec) *life {
	l := &life{
		j: j, began: j.s.o.Now(), hide: wording(spec), secrets: secretSum(spec), reload: make(chan *job.Spec, 1),
		commands: make(chan job.Event), returned: make(chan struct{}), over: make(chan struct{}), more: make(chan struct{}, 1),
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.log, l.file = local.NewLog(l.hide, func(level slog.Level, line string) {
		j.s.o.Log.Log(context.Background(), level, line, "job", j.name)
	})
	o := watch.Options{Job: j.name, Mode: string(spec.Mode), Now: j.s.o.Now, Parallel: spec.Parallel, Resident: j.s.resident, MemoryLimit: j.s.o.Memory, Hide: l.hide}
	if spec.Kind == job.KindFiles {
		o.Mode = string(spec.Kind)
		l.record = watch.NewFiles(o)
	} else {
		l.record = watch.New(o)
	}
	return l
}

// run lives the life, and sees to what follows.
func (l *life) run(spec *job.Spec, from job.State, again bool) {
	defer close(l.over)
	s := l.j.s
	s.running.Go(l.send)
	out, err := l.act(spec, from, again)
	drained := l.ctx.Err() != nil
	close(l.returned)
	l.cancel()
	l.file.Close()
	l.j.lived(l, out, err, drained)
}

// act runs the engine. A panic in it is a failure of this job alone.
func (l *life) act(spec *job.Spec, from job.State, again bool) (out watch.Outcome, err error) {
	defer func() {
		if p := recover(); p != nil {
			l.log.Error("panic", "value", p, "stack", string(debug.Stack()))
			err = fault.New(fault.Internal, "panic: %v", p)
		}
	}()
	s := l.j.s
	o := engine.Options{
		State: s.o.Dir, Memory: s.share(), Share: s.share, Getenv: s.o.Getenv, Reload: l.reload, Log: l.log, OpenLog: l.file.Open,
		Driving: &engine.Driving{From: from, Commands: l.commands, Save: l.save, Alarm: l.alarm, Log: l.log},
	}
	o.Watch, _ = l.record.(*watch.Job)
	o.Files, _ = l.record.(*watch.Files)
	l.log.Info("the job is taken up", "version", l.j.show().version)
	if files, ok := s.o.Engine.(engine.Files); ok && again && spec.Kind == job.KindFiles {
		return files.Retry(l.ctx, spec, o)
	}
	return s.o.Engine.Run(l.ctx, spec, o)
}

// save keeps a state before what follows from it is done. One that is to stop though
// nobody wants that comes of draining: it is no state to go on from, the one before
// it is.
func (l *life) save(s job.State) error {
	j := l.j
	j.keep.Lock()
	defer j.keep.Unlock()
	r := j.show()
	if s.Desired == job.WantStopped && r.wish.Desired != api.DesiredStopped && !r.leaving {
		return nil
	}
	hideState(&s, l.hide)
	before := j.stateNow().Status
	if err := j.keepState(s, l.taken.Load()); err != nil {
		return err
	}
	if s.Status == job.Failed && before != job.Failed {
		j.s.Note(l.ctx, api.Entry{By: byServer, Job: j.name, What: "gave up", Outcome: api.EntryOutcomeFailed, Code: s.Reason})
	}
	return nil
}

// alarm hands on what a step says of alarms.
func (l *life) alarm(a job.Action) {
	kind := string(a.Alarm.Kind)
	if a.Kind == job.RaiseAlarm {
		l.j.s.parts.board.Raise(l.j.name, kind, a.Alarm.On, l.hide(a.Alarm.What), fmt.Sprintf("godwit job show %s", l.j.name))
	} else {
		l.j.s.parts.board.Resolve(l.j.name, kind, a.Alarm.On)
	}
	l.j.touched()
}

// tell gives the engine a command, in its time.
func (l *life) tell(c command) {
	l.mu.Lock()
	l.queue = append(l.queue, c)
	l.mu.Unlock()
	select {
	case l.more <- struct{}{}:
	default:
	}
}

// mostWaiting is how many commands may wait for an engine.
const mostWaiting = 1000

func (l *life) waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue)
}

// send sends commands one by one until the life ends. What it does not get rid of
// is kept, and goes into the state when the life has ended.
func (l *life) send() {
	for {
		l.mu.Lock()
		var c *command
		if len(l.queue) > 0 {
			c, l.queue = &l.queue[0], l.queue[1:]
		}
		l.mu.Unlock()
		if c == nil {
			select {
			case <-l.more:
				continue
			case <-l.returned:
				return
			}
		}
		if !l.sendOne(*c) {
			return
		}
	}
}

func (l *life) sendOne(c command) bool {
	var patience <-chan time.Time
	if c.Do == doStop {
		timer := time.NewTimer(stopPatience)
		defer timer.Stop()
		patience = timer.C
	}
	for {
		select {
		case l.commands <- c.event(l.j.s.o.Now()):
			l.taken.Store(c.seq)
			return true
		case <-patience:
			l.cancel()
		case <-l.returned:
			return false
		}
	}
}

// takeOver gives a running file job its file as it is now.
func (l *life) takeOver(spec *job.Spec) {
	for {
		select {
		case l.reload <- spec:
			return
		case <-l.reload: // an older one that was not taken
		}
	}
}
