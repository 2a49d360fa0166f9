package service

import (
	"context"
	"strings"
	"testing"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/job"
)

func TestAdvice_when_an_engine_gives_it(t *testing.T) {
	for _, c := range []struct {
		kind       job.Kind
		says, here string
	}{
		{job.KindTables, "read everything again with `godwit run --again`", "read everything again with `godwit job stop shop, godwit job reset shop --confirm shop, godwit job start shop`"},
		{job.KindTables, "take the edit back, or read everything again: godwit run --again job.yaml", "take the edit back, or read everything again: godwit job stop shop, godwit job reset shop --confirm shop, godwit job start shop"},
		{job.KindTables, "godwit run job.yaml --again", "godwit job stop shop, godwit job reset shop --confirm shop, godwit job start shop"},
		{job.KindFiles, "godwit run --again job.yaml", "godwit job delete shop --confirm, godwit job submit FILE"},
		{job.KindFiles, "godwit run job.yaml", "godwit job start shop"},
		{job.KindFiles, "let it be read, then run `godwit retry`", "let it be read, then run `godwit job retry shop`"},
		{job.KindFiles, "godwit report job.yaml --failed", "godwit job show shop"},
		{job.KindFiles, "look at them with godwit plan; raise the limit", "look at them with godwit job plan FILE; raise the limit"},
		{job.KindTables, "switch the log on; godwit check says how", "switch the log on; godwit job check FILE --deep says how"},
		{job.KindTables, "let the user godwit runs as write in /data", "let the user godwit runs as write in /data"},
		{job.KindTables, "see what stands between", "see what stands between"},
	} {
		if got := Advice(c.says, "shop", c.kind); got != c.here {
			t.Errorf("%s:\n got %s\nwant %s", c.says, got, c.here)
		}
	}
}

// TestAdvice_when_a_job_fails says that what is kept of a failure, and every place that
// shows it, has the commands of a server.
func TestAdvice_when_a_job_fails(t *testing.T) {
	w := newWorld(t)
	lost := fault.New(fault.SourceLost, "the log was purged").Try("read everything again with `godwit run --again`")
	w.engine.set("shop", &script{tasks: copies("a"), run: func(context.Context, string, uint64) error { return lost }})
	w.submit(tableFile("shop"))
	v := w.stands("shop", api.StatusFailed)
	if !strings.Contains(v.Standing.Error.Hint, "godwit job reset shop --confirm shop") || strings.Contains(v.Standing.Error.Hint, "godwit run") {
		t.Error(v.Standing.Error.Hint)
	}
	tasks, err := w.Tasks(t.Context(), "shop", api.ListTasksParams{Status: []api.Status{api.StatusFailed}})
	if err != nil || len(tasks.Items) == 0 || strings.Contains(tasks.Items[0].Standing.Error.Hint, "godwit run") {
		t.Errorf("%+v, %v", tasks, err)
	}
	w.submit(everyFile("media", "1h"))
	_, err = w.Positions(t.Context(), "media")
	wantCode(t, err, fault.BadRequest)
}
