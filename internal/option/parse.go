package option

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"godwit/internal/fault"
	"godwit/internal/secret"
)

// maxItems bounds lists.
const maxItems = 20_000

// Parse reads a YAML text as an object of fields. It is strict: every key must
// be declared, every value have its field's kind. All problems come at once (at
// most MaxProblems); with problems the Values hold what could be read, defaults
// elsewhere, and are good only for further checks. Texts and secrets may refer to
// what r knows. file is how the text is named in places.
func Parse(file string, text []byte, fields []Field, r Resolver) (Values, Problems) {
	d, ps := newDocument(file, text, secretNames(fields))
	v := Of(fields, nil)
	v.doc, v.at = d, Place{File: file}
	if len(ps) > 0 {
		return v, ps
	}
	p := &reader{doc: d, resolver: r}
	if d.root == nil {
		p.add(Problem{Code: fault.JobSyntax, Place: Place{File: file}, What: "the file is empty"})
		return v, p.problems
	}
	p.strayParameters(d.root)
	v = p.object(d.root, fields, false, "", Place{file, 1, 1})
	return v, p.problems.sorted()
}

// secretNames returns the names of all Secret fields, at any depth.
func secretNames(fields []Field) []string {
	var out []string
	for _, f := range fields {
		if f.Kind == Secret {
			out = append(out, f.Name)
		}
		out = append(out, secretNames(f.Fields)...)
	}
	return out
}

// reader walks a document along the declared fields.
type reader struct {
	doc      *document
	resolver Resolver
	problems Problems
}

// add notes a problem with the line it stands on.
func (r *reader) add(p Problem) {
	p.Width = max(p.Width, 1)
	p.Line, p.Caret = r.doc.show(p.Place.Line, p.Place.Col)
	if n := utf8.RuneCountInString(p.Line) + 1; p.Line != "" && p.Caret > n {
		p.Caret, p.Width = n, 1 // a value that is not there: after the line's end
	}
	r.problems = append(r.problems, p)
}

func (r *reader) wrong(n ast.Node, path, format string, args ...any) {
	at, width := r.span(n)
	r.add(Problem{Code: fault.JobValue, Place: at, Path: path, What: fmt.Sprintf(format, args...), Width: width})
}

// span returns where a value begins and how long it is on its first line.
func (r *reader) span(n ast.Node) (Place, int) {
	t := first(n).GetToken()
	raw, _, _ := strings.Cut(strings.TrimSpace(t.Origin), "\n")
	at := r.doc.place(t)
	if r.doc.isHidden(at) {
		raw = secret.Hidden
	}
	return at, max(1, utf8.RuneCountInString(raw))
}

// first returns the node whose token is the first of n: a block mapping's own
// token is its first colon.
func first(n ast.Node) ast.Node {
	switch x := n.(type) {
	case *ast.MappingNode:
		if len(x.Values) > 0 && x.Start.Type != token.MappingStartType {
			return x.Values[0].Key
		}
	case *ast.MappingValueNode:
		return x.Key
	}
	return n
}

// pairs returns the entries of a mapping, or false.
func pairs(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch x := n.(type) {
	case *ast.MappingNode:
		return x.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{x}, true
	}
	return nil, false
}

// object reads a mapping. at is where its key stands.
func (r *reader) object(n ast.Node, fields []Field, oneOf bool, path string, at Place) Values {
	v := Of(fields, nil)
	v.doc, v.at, v.path, v.raw = r.doc, at, path, map[string]string{}
	entries, ok := pairs(n)
	if !ok {
		r.wrong(n, path, "expected keys and values, such as %s: …", example(fields))
		return v
	}
	seen, unknown := map[string]Place{}, false
	for _, kv := range entries {
		name := keyName(kv.Key)
		place, width := r.span(kv.Key)
		if before, twice := seen[name]; twice {
			r.add(Problem{Code: fault.JobField, Place: place, Path: join(path, name), Width: width,
				What: fmt.Sprintf("given twice; first at line %d", before.Line)})
			continue
		}
		seen[name] = place
		i := slices.IndexFunc(fields, func(f Field) bool { return f.Name == name })
		if i < 0 {
			unknown = true
			r.unknown(fields, join(path, name), name, place, width)
			continue
		}
		v.given[name], v.places[name] = true, place
		r.field(&v, fields[i], kv.Value, join(path, name))
	}
	r.complete(&v, oneOf, unknown, path)
	return v
}

