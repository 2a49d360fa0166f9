package service

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"godwit/internal/fault"
)

// Names in the state folder. Names of jobs have no dots, so that none is one of these.
const (
	databaseName = "server.db"
	lockName     = "server.lock"
)

// folderVersion is SQLite's user_version (docs/formats/server.md).
const folderVersion = 2

// folderSteps lead from each version of the database to the next one.
var folderSteps = [folderVersion]string{firstSchema, templateSchema}

const firstSchema = `
CREATE TABLE job (name TEXT PRIMARY KEY, kind TEXT NOT NULL, way TEXT NOT NULL, grp TEXT NOT NULL, note TEXT NOT NULL, schedule TEXT NOT NULL,
	version INTEGER NOT NULL, created TEXT NOT NULL, updated TEXT NOT NULL, updated_by TEXT NOT NULL,
	desired TEXT NOT NULL, wish_by TEXT NOT NULL, wish_reason TEXT NOT NULL, wish_since TEXT NOT NULL,
	trouble TEXT NOT NULL, failed INTEGER NOT NULL, began TEXT NOT NULL, ended TEXT NOT NULL, leaving INTEGER NOT NULL);
CREATE TABLE state (job TEXT PRIMARY KEY, state BLOB NOT NULL);
CREATE TABLE version (job TEXT NOT NULL, version INTEGER NOT NULL, at TEXT NOT NULL, who TEXT NOT NULL, reason TEXT NOT NULL,
	text TEXT NOT NULL, kept TEXT NOT NULL, changes TEXT NOT NULL, PRIMARY KEY (job, version));
CREATE TABLE command (seq INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL, command TEXT NOT NULL);
CREATE TABLE answer (who TEXT NOT NULL, token TEXT NOT NULL, sum TEXT NOT NULL, answer TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY (who, token));
CREATE TABLE audit (id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, who TEXT NOT NULL, job TEXT NOT NULL, what TEXT NOT NULL, was TEXT NOT NULL,
	became TEXT NOT NULL, reason TEXT NOT NULL, outcome TEXT NOT NULL, code TEXT NOT NULL, request TEXT NOT NULL);
CREATE INDEX audit_job ON audit (job, id);`

// folder is the state folder: its lock and its database.
type folder struct {
	dir   string
	still bool // a command has it, and no server
	lock  *os.File
	// firm is for what was promised to somebody: it is on disk when a change returns.
	// soft is for what would be found again: it survives the process, and not always
	// the machine.
	firm, soft *sql.DB
	gone       atomic.Bool // it is being closed: nothing is kept any more
}

// openFolder takes the folder for this process. It gives fault.StateLocked when
// another one has it, and fault.FormatNewer, with nothing touched, when a newer
// version wrote it.
func openFolder(ctx context.Context, o Options) (*folder, error) {
	f := &folder{dir: o.Dir, still: o.Still}
	if err := f.begun(o.Begin); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return nil, f.broken(err)
	}
	err := f.take(ctx)
	if err == nil {
		err = f.openDatabase()
	}
	if err != nil {
		_ = f.close() // the first error counts
		return nil, err
	}
	return f, nil
}

func (f *folder) broken(cause error) error {
	if f.gone.Load() {
		return errGone()
	}
	return fault.New(fault.StateBroken, "the state of the server cannot be used").At("%s", f.dir).By(cause).
		Try("see to its disk and permissions, or give another folder with --state")
}

func (f *folder) openDatabase() error {
	path := filepath.Join(f.dir, databaseName)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) // SQLite would ask the umask
	if err != nil {
		return f.broken(err)
	}
	file.Close()
	if err := f.fits(path); err != nil {
		return err
	}
	open := func(synchronous string) *sql.DB {
		db, err := sql.Open("sqlite", "file:"+escaped(path)+"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=cache_size(-1024)&_pragma=synchronous("+synchronous+")")
		if err != nil {
			panic("service: " + err.Error()) // the driver's name is wrong
		}
		db.SetMaxOpenConns(1)
		return db
	}
	f.firm, f.soft = open("FULL"), open("NORMAL")
	return f.bringUp()
}

// bringUp makes the tables, or makes those of an older version into those of this one,
// one version at a time and each wholly or not at all.
func (f *folder) bringUp() error {
	var version int
	if err := f.firm.QueryRow("PRAGMA user_version").Scan(&version); err != nil {
		return f.broken(err)
	}
	for ; version < folderVersion; version++ {
		err := f.promise(func(tx *sql.Tx) error {
			_, err := tx.Exec(folderSteps[version] + fmt.Sprintf("PRAGMA user_version = %d;", version+1))
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// fits refuses a database of a newer version before anything is written to it.
func (f *folder) fits(path string) error {
	// Whoever closes a database last puts its log into it, unless he only reads. A reader
	// makes an index of the log, which stays.
	how, index := "immutable=1", path+"-shm"
	if exists(path + "-wal") {
		how = "mode=ro"
		if !exists(index) {
			defer os.Remove(index)
		}
	}
	db, err := sql.Open("sqlite", "file:"+escaped(path)+"?"+how+"&_pragma=busy_timeout(10000)")
	if err != nil {
		return f.broken(err)
	}
	defer db.Close()
	var version int
	if err := db.QueryRow("PRAGMA user_version").Scan(&version); err != nil {
		return f.broken(err)
	}
	if version > folderVersion {
		return fault.New(fault.FormatNewer, "the state of the server has version %d, this program knows %d", version, folderVersion).At("%s", path).
			Try("use the newer godwit")
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// close gives the folder back.
func (f *folder) close() error {
	var errs []error
	for _, db := range []*sql.DB{f.soft, f.firm} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	if f.lock != nil {
		errs = append(errs, f.lock.Close())
	}
	return errors.Join(errs...)
}

func (f *folder) check(err error) error {
	if err == nil || fault.Of(err).Code != fault.Internal {
		return err
	}
	return f.broken(err)
}

// change makes all of what do does, or nothing of it.
func (f *folder) change(db *sql.DB, do func(*sql.Tx) error) error {
	if f.gone.Load() {
		return errGone()
	}
	tx, err := db.Begin()
	if err != nil {
		return f.broken(err)
	}
	if err := do(tx); err != nil {
		_ = tx.Rollback() // that it failed is what counts
		return f.check(err)
	}
	return f.check(tx.Commit())
}

// promise changes what somebody relies on.
func (f *folder) promise(do func(*sql.Tx) error) error { return f.change(f.firm, do) }

// stamp is a time as it is kept; the zero time is empty.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000000000Z") // of one length, so that texts sort as times
}

func unstamp(text string) time.Time {
	t, _ := time.Parse(time.RFC3339Nano, text)
	return t
}

// jsonText is v as it is kept; v is plain data.
func jsonText(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic("service: " + err.Error())
	}
	return string(b)
}

// escaped is a path within a URL.
func escaped(path string) string { return (&url.URL{Path: path}).EscapedPath() }
