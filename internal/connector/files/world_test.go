package files

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	stdcsv "encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path"
	"slices"
	"strconv"
	"strings"

	"godwit/internal/codec"
	"godwit/internal/codec/csv"
	"godwit/internal/connector"
	"godwit/internal/connector/sinktest"
	"godwit/internal/option"
	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/internal/store"
	"godwit/internal/store/local"
	"godwit/internal/store/powerfs"
)

// lines is a codec that writes each row as the kit compares it.
type lines struct{}

var linesFormat = codec.Format{Name: "lines", New: func(option.Values) (codec.Codec, error) { return lines{}, nil }}

func (lines) Extension() string { return "txt" }

func (lines) Columns(s codec.Shape) []string {
	var out []string
	for _, c := range s.Table.Columns {
		out = append(out, c.Name+" "+c.Type.Native)
	}
	return out
}

func (lines) NewEncoder(w io.Writer, s codec.Shape) (codec.Encoder, error) {
	return &lineEncoder{w: w, table: s.Table}, nil
}

type lineEncoder struct {
	w     io.Writer
	table *row.Table
	n     int64
}

func (e *lineEncoder) Encode(b *row.Batch, s *row.Section) error {
	if s.Table != e.table {
		return errors.New("rows of another version in one file")
	}
	var out bytes.Buffer
	for i := s.Row; i < s.Row+s.Rows; i++ {
		var cells []string
		words, flags := b.Cells(s, i)
		for k, c := range s.Table.Columns {
			if flags[k] != row.Value {
				continue
			}
			if c.Type.Kind.InBytes() {
				cells = append(cells, c.Name+"="+string(b.Data(words[k])))
			} else {
				cells = append(cells, fmt.Sprintf("%s=%d", c.Name, int64(words[k])))
			}
		}
		out.WriteString(sinktest.Line(s.Table.Name.String(), codec.OpLetter(b.Op(i)), hex.EncodeToString([]byte(b.Order(i))), cells))
		out.WriteByte('\n')
	}
	n, err := e.w.Write(out.Bytes())
	e.n += int64(n)
	return err
}

func (e *lineEncoder) Memory() int    { return 1000 }
func (e *lineEncoder) Written() int64 { return e.n }
func (e *lineEncoder) Close() error   { return nil }

// testConfig closes files often, so that commits have several.
func testConfig() config {
	return config{Where: "test", Layout: layoutChangelog, Format: "lines", Codec: lines{}, Roll: roll{Size: 200, Rows: 3}}
}

func testSink(st store.Store, c config) (connector.Sink, error) {
	s, err := newSink(st, c, connector.Env{Job: "shop", Name: "lake"})
	if err != nil {
		return nil, err
	}
	s.wait = func(context.Context, int) error { return nil }
	s.width = 1     // steps have one order
	s.spread = 20   // more than any history stages
	s.memory = 2500 // of line encoders: more than two close the oldest
	return s, nil
}

// csvConfig is testConfig with the format that users have.
func csvConfig(compression string) config {
	c, err := csv.Format.New(option.Of(csv.Format.Options, map[string]any{"compression": compression}))
	if err != nil {
		panic(err)
	}
	return config{Where: "test", Layout: layoutChangelog, Format: "csv", Codec: c, Roll: roll{Size: 200, Rows: 3}}
}

// csvRows reads a file with the standard library's reader.
func csvRows(key string, b []byte) (out []string, err error) {
	if strings.HasSuffix(key, ".gz") {
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, err
		}
		if b, err = io.ReadAll(z); err != nil {
			return nil, err
		}
	}
	all, err := stdcsv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil || len(all) == 0 {
		return nil, fmt.Errorf("%s: no header: %v", key, err)
	}
	space, table, _ := strings.Cut(key, "/")
	table, _, _ = strings.Cut(table, "/")
	space, _ = unescape(space)
	table, _ = unescape(table)
	for _, rec := range all[1:] {
		var cells []string
		for i := 5; i < len(rec) && rec[0] != "t"; i++ {
			cells = append(cells, all[0][i]+"="+rec[i])
		}
		pos, ok := strings.CutPrefix(rec[1], "0000") // the first log
		if !ok {
			return nil, fmt.Errorf("%s: _pos %s", key, rec[1])
		}
		out = append(out, sinktest.Line(space+"."+table, rec[0][0], pos, cells))
	}
	return out, nil
}

