package option

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"godwit/internal/fault"
)

// shardFields are those of a small job file.
var shardFields = []Field{
	{Name: "name", Kind: Text}, {Name: "parallel", Kind: Int}, {Name: "mirror", Kind: Bool}, {Name: "tables", Kind: List},
	{Name: "source", Kind: Object, Fields: []Field{{Name: "address", Kind: Text}, {Name: "user", Kind: Text}, {Name: "password", Kind: Secret}}},
}

const shards = `# Why there are shards.
template: shards
parameters:
  - {name: shard, help: two digits}
  - {name: host, default: db.example}   # the proxy
  - name: parallel
    default: 2
name: "shop-${param:shard}"
source: {address: "${param:host}:3306", user: "${param:host}", password: "${file:/s/${param:shard}}"} # é
parallel: ${param:parallel}
mirror: false
tables: ['shop.${param:shard}_*', "a.$${param:b}"]
`

func template(t *testing.T, text string) *Template {
	t.Helper()
	out, ps := ParseTemplate("t.yaml", []byte(text), shardFields)
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	return out
}

func TestRender_when_all_is_well(t *testing.T) {
	tpl := template(t, shards)
	if tpl.Name != "shards" || len(tpl.Parameters) != 3 || tpl.Parameters[0].Given || tpl.Parameters[1].Default != "db.example" || tpl.Parameters[0].Help != "two digits" {
		t.Errorf("%+v", tpl)
	}
	r, ps := tpl.Render(map[string]string{"shard": "07"})
	want := `# Why there are shards.
# template: shards
# parameters:
#   - {name: shard, help: two digits}
#   - {name: host, default: db.example}   # the proxy
#   - name: parallel
#     default: 2
name: "shop-07"
source: {address: "db.example:3306", user: "db.example", password: "${file:/s/07}"} # é
parallel: 2
mirror: false
tables: ["shop.07_*", "a.$${param:b}"]
`
	if len(ps) > 0 || r.Text != want {
		t.Fatalf("%v\n%s", ps, r.Text)
	}
	for text, line := range map[string]int{`"shop-`: 8, `"db.example:`: 9, `user:`: 9, `"db.example",`: 9, `password`: 9, `"${file`: 9, `# é`: 9, `mirror`: 11, `"a.$`: 12} {
		lines := strings.Split(r.Text, "\n")
		at := strings.Index(lines[line-1], text) + 1
		back := r.Back(Place{"t.yaml", line, at})
		before := strings.Split(shards, "\n")[line-1]
		if got := before[back.Col-1:]; back.Line != line || !strings.HasPrefix(strings.Trim(got, `"'`), "${param") && !strings.HasPrefix(got, text[:2]) && !strings.HasPrefix(got, "'shop") {
			t.Errorf("%s comes from %v: %s", text, back, got)
		}
	}
}

func TestRender_when_values_are_evil(t *testing.T) {
	tpl := template(t, shards)
	f := Resolver{File: func(string) ([]byte, error) { return []byte("hidden"), nil }}
	for _, v := range []string{
		"a\nparallel: 9", "a: b", `"`, `'`, `", user: "x`, `\`, `\"`, "# c", "- a", "{a: b}", "[", "]", "}", "}, x: {", "&a", "*a", "!!int 1", "| x", "> y", "%TAG", "---", "a\n---\nb", "null", "~", "true", "007", "1e3", "0x10", ".inf",
		"", " ", "  lead", "trail  ", "\t", "a\tb", "\n", "\u0085", "\u2028x", "\u2029", "\ufeff", "日本 é 😀", "$", "$$", "a$", "${", "@", "`", "a #b", ": ", "? x", "<<", "{{x}}", strings.Repeat("x", MaxValue),
	} {
		r, ps := tpl.Render(map[string]string{"shard": "1", "host": v})
		if strings.Contains(v, "${") {
			if len(ps) != 1 || ps[0].Code != fault.JobParam {
				t.Errorf("%q: %v", v, ps)
			}
			continue
		}
		if len(ps) > 0 {
			t.Errorf("%q: %v", v, ps)
			continue
		}
		got, ps := Parse("t.yaml", []byte(r.Text), shardFields, f)
		if len(ps) > 0 || got.Object("source").Text("user") != v || got.Object("source").Text("address") != v+":3306" || got.Int("parallel") != 2 || got.Text("name") != "shop-1" || got.Object("source").Secret("password").Reveal() != "hidden" {
			t.Errorf("%q became %q, %v\n%s", v, got.Object("source").Text("user"), ps, r.Text)
		}
	}
}

