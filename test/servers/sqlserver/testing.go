package sqlserver

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"godwit/test/servers/process"
)

// Start starts a server of a make for t, with extra options, and stops it when t
// ends.
func Start(t testing.TB, m Make, extra ...string) *Server {
	t.Helper()
	return process.ClosedBy[*Server](t)(Launch(m, extra...))
}

// Exec runs SQL, one or more statements.
func (s *Server) Exec(t testing.TB, sql string) {
	t.Helper()
	if err := s.Run(sql); err != nil {
		t.Fatal(err)
	}
}

// Query runs SQL and returns the rows of all its results, as the server's own
// client prints them; Null stands for SQL NULL.
func (s *Server) Query(t testing.TB, sql string) [][]string {
	t.Helper()
	rows, err := s.Rows(sql)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// Dump returns what the server's own dump prints for a database, with more
// arguments for it if any.
func (s *Server) Dump(t testing.TB, database string, args ...string) string {
	t.Helper()
	cmd, err := s.Client(s.make.Dump, append(append(slices.Clone(s.make.DumpOptions), args...), database)...)
	if err != nil {
		t.Fatal(err)
	}
	return output(t, cmd)
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

// Restart ends the server in order, if it runs, and starts it again on the same
// port and data, with more options added to those it had.
func (s *Server) Restart(t testing.TB, extra ...string) {
	t.Helper()
	s.Stop(t)
	if err := s.Boot(extra...); err != nil {
		t.Fatal(err)
	}
}

func output(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	var problems strings.Builder
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd.Path, err, problems.String())
	}
	return string(out)
}
