package files

import (
	"context"
	"fmt"
	"path"
	"strconv"
	"strings"

	"godwit/internal/codec"
	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/row"
)

// Appends implements connector.Appending.
func (s *sink) Appends() bool { return s.mine.Layout == layoutAppend }

// readAppended is ReadBack of appended rows. Nothing tells a row that became another, or
// that is gone, from those that are there, so the files are the table only as long as
// nothing of the kind has happened: when they have rows of a snapshot alone, or say what
// every row is.
func (s *sink) readAppended(ctx context.Context, t *row.Table, d codec.Decoding, emit func(*row.Batch) error) error {
	versions := s.history.of(t)
	switch {
	case len(versions) > 1:
		return s.notTheTable("the table has changed its shape, and the files do not say which of them have which")
	case s.history.shares(s, t):
		return s.notTheTable("another table had the same name, and its files may be in the same folder")
	}
	_, set, err := s.Positions(ctx, connector.Shard{Job: s.mine.Job, Sink: s.mine.Sink, Task: connector.StreamSplit})
	if err != nil {
		return err
	}
	for _, task := range []string{connector.StreamSplit, apartTask(t)} {
		switch out, err := s.LeftOut(ctx, connector.Shard{Task: task}); {
		case err != nil:
			return err
		case out != "":
			return s.notTheTable(fmt.Sprintf("changes were left out of the files (%s)", out))
		}
	}
	if err := emit(row.Mark(set[connector.StreamSplit], 0)); err != nil {
		return err
	}
	incarnation, _ := strconv.ParseUint(set[incarnationKey].Token(), 10, 16) // absent: 0
	until := row.PlacePos(uint16(incarnation), set[connector.StreamSplit])
	whole := s.wholeGeneration(t)
	if err := s.showAll(ctx, t, whole); err != nil {
		return err
	}
	r := &readBack{sink: s, decode: d, table: t, meta: s.append.Meta, versions: versions, conversions: map[*version]conversion{}, emit: func(b *row.Batch) error {
		if changed(b) {
			b.Release()
			return s.notTheTable("it has rows that were changed or deleted since")
		}
		if s.append.Meta {
			b = upTo(b, until)
		}
		return emit(b)
	}}
	for o, err := range s.store.List(ctx, s.base(t), "") {
		switch {
		case err != nil:
			return s.fail(err, "%s cannot be listed", s.base(t))
		case !whole(o.Key):
			continue
		case !r.meta && ofStream(o.Key):
			return s.notTheTable("changes were appended after the snapshot, and without `meta: true` the files do not say what they were")
		}
		if err := r.file(ctx, "", o); err != nil {
			return at(err, o.Key)
		}
	}
	return nil
}

// upTo leaves rows out that a commit has added since the place was read. They are the last.
func upTo(b *row.Batch, until string) *row.Batch {
	if n := b.Rows(); n == 0 || posText(b.Incarnation, b.Order(n-1)) <= until {
		return b
	}
	return b.Select(func(_ *row.Section, i int) bool { return posText(b.Incarnation, b.Order(i)) <= until })
}

// wholeGeneration returns what tells the files of t's generation.
func (s *sink) wholeGeneration(t *row.Table) func(key string) bool {
	base, end := s.base(t), "."+s.codec.Extension()
	return func(key string) bool {
		name, within := strings.CutPrefix(key, base)
		return within && strings.HasSuffix(path.Base(name), end) && generationOf(name) == max(t.Generation, 1)
	}
}

func (s *sink) notTheTable(why string) error {
	return fault.New(fault.NotVerifiable, "appended rows are not the table as it is: %s", why).At("%s", s.where)
}

// changed reports whether some row of b stands for one that was there before.
func changed(b *row.Batch) bool {
	for _, s := range b.Sections() {
		for i := s.Row; i < s.Row+s.Rows; i++ {
			if op := b.Op(i); op != row.Read && op != row.Insert {
				return true
			}
		}
	}
	return false
}
