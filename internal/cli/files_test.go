package cli

import (
	"context"
	"encoding/csv"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"godwit/internal/engine"
	"godwit/internal/job"
	"godwit/internal/watch"
)

// fakeFiles is a fake that also has the acts of file jobs.
type fakeFiles struct {
	fake
	objects []watch.Object
	report  watch.FilesReport
	diffs   []watch.Difference
	verify  watch.VerifyReport
	retried *bool
}

var _ engine.Files = fakeFiles{}

func (f fakeFiles) Retry(ctx context.Context, s *job.Spec, o Options) (watch.Outcome, error) {
	*f.retried = true
	return f.run(ctx, s, o)
}

func (f fakeFiles) Report(_ context.Context, _ *job.Spec, _ Options, failed bool, each func(watch.Object) error) (watch.FilesReport, error) {
	for _, o := range f.objects {
		if !failed || o.State == "failed" {
			if err := each(o); err != nil {
				return f.report, err
			}
		}
	}
	return f.report, nil
}

func (f fakeFiles) Verify(_ context.Context, _ *job.Spec, _ Options, each func(watch.Difference) error) (watch.VerifyReport, error) {
	for _, d := range f.diffs {
		if err := each(d); err != nil {
			return f.verify, err
		}
	}
	return f.verify, nil
}

// fileTry is one command line on the example of a file job.
func fileTry(t *testing.T, e fakeFiles, args ...string) (r *try, code int) {
	t.Helper()
	r = newTry(t, args...)
	r.file("job.yaml", fileExample)
	code = Main(r.p, testRegistry, e)
	if said := r.out.String() + r.err.String(); strings.Contains(said, canary) {
		t.Errorf("the secret is shown:\n%s", said)
	}
	return r, code
}

func has(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("lacks %q:\n%s", w, text)
		}
	}
}

// movedFiles is a file job in the middle of its work.
func movedFiles(o *watch.Files) {
	o.Began(3, "")
	o.Round(1)
	o.Ranges(64)
	for range 41 {
		o.RangeListed()
	}
	o.Listed(2_304_118, 1<<41)
	o.Ended("copied", 1_920_006, 1<<40)
	o.Ended("same", 211_440, 1<<38)
	o.Ended("failed", 3, 30)
	o.Flying(40, 1<<30)
}

func TestFileBlock_when_listing_and_after(t *testing.T) {
	w := watch.NewFiles(watch.Options{Job: "media-move"})
	movedFiles(w)
	p := w.Snapshot()
	text := strings.Join(view{width: 160}.block(p), "\n")
	has(t, text, "media-move  copying while listing", "listed    2,304,118 objects, 2 TiB so far (41 of 64 key ranges)", "copied    1,920,006 objects, 1 TiB",
		"same 211,440, 256 GiB", "failed    3: godwit report media-move --failed", "left      at least 172,669 objects", "so no % and no end yet", "40 in flight")
	if strings.Contains(text, "%   ") || strings.Contains(text, "[") {
		t.Errorf("a share is shown while listing goes on:\n%s", text)
	}
	for _, width := range []int{20, 40, 80} {
		for _, l := range (view{width: width}).block(p) {
			if cells(l) > width {
				t.Errorf("%d columns: %q has %d", width, l, cells(l))
			}
		}
	}
	line := timedLine(p)
	has(t, line, " media-move phase=listing ", `listed=">=2304118"`, `ranges="41/>=64"`, "copied=1920006", "same=211440", "failed=3", "in_flight=40")
	for range 23 {
		w.RangeListed()
	}
	w.AllRanges()
	p = w.Snapshot()
	left := 75.0
	p.Left, p.Rows.Percent = &watch.Left{Seconds: left, Low: 70, High: 90, Basis: "at this rate"}, &left
	has(t, strings.Join(view{width: 200}.block(p), "\n"), "media-move  copying", "[############....]  75 %", "left      172,669 objects", "~1 m 15 s left at this rate (1 m 10 s to 1 m 30 s)")
	has(t, timedLine(p), "listed=2304118", "pct=75", "left=75s")
}

