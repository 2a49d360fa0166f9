package option

import "godwit/internal/fault"

// Machine says what an option takes of the machine that it is read on. Whoever
// takes in options that others wrote can refuse it (Values.Uses).
type Machine uint8

// What an option takes; the zero Machine is nothing.
const (
	DataPath   Machine = iota + 1 // a path (Text, List): a file, folder or socket with what is moved, or what says so
	SecretPath                    // a path (Text, List): a file with keys, certificates or tokens
	Ambient                       // what no option names: variables, files of the user, the role of the machine
	Anywhere                      // files wherever links lead
)

// IsPath reports whether the values of such an option are paths.
func (m Machine) IsPath() bool { return m == DataPath || m == SecretPath }

// Use is one thing that values take of this machine.
type Use struct {
	Machine Machine
	Path    string // of a path: resolved; it may hold a secret
	Written string // as it stands in the file, references unresolved; empty where there is no path
	field   string
	in      Values
}

// Problem returns a problem that stands where the option does.
func (u Use) Problem(code fault.Code, format string, args ...any) Problem {
	return u.in.Problem(u.field, code, format, args...)
}

// Uses returns what the values take of this machine, at any depth, in the order
// in which the fields are declared.
func (v Values) Uses() []Use { return v.uses(false) }

// uses leaves out the systems that were not chosen. Any other object counts, given
// or not: its defaults hold.
func (v Values) uses(oneOf bool) (out []Use) {
	for _, f := range v.fields {
		if (oneOf || f.Choice) && !v.given[f.Name] {
			continue
		}
		out = append(out, v.usesOf(f)...)
		switch f.Kind {
		case Object:
			inner := v.Object(f.Name).uses(f.OneOf)
			for i := range inner {
				if !v.given[f.Name] { // it stands nowhere
					inner[i].field, inner[i].in = join(f.Name, inner[i].field), v
				}
			}
			out = append(out, inner...)
		case Objects:
			for _, o := range v.Objects(f.Name) {
				out = append(out, o.uses(f.OneOf)...)
			}
		}
	}
	return out
}

// usesOf returns what the field itself takes.
func (v Values) usesOf(f Field) (out []Use) {
	switch {
	case f.Stands != nil:
		return v.standing(f)
	case f.Machine == 0:
		return nil
	case !f.Machine.IsPath():
		if f.Takes == nil || f.Takes(v) {
			out = []Use{{Machine: f.Machine, field: f.Name, in: v}}
		}
		return out
	case f.Kind == List:
		for i, p := range v.List(f.Name) {
			out = append(out, Use{Machine: f.Machine, Path: p, Written: p, field: item(f.Name, i), in: v})
		}
		return out
	}
	if p := v.Text(f.Name); p != "" {
		out = []Use{{Machine: f.Machine, Path: p, Written: v.Written(f.Name), field: f.Name, in: v}}
	}
	return out
}

// standing returns what a text takes by the options it stands for. One that cannot
// be read stands for none: nobody can open it either.
func (v Values) standing(f Field) []Use {
	o, err := f.Stands(v.Text(f.Name))
	if v.Text(f.Name) == "" || err != nil {
		return nil
	}
	out := o.Uses()
	for i := range out {
		if out[i].Written != "" {
			out[i].Written = v.Written(f.Name)
		}
		out[i].field, out[i].in = f.Name, v
	}
	return out
}
