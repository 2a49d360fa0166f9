// Package codec is the contract of file formats. It imports only leaves.
package codec

import (
	"io"

	"godwit/internal/option"
	"godwit/internal/row"
)

// Format makes codecs of one file format.
type Format struct {
	Name    string // as in a job file: csv
	Help    string
	Options []option.Field
	New     func(v option.Values) (Codec, error)
}

// Codec writes files of one format with fixed options. It may be used
// concurrently.
type Codec interface {
	// Extension returns what file names end with, without the first dot:
	// "csv", "csv.zst".
	Extension() string
	// Columns returns what the columns of a file of s are called and typed, as
	// plan shows them: "name type".
	Columns(s Shape) []string
	// NewEncoder begins a file. What it writes to w is buffered by it.
	NewEncoder(w io.Writer, s Shape) (Encoder, error)
}

// Decoding is a Codec that reads back what it wrote.
type Decoding interface {
	// NewDecoder begins to read a file of s that this codec wrote, of so many bytes.
	// It reads only what it needs and holds a bounded part of the file.
	NewDecoder(r io.ReaderAt, size int64, s Shape) (Decoder, error)
	// Stored returns t as a file is able to hold it, and Store the cell that comes
	// back for one, as in connector.Readable.
	Stored(t *row.Table) *row.Table
	Store(x *row.Builder, b *row.Batch, t *row.Table, column int, word uint64, flag row.Flag)
}

// BatchBytes is how many bytes of rows a Decoder appends at once, and one row more.
const BatchBytes = 1 << 20

// Decoder reads one file. It is used by one goroutine.
type Decoder interface {
	// Decode appends the next rows to x, in the shape that Stored gives, at least one
	// and not many more than max, or than BatchBytes hold; io.EOF after the last. With Meta rows have their op,
	// order, incarnation (asked for by Incarnation), transaction and absent cells.
	Decode(x *row.Builder, max int) error
	// Incarnation is that of the rows that Decode appended last, which all have one.
	Incarnation() uint16
	Close() error
}

// Shape is the shape of a file.
type Shape struct {
	Table *row.Table
	// Meta adds the columns of a changelog before the table's (MetaColumns).
	Meta bool
}

// Encoder writes one file. It is used by one goroutine.
type Encoder interface {
	// Encode appends the rows of section s of b, which has the file's table
	// version. It keeps nothing of b. A row that a file cannot hold is
	// fault.RowRefused: it is not appended, those before it may be. A Refuser is of no
	// use after that, so it is asked first; any other encoder goes on as if the row had
	// never been given.
	Encode(b *row.Batch, s *row.Section) error
	// Memory returns the bytes the encoder holds.
	Memory() int
	// Written returns the bytes written to w so far and those waiting.
	Written() int64
	// Close writes what is left and the trailer. It does not close w.
	Close() error
}

// MetaColumns are the columns of a changelog, before the table's own.
var MetaColumns = []string{"_op", "_pos", "_ts", "_txn", "_absent"}

// OpLetter is what _op says: r i u d t. A Before row is a d: the old row is gone.
func OpLetter(op row.Op) byte {
	return [...]byte{0, 'r', 'i', 'u', 'd', 'd', 't'}[op]
}
