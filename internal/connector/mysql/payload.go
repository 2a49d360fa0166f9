package mysql

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Fields before the events of a compressed transaction.
const (
	payloadEnd         = 0
	payloadCompression = 2

	compressedZstd = 0
	compressedNone = 255
)

// mostWindow is how far back the server's compression can look: at its highest
// level.
const mostWindow = 128 << 20

var errPayload = errors.New("a compressed transaction cannot be read")

// payload takes the events of a transaction that the log has as one, compressed.
// They are unpacked one by one.
func (r *streamer) payload(body []byte) error {
	b := bodyReader{b: body}
	compression := uint64(compressedNone)
	for {
		kind := b.packed()
		if kind == payloadEnd || b.bad {
			break
		}
		field := bodyReader{b: b.take(int(b.packed()))}
		if kind == payloadCompression {
			compression = field.packed()
		}
	}
	if b.bad {
		return r.broken(errCut)
	}
	switch compression {
	case compressedNone:
		return r.members(bytes.NewReader(b.b))
	case compressedZstd:
		in, err := zstd.NewReader(bytes.NewReader(b.b), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(mostWindow))
		if err != nil {
			return r.broken(err)
		}
		defer in.Close()
		return r.members(in)
	}
	return r.broken(fmt.Errorf("compression %d is not known", compression))
}

// members takes the events of an unpacked transaction, which have no checksums.
func (r *streamer) members(in io.Reader) error {
	buffered := bufio.NewReaderSize(in, 32<<10)
	var event []byte
	for {
		head, err := buffered.Peek(headerBytes)
		if err == io.EOF && len(head) == 0 {
			return nil
		}
		if err != nil {
			return r.broken(fmt.Errorf("%w: %w", errPayload, short(err)))
		}
		if !r.group.open {
			return r.broken(fmt.Errorf("%w: it goes on behind its end", errPayload))
		}
		if event, err = wholeEvent(buffered, event); err != nil {
			return r.broken(fmt.Errorf("%w: %w", errPayload, err))
		}
		h, err := parseHeader(event)
		if err != nil {
			return r.broken(err)
		}
		if err := r.member(h, event[headerBytes:]); err != nil {
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

// partial takes a row event that has only what changed of JSON documents.
func (r *streamer) partial(body []byte) error {
	id, err := r.format.tableID(evPartialUpdate, body)
	if err != nil {
		return r.broken(err)
	}
	r.group.events++
	if m := r.maps[id]; m != nil && m.table != nil {
		r.stop(m.table, "resync needed: the log has only parts of its JSON documents (binlog_row_value_options=PARTIAL_JSON)")
	}
	return nil
}
