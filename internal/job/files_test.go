package job

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/store"
)

var testStores = store.Registry{{
	Name: "local", Schemes: []string{"file"}, Options: []option.Field{{Name: "path", Kind: option.Text, Required: true}},
	FromURL: func(u *url.URL) (option.Values, error) {
		if u.Host != "" {
			return option.Values{}, errors.New("it names a host")
		}
		return option.Of([]option.Field{{Name: "path", Kind: option.Text}}, map[string]any{"path": u.Path}), nil
	},
	Open: func(context.Context, option.Values, store.Env) (store.Store, error) {
		return nil, errors.New("not here")
	},
}, {
	Name: "s3", Schemes: []string{"s3"}, Options: []option.Field{
		{Name: "endpoint", Kind: option.Text}, {Name: "bucket", Kind: option.Text, Required: true}, {Name: "prefix", Kind: option.Text},
		{Name: "access_key", Kind: option.Text}, {Name: "secret_key", Kind: option.Secret},
	},
}}

const fileExample = `name: media-move
kind: files
source: {s3: {endpoint: "http://127.0.0.1:9000", bucket: media, prefix: "2025/", access_key: ak, secret_key: "${env:SHOP_PASSWORD}"}}
sink:   {url: "file:///archive/media"}
overwrite: if_different             # never | if_newer | if_different | always
`

func TestParse_when_it_is_a_file_job(t *testing.T) {
	s := mustParse(t, fileExample)
	f := s.Files
	got := fmt.Sprint(s.Kind, " ", s.Name, " ", f.Source.Chosen(), " ", f.Source.Object("s3").Text("bucket"), " ", f.Source.Object("s3").Secret("secret_key").Reveal(), " ",
		f.Sink.Text("url"), " ", f.Overwrite, " ", f.Extraneous, " ", f.Erase, " ", f.Every, " ", f.ReadBack, " ", s.Parallel, " ", f.List == nil)
	want := "files media-move s3 media cAnArY77xy file:///archive/media if_different {false false 0 0} false 0s false 0 true"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if mustParse(t, example).Kind != KindTables {
		t.Error("a job without kind is a table job")
	}
}

