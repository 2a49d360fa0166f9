// Package codectest is the suite every file format passes. It writes rows of
// every kind, asks a reader that is not ours what the file holds, and compares by
// value.
package codectest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"godwit/internal/codec"
	"godwit/internal/option"
	"godwit/internal/row"
)

// Null is what a Reader gives for a null. It is not UTF-8, so it equals no text.
const Null = "\xffNULL"

// Variant is a format with one choice of options, and who reads its files back.
type Variant struct {
	Name    string
	Options map[string]any
	// Read returns the rows of a file in order, meta columns first if s.Meta.
	// Values are texts as Text gives them; a null is Null. A format whose files
	// have types casts them. Floats may be any text of the same number.
	Read func(path string, s codec.Shape) ([][]string, error)
	// Unfit is what a format does with values that it cannot hold (codec.Fitter): in
	// files of this variant those of which Gap, when it is set, says so are null.
	Unfit codec.Unfit
	Gap   func(t row.Type, word uint64, data []byte) bool
}

// open makes the codec of the variant.
func (v Variant) open(f codec.Format) (codec.Codec, error) {
	made, err := f.New(option.Of(f.Options, v.Options))
	if fit, ok := made.(codec.Fitter); ok && err == nil {
		made = fit.Fit(func(row.Name, string) codec.Unfit { return v.Unfit })
	}
	return made, err
}

// expect is Expect with null for the values that files of the variant do not have.
func (v Variant) expect(b *row.Batch, s codec.Shape) [][]string {
	rows := Expect(b, s)
	if v.Gap == nil {
		return rows
	}
	n := 0
	for k := range b.Sections() {
		sec := &b.Sections()[k]
		for i := sec.Row; sec.Table == s.Table && i < sec.Row+sec.Rows; i++ {
			words, flags := b.Cells(sec, i)
			cells := rows[n][len(rows[n])-len(words):]
			n++
			for c, w := range words {
				var data []byte
				t := s.Table.Columns[c].Type
				if t.Kind.InBytes() {
					data = b.Data(w)
				}
				if flags[c] == row.Value && v.Gap(t, w, data) {
					cells[c] = Null
				}
			}
		}
	}
	return rows
}

// Check is one test of the suite. It leaves files only in dir.
type Check struct {
	Name string
	Run  func(dir string, f codec.Codec, v Variant) error
}

// Run runs the suite: every check with every variant.
func Run(t *testing.T, f codec.Format, variants []Variant) {
	for _, v := range variants {
		t.Run(v.Name, func(t *testing.T) {
			for _, c := range Checks() {
				t.Run(c.Name, func(t *testing.T) {
					made, err := v.open(f)
					if err != nil {
						t.Fatal(err)
					}
					if err := c.Run(t.TempDir(), made, v); err != nil {
						t.Error(err)
					}
				})
			}
		})
	}
}

// Checks returns the suite.
func Checks() []Check {
	return []Check{
		{"every kind in a changelog", func(dir string, f codec.Codec, v Variant) error { return everyKind(dir, f, v, true) }},
		{"every kind without meta columns", func(dir string, f codec.Codec, v Variant) error { return everyKind(dir, f, v, false) }},
		{"texts that need care", torture},
		{"long values", longValues},
		{"names that need care", hardNames},
		{"one column", oneColumn},
		{"all ops and absent cells", opsAndAbsent},
		{"places across spans", places},
		{"batches cut in the middle", cut},
		{"no rows", noRows},
		{"memory of a batch used again", reuse},
		{"many files at once", together},
		{"errors of the file", broken},
		{"bytes counted", counted},
		{"rows of another shape refused", otherShape},
	}
}

