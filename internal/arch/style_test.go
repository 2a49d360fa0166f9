package arch

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
	"unicode"
)

const (
	fileLines     = 800
	functionLines = 80
	methods       = 6 // of an exported interface; one that stays in its package may have inward
	inward        = 8
)

// vague are words that name nothing: not the name of a package nor a part of a
// type's.
var vague = []string{
	"util", "utils", "common", "helper", "helpers", "misc", "manager", "processor", "handler", "peer", "mirror", "info",
}

// named are the exceptions, where the standard library's word is the right one:
// what a catalogue or a file system knows of a thing.
var named = []string{"internal/fault.Info", "internal/store/local.Info"}

// wide are interfaces that are as large as what they stand for: the file calls of
// the kernel.
var wide = []string{"internal/store/local.Root"}

// names returns packages and types with names that mean nothing.
func names(t *tree) []string {
	var problems []string
	for _, f := range t.files {
		if f.pkg != "" && slices.Contains(vague, strings.TrimSuffix(path.Base(f.pkg), "test")) {
			problems = append(problems, f.path+": a package named "+path.Base(f.pkg)+" says nothing of what it holds")
		}
		for _, d := range f.ast.Decls {
			for _, s := range specs(d) {
				ts, ok := s.(*ast.TypeSpec)
				if !ok || slices.Contains(named, f.pkg+"."+ts.Name.Name) {
					continue
				}
				if w := firstVague(ts.Name.Name); w != "" {
					problems = append(problems, fmt.Sprintf("%s: %q in the name of type %s says nothing", t.at(ts.Pos()), w, ts.Name.Name))
				}
			}
		}
	}
	return problems
}

func specs(d ast.Decl) []ast.Spec {
	if g, ok := d.(*ast.GenDecl); ok {
		return g.Specs
	}
	return nil
}

func firstVague(name string) string {
	for _, w := range words(name) {
		if slices.Contains(vague, w) {
			return w
		}
	}
	return ""
}

// words splits a Go name at its capitals.
func words(name string) []string {
	var out []string
	start := 0
	runes := []rune(name)
	for i := 1; i <= len(runes); i++ {
		if i == len(runes) || unicode.IsUpper(runes[i]) && !unicode.IsUpper(runes[i-1]) || runes[i] == '_' {
			out = append(out, strings.ToLower(strings.Trim(string(runes[start:i]), "_")))
			start = i
		}
	}
	return out
}

// sizes returns what has grown too long to be read at once.
func sizes(t *tree) []string {
	var problems []string
	for _, f := range t.files {
		if n := bytes.Count(f.text, []byte("\n")); n > fileLines {
			problems = append(problems, fmt.Sprintf("%s: %d lines, at most %d", f.path, n, fileLines))
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if lines := codeLines(t, n); lines > functionLines {
					problems = append(problems, fmt.Sprintf("%s: function %s has %d lines, at most %d", t.at(n.Pos()), n.Name.Name, lines, functionLines))
				}
			case *ast.TypeSpec:
				face, ok := n.Type.(*ast.InterfaceType)
				most := methods
				if !n.Name.IsExported() {
					most = inward
				}
				if ok && face.Methods.NumFields() > most && !slices.Contains(wide, f.pkg+"."+n.Name.Name) {
					problems = append(problems, fmt.Sprintf("%s: an interface of %d methods, at most %d", t.at(n.Pos()), face.Methods.NumFields(), most))
				}
			}
			return true
		})
	}
	return problems
}

// codeLines is the length of a function without what stands inside composite
// literals and texts: a table is data.
func codeLines(t *tree, fn *ast.FuncDecl) int {
	line := func(p token.Pos) int { return t.set.Position(p).Line }
	n := line(fn.End()) - line(fn.Pos()) + 1
	ast.Inspect(fn, func(x ast.Node) bool {
		e, ok := x.(ast.Expr)
		if !ok || !literal(e) {
			return true
		}
		n -= line(e.End()) - line(e.Pos())
		return false
	})
	return n
}

// literal reports whether e is data: a composite literal, or texts joined.
func literal(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.CompositeLit:
		return true
	case *ast.BasicLit:
		return e.Kind == token.STRING
	case *ast.BinaryExpr:
		return literal(e.X) && literal(e.Y)
	}
	return false
}

// selfEvident are methods whose contract is that of the standard library.
var selfEvident = []string{"String", "GoString", "Error", "Unwrap", "MarshalJSON", "UnmarshalJSON", "MarshalText", "UnmarshalText", "LogValue", "Format"}

// documents returns exported identifiers without a doc comment.
func documents(t *tree) []string {
	var problems []string
	packages := map[string]bool{}
	for _, f := range t.files {
		if f.test {
			continue
		}
		packages[f.pkg] = packages[f.pkg] || f.ast.Doc != nil
		if f.ast.Name.Name == "main" {
			continue
		}
		for _, d := range f.ast.Decls {
			problems = append(problems, undocumented(t, d)...)
		}
	}
	for pkg, has := range packages {
		if !has {
			problems = append(problems, pkg+": no package comment")
		}
	}
	slices.Sort(problems)
	return problems
}

