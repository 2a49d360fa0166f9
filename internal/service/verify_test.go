package service

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"godwit/internal/api"
	"godwit/internal/engine"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/service/alarm"
	"godwit/internal/service/verification"
	"godwit/internal/watch"
)

// onceFile is the file of a file job that runs once.
func onceFile(name string) string {
	return strings.Replace(everyFile(name, "5m"), "every: 5m\n", "", 1)
}

// once is a file job that has run once.
func (w *world) once(name string) {
	w.t.Helper()
	w.engine.set(name, &script{tasks: copies("a"), run: done})
	w.submit(onceFile(name))
	w.await(name, "at its end", func(v api.Job) bool {
		return v.Standing.Status == api.StatusFinished && w.jobs[name].lifeNow() == nil
	})
}

func (w *world) verifies(name string) api.Verification {
	w.t.Helper()
	v, err := w.StartVerification(w.t.Context(), ana, name, "test")
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// verified waits until no verification of a job goes on and returns the last.
func (w *world) verified(name string) api.Verification {
	w.t.Helper()
	w.await(name, "verified", func(v api.Job) bool { return v.Verification != nil && verification.Ended(v.Verification.State) })
	all, err := w.Verifications(w.t.Context(), name)
	if err != nil || all.Current != nil || all.Last == nil {
		w.t.Fatalf("%+v, %v", all, err)
	}
	return *all.Last
}

// alarmsOf are the alarms of a job that hold, as "kind: what".
func (w *world) alarmsOf(name string) (out []string) {
	w.t.Helper()
	held, err := w.Alarms(w.t.Context(), api.ListAlarmsParams{Job: name})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, a := range held {
		out = append(out, a.Kind+": "+a.What)
	}
	slices.Sort(out)
	return out
}

// held is a verification that goes on until it is let go.
type held struct {
	begun  chan string
	memory chan int64 // that each was given
	let    chan watch.VerifyReport
}

func (w *world) holds() held {
	h := held{make(chan string, 10), make(chan int64, 10), make(chan watch.VerifyReport)}
	w.engine.verify = func(ctx context.Context, s *job.Spec, o engine.Options, _ func(watch.Difference) error) (watch.VerifyReport, error) {
		o.Files.Ended("equal", 3, 30)
		h.begun <- s.Name
		h.memory <- o.Memory
		select {
		case r := <-h.let:
			return r, nil
		case <-ctx.Done():
			return watch.VerifyReport{}, context.Cause(ctx)
		}
	}
	return h
}

func TestVerify_when_it_is_asked_for(t *testing.T) {
	w := newWorld(t)
	h := w.holds()
	w.once("media")
	if all, err := w.Verifications(t.Context(), "media"); err != nil || all.Current != nil || all.Last != nil || all.Earlier == nil {
		t.Errorf("%+v, %v", all, err)
	}
	v := w.verifies("media")
	if v.ID == 0 || v.By != "ana" || v.Reason != "test" || v.Version != 1 || v.State != api.VerificationStateWaiting && v.State != api.VerificationStateRunning {
		t.Errorf("%+v", v)
	}
	<-h.begun
	all, err := w.Verifications(t.Context(), "media")
	if err != nil || all.Current == nil || all.Current.State != api.VerificationStateRunning || all.Current.Compared == nil || all.Current.Compared.Objects != 3 || all.Last != nil {
		t.Errorf("%+v, %v", all, err)
	}
	_, err = w.StartVerification(t.Context(), ana, "media", "")
	wantCode(t, err, fault.NotNow)
	h.let <- watch.VerifyReport{
		Description: "a → b", Strength: "strongest", Equal: watch.Ended{Objects: 3, Bytes: 30}, By: []watch.Strength{{By: "md5", Objects: 3}}, Read: 7, ExtraUnknown: "a list",
	}
	v = w.verified("media")
	if v.State != api.VerificationStateFinished || v.Verdict != api.VerdictEqual || v.Equal.Objects != 3 || v.EqualBy[0].By != "md5" || v.BytesRead != 7 || v.NotLookedFor != "a list" ||
		v.Strength != "strongest" || v.Started.IsZero() || v.Ended.Before(v.Started) || v.Source == nil || !v.Source.To.Equal(v.Ended) || v.Compared != nil {
		t.Errorf("%+v", v)
	}
	view, err := w.Show(t.Context(), "media")
	if s := view.Verification; err != nil || s == nil || s.ID != v.ID || s.Verdict != api.VerdictEqual || !s.VerdictAt.Equal(v.Ended) || s.Differences != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	wantCode(t, w.CancelVerification(t.Context(), ana, "media", ""), fault.NotNow)
	_, err = w.StartVerification(t.Context(), ana, "none", "")
	wantCode(t, err, fault.JobUnknown)
	want := []string{"ana submit done", "server finished done", "ana verify done", "ana verify refused NOT_NOW", "server verified done", "ana cancel verification refused NOT_NOW"}
	if got := w.whats("media"); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// Rows are compared beside the run: nothing is waited for, and nothing judged again after
// it.
func TestVerify_when_a_job_moves_tables(t *testing.T) {
	w := newWorld(t)
	moving := make(chan bool, 1)
	w.engine.verify = func(_ context.Context, s *job.Spec, o engine.Options, each func(watch.Difference) error) (watch.VerifyReport, error) {
		moving <- o.Moving != nil
		r := watch.VerifyReport{Doubled: 1, Tables: []watch.VerifiedTable{{Table: "a.b", On: "lake", Doubled: 1}}}
		return r, each(watch.Difference{Kind: "doubled", Key: "a.b id=1", Row: &watch.RowDifference{Table: "a.b", On: "lake"}})
	}
	w.submit(tableFile("shop"))
	w.verifies("shop")
	v := w.verified("shop")
	if <-moving {
		t.Error("it is told to wait for what moves")
	}
	if v.Verdict != api.VerdictDifferent || v.Doubled != 1 || len(v.Tables) != 1 || len(v.Differences) != 1 || v.Differences[0].Row == nil {
		t.Errorf("%+v", v)
	}
	_, err := w.Submit(t.Context(), ana, "", api.Submission{File: tableFile("other"), VerifySchedule: "* * * * *"})
	if err != nil {
		t.Error(err)
	}
	_, err = w.Submit(t.Context(), ana, "", api.Submission{File: onceFile("media"), VerifySchedule: "nonsense"})
	wantCode(t, err, fault.BadRequest)
}

func TestVerify_when_it_is_cancelled(t *testing.T) {
	w := newWorld(t)
	w.once("media")
	w.engine.verify = differing(2)
	w.verifies("media")
	w.verified("media")
	h := w.holds()
	w.verifies("media")
	<-h.begun
	if err := w.CancelVerification(t.Context(), ana, "media", "enough"); err != nil {
		t.Fatal(err)
	}
	v := w.verified("media")
	if v.State != api.VerificationStateCancelled || v.Verdict != "" || v.Ended.IsZero() || v.Error != nil {
		t.Errorf("%+v", v)
	}
	view, err := w.Show(t.Context(), "media") // what was found before still holds
	if s := view.Verification; err != nil || s.State != api.VerificationStateCancelled || s.Verdict != api.VerdictDifferent || s.Differences != 2 || view.Alarms != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	if got := w.whats("media"); !slices.Equal(got[len(got)-2:], []string{"ana cancel verification done", "server verification cancelled done"}) {
		t.Errorf("%q", got)
	}
}

// differing finds so many objects missing.
func differing(n int64) func(context.Context, *job.Spec, engine.Options, func(watch.Difference) error) (watch.VerifyReport, error) {
	return func(_ context.Context, _ *job.Spec, _ engine.Options, each func(watch.Difference) error) (watch.VerifyReport, error) {
		for range n {
			if err := each(watch.Difference{Kind: watch.Missing, Key: "k", Reason: "it is not there, and the password is " + canary}); err != nil {
				return watch.VerifyReport{}, err
			}
		}
		return watch.VerifyReport{Missing: n}, nil
	}
}

func TestVerify_when_more_differ_than_are_kept(t *testing.T) {
	w := newWorld(t)
	w.once("media")
	w.engine.verify = differing(mostDifferences + 50)
	w.verifies("media")
	if v := w.verified("media"); v.Missing != mostDifferences+50 || len(v.Differences) != mostDifferences || v.Verdict != api.VerdictDifferent {
		t.Errorf("%d missing, %d kept", v.Missing, len(v.Differences))
	}
}

func TestVerify_when_objects_are_not_compared(t *testing.T) {
	w := newWorld(t)
	w.once("media")
	w.engine.verify = func(_ context.Context, _ *job.Spec, _ engine.Options, each func(watch.Difference) error) (watch.VerifyReport, error) {
		for i := range 3 {
			_ = each(watch.Difference{Kind: watch.NotComparable, Key: "k", Reason: string(rune('a'+i)) + " may not be read", Code: string(fault.SourceRefused)})
		}
		_ = each(watch.Difference{Kind: watch.NotComparable, Key: "z", Reason: "it changed"})
		return watch.VerifyReport{NotComparable: 4}, nil
	}
	w.verifies("media")
	v := w.verified("media")
	if len(v.NotCompared) != 2 || v.NotCompared[0].Objects != 3 || !strings.HasPrefix(v.NotCompared[0].Reason, "SOURCE_REFUSED: ") || v.NotCompared[1].Reason != "it changed" {
		t.Errorf("%+v", v.NotCompared)
	}
}

// Differences raise an alarm that the end of a run, a restart and a failed
// verification leave alone, and that the next verification resolves that finds all equal.
func TestVerify_when_objects_differ(t *testing.T) {
	w := newWorld(t)
	w.once("media")
	w.engine.verify = differing(2)
	w.verifies("media")
	w.verified("media")
	const differs = "differences: source and target are not proven equal: 2 missing"
	want := func(more ...string) {
		t.Helper()
		if got := w.alarmsOf("media"); !slices.Equal(got, append([]string{differs}, more...)) {
			t.Errorf("%q", got)
		}
	}
	want()
	w.act("media", api.ActActStart)
	w.await("media", "at its end", func(v api.Job) bool {
		return v.Standing.Status == api.StatusFinished && len(w.engine.lived("media")) == 2 && w.jobs["media"].lifeNow() == nil
	})
	want()
	w.again()
	want()
	w.engine.verify = func(context.Context, *job.Spec, engine.Options, func(watch.Difference) error) (watch.VerifyReport, error) {
		return watch.VerifyReport{}, fault.New(fault.StoreUnreachable, "no route")
	}
	w.verifies("media")
	v := w.verified("media")
	if v.State != api.VerificationStateFailed || v.Error == nil || v.Error.Code != string(fault.StoreUnreachable) {
		t.Errorf("%+v", v)
	}
	want("verification failed: STORE_UNREACHABLE: no route")
	w.engine.verify = nil
	w.verifies("media")
	w.verified("media")
	if got := w.alarmsOf("media"); len(got) > 0 {
		t.Errorf("%q", got)
	}
	all, err := w.Verifications(t.Context(), "media")
	if err != nil || len(all.Earlier) != 2 || all.Earlier[0].State != api.VerificationStateFailed || all.Earlier[1].Missing != 2 || all.Earlier[1].Differences != nil {
		t.Errorf("%+v, %v", all.Earlier, err)
	}
}

func TestVerify_when_it_panics(t *testing.T) {
	w := newWorld(t)
	w.once("media")
	w.engine.verify = func(context.Context, *job.Spec, engine.Options, func(watch.Difference) error) (watch.VerifyReport, error) {
		panic("planted")
	}
	w.verifies("media")
	if v := w.verified("media"); v.State != api.VerificationStateFailed || v.Error.Code != string(fault.Internal) {
		t.Errorf("%+v", v)
	}
}

func TestVerify_when_many_ask(t *testing.T) {
	w := newWorld(t)
	h := w.holds()
	for _, name := range []string{"a", "b", "c"} {
		w.once(name)
	}
	for n, name := range []string{"a", "b"} {
		w.verifies(name)
		<-h.begun
		if got, want := <-h.memory, w.o.Memory/int64(n+2); got != want {
			t.Errorf("%s got %d bytes, expected %d", name, got, want)
		}
	}
	w.verifies("c")
	if err := w.awaits("c", "its turn"); err != nil {
		t.Fatal(err)
	}
	h.let <- watch.VerifyReport{}
	if name := <-h.begun; name != "c" {
		t.Errorf("%s began", name)
	}
	for range 2 {
		h.let <- watch.VerifyReport{}
	}
	w.verified("c")
}

// awaits waits until a verification says that it waits for something.
func (w *world) awaits(name, what string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	enough := errors.New("enough")
	look := func() error {
		all, err := w.Verifications(ctx, name)
		if err == nil && all.Current != nil && strings.HasPrefix(all.Current.WaitsFor, what) {
			return enough
		}
		return err
	}
	if err := look(); err == enough {
		return nil
	}
	if err := w.Follow(ctx, 0, name, func(Happening) error { return look() }); err != enough {
		return err
	}
	return nil
}

// A verification waits for the end of a run, and what differs while another one goes
// on is judged again after it.
func TestVerify_when_a_run_moves_objects(t *testing.T) {
	w := newWorld(t)
	release := make(chan struct{})
	w.engine.set("media", &script{tasks: copies("a"), run: func(ctx context.Context, _ string, _ uint64) error {
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}})
	w.submit(onceFile("media"))
	w.stands("media", api.StatusRunning)
	begun, over := make(chan bool, 1), make(chan struct{})
	look, looked := make(chan struct{}), make(chan bool, 1)
	w.engine.verify = func(ctx context.Context, _ *job.Spec, o engine.Options, _ func(watch.Difference) error) (watch.VerifyReport, error) {
		begun <- o.Moving.Now()
		<-look
		looked <- o.Moving.Now()
		err := o.Moving.Over(ctx)
		close(over)
		return watch.VerifyReport{}, err
	}
	w.verifies("media")
	if err := w.awaits("media", "the end of the run"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-begun:
		t.Fatal("it did not wait")
	default:
	}
	release <- struct{}{}
	if <-begun {
		t.Error("nothing moves, and it is said to")
	}
	w.await("media", "at its end", func(api.Job) bool { return w.jobs["media"].lifeNow() == nil })
	w.act("media", api.ActActStart)
	w.await("media", "running again", func(v api.Job) bool {
		return v.Standing.Status == api.StatusRunning && len(w.engine.lived("media")) == 2
	})
	close(look)
	if !<-looked {
		t.Error("a run moves objects, and it is not said")
	}
	if err := w.awaits("media", "the end of the run"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-over:
		t.Error("it did not wait for the end of the run")
	default:
	}
	close(release)
	<-over
	w.verified("media")
}

// What is paused moves nothing: a verification does not wait for it.
func TestVerify_when_a_job_is_paused(t *testing.T) {
	w := newWorld(t)
	w.engine.set("media", &script{tasks: copies("a")})
	w.submit(onceFile("media"))
	w.stands("media", api.StatusRunning)
	w.act("media", api.ActActPause)
	w.stands("media", api.StatusPaused)
	w.verifies("media")
	if v := w.verified("media"); v.State != api.VerificationStateFinished {
		t.Errorf("%+v", v)
	}
}

func TestVerify_when_the_job_is_deleted(t *testing.T) {
	w := newWorld(t)
	w.once("media")
	w.engine.verify = differing(1)
	w.verifies("media")
	w.verified("media")
	h := w.holds()
	w.verifies("media")
	<-h.begun
	if err := w.Delete(t.Context(), ana, "media", ""); err != nil {
		t.Fatal(err)
	}
	if got := w.alarmsOf("media"); len(got) > 0 {
		t.Errorf("%q", got)
	}
	var n int
	if err := w.folder.firm.QueryRow("SELECT (SELECT count(*) FROM verification) + (SELECT count(*) FROM verify_schedule)").Scan(&n); err != nil || n > 0 {
		t.Errorf("%d rows are left, %v", n, err)
	}
	w.once("media") // another one of this name has nothing of it
	if v, err := w.Show(t.Context(), "media"); err != nil || v.Verification != nil || v.Alarms > 0 {
		t.Errorf("%+v, %v", v, err)
	}
}

// A server that stops, or dies, breaks a verification off: it is no verdict.
func TestVerify_when_the_server_ends(t *testing.T) {
	for name, end := range map[string]func(*world){"closed": (*world).again, "crashed": (*world).crash} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.once("media")
			w.verifies("media")
			w.verified("media")
			h := w.holds()
			w.verifies("media")
			<-h.begun
			end(w)
			if v := w.verified("media"); v.State != api.VerificationStateBrokenOff || v.Verdict != "" {
				t.Errorf("%+v", v)
			}
			view, err := w.Show(t.Context(), "media")
			if s := view.Verification; err != nil || s.State != api.VerificationStateBrokenOff || s.Verdict != api.VerdictEqual {
				t.Errorf("%+v, %v", s, err)
			}
		})
	}
}

