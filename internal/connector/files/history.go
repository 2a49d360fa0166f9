package files

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/internal/store"
)

const (
	versionVersion  = 1
	maxVersionBytes = 16 << 20
	maxVersions     = 1 << 20
)

// version is one version of a table's shape, kept before any row of it is
// committed (docs/formats/target-folder.md). Its object is created once.
type version struct {
	Version int        `json:"version"`
	Table   *row.Table `json:"table"`
	Folder  string     `json:"folder"`
	// Since is the _pos before which rows have an earlier shape; empty for the
	// first version.
	Since   string            `json:"since,omitempty"`
	Renamed map[string]string `json:"renamed,omitempty"` // column → the name it had before
}

// history is the versions of tables that ever changed, by number. The zero value
// is loaded when it is first needed.
type history struct {
	mu     sync.Mutex
	loaded bool
	tables map[uint32][]*version // by version
}

func versionKey(number, v uint32) string { return fmt.Sprintf("%s%d/%010d.json", tablesDir, number, v) }

// evolve keeps both shapes of c. A repetition keeps what the first one did: the
// place it was called with is as right as any other between the rows.
func (h *history) evolve(ctx context.Context, s *sink, c *row.SchemaChange, place position.Position) error {
	if c.Before != nil {
		if err := h.add(ctx, s, &version{Table: c.Before}); err != nil {
			return err
		}
	}
	if c.After == nil {
		return nil
	}
	return h.add(ctx, s, &version{Table: c.After, Since: s.status.pos(place.Order()), Renamed: c.Renamed})
}

func (h *history) add(ctx context.Context, s *sink, v *version) error {
	v.Version, v.Folder = versionVersion, s.know(v.Table)
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fault.New(fault.Internal, "the shape of %s cannot be kept", v.Table.Name).By(err)
	}
	key := versionKey(v.Table.Number, v.Table.Version)
	kept, err := s.keep(ctx, key, append(b, '\n'), maxVersionBytes)
	if err != nil {
		return err
	}
	if v, err = decodeVersion(kept); err != nil {
		return at(err, key)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.loaded {
		h.note(v)
	}
	return nil
}

func decodeVersion(b []byte) (*version, error) {
	var v version
	if err := decodeJSON(b, versionVersion, &v); err != nil {
		return nil, err
	}
	if v.Table == nil {
		return nil, broken("it has no table")
	}
	return &v, nil
}

// note puts v in its place; h.mu is held.
func (h *history) note(v *version) {
	vs := h.tables[v.Table.Number]
	i, found := slices.BinarySearchFunc(vs, v, func(a, b *version) int { return cmp.Compare(a.Table.Version, b.Table.Version) })
	if !found {
		h.tables[v.Table.Number] = slices.Insert(vs, i, v)
	}
}

// load reads every version once.
func (h *history) load(ctx context.Context, s *sink) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.loaded {
		return nil
	}
	h.tables = map[uint32][]*version{}
	n := 0
	for o, err := range s.store.List(ctx, tablesDir, "") {
		if err != nil {
			return s.fail(err, "the shapes of tables cannot be listed")
		}
		if n++; n > maxVersions {
			return fault.New(fault.TargetBroken, "%s has more than %d objects", tablesDir, maxVersions)
		}
		if !strings.HasSuffix(o.Key, ".json") {
			continue
		}
		b, err := s.get(ctx, o.Key, maxVersionBytes)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		v, err := decodeVersion(b)
		if err != nil {
			return at(err, o.Key)
		}
		h.note(v)
	}
	h.loaded = true
	return nil
}

// of returns the versions of a table up to that of t, oldest first.
func (h *history) of(t *row.Table) []*version {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []*version
	for _, v := range h.tables[t.Number] {
		if v.Table.Version < t.Version {
			out = append(out, v)
		} else if v.Table.Version == t.Version {
			return append(out, v)
		}
	}
	return append(out, &version{Table: t})
}

// shares reports whether a table of another number ever had its files in one of the
// folders of t.
func (h *history) shares(s *sink, t *row.Table) bool {
	mine := map[string]bool{}
	for _, v := range h.of(t) {
		mine[s.base(v.Table)] = true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for number, versions := range h.tables {
		if number != t.Number && slices.ContainsFunc(versions, func(v *version) bool { return mine[s.base(v.Table)] }) {
			return true
		}
	}
	return false
}

// posText is a place as _pos has it: the incarnation of the log and the order, in
// small hex digits.
func posText(incarnation uint16, order string) string {
	if order == "" {
		return ""
	}
	b := append([]byte{byte(incarnation >> 8), byte(incarnation)}, order...)
	return hex.EncodeToString(b)
}
