package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"godwit/internal/api"
	"godwit/internal/engine"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/watch"
)

// Lines of dead letters.
const (
	lineLetter      = "dead_letter"
	lineLetterCount = "dead_letters"
)

type letterLine struct {
	jobHead
	watch.Letter
}

type letterCountLine struct {
	jobHead
	watch.LetterCount
	AtLeast bool `json:"at_least,omitempty"` // there are more that were not counted
}

// letterFlags are those of both commands.
type letterFlags struct {
	sink, table string
	limit       int
}

// lettersListed is how many are listed unless --limit says otherwise.
const lettersListed = 100

func (f *letterFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.sink, "sink", "", "only those of a sink, by its `NAME`")
	c.Flags().StringVar(&f.table, "table", "", "only those of a `TABLE`, as the letters name it")
	c.Flags().IntVar(&f.limit, "limit", lettersListed, "list at most `N`; 0 lists none, and counts them still")
}

const lettersLong = `A sink with on_error: discard_after puts rows aside that it refuses. They are listed as the sinks keep them, with what was refused and why,
and counted by sink and table. Listing changes nothing, and does not need the source. How they get into the target after all:
docs/formats/dead-letters.md`

func (a *app) deadLettersCommand() *cobra.Command {
	var f letterFlags
	c := &cobra.Command{
		Use:   "dead-letters JOB",
		Short: "List rows that sinks refused and put aside",
		Example: `  godwit dead-letters job.yaml
  godwit dead-letters job.yaml --sink lake --table shop.orders --json`,
		Long: lettersLong,
		Args: oneArg("the job file or the job's name"),
		RunE: func(c *cobra.Command, args []string) error { return a.deadLetters(c.Context(), args[0], f) },
	}
	f.add(c)
	a.actFlags(c)
	return c
}

func (a *app) deadLetters(ctx context.Context, path string, f letterFlags) error {
	reader, ok := a.engine.(engine.LetterReader)
	if !ok {
		return fault.New(fault.Usage, "this godwit lists no dead letters")
	}
	if err := limited(f.limit); err != nil {
		return err
	}
	var name string
	return a.showLetters(ctx, f, func(ctx context.Context, q engine.LetterQuery) (watch.LetterReport, error) {
		spec, r, err := reportOf(ctx, a, path, func(ctx context.Context, s *job.Spec, o Options) (watch.LetterReport, error) {
			return reader.Letters(ctx, s, o, q)
		})
		if err == nil {
			name = spec.Name
		}
		return r, err
	}, func() string { return name })
}

func (a *app) jobDeadLettersCommand() *cobra.Command {
	var f letterFlags
	c := &cobra.Command{
		Use:   "dead-letters NAME",
		Short: "List rows that sinks of a job refused and put aside",
		Example: `  godwit job dead-letters shop-to-lake
  godwit job dead-letters shop-to-lake --table shop.orders --json`,
		Long: lettersLong,
		Args: oneArg("the name of a job"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := limited(f.limit); err != nil {
				return err
			}
			name := args[0]
			a.job = name
			return a.ask(c.Context(), true, func(ctx context.Context, c *client) error {
				return a.showLetters(ctx, f, func(ctx context.Context, q engine.LetterQuery) (watch.LetterReport, error) {
					r, err := got(c.ListDeadLettersWithResponse(ctx, name, &api.ListDeadLettersParams{Sink: q.Sink, Table: q.Table, Count: q.Count, Limit: q.Limit, After: q.After}))
					if err != nil {
						return watch.LetterReport{}, err
					}
					return *r, nil
				}, func() string { return name })
			})
		},
	}
	f.add(c)
	return a.onJob(c)
}

// showLetters asks for letters page by page and shows them; name is the job's, once
// there is an answer. They are counted with the first page.
func (a *app) showLetters(ctx context.Context, f letterFlags, ask func(context.Context, engine.LetterQuery) (watch.LetterReport, error), name func() string) error {
	var counts watch.LetterReport
	items, more, err := pages(max(f.limit, 1), func(n int, after string) ([]watch.Letter, string, error) {
		r, err := ask(ctx, engine.LetterQuery{Sink: f.sink, Table: f.table, After: after, Limit: n, Count: after == ""})
		if after == "" {
			counts = r
		}
		return r.Letters, r.Next, err
	})
	if err != nil {
		return err
	}
	if f.limit == 0 {
		items, more = nil, false
	}
	l := listing{head: []string{"WHEN", "SINK", "TABLE", "OP", "KEY", "CAUSE"}, plain: [][]string{}, empty: "no row was put aside"}
	for _, x := range items {
		x.What, x.Hint = a.hide(x.What), a.hide(x.Hint)
		if a.json {
			a.emit(letterLine{a.jobHead(lineLetter, name()), x})
			continue
		}
		l.rows = append(l.rows, []string{x.Time.Local().Format("2006-01-02 15:04:05"), x.Sink, x.Table, opWord(x.Op), keyText(x), x.What})
		l.plain = append(l.plain, []string{x.Time.UTC().Format(time.RFC3339), x.Sink, x.Table, x.Op, keyText(x), x.Pos, x.Code, x.What, x.At})
	}
	if !a.json && (f.limit > 0 || len(counts.Counts) == 0) {
		a.show(l)
		a.sayMore(more, len(items))
	}
	a.sayCounts(counts, name())
	return nil
}

// sayCounts tells how many letters there are, by sink and table.
func (a *app) sayCounts(r watch.LetterReport, name string) {
	for _, c := range r.Counts {
		if a.json {
			a.emit(letterCountLine{a.jobHead(lineLetterCount, name), c, r.AtLeast})
			continue
		}
		line := fmt.Sprintf("sink %s: %s of %s", clean(c.Sink), plural(c.Letters, "dead letter"), clean(c.Table))
		if r.AtLeast {
			line += ", at least"
		}
		a.say(line)
	}
}

// keyText names a row: by its key, or where that is not known by its first columns.
func keyText(x watch.Letter) string {
	cells, most := x.Key, len(x.Key)
	if most == 0 {
		cells, most = x.Row, 3
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(cells)) {
		if len(out) == most {
			break
		}
		value := "null"
		if v := cells[name]; v != nil {
			value = *v
		}
		out = append(out, name+"="+value)
	}
	return strings.Join(out, " ")
}

// opWord is an op for people.
func opWord(op string) string {
	switch op {
	case "r":
		return "read"
	case "i":
		return "insert"
	case "u":
		return "update"
	case "d":
		return "delete"
	case "t":
		return "truncate"
	}
	return op
}
