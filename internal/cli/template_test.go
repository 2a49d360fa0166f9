package cli

import (
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"godwit/internal/api"
)

const shards = `template: shards
parameters: [{name: shard, help: two digits}, {name: host, default: db}]
name: shop-${param:shard}
`

func (th *there) template(w http.ResponseWriter, name string) (api.Template, bool) {
	if name != "shards" {
		problem(w, 404, "TEMPLATE_UNKNOWN", "there is no template of this name")
		return api.Template{}, false
	}
	return api.Template{Name: name, Version: 2, Note: "all of them", Created: *moment(time.Hour), Updated: *moment(time.Hour), UpdatedBy: "alice", Jobs: 3, Behind: 1, File: shards,
		Parameters: []api.Parameter{{Name: "shard", Required: true, Help: "two digits"}, {Name: "host", Default: "db"}}}, true
}

func (th *there) ListTemplates(w http.ResponseWriter, _ *http.Request) {
	t, _ := th.template(w, "shards")
	t.File = ""
	th.ok(w, 200, map[string]any{"items": []api.Template{t}})
}

func (th *there) ShowTemplate(w http.ResponseWriter, _ *http.Request, name string) {
	if t, ok := th.template(w, name); ok {
		th.ok(w, 200, t)
	}
}

func (th *there) SubmitTemplate(w http.ResponseWriter, r *http.Request) {
	var in api.TemplateSubmission
	json.NewDecoder(r.Body).Decode(&in)
	if strings.Contains(in.File, "${param:nope}") {
		problem(w, 422, "JOB_PARAM", "the template has problems", api.FileProblem{Code: "JOB_PARAM", What: "${param:nope} is not declared", Line: 3, Column: 7, Field: "name"})
		return
	}
	t, _ := th.template(w, "shards")
	t.Version = 1
	th.ok(w, 201, t)
}

func (th *there) EditTemplate(w http.ResponseWriter, r *http.Request, name string) {
	t, ok := th.template(w, name)
	if !ok {
		return
	}
	var e api.TemplateEdit
	json.NewDecoder(r.Body).Decode(&e)
	if e.Version != t.Version {
		problem(w, 409, "VERSION_CHANGED", "version 2 is the newest")
		return
	}
	out := api.TemplateResult{Version: 3}
	if e.File == "" && e.BackTo == 0 {
		out.Version = 2
	}
	for _, n := range []string{"shop-01", "shop-02", "shop-03", "shop-04", "shop-05", "shop-06"} {
		i := api.TemplateItem{Name: n, Outcome: api.TemplateItemOutcomeDone, Version: 2, Changes: []api.Change{everyChange}}
		if out.Done++; e.Preview {
			i.Outcome, out.Done = api.TemplateItemOutcomeWould, 0
		}
		out.Results = append(out.Results, i)
	}
	out.Results = append(out.Results, api.TemplateItem{Name: "shop-same", Outcome: api.TemplateItemOutcomeSkipped, Why: "nothing changes for it"})
	out.Skipped = 1
	if !strings.Contains(e.File, "# gentle") {
		out.Failed = 1
		out.Results = append(out.Results, api.TemplateItem{Name: "shop-odd", Outcome: api.TemplateItemOutcomeFailed, Error: &api.Fault{Class: api.FaultClassUser, Code: "JOB_EDIT", What: "the layout cannot change", Hint: "take it back"}})
	}
	th.ok(w, 200, out)
}

func (th *there) MakeJobs(w http.ResponseWriter, r *http.Request, name string) {
	if _, ok := th.template(w, name); !ok {
		return
	}
	var in api.TemplateJobs
	json.NewDecoder(r.Body).Decode(&in)
	out := api.TemplateResult{Version: 2}
	for i, v := range in.Values {
		item := api.TemplateItem{Item: i + 1, Name: "shop-" + v["shard"], Outcome: api.TemplateItemOutcomeDone}
		switch {
		case v["shard"] == "":
			item.Name, item.Outcome, item.Error = "", api.TemplateItemOutcomeFailed, &api.Fault{Class: api.FaultClassUser, Code: "JOB_PARAM", What: "the parameter shard has no value"}
			out.Failed++
		case v["shard"] == "old":
			item.Outcome, item.Why = api.TemplateItemOutcomeSkipped, "it lives already, made with these values"
			out.Skipped++
		case in.Preview:
			item.Outcome = api.TemplateItemOutcomeWould
		default:
			out.Done++
		}
		out.Results = append(out.Results, item)
	}
	th.ok(w, 200, out)
}

