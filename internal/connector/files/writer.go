package files

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"

	"godwit/internal/codec"
	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/internal/store"
)

// writer implements connector.Writer.
type writer struct {
	sink   *sink
	shard  *shard
	record *record // the greatest, and this writer's
	place  position.Position
	err    error // the first one; poisons the writer
	closed bool

	seq    uint64
	open   map[*row.Table]*file
	tick   uint64
	memory int   // of the encoders of open files
	staged int64 // bytes since the last commit

	receipts []store.Receipt // of closed files, not yet recorded
	// recording: a record that names receipts was sent. It may be there, and
	// whoever opens the shard next may be publishing them: never discard them.
	recording bool
	sides     []string // side objects that go with the next commit
	unswept   []span   // what a sweep could not look for
	parts     parts
}

// file is one open file of one table version.
type file struct {
	seq     uint64
	staging store.Staging
	enc     codec.Encoder
	rows    int64
	written int64
	memory  int
	used    uint64 // tick of the last row
}

// Open implements connector.Sink. After a clean close it takes four requests, and
// one more when Prepare was not called.
func (s *sink) Open(ctx context.Context, sh connector.Shard, c connector.Claim) (connector.Writer, position.Set, error) {
	if err := checkTask(sh.Task); err != nil {
		return nil, nil, err
	}
	if ok, err := s.owns(ctx); err != nil {
		return nil, nil, err
	} else if !ok {
		return nil, nil, fault.New(fault.Internal, "the target was not prepared").At("%s", s.where)
	}
	shard := s.shard(sh.Task)
	t, err := shard.take(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	set, err := t.record.set()
	if err != nil {
		return nil, nil, at(err, shard.key(t.record.N))
	}
	w := &writer{sink: s, shard: shard, record: t.record, sides: t.sides,
		open: map[*row.Table]*file{}, parts: parts{index: map[*row.Table]int{}}}
	w.look(set)
	if t.clean {
		return w, set, nil
	}
	if err := shard.publish(ctx, t.receipts); err != nil {
		return nil, nil, err
	}
	w.unswept = s.sweep(ctx, shard, t)
	if len(t.listing.numbers) > maxUnpruned {
		shard.prune(ctx, t.listing)
	}
	return w, set, nil
}

// incarnationKey is the note in a stream's Set that counts the logs it has followed
// (docs/formats/positions.md). Places in documents for readers need it.
const incarnationKey = "log"

// look takes from a committed set what later documents need.
func (w *writer) look(set position.Set) {
	w.place = set[connector.StreamSplit]
	if n, err := strconv.ParseUint(set[incarnationKey].Token(), 10, 16); err == nil {
		w.sink.status.follow(n)
	}
}

// maxUnpruned is how many records may pile up before an Open prunes them; commits
// always do.
const maxUnpruned = 8

// Apply implements connector.Writer. It keeps nothing of b.
func (w *writer) Apply(ctx context.Context, b *row.Batch) error {
	if err := w.usable(); err != nil {
		return err
	}
	w.sink.status.follow(uint64(b.Incarnation))
	w.parts.of(b)
	for i, t := range w.parts.tables {
		if err := w.write(ctx, b, t, w.parts.sections[i]); err != nil {
			return w.poison(err)
		}
	}
	return nil
}

// parts is a batch by tables. Rows of one table keep their order; between tables
// there is none in files. It keeps a table's file in use once for each batch, not
// once for each row, where a transaction goes to and fro between many tables.
type parts struct {
	tables   []*row.Table
	sections [][]*row.Section
	index    map[*row.Table]int
}

func (p *parts) of(b *row.Batch) {
	clear(p.index)
	p.tables = p.tables[:0]
	all := b.Sections()
	for i := range all {
		s := &all[i]
		k, ok := p.index[s.Table]
		if !ok {
			k = len(p.tables)
			p.index[s.Table] = k
			p.tables = append(p.tables, s.Table)
			if k == len(p.sections) {
				p.sections = append(p.sections, nil)
			}
			p.sections[k] = p.sections[k][:0]
		}
		p.sections[k] = append(p.sections[k], s)
	}
}

func (w *writer) write(ctx context.Context, b *row.Batch, t *row.Table, sections []*row.Section) error {
	for _, s := range sections {
		f := w.open[t]
		if f == nil {
			var err error
			if f, err = w.begin(ctx, t); err != nil {
				return err
			}
		}
		if err := f.enc.Encode(b, s); err != nil {
			return w.sink.fail(err, "rows of %s cannot be written", t.Name)
		}
		f.rows += int64(s.Rows)
		w.tick++
		f.used = w.tick
		w.measure(f)
		if f.written >= w.sink.roll.Size || w.sink.roll.Rows > 0 && f.rows >= w.sink.roll.Rows {
			if err := w.end(t, f); err != nil {
				return err
			}
		}
	}
	return w.shrink()
}

// measure brings the sums up to date with what f has written and holds.
func (w *writer) measure(f *file) {
	n, m := f.enc.Written(), f.enc.Memory()
	w.staged += n - f.written
	w.memory += m - f.memory
	f.written, f.memory = n, m
}

// begin starts the next file for rows of t.
func (w *writer) begin(ctx context.Context, t *row.Table) (*file, error) {
	w.seq++
	name := fileName(w.shard.task, w.record.Epoch, w.seq, w.sink.codec.Extension())
	key := w.sink.know(t) + name
	staging, err := w.sink.stager.Stage(ctx, key, store.PutOptions{})
	if err != nil {
		return nil, w.sink.fail(err, "%s cannot be staged", key)
	}
	enc, err := w.sink.codec.NewEncoder(staging, codec.Shape{Table: t, Meta: true})
	if err != nil {
		staging.Abort()
		return nil, err
	}
	f := &file{seq: w.seq, staging: staging, enc: enc}
	w.open[t] = f
	return f, nil
}

// shrink gives memory back while encoders hold too much, of the largest first, and
// closes the files used longest ago while there are too many. Small files cost only
// requests, small row groups only space.
func (w *writer) shrink() error {
	for int64(w.memory) > w.sink.memory {
		shrunk, err := w.shrinkLargest()
		if err != nil {
			return err
		}
		if !shrunk {
			break
		}
	}
	for len(w.open) > 1 && (int64(w.memory) > w.sink.memory || len(w.open) > w.sink.files) {
		var t *row.Table
		for k, f := range w.open {
			if t == nil || f.used < w.open[t].used {
				t = k
			}
		}
		if err := w.end(t, w.open[t]); err != nil {
			return err
		}
	}
	return nil
}

// worthwhile is the part of what all encoders may hold that the largest must hold for
// it to be shrunk: writing less would cost more than ending a file.
const worthwhile = 16

// shrinkLargest lets the encoder that holds most give its memory back, and reports
// whether that was of use.
func (w *writer) shrinkLargest() (bool, error) {
	var t *row.Table
	for k, f := range w.open {
		if t == nil || f.memory > w.open[t].memory {
			t = k
		}
	}
	if t == nil || int64(w.open[t].memory) < w.sink.memory/worthwhile {
		return false, nil
	}
	f := w.open[t]
	s, ok := f.enc.(codec.Shrinker)
	if !ok {
		return false, nil
	}
	before := f.memory
	if err := s.Shrink(); err != nil {
		return false, w.sink.fail(err, "rows of %s cannot be written", t.Name)
	}
	w.measure(f)
	return f.memory < before/2, nil
}

// end closes f, the open file of t.
func (w *writer) end(t *row.Table, f *file) error {
	delete(w.open, t)
	w.memory -= f.memory
	r, err := f.finish()
	if err != nil {
		f.staging.Abort()
		return w.sink.fail(err, "a file cannot be staged")
	}
	w.staged += f.enc.Written() - f.written
	w.receipts = append(w.receipts, r)
	w.noteNulls(t, f)
	return nil
}

// finish writes what the encoder holds and makes the staged file durable.
func (f *file) finish() (store.Receipt, error) {
	if err := f.enc.Close(); err != nil {
		return store.Receipt{}, err
	}
	return f.staging.Close()
}

// Evolve implements connector.Writer. Files of the old shape were closed by the
// commit before; what is left is to keep the new shape for readers.
func (w *writer) Evolve(ctx context.Context, c *row.SchemaChange) error {
	if err := w.usable(); err != nil {
		return err
	}
	if len(w.open) > 0 || len(w.receipts) > 0 {
		return w.poison(fault.New(fault.Internal, "a schema change came between rows and their commit"))
	}
	if w.place.IsZero() {
		return nil // a chunk: its shape is part of the stream's history
	}
	if err := w.sink.history.evolve(ctx, w.sink, c, w.place); err != nil {
		return w.poison(err)
	}
	return nil
}

// Commit implements connector.Writer.
func (w *writer) Commit(ctx context.Context, set position.Set) error {
	if err := w.usable(); err != nil {
		return err
	}
	if err := w.commit(ctx, set); err != nil {
		return w.poison(err)
	}
	return nil
}

func (w *writer) commit(ctx context.Context, set position.Set) error {
	positions, err := set.MarshalBinary()
	if err != nil {
		return fault.New(fault.Internal, "the positions of %q cannot be recorded", w.shard.task).By(err)
	}
	if err := w.endAll(); err != nil {
		return err
	}
	r := &record{N: w.record.N + 1, Epoch: w.record.Epoch, Claim: w.record.Claim, Positions: positions,
		Seq: w.seq, Receipts: w.receipts, Unswept: w.unswept}
	if err := w.offload(ctx, r); err != nil {
		return err
	}
	w.recording = true
	mine, err := w.shard.create(ctx, r)
	if err != nil {
		return err
	}
	var l *listing
	if mine {
		if l, err = w.shard.list(ctx); err != nil {
			return err
		}
	}
	if !mine || !l.leads(r.N) {
		return fault.New(fault.FencedOff, "%q was opened by a newer run; commit %d was not made", w.shard.task, r.N)
	}
	if err := w.shard.publish(ctx, w.receipts); err != nil {
		return err
	}
	w.record = r
	w.look(set)
	w.receipts, w.recording, w.staged = nil, false, 0
	w.shard.prune(ctx, l)
	w.dropSides(ctx)
	return nil
}

// endAll closes all open files, in the order they were begun.
func (w *writer) endAll() error {
	files := make([]*file, 0, len(w.open))
	for t, f := range w.open {
		files = append(files, f)
		w.noteNulls(t, f)
	}
	clear(w.open)
	slices.SortFunc(files, func(a, b *file) int { return cmp.Compare(a.seq, b.seq) })
	receipts := make([]store.Receipt, len(files))
	done := make([]bool, len(files))
	err := each(len(files), w.sink.width, func(i int) (err error) {
		receipts[i], err = files[i].finish()
		done[i] = err == nil
		return err
	})
	for i, f := range files {
		w.memory -= f.memory
		if done[i] {
			w.receipts = append(w.receipts, receipts[i])
			continue
		}
		f.staging.Abort()
	}
	if err != nil {
		return w.sink.fail(err, "a file cannot be staged")
	}
	return nil
}

// offload puts many receipts into an object of their own.
func (w *writer) offload(ctx context.Context, r *record) error {
	if len(r.Receipts) <= maxInline && len(r.encode()) <= maxInlineBytes {
		return nil
	}
	b, named, err := encodeSide(w.shard.dir, r)
	if err != nil {
		return err
	}
	if err := w.sink.put(ctx, named.Key, b); err != nil {
		return err
	}
	r.Receipts, r.Side = nil, named
	return nil
}

// dropSides removes the side objects of records before the last: only the
// greatest record's receipts are ever asked for.
func (w *writer) dropSides(ctx context.Context) {
	for _, key := range w.sides {
		if err := w.sink.store.Delete(ctx, key); err != nil {
			w.sink.warn("an old list of files cannot be removed", key, err)
		}
	}
	w.sides = w.sides[:0]
	if w.record.Side != nil {
		w.sides = append(w.sides, w.record.Side.Key)
	}
}

// Staged implements connector.Writer.
func (w *writer) Staged() int64 { return w.staged }

// Close implements connector.Writer. After clean work it notes that nothing is
// left to do, so that the next Open need not look.
func (w *writer) Close() error {
	if w.closed {
		return nil
	}
	w.closed = true
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	for _, f := range w.open {
		f.staging.Abort()
	}
	clear(w.open)
	var err error
	if !w.recording {
		for _, r := range w.receipts {
			err = errors.Join(err, w.sink.stager.Discard(ctx, r))
		}
	}
	if w.err != nil || err != nil || len(w.unswept) > 0 {
		return nil // the next Open cleans up
	}
	if err := w.shard.finish(ctx, w.record.N); err != nil {
		w.sink.warn("a clean end cannot be noted: the next start looks for what is left", w.shard.dir, err)
	}
	return nil
}

func (w *writer) usable() error {
	if w.closed {
		return fault.New(fault.Internal, "the writer of %q is closed", w.shard.task)
	}
	return w.err
}

func (w *writer) poison(err error) error {
	w.err = err
	return err
}
