package mysql

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	gomysql "github.com/go-mysql-org/go-mysql/mysql"

	"godwit/internal/connector/tlsmode"
	"godwit/internal/fault"
)

// conn is one logged-in connection. It is used by one goroutine at a time; only
// close may be called from another.
type conn struct {
	src     *source
	raw     net.Conn
	in      *packetReader
	out     []byte
	row     []value
	id      uint32
	version string
	mysql   bool // not MariaDB
	broken  bool // a message was left half-read: only close may follow
}

// session makes the answers of a connection the same whatever the server's
// defaults are: texts in utf8mb4, times in UTC, no rewriting of values by modes,
// and no limit on how long a statement, or a reader that holds it back, may take.
const session = "SET NAMES utf8mb4, time_zone = '+00:00', sql_mode = '', " +
	"net_write_timeout = 31536000, net_read_timeout = 3600, wait_timeout = 2147483, " + lockPatience + ", " +
	"sql_select_limit = DEFAULT, sql_big_selects = 1, sql_quote_show_create = 1, autocommit = 1, "

// lockPatience bounds, in seconds, how long a reader waits for whoever alters its table.
const lockPatience = "lock_wait_timeout = 60"

// What each server adds to it. MySQL would tell estimates of tables that are a day
// old.
const (
	sessionMariaDB = "max_statement_time = 0, idle_transaction_timeout = 0, idle_readonly_transaction_timeout = 0"
	sessionMySQL   = "max_execution_time = 0, information_schema_stats_expiry = 0"
)

func (c *conn) session() string {
	if c.mysql {
		return session + sessionMySQL
	}
	return session + sessionMariaDB
}

