package sourcetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

// judgeTB is a test that may fail without failing the test it runs in.
type judgeTB struct {
	testing.TB
	mu       sync.Mutex
	complain []string
	cleanups []func()
}

func (j *judgeTB) Helper() {}
func (j *judgeTB) Errorf(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.complain = append(j.complain, fmt.Sprintf(format, args...))
}
func (j *judgeTB) Error(args ...any)                 { j.Errorf("%s", fmt.Sprint(args...)) }
func (j *judgeTB) Fatalf(format string, args ...any) { j.Errorf(format, args...); runtime.Goexit() }
func (j *judgeTB) Fatal(args ...any)                 { j.Error(args...); runtime.Goexit() }
func (j *judgeTB) FailNow()                          { runtime.Goexit() }
func (j *judgeTB) Logf(string, ...any)               {}
func (j *judgeTB) Log(...any)                        {}
func (j *judgeTB) Cleanup(f func())                  { j.cleanups = append(j.cleanups, f) }

// verdict runs one proof and returns what it says.
func verdict(t *testing.T, h Harness, name string) []string {
	i := slices.IndexFunc(proofs(), func(p proof) bool { return p.name == name })
	j := &judgeTB{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		proofs()[i].prove(j, h, h.Start(j))
	}()
	<-done
	for _, f := range slices.Backward(j.cleanups) {
		f()
	}
	return j.complain
}

// wrong is a source that misbehaves in one way.
type wrong struct {
	*memSource
	read func(w *wrong, ctx context.Context, s connector.Split, from position.Position, emit func(*row.Batch) error) error
	mu   sync.Mutex
	n    int
}

func (w *wrong) Read(ctx context.Context, s connector.Split, from position.Position, emit func(*row.Batch) error) error {
	return w.read(w, ctx, s, from, emit)
}

func (w *wrong) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n++
	return w.n
}

type readFunc = func(w *wrong, ctx context.Context, s connector.Split, from position.Position, emit func(*row.Batch) error) error

