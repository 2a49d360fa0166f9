package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/option"
)

// initFlags are the flags of init alone.
type initFlags struct {
	name, source, sink, mode string
	tables                   []string
}

// lineInit is the line of a job file that was made.
const lineInit = "init"

type initLine struct {
	jobHead
	File string   `json:"file"`
	Env  []string `json:"env"` // variables that it refers to
}

func (a *app) initCommand() *cobra.Command {
	var f initFlags
	c := &cobra.Command{
		Use:   "init [FILE]",
		Short: "Write a job file to begin with",
		Example: `  godwit init
  godwit init shop.yaml --source mysql://godwit@db:3306 --sink file:///data/lake --tables 'shop.*'`,
		Long: `Init writes a job file with comments, job.yaml unless another name is given, and never over one that is there. What no
flag says is asked for on a terminal. Passwords do not go into the file: it refers to variables of the environment.`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fault.New(fault.Usage, "godwit init takes one file, not also %q", clean(args[1])).Try("%s", c.UseLine())
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return a.init(append(args, "job.yaml")[0], f) },
	}
	c.Flags().StringVar(&f.source, "source", "", "the source's `URL`, such as mysql://user@host:3306")
	c.Flags().StringVar(&f.sink, "sink", "", "the sink's `URL`, such as file:///data/lake")
	c.Flags().StringSliceVar(&f.tables, "tables", nil, "which tables, a `PATTERN` such as 'shop.*' (may be given again)")
	c.Flags().StringVar(&f.name, "name", "", "the job's `NAME` (default: that of the file)")
	c.Flags().StringVar(&f.mode, "mode", string(job.SnapshotAndChanges), "what is moved, a `MODE`: snapshot, changes, snapshot_and_changes")
	return c
}

func (a *app) init(path string, f initFlags) error {
	if _, err := os.Lstat(path); err == nil {
		return fault.New(fault.Usage, "the file is there already").At("%s", path).Try("godwit init OTHER.yaml")
	}
	if err := a.askInit(&f); err != nil {
		return err
	}
	if f.name == "" {
		f.name = jobNameOf(path)
	}
	text, env, err := a.jobText(path, f)
	if err != nil {
		return err
	}
	any := func(string) (string, bool) { return "x", true } // they need not be set yet
	if _, problems := job.Parse(path, []byte(text), a.sys, option.Resolver{Env: any, File: readFile}); len(problems) > 0 {
		return problemsError{problems}
	}
	if err := createNew(path, text); err != nil {
		return err
	}
	if a.json {
		a.emit(initLine{a.jobHead(lineInit, f.name), path, env})
		return nil
	}
	a.print("wrote " + path)
	for _, e := range env {
		a.print("set " + e + " in the environment of godwit")
	}
	a.print("next: godwit check " + path)
	return nil
}

// createNew writes a file that is not there yet.
func createNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		_, err = f.WriteString(text)
		err = errors.Join(err, f.Close())
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	if err != nil {
		return fault.New(fault.Usage, "the job file cannot be written").At("%s", path).By(err)
	}
	return nil
}

// askInit asks for what no flag says, where somebody can answer.
func (a *app) askInit(f *initFlags) error {
	asks := !a.noInput && !a.json && isTerminal(a.p.In) && a.scr.terminal()
	in := bufio.NewReader(io.LimitReader(a.p.In, 1<<16))
	ask := func(value *string, flag, question string) error {
		if *value != "" {
			return nil
		}
		if !asks {
			return fault.New(fault.Usage, "godwit init needs --%s: %s", flag, question).Try("godwit init --help")
		}
		a.scr.print(question + ":")
		line, err := in.ReadString('\n')
		if *value = strings.TrimSpace(line); *value == "" {
			return fault.New(fault.Usage, "nothing was given; nothing was written").By(err)
		}
		return nil
	}
	tables := strings.Join(f.tables, ",")
	err := ask(&f.source, "source", "Where do rows come from, such as mysql://user@host:3306")
	if err == nil {
		err = ask(&tables, "tables", "Which tables, such as shop.* (with commas between)")
	}
	if err == nil {
		err = ask(&f.sink, "sink", "Where do they go, such as file:///data/lake")
	}
	f.tables = strings.FieldsFunc(tables, func(r rune) bool { return r == ',' || r == ' ' })
	return err
}

var notOfAName = regexp.MustCompile(`[^a-z0-9-]+`)

// jobNameOf makes a job's name of that of its file.
func jobNameOf(path string) string {
	base := strings.ToLower(filepath.Base(path))
	name := strings.Trim(notOfAName.ReplaceAllString(strings.TrimSuffix(base, filepath.Ext(base)), "-"), "-")
	if name = name[:min(len(name), 64)]; name == "" {
		return "job"
	}
	return name
}

// quoteYAML is a text as a YAML scalar in double quotes.
func quoteYAML(s string) string {
	return strconv.Quote(strings.ReplaceAll(s, "${", "$${"))
}

