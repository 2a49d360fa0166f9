package cli

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/creack/pty"
	"pgregory.net/rapid"

	"godwit/internal/api"
)

func TestJobList_when_shown(t *testing.T) {
	th := newThere(t)
	th.page = 2 // there are three
	th.try("job", "list").want(0, `nightly	failed	running	2026-11-21T13:55:20Z	failed	tables	mysql shop → pg	1				1	TARGET_FULL
media	running	paused	2026-11-21T13:05:20Z	changing	files	s3 media → folder	1				0	
shop-to-lake	running	running	2026-11-21T14:03:50Z	ok	tables	mysql shop → lake	2	100		1.2	0	
`, "")
	if got := len(th.requests("GET")); got != 2 {
		t.Errorf("%d requests for 2 pages", got)
	}
	ls := th.json(0, lineJob, "job", "list")
	if len(ls) != 3 || ls[0]["name"] != "nightly" || ls[0]["standing"].(map[string]any)["error"].(map[string]any)["code"] != "TARGET_FULL" {
		t.Errorf("%v", ls)
	}
	r := th.try("job", "list", "--limit", "2")
	r.want(0, "media\t", "these are the first 2; there are more")
	if strings.Contains(r.out.String(), "shop-to-lake") {
		t.Error("more than --limit")
	}
	th.try("job", "list", "--q", "nothing").want(0, "", "")
}

func TestJobList_when_filtered(t *testing.T) {
	th := newThere(t)
	th.try("job", "list", "--status", "failed,retrying", "--group", "g", "--sort=-since", "--needs-you", "--kind", "tables", "--desired", "running").want(0, "", "")
	want := "/api/v1/jobs?desired=running&group=g&kind=tables&limit=1000&needs_you=true&sort=-since&status=failed&status=retrying&template_behind=false"
	if got := th.requests("GET"); len(got) != 1 || got[0] != want {
		t.Errorf("asked %q, want %q", got, want)
	}
	for _, args := range [][]string{{"--status", "runing"}, {"--desired", "off"}, {"--kind", "table"}, {"--sort", "speed"}, {"--limit", "-1"}} {
		th.try(append([]string{"job", "list"}, args...)...).want(2, "", "error[USAGE]: "+args[0])
	}
	th.try("job", "list", "--status", "runing").want(2, "", `did you mean "running"?`)
}

func TestJobList_when_on_a_terminal(t *testing.T) {
	out, code := onTerminal(t, newThere(t).try("job", "list", "--color", "never"), pty.Winsize{Rows: 24, Cols: 160}, "", "")
	want := ""
	for _, row := range [][]any{
		{"NAME", "STATUS", "SINCE", "WAY", "PROGRESS", "RATE", "NOTE"},
		{"nightly", "failed", "10 m ago", "mysql shop → pg", "", "", "TARGET_FULL: the disk is full"},
		{"media", "running → paused", "1 h ago", "s3 media → folder", "", "", ""},
		{"shop-to-lake", "running", "1 m 30 s ago", "mysql shop → lake", "lag 1.2 s", "1.20 k changes/s", ""},
	} {
		want += strings.TrimRight(fmt.Sprintf("%-14s%-18s%-14s%-19s%-11s%-18s%s", row...), " ") + "\n"
	}
	if got := strings.ReplaceAll(out, "\r\n", "\n"); code != 0 || got != want {
		t.Errorf("%d\n%s\nwant\n%s", code, got, want)
	}
}

func TestListing_when_of_any_width(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		jobs := someJobs()
		jobs[0].Name, jobs[1].Standing.Error.What = rapid.String().Draw(t, "name"), rapid.String().Draw(t, "what")
		n := rapid.IntRange(5, 200).Draw(t, "width")
		for _, l := range jobListing(jobs, now).lines(n, colours{rapid.Bool().Draw(t, "colour")}) {
			if cells(l) > n || strings.ContainsAny(l, "\n\r\t") {
				t.Fatalf("%d columns of %d: %q", cells(l), n, l)
			}
		}
	})
}

