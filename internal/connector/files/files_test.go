package files

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"godwit/internal/codec"
	"godwit/internal/connector"
	"godwit/internal/connector/sinktest"
	"godwit/internal/fault"
	"godwit/internal/limit"
	"godwit/internal/option"
	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/internal/store"
	"godwit/internal/store/local"
)

func TestEscape_when_any_name(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := names{fold: rapid.Bool().Draw(t, "fold")}
		a := rapid.StringN(0, 40, -1).Draw(t, "a")
		b := rapid.StringN(0, 40, -1).Draw(t, "b")
		x, y := n.escape(a), n.escape(b)
		if strings.Trim(x, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_%~") != "" || x == "" || x[0] == '_' || x[0] == '.' || len(x) > maxName {
			t.Fatalf("%q becomes %q", a, x)
		}
		if back, ok := unescape(x); !strings.Contains(x, "~") && (!ok || back != a) {
			t.Fatalf("%q becomes %q, which becomes %q", a, x, back)
		}
		if a != b && x == y {
			t.Fatalf("%q and %q both become %q", a, b, x)
		}
		if n.fold && a != b && strings.EqualFold(x, y) {
			t.Fatalf("%q and %q differ only in case: %q, %q", a, b, x, y)
		}
	})
}

func TestEscape_when_known(t *testing.T) {
	for name, want := range map[string]string{
		"orders": "orders", "Orders": "Orders", "a b": "a%20b", "_x": "%5Fx", "a_x": "a_x", ".x": "%2Ex", "ä": "%C3%A4", "": "%", "a/..": "a%2F%2E%2E", "%": "%25",
	} {
		if got := (names{}).escape(name); got != want {
			t.Errorf("%q: %q, not %q", name, got, want)
		}
	}
	if got := (names{fold: true}).escape("Ab"); got != "%41b" {
		t.Errorf("folded: %q", got)
	}
	long := strings.Repeat("語", 64)
	if got := (names{}).escape(long); len(got) > maxName || !strings.Contains(got, "%~") || got == (names{}).escape(long[:len(long)-3]+"言") {
		t.Errorf("long: %q", got)
	}
}

func TestParseFileName(t *testing.T) {
	for _, task := range []string{"stream", "1.2.3", "a-b", "a-7"} {
		got, epoch, ok := parseFileName("shop/orders/" + fileName(task, 12, 345, "csv.gz"))
		if got != task || epoch != 12 || !ok {
			t.Errorf("%s: %s %d %v", task, got, epoch, ok)
		}
	}
	for _, bad := range []string{"x", "a/b.csv", "-1-2.csv", "a-01-2.csv", "a-x-2.csv"} {
		if task, _, ok := parseFileName(bad); ok {
			t.Errorf("%s: %s", bad, task)
		}
	}
}

