// Package store is the contract of object stores and file systems. It imports
// only std and leaves.
package store

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"time"
)

// Errors every store maps its own to. Permission, a full disk and the like come
// as fault errors (TargetRefused, TargetFull, TargetFailed).
var (
	ErrExists   = errors.New("the key exists")
	ErrNotFound = errors.New("no object under this key")
	ErrChanged  = errors.New("the object is not the version asked for")
)

// Object is what a store knows of an object.
type Object struct {
	Key      string
	Size     int64
	Modified time.Time
	Version  string // names exactly these contents where the store can; else empty
	// Sums are checksums of the contents that the store gives unasked; often none.
	Sums []Sum
	// Attributes are nil in listings, and set by Open and Stat where the store has
	// any.
	Attributes *Attributes
}

// Attributes are what an object has besides its contents. What a store cannot
// keep it leaves out.
type Attributes struct {
	ContentType  string            `json:"content_type,omitempty"`
	Encoding     string            `json:"content_encoding,omitempty"`
	Language     string            `json:"content_language,omitempty"`
	Disposition  string            `json:"content_disposition,omitempty"`
	CacheControl string            `json:"cache_control,omitempty"`
	Metadata     map[string]string `json:"metadata,omitempty"` // keys in lower case
	Tags         map[string]string `json:"tags,omitempty"`
	Class        string            `json:"class,omitempty"` // the store's storage class; empty: its usual one
	Mode         *fs.FileMode      `json:"mode,omitempty"`  // permission bits of a file
	Owner        *Owner            `json:"owner,omitempty"`
	// Modified is when the contents were last changed, where that is not the time
	// of the upload; zero: not known. A Put keeps it where the store can.
	Modified time.Time `json:"modified,omitzero"`
}

// Owner is who a file belongs to.
type Owner struct {
	UID int `json:"uid"`
	GID int `json:"gid"`
}

// Read says what to read. The zero Read is the whole object.
type Read struct {
	Off   int64
	N     int64   // bytes; 0: to the end
	Match *Object // not nil: that version, or ErrChanged
}

// Body can be sent again, from any offset.
type Body struct {
	Size int64
	Open func(off int64) (io.ReadCloser, error)
	// Sums returns checksums of the whole body, computed by whoever reads it for the
	// store: nil before a reader of Open has come to its end. A nil Sums: the store
	// computes what it needs.
	Sums func() []Sum
}

// PutOptions are what an object is stored with.
type PutOptions struct {
	Attributes
	// Sums are checksums that the body is known to have. A store that can check
	// them refuses a body that has others (fault.Corrupt) and stores nothing.
	Sums []Sum
}

// Store keeps objects under keys, bytes that are mostly paths joined by "/". A key
// never escapes the store's root. A store that cannot hold a key (an empty part,
// "." or "..", too long, not UTF-8) refuses it with fault.NameRefused; a listing has
// every key that is there, also those another store would refuse. Methods may be
// called concurrently.
type Store interface {
	// Open reads an object. The caller closes the reader. ErrNotFound, ErrChanged.
	Open(ctx context.Context, key string, r Read) (io.ReadCloser, Object, error)
	// Put stores an object whole, replacing one that is there; a reader sees the
	// old or the new one. It is durable when Put returns.
	Put(ctx context.Context, key string, body Body, o PutOptions) (Object, error)
	// List yields the objects whose key begins with prefix and lies after after,
	// in bytewise order of keys. It can be started again after any key. Staged
	// objects are not listed.
	List(ctx context.Context, prefix, after string) iter.Seq2[Object, error]
	// Delete removes an object, durably. A missing one is not an error.
	Delete(ctx context.Context, key string) error
	Close() error
}

// Creator creates exclusively.
type Creator interface {
	// Create makes key with exactly value, whole or not at all, durable when it
	// returns. ErrExists when the key is there: of any number of concurrent
	// creators one wins. After another error the outcome is unknown: read back.
	Create(ctx context.Context, key string, value []byte) error
}

// Stager writes objects that appear only when published.
type Stager interface {
	// Stage begins an object for key. Nothing is visible under key.
	Stage(ctx context.Context, key string, o PutOptions) (Staging, error)
	// Publish makes the staged object of r visible under its key. It may be
	// called again by any process with the same receipt.
	Publish(ctx context.Context, r Receipt) (Outcome, error)
	// Staged lists what is staged for exactly this key.
	Staged(ctx context.Context, key string) ([]Receipt, error)
	// Discard drops a staged object. A missing one is not an error.
	Discard(ctx context.Context, r Receipt) error
}

// Staging is an object being written. It is used by one goroutine.
type Staging interface {
	io.Writer
	// Close ends the object and makes its staged form durable. Only then it may
	// be published.
	Close() (Receipt, error)
	// Abort drops it. After Close it does nothing.
	Abort()
}

