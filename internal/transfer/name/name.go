// Package name remembers which key of a source has which name in the target, where
// several keys may ask for one. It is on disk, so that any number of names takes no
// more memory than few.
package name

import (
	"crypto/sha256"
	"database/sql"
	"errors"
	"net/url"
	"os"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"godwit/internal/fault"
)

// Set is names that are given, each to one key. It may be used concurrently.
type Set struct {
	path string
	db   *sql.DB
}

// Claim is a key that is to have a name in the target.
type Claim struct{ Name, Key string }

// schema has a hash for a name: names are long, and only asked for.
const schema = `CREATE TABLE name (hash BLOB PRIMARY KEY, key BLOB NOT NULL) WITHOUT ROWID`

// options: the set is never read by another process and never outlives its own, so
// it keeps no journal and waits for no disk.
const options = "?_pragma=journal_mode(OFF)&_pragma=synchronous(OFF)&_pragma=locking_mode(EXCLUSIVE)&_pragma=cache_size(-4096)"

// New makes an empty set in a file, whatever is there: what a process that died has
// left is made anew by whoever knows the names.
func New(path string) (*Set, error) {
	s := &Set{path: path}
	if err := os.RemoveAll(path); err != nil {
		return nil, s.broken(err)
	}
	var err error
	if s.db, err = sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+options); err != nil {
		return nil, s.broken(err)
	}
	s.db.SetMaxOpenConns(1)
	if _, err := s.db.Exec(schema); err != nil {
		return nil, errors.Join(s.broken(err), s.db.Close())
	}
	return s, nil
}

// Close ends the set and removes its file.
func (s *Set) Close() error {
	if err := errors.Join(s.db.Close(), os.Remove(s.path)); err != nil {
		return s.broken(err)
	}
	return nil
}

// Give gives each claim its name, the first of those that claim one, and returns the
// key that has the name of each: the claim's own, or the one that was earlier.
func (s *Set) Give(claims []Claim) ([]string, error) {
	holders, err := s.give(claims)
	if err != nil {
		return nil, s.broken(err)
	}
	return holders, nil
}

func (s *Set) give(claims []Claim) (holders []string, err error) {
	tx, err := s.db.Begin()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tx.Rollback())
		}
	}()
	add, err := tx.Prepare("INSERT INTO name VALUES (?, ?) ON CONFLICT DO NOTHING")
	if err != nil {
		return nil, err
	}
	defer add.Close()
	for _, c := range claims {
		hash := sha256.Sum256([]byte(c.Name))
		done, err := add.Exec(hash[:16], []byte(c.Key))
		if err != nil {
			return nil, err
		}
		holder := []byte(c.Key)
		if n, err := done.RowsAffected(); err != nil {
			return nil, err
		} else if n == 0 {
			if err := tx.QueryRow("SELECT key FROM name WHERE hash = ?", hash[:16]).Scan(&holder); err != nil {
				return nil, err
			}
		}
		holders = append(holders, string(holder))
	}
	return holders, tx.Commit()
}

func (s *Set) broken(err error) error {
	return fault.New(fault.StateBroken, "the names that are given cannot be kept").At("%s", s.path).By(err).
		Try("make room or give another folder with --state; they are made anew")
}
