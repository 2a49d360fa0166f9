package files

import (
	"cmp"
	"path"
	"slices"
	"strconv"
	"strings"

	"godwit/internal/connector"
	"godwit/internal/row"
)

// A table that is dropped, or renamed out of the tables chosen, ends with a row that says
// so, and the one that gets its name next has the same folder. What lies there from before
// that row has other shapes, and is read for such rows alone.

// former are versions of tables that had a folder before the one that is read, oldest
// first, and the _pos from which that one has it; empty where it is not known.
type former struct {
	of    map[string][]*version
	until map[string]string
}

// folders returns the folders of the table, and finds who had them before it.
func (r *readBack) folders() []string {
	r.former = former{of: map[string][]*version{}, until: map[string]string{}}
	var all []string
	for _, v := range r.versions {
		f := r.sink.know(v.Table)
		if slices.Contains(all, f) {
			continue
		}
		all = append(all, f)
		r.former.of[f], r.former.until[f] = r.sink.history.others(r.sink, r.table, f), v.Since
	}
	return all
}

// others returns the versions of tables of other numbers than that of t that had their
// files in a folder, by place.
func (h *history) others(s *sink, t *row.Table, folder string) (out []*version) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for number, versions := range h.tables {
		for _, v := range versions {
			if number != t.Number && s.base(v.Table) == folder {
				out = append(out, v)
			}
		}
	}
	slices.SortFunc(out, func(a, b *version) int {
		return cmp.Or(cmp.Compare(a.Since, b.Since), cmp.Compare(a.Table.Number, b.Table.Number), cmp.Compare(a.Table.Version, b.Table.Version))
	})
	return out
}

// candidates returns the versions that a file may have, the likeliest last: those of the
// table itself, unless its name has the number of one that had the folder before.
func (r *readBack) candidates(folder, key string) []*version {
	all := slices.Concat(r.former.of[folder], r.versions)
	n := numberIn(key)
	if n == 0 || n == r.table.Number {
		return all
	}
	isNot := func(v *version) bool { return v.Table.Number != n }
	is := func(v *version) bool { return v.Table.Number == n }
	return slices.Concat(slices.DeleteFunc(slices.Clone(all), is), slices.DeleteFunc(all, isNot))
}

// numberIn returns the number of the one table whose rows a file has by its name: a chunk,
// or changes of a table that stood apart; 0: it may have those of any.
func numberIn(key string) uint32 {
	name := strings.TrimPrefix(path.Base(key), connector.StreamSplit+".")
	digits := name[:len(name)-len(strings.TrimLeft(name, "0123456789"))]
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// withheld is about rows that cannot be given in the shape of the table: the greatest _pos
// of one, its file, and why.
type withheld struct {
	pos, key string
	why      error
}

// withhold gives, of rows that cannot be given, those that end all before them.
func (r *readBack) withhold(b *row.Batch, key string, why error) error {
	defer b.Release()
	for k := range b.Sections() {
		s := &b.Sections()[k]
		for i := s.Row; i < s.Row+s.Rows; i++ {
			if b.Op(i) == row.Truncate {
				end := row.TruncateOrder(&r.pool, r.sink.Stored(r.table), b.Order(i), row.Txn{})
				if err := r.emit(end.In(b.Incarnation)); err != nil {
					return err
				}
			} else if pos := posText(b.Incarnation, b.Order(i)); pos > r.withheld.pos {
				r.withheld = withheld{pos, key, why}
			}
		}
	}
	return nil
}

// note keeps the last place at which all rows before it end.
func (r *readBack) note(b *row.Batch) {
	for k := range b.Sections() {
		s := &b.Sections()[k]
		for i := s.Row; i < s.Row+s.Rows; i++ {
			if b.Op(i) == row.Truncate {
				r.ended = max(r.ended, posText(b.Incarnation, b.Order(i)))
			}
		}
	}
}

// ungiven refuses rows that were withheld and have not ended since.
func (r *readBack) ungiven() error {
	if r.withheld.pos > r.ended {
		return at(r.withheld.why, r.withheld.key)
	}
	return nil
}
