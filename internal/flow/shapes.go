package flow

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/klauspost/compress/zstd"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/row"
)

// shapes are the tables of a job with the shape each has at one place of the
// log. They travel with that place: a Set names them by id, and the object
// behind the id never changes (docs/formats/schemas.md). Values are immutable.
type shapes struct {
	id     string
	depth  int // objects from here to a full one
	next   uint32
	tables []*row.Table // by number
}

// schemasVersion is the version of the stored object.
const schemasVersion = 1

// foldEvery bounds how many objects must be read to know all shapes.
const foldEvery = 64

// maxSchemasBytes bounds an object once it is unpacked.
const maxSchemasBytes = 256 << 20

// schemasObject is the stored form: a full list, or what changed since parent.
type schemasObject struct {
	Version int          `json:"version"`
	Parent  string       `json:"parent,omitempty"`
	Depth   int          `json:"depth,omitempty"`
	Next    uint32       `json:"next"` // the number the next new table gets
	Tables  []*row.Table `json:"tables"`
	Dropped []uint32     `json:"dropped,omitempty"`
}

// numbered returns tables with numbers: those that known has by name keep its
// number, the others are counted on.
func numbered(tables []*row.Table, known *shapes) *shapes {
	s, byName := &shapes{next: 1}, known.names()
	if known != nil {
		s.next = known.next
	}
	for _, t := range tables {
		c := *t
		c.Number = byName[t.Name]
		if c.Number == 0 {
			c.Number = s.next
			s.next++
		}
		s.tables = append(s.tables, &c)
	}
	s.sort()
	return s
}

// numbersOf returns own tables, nil for none, and those that other sinks know besides: what
// is new to a sink that is behind gets the number that it has in the others.
func numbersOf(own *shapes, others []*SinkState) *shapes {
	out := &shapes{next: 1, tables: slices.Clone(own.all())}
	if own != nil {
		out.next = own.next
	}
	given := out.next // numbers below are those of other tables
	names, taken := out.names(), map[uint32]bool{}
	for _, s := range others {
		for _, t := range s.Shapes.all() {
			if names[t.Name] == 0 && t.Number >= given && !taken[t.Number] {
				names[t.Name], taken[t.Number] = t.Number, true
				out.tables = append(out.tables, t)
			}
		}
		out.next = max(out.next, s.next())
	}
	out.sort()
	return out
}

// begin says of freshly numbered tables that a generation of their snapshots begins.
func (s *shapes) begin(generation uint32) {
	for _, t := range s.tables {
		t.Generation = generation
	}
}

func (s *shapes) sort() {
	slices.SortFunc(s.tables, func(a, b *row.Table) int { return int(a.Number) - int(b.Number) })
}

// all returns the tables; none of nil shapes.
func (s *shapes) all() []*row.Table {
	if s == nil {
		return nil
	}
	return s.tables
}

// with returns s with t in place of the table of its number. It has no id until
// kept.
func (s *shapes) with(t *row.Table) *shapes {
	out := s.without(t.Number)
	out.tables = append(out.tables, t)
	out.next = max(out.next, t.Number+1)
	out.sort()
	return out
}

// without returns s without the table of a number. It has no id until kept.
func (s *shapes) without(number uint32) *shapes {
	out := &shapes{next: s.next, tables: slices.Clone(s.tables)}
	out.tables = slices.DeleteFunc(out.tables, func(t *row.Table) bool { return t.Number == number })
	return out
}

// only returns the one table of s; no table when s has none of that number.
func (s *shapes) only(number uint32) *shapes {
	out := &shapes{next: s.next}
	if t := s.table(number); t != nil {
		out.tables = []*row.Table{t}
	}
	return out
}

// table returns the table of a number; nil when there is none, or no shapes.
func (s *shapes) table(number uint32) *row.Table {
	if s == nil {
		return nil
	}
	i, ok := slices.BinarySearchFunc(s.tables, number, func(t *row.Table, n uint32) int { return int(t.Number) - int(n) })
	if !ok {
		return nil
	}
	return s.tables[i]
}

