package flow

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"godwit/internal/fault"
	"godwit/internal/position"
)

// Keys of a stream shard's Set (docs/formats/positions.md). Places stand under
// the name of their split; the others are notes.
const (
	keyStream     = "stream"     // the place reached in the log
	keySchemas    = "schemas"    // id of the shapes that hold there
	keyLog        = "log"        // incarnation of the log, a decimal number
	keyTables     = "tables"     // the patterns that chose the tables
	keyEdits      = "edits"      // how many edits of the tables the sink has followed, a decimal number
	keyEditing    = "editing"    // the patterns of an edit of which not all tables have found room
	keyGeneration = "generation" // of the snapshot, a decimal number; absent: no snapshot
	keySnapshot   = "snapshot"   // id of the shapes at the snapshot's P0
	keyCopied     = "copied"     // all chunks are committed; the greatest mark of them
	keyComplete   = "complete"   // base64 bitmap of tables whose marks the stream has passed
	keyWhole      = "whole"      // all of them have: the place from which the target is right
	keyReached    = "reached"    // the end that a run was asked for and came to, as text
	keyApart      = "apart"      // base64 bitmap of tables that stand apart: their own streams carry them
	keyNewest     = "newest"     // the greatest generation of any table, where it is above generation
	keyChunk      = "c"          // prefix of "c<from>-<to>" in a chunk shard: their mark
	streamTask    = "stream"     // Shard.Task of the stream
)

// partTask is the Shard.Task of the stream of a table that stands apart.
func partTask(number uint32) string { return fmt.Sprintf("%s.%d", streamTask, number) }

// chunkRange is a run of neighbouring chunks with one mark.
type chunkRange struct {
	from, to uint32
	mark     position.Position
}

// chunks is what a chunk shard has committed: ranges in order, neighbours with
// one mark folded.
type chunks []chunkRange

// chunksOf reads the ranges of a chunk shard's Set.
func chunksOf(s position.Set) (chunks, error) {
	var out chunks
	for k, p := range s {
		rest, ok := strings.CutPrefix(k, keyChunk)
		if !ok {
			continue
		}
		a, b, _ := strings.Cut(rest, "-")
		from, err1 := strconv.ParseUint(a, 10, 32)
		to, err2 := strconv.ParseUint(b, 10, 32)
		if err1 != nil || err2 != nil || from > to {
			return nil, fault.New(fault.TargetBroken, "a committed position set has the chunk range %q", k)
		}
		out = append(out, chunkRange{uint32(from), uint32(to), p})
	}
	slices.SortFunc(out, func(a, b chunkRange) int { return cmp.Compare(a.from, b.from) })
	return out, nil
}

// mark returns the mark of chunk n; false: it is not committed.
func (c chunks) mark(n uint32) (position.Position, bool) {
	for _, r := range c {
		if r.from <= n && n <= r.to {
			return r.mark, true
		}
	}
	return position.Position{}, false
}

// has reports whether chunk n is committed.
func (c chunks) has(n uint32) bool {
	_, ok := c.mark(n)
	return ok
}

// with returns c with chunk n at mark, folded.
func (c chunks) with(n uint32, mark position.Position) chunks {
	out := append(slices.Clone(c), chunkRange{n, n, mark})
	slices.SortFunc(out, func(a, b chunkRange) int { return cmp.Compare(a.from, b.from) })
	folded := out[:0]
	for _, r := range out {
		if k := len(folded) - 1; k >= 0 && folded[k].to+1 == r.from && folded[k].mark == r.mark {
			folded[k].to = r.to
			continue
		}
		folded = append(folded, r)
	}
	return folded
}

// set returns the Set of a chunk shard.
func (c chunks) set() position.Set {
	s := make(position.Set, len(c))
	for _, r := range c {
		s[fmt.Sprintf("%s%d-%d", keyChunk, r.from, r.to)] = r.mark
	}
	return s
}

// greatest returns the greatest mark.
func (c chunks) greatest() (position.Position, error) {
	var p position.Position
	for _, r := range c {
		if o, err := r.mark.Compare(p); err != nil {
			return p, err
		} else if o > 0 {
			p = r.mark
		}
	}
	return p, nil
}

// bitmap is a set of table numbers in a note.
type bitmap []byte

func bitmapOf(p position.Position) bitmap {
	if list, few := strings.CutPrefix(p.Token(), ","); few {
		return bitmapOfFew(list)
	}
	b, err := base64.RawStdEncoding.DecodeString(p.Token())
	if err != nil {
		return nil // an unreadable note only makes tables pass again
	}
	return b
}

// maxNumber bounds the numbers that are read from a list.
const maxNumber = 1 << 24

// bitmapOfFew reads numbers with commas between; nil when they are none.
func bitmapOfFew(list string) (b bitmap) {
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil || n > maxNumber {
			return nil
		}
		b = b.with(uint32(n))
	}
	return b
}

func (b bitmap) has(n uint32) bool {
	return int(n/8) < len(b) && b[n/8]&(1<<(n%8)) != 0
}

func (b bitmap) with(n uint32) bitmap {
	out := append(bitmap(nil), b...)
	for int(n/8) >= len(out) {
		out = append(out, 0)
	}
	out[n/8] |= 1 << (n % 8)
	return out
}

// without returns b without n.
func (b bitmap) without(n uint32) bitmap {
	out := append(bitmap(nil), b...)
	if out.has(n) {
		out[n/8] &^= 1 << (n % 8)
	}
	return out
}

// numbers returns what is in b, least first.
func (b bitmap) numbers() (out []uint32) {
	for n := range uint32(len(b) * 8) {
		if b.has(n) {
			out = append(out, n)
		}
	}
	return out
}

// shortBitmap is up to which length a bitmap is one in its note. Numbers rise with each
// table that was ever made, and a Set has no room for as many bits: a longer one is a list
// where that is shorter.
const shortBitmap = 256

func (b bitmap) note() position.Position {
	text := base64.RawStdEncoding.EncodeToString(b)
	if len(text) <= shortBitmap {
		return position.Note(text)
	}
	var list strings.Builder
	for _, n := range b.numbers() {
		fmt.Fprintf(&list, ",%d", n)
	}
	if list.Len() > 0 && list.Len() < len(text) {
		text = list.String()
	}
	return position.Note(text)
}

// noteNumber reads a decimal note; an absent one is 0.
func noteNumber(s position.Set, key string) (uint64, error) {
	p, ok := s[key]
	if !ok {
		return 0, nil
	}
	n, err := strconv.ParseUint(p.Token(), 10, 64)
	if err != nil {
		return 0, fault.New(fault.TargetBroken, "a committed position set has %q for %s", p.Token(), key)
	}
	return n, nil
}

func numberNote(n uint64) position.Position { return position.Note(strconv.FormatUint(n, 10)) }

// edited returns a copy of s after f changed it.
func edited(s position.Set, f func(position.Set)) position.Set {
	out := maps.Clone(s)
	if out == nil {
		out = position.Set{}
	}
	f(out)
	return out
}
