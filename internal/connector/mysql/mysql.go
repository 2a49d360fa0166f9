// Package mysql reads MariaDB and MySQL: tables as they are, in chunks at exactly
// known places of the binary log, and the log itself.
//
// The snapshot half (conn, wire, discover, chunks, snapshot, text, types, check)
// and the stream half (binlog, decode, ddl, shapes, rebase, place) meet in three
// things: the types of columns (parseType), the canonical form of values
// (types.go) and the order of rows (place).
package mysql

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"godwit/internal/connector"
	"godwit/internal/connector/tlsmode"
	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/row"
	"godwit/internal/secret"
)

// defaultPort is where a server listens when the address has no port.
const defaultPort = "3306"

// Driver returns the driver named mysql.
func Driver() connector.SourceDriver {
	all := newDesks()
	return connector.SourceDriver{
		Name:    "mysql",
		Help:    "MariaDB 10.11 and MySQL 8.0: tables by chunks at exactly known places of the binary log, then the log.",
		Options: options(),
		Open: func(ctx context.Context, v option.Values, env connector.Env) (connector.Source, error) {
			return all.source(ctx, v, env)
		},
	}
}

func options() []option.Field {
	return []option.Field{
		{Name: "address", Kind: option.Text, Help: "Host and port of the server; the port is 3306 when it is left out. Give either this or `socket`.", Example: "127.0.0.1:3306"},
		{Name: "socket", Kind: option.Text, Machine: option.DataPath, Help: "Path of the server's unix socket, instead of `address`.", Example: "/run/mysqld/mysqld.sock"},
		{Name: "user", Kind: option.Text, Required: true, Help: "The user to log in as. It needs SELECT on the tables, and REPLICATION SLAVE and BINLOG MONITOR (on MySQL: REPLICATION CLIENT, and LOCK TABLES on the tables) for their changes.", Example: "godwit"},
		{Name: "password", Kind: option.Secret, Help: "The user's password, best as a reference.", Example: "${env:SHOP_PASSWORD}"},
		tlsmode.Field(false),
		{Name: "server_id", Kind: option.Int, Min: 0, Max: 1<<32 - 1, Help: "The id under which the log is read; it must differ from that of every other reader of this server. 0: a random one for each connection."},
		{Name: "connect_timeout", Kind: option.Duration, Default: 10 * time.Second, Min: int64(100 * time.Millisecond), Max: int64(15 * time.Second), Help: "How long to try to connect and log in."},
	}
}

// config is what the options say.
type config struct {
	network  string // tcp or unix
	address  string // host:port or path
	host     string // for the name in a certificate
	user     string
	password secret.Text
	tls      tlsmode.Config
	serverID uint32 // 0: random for each connection
	connect  time.Duration
}

// source is one server. Its methods may be called concurrently.
type source struct {
	cfg  config
	env  connector.Env
	pool row.Pool

	// plain is set once a server was found to have no TLS, so that "preferred"
	// asks only once.
	plain atomic.Bool

	snapshots snapshotPool
	desk      *desk
	cuts      cutsCache

	// reach is the largest offset a dump can be asked for.
	reach uint64

	// idTaken is set once another reader had the same server_id.
	idTaken atomic.Bool

	mu     sync.Mutex
	closed bool
	conns  map[*conn]struct{}
	// altered holds the newer shape last seen by a chunk of a table, so that
	// neighbouring chunks share it.
	altered map[row.Name]*row.Table
	// fileBegun holds when files of the log were begun.
	fileBegun map[place]time.Time
}

// source opens a source that shares a desk with others of its account.
func (d *desks) source(_ context.Context, v option.Values, env connector.Env) (*source, error) {
	cfg, err := readConfig(v)
	if err != nil {
		return nil, err
	}
	s := &source{cfg: cfg, env: env, desk: d.join(accountOf(cfg, v.Object("tls"))), reach: maxDumpOffset, conns: map[*conn]struct{}{}, altered: map[row.Name]*row.Table{}}
	s.snapshots.most = env.Parallel
	if env.Budget != nil {
		s.pool.Freed = func(n int) { env.Budget.Give(int64(n)) }
	}
	return s, nil
}

func readConfig(v option.Values) (config, error) {
	c := config{user: v.Text("user"), password: v.Secret("password"), serverID: uint32(v.Int("server_id")), connect: v.Duration("connect_timeout")}
	address, socket := v.Text("address"), v.Text("socket")
	switch {
	case (address == "") == (socket == ""):
		return c, fault.New(fault.JobValue, "the source needs either address or socket").At("%s", v.Place("address")).Try("address: 127.0.0.1:%s", defaultPort)
	case socket != "":
		c.network, c.address, c.host = "unix", socket, "localhost"
	default:
		host, port, err := splitAddress(address)
		if err != nil {
			return c, fault.New(fault.JobValue, "address %q is not of the form host:port", address).At("%s", v.Place("address")).By(err).
				Try("address: 127.0.0.1:%s", defaultPort)
		}
		c.network, c.host, c.address = "tcp", host, net.JoinHostPort(host, port)
	}
	if c.connect == 0 {
		c.connect = 10 * time.Second
	}
	var err error
	c.tls, err = tlsmode.Read(v.Object("tls"), c.host, c.network == "unix", fault.SourceTLS)
	return c, err
}

// splitAddress takes host, host:port, ::1 and [::1]:port.
func splitAddress(s string) (host, port string, err error) {
	if !strings.Contains(s, ":") || net.ParseIP(s) != nil {
		return s, defaultPort, nil
	}
	if bare, ok := strings.CutPrefix(s, "["); ok {
		if bare, ok = strings.CutSuffix(bare, "]"); ok {
			return bare, defaultPort, nil
		}
	}
	host, port, err = net.SplitHostPort(s)
	if err != nil {
		return "", "", err
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", "", errors.New("the port is a number from 1 to 65535")
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return host, port, nil
}

// Close ends all connections.
func (s *source) Close() error {
	s.mu.Lock()
	again := s.closed
	s.closed = true
	conns := s.conns
	s.conns = map[*conn]struct{}{}
	s.mu.Unlock()
	if !again {
		s.desk.leave()
	}
	s.snapshots.drop()
	for c := range conns {
		_ = c.raw.Close()
	}
	return nil
}

// where names the server in errors.
func (s *source) where() string { return s.cfg.address }