// Whatever the values are, what is read is the template with just them in it.
func TestRender_when_of_any_values(t *testing.T) {
	tpl := template(t, shards)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringOfN(rapid.RuneFrom([]rune("${}:'\"\\\n\t #-[],&*!|>%@`a0\u2028param")), 0, 12, -1))
		host, shard, parallel := text.Draw(t, "host"), text.Draw(t, "shard"), text.Draw(t, "parallel")
		r, ps := tpl.Render(map[string]string{"shard": shard, "host": host, "parallel": parallel})
		if len(ps) > 0 {
			if ValidValue(shard) == nil && ValidValue(host) == nil && ValidValue(parallel) == nil && !strings.Contains(shard, "}") {
				t.Fatal(ps)
			}
			return
		}
		asked := ""
		got, ps := Parse("/t.yaml", []byte(r.Text), shardFields, Resolver{File: func(path string) ([]byte, error) { asked = path; return nil, nil }})
		for _, p := range ps {
			if p.Path != "parallel" {
				t.Fatalf("%v\n%s", p, r.Text)
			}
		}
		if got.Text("name") != "shop-"+shard || got.Object("source").Text("user") != host || got.List("tables")[0] != "shop."+shard+"_*" || asked != "/s/"+shard || got.Bool("mirror") {
			t.Fatalf("%q %q: %s", host, shard, r.Text)
		}
	})
}

func TestRender_when_a_parameter_stands_alone(t *testing.T) {
	tpl := template(t, "template: t\nparameters: [{name: a}]\nparallel: ${param:a}\nmirror: ${param:a}\nname: \"${param:a}\"\n")
	for v, want := range map[string]string{
		"4": "parallel: 4\nmirror: 4\nname: \"4\"\n", "true": "parallel: true\nmirror: true\nname: \"true\"\n", "-1": "parallel: -1\nmirror: -1\nname: \"-1\"\n",
		"04": "parallel: \"04\"\nmirror: \"04\"\nname: \"04\"\n", "yes": "parallel: \"yes\"\nmirror: \"yes\"\nname: \"yes\"\n", "1_0": "parallel: \"1_0\"\nmirror: \"1_0\"\nname: \"1_0\"\n",
	} {
		r, ps := tpl.Render(map[string]string{"a": v})
		if len(ps) > 0 || !strings.HasSuffix(r.Text, want) {
			t.Errorf("%s: %v\n%s", v, ps, r.Text)
		}
	}
}

func TestRender_when_values_do_not_fit(t *testing.T) {
	tpl := template(t, strings.Replace(shards, "mirror: false", "more: \"${param:host}${param:shard}\"\nfree: \"${param:host}${env:HOME}\"", 1))
	for _, c := range []struct {
		values map[string]string
		says   string
	}{
		{nil, "the parameter shard has no value: give it one, or the template a default; two digits"},
		{map[string]string{"shard": "1", "hots": "x"}, `the template shards has no parameter "hots": did you mean "host"?`},
		{map[string]string{"shard": "1}2"}, "the value of shard has a } and would end the reference"},
		{map[string]string{"shard": "{x", "host": "$"}, "the values make a reference of what was none"},
		{map[string]string{"shard": "1", "host": "a$"}, "a value ends with a $ before a reference"},
		{map[string]string{"shard": "${env:X}"}, "expected plain text: a reference belongs into the template"},
		{map[string]string{"shard": "a\x00"}, "without control characters"},
		{map[string]string{"shard": "a\xff"}, "expected UTF-8"},
		{map[string]string{"shard": strings.Repeat("é", MaxValue+1)}, "at most 1000 characters"},
	} {
		_, ps := tpl.Render(c.values)
		ps = tpl.Unknown(c.values).Merge(ps...)
		if len(ps) == 0 || ps[0].Code != fault.JobParam || !strings.Contains(ps[0].What+": "+ps[0].Advice(), c.says) {
			t.Errorf("%v: %+v", c.values, ps)
		}
	}
	r, ps := tpl.Render(map[string]string{"shard": "1", "gone": "x"})
	if len(ps) > 0 || strings.Contains(r.Text, "gone") {
		t.Errorf("%v", ps)
	}
}

