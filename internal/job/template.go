package job

import (
	"slices"

	"godwit/internal/fault"
	"godwit/internal/option"
)

// Template is a job file with parameters. It is immutable.
type Template struct{ *option.Template }

// ParseTemplate reads a template. All problems come at once; with problems the template
// is nil. Those of the job file that no value can mend, such as unknown keys, are among
// them; the others come when it is rendered and parsed.
func ParseTemplate(file string, text []byte, sys Systems) (*Template, option.Problems) {
	t, problems := option.ParseTemplate(file, text, slices.Concat(Fields(sys.Registry), FileFields(sys.Stores)))
	if len(problems) > 0 {
		return nil, problems
	}
	sample := map[string]string{}
	for _, p := range t.Parameters {
		if !p.Given {
			sample[p.Name] = "x"
		}
	}
	r, problems := t.Render(sample)
	if len(problems) > 0 {
		return nil, problems
	}
	_, found := Parse(file, []byte(r.Text), sys, option.Resolver{})
	for _, p := range found {
		if p.Path == "kind" { // which keys there may be depends on it
			return &Template{t}, nil
		}
		if p.Code == fault.JobField || p.Code == fault.JobSyntax || p.Code == fault.JobVersion {
			p.Place = r.Back(p.Place)
			problems = append(problems, p)
		}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return &Template{t}, nil
}
