package flow

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	"github.com/klauspost/compress/zstd"

	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/test/golden"
)

func sampleTable() *row.Table {
	def := "x"
	return &row.Table{
		Name: row.Name{Space: "shop", Table: "orders"}, Number: 3, Version: 2, Key: []int{0}, Charset: "utf8mb4", Collation: "utf8mb4_general_ci",
		Columns: []row.Column{
			{Name: "id", Type: row.Type{Kind: row.Uint, Size: 8, Native: "bigint(20) unsigned"}},
			{Name: "state", Nullable: true, Default: &def, Type: row.Type{Kind: row.Enum, Labels: []string{"a", "b,'c"}, Native: "enum('a','b,''c')", Charset: "latin1", Collation: "latin1_swedish_ci"}},
			{Name: "amount", Type: row.Type{Kind: row.Decimal, Digits: 12, Scale: 2, Native: "decimal(12,2)"}},
		},
		Cascades: []row.Name{{Space: "shop", Table: "items"}}, Stopped: "why", Rows: -1, Bytes: -1,
	}
}

func TestSchemas_golden(t *testing.T) {
	m := newMemSink()
	s := &shapes{next: 4, tables: []*row.Table{sampleTable()}}
	if err := s.keep(t.Context(), m, nil); err != nil {
		t.Fatal(err)
	}
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	b, err := d.DecodeAll(m.once[schemasKey(s.id)], nil)
	if err != nil {
		t.Fatal(err)
	}
	golden.Same(t, "testdata/schemas-v1.json", b)
	back, err := loadShapes(t.Context(), m, s.id)
	if err != nil || !reflect.DeepEqual(back.tables, s.tables) || back.next != 4 {
		t.Fatalf("%+v, %v", back, err)
	}
}

func TestPlan_golden(t *testing.T) {
	p := &tablePlan{Version: planVersion, Table: row.Name{Space: "shop", Table: "orders"}, Number: 3, Generation: 2, Runs: [][]byteRange{{[]byte("a"), []byte("b")}, {nil}}}
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	golden.Same(t, "testdata/plan-v1.json", b)
	back, _, err := parsePlan(b)
	if err != nil || back.firstChunk(1) != 2 || back.task(1) != "3.2.1" {
		t.Fatalf("%+v, %v", back, err)
	}
	if _, _, err := parsePlan([]byte(`{"version":2}`)); !fault.Has(err, fault.FormatNewer) {
		t.Fatalf("a newer plan: %v", err)
	}
	if _, _, err := parsePlan([]byte(`{`)); !fault.Has(err, fault.TargetBroken) {
		t.Fatalf("a broken plan: %v", err)
	}
}

func TestSchemas_when_changed_many_times(t *testing.T) {
	m := newMemSink()
	s := numbered([]*row.Table{{Name: row.Name{Space: "d", Table: "a"}}, {Name: row.Name{Space: "d", Table: "b"}}}, nil)
	if err := s.keep(t.Context(), m, nil); err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for i := range 200 {
		c := &row.SchemaChange{}
		switch i % 4 {
		case 0:
			c.Kind, c.After = row.Create, &row.Table{Name: row.Name{Space: "d", Table: fmt.Sprint("t", i)}, Number: s.next}
		case 1, 2:
			before := s.tables[len(s.tables)-1]
			after := *before
			after.Version++
			c.Kind, c.Before, c.After = row.Alter, before, &after
		case 3:
			c.Kind, c.Before = row.Drop, s.tables[len(s.tables)-1]
		}
		next := s.after(c)
		if err := next.keep(t.Context(), m, s); err != nil {
			t.Fatal(err)
		}
		s = next
		if ids[s.id] {
			t.Fatalf("change %d: id %s was used before", i, s.id)
		}
		ids[s.id] = true
		back, err := loadShapes(t.Context(), m, s.id)
		if err != nil {
			t.Fatal(err)
		}
		if len(back.tables) != len(s.tables) || back.next != s.next || back.depth >= foldEvery {
			t.Fatalf("change %d: %d tables, next %d, depth %d", i, len(back.tables), back.next, back.depth)
		}
		for k := range s.tables {
			if back.tables[k].Name != s.tables[k].Name || back.tables[k].Version != s.tables[k].Version || back.tables[k].Number != s.tables[k].Number {
				t.Fatalf("change %d: %+v is not %+v", i, back.tables[k], s.tables[k])
			}
		}
	}
}

func TestSchemas_when_damaged(t *testing.T) {
	m := newMemSink()
	s := &shapes{next: 4, tables: []*row.Table{sampleTable()}}
	if err := s.keep(t.Context(), m, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := loadShapes(t.Context(), m, "nowhere"); !fault.Has(err, fault.TargetLost) {
		t.Fatalf("a missing object: %v", err)
	}
	whole := m.once[schemasKey(s.id)]
	for i := range whole {
		bad := append([]byte(nil), whole...)
		bad[i] ^= 0x55
		m.once[schemasKey(s.id)] = bad
		if back, err := loadShapes(t.Context(), m, s.id); err == nil && !reflect.DeepEqual(back.tables, s.tables) {
			t.Fatalf("byte %d changed and nobody noticed", i)
		}
	}
}

func TestChunks_when_neighbours_share_a_mark(t *testing.T) {
	p, q := placeAfter(1), placeAfter(2)
	var c chunks
	for _, n := range []uint32{0, 2, 1, 4, 3} {
		mark := p
		if n > 2 {
			mark = q
		}
		c = c.with(n, mark)
	}
	want := position.Set{"c0-2": p, "c3-4": q}
	if !c.set().Equal(want) {
		t.Fatalf("%v", c.set())
	}
	back, err := chunksOf(c.set())
	if err != nil || !reflect.DeepEqual(back, c) || !back.has(4) || back.has(5) || back.count() != 5 {
		t.Fatalf("%v, %v", back, err)
	}
	if g, err := c.greatest(); err != nil || g != q {
		t.Fatal(g, err)
	}
	if _, err := chunksOf(position.Set{"c5-3": p}); err == nil {
		t.Fatal("a range that runs backwards was read")
	}
}