func TestJobShow_when_shown(t *testing.T) {
	th := newThere(t)
	th.try("job", "show", "shop-to-lake").want(0, "shop-to-lake\trunning\trunning\t", "")
	if ls := th.json(0, lineJob, "job", "show", "media"); len(ls) != 1 || ls[0]["wish"].(map[string]any)["reason"] != "the disk is moved" {
		t.Errorf("%v", ls)
	}
	v := view{width: 150}
	got := strings.Join(jobLines(someJobs()[1], v, now), "\n")
	for _, want := range []string{"nightly  failed   since ", "(10 m ago)   version 1", "  way       mysql shop → pg", "  wanted    running, 1 h ago", "  tasks     1: 1 failed",
		"  schedule  0 3 * * *; next 2026-11-22T03:05:20Z", "  alarms    1 hold: godwit job alarms nightly", "error[TARGET_FULL]: the disk is full", "hint   free space"} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %q:\n%s", want, got)
		}
	}
	got = strings.Join(jobLines(someJobs()[0], view{width: 300}, now), "\n")
	if !strings.Contains(got, " stream    lag 1.2 s") || strings.Contains(got, "Ctrl-C") {
		t.Errorf("the block of a job elsewhere:\n%s", got)
	}
}

func TestJobSubmit_when_taken_in(t *testing.T) {
	th := newThere(t)
	r := th.try("job", "submit", "job.yaml", "--paused", "--group", "shop", "--note", "for the lake", "--schedule", "0 3 * * *")
	r.file("job.yaml", strings.Replace(example, "shop-to-lake", "fresh", 1))
	r.want(0, "", "fresh is taken in as version 1 and wanted paused. Next: godwit job watch fresh")
	sent := th.sent()
	if sent["desired"] != "paused" || sent["group"] != "shop" || sent["note"] != "for the lake" || sent["schedule"] != "0 3 * * *" || !strings.Contains(sent["file"].(string), "${env:SHOP_PASSWORD}") {
		t.Errorf("sent %v", sent)
	}
	r = th.try("job", "submit", "job.yaml", "--json", "--key", "once")
	r.file("job.yaml", strings.Replace(example, "shop-to-lake", "other", 1))
	r.want(0, `"type":"job"`, "")
	if th.keys[0] == "" || th.keys[0] == "once" || th.keys[1] != "once" {
		t.Errorf("keys %q", th.keys)
	}
	th.try("job", "submit", "job.yaml").want(2, "", `error[NAME_TAKEN]: a job "shop-to-lake" lives here already
  where  the place                          class  user (not retried)
  cause  the cause of it
  hint   mend it        more: godwit explain NAME_TAKEN
`)
	th.try("job", "submit", "/nowhere/job.yaml").want(2, "", "the job file cannot be read")
}

func TestJobSubmit_when_the_file_is_wrong(t *testing.T) {
	for _, word := range []string{"submit", "check"} {
		th := newThere(t)
		r := th.try("job", word, "job.yaml")
		r.file("job.yaml", strings.Replace(example, "every: 30s", "evry: 30s", 1))
		r.want(2, "", "error[JOB_FIELD]: "+r.path("job.yaml")+":9:92: ")
		r = th.try("job", word, "job.yaml", "--json")
		r.file("job.yaml", strings.Replace(example, "every: 30s", "evry: 30s", 1))
		r.want(2, `"exit_code":2,"code":"JOB_FIELD"`, `"where":"`+r.path("job.yaml")+`:9:92"`)
		for _, l := range lines(t, r.err.String()) {
			validate(t, l)
		}
	}
	th := newThere(t)
	r := th.try("job", "submit", "job.yaml")
	r.file("job.yaml", "evry: 1")
	r.want(2, "", `sinks[0].files.roll.evry: no such key
  hint   did you mean "every"?
error[JOB_MISSING]: `+r.path("job.yaml")+`: name is missing
`)
}

// TestJobSubmit_when_the_answer_breaks says that a submission is sent again, and as
// the same one.
func TestJobSubmit_when_the_answer_breaks(t *testing.T) {
	for what, breaks := range breakages {
		th := newThere(t)
		var tries atomic.Int32
		th.before = func(w http.ResponseWriter, r *http.Request) bool {
			first := tries.Add(1) == 1
			if first {
				breaks(w)
			}
			return first
		}
		r := th.try("job", "submit", "job.yaml")
		r.file("job.yaml", strings.Replace(example, "shop-to-lake", "fresh", 1))
		r.want(0, "", "fresh is taken in")
		if len(th.keys) != 2 || th.keys[0] != th.keys[1] {
			t.Errorf("%s: keys %q", what, th.keys)
		}
	}
}

