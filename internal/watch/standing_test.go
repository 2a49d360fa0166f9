package watch

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"godwit/internal/fault"
	"godwit/internal/job"
)

const secret = "pa55word"

func hide(text string) string { return strings.ReplaceAll(text, secret, "***") }

// failed is a sink that has failed, with a secret in every text.
func failed(since time.Time) job.Standing {
	err := fault.InSink("lake", fault.New(fault.TargetFull, "no space for %s", secret).At("/%s", secret).By(errors.New(secret)).Try("use %s", secret))
	return job.Standing{Status: job.Failed, Since: since, Reason: "TARGET_FULL", Attempt: 3, Failure: job.FailureOf(err)}
}

func TestStanding_when_it_is_told(t *testing.T) {
	j, c := newTest(1)
	f := NewFiles(Options{Job: "f", Now: c.now, Hide: hide})
	j.o.Hide = hide
	told := failed(c.now())
	j.SinkStands("lake", told)
	f.TargetStands(told)
	sink, target := j.Snapshot().Sinks[0].Standing, f.Snapshot().Files.Target
	for _, s := range []*job.Standing{sink, target} {
		if s == nil || s.Status != job.Failed || s.Failure.Code != fault.TargetFull || s.Failure.Sink != "lake" || s.Failure.Hint != "use ***" || s.Attempt != 3 {
			t.Fatalf("%+v", s)
		}
		if b, err := json.Marshal(s); err != nil || strings.Contains(string(b), secret) || !strings.Contains(string(b), `"status":"failed"`) {
			t.Errorf("%s %v", b, err)
		}
	}
	if told.Failure.Cause != secret {
		t.Error("what was told was changed")
	}
	c.add(time.Minute)
	j.SinkStands("lake", failed(c.now()))
	if again := j.Snapshot().Sinks[0].Standing; !again.Since.Equal(sink.Since) {
		t.Errorf("it failed at %v, not at %v", sink.Since, again.Since)
	}
	j.SinkStands("lake", job.Standing{Status: job.Running, Since: c.now()})
	if again := j.Snapshot().Sinks[0].Standing; again.Status != job.Running || !again.Since.Equal(c.now()) || again.Failure != nil {
		t.Errorf("%+v", again)
	}
}

func TestStanding_when_nobody_tells(t *testing.T) {
	j, c := newTest(1)
	j.Queue("lake", 1, 2)
	if s := j.Snapshot().Sinks[0]; s.Standing != nil {
		t.Errorf("%+v", s)
	}
	if o := NewFiles(Options{Now: c.now}).Snapshot().Files; o.Target != nil || o.LandedAt != nil {
		t.Errorf("%+v", o)
	}
}

func TestFiles_when_an_object_lands(t *testing.T) {
	_, c := newTest(1)
	f := NewFiles(Options{Now: c.now})
	f.Flying(1, 5)
	if at := f.Snapshot().Files.LandedAt; at != nil {
		t.Errorf("in flight, and landed at %v", at)
	}
	c.add(time.Second)
	f.Flying(-1, -5)
	if at := f.Snapshot().Files.LandedAt; at == nil || !at.Equal(c.now()) {
		t.Errorf("landed at %v", at)
	}
}

func TestMoved_when_a_sink_stands_otherwise(t *testing.T) {
	j, c := newTest(1)
	f := NewFiles(Options{Now: c.now})
	for _, to := range []job.Standing{{Status: job.Running, Since: c.now(), Attempt: 1}, failed(c.now()), {Status: job.Running, Since: c.now(), Attempt: 2}} {
		before, files := j.Snapshot(), f.Snapshot()
		j.SinkStands("lake", to)
		f.TargetStands(to)
		if now := j.Snapshot(); !now.Moved(&before) || now.Moved(&now) {
			t.Errorf("%+v", to)
		}
		if now := f.Snapshot(); !now.Moved(&files) {
			t.Errorf("a file job: %+v", to)
		}
	}
}
