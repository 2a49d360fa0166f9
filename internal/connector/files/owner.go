package files

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/store"
)

const (
	ownerVersion  = 1
	maxOwnerBytes = 1 << 20
)

// owner says whose a target folder is and what everything in it was written with
// (docs/formats/target-folder.md). It is created once and never changed.
type owner struct {
	Version int    `json:"version"`
	Job     string `json:"job"`
	Sink    string `json:"sink"`
	Layout  string `json:"layout"`
	Meta    bool   `json:"meta,omitempty"` // of layout append
	Path    string `json:"path,omitempty"` // the pattern of folders; empty: defaultPath
	Format  string `json:"format"`
	// Options are those of the format that readers must know and that therefore
	// stay as they are.
	Options map[string]string `json:"options,omitempty"`
	// FoldCase: the store takes "A" and "a" for one name, so capital letters in
	// names of folders are escaped too.
	FoldCase bool `json:"fold_case,omitempty"`
}

// fixed returns the options of a format that may not change once files are there.
func fixed(v option.Values, fields []option.Field) map[string]string {
	out := map[string]string{}
	for _, f := range fields {
		if f.Live {
			continue
		}
		switch f.Kind {
		case option.Text, option.Enum:
			out[f.Name] = v.Text(f.Name)
		case option.Int, option.Size:
			out[f.Name] = fmt.Sprint(v.Int(f.Name))
		case option.Bool:
			out[f.Name] = fmt.Sprint(v.Bool(f.Name))
		case option.List:
			out[f.Name] = strings.Join(v.List(f.Name), ",")
		case option.Duration:
			out[f.Name] = v.Duration(f.Name).String()
		}
	}
	return out
}

// readOwner returns what is kept, nil when nothing is.
func (s *sink) readOwner(ctx context.Context) (*owner, []byte, error) {
	b, err := s.get(ctx, ownerKey, maxOwnerBytes)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	var o owner
	if err := decodeJSON(b, ownerVersion, &o); err != nil {
		return nil, nil, at(err, ownerKey)
	}
	return &o, b, nil
}

// fits refuses a target that o says is another's or was written otherwise.
func (s *sink) fits(ctx context.Context, o *owner) error {
	err := s.same(o)
	if fault.Has(err, fault.JobEdit) && s.unwritten(ctx) {
		return fault.Of(err).Try("nothing has been written there yet: remove its folder %s, or take the edit back", strings.TrimSuffix(control, "/"))
	}
	return err
}

// unwritten reports whether no shard of the target was ever opened.
func (s *sink) unwritten(ctx context.Context) bool {
	for range s.store.List(ctx, shardsDir, "") { //nolint:errcheck // what cannot be told is no reason to remove anything
		return false
	}
	return true
}

// same is fits without a look at the target.
func (s *sink) same(o *owner) error {
	if o.Job != s.mine.Job || o.Sink != s.mine.Sink {
		return fault.New(fault.TargetNotOurs, "the folder belongs to sink %q of job %q", o.Sink, o.Job).
			At("%s", s.where).Try("give sink %q of job %q a folder of its own", s.mine.Sink, s.mine.Job)
	}
	differs := func(what, was, is string) error {
		return fault.New(fault.JobEdit, "%s was %q when the folder was made and is now %q", what, was, is).
			At("%s", s.where).Try("set %s back to %q, or write to another folder", what, was)
	}
	if o.Layout != s.mine.Layout {
		return differs("layout", o.Layout, s.mine.Layout)
	}
	if o.Path != s.mine.Path {
		return differs("path", cmp.Or(o.Path, defaultPath), s.path.text)
	}
	if o.Meta != s.mine.Meta {
		return differs("meta", fmt.Sprint(o.Meta), fmt.Sprint(s.mine.Meta))
	}
	if o.Format != s.mine.Format {
		return differs("format", o.Format, s.mine.Format)
	}
	for _, k := range slices.Sorted(maps.Keys(s.mine.Options)) {
		// An option that was not known when the folder was made has its default.
		if was, ok := o.Options[k]; ok && was != s.mine.Options[k] {
			return differs(o.Format+"."+k, was, s.mine.Options[k])
		}
	}
	return nil
}

