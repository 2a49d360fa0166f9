package hdfs

import (
	"context"
	"errors"
	"net"
	"reflect"
	"sync"
	"time"

	"github.com/colinmarc/hdfs/v2"
	krb "github.com/jcmturner/gokrb5/v8/client"
)

// Times after which a connection is given up.
const (
	dialLimit = 10 * time.Second
	idleLimit = 60 * time.Second // without a byte that was waited for
)

// links is how many connections to the name node there are: each has one call at a
// time.
const links = 4

// cluster says where name nodes are and how they are spoken to.
type cluster struct {
	name       string   // for people
	unread     string   // that no configuration was read, behind an advice; empty: one was
	namenodes  []string // host:port
	user       string
	hostnames  bool // data nodes are called by name, not by address
	protection string
	service    string                      // principal of the name nodes, without realm; with Kerberos
	login      func() (*krb.Client, error) // with Kerberos
	logout     func()
}

// pool keeps connections to the cluster. One that broke is replaced by the next call.
type pool struct {
	cluster cluster

	mu     sync.Mutex
	links  [links]*link
	next   int
	proved bool
	closed bool
}

// link is a connection to the name nodes, of which it knows the active one, and the
// holder of the leases of the files that are written through it.
type link struct {
	client *hdfs.Client
	node   caller
	stale  bool // guarded by pool.mu

	asking sync.Mutex // held while client finds out the cluster's defaults, which it keeps
}

// fileClient is the library's client for one file: a link's, with a memory of its own. The
// library remembers without a lock what name nodes have told it, and for ever: also a key to
// encrypt data with, which data nodes know for some hours only.
type fileClient struct {
	*hdfs.Client
	keyless hdfs.Client
}

func newPool(c cluster) *pool { return &pool{cluster: c} }

var errClosed = errors.New("the store is closed")

// link returns a connection, of which several callers may have the same.
func (p *pool) link() (*link, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errClosed
	}
	at := p.next % links
	p.next++
	if l := p.links[at]; l != nil && !l.stale {
		return l, nil
	}
	l, err := p.cluster.connect()
	if err != nil {
		return nil, err
	}
	if old := p.links[at]; old != nil {
		p.retire(old)
	}
	p.links[at] = l
	return l, nil
}

// defaults returns what the cluster writes files with.
func (l *link) defaults() (hdfs.ServerDefaults, error) {
	l.asking.Lock()
	defer l.asking.Unlock()
	return l.client.ServerDefaults()
}

// forFile returns a client for one file, which holds its lease as the link does.
func (l *link) forFile() (*fileClient, error) {
	if _, err := l.defaults(); err != nil {
		return nil, err
	}
	c := *l.client
	return &fileClient{Client: &c, keyless: c}, nil
}

// forgetKey has the next block use a key that is asked for then.
func (c *fileClient) forgetKey() { *c.Client = c.keyless }

// retire ends a connection that broke, some time later: a file that is written
// through it may still come to its end, for which it holds the lease.
func (p *pool) retire(l *link) { time.AfterFunc(2*idleLimit, func() { _ = l.client.Close() }) }

// broke is told that a connection is of no use any more.
func (p *pool) broke(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.stale = true
}

// proven is told that the cluster has answered: should it be gone, it may come back.
func (p *pool) proven() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.proved = true
}

func (p *pool) wasThere() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.proved
}

func (p *pool) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	var errs []error
	for _, l := range p.links {
		switch {
		case l == nil:
		case l.stale:
			// It may be at a call that nobody answers. Left alone it would renew its
			// leases for as long as the process lives.
			go func() { _ = l.client.Close() }()
		default:
			errs = append(errs, l.client.Close())
		}
	}
	if p.cluster.logout != nil {
		p.cluster.logout()
	}
	return errors.Join(errs...)
}

func (c cluster) connect() (*link, error) {
	o := hdfs.ClientOptions{
		Addresses: c.namenodes, User: c.user, UseDatanodeHostname: c.hostnames, DataTransferProtection: c.protection,
		NamenodeDialFunc: dial, DatanodeDialFunc: dialData, KerberosServicePrincipleName: c.service,
	}
	if c.login != nil {
		k, err := c.login()
		if err != nil {
			return nil, err
		}
		o.KerberosClient = k
	}
	client, err := hdfs.NewClient(o)
	if err != nil {
		return nil, err
	}
	node, err := callerOf(client)
	if err == nil {
		err = formOf(reflect.TypeFor[hdfs.FileWriter]())
	}
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return &link{client: client, node: node}, nil
}

// dial connects within dialLimit to what answers within idleLimit. The library waits
// for ever.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{Timeout: dialLimit, KeepAlive: 30 * time.Second}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &patient{Conn: c}, nil
}

// dialData is dial to a data node: that it was one is part of every error.
func dialData(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := dial(ctx, network, address)
	if err != nil {
		return nil, &dataError{node: address, err: err}
	}
	return &dataConn{Conn: c, node: address}, nil
}

// dataConn is a connection to a data node.
type dataConn struct {
	net.Conn
	node string
}

func (c *dataConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	return n, c.named(err)
}

func (c *dataConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	return n, c.named(err)
}

func (c *dataConn) named(err error) error {
	if err == nil {
		return nil
	}
	return &dataError{node: c.node, err: err}
}

// patient is a connection that gives up, for good, what takes too long.
type patient struct{ net.Conn }

func (c *patient) Read(b []byte) (int, error) {
	if err := c.Conn.SetReadDeadline(time.Now().Add(idleLimit)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(b)
	if err != nil {
		_ = c.Conn.Close() // an answer that comes late would be taken for that of a later call
	}
	return n, err
}

func (c *patient) Write(b []byte) (int, error) {
	if err := c.Conn.SetWriteDeadline(time.Now().Add(idleLimit)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(b)
	if err != nil {
		_ = c.Conn.Close()
	}
	return n, err
}

// SetDeadline does nothing: each Read and Write has its own.
func (c *patient) SetDeadline(time.Time) error { return nil }
