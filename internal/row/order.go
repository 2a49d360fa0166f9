package row

import (
	"encoding/binary"
	"encoding/hex"

	"godwit/internal/position"
)

// Orders of rows end in a counter of 8 bytes, big-endian. A place between
// transactions has counter 0. At a place P the rows that belong to it have
// counters above 0 that say to which generation and chunk of a snapshot they
// belong, so that orders are distinct and a later generation sorts after an
// earlier one even when the log did not move in between.
const (
	generationBits = 10
	chunkBits      = 18
	ordinalBits    = 36
	repairs        = 1<<generationBits - 1

	// CountedGenerations, MaxChunk and MaxOrdinal bound what a counter can hold.
	// Generations beyond those counted have the counters of the last one: an
	// incarnation of its own, which sorts first, tells each of them apart. What
	// would be the next generation is that of repairs.
	CountedGenerations = repairs - 1
	MaxChunk           = 1<<chunkBits - 1
	MaxOrdinal         = 1<<ordinalBits - 1
)

// ChunkCounter returns the counter of row ordinal (from 1) of a chunk. Ordinal 0
// of chunk 0 is free: it is where a generation begins (TruncateAt).
func ChunkCounter(generation, chunk uint32, ordinal uint64) uint64 {
	return uint64(min(generation, CountedGenerations))<<(chunkBits+ordinalBits) | uint64(chunk)<<ordinalBits | ordinal
}

// MaxRepair bounds the number that RepairCounter takes.
const MaxRepair = 1<<(chunkBits+ordinalBits) - 1

// RepairCounter returns the counter of a row that a repair writes at the place which a
// target has reached: it sorts after all that belongs to the place, and before what
// comes. n is greater than that of every row written so before at that place.
func RepairCounter(n uint64) uint64 { return repairs<<(chunkBits+ordinalBits) | n&MaxRepair }

// IsRepair reports whether a counter is one of RepairCounter.
func IsRepair(counter uint64) bool { return counter>>(chunkBits+ordinalBits) == repairs }

// TruncateAt returns a batch with one Truncate row of t at place p, from which
// the given generation of its snapshot starts: after every row of earlier
// generations, before every row of this one.
func TruncateAt(pool *Pool, t *Table, p position.Position, generation uint32) *Batch {
	o := p.Order()
	return truncate(pool, t, o[:len(o)-8], ChunkCounter(generation, 0, 0), Txn{})
}

// TruncateOrder returns a batch with one Truncate row of t at the given order.
func TruncateOrder(pool *Pool, t *Table, order string, txn Txn) *Batch {
	return truncate(pool, t, order[:len(order)-8], Counter(order), txn)
}

func truncate(pool *Pool, t *Table, prefix string, counter uint64, txn Txn) *Batch {
	x := NewBuilder(pool)
	x.At(prefix, counter, txn)
	x.Row(t, Truncate)
	for range t.Columns {
		x.Absent()
	}
	return x.Finish(position.Position{}, 0)
}

// Counter returns the last 8 bytes of an order as a number.
func Counter(order string) uint64 { return binary.BigEndian.Uint64([]byte(order[len(order)-8:])) }

// AppendPos appends what a changelog writes as _pos: the incarnation and the
// order of a row in lowercase hex. Texts of one job have one length and sort
// bytewise as the rows do.
func AppendPos(b []byte, incarnation uint16, order string) []byte {
	b = hex.AppendEncode(b, binary.BigEndian.AppendUint16(nil, incarnation))
	return hex.AppendEncode(b, []byte(order))
}

// PlacePos returns the text that bounds a place in a changelog: a row belongs to
// the state at p if and only if its _pos is at or below it. It has the greatest
// counter, because the rows of a chunk with mark p are part of the state at p.
func PlacePos(incarnation uint16, p position.Position) string {
	o := p.Order()
	if len(o) < 8 {
		return ""
	}
	return string(AppendPos(nil, incarnation, o[:len(o)-8]+"\xff\xff\xff\xff\xff\xff\xff\xff"))
}