// What a verification found is an alarm also when the server died before it said so.
func TestVerify_when_the_server_dies_before_the_alarm(t *testing.T) {
	w := newWorld(t)
	w.once("media")
	w.engine.verify = differing(1)
	w.verifies("media")
	w.verified("media")
	if _, err := w.folder.firm.Exec("DELETE FROM alarm"); err != nil {
		t.Fatal(err)
	}
	w.crash()
	if got := w.alarmsOf("media"); len(got) != 1 || !strings.HasPrefix(got[0], alarm.Differences) {
		t.Errorf("%q", got)
	}
}

func TestVerify_when_it_has_a_schedule(t *testing.T) {
	scheduled(t, func(t *testing.T, w *world) {
		var ran []string
		w.engine.verify = func(context.Context, *job.Spec, engine.Options, func(watch.Difference) error) (watch.VerifyReport, error) {
			ran = append(ran, time.Now().UTC().Format("02 15:04"))
			return watch.VerifyReport{}, nil
		}
		want := func(n int) {
			t.Helper()
			if len(ran) != n {
				t.Errorf("at %s it was verified %d times, expected %d: %q", time.Now().UTC(), len(ran), n, ran)
			}
		}
		w.engine.set("media", &script{tasks: copies("a"), run: done})
		if _, err := w.Submit(t.Context(), ana, "", api.Submission{File: everyFile("media", "20h"), VerifySchedule: "0  4 * * *"}); err != nil {
			t.Fatal(err)
		}
		pass(t, 3*time.Hour)
		want(0)
		v, err := w.Show(t.Context(), "media")
		if err != nil || v.VerifySchedule == nil || v.VerifySchedule.Text != "0 4 * * *" || len(v.VerifySchedule.Next) != 3 || v.VerifySchedule.Next[0].Hour() != 4 {
			t.Errorf("%+v, %v", v.VerifySchedule, err)
		}
		pass(t, 62*time.Minute)
		want(1)
		pass(t, 48*time.Hour)
		want(3)
		w.close()
		pass(t, 72*time.Hour)
		w.open()
		pass(t, 5*time.Second)
		want(4) // what was missed counts once
		w.act("media", api.ActActPause)
		pass(t, 48*time.Hour)
		want(4)
		w.act("media", api.ActActResume)
		pass(t, 5*time.Second)
		want(5)
		other, none := "0 5 * * *", ""
		if _, err := w.Edit(t.Context(), ana, "media", api.EditRequest{Version: 1, VerifySchedule: &other}); err != nil {
			t.Fatal(err)
		}
		w.crash()
		pass(t, 24*time.Hour)
		want(6)
		if ran[5][3:] != "05:00" {
			t.Errorf("%q", ran)
		}
		if _, err := w.Edit(t.Context(), ana, "media", api.EditRequest{Version: 1, VerifySchedule: &none}); err != nil {
			t.Fatal(err)
		}
		pass(t, 48*time.Hour)
		want(6)
		if got := strings.Join(w.whats("media"), "\n"); strings.Count(got, "schedule verify done") != 6 {
			t.Error(got)
		}
	})
}