func (r *reader) unknown(fields []Field, path, name string, at Place, width int) {
	known := names(fields)
	r.add(Problem{Code: fault.JobField, Place: at, Path: path, What: "no such key",
		Nearest: Nearest(name, known), Known: known, Width: width})
}

// complete checks required fields and choices. Beside an unknown key a choice is
// not said to be missing: it is most likely that key.
func (r *reader) complete(v *Values, oneOf, unknown bool, path string) {
	var choices, chosen []string
	for _, f := range v.fields {
		if f.Required && !v.given[f.Name] {
			r.add(Problem{Code: fault.JobMissing, Place: v.at, Path: join(path, f.Name), What: "missing; expected " + f.expects()})
		}
		if oneOf || f.Choice {
			choices = append(choices, f.Name)
			if v.given[f.Name] {
				chosen = append(chosen, f.Name)
			}
		}
	}
	switch {
	case len(choices) == 0 || len(chosen) == 1 || len(chosen) == 0 && unknown:
	case len(chosen) == 0:
		r.add(Problem{Code: fault.JobMissing, Place: v.at, Path: path, What: "missing: what system it is", Known: choices})
	default:
		second := v.places[chosen[1]]
		r.add(Problem{Code: fault.JobField, Place: second, Path: join(path, chosen[1]), Width: len(chosen[1]),
			What: fmt.Sprintf("only one of %s may be given", strings.Join(choices, ", "))})
	}
}

// field reads one value into v.
func (r *reader) field(v *Values, f Field, n ast.Node, path string) {
	if n == nil || isNull(n) && f.Kind != Text && f.Kind != Enum || implicitNull(n) {
		r.add(Problem{Code: fault.JobValue, Place: v.places[f.Name], Path: path, Width: len(f.Name),
			What: "has no value; expected " + f.expects() + ", or leave the key out"})
		return
	}
	switch f.Kind {
	case Object:
		v.set[f.Name] = r.object(n, f.Fields, f.OneOf, path, v.places[f.Name])
		return
	case Objects:
		v.set[f.Name] = r.objects(v, f, n, path)
		return
	case List:
		v.set[f.Name] = r.list(v, f, n, path)
		return
	case Map:
		v.set[f.Name] = r.mapping(v, f, n, path)
		return
	}
	at, _ := r.span(n)
	v.places[f.Name] = at
	if x, ok := r.scalar(v, f, n, path); ok {
		v.set[f.Name] = x
	}
}

func (r *reader) objects(v *Values, f Field, n ast.Node, path string) []Values {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		r.wrong(n, path, "expected a list: each item begins with \"- \"")
		return nil
	}
	if !r.counted(seq, f, path) {
		return nil
	}
	var out []Values
	for i, it := range seq.Values {
		at, _ := r.span(it)
		v.places[item(f.Name, i)] = at
		out = append(out, r.object(it, f.Fields, f.OneOf, item(path, i), at))
	}
	return out
}

func (r *reader) list(v *Values, f Field, n ast.Node, path string) []string {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		r.wrong(n, path, "expected a list, such as %s", cmp.Or(f.Example, "[a, b]"))
		return nil
	}
	if !r.counted(seq, f, path) {
		return nil
	}
	var out []string
	for i, it := range seq.Values {
		s, ok := plain(it)
		if !ok {
			r.wrong(it, item(path, i), "expected text")
			continue
		}
		if hasParameter(s) {
			continue // strayParameters has told
		}
		at, _ := r.span(it)
		v.places[item(f.Name, i)] = at
		if f.Check != nil {
			if err := f.Check(s); err != nil {
				r.wrong(it, item(path, i), "%v", err)
			}
		}
		out = append(out, s)
	}
	return out
}

