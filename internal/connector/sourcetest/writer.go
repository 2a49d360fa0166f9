package sourcetest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
)

// writer changes the rows of one table until it is told to stop. Rows 0, 5, 10, …
// are left alone: they tell which keys lie in which chunk.
type writer struct {
	x     *session
	r     *rand.Rand
	key   Key
	table string // with its schema
	rows  []int  // the keys that are there and may be changed
	free  int    // the next new key above; new ones below are its negative
	done  chan struct{}
	turns chan struct{} // one at a time: a script was run
	ended sync.WaitGroup
	err   error // valid after halt
}

// columns of every written table, besides its key.
const payload = "v VARCHAR(300), n INT"

func (k Key) ddl(table string) string {
	var cols, names []string
	for _, c := range k.Columns {
		cols = append(cols, c.Name+" "+c.Type+" NOT NULL")
		names = append(names, c.Name)
	}
	cols = append(cols, payload)
	if len(names) > 0 {
		cols = append(cols, "PRIMARY KEY ("+strings.Join(names, ", ")+")")
	}
	return "CREATE TABLE " + table + " (" + strings.Join(cols, ", ") + ")"
}

// fill makes a table of rows 0 to n-1.
func (x *session) fill(k Key, table string, n int, seed uint64) *writer {
	x.Helper()
	w := &writer{x: x, r: rand.New(rand.NewPCG(seed, 1)), key: k, table: table, free: n}
	x.exec(k.ddl(table))
	var rows []string
	for i := range n {
		rows = append(rows, w.literals(i, fmt.Sprintf("'%s'", strings.Repeat("x", 150)), i))
		if i%5 != 0 {
			w.rows = append(w.rows, i)
		}
		if len(rows) == 500 || i == n-1 {
			x.exec("INSERT INTO " + table + " VALUES " + strings.Join(rows, ", "))
			rows = nil
		}
	}
	return w
}

func (w *writer) literals(i int, v string, n int) string {
	return "(" + strings.Join(append(w.key.literals(i), v, fmt.Sprint(n)), ", ") + ")"
}

func (k Key) literals(i int) []string {
	if len(k.Columns) == 0 {
		return nil
	}
	return append([]string(nil), k.Literals(i)...)
}

func (w *writer) where(i int) string {
	var out []string
	for k, l := range w.key.literals(i) {
		out = append(out, w.key.Columns[k].Name+" = "+l)
	}
	if len(out) == 0 {
		return fmt.Sprintf("n = %d", i) // n is never changed where there is no key
	}
	return strings.Join(out, " AND ")
}

// statement is one change.
func (w *writer) statement() string {
	pick := func() (int, int) { k := w.r.IntN(len(w.rows)); return k, w.rows[k] }
	what := w.r.IntN(10)
	if len(w.rows) < 10 {
		what = 0
	}
	switch {
	case what < 3:
		w.free++
		i := w.free
		if w.r.IntN(3) == 0 {
			i = -i
		}
		w.rows = append(w.rows, i)
		return "INSERT INTO " + w.table + " VALUES " + w.literals(i, w.value(), i)
	case what < 5:
		k, i := pick()
		w.rows[k] = w.rows[len(w.rows)-1]
		w.rows = w.rows[:len(w.rows)-1]
		return "DELETE FROM " + w.table + " WHERE " + w.where(i)
	case what < 6 && len(w.key.Columns) > 0:
		k, i := pick()
		w.free++
		w.rows[k] = w.free
		var set []string
		for c, l := range w.key.literals(w.free) {
			set = append(set, w.key.Columns[c].Name+" = "+l)
		}
		return "UPDATE " + w.table + " SET " + strings.Join(set, ", ") + " WHERE " + w.where(i)
	}
	_, i := pick()
	return fmt.Sprintf("UPDATE %s SET v = %s WHERE %s", w.table, w.value(), w.where(i))
}

func (w *writer) value() string {
	switch w.r.IntN(6) {
	case 0:
		return "NULL"
	case 1:
		return "''"
	}
	return fmt.Sprintf("'w%d%s'", w.r.IntN(1e6), strings.Repeat("y", w.r.IntN(120)))
}

// script is so many changes, in transactions of one to eight.
func (w *writer) script(n int) string {
	var b strings.Builder
	for n > 0 {
		size := min(n, 1+w.r.IntN(8))
		b.WriteString("BEGIN; ")
		for range size {
			b.WriteString(w.statement() + "; ")
		}
		b.WriteString("COMMIT; ")
		n -= size
	}
	return strings.TrimSuffix(b.String(), "; ")
}

// start lets the writer run.
func (w *writer) start() {
	w.done, w.turns = make(chan struct{}), make(chan struct{})
	w.ended.Go(func() {
		defer close(w.turns)
		for w.err == nil {
			w.err = w.x.server.Exec(w.x.sql(w.script(40)))
			select {
			case <-w.done:
				return
			case w.turns <- struct{}{}:
			default:
			}
		}
	})
}

// turn waits until the writer has run one more script.
func (w *writer) turn() { <-w.turns }

// halt stops the writer.
func (w *writer) halt() {
	w.x.Helper()
	close(w.done)
	w.ended.Wait()
	if w.err != nil {
		w.x.Fatal(w.err)
	}
}
