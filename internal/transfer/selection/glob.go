package selection

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Bounds of what is compiled: a job file is not a program.
const (
	globBytes = 4096
	ruleCount = 1000
)

// compile makes a glob a regular expression for whole keys.
func compile(glob string) (*regexp.Regexp, error) {
	switch {
	case glob == "":
		return nil, errors.New("it is empty")
	case len(glob) > globBytes:
		return nil, fmt.Errorf("it is longer than %d bytes", globBytes)
	}
	g := globber{}
	text, rooted := strings.CutPrefix(glob, "/")
	if text == "" {
		return nil, errors.New("it has no name after the slash")
	}
	if strings.HasSuffix(text, "/") {
		text += "**"
	}
	if rooted {
		g.re.WriteString("^")
	} else {
		g.re.WriteString("(?:^|/)")
	}
	if err := g.translate([]rune(text)); err != nil {
		return nil, err
	}
	g.re.WriteString("$")
	re, err := regexp.Compile("(?s)" + g.re.String())
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	return re, nil
}

// globber writes the expression of a glob, sign after sign.
type globber struct {
	re    strings.Builder
	depth int // of open braces
}

func (g *globber) translate(in []rune) error {
	for i := 0; i < len(in); {
		n, err := g.sign(in[i:])
		if err != nil {
			return err
		}
		i += n
	}
	if g.depth > 0 {
		return errors.New("a { is not closed")
	}
	return nil
}

// sign translates what in begins with and returns how many runes that is.
func (g *globber) sign(in []rune) (int, error) {
	switch c := in[0]; c {
	case '*':
		return g.stars(in)
	case '?':
		g.re.WriteString("[^/]")
	case '[':
		return g.class(in)
	case ']':
		return 0, errors.New("a ] has no [ before it; write \\] for the sign itself")
	case '{':
		if len(in) > 1 && in[1] == '{' {
			return g.expression(in)
		}
		g.depth++
		g.re.WriteString("(?:")
	case '}':
		if g.depth == 0 {
			return 0, errors.New("a } has no { before it; write \\} for the sign itself")
		}
		g.depth--
		g.re.WriteString(")")
	case ',':
		if g.depth > 0 {
			g.re.WriteString("|")
		} else {
			g.re.WriteString(",")
		}
	case '\\':
		return g.escaped(in)
	default:
		g.re.WriteString(regexp.QuoteMeta(string(c)))
	}
	return 1, nil
}

func (g *globber) stars(in []rune) (int, error) {
	n := 1
	for n < len(in) && in[n] == '*' {
		n++
	}
	switch n {
	case 1:
		g.re.WriteString("[^/]*")
	case 2:
		g.re.WriteString(".*")
	default:
		return 0, fmt.Errorf("%d stars in a row mean nothing; * stays within one part of a key, ** does not", n)
	}
	return n, nil
}

// escaped is a sign after a backslash: itself, or a class such as \d.
func (g *globber) escaped(in []rune) (int, error) {
	if len(in) < 2 {
		return 0, errors.New("it ends with a backslash that stands before nothing")
	}
	switch c := in[1]; {
	case strings.ContainsRune("dDsSwW", c):
		g.re.WriteString(`\` + string(c))
	case c < 0x80 && (c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'):
		return 0, fmt.Errorf("\\%c means nothing", c)
	default:
		g.re.WriteString(regexp.QuoteMeta(string(c)))
	}
	return 2, nil
}

// class is a class of characters; classes by name ([[:alpha:]]) nest.
func (g *globber) class(in []rune) (int, error) {
	depth := 0
	for i := 0; i < len(in); i++ {
		switch in[i] {
		case '\\':
			i++
		case '[':
			depth++
		case ']':
			if depth--; depth == 0 {
				text := string(in[:i+1])
				// [!a] of a shell and [^a] mean one thing
				if rest, ok := strings.CutPrefix(text, "[!"); ok && rest != "]" {
					text = "[^" + rest
				}
				g.re.WriteString(text)
				return i + 1, nil
			}
		}
	}
	return 0, errors.New("a [ is not closed")
}

// expression is {{a regular expression}}; of the braces that may end it the last
// ones do.
func (g *globber) expression(in []rune) (int, error) {
	for i := 2; i+1 < len(in); i++ {
		if in[i] != '}' || in[i+1] != '}' {
			continue
		}
		for i+2 < len(in) && in[i+2] == '}' {
			i++
		}
		text := string(in[2:i])
		if _, err := regexp.Compile(text); err != nil {
			return 0, errors.New(strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		}
		g.re.WriteString("(?:" + text + ")")
		return i + 2, nil
	}
	return 0, errors.New("a {{ is not closed")
}
