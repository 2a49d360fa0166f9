package e2e

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/test/judge"
)

// target is what a target folder holds at a crash, read as the documents of its
// formats say: final files, and of each shard the greatest commit record.
type target struct {
	root        string
	shards      map[string]shard
	unpublished []receipt
	status      *status
}

type receipt struct {
	Key    string `json:"key"`
	Staged string `json:"staged"`
	Size   int64  `json:"size"`
}

type shard struct {
	number   uint64
	set      position.Set
	receipts []receipt
}

// status is the document for plain readers.
type status struct {
	At struct {
		Pos string `json:"_pos"`
	} `json:"at"`
	Tables []statusTable `json:"tables"`
}

type statusTable struct {
	Name     string   `json:"name"`
	Number   uint32   `json:"number"`
	Folders  []string `json:"folders"`
	Complete bool     `json:"complete"`
	From     string   `json:"from"`
	Stopped  string   `json:"stopped"`
	Key      []string `json:"key"`
	Columns  []struct {
		Column string `json:"column"`
	} `json:"columns"`
}

func readTarget(t testing.TB, root string) *target {
	t.Helper()
	g := &target{root: root, shards: map[string]shard{}}
	dirs, err := filepath.Glob(filepath.Join(root, "_godwit/shards/*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		s, err := readShard(root, d)
		if err != nil {
			t.Fatal(err)
		}
		if s.number == 0 {
			continue
		}
		g.shards[filepath.Base(d)] = s
		for _, r := range s.receipts {
			if _, err := os.Stat(filepath.Join(root, r.Key)); errors.Is(err, fs.ErrNotExist) {
				g.unpublished = append(g.unpublished, r)
			}
		}
	}
	b, err := os.ReadFile(filepath.Join(root, "_godwit/status.json"))
	if err == nil {
		g.status = &status{}
		if err := json.Unmarshal(b, g.status); err != nil {
			t.Fatalf("status.json: %v", err)
		}
	}
	return g
}

// readShard reads the greatest record of a shard.
func readShard(root, dir string) (shard, error) {
	var s shard
	names, err := os.ReadDir(filepath.Join(dir, "commits"))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	path := ""
	for _, n := range names {
		if k, err := strconv.ParseUint(n.Name(), 10, 64); err == nil && len(n.Name()) == 20 && k > s.number {
			s.number, path = k, filepath.Join(dir, "commits", n.Name())
		}
	}
	if path == "" {
		return s, nil
	}
	var record struct {
		Positions []byte    `json:"positions"`
		Receipts  []receipt `json:"receipts"`
		Side      *struct {
			Key string `json:"key"`
		} `json:"side"`
	}
	if err := readJSON(path, &record); err != nil {
		return s, err
	}
	s.receipts = record.Receipts
	if record.Side != nil {
		var body struct {
			Receipts []receipt `json:"receipts"`
		}
		if err := readJSON(filepath.Join(root, record.Side.Key), &body); err != nil {
			return s, err
		}
		s.receipts = body.Receipts
	}
	s.set, err = position.UnmarshalSet(record.Positions)
	return s, err
}

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// view makes a folder in which final files and unpublished ones of the greatest
// records lie as if all were published.
func (g *target) view(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(t.TempDir(), "view-")
	if err != nil {
		t.Fatal(err)
	}
	link := func(from, key string) {
		to := filepath.Join(dir, key)
		err := os.MkdirAll(filepath.Dir(to), 0o755)
		if err == nil {
			err = os.Link(from, to)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range g.files(t) {
		link(filepath.Join(g.root, f), f)
	}
	for _, r := range g.unpublished {
		from := filepath.Join(g.root, "_godwit/staging", r.Staged)
		if i, err := os.Stat(from); err != nil || i.Size() != r.Size {
			t.Fatalf("a commit names %s, which is neither there nor staged whole: %v", r.Key, err)
		}
		link(from, r.Key)
	}
	asCSV(t, dir)
	return dir
}

// asCSV writes what Parquet files below a folder hold as CSV, in the forms that files of
// CSV have, beside them.
func asCSV(t testing.TB, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", "*", "*.parquet"))
	if err != nil || len(files) == 0 {
		return
	}
	var script strings.Builder
	for _, f := range files {
		columns := "*"
		if filepath.Base(filepath.Dir(f)) == "bins" {
			columns = "* REPLACE (lower(hex(k)) AS k, lower(hex(v)) AS v)"
		}
		fmt.Fprintf(&script, "COPY (SELECT %s FROM read_parquet(%s)) TO %s (FORMAT csv, HEADER, NULLSTR '\\N', TIMESTAMPFORMAT '%%Y-%%m-%%d %%H:%%M:%%S.%%f');\n",
			columns, judge.Literal(f), judge.Literal(strings.TrimSuffix(f, "parquet")+"csv"))
	}
	judge.DuckDB(t).Query(t, script.String())
}

// files lists the final files.
func (g *target) files(t testing.TB) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(g.root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == g.root {
			return nil
		}
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), "_") {
			return fs.SkipDir
		}
		if d.Type().IsRegular() {
			rel, _ := filepath.Rel(g.root, path)
			out = append(out, rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// spot is a place of the binlog.
type spot struct {
	file   uint32
	offset uint64
	inside bool // of a group of events
	pos    string
}

func (s spot) name() string { return fmt.Sprintf("bin.%06d", s.file) }

func (s spot) before(o spot) bool {
	return s.file < o.file || s.file == o.file && s.offset < o.offset
}

// spotOf reads the order of a place (docs/formats/positions.md).
func spotOf(t testing.TB, p position.Position, incarnation uint16) spot {
	t.Helper()
	o := []byte(p.Order())
	if len(o) != 22 {
		t.Fatalf("the order of a place has %d bytes", len(o))
	}
	return spot{
		file:   binary.BigEndian.Uint32(o),
		offset: uint64(binary.BigEndian.Uint16(o[4:]))<<32 | uint64(binary.BigEndian.Uint32(o[6:])),
		inside: binary.BigEndian.Uint32(o[10:]) != 0, pos: row.PlacePos(incarnation, p),
	}
}

// stream returns the committed place of the stream, and whether the snapshot is
// whole there.
func (g *target) stream(t testing.TB) (at spot, whole, ok bool) {
	t.Helper()
	s, ok := g.shards["stream"]
	p := s.set["stream"]
	if !ok || p.IsZero() {
		return at, false, false
	}
	at = spotOf(t, p, g.incarnation(t))
	if s.set["generation"].Token() == "" {
		return at, true, true
	}
	copied := s.set["copied"]
	if copied.IsZero() {
		return at, false, true
	}
	c, err := copied.Compare(p)
	return at, err == nil && c <= 0, true
}

func (g *target) incarnation(t testing.TB) uint16 {
	t.Helper()
	text := g.shards["stream"].set["log"].Token()
	if text == "" {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return uint16(n)
}

// marks returns the marks of committed chunks by table number, rising.
func (g *target) marks(t testing.TB) []tableMark {
	t.Helper()
	var out []tableMark
	for task, s := range g.shards {
		f := strings.Split(task, ".")
		if len(f) != 3 {
			continue
		}
		for key, p := range s.set {
			if strings.HasPrefix(key, "c") && strings.Contains(key, "-") {
				out = append(out, tableMark{f[0], spotOf(t, p, g.incarnation(t))})
			}
		}
	}
	slices.SortFunc(out, func(a, b tableMark) int { return strings.Compare(a.at.pos, b.at.pos) })
	return out
}

type tableMark struct {
	number string
	at     spot
}
