package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"godwit/internal/engine/local"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/option"
	"godwit/internal/position"
	"godwit/internal/watch"
)

// moves records a small whole run.
func moves(_ context.Context, _ *job.Spec, o Options) (watch.Outcome, error) {
	w := o.Watch
	w.Began(3, "")
	w.Phase(watch.Snapshot)
	w.TablePlanned("shop.orders", 100, 10_000, 2)
	w.ChunkStarted("shop.orders")
	w.Rows("shop.orders", 60, 6_000)
	w.FirstRow()
	w.ChunkDone("shop.orders", 60)
	w.ChunkStarted("shop.orders")
	w.Rows("shop.orders", 60, 6_000)
	w.ChunkDone("shop.orders", 60)
	w.TableDone("shop.orders")
	w.Phase(watch.Stream)
	at := position.New("a", "5", "bin.000007:8467")
	w.Streamed(7, 700, at)
	w.Committed("lake", 127, at, 1_700_000_000_000_000)
	w.Queue("lake", 1<<20, 64<<20)
	w.Head(at, 0, time.Time{})
	w.Stage("lake", "commit", 8*time.Second, 0, 2*time.Second)
	w.Phase(watch.Done)
	o.Log.Info("a line for people", "password", "x"+canary)
	return watch.Outcome{Run: 3, At: "bin.000007:8467", Where: []string{"file:///data/lake"}, Next: "godwit verify"}, nil
}

func TestRun_when_all_goes_well(t *testing.T) {
	r := newTry(t, "run", "job.yaml")
	r.engine.run = moves
	r.want(0, "", "done  shop-to-lake  run 3, complete at bin.000007:8467")
	for _, want := range []string{
		"phase=starting", "phase=done tables=1/1 rows=120/120", "changes=7", "lag=0s", "at=bin.000007:8467", "brake=lake.commit",
		"120 rows of 1 table and 7 changes", "file:///data/lake   next: godwit verify", "first row after", "info  a line for people",
	} {
		if !strings.Contains(r.err.String(), want) {
			t.Errorf("stderr lacks %q:\n%s", want, r.err.String())
		}
	}
	if r.out.String() != "" || strings.Contains(r.err.String(), "\x1b") {
		t.Errorf("stdout %q; no colours and no stdout without a terminal:\n%s", r.out.String(), r.err.String())
	}
}

func TestRun_when_json(t *testing.T) {
	r := newTry(t, "run", "job.yaml", "--json")
	r.engine.run = func(ctx context.Context, s *job.Spec, o Options) (watch.Outcome, error) {
		o.Log.Warn("look here", "n", 1)
		o.Watch.Marked("shop.x", "a statement with "+canary)
		return moves(ctx, s, o)
	}
	r.want(0, "", "")
	if r.err.String() != "" {
		t.Errorf("stderr: %q", r.err.String())
	}
	ls := lines(t, r.out.String())
	kinds := ""
	for _, l := range ls {
		if l["v"] != 1.0 || l["t"] == "" || l["job"] != "shop-to-lake" {
			t.Errorf("head of %v", l)
		}
		kinds += l["type"].(string) + " "
		validate(t, l)
	}
	if !strings.HasPrefix(kinds, "start ") || !strings.HasSuffix(kinds, " summary ") || strings.Count(kinds, "warning") != 2 || !strings.Contains(kinds, "table") {
		t.Errorf("kinds of lines: %s", kinds)
	}
	last := ls[len(ls)-1]
	if last["exit_code"] != 0.0 || last["command"] != "run" || last["first_row_ms"] == nil || last["rows"] != 120.0 || last["changes"] != 7.0 {
		t.Errorf("summary: %v", last)
	}
}

