package option

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"godwit/internal/fault"
)

var testFields = []Field{
	{Name: "name", Kind: Text, Required: true},
	{Name: "source", Kind: Object, Required: true, OneOf: true, Fields: []Field{
		{Name: "mysql", Kind: Object, Fields: []Field{
			{Name: "address", Kind: Text, Required: true},
			{Name: "user", Kind: Text, Default: "root"},
			{Name: "password", Kind: Secret},
			{Name: "tls", Kind: Object, Fields: []Field{{Name: "mode", Kind: Enum, Values: []string{"off", "required", "verify"}, Default: "off"}, {Name: "key", Kind: Text}}},
			{Name: "server_id", Kind: Int, Min: 1, Max: 1 << 32},
		}},
		{Name: "other", Kind: Object},
	}},
	{Name: "tables", Kind: List, Min: 1, Check: func(v any) error {
		if !strings.Contains(v.(string), ".") {
			return errors.New("expected database.table")
		}
		return nil
	}},
	{Name: "strict", Kind: Bool, Default: true},
	{Name: "renames", Kind: Map, Max: 3, Check: func(v any) error {
		if p := v.(Pair); p.Value == "" || p.Key == p.Value {
			return errors.New("expected another name")
		}
		return nil
	}},
	{Name: "sinks", Kind: Objects, Min: 1, Max: 3, Fields: []Field{
		{Name: "name", Kind: Text, Required: true},
		{Name: "files", Kind: Object, Choice: true, Fields: []Field{
			{Name: "url", Kind: Text, Required: true},
			{Name: "null", Kind: Text, Default: `\N`},
			{Name: "roll", Kind: Object, Fields: []Field{
				{Name: "every", Kind: Duration, Default: 30 * time.Second, Min: int64(time.Second), Max: int64(24 * time.Hour)},
				{Name: "rows", Kind: Int},
				{Name: "size", Kind: Size, Default: int64(128 << 20), Min: 1 << 10},
			}},
		}},
		{Name: "pg", Kind: Object, Choice: true, Fields: []Field{{Name: "dsn", Kind: Secret, Required: true}}},
	}},
}

var testResolver = Resolver{
	Env: func(n string) (string, bool) {
		v, ok := map[string]string{"SHOP_PASSWORD": "hunter22", "HOST": "db:3306"}[n]
		return v, ok
	},
	File: func(p string) ([]byte, error) {
		switch p {
		case "/jobs/pw.txt":
			return []byte("fromfile\r\n"), nil
		case "/abs/nul":
			return []byte("a\x00b"), nil
		case "/abs/big":
			return make([]byte, maxSecretBytes+1), nil
		}
		return nil, fs.ErrNotExist
	},
}

const whole = `name: shop-to-lake
source:
  mysql: {address: "${env:HOST}", user: godwit, password: "${env:SHOP_PASSWORD}"}
tables: ["shop.*", "!shop.tmp_*"]
strict: false # a comment
sinks:
  - name: lake
    files:
      url: "file:///data/lake"
      null: ''
      roll: {size: 64 MiB, every: 1m30s}
  - name: pg
    pg: {dsn: "${file:pw.txt}"}
`

func parse(t *testing.T, text string) (Values, Problems) {
	t.Helper()
	return Parse("/jobs/job.yaml", []byte(text), testFields, testResolver)
}

func TestParse_when_all_is_right(t *testing.T) {
	v, ps := parse(t, whole)
	if len(ps) > 0 {
		t.Fatal(ps.Err())
	}
	m := v.Object("source").Object("mysql")
	files := v.Objects("sinks")[0].Object("files")
	got := fmt.Sprint(v.Text("name"), v.Object("source").Chosen(), m.Text("address"), m.Written("address"), m.Text("user"), m.Secret("password").Reveal(),
		m.Object("tls").Text("mode"), v.List("tables"), v.Bool("strict"), v.Objects("sinks")[0].Chosen(), v.Objects("sinks")[1].Chosen(),
		files.Text("null"), files.Object("roll").Int("size"), files.Object("roll").Duration("every"), v.Objects("sinks")[1].Object("pg").Secret("dsn").Reveal())
	want := `shop-to-lakemysqldb:3306${env:HOST}godwithunter22off[shop.* !shop.tmp_*] falsefilespg67108864 1m30sfromfile`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for what, c := range map[string]struct {
		got  Place
		want string
	}{
		"object":        {v.Object("source").Object("mysql").At(), "/jobs/job.yaml:3:3"},
		"scalar":        {m.Place("user"), "/jobs/job.yaml:3:41"},
		"not given":     {m.Place("server_id"), "/jobs/job.yaml:3:3"},
		"list item":     {v.ItemPlace("tables", 1), "/jobs/job.yaml:4:20"},
		"item":          {v.Objects("sinks")[1].At(), "/jobs/job.yaml:12:5"},
		"object in map": {files.Object("roll").At(), "/jobs/job.yaml:11:7"},
		"quoted":        {files.Place("null"), "/jobs/job.yaml:10:13"},
	} {
		if c.got.String() != c.want {
			t.Errorf("%s stands at %s, want %s", what, c.got, c.want)
		}
	}
	if m.Given("server_id") || !m.Given("user") {
		t.Error("Given does not tell what was given")
	}
}

