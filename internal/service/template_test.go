package service

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/job"
)

// shards is a template of jobs that stream.
const shards = `template: shards
parameters: [{name: shard, help: two digits}, {name: host, default: db}, {name: layout, default: changelog}]
name: shop-${param:shard}
source: {mysql: {user: u, address: "${param:host}-${param:shard}", password: "${env:SECRET}"}}
tables: [shop.*]
sinks: [{name: lake, files: {url: "file:///lake/${param:shard}"}}]
`

// withLayout is a text of it that jobs refuse which have another layout than before.
var withLayout = strings.Replace(shards, `shard}"}}]`, `shard}", layout: "${param:layout}"}}]`, 1)

func (w *world) template(text string) api.Template {
	w.t.Helper()
	t, err := w.SubmitTemplate(w.t.Context(), ana, api.TemplateSubmission{File: text, Note: "all of them"})
	if err != nil {
		w.t.Fatal(err)
	}
	return t
}

// outcomes are what became of jobs, as "name outcome CODE".
func outcomes(r api.TemplateResult) string {
	var out []string
	for _, i := range r.Results {
		text := strings.TrimSpace(i.Name + " " + string(i.Outcome))
		if i.Error != nil {
			text += " " + i.Error.Code
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ") + fmt.Sprintf(" = %d %d %d", r.Done, r.Skipped, r.Failed)
}

// make makes jobs of the template shards, one for each value of shard.
func (w *world) make(names ...string) {
	w.t.Helper()
	in := api.TemplateJobs{}
	for _, n := range names {
		v := api.Values{"shard": n}
		if n == "odd" {
			v["layout"] = "append"
		}
		in.Values = append(in.Values, v)
	}
	r, err := w.MakeJobs(w.t.Context(), ana, "shards", in)
	if err != nil || r.Done != len(names) {
		w.t.Fatalf("%s, %v", outcomes(r), err)
	}
	for _, n := range names {
		w.stands("shop-"+n, api.StatusRunning)
	}
}

func (w *world) roll(version int64, text string) api.TemplateResult {
	w.t.Helper()
	r, err := w.EditTemplate(w.t.Context(), ana, "shards", api.TemplateEdit{Version: version, File: text, Reason: "because"})
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func TestTemplate_when_kept(t *testing.T) {
	w := newWorld(t)
	made := w.template(shards)
	if made.Name != "shards" || made.Version != 1 || made.Note != "all of them" || len(made.Parameters) != 3 || !made.Parameters[0].Required || made.Parameters[1].Default != "db" {
		t.Errorf("%+v", made)
	}
	_, err := w.SubmitTemplate(t.Context(), ana, api.TemplateSubmission{File: shards})
	wantCode(t, err, fault.NameTaken)
	_, err = w.SubmitTemplate(t.Context(), ana, api.TemplateSubmission{File: strings.Replace(shards, "user: u", "usr: u", 1)})
	wantCode(t, err, fault.JobField)
	if ps := FileProblems(err); len(ps) != 1 || ps[0].Line != 4 || ps[0].Column != 18 {
		t.Errorf("%+v", ps)
	}
	_, err = w.SubmitTemplate(t.Context(), ana, api.TemplateSubmission{File: tableFile("shop")})
	if FileProblems(err) == nil {
		t.Error(err)
	}
	_, err = w.ShowTemplate(t.Context(), "none")
	wantCode(t, err, fault.NoTemplate)
	_, err = w.TemplateVersion(t.Context(), "shards", 2)
	wantCode(t, err, fault.BadRequest)
	w.make("a")
	w.again()
	all, err := w.Templates(t.Context())
	if err != nil || len(all) != 1 || all[0].Jobs != 1 || all[0].File != "" || len(all[0].Parameters) != 3 || !all[0].Created.Equal(made.Created) {
		t.Errorf("%+v, %v", all, err)
	}
	one, err := w.ShowTemplate(t.Context(), "shards")
	if err != nil || one.File != shards || one.Jobs != 1 || one.Behind != 0 {
		t.Errorf("%+v, %v", one, err)
	}
	wantCode(t, w.DeleteTemplate(t.Context(), ana, "shards", ""), fault.NotNow)
	if err := w.Delete(t.Context(), ana, "shop-a", ""); err != nil {
		t.Fatal(err)
	}
	if err := w.DeleteTemplate(t.Context(), ana, "shards", "moved"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, w.DeleteTemplate(t.Context(), ana, "shards", ""), fault.NoTemplate)
	w.again()
	if all, err := w.Templates(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
	want := []string{"ana submit template done", "ana submit template refused NAME_TAKEN", "ana submit template refused JOB_FIELD", "ana submit template refused JOB_MISSING",
		"ana delete template refused NOT_NOW", "ana delete template done", "ana delete template refused TEMPLATE_UNKNOWN"}
	if got := slices.DeleteFunc(w.whats(""), func(s string) bool { return !strings.Contains(s, "template") }); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestMakeJobs_when_previewed_done_and_sent_again(t *testing.T) {
	w := newWorld(t)
	w.template(shards)
	w.submit(tableFile("shop-c"))
	in := api.TemplateJobs{Preview: true, Group: "g", Note: "n", Desired: api.DesiredPaused, Values: []api.Values{
		{"shard": "a"}, {"shard": "b", "host": "other"}, {"shard": "a", "host": "x"}, {"shard": "c"}, {}, {"shard": "d", "nope": "1"}, {"shard": "UPPER"},
	}}
	const bad = "shop-c failed NAME_TAKEN, failed JOB_PARAM, failed JOB_PARAM, failed JOB_VALUE"
	r, err := w.MakeJobs(t.Context(), ana, "shards", in)
	if got := outcomes(r); err != nil || got != "shop-a would, shop-b would, shop-a failed NAME_TAKEN, "+bad+" = 0 0 5" {
		t.Errorf("%s, %v", got, err)
	}
	if page, _ := w.List(t.Context(), api.ListJobsParams{}); page.Total != 1 {
		t.Error("a preview made jobs")
	}
	if e := r.Results[6].Error; e.Where != "shards.yaml:3:7" || r.Results[6].Item != 7 {
		t.Errorf("%+v", e)
	}
	in.Preview = false
	r, err = w.MakeJobs(t.Context(), ana, "shards", in)
	if got := outcomes(r); err != nil || got != "shop-a done, shop-b done, shop-a failed NAME_TAKEN, "+bad+" = 2 0 5" {
		t.Errorf("%s, %v", got, err)
	}
	w.again()
	r, err = w.MakeJobs(t.Context(), ana, "shards", in)
	if got := outcomes(r); err != nil || got != "shop-a skipped, shop-b skipped, shop-a failed NAME_TAKEN, "+bad+" = 0 2 5" || r.Results[0].Why == "" {
		t.Errorf("%s, %v", got, err)
	}
	v := w.stands("shop-b", api.StatusPaused)
	if v.Template != "shards" || v.TemplateVersion != 1 || v.TemplateBehind || v.Values["host"] != "other" || v.Group != "g" || v.Note != "n" || v.Version != 1 {
		t.Errorf("%+v", v)
	}
	one, err := w.Version(t.Context(), "shop-b", 1)
	if err != nil || !strings.Contains(one.File, `address: "other-b", password: "${env:SECRET}"`) || !strings.Contains(one.File, "# template: shards") || one.Reason != "template shards version 1" {
		t.Errorf("%+v, %v", one, err)
	}
	for q, want := range map[*api.ListJobsParams]int{{Template: "shards"}: 2, {Template: "none"}: 0, {TemplateBehind: true}: 0, {}: 3} {
		if page, err := w.List(t.Context(), *q); err != nil || page.Total != want {
			t.Errorf("%+v: %d, %v", *q, page.Total, err)
		}
	}
	out, err := w.ActOnAll(t.Context(), ana, api.BulkAct{Act: api.BulkActActResume, Filter: &api.Filter{Template: "shards"}})
	if err != nil || out.Done != 2 || len(out.Results) != 2 {
		t.Errorf("%+v, %v", out, err)
	}
	_, err = w.MakeJobs(t.Context(), ana, "none", in)
	wantCode(t, err, fault.NoTemplate)
	if got := w.whats("shop-a"); !slices.Equal(got, []string{"ana submit done", "ana submit refused NAME_TAKEN", "ana submit refused NAME_TAKEN", "ana resume done"}) {
		t.Errorf("%q", got)
	}
}

func TestEditTemplate_when_rolled_out(t *testing.T) {
	w := newWorld(t)
	w.template(shards)
	w.make("a", "b", "odd")
	text := withLayout + "parallel: 3\n"
	r, err := w.EditTemplate(t.Context(), ana, "shards", api.TemplateEdit{Version: 1, File: text, Preview: true})
	if got := outcomes(r); err != nil || got != "shop-a would, shop-b would, shop-odd failed JOB_EDIT = 0 0 1" || r.Version != 2 {
		t.Errorf("%s, %v", got, err)
	}
	if c := r.Results[0].Changes; len(c) != 1 || c[0].Field != "parallel" || c[0].Does != api.ChangeDoesRestarts {
		t.Errorf("%+v", c)
	}
	if c := r.Results[2].Changes; len(c) != 2 || c[1].Field != "sinks.lake.files.layout" || c[1].Does != api.ChangeDoesRefused {
		t.Errorf("%+v", c)
	}
	if one, err := w.ShowTemplate(t.Context(), "shards"); err != nil || one.Version != 1 {
		t.Error("a preview did something")
	}
	r = w.roll(1, text)
	if got := outcomes(r); got != "shop-a done, shop-b done, shop-odd failed JOB_EDIT = 2 0 1" || r.Results[0].Version != 2 || r.Results[2].Version != 1 {
		t.Errorf("%s, %+v", got, r)
	}
	for _, n := range []string{"shop-a", "shop-b"} {
		w.await(n, "running with the new file", func(v api.Job) bool {
			lives := w.engine.lived(n)
			return v.Standing.Status == api.StatusRunning && v.Version == 2 && v.TemplateVersion == 2 && !v.TemplateBehind && len(lives) == 2 && lives[1].Parallel == 3
		})
	}
	check := func() {
		t.Helper()
		v, err := w.Show(t.Context(), "shop-odd")
		if err != nil || !v.TemplateBehind || v.TemplateVersion != 1 || v.Version != 1 || v.TemplateError == nil || v.TemplateError.Code != string(fault.JobEdit) {
			t.Errorf("%+v, %v", v, err)
		}
		if page, err := w.List(t.Context(), api.ListJobsParams{TemplateBehind: true}); err != nil || page.Total != 1 || page.Items[0].Name != "shop-odd" {
			t.Errorf("%+v, %v", page, err)
		}
		if one, err := w.ShowTemplate(t.Context(), "shards"); err != nil || one.Version != 2 || one.Jobs != 3 || one.Behind != 1 {
			t.Errorf("%+v, %v", one, err)
		}
	}
	check()
	w.again()
	w.stands("shop-odd", api.StatusRunning)
	check()
	if len(w.engine.lived("shop-odd")) != 2 { // one for each process
		t.Error("a refused edit ended a life")
	}
	want := []string{"ana submit done", "ana edit refused JOB_EDIT", "server taken up again done"}
	if got := w.whats("shop-odd"); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	versions, err := w.Versions(t.Context(), "shop-a")
	if err != nil || len(versions) != 2 || versions[0].Reason != "template shards version 2: because" {
		t.Errorf("%+v, %v", versions, err)
	}
	_, err = w.EditTemplate(t.Context(), ana, "shards", api.TemplateEdit{Version: 1, File: text})
	wantCode(t, err, fault.VersionChanged)
	_, err = w.EditTemplate(t.Context(), ana, "shards", api.TemplateEdit{Version: 2, File: text, BackTo: 1})
	wantCode(t, err, fault.BadRequest)
	_, err = w.EditTemplate(t.Context(), ana, "shards", api.TemplateEdit{Version: 2, File: strings.Replace(text, "template: shards", "template: other", 1)})
	wantCode(t, err, fault.BadRequest)
	_, err = w.EditTemplate(t.Context(), ana, "none", api.TemplateEdit{Version: 1})
	wantCode(t, err, fault.NoTemplate)
}

func TestEditTemplate_when_jobs_are_behind_and_tried_again(t *testing.T) {
	w := newWorld(t)
	w.template(shards)
	w.make("a", "odd")
	w.roll(1, withLayout)
	if v, err := w.Show(t.Context(), "shop-odd"); err != nil || !v.TemplateBehind {
		t.Fatalf("%+v, %v", v, err)
	}
	if r := w.roll(2, ""); outcomes(r) != "shop-a skipped, shop-odd failed JOB_EDIT = 0 1 1" || r.Version != 2 {
		t.Error(outcomes(r))
	}
	if r, err := w.EditTemplate(t.Context(), ana, "shards", api.TemplateEdit{Version: 2, Preview: true}); err != nil || outcomes(r) != "shop-a skipped, shop-odd failed JOB_EDIT = 0 1 1" {
		t.Errorf("%s, %v", outcomes(r), err)
	}
	out, err := w.Edit(t.Context(), ana, "shop-odd", api.EditRequest{Version: 1, Values: api.Values{"layout": "changelog"}, Preview: true})
	if err != nil || len(out.Changes) != 0 || out.Detached {
		t.Errorf("%+v, %v", out, err)
	}
	out, err = w.Edit(t.Context(), ana, "shop-odd", api.EditRequest{Version: 1, Values: api.Values{"layout": "changelog"}})
	if err != nil || out.Version != 2 {
		t.Errorf("%+v, %v", out, err)
	}
	if v, err := w.Show(t.Context(), "shop-odd"); err != nil || v.TemplateBehind || v.TemplateVersion != 2 || v.Values["layout"] != "changelog" || v.Values["shard"] != "odd" {
		t.Errorf("%+v, %v", v, err)
	}
	r, err := w.EditTemplate(t.Context(), ana, "shards", api.TemplateEdit{Version: 2, BackTo: 1, Reason: "back"})
	if err != nil || outcomes(r) != "shop-a done, shop-odd done = 2 0 0" || r.Version != 3 {
		t.Errorf("%s, %v", outcomes(r), err)
	}
	versions, err := w.TemplateVersions(t.Context(), "shards")
	if err != nil || len(versions) != 3 || versions[0].Reason != "back" || versions[0].By != "ana" || versions[0].File != "" {
		t.Errorf("%+v, %v", versions, err)
	}
	three, err := w.TemplateVersion(t.Context(), "shards", 3)
	if err != nil || three.File != shards {
		t.Errorf("%+v, %v", three, err)
	}
}

// A value that an edit has no use for any more is kept: a roll back needs it.
func TestEditTemplate_when_parameters_come_and_go(t *testing.T) {
	w := newWorld(t)
	w.template(shards)
	in := api.TemplateJobs{Values: []api.Values{{"shard": "a", "host": "far"}, {"shard": "b"}}}
	if _, err := w.MakeJobs(t.Context(), ana, "shards", in); err != nil {
		t.Fatal(err)
	}
	fixed := strings.NewReplacer("{name: host, default: db}, ", "", "${param:host}", "near").Replace(shards)
	if r := w.roll(1, fixed); r.Done != 2 {
		t.Error(outcomes(r))
	}
	if r := w.roll(2, strings.Replace(shards, ", default: db", "", 1)); outcomes(r) != "shop-a done, shop-b failed JOB_PARAM = 1 0 1" {
		t.Error(outcomes(r))
	}
	one, err := w.Version(t.Context(), "shop-a", 3)
	if err != nil || !strings.Contains(one.File, `"far-a"`) {
		t.Errorf("%+v, %v", one, err)
	}
	if r := w.roll(3, strings.Replace(shards, "name: shop-", "name: shops-", 1)); outcomes(r) != "shop-a failed JOB_EDIT, shop-b failed JOB_EDIT = 0 0 2" {
		t.Error(outcomes(r))
	}
	if r := w.roll(4, shards+"# why\n"); outcomes(r) != "shop-a done, shop-b done = 2 0 0" {
		t.Error(outcomes(r))
	}
}

func TestEdit_when_a_job_is_from_a_template(t *testing.T) {
	w := newWorld(t)
	w.template(shards)
	w.make("a")
	byHand := strings.Replace(tableFile("shop-a"), "/lake", "/lake/a", 1) + "parallel: 2\n"
	for _, e := range []api.EditRequest{{Version: 1, File: byHand}, {Version: 1, File: byHand, Preview: true}, {Version: 1, BackTo: 1}} {
		_, err := w.Edit(t.Context(), ana, "shop-a", e)
		wantCode(t, err, fault.NotNow)
	}
	for _, e := range []api.EditRequest{{Version: 1, File: byHand, Values: api.Values{"shard": "a"}}, {Version: 1, Template: "shards", Detach: true}, {Version: 1, BackTo: 1, Template: "shards"}} {
		_, err := w.Edit(t.Context(), ana, "shop-a", e)
		wantCode(t, err, fault.BadRequest)
	}
	out, err := w.Edit(t.Context(), ana, "shop-a", api.EditRequest{Version: 1, Note: new("words")})
	if v, _ := w.Show(t.Context(), "shop-a"); err != nil || out.Version != 1 || v.Template != "shards" || v.Note != "words" {
		t.Errorf("%+v, %+v, %v", out, v, err)
	}
	_, err = w.Edit(t.Context(), ana, "shop-a", api.EditRequest{Version: 1, Values: api.Values{"hots": "x"}})
	wantCode(t, err, fault.JobParam)
	out, err = w.Edit(t.Context(), ana, "shop-a", api.EditRequest{Version: 1, File: byHand, Detach: true, Preview: true})
	if v, _ := w.Show(t.Context(), "shop-a"); err != nil || !out.Detached || v.Template != "shards" {
		t.Errorf("%+v, %+v, %v", out, v, err)
	}
	out, err = w.Edit(t.Context(), ana, "shop-a", api.EditRequest{Version: 1, File: byHand, Detach: true})
	if err != nil || !out.Detached || out.Version != 2 {
		t.Errorf("%+v, %v", out, err)
	}
	if r := w.roll(1, shards+"parallel: 5\n"); outcomes(r) != " = 0 0 0" {
		t.Error(outcomes(r))
	}
	w.again()
	if v, err := w.Show(t.Context(), "shop-a"); err != nil || v.Template != "" || v.Version != 2 || v.TemplateVersion != 0 {
		t.Errorf("%+v, %v", v, err)
	}
	_, err = w.Edit(t.Context(), ana, "shop-a", api.EditRequest{Version: 2, Values: api.Values{"shard": "a"}})
	wantCode(t, err, fault.BadRequest)
	_, err = w.Edit(t.Context(), ana, "shop-a", api.EditRequest{Version: 2, Detach: true})
	wantCode(t, err, fault.BadRequest)
	_, err = w.Edit(t.Context(), ana, "shop-a", api.EditRequest{Version: 2, Template: "shards"})
	wantCode(t, err, fault.JobParam)
	_, err = w.Edit(t.Context(), ana, "shop-a", api.EditRequest{Version: 2, Template: "none", Values: api.Values{"shard": "a"}})
	wantCode(t, err, fault.NoTemplate)
	out, err = w.Edit(t.Context(), ana, "shop-a", api.EditRequest{Version: 2, Template: "shards", Values: api.Values{"shard": "a"}})
	if err != nil || out.Version != 3 || out.Detached {
		t.Errorf("%+v, %v", out, err)
	}
	if v, err := w.Show(t.Context(), "shop-a"); err != nil || v.Template != "shards" || v.TemplateVersion != 2 || v.Values["shard"] != "a" {
		t.Errorf("%+v, %v", v, err)
	}
}

// dieAt lets the process die when the file of a job is read the next time.
func (w *world) dieAt(name string) {
	w.o.Allow = func(s *job.Spec) error {
		if s.Name == name {
			w.folder.gone.Store(true)
		}
		return nil
	}
}

// Wherever in a roll-out the process dies, once the version is kept every job has it or
// has refused it after the next start, and none has it twice.
func TestEditTemplate_when_the_process_dies(t *testing.T) {
	names := []string{"a", "b", "c", "odd", "at the end"}
	for at, name := range names {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.template(shards)
			w.make(names[:4]...)
			w.act("shop-c", api.ActActPause)
			w.stands("shop-c", api.StatusPaused)
			w.dieAt("shop-" + name)
			r, err := w.EditTemplate(t.Context(), ana, "shards", api.TemplateEdit{Version: 1, File: withLayout + "parallel: 2\n", Reason: "r"})
			if err != nil || r.Done != min(at, 3) || r.Failed != 4-r.Done {
				t.Errorf("%s, %v", outcomes(r), err)
			}
			w.crash()
			for _, n := range []string{"a", "b", "c"} {
				v := w.await("shop-"+n, "with the new file", func(v api.Job) bool { return v.Version == 2 && w.jobs["shop-"+n].stateNow().Spec == 2 })
				if v.TemplateBehind || v.TemplateVersion != 2 {
					t.Errorf("%+v", v)
				}
				got := slices.DeleteFunc(w.whats("shop-"+n), func(s string) bool { return !strings.Contains(s, "edit") })
				if !slices.Equal(got, []string{"ana edit done"}) {
					t.Errorf("%s: %q", n, got)
				}
			}
			w.await("shop-odd", "refused", func(v api.Job) bool { return v.TemplateBehind && v.TemplateError != nil && v.Version == 1 })
			w.stands("shop-c", api.StatusPaused)
		})
	}
}

// A version that was not kept was promised to nobody.
func TestEditTemplate_when_it_cannot_be_kept(t *testing.T) {
	w := newWorld(t)
	w.template(shards)
	w.make("a")
	w.folder.gone.Store(true)
	_, err := w.EditTemplate(t.Context(), ana, "shards", api.TemplateEdit{Version: 1, File: shards + "parallel: 2\n"})
	wantCode(t, err, fault.ServerGone)
	w.crash()
	if v, err := w.Show(t.Context(), "shop-a"); err != nil || v.Version != 1 || v.TemplateBehind {
		t.Errorf("%+v, %v", v, err)
	}
}

// Jobs that are made and edited while a template is edited end at its newest version.
func TestEditTemplate_when_all_happens_at_once(t *testing.T) {
	w := newWorld(t)
	w.template(shards)
	w.make("x")
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() {
			for i := range 4 {
				in := api.TemplateJobs{Values: []api.Values{{"shard": fmt.Sprint(n, "-", i)}}}
				if r, err := w.MakeJobs(context.Background(), ana, "shards", in); err != nil || r.Done != 1 {
					t.Errorf("%s, %v", outcomes(r), err)
				}
			}
		})
		all.Go(func() {
			for i := range 4 {
				one, err := w.ShowTemplate(context.Background(), "shards")
				if err == nil {
					_, err = w.EditTemplate(context.Background(), ana, "shards", api.TemplateEdit{Version: one.Version, File: shards + fmt.Sprintf("parallel: %d\n", 1+4*n+i)})
				}
				if err != nil && !fault.Has(err, fault.VersionChanged) {
					t.Error(err)
				}
			}
		})
	}
	all.Go(func() {
		for i := range 8 {
			v, err := w.Show(context.Background(), "shop-x")
			if err == nil {
				_, err = w.Edit(context.Background(), ana, "shop-x", api.EditRequest{Version: v.Version, Values: api.Values{"host": fmt.Sprint("h", i)}})
			}
			if err != nil && !fault.Has(err, fault.VersionChanged) {
				t.Error(err)
			}
		}
	})
	all.Wait()
	one, err := w.ShowTemplate(t.Context(), "shards")
	if err != nil || one.Jobs != 17 {
		t.Fatalf("%+v, %v", one, err)
	}
	for _, j := range w.members("shards") {
		w.await(j.name, "at the newest version", func(v api.Job) bool { return v.TemplateVersion == one.Version && !v.TemplateBehind })
	}
}

// A job that comes to a template while that is edited is no part of the roll-out, and
// has the new version all the same.
func TestEdit_when_the_template_is_edited_meanwhile(t *testing.T) {
	w := newWorld(t)
	w.template(shards)
	w.submit(strings.NewReplacer("name: shop-${param:shard}", "name: shop-a", "${param:host}-${param:shard}", "db-a", "${param:shard}", "a").Replace(shards[strings.Index(shards, "name: shop"):]))
	w.stands("shop-a", api.StatusRunning)
	var once sync.Once
	w.o.Allow = func(*job.Spec) error {
		once.Do(func() {
			if r := w.roll(1, shards+"parallel: 2\n"); outcomes(r) != " = 0 0 0" {
				t.Error(outcomes(r))
			}
		})
		return nil
	}
	if _, err := w.Edit(t.Context(), ana, "shop-a", api.EditRequest{Version: 1, Template: "shards", Values: api.Values{"shard": "a"}}); err != nil {
		t.Fatal(err)
	}
	w.await("shop-a", "at the newest version", func(v api.Job) bool { return v.TemplateVersion == 2 && !v.TemplateBehind && v.Version == 3 })
}
