package cli

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"godwit/internal/api"
	"godwit/internal/watch"
)

// Verifications of the fake server: each look at one that goes on brings it nearer to
// its end.
type proofs struct {
	looks   int // until the one that goes on has ended
	current *api.Verification
	last    *api.Verification
}

func (th *there) ShowVerification(w http.ResponseWriter, _ *http.Request, name string) {
	if _, ok := th.known(w, name); !ok {
		return
	}
	th.mu.Lock()
	defer th.mu.Unlock()
	p := &th.proofs
	if p.current != nil && p.looks == 0 {
		p.last, p.current = found(p.current.ID), nil
	}
	p.looks--
	th.ok(w, 200, api.Verifications{Current: p.current, Last: p.last, Earlier: []api.Verification{}})
}

func (th *there) StartVerification(w http.ResponseWriter, r *http.Request, name string, p api.StartVerificationParams) {
	if _, ok := th.known(w, name); !ok {
		return
	}
	th.mu.Lock()
	defer th.mu.Unlock()
	if th.proofs.current != nil {
		problem(w, 409, "NOT_NOW", "it is verified already")
		return
	}
	th.proofs.looks = 1
	th.proofs.current = &api.Verification{ID: 7, Job: name, State: api.VerificationStateWaiting, WaitsFor: "the end of the run", Asked: now, By: "alice", Reason: p.Reason, Version: 1}
	th.ok(w, 202, th.proofs.current)
}

func (th *there) CancelVerification(w http.ResponseWriter, r *http.Request, name string, p api.CancelVerificationParams) {
	if _, ok := th.known(w, name); ok {
		w.WriteHeader(http.StatusNoContent)
	}
}

// found is a verification that found differences.
func found(id int64) *api.Verification {
	return &api.Verification{
		ID: id, Job: "media", State: api.VerificationStateFinished, Asked: now, Started: now, Ended: now.Add(90 * time.Second), By: "alice", Version: 1, Way: "s3 media → folder",
		Verdict: api.VerdictDifferent, Equal: &api.ObjectsAndBytes{Objects: 998, Bytes: 9980}, EqualBy: []api.Proof{{By: "md5", Objects: 998}}, Missing: 1, Different: 2, NotComparable: 1,
		NotCompared: []api.NotCompared{{Reason: "SOURCE_REFUSED: an object may not be read", Objects: 1}},
		Differences: []watch.Difference{{Kind: watch.Missing, Key: "a", Reason: "it is not in the target"}, {Kind: watch.Different, Key: "b", Reason: "the bytes differ"}},
	}
}

func TestJobVerify_when_waited_for(t *testing.T) {
	th := newThere(t)
	r := th.try("job", "verify", "media", "--wait", "--reason", "weekly")
	r.want(4, `missing         a  it is not in the target
different       b  the bytes differ
… and 2 more
not equal  media  s3 media → folder
  4 objects of source and target not proven equal: 1 missing, 2 different, 1 not comparable; took 0:01:30, 0 B read
  equal by md5        998
  not compared 1: SOURCE_REFUSED: an object may not be read
  both sides as of 2026-11-21T14:05:20Z to 2026-11-21T14:06:50Z by alice
`, "waits for the end of the run")
	if !strings.Contains(r.err.String(), "error[DIFFERENCES_FOUND]") || !strings.Contains(r.err.String(), "godwit job start media") {
		t.Error(r.err.String())
	}
	if got := th.requests("POST"); len(got) != 1 || got[0] != "/api/v1/jobs/media/verification?reason=weekly" {
		t.Errorf("%q", got)
	}
	th.proofs.last.Verdict, th.proofs.last.Missing, th.proofs.last.Different, th.proofs.last.NotComparable = api.VerdictEqual, 0, 0, 0
	th.proofs.last.Differences, th.proofs.last.NotCompared = nil, nil
	th.try("job", "verify", "media", "--last").want(0, "equal  media", "")
}

