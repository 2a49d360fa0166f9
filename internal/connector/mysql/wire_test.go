package mysql

import (
	"bytes"
	"net"
	"testing"
)

// frame is a message as a server sends it.
func frame(seq byte, payload []byte) []byte {
	n := len(payload)
	return append([]byte{byte(n), byte(n >> 8), byte(n >> 16), seq}, payload...)
}

func TestPacketReader_when_much_comes_and_then_nothing(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	p := newPacketReader(near)
	send := func(messages ...[]byte) { go func() { _, _ = far.Write(bytes.Join(messages, nil)) }() }
	seq := byte(0)
	take := func(want []byte) []byte {
		t.Helper()
		got, err := p.next()
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes of %d, %v", len(got), len(want), err)
		}
		seq++
		return got
	}
	small := bytes.Repeat([]byte("a"), 100)
	for range 300 {
		send(frame(seq, small))
		take(small)
	}
	if len(p.buf) != firstBuffer {
		t.Errorf("a buffer of %d bytes for messages of 100", len(p.buf))
	}
	large := bytes.Repeat([]byte("b"), 3000)
	send(frame(seq, large), frame(seq+1, large), frame(seq+2, large), frame(seq+3, large))
	for range 3 {
		take(large)
	}
	if len(p.buf) != readBuffer {
		t.Errorf("a buffer of %d bytes while much comes", len(p.buf))
	}
	p.rest() // something is in it, or its last message has not come
	last := take(large)
	p.rest()
	if len(p.buf) != firstBuffer || !bytes.Equal(last, large) {
		t.Errorf("a buffer of %d bytes, with nothing in it", len(p.buf))
	}
	send(frame(seq, small))
	take(small)
}
