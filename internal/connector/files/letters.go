package files

import (
	"context"
	"encoding/json"
	"io/fs"
	"strings"
	"time"

	"godwit/internal/codec"
	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/row"
	"godwit/internal/store"
)

var _ connector.Discarder = (*writer)(nil)

// deadDir has rows that could not be written, in files of one letter a line
// (docs/formats/dead-letters.md). They go into the record of the commit that passes them,
// as the files of tables do. lettersExtension is what their names end with.
const (
	deadDir          = control + "dead/"
	lettersExtension = "jsonl"
)

// letters are the rows put aside since the last commit.
type letters struct {
	buried  func(connector.Letter)
	staging store.Staging // nil: none so far
	waiting []connector.Letter
}

// letter is the form in which a row put aside is kept.
type letter struct {
	Table  string             `json:"table"`
	Op     string             `json:"op"`
	Pos    string             `json:"pos"`
	Time   string             `json:"time,omitempty"` // of the transaction
	Txn    string             `json:"txn,omitempty"`
	Key    map[string]*string `json:"key,omitempty"`
	Row    map[string]*string `json:"row"` // all cells that are there, as text; null: null
	Reason reason             `json:"reason"`
}

type reason struct {
	Code  fault.Code `json:"code"`
	What  string     `json:"what"`
	Where string     `json:"where,omitempty"`
	Hint  string     `json:"hint,omitempty"`
}

// Discard implements connector.Discarder.
func (w *writer) Discard(buried func(connector.Letter)) { w.letters = &letters{buried: buried} }

// Bury implements connector.Discarder.
func (w *writer) Bury(ctx context.Context, b *row.Batch, s *row.Section, i int, why *fault.Error) error {
	if err := w.usable(); err != nil {
		return err
	}
	if err := w.bury(ctx, b, s, i, why); err != nil {
		return w.poison(err)
	}
	return nil
}

// encode gives rows to an encoder; those that it refuses are put aside where that was
// asked for.
func (w *writer) encode(ctx context.Context, enc codec.Encoder, b *row.Batch, s *row.Section) error {
	if w.letters == nil {
		return enc.Encode(b, s)
	}
	for i := s.Row; i < s.Row+s.Rows; i++ {
		one := s.Part(i, i+1)
		err := encodeOne(enc, b, &one)
		if fault.Has(err, fault.RowRefused) {
			err = w.bury(ctx, b, &one, i, fault.Of(err))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// encodeOne gives one row to an encoder, which goes on if it refuses the row: one that
// fills columns side by side is of no use after a row of which it has a part.
func encodeOne(enc codec.Encoder, b *row.Batch, one *row.Section) error {
	if r, ok := enc.(codec.Refuser); ok {
		if err := r.Refuse(b, one, one.Row); err != nil {
			return err
		}
	}
	return enc.Encode(b, one)
}

func (w *writer) bury(ctx context.Context, b *row.Batch, s *row.Section, i int, why *fault.Error) error {
	l := w.letters
	if l == nil {
		return fault.New(fault.Internal, "a row was put aside that nobody said may be")
	}
	if l.staging == nil {
		w.seq++
		key := deadDir + fileName(w.shard.task, w.record.Epoch, w.seq, lettersExtension)
		mode := fs.FileMode(0o600)
		g, err := w.sink.stager.Stage(ctx, key, store.PutOptions{Attributes: store.Attributes{Mode: &mode}})
		if err != nil {
			return w.sink.fail(err, "%s cannot be staged", key)
		}
		l.staging = g
	}
	line, err := json.Marshal(letterOf(b, s, i, why))
	if err != nil {
		return fault.New(fault.Internal, "a row that is put aside cannot be written").By(err)
	}
	if _, err := l.staging.Write(append(line, '\n')); err != nil {
		return w.sink.fail(err, "a row that is put aside cannot be written")
	}
	w.staged += int64(len(line)) + 1
	l.waiting = append(l.waiting, connector.Letter{Table: s.Table, Order: string(row.AppendPos(nil, b.Incarnation, b.Order(i))), Op: b.Op(i), Reason: why})
	return nil
}

func letterOf(b *row.Batch, s *row.Section, i int, why *fault.Error) letter {
	l := letter{Table: s.Table.Name.String(), Op: string(codec.OpLetter(b.Op(i))), Pos: string(row.AppendPos(nil, b.Incarnation, b.Order(i))),
		Key: map[string]*string{}, Row: map[string]*string{}, Reason: reason{why.Code, why.What, why.Where, why.Hint}}
	for span := range b.Spans(s) {
		if i < span.Row || i >= span.Row+span.Rows {
			continue
		}
		if l.Txn = span.Txn.ID; span.Txn.Time != 0 {
			l.Time = time.UnixMicro(span.Txn.Time).UTC().Format(time.RFC3339Nano)
		}
	}
	words, flags := b.Cells(s, i)
	for k, c := range s.Table.Columns {
		switch flags[k] {
		case row.Null:
			l.Row[c.Name] = nil
		case row.Value:
			text := string(row.AppendText(nil, b, c.Type, words[k]))
			l.Row[c.Name] = &text
		}
	}
	for _, k := range s.Table.Key {
		if name := s.Table.Columns[k].Name; flags[k] == row.Value {
			l.Key[name] = l.Row[name]
		}
	}
	return l
}

// endLetters closes the file of letters, which goes with the next commit.
func (w *writer) endLetters() error {
	if w.letters == nil || w.letters.staging == nil {
		return nil
	}
	g := w.letters.staging
	w.letters.staging = nil
	r, err := g.Close()
	if err != nil {
		g.Abort()
		return w.sink.fail(err, "rows that are put aside cannot be staged")
	}
	w.receipts = append(w.receipts, r)
	return nil
}

// tellLetters tells of the letters of a commit that was made.
func (w *writer) tellLetters() {
	if w.letters == nil {
		return
	}
	for _, l := range w.letters.waiting {
		w.letters.buried(l)
	}
	w.letters.waiting = nil
}

// dropLetters drops what is not committed.
func (w *writer) dropLetters() {
	if w.letters != nil && w.letters.staging != nil {
		w.letters.staging.Abort()
		w.letters.staging = nil
	}
}

// stagedName is the name of file seq of an epoch in a folder.
func (s *sink) stagedName(folder, task string, epoch, seq uint64) string {
	extension := s.codec.Extension()
	if folder == deadDir {
		extension = lettersExtension
	}
	return folder + fileName(task, epoch, seq, extension)
}

// ofTable reports whether a receipt may name the key: the rest of the control folder is
// no place for files of a commit.
func ofTable(key string) bool {
	return key != "" && (!strings.HasPrefix(key, control) || strings.HasPrefix(key, deadDir))
}