func (th *there) DeleteTemplate(w http.ResponseWriter, _ *http.Request, name string, _ api.DeleteTemplateParams) {
	if _, ok := th.template(w, name); ok {
		w.WriteHeader(http.StatusNoContent)
	}
}

func (th *there) ListTemplateVersions(w http.ResponseWriter, _ *http.Request, name string) {
	if _, ok := th.template(w, name); ok {
		th.ok(w, 200, map[string]any{"items": []api.Version{{Version: 2, At: *moment(time.Hour), By: "alice", Reason: "more"}, {Version: 1, At: *moment(48 * time.Hour), By: "bob"}}})
	}
}

func (th *there) ShowTemplateVersion(w http.ResponseWriter, _ *http.Request, name string, version int64) {
	if _, ok := th.template(w, name); ok {
		th.ok(w, 200, api.Version{Version: version, At: *moment(time.Hour), File: shards + strings.Repeat("parallel: 3\n", int(version-1))})
	}
}

// with writes a file beside the command line and puts its path in for its name.
func (r *try) with(name, text string) *try {
	r.t.Helper()
	r.file(name, text)
	for i, a := range r.p.Args {
		if a == name {
			r.p.Args[i] = r.path(name)
		}
	}
	return r
}

func TestTemplate_when_looked_at(t *testing.T) {
	th := newThere(t)
	th.try("template", "list").want(0, "shards\t2\t3\t1\t2026-11-21T13:05:20Z\tshard, host\tall of them\n", "")
	if ls := th.json(0, lineTemplate, "template", "list"); len(ls) != 1 || ls[0]["behind"] != 1.0 {
		t.Errorf("%v", ls)
	}
	r := th.try("template", "show", "shards")
	if r.want(0, "", ""); r.out.String() != shards {
		t.Errorf("not the text alone:\n%s", r.out.String())
	}
	out, _ := onTerminal(t, th.try("template", "show", "shards", "--color", "never"), pty.Winsize{Rows: 24, Cols: 120}, "", "")
	for _, want := range []string{"shards  version 2, updated 1 h ago by alice", "3 jobs, 1 behind: godwit template jobs shards --behind", "parameter shard, required: two digits", `parameter host, default "db"`, "name: shop-${param:shard}"} {
		if !strings.Contains(out, want) {
			t.Errorf("lacks %q:\n%s", want, out)
		}
	}
	th.try("template", "show", "none").want(2, "", "error[TEMPLATE_UNKNOWN]")
	th.try("template", "show").want(2, "", "needs the name of a template")
	th.try("template", "versions", "shards").want(0, "2\t2026-11-21T13:05:20Z\talice\tmore\n1\t", "")
	if ls := th.json(0, lineTemplateVersion, "template", "versions", "shards"); len(ls) != 2 || ls[0]["template"] != "shards" {
		t.Errorf("%v", ls)
	}
	th.try("template", "diff", "shards").want(0, "+++ shards version 2\n", "")
	if ls := th.json(0, lineTemplateDiff, "template", "diff", "shards", "1", "3"); len(ls) != 1 || strings.Count(ls[0]["diff"].(string), "\n+parallel") != 2 {
		t.Errorf("%v", ls)
	}
	th.try("template", "diff", "shards", "x").want(2, "", `"x" is no version`)
}

func TestTemplateJobs_when_listed(t *testing.T) {
	th := newThere(t)
	j := th.jobs["nightly"]
	j.Template, j.TemplateVersion, j.TemplateBehind, j.Values = "shards", 1, true, api.Values{"shard": "07", "host": "db"}
	j.TemplateError = &api.Fault{Class: api.FaultClassUser, Code: "JOB_EDIT", What: "it cannot"}
	th.jobs = map[string]api.Job{"nightly": j}
	th.try("template", "jobs", "shards", "--behind").want(0, "nightly\tfailed\t1\thost=db shard=07\tbehind: JOB_EDIT: it cannot\n", "")
	if got := th.requests("GET"); !strings.Contains(got[len(got)-1], "template=shards&template_behind=true") {
		t.Errorf("%q", got)
	}
	if ls := th.json(0, lineJob, "template", "jobs", "shards"); len(ls) != 1 || !reflect.DeepEqual(ls[0]["values"], map[string]any{"shard": "07", "host": "db"}) {
		t.Errorf("%v", ls)
	}
	th.try("template", "jobs", "none").want(2, "", "error[TEMPLATE_UNKNOWN]")
	out, _ := onTerminal(t, th.try("job", "show", "nightly", "--color", "never"), pty.Winsize{Rows: 24, Cols: 120}, "", "")
	if !strings.Contains(out, "template  shards version 1; behind: JOB_EDIT: it cannot") || !strings.Contains(out, "values    host=db shard=07") {
		t.Error(out)
	}
	th.try("job", "list", "--template", "shards").want(0, "", "")
	th.try("job", "pause", "--template", "shards", "--yes").want(0, "", "")
	if got := th.requests("GET"); !strings.Contains(got[len(got)-1], "template=shards") {
		t.Errorf("%q", got)
	}
}

