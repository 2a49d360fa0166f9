package sinktest

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"godwit/internal/connector"
	"godwit/internal/position"
	"godwit/internal/row"
)

// Log is a synthetic change log whose state at each place is known: transactions
// over several tables, some long, some without rows, schema changes between them,
// and a snapshot in chunks of what was there before.
type Log struct {
	Tables []*row.Table // at the start
	Chunks []ChunkRun
	txns   []txn
	pool   row.Pool
	// keepsState: the target is compared by its rows, not by their history.
	keepsState bool
}

// ChunkRun is one task that copies chunks of a table, committed one by one.
type ChunkRun struct {
	Task   string
	Chunks [][]entry
}

// txn is one transaction, or a schema change.
type txn struct {
	rows   []entry
	change *row.SchemaChange
}

// entry is one row of the log.
type entry struct {
	table *row.Table
	op    row.Op
	order string
	id    int64
	// cells has what the value of each column is made of; 0: null. absent has a bit for
	// each that the log does not carry.
	cells  []int64
	absent uint64
	line   string
}

const logName = "synthetic:1"

// stride is the distance of transactions in the log.
const stride = 100

func prefix(txn int, event uint32) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(txn)*stride)
	return string(binary.BigEndian.AppendUint32(b, event))
}

// place returns the place before transaction n.
func place(n int) position.Position {
	return position.New(logName, prefix(n, 0)+"\x00\x00\x00\x00\x00\x00\x00\x00", strconv.Itoa(n))
}

// End returns the place after the last transaction.
func (l *Log) End() position.Position { return place(len(l.txns)) }

// at returns the number of the transaction that follows p.
func (l *Log) at(p position.Position) int {
	if p.IsZero() {
		return 0
	}
	n, err := strconv.Atoi(p.Token())
	if err != nil || n < 0 || n > len(l.txns) {
		panic(fmt.Sprintf("sinktest: not a place of this log: %q", p.Token()))
	}
	return n
}

// Shape says how large a log is made.
type Shape struct {
	Txns   int
	Rows   int // of a transaction at most, but for one long one
	Long   int // rows of that
	Chunks int // tasks that copy
	// Schema: tables are altered on the way.
	Schema bool
	// State: rows that change are there, as for a target that keeps no history; one
	// table has no key.
	State bool
}

// NewLog makes the log of a seed.
func NewLog(seed uint64, s Shape) *Log {
	rng := rand.New(rand.NewPCG(seed, 7))
	l := &Log{keepsState: s.State}
	for i, name := range []string{"orders", "items", "Log_"} {
		l.Tables = append(l.Tables, &row.Table{Name: row.Name{Space: "shop", Table: name}, Number: uint32(i + 1), Version: 1,
			Columns: []row.Column{column("id", row.Int), column("note", row.Text)}, Key: []int{0}, Rows: -1, Bytes: -1})
	}
	if s.State {
		l.Tables[1].Key = nil
	}
	now := append([]*row.Table(nil), l.Tables...)
	id := int64(0)
	for i := range s.Chunks {
		l.Chunks = append(l.Chunks, chunkRun(now[0], i, &id))
	}
	alive := newAlive(l.Chunks)
	for n := range s.Txns {
		if s.Schema && n%4 == 3 && n != s.Txns/2 {
			l.txns = append(l.txns, alter(now, n, rng))
			continue
		}
		rows := rng.IntN(s.Rows + 1)
		if n == s.Txns/2 {
			rows = s.Long
		}
		if s.State {
			l.txns = append(l.txns, alive.changes(now, n, rows, &id, rng))
			continue
		}
		l.txns = append(l.txns, changes(now, n, rows, &id, rng))
	}
	return l
}

func column(name string, k row.Kind) row.Column {
	return row.Column{Name: name, Type: row.Type{Kind: k, Size: 8, Native: k.String()}, Nullable: true}
}

func chunkRun(t *row.Table, run int, id *int64) ChunkRun {
	c := ChunkRun{Task: fmt.Sprintf("1.1.%d", run+1)}
	for k := range 2 {
		var rows []entry
		for i := range 3 {
			*id++
			rows = append(rows, newEntry(t, row.Read, prefix(0, 0), row.ChunkCounter(1, uint32(run*2+k), uint64(i+1)), *id))
		}
		c.Chunks = append(c.Chunks, rows)
	}
	return c
}

func changes(tables []*row.Table, n, rows int, id *int64, rng *rand.Rand) txn {
	var t txn
	for i := range rows {
		table := tables[rng.IntN(len(tables))]
		op := []row.Op{row.Insert, row.Insert, row.Update, row.Delete}[rng.IntN(4)]
		if rng.IntN(40) == 0 {
			op = row.Truncate
		}
		*id++
		// A few rows to an event, as in real logs.
		t.rows = append(t.rows, newEntry(table, op, prefix(n, uint32(i/4+1)), uint64(i%4+1), *id))
	}
	return t
}

