package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/option"
)

func (a *app) tokenCommand() *cobra.Command {
	return a.serverFlags(group("token", "Make, list and revoke the tokens of a server", `  godwit token create alice --role operate --expires 90d
  godwit token revoke alice`,
		a.tokenCreateCommand(), a.tokenListCommand(), a.tokenRevokeCommand()))
}

func (a *app) tokenCreateCommand() *cobra.Command {
	var role, expires, out string
	c := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a token and show it, this once",
		Example: `  godwit token create alice --role operate --expires 90d
  godwit token create grafana --role read --out grafana.token`,
		Long: "A token with the role read looks at everything, one with operate may change everything too. The server keeps no text of it: what is lost is made anew.",
		Args: oneArg("a name for the token"),
		RunE: func(c *cobra.Command, args []string) error {
			if role == "" {
				return fault.New(fault.Usage, "%s needs --role: what the token may do", c.CommandPath()).Try("--role read looks at everything, --role operate may change everything too")
			}
			in := api.TokenRequest{Name: args[0], Role: api.Role(role)}
			if err := oneOf("role", role, roleWords); err != nil {
				return err
			}
			if expires != "" {
				d, err := option.ParseDuration(expires)
				if err == nil && d < time.Minute {
					err = errors.New("expected at least 1m")
				}
				if err != nil {
					return fault.New(fault.Usage, "--expires %s: %v", expires, err)
				}
				in.Expires = a.p.Now().Add(d).UTC().Truncate(time.Second)
			}
			return a.createToken(c.Context(), in, out)
		},
	}
	c.Flags().StringVar(&role, "role", "", "what it may do, a `ROLE`: read, operate")
	c.Flags().StringVar(&expires, "expires", "", "after what `DURATION` it ends, such as 90d (default: never)")
	c.Flags().StringVar(&out, "out", "", "a new `FILE` to write it to instead, for its owner alone")
	completeWords(c, "role", roleWords)
	return c
}

func (a *app) createToken(ctx context.Context, in api.TokenRequest, out string) error {
	file, err := newTokenFile(out)
	if err != nil {
		return err
	}
	err = a.ask(ctx, false, func(ctx context.Context, c *client) error {
		r, err := c.CreateTokenWithResponse(ctx, in)
		if err := settled(r, err); err != nil {
			return err
		}
		if r.JSON201 == nil {
			return noneOfOurs(r)
		}
		return a.handOut(*r.JSON201, file)
	})
	if file != nil {
		closed := file.Close()
		if err == nil && closed != nil {
			err = fault.New(fault.Usage, "the token is made, but its file cannot be written").At("%s", out).By(closed).Try("godwit token revoke %s, then make it again", in.Name)
		}
		if err != nil {
			os.Remove(out)
		}
	}
	return err
}

// newTokenFile makes the file of --out before there is a token that could be lost;
// what is there already is not written over.
func newTokenFile(path string) (*os.File, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, fault.New(fault.Usage, "--out %s: the file cannot be made", path).By(err).Try("name a file that is not there yet, in a folder that is")
	}
	return f, nil
}

// handOut gives a token to who asked for it: in the file, else on stdout.
func (a *app) handOut(t api.NewToken, file *os.File) error {
	line := tokenLine{head: a.head(lineToken), Token: t.Token}
	if file != nil {
		line.File = file.Name()
		if _, err := fmt.Fprintln(file, t.Text); err != nil {
			return fault.New(fault.Usage, "the token is made, but its file cannot be written").At("%s", file.Name()).By(err).Try("godwit token revoke %s, then make it again", t.Token.Name)
		}
	} else {
		line.Text = t.Text
	}
	switch {
	case a.json:
		a.emit(line)
	case file == nil:
		a.print(t.Text)
	}
	a.say(fmt.Sprintf("%s may %s%s; give it as %s, or in a file with --token-file", a.errCol.bold(t.Token.Name), t.Token.Role, untilText(t.Token), envToken))
	return nil
}

func untilText(t api.Token) string {
	if t.Expires.IsZero() {
		return ""
	}
	return " until " + stampOf(t.Expires)
}

func (a *app) tokenListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List tokens, without what is secret of them",
		Example: `  godwit token list
  godwit token list --json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.ask(c.Context(), false, func(ctx context.Context, c *client) error {
				items, err := c.tokens(ctx)
				if err != nil {
					return err
				}
				l := listing{head: []string{"NAME", "ROLE", "STATE", "CREATED", "BY", "USED"}, plain: [][]string{}, empty: "no token is made yet"}
				for _, t := range items {
					if a.json {
						a.emit(tokenLine{head: a.head(lineToken), Token: t})
						continue
					}
					used := "never"
					if !t.Used.IsZero() {
						used = since(a.p.Now(), t.Used)
					}
					l.rows = append(l.rows, []string{t.Name, string(t.Role), tokenState(t, a.p.Now()), since(a.p.Now(), t.Created), t.CreatedBy, used})
					l.plain = append(l.plain, []string{t.Name, string(t.Role), stampOf(t.Created), t.CreatedBy, stampOf(t.Expires), stampOf(t.Used), stampOf(t.Revoked)})
				}
				if !a.json {
					a.show(l)
				}
				return nil
			})
		},
	}
}

func tokenState(t api.Token, now time.Time) string {
	switch {
	case !t.Revoked.IsZero():
		return "revoked " + since(now, t.Revoked)
	case !t.Expires.IsZero() && !now.Before(t.Expires):
		return "expired " + since(now, t.Expires)
	case !t.Expires.IsZero():
		return "until " + t.Expires.Local().Format("2006-01-02")
	}
	return "for ever"
}

func (c *client) tokens(ctx context.Context) ([]api.Token, error) {
	r, err := c.ListTokensWithResponse(ctx)
	if err := settled(r, err); err != nil {
		return nil, err
	}
	if r.JSON200 == nil {
		return nil, noneOfOurs(r)
	}
	return r.JSON200.Items, nil
}

func (a *app) tokenRevokeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "revoke NAME",
		Short: "Make a token worthless, at once",
		Example: `  godwit token revoke alice
  godwit token revoke alice --json`,
		Args: oneArg("the name of a token"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.ask(c.Context(), false, func(ctx context.Context, c *client) error {
				r, err := c.RevokeTokenWithResponse(ctx, args[0])
				if err := settled(r, err); err != nil {
					return err
				}
				if a.json {
					a.emit(tokenGoneLine{a.head(lineTokenGone), args[0]})
				}
				a.say(a.errCol.bold(clean(args[0])) + " is worth nothing now")
				return nil
			})
		},
	}
}