// Receipt names a staged object so that any process can publish it. It is plain
// data with a version (docs/formats/commit-record.md).
type Receipt struct {
	Key      string `json:"key"`
	Staged   string `json:"staged"` // where it waits, the store's own name
	Size     int64  `json:"size"`
	Checksum string `json:"checksum"`        // "xxh3:" and 32 hex digits over the bytes
	Token    string `json:"token,omitempty"` // the store's own
}

// Outcome is what Publish found.
type Outcome uint8

// Outcomes.
const (
	Published Outcome = iota + 1 // it is visible now
	Already                      // it was visible already, with the receipt's contents
	Taken                        // both staged and final object are gone: a reader took it
)

// Stat is a capability: one object without a listing, with its attributes.
type Stat interface {
	Stat(ctx context.Context, key string) (Object, error)
}

// Divider is a capability of stores whose key ranges can be listed side by side.
type Divider interface {
	// Divide returns up to n-1 keys, in order and all greater than after, that
	// divide the keys under prefix after after into parts of about the same
	// length. It is cheap (a few dozen requests at most) and may return fewer, or
	// none, when there is little to divide.
	Divide(ctx context.Context, prefix, after string, n int) ([]string, error)
}

// Copier is a capability: contents go from one place of a service to another
// without passing through this process.
type Copier interface {
	// Copy stores o, an object of from, under key. from may be another Store of the
	// same service; errors.ErrUnsupported when the service cannot reach it.
	// ErrChanged when o is not there in the version o names, ErrNotFound when it is
	// gone. Attributes of p replace the source's; a nil p keeps them.
	Copy(ctx context.Context, from Store, o Object, key string, p *PutOptions) (Object, error)
}

// Parter is a capability: an object written in parts, in any order, by several
// goroutines, and after a restart.
type Parter interface {
	// PartSize returns a size of parts that fits an object of size bytes: all
	// parts but the last have it. least is what the caller would like.
	PartSize(size, least int64) int64
	// Begin returns an upload of an object of size bytes for key: plain text that
	// another process can go on with. Nothing is visible under key.
	Begin(ctx context.Context, key string, size int64, o PutOptions) (upload string, err error)
	// PutPart stores part n, from 1, which begins at off. It is durable when
	// PutPart returns; sent again it replaces the earlier one.
	PutPart(ctx context.Context, key, upload string, n int, off int64, b Body) (Part, error)
	// Parts lists the durable parts in order. ErrNotFound: the upload is gone.
	Parts(ctx context.Context, key, upload string) ([]Part, error)
	// Complete makes the object of all parts, 1 to the last, visible whole, replacing
	// one that is there. ErrNotFound: the upload is gone; it may have been
	// completed.
	Complete(ctx context.Context, key, upload string, parts []Part) (Object, error)
	// Abandon drops an upload. A missing one is not an error.
	Abandon(ctx context.Context, key, upload string) error
}

// Part is a stored part of an upload.
type Part struct {
	N     int    `json:"n"`
	Size  int64  `json:"size"`
	Sum   Sum    `json:"sum,omitzero"` // as the store has it; zero: it keeps none
	Token string `json:"token,omitempty"`
}

// Batcher is a capability of stores where many small objects are made durable
// together at a fraction of the price.
type Batcher interface {
	// Batch begins a batch. Objects put into it are neither visible nor durable
	// before Commit.
	Batch(ctx context.Context) (Batch, error)
}

// Batch is objects that become visible and durable together with others. Put may
// be called concurrently; Commit or Abort ends the batch, once.
type Batch interface {
	// Put is Store.Put, but for when the object appears.
	Put(ctx context.Context, key string, body Body, o PutOptions) (Object, error)
	// Commit makes the objects durable and only then gives them their names. It
	// returns the errors of those that could not be, by key; a nil map: none.
	Commit(ctx context.Context) map[string]error
	// Abort drops the objects.
	Abort()
}

// Remover is a capability: many objects deleted in one request.
type Remover interface {
	// Remove deletes up to 1,000 objects, as Delete would each. It returns the
	// errors of those that could not be, by key; a nil map: none.
	Remove(ctx context.Context, keys []string) map[string]error
}

// Placer is a capability: Where names the store for people, without secrets, such
// as "/data/lake" or "s3://bucket/prefix at host:9000".
type Placer interface {
	Where() string
}

// Timed is a capability: KeepsTimes says that an object's Modified, in listings too,
// is the one it was put with, and not the time of the upload.
type Timed interface {
	KeepsTimes() bool
}

// Sweeper is a capability of stores whose writers may leave files behind when they
// die.
type Sweeper interface {
	// Sweep removes what nobody has written to for grace and whose writers are gone,
	// and returns how much. It never touches what can still be gone on with.
	Sweep(ctx context.Context, grace time.Duration) (int, error)
}
