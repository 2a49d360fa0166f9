//go:build unix

package http1

import (
	"crypto/tls"
	"net"
	"syscall"
)

// open reports whether the other side has neither closed an idle connection nor
// sent what nobody asked for.
func (c *conn) open() bool {
	raw := c.Conn
	if s, ok := raw.(*tls.Conn); ok {
		raw = s.NetConn()
	}
	tcp, ok := raw.(*net.TCPConn)
	if !ok {
		return true
	}
	rc, err := tcp.SyscallConn()
	if err != nil {
		return false
	}
	quiet := false
	err = rc.Read(func(fd uintptr) bool {
		var one [1]byte
		_, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		quiet = err == syscall.EAGAIN
		return true
	})
	return err == nil && quiet
}
