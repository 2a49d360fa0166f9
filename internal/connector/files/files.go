// Package files is the sink that writes tables as files of a store: each commit
// stages files, records them with the positions they reach in one exclusive
// creation, and then makes them visible. It knows neither the store nor the
// format; both are given to Driver.
package files

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"godwit/internal/codec"
	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/internal/store"
)

// Driver returns the driver of the sink "files" for stores and formats; the first
// format is the default. The root of a store is the target folder; it is made by
// the first write when it is missing.
func Driver(stores store.Registry, formats []codec.Format) connector.SinkDriver {
	return connector.SinkDriver{
		Name:     "files",
		Help:     "Files in folders, one folder for each table. A commit is seen whole; a listing never has a row twice.",
		Options:  options(stores, formats),
		Discards: true,
		Open: func(ctx context.Context, v option.Values, env connector.Env) (connector.Sink, error) {
			c, err := settings(v, formats)
			if err != nil {
				return nil, err
			}
			st, err := stores.Open(ctx, v, store.Env{Log: env.Log, Getenv: env.Getenv, Staging: StagingDir, Requests: sideBySide})
			if err != nil {
				return nil, err
			}
			if p, ok := st.(store.Placer); ok {
				c.Where = p.Where()
			}
			s, err := newSink(st, c, env)
			if err != nil {
				return nil, errors.Join(err, st.Close())
			}
			return s, nil
		},
	}
}

// config is what a job file says of the sink.
type config struct {
	Where   string // the target, for people
	Layout  string
	Append  appending // of layout append
	Path    *pattern  // nil: defaultPath
	Format  string
	Options map[string]string // of the format, those that cannot change
	Codec   codec.Codec
	Roll    roll
}

// roll says when files are closed and when a commit is due.
type roll struct {
	Size  int64         // bytes of a file; bytes of a commit
	Every time.Duration // of a commit
	Rows  int64         // rows of a file; 0: any number
}

var (
	_ connector.Sink      = (*sink)(nil)
	_ connector.Planner   = (*sink)(nil)
	_ connector.Announcer = (*sink)(nil)
	_ connector.Roller    = (*sink)(nil)
	_ connector.Checker   = (*sink)(nil)
	_ connector.Placer    = (*sink)(nil)
	_ connector.Historian = (*sink)(nil)
	_ connector.Omitter   = (*sink)(nil)
)

// sink implements connector.Sink.
type sink struct {
	*objects
	where  string // the target, for people
	mine   owner  // what the owner document would say; FoldCase unset
	append appending
	path   *pattern
	codec  codec.Codec
	roll   roll
	memory int64 // bytes that encoders of one writer may hold
	files  int   // files one writer may have open
	grace  time.Duration
	spread uint64 // seqs after the last recorded one that a sweep looks for

	mu    sync.Mutex
	names names
	owned bool
	swept bool // files that were never closed were looked for
	// tables are the folders this process knows of, to look for what was staged.
	tables map[string]bool
	// suffixes are what tells the folder of a table under a name from that of another one which
	// had the name before; empty: nothing does.
	suffixes map[nameOf]string
	// generations are those of tables by number, as far as they were prepared.
	generations map[uint32]uint32
	// retired are those before which nothing is left, by number.
	retired map[uint32]uint32

	history history
	status  status
}

// maxOpen bounds the open files of one writer.
const maxOpen = 512

// defaultMemory is the encoders' share without a budget.
const defaultMemory = 32 << 20

func newSink(st store.Store, c config, env connector.Env) (*sink, error) {
	creator, ok := st.(store.Creator)
	stager, ok2 := st.(store.Stager)
	if !ok || !ok2 {
		return nil, fault.New(fault.TargetNoExclusive, "this kind of store cannot create files exclusively or stage them").At("%s", c.Where)
	}
	if c.Path == nil {
		p, err := parsePath(defaultPath)
		if err != nil {
			return nil, err
		}
		c.Path = &p
	}
	log := env.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &sink{
		objects: &objects{st, creator, stager, log, time.Now, backOff, sideBySide},
		where:   c.Where,
		mine:    owner{Version: ownerVersion, Job: env.Job, Sink: env.Name, Layout: c.Layout, Meta: c.Append.Meta, Format: c.Format, Options: c.Options},
		append:  c.Append,
		path:    c.Path, names: names{path: c.Path},
		codec: c.Codec, roll: c.Roll, memory: defaultMemory, files: maxOpen, grace: grace, spread: maxSpread,
		tables: map[string]bool{deadDir: true}, suffixes: map[nameOf]string{}, generations: map[uint32]uint32{}, retired: map[uint32]uint32{},
	}
	if c.Path.text != defaultPath {
		s.mine.Path = c.Path.text
	}
	if env.Budget != nil {
		s.memory = max(env.Budget.Size()/memoryShare, leastMemory)
	}
	return s, nil
}

// memoryShare is the part of the budget that the encoders of a writer may hold
// beside it. It is not taken from the budget: inside a long transaction encoders
// stay open, and a row that waits for the whole budget would wait for ever.
const memoryShare = 4

// leastMemory is what they may hold in any case: with less, files of some tables would be
// ended after every few rows.
const leastMemory = 4 << 20