// mapping reads a Map. The place of an entry is that of its value.
func (r *reader) mapping(v *Values, f Field, n ast.Node, path string) []Pair {
	entries, ok := pairs(n)
	if !ok {
		r.wrong(n, path, "expected keys and values, such as %s", cmp.Or(f.Example, "{a: b}"))
		return nil
	}
	if most := cmp.Or(f.Max, maxItems); int64(len(entries)) < f.Min || int64(len(entries)) > most {
		r.wrong(n, path, "has %d entries; expected %d to %d", len(entries), f.Min, most)
		return nil
	}
	var out []Pair
	for _, kv := range entries {
		p := Pair{Key: keyName(kv.Key)}
		text, ok := plain(kv.Value)
		switch {
		case !ok || implicitNull(kv.Value):
			r.wrong(kv.Key, join(path, p.Key), "expected text")
			continue
		case slices.ContainsFunc(out, func(o Pair) bool { return o.Key == p.Key }):
			r.wrong(kv.Key, join(path, p.Key), "given twice")
			continue
		case hasParameter(text):
			continue // strayParameters has told
		}
		p.Value = text
		at, _ := r.span(kv.Value)
		v.places[join(f.Name, p.Key)] = at
		if f.Check != nil {
			if err := f.Check(p); err != nil {
				r.wrong(kv.Value, join(path, p.Key), "%v", err)
			}
		}
		out = append(out, p)
	}
	return out
}

func (r *reader) counted(seq *ast.SequenceNode, f Field, path string) bool {
	n, most := int64(len(seq.Values)), f.Max
	if most == 0 {
		most = maxItems
	}
	if n < f.Min || n > most {
		r.wrong(seq, path, "has %d items; expected %d to %d", n, f.Min, most)
		return false
	}
	return true
}

// scalar reads a value of a simple kind.
func (r *reader) scalar(v *Values, f Field, n ast.Node, path string) (any, bool) {
	text, ok := plain(n)
	if !ok {
		r.wrong(n, path, "expected %s", f.expects())
		return nil, false
	}
	if hasParameter(text) {
		return nil, false // strayParameters has told
	}
	x, err := r.convert(v, f, n, text, path)
	if err == nil && f.Check != nil {
		err = f.Check(x)
	}
	if err == nil {
		return x, true
	}
	if ref := (*refError)(nil); errors.As(err, &ref) {
		p := Problem{Code: fault.JobSecret, Path: path, What: ref.Error()}
		if f := (*fault.Error)(nil); errors.As(ref.error, &f) {
			p.Code, p.What, p.Hint = f.Code, f.What, f.Hint
		}
		p.Place, p.Width = r.span(n)
		r.add(p)
		return nil, false
	}
	what := err.Error()
	at, _ := r.span(n)
	if f.Kind != Secret && !r.doc.isHidden(at) && len(text) <= 80 {
		what += fmt.Sprintf(", not %q", text)
	}
	p := Problem{Code: fault.JobValue, Place: at, Path: path, What: what}
	_, p.Width = r.span(n)
	if f.Kind == Enum {
		p.Nearest, p.Known = Nearest(text, f.Values), f.Values
	}
	r.add(p)
	return nil, false
}

// refError is a reference that could not be resolved.
type refError struct{ error }

