package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"strings"
	"time"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

var _ connector.Discarder = (*writer)(nil)

// letter is a row that is put aside in the transaction that passes it.
type letter struct {
	connector.Letter
	cells []byte // JSON: column → text or null
}

// Discard implements connector.Discarder. Rows of a snapshot are folded too, so that
// the ones that are refused can be found.
func (w *writer) Discard(buried func(connector.Letter)) { w.buried = buried }

// Bury implements connector.Discarder.
func (w *writer) Bury(ctx context.Context, b *row.Batch, s *row.Section, i int, reason *fault.Error) error {
	if err := w.usable(); err != nil {
		return err
	}
	if err := w.begin(ctx); err != nil {
		return w.poison(ctx, err)
	}
	w.bury(b, s, i, reason)
	return nil
}

func (w *writer) bury(b *row.Batch, s *row.Section, i int, reason *fault.Error) {
	words, flags := b.Cells(s, i)
	texts := map[string]*string{}
	for k, c := range s.Table.Columns {
		switch flags[k] {
		case row.Null:
			texts[c.Name] = nil
		case row.Value:
			text := shown(c.Type, b, words[k])
			texts[c.Name] = &text
		}
	}
	w.aside(connector.Letter{Table: s.Table, Order: posOf(b.Incarnation, b.Order(i)), Op: b.Op(i), Reason: reason}, texts)
}

// posOf is the place of a row as dead letters have it.
func posOf(incarnation uint16, order string) string {
	return string(row.AppendPos(nil, incarnation, order))
}

func (w *writer) aside(l connector.Letter, texts map[string]*string) {
	cells, err := json.Marshal(texts)
	if err != nil {
		panic(err) // texts
	}
	w.letters = append(w.letters, letter{l, cells})
	w.staged += int64(len(cells))
}

// asideRefused puts a row aside if err is about the row and rows are put aside at all.
func (w *writer) asideRefused(b *row.Batch, s *row.Section, i int, err error) error {
	if err == nil || w.buried == nil || !fault.Has(err, fault.RowRefused) {
		return err
	}
	w.bury(b, s, i, fault.Of(err))
	return nil
}

// savepoint names the one that a part of a flush goes back to.
const savepoint = "godwit"

// attempt carries out statements that the server may refuse for what a row holds: then
// everything is as it was before them.
func (w *writer) attempt(ctx context.Context, g *target, do func() error) (refused *fault.Error, err error) {
	if _, err := w.c.query(ctx, "SAVEPOINT "+savepoint); err != nil {
		return nil, err
	}
	err = rowsFault(do(), g, "")
	if err == nil {
		_, err = w.c.query(ctx, "RELEASE SAVEPOINT "+savepoint)
		return nil, err
	}
	if !fault.Has(err, fault.RowRefused) || w.c.broken != nil {
		return nil, err
	}
	w.c.queue("ROLLBACK TO SAVEPOINT " + savepoint)
	w.c.queue("RELEASE SAVEPOINT " + savepoint)
	if _, err := w.c.sync(ctx); err != nil {
		return nil, err
	}
	return fault.Of(err), nil
}

// sendAside sends what a fold comes to without the rows that are refused: it halves
// what fails until one is left.
func (w *writer) sendAside(ctx context.Context, f *fold) error {
	refused, err := w.attempt(ctx, f.g, func() error { return f.sendNow(ctx, w.c) })
	if refused == nil || err != nil {
		return err
	}
	if f.g.mayCross(refused) {
		return w.sink.cross(f.g, refused)
	}
	if len(f.slots) <= 1 {
		return w.lastAside(ctx, f, refused)
	}
	half := len(f.slots) / 2
	first, second := *f, *f
	first.slots, second.slots, second.truncate = f.slots[:half], f.slots[half:], false
	if err := w.sendAside(ctx, &first); err != nil {
		return err
	}
	return w.sendAside(ctx, &second)
}

// lastAside puts the one row aside that is left of a fold.
func (w *writer) lastAside(ctx context.Context, f *fold, reason *fault.Error) error {
	if len(f.slots) == 0 {
		return reason
	}
	s := &f.slots[0]
	texts, err := f.texts(s)
	if err != nil {
		return err
	}
	w.aside(connector.Letter{Table: f.g.table, Order: s.pos, Op: s.of, Reason: reason}, texts)
	if !f.truncate {
		return nil
	}
	rest := *f
	rest.slots = nil
	return w.sendAside(ctx, &rest)
}

