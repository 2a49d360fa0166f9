package postgres

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"godwit/internal/connector/tlsmode"
	"godwit/internal/fault"
)

// dialer makes connections of the network.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// keepAlive is after how long without an answer a connection is asked for a sign of
// life, which it must give within a few more such spans.
const keepAlive = 15 * time.Second

// dial makes a session.
func (c config) dial(ctx context.Context) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, c.connect)
	defer cancel()
	conf, err := pgconn.ParseConfig("host=localhost user=x database=x sslmode=disable passfile=/dev/null servicefile=/dev/null")
	if err != nil {
		return nil, fault.New(fault.Internal, "the client library refuses its own defaults").By(err)
	}
	conf.Host, conf.Port, conf.Database, conf.User, conf.Password = c.host, c.port, c.database, c.user, c.password.Reveal()
	conf.Fallbacks = nil
	if c.tls.Conf != nil {
		conf.TLSConfig = c.tls.Conf.Clone()
		if c.tls.Mode == tlsmode.Preferred {
			conf.Fallbacks = []*pgconn.FallbackConfig{{Host: c.host, Port: c.port}}
		}
	}
	conf.ConnectTimeout = c.connect
	conf.DialFunc = pgconn.DialFunc((&net.Dialer{KeepAlive: keepAlive}).DialContext)
	if c.net != nil {
		conf.DialFunc = pgconn.DialFunc(c.net)
	}
	// Nothing that the environment of this process says is taken.
	conf.RuntimeParams = map[string]string{
		"application_name": "godwit", "client_encoding": "UTF8", "timezone": "UTC", "datestyle": "ISO, YMD", "intervalstyle": "postgres",
		"extra_float_digits": "3", "bytea_output": "hex", "standard_conforming_strings": "on", "search_path": "pg_catalog",
		"row_security": "off", "default_transaction_isolation": "read committed", "default_transaction_read_only": "off",
		"lock_timeout":                        milliseconds(c.lock),
		"statement_timeout":                   milliseconds(c.statement),
		"idle_in_transaction_session_timeout": milliseconds(idleInTransaction),
		// A reader of the other side may be slow without the connection being broken.
		"tcp_keepalives_idle": "60", "tcp_keepalives_interval": "15", "tcp_keepalives_count": "4",
	}
	raw, err := pgconn.ConnectConfig(ctx, conf)
	if err != nil {
		return nil, c.dialFault(ctx, err)
	}
	h, err := raw.Hijack()
	if err != nil {
		return nil, fault.New(fault.Internal, "a new connection is not idle").By(err)
	}
	s := &session{conn: h.Conn, front: h.Frontend, pid: h.PID, where: c.where(), encoding: h.ParameterStatuses["server_encoding"], version: h.ParameterStatuses["server_version"], status: 'I'}
	if s.encoding != "UTF8" {
		s.close()
		return nil, fault.New(fault.TargetRefused, "the database has the encoding %s, which cannot hold every text", s.encoding).At("%s", c.where()).
			Try("CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0;")
	}
	return s, nil
}

// idleInTransaction is how long a session may hold what it has not committed without
// a word: a transaction of the source may be that slow, a dead process is not.
const idleInTransaction = 15 * time.Minute

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// dialFault says why there is no session. The library's own text names the options
// of the connection, never the password.
func (c config) dialFault(ctx context.Context, err error) error {
	var refused *pgconn.PgError
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verification *tls.CertificateVerificationError
	switch {
	case errors.As(err, &refused):
		return c.loginFault(refused)
	case errors.As(err, &unknown), errors.As(err, &name), errors.As(err, &invalid), errors.As(err, &verification):
		return fault.New(fault.TargetTLS, "the server's certificate is not accepted").At("%s", c.where()).By(errors.Unwrap(err)).
			Try("set tls.ca to the file with the certificate that signed it, or tls.server_name to the name in it")
	case c.tls.Mode != tlsmode.Preferred && strings.Contains(err.Error(), "server refused TLS connection"):
		return fault.New(fault.TargetTLS, "the server has no TLS").At("%s", c.where()).Try("set ssl = on in the server's configuration, or tls: {mode: preferred}")
	case ctx.Err() == context.Canceled:
		return context.Cause(ctx)
	}
	return fault.New(fault.TargetUnreachable, "%s does not answer", c.where()).By(errors.New(clip(err.Error(), 300))).
		Try("check address and firewalls, and that the server runs and listens there (listen_addresses)")
}

func (c config) loginFault(e *pgconn.PgError) error {
	cause := errors.New(e.Message + " (" + e.Code + ")")
	switch {
	case strings.HasPrefix(e.Code, "28"):
		return fault.New(fault.TargetAuth, "the server refuses user %q", c.user).At("%s", c.where()).By(cause).Try("check user, password and pg_hba.conf")
	case e.Code == "3D000":
		return fault.New(fault.TargetAuth, "there is no database %q", c.database).At("%s", c.where()).By(cause).Try("CREATE DATABASE %s ENCODING 'UTF8' TEMPLATE template0;", quote(c.database))
	case e.Code == "42501":
		return fault.New(fault.TargetAuth, "user %q may not connect to the database", c.user).At("%s", c.where()).By(cause).Try("GRANT CONNECT ON DATABASE %s TO %s;", quote(c.database), quote(c.user))
	}
	return fault.New(fault.TargetUnreachable, "%s takes no connections now", c.where()).By(cause).
		Try("the cause is the server's word: wait until it is up, or give it more connections (max_connections)")
}

func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return fmt.Sprintf("%s…", strings.ToValidUTF8(s[:most], ""))
}
