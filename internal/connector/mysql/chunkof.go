package mysql

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/row"
)

var _ connector.Chunker = (*source)(nil)

// Chunks implements connector.Chunker. Numbers, times and bytes are compared here; what
// has a collation, or an order that versions of the server do not agree on, is compared
// by the server, with the operators that the chunks were read with.
func (s *source) Chunks(ctx context.Context, splits []connector.Split, b *row.Batch, sec *row.Section, rows []int, out []int) error {
	if len(splits) == 0 || len(rows) == 0 {
		return nil
	}
	c, err := s.cuts.of(splits)
	if err != nil {
		return err
	}
	q := &quest{cuts: c, batch: b, section: sec}
	if q.columns, err = c.columnsIn(sec.Table); err != nil {
		return err
	}
	// Each row has cuts below it that it does not lie before, and cuts from above on
	// that it does: bisected side by side, so that the server is asked for all at once.
	seeks := make([]seek, len(rows))
	for k, i := range rows {
		seeks[k] = seek{row: i, above: len(c.bounds)}
	}
	for {
		asked, err := q.narrow(seeks)
		if err != nil {
			return err
		}
		if len(asked) == 0 {
			break
		}
		if err := s.compare(ctx, asked); err != nil {
			return err
		}
	}
	for k := range seeks {
		out[k] = seeks[k].below
	}
	return nil
}

// seek is the search for the chunk of one row: the first cut that the row lies before is
// one of those from below to above.
type seek struct {
	row, below, above int
	equal             int // columns in which the row is equal to the cut in the middle, as far as is known
}

func (k *seek) mid() int { return (k.below + k.above) / 2 }

// settle halves what is left, after a comparison with the cut in its middle.
func (k *seek) settle(order int) {
	if mid := k.mid(); order >= 0 {
		k.below = mid + 1
	} else {
		k.above = mid
	}
	k.equal = 0
}

// cuts are where chunks of one table begin, in key order, but for the first.
type cuts struct {
	table   *row.Table // as it was divided
	columns []string
	bounds  [][]bound
}

// bound is one value of a cut.
type bound struct {
	literal
	number  int64  // of what is compared by it
	natural uint64 // of Uint and Year
}

// cutsCache holds cuts by the slice of splits they were made of.
type cutsCache struct {
	mu     sync.Mutex
	cuts   map[*connector.Split]*cuts
	bounds int // in all of them
}

// maxCachedBounds bounds what is kept: so many cuts of large tables, some 100 bytes each.
const maxCachedBounds = 100_000

func (k *cutsCache) of(splits []connector.Split) (*cuts, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if c := k.cuts[&splits[0]]; c != nil && len(c.bounds) == len(splits)-1 {
		return c, nil
	}
	c, err := newCuts(splits)
	if err != nil {
		return nil, err
	}
	if k.bounds += len(c.bounds); k.cuts == nil || k.bounds > maxCachedBounds {
		k.cuts, k.bounds = map[*connector.Split]*cuts{}, len(c.bounds)
	}
	k.cuts[&splits[0]] = c
	return c, nil
}

func newCuts(splits []connector.Split) (*cuts, error) {
	c := &cuts{table: splits[0].Tables[0]}
	for _, s := range splits[1:] {
		r, err := parseRange(s.Range)
		if err == nil && len(r.lower) == 0 {
			err = errMalformed
		}
		if err != nil {
			return nil, fault.New(fault.TargetBroken, "the key range of chunk %s cannot be read", s.ID).By(err)
		}
		if c.columns == nil {
			c.columns = r.columns
		}
		if !slices.Equal(c.columns, r.columns) {
			return nil, fault.New(fault.TargetBroken, "chunks of %s are divided by different columns", c.table.Name)
		}
		b := make([]bound, len(r.lower))
		for i, l := range r.lower {
			at := c.table.Column(c.columns[i])
			if at < 0 {
				return nil, fault.New(fault.TargetBroken, "chunks of %s are divided by %s, which it has not", c.table.Name, c.columns[i])
			}
			if b[i], err = newBound(c.table.Columns[at].Type, l); err != nil {
				return nil, err
			}
		}
		c.bounds = append(c.bounds, b)
	}
	return c, nil
}