// dial returns a logged-in connection. The caller closes it; Close of the source
// does too. It fails within the connect time-out.
func (s *source) dial(parent context.Context) (*conn, error) {
	ctx, cancel := context.WithTimeout(parent, s.cfg.connect)
	defer cancel()
	encrypt := s.cfg.tls.Conf != nil && !(s.cfg.tls.Mode == tlsmode.Preferred && s.plain.Load())
	c, err := s.login(ctx, encrypt)
	if err != nil && encrypt && s.cfg.tls.Mode == tlsmode.Preferred && noTLS(err) {
		s.plain.Store(true)
		c, err = s.login(ctx, false)
	}
	if err == nil {
		if err = c.exec(ctx, c.session()); err != nil {
			c.close()
		}
	}
	if parent.Err() != nil {
		if err == nil {
			c.close()
		}
		return nil, context.Cause(parent)
	}
	if err != nil {
		return nil, s.dialFault(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = c.raw.Close()
		return nil, fault.New(fault.SourceUnreachable, "the source was closed").At("%s", s.where())
	}
	s.conns[c] = struct{}{}
	return c, nil
}

// noTLS reports whether the server said that it has no TLS. The library has no
// value for it.
func noTLS(err error) bool { return strings.Contains(err.Error(), "does not support TLS") }

// login connects, and lets go-mysql do the handshake; afterwards nothing is left
// in its buffers, because a server speaks only when asked.
func (s *source) login(ctx context.Context, encrypt bool) (c *conn, err error) {
	defer func() {
		// The library indexes the greeting unchecked: what is no such greeting at
		// all may end in a panic there.
		if r := recover(); r != nil {
			c, err = nil, fault.New(fault.SourceProtocol, "the server's greeting cannot be understood: is this a MariaDB or MySQL server?").At("%s", s.where())
		}
	}()
	var raw net.Conn
	stop := func() bool { return true }
	dialer := func(ctx context.Context, network, address string) (net.Conn, error) {
		d := net.Dialer{KeepAlive: 15 * time.Second}
		n, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		raw = n
		stop = context.AfterFunc(ctx, func() { _ = n.SetDeadline(time.Unix(1, 0)) }) // unblocks the handshake
		return n, nil
	}
	defer func() {
		if c == nil && raw != nil {
			stop()
			_ = raw.Close()
		}
	}()
	var greeted *client.Conn
	g, err := client.ConnectWithDialer(ctx, s.cfg.network, s.cfg.address, s.cfg.user, s.cfg.password.Reveal(), "", dialer, func(g *client.Conn) error {
		greeted = g
		g.SetAttributes(map[string]string{"program_name": "godwit"})
		g.UnsetCapability(gomysql.CLIENT_QUERY_ATTRIBUTES) // the commands are written here, without the prefix it asks for
		if encrypt {
			g.SetTLSConfig(s.cfg.tls.Conf.Clone())
		}
		return g.SetCollation("utf8mb4_general_ci")
	})
	if err != nil && strings.Contains(err.Error(), "auth plugin") {
		return nil, s.pluginFault(err, greeted.GetServerVersion())
	}
	if err != nil {
		return nil, err
	}
	if !stop() {
		return nil, context.Cause(ctx)
	}
	n := g.Conn.Conn
	version := strings.TrimPrefix(g.GetServerVersion(), "5.5.5-")
	return &conn{src: s, raw: n, in: newPacketReader(n), id: g.GetConnectionID(), version: version, mysql: !strings.Contains(version, "MariaDB")}, nil
}

// dialFault gives an error of connecting its code.
func (s *source) dialFault(err error) error {
	var f *fault.Error
	var e *gomysql.MyError
	var known *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &e):
		f := serverFault(&serverError{e.Code, e.State, e.Message}, s.where())
		if f.Code == fault.SourceAuth {
			f.Try("check user and password in the job file, and on the server: SELECT user, host FROM mysql.user;")
		}
		return f
	case errors.As(err, &known), errors.As(err, &record), noTLS(err), strings.Contains(err.Error(), "tls:"), strings.Contains(err.Error(), "x509:"):
		return fault.New(fault.SourceTLS, "no encrypted connection to the server").At("%s", s.where()).By(rootOf(err)).Try("tls.mode is %s: give `ca` and `server_name`, or another mode", s.cfg.tls.Mode)
	}
	if strings.Contains(err.Error(), "invalid sequence") || strings.Contains(err.Error(), "invalid protocol version") {
		return fault.New(fault.SourceProtocol, "the server's greeting cannot be understood: is this a MariaDB or MySQL server?").At("%s", s.where()).By(err)
	}
	return fault.New(fault.SourceUnreachable, "no connection to %s", s.cfg.address).At("%s", s.where()).By(rootOf(err)).
		Try("check that the server runs, listens there (bind-address) and is not behind a firewall")
}

// pluginFault says that the server asks for a login that is not spoken, and how its
// version takes one that is.
func (s *source) pluginFault(err error, version string) *fault.Error {
	as := "WITH caching_sha2_password BY '…'"
	if strings.Contains(version, "MariaDB") {
		as = "VIA mysql_native_password USING PASSWORD('…')"
	}
	return fault.New(fault.SourceAuth, "user %s has an authentication plugin that is not supported", s.cfg.user).At("%s", s.where()).By(rootOf(err)).
		Try("ALTER USER %s IDENTIFIED %s", quoteText(s.cfg.user), as)
}

// rootOf drops the library's own layers, whose texts repeat each other.
func rootOf(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || strings.Contains(err.Error(), "i/o timeout") || errors.Is(err, context.DeadlineExceeded) {
		return errors.New("no answer in time")
	}
	return err
}

// close ends the connection. It may be called more than once and from any
// goroutine; a call that waits for the server then fails.
func (c *conn) close() {
	c.src.mu.Lock()
	delete(c.src.conns, c)
	c.src.mu.Unlock()
	_ = c.raw.Close()
}

// packets lends the reader of what the server sends, for callers that write
// commands themselves.
func (c *conn) packets() *packetReader { return c.in }

// write sends payload as a new command.
func (c *conn) write(payload []byte) (err error) {
	if c.broken {
		return net.ErrClosed
	}
	c.out, c.in.seq, err = writeMessage(c.raw, c.out, payload, 0)
	return err
}