func TestParse_when_a_file_job_says_everything(t *testing.T) {
	s := mustParse(t, fileExample+`include: ["*.jpg"]
exclude: ["tmp/"]
prefixes: ["a/"]
newer_than: 7d
older_than: 2026-11-21T14:00:00+01:00
size_min: 1KiB
size_max: 1GB
rename: [{from: "a/", to: "b/"}, {from: "(x+)", to: "$1-$${name}", pattern: true}]
every: 1h
limits: {bytes: 50MiB, requests: 500, times: [{between: "08:00-18:00", bytes: 1MiB}, {between: "22:00-06:00", requests: 9}]}
verify: read_back
parallel: 64
part_size: 16MiB
`)
	f := s.Files
	now := time.Date(2026, 11, 28, 9, 0, 0, 0, time.Local)
	r := f.At(now)
	got := fmt.Sprint(r.Include, r.Exclude, r.Prefixes, now.Sub(r.NewerThan), r.OlderThan.UTC().Hour(), r.SizeMin, r.SizeMax, r.Rename, f.Extraneous, f.Every, " ", f.ReadBack, " ", s.Parallel, f.PartSize,
		f.Limits)
	want := "[*.jpg] [tmp/] [a/] 168h0m0s 13 1024 1000000000 [{a/ b/ false} {(x+) $1-${name} true}] {false false 0 0} 1h0m0s true 64 16777216 {{52428800 [{8h0m0s 18h0m0s 1048576} {22h0m0s 6h0m0s 0}]} {500 [{8h0m0s 18h0m0s 0} {22h0m0s 6h0m0s 9}]}}"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestParse_when_a_file_job_deletes(t *testing.T) {
	for text, want := range map[string]Extraneous{
		"delete_extraneous: within_limit":                          {Delete: true, Percent: 10},
		"delete_extraneous: within_limit\ndelete_limit: 2.5%":      {Delete: true, Percent: 2.5},
		"delete_extraneous: dry_run\ndelete_limit: 1000":           {DryRun: true, Count: 1000},
		"delete_extraneous: never\ndelete_source: after_verify":    {},
		"delete_extraneous: dry_run\nrename: [{from: '', to: b/}]": {DryRun: true, Percent: 10},
	} {
		if got := mustParse(t, fileExample+text).Files.Extraneous; got != want {
			t.Errorf("%s: %+v", text, got)
		}
	}
}

func TestParse_when_a_file_job_is_wrong(t *testing.T) {
	for _, c := range []struct{ old, new, path, says string }{
		{"overwrite:", "overwrit:", "overwrit", `did you mean "overwrite"?`},
		{"if_different ", "if_diferent ", "overwrite", `did you mean "if_different"?`},
		{"kind: files", "kind: fils", "kind", `did you mean "files"?`},
		{"file:///archive", "file://archive", "sink.url", "names a host"},
		{"file:///archive", "gopher:///archive", "sink.url", "no store is known for gopher://"},
		{`sink:   {url: "file:///archive/media"}`, `sink: {url: "file:///a", local: {path: /b}}`, "sink.local", "only one of url, local, s3"},
		{`sink:   {url: "file:///archive/media"}`, `sink: {}`, "sink", "what system it is"},
		{"bucket: media, ", "", "source.s3.bucket", "missing"},
		{"overwrite: if_different", "newer_than: yesterday", "newer_than", "expected an age such as 7d"},
		{"overwrite: if_different", "size_min: 2\nsize_max: 1", "size_max", "less than size_min"},
		{"overwrite: if_different", "delete_limit: 3", "delete_limit", "no meaning"},
		{"overwrite: if_different", "delete_extraneous: within_limit\ndelete_limit: 101%", "delete_limit", "10%"},
		{"overwrite: if_different", "delete_extraneous: dry_run\ndelete_source: after_verify", "delete_extraneous", "the next run would delete"},
		{"overwrite: if_different", "delete_extraneous: dry_run\nlist: {file: x}", "delete_extraneous", "list file"},
		{"overwrite: if_different", "delete_extraneous: within_limit\nrename: [{from: a, to: b}]", "delete_extraneous", "with rename"},
		{"overwrite: if_different", "prefixes: [a]\nlist: {file: x}", "prefixes", "list file"},
		{"overwrite: if_different", "rename: [{from: '(', to: a, pattern: true}]", "rename[0].from", "missing closing )"},
		{"overwrite: if_different", "limits: {times: [{between: 8-18, bytes: 1}]}", "limits.times[0].between", "08:00-18:00"},
		{"overwrite: if_different", "every: 0.1s", "every", "1s"},
		{"overwrite: if_different", "tables: [a.b]", "tables", "a key of table jobs; this is a file job"},
		{"overwrite: if_different", "mode: snapshot", "mode", "a key of table jobs"},
		{"overwrite: if_different", "include: ['']", "include[0]", "expected a glob"},
		{"overwrite: if_different", "exclude: [ok, 'a[']", "exclude[1]", "expected a glob"},
	} {
		if !strings.Contains(fileExample, c.old) {
			t.Fatalf("%q is not in the example", c.old)
		}
		s, ps := Parse("job.yaml", []byte(strings.Replace(fileExample, c.old, c.new, 1)), testRegistry, testResolver)
		found := false
		for _, p := range ps {
			found = found || p.Path == c.path && strings.Contains(p.What+" "+p.Advice(), c.says) && p.Place.Line > 0
		}
		if s != nil || !found {
			t.Errorf("%s → %s: no problem of %s that says %q, but %+v", c.old, c.new, c.path, c.says, ps)
		}
	}
	_, ps := Parse("job.yaml", []byte(strings.Replace(fileExample, "kind: files", "", 1)), testRegistry, testResolver)
	if !strings.Contains(fmt.Sprint(ps), "a key of file jobs; this is a table job: file jobs say kind: files") {
		t.Errorf("a file job without its kind: %v", ps)
	}
	_, ps = Parse("job.yaml", []byte("name: X\nkind: files\nincludes: [a]\nsource: {s3: {}}\nsink: {url: 7}\nsize_min: 5 quux\n"), testRegistry, testResolver)
	if len(ps) != 5 || ps[0].Code != fault.JobValue {
		t.Errorf("not all problems at once: %+v", ps)
	}
}

func TestDiff_when_a_file_job_is_edited(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"# never", "# never ever", ""},
		{"overwrite: if_different", "", ""}, // the default said or left out
		{"overwrite: if_different", "overwrite: always", "overwrite lists if_different→always"},
		{"overwrite: if_different", "parallel: 9", "parallel applies 0→9"},
		{"overwrite: if_different", "limits: {bytes: 1MiB}", "limits follows →set limits.bytes follows 0→1MiB"},
		{"overwrite: if_different", "limits: {times: [{between: '01:00-02:00', bytes: 1}]}",
			"limits follows →set limits.times[0] follows →set limits.times[0].between follows →01:00-02:00 limits.times[0].bytes follows →1 limits.times[0].requests follows →0"},
		{"overwrite: if_different", "every: 1h", "every follows 0s→1h"},
		{"overwrite: if_different", "verify: read_back", "verify applies strongest→read_back"},
		{"overwrite: if_different", "include: [a, b]", "include lists →a b"},
		{"overwrite: if_different", "rename: [{from: a, to: b}]", "rename[0] lists →set rename[0].from lists →a rename[0].pattern lists →false rename[0].to lists →b"},
		{"file:///archive", "file:///other", "sink.url lists file:///archive/media→file:///other/media"},
		{`"${env:SHOP_PASSWORD}"`, "other", ""},
	} {
		was := mustParse(t, fileExample).Kept()
		now := mustParse(t, strings.Replace(fileExample, c.old, c.new, 1))
		var got []string
		for _, e := range now.Diff(was) {
			got = append(got, fmt.Sprintf("%s %s %s→%s", e.Field, e.Effect, e.From, e.To))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s:\ngot  %v\nwant %v", c.new, got, c.want)
		}
	}
	if e := mustParse(t, fileExample).Diff(mustParse(t, example).Kept()); len(e) != 1 || e[0].Effect != Refused || e[0].Field != "kind" {
		t.Errorf("another kind under the same name: %+v", e)
	}
	if strings.Contains(fmt.Sprint(mustParse(t, fileExample).Kept()), "cAnArY") {
		t.Error("a secret is kept")
	}
	old := mustParse(t, fileExample).Kept()
	delete(old, "verify") // not known then
	if e := mustParse(t, fileExample).Diff(old); len(e) != 0 {
		t.Errorf("what godwit learned is no edit: %+v", e)
	}
}
