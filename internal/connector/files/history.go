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
	versionVersion  = 2 // with Own; 1 without it
	maxVersionBytes = 16 << 20
	maxVersions     = 1 << 20
)

// version is one version of a table's shape, kept before any row of it is
// committed (docs/formats/target-folder.md). Its object is created once.
type version struct {
	Version int        `json:"version"`
	Table   *row.Table `json:"table"`
	Folder  string     `json:"folder"`
	// Own is what the last part of the folder has behind the table's name, because files
	// of a table that had the name before lie in the folder of the plain name.
	Own string `json:"own,omitempty"`
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
	if _, err := h.choose(ctx, s, c.After); err != nil {
		return err
	}
	return h.add(ctx, s, &version{Table: c.After, Since: s.status.pos(place.Order()), Renamed: c.Renamed})
}

// nameOf is a name that a table had.
type nameOf struct {
	number uint32
	name   row.Name
}

// settle chooses the folders of tables that begin, and keeps it with their shapes where
// it is not that of the name.
func (h *history) settle(ctx context.Context, s *sink, tables []*row.Table) error {
	for _, t := range tables {
		own, err := h.choose(ctx, s, t)
		if err == nil && own {
			err = h.add(ctx, s, &version{Table: t})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// choose gives a table a folder of its own that has a name which another one had before
// and gave up: their rows must not be taken for one table's.
func (h *history) choose(ctx context.Context, s *sink, t *row.Table) (own bool, err error) {
	if err := h.load(ctx, s); err != nil {
		return false, err
	}
	if t.Number == 0 || h.named(t) || !h.givenUp(s, t) {
		return false, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.suffixes[nameOf{t.Number, t.Name}] = fmt.Sprintf("~%d", t.Number)
	return true, nil
}

// named reports whether a version of t had its name already.
func (h *history) named(t *row.Table) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.tables[t.Number], func(v *version) bool { return v.Table.Name == t.Name })
}

// givenUp reports whether another table had its files in the folder of t's name, and has
// another name by now. (One that was dropped under the name has a row that ends it.)
func (h *history) givenUp(s *sink, t *row.Table) bool {
	plain := s.base(&row.Table{Name: t.Name})
	h.mu.Lock()
	defer h.mu.Unlock()
	for number, vs := range h.tables {
		had := func(v *version) bool { return s.base(v.Table) == plain }
		if number != t.Number && slices.ContainsFunc(vs, had) && !had(vs[len(vs)-1]) {
			return true
		}
	}
	return false
}

func (h *history) add(ctx context.Context, s *sink, v *version) error {
	v.Version, v.Folder = 1, s.know(v.Table)
	s.mu.Lock()
	v.Own = s.suffixes[nameOf{v.Table.Number, v.Table.Name}]
	s.mu.Unlock()
	if v.Own != "" {
		v.Version = versionVersion
	}
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
	s.mu.Lock()
	s.suffixes[nameOf{v.Table.Number, v.Table.Name}] = v.Own // somebody may have been first
	s.mu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.loaded {
		h.note(s, v)
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
func (h *history) note(s *sink, v *version) {
	if v.Own != "" {
		s.mu.Lock()
		s.suffixes[nameOf{v.Table.Number, v.Table.Name}] = v.Own
		s.mu.Unlock()
	}
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
		h.note(s, v)
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
