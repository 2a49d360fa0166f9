// Package hdfs is a store in a folder of HDFS.
//
// Everything is written under a name of its own in the staging folder and closed, and
// only then given its real name, by a rename that either replaces what is there or
// refuses to. The name node does both at one moment, so an object is whole or not
// there, and of two creators one loses. Durable means what it means in HDFS: the name
// node has written it to its journal, and as many data nodes as dfs.namenode.replication.min
// says have the bytes.
package hdfs

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path"
	"sync"
	"time"

	"godwit/internal/fault"
	"godwit/internal/store"
	"godwit/internal/store/staged"
)

// Defaults.
const (
	defaultStaging    = ".godwit-staging"
	defaultFileMode   = fs.FileMode(0o644)
	defaultFolderMode = fs.FileMode(0o755)
	defaultPatience   = 30 * time.Second
	listBytes         = 8 << 20
)

// config is what a store is made of.
type config struct {
	root        string // absolute
	staging     string // a key
	cluster     cluster
	replication int   // 0: the cluster's own
	block       int64 // 0: the cluster's own
	file        fs.FileMode
	folder      fs.FileMode
	listBytes   int           // of a folder's names in memory
	patience    time.Duration // with a cluster that was there and is gone
	request     func(context.Context) error
	log         *slog.Logger
}

// Store implements store.Store and the capabilities below. It may be used by any
// number of goroutines, and any number of Stores, in other processes too, may share a
// folder.
type Store struct {
	config
	pool *pool

	mu       sync.Mutex
	plain    bool      // the staging folder is neither encrypted nor erasure coded
	pipeline time.Time // when data nodes last failed a file
}

var (
	_ store.Store   = (*Store)(nil)
	_ store.Creator = (*Store)(nil)
	_ store.Stager  = (*Store)(nil)
	_ store.Stat    = (*Store)(nil)
	_ store.Placer  = (*Store)(nil)
	_ store.Timed   = (*Store)(nil)
	_ store.Sweeper = (*Store)(nil)
)

// newStore returns a store that has not connected yet.
func newStore(c config) (*Store, error) {
	if c.staging == "" {
		c.staging = defaultStaging
	}
	if why := badKey(c.staging); why != "" {
		return nil, fault.New(fault.Internal, "staging folder %s: %s", show(c.staging), why)
	}
	if c.file == 0 {
		c.file = defaultFileMode
	}
	if c.folder == 0 {
		c.folder = defaultFolderMode
	}
	if c.listBytes == 0 {
		c.listBytes = listBytes
	}
	if c.patience == 0 {
		c.patience = defaultPatience
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	return &Store{config: c, pool: newPool(c.cluster)}, nil
}

// greet finds out whether the cluster answers, and what it writes files with.
func (s *Store) greet(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	l, err := s.pool.link()
	if err != nil {
		return s.fail("connect to the cluster", "", err)
	}
	d, err := l.defaults()
	if err != nil {
		return s.fail("connect to the cluster", "", err)
	}
	if s.replication == 0 {
		s.replication = d.Replication
	}
	if s.block == 0 {
		s.block = d.BlockSize
	}
	s.pool.proven()
	return nil
}

// KeepsTimes implements store.Timed. Times are kept to the millisecond.
func (s *Store) KeepsTimes() bool { return true }

// Where implements store.Placer.
func (s *Store) Where() string { return "hdfs://" + s.cluster.name + s.root }

// Close ends the use of the store. Readers and stagings must have ended.
func (s *Store) Close() error { return s.pool.close() }

// path returns where a key, or "." for the root, is in the cluster.
func (s *Store) path(key string) string { return path.Join(s.root, key) }

// where names a key for people.
func (s *Store) where(key string) string { return "hdfs://" + s.cluster.name + s.path(key) }

// begin is what every method that names an object does first.
func (s *Store) begin(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", s.where(key), context.Cause(ctx))
	}
	return s.check(key)
}

func nonce() (string, error) {
	var b [staged.NonceBytes]byte
	if _, err := io.ReadFull(rand.Reader, b[:]); err != nil {
		return "", fault.New(fault.Internal, "no random numbers").By(err)
	}
	return hex.EncodeToString(b[:]), nil
}

// pause waits, unless the context ends before.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
