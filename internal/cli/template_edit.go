package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"godwit/internal/api"
	"godwit/internal/fault"
)

func (a *app) templateEditCommand() *cobra.Command {
	var f editFlags
	var note string
	c := &cobra.Command{
		Use:   "edit NAME [FILE]",
		Short: "Give a template another text, and its jobs what follows; tells first what it does to each",
		Example: `  godwit template edit shards shards.yaml --reason "smaller files"
  godwit template edit shards shards.yaml --preview`,
		Long: `Edit shows for each job of the template what changes and what that does, as godwit job edit does. It asks on a terminal;
elsewhere --yes must say that it is meant. The new version is kept first and then rolled out, job by job, through a crash of the server too.
A job that refuses it goes on with the file it has and is behind; the exit code is 4 then. Without FILE jobs that are behind are tried again.`,
		Args: nameAnd("its new file", 1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			e := api.TemplateEdit{Version: f.version, Reason: f.reason, Note: note}
			if len(args) == 1 {
				return a.editTemplate(c.Context(), args[0], e, f)
			}
			text, err := jobText(args[1])
			if err != nil {
				return err
			}
			e.File = text
			return inFile(a.editTemplate(c.Context(), args[0], e, f), args[1])
		},
	}
	f.add(c)
	c.Flags().Int64Var(&f.version, "version", 0, "the `N` that was edited (default: the newest)")
	c.Flags().StringVar(&note, "note", "", "another `TEXT` for people")
	return a.onTemplate(c)
}

func (a *app) templateRollbackCommand() *cobra.Command {
	var f editFlags
	c := &cobra.Command{
		Use:   "rollback NAME VERSION",
		Short: "Give a template the text of an earlier version again, and its jobs what follows",
		Example: `  godwit template rollback shards 2 --reason "smaller files were slower"
  godwit template rollback shards 2 --preview`,
		Args: nameAnd("a version of it", 2, 2),
		RunE: func(c *cobra.Command, args []string) error {
			back, err := versionOf(args[1], "godwit template versions "+args[0])
			if err != nil {
				return err
			}
			return a.editTemplate(c.Context(), args[0], api.TemplateEdit{BackTo: back, Reason: f.reason}, f)
		},
	}
	f.add(c)
	return a.onTemplate(c)
}

// editTemplate shows what an edit does to each job, asks, and does it. It counts only
// for the version it was shown for.
func (a *app) editTemplate(parent context.Context, name string, e api.TemplateEdit, f editFlags) error {
	var preview *api.TemplateResult
	err := a.ask(parent, true, func(ctx context.Context, c *client) error {
		if e.Version == 0 {
			t, err := got(c.ShowTemplateWithResponse(ctx, name))
			if err != nil {
				return err
			}
			e.Version = t.Version
		}
		e.Preview = true
		var err error
		preview, err = got(c.EditTemplateWithResponse(ctx, name, e))
		return err
	})
	if err != nil {
		return err
	}
	if f.preview || !a.json {
		a.showItems("edit", name, preview.Results)
	}
	if f.preview {
		if a.json {
			a.emit(editedLine(a.head(lineTemplateEdit), name, preview, true))
		}
		return failedOf(preview)
	}
	if err := a.agree(f.yes, rollsOut(name, preview), "--yes"); err != nil {
		return err
	}
	return a.ask(parent, true, func(ctx context.Context, c *client) error {
		e.Preview = false
		r, err := got(c.EditTemplateWithResponse(ctx, name, e))
		if err != nil {
			return err
		}
		if a.json {
			a.showItems("edit", name, r.Results)
			a.emit(editedLine(a.head(lineTemplateEdit), name, r, false))
		}
		said := fmt.Sprintf("template %s has version %d: %d jobs took it over, nothing changed for %d, %d are behind", a.errCol.bold(clean(name)), r.Version, r.Done, r.Skipped, r.Failed)
		if r.Version != e.Version {
			said += fmt.Sprintf(". Back: godwit template rollback %s %d", name, e.Version)
		}
		a.say(said)
		return failedOf(r)
	})
}

func editedLine(h head, name string, r *api.TemplateResult, preview bool) templateEditLine {
	return templateEditLine{h, name, r.Version, r.Done, r.Skipped, r.Failed, preview}
}

// rollsOut says what is to be confirmed.
func rollsOut(name string, r *api.TemplateResult) string {
	would := int64(len(r.Results) - r.Failed - r.Skipped)
	what := fmt.Sprintf("makes version %d of template %s live in %s", r.Version, clean(name), plural(would, "job"))
	if r.Failed > 0 {
		what += fmt.Sprintf("; %s would refuse it and go on as before", plural(int64(r.Failed), "job"))
	}
	return what
}

// failedOf is the error of the first job that failed; when others went well the whole
// is finished and not whole.
func failedOf(r *api.TemplateResult) error {
	for _, one := range r.Results {
		if one.Outcome != api.TemplateItemOutcomeFailed {
			continue
		}
		first := faultOf(one.Error)
		if first == nil {
			first = fault.New(fault.Internal, "the server gives no reason")
		}
		first.What = fmt.Sprintf("%d of %s failed; the first is %s: %s", r.Failed, plural(int64(len(r.Results)), "job"), itemName(one), first.What)
		if r.Failed < len(r.Results) {
			return partlyError{first}
		}
		return first
	}
	return nil
}