// jobText is the text of a job file, and the variables that it refers to.
func (a *app) jobText(path string, f initFlags) (text string, env []string, err error) {
	source, err := a.sourceLines(f.source, &env)
	if err != nil {
		return "", nil, err
	}
	sink, driver, err := a.sinkLines(f.sink, &env)
	if err != nil {
		return "", nil, err
	}
	var tables []string
	for _, t := range f.tables {
		tables = append(tables, quoteYAML(t))
	}
	var b strings.Builder
	fmt.Fprintf(&b, `# A job of godwit. Every key is in docs/job-reference.md; godwit connectors lists systems and their options.
#   godwit check %[1]s     look at everything it needs
#   godwit preview %[1]s   see the first rows
#   godwit run %[1]s       run it; run it again to go on
version: 1
name: %[2]s
source:
%[3]s
# Patterns of database.table; a leading ! leaves out.
tables: [%[4]s]
# snapshot: the rows as they are. changes: every change from start on. snapshot_and_changes: both, without a gap.
mode: %[5]s
# Where a run ends: head (the log as it stands when it starts), or a time. Without it the job follows the source until it is stopped.
# until: head

# Other names, columns, rows and values (docs/rules.md):
# rules:
#   - tables: ["*.users"]
#     columns: ["*", "!password*"]
#     where: "deleted_at == null"

sinks:
  - name: %[6]s
%[7]s
    # What its failures do: always, discard_after, fail_after, fail.
    # on_error: always
`, path, f.name, source, strings.Join(tables, ", "), f.mode, notOfAName.ReplaceAllString(driver, "-"), sink)
	return b.String(), env, nil
}

func (a *app) sourceLines(given string, env *[]string) (string, error) {
	u, err := parseInitURL("--source", given)
	if err != nil {
		return "", err
	}
	var known []string
	for _, d := range a.sys.Sources {
		if d.Name == u.Scheme {
			lines, err := endpointLines("--source", u, d.Options, "GODWIT_SOURCE_PASSWORD", env)
			return indented(2, append([]string{d.Name + ":"}, lines...)), err
		}
		known = append(known, d.Name+"://")
	}
	return "", fault.New(fault.Usage, "--source: no source is called %q", clean(u.Scheme)).Try("one of %s", strings.Join(known, ", "))
}

// sinkLines is an endpoint of the sink that has the name of the URL's scheme, or else of
// the one that takes URLs.
func (a *app) sinkLines(given string, env *[]string) (lines, driver string, err error) {
	u, err := parseInitURL("--sink", given)
	if err != nil {
		return "", "", err
	}
	for _, urls := range []bool{false, true} {
		for _, d := range a.sys.Sinks {
			if d.Name != u.Scheme && (!urls || !declares(d.Options, "url")) {
				continue
			}
			lines, err := endpointLines("--sink", u, d.Options, "GODWIT_SINK_PASSWORD", env)
			return indented(4, append([]string{d.Name + ":"}, lines...)), d.Name, err
		}
	}
	return "", "", fault.New(fault.Usage, "--sink: no sink takes %q", clean(given)).Try("godwit connectors")
}

// parseInitURL reads a URL, which must have no password: the file is to have none.
func parseInitURL(flag, given string) (*url.URL, error) {
	u, err := url.Parse(given)
	if err != nil || u.Scheme == "" {
		return nil, fault.New(fault.Usage, "%s: expected a URL, such as mysql://user@host:3306 or file:///data/lake", flag)
	}
	if _, secret := u.User.Password(); secret {
		return nil, fault.New(fault.Usage, "%s: the URL has a password, and a job file should not", flag).
			Try("leave it out; the file will refer to a variable of the environment")
	}
	return u, nil
}

func declares(fields []option.Field, name string) bool {
	return slices.ContainsFunc(fields, func(f option.Field) bool { return f.Name == name })
}

// endpointLines are the options of a system, as far as a URL says them.
func endpointLines(flag string, u *url.URL, fields []option.Field, variable string, env *[]string) (lines []string, err error) {
	set := func(name, value string) {
		if value != "" && declares(fields, name) {
			lines = append(lines, "  "+name+": "+value)
		}
	}
	if declares(fields, "url") {
		set("url", quoteYAML(u.String()))
		return lines, nil
	}
	if u.Port() == "" {
		return nil, fault.New(fault.Usage, "%s: the URL has no port", flag).Try("%s://user@%s:PORT", u.Scheme, clean(u.Hostname()))
	}
	set("address", quoteYAML(u.Host))
	if name := u.User.Username(); name != "" {
		set("user", quoteYAML(name))
	}
	if declares(fields, "password") {
		set("password", `"${env:`+variable+`}"`)
		*env = append(*env, variable)
	}
	if database := strings.Trim(u.Path, "/"); database != "" {
		set("database", quoteYAML(database))
	}
	return lines, nil
}

func indented(by int, lines []string) string {
	for i := range lines {
		lines[i] = strings.Repeat(" ", by) + lines[i]
	}
	return strings.Join(lines, "\n")
}
