package job

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/option"
)

// testRegistry has the systems of the example, with options as they are there.
var testRegistry = Systems{Registry: testConnectors, Stores: testStores}

var testConnectors = connector.Registry{
	Sources: []connector.SourceDriver{{Name: "mysql", Options: []option.Field{
		{Name: "address", Kind: option.Text, Default: "127.0.0.1:3306"},
		{Name: "user", Kind: option.Text, Required: true},
		{Name: "password", Kind: option.Secret},
		{Name: "tls", Kind: option.Object, Fields: []option.Field{{Name: "mode", Kind: option.Enum, Values: []string{"off", "verify"}, Default: "off"}}},
	}}},
	Sinks: []connector.SinkDriver{{Name: "files", Discards: true, Options: []option.Field{
		{Name: "url", Kind: option.Text, Required: true},
		{Name: "format", Kind: option.Enum, Values: []string{"csv"}, Default: "csv"},
		{Name: "layout", Kind: option.Enum, Values: []string{"changelog", "append"}, Default: "changelog"},
		{Name: "roll", Kind: option.Object, Live: true, Fields: []option.Field{
			{Name: "size", Kind: option.Size, Default: int64(128 << 20)},
			{Name: "every", Kind: option.Duration, Default: 30 * time.Second},
		}},
		{Name: "key", Kind: option.Secret},
	}}},
}

// example is the job file of the README, as it stands there.
const example = `name: shop-to-lake
source:
  mysql: {address: 127.0.0.1:3306, user: godwit, password: "${env:SHOP_PASSWORD}"}
tables: ["shop.*", "!shop.tmp_*"]
mode: snapshot_and_changes          # snapshot | changes | snapshot_and_changes   (changes: start: head | a time | a position)
until: head                         # a time, or head: the log's end as it stands when the run starts; absent: for ever
sinks:
  - name: lake
    files: {url: "file:///data/lake", format: csv, layout: changelog, roll: {size: 128MiB, every: 30s}}
`

var testResolver = option.Resolver{Env: func(n string) (string, bool) {
	v, ok := map[string]string{"SHOP_PASSWORD": "cAnArY77xy", "DIR": "file:///a"}[n]
	return v, ok
}}

func mustParse(t *testing.T, text string) *Spec {
	t.Helper()
	s, ps := Parse("job.yaml", []byte(text), testRegistry, testResolver)
	if len(ps) > 0 {
		t.Fatalf("%v\n%s", ps.Err(), text)
	}
	return s
}

func with(t *testing.T, pairs ...string) string {
	t.Helper()
	text := example
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("%q is not in the example", pairs[i])
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return text
}