func TestRun_when_it_fails(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
		says string
	}{
		{fault.New(fault.SourceUnreachable, "no answer").At("db:3306").By(errors.New("dial tcp: refused, password " + canary)).Try("mend"), 3, "error[SOURCE_UNREACHABLE]: no answer\n  where  db:3306                            class  retry\n  cause  dial tcp: refused, password ******\n  hint   mend        more: godwit explain SOURCE_UNREACHABLE\n"},
		{fault.New(fault.FencedOff, "a newer run"), 1, "error[FENCED]: a newer run\n  class  fenced (not retried)\n  hint   more: godwit explain FENCED\n"},
		{fmt.Errorf("around: %w", fault.New(fault.JobEdit, "no")), 2, "error[JOB_EDIT]: no"},
		{errors.New("bare " + canary), 1, "error[INTERNAL]: unexpected error"},
		{fault.New(fault.ResyncNeeded, "x"), 4, "error[RESYNC_NEEDED]"},
	} {
		r := newTry(t, "run", "job.yaml")
		r.engine.run = func(context.Context, *job.Spec, Options) (watch.Outcome, error) { return watch.Outcome{}, c.err }
		r.want(c.code, "", c.says)
		if !strings.HasSuffix(strings.TrimSpace(r.err.String()), "godwit explain "+string(fault.Of(c.err).Code)) {
			t.Errorf("the error is not last on the screen:\n%s", r.err.String())
		}
		r = newTry(t, "run", "job.yaml", "--json")
		r.engine.run = func(context.Context, *job.Spec, Options) (watch.Outcome, error) { return watch.Outcome{}, c.err }
		r.want(c.code, fmt.Sprintf(`"exit_code":%d,"code":"%s"`, c.code, fault.Of(c.err).Code), `"type":"error"`)
		for _, l := range lines(t, r.err.String()) {
			validate(t, l)
		}
	}
}

func TestRun_when_tables_are_marked(t *testing.T) {
	r := newTry(t, "run", "job.yaml")
	r.engine.run = func(_ context.Context, _ *job.Spec, o Options) (watch.Outcome, error) {
		o.Watch.Marked("shop.a", "logged as a statement")
		return watch.Outcome{Marked: []watch.Mark{{Table: "shop.a", Reason: "logged as a statement"}}}, nil
	}
	r.want(4, "", "error[RESYNC_NEEDED]: finished, but 1 table needs a resync: shop.a")
	for _, want := range []string{"warning  needs a resync  table=shop.a", "not whole  shop-to-lake", "hint   godwit run " + r.path("job.yaml") + " --again"} {
		if !strings.Contains(r.err.String(), want) {
			t.Errorf("stderr lacks %q", want)
		}
	}
}

// stopping is an engine that runs until its context ends.
func stopping(began chan<- struct{}) func(context.Context, *job.Spec, Options) (watch.Outcome, error) {
	return func(ctx context.Context, _ *job.Spec, o Options) (watch.Outcome, error) {
		o.Watch.Phase(watch.Stream)
		close(began)
		<-ctx.Done()
		return watch.Outcome{Run: 1, Stopped: true}, nil
	}
}

func TestRun_when_signalled_once(t *testing.T) {
	for s, code := range map[os.Signal]int{os.Interrupt: 130, syscall.SIGTERM: 143} {
		for _, flag := range []string{"--json", "--no-input"} {
			r := newTry(t, "run", "job.yaml", flag)
			sig, began := make(chan os.Signal), make(chan struct{})
			r.p.Signals = sig
			r.engine.run = stopping(began)
			go func() { <-began; sig <- s }()
			r.want(code, "", "")
			if flag == "--json" {
				ls := lines(t, r.out.String())
				if last := ls[len(ls)-1]; last["exit_code"] != float64(code) || last["signal"] != s.String() {
					t.Errorf("summary %v", last)
				}
			} else if !strings.Contains(r.err.String(), "stopping: finishing the commit") || !strings.Contains(r.err.String(), "stopped  shop-to-lake") {
				t.Errorf("stderr: %s", r.err.String())
			}
		}
	}
}

func TestRun_when_signalled_twice(t *testing.T) {
	r := newTry(t, "run", "job.yaml")
	sig, began, release, ended := make(chan os.Signal), make(chan struct{}), make(chan struct{}), make(chan struct{})
	r.p.Signals = sig
	r.engine.run = func(ctx context.Context, _ *job.Spec, _ Options) (watch.Outcome, error) {
		defer close(ended)
		close(began)
		<-release // does not care for ctx
		return watch.Outcome{}, nil
	}
	go func() { <-began; sig <- syscall.SIGTERM; sig <- syscall.SIGTERM }()
	r.want(143, "", "")
	close(release)
	<-ended
}