// itemName names a job, or the values it was to be made of.
func itemName(i api.TemplateItem) string {
	if i.Name == "" {
		return fmt.Sprintf("number %d", i.Item)
	}
	return clean(i.Name)
}

// showItems shows what becomes of jobs: one by one for programs, and for people those
// together to which the same happens.
func (a *app) showItems(act, template string, items []api.TemplateItem) {
	if a.json {
		for _, i := range items {
			a.emit(templateItemLine{a.head(lineTemplateItem), template, act, i})
		}
		return
	}
	if !isTerminal(a.out) {
		for _, i := range items {
			a.print(tsv(itemName(i), string(i.Outcome), changedFields(i.Changes), itemWhy(i)))
		}
		return
	}
	if len(items) == 0 {
		a.print("no job is made from the template")
	}
	for _, g := range alike(items) {
		first := g[0]
		title := plural(int64(len(g)), "job") + " (" + someNames(g) + ")"
		switch first.Outcome {
		case api.TemplateItemOutcomeFailed:
			title = a.outCol.red("failed") + "  " + title
		case api.TemplateItemOutcomeWould:
			title = "would " + act + "  " + title
		default:
			title = wordColour(a.outCol, string(first.Outcome)) + "  " + title
		}
		if why := itemWhy(first); why != "" {
			title += ": " + clean(why)
		}
		a.print(title)
		a.print(changeLines(first.Changes, a.outCol)...)
	}
}

func itemWhy(i api.TemplateItem) string {
	if i.Error == nil {
		return i.Why
	}
	where := ""
	if i.Error.Where != "" && i.Error.Where != i.Name {
		where = i.Error.Where + ": "
	}
	return i.Error.Code + ": " + where + i.Error.What
}

// alike puts items together to which the same happens, in the order they came.
func alike(items []api.TemplateItem) (out [][]api.TemplateItem) {
	at := map[string]int{}
	for _, i := range items {
		key := string(i.Outcome) + "\x00" + itemWhy(i)
		if i.Error != nil {
			key = string(i.Outcome) + "\x00" + i.Error.Code + strings.ReplaceAll(i.Error.What, i.Name, "")
		}
		for _, c := range i.Changes {
			key += fmt.Sprintf("\x00%q %q %q %q", c.Field, c.From, c.To, c.Does)
		}
		n, seen := at[key]
		if !seen {
			n = len(out)
			at[key], out = n, append(out, nil)
		}
		out[n] = append(out[n], i)
	}
	return out
}

// someNames names the first few.
func someNames(items []api.TemplateItem) string {
	const most = 5
	var out []string
	for _, i := range items[:min(len(items), most)] {
		out = append(out, itemName(i))
	}
	if len(items) > most {
		out = append(out, "…")
	}
	return strings.Join(out, ", ")
}

func (a *app) templateVersionsCommand() *cobra.Command {
	return a.onTemplate(&cobra.Command{
		Use:   "versions NAME",
		Short: "List the versions of a template, newest first",
		Example: `  godwit template versions shards
  godwit template versions shards --json`,
		Args: oneArg("the name of a template"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.ask(c.Context(), false, func(ctx context.Context, c *client) error {
				r, err := c.ListTemplateVersionsWithResponse(ctx, args[0])
				if err := settled(r, err); err != nil {
					return err
				}
				if r.JSON200 == nil {
					return noneOfOurs(r)
				}
				l := listing{head: []string{"VERSION", "AT", "BY", "REASON"}, plain: [][]string{}, empty: "no version is kept"}
				for _, v := range r.JSON200.Items {
					if a.json {
						a.emit(templateVersionLine{a.head(lineTemplateVersion), args[0], v})
						continue
					}
					n := strconv.FormatInt(v.Version, 10)
					l.rows = append(l.rows, []string{n, v.At.Local().Format("2006-01-02 15:04:05"), v.By, v.Reason})
					l.plain = append(l.plain, []string{n, stampOf(v.At), v.By, v.Reason})
				}
				if !a.json {
					a.show(l)
				}
				return nil
			})
		},
	})
}

func (a *app) templateDiffCommand() *cobra.Command {
	return a.onTemplate(&cobra.Command{
		Use:   "diff NAME [A] [B]",
		Short: "Show what differs between two versions of a template",
		Example: `  godwit template diff shards
  godwit template diff shards 2 3`,
		Long: "Without versions the newest is held against the one before, with one the newest against that one. The answer is a unified diff.",
		Args: nameAnd("at most two versions", 1, 3),
		RunE: func(c *cobra.Command, args []string) error { return a.diffTemplate(c.Context(), args[0], args[1:]) },
	})
}

func (a *app) diffTemplate(ctx context.Context, name string, given []string) error {
	return a.diffVersions(ctx, given, versioned{
		name: name, list: "godwit template versions " + name,
		newest: func(ctx context.Context, c *client) (int64, error) {
			t, err := got(c.ShowTemplateWithResponse(ctx, name))
			if err != nil {
				return 0, err
			}
			return t.Version, nil
		},
		text: func(ctx context.Context, c *client, v int64) (string, error) {
			r, err := got(c.ShowTemplateVersionWithResponse(ctx, name, v))
			if err != nil {
				return "", err
			}
			return r.File, nil
		},
		line: func(from, to int64, d string) any {
			return templateDiffLine{a.head(lineTemplateDiff), name, from, to, d}
		},
	})
}
