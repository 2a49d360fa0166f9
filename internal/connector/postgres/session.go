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
// queued and sent together: a round trip answers all of them. One such exchange may be
// left to the server while the next is made ready: its answer is read first then.
type session struct {
	conn     net.Conn
	front    *pgproto3.Frontend // reads; what is written goes through out
	out      []byte             // messages to be sent
	scratch  []byte             // of who makes parameters
	pid      uint32
	where    string
	encoding string
	version  string
	status   byte // of the transaction: I none, T inside, E failed
	queued   int
	left     bool  // the answer to what post sent is not read yet
	unsent   error // why a message could not be made
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
	return c.broken == nil && c.status == 'I' && c.queued == 0 && !c.left && !c.copying
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
	c.add(&pgproto3.Parse{Query: sql, ParameterOIDs: oids})
	c.add(&pgproto3.Bind{ParameterFormatCodes: formats, Parameters: values, ResultFormatCodes: results})
	c.add(&pgproto3.Execute{})
	c.queued++
}

// add puts a message with those to be sent.
func (c *session) add(m pgproto3.FrontendMessage) {
	out, err := m.Encode(c.out)
	if err != nil { // a message beyond what the protocol can count
		c.unsent = err
		return
	}
	c.out = out
}

// maxKept is how large a buffer of a session stays for what follows.
const maxKept = 4 << 20

// flush sends the messages that wait.
func (c *session) flush() error {
	err := c.unsent
	if err == nil && len(c.out) > 0 {
		_, err = c.conn.Write(c.out)
	}
	c.out, c.scratch = emptied(c.out), emptied(c.scratch)
	return err
}

func emptied(b []byte) []byte {
	if cap(b) > maxKept {
		return nil
	}
	return b[:0]
}

// sync sends what is queued and returns an answer to each statement. The first that
// fails fails those behind it too.
func (c *session) sync(ctx context.Context) ([]result, error) {
	c.add(&pgproto3.Sync{})
	return c.answers(ctx)
}

// post sends what is queued and leaves the server to it; settle has its error.
func (c *session) post(ctx context.Context) error {
	if err := c.settle(ctx); err != nil {
		return err
	}
	c.add(&pgproto3.Sync{})
	return c.guard(ctx, func() error {
		c.queued, c.left = 0, true
		return c.flush()
	})
}

// settle waits for the answer to what post sent.
func (c *session) settle(ctx context.Context) error {
	if !c.left {
		return nil
	}
	return c.guard(ctx, func() error {
		c.left = false
		_, err := c.read()
		return err
	})
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
	c.add(&pgproto3.Query{String: strings.Join(sql, ";\n")})
	_, err := c.answers(ctx)
	return err
}

// answers sends what waits and reads up to the end of the exchange.
func (c *session) answers(ctx context.Context) (all []result, err error) {
	if err := c.settle(ctx); err != nil {
		return nil, err
	}
	err = c.guard(ctx, func() error {
		c.queued = 0
		if err := c.flush(); err != nil {
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
// leaves the session as it is, any other breaks it; so does a server that takes no writes:
// by the next connection the address may lead to another one.
func (c *session) guard(ctx context.Context, exchange func() error) error {
	if c.broken != nil {
		return c.broken
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Unix(1, 0)) })
	err := exchange()
	if !stop() && err == nil {
		c.broken = context.Cause(ctx) // what was asked is answered, but its deadline has passed
	}
	if err == nil {
		return nil
	}
	var refused *pgconn.PgError
	switch answered := errors.As(err, &refused) && !errors.Is(err, errEnded); {
	case answered:
		err = serverFault(refused, c.where)
		if refused.Code != stateReadOnly {
			return err
		}
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	default:
		err = brokenFault(err, refused, c.where)
	}
	c.broken = err
	_ = c.conn.Close()
	return err
}

// brokenFault says that a connection broke.
func brokenFault(err error, refused *pgconn.PgError, where string) error {
	if refused != nil {
		return fault.New(fault.TargetUnreachable, "the server ended the connection").At("%s", where).By(errors.New(refused.Message + " (" + refused.Code + ")")).Try("the server's log says who ended it, or why")
	}
	return fault.New(fault.TargetUnreachable, "the connection broke").At("%s", where).By(err).Try("if it stays so: the server's log says whether it ended the connection, else look at the network between")
}

// close ends the session; what it has not committed is rolled back.
func (c *session) close() {
	if c.broken == nil {
		c.broken = fault.New(fault.Internal, "the session is closed")
		if !c.copying {
			_ = c.conn.SetDeadline(time.Now().Add(time.Second))
			c.out = c.out[:0]
			c.add(&pgproto3.Terminate{})
			_ = c.flush()
		}
	}
	_ = c.conn.Close()
}
