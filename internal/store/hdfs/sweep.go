package hdfs

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"time"

	"github.com/colinmarc/hdfs/v2"

	"godwit/internal/store/staged"
)

// Sweep removes files that writers left behind when they died before they had closed
// or published them, and returns how many. Staged objects are left alone: they are for
// those who hold receipts.
//
// A file goes if the name node has not heard of it for grace and its writer is gone:
// the file is closed, or nobody renews the lease on it any more, which the name node
// notices after a minute.
func (s *Store) Sweep(ctx context.Context, grace time.Duration) (int, error) {
	now, err := s.now(ctx)
	if err != nil || now.IsZero() {
		return 0, err
	}
	n := 0
	err = s.inStaging(ctx, tmpMark, func(name string, st *hdfs.FileStatus) (bool, error) {
		if !strings.HasPrefix(name, tmpMark) {
			return false, nil
		}
		at := time.UnixMilli(int64(st.GetModificationTime()))
		if len(name) != len(tmpMark)+2*staged.NonceBytes || now.Sub(at) < grace {
			return true, nil
		}
		path := s.path(s.staging + "/" + name)
		dead, err := s.abandoned(ctx, path)
		if err == nil && dead {
			if err = s.remove(ctx, path); err == nil {
				n++
			}
		}
		return true, s.fail("sweep", s.staging, err)
	})
	return n, err
}

// now returns the time by the cluster's clock, that of a file just made; zero: there is
// no staging folder.
func (s *Store) now(ctx context.Context) (time.Time, error) {
	var none time.Time
	_, err := s.status(ctx, s.path(s.staging))
	if errors.Is(err, fs.ErrNotExist) {
		return none, nil
	}
	if err != nil {
		return none, s.fail("sweep", s.staging, err)
	}
	nonce, err := nonce()
	if err != nil {
		return none, err
	}
	path := s.path(s.staging + "/" + tmpMark + nonce)
	if err := s.mkdirs(ctx, path); err != nil {
		return none, s.fail("sweep", s.staging, err)
	}
	st, err := s.status(ctx, path)
	if err := errors.Join(err, s.remove(ctx, path)); err != nil {
		return none, s.fail("sweep", s.staging, err)
	}
	return time.UnixMilli(int64(st.GetModificationTime())), nil
}

// abandoned reports whether nobody writes to a file. To find out it asks to append to
// it, which the name node refuses while the writer lives.
func (s *Store) abandoned(ctx context.Context, path string) (bool, error) {
	_, err := s.call(ctx, "append", args{"src": path, "clientName": "godwit-sweep"})
	switch class, _ := exception(err); {
	case err == nil, class == "RecoveryInProgressException", class == "FileNotFoundException":
		return true, nil
	case class == "AlreadyBeingCreatedException":
		return false, nil
	}
	return false, err
}