func TestRun_when_an_error_follows_the_signal(t *testing.T) {
	r := newTry(t, "run", "job.yaml")
	sig, began := make(chan os.Signal), make(chan struct{})
	r.p.Signals = sig
	r.engine.run = func(ctx context.Context, _ *job.Spec, _ Options) (watch.Outcome, error) {
		close(began)
		<-ctx.Done()
		return watch.Outcome{}, fault.New(fault.TargetFull, "full")
	}
	go func() { <-began; sig <- os.Interrupt }()
	r.want(3, "", "error[TARGET_FULL]")
}

func TestRun_when_asked_how_it_stands(t *testing.T) {
	r := newTry(t, "run", "job.yaml")
	sig, began := make(chan os.Signal), make(chan struct{})
	r.p.Signals = sig
	r.engine.run = func(ctx context.Context, s *job.Spec, o Options) (watch.Outcome, error) {
		moves(ctx, s, o)
		return stopping(began)(ctx, s, o)
	}
	go func() { <-began; sig <- syscall.SIGUSR1; sig <- os.Interrupt }()
	r.want(130, "", " sinks     lake  committed ")
	if !strings.Contains(r.err.String(), "brake     lake: commit 80 % of the time") {
		t.Error(r.err.String())
	}
}

func TestRun_when_read_again(t *testing.T) {
	ran := false
	run := func(_ context.Context, _ *job.Spec, o Options) (watch.Outcome, error) {
		ran = o.Again
		return watch.Outcome{}, nil
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{nil, 2, "error[CONFIRM_NEEDED]: this reads every table again"},
		{[]string{"--confirm", "shop"}, 2, "--confirm shop is not the job's name"},
		{[]string{"--confirm", "shop-to-lake"}, 0, ""},
	} {
		ran = false
		r := newTry(t, append([]string{"run", "job.yaml", "--again"}, c.args...)...)
		r.engine.run = run
		r.want(c.code, "", c.says)
		if ran != (c.code == 0) {
			t.Errorf("%v: ran %v", c.args, ran)
		}
	}
}

func TestRun_when_options_are_given(t *testing.T) {
	var got Options
	run := func(_ context.Context, _ *job.Spec, o Options) (watch.Outcome, error) {
		got = o
		return watch.Outcome{}, nil
	}
	r := newTry(t, "run", "job.yaml", "--state", "/x/y", "--memory", "64MiB", "--parallel", "3")
	r.engine.run = run
	r.want(0, "", "")
	if got.State != "/x/y" || got.Memory != 64<<20 || got.Parallel != 3 || got.Again {
		t.Errorf("%+v", got)
	}
	r = newTry(t, "run", "job.yaml")
	r.engine.run = run
	r.p.Env = append(r.p.Env, "XDG_STATE_HOME=/s")
	r.want(0, "", "")
	if got.State != "/s/godwit" || got.Memory != 128<<20 || got.Parallel != 0 {
		t.Errorf("%+v", got)
	}
	for _, args := range [][]string{{"--memory", "1"}, {"--memory", "x"}, {"--parallel", "65"}, {"--progress-every", "10"}, {"--progress-every", "10ms"}, {"--color", "red"}} {
		r = newTry(t, append([]string{"run", "job.yaml"}, args...)...)
		r.want(2, "", "error[USAGE]: "+args[0])
	}
}

func TestLog_when_the_folder_is_known(t *testing.T) {
	r := newTry(t, "run", "job.yaml")
	r.engine.run = func(_ context.Context, _ *job.Spec, o Options) (watch.Outcome, error) {
		o.Log.Info("before", "secret", canary)
		if err := o.OpenLog(r.dir); err != nil {
			return watch.Outcome{}, err
		}
		o.Log.With("table", "shop.a").WithGroup("g").Debug("after "+canary, "err", errors.New("says \""+canary+"\""))
		return watch.Outcome{}, fault.New(fault.TargetFull, "full").By(errors.New(canary))
	}
	r.want(3, "", "info  before  secret=******")
	b, err := os.ReadFile(r.path(local.LogName))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), canary) {
		t.Errorf("the log shows the secret:\n%s", b)
	}
	var whats []string
	for _, l := range lines(t, string(b)) {
		whats = append(whats, l["what"].(string))
		if l["what"] == "after ******" && (l["table"] != "shop.a" || l["g.err"] != `says "******"` || l["level"] != "debug") {
			t.Errorf("%v", l)
		}
	}
	if got := strings.Join(whats, "|"); got != "run begins|before|after ******|run ended" {
		t.Errorf("log lines: %s", got)
	}
	if st, _ := os.Stat(r.path(local.LogName)); st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", st.Mode())
	}
	if strings.Contains(r.err.String(), "after") {
		t.Error("debug lines are for the file only")
	}
}