func TestTemplateSubmit_when_taken_and_refused(t *testing.T) {
	th := newThere(t)
	th.try("template", "submit", "shards.yaml", "--note", "n").with("shards.yaml", shards).want(0, "", "template shards is kept as version 1. Next: godwit job submit --template shards --set shard=…")
	if sent := th.sent(); sent["file"] != shards || sent["note"] != "n" {
		t.Errorf("%v", sent)
	}
	r := th.try("template", "submit", "shards.yaml").with("shards.yaml", strings.Replace(shards, ":shard}", ":nope}", 1))
	r.want(2, "", "error[JOB_PARAM]: "+r.path("shards.yaml")+":3:7: name: ${param:nope} is not declared")
	th.try("template", "submit", "gone.yaml").want(2, "", "cannot be read")
}

func TestTemplateEdit_when_confirmed(t *testing.T) {
	th := newThere(t)
	edit := func(text string, more ...string) *try {
		return th.try(append([]string{"template", "edit", "shards", "shards.yaml"}, more...)...).with("shards.yaml", shards+text)
	}
	edit("# gentle", "--preview").want(0, "shop-01\twould\tsinks[0].files.roll.every\t\n", "")
	edit("", "--preview").want(4, "shop-odd\tfailed\t\tJOB_EDIT: the layout cannot change\n", "1 of 8 jobs failed; the first is shop-odd: the layout cannot change")
	edit("").want(2, "", "error[CONFIRM_NEEDED]: this makes version 3 of template shards live in 6 jobs; 1 job would refuse it and go on as before")
	if got := len(th.requests("PUT")); got != 3 {
		t.Fatalf("%d edits", got)
	}
	edit("# gentle", "--yes", "--reason", "smaller").want(0, "", "template shards has version 3: 6 jobs took it over, nothing changed for 1, 0 are behind. Back: godwit template rollback shards 2")
	if sent := th.sent(); sent["version"] != 2.0 || sent["reason"] != "smaller" || sent["preview"] != nil {
		t.Errorf("%v", sent)
	}
	edit("", "--yes").want(4, "", "1 are behind")
	edit("", "--yes", "--version", "1").want(2, "", "error[VERSION_CHANGED]")
	th.try("template", "edit", "shards", "--yes").want(4, "", "template shards has version 2: 6 jobs took it over")
	if sent := th.sent(); sent["file"] != nil || sent["back_to"] != nil {
		t.Errorf("%v", sent)
	}
	th.try("template", "rollback", "shards", "1", "--yes").want(4, "", "has version 3")
	if sent := th.sent(); sent["back_to"] != 1.0 {
		t.Errorf("%v", sent)
	}
	th.try("template", "rollback", "shards", "none").want(2, "", `"none" is no version`)
	r := th.try("template", "edit", "shards", "shards.yaml", "--yes", "--json").with("shards.yaml", shards)
	r.want(4, "", "")
	var items, ends int
	for _, l := range lines(t, r.out.String()) {
		validate(t, l)
		if l["type"] == lineTemplateItem && l["act"] == "edit" {
			items++
		}
		if l["type"] == lineTemplateEdit && l["failed"] == 1.0 && l["version"] == 3.0 {
			ends++
		}
	}
	if items != 8 || ends != 1 {
		t.Errorf("%d items, %d ends:\n%s", items, ends, r.out.String())
	}
}

