package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"godwit/internal/codec"
	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/row"
	"godwit/internal/store"
)

var (
	_ connector.Readable  = (*sink)(nil)
	_ connector.Historian = (*sink)(nil)
)

// Stored implements connector.Readable: a table is held as the format holds it.
func (s *sink) Stored(t *row.Table) *row.Table {
	if d, ok := s.codec.(codec.Decoding); ok {
		return d.Stored(t)
	}
	return t
}

// Store implements connector.Readable.
func (s *sink) Store(x *row.Builder, b *row.Batch, t *row.Table, column int, word uint64, flag row.Flag) {
	if d, ok := s.codec.(codec.Decoding); ok {
		d.Store(x, b, t, column, word, flag)
		return
	}
	copyCell(x, b, t.Columns[column].Type.Kind, word, flag)
}

// ReadBack implements connector.Readable: it reads all files of the table, whatever keys
// are wanted. Files of the last commit that are not visible yet are made so, as the next
// Open would.
func (s *sink) ReadBack(ctx context.Context, t *row.Table, _ *row.Batch, emit func(*row.Batch) error) error {
	d, ok := s.codec.(codec.Decoding)
	if !ok {
		return fault.New(fault.NotVerifiable, "files of format %s cannot be read back", s.mine.Format).At("%s", s.where)
	}
	if err := s.history.reload(ctx, s); err != nil {
		return err
	}
	if !s.History() {
		return s.readAppended(ctx, t, d, emit)
	}
	_, set, err := s.Positions(ctx, connector.Shard{Job: s.mine.Job, Sink: s.mine.Sink, Task: connector.StreamSplit})
	if err != nil {
		return err
	}
	if err := emit(row.Mark(set[connector.StreamSplit], 0)); err != nil {
		return err
	}
	r := &readBack{sink: s, decode: d, table: t, meta: true, versions: s.history.of(t), emit: emit, conversions: map[*version]conversion{}}
	folders := r.folders()
	wanted := func(key string) bool {
		return slices.ContainsFunc(folders, func(f string) bool { return strings.HasPrefix(key, f) })
	}
	if err := s.showAll(ctx, t, wanted); err != nil {
		return err
	}
	for _, f := range folders {
		if err := r.folder(ctx, f); err != nil {
			return err
		}
	}
	return r.ungiven()
}

// reload reads the versions of tables again: another process writes them.
func (h *history) reload(ctx context.Context, s *sink) error {
	h.mu.Lock()
	h.loaded = false
	h.mu.Unlock()
	return h.load(ctx, s)
}

// showAll makes the files of last commits visible that are wanted.
func (s *sink) showAll(ctx context.Context, t *row.Table, wanted func(key string) bool) error {
	tasks, err := s.tasksOf(ctx, t)
	if err != nil {
		return err
	}
	for _, task := range tasks {
		sh := s.shard(task)
		last, l, err := sh.latest(ctx)
		if err != nil {
			return err
		}
		if last == nil || l.done {
			continue
		}
		rs, err := sh.receipts(ctx, last)
		if errors.Is(err, store.ErrNotFound) {
			continue // a newer commit pruned it, after all its files were there
		}
		if err != nil {
			return err
		}
		rs = slices.DeleteFunc(slices.Clone(rs), func(r store.Receipt) bool { return !wanted(r.Key) })
		if err := s.showMissing(ctx, sh, rs); err != nil {
			return err
		}
	}
	return nil
}

func (s *sink) showMissing(ctx context.Context, sh *shard, rs []store.Receipt) error {
	var hidden []store.Receipt
	for _, r := range rs {
		there := false
		for o, err := range s.store.List(ctx, r.Key, "") {
			if err != nil {
				return s.fail(err, "%s cannot be listed", r.Key)
			}
			there = o.Key == r.Key
			break
		}
		if !there {
			hidden = append(hidden, r)
		}
	}
	if len(hidden) == 0 {
		return nil
	}
	return sh.publish(ctx, hidden)
}

// apartTask is the task of a table that stands apart.
func apartTask(t *row.Table) string { return fmt.Sprintf("%s.%d", connector.StreamSplit, t.Number) }

// tasksOf returns the tasks that write rows of t: the stream, that of a table that
// stands apart, and the runs of its snapshots.
func (s *sink) tasksOf(ctx context.Context, t *row.Table) ([]string, error) {
	stream, apart, runs := connector.StreamSplit, apartTask(t), fmt.Sprintf("%d.", t.Number)
	tasks := []string{stream}
	for o, err := range s.store.List(ctx, shardsDir, "") {
		if err != nil {
			return nil, s.fail(err, "the records of commits cannot be listed")
		}
		task, _, _ := strings.Cut(strings.TrimPrefix(o.Key, shardsDir), "/")
		if (task == apart || strings.HasPrefix(task, runs)) && tasks[len(tasks)-1] != task {
			tasks = append(tasks, task)
		}
	}
	return tasks, nil
}

// readBack reads the files of one table.
type readBack struct {
	sink        *sink
	decode      codec.Decoding
	table       *row.Table
	meta        bool       // files have the columns of a changelog
	versions    []*version // oldest first
	former      former
	conversions map[*version]conversion
	pool        row.Pool
	emit        func(*row.Batch) error
	ended       string // _pos of the last row that ends all before it
	withheld    withheld
}

// rowsAtOnce is about how many rows a batch has.
const rowsAtOnce = 2_000