// TestParse_when_something_is_wrong has one line for each mistake: where it is
// said to be, at which path, and how.
func TestParse_when_something_is_wrong(t *testing.T) {
	good := func(old, new string) string {
		if !strings.Contains(whole, old) {
			t.Fatalf("%q is not in the text", old)
		}
		return strings.Replace(whole, old, new, 1)
	}
	for _, c := range []struct {
		what, text string
		code       fault.Code
		at         string // line:column
		path       string
		says       string
	}{
		{"misspelt key", good("every:", "evry:"), fault.JobField, "11:28", "sinks[0].files.roll.evry", `no such key did you mean "every"? known: every, rows, size`},
		{"key far from all", good("every:", "zzz:"), fault.JobField, "11:28", "sinks[0].files.roll.zzz", "no such key known: every, rows, size"},
		{"misspelt top key", good("tables:", "table:"), fault.JobField, "4:1", "table", `did you mean "tables"?`},
		{"misspelt system", good("  mysql:", "  mysq:"), fault.JobField, "3:3", "source.mysq", `did you mean "mysql"?`},
		{"twice", good("strict: false", "strict: false\nname: x"), fault.JobField, "6:1", "name", "given twice; first at line 1"},
		{"missing", good("name: shop-to-lake\n", ""), fault.JobMissing, "1:1", "name", "missing; expected text"},
		{"missing inside", good(`url: "file:///data/lake"`, `null: a`), fault.JobMissing, "8:5", "sinks[0].files.url", "missing"},
		{"no system", good("  mysql: {address: \"${env:HOST}\", user: godwit, password: \"${env:SHOP_PASSWORD}\"}", "  {}"), fault.JobMissing, "2:1", "source", "missing: what system it is known: mysql, other"},
		{"no choice", good("    pg: {dsn: \"${file:pw.txt}\"}", ""), fault.JobMissing, "12:5", "sinks[1]", "known: files, pg"},
		{"two systems", good("    pg:", "    files: {url: x}\n    pg:"), fault.JobField, "14:5", "sinks[1].pg", "only one of files, pg may be given"},
		{"no value", good("strict: false # a comment", "strict:"), fault.JobValue, "5:1", "strict", "has no value; expected true or false"},
		{"no value, text", good("name: shop-to-lake", "name:"), fault.JobValue, "1:1", "name", "has no value"},
		{"null", good("strict: false", "strict: ~"), fault.JobValue, "5:1", "strict", "has no value"},
		{"bool in quotes", good("strict: false", `strict: "false"`), fault.JobValue, "5:9", "strict", `true or false, without quotes, not "false"`},
		{"yes", good("strict: false", `strict: yes`), fault.JobValue, "5:9", "strict", "expected true or false"},
		{"bool as text", good("name: shop-to-lake", "name: true"), fault.JobValue, "1:7", "name", "expected text; put it in quotes"},
		{"size unit", good("64 MiB", "64 MiBs"), fault.JobValue, "11:20", "sinks[0].files.roll.size", `expected a size such as 4096, 128MiB or 1 GB, not "64 MiBs"`},
		{"size loose", good("64 MiB", "64M"), fault.JobValue, "11:20", "sinks[0].files.roll.size", "write MB or MiB"},
		{"size small", good("64 MiB", "12"), fault.JobValue, "11:20", "sinks[0].files.roll.size", "at least 1KiB"},
		{"duration", good("1m30s", "90"), fault.JobValue, "11:35", "sinks[0].files.roll.every", "expected a duration such as"},
		{"duration large", good("1m30s", "3d"), fault.JobValue, "11:35", "sinks[0].files.roll.every", "from 1s to 1d"},
		{"enum", good("user: godwit", "tls: {mode: requird}"), fault.JobValue, "3:47", "source.mysql.tls.mode", `expected a known value, not "requird" did you mean "required"? known: off, required, verify`},
		{"int", good("user: godwit", "server_id: 0x10"), fault.JobValue, "3:46", "source.mysql.server_id", "whole number"},
		{"int as text", good("user: godwit", `server_id: "7"`), fault.JobValue, "3:46", "source.mysql.server_id", "whole number from 1 to"},
		{"int bounds", good("user: godwit", `server_id: 0`), fault.JobValue, "3:46", "source.mysql.server_id", "from 1 to 4294967296"},
		{"int huge", good("user: godwit", `server_id: 99999999999999999999`), fault.JobValue, "3:46", "source.mysql.server_id", "whole number"},
		{"list item", good(`"!shop.tmp_*"`, `"!shop"`), fault.JobValue, "4:20", "tables[1]", "expected database.table"},
		{"no list", good(`["shop.*", "!shop.tmp_*"]`, `shop.*`), fault.JobValue, "4:9", "tables", "expected a list"},
		{"empty list", good(`["shop.*", "!shop.tmp_*"]`, `[]`), fault.JobValue, "4:9", "tables", "has 0 items"},
		{"map in list", good(`["shop.*", "!shop.tmp_*"]`, `[{a: b}]`), fault.JobValue, "4:10", "tables[0]", "expected text"},
		{"map", good("strict: false", "renames: [a]"), fault.JobValue, "5:10", "renames", "expected keys and values, such as {a: b}"},
		{"map item", good("strict: false", "renames: {a: b, c: c}"), fault.JobValue, "5:20", "renames.c", "expected another name"},
		{"map of a map", good("strict: false", "renames: {a: {b: c}}"), fault.JobValue, "5:11", "renames.a", "expected text"},
		{"map without a value", good("strict: false", "renames: {a: }"), fault.JobValue, "5:11", "renames.a", "expected text"},
		{"map twice", good("strict: false", "renames: {a: b, a: c}"), fault.JobValue, "", "renames.a", "given twice"},
		{"map large", good("strict: false", "renames: {a: b, c: d, e: f, g: h}"), fault.JobValue, "5:10", "renames", "has 4 entries; expected 0 to 3"},
		{"sinks no list", good("  - name: lake\n", "    name: lake\n"), fault.JobSyntax, "12:3", "", ""},
		{"scalar for object", good("roll: {size: 64 MiB, every: 1m30s}", "roll: 64 MiB"), fault.JobValue, "11:13", "sinks[0].files.roll", "expected keys and values, such as every: …"},
		{"env not set", good("SHOP_PASSWORD", "NOPE"), fault.JobSecret, "3:59", "source.mysql.password", "the environment variable NOPE is not set"},
		{"file missing", good("${file:pw.txt}", "${file:no.txt}"), fault.JobSecret, "13:15", "sinks[1].pg.dsn", "${file:no.txt}: file does not exist"},
		{"file with zero", good("${file:pw.txt}", "${file:/abs/nul}"), fault.JobSecret, "13:15", "sinks[1].pg.dsn", "zero byte"},
		{"file large", good("${file:pw.txt}", "${file:/abs/big}"), fault.JobSecret, "13:15", "sinks[1].pg.dsn", "larger than 64KiB"},
		{"other reference", good("${file:pw.txt}", "${HOME}"), fault.JobSecret, "13:15", "sinks[1].pg.dsn", "write $${ for a plain ${"},
		{"open reference", good("${file:pw.txt}", "${file:pw"), fault.JobSecret, "13:15", "sinks[1].pg.dsn", "not closed"},
		{"alias", good(`["shop.*", "!shop.tmp_*"]`, `[*.orders]`), fault.JobSyntax, "4:10", "", `put the value in quotes`},
		{"tag", good(`["shop.*", "!shop.tmp_*"]`, `[!shop.x]`), fault.JobSyntax, "4:10", "", `put the value in quotes`},
		{"anchor", good("strict: false", "strict: &a false"), fault.JobSyntax, "5:9", "", "an anchor"},
		{"merge", good("strict: false", "<<: {strict: false}"), fault.JobSyntax, "5:1", "", "merge keys"},
		{"second document", whole + "---\nname: x\n", fault.JobSyntax, "15:1", "", "one file is one job"},
		{"directive", "%YAML 1.2\n---\n" + whole, fault.JobSyntax, "1:1", "", "directives"},
		{"empty", "", fault.JobSyntax, "0:0", "", "the file is empty"},
		{"comment only", "# nothing\n", fault.JobSyntax, "0:0", "", "the file is empty"},
		{"a list", "- a\n- b\n", fault.JobValue, "1:1", "", "expected keys and values"},
		{"a word", "hello\n", fault.JobValue, "1:1", "", "expected keys and values"},
		{"tab", "name: a\n\tb: c\n", fault.JobSyntax, "2:1", "", ""},
		{"bracket", good("every: 1m30s}", "every: 1m30s"), fault.JobSyntax, "", "", ""},
		{"control character", "name: a\x07b\n", fault.JobSyntax, "1:8", "", "control character"},
		{"not UTF-8", "name: a\xff\n", fault.JobSyntax, "0:0", "", "not UTF-8"},
		{"too large", "name: a\n" + strings.Repeat("#", MaxBytes), fault.JobSyntax, "0:0", "", "at most 1MiB are read"},
		{"nested brackets", "name: " + strings.Repeat("[", 50_000), fault.JobSyntax, "1:39", "", "nested too deeply"},
		{"nested items", strings.Repeat("- ", 90_000) + "a", fault.JobSyntax, "1:65", "", "nested too deeply"},
		{"nested keys", strings.Repeat("? ", 90_000) + "a", fault.JobSyntax, "1:65", "", "nested too deeply"},
	} {
		t.Run(c.what, func(t *testing.T) {
			begin := time.Now()
			_, ps := parse(t, c.text)
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
			if len(ps) == 0 {
				t.Fatal("no problem found")
			}
			for _, p := range ps {
				at := fmt.Sprintf("%d:%d", p.Place.Line, p.Place.Col)
				if p.Code == c.code && (c.at == "" || at == c.at) && (c.path == "" || p.Path == c.path) && strings.Contains(p.What+" "+p.Advice(), c.says) {
					return
				}
			}
			t.Errorf("want %s at %s %q %q; got:", c.code, c.at, c.path, c.says)
			for _, p := range ps {
				t.Errorf("  %s %d:%d %q %q %q", p.Code, p.Place.Line, p.Place.Col, p.Path, p.What, p.Advice())
			}
		})
	}
}