func TestVerify_when_it_is_due_and_cannot_begin(t *testing.T) {
	scheduled(t, func(t *testing.T, w *world) {
		w.engine.set("media", &script{tasks: copies("a"), run: done})
		file := strings.Replace(onceFile("media"), "path: /b", "path: /b, key: \"${env:SECRET}\"", 1)
		if _, err := w.Submit(t.Context(), ana, "", api.Submission{File: file, VerifySchedule: "0 * * * *"}); err != nil {
			t.Fatal(err)
		}
		pass(t, time.Minute)
		w.secret("SECRET", "")
		pass(t, 2*time.Hour)
		if got := strings.Join(w.whats("media"), "\n"); strings.Count(got, "schedule verify refused JOB_SECRET") != 2 {
			t.Error(got)
		}
		if got := w.alarmsOf("media"); len(got) != 1 || !strings.HasPrefix(got[0], "verification failed: JOB_SECRET") {
			t.Errorf("%q", got)
		}
		w.secret("SECRET", canary)
		pass(t, time.Hour)
		if got := w.alarmsOf("media"); len(got) > 0 {
			t.Errorf("%q", got)
		}
	})
}

// Followers hear of a verification as it begins, goes on and ends.
func TestFollow_when_a_job_is_verified(t *testing.T) {
	w := newWorld(t)
	w.once("media")
	h := w.holds()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ready, states := make(chan struct{}), make(chan []string, 1)
	go func() {
		var said []string
		_ = w.Follow(ctx, 1, "media", func(h Happening) error { // 1 is too long ago: the first is a reset
			switch h.Type {
			case "reset":
				close(ready)
			case "verification":
				v := h.Data.(interface{ MarshalJSON() ([]byte, error) })
				text, _ := v.MarshalJSON()
				for _, state := range []string{"waiting", "running", "finished"} {
					if strings.Contains(string(text), `"state":"`+state+`"`) && !slices.Contains(said, state) {
						said = append(said, state)
					}
				}
				if strings.Contains(string(text), "differences\":[") {
					t.Error("differences are told")
				}
			}
			if slices.Contains(said, "finished") {
				cancel()
			}
			return nil
		})
		states <- said
	}()
	<-ready
	w.verifies("media")
	<-h.begun
	h.let <- watch.VerifyReport{Missing: 1}
	if got := <-states; !slices.Equal(got, []string{"waiting", "running", "finished"}) {
		t.Errorf("%q", got)
	}
}