func TestLog_when_it_grows(t *testing.T) {
	dir := t.TempDir()
	var l local.Log
	if err := l.Open(dir); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	line := strings.Repeat("x", 1<<20-1)
	for range 40 {
		l.Line(line)
	}
	for _, name := range []string{local.LogName, local.LogName + ".1"} {
		st, err := os.Stat(dir + "/" + name)
		if err != nil || st.Size() > local.LogBytes || st.Size() < 1<<20 {
			t.Errorf("%s: %v %v", name, st, err)
		}
	}
}

func TestJobFile_when_it_is_wrong(t *testing.T) {
	r := newTry(t, "run", "job.yaml")
	r.file("job.yaml", strings.Replace(example, "every: 30s", "evry: 30s", 1))
	name := r.path("job.yaml")
	r.want(2, "", "error[JOB_FIELD]: "+name+`:9:92: sinks[0].files.roll.evry: no such key
  9 |     files: {url: "file:///data/lake", format: csv, layout: changelog, roll: {size: 128MiB, evry: 30s}}
    | `+strings.Repeat(" ", 91)+`^^^^ did you mean "every"? known: every, rows, size
`)
	r = newTry(t, "check", "job.yaml")
	r.file("job.yaml", strings.NewReplacer("every: 30s", "evry: 30s", "password:", "pasword:", "${env:SHOP_PASSWORD}", canary).Replace(example))
	r.want(2, "", "pasword: ******}\n")
	r = newTry(t, "plan", "job.yaml", "--json")
	r.file("job.yaml", strings.Replace(example, "mysql:", "mysq:", 1))
	r.want(2, `"type":"summary"`, `"hint":"did you mean \"mysql\"? known: mysql"`)
	for _, l := range append(lines(t, r.out.String()), lines(t, r.err.String())...) {
		validate(t, l)
	}
	newTry(t, "run", "/nowhere/job.yaml").want(2, "", "no such file or directory")
	r = newTry(t, "run", "/")
	r.want(2, "", "it is a folder")
}

func TestWords_when_they_are_wrong(t *testing.T) {
	for _, c := range []struct{ args, says string }{
		{"rnu job.yaml", `no such command "rnu"` + "\n  class  user (not retried)\n  hint   did you mean \"run\"?"},
		{"frobnicate", "hint   known: check, completion, connectors, dead-letters, explain, help, init, job, plan, positions, preview, repair, report, retry, run, schema, serve, status, tables, template, token, verify, version"},
		{"run", "godwit run needs the job file"},
		{"run a b", `takes the job file and nothing else, not also "b"`},
		{"run job.yaml --stat x", `did you mean "--state"?`},
		{"positions", "known: reset, show"},
		{"positions shwo job.yaml", `did you mean "show"?`},
		{"explain SOURCE_LOTS", `did you mean "SOURCE_LOST"?`},
		{"status a b", "one job file at most"},
		{"repair job.yaml --confirm shop", "--confirm shop is not the job's name"},
		{"help frob", `godwit: no such command "frob"`},
		{"help chekc", `did you mean "check"?`},
		{"help job lits", `did you mean "list"?`},
		{"job dead-letters shop --limit -1", "--limit -1: expected 0 or more"},
		{"schema x", "godwit schema takes no argument, not \"x\""},
	} {
		newTry(t, strings.Fields(c.args)...).want(2, "", c.says)
	}
}