func (r *reader) convert(v *Values, f Field, n ast.Node, text, path string) (any, error) {
	switch f.Kind {
	case Text, Secret:
		return r.text(v, f, n, text)
	case Enum:
		if !slices.Contains(f.Values, text) {
			return nil, fmt.Errorf("expected a known value")
		}
		return text, nil
	case Bool:
		if _, ok := n.(*ast.BoolNode); !ok {
			return nil, fmt.Errorf("expected true or false, without quotes")
		}
		return text == "true", nil
	case Int:
		if _, ok := n.(*ast.IntegerNode); !ok {
			return nil, fmt.Errorf("expected %s", f.expects())
		}
		x, err := parseInt(text)
		return x, f.within(x, err)
	case Size:
		x, err := ParseSize(text)
		return x, f.within(x, err)
	case Duration:
		x, err := ParseDuration(text)
		return x, f.within(int64(x), err)
	}
	panic("option: kind of " + path)
}

// text reads a Text or a Secret. Numbers are taken as they are written; true,
// false and null are refused, since nobody can tell whether text was meant.
func (r *reader) text(v *Values, f Field, n ast.Node, text string) (any, error) {
	switch n.(type) {
	case *ast.BoolNode, *ast.NullNode, *ast.InfinityNode, *ast.NanNode:
		return nil, fmt.Errorf("expected text; put it in quotes if the word itself is meant")
	}
	value, referred, err := r.resolver.resolve(text, r.doc.file)
	if err != nil {
		return nil, &refError{err}
	}
	if f.Kind == Secret {
		return secret.New(value), nil
	}
	if referred {
		v.raw[f.Name] = text
	}
	return value, nil
}

// within checks the bounds of a number.
func (f Field) within(x int64, err error) error {
	if err != nil || f.Min == 0 && f.Max == 0 {
		return err
	}
	if x < f.Min || f.Max != 0 && x > f.Max {
		return fmt.Errorf("expected %s", f.expects())
	}
	return nil
}

// plain returns the text of a scalar as it was written, without quotes.
func plain(n ast.Node) (string, bool) {
	switch x := n.(type) {
	case *ast.StringNode:
		return x.Value, true
	case *ast.LiteralNode:
		return x.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func isNull(n ast.Node) bool {
	_, ok := n.(*ast.NullNode)
	return ok
}

func implicitNull(n ast.Node) bool {
	return isNull(n) && (n.GetToken().Type == token.ImplicitNullType || !strings.Contains(n.GetToken().Origin, n.GetToken().Value))
}

// expects says what a field's value must be.
func (f Field) expects() string {
	var s string
	switch f.Kind {
	case Text:
		s = "text"
	case Secret:
		s = "text, better ${env:NAME} or ${file:PATH}"
	case Int:
		s = "a whole number"
	case Bool:
		return "true or false"
	case Size:
		s = "a size such as 128MiB"
	case Duration:
		s = "a duration such as 30s"
	case Enum:
		return "one of " + strings.Join(f.Values, ", ")
	case List, Objects:
		s = "a list"
	case Map:
		s = "keys and values, such as " + cmp.Or(f.Example, "{a: b}")
	case Object:
		s = "keys and values, such as " + example(f.Fields) + ": …"
	}
	return s + f.bounds()
}

// bounds returns " from 1 to 64" for a bounded number.
func (f Field) bounds() string {
	show := func(n int64) string {
		switch f.Kind {
		case Size:
			return FormatSize(n)
		case Duration:
			return FormatDuration(time.Duration(n))
		}
		return fmt.Sprint(n)
	}
	switch {
	case f.Kind != Int && f.Kind != Size && f.Kind != Duration || f.Min == 0 && f.Max == 0:
		return ""
	case f.Max == 0:
		return ", at least " + show(f.Min)
	}
	return " from " + show(f.Min) + " to " + show(f.Max)
}

func names(fields []Field) []string {
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = f.Name
	}
	slices.Sort(out)
	return out
}

func example(fields []Field) string {
	for _, f := range fields {
		if f.Required || f.Choice {
			return f.Name
		}
	}
	if len(fields) > 0 {
		return fields[0].Name
	}
	return "key"
}