func undocumented(t *tree, d ast.Decl) []string {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Doc == nil && d.Name.IsExported() && exportedReceiver(d) && !(d.Recv != nil && slices.Contains(selfEvident, d.Name.Name)) {
			return []string{t.at(d.Pos()) + ": exported " + d.Name.Name + " has no doc comment"}
		}
	case *ast.GenDecl:
		var problems []string
		for _, s := range d.Specs {
			if name := bare(s); name != "" && d.Doc == nil {
				problems = append(problems, t.at(s.Pos())+": exported "+name+" has no doc comment")
			}
		}
		return problems
	}
	return nil
}

// bare returns the first exported name of a spec that has no comment of its own.
func bare(s ast.Spec) string {
	switch s := s.(type) {
	case *ast.TypeSpec:
		if s.Doc == nil && s.Name.IsExported() {
			return s.Name.Name
		}
	case *ast.ValueSpec:
		if s.Doc != nil || s.Comment != nil {
			return ""
		}
		for _, n := range s.Names {
			if n.IsExported() {
				return n.Name
			}
		}
	}
	return ""
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return true
	}
	typ := d.Recv.List[0].Type
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return true
		}
	}
}

// hidden returns what works behind a caller's back: init functions, and sleeps
// in tests, which wait for events instead.
func hidden(t *tree) []string {
	var problems []string
	for _, f := range t.files {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				problems = append(problems, t.at(fn.Pos())+": an init function; pass a value instead")
			}
		}
		if !f.test || f.kitOrTool() {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if call, ok := n.(*ast.SelectorExpr); ok && call.Sel.Name == "Sleep" && isIdent(call.X, "time") {
				problems = append(problems, t.at(n.Pos())+": time.Sleep; wait for the event, or on a timer and a context")
			}
			return true
		})
	}
	return problems
}

func isIdent(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

// stamped are variables that the linker sets.
var stamped = []string{"cmd/godwit.version", "internal/cli.version"}

// variables returns package variables that are not constants in all but name:
// those of a type that exists to be changed, those without a value whose methods
// are called, and those changed anywhere in their package.
func variables(t *tree) []string {
	var problems []string
	changed := map[string]map[string]bool{}
	for _, f := range t.files {
		if changed[f.pkg] == nil {
			changed[f.pkg] = map[string]bool{}
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			for _, name := range changes(n) {
				changed[f.pkg][name] = true
			}
			return true
		})
	}
	for _, f := range t.files {
		if f.test || f.kitOrTool() {
			continue
		}
		for _, d := range f.ast.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, s := range g.Specs {
				problems = append(problems, mutable(t, f, g, s.(*ast.ValueSpec), changed[f.pkg])...)
			}
		}
	}
	return problems
}

func mutable(t *tree, f file, g *ast.GenDecl, s *ast.ValueSpec, changed map[string]bool) []string {
	var problems []string
	for _, n := range s.Names {
		at := t.at(n.Pos()) + ": package variable " + n.Name
		switch {
		case n.Name == "_" || slices.Contains(stamped, f.pkg+"."+n.Name) || embedded(g, s):
		case len(s.Values) == 0 && changed[n.Name+"."]:
			problems = append(problems, at+" has no value and is called: state belongs in a value that is passed")
		case stateful(s):
			problems = append(problems, at+" is made to be changed: state belongs in a value that is passed")
		case changed[n.Name]:
			problems = append(problems, at+" is changed, or something of the same name is: pass a value, or rename the other")
		}
	}
	return problems
}

func embedded(g *ast.GenDecl, s *ast.ValueSpec) bool {
	for _, c := range []*ast.CommentGroup{g.Doc, s.Doc} {
		if c == nil {
			continue
		}
		for _, line := range c.List {
			if strings.HasPrefix(line.Text, "//go:embed ") {
				return true
			}
		}
	}
	return false
}

// stateful reports whether a variable is of sync's or sync/atomic's types, a
// channel, or made by make or new.
func stateful(s *ast.ValueSpec) bool {
	found := false
	check := func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.SelectorExpr:
			found = found || isIdent(n.X, "sync") || isIdent(n.X, "atomic")
		case *ast.ChanType:
			found = true
		case *ast.CallExpr:
			found = found || isIdent(n.Fun, "make") || isIdent(n.Fun, "new")
		}
		return true
	}
	if s.Type != nil {
		ast.Inspect(s.Type, check)
	}
	for _, v := range s.Values {
		ast.Inspect(v, check)
	}
	return found
}

// changes returns the names that a statement assigns to, whole or in part.
func changes(n ast.Node) []string {
	var targets []ast.Expr
	switch n := n.(type) {
	case *ast.AssignStmt:
		if n.Tok == token.DEFINE {
			return nil
		}
		targets = n.Lhs
	case *ast.IncDecStmt:
		targets = []ast.Expr{n.X}
	case *ast.UnaryExpr:
		if n.Op == token.AND {
			targets = []ast.Expr{n.X}
		}
	case *ast.CallExpr:
		if method, ok := n.Fun.(*ast.SelectorExpr); ok {
			if id, ok := method.X.(*ast.Ident); ok {
				return []string{id.Name + "."} // its method may change it
			}
		}
		if (isIdent(n.Fun, "delete") || isIdent(n.Fun, "clear")) && len(n.Args) > 0 {
			targets = n.Args[:1]
		}
	}
	var names []string
	for _, e := range targets {
		if name := root(e); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// root returns the variable at the bottom of x, x[i], x.f and *x.
func root(e ast.Expr) string {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x.Name
		case *ast.IndexExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return ""
		}
	}
}
