package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/option"
)

// silenceFlags are those of job alarms that change an alarm.
type silenceFlags struct {
	silence, end  string // ids
	lasts, reason string
}

func (f *silenceFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.silence, "silence", "", "do not repeat the alarm with this `ID`; needs --for")
	c.Flags().StringVar(&f.lasts, "for", "", "how long it is silent, a `DURATION` of at most 30d")
	c.Flags().StringVar(&f.end, "end-silence", "", "let the alarm with this `ID` be repeated again")
	reasonFlag(c, &f.reason)
}

// asked reports whether an alarm is to be changed, and what of it.
func (f *silenceFlags) asked(c *cobra.Command, args []string) (id string, in api.Silence, asked bool, err error) {
	begins, ends := c.Flags().Changed("silence"), c.Flags().Changed("end-silence")
	in.Reason = f.reason
	switch {
	case begins && ends:
		return "", in, false, fault.New(fault.Usage, "--silence and --end-silence exclude each other").Try("leave one out")
	case begins == (f.lasts == ""):
		return "", in, false, fault.New(fault.Usage, "--silence and --for belong together").Try("such as --silence ID --for 2h")
	case !begins && !ends && f.reason != "":
		return "", in, false, fault.New(fault.Usage, "--reason is that of a silence, and none is asked for").Try("such as --silence ID --for 2h --reason TEXT")
	case !begins && !ends:
		return "", in, false, nil
	case len(args) > 0:
		return "", in, false, fault.New(fault.Usage, "an alarm is silenced by its id alone: leave the name of the job out").Try("godwit job alarms lists alarms with their ids")
	case ends:
		return idOf("end-silence", f.end, in)
	}
	d, err := option.ParseDuration(f.lasts)
	if err != nil || d < time.Second {
		return "", in, false, fault.New(fault.Usage, "--for %s: expected a duration of at least 1s, such as 2h", clean(f.lasts))
	}
	in.Seconds = int(min(d/time.Second, 1<<30)) // the server has the bound
	return idOf("silence", f.silence, in)
}

func idOf(flag, id string, in api.Silence) (string, api.Silence, bool, error) {
	if id == "" {
		return "", in, false, fault.New(fault.Usage, "--%s: expected the id of an alarm", flag).Try("godwit job alarms lists alarms with their ids")
	}
	return id, in, true, nil
}

// silenceAlarm begins or ends a silence.
func (a *app) silenceAlarm(ctx context.Context, id string, in api.Silence) error {
	return a.ask(ctx, false, func(ctx context.Context, c *client) error {
		x, err := got(c.SilenceAlarmWithResponse(ctx, id, in))
		if err != nil {
			return err
		}
		if a.json {
			a.emit(alarmLine{a.head(lineAlarm), *x})
			return nil
		}
		what := a.errCol.bold(clean(x.ID)) + " (" + clean(x.What) + ")"
		if x.SilencedUntil.IsZero() {
			a.say(what + " is repeated again while it holds")
			return nil
		}
		a.say(fmt.Sprintf("%s is silent until %s or until it is over. Back: godwit job alarms --end-silence %s", what, stampOf(x.SilencedUntil), clean(x.ID)))
		return nil
	})
}
