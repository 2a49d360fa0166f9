package local

import (
	"io"
	"io/fs"
	"time"

	"godwit/internal/store"
)

// FS is what the store needs of a file system: one method for each step that a
// power cut can fall between, so that tests can fail before and after every one.
// Paths are absolute. Methods return the errors of the system (errors.Is with
// fs.ErrExist, fs.ErrNotExist, syscall.ENOSPC and so on holds) and may be called
// concurrently.
type FS interface {
	// OpenRoot opens an existing folder. fs.ErrNotExist.
	OpenRoot(path string) (Root, error)
	// Mkdir makes one folder. fs.ErrExist.
	Mkdir(path string) error
	// SyncDir makes the entries of a folder durable.
	SyncDir(path string) error
	// Open opens a file for reading, wherever symbolic links lead. It never blocks.
	Open(path string) (Reader, error)
}

// Root is one folder and what is below it. Names are relative to it, with "/"
// between segments; "." is the folder itself. No name and no symbolic link leads
// out of it. Entries made, moved or removed are durable after SyncDir of every
// folder concerned, the bytes of a file after its Sync: each without the other is
// worth nothing.
type Root interface {
	// Open opens a file for reading. It never blocks, whatever the name is.
	Open(name string) (Reader, error)
	// Create makes a new, empty file, which must not exist (fs.ErrExist). Until the
	// Writer is closed or its process ends, Reap leaves the file alone.
	Create(name string) (Writer, error)
	// Append opens a file so that each Write goes to its end, whoever else appends.
	Append(name string) (Writer, error)
	// Edit opens a file for WriteAt.
	Edit(name string) (Writer, error)
	// OpenDir opens a folder for listing.
	OpenDir(name string) (Dir, error)
	// Stat follows symbolic links that stay inside.
	Stat(name string) (Info, error)
	Mkdir(name string) error
	// Link gives a file a second name, which must not exist (fs.ErrExist).
	// errors.ErrUnsupported where files have one name only.
	Link(from, to string) error
	// Rename moves a file and replaces what has the name.
	Rename(from, to string) error
	// RenameNew moves a file to a name that must not exist (fs.ErrExist).
	// errors.ErrUnsupported where that cannot be done in one step.
	RenameNew(from, to string) error
	// Remove removes a file, never a folder.
	Remove(name string) error
	// Reap removes a file whose creator is dead. False: it lives, or that cannot
	// be told.
	Reap(name string) (bool, error)
	SyncDir(name string) error
	// SyncAll makes everything durable that was written to the file system before,
	// bytes and entries. errors.ErrUnsupported where that cannot be done, or where
	// it would not say that something was lost.
	SyncAll() error
	// RemoveDir removes an empty folder.
	RemoveDir(name string) error
	Close() error
}

// Writer is a file being written: a new one front to back, one of Append at its
// end, one of Edit by WriteAt.
type Writer interface {
	io.Writer
	io.WriterAt
	// Mark sets attributes, durable with the next Sync.
	Mark(Marks) error
	// Sync makes the bytes durable. After an error the file must be given up: a
	// second Sync may succeed although bytes are lost.
	Sync() error
	Stat() (Info, error)
	Close() error
}

// Marks are attributes of a file; what is nil or zero stays as it is.
type Marks struct {
	Mode     *fs.FileMode // permission bits
	Owner    *store.Owner
	Modified time.Time
}

// Reader is a file being read.
type Reader interface {
	io.ReadCloser
	io.ReaderAt
	Stat() (Info, error)
}

// Dir is a folder being listed.
type Dir interface {
	// Next returns at most n more entries in any order, without "." and "..";
	// io.EOF after the last.
	Next(n int) ([]Entry, error)
	// Rewind starts again from the first entry.
	Rewind() error
	// Stat does not follow symbolic links.
	Stat(name string) (Info, error)
	Close() error
}

// Entry is a name in a folder.
type Entry struct {
	Name string
	Type fs.FileMode // type bits only
}

// Info is what a file system knows of a file.
type Info struct {
	Mode     fs.FileMode
	Size     int64
	Modified time.Time
	Owner    store.Owner
	Device   uint64
	Node     uint64 // with Device: the file itself, whatever its name
}

func (i Info) same(o Info) bool { return i.Device == o.Device && i.Node == o.Node }
