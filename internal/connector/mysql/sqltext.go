package mysql

import (
	"strings"
)

// maxStatement bounds the text of a statement that is looked into; longer ones
// are INSERTs.
const maxStatement = 16 << 20

// maxTokens bounds the words of a statement that are looked at.
const maxTokens = 200_000

// token is a word, an identifier without its quotes, a text or a sign.
type token struct {
	text   string
	quoted bool // an identifier in quotes
	str    bool // a text literal
	at     int  // where it starts in the cleaned text
	end    int
}

// is reports whether the token is that keyword.
func (t token) is(word string) bool { return !t.quoted && !t.str && strings.EqualFold(t.text, word) }

// clean drops the comments of a statement and keeps what stands in those that
// MariaDB executes: /*! … */ and /*M! … */, with or without a version.
func clean(text string, backslash bool) string {
	var b strings.Builder
	b.Grow(len(text))
	inside := false // an executed comment
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == '\'' || c == '"' || c == '`':
			end := quoteEnd(text, i, backslash && c != '`')
			b.WriteString(text[i:end])
			i = end
		case strings.HasPrefix(text[i:], "/*"):
			if n := executed(text[i:]); n > 0 {
				inside = true
				b.WriteByte(' ')
				i += n
				continue
			}
			b.WriteByte(' ')
			end := strings.Index(text[i+2:], "*/")
			if end < 0 {
				return b.String()
			}
			i += 2 + end + 2
		case inside && strings.HasPrefix(text[i:], "*/"):
			inside = false
			b.WriteByte(' ')
			i += 2
		case c == '#' || strings.HasPrefix(text[i:], "--") && (i+2 == len(text) || text[i+2] <= ' '):
			end := strings.IndexByte(text[i:], '\n')
			if end < 0 {
				return b.String()
			}
			i += end
		default:
			b.WriteByte(c)
			i++
		}
	}
	return b.String()
}

// executed returns the length of the front of a comment that is executed, 0 for
// any other.
func executed(s string) int {
	var n int
	switch {
	case strings.HasPrefix(s, "/*!"):
		n = 3
	case strings.HasPrefix(s, "/*M!"):
		n = 4
	default:
		return 0
	}
	for digits := 0; n < len(s) && digits < 6 && s[n] >= '0' && s[n] <= '9'; digits++ {
		n++
	}
	return n
}

// quoteEnd returns where the quoted text that starts at i ends.
func quoteEnd(s string, i int, backslash bool) int {
	q := s[i]
	for j := i + 1; j < len(s); j++ {
		switch {
		case s[j] == '\\' && backslash:
			j++
		case s[j] == q && j+1 < len(s) && s[j+1] == q:
			j++
		case s[j] == q:
			return j + 1
		}
	}
	return len(s)
}

// tokens splits a cleaned statement, up to maxTokens of them.
func tokens(s string, backslash, ansi bool) []token { return tokensUpTo(s, backslash, ansi, maxTokens) }

func tokensUpTo(s string, backslash, ansi bool, most int) []token {
	var out []token
	for i := 0; i < len(s) && len(out) < most; {
		c := s[i]
		switch {
		case c <= ' ':
			i++
		case c == '`' || c == '"' && ansi:
			end := quoteEnd(s, i, false)
			inner := strings.TrimSuffix(s[i+1:end], string(c))
			out = append(out, token{strings.ReplaceAll(inner, string(c)+string(c), string(c)), true, false, i, end})
			i = end
		case c == '\'' || c == '"':
			end := quoteEnd(s, i, backslash)
			out = append(out, token{s[i:end], false, true, i, end})
			i = end
		case wordByte(c):
			end := i
			for end < len(s) && wordByte(s[end]) {
				end++
			}
			out = append(out, token{s[i:end], false, false, i, end})
			i = end
		default:
			out = append(out, token{s[i : i+1], false, false, i, i + 1})
			i++
		}
	}
	return out
}

func wordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '$' || c >= 0x80
}

// words reads keywords from the front of tokens.
type words struct{ t []token }

// skip takes the word when it is next.
func (w *words) skip(word string) bool {
	if len(w.t) > 0 && w.t[0].is(word) {
		w.t = w.t[1:]
		return true
	}
	return false
}

// skipAll takes the words when they are next, all of them.
func (w *words) skipAll(list ...string) bool {
	for i, word := range list {
		if i >= len(w.t) || !w.t[i].is(word) {
			return false
		}
	}
	w.t = w.t[len(list):]
	return true
}

// name takes a table name.
func (w *words) name() (space, table string, ok bool) {
	if len(w.t) == 0 || w.t[0].str {
		return "", "", false
	}
	table = w.t[0].text
	w.t = w.t[1:]
	if len(w.t) >= 2 && w.t[0].is(".") && !w.t[1].str {
		space, table = table, w.t[1].text
		w.t = w.t[2:]
	}
	return space, table, true
}
