package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/option"
	"godwit/internal/watch"
)

// Process is what a program gets from its surroundings.
type Process struct {
	Args     []string // without the program's name
	In       io.Reader
	Out, Err io.Writer
	Env      []string         // NAME=value
	Start    time.Time        // when the process began; zero: found out
	Version  string           // shown by godwit version; empty: from the build
	Signals  <-chan os.Signal // nil: those sent to the process
	Hangups  <-chan os.Signal // SIGHUP, as Signals; file jobs read their job file again
	Now      func() time.Time // nil: time.Now
	Serve    OpenService      // opens the service of godwit serve; nil: service.Open
}

// Main runs one command and returns its exit code: 0 done, 1 failed, 2 bad
// request, 3 environment, 4 finished but not whole, 130 and 143 stopped by a
// signal. After a second signal it returns at once, while the engine may still be
// at work: the caller ends the process.
func Main(p Process, sys job.Systems, e Engine) int {
	a := newApp(p, sys, e)
	defer a.end()
	root := a.commands()
	root.SetArgs(append([]string{}, p.Args...)) // nil would mean os.Args
	cmd, err := root.ExecuteC()
	return a.finish(cmd, err)
}

// app is one command line at work.
type app struct {
	p      Process
	sys    job.Systems
	engine Engine
	env    map[string]string
	out    io.Writer // results
	scr    *screen   // everything else
	hide   func(string) string

	json    bool
	noInput bool
	colour  string
	state   string
	memory  string
	to      serverFlags
	still   bool     // it was said that no server is asked
	atEnd   []func() // what is let go of when the command ends

	job     string // its name, once known
	summary *summaryLine
	stopped atomic.Pointer[os.Signal] // the first signal
	outCol  colours
	errCol  colours
}

func newApp(p Process, sys job.Systems, e Engine) *app {
	if p.Now == nil {
		p.Now = time.Now
	}
	if p.Start.IsZero() {
		p.Start = processStart(p.Now())
	}
	a := &app{p: p, sys: sys, engine: e, env: map[string]string{}, out: p.Out, scr: newScreen(p.Err), hide: func(t string) string { return t }}
	for _, kv := range p.Env {
		k, v, _ := strings.Cut(kv, "=")
		a.env[k] = v
	}
	a.colour = "auto"
	a.setColours()
	return a
}

func (a *app) end() {
	for _, f := range a.atEnd {
		f()
	}
}

func (a *app) getenv(name string) string { return a.env[name] }

func (a *app) setColours() {
	a.outCol = colours{colourOn(a.colour, a.getenv, isTerminal(a.out))}
	a.errCol = colours{colourOn(a.colour, a.getenv, a.scr.terminal())}
}

func isTerminal(stream any) bool {
	f := file(stream)
	return f != nil && term.IsTerminal(int(f.Fd()))
}

// problemsError carries the problems of a job file to the end.
type problemsError struct{ option.Problems }

func (e problemsError) Error() string { return e.Err().Error() }

// finish shows an error and returns the exit code.
func (a *app) finish(cmd *cobra.Command, err error) int {
	a.setColours()
	code := a.exitCode(err)
	name := "godwit"
	if cmd != nil {
		name = cmd.Name()
	}
	if err != nil {
		a.showError(err)
	}
	if a.json && !forShell(cmd) {
		a.writeSummary(name, code, err)
	}
	return code
}

func (a *app) exitCode(err error) int {
	var problems problemsError
	var partly partlyError
	switch {
	case errors.Is(err, errStopped):
		if s := a.stopped.Load(); s != nil && *s == syscall.SIGTERM {
			return 143
		}
		return 130
	case err == nil:
		return fault.ExitDone
	case errors.As(err, &problems):
		return fault.ExitRequest
	case errors.As(err, &partly):
		return fault.ExitNotWhole
	}
	return fault.Of(err).Code.Info().Exit
}

// errStopped ends a command by a signal; it is not shown.
var errStopped = errors.New("stopped by a signal")

