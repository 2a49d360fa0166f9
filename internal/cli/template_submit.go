package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"godwit/internal/api"
	"godwit/internal/fault"
)

// fromTemplate are the flags of job submit that make jobs from a template.
type fromTemplate struct {
	template string
	set      []string
	values   string
	preview  bool
	yes      bool
}

func (f *fromTemplate) add(a *app, c *cobra.Command) {
	a.templateFlag(c, &f.template, "make jobs from the template `NAME` instead of a file")
	setFlag(c, &f.set)
	c.Flags().StringVar(&f.values, "values", "", "make a job of each row of a `FILE`: .csv with the names of parameters as its head, or .jsonl with an object a line")
	c.Flags().BoolVar(&f.preview, "preview", false, "with --template: only tell which jobs would be made")
	c.Flags().BoolVar(&f.yes, "yes", false, "with --values: do not ask")
	err := c.RegisterFlagCompletionFunc("values", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"csv", "jsonl"}, cobra.ShellCompDirectiveFilterFileExt
	})
	if err != nil {
		panic("cli: " + err.Error()) // the flag is not there
	}
}

func setFlag(c *cobra.Command, into *[]string) {
	c.Flags().StringArrayVar(into, "set", nil, "what a parameter of the template stands for, `NAME=VALUE`; may be given often")
}

// args accepts the job file, or none where a template is named.
func (f *fromTemplate) args(c *cobra.Command, args []string) error {
	switch {
	case f.template == "" && len(f.set) == 0 && f.values == "" && !f.preview && !f.yes:
		return oneArg("the job file")(c, args)
	case f.template == "":
		return fault.New(fault.Usage, "--set, --values, --preview and --yes are for jobs of a template, and none is named").Try("--template NAME; godwit template list")
	case len(args) > 0:
		return fault.New(fault.Usage, "%s takes a job file or --template, not also %q", c.CommandPath(), clean(args[0])).Try("%s --help", c.CommandPath())
	}
	return nil
}

// setValues reads what --set says.
func setValues(set []string) (api.Values, error) {
	out := api.Values{}
	for _, s := range set {
		name, value, ok := strings.Cut(s, "=")
		if _, twice := out[name]; !ok || name == "" || twice {
			return nil, fault.New(fault.Usage, "--set %s: expected NAME=VALUE, each name once", clean(cut(s, 80))).Try("--set shard=07")
		}
		out[name] = value
	}
	return out, nil
}

// sets are the values of each job that is asked for.
func (f *fromTemplate) sets() ([]api.Values, error) {
	common, err := setValues(f.set)
	if err != nil || f.values == "" {
		return []api.Values{common}, err
	}
	all, err := readValues(f.values)
	for _, one := range all {
		for name, value := range common {
			if _, given := one[name]; !given {
				one[name] = value
			}
		}
	}
	return all, err
}

// setsAtOnce is how many jobs one request makes: it must fit into a body.
const setsAtOnce = 500

// makeJobs makes jobs from a template. Many are shown first, and must be confirmed.
func (a *app) makeJobs(ctx context.Context, f fromTemplate, in api.TemplateJobs) error {
	sets, err := f.sets()
	if err != nil {
		return err
	}
	if f.values == "" && !f.preview {
		r, err := a.askForJobs(ctx, f.template, in, sets)
		if err != nil {
			return err
		}
		if len(r.Results) == 1 && r.Results[0].Error != nil {
			return faultOf(r.Results[0].Error)
		}
		return a.madeJobs(f.template, r)
	}
	in.Preview = true
	preview, err := a.askForJobs(ctx, f.template, in, sets)
	if err != nil {
		return err
	}
	if f.preview || !a.json {
		a.showItems("make", f.template, preview.Results)
	}
	would := int64(len(preview.Results) - preview.Failed - preview.Skipped)
	if f.preview || would == 0 {
		if !f.preview && preview.Failed == 0 {
			a.say("all of them live already")
		}
		return failedOf(preview)
	}
	what := "makes " + plural(would, "job") + " from template " + clean(f.template)
	if preview.Failed > 0 {
		what += fmt.Sprintf("; %d cannot be made", preview.Failed)
	}
	if err := a.agree(f.yes, what, "--yes"); err != nil {
		return err
	}
	in.Preview = false
	r, err := a.askForJobs(ctx, f.template, in, sets)
	if err != nil {
		return err
	}
	return a.madeJobs(f.template, r)
}

// askForJobs asks the server for jobs, some at a time. Who asks again after a broken
// answer gets none twice.
func (a *app) askForJobs(ctx context.Context, template string, in api.TemplateJobs, sets []api.Values) (*api.TemplateResult, error) {
	all := &api.TemplateResult{}
	err := a.ask(ctx, true, func(ctx context.Context, c *client) error {
		for some := range slices.Chunk(sets, setsAtOnce) {
			in.Values = some
			r, err := got(c.MakeJobsWithResponse(ctx, template, in))
			if err != nil {
				return err
			}
			for i := range r.Results {
				r.Results[i].Item += len(all.Results)
			}
			all.Version, all.Results = r.Version, append(all.Results, r.Results...)
			all.Done, all.Skipped, all.Failed = all.Done+r.Done, all.Skipped+r.Skipped, all.Failed+r.Failed
		}
		return nil
	})
	return all, err
}

// madeJobs tells what was made.
func (a *app) madeJobs(template string, r *api.TemplateResult) error {
	if a.json {
		a.showItems("submit", template, r.Results)
	}
	said := fmt.Sprintf("%d made, %d lived already, %d failed", r.Done, r.Skipped, r.Failed)
	if len(r.Results) == 1 {
		said = a.errCol.bold(itemName(r.Results[0])) + " is taken in"
		if r.Skipped == 1 {
			said = a.errCol.bold(itemName(r.Results[0])) + ": " + clean(r.Results[0].Why)
		}
	}
	a.say(said + ". Next: godwit template jobs " + template)
	return failedOf(r)
}

// editFrom are the flags of job edit that have to do with templates.
type editFrom struct {
	template string
	set      []string
	detach   bool
}

func (f *editFrom) add(a *app, c *cobra.Command) {
	a.templateFlag(c, &f.template, "instead of a file: make it from the template `NAME`, which it belongs to then")
	setFlag(c, &f.set)
	c.Flags().BoolVar(&f.detach, "detach", false, "let a job of a template go on by itself, with FILE or with the file it has")
}

// args accepts the name of a job and its file, or none where the file is from a
// template or stays.
func (f *editFrom) args(c *cobra.Command, args []string) error {
	rest, least, most := "its new file", 2, 2
	switch {
	case f.template != "" || len(f.set) > 0:
		rest, least, most = "values by --set", 1, 1
	case f.detach:
		least = 1
	}
	return jobAnd(rest, least, most)(c, args)
}

// request adds to an edit what the flags say.
func (f *editFrom) request(e *api.EditRequest) (err error) {
	e.Template, e.Detach = f.template, f.detach
	if len(f.set) > 0 {
		e.Values, err = setValues(f.set)
	}
	return err
}
