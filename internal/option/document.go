package option

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"godwit/internal/fault"
	"godwit/internal/secret"
)

// Bounds of a file. The YAML library's time and stack grow faster than its
// input, so its tokens are counted before it builds anything of them.
const (
	MaxBytes      = 1 << 20
	maxTokens     = 100_000
	maxDepth      = 32  // nested brackets
	maxNested     = 32  // "- - -" or "? ? ?" on one line
	maxLineKeys   = 500 // keys on one line
	maxNeighbours = 4   // scalars with nothing between them
)

// document is a parsed file and what must not be shown of it.
type document struct {
	file   string
	lines  []string
	hidden []span
	root   ast.Node
}

// span is a piece of text that may be a secret: from a column to the end of the
// value, which may take several lines.
type span struct {
	line, col, width, more int // more: further whole lines
}

// newDocument reads text; with problems there is no root.
func newDocument(file string, text []byte, secrets []string) (*document, Problems) {
	d := &document{file: file}
	whole := func(format string, args ...any) Problems {
		return Problems{{Code: fault.JobSyntax, Place: Place{File: file}, What: fmt.Sprintf(format, args...), Width: 1}}
	}
	if len(text) > MaxBytes {
		return d, whole("the file has %d bytes; at most %s are read", len(text), FormatSize(MaxBytes))
	}
	if !utf8.Valid(text) {
		return d, whole("the file is not UTF-8 text")
	}
	s := strings.TrimPrefix(string(text), "\ufeff")
	s = strings.ReplaceAll(s, "\r\n", "\n")
	d.lines = strings.Split(s, "\n")
	if i := strings.IndexFunc(s, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f }); i >= 0 {
		line := strings.Count(s[:i], "\n") + 1
		return d, Problems{d.syntax(Place{file, line, i - strings.LastIndexByte(s[:i], '\n')}, 1, "a control character cannot stand in a job file")}
	}
	tokens, ps := d.scan(s)
	if len(ps) > 0 {
		return d, ps
	}
	return d, d.build(tokens, secrets)
}

// scan makes tokens and refuses what would be dear or unsafe to build.
func (d *document) scan(s string) (tokens token.Tokens, ps Problems) {
	defer d.survive(&ps)
	tokens = lexer.Tokenize(s)
	if len(tokens) > maxTokens {
		return nil, Problems{d.syntax(Place{File: d.file}, 1, "the file has more than %d words and signs", maxTokens)}
	}
	var depth, line, nested, keys, neighbours int
	for _, t := range tokens {
		if t.Position.Line != line {
			line, nested, keys = t.Position.Line, 0, 0
		}
		neighbours++
		switch t.Type {
		case token.InvalidType:
			return nil, Problems{d.syntax(d.place(t), 1, "%s", t.Error)}
		case token.AnchorType, token.AliasType, token.TagType:
			return nil, Problems{d.sign(t)}
		case token.MergeKeyType:
			return nil, Problems{d.syntax(d.place(t), 2, "merge keys (<<) are not used in job files: write the keys out")}
		case token.DirectiveType:
			return nil, Problems{d.syntax(d.place(t), 1, "directives (%%) are not used in job files")}
		case token.MappingStartType, token.SequenceStartType:
			depth++
			neighbours = 0
		case token.MappingEndType, token.SequenceEndType:
			depth--
			neighbours = 0
		case token.SequenceEntryType, token.MappingKeyType:
			nested++
			neighbours = 0
		case token.MappingValueType:
			keys++
			neighbours = 0
		case token.CollectEntryType:
			neighbours = 0
		case token.CommentType:
			neighbours--
		}
		if depth > maxDepth || nested > maxNested || keys > maxLineKeys {
			return nil, Problems{d.syntax(d.place(t), 1, "nested too deeply")}
		}
		if neighbours > maxNeighbours && t.Type != token.LiteralType {
			return nil, Problems{d.syntax(d.place(t), 1, "several values with nothing between them")}
		}
	}
	return tokens, nil
}

// sign explains *, & and ! before a value, which people write without quotes.
func (d *document) sign(t *token.Token) Problem {
	names := map[token.Type]string{token.AliasType: "an alias", token.AnchorType: "an anchor", token.TagType: "a tag"}
	p := d.syntax(d.place(t), 1, "YAML takes %s at the beginning of a value as %s, which job files do not use", t.Value[:min(1, len(t.Value))], names[t.Type])
	p.Hint = `put the value in quotes: "…"`
	return p
}

func (d *document) build(tokens token.Tokens, secrets []string) (ps Problems) {
	defer d.survive(&ps)
	f, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var y yaml.Error
		if !errors.As(err, &y) || y.GetToken() == nil {
			return Problems{d.syntax(Place{File: d.file}, 1, "the file is not YAML")}
		}
		return Problems{d.syntax(d.place(y.GetToken()), 1, "%s", y.GetMessage())}
	}
	for _, doc := range f.Docs {
		if _, comment := doc.Body.(*ast.CommentGroupNode); doc.Body == nil || comment {
			continue
		}
		if d.root != nil {
			return Problems{d.syntax(d.place(first(doc.Body).GetToken()), 1, "a second document (after ---): one file is one job")}
		}
		d.root = doc.Body
	}
	d.hide(d.root, secrets, 0)
	return nil
}

// survive turns a panic of the YAML library on a malformed text into a problem:
// a job file must not end the process, whatever it holds.
func (d *document) survive(ps *Problems) {
	if recover() != nil {
		d.root = nil
		*ps = Problems{d.syntax(Place{File: d.file}, 1, "the file is not YAML")}
	}
}

func (d *document) place(t *token.Token) Place {
	col := max(t.Position.Column, 1)
	return Place{d.file, max(t.Position.Line, 1), col}
}