func TestJobCheck_when_systems_are_asked(t *testing.T) {
	th := newThere(t)
	th.try("job", "check", "job.yaml").want(0, "", "the file is right. Next: godwit job check")
	th.try("job", "check", "job.yaml", "--deep").want(3, `ok	source	binlog format	ROW
warning	source	retention	2 h	SOURCE_SETTINGS	the log is short	keep it longer	
failed	lake	target	/data	TARGET_REFUSED	cannot write	chmod u+w /data	
`, "error[CHECK_FAILED]: 1 of 3 checks did not pass")
	if ls := th.json(3, "check", "job", "check", "job.yaml", "--deep"); len(ls) != 3 || ls[2]["result"] != "failed" {
		t.Errorf("%v", ls)
	}
}

func TestJobPlan_when_shown(t *testing.T) {
	th := newThere(t)
	r := th.try("job", "plan", "job.yaml")
	r.want(0, ` ~ taken over  sinks[0].files.roll.every: 30s → 60s (from the next file on)
plan shop-to-lake (run 4)      read at bin.1:4
 + read     shop.orders  ~1.20 k rows, ~1 MiB, 1 chunk, key id
1 table to read, ~1.20 k rows, ~1 MiB. Nothing has been done: godwit job edit shop-to-lake `+r.path("job.yaml")+"\n", "")
	if ls := th.json(0, "plan", "job", "plan", "job.yaml"); len(ls) != 1 || ls[0]["run"] != 4.0 {
		t.Errorf("%v", ls)
	}
}

func TestJobEdit_when_confirmed(t *testing.T) {
	th := newThere(t)
	th.try("job", "edit", "shop-to-lake", "job.yaml", "--preview").want(0, "sinks[0].files.roll.every\t30s\t60s\tapplies\ttaken over\tfrom the next file on\n", "")
	th.try("job", "edit", "shop-to-lake", "job.yaml").want(2, "", "error[CONFIRM_NEEDED]: this makes 1 change of the job file live")
	if th.jobs["shop-to-lake"].Version != 2 {
		t.Fatal("edited without a yes")
	}
	th.try("job", "edit", "shop-to-lake", "job.yaml", "--yes", "--reason", "smaller").want(0, "", "shop-to-lake has version 3 now. Back: godwit job rollback shop-to-lake 2")
	if sent := th.sent(); sent["version"] != 2.0 || sent["reason"] != "smaller" || sent["preview"] != nil || sent["schedule"] != nil {
		t.Errorf("sent %v", sent)
	}
	th.try("job", "edit", "shop-to-lake", "job.yaml", "--yes", "--version", "2").want(2, "", "error[VERSION_CHANGED]: the job has version 3, not 2")
	ls := th.json(0, lineEdit, "job", "edit", "shop-to-lake", "job.yaml", "--yes", "--schedule", "")
	if len(ls) != 1 || ls[0]["version"] != 4.0 || ls[0]["job"] != "shop-to-lake" {
		t.Errorf("%v", ls)
	}
	if sent := th.sent(); sent["schedule"] != "" {
		t.Errorf("an empty schedule is none: %v", sent)
	}
	if sent := th.sent(); sent["group"] != nil || sent["note"] != nil {
		t.Errorf("what is not given stays: %v", sent)
	}
	th.try("job", "edit", "shop-to-lake", "job.yaml", "--yes", "--group", "", "--note", "new").want(0, "", "")
	if sent := th.sent(); sent["group"] != "" || sent["note"] != "new" {
		t.Errorf("an empty group is none: %v", sent)
	}
	r := th.try("job", "edit", "shop-to-lake", "job.yaml", "--yes")
	r.file("job.yaml", strings.Replace(example, "changelog", "append", 1))
	r.want(2, "\trefused\trefused\t", "error[JOB_EDIT]: sinks[0].files.layout: it was written so before")
	if th.jobs["shop-to-lake"].Version != 5 {
		t.Error("a refused edit was made")
	}
	th.try("job", "edit", "shop-to-lake").want(2, "", "needs its new file after the name of a job")
	th.try("job", "edit", "none", "job.yaml", "--yes").want(2, "", "error[JOB_UNKNOWN]")
}