func TestJobVerify_when_not_waited_for(t *testing.T) {
	th := newThere(t)
	th.try("job", "verify", "media", "--last").want(2, "", "error[NOT_NOW]: no verification of media has ended yet")
	th.try("job", "verify", "media").want(0, "", "media: verification 7 begins. Next: godwit job verify media --last --wait")
	th.try("job", "verify", "media").want(2, "", "error[NOT_NOW]")
	th.proofs.current.State, th.proofs.current.Compared, th.proofs.current.Again, th.proofs.current.Differing = api.VerificationStateRunning, &api.ObjectsAndBytes{Objects: 3, Bytes: 30}, 2, 1
	th.proofs.looks = 1
	th.try("job", "verify", "media", "--last").want(2, "", "media: verification 7, running, 3 objects, 30 B compared, 1 not equal, 2 to be judged again; waits for the end of the run")
	th.try("job", "verify", "none").want(2, "", "error[JOB_UNKNOWN]")
	th.try("job", "verify", "media", "--last", "--wait").want(4, "missing         a", "")
	th.try("job", "verify", "media", "--cancel").want(0, "", "is not verified any more")
	th.try("job", "verify", "media", "--cancel", "--last").want(2, "", "error[USAGE]")
	for _, state := range []api.VerificationState{api.VerificationStateBrokenOff, api.VerificationStateCancelled} {
		th.proofs.last.State, th.proofs.last.Verdict = state, ""
		th.try("job", "verify", "media", "--last").want(2, "", "was "+string(state)+": it has no verdict")
	}
	th.proofs.last.State, th.proofs.last.Error = api.VerificationStateFailed, &api.Fault{Class: "retry", Code: "STORE_UNREACHABLE", What: "no route"}
	th.try("job", "verify", "media", "--last").want(3, "", "error[STORE_UNREACHABLE]: no route")
}

func TestJobVerify_when_json(t *testing.T) {
	th := newThere(t)
	if ls := th.json(0, lineVerification, "job", "verify", "media"); len(ls) != 1 || ls[0]["state"] != "waiting" {
		t.Errorf("%v", ls)
	}
	if ls := th.json(4, "difference", "job", "verify", "media", "--last", "--wait"); len(ls) != 2 || ls[1]["key"] != "b" || ls[1]["job"] != "media" {
		t.Errorf("%v", ls)
	}
	if ls := th.json(4, lineVerification, "job", "verify", "media", "--last"); len(ls) != 1 || ls[0]["verdict"] != "different" || ls[0]["missing"] != 1.0 || ls[0]["differences"] != nil {
		t.Errorf("%v", ls)
	}
	th.json(0, lineAct, "job", "verify", "media", "--cancel")
}

func TestJobVerify_when_it_gets_a_schedule(t *testing.T) {
	th := newThere(t)
	th.try("job", "verify", "media", "--schedule", "0 4 * * *").want(0, "", "is verified by the schedule 0 4 * * *")
	if sent := th.sent(); sent["verify_schedule"] != "0 4 * * *" || sent["version"] != 1.0 || sent["file"] != nil {
		t.Errorf("sent %v", sent)
	}
	th.try("job", "verify", "media", "--schedule", "").want(0, "", "by no schedule any more")
	if sent := th.sent(); sent["verify_schedule"] != "" {
		t.Errorf("sent %v", sent)
	}
}

func TestJobShow_when_verified(t *testing.T) {
	j := someJobs()[2]
	at := func(v *api.Verified) string {
		j.Verification = v
		return strings.Join(jobLines(j, view{width: 200}, now), "\n")
	}
	for want, v := range map[string]*api.Verified{
		"  verified  equal, 1 h ago\n": {ID: 3, State: api.VerificationStateFinished, Verdict: api.VerdictEqual, VerdictAt: *moment(time.Hour)},
		"  verified  12 objects not proven equal, 1 h ago: godwit job verify media --last; verification 4 is running": {
			ID: 4, State: api.VerificationStateRunning, Verdict: api.VerdictDifferent, VerdictAt: *moment(time.Hour), Differences: 12},
		"  verified  never to its end; verification 1 is broken off": {ID: 1, State: api.VerificationStateBrokenOff},
	} {
		if got := at(v) + "\n"; !strings.Contains(got, want) {
			t.Errorf("lacks %q:\n%s", want, got)
		}
	}
	j.Kind = "tables"
	if got := at(&api.Verified{ID: 4, State: api.VerificationStateFinished, Verdict: api.VerdictDifferent, VerdictAt: *moment(time.Hour), Differences: 12}); !strings.Contains(got, "12 rows not proven equal") {
		t.Errorf("of a table job:\n%s", got)
	}
	if got := at(nil); strings.Contains(got, "verified") {
		t.Error(got)
	}
	j.VerifySchedule = &api.Schedule{Text: "0 4 * * *"}
	if got := at(nil); !strings.Contains(got, "  verify at 0 4 * * *") {
		t.Error(got)
	}
}
