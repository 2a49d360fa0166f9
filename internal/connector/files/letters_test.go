package files

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"godwit/internal/codec"
	"godwit/internal/connector"
	"godwit/internal/connector/sinktest"
	"godwit/internal/fault"
	"godwit/internal/row"
	"godwit/internal/store/local"
)

// fussy is a codec that refuses rows whose id can be divided by 3.
type fussy struct{ codec.Codec }

type fussyEncoder struct{ codec.Encoder }

func (c fussy) NewEncoder(w io.Writer, s codec.Shape) (codec.Encoder, error) {
	e, err := c.Codec.NewEncoder(w, s)
	return fussyEncoder{e}, err
}

func (e fussyEncoder) Encode(b *row.Batch, s *row.Section) error {
	for i := s.Row; i < s.Row+s.Rows; i++ {
		if words, _ := b.Cells(s, i); words[0]%3 == 0 {
			return fault.New(fault.RowRefused, "%d is odd", words[0]).Try("mend it")
		}
		one := s.Part(i, i+1)
		if err := e.Encoder.Encode(b, &one); err != nil {
			return err
		}
	}
	return nil
}

func fussyConfig() config {
	c := testConfig()
	c.Codec = fussy{c.Codec}
	return c
}

// dead returns the letters that are in the target, and how many rows tables have.
func dead(t *testing.T, mem *sinktest.Mem) (out []letter, rows int) {
	t.Helper()
	keys := slices.Sorted(func(yield func(string) bool) {
		for k := range mem.Objects {
			if !yield(k) {
				return
			}
		}
	})
	for _, k := range keys {
		text := strings.TrimSpace(string(mem.Objects[k].Data))
		switch {
		case strings.HasPrefix(k, deadDir):
			for line := range strings.SplitSeq(text, "\n") {
				var l letter
				if err := json.Unmarshal([]byte(line), &l); err != nil {
					t.Fatal(err)
				}
				out = append(out, l)
			}
		case !strings.HasPrefix(k, control) && text != "":
			rows += strings.Count(text, "\n") + 1
		}
	}
	return out, rows
}

func TestWriter_when_rows_are_put_aside(t *testing.T) {
	mem := sinktest.NewMem()
	b := newBench(t, mem, fussyConfig(), "shop")
	b.must(b.sink.Prepare(t.Context(), tables(2)))
	w, _ := b.open(1)
	var told []connector.Letter
	w.Discard(func(l connector.Letter) { told = append(told, l) })
	var pool row.Pool
	ts := tables(2)
	batch := batchOf(&pool, ts, 10, 1)
	b.must(w.Apply(t.Context(), batch.In(2)))
	b.must(w.Bury(t.Context(), batch, &batch.Sections()[0], 0, fault.New(fault.RowRefused, "a rule failed")))
	if len(told) > 0 {
		t.Error("letters are told of before they are committed")
	}
	b.must(w.Commit(t.Context(), streamSet(1)))
	letters, rows := dead(t, mem)
	if len(letters) != 4 || rows != 7 || len(told) != 4 {
		t.Fatalf("%d letters, %d told of, %d rows", len(letters), len(told), rows)
	}
	l := letters[0]
	if got := fmt.Sprint(l.Table, l.Op, *l.Row["id"], *l.Row["v"], *l.Key["id"], l.Txn, l.Reason.Code, l.Reason.What, l.Reason.Hint); got != "shop.t000i3text31ROW_REFUSED3 is oddmend it" {
		t.Errorf("%s", got)
	}
	if l.Pos != told[0].Order || !strings.HasPrefix(l.Pos, "0002") || told[0].Table != ts[0] || told[0].Op != row.Insert || told[0].Reason.What != "3 is odd" {
		t.Errorf("%s, told %+v", l.Pos, told[0])
	}
	b.must(w.Commit(t.Context(), streamSet(2))) // none since
	if letters, _ := dead(t, mem); len(letters) != 4 || len(told) != 4 {
		t.Errorf("%d letters, %d told of", len(letters), len(told))
	}
	b.must(w.Close())
}

// What was not committed is not put aside either, and is made again.
func TestWriter_when_it_ends_before_letters_are_committed(t *testing.T) {
	mem := sinktest.NewMem()
	var pool row.Pool
	for run := uint64(1); run <= 3; run++ {
		b := newBench(t, mem, fussyConfig(), "shop")
		b.must(b.sink.Prepare(t.Context(), tables(1)))
		w, _ := b.open(run)
		w.Discard(func(connector.Letter) {})
		batch := batchOf(&pool, tables(1), 10, 1)
		b.must(w.Apply(t.Context(), batch))
		switch run {
		case 1: // as in a crash: the file was closed, and nobody closes the writer
			b.must(w.endLetters())
			if len(mem.Waiting) == 0 {
				t.Fatal("nothing is staged")
			}
		case 2:
			b.must(w.Close())
		case 3:
			b.must(w.Commit(t.Context(), streamSet(1)))
			b.must(w.Close())
		}
		letters, _ := dead(t, mem)
		if want := map[uint64]int{3: 3}[run]; len(letters) != want {
			t.Errorf("run %d: %d letters", run, len(letters))
		}
	}
	for name, o := range mem.Waiting {
		t.Errorf("%s is left: %s", name, o.Data)
	}
}

