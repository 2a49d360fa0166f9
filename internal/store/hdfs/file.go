package hdfs

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/colinmarc/hdfs/v2"
	"google.golang.org/protobuf/reflect/protoreflect"

	"godwit/internal/fault"
	"godwit/internal/store"
)

// file is one being written, under a name of its own in the staging folder. It is
// used by one goroutine.
type file struct {
	s     *Store
	ctx   context.Context
	key   string // what it is for
	path  string // where it is
	nonce string
	mode  fs.FileMode

	client *fileClient
	w      *hdfs.FileWriter // nil: none has been made, or what was made is dropped
	holder string           // of the lease on it
	size   int64
	full   protoreflect.Message // the last block that is; nil: none is. The library puts its length into it
	copies int                  // it is written with
}

// In place of data nodes that fail a block other ones are asked for, so often: the name node
// does not know which are ill, and which node of a pipeline is cannot be told. For so long after that
// files are written with one copy first, for any pipeline that it chooses may have the ill
// node in it until it is missed.
const (
	pipelineTries = 12
	pipelineIll   = 10 * time.Minute
)

// newFile makes a file for key.
func (s *Store) newFile(ctx context.Context, key string, a store.Attributes) (*file, error) {
	f := &file{s: s, ctx: ctx, key: key, mode: s.config.file, copies: s.copies()}
	if a.Mode != nil {
		f.mode = a.Mode.Perm()
	}
	if err := f.create(); err != nil {
		return nil, err
	}
	if err := s.suits(ctx, f.path); err != nil {
		f.drop()
		return nil, err
	}
	return f, nil
}

// create makes the file, and the staging folder if that is not there.
func (f *file) create() error {
	s := f.s
	err := f.open()
	if errors.Is(err, fs.ErrNotExist) {
		if err := s.mkdirs(f.ctx, s.path(s.staging)); err != nil {
			return s.fail("make the folder", s.staging, err)
		}
		err = f.open()
	}
	if f.copies < s.replication && fewerThanAllowed(err) {
		f.copies = s.replication
		err = f.open()
	}
	if errors.Is(err, fs.ErrPermission) {
		err = f.refusal(err)
	}
	if err != nil {
		return s.fail("create a file for", f.key, err)
	}
	return nil
}

// fewerThanAllowed reports whether the name node wants more copies of each file, as
// dfs.namenode.replication.min says.
func fewerThanAllowed(err error) bool {
	_, text := exception(err)
	return strings.Contains(text, "less than the required minimum")
}

// refusal finds out what it is that this user may not do: the library has dropped
// what the name node said, which it says of a folder too.
func (f *file) refusal(err error) error {
	if said := f.s.mkdirs(f.ctx, f.path); said != nil {
		return said
	}
	return errors.Join(err, f.s.remove(f.ctx, f.path))
}

// open makes the file. Each try has a name of its own, for one whose answer was lost may
// have been carried out.
func (f *file) open() error {
	return f.s.persist(f.ctx, func(l *link) (err error) {
		if f.nonce, err = nonce(); err != nil {
			return err
		}
		if f.client, err = l.forFile(); err != nil {
			return err
		}
		f.path = f.s.path(f.s.staging + "/" + tmpMark + f.nonce)
		f.holder = f.client.Name()
		f.w, err = f.client.CreateFile(f.path, f.copies, f.s.block, f.mode)
		return bare(err)
	})
}

// bare drops the wrapper that repeats the path.
func bare(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// copies says how often the blocks of a new file are kept at first.
func (s *Store) copies() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.pipeline.IsZero() && time.Since(s.pipeline) < pipelineIll {
		return 1
	}
	return s.replication
}

func (s *Store) pipelineFailed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pipeline = time.Now()
}

// suits refuses folders whose files the library can neither write nor read: it would
// do so without an error, and wrongly.
func (s *Store) suits(ctx context.Context, path string) error {
	s.mu.Lock()
	plain := s.plain
	s.mu.Unlock()
	if plain {
		return nil
	}
	st, err := s.status(ctx, path)
	if err != nil {
		return s.fail("look at", s.staging, err)
	}
	if why := unsuitable(st); why != "" {
		return fault.New(fault.StoreRefused, "the folder is %s, which godwit cannot write", why).At("%s", s.Where()).
			Try("use a folder that is not: hdfs crypto -listZones, hdfs ec -getPolicy -path %s", s.root)
	}
	s.mu.Lock()
	s.plain = true
	s.mu.Unlock()
	return nil
}