// names are the numbers of the tables by name; none of nil shapes.
func (s *shapes) names() map[row.Name]uint32 {
	out := map[row.Name]uint32{}
	for _, t := range s.all() {
		out[t.Name] = t.Number
	}
	return out
}

// after returns the shapes after a change. They have no id until kept.
func (s *shapes) after(c *row.SchemaChange) *shapes {
	out := &shapes{next: s.next, tables: slices.Clone(s.tables)}
	if c.Before != nil {
		out.tables = slices.DeleteFunc(out.tables, func(t *row.Table) bool { return t.Number == c.Before.Number })
	}
	if c.After != nil {
		out.tables = append(out.tables, c.After)
		out.next = max(out.next, c.After.Number+1)
		out.sort()
	}
	return out
}

// keep stores s in the sink and gives it its id. parent, when not nil, are the
// kept shapes that s came from: then only what differs is stored, until the
// chain is foldEvery long.
func (s *shapes) keep(ctx context.Context, sink connector.Sink, parent *shapes) error {
	o := schemasObject{Version: schemasVersion, Next: s.next, Tables: s.tables}
	if parent != nil && parent.id != "" && parent.depth+1 < foldEvery {
		o.Parent, o.Depth, o.Tables = parent.id, parent.depth+1, nil
		for _, t := range s.tables {
			if parent.table(t.Number) != t {
				o.Tables = append(o.Tables, t)
			}
		}
		for _, t := range parent.tables {
			if s.table(t.Number) == nil {
				o.Dropped = append(o.Dropped, t.Number)
			}
		}
	}
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(b)
	id := hex.EncodeToString(sum[:16])
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(128<<10))
	if err != nil {
		return err
	}
	defer z.Close()
	if _, err := sink.Once(ctx, schemasKey(id), z.EncodeAll(b, nil)); err != nil {
		return err
	}
	s.id, s.depth = id, o.Depth
	return nil
}

func schemasKey(id string) string { return "schemas/" + id }

// loadShapes reads the shapes behind id.
func loadShapes(ctx context.Context, sink connector.Sink, id string) (*shapes, error) {
	var chain []schemasObject
	for at := id; ; {
		o, err := loadObject(ctx, sink, at)
		if err != nil {
			return nil, err
		}
		chain = append(chain, o)
		if at = o.Parent; at == "" {
			break
		}
		if len(chain) > foldEvery {
			return nil, broken(id, fmt.Errorf("chain of more than %d", foldEvery))
		}
	}
	s := &shapes{id: id, depth: chain[0].Depth, next: chain[0].Next}
	byNumber := map[uint32]*row.Table{}
	for _, o := range slices.Backward(chain) {
		for _, n := range o.Dropped {
			delete(byNumber, n)
		}
		for _, t := range o.Tables {
			byNumber[t.Number] = t
		}
	}
	for _, t := range byNumber {
		t.Rows, t.Bytes = -1, -1
		s.tables = append(s.tables, t)
	}
	s.sort()
	return s, nil
}

func loadObject(ctx context.Context, sink connector.Sink, id string) (o schemasObject, err error) {
	b, err := sink.Once(ctx, schemasKey(id), nil)
	if err != nil {
		return o, err
	}
	if b == nil {
		return o, fault.New(fault.TargetLost, "the schemas object %s that a position names is gone", id).
			Try("restore the control folder, or write to a new target")
	}
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxSchemasBytes))
	if err != nil {
		return o, err
	}
	defer z.Close()
	if b, err = z.DecodeAll(b, nil); err != nil {
		return o, broken(id, err)
	}
	sum := sha256.Sum256(b)
	if hex.EncodeToString(sum[:16]) != id {
		return o, broken(id, fmt.Errorf("its contents do not match its name"))
	}
	if err := json.Unmarshal(b, &o); err != nil {
		return o, broken(id, err)
	}
	if o.Version > schemasVersion {
		return o, fault.New(fault.FormatNewer, "schemas object %s has version %d, this program reads up to %d", id, o.Version, schemasVersion)
	}
	return o, nil
}

func broken(id string, cause error) error {
	return fault.New(fault.TargetBroken, "the schemas object %s cannot be read", id).By(cause)
}
