package option

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"

	"godwit/internal/fault"
)

// Rendered is a job file that was made of a template.
type Rendered struct {
	Text  string
	grown []grown
}

// grown is a value that is longer or shorter than what stood there in the template.
type grown struct{ line, col, before, after int }

// Back returns where in the template a place of the rendered text comes from: lines are
// the same, columns after a value are not.
func (r Rendered) Back(p Place) Place {
	moved := 0
	for _, g := range r.grown { // in the order of the text
		at := g.col + moved
		switch {
		case g.line != p.Line || p.Col < at:
		case p.Col < at+g.after:
			p.Col = g.col
			return p
		default:
			moved += g.after - g.before
		}
	}
	p.Col -= moved
	return p
}

// Render fills in parameters. Each value stays one text, whatever is in it: it is put in
// quotes, and read back to be sure. Only where a parameter stands alone and without
// quotes, a whole number, true and false are what they look like. The lines stay those
// of the template; its own keys become comments. Parameters without a value, and values
// that do not fit, are fault.JobParam; values that the template knows nothing of are
// passed over.
func (t *Template) Render(values map[string]string) (Rendered, Problems) {
	filled, ps := t.filled(values)
	if len(ps) > 0 {
		return Rendered{}, ps
	}
	text := slices.Clone(t.doc.lines)
	for _, l := range t.own {
		for i := l.from; i < l.to; i++ {
			if line := text[i-1]; line != "" && line[0] != '#' {
				text[i-1] = "# " + line
			}
		}
	}
	var out Rendered
	means := make([]string, len(t.sites))
	for i := len(t.sites) - 1; i >= 0; i-- { // from the end, so that columns before it stay
		s := t.sites[i]
		value, err := s.value(filled)
		if err != nil {
			p := Problem{Code: fault.JobParam, Place: Place{t.doc.file, s.line, s.col}, Path: s.path, What: err.Error(), Width: s.width}
			p.Line, p.Caret = t.doc.show(s.line, s.col)
			ps = append(ps, p)
			continue
		}
		written := quoted(value)
		means[i] = "text " + value
		if s.bare && wordlike.MatchString(value) {
			written, means[i] = value, "word "+value
		}
		line := []rune(text[s.line-1])
		text[s.line-1] = string(line[:s.col-1]) + written + string(line[s.col-1+s.width:])
		out.grown = append(out.grown, grown{s.line, s.col, s.width, utf8.RuneCountInString(written)})
	}
	slices.Reverse(out.grown)
	out.Text = strings.Join(text, "\n")
	if len(ps) == 0 && !t.readsBack(out.Text, means) {
		ps = Problems{{Code: fault.JobParam, Place: Place{File: t.doc.file}, What: "with these values the text would not be read as it was meant", Hint: "write the values that parameters stand in on lines of their own, in double quotes", Width: 1}}
	}
	return out, ps.sorted()
}

// filled gives every parameter its value.
func (t *Template) filled(values map[string]string) (out map[string]string, ps Problems) {
	out = map[string]string{}
	for _, p := range t.Parameters {
		v, given := values[p.Name]
		switch {
		case given:
			if err := ValidValue(v); err != nil {
				ps = append(ps, t.wrong("the value of the parameter %s: %v", p.Name, err))
			}
			out[p.Name] = v
		case p.Given:
			out[p.Name] = p.Default
		default:
			problem := t.wrong("the parameter %s has no value", p.Name)
			problem.Hint = strings.TrimSuffix("give it one, or the template a default; "+p.Help, "; ")
			ps = append(ps, problem)
		}
	}
	return out, ps
}

func (t *Template) wrong(format string, args ...any) Problem {
	return Problem{Code: fault.JobParam, Place: Place{File: t.doc.file}, What: fmt.Sprintf(format, args...), Width: 1}
}

// Unknown tells of values for parameters that the template does not have.
func (t *Template) Unknown(values map[string]string) (ps Problems) {
	known := make([]string, len(t.Parameters))
	for i, p := range t.Parameters {
		known[i] = p.Name
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(known, name) {
			p := t.wrong("the template %s has no parameter %.40q", t.Name, name)
			p.Nearest, p.Known = Nearest(name, known), known
			ps = append(ps, p)
		}
	}
	return ps.sorted()
}

// value is the text at a site. It has the references of the template and no others.
func (s site) value(values map[string]string) (string, error) {
	var b strings.Builder
	references := 0
	for _, p := range s.pieces {
		v := p.text
		if p.name != "" {
			v = values[p.name]
		} else {
			references += strings.Count(v, "${")
		}
		switch {
		case p.within && strings.Contains(v, "}"):
			return "", fmt.Errorf("the value of %s has a } and would end the reference it stands in", p.name)
		case p.name == "" && strings.HasPrefix(v, "${") && strings.HasSuffix(b.String(), "$"):
			return "", fmt.Errorf("a value ends with a $ before a reference, which would be none then")
		}
		b.WriteString(v)
	}
	if strings.Count(b.String(), "${") != references {
		return "", fmt.Errorf("the values make a reference of what was none")
	}
	return b.String(), nil
}

// wordlike is what is no text where nothing is in quotes.
var wordlike = regexp.MustCompile(`^(-?(0|[1-9][0-9]{0,17})|true|false)$`)

// quoted is text as one YAML scalar on one line, whatever is in it.
func quoted(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch r {
		case '"', '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case '\n':
			b.WriteString(`\n`)
		case '\t':
			b.WriteString(`\t`)
		case '\u0085', '\u2028', '\u2029', '\ufeff': // ends of lines, and nothing, to some readers
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// readsBack reports whether a text is the template's with means at its sites, and
// nothing else.
func (t *Template) readsBack(text string, means []string) bool {
	d, ps := newDocument(t.doc.file, []byte(text), nil)
	if len(ps) > 0 || d.root == nil {
		return false
	}
	entries, _ := pairs(t.doc.root)
	var want, got []string
	for _, kv := range entries {
		if name := keyName(kv.Key); name != "template" && name != "parameters" {
			want = outline(want, kv, &means)
		}
	}
	entries, ok := pairs(d.root)
	for _, kv := range entries {
		got = outline(got, kv, nil)
	}
	return ok && slices.Equal(want, got)
}

// outline adds what n is made of: its keys, its texts, and how they are nested. Values
// that parameters stand in are taken from means.
func outline(out []string, n ast.Node, means *[]string) []string {
	switch n := n.(type) {
	case nil:
		return append(out, "nothing")
	case *ast.MappingNode:
		out = append(out, "{")
		for _, kv := range n.Values {
			out = outline(out, kv, means)
		}
		return append(out, "}")
	case *ast.MappingValueNode:
		return outline(append(out, "key "+keyName(n.Key)), n.Value, means)
	case *ast.SequenceNode:
		out = append(out, "[")
		for _, v := range n.Values {
			out = outline(out, v, means)
		}
		return append(out, "]")
	}
	text, _ := plain(n)
	switch n.(type) {
	case *ast.StringNode, *ast.LiteralNode:
		if means != nil && hasParameter(text) {
			first := (*means)[0]
			*means = (*means)[1:]
			return append(out, first)
		}
		return append(out, "text "+text)
	}
	return append(out, "word "+text)
}