// write writes the batches' sections of table s.Table into a file and returns its
// path.
func write(dir string, f codec.Codec, s codec.Shape, batches ...*row.Batch) (string, error) {
	path := filepath.Join(dir, "file."+f.Extension())
	file, err := os.Create(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	if err := encode(file, f, s, batches...); err != nil {
		return "", err
	}
	return path, file.Close()
}

func encode(w io.Writer, f codec.Codec, s codec.Shape, batches ...*row.Batch) error {
	e, err := f.NewEncoder(w, s)
	if err != nil {
		return err
	}
	for _, b := range batches {
		for i := range b.Sections() {
			if b.Sections()[i].Table != s.Table {
				continue
			}
			if err := e.Encode(b, &b.Sections()[i]); err != nil {
				return err
			}
		}
	}
	return e.Close()
}

// roundTrip writes batches, reads the file back and compares.
func roundTrip(dir string, f codec.Codec, v Variant, s codec.Shape, batches ...*row.Batch) error {
	path, err := write(dir, f, s, batches...)
	if err != nil {
		return err
	}
	got, err := v.Read(path, s)
	if err != nil {
		return err
	}
	var want [][]string
	for _, b := range batches {
		want = append(want, v.expect(b, s)...)
	}
	if err := Compare(s, got, want); err != nil {
		return err
	}
	return readBack(f, path, s, batches)
}

// Compare tells how got differs from want, which Expect made, or returns nil.
func Compare(s codec.Shape, got, want [][]string) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d rows read, %d written", len(got), len(want))
	}
	first := 0
	if s.Meta {
		first = len(codec.MetaColumns)
	}
	for i := range want {
		if len(got[i]) != len(want[i]) {
			return fmt.Errorf("row %d has %d columns, not %d: %s", i, len(got[i]), len(want[i]), clip(fmt.Sprintf("%q", got[i])))
		}
		for k := range want[i] {
			kind, name := row.Text, codec.MetaColumns[min(k, len(codec.MetaColumns)-1)]
			if k >= first {
				kind, name = s.Table.Columns[k-first].Type.Kind, s.Table.Columns[k-first].Name
			}
			if !same(kind, got[i][k], want[i][k]) {
				return fmt.Errorf("row %d column %s: read %s, written %s", i, name, clip(fmt.Sprintf("%q", got[i][k])), clip(fmt.Sprintf("%q", want[i][k])))
			}
		}
	}
	return nil
}

func clip(s string) string {
	if len(s) > 200 {
		return fmt.Sprintf("%s … (%d bytes)", s[:200], len(s))
	}
	return s
}

func noRows(dir string, f codec.Codec, v Variant) error {
	s := codec.Shape{Table: Wide(), Meta: true}
	if err := roundTrip(dir, f, v, s); err != nil {
		return err
	}
	var b bytes.Buffer
	e, err := f.NewEncoder(&b, s)
	if err != nil {
		return err
	}
	if n := e.Memory(); n > 128<<10 {
		return fmt.Errorf("an encoder begins with %d bytes: 500 of them would not fit", n)
	}
	if err := errors.Join(e.Close(), e.Close()); err != nil {
		return fmt.Errorf("closed twice: %w", err)
	}
	return nil
}

// reuse gives each batch's memory back at once, so that the next batch overwrites
// what an encoder might have kept.
func reuse(dir string, f codec.Codec, v Variant) error {
	var pool row.Pool
	s := codec.Shape{Table: Texts(), Meta: true}
	path := filepath.Join(dir, "file."+f.Extension())
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	e, err := f.NewEncoder(file, s)
	if err != nil {
		return err
	}
	var want [][]string
	x := row.NewBuilder(&pool)
	for n := range 20 {
		b := textBatch(x, s.Table, 100, byte('a'+n))
		want = append(want, Expect(b, s)...)
		if err := e.Encode(b, &b.Sections()[0]); err != nil {
			return err
		}
		b.Release()
	}
	if err := errors.Join(e.Close(), file.Close()); err != nil {
		return err
	}
	got, err := v.Read(path, s)
	if err != nil {
		return err
	}
	return Compare(s, got, want)
}