func TestTemplateEdit_when_it_asks(t *testing.T) {
	for typed, code := range map[string]int{"y\n": 4, "n\n": 2} {
		th := newThere(t)
		r := th.try("template", "edit", "shards", "shards.yaml", "--color", "never").with("shards.yaml", shards)
		out, got := onTerminal(t, r, pty.Winsize{Rows: 24, Cols: 140}, "[y/N]:", typed)
		if got != code || len(th.requests("PUT")) != map[int]int{4: 2, 2: 1}[code] {
			t.Errorf("%q: exit code %d, %q\n%s", typed, got, th.requests("PUT"), out)
		}
		for _, want := range []string{"would edit  6 jobs (shop-01, shop-02, shop-03, shop-04, shop-05, …)", " ~ taken over  sinks[0].files.roll.every: 30s → 60s (from the next file on)",
			"skipped  1 job (shop-same): nothing changes for it", "failed  1 job (shop-odd): JOB_EDIT: the layout cannot change"} {
			if !strings.Contains(out, want) {
				t.Errorf("lacks %q:\n%s", want, out)
			}
		}
	}
}

func TestTemplateDelete_when_confirmed(t *testing.T) {
	th := newThere(t)
	th.try("template", "delete", "shards").want(2, "", "error[CONFIRM_NEEDED]: this forgets the template shards")
	th.try("template", "delete", "shards", "--confirm", "--reason", "moved").want(0, "", "template shards is gone")
	if got := th.requests("DELETE"); !slices.Equal(got, []string{"/api/v1/templates/shards?reason=moved"}) {
		t.Errorf("%q", got)
	}
	if ls := th.json(0, lineTemplateGone, "template", "delete", "shards", "--confirm"); len(ls) != 1 || ls[0]["name"] != "shards" {
		t.Errorf("%v", ls)
	}
}

func TestJobSubmit_when_of_a_template(t *testing.T) {
	th := newThere(t)
	th.try("job", "submit", "--template", "shards", "--set", "shard=07", "--set", "host=a=b", "--group", "g", "--paused").want(0, "", "shop-07 is taken in. Next: godwit template jobs shards")
	sent := th.sent()
	if !reflect.DeepEqual(sent["values"], []any{map[string]any{"shard": "07", "host": "a=b"}}) || sent["group"] != "g" || sent["desired"] != "paused" {
		t.Errorf("%v", sent)
	}
	th.try("job", "submit", "--template", "shards", "--set", "shard=old").want(0, "", "shop-old: it lives already")
	th.try("job", "submit", "--template", "shards").want(2, "", "error[JOB_PARAM]: the parameter shard has no value")
	th.try("job", "submit", "--template", "none", "--set", "shard=1").want(2, "", "error[TEMPLATE_UNKNOWN]")
	th.try("job", "submit", "--template", "shards", "job.yaml").want(2, "", "takes a job file or --template")
	th.try("job", "submit", "--set", "a=b").want(2, "", "and none is named")
	th.try("job", "submit").want(2, "", "needs the job file")
	for _, set := range []string{"shard", "=x"} {
		th.try("job", "submit", "--template", "shards", "--set", set).want(2, "", "expected NAME=VALUE")
	}
	th.try("job", "submit", "--template", "shards", "--set", "a=1", "--set", "a=2").want(2, "", "each name once")
	if ls := th.json(0, lineTemplateItem, "job", "submit", "--template", "shards", "--set", "shard=07"); len(ls) != 1 || ls[0]["name"] != "shop-07" || ls[0]["act"] != "submit" {
		t.Errorf("%v", ls)
	}
}

