// Package option declares options once, as data: parsing, checking, the JSON
// schema and the reference in docs all come from the same Fields.
package option

import (
	"fmt"
	"time"

	"godwit/internal/secret"
)

// Kind is the form of an option's value.
type Kind uint8

// Kinds, with the Go type that Values holds for each.
const (
	Text     Kind = iota + 1 // string
	Secret                   // secret.Text; written as a reference ${env:…} or ${file:…}, or plainly
	Int                      // int64
	Bool                     // bool
	Size                     // int64 bytes: 128MiB, 1 GB, 4096
	Duration                 // time.Duration: 30s, 5m, 2h, 3d
	Enum                     // string, one of Field.Values
	List                     // []string
	Object                   // Values, checked by Field.Fields
)

// Field declares one option.
type Field struct {
	Name     string
	Kind     Kind
	Required bool
	Default  any      // the Go type of Kind; nil: the zero value
	Values   []string // Enum
	Min, Max int64    // Int, Size (bytes), Duration (ns); both 0: unbounded
	Fields   []Field  // Object
	OneOf    bool     // Object: exactly one of Fields must be given (a system's name)
	Help     string   // one or two sentences, Markdown
	Example  string   // as in a job file; may be empty
}

// Place is where in a file a value stands.
type Place struct {
	File      string
	Line, Col int
}

func (p Place) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// Values are the checked values of an Object, defaults filled in. They are
// immutable. Asking for a field that was not declared, or by the wrong kind,
// panics: that is a defect of the caller.
type Values struct {
	set    map[string]any
	given  map[string]bool
	places map[string]Place
	at     Place
}

// Of returns Values with the fields' defaults, overridden by given. Nothing is
// checked: it is for tests and for code that builds options itself.
func Of(fields []Field, given map[string]any) Values {
	v := Values{set: map[string]any{}, given: map[string]bool{}, places: map[string]Place{}}
	for _, f := range fields {
		v.set[f.Name] = f.zero()
		if g, ok := given[f.Name]; ok {
			v.set[f.Name] = g
			v.given[f.Name] = true
		}
	}
	return v
}

// zero returns the value of a field that was not given.
func (f Field) zero() any {
	if f.Default != nil {
		return f.Default
	}
	switch f.Kind {
	case Secret:
		return secret.Text{}
	case Int, Size:
		return int64(0)
	case Bool:
		return false
	case Duration:
		return time.Duration(0)
	case List:
		return []string(nil)
	case Object:
		return Of(f.Fields, nil)
	}
	return ""
}

func get[T any](v Values, name string) T {
	x, ok := v.set[name]
	if !ok {
		panic("option: no field " + name)
	}
	return x.(T)
}

// Text returns a Text or Enum.
func (v Values) Text(name string) string { return get[string](v, name) }

// Secret returns a Secret.
func (v Values) Secret(name string) secret.Text { return get[secret.Text](v, name) }

// Int returns an Int or Size.
func (v Values) Int(name string) int64 { return get[int64](v, name) }

// Bool returns a Bool.
func (v Values) Bool(name string) bool { return get[bool](v, name) }

// Duration returns a Duration.
func (v Values) Duration(name string) time.Duration { return get[time.Duration](v, name) }

// List returns a List.
func (v Values) List(name string) []string { return get[[]string](v, name) }

// Object returns the values of an Object.
func (v Values) Object(name string) Values { return get[Values](v, name) }

// Given reports whether the file gave the field a value.
func (v Values) Given(name string) bool { return v.given[name] }

// Place returns where the field stands, or the object itself when it was not
// given.
func (v Values) Place(name string) Place {
	if p, ok := v.places[name]; ok {
		return p
	}
	return v.at
}