func (a *app) showError(err error) {
	if errors.Is(err, errStopped) {
		return
	}
	var problems problemsError
	if errors.As(err, &problems) {
		a.showProblems(problems.Problems)
		return
	}
	e := masked(fault.Of(err), a.hide)
	if a.json {
		fmt.Fprintln(a.p.Err, jsonLine(newErrorLine(e, a.job, a.p.Now())))
		return
	}
	a.scr.print(faultLines(e, a.errCol)...)
}

func (a *app) showProblems(ps option.Problems) {
	for _, p := range ps {
		if a.json {
			fmt.Fprintln(a.p.Err, jsonLine(newErrorLine(p.Fault(), a.job, a.p.Now())))
			continue
		}
		a.scr.print(problemLines(p, a.errCol)...)
	}
	if !a.json && len(ps) == option.MaxProblems {
		a.scr.print(fmt.Sprintf("these are the first %d problems", len(ps)))
	}
}

func (a *app) writeSummary(command string, code int, err error) {
	s := a.summary
	if s == nil {
		s = &summaryLine{}
	}
	s.jobHead = newJobHead(lineSummary, a.job, a.p.Now())
	s.Command, s.ExitCode = command, code
	s.Elapsed = watch.Rounded(a.p.Now().Sub(a.p.Start).Seconds())
	var problems problemsError
	switch {
	case errors.As(err, &problems):
		s.Code = string(problems.Problems[0].Code)
	case err != nil && !errors.Is(err, errStopped):
		s.Code = string(fault.Of(err).Code)
	}
	if sig := a.stopped.Load(); sig != nil {
		s.Signal = (*sig).String()
	}
	fmt.Fprintln(a.out, jsonLine(s))
}

// stateFolder is --state, or godwit in the user's state folder.
func (a *app) stateFolder() (string, error) {
	switch {
	case a.state != "":
		return filepath.Abs(a.state)
	case filepath.IsAbs(a.getenv("XDG_STATE_HOME")):
		return filepath.Join(a.getenv("XDG_STATE_HOME"), "godwit"), nil
	case filepath.IsAbs(a.getenv("HOME")):
		return filepath.Join(a.getenv("HOME"), ".local", "state", "godwit"), nil
	}
	return "", fault.New(fault.Usage, "no folder for state: neither --state nor HOME is set").Try("add --state DIR")
}

// signals returns a context that ends at the first SIGINT or SIGTERM, which says
// word to people, and a channel that is closed at the second. onUser is called at
// SIGUSR1.
func (a *app) signals(parent context.Context, word string, onUser func()) (ctx context.Context, again <-chan struct{}, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	in := a.p.Signals
	var own chan os.Signal
	if in == nil {
		own = make(chan os.Signal, 8)
		signal.Notify(own, os.Interrupt, syscall.SIGTERM, syscall.SIGUSR1)
		in = own
	}
	twice, ended := make(chan struct{}), make(chan struct{})
	go func() {
		for {
			select {
			case <-ended:
				return
			case s := <-in:
				switch {
				case s == syscall.SIGUSR1:
					onUser()
				case ctx.Err() == nil:
					a.first(s, word)
					cancel()
				default:
					close(twice)
					return
				}
			}
		}
	}()
	return ctx, twice, func() {
		close(ended)
		if own != nil {
			signal.Stop(own)
		}
		cancel()
	}
}

// first notes the signal that ends the command and says so.
func (a *app) first(s os.Signal, word string) {
	a.stopped.Store(&s)
	if !a.json {
		a.scr.print(word + "; a second signal stops at once")
	}
}

// nearestOf lists what a wrong word may have meant.
func nearestOf(word string, known []string) string {
	known = slices.Compact(slices.Sorted(slices.Values(known)))
	if len(known) == 0 {
		return "known: none yet"
	}
	if n := option.Nearest(word, known); n != "" {
		return fmt.Sprintf("did you mean %q? known: %s", n, strings.Join(known, ", "))
	}
	return "known: " + strings.Join(known, ", ")
}