// Prepare implements connector.Sink. It makes the folder this sink's; folders of
// tables come with their first file.
func (s *sink) Prepare(ctx context.Context, tables []*row.Table) error {
	if err := s.claimTarget(ctx); err != nil {
		return err
	}
	if err := s.history.settle(ctx, s, tables); err != nil {
		return err
	}
	for _, t := range tables {
		s.know(t)
		s.mu.Lock()
		s.generations[t.Number] = max(s.generations[t.Number], t.Generation)
		s.mu.Unlock()
	}
	return nil
}

// know notes the folder of t and returns it.
func (s *sink) know(t *row.Table) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.folder(t, t.Generation)
}

// knowStreamed is know for a table of the stream. Its shape comes from whoever reads the
// log, for whom it may belong to another generation.
func (s *sink) knowStreamed(t *row.Table) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g, ok := s.generations[t.Number]; ok {
		return s.folder(t, g)
	}
	return s.folder(t, t.Generation)
}

// folder is know with s.mu held.
func (s *sink) folder(t *row.Table, generation uint32) string {
	f := s.names.folder(t.Name.Space, t.Name.Table, s.suffixes[nameOf{t.Number, t.Name}])
	if s.mine.Layout == layoutAppend {
		f += generationFolder(generation)
	}
	s.tables[f] = true
	return f
}

// shape is what files of t hold.
func (s *sink) shape(t *row.Table) codec.Shape {
	return codec.Shape{Table: t, Meta: s.mine.Layout == layoutChangelog || s.append.Meta}
}

// Positions implements connector.Sink. It takes at most three requests.
func (s *sink) Positions(ctx context.Context, sh connector.Shard) (connector.Claim, position.Set, error) {
	if err := checkTask(sh.Task); err != nil {
		return connector.Claim{}, nil, err
	}
	if ok, err := s.owns(ctx); err != nil || !ok {
		return connector.Claim{}, position.Set{}, err
	}
	r, _, err := s.shard(sh.Task).latest(ctx)
	if err != nil || r == nil {
		return connector.Claim{}, position.Set{}, err
	}
	set, err := r.set()
	return r.Claim, set, err
}

// maxOnceBytes bounds a value given to Once.
const maxOnceBytes = 64 << 20

// Once implements connector.Sink.
func (s *sink) Once(ctx context.Context, key string, value []byte) ([]byte, error) {
	k, err := onceKey(key)
	if err != nil {
		return nil, err
	}
	if len(value) > maxOnceBytes {
		return nil, fault.New(fault.Internal, "a value of %d bytes cannot be kept under %q: at most %d", len(value), key, maxOnceBytes)
	}
	if value != nil {
		return s.keep(ctx, k, value, maxOnceBytes)
	}
	b, err := s.get(ctx, k, maxOnceBytes)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return b, err
}

// Plan implements connector.Planner.
func (s *sink) Plan(ctx context.Context, t *row.Table) (connector.Target, error) {
	if _, err := s.owns(ctx); err != nil {
		return connector.Target{}, err
	}
	s.mu.Lock()
	folder := s.names.folder(t.Name.Space, t.Name.Table, s.suffixes[nameOf{t.Number, t.Name}])
	s.mu.Unlock()
	return connector.Target{
		Name:    folder,
		Columns: s.codec.Columns(s.shape(t)),
		Guarantee: connector.Guarantee{Level: "exactly-once",
			Reason: "files and the positions they reach are recorded in one exclusive creation, and made visible after it"},
	}, nil
}

// Roll implements connector.Roller: roll.every and roll.size.
func (s *sink) Roll() (every time.Duration, bytes int64) { return s.roll.Every, s.roll.Size }

// Check implements connector.Checker: it does what Prepare does, where that was done before,
// and else finds out whether it could be.
func (s *sink) Check(ctx context.Context, tables []*row.Table) []connector.Finding {
	f := connector.Finding{Name: "target folder", Detail: s.where}
	err := s.checkTarget(ctx)
	if err == nil {
		err = s.history.settle(ctx, s, tables)
	}
	if err != nil {
		f.Fault = fault.Of(err)
		return []connector.Finding{f}
	}
	f.Detail += ": ours or empty, can be written, creates files exclusively"
	return append([]connector.Finding{f}, s.checkPath(tables)...)
}

// checkPath tells of tables that have nothing for a field of the path.
func (s *sink) checkPath(tables []*row.Table) (out []connector.Finding) {
	for _, g := range s.path.rest {
		for _, t := range tables {
			if g.field != fieldColumn {
				continue
			}
			if at := t.Column(g.column); at < 0 || !g.nameable(t.Columns[at].Type.Kind) {
				out = append(out, connector.Finding{Name: "path", Detail: t.Name.String(), Warn: true,
					Fault: fault.New(fault.JobValue, "%s has no column %s that can name a folder: all its rows go to %s", t.Name, g.column, noPart)})
			}
		}
	}
	return out
}

// History implements connector.Historian.
func (s *sink) History() bool { return s.mine.Layout == layoutChangelog }

// Where implements connector.Placer.
func (s *sink) Where() string { return s.where }

// Close implements connector.Sink.
func (s *sink) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	return errors.Join(s.flushStatus(ctx), s.store.Close())
}

// closeTime bounds what closing may still write.
const closeTime = 30 * time.Second