func TestParse_when_it_is_the_example(t *testing.T) {
	s := mustParse(t, example)
	roll := s.Sinks[0].Values.Object("roll")
	got := fmt.Sprint(s.Version, " ", s.Name, " ", s.Source.Driver, " ", s.Source.Values.Text("address"), " ", s.Source.Values.Secret("password").Reveal(), " ",
		s.Tables.Patterns, " ", s.Mode, " ", s.Until, " ", s.Sinks[0].Name, " ", s.Sinks[0].Driver, " ", roll.Int("size"), " ", roll.Duration("every"), " ", s.Parallel)
	want := "1 shop-to-lake mysql 127.0.0.1:3306 cAnArY77xy [shop.* !shop.tmp_*] snapshot_and_changes head lake files 134217728 30s 0"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestParse_when_things_are_left_out(t *testing.T) {
	s := mustParse(t, "name: a\nsource: {mysql: {user: u}}\ntables: [a.b]\nsinks: [{name: l, files: {url: x}}]\n")
	if s.Version != 1 || s.Mode != SnapshotAndChanges || !s.Until.IsZero() || s.Start != (Start{}) {
		t.Errorf("defaults: %+v", s)
	}
	if got := s.Sinks[0].Values; got.Text("layout") != "changelog" || got.Object("roll").Int("size") != 128<<20 {
		t.Error("a sink's defaults are not there")
	}
	s = mustParse(t, "name: a\nsource: {mysql: {user: u}}\ntables: [a.b]\nmode: changes\nsinks: [{name: l, files: {url: x}}]\n")
	if !s.Start.Head {
		t.Error("changes start at the head")
	}
}

func TestParse_when_places_are_given(t *testing.T) {
	at := time.Date(2026, 11, 21, 13, 0, 0, 0, time.UTC)
	for text, want := range map[string]Until{
		"head": {Head: true}, "2026-11-21T13:00:00Z": {Time: at}, "2026-11-21T14:00:00+01:00": {Time: at}, "2026-11-21 13:00:00Z": {Time: at}, "2026-11-21 14:00:00 +01:00": {Time: at},
	} {
		if s := mustParse(t, with(t, "until: head", "until: "+text)); s.Until != want {
			t.Errorf("until %s: %+v", text, s.Until)
		}
	}
	for text, want := range map[string]Start{
		"head": {Head: true}, "2026-11-21T13:00:00Z": {Time: at}, "0-1-88412": {Place: "0-1-88412"}, "bin.000007:8467": {Place: "bin.000007:8467"}, "2026-11-21": {Place: "2026-11-21"},
	} {
		if s := mustParse(t, with(t, "mode: snapshot_and_changes", "mode: changes\nstart: "+text)); s.Start != want {
			t.Errorf("start %s: %+v", text, s.Start)
		}
	}
}

func TestParse_when_something_is_wrong(t *testing.T) {
	for _, c := range []struct{ old, new, path, says string }{
		{"every: 30s", "evry: 30s", "sinks[0].files.roll.evry", `did you mean "every"?`},
		{"name: shop-to-lake", "name: Shop", "name", "1 to 64 of a-z"},
		{"name: shop-to-lake", "name: " + strings.Repeat("a", 65), "name", "1 to 64"},
		{"name: lake", "name: la/ke", "sinks[0].name", "1 to 64"},
		{`["shop.*", "!shop.tmp_*"]`, `["shop"]`, "tables[0]", "database.table"},
		{`["shop.*", "!shop.tmp_*"]`, `["!shop.a"]`, "tables", "every pattern leaves out"},
		{`["shop.*", "!shop.tmp_*"]`, `[""]`, "tables[0]", "database.table"},
		{"until: head", "until: tomorrow", "until", "expected head, or a time with its zone"},
		{"until: head", "until: 2026-11-21T14:00:00", "until", "time with its zone"},
		{"mode: snapshot_and_changes", "mode: snapshot", "until", "mode snapshot ends by itself"},
		{"mode: snapshot_and_changes", "start: head", "start", "only mode changes has a start"},
		{"mode: snapshot_and_changes", "mode: changes\nstart: 2026-11-21 14:00", "start", "time with its zone"},
		{"mode: snapshot_and_changes", "mode: change", "mode", `did you mean "changes"?`},
		{"mysql:", "mysq:", "source.mysq", `did you mean "mysql"?`},
		{"  - name: lake\n", "  - name: lake\n    files: {url: x}\n  - name: lake\n", "sinks[1].name", "another sink (line 8)"},
		{"  - name: lake\n", "  -\n", "sinks[0].name", "missing"},
		{"until: head", "version: 2\nuntil: tomorrow", "version", "newer than this godwit"},
		{"until: head", "parallel: 65", "parallel", "from 1 to 64"},
	} {
		s, ps := Parse("job.yaml", []byte(with(t, c.old, c.new)), testRegistry, testResolver)
		found := false
		for _, p := range ps {
			found = found || p.Path == c.path && strings.Contains(p.What+" "+p.Advice(), c.says)
		}
		if !found || s != nil {
			t.Errorf("%q: want %s %q, got %+v", c.new, c.path, c.says, ps)
		}
	}
}

func TestParse_when_the_file_is_newer(t *testing.T) {
	_, ps := Parse("job.yaml", []byte(with(t, "until: head", "version: 9\nnew_key: x")), testRegistry, testResolver)
	if len(ps) != 1 || ps[0].Code != fault.JobVersion {
		t.Errorf("%+v", ps)
	}
}

func TestParse_when_there_are_rules(t *testing.T) {
	s := mustParse(t, with(t, "until: head", "rules: [{tables: [a.*], omit: true}]\nuntil: head", "- name: lake", "- name: lake\n    rules: [{where: a > 1}, {rename: x}]"))
	if rs := s.Sinks[0].Rules; len(rs) != 3 || !rs[0].Omit || rs[1].Where == nil || rs[2].Rename != "x" || rs[0].Tables.Patterns[0] != "a.*" || rs[1].Tables.Patterns[0] != "*.*" {
		t.Errorf("%+v", rs)
	}
	deaf := testRegistry
	deaf.Sinks = slices.Clone(deaf.Sinks)
	for i := range deaf.Sinks {
		deaf.Sinks[i].Discards = false
	}
	_, ps := Parse("job.yaml", []byte(with(t, "- name: lake", "- name: lake\n    on_error: discard_after")), deaf, testResolver)
	if len(ps) != 1 || ps[0].Path != "sinks[0].on_error" || !strings.Contains(ps[0].What, "cannot put rows aside") {
		t.Errorf("%+v", ps)
	}
	_, ps = Parse("job.yaml", []byte(with(t, "- name: lake", "- name: lake\n    rules: [{where: a >}]")), testRegistry, testResolver)
	if len(ps) != 1 || ps[0].Path != "sinks[0].rules[0].where" || ps[0].Place.Col != 21 || !strings.Contains(ps[0].What, "unexpected token") {
		t.Errorf("%+v", ps)
	}
}

func TestDiff_when_edited(t *testing.T) {
	second := "\n  - name: pg\n    files: {url: x}\n"
	for _, c := range []struct {
		what  string
		pairs []string
		want  string // "field effect from→to", joined by blanks
	}{
		{"nothing", nil, ""},
		{"order and comments", []string{"{size: 128MiB, every: 30s}", "{every: 30s, size: 134217728}"}, ""},
		{"a default left out", []string{", format: csv, layout: changelog", ""}, ""},
		{"roll", []string{"128MiB", "64MiB"}, "sinks.lake.files.roll.size applies 128MiB→64MiB"},
		{"roll left out", []string{", roll: {size: 128MiB, every: 30s}", ""}, "sinks.lake.files.roll applies set→"},
		{"layout", []string{"layout: changelog", "layout: append"}, "sinks.lake.files.layout refused changelog→append"},
		{"url", []string{"data/lake", "data/pond"}, "sinks.lake.files.url refused file:///data/lake→file:///data/pond"},
		{"until", []string{"until: head", "until: 2026-11-21T13:00:00Z"}, "until applies head→2026-11-21T13:00:00Z"},
		{"until left out", []string{"until: head ", "#"}, "until applies head→"},
		{"parallel", []string{"until: head", "parallel: 4\nuntil: head"}, "parallel applies 0→4"},
		{"address", []string{"127.0.0.1:3306", "db:3306"}, "source.mysql.address checked 127.0.0.1:3306→db:3306"},
		{"password", []string{`"${env:SHOP_PASSWORD}"`, "other"}, ""},
		{"tables", []string{`["shop.*", "!shop.tmp_*"]`, `["shop.*"]`}, "tables chooses shop.* !shop.tmp_*→shop.*"},
		{"mode", []string{"mode: snapshot_and_changes", "mode: changes"}, "mode refused snapshot_and_changes→changes start refused →head"},
		{"name", []string{"name: shop-to-lake", "name: shop"}, "name refused shop-to-lake→shop"},
		{"on_error", []string{"- name: lake", "- name: lake\n    on_error: discard_after"}, "sinks.lake.on_error bears →discard_after 3"},
		{"rules", []string{"until: head", "rules: [{set: {a: b, c: d}}]\nuntil: head"}, "rules[0] refused →set rules[0].set refused →a: b; c: d"},
		{"rules of a sink", []string{"- name: lake", "- name: lake\n    rules: [{where: a > 1}]"}, "sinks.lake.rules[0] refused →set sinks.lake.rules[0].where refused →a > 1"},
		{"sink added", []string{"every: 30s}}", "every: 30s}}" + second}, "sinks.pg adds →set"},
		{"sink renamed", []string{"name: lake", "name: pond"}, "sinks.lake leaves set→ sinks.pond adds →set"},
	} {
		old := mustParse(t, example)
		now := mustParse(t, with(t, c.pairs...))
		var got []string
		for _, e := range now.Diff(old.Kept()) {
			got = append(got, fmt.Sprintf("%s %s %s→%s", e.Field, e.Effect, e.From, e.To))
			if e.Why == "" {
				t.Errorf("%s: no reason", c.what)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s:\ngot  %v\nwant %v", c.what, got, c.want)
		}
		if same := now.Fingerprint() == old.Fingerprint(); same != (c.want == "") {
			t.Errorf("%s: fingerprints equal: %v", c.what, same)
		}
	}
}

func TestDiff_when_godwit_learned_options(t *testing.T) {
	old := mustParse(t, example).Kept()
	delete(old, "sinks.lake.files.format") // not known then, not given now
	old["sinks.lake.files.gone"] = "x"     // known then, not any more
	delete(old, "source.mysql.tls.mode")
	now := mustParse(t, with(t, " format: csv,", ""))
	if edits := now.Diff(old); len(edits) > 0 {
		t.Errorf("%+v", edits)
	}
	delete(old, "sinks.lake.files.layout") // not known then, but given now
	if edits := now.Diff(old); len(edits) != 1 || edits[0].Effect != Refused {
		t.Errorf("%+v", edits)
	}
}

func TestKept_when_there_are_references(t *testing.T) {
	s := mustParse(t, with(t, `"file:///data/lake"`, `"${env:DIR}/b", key: "${env:SHOP_PASSWORD}"`))
	k := s.Kept()
	for path, v := range k {
		if strings.Contains(v, "cAnArY") || strings.Contains(v, "file:///a") {
			t.Errorf("%s keeps %q", path, v)
		}
	}
	if !strings.HasPrefix(k["sinks.lake.files.url"], "${env:DIR}/b (") {
		t.Errorf("url is kept as %q", k["sinks.lake.files.url"])
	}
	other := testResolver
	other.Env = func(n string) (string, bool) { return "other", true }
	o, ps := Parse("job.yaml", []byte(with(t, `"file:///data/lake"`, `"${env:DIR}/b", key: "${env:SHOP_PASSWORD}"`)), testRegistry, other)
	if len(ps) > 0 {
		t.Fatal(ps.Err())
	}
	if edits := o.Diff(k); len(edits) != 1 || edits[0].Field != "sinks.lake.files.url" {
		t.Errorf("a reference's new value: %+v", edits)
	}
}
