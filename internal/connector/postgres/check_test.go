package postgres

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"godwit/internal/connector"
	"godwit/internal/connector/tlsmode"
	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/row"
	"godwit/internal/secret"
	"godwit/test/servers/postgres"
)

// finding returns the first that is not fine, or the zero one.
func finding(all []connector.Finding, name string) connector.Finding {
	for _, f := range all {
		if f.Name == name && f.Fault != nil {
			return f
		}
	}
	return connector.Finding{}
}

func TestCheck_when_something_is_missing(t *testing.T) {
	s := postgres.Start(t)
	tables := []*row.Table{plainTable("t", true, "id", "a"), plainTable("bag", false, "id", "a")}
	check := func(given map[string]any) []connector.Finding {
		k := newSink(testConfig(t, s, given), connector.Env{Job: "shop", Name: "lake"})
		defer k.Close()
		return k.Check(context.Background(), tables)
	}
	all := check(nil)
	for _, f := range all {
		if f.Fault != nil && !f.Warn {
			t.Errorf("%s: %v", f.Name, f.Fault)
		}
	}
	if f := finding(all, "keys"); f.Detail != "shop.bag" || !f.Warn {
		t.Errorf("keys: %+v", f)
	}
	if f := finding(all, "durability"); !f.Warn { // the servers of tests do without
		t.Errorf("durability: %+v", f)
	}
	s.Exec(t, "CREATE USER poor PASSWORD 'x'; CREATE SCHEMA shop; CREATE TABLE shop.t (id int); GRANT USAGE ON SCHEMA godwit TO poor")
	if f := finding(check(nil), "table"); f.Detail != "shop.t" || f.Fault.Code != fault.TargetNotOurs {
		t.Errorf("table: %+v", f)
	}
	poor := map[string]any{"user": "poor", "password": secret.New("x"), "control_schema": "own"}
	all = check(poor)
	if f := finding(all, "control tables"); f.Fault == nil || !strings.Contains(f.Fault.Hint, `GRANT CREATE ON DATABASE "postgres" TO "poor"`) {
		t.Errorf("control tables: %+v", f)
	}
	if f := finding(all, "rights"); f.Fault == nil || !strings.Contains(f.Fault.Hint, `GRANT CREATE, USAGE ON SCHEMA "shop" TO "poor"`) {
		t.Errorf("rights: %+v", f)
	}
}

func TestDial_when_it_is_refused(t *testing.T) {
	s := postgres.Start(t)
	s.Exec(t, "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
	gone := testConfig(t, s, nil)
	for _, c := range []struct {
		given map[string]any
		code  fault.Code
		say   string
	}{
		{map[string]any{"password": secret.New("wrong")}, fault.TargetAuth, `refuses user "postgres"`},
		{map[string]any{"database": "absent"}, fault.TargetAuth, `no database "absent"`},
		{map[string]any{"database": "latin"}, fault.TargetRefused, "encoding LATIN1"},
		{map[string]any{"tls": option.Of(tlsFields(), map[string]any{"mode": tlsmode.Required})}, fault.TargetTLS, "has no TLS"},
	} {
		_, err := testConfig(t, s, c.given).dial(context.Background())
		if !fault.Has(err, c.code) || !strings.Contains(err.Error(), c.say) || strings.Contains(err.Error()+fault.Of(err).Hint, "wrong") {
			t.Errorf("%v: %v", c.given, err)
		}
	}
	s.Stop(t)
	if _, err := gone.dial(context.Background()); !fault.Has(err, fault.TargetUnreachable) || strings.Contains(err.Error(), s.Password) {
		t.Errorf("%v", err)
	}
}

// A server without TLS that ends between the two attempts is one that does not answer.
func TestDial_when_the_server_ends_after_it_refused_TLS(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for n := 0; ; n++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if n == 0 {
				_, _ = io.ReadFull(conn, make([]byte, 8))
				_, _ = conn.Write([]byte("N"))
			}
			_ = conn.Close()
		}
	}()
	host, port, _ := net.SplitHostPort(l.Addr().String())
	at, _ := strconv.ParseUint(port, 10, 16)
	c := config{host: host, port: uint16(at), user: "u", database: "d", connect: time.Minute, tls: tlsmode.Config{Mode: tlsmode.Preferred, Conf: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // as the mode is
	if _, err := c.dial(t.Context()); !fault.Has(err, fault.TargetUnreachable) {
		t.Errorf("%v", err)
	}
}