func (r *readBack) folder(ctx context.Context, folder string) error {
	end := "." + r.sink.codec.Extension()
	for o, err := range r.sink.store.List(ctx, folder, "") {
		if err != nil {
			return r.sink.fail(err, "%s cannot be listed", folder)
		}
		name := strings.TrimPrefix(o.Key, folder)
		if !strings.HasSuffix(name, end) || strings.Contains(name, "/") && !r.sink.path.divided() {
			continue
		}
		if err := r.file(ctx, folder, o); err != nil {
			return at(err, o.Key)
		}
	}
	return nil
}

// file reads a file that lies in a folder of the table. Which version its rows have is not
// written on it: the place of its first row tells, except in a chunk of a snapshot that saw
// a newer shape; so what fits is tried, newest first, until that is known.
func (r *readBack) file(ctx context.Context, folder string, o store.Object) error {
	var first error
	left := r.candidates(folder, o.Key)
	for len(left) > 0 {
		v := left[len(left)-1]
		left = left[:len(left)-1]
		fits, err := r.fileAs(ctx, folder, o, v, left)
		switch {
		case err == nil && fits == v:
			return nil
		case err == nil: // its place tells of another: that one is next
			i := slices.Index(left, fits)
			left = slices.Delete(left, i, i+1)
			if !ofStream(o.Key) { // it may have this one after all
				left = append(left, v)
			}
			left = append(left, fits)
		case !errors.Is(err, errUnfit):
			return err
		case first == nil:
			first = err
		}
	}
	return fault.New(fault.TargetBroken, "a file cannot be read as any version of %s", r.table.Name).By(first)
}

// errUnfit is a file that cannot be read as a version.
var errUnfit = errors.New("the file is not of this version")

// fileAs reads a file as version v. It returns v; or the one of others that the file has by
// its first row, and nothing was emitted; or errUnfit, and nothing was emitted.
func (r *readBack) fileAs(ctx context.Context, folder string, o store.Object, v *version, others []*version) (*version, error) {
	in := &storeReader{ctx: ctx, store: r.sink.store, object: o}
	defer in.close()
	dec, err := r.decode.NewDecoder(in, o.Size, codec.Shape{Table: v.Table, Meta: r.meta})
	if err != nil {
		return nil, r.unfit(in, err)
	}
	defer dec.Close()
	x := row.NewBuilder(&r.pool)
	for begun := false; ; begun = true {
		err := dec.Decode(x, rowsAtOnce)
		if errors.Is(err, io.EOF) {
			return v, nil
		}
		if err != nil && !begun {
			return nil, r.unfit(in, err)
		}
		if err != nil {
			return nil, err
		}
		b := x.Finish(zero, 0).In(dec.Incarnation())
		if !begun && len(others) > 0 {
			at := r.versionAt(folder, posText(b.Incarnation, b.Order(b.Sections()[0].Row)))
			if slices.Contains(others, at) && (ofStream(o.Key) || r.conversion(at).err == nil) {
				b.Release()
				return at, nil
			}
		}
		if err := r.give(b, v, o.Key); err != nil {
			return nil, err
		}
	}
}

// unfit tells what the store refused from what the format did.
func (r *readBack) unfit(in *storeReader, err error) error {
	if in.err != nil {
		return r.sink.fail(in.err, "%s cannot be read", in.object.Key)
	}
	return fmt.Errorf("%w: %w", errUnfit, err)
}

// versionAt is the version that rows of a folder have at a place.
func (r *readBack) versionAt(folder, pos string) *version {
	versions := r.versions
	if had := r.former.of[folder]; len(had) > 0 && pos < r.former.until[folder] {
		versions = had
	}
	at := versions[0]
	for _, v := range versions[1:] {
		if v.Since <= pos {
			at = v
		}
	}
	return at
}

// conversion is how rows of a version are brought into the shape of the table.
func (r *readBack) conversion(v *version) conversion {
	c, known := r.conversions[v]
	if !known {
		c.converter, c.err = r.newConverter(v)
		c.same = c.err == nil && v.Table.SameShape(r.table) && c.keeps()
		r.conversions[v] = c
	}
	return c
}

// ofStream reports whether a file has changes, whose places say what version they have: a
// chunk of a snapshot may have a newer one.
func ofStream(key string) bool { return strings.HasPrefix(path.Base(key), connector.StreamSplit) }

// give emits a batch of a file in the shape of the table as it is now.
func (r *readBack) give(b *row.Batch, v *version, key string) error {
	r.note(b)
	if v.Table == r.table {
		return r.emit(b)
	}
	c := r.conversion(v)
	switch {
	case c.err != nil:
		return r.withhold(b, key, c.err)
	case c.same:
		return r.emit(b)
	}
	now := c.convert(b)
	b.Release()
	return r.emit(now)
}

// storeReader reads an object at any offset; where one read begins at the end of the last
// one it goes on.
type storeReader struct {
	ctx    context.Context
	store  store.Store
	object store.Object
	open   io.ReadCloser
	at     int64
	err    error // of the store
}

func (r *storeReader) ReadAt(p []byte, off int64) (int, error) {
	if off >= r.object.Size {
		return 0, io.EOF
	}
	if r.open == nil || r.at != off {
		r.close()
		if r.open, _, r.err = r.store.Open(r.ctx, r.object.Key, store.Read{Off: off, Match: &r.object}); r.err != nil {
			r.open = nil
			return 0, r.err
		}
		r.at = off
	}
	n, err := io.ReadFull(r.open, p)
	r.at += int64(n)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

func (r *storeReader) close() {
	if r.open != nil {
		_ = r.open.Close() // it was only read
		r.open = nil
	}
}