func TestParseTemplate_when_it_is_wrong(t *testing.T) {
	head := "template: t\nparameters: [{name: a}, {name: b, default: x}]\n"
	for _, c := range []struct{ text, at, says string }{
		{"", "t.yaml", "empty"},
		{"name: x\n", "t.yaml:1:1", "template: missing"},
		{"template: T\nparameters: [{name: a}]\n", "t.yaml:1:11", "expected 1 to 64"},
		{"{template: t, parameters: [{name: a}], name: \"${param:a}\"}\n", "t.yaml:1:1", "keys on lines of their own"},
		{"template: t\nparameters: [{name: A}]\n", "t.yaml:2:21", "a small letter"},
		{"template: t\nparameters: [{name: a}, {name: a}]\n", "t.yaml:2:32", "another parameter (line 2)"},
		{"template: t\nparameters: [{nme: a}]\n", "t.yaml:2:14", "missing; expected text"},
		{"template: t\nparameters: []\n", "t.yaml:2:13", "has 0 items"},
		{"template: t\nparameters: [{name: a, default: \"${env:X}\"}]\n", "t.yaml:2:33", "plain text"},
		{"template: t\nparameters: [{name: a, default: \"${param:a}\"}]\n", "t.yaml:2:33", "plain text"},
		{head + "name: x-${param:c}\n", "t.yaml:3:7", "${param:c} is not declared"},
		{head + "name: x-${param:A}\n", "t.yaml:3:7", "has no name"},
		{head + "name: \"${param:a\"\n", "t.yaml:3:7", "is not closed"},
		{head + "name: |\n  ${param:a}\n", "t.yaml:3:7", "values of one line"},
		{head + "name: \"x\n  ${param:a}\"\n", "t.yaml:3:7", "values of one line"},
		{head + "\"${param:a}\": x\n", "t.yaml:3:1", "never for a key"},
		{head + "source: {\"x${param:a}\": x}\n", "t.yaml:3:10", "never for a key"},
		{head + "source: {password: \"${param:a}\"}\n", "t.yaml:3:20", "would be a secret"},
		{head + "source: {pasword: [\"${file:/x}${param:a}\"]}\n", "t.yaml:3:20", "would be a secret"},
	} {
		_, ps := ParseTemplate("t.yaml", []byte(c.text), shardFields)
		if len(ps) == 0 || ps[0].Place.String() != c.at || !strings.Contains(ps[0].Fault().Error(), c.says) {
			t.Errorf("%q:\n%v", c.text, ps.Err())
		}
	}
}

func TestParse_when_a_job_has_parameters(t *testing.T) {
	for text, at := range map[string]string{
		"name: \"x-${param:a}\"\n": "t.yaml:1:7", "parallel: ${param:a}\n": "t.yaml:1:11", "tables: [a, \"${param:a}.*\"]\n": "t.yaml:1:13", "source: {password: \"${param:a}\"}\n": "t.yaml:1:20",
		"source: {pass: \"${param:a}\"}\n": "t.yaml:1:10",
	} {
		_, ps := Parse("t.yaml", []byte(text), shardFields, Resolver{})
		if len(ps) == 0 || ps[len(ps)-1].Code != fault.JobParam || ps[0].Place.String() != at || strings.Count(text, "pass:") == 0 && len(ps) != 1 {
			t.Errorf("%s: %v", text, ps)
		}
	}
	v, ps := Parse("t.yaml", []byte("name: \"x-$${param:a}\" # ${param:b}\ntables: [\"$${param:a}\"]\n"), shardFields, Resolver{})
	if len(ps) > 0 || v.Text("name") != "x-${param:a}" {
		t.Errorf("%v", ps)
	}
}