func TestJobEdit_when_it_asks(t *testing.T) {
	for typed, code := range map[string]int{"y\n": 0, "YES\n": 0, "\n": 2, "n\n": 2, "\x04": 2} {
		th := newThere(t)
		out, got := onTerminal(t, th.try("job", "edit", "shop-to-lake", "job.yaml"), pty.Winsize{Rows: 24, Cols: 120}, "[y/N]:", typed)
		if live := th.jobs["shop-to-lake"].Version == 3; got != code || live != (code == 0) {
			t.Errorf("typed %q: exit code %d, live %v\n%s", typed, got, live, out)
		}
		if !strings.Contains(out, " ~ taken over  sinks[0].files.roll.every: 30s → 60s (from the next file on)") {
			t.Errorf("what it does is not shown:\n%s", out)
		}
	}
}

func TestJobVersions_when_looked_at_and_gone_back_to(t *testing.T) {
	th := newThere(t)
	th.try("job", "versions", "shop-to-lake").want(0, "2\t2026-11-21T13:05:20Z\talice\tsinks[0].files.roll.every\tsmaller files\n1\t2026-11-19T14:05:20Z\tcli\t\t\n", "")
	if ls := th.json(0, lineVersion, "job", "versions", "shop-to-lake"); len(ls) != 2 || ls[0]["by"] != "alice" {
		t.Errorf("%v", ls)
	}
	want := `--- shop-to-lake version 1
+++ shop-to-lake version 2
@@ -6,4 +6,4 @@
 until: head
 sinks:
   - name: lake
-    files: {url: "file:///data/lake", format: csv, layout: changelog, roll: {size: 128MiB, every: 30s}}
+    files: {url: "file:///data/lake", format: csv, layout: changelog, roll: {size: 128MiB, every: 60s}}
`
	for _, args := range []string{"", "1", "1 2"} {
		r := th.try(append([]string{"job", "diff", "shop-to-lake"}, strings.Fields(args)...)...)
		r.want(0, "", "")
		if r.out.String() != want {
			t.Errorf("diff %s:\n%s\nwant\n%s", args, r.out.String(), want)
		}
	}
	if ls := th.json(0, lineDiff, "job", "diff", "shop-to-lake"); len(ls) != 1 || ls[0]["diff"] != want {
		t.Errorf("%v", ls)
	}
	th.try("job", "diff", "shop-to-lake", "2", "2").want(0, "", "the versions are equal")
	th.try("job", "diff", "shop-to-lake", "x").want(2, "", `"x" is no version`)
	th.try("job", "diff", "shop-to-lake", "1", "9").want(2, "", "error[JOB_UNKNOWN]: no version 9")
	th.try("job", "rollback", "shop-to-lake", "1", "--yes", "--reason", "slower").want(0, "", "has version 3 now")
	if sent := th.sent(); sent["back_to"] != 1.0 || sent["reason"] != "slower" || sent["file"] != nil {
		t.Errorf("sent %v", sent)
	}
	th.try("job", "rollback", "shop-to-lake", "0").want(2, "", `"0" is no version`)
}