func TestJobSubmit_when_of_many_values(t *testing.T) {
	th := newThere(t)
	submit := func(name, text string, more ...string) *try {
		return th.try(append([]string{"job", "submit", "--template", "shards", "--values", name}, more...)...).with(name, text)
	}
	csv := "shard,host\n07,\"a,b\"\n08,\nold,x\n"
	submit("v.csv", csv, "--preview").want(0, "shop-07\twould\t\t\nshop-08\twould\t\t\nshop-old\tskipped\t\tit lives already, made with these values\n", "")
	submit("v.csv", csv).want(2, "shop-07\twould", "error[CONFIRM_NEEDED]: this makes 2 jobs from template shards")
	submit("v.csv", csv, "--yes", "--set", "host=common", "--set", "z=1").want(0, "", "2 made, 1 lived already, 0 failed. Next: godwit template jobs shards")
	want := []any{map[string]any{"shard": "07", "host": "a,b", "z": "1"}, map[string]any{"shard": "08", "host": "common", "z": "1"}, map[string]any{"shard": "old", "host": "x", "z": "1"}}
	if sent := th.sent(); !reflect.DeepEqual(sent["values"], want) || sent["preview"] != nil {
		t.Errorf("%v", sent)
	}
	submit("v.jsonl", "{\"shard\": \"07\", \"n\": 7, \"b\": true}\n\n{\"host\": \"\"}\n", "--yes").want(4, "number 2\tfailed", "1 of 2 jobs failed; the first is number 2: the parameter shard has no value")
	want = []any{map[string]any{"shard": "07", "n": "7", "b": "true"}, map[string]any{"host": ""}}
	if sent := th.sent(); !reflect.DeepEqual(sent["values"], want) {
		t.Errorf("%v", sent)
	}
	submit("v.csv", "shard\nold\n").want(0, "", "all of them live already")
	many := "shard\n" + strings.Repeat("1\n", setsAtOnce+1)
	before := len(th.requests("POST"))
	submit("v.csv", many, "--preview").want(0, "", "")
	if got := len(th.requests("POST")) - before; got != 2 {
		t.Errorf("%d requests", got)
	}
	for text, says := range map[string]string{
		"": "no values", "shard\n": "no values", "a,a\n1,2\n": "there twice", "a,\n1,2\n": "is empty", "a,b\n1\n": "wrong number of fields", "a\n\"x\n": "quote", "a\n" + strings.Repeat("1\n", setsMost+1): "more than 10000 jobs", strings.Repeat("x", 1<<20+1): "more than 1MiB",
	} {
		submit("v.csv", text).want(2, "", says)
	}
	for text, says := range map[string]string{"[1]\n": "line 1: expected an object", "{\"a\": 1}\n{\"a\": {}}\n": `line 2: "a" is no text`, "{\"a\": null}": "is no text", "null\n": "expected an object"} {
		submit("v.jsonl", text).want(2, "", says)
	}
	submit("v.txt", "a\n").want(2, "", "neither in .csv nor in .jsonl")
	submit("v.csv", "\ufeffshard\r\n07\r\n", "--yes").want(0, "", "is taken in")
	if sent := th.sent(); !reflect.DeepEqual(sent["values"], []any{map[string]any{"shard": "07"}}) {
		t.Errorf("%v", sent)
	}
	out, code := onTerminal(t, submit("v.csv", csv, "--color", "never"), pty.Winsize{Rows: 24, Cols: 120}, "[y/N]:", "y\n")
	if code != 0 || !strings.Contains(out, "would make  2 jobs (shop-07, shop-08)") || !strings.Contains(out, "2 made") {
		t.Errorf("%d\n%s", code, out)
	}
}

func TestJobEdit_when_of_a_template(t *testing.T) {
	th := newThere(t)
	th.try("job", "edit", "nightly", "--set", "host=x", "--yes").want(0, "", "nightly has version 2 now")
	if sent := th.sent(); !reflect.DeepEqual(sent["values"], map[string]any{"host": "x"}) || sent["file"] != nil || sent["template"] != nil {
		t.Errorf("%v", sent)
	}
	th.try("job", "edit", "nightly", "--template", "shards", "--set", "shard=1", "--yes").want(0, "", "has version 3")
	if sent := th.sent(); sent["template"] != "shards" {
		t.Errorf("%v", sent)
	}
	th.try("job", "edit", "nightly", "job.yaml", "--detach", "--yes").want(0, "", "has version 4")
	if sent := th.sent(); sent["detach"] != true || sent["file"] != example {
		t.Errorf("%v", sent)
	}
	th.try("job", "edit", "nightly", "--detach", "--yes").want(0, "", "has version 5")
	th.try("job", "rollback", "nightly", "1", "--detach", "--yes").want(0, "", "has version 6")
	if sent := th.sent(); sent["detach"] != true || sent["back_to"] != 1.0 {
		t.Errorf("%v", sent)
	}
	th.try("job", "edit", "nightly", "job.yaml", "--set", "a=b").want(2, "", "not also")
	th.try("job", "edit", "nightly").want(2, "", "needs its new file")
}

func TestTemplateCompletion_when_a_server_is_there(t *testing.T) {
	th := newThere(t)
	for _, args := range [][]string{{"template", "show", "s"}, {"template", "edit", ""}, {"job", "submit", "--template", "sh"}, {"job", "list", "--template", ""}, {"job", "edit", "nightly", "--template", ""}} {
		th.try(append([]string{"__complete"}, args...)...).want(0, "shards\n:4\n", "")
	}
	th.try("__complete", "job", "submit", "--values", "").want(0, "csv\njsonl\n:8\n", "")
	newTry(t, "__complete", "template", "show", "").want(0, ":4\n", "")
}