func (d *document) syntax(at Place, width int, format string, args ...any) Problem {
	p := Problem{Code: fault.JobSyntax, Place: at, What: fmt.Sprintf(format, args...), Line: d.showUnparsed(at.Line), Caret: at.Col, Width: width}
	if n := utf8.RuneCountInString(p.Line) + 1; p.Caret > n {
		p.Caret, p.Width = n, 1
	}
	return p
}

// secretWord matches names of keys whose value is taken for a secret even when
// the key is not known: it may be a misspelt one.
const secretWord = `(?i:pass|pwd|secret|token|credential|private)`

var (
	secretName      = regexp.MustCompile(secretWord)
	secretKey       = regexp.MustCompile(secretWord + `[^:]*:`)
	keyBegins       = regexp.MustCompile(`^\s*(- +)?["']?[A-Za-z0-9_-]+["']?\s*:(\s|$)`)
	addressPassword = regexp.MustCompile(`//([^/@\s"':]*):[^@\s"']*@`)
)

// hide notes the values of all keys that are, or look like, secrets.
func (d *document) hide(n ast.Node, secrets []string, depth int) {
	if depth > 4*maxDepth {
		return
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		for _, kv := range n.Values {
			d.hide(kv, secrets, depth)
		}
	case *ast.MappingValueNode:
		if looksSecret(keyName(n.Key), secrets) {
			d.hideAll(n.Value, depth+1)
			return
		}
		d.hide(n.Value, secrets, depth+1)
	case *ast.SequenceNode:
		for _, v := range n.Values {
			d.hide(v, secrets, depth+1)
		}
	}
}

func looksSecret(key string, secrets []string) bool {
	if secretName.MatchString(key) {
		return true
	}
	return slices.Contains(secrets, key) || Nearest(key, secrets) != ""
}

// hideAll notes every scalar below n, and keys too: a secret put in braces by
// mistake is a key.
func (d *document) hideAll(n ast.Node, depth int) {
	if n == nil || depth > 4*maxDepth {
		return
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		for _, kv := range n.Values {
			d.hideAll(kv, depth+1)
		}
	case *ast.MappingValueNode:
		d.hideAll(n.Key, depth+1)
		d.hideAll(n.Value, depth+1)
	case *ast.MappingKeyNode:
		d.hideAll(n.Value, depth+1)
	case *ast.SequenceNode:
		for _, v := range n.Values {
			d.hideAll(v, depth+1)
		}
	case *ast.LiteralNode:
		lines := strings.Count(n.Value.GetToken().Origin, "\n") + 1
		d.hidden = append(d.hidden, span{line: n.Start.Position.Line, col: n.Start.Position.Column, width: 1 << 20, more: lines})
	default:
		t := n.GetToken()
		if isReference(t.Value) {
			return
		}
		raw := strings.TrimSpace(t.Origin)
		s := span{line: t.Position.Line, col: t.Position.Column, width: utf8.RuneCountInString(raw)}
		if s.more = strings.Count(raw, "\n"); s.more > 0 {
			s.width = 1 << 20
		}
		d.hidden = append(d.hidden, s)
	}
}

// isReference reports whether text is one reference and nothing else; it is no
// secret and worth showing.
func isReference(text string) bool {
	return strings.HasPrefix(text, "${") && strings.IndexByte(text, '}') == len(text)-1
}

// isHidden reports whether the value that begins at p is taken for a secret.
func (d *document) isHidden(p Place) bool {
	return slices.ContainsFunc(d.hidden, func(s span) bool {
		return p.Line == s.line && p.Col >= s.col && p.Col < s.col+s.width || p.Line > s.line && p.Line <= s.line+s.more
	})
}

// show returns a line of the text with what may be a secret masked, and the
// column of that text at which column col of the file stands.
func (d *document) show(line, col int) (string, int) {
	if line < 1 || line > len(d.lines) {
		return "", 0
	}
	r := []rune(d.lines[line-1])
	var here []span
	for _, s := range d.hidden {
		if s.line < line && line <= s.line+s.more {
			return "", 0
		}
		if s.line == line {
			here = append(here, s)
		}
	}
	slices.SortFunc(here, func(a, b span) int { return b.col - a.col })
	for _, s := range here { // from the right, so that columns to the left stay
		from, to := min(s.col-1, len(r)), min(s.col-1+s.width, len(r))
		r = slices.Concat(r[:from], []rune(secret.Hidden), r[to:])
		if col > to {
			col += len(secret.Hidden) - (to - from)
		}
	}
	return maskAddress(string(r)), col
}

// maskAddress hides the password in user:password@host of an address.
func maskAddress(line string) string {
	return addressPassword.ReplaceAllString(line, "//${1}:"+secret.Hidden+"@")
}

// showUnparsed is show for a text that could not be parsed: everything after a
// key that looks like a secret is masked, to the next line that begins a key.
func (d *document) showUnparsed(line int) string {
	if line < 1 || line > len(d.lines) {
		return ""
	}
	for i := line - 1; i >= 0; i-- {
		text := d.lines[i]
		at := secretKey.FindStringIndex(text)
		switch {
		case i == line-1 && at != nil:
			return text[:at[1]] + " " + secret.Hidden
		case i == line-1 && keyBegins.MatchString(text):
			return maskAddress(text)
		case at != nil:
			return ""
		case keyBegins.MatchString(text):
			return maskAddress(d.lines[line-1])
		}
	}
	return maskAddress(d.lines[line-1])
}

// keyName returns the text of a key.
func keyName(k ast.MapKeyNode) string {
	if mk, ok := k.(*ast.MappingKeyNode); ok {
		if mk.Value == nil {
			return ""
		}
		return mk.Value.GetToken().Value
	}
	return k.GetToken().Value
}