func TestParse_when_many_things_are_wrong(t *testing.T) {
	text := "name: [a]\nsource: {mysql: {adress: x}}\nsinks:\n"
	for i := range 30 {
		text += fmt.Sprintf("  - {nam: a%d}\n", i)
	}
	_, ps := parse(t, strings.Replace(text, "sinks:\n", "tables: x\nsinks:\n", 1))
	if len(ps) != 5 {
		t.Errorf("a list that is too long is one problem: got %d problems", len(ps))
	}
	many := "name: a\nsource: {other: {}}\n"
	for i := range 30 {
		many += fmt.Sprintf("k%d: x\n", i)
	}
	_, ps = parse(t, many)
	if len(ps) != MaxProblems {
		t.Errorf("got %d problems, want %d", len(ps), MaxProblems)
	}
	for i := 1; i < len(ps); i++ {
		if ps[i].Place.Line < ps[i-1].Place.Line {
			t.Errorf("problems are not in the order of the text: line %d after %d", ps[i].Place.Line, ps[i-1].Place.Line)
		}
	}
}

func TestParse_when_text_is_escaped(t *testing.T) {
	for in, want := range map[string]string{
		`"$${env:X}"`: "${env:X}", `"a$${b"`: "a${b", `"$5"`: "$5", `"${env:HOST}/${env:HOST}"`: "db:3306/db:3306", `"x$${y}${env:HOST}"`: "x${y}db:3306",
		`12`: "12", `1.50`: "1.50", `007`: "007", `"a: b"`: "a: b", "|\n  two\n  lines": "two\nlines\n",
	} {
		v, ps := parse(t, "name: "+in+"\nsource: {other: {}}\n")
		if len(ps) > 0 {
			t.Errorf("%s: %v", in, ps.Err())
		}
		if v.Text("name") != want {
			t.Errorf("%s gives %q, want %q", in, v.Text("name"), want)
		}
	}
}

