package option

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"godwit/internal/fault"
)

// machineFields are a store with a URL, one system that is a folder and one that may
// take keys of the machine.
var machineFields = []Field{
	{Name: "store", Kind: Object, Fields: []Field{
		{Name: "url", Kind: Text, Choice: true, Stands: func(text string) (Values, error) {
			p, ok := strings.CutPrefix(text, "file://")
			if !ok {
				return Values{}, errors.New("no URL")
			}
			return Of(folderFields, map[string]any{"path": p}), nil
		}},
		{Name: "folder", Kind: Object, Choice: true, Fields: folderFields},
		{Name: "bucket", Kind: Object, Choice: true, Fields: []Field{{Name: "keys", Kind: Text, Machine: Ambient, Takes: func(o Values) bool { return o.Text("keys") == "" }}}},
	}},
	{Name: "one", Kind: Object, OneOf: true, Fields: []Field{{Name: "a", Kind: Object, Fields: []Field{always}}, {Name: "b", Kind: Object}}},
	{Name: "tls", Kind: Object, Fields: []Field{{Name: "ca", Kind: Text, Machine: SecretPath}, {Name: "system", Kind: Bool, Default: true, Machine: Ambient, Takes: func(o Values) bool { return o.Bool("system") }}}},
	{Name: "lists", Kind: List, Machine: DataPath},
	{Name: "items", Kind: Objects, Fields: folderFields},
}

var (
	always       = Field{Name: "all", Kind: Bool, Machine: Anywhere}
	folderFields = []Field{{Name: "path", Kind: Text, Machine: DataPath}}
)

func usesOf(t *testing.T, text string) string {
	t.Helper()
	v, ps := Parse("job.yaml", []byte(text), machineFields, testResolver)
	if len(ps) > 0 {
		t.Fatal(ps.Err())
	}
	var out []string
	for _, u := range v.Uses() {
		p := u.Problem(fault.NotAllowed, "no")
		out = append(out, fmt.Sprint(u.Machine, " ", p.Path, " ", u.Path, " ", u.Written, " ", p.Place))
	}
	return strings.Join(out, "\n")
}

func TestUses_when_values_take_of_the_machine(t *testing.T) {
	off := "\ntls: {system: false}"
	for text, want := range map[string]string{
		"store: {folder: {path: /a}}" + off:                  "1 store.folder.path /a /a job.yaml:1:24",
		"store: {url: \"file:///a\"}" + off:                  "1 store.url /a file:///a job.yaml:1:14",
		"store: {url: \"file:///${env:HOST}\"}" + off:        "1 store.url /db:3306 file:///${env:HOST} job.yaml:1:14",
		"store: {url: \"other:///a\"}" + off:                 "",
		"store: {bucket: {keys: x}}" + off:                   "",
		"store: {bucket: {}}" + off:                          "3 store.bucket.keys   job.yaml:1:9",
		"one: {b: {}}" + off:                                 "",
		"one: {a: {}}" + off:                                 "4 one.a.all   job.yaml:1:7",
		"items: [{path: /a}, {path: b}]" + off:               "1 items[0].path /a /a job.yaml:1:16\n1 items[1].path b b job.yaml:1:28",
		"lists: [/a, \"b\"]" + off:                           "1 lists[0] /a /a job.yaml:1:9\n1 lists[1] b b job.yaml:1:13",
		"tls: {ca: \"${file:/jobs/pw.txt}\", system: false}": "2 tls.ca fromfile ${file:/jobs/pw.txt} job.yaml:1:11",
		"lists: []": "3 tls.system   job.yaml:1:1", // a default counts, where the object is not given too
	} {
		if got := usesOf(t, text); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
		}
	}
}

func TestParse_when_a_reference_is_refused(t *testing.T) {
	r := testResolver
	r.Refuse = func(name string) error {
		switch name {
		case "HOST":
			return fault.New(fault.NotAllowed, "not here").Try("ask")
		case "USER":
			return errors.New("not this one")
		}
		return nil
	}
	for ref, want := range map[string]string{"HOST": "NOT_ALLOWED_HERE: name: ${env:HOST}: not here (job.yaml:1:7) ask", "USER": "JOB_SECRET: name: ${env:USER}: not this one (job.yaml:1:7) "} {
		_, ps := Parse("job.yaml", []byte("name: ${env:"+ref+"}"), []Field{{Name: "name", Kind: Text}}, r)
		if len(ps) != 1 || ps.Err().Error()+" "+ps[0].Hint != want {
			t.Errorf("%v", ps)
		}
	}
	if v, ps := Parse("job.yaml", []byte("name: ${env:SHOP_PASSWORD}"), []Field{{Name: "name", Kind: Text}}, r); len(ps) > 0 || v.Text("name") != "hunter22" {
		t.Errorf("%v", ps)
	}
}
