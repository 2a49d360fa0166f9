package option

import (
	"crypto/sha256"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"godwit/internal/secret"
)

// shortSecret is the least length of a secret that is looked for in texts: less
// would mask ordinary words, and guard nothing.
const shortSecret = 4

// Masker returns a function that masks every secret of v in a text, in plain,
// quoted and URL form. Secrets are kept out of texts where they are made; this is
// for errors and log lines, which may hold what others say, such as a server that
// repeats what it was sent.
func Masker(v Values) func(string) string {
	var forms []string
	public := append(textsOf(v), "godwit")
	for _, s := range secretsOf(v) {
		// A password that is also the user's name, say, cannot be told from it.
		known := slices.ContainsFunc(public, func(t string) bool { return strings.Contains(t, s) })
		if len(s) < shortSecret || known {
			continue
		}
		quoted := strconv.Quote(s)
		forms = append(forms, s, quoted[1:len(quoted)-1], url.QueryEscape(s), url.PathEscape(s))
	}
	if len(forms) == 0 {
		return func(t string) string { return t }
	}
	slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) }) // the longest wins
	var pairs []string
	for _, f := range slices.Compact(forms) {
		pairs = append(pairs, f, secret.Hidden)
	}
	return strings.NewReplacer(pairs...).Replace
}

// SecretSum returns a checksum of the values of all Secret options below v. It is to
// compare with, within a process, and not to be kept: short secrets could be guessed.
func SecretSum(v Values) [sha256.Size]byte {
	h := sha256.New()
	for _, s := range secretsOf(v) {
		fmt.Fprintf(h, "%d %s\n", len(s), s)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// secretsOf returns the values of all Secret options below v.
func secretsOf(v Values) []string {
	var out []string
	for _, f := range v.Fields() {
		switch f.Kind {
		case Secret:
			out = append(out, v.Secret(f.Name).Reveal())
		case Object:
			out = append(out, secretsOf(v.Object(f.Name))...)
		case Objects:
			for _, o := range v.Objects(f.Name) {
				out = append(out, secretsOf(o)...)
			}
		}
	}
	return out
}

// textsOf returns the texts below v that are no secrets.
func textsOf(v Values) []string {
	var out []string
	for _, f := range v.Fields() {
		switch f.Kind {
		case Text, Enum:
			out = append(out, v.Written(f.Name))
		case Object:
			out = append(out, textsOf(v.Object(f.Name))...)
		case Objects:
			for _, o := range v.Objects(f.Name) {
				out = append(out, textsOf(o)...)
			}
		}
	}
	return out
}
