package files

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"godwit/internal/connector/sinktest"
	"godwit/internal/position"
	"godwit/internal/row"
)

func pathOf(t *testing.T, text string) *pattern {
	t.Helper()
	p, err := parsePath(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return &p
}

func TestPath_when_read(t *testing.T) {
	for text, want := range map[string]string{ // the folder of table b in a
		"{database}/{table}":                            "a/b/",
		"lake/db={database}/t={table}":                  "lake/db=a/t=b/",
		"{table}/{database}":                            "b/a/",
		"{database}/{table}/dt={date}":                  "a/b/",
		"x-{database}.raw/{table}/{year}/{month}/{day}": "x-a.raw/b/",
		"{database}/{table}/all/p={column:kind}":        "a/b/",
		"{database}/{table}/{column:at:hour}":           "a/b/",
	} {
		if got := pathOf(t, text).folder(names{}, "a", "b", ""); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
	for _, bad := range []string{
		"", "/", "{database}/{table}/", "/{database}/{table}", "{database}//{table}", "{database}", "{table}", "{database}{table}", "{database}_{table}",
		"{database}/{table}/{table}", "dt={date}/{database}/{table}", "{database}/dt={date}/{table}", "{database}/{column:x}/{table}", "../{database}/{table}",
		"{database}/{table}/..", "{database}/{table}/.x", "_godwit/{database}/{table}", "_x/{database}/{table}", "{database}/{table}/_{date}", "{database}/{table}/a b",
		"{database}/{table}/{when}", "{database}/{table}/{date", "{database}/{table}/{column:}", "{database}/{table}/{column}", "{database}/{table}/{date:x}",
		"{database}/{table}/g2", "{database}/{table}/a\x00", "{database}/{table}/%2e%2e", "{database}/{table}" + strings.Repeat("/a", 20),
	} {
		if p, err := parsePath(bad); err == nil {
			t.Errorf("%q was taken: %+v", bad, p)
		}
	}
}

func TestPath_when_values_are_hostile(t *testing.T) {
	p := pathOf(t, "{database}/{table}/{column:v}/x={column:v}")
	r := rand.New(rand.NewPCG(1, 1))
	pieces := []string{"..", ".", "/", "_", "_godwit", "g2", "g12", "G2", "é", "%2F", "=", "a", "", "\x00", "\\", strings.Repeat("l", 300)}
	text := func() (s string) {
		for range 1 + r.IntN(3) {
			s += pieces[r.IntN(len(pieces))]
		}
		return s
	}
	tables := map[string]row.Name{}
	values := map[string]string{}
	for range 3000 {
		n := names{fold: r.IntN(2) == 0, path: p}
		name, v := row.Name{Space: text(), Table: text()}, text()
		base := p.folder(n, name.Space, name.Table, "")
		k := strings.ToLower(base)
		if n.fold && tables[k] != (row.Name{}) && tables[k] != name {
			t.Fatalf("%q and %q have the folder %s", tables[k], name, base)
		}
		if n.fold {
			tables[k] = name
		}
		tab := &row.Table{Name: name, Columns: []row.Column{{Name: "v", Type: row.Type{Kind: row.Text}}}}
		x := row.NewBuilder(&row.Pool{})
		x.At("p", 1, row.Txn{})
		x.Row(tab, row.Insert)
		x.String(v)
		b := x.Finish(position.Position{}, 0)
		part := string(p.part(nil, n, b, &b.Sections()[0], 0, 0))
		key := base + part
		if !strings.HasSuffix(key, "/") || strings.Count(key, "/") != 4 {
			t.Fatalf("%q: the folder %s", v, key)
		}
		for _, s := range strings.Split(strings.TrimSuffix(key, "/"), "/") {
			if s == "" || s[0] == '.' || s[0] == '_' || len(s) > 170 || strings.ContainsAny(s, "\x00\\") {
				t.Fatalf("%q: the segment %q", v, s)
			}
		}
		if generationOf(part) != 1 {
			t.Fatalf("%q: %s could be a generation", v, part)
		}
		if old, there := values[part]; there && old != v {
			t.Fatalf("%q and %q lie in %s", old, v, part)
		}
		values[part] = v
	}
}

func TestPath_when_rows_are_divided(t *testing.T) {
	const second = 1_000_000
	for _, c := range []struct {
		path, want string
		kind       row.Kind
		word       uint64
		null       bool
		committed  int64
	}{
		{path: "dt={date}/h={hour}", want: "dt=2026-11-26/h=21/", committed: 1795728123 * second},
		{path: "{year}/{month}/{day}", want: "2026/11/26/", committed: 1795728123 * second},
		{path: "dt={date}", want: "dt=__HIVE_DEFAULT_PARTITION__/"},
		{path: "d={column:c:date}", want: "d=2024-02-29/", kind: row.Date, word: row.PackDate(2024, 2, 29)},
		{path: "d={column:c}", want: "d=2024-02-29/", kind: row.Date, word: row.PackDate(2024, 2, 29)},
		{path: "d={column:c:date}", want: "d=__HIVE_DEFAULT_PARTITION__/", kind: row.Date, word: row.PackDate(2024, 2, 0)},
		{path: "d={column:c:date}/{column:c:hour}", want: "d=0999-01-02/23/", kind: row.DateTime, word: row.PackDateTime(999, 1, 2, 23*3600*second)},
		{path: "{column:c:month}", want: "11/", kind: row.Timestamp, word: 1795728123 * second},
		{path: "{column:c:month}", want: "__HIVE_DEFAULT_PARTITION__/", kind: row.Timestamp, word: 1 << 63},
		{path: "n={column:c}", want: "n=-5/", kind: row.Int, word: ^uint64(4)},
		{path: "n={column:c}", want: "n=18446744073709551611/", kind: row.Uint, word: ^uint64(4)},
		{path: "n={column:c}", want: "n=__HIVE_DEFAULT_PARTITION__/", kind: row.Int, null: true},
		{path: "n={column:other}", want: "n=__HIVE_DEFAULT_PARTITION__/", kind: row.Int},
		{path: "n={column:c}", want: "n=__HIVE_DEFAULT_PARTITION__/", kind: row.Float64},
		{path: "g{column:c}/g{column:c}", want: "%675/g5/", kind: row.Int, word: 5}, // no generation
		{path: "g{column:c}", want: "g-5/", kind: row.Int, word: ^uint64(4)},
	} {
		p := pathOf(t, "{database}/{table}/"+c.path)
		x := row.NewBuilder(&row.Pool{})
		x.At("p", 1, row.Txn{Time: c.committed})
		x.Row(&row.Table{Columns: []row.Column{{Name: "c", Type: row.Type{Kind: c.kind}}}}, row.Insert)
		if c.null {
			x.Null()
		} else {
			x.Word(c.word)
		}
		b := x.Finish(position.Position{}, 0)
		if got := string(p.part(nil, names{path: p}, b, &b.Sections()[0], 0, c.committed)); got != c.want {
			t.Errorf("%s: %s, not %s", c.path, got, c.want)
		}
	}
}

// Every row of a table in a folder of its own, with deletes and updates.
func TestSink_when_a_path_divides_tables(t *testing.T) {
	for name, c := range map[string]config{"changelog": testConfig(), "append": appendConfig()} {
		t.Run(name, func(t *testing.T) {
			c.Path = pathOf(t, "db={database}/t={table}/{column:id}")
			h := memHarness()
			h.Steps = slices.DeleteFunc(h.Steps, func(s string) bool { return s == "discard" }) // no folder is used twice
			h.New = func() sinktest.World { return &memWorld{mem: sinktest.NewMem(), config: &c} }
			if c.Layout == layoutAppend {
				h.Leaves = "dt"
			}
			sinktest.Run(t, h, 300)
		})
	}
}

// A crash leaves staged files; the next owner finds those in folders that a commit told of.
func TestSweep_when_a_path_divides_tables(t *testing.T) {
	tab := appendTable("orders", 1, 1)
	c := appendConfig()
	c.Path = pathOf(t, "{database}/{table}/{column:id}")
	b := newHeap(t, c, tab)
	w := b.open("stream")
	for range 2 {
		if err := b.put(w, tab, row.Insert, 1, row.Insert, 2); err != nil {
			t.Fatal(err)
		}
	}
	x := row.NewBuilder(&b.pool)
	for i := range 3 * 8 { // some files are closed, and none is committed
		x.At("00000009", uint64(i), row.Txn{})
		x.Row(tab, row.Insert)
		x.Int(int64(1 + i/4%2))
	}
	if err := w.Apply(t.Context(), x.Finish(position.Position{}, 0)); err != nil {
		t.Fatal(err)
	}
	if len(b.mem.Waiting) == 0 {
		t.Fatal("nothing is staged")
	}
	b.open("stream")
	if len(b.mem.Waiting) != 0 {
		t.Errorf("%d staged files are left", len(b.mem.Waiting))
	}
	b.want("shop/orders/1/1", "shop/orders/1/1", "shop/orders/2/2", "shop/orders/2/2")
}