func FuzzDecodeRecord(f *testing.F) {
	good := record{Version: 1, N: 7, Epoch: 3, Nonce: "ab", Positions: emptySet(), Receipts: []store.Receipt{{Key: "a/b.csv", Staged: "s", Size: 1}}}
	f.Add(good.encode())
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte(`{"version":1,"n":7,"epoch":1,"nonce":"x","positions":"AA=="}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRecord(b, 7)
		if err != nil {
			if c := fault.Of(err).Code; c != fault.TargetBroken && c != fault.FormatNewer {
				t.Fatalf("code %s", c)
			}
			return
		}
		_, _ = r.set()
		again, err := decodeRecord(r.encode(), 7)
		if err != nil || string(again.encode()) != string(r.encode()) {
			t.Fatalf("not stable: %v", err)
		}
	})
}

func FuzzDecodeVersion(f *testing.F) {
	f.Add([]byte(`{"version":1,"table":{"name":{"space":"a","table":"b"},"number":1,"version":2,"columns":[],"key":null}}`))
	f.Fuzz(func(t *testing.T, b []byte) { _, _ = decodeVersion(b) })
}

// bench is a sink over a model store that counts requests.
type bench struct {
	*testing.T
	mem  *sinktest.Mem
	p    *sinktest.Process
	sink *sink
	log  *strings.Builder
}

func newBench(t *testing.T, mem *sinktest.Mem, c config, job string) *bench {
	b := &bench{T: t, mem: mem, p: &sinktest.Process{}, log: &strings.Builder{}}
	s, err := newSink(mem.View(b.p), c, connector.Env{Job: job, Name: "lake", Log: slog.New(slog.NewTextHandler(b.log, nil)), Budget: limit.NewBudget(64 << 10)})
	if err != nil {
		t.Fatal(err)
	}
	s.wait, s.width = func(context.Context, int) error { return nil }, 1
	b.sink = s
	return b
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) open(run uint64) (*writer, position.Set) {
	b.Helper()
	w, set, err := b.sink.Open(b.Context(), connector.Shard{Job: "shop", Sink: "lake", Task: "stream"}, connector.Claim{Run: run, Attempt: 1})
	b.must(err)
	return w.(*writer), set
}

func at64(n uint64) string { return fmt.Sprintf("%020d", n) }

func streamSet(n uint64) position.Set {
	return position.Set{"stream": position.New("log:1", at64(n), fmt.Sprint(n))}
}

func TestOpen_when_there_were_very_many_commits(t *testing.T) {
	mem := sinktest.NewMem()
	b := newBench(t, mem, testConfig(), "shop")
	b.must(b.sink.Prepare(t.Context(), nil))
	w, _ := b.open(1)
	commits := uint64(5_000)
	if sinktest.Soak() {
		commits = 1_000_000
	}
	for n := range commits {
		b.must(w.Commit(t.Context(), streamSet(n+1)))
	}
	b.must(w.Close())
	if len(mem.Objects) > 5 {
		t.Errorf("%d objects are left", len(mem.Objects))
	}
	for _, prepared := range []bool{true, false} {
		next := newBench(t, mem, testConfig(), "shop")
		if prepared {
			b.must(next.sink.Prepare(t.Context(), nil))
		}
		before := next.p.Count()
		w, set := next.open(2)
		if n := next.p.Count() - before; n > 5 {
			t.Errorf("prepared %v: Open took %d requests", prepared, n)
		}
		if !set.Equal(streamSet(commits)) {
			t.Errorf("opened at %v", set)
		}
		before = next.p.Count()
		if _, _, err := next.sink.Positions(t.Context(), connector.Shard{Task: "stream"}); err != nil || next.p.Count()-before > 2 {
			t.Errorf("Positions took %d requests: %v", next.p.Count()-before, err)
		}
		b.must(w.Close())
	}
}

func TestOpen_when_opened_again_and_again(t *testing.T) {
	mem := sinktest.NewMem()
	b := newBench(t, mem, testConfig(), "shop")
	b.must(b.sink.Prepare(t.Context(), nil))
	for n := range uint64(200) {
		b.open(n + 1) // and never closed
		if len(mem.Objects) > maxUnpruned+5 {
			t.Fatalf("%d objects after %d opens", len(mem.Objects), n+1)
		}
	}
}

func TestPrepare_when_the_folder_is_not_ours(t *testing.T) {
	own := testConfig()
	header := own
	header.Options = map[string]string{"header": "true"}
	noHeader := own
	noHeader.Options = map[string]string{"header": "false"}
	format := own
	format.Format = "csv"
	for name, c := range map[string]struct {
		first, second config
		job           string
		code          fault.Code
	}{
		"another job":     {own, own, "other", fault.TargetNotOurs},
		"another format":  {own, format, "shop", fault.JobEdit},
		"another header":  {header, noHeader, "shop", fault.JobEdit},
		"a newer option":  {own, header, "shop", ""},
		"the same":        {header, header, "shop", ""},
		"an older option": {header, own, "shop", ""},
	} {
		t.Run(name, func(t *testing.T) {
			mem := sinktest.NewMem()
			b := newBench(t, mem, c.first, "shop")
			b.must(b.sink.Prepare(t.Context(), nil))
			b.must(b.sink.Prepare(t.Context(), nil))
			before := fmt.Sprint(contents(mem))
			err := newBench(t, mem, c.second, c.job).sink.Prepare(t.Context(), nil)
			if c.code == "" && err != nil || c.code != "" && !fault.Has(err, c.code) {
				t.Fatal(err)
			}
			if after := fmt.Sprint(contents(mem)); after != before {
				t.Errorf("the target was touched: %s, before %s", after, before)
			}
		})
	}
}

func contents(m *sinktest.Mem) map[string]string {
	out := map[string]string{}
	for k, o := range m.Objects {
		out[k] = string(o.Data)
	}
	return out
}

func TestPrepare_when_the_folder_is_not_empty(t *testing.T) {
	for _, key := range []string{"readme.txt", "shop/orders/x.csv", "_godwit/once/a="} {
		mem := sinktest.NewMem()
		mem.Objects[key] = &sinktest.MemObject{Data: []byte("theirs")}
		err := newBench(t, mem, testConfig(), "shop").sink.Prepare(t.Context(), nil)
		if !fault.Has(err, fault.TargetNotOurs) || len(mem.Objects) != 1 || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v, %d objects", key, err, len(mem.Objects))
		}
	}
}

func TestFormats_when_newer(t *testing.T) {
	for name, key := range map[string]string{"owner": ownerKey, "record": shardsDir + "stream/commits/00000000000000000001"} {
		t.Run(name, func(t *testing.T) {
			mem := sinktest.NewMem()
			b := newBench(t, mem, testConfig(), "shop")
			b.must(b.sink.Prepare(t.Context(), nil))
			b.open(1)
			mem.Objects[key].Data = []byte(strings.Replace(string(mem.Objects[key].Data), `"version": 1`, `"version": 2`, 1))
			before := fmt.Sprint(contents(mem))
			late := newBench(t, mem, testConfig(), "shop")
			err := late.sink.Prepare(t.Context(), nil)
			if err == nil {
				_, _, err = late.sink.Open(t.Context(), connector.Shard{Task: "stream"}, connector.Claim{Run: 2})
			}
			if !fault.Has(err, fault.FormatNewer) {
				t.Fatal(err)
			}
			if _, _, err := newBench(t, mem, testConfig(), "shop").sink.Positions(t.Context(), connector.Shard{Task: "stream"}); !fault.Has(err, fault.FormatNewer) {
				t.Fatal(err)
			}
			if after := fmt.Sprint(contents(mem)); after != before {
				t.Error("the target was touched")
			}
		})
	}
}

func TestRecord_when_damaged(t *testing.T) {
	mem := sinktest.NewMem()
	b := newBench(t, mem, testConfig(), "shop")
	b.must(b.sink.Prepare(t.Context(), nil))
	b.open(1)
	o := mem.Objects[shardsDir+"stream/commits/00000000000000000001"]
	whole := o.Data
	for _, damage := range [][]byte{nil, whole[:len(whole)/2], []byte("null"), []byte(strings.Replace(string(whole), `"n": 1`, `"n": 2`, 1))} {
		o.Data = damage
		_, _, err := b.sink.Open(t.Context(), connector.Shard{Task: "stream"}, connector.Claim{Run: 2})
		if !fault.Has(err, fault.TargetBroken) || !strings.Contains(err.Error(), "commits/0000") {
			t.Errorf("%q: %v", damage, err)
		}
	}
}

// overwriter is a store that ignores that a creation is to be exclusive.
type overwriter struct{ *sinktest.MemView }

func (s overwriter) Create(ctx context.Context, key string, value []byte) error {
	delete(s.Objects, key)
	return s.MemView.Create(ctx, key, value)
}

func TestPrepare_when_creation_is_not_exclusive(t *testing.T) {
	s, err := newSink(overwriter{sinktest.NewMem().View(&sinktest.Process{})}, testConfig(), connector.Env{Job: "shop", Name: "lake"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Prepare(t.Context(), nil); !fault.Has(err, fault.TargetNoExclusive) {
		t.Fatal(err)
	}
}

func TestOpen_when_not_prepared(t *testing.T) {
	b := newBench(t, sinktest.NewMem(), testConfig(), "shop")
	if _, _, err := b.sink.Open(t.Context(), connector.Shard{Task: "stream"}, connector.Claim{}); err == nil {
		t.Error("Open of a folder that is nobody's")
	}
	if len(b.mem.Objects) != 0 {
		t.Errorf("it was touched: %v", contents(b.mem))
	}
}

func TestSweep_when_a_writer_died(t *testing.T) {
	mem := sinktest.NewMem()
	b := newBench(t, mem, testConfig(), "shop")
	ts := tables(3)
	b.must(b.sink.Prepare(t.Context(), ts))
	w, _ := b.open(1)
	var pool row.Pool
	b.must(w.Apply(t.Context(), batchOf(&pool, ts, 40, 0)))
	if len(mem.Waiting) == 0 {
		t.Fatal("nothing is staged")
	}
	next := newBench(t, mem, testConfig(), "shop")
	b.must(next.sink.Prepare(t.Context(), ts))
	v, _ := next.open(2)
	if len(mem.Waiting) != 0 {
		t.Errorf("%d staged files are left", len(mem.Waiting))
	}
	b.must(v.Close())
	if o := mem.Objects[shardsDir+"stream/commits/"+at64(2)+doneSuffix]; o == nil {
		t.Errorf("the end is not noted as clean: %v", contents(mem))
	}
}

func TestDriver(t *testing.T) {
	formats := []codec.Format{linesFormat}
	d := Driver(store.Registry{local.Driver()}, formats)
	roll := option.Of(field(d.Options, "roll").Fields, nil)
	for url, want := range map[string]string{
		"file:///": "folder", "file://host/x": "third", "data": "scheme", "s3://b/x": "no store", "file:///a?b": "%3F", "file:///a\x00b": "URL",
		"file:///a%00b": "zero byte", "file:///a/../b": "..", "file://user:secret@/x": "third", "file://user:secret@h:x/": "URL", "s3://user:secret@h:x/": "URL",
	} {
		v := option.Of(d.Options, map[string]any{"url": url, "roll": roll})
		_, err := d.Open(t.Context(), v, connector.Env{})
		if !fault.Has(err, fault.JobValue) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", url, err)
		}
	}
	dir := t.TempDir()
	for _, given := range []map[string]any{
		{"url": "file://" + dir}, {"local": option.Of(field(d.Options, "local").Fields, map[string]any{"path": dir})},
	} {
		given["roll"] = roll
		s, err := d.Open(t.Context(), option.Of(d.Options, given), connector.Env{Job: "shop", Name: "lake"})
		if err != nil {
			t.Fatal(err)
		}
		if where := s.(connector.Placer).Where(); where != dir {
			t.Errorf("the target is shown as %s", where)
		}
		if err := errors.Join(s.Prepare(t.Context(), nil), s.Close()); err != nil {
			t.Error(err)
		}
	}
}

func field(fs []option.Field, name string) option.Field {
	for _, f := range fs {
		if f.Name == name {
			return f
		}
	}
	panic(name)
}

// The machine's own file system, files closed and published several at once.
func TestSink_when_on_a_disk_and_side_by_side(t *testing.T) {
	dir := t.TempDir() + "/new/lake"
	st, err := local.New(local.OS{}, dir, local.Options{Staging: StagingDir})
	if err != nil {
		t.Fatal(err)
	}
	c := testConfig()
	c.Roll = roll{Size: 1 << 20}
	s, err := newSink(st, c, connector.Env{Job: "shop", Name: "lake"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ts := tables(40)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.Prepare(t.Context(), ts))
	w, _, err := s.Open(t.Context(), connector.Shard{Task: "stream"}, connector.Claim{Run: 1})
	must(err)
	var pool row.Pool
	must(w.Apply(t.Context(), batchOf(&pool, ts, 400, 0)))
	must(w.Commit(t.Context(), streamSet(1)))
	must(w.Close())
	lines, files := 0, 0
	for o, err := range st.List(t.Context(), "shop/", "") {
		must(err)
		files++
		b, err := s.get(t.Context(), o.Key, 1<<20)
		must(err)
		lines += strings.Count(string(b), "\n")
	}
	if files != 40 || lines != 400 {
		t.Errorf("%d rows in %d files", lines, files)
	}
	for o, err := range st.List(t.Context(), "", "") {
		must(err)
		if !strings.HasPrefix(o.Key, "shop/") && !strings.HasPrefix(o.Key, control) {
			t.Errorf("%s lies about", o.Key)
		}
	}
}

func TestOnce_when_many_at_once(t *testing.T) {
	dir := t.TempDir()
	kept := make([]string, 8)
	errs := make(chan error, len(kept))
	for i := range kept {
		go func() {
			st, err := local.New(local.OS{}, dir, local.Options{Staging: StagingDir})
			if err == nil {
				var s *sink
				if s, err = newSink(st, testConfig(), connector.Env{Job: "shop", Name: "lake"}); err == nil {
					err = s.Prepare(t.Context(), nil)
					for k := 0; k < 10 && err == nil; k++ {
						var b []byte
						b, err = s.Once(t.Context(), fmt.Sprintf("k/%d", k), fmt.Appendf(nil, "%d", i))
						kept[i] += string(b)
					}
					err = errors.Join(err, s.Close())
				}
			}
			errs <- err
		}()
	}
	for range kept {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	for i := range kept {
		if kept[i] != kept[0] || len(kept[i]) != 10 {
			t.Fatalf("kept %q and %q", kept[0], kept[i])
		}
	}
}

// A check must not bind the job to what its file says: nothing was written yet.
func TestCheck_when_the_job_is_edited_before_it_ran(t *testing.T) {
	mem := sinktest.NewMem()
	format := testConfig()
	format.Format = "csv"
	for range 2 {
		if f := newBench(t, mem, testConfig(), "shop").sink.Check(t.Context(), tables(2)); len(f) != 1 || f[0].Fault != nil {
			t.Fatalf("an empty folder: %+v", f)
		}
	}
	if len(mem.Objects) > 0 {
		t.Errorf("a check leaves %v", contents(mem))
	}
	b := newBench(t, mem, format, "shop")
	b.must(b.sink.Prepare(t.Context(), nil))

	// A run that came no further than this has written nothing either.
	check := func(code fault.Code, hint string) {
		t.Helper()
		f := newBench(t, mem, testConfig(), "shop").sink.Check(t.Context(), nil)
		if len(f) != 1 || f[0].Fault == nil || f[0].Fault.Code != code || !strings.Contains(f[0].Fault.Hint, hint) {
			t.Errorf("expected %s with %q: %+v", code, hint, f)
		}
	}
	check(fault.JobEdit, "remove its folder _godwit")
	b.open(1)
	check(fault.JobEdit, "write to another folder")
	mem.Objects = map[string]*sinktest.MemObject{"readme": {Data: []byte("x")}}
	check(fault.TargetNotOurs, "an empty folder")
	if len(mem.Objects) != 1 {
		t.Errorf("a check of somebody else's folder leaves %v", contents(mem))
	}
}

func TestCheck_when_creation_is_not_exclusive(t *testing.T) {
	s, err := newSink(overwriter{sinktest.NewMem().View(&sinktest.Process{})}, testConfig(), connector.Env{Job: "shop", Name: "lake"})
	if err != nil {
		t.Fatal(err)
	}
	if f := s.Check(t.Context(), nil); len(f) != 1 || f[0].Fault == nil || f[0].Fault.Code != fault.TargetNoExclusive {
		t.Errorf("%+v", f)
	}
}