func newEntry(t *row.Table, op row.Op, prefix string, counter uint64, id int64) entry {
	e := entry{table: t, op: op, id: id, order: string(binary.BigEndian.AppendUint64([]byte(prefix), counter))}
	for range t.Columns {
		e.cells = append(e.cells, id)
	}
	var cells []string
	for i, c := range t.Columns {
		switch {
		case op == row.Truncate:
		case i == 0:
			cells = append(cells, fmt.Sprintf("%s=%d", c.Name, id))
		default:
			cells = append(cells, c.Name+"="+text(id, i))
		}
	}
	e.line = Line(t.Name.String(), letter(op), hex.EncodeToString([]byte(e.order)), cells)
	return e
}

// text returns the value of a column that is not the first.
func text(id int64, column int) string { return fmt.Sprintf("v%d,%d", id, column) }

// Line is how rows are compared: table, op, place and "name=value" of each column
// that has a value.
func Line(table string, op byte, pos string, cells []string) string {
	return fmt.Sprintf("%s %c %s %s", table, op, pos, strings.Join(cells, " "))
}

func letter(op row.Op) byte { return [...]byte{0, 'r', 'i', 'u', 'd', 'd', 't'}[op] }

// alter makes the next version of some table: a column more, or one renamed.
func alter(tables []*row.Table, n int, rng *rand.Rand) txn {
	i := rng.IntN(len(tables))
	before := tables[i]
	after := *before
	after.Version++
	after.Columns = append([]row.Column(nil), before.Columns...)
	c := &row.SchemaChange{Kind: row.Alter, Before: before, After: &after}
	if rng.IntN(2) == 0 || len(after.Columns) < 3 {
		after.Columns = append(after.Columns, column(fmt.Sprintf("c%d", n), row.Text))
	} else {
		k := len(after.Columns) - 1
		name := fmt.Sprintf("n%d", n)
		c.Renamed = map[string]string{name: after.Columns[k].Name}
		after.Columns[k].Name = name
	}
	tables[i] = &after
	return txn{change: c}
}

// read emits batches of at most size rows from transaction from up to until,
// as a source does: rows of several transactions together, cut anywhere, End
// only where a transaction ends.
func (l *Log) read(from, until, size int, emit func(*row.Batch) error) error {
	x := row.NewBuilder(&l.pool)
	flush := func(end position.Position) error {
		b := x.Finish(end, 0)
		defer b.Release()
		return emit(b)
	}
	for n := from; n < until; n++ {
		t := &l.txns[n]
		if t.change != nil {
			if x.Rows() > 0 {
				if err := flush(place(n)); err != nil {
					return err
				}
			}
			at := prefix(n, 1) + "\x00\x00\x00\x00\x00\x00\x00\x01"
			if err := emit(row.Barrier(t.change, at, place(n+1), 0)); err != nil {
				return err
			}
			continue
		}
		for i := range t.rows {
			t.rows[i].build(x)
			if x.Rows() == size && i+1 < len(t.rows) {
				if err := flush(position.Position{}); err != nil {
					return err
				}
			}
		}
		if x.Rows() >= size || n+1 == until || len(t.rows) == 0 {
			if err := flush(place(n + 1)); err != nil {
				return err
			}
		}
	}
	return nil
}

// build appends the row.
func (e *entry) build(x *row.Builder) {
	at := len(e.order) - 8
	x.At(e.order[:at], row.Counter(e.order), row.Txn{ID: "1-1-1"})
	x.Row(e.table, e.op)
	for i := range e.table.Columns {
		switch {
		case e.op == row.Truncate || e.absent>>i&1 == 1:
			x.Absent()
		case i == 0:
			x.Int(e.id)
		case e.cells[i] == 0:
			x.Null()
		default:
			x.String(text(e.cells[i], i))
		}
	}
}

// wanted returns how often each line must be there when a task has committed set.
func (l *Log) wanted(task string, set position.Set, into map[string]int) {
	if task == connector.StreamSplit {
		for _, t := range l.txns[:l.at(set[connector.StreamSplit])] {
			for _, e := range t.rows {
				into[e.line]++
			}
		}
		return
	}
	for _, c := range l.Chunks {
		if c.Task != task {
			continue
		}
		for k, rows := range c.Chunks {
			if _, ok := set[chunkKey(k)]; !ok {
				continue
			}
			for _, e := range rows {
				into[e.line]++
			}
		}
	}
}

func chunkKey(k int) string { return fmt.Sprintf("c%d", k) }

// tasks returns all tasks of the log.
func (l *Log) tasks() []string {
	out := []string{connector.StreamSplit}
	for _, c := range l.Chunks {
		out = append(out, c.Task)
	}
	return out
}
