package option

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// defaultText returns a default as a job file would have it, nil when there is
// none worth showing.
func (f Field) defaultText() any {
	switch d := f.Default.(type) {
	case nil:
		if f.Kind == Bool && !f.Required {
			return false
		}
		return nil
	case int64:
		if f.Min > d { // means: not given
			return nil
		}
		if f.Kind == Size {
			return FormatSize(d)
		}
		return d
	case time.Duration:
		return FormatDuration(d)
	case string:
		if d == "" {
			return nil
		}
		return d
	case []string:
		if len(d) == 0 {
			return nil
		}
		return d
	case bool:
		return d
	}
	return nil
}

// Reference returns the fields as Markdown: a table for the object at path
// (empty: the whole document), then one for each object in it.
func Reference(path string, fields []Field) string {
	var b strings.Builder
	reference(&b, path, Field{Fields: fields}, false)
	return b.String()
}

// reference writes the table of the object o; sink says that it is part of one,
// where it matters what may be changed later.
func reference(b *strings.Builder, path string, o Field, sink bool) {
	sink = sink || o.Kind == Objects
	if path != "" {
		fmt.Fprintf(b, "## `%s`\n\n", path)
	}
	if o.Help != "" {
		fmt.Fprintf(b, "%s\n\n", o.Help)
	}
	if len(o.Fields) == 0 {
		b.WriteString("No options.\n\n")
	} else {
		b.WriteString("| key | value | default | what it is |\n|---|---|---|---|\n")
	}
	for _, f := range o.Fields {
		f.Choice = f.Choice || o.OneOf
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", f.Name, cell(f.valueText()), cell(f.defaultCell()), cell(f.helpText(sink)))
	}
	if len(o.Fields) > 0 {
		b.WriteString("\n")
	}
	for _, f := range o.Fields {
		switch f.Kind {
		case Object:
			reference(b, join(path, f.Name), f, sink)
		case Objects:
			f.Help = "Each item of the list:"
			reference(b, join(path, f.Name)+"[]", f, sink)
		}
	}
}

// Describe says what values f takes, and which it has by itself; empty: none.
func (f Field) Describe() (value, def string) {
	if d := f.defaultText(); d != nil {
		def = fmt.Sprint(d)
	}
	return strings.ReplaceAll(f.valueText(), "`", ""), def
}

func (f Field) valueText() string {
	switch f.Kind {
	case Text:
		return "text"
	case Secret:
		return "text, `${env:NAME}` or `${file:PATH}`"
	case Int:
		return "whole number" + f.bounds()
	case Bool:
		return "`true`, `false`"
	case Size:
		return "size" + f.bounds()
	case Duration:
		return "duration" + f.bounds()
	case Enum:
		return "`" + strings.Join(f.Values, "`, `") + "`"
	case List:
		return "list of texts"
	case Map:
		return "texts by name"
	case Objects:
		return "list of objects, below"
	}
	if f.OneOf {
		return "object with one key, below"
	}
	return "object, below"
}

func (f Field) defaultCell() string {
	switch d := f.defaultText().(type) {
	case nil:
		switch {
		case f.Required:
			return "**required**"
		case f.Choice:
			return "one of these"
		}
		return "none"
	case string:
		return code(d)
	default:
		return code(fmt.Sprint(d))
	}
}

// code quotes s for Markdown, white space and all.
func code(s string) string {
	if strings.ContainsAny(s, "\t\n`") || s == " " {
		s = strconv.Quote(s)
	}
	return "`" + s + "`"
}

func (f Field) helpText(sink bool) string {
	h := f.Help
	if f.Example != "" {
		h += " Example: " + code(f.Example) + "."
	}
	switch {
	case f.Live && sink:
		h += " May be changed later."
	case f.Live:
		h += " May be changed while it runs."
	}
	return strings.TrimSpace(h)
}

// cell keeps text inside one cell of a table.
func cell(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\n", " "), "|", `\|`)
}