// claimTarget makes the folder this sink's, or finds that it is, and proves that
// the store creates exclusively: everything exact rests on that.
func (s *sink) claimTarget(ctx context.Context) error {
	kept, b, err := s.readOwner(ctx)
	if err != nil {
		return err
	}
	if kept == nil {
		if kept, b, err = s.newOwner(ctx); err != nil {
			return err
		}
	}
	if err := s.fits(ctx, kept); err != nil {
		return err
	}
	if err := s.exclusive(ctx, ownerKey, b); err != nil {
		return err
	}
	s.own(kept)
	return nil
}

// vacant makes sure that the folder is empty, or returns the owner document that another
// process has made meanwhile.
func (s *sink) vacant(ctx context.Context) (*owner, []byte, error) {
	for o, err := range s.store.List(ctx, "", "") {
		if err != nil {
			return nil, nil, s.fail(err, "the folder cannot be listed")
		}
		if strings.HasPrefix(o.Key, probePrefix) {
			continue
		}
		if kept, b, err := s.readOwner(ctx); err != nil || kept != nil {
			return kept, b, err
		}
		return nil, nil, fault.New(fault.TargetNotOurs, "the folder is not empty: it has %s", o.Key).
			At("%s", s.where).Try("give an empty folder, or one that this job has written to before")
	}
	return nil, nil, nil
}

// checkTarget is claimTarget that leaves nothing in a folder that is not this sink's yet:
// until something is written the job may be edited as one likes.
func (s *sink) checkTarget(ctx context.Context) error {
	kept, _, err := s.readOwner(ctx)
	if err == nil && kept == nil {
		kept, _, err = s.vacant(ctx)
	}
	switch {
	case err != nil:
		return err
	case kept != nil:
		return s.claimTarget(ctx)
	}
	probe := probePrefix + strings.ToLower(rand.Text()) // nobody else has it: those who try at the same time remove theirs
	if _, err := s.keep(ctx, probe, []byte("a"), 16); err != nil {
		return err
	}
	defer func() { _ = s.store.Delete(ctx, probe) }() // it is in nobody's way
	return s.exclusive(ctx, probe, []byte("a"))
}

// exclusive proves that the store does not create what is there.
func (s *sink) exclusive(ctx context.Context, key string, value []byte) error {
	switch err := s.creator.Create(ctx, key, value); {
	case err == nil:
		return fault.New(fault.TargetNoExclusive, "%s was created twice", key).At("%s", s.where)
	case !errors.Is(err, store.ErrExists):
		return s.fail(err, "%s cannot be written", key)
	}
	return nil
}

// newOwner creates the owner document in a folder that must be empty.
func (s *sink) newOwner(ctx context.Context) (*owner, []byte, error) {
	if kept, b, err := s.vacant(ctx); err != nil || kept != nil {
		return kept, b, err
	}
	mine := s.mine
	fold, err := s.foldsCase(ctx)
	if err != nil {
		return nil, nil, err
	}
	mine.FoldCase = fold
	b, err := json.MarshalIndent(mine, "", " ")
	if err != nil {
		panic(err) // plain data
	}
	kept, err := s.keep(ctx, ownerKey, append(b, '\n'), maxOwnerBytes)
	if err != nil {
		return nil, nil, err
	}
	var o owner
	if err := decodeJSON(kept, ownerVersion, &o); err != nil {
		return nil, nil, at(err, ownerKey)
	}
	return &o, kept, nil
}

const (
	probePrefix = control + "probe-"
	probeSmall  = probePrefix + "a"
	probeLarge  = probePrefix + "A"
)

// foldsCase finds out whether the store takes two names that differ in case for
// one.
func (s *sink) foldsCase(ctx context.Context) (bool, error) {
	want := []byte("a")
	if _, err := s.keep(ctx, probeSmall, want, 16); err != nil {
		return false, err
	}
	defer func() { _ = s.store.Delete(ctx, probeSmall) }() // another process may have; nothing depends on it
	got, err := s.get(ctx, probeLarge, 16)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return bytes.Equal(got, want), err
}

// own keeps what the owner document says for the life of the sink.
func (s *sink) own(o *owner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names = names{fold: o.FoldCase, path: s.path}
	s.owned = true
}

// owns reports whether the target is this sink's; false without an error when
// nothing was ever prepared there.
func (s *sink) owns(ctx context.Context) (bool, error) {
	s.mu.Lock()
	owned := s.owned
	s.mu.Unlock()
	if owned {
		return true, nil
	}
	o, _, err := s.readOwner(ctx)
	if err != nil || o == nil {
		return false, err
	}
	if err := s.fits(ctx, o); err != nil {
		return false, err
	}
	s.own(o)
	return true, nil
}
