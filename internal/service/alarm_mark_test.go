package service

import (
	"context"
	"testing"

	"godwit/internal/api"
	"godwit/internal/engine"
	"godwit/internal/job"
	"godwit/internal/watch"
)

// A table that was marked when a life ended, and is not any more, makes no alarm in the next:
// its positions were reset, or an edit left it out.
func TestAlarm_when_a_table_is_marked_no_more(t *testing.T) {
	w := newWorld(t)
	stream := []job.Task{{ID: "stream", Kind: job.Stream}}
	w.engine.set("a", &script{tasks: stream, around: func(_ context.Context, o engine.Options) {
		o.Watch.Marked("shop.orders", "a statement")
		o.Watch.Marked("shop.old", "a statement")
	}, marked: []watch.Mark{{Table: "shop.old"}, {Table: "shop.orders"}}})
	w.submit(tableFile("a"))
	alarms := func(n int) func(api.Job) bool {
		return func(v api.Job) bool { return v.Standing.Status == api.StatusRunning && v.Alarms == n }
	}
	w.await("a", "in alarm", alarms(2))
	w.act("a", api.ActActStop)
	if v := w.stands("a", api.StatusStopped); v.Alarms != 2 {
		t.Errorf("%d alarms of a job that is stopped", v.Alarms)
	}
	w.engine.set("a", &script{tasks: stream, around: func(_ context.Context, o engine.Options) { o.Watch.Marked("shop.old", "a statement") }})
	w.act("a", api.ActActStart)
	w.await("a", "in alarm for one table", alarms(1))
}
