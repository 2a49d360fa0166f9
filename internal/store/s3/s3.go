// Package s3 is a store in a bucket of Amazon S3 or of a service that speaks its
// protocol.
//
// An object appears whole: by one PUT, or by the completion of a multipart
// upload. What crosses the wire is checked on the other side: the service refuses
// a body that is not the one whose MD5 was announced, and each part of an upload
// is compared with the sum the service answers, before anything is visible.
package s3

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"

	"godwit/internal/fault"
	"godwit/internal/http1"
	"godwit/internal/limit"
	"godwit/internal/store"
)

const (
	keyBytes = 1024 // of a key, with the prefix: the protocol's
	mib      = 1 << 20

	// smallBytes is the size to which a body without a sum that the service can
	// check is read into memory, to announce its MD5. Larger ones go in parts.
	smallBytes = 8 * mib
	// memoryBytes bounds what all bodies and parts in memory take together.
	memoryBytes = 64 * mib
	// onceBytes is the largest body of one PUT and the largest server-side copy
	// of one request.
	onceBytes = 5 << 30
)

// Store implements store.Store and all capabilities but Batcher. It may be used
// by any number of goroutines.
type Store struct {
	api    *minio.Core
	http   *http1.Transport
	via    http.RoundTripper // of all requests
	direct atomic.Pointer[direct]
	// indirect: direct is of no use here.
	indirect atomic.Bool
	at       place
	source   string // where the credentials come from, for people
	class    string // storage class of what is written; empty: the bucket's own
	part     int64  // least size of parts
	v1       bool   // list with the first version of the request
	single   bool   // the service deletes one object a request
	opaque   atomic.Bool
	sniffed  atomic.Bool
	untaggd  atomic.Bool
	plain    atomic.Bool // the bucket keeps no versions
	area     *Store      // where staged objects are; nil: this is it
	staging  string      // its folder, a key
	limits   *limits
	log      *slog.Logger
	slow     func()
	memory   *limit.Budget
	buffers  sync.Pool
}

// place is where a store is.
type place struct {
	endpoint string // scheme://host[:port]
	bucket   string
	prefix   string
}

// limits are times and counts; tests shorten them.
type limits struct {
	stall time.Duration // nothing moves on a connection
	work  time.Duration // the service works on one request without an answer
	tries int           // of one request
	pause time.Duration // before the second try; doubles

	copyOnce int64 // up to this size one request copies
	copyPart int64 // least size of the parts of larger ones
}

func usualLimits() *limits {
	return &limits{stall: 60 * time.Second, work: 15 * time.Minute, tries: 4, pause: 100 * time.Millisecond,
		copyOnce: 1 << 30, copyPart: 256 * mib}
}

var (
	_ store.Store   = (*Store)(nil)
	_ store.Stat    = (*Store)(nil)
	_ store.Creator = (*Store)(nil)
	_ store.Stager  = (*Store)(nil)
	_ store.Parter  = (*Store)(nil)
	_ store.Copier  = (*Store)(nil)
	_ store.Divider = (*Store)(nil)
	_ store.Remover = (*Store)(nil)
	_ store.Placer  = (*Store)(nil)
)

// Where implements store.Placer.
func (s *Store) Where() string { return s.at.String() }

func (p place) String() string {
	_, host, _ := strings.Cut(p.endpoint, "://")
	return "s3://" + strings.TrimSuffix(p.bucket+"/"+p.prefix, "/") + " at " + host
}

// where names an object for people.
func (s *Store) where(key string) string {
	return "s3://" + s.at.bucket + "/" + s.at.prefix + key
}

// Close implements store.Store. Open readers stay usable.
func (s *Store) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// full returns the key in the bucket. It is what every method that names an
// object does first.
func (s *Store) full(ctx context.Context, key string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("%s: %w", s.where(key), context.Cause(ctx))
	}
	why := badKey(s.at.prefix + key)
	switch {
	case key == "":
		why = "it is empty"
	case s.hidden(key):
		why = "it is godwit's own, for what is being written"
	}
	if why != "" {
		return "", fault.New(fault.NameRefused, "%s cannot be the key of an object: %s", show(key), why).At("%s", s.Where())
	}
	return s.at.prefix + key, nil
}

// hidden reports whether a key is in the staging area, which nobody sees.
func (s *Store) hidden(key string) bool {
	return s.area != nil && strings.HasPrefix(key, s.staging) && (len(key) == len(s.staging) || key[len(s.staging)] == '/')
}

func nonce() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:])
}
