package mysql

import (
	"context"
	"net"
	"testing"

	"godwit/internal/connector"
	"godwit/internal/connector/sourcetest"
	"godwit/internal/limit"
	"godwit/internal/option"
	"godwit/internal/secret"
	"godwit/test/servers/mariadb"
)

// kitServer is a MariaDB as the kit wants one.
type kitServer struct{ *mariadb.Server }

func (s kitServer) Address() string       { return s.Addr() }
func (s kitServer) Exec(sql string) error { return s.Run(sql) }

func (s kitServer) Restart(kill bool) error {
	end := s.Shutdown
	if kill {
		end = s.Crash
	}
	if err := end(); err != nil {
		return err
	}
	return s.Boot()
}

func TestSource_when_the_kit_runs(t *testing.T) {
	for name, options := range map[string][]string{
		"defaults":       nil,
		"compressed log": {"--log-bin-compress=ON", "--log-bin-compress-min-len=10"},
	} {
		t.Run(name, func(t *testing.T) {
			sourcetest.Run(t, sourcetest.Harness{
				Start: func(t testing.TB) sourcetest.Server { return kitServer{mariadb.Start(t, options...)} },
				Open:  openForKit, Dialect: sourcetest.MariaDB(),
			})
		})
	}
}

// openForKit opens the source; the budget must be empty when t ends.
func openForKit(t testing.TB, s sourcetest.Server, address string) connector.Source {
	srv := s.(kitServer)
	if _, _, err := net.SplitHostPort(address); err != nil {
		t.Fatal(err)
	}
	env := connector.Env{Budget: limit.NewBudget(64 << 20), Job: "kit", Parallel: 2}
	given := map[string]any{"address": address, "user": srv.User, "password": secret.New(srv.Password)}
	src, err := impatient().source(context.Background(), option.Of(options(), given), env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if n := env.Budget.Taken(); n != 0 {
			t.Errorf("%d bytes of the budget were not given back", n)
		}
	})
	return src
}
