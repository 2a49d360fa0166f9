package mysql

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// Bounds of what is read from a server.
const (
	maxPayload   = 1<<24 - 1 // of one packet; a longer message goes on in the next
	maxMessage   = 1<<30 + 64<<20
	firstBuffer  = 4 << 10 // most connections wait most of the time
	readBuffer   = 128 << 10
	keptBuffer   = 1 << 20 // a buffer that grew beyond it is let go after the message
	maxColumns   = 1 << 16
	commandQuery = 0x03
	// commandOption, followed by optionMany, lets a message have several statements.
	commandOption = 0x1b
	commandQuit   = 0x01
)

var (
	errMalformed = errors.New("the packet is not of the form it should have")
	errSequence  = errors.New("packets are out of sequence")
)

// packetReader reads the messages of one connection. A message is the payload of
// one packet, or of several when it is 16 MiB or longer. It is used by one
// goroutine; closing the connection unblocks it.
type packetReader struct {
	in   io.Reader
	buf  []byte
	r, w int  // unread bytes are buf[r:w]
	seq  byte // of the next packet
	full bool // the last read left no room: there is more than the buffer holds
	// split makes next return errLarge before a message of several packets, whose
	// first it has begun: large then reads it bit by bit.
	split bool
}

// errLarge stands for a message that is not read at once.
var errLarge = errors.New("the message has several packets")

// largeMessage reads a message of several packets without holding it.
type largeMessage struct {
	p    *packetReader
	left int  // of the packet that is read
	more bool // another packet follows
	err  error
	// before is called before each read from the server.
	before func() error
}

// large returns the message before which next returned errLarge. It is to be read to
// its end.
func (p *packetReader) large(before func() error) *largeMessage {
	p.r += 4
	return &largeMessage{p: p, left: maxPayload, more: true, before: before}
}

// Read keeps the error of the connection, which others may wrap, in err.
func (m *largeMessage) Read(b []byte) (int, error) {
	n, err := m.read(b)
	if err != nil && err != io.EOF {
		m.err = err
	}
	return n, err
}

func (m *largeMessage) read(b []byte) (int, error) {
	if m.p.r == m.p.w {
		if err := m.before(); err != nil {
			return 0, err
		}
	}
	for m.left == 0 {
		if !m.more {
			return 0, io.EOF
		}
		if err := m.p.fill(4); err != nil {
			return 0, short(err)
		}
		n, err := m.p.header(m.p.r)
		if err != nil {
			return 0, err
		}
		m.p.r += 4
		m.left, m.more = n, n == maxPayload
	}
	if err := m.p.fill(1); err != nil {
		return 0, short(err)
	}
	n := copy(b, m.p.buf[m.p.r:min(m.p.w, m.p.r+m.left)])
	m.p.r += n
	m.left -= n
	return n, nil
}

func newPacketReader(in io.Reader) *packetReader {
	return &packetReader{in: in, buf: make([]byte, firstBuffer)}
}

// next returns the next message. It is lent until the next call.
func (p *packetReader) next() ([]byte, error) {
	if p.w-p.r >= 4 {
		h := p.buf[p.r : p.r+4]
		n := int(h[0]) | int(h[1])<<8 | int(h[2])<<16
		if n < maxPayload && p.w-p.r >= 4+n && h[3] == p.seq {
			at := p.r + 4
			p.r = at + n
			p.seq++
			return p.buf[at:p.r:p.r], nil
		}
	}
	return p.slow()
}

// slow reads a message that is not whole in the buffer.
func (p *packetReader) slow() ([]byte, error) {
	p.shrink()
	if err := p.fill(4); err != nil {
		return nil, err
	}
	n, err := p.header(p.r)
	if err != nil {
		return nil, err
	}
	if n == maxPayload && p.split {
		return nil, errLarge
	}
	if err := p.fill(4 + n); err != nil {
		return nil, short(err)
	}
	total := n // payload bytes, moved together behind the first header
	for n == maxPayload {
		if err := p.fill(4 + total + 4); err != nil {
			return nil, short(err)
		}
		if n, err = p.header(p.r + 4 + total); err != nil {
			return nil, err
		}
		if total+n > maxMessage {
			return nil, fmt.Errorf("a message is longer than %d bytes: %w", maxMessage, errMalformed)
		}
		if err := p.fill(4 + total + 4 + n); err != nil {
			return nil, short(err)
		}
		end := p.r + 4 + total
		copy(p.buf[end:], p.buf[end+4:p.w])
		p.w -= 4
		total += n
	}
	at := p.r + 4
	p.r = at + total
	return p.buf[at:p.r:p.r], nil
}

// header checks the packet header at i and returns its length.
func (p *packetReader) header(i int) (int, error) {
	h := p.buf[i : i+4]
	if h[3] != p.seq {
		return 0, fmt.Errorf("%w: %d came, %d was due", errSequence, h[3], p.seq)
	}
	p.seq++
	return int(h[0]) | int(h[1])<<8 | int(h[2])<<16, nil
}

