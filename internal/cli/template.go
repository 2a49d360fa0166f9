package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"godwit/internal/api"
	"godwit/internal/fault"
)

func (a *app) templateCommand() *cobra.Command {
	c := group("template", "Keep many jobs of one kind: one text, and values for each job", `  godwit template submit shards.yaml
  godwit job submit --template shards --values shards.csv`,
		a.templateListCommand(), a.templateShowCommand(), a.templateSubmitCommand(), a.templateEditCommand(), a.templateRollbackCommand(),
		a.templateVersionsCommand(), a.templateDiffCommand(), a.templateJobsCommand(), a.templateDeleteCommand())
	return a.serverFlags(c)
}

// What these commands print with --json.
type (
	templateLine struct {
		head
		api.Template
	}
	templateVersionLine struct {
		head
		Template string `json:"template"`
		api.Version
	}
	templateDiffLine struct {
		head
		Template string `json:"template"`
		From     int64  `json:"from"`
		To       int64  `json:"to"`
		Diff     string `json:"diff"`
	}
	// templateItemLine is what becomes of one job of a template.
	templateItemLine struct {
		head
		Template string `json:"template"`
		Act      string `json:"act"` // submit, edit
		api.TemplateItem
	}
	// templateEditLine ends an edit: the version that is the newest then.
	templateEditLine struct {
		head
		Template string `json:"template"`
		Version  int64  `json:"version"`
		Done     int    `json:"done"`
		Skipped  int    `json:"skipped"`
		Failed   int    `json:"failed"`
		Preview  bool   `json:"preview,omitempty"`
	}
	templateGoneLine struct {
		head
		Name string `json:"name"`
	}
)

// Kinds of these lines.
const (
	lineTemplate        = "template"
	lineTemplateVersion = "template_version"
	lineTemplateDiff    = "template_diff"
	lineTemplateItem    = "template_item"
	lineTemplateEdit    = "template_edit"
	lineTemplateGone    = "template_deleted"
)