// newBound reads the number behind a literal of type t, where it has one.
func newBound(t row.Type, l literal) (b bound, err error) {
	b.literal = l
	ok := true
	text := []byte(l.text)
	switch t.Kind {
	case row.Int:
		b.number, err = strconv.ParseInt(l.text, 10, 64)
	case row.Uint, row.Year:
		b.natural, err = strconv.ParseUint(l.text, 10, 64)
	case row.Date:
		var w uint64
		w, ok = parseDate(text)
		b.number = int64(w)
	case row.DateTime:
		date, micros, fine := parseDateTime(text)
		b.number, ok = int64(date<<37|uint64(micros)), fine
	case row.Timestamp:
		b.number, ok = parseTimestamp(text)
	case row.Time:
		b.number, ok = parseTime(text)
	}
	if err != nil || !ok {
		return b, fault.New(fault.TargetBroken, "a chunk begins at %q, which is no %s", clip(l.text, 60), t.Native).By(err)
	}
	return b, nil
}

// columnsIn returns where a version of the table has the columns of the cuts.
func (c *cuts) columnsIn(t *row.Table) ([]int, error) {
	out := make([]int, len(c.columns))
	for i, name := range c.columns {
		at := t.Column(name)
		if at >= 0 {
			is, was := t.Columns[at].Type, c.table.Columns[c.table.Column(name)].Type
			if is.Kind == was.Kind && is.Collation == was.Collation {
				out[i] = at
				continue
			}
		}
		return nil, fault.New(fault.ResyncNeeded, "column %s of %s, by which it was divided, was altered while its chunks were read", name, t.Name).
			Try("read everything again: godwit run --again")
	}
	return out, nil
}

// quest is one call of Chunks.
type quest struct {
	*cuts
	batch   *row.Batch
	section *row.Section
	columns []int // of the section's table
}

// question is one comparison that is the server's: of the next column of a row with that
// of the cut in the middle of its seek.
type question struct {
	*seek
	sql string // 0, 1 or 2: less, equal or greater
}

// narrow goes on with each seek as far as it can without the server, and returns what it
// has to be asked.
func (q *quest) narrow(seeks []seek) (asked []question, err error) {
	for i := range seeks {
		k := &seeks[i]
		for k.below < k.above {
			cut := q.bounds[k.mid()]
			order, ask, err := q.order(k, cut)
			if err != nil {
				return nil, err
			}
			if ask != "" {
				asked = append(asked, question{k, ask})
				break
			}
			k.settle(order)
		}
	}
	return asked, nil
}

// order compares a row with a cut, column by column from the first that may differ. ask,
// when not empty, is what only the server can tell.
func (q *quest) order(k *seek, cut []bound) (order int, ask string, err error) {
	words, flags := q.batch.Cells(q.section, k.row)
	for ; k.equal < len(cut); k.equal++ {
		at := q.columns[k.equal]
		c := &q.section.Table.Columns[at]
		if flags[at] != row.Value {
			return 0, "", fault.New(fault.SourceProtocol, "a change of %s in the log has no value for %s, a column of its key", q.section.Table.Name, c.Name)
		}
		if !comparable(c.Type) {
			ask, err := comparison(c.Type, string(q.batch.Data(words[at])), cut[k.equal].literal)
			return 0, ask, err
		}
		if order := q.cell(c.Type.Kind, words[at], &cut[k.equal]); order != 0 {
			return order, "", nil
		}
	}
	return 0, "", nil
}

// comparable reports whether values of a type are compared here.
func comparable(t row.Type) bool {
	switch t.Kind {
	case row.Int, row.Uint, row.Year, row.Decimal, row.Date, row.DateTime, row.Timestamp, row.Time, row.Bytes:
		return true
	}
	return false
}

func (q *quest) cell(k row.Kind, word uint64, b *bound) int {
	switch k {
	case row.Uint, row.Year:
		return cmp.Compare(word, b.natural)
	case row.Decimal:
		return compareDecimals(string(q.batch.Data(word)), b.text)
	case row.Bytes:
		return bytes.Compare(q.batch.Data(word), []byte(b.text))
	}
	return cmp.Compare(int64(word), b.number)
}

