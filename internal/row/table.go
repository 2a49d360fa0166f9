// Package row defines rows in flight: shapes of tables, cells and batches of
// them. It imports only std and position.
package row

// Kind says how a value is held in a Cell and what it means. Every source maps
// its own types to these; every sink and codec maps them to its own.
type Kind uint8

// Kinds, and what a cell's word or bytes hold.
const (
	Int       Kind = iota + 1 // word: int64
	Uint                      // word: uint64
	Float32                   // word: math.Float32bits, zero-extended
	Float64                   // word: math.Float64bits
	Decimal                   // bytes: [-]digits[.digits], exactly Type.Scale digits after the point, no leading zeros before the last integer digit
	Text                      // bytes: UTF-8
	Bytes                     // bytes: as they are
	JSON                      // bytes: UTF-8 text as the source holds it
	Enum                      // bytes: UTF-8, the chosen label ('' is the source's error value)
	Labels                    // bytes: UTF-8, chosen labels of a set joined by ',' in declared order
	Date                      // word: PackDate; zero and partial dates are kept
	Time                      // word: int64 microseconds, a signed duration
	DateTime                  // word: PackDateTime, no zone; zero and partial dates are kept
	Timestamp                 // word: int64 microseconds since 1970-01-01T00:00:00Z; ZeroTimestamp for a source's zero value
	Year                      // word: uint64, 0 for a source's zero year
	Bits                      // word: uint64, Type.Size bits
)

// Type is the type of one column.
type Type struct {
	Kind   Kind     `json:"kind"`
	Size   int      `json:"size,omitempty"`   // bytes of an Int or Uint, bits of Bits, longest length of text and bytes in characters or bytes; 0: unknown
	Digits int      `json:"digits,omitempty"` // Decimal: digits in all
	Scale  int      `json:"scale,omitempty"`  // Decimal: digits after the point; Time, DateTime, Timestamp: digits of fraction, 0 to 6
	Labels []string `json:"labels,omitempty"` // Enum, Labels: declared labels in order
	Native string   `json:"native"`           // the source's own full type text, e.g. "bigint(20) unsigned"
	// Charset is the source's name of the encoding of text on the wire of its
	// log; cells are UTF-8 whatever it is. Empty where it does not apply.
	Charset string `json:"charset,omitempty"`
	// Collation is the source's name of the order of text; empty where it does
	// not apply.
	Collation string `json:"collation,omitempty"`
}

// Column is one column of a shape.
type Column struct {
	Name     string `json:"name"`
	Type     Type   `json:"type"`
	Nullable bool   `json:"nullable,omitempty"`
	// Default is the text a row written before the column existed shows in it:
	// the default at the moment of ADD COLUMN. Nil: null (or unknown).
	Default *string `json:"default,omitempty"`
}

// Name is a table's name in its source.
type Name struct {
	Space string `json:"space"` // database or schema
	Table string `json:"table"`
}

func (n Name) String() string { return n.Space + "." + n.Table }

// Table is one immutable version of a table's shape. Pointers to it are shared
// by all batches of that version; compare pointers to see a change of version.
type Table struct {
	Name    Name   `json:"name"`
	Number  uint32 `json:"number"`  // durable within a job, from 1; 0: not numbered yet
	Version uint32 `json:"version"` // rises with each change of shape in the job's log
	// Generation is that of the snapshot to which the rows belong, and the changes after
	// it; 0: there was none.
	Generation uint32   `json:"generation,omitempty"`
	Columns    []Column `json:"columns"` // in the order of the log
	Key        []int    `json:"key"`     // columns of the primary key, or of the unique not-null key that stands for it; empty: none
	// Charset and Collation are the table's defaults, which later columns inherit.
	Charset   string `json:"charset,omitempty"`
	Collation string `json:"collation,omitempty"`
	// Cascades names the tables whose rows a foreign key changes along with this
	// table's, unseen by the log.
	Cascades []Name `json:"cascades,omitempty"`
	// Parents are the tables, chosen or not, with whose changes a foreign key changes
	// rows of this one, unseen by the log, in the order of their names.
	Parents []Parent `json:"parents,omitempty"`
	// Stopped tells why the stream left the table at this version ("resync
	// needed"); empty while it flows. A stopped table has no more rows.
	Stopped string `json:"stopped,omitempty"`
	// Heals says of a stopped table that a copy of it is all that it needs: it took the
	// place of another, or its chunks are of different times. It is read again by itself.
	Heals bool `json:"heals,omitempty"`

	// Rows and Bytes are the source's estimates at discovery, -1 unknown. They
	// are not part of the shape and are not stored.
	Rows  int64 `json:"-"`
	Bytes int64 `json:"-"`
}

// Parent is a table with whose changes a foreign key changes rows of another.
type Parent struct {
	Name Name `json:"name"`
	// Columns are those of it that foreign keys refer to, in order; empty: its key.
	Columns []string `json:"columns,omitempty"`
}

// SameShape reports whether both versions have the same columns, types and key,
// whatever their names, numbers, versions and estimates are.
func (t *Table) SameShape(o *Table) bool {
	if len(t.Columns) != len(o.Columns) || len(t.Key) != len(o.Key) {
		return false
	}
	for i, c := range t.Columns {
		d := o.Columns[i]
		if c.Name != d.Name || c.Nullable != d.Nullable || !c.Type.same(d.Type) {
			return false
		}
	}
	for i, k := range t.Key {
		if k != o.Key[i] {
			return false
		}
	}
	return true
}

func (t Type) same(o Type) bool {
	return t.Kind == o.Kind && t.Native == o.Native && t.Charset == o.Charset && t.Collation == o.Collation
}

// Column returns the index of the named column, or -1.
func (t *Table) Column(name string) int {
	for i := range t.Columns {
		if t.Columns[i].Name == name {
			return i
		}
	}
	return -1
}

// ChangeKind says what a SchemaChange does.
type ChangeKind uint8

// Kinds of schema changes.
const (
	Create ChangeKind = iota + 1 // After is a table new to the job
	Alter                        // Before becomes After; its name may change with it
	Drop                         // Before is gone
	Stop                         // the table leaves the stream: After.Stopped says why
)

// SchemaChange is a barrier in the log: what is before it has Before's shape,
// what is after it After's.
type SchemaChange struct {
	Kind      ChangeKind
	Before    *Table            // nil for Create
	After     *Table            // nil for Drop
	Renamed   map[string]string // Alter: new column name → the name it had
	Statement string            // the source's text, for people; may be empty
	// Unfilled tells, of an Alter, why rows that are there may have other cells now than they
	// had and than Column.Default says of new columns, though the log has no rows for that;
	// empty: they have these.
	Unfilled string
	// Passing says of an Alter that a Default of a new column is known from the change
	// alone: who reads the shape later does not find it.
	Passing bool
	// Anew: the table is read again. Its rows go in the commit that the change is part of,
	// and need not follow it.
	Anew bool
}