func TestRun_when_a_file_job_ends(t *testing.T) {
	act := func(failed int64) func(context.Context, *job.Spec, Options) (watch.Outcome, error) {
		return func(_ context.Context, _ *job.Spec, o Options) (watch.Outcome, error) {
			o.Files.Round(1)
			o.Files.Ranges(1)
			o.Files.Listed(5, 50)
			o.Files.Ended("copied", 5-int(failed), 40)
			o.Files.Ended("failed", int(failed), 10)
			o.Files.AllRanges()
			o.Files.RangeListed()
			o.Files.Phase(watch.Done)
			return watch.Outcome{Run: 2, Failed: failed, Where: []string{"/archive/media"}, Next: "godwit verify job.yaml"}, nil
		}
	}
	r, code := fileTry(t, fakeFiles{fake: fake{run: act(0)}}, "run", "job.yaml")
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	has(t, r.err.String(), "done  media-move  run 2", "copied 5 objects, 40 B", "/archive/media   next: godwit verify job.yaml")
	r, code = fileTry(t, fakeFiles{fake: fake{run: act(2)}}, "run", "job.yaml", "--json")
	if code != 4 {
		t.Errorf("exit code %d", code)
	}
	has(t, r.err.String(), `"code":"OBJECTS_FAILED"`, "2 objects failed")
	all := lines(t, r.out.String())
	last := all[len(all)-1]
	if last["type"] != "summary" || last["exit_code"] != 4.0 || last["files"].(map[string]any)["failed"].(map[string]any)["objects"] != 2.0 {
		t.Errorf("summary: %v", last)
	}
	s := compile(t, OutputSchema())
	for _, l := range all {
		if err := s.Validate(l); err != nil {
			t.Errorf("%v: %v", l["type"], err)
		}
	}
	retried := false
	if _, code = fileTry(t, fakeFiles{fake: fake{run: act(0)}, retried: &retried}, "retry", "job.yaml"); code != 0 || !retried {
		t.Errorf("retry: exit code %d, retried %v", code, retried)
	}
}

func TestRun_when_the_job_file_is_read_again(t *testing.T) {
	hangups := make(chan os.Signal)
	r := newTry(t, "run", "job.yaml")
	r.file("job.yaml", fileExample)
	r.p.Hangups = hangups
	code := Main(r.p, testRegistry, fakeFiles{fake: fake{run: func(ctx context.Context, s *job.Spec, o Options) (watch.Outcome, error) {
		r.file("job.yaml", fileExample+"limits: {byts: 5}\n")
		hangups <- syscall.SIGHUP // what is wrong is not taken over
		r.err.await(func(s string) bool { return strings.Contains(s, "is not taken over") })
		r.file("job.yaml", fileExample+"limits: {bytes: 5}\n")
		hangups <- syscall.SIGHUP
		if now := <-o.Reload; now.Files.Limits.Bytes.PerSecond != 5 {
			return watch.Outcome{}, errors.New("another job file was read")
		}
		return watch.Outcome{}, nil
	}}})
	if code != 0 {
		t.Errorf("exit code %d\n%s", code, r.err.String())
	}
	has(t, r.err.String(), "limits.byts: no such key")
}

