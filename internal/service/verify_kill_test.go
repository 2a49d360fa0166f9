package service

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"

	"godwit/internal/api"
	"godwit/internal/engine"
	"godwit/internal/job"
	"godwit/internal/option"
	"godwit/internal/watch"
)

// childVerifies makes the test binary a child that verifies a job until it is killed.
const childVerifies = "GODWIT_TEST_CHILD_VERIFIES"

func verifyingChild() {
	f := &fake{verify: func(ctx context.Context, _ *job.Spec, _ engine.Options, each func(watch.Difference) error) (watch.VerifyReport, error) {
		_ = each(watch.Difference{Kind: watch.Missing, Key: "k"})
		fmt.Println("verifying")
		<-ctx.Done()
		return watch.VerifyReport{}, ctx.Err()
	}}
	s, err := Open(context.Background(), Options{
		Dir: os.Getenv(childDir), Engine: f, Systems: systems, Memory: 1 << 30, Log: slog.New(slog.DiscardHandler),
		Resolver: option.Resolver{Env: func(string) (string, bool) { return canary, true }},
	})
	if err == nil {
		_, err = s.StartVerification(context.Background(), ana, "media", "")
	}
	if err != nil {
		fmt.Println("broken", err)
		os.Exit(1)
	}
	select {}
}

// A verification whose server was killed is broken off, and never counts as equal.
func TestVerify_when_the_process_was_killed(t *testing.T) {
	w := newWorld(t)
	w.once("media")
	w.close()
	said := 0
	untilKilled(t, 0, func(word, _ string) bool { said++; return word == "verifying" }, childDir+"="+w.dir, childVerifies+"=1")
	if said != 1 {
		t.Errorf("the child said %d lines", said)
	}
	w.open()
	v := w.verified("media")
	if v.State != api.VerificationStateBrokenOff || v.Verdict != "" || !v.Ended.IsZero() || v.Started.IsZero() || v.WaitsFor != "" {
		t.Errorf("%+v", v)
	}
	if got := w.alarmsOf("media"); len(got) > 0 {
		t.Errorf("%q", got)
	}
	w.verifies("media") // and another one may begin
	if v := w.verified("media"); v.State != api.VerificationStateFinished || v.Verdict != api.VerdictEqual {
		t.Errorf("%+v", v)
	}
}