// batches lets f change each batch of a Read: it emits what it returns.
func batches(bounded bool, f func(w *wrong, n int, b *row.Batch) []*row.Batch) readFunc {
	return func(w *wrong, ctx context.Context, s connector.Split, from position.Position, emit func(*row.Batch) error) error {
		n := 0
		return w.memSource.Read(ctx, s, from, func(b *row.Batch) error {
			out := []*row.Batch{b}
			if s.Bounded == bounded {
				n++
				out = f(w, n, b)
			}
			for _, x := range out {
				if err := emit(x); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// changed copies a batch's rows with other cells, ops or orders.
func changed(b *row.Batch, end position.Position, edit func(i int, op row.Op, words []uint64, flags []row.Flag) row.Op) *row.Batch {
	x := row.NewBuilder(&row.Pool{})
	for k := range b.Sections() {
		s := &b.Sections()[k]
		for sp := range b.Spans(s) {
			for i := range sp.Rows {
				r := sp.Row + i
				w, f := b.Cells(s, r)
				words, flags := slices.Clone(w), slices.Clone(f)
				op := edit(r, b.Op(r), words, flags)
				if op == 0 {
					continue
				}
				x.At(sp.Prefix, sp.Base+uint64(i), sp.Txn)
				x.Row(s.Table, op)
				for c := range words {
					switch {
					case flags[c] == row.Null:
						x.Null()
					case flags[c] == row.Absent:
						x.Absent()
					case s.Table.Columns[c].Type.Kind.InBytes():
						x.Bytes(b.Data(words[c]))
					default:
						x.Word(words[c])
					}
				}
			}
		}
	}
	b.Release()
	return x.Finish(end, b.EndTime)
}

func same(_ int, op row.Op, _ []uint64, _ []row.Flag) row.Op { return op }

// planted are defects, and a proof that must catch each.
type planted struct {
	name, proof string
	read        readFunc
}

func defects() []planted {
	var early position.Position
	var marks sync.Map
	return []planted{
		{"drops a batch", "Stream", batches(false, func(w *wrong, n int, b *row.Batch) []*row.Batch {
			if b.Rows() > 0 && w.count() == 9 {
				end := b.End
				b.Release()
				return []*row.Batch{row.Mark(end, 0)}
			}
			return []*row.Batch{b}
		})},
		{"repeats a batch as after a reconnect", "Stream", batches(false, func(_ *wrong, n int, b *row.Batch) []*row.Batch {
			if n == 7 {
				b.Retain()
				return []*row.Batch{b, b}
			}
			return []*row.Batch{b}
		})},
		{"an end inside a transaction", "Bank", batches(false, func(w *wrong, _ int, b *row.Batch) []*row.Batch {
			if b.Rows() > 0 && b.End.IsZero() {
				o := b.Order(b.Rows() - 1)
				return []*row.Batch{changed(b, position.New("mem", o, "0 1"), same)}
			}
			return []*row.Batch{b}
		})},
		{"an end inside a transaction, without its last rows", "Bank", batches(false, func(w *wrong, _ int, b *row.Batch) []*row.Batch {
			if n := b.Rows(); n > 1 && !b.End.IsZero() {
				return []*row.Batch{changed(b, b.End, func(i int, op row.Op, _ []uint64, _ []row.Flag) row.Op {
					if i == n-1 {
						return 0
					}
					return op
				})}
			}
			return []*row.Batch{b}
		})},
		{"a mark taken too late", "Keys", func(w *wrong, ctx context.Context, s connector.Split, from position.Position, emit func(*row.Batch) error) error {
			if !s.Bounded {
				return w.memSource.Read(ctx, s, from, emit)
			}
			var held []*row.Batch
			if err := w.memSource.Read(ctx, s, from, func(b *row.Batch) error { held = append(held, b); return nil }); err != nil {
				return err
			}
			for begin, _, _ := w.Head(ctx, 0); ; { // the log goes on meanwhile
				now, _, _ := w.Head(ctx, 0)
				if now.Order() != begin.Order() || w.count() > 4000 {
					break
				}
				<-time.After(time.Millisecond)
			}
			mark, _, _ := w.Head(ctx, 0)
			for i, b := range held {
				if i == 0 {
					b = row.Mark(mark, 0)
				} else {
					b = reorder(b, mark)
				}
				if err := emit(b); err != nil {
					return err
				}
			}
			return nil
		}},
		{"a mark taken too early", "Keys", batches(true, func(w *wrong, n int, b *row.Batch) []*row.Batch {
			if n == 1 {
				if early.IsZero() {
					early = b.End
				}
				return []*row.Batch{row.Mark(early, 0)}
			}
			return []*row.Batch{reorder(b, early)}
		})},
		{"a stream that begins behind a mark", "Keys", func(w *wrong, ctx context.Context, s connector.Split, from position.Position, emit func(*row.Batch) error) error {
			if s.Bounded {
				return w.memSource.Read(ctx, s, from, func(b *row.Batch) error {
					if b.Rows() == 0 {
						marks.Store(b.End, true)
					}
					return emit(b)
				})
			}
			if _, is := marks.Load(from); is {
				from = s.Until.Place
			}
			return w.memSource.Read(ctx, s, from, emit)
		}},
		{"a row missing in a chunk", "Keys", batches(true, func(_ *wrong, _ int, b *row.Batch) []*row.Batch {
			if b.Rows() > 40 {
				return []*row.Batch{changed(b, b.End, func(i int, op row.Op, _ []uint64, _ []row.Flag) row.Op {
					if i == 20 {
						return 0
					}
					return op
				})}
			}
			return []*row.Batch{b}
		})},
		{"bounds closed at both ends of the table", "Splits", batches(true, func(_ *wrong, _ int, b *row.Batch) []*row.Batch {
			if b.Rows() == 0 {
				return []*row.Batch{b}
			}
			return []*row.Batch{changed(b, b.End, func(_ int, op row.Op, words []uint64, _ []row.Flag) row.Op {
				if id := int64(words[0]); id < 0 || id > 10000 {
					return 0
				}
				return op
			})}
		})},
		{"absent told as null", "Partial", batches(false, func(_ *wrong, _ int, b *row.Batch) []*row.Batch {
			if b.Rows() == 0 {
				return []*row.Batch{b}
			}
			return []*row.Batch{changed(b, b.End, func(_ int, op row.Op, _ []uint64, flags []row.Flag) row.Op {
				for i, f := range flags {
					if f == row.Absent {
						flags[i] = row.Null
					}
				}
				return op
			})}
		})},
		{"two batches in the wrong order", "Stream", func(w *wrong, ctx context.Context, s connector.Split, from position.Position, emit func(*row.Batch) error) error {
			var held *row.Batch
			n := 0
			return w.memSource.Read(ctx, s, from, func(b *row.Batch) error {
				if n++; n == 5 {
					held = b
					return nil
				}
				if err := emit(b); err != nil || held == nil {
					return err
				}
				b, held = held, nil
				return emit(b)
			})
		}},
		{"lost taken as from now", "Pruned", func(w *wrong, ctx context.Context, s connector.Split, from position.Position, emit func(*row.Batch) error) error {
			err := w.memSource.Read(ctx, s, from, emit)
			if fault.Has(err, fault.SourceLost) {
				now, _, _ := w.Head(ctx, 0)
				return w.memSource.Read(ctx, s, now, emit)
			}
			return err
		}},
		{"lost told after a batch", "Pruned", func(w *wrong, ctx context.Context, s connector.Split, from position.Position, emit func(*row.Batch) error) error {
			err := w.memSource.Read(ctx, s, from, emit)
			if fault.Has(err, fault.SourceLost) {
				return errors.Join(emit(row.Mark(from, 0)), err)
			}
			return err
		}},
		{"another history taken as the same", "Replaced", func(w *wrong, ctx context.Context, s connector.Split, from position.Position, emit func(*row.Batch) error) error {
			if !s.Bounded {
				w.s.mu.Lock()
				at := position.New("mem", from.Order(), fmt.Sprint(w.s.history, strings.TrimLeft(from.Token(), "0123456789")))
				w.s.mu.Unlock()
				from = at
			}
			return w.memSource.Read(ctx, s, from, emit)
		}},
		{"a goroutine left behind", "UntilPlace", func(w *wrong, ctx context.Context, s connector.Split, from position.Position, emit func(*row.Batch) error) error {
			left := time.After(20 * time.Second)
			go func() { <-left }()
			return w.memSource.Read(ctx, s, from, emit)
		}},
		{"cancel ignored", "Cancel", func(w *wrong, ctx context.Context, s connector.Split, from position.Position, emit func(*row.Batch) error) error {
			err := w.memSource.Read(ctx, s, from, emit)
			if ctx.Err() != nil {
				<-time.After(1500 * time.Millisecond)
			}
			return err
		}},
		{"cancel told as the end", "Cancel", func(w *wrong, ctx context.Context, s connector.Split, from position.Position, emit func(*row.Batch) error) error {
			if err := w.memSource.Read(ctx, s, from, emit); ctx.Err() == nil {
				return err
			}
			return nil
		}},
		{"shapes from the catalogue", "Schema", func(w *wrong, ctx context.Context, s connector.Split, from position.Position, emit func(*row.Batch) error) error {
			if !s.Bounded {
				tables, _, _ := w.Discover(ctx, s.Selector)
				for i, t := range tables {
					t.Number = uint32(i + 1)
				}
				s.Tables = tables
			}
			defer func() { _ = recover() }()
			return w.memSource.Read(ctx, s, from, emit)
		}},
		{"a schema change left out", "Schema", batches(false, func(_ *wrong, _ int, b *row.Batch) []*row.Batch {
			if b.Change != nil && b.Change.Kind == row.Drop {
				return []*row.Batch{row.Mark(b.End, 0)}
			}
			return []*row.Batch{b}
		})},
		{"the table that must leave stays", "Unlogged", batches(false, func(_ *wrong, _ int, b *row.Batch) []*row.Batch {
			if b.Change != nil && b.Change.Kind == row.Stop {
				return []*row.Batch{row.Mark(b.End, 0)}
			}
			return []*row.Batch{b}
		})},
		{"silence while idle", "Idle", batches(false, func(_ *wrong, _ int, b *row.Batch) []*row.Batch {
			if b.Rows() == 0 && b.Change == nil {
				return nil
			}
			return []*row.Batch{b}
		})},
		{"the old image of an update left out", "Stream", batches(false, func(_ *wrong, _ int, b *row.Batch) []*row.Batch {
			if b.Rows() == 0 {
				return []*row.Batch{b}
			}
			return []*row.Batch{changed(b, b.End, func(_ int, op row.Op, _ []uint64, _ []row.Flag) row.Op {
				if op == row.Before {
					return 0
				}
				return op
			})}
		})},
		{"the error of emit wrapped", "EmitFails", func(w *wrong, ctx context.Context, s connector.Split, from position.Position, emit func(*row.Batch) error) error {
			if err := w.memSource.Read(ctx, s, from, emit); err != nil {
				return fmt.Errorf("emit: %w", err)
			}
			return nil
		}},
		{"one transaction beyond the time", "UntilTime", func(w *wrong, ctx context.Context, s connector.Split, from position.Position, emit func(*row.Batch) error) error {
			if !s.Until.Time.IsZero() {
				s.Until.Time = s.Until.Time.Add(3 * time.Second)
			}
			return w.memSource.Read(ctx, s, from, emit)
		}},
		{"a value cut short", "Types", batches(true, func(_ *wrong, _ int, b *row.Batch) []*row.Batch {
			if b.Rows() == 0 {
				return []*row.Batch{b}
			}
			return []*row.Batch{changed(b, b.End, func(_ int, op row.Op, words []uint64, flags []row.Flag) row.Op {
				if flags[1] == row.Value {
					words[1] &= 1<<31 - 1
				}
				return op
			})}
		})},
	}
}

// reorder moves the rows of a chunk's batch to another mark.
func reorder(b *row.Batch, mark position.Position) *row.Batch {
	x := row.NewBuilder(&row.Pool{})
	for k := range b.Sections() {
		s := &b.Sections()[k]
		for r := s.Row; r < s.Row+s.Rows; r++ {
			o := mark.Order()
			x.At(o[:len(o)-8], row.Counter(b.Order(r)), row.Txn{})
			x.Row(s.Table, b.Op(r))
			words, flags := b.Cells(s, r)
			for c, w := range words {
				switch {
				case flags[c] == row.Null:
					x.Null()
				case s.Table.Columns[c].Type.Kind.InBytes():
					x.Bytes(b.Data(w))
				default:
					x.Word(w)
				}
			}
		}
	}
	b.Release()
	return x.Finish(mark, 0)
}

func TestRun_when_the_source_is_wrong(t *testing.T) {
	for _, d := range defects() {
		t.Run(d.name, func(t *testing.T) {
			h := memHarness(func(s connector.Source) connector.Source { return &wrong{memSource: s.(*memSource), read: d.read} })
			h.Dialect.Patience = 15 * time.Second
			said := verdict(t, h, d.proof)
			if len(said) == 0 {
				t.Fatalf("%s did not catch it", d.proof)
			}
			t.Logf("%s: %.300s", d.proof, said[0])
		})
	}
}
