package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/option"
)

// defaultMemory is the ceiling of one table job.
const defaultMemory = "128MiB"

// help leads with examples: they are what most people look for.
const helpText = `{{with .Short}}{{.}}{{end}}
{{if .HasExample}}
Examples:
{{.Example}}
{{end}}
Usage:
  {{if .HasAvailableSubCommands}}{{if ne .Use .Name}}{{.UseLine}}
  {{end}}{{.CommandPath}} COMMAND{{else}}{{.UseLine}}{{end}}
{{with .Long}}
{{.}}
{{end}}{{if .HasAvailableSubCommands}}
Commands:{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}
{{end}}{{if .HasAvailableLocalFlags}}
Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}
{{end}}{{if .HasAvailableInheritedFlags}}
Flags of every command:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}
{{end}}`

func (a *app) commands() *cobra.Command {
	root := &cobra.Command{
		Use:   "godwit",
		Short: "godwit moves tables and files between stores, and proves that what arrived is what left",
		Example: `  godwit check job.yaml        look at everything the job needs
  godwit run job.yaml          run it; run it again to go on`,
		SilenceErrors: true, SilenceUsage: true,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			return unknownCommand(c, args[0])
		},
	}
	root.SetIn(a.p.In)
	root.SetOut(a.p.Out)
	root.SetErr(a.p.Err)
	root.SetHelpTemplate(helpText)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		// Parsing stopped at the wrong flag: --json may stand behind it.
		a.json = a.json || slices.Contains(a.p.Args, "--json")
		return flagError(c, err)
	})
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	f := root.PersistentFlags()
	f.BoolVar(&a.json, "json", false, "JSON lines on stdout and nothing else there; errors as JSON on stderr")
	f.StringVar(&a.colour, "color", "auto", "`WHEN` to colour: auto, always, never")
	f.BoolVar(&a.noInput, "no-input", false, "never ask; what must be confirmed needs its flag")
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		if a.colour != "auto" && a.colour != "always" && a.colour != "never" {
			e := fault.New(fault.Usage, "--color %s: expected auto, always or never", a.colour)
			a.colour = "auto"
			return e
		}
		a.setColours()
		return nil
	}
	root.AddCommand(a.initCommand(), a.connectorsCommand(), a.checkCommand(), a.previewCommand(), a.planCommand(), a.runCommand(), a.statusCommand(), a.positionsCommand(),
		a.retryCommand(), a.reportCommand(), a.verifyCommand(), a.repairCommand(), a.deadLettersCommand(),
		a.serveCommand(), a.jobCommand(), a.templateCommand(), a.tablesCommand(), a.tokenCommand(),
		a.explainCommand(), a.schemaCommand(), a.versionCommand())
	root.InitDefaultHelpCmd()
	strictHelp(root)
	root.InitDefaultCompletionCmd(a.p.Args...)
	return root
}

// strictHelp makes help of a command that is not there an error, as the command is.
func strictHelp(root *cobra.Command) {
	help, _, err := root.Find([]string{"help"})
	if err != nil || help == root {
		panic("cli: there is no command help")
	}
	help.Run = nil
	help.RunE = func(_ *cobra.Command, args []string) error {
		c, rest, err := root.Find(args)
		switch {
		case err != nil:
			return err
		case len(rest) > 0 && c.HasSubCommands():
			return unknownCommand(c, rest[0])
		}
		c.InitDefaultHelpFlag()
		return c.Help()
	}
}

// group is a command that only holds others.
func group(use, short, example string, subs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Example: example, Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fault.New(fault.Usage, "godwit %s needs a command", c.Name()).Try("%s", nearestOf("", names(c)))
			}
			return unknownCommand(c, args[0])
		}}
	c.AddCommand(subs...)
	return c
}

func unknownCommand(c *cobra.Command, word string) error {
	return fault.New(fault.Usage, "%s: no such command %q", c.CommandPath(), clean(word)).Try("%s", nearestOf(word, names(c)))
}

func names(c *cobra.Command) []string {
	var out []string
	for _, s := range c.Commands() {
		if s.IsAvailableCommand() || s.Name() == "help" {
			out = append(out, s.Name())
		}
	}
	return out
}

// flagError names the flag that was probably meant.
func flagError(c *cobra.Command, err error) error {
	var known []string
	c.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, "--"+f.Name) })
	c.InheritedFlags().VisitAll(func(f *pflag.Flag) { known = append(known, "--"+f.Name) })
	e := fault.New(fault.Usage, "%s: %v", c.CommandPath(), err)
	if word, ok := strings.CutPrefix(err.Error(), "unknown flag: "); ok {
		return e.Try("%s", nearestOf(word, known))
	}
	return e.Try("%s --help", c.CommandPath())
}

// oneArg accepts exactly one argument and says what it is.
func oneArg(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return fault.New(fault.Usage, "%s needs %s", c.CommandPath(), what).Try("%s", c.UseLine())
		case len(args) > 1:
			return fault.New(fault.Usage, "%s takes %s and nothing else, not also %q", c.CommandPath(), what, clean(args[1])).Try("%s", c.UseLine())
		}
		return nil
	}
}

// noArgs accepts no argument.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fault.New(fault.Usage, "%s takes no argument, not %q", c.CommandPath(), clean(args[0])).Try("%s --help", c.CommandPath())
	}
	return nil
}