func TestUnified_when_of_any_texts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]string{"a\n", "b\n", "c\n", "\n", "end"}), 0, 40), func(l []string) string { return strings.Join(l, "") })
		a, b := text.Draw(t, "a"), text.Draw(t, "b")
		var before, after strings.Builder
		for _, e := range diffLines(splitLines(a), splitLines(b)) {
			if e.sign != '+' {
				before.WriteString(e.line)
			}
			if e.sign != '-' {
				after.WriteString(e.line)
			}
		}
		if before.String() != strings.Join(splitLines(a), "") || after.String() != strings.Join(splitLines(b), "") {
			t.Fatalf("the way from %q to %q goes elsewhere", a, b)
		}
		if (unified("a", "b", a, b) == "") != (a == b) {
			t.Fatal("a diff of equal texts, or none of others")
		}
	})
	long := strings.Repeat("x\n", 3000)
	if d := unified("a", "b", long, strings.Repeat("y\n", 3000)); strings.Count(d, "\n-") < 2999 || strings.Count(d, "\n+") < 3000 {
		t.Error("texts that differ in everything are not replaced")
	}
	got := unified("a", "b", "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n", "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n")
	if want := "--- a\n+++ b\n@@ -1,3 +1,4 @@\n+0\n 1\n 2\n 3\n@@ -9,4 +10,3 @@\n 9\n 10\n 11\n-12\n"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestJobActs_when_of_one_job(t *testing.T) {
	th := newThere(t)
	for word, says := range map[string]string{
		"pause": "asked to pause. Next: godwit job watch nightly; back: godwit job resume nightly", "resume": "back: godwit job pause nightly",
		"retry": "asked to retry. Next: godwit job watch nightly\n", "stop": "back: godwit job start nightly", "start": "back: godwit job stop nightly",
	} {
		th.try("job", word, "nightly", "--reason", "why not").want(0, "", says)
		if sent := th.sent(); sent["act"] != word || sent["reason"] != "why not" {
			t.Errorf("sent %v", sent)
		}
	}
	if ls := th.json(0, lineJob, "job", "pause", "nightly"); len(ls) != 1 || ls[0]["name"] != "nightly" {
		t.Errorf("%v", ls)
	}
	th.try("job", "retry", "shop-to-lake").want(2, "", "error[NOT_NOW]: nothing of it has failed")
	th.try("job", "pause", "none").want(2, "", "error[JOB_UNKNOWN]")
	th.try("job", "pause").want(2, "", "needs names of jobs, a filter or --all")
	th.try("job", "pause", "nightly", "--all").want(2, "", "names or filters, not both")
}

func TestJobActs_when_of_several(t *testing.T) {
	th := newThere(t)
	th.try("job", "pause", "nightly", "none", "media").want(4, "nightly\tdone\t\nnone\tfailed\tJOB_UNKNOWN: no such job\nmedia\tskipped\tpaused already\n",
		"1 done, 1 skipped, 1 failed\nerror[JOB_UNKNOWN]: 1 of 3 jobs failed; the first is none: no such job")
	th.try("job", "pause", "none", "nobody").want(2, "", "2 of 2 jobs failed")
	th.try("job", "start", "nightly", "media").want(0, "", "2 done, 0 skipped, 0 failed")
	ls := th.json(4, lineAct, "job", "stop", "nightly", "none")
	if len(ls) != 2 || ls[1]["outcome"] != "failed" || ls[1]["job"] != "none" || ls[1]["act"] != "stop" {
		t.Errorf("%v", ls)
	}
}

func TestJobActs_when_chosen(t *testing.T) {
	th := newThere(t)
	th.try("job", "pause", "--all").want(2, "media\tskipped\tpaused already\nnightly\twould pause\t\nshop-to-lake\twould pause\t\n", "error[CONFIRM_NEEDED]: this is to pause 2 jobs")
	if sent := th.sent(); sent["preview"] != true || !reflect.DeepEqual(sent["filter"], map[string]any{}) {
		t.Errorf("sent %v", sent)
	}
	th.try("job", "pause", "--all", "--yes", "--reason", "tonight").want(0, "nightly\tdone\t\nshop-to-lake\tdone\t\n", "2 done")
	if sent := th.sent(); !reflect.DeepEqual(sent["names"], []any{"nightly", "shop-to-lake"}) || sent["filter"] != nil || sent["preview"] != nil || sent["reason"] != "tonight" {
		t.Errorf("not what was shown: %v", sent)
	}
	th.try("job", "pause", "--group", "archive").want(0, "media\tskipped", "no job is chosen that this would change")
	th.try("job", "stop", "--group", "archive", "--status", "off").want(2, "", "--status off")
	out, code := onTerminal(t, th.try("job", "stop", "--group", "archive"), pty.Winsize{Rows: 24, Cols: 100}, "[y/N]:", "y\n")
	if code != 0 || !strings.Contains(out, "would stop") || !strings.Contains(out, "1 done") {
		t.Errorf("%d\n%s", code, out)
	}
}

