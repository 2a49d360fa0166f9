package files

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"godwit/internal/store"
)

// stagedFinder is a capability of stores that can look for many staged files at
// once.
type stagedFinder interface {
	// StagedAny returns what is staged for any of keys, in no order.
	StagedAny(ctx context.Context, keys iter.Seq[string]) ([]store.Receipt, error)
}

// Bounds of a sweep.
const (
	maxLooks  = 20_000    // requests, where each name is asked for by itself
	maxNames  = 4_000_000 // names, where all are asked for at once
	maxSpread = 4096      // seqs after the last recorded one
	minGap    = 4         // seqs in a row without a file, beside one for each table
)

// grace is how long a file that was never closed is left alone: locks tell the
// living from the dead, except between machines.
const grace = time.Minute

// sweep discards what older epochs staged and no record names. It runs after the
// raise and after publishing, so nothing it finds can be committed any more.
// Exactness never depends on it: it returns what it could not look for, to be
// looked for again by the next owner.
func (s *sink) sweep(ctx context.Context, sh *shard, t *taken) []span {
	if err := s.sweepSides(ctx, sh, t); err != nil {
		s.warn("old lists of files cannot be removed", sh.dir, err)
	}
	if err := s.sweepUnclosed(ctx); err != nil {
		s.warn("files that were never closed cannot be removed", sh.dir, err)
	}
	named := map[string]bool{}
	for _, r := range t.receipts {
		named[r.Staged] = true
	}
	s.mu.Lock()
	folders := slices.Sorted(maps.Keys(s.tables))
	if s.path.divided() {
		folders = append([]string{deadDir}, t.record.Folders...) // those that were never recorded are not known
	}
	s.mu.Unlock()
	var err error
	if f, ok := s.store.(stagedFinder); ok {
		err = s.sweepAny(ctx, f, t, folders, named)
	} else {
		err = s.sweepNames(ctx, t, folders, named)
	}
	if err != nil {
		s.warn("staged files of an earlier run cannot be removed", sh.dir, err)
		return t.record.Unswept
	}
	return nil
}

// sweepUnclosed does so once in the life of a sink.
func (s *sink) sweepUnclosed(ctx context.Context) error {
	r, ok := s.store.(store.Sweeper)
	s.mu.Lock()
	again := s.swept
	s.swept = true
	s.mu.Unlock()
	if !ok || again {
		return nil
	}
	_, err := r.Sweep(ctx, s.grace)
	return err
}

// sweepAny looks for all names at once.
func (s *sink) sweepAny(ctx context.Context, f stagedFinder, t *taken, folders []string, named map[string]bool) error {
	spread := uint64(maxNames / max(1, len(folders)*len(t.record.Unswept)))
	found, err := f.StagedAny(ctx, func(yield func(string) bool) {
		for _, sp := range t.record.Unswept {
			for seq := sp.From; seq < sp.From+min(spread, s.spread); seq++ {
				for _, folder := range folders {
					if !yield(s.stagedName(folder, t.task, sp.Epoch, seq)) {
						return
					}
				}
			}
		}
	})
	if err != nil {
		return err
	}
	return s.discard(ctx, found, named)
}

// sweepNames asks for each name that may have been staged: seqs are dense, but for
// files that were still open, at most one for each table.
func (s *sink) sweepNames(ctx context.Context, t *taken, folders []string, named map[string]bool) error {
	left := maxLooks
	for _, sp := range t.record.Unswept {
		most := len(folders) + minGap // seqs in a row without a file that end the span
		for seq, gap := sp.From, 0; gap < most; {
			// So many must be asked for whatever the answers are, so all at once.
			seqs := most - gap
			var names []string
			for i := range min(seqs*len(folders), left) {
				names = append(names, s.stagedName(folders[i%len(folders)], t.task, sp.Epoch, seq+uint64(i/len(folders))))
			}
			last, err := s.discardNames(ctx, names, named)
			if err != nil {
				return err
			}
			if left -= len(names); len(names) < seqs*len(folders) {
				return errors.New("too many tables to look for every file by its name")
			}
			seq += uint64(seqs)
			if gap += seqs; last >= 0 {
				gap = seqs - 1 - last/len(folders)
			}
		}
	}
	return nil
}

// discardNames asks for names, some at once, discards what is staged under them and
// not named, and returns the index of the last under which something was; -1: none.
func (s *sink) discardNames(ctx context.Context, names []string, named map[string]bool) (last int, err error) {
	staged := make([]bool, len(names))
	err = each(len(names), s.width, func(i int) error {
		found, err := s.stager.Staged(ctx, names[i])
		if err != nil {
			return err
		}
		staged[i] = len(found) > 0
		return s.discard(ctx, found, named)
	})
	last = len(names) - 1
	for last >= 0 && !staged[last] {
		last--
	}
	return last, err
}

func (s *sink) discard(ctx context.Context, found []store.Receipt, named map[string]bool) error {
	for _, r := range found {
		if named[r.Staged] {
			continue
		}
		if err := s.stager.Discard(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// sweepSides removes side objects that earlier epochs left and the record does not
// name.
func (s *sink) sweepSides(ctx context.Context, sh *shard, t *taken) error {
	prefix := sh.dir + "receipts/"
	for o, err := range s.store.List(ctx, prefix, "") {
		if err != nil {
			return err
		}
		epoch, _, ok := strings.Cut(strings.TrimPrefix(o.Key, prefix), "-")
		n, perr := strconv.ParseUint(epoch, 10, 64)
		if !ok || perr != nil || n >= t.record.Epoch || t.record.Side != nil && t.record.Side.Key == o.Key {
			continue
		}
		if err := s.store.Delete(ctx, o.Key); err != nil {
			return err
		}
	}
	return nil
}