// together writes the same rows into many files at once: all must be equal.
func together(_ string, f codec.Codec, _ Variant) error {
	s := codec.Shape{Table: Wide(), Meta: true}
	b := wideBatch(s.Table, 3)
	var want bytes.Buffer
	if err := encode(&want, f, s, b, b); err != nil {
		return err
	}
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for n := range errs {
		wg.Go(func() {
			for range 3 {
				var got bytes.Buffer
				if err := encode(&got, f, s, b, b); err != nil {
					errs[n] = err
				} else if !bytes.Equal(got.Bytes(), want.Bytes()) {
					errs[n] = fmt.Errorf("file %d differs from the one written alone", n)
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

var errFull = errors.New("no space left, says the test")

// failing takes n bytes.
type failing struct{ n int }

func (w *failing) Write(p []byte) (int, error) {
	if len(p) > w.n {
		n := w.n
		w.n = 0
		return n, errFull
	}
	w.n -= len(p)
	return len(p), nil
}

// lying takes less than it is given and says nothing.
type lying struct{}

func (lying) Write(p []byte) (int, error) { return len(p) / 2, nil }

// broken fails at many places: some call must say so, and Close again.
func broken(_ string, f codec.Codec, _ Variant) error {
	s := codec.Shape{Table: Texts(), Meta: true}
	b := textBatch(row.NewBuilder(&row.Pool{}), s.Table, 3000, 'q')
	var whole bytes.Buffer
	if err := encode(&whole, f, s, b); err != nil {
		return err
	}
	for _, n := range []int{0, 1, whole.Len() / 3, whole.Len() - 1} {
		if err := encode(&failing{n}, f, s, b); !errors.Is(err, errFull) {
			return fmt.Errorf("the file failed after %d of %d bytes, the encoder said: %v", n, whole.Len(), err)
		}
		e, err := f.NewEncoder(&failing{n}, s)
		if err != nil {
			return err
		}
		_ = e.Encode(b, &b.Sections()[0])
		if err := e.Close(); !errors.Is(err, errFull) {
			return fmt.Errorf("the file failed after %d of %d bytes, Close said: %v", n, whole.Len(), err)
		}
	}
	if err := encode(lying{}, f, s, b); err == nil {
		return errors.New("half of each write was lost and nothing said so")
	}
	return nil
}

// counted compares Written with what was written.
func counted(_ string, f codec.Codec, _ Variant) error {
	s := codec.Shape{Table: Texts(), Meta: true}
	var out bytes.Buffer
	e, err := f.NewEncoder(&out, s)
	if err != nil {
		return err
	}
	b := textBatch(row.NewBuilder(&row.Pool{}), s.Table, 200, 'w')
	for range 10 {
		if err := e.Encode(b, &b.Sections()[0]); err != nil {
			return err
		}
		if got := e.Written(); got < int64(out.Len()) || got == 0 {
			return fmt.Errorf("Written says %d, %d have arrived", got, out.Len())
		}
		if e.Memory() <= 0 {
			return fmt.Errorf("Memory says %d while rows wait", e.Memory())
		}
	}
	if err := e.Close(); err != nil {
		return err
	}
	if got := e.Written(); got != int64(out.Len()) {
		return fmt.Errorf("Written says %d after Close, %d have arrived", got, out.Len())
	}
	return nil
}

func otherShape(_ string, f codec.Codec, _ Variant) error {
	b := textBatch(row.NewBuilder(&row.Pool{}), Texts(), 1, 'w')
	if err := encode(io.Discard, f, codec.Shape{Table: b.Sections()[0].Table, Meta: true}, b); err != nil {
		return err
	}
	e, err := f.NewEncoder(io.Discard, codec.Shape{Table: Wide()})
	if err != nil {
		return err
	}
	if err := e.Encode(b, &b.Sections()[0]); err == nil {
		return errors.New("rows of another table were taken")
	}
	return nil
}
