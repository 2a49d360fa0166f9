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
	Map                      // []Pair, in the order of the file
	Object                   // Values, checked by Field.Fields
	Objects                  // []Values, each checked by Field.Fields
)

// Pair is one entry of a Map.
type Pair struct{ Key, Value string }

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
	Choice   bool     // of the neighbours with Choice in one object exactly one must be given
	Live     bool     // of a sink: a job that has run takes a new value at its next start; else the edit is refused
	Form     bool     // of a sink: its target is made with it, and reading everything again does not change it; only another target does
	Help     string   // one or two sentences, Markdown
	Example  string   // as in a job file; may be empty

	// Machine says what of this machine the option takes; every path says so. Of
	// what is no path, Takes says whether it does, by the object o that the option
	// stands in; nil: it does.
	Machine Machine
	Takes   func(o Values) bool
	// Stands reads a Text that stands for options, such as a URL: it takes of this
	// machine what they take.
	Stands func(text string) (Values, error)

	// Check refuses values that fit the kind but not the purpose; it gets the Go
	// type of Kind, for a List and a Map each item. Its error says what was expected and
	// does not repeat the value, which may be a secret.
	Check func(value any) error
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

	doc    *document // nil when not parsed
	path   string    // "sinks[0].files"; empty for the whole document
	fields []Field
	raw    map[string]string // texts with references, as written
}

// Of returns Values with the fields' defaults, overridden by given. Nothing is
// checked: it is for tests and for code that builds options itself.
func Of(fields []Field, given map[string]any) Values {
	v := Values{set: map[string]any{}, given: map[string]bool{}, places: map[string]Place{}, fields: fields}
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
	case Map:
		return []Pair(nil)
	case Object:
		return Of(f.Fields, nil)
	case Objects:
		return []Values(nil)
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

// Map returns a Map.
func (v Values) Map(name string) []Pair { return get[[]Pair](v, name) }

// Object returns the values of an Object.
func (v Values) Object(name string) Values { return get[Values](v, name) }

// Objects returns the items of an Objects.
func (v Values) Objects(name string) []Values { return get[[]Values](v, name) }

// Chosen returns the name of the one given field of a OneOf object, or of the
// one given field with Choice; empty when there is none.
func (v Values) Chosen() string {
	for _, f := range v.fields {
		if v.given[f.Name] && (f.Choice || v.oneOf()) {
			return f.Name
		}
	}
	return ""
}

// oneOf reports whether no field is marked: then v is a OneOf object.
func (v Values) oneOf() bool {
	for _, f := range v.fields {
		if f.Choice {
			return false
		}
	}
	return true
}

// Fields returns the declarations the values were checked by; the slice is lent.
func (v Values) Fields() []Field { return v.fields }

// Written returns a Text as it stands in the file, references unresolved. It may
// be stored where a resolved value must not be.
func (v Values) Written(name string) string {
	if raw, ok := v.raw[name]; ok {
		return raw
	}
	return v.Text(name)
}

// At returns where the object stands.
func (v Values) At() Place { return v.at }

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
