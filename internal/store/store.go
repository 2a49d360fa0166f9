// Package store is the contract of object stores and file systems. It imports
// only std and leaves.
package store

import (
	"context"
	"errors"
	"io"
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

// Object is what a listing knows of an object.
type Object struct {
	Key      string
	Size     int64
	Modified time.Time
	Version  string // names exactly these contents where the store can; else empty
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
}

// PutOptions are what an object is stored with.
type PutOptions struct {
	ContentType string
	Metadata    map[string]string
}

// Store keeps objects under keys: paths of non-empty segments joined by "/", never
// "." or "..". A key never escapes the store's root. Methods may be called
// concurrently.
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

// Stat is a capability: one object without a listing.
type Stat interface {
	Stat(ctx context.Context, key string) (Object, error)
}
