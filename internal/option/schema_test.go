package option

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// compiled returns the schema of the test's fields.
func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(Schema("test", "", testFields))))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft4) // so that $schema must say which it is
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// agree says whether schema and text fit, the text read as editors read it.
func agree(t *testing.T, s *jsonschema.Schema, text string) error {
	t.Helper()
	j, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(string(j)))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(v)
}

func TestSchema_when_validating(t *testing.T) {
	s := compiled(t)
	if err := agree(t, s, whole); err != nil {
		t.Errorf("the schema refuses what Parse accepts: %v", err)
	}
	for _, c := range [][2]string{
		{"every:", "evry:"}, {"name: shop-to-lake\n", ""}, {"  mysql:", "  mysq:"}, {"64 MiB", "64 potatoes"}, {"1m30s", "90"}, {"strict: false", "strict: perhaps"},
		{`["shop.*", "!shop.tmp_*"]`, `[]`}, {"    pg: {dsn: \"${file:pw.txt}\"}", ""}, {"    pg:", "    files: {url: x}\n    pg:"}, {"user: godwit", "server_id: 0"},
		{"user: godwit", "tls: {mode: maybe}"}, {"roll: {size: 64 MiB, every: 1m30s}", "roll: 5"},
	} {
		text := strings.Replace(whole, c[0], c[1], 1)
		if text == whole {
			t.Fatalf("%q is not in the text", c[0])
		}
		if err := agree(t, s, text); err == nil {
			t.Errorf("the schema accepts %q", c[1])
		}
		if _, ps := parse(t, text); len(ps) == 0 {
			t.Errorf("Parse accepts %q", c[1])
		}
	}
}

func TestSchema_when_read_by_people(t *testing.T) {
	var s struct {
		Schema     string `json:"$schema"`
		Properties map[string]struct {
			Properties map[string]any `json:"properties"`
			Default    any            `json:"default"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(Schema("x", "", testFields), &s); err != nil {
		t.Fatal(err)
	}
	if s.Schema != "https://json-schema.org/draft/2020-12/schema" || s.Properties["strict"].Default != true || s.Properties["source"].Properties["mysql"] == nil {
		t.Errorf("%+v", s)
	}
}

func TestReference_when_made(t *testing.T) {
	r := Reference("", testFields)
	for _, want := range []string{
		"| `name` | text | **required** |", "| `size` | size, at least 1KiB | `128MiB` |", "| `every` | duration from 1s to 1d | `30s` |",
		"## `sinks[].files.roll`", "## `source.mysql.tls`", "| `mode` | `off`, `required`, `verify` | `off` |", "| `null` | text | `\\N` |", "one of these", "## `source.other`",
	} {
		if !strings.Contains(r, want) {
			t.Errorf("the reference lacks %q:\n%s", want, r)
		}
	}
}
