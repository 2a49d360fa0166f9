package option

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"godwit/internal/fault"
)

// Resolver gives references their values. A nil function refuses its kind.
type Resolver struct {
	// Env returns the value of an environment variable and whether it is set.
	Env func(name string) (string, bool)
	// Refuse says why a variable may not be asked for; nil, or a nil error: it may.
	Refuse func(name string) error
	// File returns what a file holds. Relative paths are made relative to the
	// folder of the job file before.
	File func(path string) ([]byte, error)
}

// maxSecretBytes bounds what a ${file:…} may hold.
const maxSecretBytes = 64 << 10

// resolve replaces ${env:NAME} and ${file:PATH} in text; $${ stands for a plain
// ${. referred reports whether there was any reference. Errors name the
// reference and never a value.
func (r Resolver) resolve(text, jobFile string) (value string, referred bool, err error) {
	var b strings.Builder
	for {
		i := strings.Index(text, "${")
		if i < 0 {
			b.WriteString(text)
			return b.String(), referred, nil
		}
		if i > 0 && text[i-1] == '$' {
			b.WriteString(text[:i-1])
			b.WriteString("${")
			text = text[i+2:]
			continue
		}
		end := strings.IndexByte(text[i:], '}')
		if end < 0 {
			return "", true, fmt.Errorf("a reference ${ is not closed; write $${ for a plain ${")
		}
		value, err := r.lookUp(text[i+2:i+end], jobFile)
		if err != nil {
			return "", true, err
		}
		referred = true
		b.WriteString(text[:i])
		b.WriteString(value)
		text = text[i+end+1:]
	}
}

func (r Resolver) lookUp(ref, jobFile string) (string, error) {
	kind, name, ok := strings.Cut(ref, ":")
	switch {
	case ok && kind == "env" && validEnv(name) && r.Env != nil:
		if r.Refuse != nil {
			if err := r.Refuse(name); err != nil {
				return "", of(ref, err)
			}
		}
		v, set := r.Env(name)
		if !set {
			return "", fmt.Errorf("${env:%s}: the environment variable %s is not set", name, name)
		}
		return v, nil
	case ok && kind == "file" && name != "" && r.File != nil:
		return r.readFile(name, jobFile)
	}
	return "", fmt.Errorf("not a reference that is known: ${env:NAME} and ${file:PATH} are; write $${ for a plain ${")
}

func (r Resolver) readFile(name, jobFile string) (string, error) {
	path := name
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(jobFile), path)
	}
	b, err := r.File(path)
	if err != nil {
		return "", of("file:"+name, err)
	}
	if len(b) > maxSecretBytes {
		return "", fmt.Errorf("${file:%s}: larger than %s", name, FormatSize(maxSecretBytes))
	}
	// Editors end a file with a newline that is no part of the secret.
	s := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	if strings.ContainsRune(s, 0) {
		return "", fmt.Errorf("${file:%s}: holds a zero byte", name)
	}
	return s, nil
}

// of says of which reference an error is. A fault keeps its code.
func of(ref string, err error) error {
	var f *fault.Error
	if !errors.As(err, &f) {
		return fmt.Errorf("${%s}: %w", ref, err)
	}
	out := *f
	out.What = "${" + ref + "}: " + f.What
	return &out
}

func validEnv(name string) bool {
	for i, c := range []byte(name) {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}
