package local

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"godwit/internal/fault"
)

// State is one job's folder in the state folder: a lock, a database of runs and
// what was accepted of the job file, and the log. It is a cache: everything that
// counts is in the sinks.
type State struct {
	Dir  string // the job's own folder
	lock *os.File
	db   *sql.DB
}

// stateVersion is SQLite's user_version (docs/formats/state.md).
const stateVersion = 1

const stateSchema = `
CREATE TABLE run (run INTEGER PRIMARY KEY, started TEXT NOT NULL, ended TEXT, exit INTEGER, outcome TEXT);
CREATE TABLE kept (key TEXT PRIMARY KEY, value BLOB NOT NULL, at TEXT NOT NULL);
PRAGMA user_version = 1;`

// OpenState opens the folder of a job, making it when missing (mode 0700).
// exclusive takes the lock and gives fault.StateLocked when another process holds
// it; without it the state is only read, and a missing folder gives nil.
func OpenState(root, jobName string, exclusive bool) (*State, error) {
	s := &State{Dir: filepath.Join(root, jobName)}
	if !exclusive {
		if _, err := os.Stat(filepath.Join(s.Dir, "state.db")); errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
	} else if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, s.broken(err)
	}
	if exclusive {
		if err := s.takeLock(); err != nil {
			return nil, err
		}
	}
	if err := s.openDB(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *State) broken(cause error) error {
	return fault.New(fault.StateBroken, "the state folder cannot be used").At("%s", s.Dir).By(cause).
		Try("give another one with --state, or delete it: only history is lost")
}

// takeLock holds an flock for as long as the process lives.
func (s *State) takeLock() error {
	f, err := os.OpenFile(filepath.Join(s.Dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return s.broken(err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	for try := 0; errors.Is(err, unix.EWOULDBLOCK) && try < 5; try++ {
		time.Sleep(20 * time.Millisecond) // godwit status holds it for a moment when it looks
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return s.broken(err)
		}
		holder := make([]byte, 32)
		n, _ := f.Read(holder)
		return fault.New(fault.StateLocked, "another run of this job is going on (process %s)", holder[:n]).At("%s", f.Name()).
			Try("wait for it or stop it: kill -INT %s", holder[:n])
	}
	s.lock = f
	if err := f.Truncate(0); err != nil {
		return s.broken(err)
	}
	if _, err := fmt.Fprint(f, os.Getpid()); err != nil {
		return s.broken(err)
	}
	return nil
}

func (s *State) openDB() error {
	dsn := "file:" + (&url.URL{Path: filepath.Join(s.Dir, "state.db")}).EscapedPath() + "?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)&_pragma=synchronous(NORMAL)&_pragma=cache_size(-256)"
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return s.broken(err)
	}
	db.SetMaxOpenConns(1)
	s.db = db
	var version int
	if err := db.QueryRow("PRAGMA user_version").Scan(&version); err != nil {
		return s.broken(err)
	}
	switch {
	case version > stateVersion:
		return fault.New(fault.FormatNewer, "the state folder has version %d, this program knows %d", version, stateVersion).At("%s", s.Dir)
	case version == 0 && s.lock != nil:
		if _, err := db.Exec(stateSchema); err != nil {
			return s.broken(err)
		}
	}
	return nil
}

// Close gives the lock back. It is idempotent.
func (s *State) Close() error {
	var err error
	if s.db != nil {
		err = s.db.Close()
	}
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	s.db, s.lock = nil, nil
	return err
}

// LastRun returns the greatest run number this state has seen.
func (s *State) LastRun(ctx context.Context) (n uint64, err error) {
	err = s.db.QueryRowContext(ctx, "SELECT coalesce(max(run), 0) FROM run").Scan(&n)
	return n, s.check(err)
}

// StartRun notes that a run began.
func (s *State) StartRun(ctx context.Context, run uint64) error {
	_, err := s.db.ExecContext(ctx, "INSERT OR REPLACE INTO run (run, started) VALUES (?, ?)", run, now())
	return s.check(err)
}

// EndRun notes how a run ended.
func (s *State) EndRun(ctx context.Context, run uint64, exit int, outcome string) error {
	_, err := s.db.ExecContext(ctx, "UPDATE run SET ended = ?, exit = ?, outcome = ? WHERE run = ?", now(), exit, outcome, run)
	return s.check(err)
}

// Keep stores a value as JSON under key.
func (s *State) Keep(ctx context.Context, key string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = s.db.ExecContext(ctx, "INSERT OR REPLACE INTO kept (key, value, at) VALUES (?, ?, ?)", key, b, now())
	return s.check(err)
}

// Kept reads a value that Keep stored; false when there is none.
func (s *State) Kept(ctx context.Context, key string, v any) (bool, error) {
	var b []byte
	err := s.db.QueryRowContext(ctx, "SELECT value FROM kept WHERE key = ?", key).Scan(&b)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, s.check(err)
	}
	return true, s.check(json.Unmarshal(b, v))
}

func (s *State) check(err error) error {
	if err == nil {
		return nil
	}
	return s.broken(err)
}

func now() string { return time.Now().UTC().Format(time.RFC3339Nano) }

// LastRunState is how the latest run stands.
type LastRunState struct {
	Run            uint64
	Started, Ended time.Time // Ended is zero while it runs, and when it died
	Exit           int
	Outcome        string
	Holder         int // process that holds the lock now; 0: none
}

// Last returns the latest run, or nil.
func (s *State) Last(ctx context.Context) (*LastRunState, error) {
	var l LastRunState
	var started string
	var ended, outcome sql.NullString
	var exit sql.NullInt64
	err := s.db.QueryRowContext(ctx, "SELECT run, started, ended, exit, outcome FROM run ORDER BY run DESC LIMIT 1").
		Scan(&l.Run, &started, &ended, &exit, &outcome)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, s.broken(err)
	}
	l.Started, _ = time.Parse(time.RFC3339Nano, started)
	l.Ended, _ = time.Parse(time.RFC3339Nano, ended.String)
	l.Exit, l.Outcome = int(exit.Int64), outcome.String
	l.Holder = s.holder()
	return &l, nil
}

// holder returns the process that holds the lock, 0 when nobody does.
func (s *State) holder() int {
	f, err := os.OpenFile(filepath.Join(s.Dir, "lock"), os.O_RDWR, 0)
	if err != nil {
		return 0
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) == nil {
		return 0
	}
	var pid int
	_, _ = fmt.Fscan(f, &pid)
	return pid
}
