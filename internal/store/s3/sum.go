package s3

import (
	"context"
	"crypto/md5" //nolint:gosec // what the service compares with
	"encoding/base64"
	"encoding/hex"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"

	"godwit/internal/fault"
	"godwit/internal/store"
)

const md5Digits = 2 * md5.Size

// etagSum reads the sum that an ETag is: the MD5 of the contents, or of the MD5s
// of the parts followed by their number. ETags of objects encrypted with keys of
// the service's key store or of the client's are neither; opaque says so.
func etagSum(etag string, opaque bool) (store.Sum, bool) {
	digits, count, composite := strings.Cut(etag, "-")
	if opaque || !isHex(digits, md5Digits) {
		return store.Sum{}, false
	}
	sum := store.Sum{Algorithm: store.MD5, Value: strings.ToLower(digits)}
	if composite {
		n, err := strconv.Atoi(count)
		if err != nil || n < 1 || n > maxParts {
			return store.Sum{}, false
		}
		sum.Parts = n
	}
	return sum, true
}

// checksumHeaders are the sums the service keeps beside the ETag.
var checksumHeaders = []struct {
	algorithm store.Algorithm
	header    string
	bytes     int
}{
	{store.SHA256, "X-Amz-Checksum-Sha256", 32},
	{store.SHA1, "X-Amz-Checksum-Sha1", 20},
	{store.CRC32C, "X-Amz-Checksum-Crc32c", 4},
}

// headerSums reads the sums of an answer.
func headerSums(h http.Header) []store.Sum {
	var sums []store.Sum
	for _, c := range checksumHeaders {
		text, count, composite := strings.Cut(h.Get(c.header), "-")
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(raw) != c.bytes {
			continue
		}
		sum := store.Sum{Algorithm: c.algorithm, Value: hex.EncodeToString(raw)}
		if strings.EqualFold(h.Get("X-Amz-Checksum-Type"), "COMPOSITE") && !composite {
			continue // of an unknown number of parts
		}
		if composite {
			if sum.Parts, err = strconv.Atoi(count); err != nil || sum.Parts < 1 {
				continue
			}
		}
		sums = append(sums, sum)
	}
	return sums
}

// isOpaque reports whether an answer is about an object whose ETag is no MD5.
func isOpaque(h http.Header) bool {
	return strings.HasPrefix(h.Get("X-Amz-Server-Side-Encryption"), "aws:kms") ||
		h.Get("X-Amz-Server-Side-Encryption-Customer-Algorithm") != ""
}

func isHex(s string, digits int) bool {
	if len(s) != digits {
		return false
	}
	_, err := hex.DecodeString(s)
	return err == nil
}

// announced chooses, of the sums a body is known to have, those the service will
// check: the MD5 as Content-MD5, else one of its checksums. Both results are empty
// when there is none.
func announced(sums []store.Sum) (md5Base64 string, headers map[string]string) {
	for _, sum := range sums {
		if raw, err := hex.DecodeString(sum.Value); err == nil && sum.Algorithm == store.MD5 && sum.Parts == 0 && len(raw) == md5.Size {
			return base64.StdEncoding.EncodeToString(raw), nil
		}
	}
	for _, c := range checksumHeaders {
		for _, sum := range sums {
			if raw, err := hex.DecodeString(sum.Value); err == nil && sum.Algorithm == c.algorithm && sum.Parts == 0 && len(raw) == c.bytes {
				return "", map[string]string{c.header: base64.StdEncoding.EncodeToString(raw)}
			}
		}
	}
	return "", nil
}

// check is a sum that bytes are expected to have, and the hash they go through.
type check struct {
	want store.Sum
	hash hash.Hash
}

// checksOf returns a check for each whole sum that can be computed.
func checksOf(sums []store.Sum) []check {
	var checks []check
	for _, sum := range sums {
		if h := sum.Algorithm.New(); h != nil && sum.Parts == 0 && sum.Value != "" {
			checks = append(checks, check{sum, h})
		}
	}
	return checks
}

func (c check) fits() bool {
	return strings.EqualFold(store.SumOf(c.want.Algorithm, c.hash).Value, c.want.Value)
}

// exact reads a body of a known size. The end is not given out before it is known
// that the body has neither more nor fewer bytes and the sums it should have: a
// request that carries it breaks off otherwise, and nothing is stored.
type exact struct {
	ctx    context.Context
	from   io.Reader
	left   int64
	checks []check
	also   hash.Hash // may be nil: the caller's own
	moved  func()    // may be nil
	what   string    // names the object
	err    error     // sticks
}

// Read implements io.Reader.
func (x *exact) Read(p []byte) (int, error) {
	if x.err != nil {
		return 0, x.err
	}
	if x.moved != nil {
		x.moved()
	}
	if x.ctx.Err() != nil {
		x.err = bodyError{context.Cause(x.ctx)}
		return 0, x.err
	}
	if x.left == 0 {
		x.err = x.finish()
		return 0, x.err
	}
	// A step at a time, so that the end of the context is noticed.
	n, err := x.from.Read(p[:min(int64(len(p)), x.left, mib)])
	for _, c := range x.checks {
		_, _ = c.hash.Write(p[:n])
	}
	if x.also != nil {
		_, _ = x.also.Write(p[:n])
	}
	x.left -= int64(n)
	switch {
	case x.left == 0 && (err == nil || err == io.EOF):
		if e := x.finish(); e != io.EOF {
			x.err = e
			return 0, x.err
		}
	case err == io.EOF:
		x.err = bodyError{fault.New(fault.SourceChanged, "the body of %s has %d bytes fewer than it says", x.what, x.left)}
		return 0, x.err
	case err != nil:
		x.err = bodyError{err}
		return n, x.err
	}
	return n, nil
}

// finish returns io.EOF when the body is what it should be.
func (x *exact) finish() error {
	var one [1]byte
	for range 100 { // readers that give nothing and no error are not waited for
		n, err := x.from.Read(one[:])
		switch {
		case n > 0:
			return bodyError{fault.New(fault.SourceChanged, "the body of %s has more bytes than it says", x.what)}
		case err == io.EOF:
			for _, c := range x.checks {
				if !c.fits() {
					return bodyError{fault.New(fault.Corrupt, "the bytes of %s have another %s than they should", x.what, c.want.Algorithm)}
				}
			}
			x.checks = nil
			return io.EOF
		case err != nil:
			return bodyError{err}
		}
	}
	return bodyError{io.ErrNoProgress}
}