// send writes a query.
func (c *conn) send(sql string) error {
	return c.write(append([]byte{commandQuery}, sql...))
}

// guard runs f and closes the connection when ctx ends meanwhile, which unblocks
// it. The error is then the cause of ctx's end.
func (c *conn) guard(ctx context.Context, f func() error) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.raw.Close() })
	err := f()
	if !stop() {
		c.broken = true
		if err != nil {
			return context.Cause(ctx)
		}
		return nil
	}
	var refused *serverError
	if err != nil && !errors.As(err, &refused) {
		c.broken = true
	}
	return err
}

// exec runs a statement without rows.
func (c *conn) exec(ctx context.Context, sql string) error {
	return c.each(ctx, sql, func([]value) error { return nil })
}

// query returns the rows of a small result. Their bytes are the caller's.
func (c *conn) query(ctx context.Context, sql string) ([][]value, error) {
	var out [][]value
	err := c.each(ctx, sql, keep(&out))
	return out, err
}

// keep returns what appends a copy of each row to out.
func keep(out *[][]value) func([]value) error {
	return func(r []value) error {
		n := 0
		for _, v := range r {
			n += len(v.bytes)
		}
		arena := make([]byte, 0, n)
		kept := make([]value, len(r))
		for i, v := range r {
			at := len(arena)
			arena = append(arena, v.bytes...)
			kept[i] = value{arena[at:len(arena):len(arena)], v.null}
		}
		*out = append(*out, kept)
		return nil
	}
}

// allowMany lets the connection take several statements by one message.
func (c *conn) allowMany(ctx context.Context) error {
	err := c.guard(ctx, func() error {
		if err := c.write([]byte{commandOption, 0, 0}); err != nil {
			return err
		}
		p, err := c.in.next()
		if err == nil && isError(p) {
			err = readError(p)
		}
		return short(err)
	})
	if err == nil {
		return nil
	}
	return c.fault(ctx, err)
}

