package sqlserver

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Replay carries a server's binlog into a second server with the server's own
// tool, place by place: what the first was at a place, the second is. The first
// may run, be stopped or be killed meanwhile. It is used by one goroutine.
type Replay struct {
	from, into *Server
	file       string // where the last To stopped, "" at the log's beginning
	offset     int64
}

// NewReplay replays from into a fresh server of the same make, which nothing else
// may write. A MySQL without GTIDs needs one without them.
func NewReplay(from, into *Server) *Replay { return &Replay{from: from, into: into} }

// To fails t unless the second server is then as the first was at the place
// (file, offset), which must not lie before the last one. The offset is one
// between transactions: where the next begins.
func (r *Replay) To(t testing.TB, file string, offset int64) {
	t.Helper()
	if err := r.Advance(file, offset); err != nil {
		t.Fatal(err)
	}
}

// Advance is To with an error.
func (r *Replay) Advance(file string, offset int64) error {
	files, err := r.files(file)
	if err != nil {
		return err
	}
	switch {
	case r.file > file || r.file == file && r.offset > offset:
		return fmt.Errorf("replay to %s:%d, but it is at %s:%d already", file, offset, r.file, r.offset)
	case r.file == file && r.offset == offset:
		return nil
	}
	args := []string{"--no-defaults", fmt.Sprintf("--stop-position=%d", offset)}
	if r.file != "" {
		args = append(args, fmt.Sprintf("--start-position=%d", r.offset))
	}
	if err := r.pipe(append(args, files...)); err != nil {
		return fmt.Errorf("replay to %s:%d: %w", file, offset, err)
	}
	r.file, r.offset = file, offset
	return nil
}

// files lists the binlog files from the last place to the one named last.
func (r *Replay) files(last string) ([]string, error) {
	all, err := filepath.Glob(filepath.Join(r.from.Binlog(), "bin.[0-9]*"))
	if err != nil {
		return nil, err
	}
	slices.Sort(all)
	var files []string
	for _, f := range all {
		if name := filepath.Base(f); name >= r.file && name <= last {
			files = append(files, f)
		}
	}
	switch {
	case len(files) == 0 || filepath.Base(files[len(files)-1]) != last:
		return nil, fmt.Errorf("replay: %s has no binlog %s", r.from.Binlog(), last)
	case r.file == "" && filepath.Base(files[0]) != "bin.000001":
		return nil, fmt.Errorf("replay: the binlog begins with %s, what was before is gone", filepath.Base(files[0]))
	case r.file != "" && filepath.Base(files[0]) != r.file:
		return nil, fmt.Errorf("replay: %s, reached before, is gone", r.file)
	}
	return files, nil
}

func (r *Replay) pipe(args []string) error {
	dump, err := r.from.make.Command(r.from.make.Binlog, args...)
	if err != nil {
		return err
	}
	load, err := r.into.Client(r.into.make.Client, "--binary-mode")
	if err != nil {
		return err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	var problems strings.Builder
	dump.Stdout, load.Stdin = write, read
	dump.Stderr, load.Stderr = &problems, &problems
	started := dump.Start()
	_ = write.Close() // the child has it
	if started != nil {
		return errors.Join(started, read.Close())
	}
	loaded := load.Run()
	_ = read.Close() // a dump that is still writing ends
	if err := errors.Join(loaded, dump.Wait()); err != nil {
		return fmt.Errorf("%s | %s: %w\n%s", r.from.make.Binlog, r.into.make.Client, err, strings.TrimSpace(problems.String()))
	}
	return nil
}
