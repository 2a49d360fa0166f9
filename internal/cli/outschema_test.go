package cli

import (
	"bytes"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"godwit/internal/fault"
)

func compile(t *testing.T, text []byte) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var outputSchema = sync.OnceValue(func() *jsonschema.Schema { return compile(&testing.T{}, OutputSchema()) })

// validate holds an output line against the schema that is printed.
func validate(t *testing.T, line map[string]any) {
	t.Helper()
	if err := outputSchema().Validate(line); err != nil {
		t.Errorf("%v does not fit the output schema: %v", line, err)
	}
}

func TestOutputSchema_when_a_line_is_wrong(t *testing.T) {
	good := map[string]any{"v": 1.0, "type": "summary", "t": "2026-11-21T14:05:20Z", "command": "run", "exit_code": 0.0, "elapsed_s": 1.5}
	validate(t, good)
	for k, v := range map[string]any{"exit_code": "0", "command": 1.0, "t": 5.0, "v": nil} {
		bad := map[string]any{}
		for k, v := range good {
			bad[k] = v
		}
		bad[k] = v
		if outputSchema().Validate(bad) == nil {
			t.Errorf("%s = %v is accepted", k, v)
		}
	}
	delete(good, "exit_code")
	if outputSchema().Validate(good) == nil {
		t.Error("a summary without exit_code is accepted")
	}
	validate(t, map[string]any{"v": 1.0, "type": "a kind to come"})
}

func TestSchema_when_held_against_the_example(t *testing.T) {
	s := compile(t, Schema(testRegistry))
	check := func(text string) error {
		j, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(j))
		if err != nil {
			t.Fatal(err)
		}
		return s.Validate(v)
	}
	if err := check(example); err != nil {
		t.Errorf("the example does not fit: %v", err)
	}
	if check(strings.Replace(example, "every:", "evry:", 1)) == nil {
		t.Error("a misspelt key fits")
	}
}

// TestErrorReference_when_written says that docs/errors.md is fresh. With
// GODWIT_UPDATE=1 it writes the file.
func TestErrorReference_when_written(t *testing.T) {
	const path = "../../docs/errors.md"
	if os.Getenv("GODWIT_UPDATE") == "1" {
		if err := os.WriteFile(path, []byte(ErrorReference()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil || string(b) != ErrorReference() {
		t.Errorf("%s is not fresh (%v): run this test with GODWIT_UPDATE=1", path, err)
	}
	for _, i := range fault.Catalogue {
		if !strings.Contains(string(b), "\n## "+string(i.Code)+"\n") {
			t.Errorf("%s lacks %s", path, i.Code)
		}
	}
}

func TestReference_when_made(t *testing.T) {
	r := Reference(testRegistry)
	for _, want := range []string{"| `name` |", "## `source.mysql`", "## `sinks[].files.roll`", "May be changed later"} {
		if !strings.Contains(r, want) {
			t.Errorf("lacks %q:\n%s", want, r)
		}
	}
}
