package job

import (
	"fmt"
	"strings"
	"testing"

	"godwit/internal/connector"
	"godwit/internal/option"
)

// placed has a sink whose place can be said in two ways.
var placed = Systems{Registry: connector.Registry{
	Sources: testConnectors.Sources,
	Sinks: []connector.SinkDriver{{Name: "files", Options: []option.Field{
		{Name: "disk", Kind: option.Object, Choice: true, Fields: []option.Field{{Name: "path", Kind: option.Text}, {Name: "url", Kind: option.Text}}},
		{Name: "form", Kind: option.Object, Fields: []option.Field{
			{Name: "size", Kind: option.Text},
			{Name: "roll", Kind: option.Object, Live: true, Fields: []option.Field{{Name: "size", Kind: option.Text}}},
			{Name: "rules", Kind: option.Objects, Live: true, Fields: []option.Field{{Name: "match", Kind: option.Text}}},
		}},
	}}},
}}

func TestDiff_when_much_is_edited(t *testing.T) {
	text := func(path, size, roll string) string {
		return fmt.Sprintf(`name: shop
source: {mysql: {address: %s, user: u}}
tables: [shop.*]
parallel: %s
sinks: [{name: lake, files: {disk: {path: %s}, form: {size: %s, roll: {size: %s}, rules: [{match: %s}]}}}]
`, path, size, path, size, roll, roll)
	}
	parse := func(text string) *Spec {
		s, ps := Parse("job.yaml", []byte(text), placed, testResolver)
		if len(ps) > 0 {
			t.Fatal(ps.Err())
		}
		return s
	}
	old, now := parse(text("a", "1", "1")), parse(text("b", "2", "2"))
	for range 5 { // maps have no order
		var got []string
		for _, e := range now.Diff(old.Kept()) {
			got = append(got, fmt.Sprintf("%s %s: %s", e.Field, e.Effect, e.Why))
		}
		want := `parallel applies: at the next start
sinks.lake.files.disk.path refused: what was moved so far is in another place
sinks.lake.files.form.roll.size applies: at the next start; nothing is read again
sinks.lake.files.form.rules[0].match applies: at the next start; nothing is read again
sinks.lake.files.form.size refused: what was written so far lies elsewhere or has another form
source.mysql.address checked: the server must continue the history the target holds`
		if strings.Join(got, "\n") != want {
			t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
		}
	}
}