func TestJobDelete_when_confirmed(t *testing.T) {
	th := newThere(t)
	th.try("job", "delete", "nightly").want(2, "", "error[CONFIRM_NEEDED]: this stops 1 job (nightly) and forgets file, versions and state")
	if got := th.requests("DELETE"); len(got) != 0 {
		t.Fatalf("deleted without a yes: %v", got)
	}
	th.try("job", "delete", "nightly", "--confirm", "--reason", "moved away").want(0, "", "nightly is gone; what it wrote stays")
	if got := th.requests("DELETE"); !slices.Equal(got, []string{"/api/v1/jobs/nightly?reason=moved+away"}) {
		t.Errorf("%q", got)
	}
	th.try("job", "delete", "nightly", "media", "--confirm").want(0, "", "2 done")
	if ls := th.json(0, lineAct, "job", "delete", "media", "--confirm"); len(ls) != 1 || ls[0]["outcome"] != "done" {
		t.Errorf("%v", ls)
	}
	th.try("job", "delete", "none", "--confirm").want(2, "", "error[JOB_UNKNOWN]")
}

func TestJobReset_when_confirmed(t *testing.T) {
	th := newThere(t)
	th.try("job", "reset", "nightly").want(2, "", "say so with --confirm nightly")
	th.try("job", "reset", "nightly", "--confirm", "media").want(2, "", "--confirm media is not the job's name")
	th.try("job", "reset", "nightly", "--confirm", "nightly").want(0, "", "reads everything again when it starts: godwit job start nightly")
	if got := th.requests("DELETE"); !slices.Equal(got, []string{"/api/v1/jobs/nightly/positions?confirm=nightly"}) {
		t.Errorf("%q", got)
	}
}

func TestTables_when_listed_and_acted_on(t *testing.T) {
	th := newThere(t)
	th.page = 2
	th.try("tables", "shop-to-lake").want(0, "shop.items\tfinished\t\t2026-11-21T14:04:20Z\t120\t100\t\t1\t\t\t\t0\nshop.log\tpaused\t\t2026-11-21T14:04:20Z\t\t\t\t0\t\tlogged as a statement\t\t0\n"+
		"shop.orders\trunning\t\t2026-11-21T14:04:20Z\t500\t1000\t84100\t0\tread again\t\t\t0\n", "")
	th.try("tables", "shop-to-lake", "--q", "orders", "--status", "running").want(0, "", "")
	if got := th.requests("GET"); got[len(got)-2] != "/api/v1/jobs/shop-to-lake/tables?limit=1000&q=orders&status=running" {
		t.Errorf("%q", got)
	}
	out, _ := onTerminal(t, th.try("tables", "shop-to-lake", "--color", "never"), pty.Winsize{Rows: 24, Cols: 140}, "", "")
	for _, want := range []string{"120 rows, more than estimated (100)", "unknown", "needs a resync: logged as a statement", "500 of ~1 k rows", "84.1 k rows/s", "apart: read again"} {
		if !strings.Contains(out, want) {
			t.Errorf("lacks %q:\n%s", want, out)
		}
	}
	if ls := th.json(0, lineTables, "tables", "shop-to-lake"); len(ls) != 3 || ls[0]["name"] != "shop.items" {
		t.Errorf("%v", ls)
	}
	th.try("tables", "pause", "nightly", "shop.a", "shop.b", "--reason", "r").want(0, "", "2 tables of nightly: asked to pause. Next: godwit job watch nightly\n")
	if sent := th.sent(); sent["act"] != "pause" || !reflect.DeepEqual(sent["tables"], []any{"shop.a", "shop.b"}) {
		t.Errorf("sent %v", sent)
	}
	th.try("tables", "retry", "nightly").want(2, "", "needs tables of it after the name of a job")
	th.try("tables").want(2, "", "godwit tables needs the name of a job")
	th.try("job", "resync", "nightly", "shop.a").want(0, "", "1 table of nightly: asked to resync")
	if sent := th.sent(); sent["act"] != string(api.ActActResync) {
		t.Errorf("sent %v", sent)
	}
}

