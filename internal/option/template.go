package option

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"

	"godwit/internal/fault"
)

// Bounds of templates.
const (
	MaxParameters = 100
	MaxValue      = 1000 // characters of a parameter's value
)

// Parameter is a name that a template leaves open.
type Parameter struct {
	Name    string
	Default string
	Given   bool // it has a default, which may be empty
	Help    string
}

// Template is a file with parameters: a text that is a job file but for the keys
// template and parameters at its top, and for ${param:NAME} in values. It is immutable.
type Template struct {
	Name       string
	Parameters []Parameter

	doc   *document
	own   []lines // of the keys that are the template's own
	sites []site
}

// lines are those of a text from one on, counted from 1, before another.
type lines struct{ from, to int }

// site is a value that parameters stand in.
type site struct {
	line, col, width int // as it is written; columns and widths are characters
	path             string
	pieces           []piece
	bare             bool // one reference and nothing else, without quotes
}

// piece is a part of a value: a text, or the name of a parameter.
type piece struct {
	text, name string
	within     bool // a parameter that stands in another reference
}

var (
	parameterForm = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)
	templateForm  = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$`)
)

func checkTemplate(value any) error {
	if !templateForm.MatchString(value.(string)) {
		return fmt.Errorf("expected 1 to 64 of a-z, 0-9 and -, no - at its ends")
	}
	return nil
}

func checkParameter(value any) error {
	if !parameterForm.MatchString(value.(string)) {
		return fmt.Errorf("expected a small letter, then up to 31 of a-z, 0-9, _ and -")
	}
	return nil
}

func checkDefault(value any) error { return ValidValue(value.(string)) }

// ValidValue says what keeps a text from being the value of a parameter. Its error does
// not repeat it.
func ValidValue(v string) error {
	control := func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f }
	switch {
	case !utf8.ValidString(v) || strings.ContainsFunc(v, control):
		return fmt.Errorf("expected UTF-8 text without control characters")
	case utf8.RuneCountInString(v) > MaxValue:
		return fmt.Errorf("expected at most %d characters", MaxValue)
	case strings.Contains(v, "${"):
		return fmt.Errorf("expected plain text: a reference belongs into the template, as ${file:/secrets/${param:NAME}}")
	}
	return nil
}

// TemplateFields declares the keys that a template has besides those of job files.
func TemplateFields() []Field {
	return []Field{
		{Name: "template", Kind: Text, Required: true, Help: "The template's name.", Example: "shards", Check: checkTemplate},
		{Name: "parameters", Kind: Objects, Required: true, Min: 1, Max: MaxParameters, Help: "What each job says for itself.", Fields: []Field{
			{Name: "name", Kind: Text, Required: true, Help: "`${param:NAME}` in a value stands for it.", Example: "shard", Check: checkParameter},
			{Name: "default", Kind: Text, Help: "What it is where a job says nothing; without one each job must.", Check: checkDefault},
			{Name: "help", Kind: Text, Help: "What it is for."},
		}},
	}
}

// ParseTemplate reads a template. All problems come at once, as those of Parse; with
// problems there is no template. rest are all fields that job files may have: they say
// which options are secret, and no parameter may stand for one of them.
func ParseTemplate(file string, text []byte, rest []Field) (*Template, Problems) {
	d, ps := newDocument(file, text, secretNames(rest))
	if len(ps) > 0 {
		return nil, ps
	}
	t := &Template{doc: d}
	r := &templateReader{reader: reader{doc: d}, t: t, secrets: secretNames(rest)}
	if d.root == nil {
		r.add(Problem{Code: fault.JobSyntax, Place: Place{File: file}, What: "the file is empty"})
		return nil, r.problems
	}
	entries, ok := pairs(d.root)
	if !ok || !r.apart(entries) {
		r.wrong(d.root, "", "expected keys on lines of their own, template and parameters among them")
		return nil, r.problems
	}
	var own []*ast.MappingValueNode
	for i, kv := range entries {
		if name := keyName(kv.Key); name != "template" && name != "parameters" {
			r.walk(kv, "", false, 0)
			continue
		}
		own = append(own, kv)
		to := len(d.lines) + 1
		if i+1 < len(entries) {
			to = entries[i+1].Key.GetToken().Position.Line
		}
		t.own = append(t.own, lines{kv.Key.GetToken().Position.Line, to})
	}
	r.declarations(&ast.MappingNode{Values: own}, Place{file, 1, 1})
	r.declared()
	if len(r.problems) > 0 {
		return nil, r.problems.sorted()
	}
	return t, nil
}

// templateReader reads a template.
type templateReader struct {
	reader
	t       *Template
	secrets []string
}

// apart reports whether each key at the top has lines of its own.
func (r *templateReader) apart(entries []*ast.MappingValueNode) bool {
	line := 0
	for _, kv := range entries {
		at := kv.Key.GetToken().Position
		if at.Line <= line || at.Column != 1 {
			return false
		}
		line = at.Line
	}
	return line > 0
}

func (r *templateReader) declarations(own *ast.MappingNode, at Place) {
	for _, kv := range own.Values {
		eachScalar(kv.Value, 0, func(n ast.Node, text string) {
			if strings.Contains(text, "${") {
				r.parameter(n, keyName(kv.Key), "what declares parameters is plain text, and has no references")
			}
		})
	}
	if len(r.problems) > 0 {
		return
	}
	v := r.object(own, TemplateFields(), false, "", at)
	r.t.Name = v.Text("template")
	lines := map[string]int{}
	for _, p := range v.Objects("parameters") {
		one := Parameter{Name: p.Text("name"), Default: p.Text("default"), Given: p.Given("default"), Help: p.Text("help")}
		if line, twice := lines[one.Name]; twice && one.Name != "" {
			r.problems = append(r.problems, p.Problem("name", fault.JobParam, "another parameter (line %d) has the name %q", line, one.Name))
		}
		lines[one.Name] = p.Place("name").Line
		r.t.Parameters = append(r.t.Parameters, one)
	}
}

// declared refuses what is used and not declared.
func (r *templateReader) declared() {
	if len(r.t.Parameters) == 0 {
		return
	}
	var known []string
	for _, p := range r.t.Parameters {
		known = append(known, p.Name)
	}
	for _, s := range r.t.sites {
		for _, p := range s.pieces {
			if p.name != "" && !slices.Contains(known, p.name) {
				r.add(Problem{Code: fault.JobParam, Place: Place{r.doc.file, s.line, s.col}, Path: s.path, Width: s.width,
					What: fmt.Sprintf("${param:%s} is not declared", p.name), Nearest: Nearest(p.name, known), Known: known})
			}
		}
	}
}

func (r *templateReader) parameter(n ast.Node, path, format string, args ...any) {
	at, width := r.span(n)
	r.add(Problem{Code: fault.JobParam, Place: at, Path: path, Width: width, What: fmt.Sprintf(format, args...)})
}

// walk finds the values that parameters stand in.
func (r *templateReader) walk(n ast.Node, path string, hidden bool, depth int) {
	if n == nil || depth > 4*maxDepth {
		return
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		for _, kv := range n.Values {
			r.walk(kv, path, hidden, depth)
		}
	case *ast.MappingValueNode:
		name := keyName(n.Key)
		if hasParameter(name) {
			r.parameter(n.Key, path, "a parameter stands for a value, and never for a key")
			return
		}
		r.walk(n.Value, join(path, name), hidden || looksSecret(name, r.secrets), depth+1)
	case *ast.SequenceNode:
		for i, v := range n.Values {
			r.walk(v, item(path, i), hidden, depth+1)
		}
	default:
		if text, ok := plain(n); ok && hasParameter(text) {
			r.site(n, text, path, hidden)
		}
	}
}

// site notes a value that parameters stand in.
func (r *templateReader) site(n ast.Node, text, path string, hidden bool) {
	s := site{path: path}
	t := n.GetToken()
	raw := strings.TrimSpace(t.Origin)
	if _, literal := n.(*ast.LiteralNode); literal || strings.Contains(raw, "\n") {
		r.parameter(n, path, "a parameter stands in values of one line; write it as a text in quotes")
		return
	}
	s.line, s.width = t.Position.Line, utf8.RuneCountInString(raw)
	if s.col = r.column(t.Position.Line, t.Position.Column, raw); s.col == 0 {
		r.parameter(n, path, "it cannot be told where the value stands; write it on a line of its own, in double quotes")
		return
	}
	var err error
	if s.pieces, err = pieces(text); err != nil {
		r.parameter(n, path, "%v", err)
		return
	}
	for _, p := range s.pieces {
		if hidden && p.name != "" && !p.within {
			r.parameter(n, path, "${param:%s} would be a secret that is kept and shown with the job; let it be a part of a reference: ${file:/secrets/${param:%s}}", p.name, p.name)
			return
		}
	}
	s.bare = len(s.pieces) == 1 && raw == text
	r.t.sites = append(r.t.sites, s)
}

// column is where raw stands in a line: at col, or where else it stands once; 0: it
// does not.
func (r *templateReader) column(line, col int, raw string) int {
	text := []rune(r.doc.lines[line-1])
	if col >= 1 && col <= len(text) && strings.HasPrefix(string(text[col-1:]), raw) {
		return col
	}
	if whole := string(text); strings.Count(whole, raw) == 1 {
		return utf8.RuneCountInString(whole[:strings.Index(whole, raw)]) + 1
	}
	return 0
}

const parameterOpens = "${param:"

// hasParameter reports whether a parameter is named in text; $${ names none.
func hasParameter(text string) bool {
	for {
		i := strings.Index(text, parameterOpens)
		if i < 0 {
			return false
		}
		if i == 0 || text[i-1] != '$' {
			return true
		}
		text = text[i+2:]
	}
}

// pieces takes a value apart at its parameters.
func pieces(text string) (out []piece, err error) {
	var plain strings.Builder
	within := false
	for len(text) > 0 {
		switch {
		case strings.HasPrefix(text, "$${"):
			plain.WriteString(text[:3])
			text = text[3:]
		case strings.HasPrefix(text, parameterOpens):
			name, rest, closed := strings.Cut(text[len(parameterOpens):], "}")
			if !closed || !parameterForm.MatchString(name) {
				return nil, fmt.Errorf("%s… is not closed, or has no name; expected ${param:NAME}", parameterOpens)
			}
			if plain.Len() > 0 {
				out = append(out, piece{text: plain.String()})
				plain.Reset()
			}
			out, text = append(out, piece{name: name, within: within}), rest
		case strings.HasPrefix(text, "${"):
			plain.WriteString("${")
			text, within = text[2:], true
		default:
			within = within && text[0] != '}'
			plain.WriteByte(text[0])
			text = text[1:]
		}
	}
	if plain.Len() > 0 {
		out = append(out, piece{text: plain.String()})
	}
	return out, nil
}

// eachScalar calls each with every scalar below n that is no key.
func eachScalar(n ast.Node, depth int, each func(n ast.Node, text string)) {
	if n == nil || depth > 4*maxDepth {
		return
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		for _, kv := range n.Values {
			eachScalar(kv, depth, each)
		}
	case *ast.MappingValueNode:
		eachScalar(n.Value, depth+1, each)
	case *ast.SequenceNode:
		for _, v := range n.Values {
			eachScalar(v, depth+1, each)
		}
	default:
		if text, ok := plain(n); ok {
			each(n, text)
		}
	}
}

// strayParameters tells of parameters in a file that is no template.
func (r *reader) strayParameters(n ast.Node) {
	eachScalar(n, 0, func(n ast.Node, text string) {
		if !hasParameter(text) {
			return
		}
		at, width := r.span(n)
		r.add(Problem{Code: fault.JobParam, Place: at, Width: width, What: "${param:…} stands for a parameter, and this file is a job and no template",
			Hint: "write the value, or give the file to a server as a template (godwit template submit)"})
	})
}
