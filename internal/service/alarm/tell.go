package alarm

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"godwit/internal/api"
)

// Events of a webhook.
const (
	raised   = "raised"
	repeated = "repeated"
	resolved = "resolved"
)

// queueSize bounds how many happenings wait for the webhook.
const queueSize = 256

// happening is what the webhook is to be told: an alarm as it was then.
type happening struct {
	event string
	entry *entry
	alarm api.Alarm
	since time.Time
}

// enqueue leaves a happening to the board's goroutine; b.mu is held. When too many
// wait already it is dropped: that an alarm was raised is told with its next repetition
// then.
func (b *Board) enqueue(event string, e *entry) {
	if b.hook == nil {
		return
	}
	now := b.now()
	select {
	case b.queue <- happening{event, e, shown(e.Alarm, now), now}:
		e.queued++
	default:
		b.dropped++
		e.tried = now
	}
}

// run tells the webhook, and tidies up, until ctx ends.
func (b *Board) run(ctx context.Context) {
	defer close(b.done)
	tick := time.NewTicker(min(b.pace.look, b.o.Repeat))
	defer tick.Stop()
	var dropped, refused uint64 // that were logged
	b.repeat()
	for {
		select {
		case <-ctx.Done():
			return
		case h := <-b.queue:
			b.deliver(ctx, h)
		case <-tick.C:
			b.changing.Lock()
			b.sweep()
			b.changing.Unlock()
			b.repeat()
			dropped, refused = b.complain(dropped, refused)
		}
	}
}

// complain logs what could not be kept or told since it did so before.
func (b *Board) complain(dropped, refused uint64) (allDropped, allRefused uint64) {
	b.mu.RLock()
	allDropped, allRefused = b.dropped, b.refused
	b.mu.RUnlock()
	if n := allDropped - dropped; n > 0 {
		b.o.Log.Error("the webhook was not told of some alarms", "happenings", n, "since_start", allDropped)
	}
	if n := allRefused - refused; n > 0 {
		b.o.Log.Error("too many alarms hold: more are not raised", "refused", n, "most", mostHolding)
	}
	return allDropped, allRefused
}

// repeat leaves to the queue, as far as there is room, what is due: alarms that hold
// and were last told long ago, or never; that one was resolved, if that could not be
// said when it was.
func (b *Board) repeat() {
	if b.hook == nil {
		return
	}
	b.changing.Lock()
	defer b.changing.Unlock()
	for _, e := range b.due() {
		b.changed(e)
	}
}

// due puts what is due into the queue and returns the alarms that changed by that;
// b.changing is held.
func (b *Board) due() (changed []*entry) {
	now := b.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	for _, e := range b.resolved {
		if e.knows == knowsRaised && e.queued == 0 && b.room() {
			b.enqueue(resolved, e)
		}
	}
	var all []*entry
	for _, e := range b.holding {
		if e.queued == 0 && b.isDue(e, now) {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(x, y *entry) int { return cmp.Or(x.Raised.Compare(y.Raised), cmp.Compare(x.ID, y.ID)) })
	for _, e := range all {
		switch {
		case !b.room():
			return changed
		case e.knows == knowsNothing:
			b.enqueue(raised, e)
		default:
			e.Repeated++
			b.enqueue(repeated, e)
			changed = append(changed, e)
		}
	}
	return changed
}

func (b *Board) room() bool { return len(b.queue) < cap(b.queue) }

// isDue reports whether an alarm that holds is to be told again.
func (b *Board) isDue(e *entry, now time.Time) bool {
	if now.Before(e.tried) { // the clock was put back
		e.tried = now
	}
	return now.Sub(e.tried) >= b.o.Repeat && !now.Before(e.SilencedUntil)
}

// deliver tells the webhook of a happening. When ctx ends meanwhile it stays untold,
// and is told after the next Open.
func (b *Board) deliver(ctx context.Context, h happening) {
	if !b.wanted(h) {
		return
	}
	body, err := json.Marshal(message{V: 1, Event: h.event, Alarm: h.alarm})
	if err == nil {
		err = b.hook.post(ctx, body, b.pace.giveUp-b.now().Sub(h.since))
	}
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		b.o.Log.Error("the webhook was not told of an alarm", "event", h.event, "alarm", h.alarm.ID, "job", h.alarm.Job,
			"kind", h.alarm.Kind, "host", b.hook.host, "error", err)
	}
	b.told(h, err == nil)
}

// message is what is posted (docs/formats/alarm-webhook.md).
type message struct {
	V     int       `json:"v"`
	Event string    `json:"event"`
	Alarm api.Alarm `json:"alarm"`
}

// wanted takes a happening from the queue and reports whether it is still to be told.
func (b *Board) wanted(h happening) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := h.entry
	e.queued--
	switch h.event {
	case raised:
		return e.knows == knowsNothing
	case repeated:
		return e.Resolved.IsZero() && !b.now().Before(e.SilencedUntil)
	}
	return e.knows == knowsRaised // who was not told of an alarm is not told of its end
}

// told notes what the webhook knows now, or that it was given up to tell it.
func (b *Board) told(h happening, arrived bool) {
	b.changing.Lock()
	defer b.changing.Unlock()
	b.note(h, arrived)
	b.save(h.entry)
}

func (b *Board) note(h happening, arrived bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := h.entry
	e.tried = b.now()
	if !arrived {
		b.dropped++
	}
	switch {
	case h.event == resolved:
		e.knows = knowsAll
	case arrived && e.knows == knowsNothing:
		e.knows = knowsRaised
	}
}
