package files

import (
	"godwit/internal/codec"
	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/row"
)

// unfitNames are the values of the options "unrepresentable".
var unfitNames = []string{"error", "null", "text"}

func unfitOf(name string) codec.Unfit {
	return map[string]codec.Unfit{"null": codec.Nullify, "text": codec.AsText}[name]
}

// unfitFields declare what becomes of values that a format cannot hold.
func unfitFields() []option.Field {
	return []option.Field{
		{Name: "unrepresentable", Kind: option.Enum, Default: "error", Values: unfitNames, Live: true,
			Help: "What becomes of a value that the format cannot hold exactly, such as the date 0000-00-00 in Parquet (docs/file-formats.md lists them). `error`: its row is refused. `null`: it is null in the file, and counted in the log; in columns of a key it is refused all the same. `text`: every column whose type has such values is text. What it is for a column is shown by `plan`. A column that becomes text, or ceases to be, has two types in files before and after."},
		{Name: "columns", Kind: option.Objects, Max: 1000, Live: true, Help: "Other choices for some columns. The first rule that matches counts.", Fields: []option.Field{
			{Name: "match", Kind: option.Text, Required: true, Live: true, Example: "shop.orders.placed", Help: "`database.table.column`, as the source calls them; `*` and `?` stand for any characters."},
			{Name: "unrepresentable", Kind: option.Enum, Required: true, Values: unfitNames, Live: true, Help: "As above, for these columns.", Example: "null"},
		}},
	}
}

// fit returns c with what v says of values that it cannot hold.
func fit(c codec.Codec, v option.Values) (codec.Codec, error) {
	type rule struct {
		match string
		unfit codec.Unfit
	}
	var rules []rule
	for _, o := range v.Objects("columns") {
		if err := connector.ValidColumn(o.Text("match")); err != nil {
			return nil, fault.New(fault.JobValue, "match: %v", err).At("%s", o.Place("match"))
		}
		rules = append(rules, rule{o.Text("match"), unfitOf(o.Text("unrepresentable"))})
	}
	f, ok := c.(codec.Fitter)
	if !ok {
		return c, nil
	}
	otherwise := unfitOf(v.Text("unrepresentable"))
	return f.Fit(func(t row.Name, column string) codec.Unfit {
		for _, r := range rules {
			if connector.MatchColumn(r.match, t, column) {
				return r.unfit
			}
		}
		return otherwise
	}), nil
}

// noteNulls tells of the values of a file that are null because the format cannot
// hold them.
func (w *writer) noteNulls(t *row.Table, f *file) {
	if r, ok := f.enc.(codec.Refuser); ok && r.Nullified() > 0 {
		w.sink.log.Warn("values that the format cannot hold were written as null", "table", t.Name.String(), "values", r.Nullified())
	}
}
