package postgres

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"godwit/internal/fault"
)

// session is one connection. It is used by one goroutine at a time. Statements are
// queued and sent together: a round trip answers all of them.
type session struct {
	conn     net.Conn
	front    *pgproto3.Frontend
	pid      uint32
	where    string
	encoding string
	version  string
	status   byte // of the transaction: I none, T inside, E failed
	queued   int
	broken   error
	copying  bool
}

// arg is a parameter of a statement.
type arg struct {
	data   []byte // nil: null
	oid    uint32 // 0: the server infers it
	binary bool
}

func text(s string) arg  { return arg{data: []byte(s)} }
func bytea(b []byte) arg { return arg{data: append([]byte{}, b...), oid: oidBytea, binary: true} }
func (c *session) usable() bool {
	return c.broken == nil && c.status == 'I' && c.queued == 0 && !c.copying
}
func (c *session) inTransaction() bool { return c.status != 'I' }

// result is the answer to one statement: rows in the text form, nil for null.
type result struct {
	rows [][][]byte
	tag  string
}

// queue adds a statement to those that the next sync sends. Nothing of the arguments
// is kept.
func (c *session) queue(sql string, args ...arg) { c.enqueue(nil, sql, args) }

func (c *session) enqueue(results []int16, sql string, args []arg) {
	oids := make([]uint32, len(args))
	formats := make([]int16, len(args))
	values := make([][]byte, len(args))
	for i, a := range args {
		oids[i], values[i] = a.oid, a.data
		if a.binary {
			formats[i] = 1
		}
	}
	c.front.SendParse(&pgproto3.Parse{Query: sql, ParameterOIDs: oids})
	c.front.SendBind(&pgproto3.Bind{ParameterFormatCodes: formats, Parameters: values, ResultFormatCodes: results})
	c.front.SendExecute(&pgproto3.Execute{})
	c.queued++
}

// sync sends what is queued and returns an answer to each statement. The first that
// fails fails those behind it too.
func (c *session) sync(ctx context.Context) ([]result, error) {
	c.front.SendSync(&pgproto3.Sync{})
	return c.answers(ctx)
}

// query runs one statement.
func (c *session) query(ctx context.Context, sql string, args ...arg) (result, error) {
	c.queue(sql, args...)
	all, err := c.sync(ctx)
	if err != nil {
		return result{}, err
	}
	return all[0], nil
}

// script runs statements without parameters as one message, which the server
// carries out as one transaction unless they say otherwise.
func (c *session) script(ctx context.Context, sql ...string) error {
	c.front.SendQuery(&pgproto3.Query{String: strings.Join(sql, ";\n")})
	_, err := c.answers(ctx)
	return err
}

// answers sends what waits and reads up to the end of the exchange.
func (c *session) answers(ctx context.Context) (all []result, err error) {
	err = c.guard(ctx, func() error {
		c.queued = 0
		if err := c.front.Flush(); err != nil {
			return err
		}
		all, err = c.read()
		return err
	})
	return all, err
}

// read reads answers until the server is ready for more.
func (c *session) read() (all []result, err error) {
	m, err := c.front.Receive()
	if err != nil {
		return nil, err
	}
	return c.rest(m)
}

// rest is read after a first message.
func (c *session) rest(m pgproto3.BackendMessage) (all []result, err error) {
	var now result
	var refused error
	for {
		switch m := m.(type) {
		case *pgproto3.DataRow:
			now.rows = append(now.rows, copyRow(m.Values))
		case *pgproto3.CommandComplete:
			now.tag = string(m.CommandTag)
			all, now = append(all, now), result{}
		case *pgproto3.EmptyQueryResponse:
			all, now = append(all, now), result{}
		case *pgproto3.ErrorResponse:
			if refused == nil {
				refused = pgconn.ErrorResponseToPgError(m)
			}
			if m.Severity == "FATAL" || m.Severity == "PANIC" {
				return nil, errors.Join(errEnded, refused)
			}
		case *pgproto3.ReadyForQuery:
			c.status = m.TxStatus
			return all, refused
		}
		if m, err = c.front.Receive(); err != nil {
			return nil, err
		}
	}
}

// errEnded says that the server ended the session.
var errEnded = errors.New("the server ended the session")

func copyRow(values [][]byte) [][]byte {
	out := make([][]byte, len(values))
	for i, v := range values {
		if v != nil {
			out[i] = append([]byte{}, v...)
		}
	}
	return out
}

// guard runs an exchange of messages, which ends with ctx. An error of the server
// leaves the session as it is, any other breaks it.
func (c *session) guard(ctx context.Context, exchange func() error) error {
	if c.broken != nil {
		return c.broken
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Unix(1, 0)) })
	err := exchange()
	stop()
	if err == nil {
		return nil
	}
	var refused *pgconn.PgError
	if errors.As(err, &refused) && !errors.Is(err, errEnded) {
		return serverFault(refused, c.where)
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	} else {
		err = brokenFault(err, refused, c.where)
	}
	c.broken = err
	_ = c.conn.Close()
	return err
}

// brokenFault says that a connection broke.
func brokenFault(err error, refused *pgconn.PgError, where string) error {
	if refused != nil {
		return fault.New(fault.TargetUnreachable, "the server ended the connection").At("%s", where).By(errors.New(refused.Message + " (" + refused.Code + ")"))
	}
	return fault.New(fault.TargetUnreachable, "the connection broke").At("%s", where).By(err)
}

// close ends the session; what it has not committed is rolled back.
func (c *session) close() {
	if c.broken == nil {
		c.broken = fault.New(fault.Internal, "the session is closed")
		if !c.copying {
			_ = c.conn.SetDeadline(time.Now().Add(time.Second))
			c.front.Send(&pgproto3.Terminate{})
			_ = c.front.Flush()
		}
	}
	_ = c.conn.Close()
}
