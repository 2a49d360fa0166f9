package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"godwit/internal/fault"
	"godwit/internal/option"
)

// lineConnector is the line of one system.
const lineConnector = "connector"

type connectorLine struct {
	head
	system
}

// system is what a job file can name, and what is said of it.
type system struct {
	Name string `json:"name"`
	Role string `json:"role"` // source, sink, store
	Help string `json:"help"`
	// Discards says that a sink can put refused rows aside.
	Discards bool              `json:"discards,omitempty"`
	Options  []connectorOption `json:"options"`
}

type connectorOption struct {
	Key      string `json:"key"` // with those of objects around it: roll.size
	Value    string `json:"value"`
	Default  string `json:"default"`
	Required bool   `json:"required"`
	Help     string `json:"help"`
}

func (a *app) connectorsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "connectors [NAME]",
		Short: "List the systems that a job file can name, or the options of one",
		Example: `  godwit connectors
  godwit connectors files`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fault.New(fault.Usage, "godwit connectors takes one name, not also %q", clean(args[1])).Try("%s", c.UseLine())
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return a.connectors(args) },
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var out []string
			for _, s := range a.systems() {
				out = append(out, s.Name)
			}
			return out, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// systems are those that the program knows.
func (a *app) systems() (out []system) {
	for _, d := range a.sys.Sources {
		out = append(out, system{Name: d.Name, Role: "source", Help: d.Help, Options: connectorOptions("", d.Options)})
	}
	for _, d := range a.sys.Sinks {
		out = append(out, system{Name: d.Name, Role: "sink", Help: d.Help, Discards: d.Discards, Options: connectorOptions("", d.Options)})
	}
	return out
}

func connectorOptions(at string, fields []option.Field) []connectorOption {
	out := []connectorOption{}
	for _, f := range fields {
		key := strings.TrimPrefix(at+"."+f.Name, ".")
		value, def := f.Describe()
		out = append(out, connectorOption{Key: key, Value: value, Default: def, Required: f.Required, Help: f.Help})
		if f.Kind == option.Object {
			out = append(out, connectorOptions(key, f.Fields)...)
		}
	}
	return out
}

func (a *app) connectors(args []string) error {
	var shown []system
	var known []string
	for _, s := range a.systems() {
		known = append(known, s.Name)
		if len(args) == 0 || s.Name == args[0] {
			shown = append(shown, s)
		}
	}
	if len(shown) == 0 {
		return fault.New(fault.Usage, "no system is called %q", clean(args[0])).Try("%s", nearestOf(args[0], known))
	}
	list := listing{head: []string{"NAME", "AS", "WHAT IT IS"}}
	for _, s := range shown {
		switch {
		case a.json:
			a.emit(connectorLine{newHead(lineConnector, a.p.Now()), s})
		case len(args) == 0:
			list.rows = append(list.rows, []string{s.Name, s.Role, s.Help})
		default:
			a.showSystem(s)
		}
	}
	if !a.json && len(args) == 0 {
		a.show(list)
	}
	return nil
}

func (a *app) showSystem(s system) {
	if isTerminal(a.out) {
		a.print(a.outCol.bold(s.Name)+" as a "+s.Role+": "+s.Help, "")
		if s.Discards {
			a.print("Rows that it refuses can be put aside: on_error: discard_after.", "")
		}
	}
	list := listing{head: []string{"OPTION", "VALUE", "DEFAULT", "WHAT IT IS"}, empty: "no options"}
	for _, o := range s.Options {
		def := o.Default
		if o.Required {
			def = "required"
		}
		list.rows = append(list.rows, []string{o.Key, o.Value, def, o.Help})
	}
	a.show(list)
}