func (a *app) templateListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the templates of the server",
		Example: `  godwit template list
  godwit template list --json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.ask(c.Context(), false, func(ctx context.Context, c *client) error {
				all, err := c.templates(ctx)
				if err != nil {
					return err
				}
				l := listing{head: []string{"NAME", "VERSION", "JOBS", "BEHIND", "UPDATED", "PARAMETERS", "NOTE"}, plain: [][]string{},
					empty: "no template here; begin with: godwit template submit FILE"}
				for _, t := range all {
					if a.json {
						a.emit(templateLine{a.head(lineTemplate), t})
						continue
					}
					n := strconv.FormatInt(t.Version, 10)
					l.rows = append(l.rows, []string{t.Name, n, strconv.Itoa(t.Jobs), strconv.Itoa(t.Behind), since(a.p.Now(), t.Updated), parameterNames(t), t.Note})
					l.plain = append(l.plain, []string{t.Name, n, strconv.Itoa(t.Jobs), strconv.Itoa(t.Behind), stampOf(t.Updated), parameterNames(t), t.Note})
				}
				if !a.json {
					a.show(l)
				}
				return nil
			})
		},
	}
}

func (c *client) templates(ctx context.Context) ([]api.Template, error) {
	r, err := c.ListTemplatesWithResponse(ctx)
	if err := settled(r, err); err != nil {
		return nil, err
	}
	if r.JSON200 == nil {
		return nil, noneOfOurs(r)
	}
	return r.JSON200.Items, nil
}

func parameterNames(t api.Template) string {
	var out []string
	for _, p := range t.Parameters {
		out = append(out, p.Name)
	}
	return strings.Join(out, ", ")
}

func (a *app) templateShowCommand() *cobra.Command {
	return a.onTemplate(&cobra.Command{
		Use:   "show NAME",
		Short: "Show a template: its parameters and its text",
		Example: `  godwit template show shards
  godwit template show shards > shards.yaml`,
		Long: "Elsewhere than on a terminal only the text is printed, as it is, to be edited.",
		Args: oneArg("the name of a template"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.ask(c.Context(), false, func(ctx context.Context, c *client) error {
				t, err := got(c.ShowTemplateWithResponse(ctx, args[0]))
				if err != nil {
					return err
				}
				switch {
				case a.json:
					a.emit(templateLine{a.head(lineTemplate), *t})
				case isTerminal(a.out):
					a.print(a.templateLines(*t)...)
				default:
					fmt.Fprint(a.out, t.File)
				}
				return nil
			})
		},
	})
}

// templateLines shows a template to people.
func (a *app) templateLines(t api.Template) []string {
	out := []string{fmt.Sprintf("%s  version %d, updated %s%s", a.outCol.bold(clean(t.Name)), t.Version, since(a.p.Now(), t.Updated), by(t.UpdatedBy))}
	if t.Note != "" {
		out = append(out, "  note      "+clean(t.Note))
	}
	jobs := plural(int64(t.Jobs), "job")
	if t.Behind > 0 {
		jobs += fmt.Sprintf(", %d behind: godwit template jobs %s --behind", t.Behind, t.Name)
	}
	out = append(out, "  jobs      "+jobs)
	for _, p := range t.Parameters {
		says := "default " + strconv.Quote(p.Default)
		if p.Required {
			says = "required"
		}
		if p.Help != "" {
			says += ": " + p.Help
		}
		out = append(out, "  parameter "+clean(p.Name+", "+says))
	}
	return append(append(out, ""), cleanLines(t.File)...)
}

func (a *app) templateSubmitCommand() *cobra.Command {
	var in api.TemplateSubmission
	c := &cobra.Command{
		Use:   "submit FILE",
		Short: "Give a template to the server; jobs are made from it by godwit job submit --template",
		Example: `  godwit template submit shards.yaml
  godwit template submit shards.yaml --note "all shards of the shop"`,
		Args: oneArg("the template's file"),
		RunE: func(c *cobra.Command, args []string) error {
			text, err := jobText(args[0])
			if err != nil {
				return err
			}
			in.File = text
			return a.ask(c.Context(), false, func(ctx context.Context, c *client) error {
				r, err := c.SubmitTemplateWithResponse(ctx, in)
				if err := settled(r, err); err != nil {
					return inFile(err, args[0])
				}
				if r.JSON201 == nil {
					return noneOfOurs(r)
				}
				if a.json {
					a.emit(templateLine{a.head(lineTemplate), *r.JSON201})
				}
				name := r.JSON201.Name
				a.say(fmt.Sprintf("template %s is kept as version 1. Next: godwit job submit --template %s %s", a.errCol.bold(name), name, setWords(*r.JSON201)))
				return nil
			})
		},
	}
	c.Flags().StringVar(&in.Note, "note", "", "a `TEXT` for people")
	completeFiles(c)
	return c
}

// setWords are the flags that a job of a template needs.
func setWords(t api.Template) string {
	var out []string
	for _, p := range t.Parameters {
		if p.Required {
			out = append(out, "--set "+p.Name+"=…")
		}
	}
	return strings.Join(out, " ")
}

func (a *app) templateJobsCommand() *cobra.Command {
	var behind bool
	c := &cobra.Command{
		Use:   "jobs NAME",
		Short: "List the jobs that are made from a template, with their values",
		Example: `  godwit template jobs shards
  godwit template jobs shards --behind`,
		Args: oneArg("the name of a template"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.ask(c.Context(), false, func(ctx context.Context, c *client) error {
				if _, err := got(c.ShowTemplateWithResponse(ctx, args[0])); err != nil {
					return err
				}
				q := api.ListJobsParams{Template: args[0], TemplateBehind: behind, Sort: api.ListJobsParamsSortName}
				jobs, more, err := c.jobs(ctx, q, 0)
				if err != nil {
					return err
				}
				l := listing{head: []string{"NAME", "STATUS", "VERSION", "VALUES", "NOTE"}, plain: [][]string{}, empty: "no such job"}
				for _, j := range jobs {
					if a.json {
						a.emit(jobLine{a.head(lineJob), j})
						continue
					}
					n := strconv.FormatInt(j.TemplateVersion, 10)
					l.rows = append(l.rows, []string{j.Name, standsText(j.Standing, &j.Wish), n, valuesText(j.Values), behindText(j)})
					l.plain = append(l.plain, []string{j.Name, string(j.Standing.Status), n, valuesText(j.Values), behindText(j)})
				}
				if !a.json {
					a.show(l)
				}
				a.sayMore(more, len(jobs))
				return nil
			})
		},
	}
	c.Flags().BoolVar(&behind, "behind", false, "only jobs that have not taken over the newest version")
	return a.onTemplate(c)
}

// valuesText shows values in the order of their names.
func valuesText(v api.Values) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(v)) {
		out = append(out, name+"="+v[name])
	}
	return strings.Join(out, " ")
}

// behindText says why a job is behind its template; empty: it is not.
func behindText(j api.Job) string {
	switch {
	case !j.TemplateBehind:
		return ""
	case j.TemplateError != nil:
		return "behind: " + j.TemplateError.Code + ": " + j.TemplateError.What
	}
	return "behind: it is about to be rolled out"
}

func (a *app) templateDeleteCommand() *cobra.Command {
	var reason string
	var yes bool
	c := &cobra.Command{
		Use:   "delete NAME",
		Short: "Forget a template that no job is made from",
		Example: `  godwit template delete shards
  godwit template delete shards --confirm --reason "all moved"`,
		Args: oneArg("the name of a template"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.agree(yes, "forgets the template "+clean(args[0])+" and its versions", "--confirm"); err != nil {
				return err
			}
			return a.ask(c.Context(), false, func(ctx context.Context, c *client) error {
				r, err := c.DeleteTemplateWithResponse(ctx, args[0], &api.DeleteTemplateParams{Reason: reason})
				if err := settled(r, err); err != nil {
					return err
				}
				if a.json {
					a.emit(templateGoneLine{a.head(lineTemplateGone), args[0]})
				}
				a.say("template " + a.errCol.bold(clean(args[0])) + " is gone")
				return nil
			})
		},
	}
	c.Flags().BoolVar(&yes, "confirm", false, "it is meant; do not ask")
	reasonFlag(c, &reason)
	return a.onTemplate(c)
}

// onTemplate completes the first argument with the names of templates.
func (a *app) onTemplate(c *cobra.Command) *cobra.Command {
	c.ValidArgsFunction = func(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveDefault // a file may follow
		}
		return a.templateNames(c.Context(), begun), cobra.ShellCompDirectiveNoFileComp
	}
	return c
}

// templateFlag adds --template, which completes names.
func (a *app) templateFlag(c *cobra.Command, into *string, usage string) {
	c.Flags().StringVar(into, "template", "", usage)
	err := c.RegisterFlagCompletionFunc("template", func(c *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		return a.templateNames(c.Context(), begun), cobra.ShellCompDirectiveNoFileComp
	})
	if err != nil {
		panic("cli: " + err.Error()) // the flag is not there
	}
}

// templateNames asks the server for names. A server that does not answer at once has
// none.
func (a *app) templateNames(ctx context.Context, begun string) (out []string) {
	if ctx == nil {
		ctx = context.Background()
	}
	c, err := a.client(false)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, completeWait)
	defer cancel()
	all, _ := c.templates(ctx)
	for _, t := range all {
		if strings.HasPrefix(t.Name, begun) && len(out) < maxCompleted {
			out = append(out, t.Name)
		}
	}
	return out
}

// nameAnd accepts the name of a template and what rest says, least to most arguments in
// all.
func nameAnd(rest string, least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return fault.New(fault.Usage, "%s needs the name of a template", c.CommandPath()).Try("%s", c.UseLine())
		case len(args) < least:
			return fault.New(fault.Usage, "%s needs %s after the name of a template", c.CommandPath(), rest).Try("%s", c.UseLine())
		case len(args) > most:
			return fault.New(fault.Usage, "%s takes the name of a template and %s, not also %q", c.CommandPath(), rest, clean(args[most])).Try("%s", c.UseLine())
		}
		return nil
	}
}
