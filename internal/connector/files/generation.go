package files

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"godwit/internal/row"
)

// A table that is read again begins a new generation. A changelog says so with a row;
// appended rows have no order that could, so each generation has a folder of its own, and
// the files of those before it go once it is whole (docs/decisions/0026-generations-of-appended-rows.md).

// generationFolder returns the folder within that of a table for the files of a
// generation; empty for the first one.
func generationFolder(generation uint32) string {
	if generation <= 1 {
		return ""
	}
	return fmt.Sprintf("g%d/", generation)
}

// generationOf is the generation of a file by its path within the folder of its table.
func generationOf(path string) uint32 {
	segment, _, ok := strings.Cut(path, "/")
	digits, isOne := strings.CutPrefix(segment, "g")
	if n, err := strconv.ParseUint(digits, 10, 32); ok && isOne && err == nil && n > 1 && strconv.FormatUint(n, 10) == digits {
		return uint32(n)
	}
	return 1
}

// base returns the folder in which all generations of t lie.
func (s *sink) base(t *row.Table) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.names.folder(t.Name.Space, t.Name.Table, s.suffixes[nameOf{t.Number, t.Name}])
}

// retire removes the files of generations before that of t, which is whole. They are
// taken from listings: nothing else knows them all. Whoever could still add to them was
// fenced when this generation began. What is left over by an error goes the next time.
func (s *sink) retire(ctx context.Context, t *row.Table) {
	s.mu.Lock()
	done := s.retired[t.Number] >= t.Generation
	s.mu.Unlock()
	if done {
		return
	}
	if s.history.shares(s, t) {
		s.log.Warn("files of a table that was read again are left: another table had the same name", "table", t.Name.String(), "folder", s.base(t))
	} else if err := s.removeBefore(ctx, t); err != nil {
		s.warn("old files of a table that was read again cannot be removed yet", s.base(t), err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retired[t.Number] = t.Generation
}

// removeBefore does so in each folder that the table ever had.
func (s *sink) removeBefore(ctx context.Context, t *row.Table) error {
	seen := map[string]bool{}
	for _, v := range s.history.of(t) {
		base := s.base(v.Table)
		if seen[base] {
			continue
		}
		seen[base] = true
		var old []string
		for o, err := range s.store.List(ctx, base, "") {
			if err != nil {
				return err
			}
			if generationOf(strings.TrimPrefix(o.Key, base)) < t.Generation {
				old = append(old, o.Key)
			}
		}
		if err := each(len(old), s.width, func(i int) error { return s.store.Delete(ctx, old[i]) }); err != nil {
			return err
		}
	}
	return nil
}