// actFlags adds the flags of commands that act on a job, and completes job
// files.
func (a *app) actFlags(c *cobra.Command) {
	c.Flags().StringVar(&a.state, "state", "", "the `DIR` of state; only a cache (default $XDG_STATE_HOME/godwit)")
	c.Flags().StringVar(&a.memory, "memory", "", "the ceiling of memory, a `SIZE` (default "+defaultMemory+", for file jobs "+option.FormatSize(fileMemory)+")")
	c.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
	}
}

// options makes what an engine gets; spec may be nil.
func (a *app) options(parallel int, spec *job.Spec) (Options, error) {
	state, err := a.stateFolder()
	if err != nil {
		return Options{}, err
	}
	memory, err := a.ceiling(spec)
	if err == nil && memory < 16<<20 {
		err = errors.New("expected at least 16MiB")
	}
	if err != nil {
		return Options{}, fault.New(fault.Usage, "--memory %s: %v", a.memory, err)
	}
	if parallel < 0 || parallel > 64 {
		return Options{}, fault.New(fault.Usage, "--parallel %d: expected 1 to 64", parallel)
	}
	if parallel == 0 && spec != nil {
		parallel = spec.Parallel
	}
	log, _ := newLog(a.showLog, a.hide)
	return Options{State: state, Memory: memory, Parallel: parallel, Log: log, Getenv: a.lookUp, OpenLog: func(string) error { return nil }}, nil
}

// ceiling is the memory that --memory says, or what jobs of this kind need.
func (a *app) ceiling(spec *job.Spec) (int64, error) {
	switch {
	case a.memory != "":
		return option.ParseSize(a.memory)
	case spec != nil && spec.Kind == job.KindFiles:
		return fileMemory, nil
	}
	return option.ParseSize(defaultMemory)
}

// readJob reads and checks the job file that arg names, and makes it the one that
// messages are about.
func (a *app) readJob(ctx context.Context, arg string) (*job.Spec, error) {
	path, err := a.jobFile(ctx, arg)
	if err != nil {
		return nil, err
	}
	spec, hide, err := a.parseJob(path)
	if err != nil {
		return nil, err
	}
	a.job, a.hide = spec.Name, hide
	return spec, nil
}

// parseJob reads and checks a job file. hide masks its secrets.
func (a *app) parseJob(path string) (spec *job.Spec, hide func(string) string, err error) {
	text, err := readFile(path)
	if err != nil {
		return nil, nil, fault.New(fault.Usage, "the job file cannot be read").At("%s", path).By(err).Try("give the path of a job file; docs/tutorial.md has one to begin with")
	}
	lookUp := option.Resolver{
		Env:  a.lookUp,
		File: readFile,
	}
	spec, problems := job.Parse(path, text, a.sys, lookUp)
	if len(problems) > 0 {
		return nil, nil, problemsError{problems}
	}
	return spec, option.Masker(spec.Values()), nil
}

// readBounded reads a little more than a job file may have, so that Parse can
// refuse it.
func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.IsDir() {
		return nil, errors.New("it is a folder")
	}
	return io.ReadAll(io.LimitReader(f, option.MaxBytes+1))
}

// readFile is readBounded with errors that have the reason alone: messages name
// the path already.
func readFile(path string) ([]byte, error) {
	b, err := readBounded(path)
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return nil, pe.Err
	}
	return b, err
}

// confirm makes sure that somebody means what cannot be undone: the job's name
// in the flag, or typed on a terminal.
func (a *app) confirm(given, name, what string) error {
	switch {
	case given == name:
		return nil
	case given != "":
		return misnamed(given, name)
	case a.noInput || a.json || !isTerminal(a.p.In) || !a.scr.terminal():
		return fault.New(fault.ConfirmNeeded, "this %s", what).Try("say so with --confirm %s", name)
	}
	a.scr.print("This "+what+".", "Type the job's name ("+name+") to go on:")
	line, err := bufio.NewReader(io.LimitReader(a.p.In, 1024)).ReadString('\n')
	if strings.TrimSpace(line) != name || err != nil && !errors.Is(err, io.EOF) {
		return fault.New(fault.ConfirmNeeded, "not confirmed; nothing was done").Try("--confirm %s", name)
	}
	return nil
}

// misnamed says that --confirm was given and does not confirm; nil: it does, or was not.
func misnamed(given, name string) error {
	if given == "" || given == name {
		return nil
	}
	return fault.New(fault.ConfirmNeeded, "--confirm %s is not the job's name", given).Try("--confirm %s", name)
}

// act runs one short act of the engine under signals.
func (a *app) act(parent context.Context, f func(context.Context) error) error {
	ctx, again, stop := a.signals(parent, "stopping", func() {})
	defer stop()
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	select {
	case err := <-done:
		if err != nil && ctx.Err() != nil {
			return errors.Join(errStopped, err)
		}
		return err
	case <-again:
		return errStopped
	}
}

func (a *app) print(lines ...string) {
	for _, l := range lines {
		fmt.Fprintln(a.out, l)
	}
}

// reportOf reads a job file and asks the engine for a report on it.
func reportOf[R any](ctx context.Context, a *app, path string, ask func(context.Context, *job.Spec, Options) (R, error)) (spec *job.Spec, r R, err error) {
	if spec, err = a.readJob(ctx, path); err != nil {
		return nil, r, err
	}
	o, err := a.options(0, spec)
	if err != nil {
		return nil, r, err
	}
	err = a.act(ctx, func(ctx context.Context) (err error) {
		r, err = ask(ctx, spec, o)
		return err
	})
	return spec, r, err
}