func TestJobLooks_when_shown(t *testing.T) {
	th := newThere(t)
	for _, c := range []struct {
		args, kind, want string
		n                int
	}{
		{"job tasks shop-to-lake", lineTask, "copy/shop.orders/1\tcopy\tshop.orders\tretrying\tpaused\t2026-11-21T14:04:20Z\t2\tSOURCE_UNREACHABLE: no answer\n", 3},
		{"job positions shop-to-lake", "position", "lake\tstream\tbin.1:4\t\trun 3\tsnapshot complete\n", 1},
		{"job audit", lineAudit, "2026-11-21T14:04:20Z\talice\tshop-to-lake\tedited\tdone\t\t1\t2\tsmaller files\tr2\n", 2},
		{"job alarms nightly", lineAlarm, "a1\tfailed\tnightly\t\t2026-11-21T13:55:20Z\t\t\tthe job has failed\tgodwit job retry nightly\n", 1},
	} {
		th.try(strings.Fields(c.args)...).want(0, c.want, "")
		if ls := th.json(0, c.kind, strings.Fields(c.args)...); len(ls) != c.n {
			t.Errorf("%s: %d lines: %v", c.args, len(ls), ls)
		}
		out, code := onTerminal(t, th.try(strings.Fields(c.args)...), pty.Winsize{Rows: 24, Cols: 160}, "", "")
		if code != 0 || strings.Contains(out, "\t") {
			t.Errorf("%s: %d\n%s", c.args, code, out)
		}
	}
	th.try("job", "audit", "shop-to-lake", "--q", "edit", "--limit", "5").want(0, "", "")
	if got := th.requests("GET"); got[len(got)-1] != "/api/v1/audit?job=shop-to-lake&limit=5&q=edit" {
		t.Errorf("%q", got[len(got)-1])
	}
	th.try("job", "positions", "none").want(2, "", "error[JOB_UNKNOWN]")
}

func TestJobAlarms_when_silenced(t *testing.T) {
	th := newThere(t)
	th.try("job", "alarms", "--silence", "a1", "--for", "2h", "--reason", "a disk comes").want(0, "",
		"a1 (the job has failed) is silent until 2026-11-21T16:05:20Z or until it is over. Back: godwit job alarms --end-silence a1\n")
	if sent := th.sent(); sent["seconds"] != 7200.0 || sent["reason"] != "a disk comes" {
		t.Errorf("sent %v", sent)
	}
	if ls := th.json(0, lineAlarm, "job", "alarms", "--silence", "a1", "--for", "30d"); len(ls) != 1 || ls[0]["silenced_by"] != "alice" {
		t.Errorf("%v", ls)
	}
	th.try("job", "alarms", "--end-silence", "a1").want(0, "", "a1 (the job has failed) is repeated again while it holds\n")
	if sent := th.sent(); sent["seconds"] != 0.0 {
		t.Errorf("sent %v", sent)
	}
	th.try("job", "alarms", "--silence", "a2", "--for", "1h").want(2, "", "error[ALARM_UNKNOWN]")
	for args, says := range map[string]string{
		"--silence a1": "--silence and --for belong together", "--for 2h": "--silence and --for belong together", "--end-silence a1 --for 2h": "belong together",
		"--silence a1 --end-silence a1 --for 1h": "exclude each other", "--silence a1 --for 1ms": "at least 1s", "--silence a1 --for soon": "at least 1s",
		"--reason x": "--reason is that of a silence", "nightly --silence a1 --for 2h": "by its id alone", "--silence= --for 2h": "expected the id",
	} {
		th.try(append([]string{"job", "alarms"}, strings.Fields(args)...)...).want(2, "", says)
	}
}

func TestJobCompletion_when_a_server_is_there(t *testing.T) {
	th := newThere(t)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"job", "show", ""}, "media\nnightly\nshop-to-lake\n:4\n"},
		{[]string{"job", "pause", "media", "n"}, "nightly\n:4\n"},
		{[]string{"tables", "sh"}, "shop-to-lake\n:4\n"},
		{[]string{"job", "list", "--status", "f"}, "failed\nfinished\n:4\n"},
		{[]string{"job", "list", "--status", "failed,ret"}, "failed,retrying\n:4\n"},
		{[]string{"token", "create", "x", "--role", ""}, "read\noperate\n:4\n"},
		{[]string{"job", "submit", ""}, "yaml\nyml\n:8\n"},
	} {
		r := th.try(append([]string{"__complete"}, c.args...)...)
		r.want(0, "", "")
		got := strings.Split(strings.TrimSpace(r.out.String()), "\n")
		want := strings.Split(strings.TrimSpace(c.want), "\n")
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%v: %q, want %q", c.args, got, want)
		}
	}
	gone := newTry(t, "__complete", "job", "show", "")
	gone.want(0, ":4\n", "")
}