// reader is how the tests look at a target: by its documented form.
type reader interface {
	keys() []string
	object(key string) ([]byte, error)
	staged(name string) ([]byte, error)
}

// look reads a target without any code of the sink.
func look(r reader, tasks []string) (*sinktest.View, error) {
	v := &sinktest.View{Sets: map[string]position.Set{}}
	keys := r.keys()
	var err error
	for _, k := range keys {
		if strings.HasPrefix(k, "_godwit/") {
			continue
		}
		if v.Final, err = addRows(v.Final, k, r.object, k); err != nil {
			return nil, err
		}
	}
	for _, task := range tasks {
		if err := lookTask(r, v, keys, task); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// addRows adds the rows of a file, which read finds under name.
func addRows(to []string, key string, read func(string) ([]byte, error), name string) ([]string, error) {
	b, err := read(name)
	if err != nil {
		return nil, fmt.Errorf("%s of %s: %w", name, key, err)
	}
	if !strings.Contains(key, ".csv") {
		return append(to, rowsOf(b)...), nil
	}
	rows, err := csvRows(key, b)
	return append(to, rows...), err
}

func rowsOf(b []byte) []string {
	return strings.FieldsFunc(string(b), func(c rune) bool { return c == '\n' })
}

type seenRecord struct {
	Positions string `json:"positions"`
	Receipts  []seenReceipt
	Side      *struct{ Key string }
}

type seenReceipt struct {
	Key    string
	Staged string
}

func lookTask(r reader, v *sinktest.View, keys []string, task string) error {
	greatest := ""
	for _, k := range keys {
		number, ok := strings.CutPrefix(k, "_godwit/shards/"+task+"/commits/")
		if ok && len(number) == 20 && k > greatest {
			greatest = k
		}
	}
	if greatest == "" {
		v.Sets[task] = position.Set{}
		return nil
	}
	b, err := r.object(greatest)
	if err != nil {
		return err
	}
	var rec seenRecord
	if err := json.Unmarshal(b, &rec); err != nil {
		return fmt.Errorf("%s: %w", greatest, err)
	}
	raw, err := base64.StdEncoding.DecodeString(rec.Positions)
	if err != nil {
		return err
	}
	if v.Sets[task], err = position.UnmarshalSet(raw); err != nil {
		return err
	}
	if slices.Contains(keys, greatest+".done") {
		return nil
	}
	if rec.Side != nil {
		if b, err = r.object(rec.Side.Key); err != nil {
			return err
		}
		if err := json.Unmarshal(b, &rec); err != nil {
			return err
		}
	}
	for _, p := range rec.Receipts {
		if slices.Contains(keys, p.Key) {
			continue // published
		}
		if v.Pending, err = addRows(v.Pending, p.Key, r.staged, p.Staged); err != nil {
			return fmt.Errorf("%s: %w", greatest, err)
		}
	}
	return nil
}

// memWorld is a target in a store whose every call is one step.
type memWorld struct {
	mem *sinktest.Mem
	// plant puts a defect between the sink and the store.
	plant func(m *sinktest.Mem, p *sinktest.Process, st fullStore) store.Store
	// config is what the sinks are given; nil: testConfig.
	config *config
}

type fullStore interface {
	store.Store
	store.Creator
	store.Stager
}

func (w *memWorld) Start(p *sinktest.Process) (connector.Sink, error) {
	var st store.Store = w.mem.View(p)
	if w.plant != nil {
		st = w.plant(w.mem, p, w.mem.View(p))
	}
	c := testConfig()
	if w.config != nil {
		c = *w.config
	}
	return testSink(st, c)
}

func (w *memWorld) Look(tasks []string) (*sinktest.View, error) { return look(w, tasks) }
func (w *memWorld) Cut(rng *rand.Rand)                          { w.mem.Cut(rng) }

func (w *memWorld) keys() (out []string) {
	for k := range w.mem.Objects {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func (w *memWorld) object(key string) ([]byte, error) {
	if o := w.mem.Objects[key]; o != nil {
		return o.Data, nil
	}
	return nil, store.ErrNotFound
}

func (w *memWorld) staged(name string) ([]byte, error) {
	if o := w.mem.Waiting[name]; o != nil {
		return o.Data, nil
	}
	return nil, store.ErrNotFound
}

func memHarness() sinktest.Harness {
	return sinktest.Harness{Job: "shop", Sink: "lake", Publishes: "publish", Delays: true,
		New:   func() sinktest.World { return &memWorld{mem: sinktest.NewMem()} },
		Steps: []string{"open", "list", "create", "stage", "write", "close", "publish", "delete", "staged", "discard"}}
}

// diskWorld is a target in the local store on a disk whose power can be cut; each
// call of the file system is a step.
type diskWorld struct {
	disk *powerfs.Disk
	// plant puts a defect between the store and the file system.
	plant func(local.FS) local.FS
	now   local.FS // for looking
	// config is what the sinks are given; nil: testConfig.
	config *config
}

const diskRoot = "/data/lake"

func (w *diskWorld) Start(p *sinktest.Process) (connector.Sink, error) {
	proc := w.disk.Process()
	p.OnKill(proc.Kill)
	if f := p.Fault; f != nil {
		hit := &powerfs.Fault{Op: powerfs.Op(f.At), N: f.N, After: f.After || f.Late, Lasts: f.Lasts, Err: f.Err, Dies: f.Err == nil}
		proc.Inject(hit)
		proc.Before(func(s powerfs.Step) {
			note(p, proc, hit)
			p.Pass(string(s.Op) + " " + s.Path)
		})
		p.OnEnd(func() { note(p, proc, hit) })
	} else {
		proc.Before(func(s powerfs.Step) { p.Pass(string(s.Op) + " " + s.Path) })
	}
	var fs local.FS = proc
	if w.plant != nil {
		fs = w.plant(fs)
	}
	st, err := local.New(fs, diskRoot, local.Options{Staging: StagingDir, BufferBytes: 256})
	if err != nil {
		return nil, err
	}
	c := testConfig()
	if w.config != nil {
		c = *w.config
	}
	return testSink(st, c)
}

// note tells the kit that the fault struck.
func note(p *sinktest.Process, proc *powerfs.FS, f *powerfs.Fault) {
	if s, reached := proc.Reached(f); reached {
		p.Struck(string(s.Op) + " " + s.Path)
		if f.Dies && !p.Dead() {
			p.Kill()
		}
	}
}

func (w *diskWorld) Look(tasks []string) (*sinktest.View, error) {
	w.now = w.disk.Process()
	return look(w, tasks)
}

func (w *diskWorld) Cut(rng *rand.Rand) { w.disk = w.disk.Crash(rng) }
func (w *diskWorld) Fill(bytes int64)   { w.disk.SetSpace(bytes) }

func (w *diskWorld) store() *local.Store {
	st, err := local.New(w.now, diskRoot, local.Options{Staging: StagingDir})
	if err != nil {
		panic(err)
	}
	return st
}

func (w *diskWorld) keys() (out []string) {
	for o, err := range w.store().List(context.Background(), "", "") {
		if err != nil {
			panic(err)
		}
		out = append(out, o.Key)
	}
	return out
}

func (w *diskWorld) object(key string) ([]byte, error) {
	root, err := w.now.OpenRoot(diskRoot)
	if err != nil {
		return nil, err
	}
	f, err := root.Open(key)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

func (w *diskWorld) staged(name string) ([]byte, error) { return w.object(StagingDir + "/" + name) }

func diskHarness() sinktest.Harness {
	return sinktest.Harness{Job: "shop", Sink: "lake", Publishes: "rename-new",
		New:   func() sinktest.World { return &diskWorld{disk: powerfs.New()} },
		Steps: []string{"mkdir", "create", "write", "sync", "link", "rename", "rename-new", "remove", "sync-dir"}}
}

// parseFileName undoes fileName for the last segment of key.
func parseFileName(key string) (task string, epoch uint64, ok bool) {
	name := path.Base(key)
	dash := strings.LastIndexByte(name, '-')
	if dash < 0 {
		return "", 0, false
	}
	head := name[:dash]
	dash = strings.LastIndexByte(head, '-')
	if dash <= 0 {
		return "", 0, false
	}
	n, err := strconv.ParseUint(head[dash+1:], 10, 64)
	if err != nil || fmt.Sprint(n) != head[dash+1:] {
		return "", 0, false
	}
	return head[:dash], n, true
}

// unescape undoes escape; ok is false for what escape does not make or cut.
func unescape(s string) (name string, ok bool) {
	if s == "%" {
		return "", true
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		c, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", false
		}
		b.WriteByte(byte(c))
		i += 2
	}
	return b.String(), true
}
