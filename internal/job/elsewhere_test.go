package job

import (
	"fmt"
	"slices"
	"testing"

	"godwit/internal/connector"
	"godwit/internal/option"
)

// What a target is made with is told from what says only where it is.
func TestDiff_when_only_another_target_helps(t *testing.T) {
	systems := Systems{Registry: connector.Registry{
		Sources: []connector.SourceDriver{{Name: "src"}},
		Sinks: []connector.SinkDriver{{Name: "files", Options: []option.Field{
			{Name: "address", Kind: option.Text}, {Name: "format", Kind: option.Text, Form: true},
			{Name: "csv", Kind: option.Object, Form: true, Fields: []option.Field{{Name: "header", Kind: option.Bool}, {Name: "level", Kind: option.Int, Live: true}}},
		}}},
	}}
	parse := func(address, format string, header bool, level int) *Spec {
		t.Helper()
		text := fmt.Appendf(nil, "name: shop\nsource: {src: {}}\ntables: [\"a.*\"]\nsinks: [{name: lake, files: {address: %s, format: %s, csv: {header: %v, level: %d}}}]\n",
			address, format, header, level)
		s, ps := Parse("job.yaml", text, systems, option.Resolver{})
		if len(ps) > 0 {
			t.Fatal(ps.Err())
		}
		return s
	}
	var got []string
	for _, e := range parse("b", "json", false, 2).Diff(parse("a", "csv", true, 1).Kept()) {
		got = append(got, fmt.Sprint(e.Field, " ", e.Effect, " ", e.Elsewhere))
	}
	want := []string{"sinks.lake.files.address refused false", "sinks.lake.files.csv.header refused true", "sinks.lake.files.csv.level applies false", "sinks.lake.files.format refused true"}
	if !slices.Equal(got, want) {
		t.Errorf("%q\n%q", got, want)
	}
}