// TestParse_when_a_secret_is_near puts a secret beside all kinds of mistakes: it
// must not be in any text of the problems.
func TestParse_when_a_secret_is_near(t *testing.T) {
	const canary = "cAnArY77xy"
	for _, text := range []string{
		"source: {mysql: {address: a, password: CANARY, evry: 3}}",
		"source: {mysql: {address: a, evry: 3, password: \"CANARY\", evrry: 4}}",
		"source: {mysql: {address: a, pasword: CANARY}}",
		"source: {mysql: {address: a, passphrase: CANARY}}",
		"source: {mysql: {address: a, password: {CANARY: 1}}}",
		"source: {mysql: {address: a, password: [CANARY, x]}}",
		"source: {mysql: {password: CANARY, password: xCANARY}}",
		"source: {mysqll: {password: CANARY}}",
		"sinks: [{name: a, pg: {dsn: CANARY, nope: 1}}]",
		"sinks: [{name: a, pg: {dsm: CANARY}}]",
		"source:\n  mysql:\n    password: CANARY\n    address: [\n",
		"source:\n  mysql:\n    password: \"CANARY\n    address: b\n",
		"source:\n  mysql:\n    password: CANARY: x\n",
		"source:\n  mysql:\n    password: @CANARY\n",
		"source:\n  mysql:\n    password: &CANARY\n",
		"source:\n  mysql:\n    password: *CANARY\n",
		"source:\n  mysql:\n    password: !CANARY\n",
		"source:\n  mysql:\n    password:\n      CANARY\n      nope: {\n",
		"source:\n  mysql:\n    password: |\n      CANARY\n      more\n    evry: 3\n",
		"source:\n  mysql: {address: a, password: |\n CANARY }\n",
		"source: {mysql: {address: a, password: '${env:CANARY'}}",
		"source: {mysql: {address: a, password: true CANARY: }}",
		"sinks: [{name: a, files: {url: \"s3://me:CANARY@host/b\", nope: 1}}]",
		"source: {mysql: {address: a, password: \"x\\x07CANARY\", evry: 1}}",
		"source: {mysql: {address: a, password: \"${env:NOPE}CANARY\"}}",
		"password: CANARY\nsource: CANARY2\n",
		"source:\n  mysql:\n    ? password\n    : CANARY\n    evry: 1\n",
	} {
		text = strings.ReplaceAll(text, "CANARY2", "x")
		text = strings.ReplaceAll(text, "CANARY", canary)
		_, ps := parse(t, text)
		if len(ps) == 0 {
			t.Errorf("%q: no problem", text)
		}
		for _, p := range ps {
			if s := fmt.Sprintf("%+v %v", p, p.Fault()); strings.Contains(s, canary) && !strings.Contains(text, "${env:"+canary) {
				t.Errorf("%q shows the secret: %s", text, s)
			}
		}
	}
}