func TestSweep_when_letters_are_left_and_a_path_divides_tables(t *testing.T) {
	mem := sinktest.NewMem()
	var pool row.Pool
	for run := uint64(1); run <= 2; run++ {
		c := fussyConfig()
		c.Path = pathOf(t, "{database}/{table}/{column:id}")
		b := newBench(t, mem, c, "shop")
		b.must(b.sink.Prepare(t.Context(), tables(1)))
		w, _ := b.open(run)
		if run > 1 {
			break
		}
		w.Discard(func(connector.Letter) {})
		b.must(w.Apply(t.Context(), batchOf(&pool, tables(1), 1, 3)))
		b.must(w.endLetters()) // as in a crash
		if len(mem.Waiting) != 1 {
			t.Fatalf("%d files are staged", len(mem.Waiting))
		}
	}
	if len(mem.Waiting) > 0 {
		t.Errorf("%d staged files are left", len(mem.Waiting))
	}
}

func TestWriter_when_rows_are_not_to_be_put_aside(t *testing.T) {
	b := newBench(t, sinktest.NewMem(), fussyConfig(), "shop")
	b.must(b.sink.Prepare(t.Context(), tables(1)))
	w, _ := b.open(1)
	var pool row.Pool
	if err := w.Apply(t.Context(), batchOf(&pool, tables(1), 10, 1)); !fault.Has(err, fault.RowRefused) {
		t.Error(err)
	}
}

// Rows may hold what not everybody may see.
func TestWriter_when_letters_are_files(t *testing.T) {
	dir := t.TempDir()
	st, err := local.New(local.OS{}, dir, local.Options{Staging: StagingDir})
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSink(st, fussyConfig(), connector.Env{Job: "shop", Name: "lake"})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{T: t, sink: s}
	b.must(s.Prepare(t.Context(), tables(1)))
	w, _ := b.open(1)
	w.Discard(func(connector.Letter) {})
	var pool row.Pool
	b.must(w.Apply(t.Context(), batchOf(&pool, tables(1), 10, 1)))
	b.must(w.Commit(t.Context(), streamSet(1)))
	b.must(w.Close())
	files, err := filepath.Glob(filepath.Join(dir, "_godwit", "dead", "*.jsonl"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if i, err := os.Stat(files[0]); err != nil || i.Mode().Perm() != 0o600 {
		t.Error(i.Mode(), err)
	}
	b.must(s.Close())
}

// stored reads the letters of a sink after a mark.
func stored(t *testing.T, s *sink, after string) (out []connector.StoredLetter) {
	t.Helper()
	if err := s.Letters(t.Context(), after, func(l connector.StoredLetter) error {
		out = append(out, l)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestLetters_when_they_are_read_back_from_any_place(t *testing.T) {
	mem := sinktest.NewMem()
	b := newBench(t, mem, fussyConfig(), "shop")
	if got := stored(t, b.sink, ""); got != nil {
		t.Errorf("before there is a target: %v", got)
	}
	b.must(b.sink.Prepare(t.Context(), tables(2)))
	w, _ := b.open(1)
	w.Discard(func(connector.Letter) {})
	var pool row.Pool
	for n := range uint64(3) {
		batch := batchOf(&pool, tables(2), 10, 1+10*n)
		b.must(w.Apply(t.Context(), batch.In(2)))
		b.must(w.Commit(t.Context(), streamSet(n+1)))
	}
	want, _ := dead(t, mem)
	all := stored(t, b.sink, "")
	if len(all) != len(want) || len(all) < 9 {
		t.Fatalf("%d letters of %d", len(all), len(want))
	}
	for i, l := range all {
		if l.Pos != want[i].Pos || l.Table != want[i].Table || *l.Key["id"] != *want[i].Row["id"] || l.What != want[i].Reason.What || l.Code != "ROW_REFUSED" || !strings.HasPrefix(l.At, deadDir) {
			t.Errorf("letter %d: %+v", i, l)
		}
		rest := stored(t, b.sink, l.Mark)
		if len(rest) != len(all)-i-1 || len(rest) > 0 && rest[0].Mark != all[i+1].Mark {
			t.Errorf("after letter %d: %d letters", i, len(rest))
		}
	}
	for _, mark := range []string{"x", "../x:0", "a:-1"} {
		if err := b.sink.Letters(t.Context(), mark, nil); !fault.Has(err, fault.BadRequest) {
			t.Errorf("%q: %v", mark, err)
		}
	}
	b.must(w.Close())
}

func TestStoredLetter_when_it_is_too_large(t *testing.T) {
	line := `{"table":"shop.t","op":"i","pos":"0001","key":{"id":"7"},"row":{"id":"7","v":"xxxxxxxx`
	l, err := storedLetter([]byte(line), 5_000_000)
	if err != nil || l.Table != "shop.t" || l.Pos != "0001" || *l.Key["id"] != "7" || l.Row != nil || !strings.Contains(l.What, "5000000 bytes") {
		t.Errorf("%+v: %v", l, err)
	}
	l, err = storedLetter([]byte(line[:len(`{"table":"shop.t","op":"i","pos":"0001","key":{"id":"7`)]), 5_000_000)
	if err != nil || l.Table != "shop.t" || l.Key != nil {
		t.Errorf("a large key: %+v: %v", l, err)
	}
	if _, err := storedLetter([]byte("{nonsense\n"), 10); err == nil {
		t.Error("nonsense is a letter")
	}
}