// texts has the cells of a slot as texts.
func (f *fold) texts(s *slot) (map[string]*string, error) {
	columns := f.g.all()
	if s.op == gone {
		columns = f.g.key
	}
	out := map[string]*string{}
	values := make([][]byte, len(f.g.fields))
	present := make([]bool, len(values))
	p := s.at
	for _, c := range columns {
		cell := cellAt(f.arena, p)
		p += int32(len(cell))
		switch binary.BigEndian.Uint32(cell) {
		case lengthNull:
			out[f.g.table.Columns[c].Name] = nil
		case lengthAbsent:
		default:
			values[c], present[c] = bytes.Clone(cell[4:]), true
		}
	}
	r := &reading{g: f.g, stored: f.g.table, raw: true, x: row.NewBuilder(&row.Pool{})}
	if err := r.add(values); err != nil {
		return nil, err
	}
	b := r.x.Finish(position.Position{}, 0)
	defer b.Release()
	section := b.Sections()[0]
	words, _ := b.Cells(&section, 0)
	for c := range values {
		if present[c] {
			text := f.g.shownStored(c, b, words[c])
			out[f.g.table.Columns[c].Name] = &text
		}
	}
	return out, nil
}

// shownStored shows a value that came out of the target's form.
func (g *target) shownStored(column int, b *row.Batch, w uint64) string {
	if g.fields[column].oid == oidText {
		return shownText(b.Data(w))
	}
	return shown(g.table.Columns[column].Type, b, w)
}

// sendLetters writes the rows that were put aside, inside the transaction.
func (w *writer) sendLetters(ctx context.Context) error {
	if len(w.letters) == w.lettersSent {
		return nil
	}
	for _, l := range w.letters[w.lettersSent:] {
		args := append(w.sink.mine(w.shard.Task), text(l.Order), text(l.Table.Name.Space), text(l.Table.Name.Table),
			text(string(rune(opLetter(l.Op)))), text(string(l.Reason.Code)), text(clip(legible(l.Reason.Error()), maxReason)), arg{data: l.cells, oid: oidJSON})
		w.c.queue("INSERT INTO "+w.sink.control.dead+" (job, sink, shard, pos, source_space, source_table, op, code, reason, cells) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING", args...)
	}
	_, err := w.c.sync(ctx)
	for i := w.lettersSent; i < len(w.letters); i++ {
		w.letters[i].cells = nil // a chunk may have very many
	}
	w.lettersSent = len(w.letters)
	return err
}

// legible is what the server takes as a text: a reason may name a row by a key that the
// server does not take.
func legible(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\ufffd"), "\ufffd")
}

// maxReason bounds the text that says why a row was put aside.
const maxReason = 2000

// opLetter is how ops are written: r i u d t; the old image of an update is a d.
func opLetter(op row.Op) byte { return [...]byte{0, 'r', 'i', 'u', 'd', 'd', 't'}[op] }

// told tells of the rows that a commit has put aside.
func (w *writer) told() {
	letters := w.letters
	w.letters, w.lettersSent = nil, 0
	for _, l := range letters {
		if w.buried != nil {
			w.buried(l.Letter)
		}
	}
}

// findWithin bounds the search for the row that was refused.
const findWithin = 10 * time.Second

// refused says why the server did not take a fold, and which row it was: the halves of
// it are tried again in a transaction that comes to nothing.
func (w *writer) refused(ctx context.Context, f *fold, cause error) error {
	if f.g.mayCross(cause) {
		return w.sink.cross(f.g, cause)
	}
	if !fault.Has(cause, fault.RowRefused) || len(f.g.key) == 0 || len(f.slots) == 0 || w.c.broken != nil {
		return rowsFault(cause, f.g, "")
	}
	ctx, cancel := context.WithTimeout(ctx, findWithin)
	defer cancel()
	if w.c.script(ctx, "ROLLBACK", "BEGIN") != nil {
		return rowsFault(cause, f.g, "")
	}
	rest := *f
	for len(rest.slots) > 1 {
		first, half := rest, len(rest.slots)/2
		first.slots = rest.slots[:half]
		refused, err := w.attempt(ctx, f.g, func() error { return first.sendNow(ctx, w.c) })
		switch {
		case err != nil:
			return rowsFault(cause, f.g, "")
		case refused != nil:
			rest = first
		default:
			rest.slots, rest.truncate = rest.slots[half:], false
		}
	}
	if refused, err := w.attempt(ctx, f.g, func() error { return rest.sendNow(ctx, w.c) }); err != nil || refused == nil {
		return rowsFault(cause, f.g, "") // it was something else that was there
	}
	return rowsFault(cause, f.g, rest.name(&rest.slots[0]))
}

// sendNow sends what the fold comes to and waits for it.
func (f *fold) sendNow(ctx context.Context, c *session) error {
	if !f.send(c) {
		return nil
	}
	_, err := c.sync(ctx)
	return err
}

// name names a row for people, by its key.
func (f *fold) name(s *slot) string {
	texts, err := f.texts(s)
	if err != nil {
		return ""
	}
	out := "row"
	for _, k := range f.g.key {
		name := f.g.table.Columns[k].Name
		if text := texts[name]; text != nil {
			out += " " + name + "=" + clip(*text, maxShown)
		}
	}
	return out
}
