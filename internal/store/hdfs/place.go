package hdfs

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"godwit/internal/fault"
	"godwit/internal/store"
)

var (
	_ store.Nester = (*Store)(nil)
	_ store.Rooted = (*Store)(nil)
)

// There implements store.Rooted.
func (s *Store) There(ctx context.Context) error {
	st, err := s.status(ctx, s.root)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fault.New(fault.StoreMissing, "the folder is not there").At("%s", s.Where()).
			Try("look whether path and cluster are right; make the folder (hdfs dfs -mkdir -p) if it is to be empty")
	case err != nil:
		return s.fail("look for the folder", "", err)
	case st.GetFileType() != isFolder:
		return fault.New(fault.StoreMissing, "a file is where the folder should be").At("%s", s.Where()).Try("name the folder that the file is in, and the file with include")
	}
	return nil
}

// Nests implements store.Nester. Clusters are one where they have a name node in common.
func (s *Store) Nests(other store.Store) (prefix string, in bool, err error) {
	o, ok := other.(*Store)
	if !ok || !s.cluster.is(o.cluster) {
		return "", false, nil
	}
	rest, in := strings.CutPrefix(strings.TrimSuffix(o.root, "/")+"/", strings.TrimSuffix(s.root, "/")+"/")
	if !in {
		return "", false, nil
	}
	return rest, true, nil
}

// is reports whether two are one cluster.
func (c cluster) is(o cluster) bool {
	return slices.ContainsFunc(c.namenodes, func(node string) bool {
		return slices.ContainsFunc(o.namenodes, func(other string) bool { return strings.EqualFold(node, other) })
	})
}
