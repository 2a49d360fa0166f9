// Package sourcetest proves sources of rows. It runs one on a real server, which
// it changes through the server's own client, records everything that is read,
// and compares that with what the client prints: each chunk with the table at the
// chunk's mark, the stream from every place at which it can be taken up again, and
// all of it again while connections break, the server restarts, the log is pruned
// or replaced, and the reader is slow.
package sourcetest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"godwit/internal/connector"
)

// Harness is what a source's test gives.
type Harness struct {
	// Start starts a fresh, empty server that ends with t. The kit starts one for
	// what it may share and one for each thing that spoils a server's log.
	Start func(t testing.TB) Server
	// Open opens the source at an address of such a server, or of a proxy before
	// it. The kit closes it. What must hold afterwards, such as a memory budget
	// that is given back, the harness checks when t ends.
	Open func(t testing.TB, s Server, address string) connector.Source
	// Dialect has the words of the server's SQL that the kit cannot guess.
	Dialect Dialect
}

// Server is a running server.
type Server interface {
	// Address is host:port; empty when it cannot be reached through a proxy.
	Address() string
	// Exec runs statements, joined by semicolons, through the server's own client,
	// in one session.
	Exec(sql string) error
	// Rows runs a query through the server's own client and returns what it
	// prints; Null stands for SQL NULL.
	Rows(query string) ([][]string, error)
	// Restart ends the server, in order or by kill -9, and starts it again with
	// the same data.
	Restart(kill bool) error
}

// Null stands for SQL NULL in rows of a Server.
const Null = "\x00NULL\x00"

// Dialect has what differs between servers. An empty text means that the server
// has no such thing: what it proves is left out, and a line says so.
type Dialect struct {
	// Columns are all types, each with values: zero, least, greatest and edges.
	// Null is added.
	Columns []Column
	// Session is put before queries whose text depends on settings of a session.
	Session string
	// Partial makes new sessions log partial rows; Whole undoes it.
	Partial, Whole string
	// Unlogged changes the table that replaces %s by a statement whose rows are
	// not in the log.
	Unlogged string
	// Prune removes all of the log that can be removed. Reset begins another
	// history under the same names.
	Prune, Reset string
	// Oldest is a query for the parts of the log that there are: pruned, there is
	// one, another than the first before.
	Oldest string
	// Settle makes estimates of the size of the table that replaces %s right.
	Settle string
	// Rotate ends a part of the log and begins another.
	Rotate string
	// Impatient makes the server give up a reader that does not read for seconds.
	Impatient string
	// Silence is how long the log may be idle without a batch; 0: 10 s.
	Silence time.Duration
	// Patience is how long a proof waits for what must come; 0: 100 s.
	Patience time.Duration
	// Keys are the kinds of keys by which tables are divided; one without columns
	// is a table without a key.
	Keys []Key
}

// Key is a kind of key.
type Key struct {
	Name    string
	Columns []Column // all not null; Values are not used
	// Literals returns the literals of key i, rising with i from -10^6 to 10^6, so
	// that the printed texts rise too: as numbers if they are, else bytewise.
	Literals func(i int) []string
	// Whole says that the table is never divided.
	Whole bool
}

// Column is a type to be proved.
type Column struct {
	Name   string
	Type   string // of CREATE TABLE
	Print  string // expression that prints the value; empty: the column itself
	Values []string
}

// proof is one thing that is proved.
type proof struct {
	name string
	run  func(t testing.TB, h Harness, s Server)
	own  bool // needs a server of its own
}

func proofs() []proof {
	return []proof{
		{"Discover", discovers, false},
		{"Keys", keys, false},
		{"Splits", splitsCover, false},
		{"Stream", streams, false},
		{"Bank", bank, false},
		{"Resume", resumes, false},
		{"Types", types, false},
		{"Partial", partial, false},
		{"Schema", schemaChanges, false},
		{"SchemaChunk", schemaOfChunk, false},
		{"Unlogged", unlogged, false},
		{"EmitFails", emitFails, false},
		{"EmitBlocks", emitBlocks, false},
		{"Cancel", cancels, false},
		{"UntilPlace", untilPlace, false},
		{"UntilTime", untilTime, false},
		{"Idle", idle, false},
		{"Concurrent", concurrent, false},
		{"Cut", cuts, false},
		{"CutChunk", cutChunks, false},
		{"Stall", stalls, false},
		{"Restart", restarts, true},
		{"Pruned", pruned, true},
		{"Replaced", replaced, true},
	}
}

// Run proves everything. GODWIT_SOAK=1 makes it longer.
func Run(t *testing.T, h Harness) {
	shared := h.Start(t)
	for _, p := range proofs() {
		t.Run(p.name, func(t *testing.T) {
			s := shared
			if p.own {
				s = h.Start(t)
			}
			p.prove(t, h, s)
		})
	}
}

// prove runs a proof; afterwards no goroutine may be left of it.
func (p proof) prove(t testing.TB, h Harness, s Server) {
	before := []goleak.Option{goleak.IgnoreCurrent(), goleak.IgnoreAnyFunction("os/exec.(*Cmd).Wait")} // servers that were restarted
	p.run(t, h, s)
	if err := goleak.Find(before...); err != nil {
		t.Errorf("left behind: %v", err)
	}
}

func soak() bool { return os.Getenv("GODWIT_SOAK") == "1" }

// scale returns n, or more in a soak.
func scale(n, more int) int {
	if soak() {
		return more
	}
	return n
}

// lacks reports, and says so, that the dialect has no words for a thing.
func lacks(t testing.TB, words, what string) bool {
	t.Helper()
	if words == "" {
		t.Logf("left out: the dialect has no words for %s", what)
	}
	return words == ""
}

// session is a source at a server, with the schema that one proof uses.
type session struct {
	testing.TB
	h      Harness
	server Server
	src    connector.Source
	space  string
	ctx    context.Context
}

// begin makes an empty schema and opens the source directly.
func begin(t testing.TB, h Harness, s Server, ddl ...string) *session {
	t.Helper()
	x := &session{TB: t, h: h, server: s, space: fmt.Sprintf("kit%d", time.Now().UnixNano())}
	patience := h.Dialect.Patience
	if patience == 0 {
		patience = time.Duration(scale(100, 1000)) * time.Second
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	x.ctx = ctx
	x.exec("CREATE DATABASE " + x.space)
	for _, d := range ddl {
		x.exec(x.sql(d))
	}
	x.src = h.Open(t, s, s.Address())
	return x
}

// end closes the source; proofs call it last, so that what is left can be seen.
func (x *session) end() {
	x.Helper()
	if err := x.src.Close(); err != nil {
		x.Errorf("close: %v", err)
	}
}

// sql puts the schema's name in place of "@".
func (x *session) sql(text string) string { return strings.ReplaceAll(text, "@", x.space) }

// exec runs statements; "@" stands for the schema's name.
func (x *session) exec(text string) {
	x.Helper()
	if err := x.server.Exec(x.sql(text)); err != nil {
		x.Fatal(err)
	}
}

func (x *session) selector() connector.Selector {
	return connector.Selector{Patterns: []string{x.space + ".*"}}
}
