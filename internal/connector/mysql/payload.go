package mysql

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Fields before the events of a compressed transaction.
const (
	payloadEnd         = 0
	payloadCompression = 2

	// Bounds of what is read of them.
	mostFields = 64
	mostField  = 1 << 20

	compressedZstd = 0
	compressedNone = 255
)

// mostWindow is how far back the server's compression can look: at its highest
// level.
const mostWindow = 128 << 20

var errPayload = errors.New("a compressed transaction cannot be read")

// payload takes the events of a transaction that the log has as one, compressed.
func (r *streamer) payload(body io.Reader) error {
	var own error // of a member, which says all
	err := eachInPayload(body, func(h header, body []byte) error {
		if !r.group.open || r.group.held {
			return fmt.Errorf("%w: it goes on behind its end", errPayload)
		}
		own = r.member(h, body)
		return own
	})
	if err != nil && own == nil {
		return r.broken(err)
	}
	return own
}

// eachInPayload calls f for the events of a compressed transaction, which are unpacked
// one by one and lent until f returns. They have no checksums.
func eachInPayload(body io.Reader, f func(h header, body []byte) error) error {
	in := bufio.NewReaderSize(body, 32<<10)
	compression, err := payloadFront(in)
	if err != nil {
		return fmt.Errorf("%w: %w", errPayload, err)
	}
	switch compression {
	case compressedNone:
		return eachUnpacked(in, f)
	case compressedZstd:
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(mostWindow))
		if err != nil {
			return fmt.Errorf("%w: %w", errPayload, err)
		}
		defer z.Close()
		return eachUnpacked(bufio.NewReaderSize(z, 32<<10), f)
	}
	return fmt.Errorf("%w: compression %d is not known", errPayload, compression)
}

// payloadFront reads the fields before the events and returns how these are
// compressed.
func payloadFront(in *bufio.Reader) (compression uint64, err error) {
	compression = compressedNone
	for range mostFields {
		kind, err := readPacked(in)
		if err != nil || kind == payloadEnd {
			return compression, err
		}
		size, err := readPacked(in)
		if err != nil {
			return 0, err
		}
		if kind == payloadCompression {
			compression, err = readPacked(in) // it fills its field
		} else {
			_, err = in.Discard(int(min(size, mostField)))
		}
		if err != nil {
			return 0, short(err)
		}
	}
	return 0, errCut
}

// readPacked reads a length-encoded integer.
func readPacked(in *bufio.Reader) (uint64, error) {
	head, err := in.Peek(1)
	if err != nil {
		return 0, short(err)
	}
	size := 1
	switch head[0] {
	case 252:
		size = 3
	case 253:
		size = 4
	case 254:
		size = 9
	}
	whole, err := in.Peek(size)
	if err != nil {
		return 0, short(err)
	}
	r := bodyReader{b: whole}
	v := r.packed()
	if r.bad {
		return 0, errCut
	}
	_, err = in.Discard(size)
	return v, err
}

// large takes an event of several packets: one of a compressed transaction is never
// held, any other must be.
func (r *streamer) large(c *conn) error {
	m := c.in.large(func() error { return c.raw.SetReadDeadline(time.Now().Add(silence)) })
	front := make([]byte, 1+headerBytes)
	if _, err := io.ReadFull(m, front); err != nil {
		return r.s.dumpFault(short(err))
	}
	h := headerOf(front[1:])
	if front[0] == 0 && h.kind == evPayload && r.group.open && !h.artificial() {
		return r.largePayload(m, h, front[1:])
	}
	event := bytes.NewBuffer(front)
	if _, err := io.Copy(event, io.LimitReader(m, maxMessage)); err != nil {
		return r.s.dumpFault(short(err))
	}
	if event.Bytes()[0] != 0 {
		return r.broken(errMalformed)
	}
	return r.event(event.Bytes()[1:])
}

// largePayload takes a compressed transaction as it comes. Its checksum comes last:
// the transaction does not end before that was right.
func (r *streamer) largePayload(m *largeMessage, h header, front []byte) error {
	sum, trailer := crc32.NewIEEE(), 0
	if r.cur.format.checksum {
		trailer = 4
	}
	if int64(h.size) < headerBytes+4 {
		return r.broken(errCut)
	}
	if _, err := r.cur.advance(h); err != nil {
		return r.broken(err)
	}
	_, _ = sum.Write(front) // never fails
	body := io.TeeReader(io.LimitReader(m, int64(h.size)-headerBytes-int64(trailer)), sum)
	r.group.hold = true
	err := r.payload(body)
	held := r.group.held
	r.group.hold, r.group.held = false, false
	if err == nil {
		_, err = io.Copy(io.Discard, body)
	}
	var last []byte
	if err == nil {
		last, err = io.ReadAll(io.LimitReader(m, 8))
	}
	switch {
	case m.err != nil:
		return r.s.dumpFault(m.err)
	case err != nil:
		return err
	case len(last) != trailer || trailer > 0 && uint64(sum.Sum32()) != littleEndian(last):
		return r.broken(errors.New("the checksum of the event is wrong"))
	case !held:
		return nil
	}
	if err := r.close(); err != nil {
		return err
	}
	return r.between()
}

func eachUnpacked(in *bufio.Reader, f func(h header, body []byte) error) error {
	var event []byte
	for {
		head, err := in.Peek(headerBytes)
		if err == io.EOF && len(head) == 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errPayload, short(err))
		}
		if event, err = wholeEvent(in, event); err != nil {
			return fmt.Errorf("%w: %w", errPayload, err)
		}
		h, err := parseHeader(event)
		if err != nil {
			return fmt.Errorf("%w: %w", errPayload, err)
		}
		if err := f(h, event[headerBytes:]); err != nil {
			return err
		}
	}
}

// wholeEvent reads the event at the front of in, whose header is there, into
// scratch if it fits. A false size takes no memory before bytes come.
func wholeEvent(in *bufio.Reader, scratch []byte) ([]byte, error) {
	head, err := in.Peek(headerBytes)
	if err != nil {
		return nil, short(err)
	}
	size := int64(littleEndian(head[9:13]))
	if size < headerBytes || size > maxMessage {
		return nil, errCut
	}
	out := bytes.NewBuffer(scratch[:0])
	n, err := io.CopyN(out, in, size)
	if n < size && err != nil {
		return nil, short(err)
	}
	return out.Bytes(), nil
}