// together sends statements by one message, so that nothing of the way to the server lies
// between them, and returns the rows of each. See allowMany.
func (c *conn) together(ctx context.Context, statements ...string) ([][][]value, error) {
	out := make([][][]value, len(statements))
	err := c.guard(ctx, func() error {
		if err := c.send(strings.Join(statements, "; ")); err != nil {
			return err
		}
		for i := range out {
			if err := c.answer(keep(&out[i])); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		return out, nil
	}
	return nil, c.fault(ctx, err)
}

// each calls f for every row of a result; the values are lent until it returns.
// An error of f ends it and spoils the connection.
func (c *conn) each(ctx context.Context, sql string, f func([]value) error) error {
	err := c.guard(ctx, func() error {
		if err := c.send(sql); err != nil {
			return err
		}
		return c.answer(f)
	})
	if err == nil {
		return nil
	}
	return c.fault(ctx, err)
}

// answer reads the answer to one statement.
func (c *conn) answer(f func([]value) error) error {
	n, err := c.columns()
	if err != nil || n == 0 {
		return err
	}
	if cap(c.row) < n {
		c.row = make([]value, n)
	}
	r := c.row[:n]
	for {
		p, err := c.in.next()
		switch {
		case err != nil:
			return short(err)
		case isEnd(p):
			return nil
		case isError(p):
			return readError(p)
		}
		if err := splitRow(p, r); err != nil {
			return err
		}
		if err := f(r); err != nil {
			c.broken = true
			return err
		}
	}
}

// columns reads the head of an answer: 0 for a statement without rows, otherwise
// the number of columns, whose descriptions it skips.
func (c *conn) columns() (int, error) {
	p, err := c.in.next()
	switch {
	case err != nil:
		return 0, short(err)
	case isError(p):
		return 0, readError(p)
	case len(p) > 0 && p[0] == 0:
		return 0, nil
	}
	n, rest, ok := lengthEncoded(p)
	if !ok || n <= 0 || n > maxColumns || len(rest) != 0 {
		return 0, errMalformed
	}
	for range n {
		if _, err := c.in.next(); err != nil {
			return 0, short(err)
		}
	}
	p, err = c.in.next()
	if err != nil {
		return 0, short(err)
	}
	if !isEnd(p) {
		return 0, errMalformed
	}
	return n, nil
}

// fault gives an error of a query its code; the end of ctx and faults pass as
// they are.
func (c *conn) fault(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, cause) {
		return cause
	}
	var f *fault.Error
	if errors.As(err, &f) {
		return err
	}
	return serverFault(err, c.src.where())
}

// Server error codes that have a meaning of their own.
const (
	errDBAccess       = 1044
	errAccess         = 1045
	errTooManyConns   = 1040
	errUnknownDB      = 1049
	errUnknownColumn  = 1054
	errTableAccess    = 1142
	errColumnAccess   = 1143
	errNoSuchTable    = 1146
	errUserConns      = 1203
	errLockWait       = 1205
	errDeadlock       = 1213
	errUserLimit      = 1226
	errMixedTexts     = 1267
	errPrivilege      = 1227
	errShutdown       = 1053
	errInterrupted    = 1317
	errTableChanged   = 1412
	errAccessNoPass   = 1698
	errStatementTime  = 1969
	errExecutionTime  = 3024
	errXARefused      = 1401
	errLockNoWait     = 3572
	errConnKilled     = 1927
	errNoSuchIndex    = 1176
	errPackageTooBig  = 1153
	errHostBlocked    = 1129
	errHostNotAllowed = 1130
)

// serverFault gives an error of the server or of the connection its code. where
// is the server's address or what was read.
func serverFault(err error, where string) *fault.Error {
	var f *fault.Error
	if errors.As(err, &f) {
		return f
	}
	var e *serverError
	if !errors.As(err, &e) {
		return connectionFault(err, where)
	}
	code, what := fault.SourceQuery, "the server refused a query"
	switch e.code {
	case errAccess, errAccessNoPass, errHostNotAllowed:
		code, what = fault.SourceAuth, "the server refused the login"
	case errDBAccess, errTableAccess, errColumnAccess, errPrivilege:
		code, what = fault.SourceGrants, "the user lacks a privilege"
	case errTooManyConns, errUserConns, errUserLimit, errHostBlocked:
		code, what = fault.SourceBusy, "the server takes no more connections"
	case errLockWait, errDeadlock, errInterrupted, errStatementTime, errExecutionTime, errLockNoWait:
		code, what = fault.SourceBusy, "the server broke a query off"
	case errShutdown, errConnKilled:
		code, what = fault.SourceUnreachable, "the server ended the connection"
	case errTableChanged, errUnknownColumn, errNoSuchTable, errNoSuchIndex, errUnknownDB:
		code, what = fault.SourceShape, "the table changed while it was read"
	}
	return fault.New(code, "%s", what).At("%s", where).By(e)
}

func connectionFault(err error, where string) *fault.Error {
	if errors.Is(err, errMalformed) || errors.Is(err, errSequence) {
		return fault.New(fault.SourceProtocol, "the server sent something that cannot be understood").At("%s", where).By(err)
	}
	var n net.Error
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) || errors.As(err, &n) {
		return fault.New(fault.SourceUnreachable, "the connection to the server broke").At("%s", where).By(err)
	}
	return fault.New(fault.SourceUnreachable, "the connection to the server failed").At("%s", where).By(err)
}

// quoteName quotes an identifier.
func quoteName(s string) string { return "`" + strings.ReplaceAll(s, "`", "``") + "`" }

// quoteText quotes a text in such a way that no mode of the server changes it.
func quoteText(s string) string {
	for _, r := range s {
		if r < ' ' || r == '\'' || r == '\\' || r > '~' {
			return fmt.Sprintf("_utf8mb4 x'%x'", s)
		}
	}
	return "'" + s + "'"
}