// fill reads until n bytes are in the buffer from r on. The buffer doubles as
// bytes come in, so a length that is announced and never sent costs nothing.
func (p *packetReader) fill(n int) error {
	for p.w-p.r < n {
		if p.full && len(p.buf) < readBuffer {
			p.move(readBuffer)
		}
		if p.r > 0 && (p.r == p.w || p.r+n > len(p.buf)) {
			p.w = copy(p.buf, p.buf[p.r:p.w])
			p.r = 0
		}
		if p.w == len(p.buf) {
			grown := make([]byte, min(2*len(p.buf), max(n, len(p.buf)+readBuffer)))
			p.w = copy(grown, p.buf[p.r:p.w])
			p.r, p.buf = 0, grown
		}
		m, err := p.in.Read(p.buf[p.w:])
		p.w += m
		p.full = p.w == len(p.buf)
		if err != nil && p.w-p.r < n {
			return err
		}
	}
	return nil
}

// shrink lets a grown buffer go once its giant message was read.
func (p *packetReader) shrink() {
	if len(p.buf) <= keptBuffer || p.w-p.r > readBuffer/2 {
		return
	}
	p.move(readBuffer)
}

// rest lets the buffer go when nothing is in it, until more comes.
func (p *packetReader) rest() {
	if p.r == p.w && len(p.buf) > firstBuffer {
		p.move(firstBuffer)
	}
}

// move puts what is unread into a buffer of another size.
func (p *packetReader) move(size int) {
	other := make([]byte, size)
	p.w = copy(other, p.buf[p.r:p.w])
	p.r, p.buf = 0, other
}

func short(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// writeMessage sends payload as one message, its first packet with number seq,
// and returns the number after its last. scratch is used and returned.
func writeMessage(out net.Conn, scratch, payload []byte, seq byte) ([]byte, byte, error) {
	scratch = scratch[:0]
	for {
		n := min(len(payload), maxPayload)
		scratch = append(scratch, byte(n), byte(n>>8), byte(n>>16), seq)
		scratch = append(scratch, payload[:n]...)
		payload = payload[n:]
		seq++
		if n < maxPayload {
			break
		}
	}
	_, err := out.Write(scratch)
	if cap(scratch) > keptBuffer {
		scratch = nil
	}
	return scratch, seq, err
}

// value is one cell of a small result.
type value struct {
	bytes []byte
	null  bool
}

// lengthEncoded reads the length before a string. n is -1 for null; rest starts
// after the length. ok is false when it is cut short.
func lengthEncoded(p []byte) (n int, rest []byte, ok bool) {
	if len(p) == 0 {
		return 0, nil, false
	}
	switch c := p[0]; {
	case c < 251:
		return int(c), p[1:], true
	case c == 251:
		return -1, p[1:], true
	case c == 252 && len(p) >= 3:
		return int(binary.LittleEndian.Uint16(p[1:])), p[3:], true
	case c == 253 && len(p) >= 4:
		return int(p[1]) | int(p[2])<<8 | int(p[3])<<16, p[4:], true
	case c == 254 && len(p) >= 9:
		v := binary.LittleEndian.Uint64(p[1:])
		if v > maxMessage {
			return 0, nil, false
		}
		return int(v), p[9:], true
	}
	return 0, nil, false
}

// splitRow cuts a text row into values that share p's memory.
func splitRow(p []byte, into []value) error {
	for i := range into {
		n, rest, ok := lengthEncoded(p)
		if !ok || n > len(rest) {
			return errMalformed
		}
		if n < 0 {
			into[i], p = value{null: true}, rest
			continue
		}
		into[i], p = value{bytes: rest[:n:n]}, rest[n:]
	}
	if len(p) != 0 {
		return errMalformed
	}
	return nil
}

// isEnd reports whether a message ends a list of columns or rows. A row whose
// first value is 16 MiB or longer starts with the same byte but is longer.
func isEnd(p []byte) bool { return len(p) > 0 && len(p) < 9 && p[0] == 0xfe }

// isError reports whether a message is the server's error.
func isError(p []byte) bool { return len(p) > 0 && p[0] == 0xff }

// serverError is an error the server sent.
type serverError struct {
	code  uint16
	state string
	text  string
}

func (e *serverError) Error() string {
	return fmt.Sprintf("%s (server error %d, %s)", e.text, e.code, e.state)
}

// readError reads the server's error message.
func readError(p []byte) error {
	if len(p) < 3 {
		return errMalformed
	}
	e := &serverError{code: binary.LittleEndian.Uint16(p[1:]), state: "HY000", text: string(p[3:])}
	if len(p) >= 9 && p[3] == '#' {
		e.state, e.text = string(p[4:9]), string(p[9:])
	}
	return e
}

// text returns the value as a string of its own; null gives "".
func (v value) text() string { return string(v.bytes) }