// hostile are names and reasons that must not become markup, control codes or cells.
func hostile() fakeFiles {
	at := time.Date(2026, 11, 21, 14, 0, 0, 0, time.UTC)
	return fakeFiles{
		objects: []watch.Object{
			{Key: "fine", Size: 7, Action: "copy", State: "copied", How: "put", Checked: "md5", Bytes: 7, Attempts: 1, At: &at},
			{Key: "<script>alert(1)</script>\x1b[31m,\"q\"\n", Target: "other", Size: 9, Action: "copy", State: "failed", Code: "SOURCE_REFUSED", Error: "may not be read: " + canary, Attempts: 3, At: &at},
		},
		report: watch.FilesReport{Description: "s3 → file:///archive", State: "finished", Run: 2, Started: &at, Ended: &at,
			Counts: watch.Objects{Listed: watch.Ended{Objects: 2, Bytes: 16}, Copied: watch.Ended{Objects: 1, Bytes: 7}, Failed: watch.Ended{Objects: 1, Bytes: 9}},
			Tasks:  []watch.Task{{ID: "range 1", Description: "all keys", State: "done", Objects: 2, Failed: 1}},
			Audit:  []watch.Entry{{At: at, Run: 2, What: "round 1 ends <b>"}}},
		diffs:  []watch.Difference{{Kind: watch.Different, Key: "<i>x", Reason: "md5", Source: &watch.Side{Size: 5}, Sink: &watch.Side{Size: 6}}, {Kind: watch.Missing, Key: "gone", Reason: "not there"}},
		verify: watch.VerifyReport{Description: "s3 → file:///archive", Started: at, Ended: at.Add(time.Minute), Equal: watch.Ended{Objects: 10, Bytes: 100}, By: []watch.Strength{{By: "md5", Objects: 10}}, Missing: 1, Different: 1},
	}
}

func TestReport_when_in_each_form(t *testing.T) {
	r, code := fileTry(t, hostile(), "report", "job.yaml", "--failed")
	has(t, r.out.String(), "failed ", "SOURCE_REFUSED: may not be read", "media-move  s3 → file:///archive   run 2  finished", "failed      1 object, 9 B", "key ranges  1 of 1 done", "round 1 ends")
	if code != 0 || strings.Contains(r.out.String(), "\x1b") {
		t.Errorf("exit code %d, or control codes pass:\n%q", code, r.out.String())
	}
	r, _ = fileTry(t, hostile(), "report", "job.yaml", "--json")
	s := compile(t, OutputSchema())
	kinds := map[string]int{}
	for _, l := range lines(t, r.out.String()) {
		kinds[l["type"].(string)]++
		if err := s.Validate(l); err != nil {
			t.Error(err)
		}
	}
	if kinds["object"] != 2 || kinds["task"] != 1 || kinds["audit"] != 1 || kinds["report"] != 1 || kinds["summary"] != 1 {
		t.Errorf("lines: %v", kinds)
	}
	r, _ = fileTry(t, hostile(), "report", "job.yaml", "--format", "csv")
	rows, err := csv.NewReader(strings.NewReader(r.out.String())).ReadAll()
	if err != nil || len(rows) != 3 || rows[0][0] != "key" || rows[2][0] != hostile().objects[1].Key || len(rows[2]) != len(csvColumns) {
		t.Errorf("%v %q", err, rows)
	}
	r, _ = fileTry(t, hostile(), "report", "job.yaml", "--format", "html")
	page := r.out.String()
	has(t, page, "<!doctype html>", "1 object failed", "&lt;script&gt;", "prefers-color-scheme: dark", "round 1 ends &lt;b&gt;")
	if strings.Contains(page, "<script") || strings.Contains(page, "http://") || strings.Contains(page, "https://") {
		t.Errorf("the page is not self-contained or not escaped:\n%s", page)
	}
	r, code = fileTry(t, hostile(), "report", "job.yaml", "--format", "pdf")
	if has(t, r.err.String(), "no such form", "csv, html, json, text"); code != 2 {
		t.Errorf("exit code %d", code)
	}
}

func TestReport_when_written_to_a_file(t *testing.T) {
	dir := t.TempDir()
	r, code := fileTry(t, hostile(), "report", "job.yaml", "--format", "csv", "--output", dir+"/r.csv")
	b, err := os.ReadFile(dir + "/r.csv")
	if err != nil || code != 0 || !strings.HasPrefix(string(b), "key,") || r.out.String() != "" {
		t.Errorf("exit code %d, %v, %q", code, err, b)
	}
	if r, code = fileTry(t, hostile(), "report", "job.yaml", "--output", dir+"/no/such/r"); code != 2 {
		t.Errorf("exit code %d: %s", code, r.err.String())
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("%d files are left", len(left))
	}
}

