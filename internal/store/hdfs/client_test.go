package hdfs

import (
	"io"
	"net"
	"testing"
	"time"
)

// A connection that broke is ended with the store: left alone it would go on renewing
// leases.
func TestPool_when_a_link_is_stale_at_the_end(t *testing.T) {
	node, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer node.Close()
	p := newPool(cluster{name: "c", namenodes: []string{node.Addr().String()}, user: lark})
	l, err := p.link()
	must(t, err)
	c, err := node.Accept()
	must(t, err)
	defer c.Close()
	p.broke(l)
	must(t, p.close())
	must(t, c.SetReadDeadline(time.Now().Add(10*time.Second)))
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Errorf("the connection is open still: %v", err)
	}
}