// compareDecimals compares two decimals as texts: [-]digits[.digits], no zeros in front
// but one before a point.
func compareDecimals(a, b string) int {
	na, nb := strings.HasPrefix(a, "-"), strings.HasPrefix(b, "-")
	a, b = strings.TrimPrefix(a, "-"), strings.TrimPrefix(b, "-")
	order := compareNaturals(a, b)
	switch {
	case na && nb:
		return -order
	case order == 0 && strings.Trim(a, "0.") == "": // -0
		return 0
	case na:
		return -1
	case nb:
		return 1
	}
	return order
}

func compareNaturals(a, b string) int {
	wholeA, fracA, _ := strings.Cut(a, ".")
	wholeB, fracB, _ := strings.Cut(b, ".")
	if order := cmp.Or(cmp.Compare(len(wholeA), len(wholeB)), strings.Compare(wholeA, wholeB)); order != 0 {
		return order
	}
	pad := func(s string, n int) string { return s + strings.Repeat("0", max(0, n-len(s))) }
	return strings.Compare(pad(fracA, len(fracB)), pad(fracB, len(fracA)))
}

// comparison returns the question how a text of type t compares with a bound. Both have
// the column's type and collation, so that they compare as they did in the chunks.
func comparison(t row.Type, text string, edge literal) (string, error) {
	value := literal{form: litPlain, text: text}
	native := strings.ToLower(t.Native)
	var a, b string
	switch {
	case t.Kind != row.Text:
	case t.Charset == "" && slices.Contains(addresses, native) && value.check() == nil:
		a, b = "CAST("+value.sql()+" AS "+native+")", "CAST("+edge.sql()+" AS "+native+")"
	case charsetForm.MatchString(t.Charset) && charsetForm.MatchString(t.Collation):
		a = fmt.Sprintf("CONVERT(_utf8mb4 x'%x' USING %s) COLLATE %s", text, t.Charset, t.Collation)
		b = edge.sql() + " COLLATE " + t.Collation
	}
	if a == "" || edge.check() != nil {
		return "", fault.New(fault.SourceType, "keys of type %s cannot be compared", t.Native)
	}
	return fmt.Sprintf("CASE WHEN %s < %s THEN 0 WHEN %s = %s THEN 1 ELSE 2 END", a, b, a, b), nil
}

// addresses are the types that are told as plain texts and ordered in their own way.
var addresses = []string{"uuid", "inet4", "inet6"}

// Bounds of one query.
const (
	maxQuestions     = 500
	maxQuestionBytes = 1 << 20
)

// compare asks the server and settles the seeks.
func (s *source) compare(ctx context.Context, asked []question) error {
	for len(asked) > 0 {
		n, size := 0, 0
		var list []string
		for n < len(asked) && n < maxQuestions && size < maxQuestionBytes {
			list = append(list, asked[n].sql)
			size += len(asked[n].sql)
			n++
		}
		answer, err := s.answer(ctx, "SELECT CONCAT("+strings.Join(list, ", ")+")")
		if err != nil {
			return err
		}
		if len(answer) != n || strings.Trim(answer, "012") != "" {
			return fault.New(fault.SourceProtocol, "the server's comparison of %d keys cannot be understood", n).At("%s", s.where())
		}
		for i := range n {
			if order := int(answer[i]) - '1'; order == 0 {
				asked[i].equal++
			} else {
				asked[i].settle(order)
			}
		}
		asked = asked[n:]
	}
	return nil
}

// answer asks for one text over the desk's connection.
func (s *source) answer(ctx context.Context, sql string) (string, error) {
	select {
	case <-s.desk.turn:
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	defer func() { s.desk.turn <- struct{}{} }()
	text, err := attempt(ctx, s, func(c *conn) (string, error) {
		rows, err := c.query(ctx, sql)
		if err != nil || len(rows) != 1 || len(rows[0]) != 1 {
			return "", err
		}
		return string(rows[0][0].bytes), nil
	})
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	return text, err
}