func TestHelp_when_asked(t *testing.T) {
	for _, args := range []string{"", "--help", "run --help", "help check", "positions show --help", "schema -h", "completion bash", "version", "version --json", "schema --output", "serve --help", "init --help", "preview --help", "connectors --help", "job --help", "tables --help", "token --help",
		"job submit -h", "job list -h", "job show -h", "job watch -h", "job check -h", "job plan -h", "job edit -h", "job versions -h", "job diff -h", "job rollback -h", "job pause -h",
		"job resync -h", "job delete -h", "job reset -h", "job tasks -h", "job positions -h", "job audit -h", "job alarms -h", "tables pause -h", "token create -h", "token list -h", "token revoke -h"} {
		r := newTry(t, strings.Fields(args)...)
		r.want(0, "", "")
		if strings.Contains(args, "help") || args == "" {
			out := r.out.String()
			if at := strings.Index(out, "Examples:"); at < 0 || at > strings.Index(out, "Usage:") || strings.Count(out[at:strings.Index(out, "Usage:")], "\n  godwit") != 2 {
				t.Errorf("%q: help does not lead with two examples:\n%s", args, out)
			}
		}
	}
}

func TestHelp_when_a_command_has_others(t *testing.T) {
	newTry(t, "tables", "--help").want(0, "Usage:\n  godwit tables JOB [flags]\n  godwit tables COMMAND\n", "")
	newTry(t, "positions", "--help").want(0, "Usage:\n  godwit positions COMMAND\n", "")
}

func TestExplain_when_the_code_is_known(t *testing.T) {
	for _, i := range fault.Catalogue {
		newTry(t, "explain", strings.ToLower(string(i.Code))).want(0, string(i.Code)+": "+i.Short, "")
	}
}

func TestCheck_when_something_does_not_fit(t *testing.T) {
	report := watch.CheckReport{Findings: []watch.Finding{
		{On: "source", Name: "binlog format", Detail: "ROW"},
		{On: "source", Name: "retention", Detail: "2 h", Warn: true, Fault: fault.New(fault.SourceSettings, "the log is short").Try("SET GLOBAL expire_logs_days = 3")},
		{On: "lake", Name: "target", Detail: "/data\tlake", Fault: fault.New(fault.TargetRefused, "cannot write").By(errors.New("permission\ndenied to " + canary)).Try("chmod u+w /data/lake")},
	}}
	r := newTry(t, "check", "job.yaml")
	r.engine.check = func(context.Context) (watch.CheckReport, error) { return report, nil }
	r.want(3, "ok\tsource\tbinlog format\tROW\nwarning\tsource\tretention\t2 h\tSOURCE_SETTINGS\tthe log is short\tSET GLOBAL expire_logs_days = 3\t\nfailed\tlake\ttarget\t/data lake\tTARGET_REFUSED\tcannot write\tchmod u+w /data/lake\tpermission denied to ******\n",
		"error[CHECK_FAILED]: 1 of 3 checks did not pass")
	r = newTry(t, "check", "job.yaml", "--json")
	r.engine.check = func(context.Context) (watch.CheckReport, error) { return report, nil }
	r.want(3, `"result":"failed"`, `"code":"CHECK_FAILED"`)
	for _, l := range lines(t, r.out.String()) {
		validate(t, l)
	}
	report.Findings = report.Findings[:2]
	r = newTry(t, "check", "job.yaml")
	r.engine.check = func(context.Context) (watch.CheckReport, error) { return report, nil }
	r.want(0, "warning\t", "")
	r = newTry(t, "check", "job.yaml")
	sig := make(chan os.Signal, 1)
	sig <- os.Interrupt
	r.p.Signals = sig
	r.engine.check = func(ctx context.Context) (watch.CheckReport, error) {
		<-ctx.Done()
		return watch.CheckReport{}, fault.New(fault.SourceUnreachable, "broken off").By(ctx.Err())
	}
	r.want(130, "", "")
}

