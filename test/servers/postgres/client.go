package postgres

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"godwit/test/servers/process"
)

// Client makes a call of one of the server's client programs that connects to s.
// The password is in a file, not in the arguments.
func (s *Server) Client(name string, args ...string) *exec.Cmd {
	in := s.in
	if in.clients != nil {
		in = *in.clients
	}
	cmd := in.command(name, args...)
	cmd.Env = append(cmd.Env, "PGPASSFILE="+s.passFile(), "PGHOST=127.0.0.1", fmt.Sprintf("PGPORT=%d", s.Port),
		"PGUSER="+s.User, "PGDATABASE="+s.Database, "PGTZ=UTC", "PGCLIENTENCODING=UTF8")
	return cmd
}

// In returns s as its clients see it that connect to another database.
func (s *Server) In(database string) *Server {
	in := *s
	in.Database = database
	return &in
}

// psql sends SQL, one or more statements, through the server's own client.
func (s *Server) psql(sql string) (string, error) {
	cmd := s.Client("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-")
	cmd.Stdin = strings.NewReader(sql)
	var out, problems strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("psql: %w: %s\nin: %.300s", err, strings.TrimSpace(problems.String()), sql)
	}
	return out.String(), nil
}

// Run sends SQL, one or more statements, through the server's own client.
func (s *Server) Run(sql string) error {
	_, err := s.psql(sql)
	return err
}

// Null is what Query gives for SQL NULL; no text of a server contains it.
const Null = "\x00NULL\x00"

// Rows sends one query through the server's own client and returns its rows. They
// come in the form of COPY, which escapes without loss.
func (s *Server) Rows(sql string) ([][]string, error) {
	out, err := s.psql("copy (" + strings.TrimRight(strings.TrimSpace(sql), ";") + "\n) to stdout;")
	if err != nil {
		return nil, err
	}
	var rows [][]string
	for line := range strings.Lines(out) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		for i, f := range fields {
			if f == `\N` {
				fields[i] = Null
			} else {
				fields[i] = escapes.Replace(f)
			}
		}
		rows = append(rows, fields)
	}
	return rows, nil
}

var escapes = strings.NewReplacer(`\\`, `\`, `\b`, "\b", `\f`, "\f", `\n`, "\n", `\r`, "\r", `\t`, "\t", `\v`, "\v")

// Start starts a server for t, with more settings, and stops it when t ends. It
// fails t when there is none to be had.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	return process.ClosedBy[*Server](t)(Launch(settings...))
}

// Exec runs SQL, one or more statements.
func (s *Server) Exec(t testing.TB, sql string) {
	t.Helper()
	if err := s.Run(sql); err != nil {
		t.Fatal(err)
	}
}

// Query runs one query and returns its rows as the server's own client prints them;
// Null stands for SQL NULL.
func (s *Server) Query(t testing.TB, sql string) [][]string {
	t.Helper()
	rows, err := s.Rows(sql)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// Stop ends the server in order; Restart starts it again.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	if err := s.Shutdown(); err != nil {
		t.Fatal(err)
	}
}

// Kill ends the server with kill -9; Restart starts it again.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	if err := s.Crash(); err != nil {
		t.Fatal(err)
	}
}

// Restart ends the server in order, if it runs, and starts it again on the same port
// and data, with more settings added to those it had.
func (s *Server) Restart(t testing.TB, settings ...string) {
	t.Helper()
	s.Stop(t)
	if err := s.Boot(settings...); err != nil {
		t.Fatal(err)
	}
}

// Demote restarts the server as a standby, which takes no writes; Promote makes it a
// primary again, with all its sessions.
func (s *Server) Demote(t testing.TB) {
	t.Helper()
	s.Stop(t)
	mark := filepath.Join(s.data(), "standby.signal")
	if err := errors.Join(os.WriteFile(mark, nil, 0o600), s.in.give(mark), s.Boot()); err != nil {
		t.Fatal(err)
	}
}

// Promote returns when the server takes writes again.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	if got := s.Query(t, "SELECT pg_promote()"); got[0][0] != "t" {
		t.Fatal("the standby was not promoted")
	}
}