func TestParse_when_the_line_is_shown(t *testing.T) {
	_, ps := parse(t, "name: x\nsource:\n  mysql: {address: a, password: secret99, évry: 1, user: b}\n")
	if len(ps) != 1 {
		t.Fatal(ps)
	}
	p := ps[0]
	if want := "  mysql: {address: a, password: ******, évry: 1, user: b}"; p.Line != want {
		t.Errorf("line %q, want %q", p.Line, want)
	}
	if got := string([]rune(p.Line)[p.Caret-1 : p.Caret-1+p.Width]); got != "évry" {
		t.Errorf("the caret marks %q", got)
	}
	if p.Place.Col != 43 {
		t.Errorf("column %d is not that of the file", p.Place.Col)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte("name: |\n  x\nsource: {mysql: {address: &a b, password: *a}}\n"))
	f.Add([]byte("? a\n: b\n- c\n"))
	f.Add([]byte("{[{[\"']}]"))
	f.Add([]byte("a: !!binary x\n<<: *y\n%TAG\n---\n..."))
	f.Fuzz(func(t *testing.T, text []byte) {
		begin := time.Now()
		v, ps := Parse("job.yaml", text, testFields, testResolver)
		if took := time.Since(begin); took > 10*time.Second {
			t.Fatalf("took %v for %d bytes", took, len(text))
		}
		if len(ps) > MaxProblems {
			t.Fatalf("%d problems", len(ps))
		}
		for _, p := range ps {
			if p.What == "" || p.Width < 1 || p.Line != "" && (p.Caret < 1 || p.Caret > len([]rune(p.Line))+1) {
				t.Fatalf("problem not fit to show: %+v", p)
			}
		}
		if len(ps) == 0 && v.Text("name") == "" && !v.Given("name") {
			t.Fatal("no problem and no name")
		}
	})
}