func TestFinding_when_people_read_it(t *testing.T) {
	got := findingLines(fault.New(fault.TargetUnreachable, "db:1 does not answer").By(errors.New("connection\nrefused")).Try("start it"))
	want := []string{"           TARGET_UNREACHABLE: db:1 does not answer", "           cause  connection refused", "           mend   start it"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestPlan_when_shown(t *testing.T) {
	columns := []string{"_op text", "id bigint", "a text", "b text", "c text", "d text", "e text", "f text", "g text"}
	report := watch.PlanReport{At: "bin.1:4", KeptFor: 273600, Run: 4, Takes: 31, Pace: 16 << 20,
		Warnings: []watch.Warning{{What: "the log is short", Hint: "SET GLOBAL x = 1"}},
		Edits:    []watch.PlanEdit{{Field: "until", From: "head", Effect: "applies", Why: "at the next start"}, {Field: "tables", From: "a", To: "b", Effect: "refused", Why: "planned before"}},
		Tables: []watch.PlanTable{
			{Table: "shop.orders", Rows: 1_200_000, Bytes: 310 << 20, Chunks: 5, Key: []string{"id"}, State: "new", Targets: []watch.PlanTarget{{Sink: "lake", Target: "shop/orders/", Columns: columns, Guarantee: "exactly-once", Reason: "records are created exclusively"}}},
			{Table: "shop.log", Rows: -1, Bytes: -1, Chunks: 1, State: "partly", Note: "no key", Targets: []watch.PlanTarget{{Sink: "lake", Target: "shop/log/", Columns: columns[:2], Rules: []string{"without note", "pw = '" + canary + "'"}, Guarantee: "exactly-once", Reason: "records are created exclusively"}}},
			{Table: "shop.done", Rows: 1, Bytes: 1, Chunks: 1, State: "done"},
		}}
	r := newTry(t, "plan", "job.yaml")
	r.engine.plan = func() (watch.PlanReport, error) { return report, nil }
	r.want(0, `plan shop-to-lake (run 4)      read at bin.1:4, log kept for 3 d 4 h
 ~ alter    until: head → none (at the next start)
 + read     shop.orders  ~1.20 M rows, ~310 MiB, 5 chunks, key id
             → lake  shop/orders/  9 columns: _op text, id bigint, a text, b text, c text, d text, e text, f text, … (--all)
 > go on    shop.log  size unknown, 1 chunk, no key: one chunk, read again from its beginning after a stop
             note no key
             → lake  shop/log/  2 columns: _op text, id bigint
               by rules: without note; pw = '******'
 = 1 table done before, not read again (--all)
 guarantee   lake exactly-once for 2 tables: records are created exclusively
 ! refused  tables: a → b (planned before)
 ! warning   the log is short
             mend SET GLOBAL x = 1
2 tables to read, ~1.20 M rows, ~310 MiB, ~31 s at 16 MiB/s. Nothing has been done: godwit run `, "")
	changes := watch.PlanReport{At: "bin.1:4", Run: 1, Tables: []watch.PlanTable{{Table: "shop.orders", Rows: 9, Bytes: 9, State: "changes",
		Targets: []watch.PlanTarget{{Sink: "lake", Target: "shop/orders/", Columns: columns[:2], Guarantee: "exactly-once", Reason: "it is"}}}}}
	r = newTry(t, "plan", "job.yaml")
	r.engine.plan = func() (watch.PlanReport, error) { return changes, nil }
	r.want(0, `plan shop-to-lake (run 1)      read at bin.1:4
 ~ follow   shop.orders  its changes alone
             → lake  shop/orders/  2 columns: _op text, id bigint
 guarantee   lake exactly-once for 1 table: it is
1 table to follow, no rows to read. Nothing has been done: godwit run `, "")
	unlimited := report
	unlimited.KeptFor, unlimited.Reach = 0, 7200
	r = newTry(t, "plan", "job.yaml")
	r.engine.plan = func() (watch.PlanReport, error) { return unlimited, nil }
	r.want(0, "read at bin.1:4, log reaches back 2 h, no limit is set\n", "")
	r = newTry(t, "plan", "job.yaml", "--json")
	r.engine.plan = func() (watch.PlanReport, error) { return report, nil }
	r.want(0, `"type":"plan"`, "")
	for _, l := range lines(t, r.out.String()) {
		validate(t, l)
	}
}

func TestStatus_when_shown(t *testing.T) {
	since := time.Date(2026, 11, 21, 14, 0, 0, 0, time.UTC)
	p := watch.New(watch.Options{Job: "shop-to-lake"}).Snapshot()
	report := watch.StatusReport{Jobs: []watch.JobStatus{{Job: "shop-to-lake", State: "failed", Run: 3, Since: &since, Error: "TARGET_FULL: full", Progress: &p}}}
	for _, args := range [][]string{{"status"}, {"status", "job.yaml"}, {"status", "--json"}} {
		r := newTry(t, args...)
		r.engine.status = func(s *job.Spec) (watch.StatusReport, error) {
			if (s == nil) == (args[len(args)-1] == r.path("job.yaml")) {
				t.Errorf("%v: spec %v", args, s)
			}
			return report, nil
		}
		want := "shop-to-lake\tfailed\t3\t2026-11-21T14:00:00Z\t\tTARGET_FULL: full\n"
		if args[len(args)-1] == "--json" {
			want = `"state":"failed"`
		}
		r.want(0, want, "")
		if args[len(args)-1] == "--json" {
			for _, l := range lines(t, r.out.String()) {
				validate(t, l)
			}
		}
	}
}

func TestPositions_when_shown_and_reset(t *testing.T) {
	r := newTry(t, "positions", "show", "job.yaml")
	r.engine.positions = func() (watch.PositionReport, error) {
		return watch.PositionReport{Positions: []watch.SinkPosition{{Sink: "lake", Task: "stream", Claim: "run 3 attempt 1", At: "bin.1:4", Note: "snapshot complete"}}}, nil
	}
	r.want(0, "lake\tstream\tbin.1:4\t\trun 3 attempt 1\tsnapshot complete\n", "")
	resets := 0
	for _, c := range []struct {
		args []string
		code int
	}{{nil, 2}, {[]string{"--confirm", "x"}, 2}, {[]string{"--confirm", "shop-to-lake"}, 0}} {
		r = newTry(t, append([]string{"positions", "reset", "job.yaml"}, c.args...)...)
		r.engine.reset = func() error { resets++; return nil }
		r.want(c.code, "", "")
	}
	if resets != 1 {
		t.Errorf("%d resets", resets)
	}
}

func TestRun_when_the_engine_panics(t *testing.T) {
	r := newTry(t, "run", "job.yaml")
	r.engine.run = func(_ context.Context, _ *job.Spec, o Options) (watch.Outcome, error) {
		if err := o.OpenLog(r.dir); err != nil {
			return watch.Outcome{}, err
		}
		panic("a defect")
	}
	r.want(1, "", "error[INTERNAL]: panic: a defect")
	if b, err := os.ReadFile(r.path(local.LogName)); err != nil || !strings.Contains(string(b), "cli_test.go") {
		t.Errorf("the log has no stack: %v\n%s", err, b)
	}
}

func TestFlags_when_wrong_with_json(t *testing.T) {
	r := newTry(t, "run", "job.yaml", "--stat", "x", "--json")
	r.want(2, `"type":"summary"`, `"type":"error"`)
}

func TestMasker_when_secrets_are_in_other_forms(t *testing.T) {
	text := strings.Replace(example, `"${env:SHOP_PASSWORD}"`, `'p"ä/x y&z'`, 1)
	spec, ps := job.Parse("job.yaml", []byte(text), testRegistry, option.Resolver{})
	if len(ps) > 0 {
		t.Fatal(ps.Err())
	}
	hide := option.Masker(spec.Values())
	for _, s := range []string{`p"ä/x y&z`, fmt.Sprintf("%q", `p"ä/x y&z`), "mysql://u:" + url.PathEscape(`p"ä/x y&z`) + "@h", "?p=" + url.QueryEscape(`p"ä/x y&z`)} {
		if got := hide("a " + s + " b"); strings.Contains(got, "x") || !strings.Contains(got, "******") {
			t.Errorf("%s becomes %s", s, got)
		}
	}
	spec, ps = job.Parse("job.yaml", []byte(strings.Replace(example, `"${env:SHOP_PASSWORD}"`, `godwit`, 1)), testRegistry, option.Resolver{})
	if len(ps) > 0 {
		t.Fatal(ps.Err())
	}
	if got := option.Masker(spec.Values())("godwit run"); got != "godwit run" {
		t.Errorf("a password that is a public word makes %q", got)
	}
}
