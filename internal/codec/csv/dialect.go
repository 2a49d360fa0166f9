package csv

import (
	"godwit/internal/option"
)

// dialect is what a reader of CSV expects: the defaults of the options, and what has
// no option.
type dialect struct {
	header    bool
	null      string
	delimiter string
	quote     string
	quoting   string
	escape    string
	binary    string
	moments   string
	infinity  string
	// blind readers do not see whether a field was quoted: a text that is the null
	// text is null to them.
	blind bool
}

// dialects by name. Each is read back as docs/file-formats.md says.
var dialects = map[string]dialect{
	"rfc4180": {header: true, null: `\N`, delimiter: ",", quote: `"`, quoting: "needed", escape: "double", binary: "hex", moments: "plain", infinity: "Inf"},
	"spark":   {null: `\N`, delimiter: ",", quote: `"`, quoting: "needed", escape: "backslash", binary: "hex", moments: "instant", infinity: "Inf", blind: true},
	"hive":    {null: `\N`, delimiter: "\x01", quote: `"`, quoting: "none", escape: "backslash", binary: "base64", moments: "plain", infinity: "Infinity"},
	"openmldb": {null: "null", delimiter: ",", quote: `"`, quoting: "text", escape: "backslash", binary: "hex", moments: "plain", infinity: "Infinity",
		blind: true},
}

// chosen reads options whose defaults a dialect sets.
type chosen struct {
	option.Values
	dialect
}

func choose(v option.Values) chosen { return chosen{v, dialects[v.Text("dialect")]} }

// text returns a text as given, or as the dialect has it.
func (c chosen) text(name, otherwise string) string {
	if c.Given(name) {
		return c.Text(name)
	}
	return otherwise
}

func (c chosen) flag(name string, otherwise bool) bool {
	if c.Given(name) {
		return c.Bool(name)
	}
	return otherwise
}
