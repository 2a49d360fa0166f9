package cli

import (
	"strings"
	"testing"
	"time"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/watch"
)

// inTroubles is a stream of which one sink failed, and the other waits for it.
func inTroubles() watch.Progress {
	p := inStream()
	full := fault.InSink("pg", fault.New(fault.TargetFull, "no space\x1b[2J left"))
	p.Sinks = []watch.Sink{
		{Name: "lake", Standing: &job.Standing{Status: job.Unassigned, Reason: "waits: sink pg, TARGET_FULL"}},
		{Name: "pg", Standing: &job.Standing{Status: job.Retrying, Attempt: 3, Failure: job.FailureOf(full)}},
	}
	return p
}

func TestSinks_of_a_run(t *testing.T) {
	block := strings.Join(view{width: 150}.block(inTroubles()), "\n")
	has(t, block, "\n ! sink lake unassigned: waits: sink pg, TARGET_FULL\n", "\n ! sink pg retrying, attempt 3: TARGET_FULL: no space")
	if strings.Contains(block, "\x1b") {
		t.Errorf("%q", block)
	}
	has(t, timedLine(inTroubles()), "sinks=lake:unassigned,pg:retrying/TARGET_FULL")
	well := inTroubles()
	for i := range well.Sinks {
		well.Sinks[i].Standing = &job.Standing{Status: job.Running}
	}
	if block, line := strings.Join(view{width: 150}.block(well), "\n"), timedLine(well); strings.Contains(block, "! sink") || strings.Contains(line, "sinks=") {
		t.Errorf("all is well, and shown is\n%s\n%s", block, line)
	}
	files := watch.Progress{Files: &watch.Objects{Target: inTroubles().Sinks[1].Standing}}
	has(t, strings.Join(view{width: 150}.block(files), "\n"), "\n ! sink target retrying, attempt 3: TARGET_FULL")
}

// withSinks is a job of which one sink failed, and the other waits for it.
func withSinks() api.Job {
	full := &api.Fault{Class: "retry", Code: "TARGET_FAILED", What: "it is away", Sink: "pg", Hint: "look"}
	n, none, lag := int64(1200), int64(0), 1.2
	p := inTroubles()
	return api.Job{
		Name: "shop", Progress: &p, Standing: api.Standing{Status: api.StatusRetrying, Since: now, Error: full},
		Sinks: []api.Sink{
			{
				Name: "lake", Standing: api.Standing{Status: api.StatusUnassigned, Since: now.Add(-time.Minute), Reason: "waits: sink pg, TARGET_FAILED"},
				Lag: &api.Lag{State: "behind", Seconds: &lag}, Position: "bin.7:12", CommittedAt: now.Add(-2 * time.Second), Rows: &n, Commits: &n, QueueBytes: &n, QueueLimitBytes: 2048,
			},
			{
				Name: "pg", Standing: api.Standing{Status: api.StatusRetrying, Since: now.Add(-time.Hour), Attempt: 3, Fruitless: 2, NextRetryAt: now.Add(time.Second), Error: full},
				Lag: &api.Lag{State: "unknown"}, Rows: &none, Commits: &none, QueueBytes: &none,
			},
		},
	}
}

func TestSinks_of_a_job_on_a_server(t *testing.T) {
	j := withSinks()
	got := strings.Join(sinkLines(j, view{width: 300}, now), "\n")
	want := `  sink      lake  unassigned   since 1 m ago   waits: sink pg, TARGET_FAILED   lag 1.2 s   at bin.7:12   committed 2 s ago   1,200 rows   queue 1.17 KiB of 2 KiB
  sink      pg  retrying   since 1 h ago, attempt 3, next 2026-11-21T14:05:21Z   lag unknown   0 rows`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	j.Standing.Error = nil
	has(t, strings.Join(sinkLines(j, view{width: 300}, now), "\n"), "\n    error[TARGET_FAILED]: it is away\n", "hint   look")
	whole := strings.Join(jobLines(withSinks(), view{width: 300}, now), "\n")
	if strings.Count(whole, "it is away") != 1 || strings.Contains(whole, " sinks     ") || strings.Contains(whole, "! sink") {
		t.Errorf("something is told twice, or not at all:\n%s", whole)
	}
	if old := (api.Job{Progress: j.Progress}); len(withoutSinks(old).Sinks) != 2 {
		t.Error("what an older server tells of sinks is lost")
	}
	files := api.Job{Progress: &watch.Progress{Files: &watch.Objects{Target: &job.Standing{}}}, Sinks: j.Sinks}
	if withoutSinks(files).Files.Target != nil || files.Progress.Files.Target == nil {
		t.Error("the target is told twice, or what was given was changed")
	}
}

func TestFault_with_a_sink(t *testing.T) {
	e := fault.Of(fault.InSink("pg", fault.New(fault.TargetFull, "no space")))
	if l := newErrorLine(masked(e, func(s string) string { return s }), "shop", now); l.Sink != "pg" {
		t.Errorf("%+v", l)
	}
	if back := faultOf(&api.Fault{Code: "TARGET_FULL", Sink: "pg"}); back.Sink != "pg" {
		t.Errorf("%+v", back)
	}
	has(t, strings.Join(faultLines(e, colours{}), "\n"), "sink   pg")
}