func TestVerify_when_something_differs(t *testing.T) {
	r, code := fileTry(t, hostile(), "verify", "job.yaml")
	if code != 4 {
		t.Errorf("exit code %d", code)
	}
	has(t, r.out.String(), "different ", "<i>x", "(5 in the source, 6 in the target)", "not equal  media-move", "1 missing, 1 different", "equal by md5")
	has(t, r.err.String(), "error[DIFFERENCES_FOUND]")
	r, code = fileTry(t, hostile(), "verify", "job.yaml", "--json")
	s := compile(t, OutputSchema())
	for _, l := range lines(t, r.out.String()) {
		if err := s.Validate(l); err != nil {
			t.Error(err)
		}
	}
	if has(t, r.out.String(), `"verdict":"different"`, `"type":"difference"`); code != 4 {
		t.Errorf("exit code %d", code)
	}
	file := t.TempDir() + "/v.html"
	if _, code = fileTry(t, hostile(), "verify", "job.yaml", "--format", "html", "--output", file); code != 4 {
		t.Errorf("exit code %d", code)
	}
	if b, err := os.ReadFile(file); err != nil || !strings.Contains(string(b), "&lt;i&gt;x") {
		t.Errorf("%v %s", err, b)
	}
	same := hostile()
	same.diffs, same.verify.Missing, same.verify.Different = nil, 0, 0
	if r, code = fileTry(t, same, "verify", "job.yaml"); code != 0 || !strings.Contains(r.out.String(), "equal: 10 objects, 100 B") {
		t.Errorf("exit code %d\n%s", code, r.out.String())
	}
}

func TestPlan_when_it_is_a_file_job(t *testing.T) {
	plan := watch.PlanReport{Run: 4, Edits: []watch.PlanEdit{{Field: "overwrite", From: "never", To: "always", Effect: "lists", Why: "listed anew"}}, Files: &watch.PlanFiles{
		Source: "s3://media", Sink: "/archive", Listed: watch.Ended{Objects: 12, Bytes: 1200}, Guarantee: "each object whole",
		Objects: []watch.PlanObjects{
			{Action: "copy", Reason: "new", Objects: 5, Bytes: 500, Examples: []string{"a", "b", "c"}}, {Action: "same", Objects: 6, Bytes: 600},
			{Action: "refuse", Code: "NAME_REFUSED", Reason: "too long", Objects: 1, Bytes: 100, Examples: []string{strings.Repeat("x", 500)}}, {Action: "delete", Reason: "only in the target", Objects: 2, Bytes: 2, Examples: []string{"old"}},
		}, Dangers: []string{"2 objects are deleted in /archive"}}}
	r, code := fileTry(t, fakeFiles{fake: fake{plan: func() (watch.PlanReport, error) { return plan, nil }}}, "plan", "job.yaml")
	text := r.out.String()
	has(t, text, "plan media-move (run 4)      s3://media → /archive", "~ alter    overwrite: never → always", "+ copy     5 objects, 500 B  new", "a, b, c, … and 2 more", "= same     6 objects",
		"! refuse   1 object, 100 B  NAME_REFUSED: too long", "- delete   2 objects", "5 objects to copy, 500 B; 6 the same, 2 to delete, 1 refused. Nothing has been done")
	if danger := strings.Index(text, "! danger   2 objects are deleted"); code != 0 || danger < strings.Index(text, "guarantee") {
		t.Errorf("exit code %d, or dangers do not stand last:\n%s", code, text)
	}
}

func TestPositions_when_it_is_a_file_job(t *testing.T) {
	r, code := fileTry(t, fakeFiles{}, "positions", "reset", "job.yaml", "--confirm", "media-move")
	if has(t, r.err.String(), "it has no positions"); code != 2 {
		t.Errorf("exit code %d", code)
	}
	try := newTry(t, "report", "job.yaml") // a table job
	if code := Main(try.p, testRegistry, fakeFiles{}); code != 2 || !strings.Contains(try.err.String(), "is a table job") {
		t.Errorf("exit code %d\n%s", code, try.err.String())
	}
}