func unsuitable(st *hdfs.FileStatus) string {
	switch {
	case st.GetFileEncryptionInfo() != nil:
		return "encrypted at rest"
	case st.GetEcPolicy() != nil:
		return "erasure coded"
	}
	return ""
}

// write writes p, which may fill several blocks.
func (f *file) write(p []byte) error {
	for len(p) > 0 {
		n := min(int64(len(p)), f.s.block-f.size%f.s.block) // to the end of a block
		if err := f.fill(p[:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// fill writes p into one block. Should data nodes not begin it, or fail the first bytes of
// the file, others are tried.
func (f *file) fill(p []byte) error {
	var failed suspects
	err := f.pour(p)
	for tries := 1; err != nil && tries < pipelineTries && f.losesNothing(err); tries++ {
		if err := f.tryOthers(&failed, err); err != nil {
			return f.s.fail("write", f.key, f.s.full(f.key, err))
		}
		err = f.pour(p)
	}
	if err != nil {
		if ofDataNodes(err) {
			f.s.pipelineFailed()
		}
		return f.s.fail("write", f.key, f.s.full(f.key, err))
	}
	f.size += int64(len(p))
	if f.size%f.s.block == 0 {
		f.full = fieldOf(slotOf(f.w).block(), "b").Message()
	}
	return nil
}

// losesNothing reports whether other data nodes may be tried after a block failed with err:
// none has bytes of it, or the whole file is in the caller's hands still.
func (f *file) losesNothing(err error) bool {
	if f.ctx.Err() != nil || isAnswer(err) && !unanswered(err) {
		return false
	}
	return f.size == 0 || slotOf(f.w).unbegun() != nil
}

// tryOthers gets another block in place of one that failed, or another file.
func (f *file) tryOthers(failed *suspects, cause error) error {
	if ofDataNodes(cause) {
		f.s.log.Warn("data nodes do not take a block; trying others", "file", f.path, "cause", cause)
		f.s.pipelineFailed()
	}
	block := slotOf(f.w).unbegun()
	if block == nil {
		return f.anew(cause)
	}
	*failed = failed.with(block, cause)
	return f.replace(block, *failed)
}

// anew begins a file again of which nothing is kept. Should no name node have been there to
// give it a block, it is begun once one is.
func (f *file) anew(cause error) error {
	if ofDataNodes(cause) {
		f.copies = 1
	}
	f.drop()
	return f.create()
}

// isAnswer: the name node said so.
func isAnswer(err error) bool {
	class, _ := exception(err)
	return class != "" || strings.Contains(err.Error(), noNameNode)
}

// ofDataNodes reports whether data nodes failed, and not the name node: that one ends, too,
// and its end must not cost files their copies.
func ofDataNodes(err error) bool { return !isAnswer(err) && !unanswered(err) }

// Waits between calls that ask whether the last block is there.
const (
	firstWait = 2 * time.Millisecond
	mostWait  = 400 * time.Millisecond
	// replicationMost is how long data nodes may take to tell the name node of a block.
	// Where they have failed it never comes: the file is begun anew then.
	replicationMost = 12 * time.Second
)

// finish closes the file. It returns when the name node says that enough data nodes
// have all of it.
func (f *file) finish() error {
	begin, end := time.Now(), f.w.Close
	for wait := firstWait; ; wait = min(2*wait, mostWait) {
		err := end()
		class, _ := exception(err)
		replicating := errors.Is(err, hdfs.ErrReplicating)
		switch {
		case err == nil:
			return f.replicate()
		case class == "LeaseExpiredException" || class == "FileNotFoundException":
			return f.readBack(err)
		case replicating, unanswered(err), class == "NotReplicatedYetException":
		default:
			if ofDataNodes(err) {
				f.s.pipelineFailed()
			}
			return f.s.fail("end", f.key, f.s.full(f.key, bare(err)))
		}
		if waited := time.Since(begin); waited > f.s.patience || replicating && waited > replicationMost {
			return f.s.fail("end", f.key, bare(err))
		}
		if err := pause(f.ctx, wait); err != nil {
			return err
		}
		if blocksEnded(err) {
			end = f.complete
		}
	}
}

// blocksEnded reports whether an error of closing a file came after all its blocks had
// ended: from then on the library wraps it.
func blocksEnded(err error) bool {
	var p *fs.PathError
	return errors.As(err, &p)
}

// complete asks the name node to end a file whose blocks have ended. It says each time
// how long the last block is, which the library says once only: a name node that has
// taken over since then does not know it, and would wait for ever.
func (f *file) complete() error {
	last, err := f.last()
	if err != nil {
		return err
	}
	request := args{"src": f.path, "clientName": f.holder}
	if last != nil {
		request["last"] = last
	}
	m, err := f.s.call(f.ctx, "complete", request)
	if err == nil && !fieldOf(m, "result").Bool() {
		err = hdfs.ErrReplicating
	}
	return err
}

// last returns the file's last block with its length as it was written; nil: the file
// is empty.
func (f *file) last() (args, error) {
	m, err := f.s.call(f.ctx, "getBlockLocations", args{"src": f.path, "offset": uint64(0), "length": uint64(1)})
	if err != nil || f.size == 0 {
		return nil, err
	}
	located := fieldOf(m, "locations").Message()
	if !has(located, "lastBlock") {
		return nil, fault.New(fault.StoreFailed, "the last block of %s is not in HDFS", show(f.key)).At("%s", f.s.where(f.key))
	}
	block := fieldOf(fieldOf(located, "lastBlock").Message(), "b").Message()
	out := args{"numBytes": uint64((f.size-1)%f.s.block + 1)}
	for _, name := range []protoreflect.Name{"poolId", "blockId", "generationStamp"} {
		out[name] = fieldOf(block, name).Interface()
	}
	return out, nil
}

// readBack finds out what became of a file when the answer to its end was lost.
func (f *file) readBack(cause error) error {
	st, err := f.s.status(f.ctx, f.path)
	if err != nil || int64(st.GetLength()) != f.size {
		return f.s.fail("end", f.key, bare(cause))
	}
	return f.replicate()
}

// replicate asks for the copies that the file was not written with. The name node
// makes them by and by.
func (f *file) replicate() error {
	if f.copies == f.s.replication {
		return nil
	}
	return f.s.fail("set the replication of", f.key, f.s.setReplication(f.ctx, f.path, f.s.replication))
}

// mark sets when the contents were changed.
func (f *file) mark(a store.Attributes) error {
	if a.Modified.IsZero() {
		return nil
	}
	return f.s.fail("set the time of", f.key, f.s.setTime(f.ctx, f.path, a.Modified))
}

// drop removes the file. What cannot be removed is found by Sweep.
func (f *file) drop() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(f.ctx), dialLimit)
	defer cancel()
	_ = f.s.remove(ctx, f.path)
	f.discard()
}

// discard ends what the writer has running, which has no file any more: the library
// does so in Close only.
func (f *file) discard() {
	if f.w != nil {
		_ = f.w.Close()
	}
	f.w = nil
}

// Types of what a path names; the library does not export them.
const (
	isFolder = 1
	isFile   = 2
)

// entry is what the name node knows of a file.
type entry struct{ kind, size, modified, id uint64 }

func entryOf(st *hdfs.FileStatus) entry {
	return entry{uint64(st.GetFileType()), st.GetLength(), st.GetModificationTime(), st.GetFileId()}
}

// version names contents: a new file under the name has another id, and one that was
// appended to another size and time.
func (e entry) version() string {
	return strconv.FormatUint(e.id, 36) + "-" + strconv.FormatUint(e.modified, 36) + "-" + strconv.FormatUint(e.size, 36)
}

// object makes an Object of what the name node knows; a folder is none.
func (s *Store) object(key string, e entry) (store.Object, error) {
	switch e.kind {
	case isFolder:
		return store.Object{}, notFound(s.where(key))
	case isFile:
		return store.Object{Key: key, Size: int64(e.size), Modified: time.UnixMilli(int64(e.modified)), Version: e.version()}, nil
	}
	return store.Object{}, fault.New(fault.NotAFile, "%s is a symbolic link", show(key)).At("%s", s.where(key))
}

// whole is object with attributes. Owners are left out: HDFS has names, and other
// stores numbers.
func (s *Store) whole(key string, st *hdfs.FileStatus) (store.Object, error) {
	o, err := s.object(key, entryOf(st))
	if err == nil {
		mode := fs.FileMode(st.GetPermission().GetPerm()) & fs.ModePerm
		o.Attributes = &store.Attributes{Mode: &mode, Modified: o.Modified}
	}
	return o, err
}
