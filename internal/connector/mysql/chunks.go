package mysql

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/row"
)

const (
	// maxChunks is the most a table is divided into; larger ones get larger
	// chunks. It stays below what the order of rows can count.
	maxChunks = 100_000
	// maxEstimates bounds the questions asked about one table.
	maxEstimates = 4 * maxChunks
	// maxRounds bounds how often pieces are divided again.
	maxRounds = 48
	// estimatesAtOnce is how many are asked for in one query.
	estimatesAtOnce = 64
	// exactPages is up to how many pages InnoDB counts rows instead of guessing.
	exactPages, pageBytes = 10, 16 << 10
	// tooLarge is by how much a piece may exceed the size aimed at: estimates are
	// no better than that.
	tooLarge = 1.6
)

// Splits divides a table along its key. Where values can be computed with, the
// bounds are computed and the server estimates what lies between them, which
// reads a few pages for each; only where that leads nowhere does it walk the
// index. Bounds need not be values that exist.
func (s *source) Splits(ctx context.Context, r connector.Request) ([]connector.Split, error) {
	t := r.Table
	key := dividing(t)
	if len(key) == 0 || t.Bytes >= 0 && t.Rows >= 0 && t.Bytes <= r.ChunkBytes {
		return makeSplits(r, "", nil, nil), nil
	}
	c, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer c.close()
	rows, bytes, err := s.estimates(ctx, c, t)
	if err != nil {
		return nil, err
	}
	n := float64(bytes) / float64(max(r.ChunkBytes, 1))
	if n <= 1 || rows < 2 {
		return makeSplits(r, "", nil, nil), nil
	}
	index, err := s.keyName(ctx, c, t)
	if err != nil {
		return nil, err
	}
	d := &divider{c: c, table: t, index: index, key: key, rows: float64(rows), perPage: float64(rows) * pageBytes / float64(bytes), target: max(float64(rows)/min(n, maxChunks), 1)}
	for _, k := range key {
		d.columns = append(d.columns, t.Columns[k].Name)
	}
	cuts, err := d.divide(ctx)
	if err != nil {
		err := s.readFault(ctx, c, t.Name, err)
		if fault.Has(err, fault.SourceShape) {
			return makeSplits(r, "", nil, nil), nil // it was dropped or altered meanwhile: one chunk is always right
		}
		return nil, err
	}
	return makeSplits(r, index, d.columns, cuts), nil
}

// dividing returns the leading columns of the key that a table can be divided by.
func dividing(t *row.Table) []int {
	for i, k := range t.Key {
		if _, ok := literalFormOf(t.Columns[k].Type); !ok {
			return t.Key[:i]
		}
	}
	return t.Key
}

// estimates returns the table's rows and bytes, asked for again when they are not
// known, as after a plan was read from its durable form.
func (s *source) estimates(ctx context.Context, c *conn, t *row.Table) (rows, bytes int64, err error) {
	if t.Rows > 0 && t.Bytes > 0 {
		return t.Rows, t.Bytes, nil
	}
	v, err := c.query(ctx, fmt.Sprintf("SELECT TABLE_ROWS, DATA_LENGTH FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s",
		quoteText(t.Name.Space), quoteText(t.Name.Table)))
	if err != nil || len(v) == 0 {
		return 0, 0, err
	}
	rows, bytes = max(number(v[0][0]), 0), max(number(v[0][1]), 0)
	if rows == 0 { // statistics that were never made: the smallest rows there are
		rows = bytes / 32
	}
	return rows, bytes, nil
}

// makeSplits turns ascending cuts into splits that cover the whole key space.
func makeSplits(r connector.Request, index string, columns []string, cuts [][]literal) []connector.Split {
	out := make([]connector.Split, 0, len(cuts)+1)
	for i := range len(cuts) + 1 {
		k := keyRange{index: index, columns: columns}
		if i > 0 {
			k.lower = cuts[i-1]
		}
		if i < len(cuts) {
			k.upper = cuts[i]
		}
		out = append(out, connector.Split{
			ID:      fmt.Sprintf("%d.%d.%d", r.Table.Number, r.Generation, i),
			Bounded: true, Tables: []*row.Table{r.Table},
			Generation: r.Generation, Chunk: uint32(i), Range: k.bytes(),
		})
	}
	return out
}

// divider finds the cuts of one table.
type divider struct {
	c       *conn
	table   *row.Table
	index   string
	key     []int // columns it divides by
	columns []string
	rows    float64 // of the table
	perPage float64 // rows in a page
	target  float64 // rows of a chunk
	asked   int     // estimates so far
}

// piece is a part of the key space between two tuples; empty ones are open ends.
type piece struct {
	lower, upper []literal
	rows         float64 // the server's estimate
}

func (d *divider) divide(ctx context.Context) ([][]literal, error) {
	pieces, err := d.along(ctx, nil, piece{})
	if err != nil {
		return nil, err
	}
	if pieces, err = d.walkLarge(ctx, pieces); err != nil {
		return nil, err
	}
	return d.merge(pieces), nil
}

// stretch is a part of an axis between two of its values; nil is the end of the
// piece being divided.
type stretch struct {
	lo, hi *literal
	rows   float64
	done   bool // the axis cannot divide it
}

// along divides outer, in which the columns before the axis have the values of
// fixed, by the next column.
func (d *divider) along(ctx context.Context, fixed []literal, outer piece) ([]piece, error) {
	ax, err := d.axis(ctx, fixed)
	if err != nil || ax == nil {
		if outer.rows == 0 {
			outer.rows = d.rows
		}
		return []piece{outer}, err
	}
	tuples := func(s stretch) piece {
		p := piece{outer.lower, outer.upper, s.rows}
		if s.lo != nil {
			p.lower = append(fixed[:len(fixed):len(fixed)], *s.lo)
		}
		if s.hi != nil {
			p.upper = append(fixed[:len(fixed):len(fixed)], *s.hi)
		}
		return p
	}
	parts := []stretch{{rows: outer.rows}}
	if outer.rows == 0 {
		if err := d.estimate(ctx, parts, tuples); err != nil {
			return nil, err
		}
	}
	for range maxRounds {
		n := len(parts)
		if parts, err = d.refine(ctx, ax, parts, tuples); err != nil {
			return nil, err
		}
		if len(parts) == n {
			break
		}
	}
	var out []piece
	for _, s := range parts {
		p := tuples(s)
		v, single := ax.single(s.lo, s.hi)
		if !single || s.rows <= tooLarge*d.target || len(fixed)+1 >= len(d.key) {
			out = append(out, p)
			continue
		}
		inner, err := d.along(ctx, append(fixed[:len(fixed):len(fixed)], v), p)
		if err != nil {
			return nil, err
		}
		out = append(out, inner...)
	}
	return out, nil
}

// refine divides every stretch that is too large, once.
func (d *divider) refine(ctx context.Context, ax axis, parts []stretch, tuples func(stretch) piece) ([]stretch, error) {
	out := make([]stretch, 0, len(parts))
	var fresh []stretch
	var at []int // where fresh ones belong in out
	for _, s := range parts {
		if s.done || s.rows <= tooLarge*d.target || d.asked+len(fresh) > maxEstimates {
			out = append(out, s)
			continue
		}
		// Rows crowd: dividing by more than the estimate asks for finds the
		// crowd sooner, and what is too small is put together at the end.
		points, err := ax.between(ctx, s.lo, s.hi, min(max(int(s.rows/d.target+0.999), 8), 4096))
		if err != nil {
			return nil, err
		}
		if len(points) == 0 {
			s.done = true
			out = append(out, s)
			continue
		}
		lo := s.lo
		for i := range len(points) + 1 {
			next := stretch{lo: lo, hi: s.hi}
			if i < len(points) {
				next.hi = &points[i]
			}
			at = append(at, len(out))
			fresh = append(fresh, next)
			out = append(out, next)
			lo = next.hi
		}
	}
	if err := d.estimate(ctx, fresh, tuples); err != nil {
		return nil, err
	}
	for i, k := range at {
		out[k] = fresh[i]
	}
	return out, nil
}

// estimate asks the server how many rows lie in each stretch. It reads a few pages of
// the index for each.
func (d *divider) estimate(ctx context.Context, parts []stretch, tuples func(stretch) piece) error {
	d.asked += len(parts)
	for len(parts) > 0 {
		n := min(len(parts), estimatesAtOnce)
		var b strings.Builder
		b.WriteString("EXPLAIN ")
		for i := range n {
			if i > 0 {
				b.WriteString(" UNION ALL ")
			}
			p := tuples(parts[i])
			k := keyRange{columns: d.columns, lower: p.lower, upper: p.upper}
			b.WriteString("SELECT 1 FROM " + tableName(d.table.Name) + d.hint() + " WHERE " + k.where())
		}
		rows, err := d.c.query(ctx, b.String())
		if err != nil {
			return err
		}
		const mariadb, mysql = 8, 9 // the column named rows
		at := mariadb
		if d.c.mysql {
			at = mysql
		}
		if len(rows) < n || len(rows[0]) <= at {
			return fault.New(fault.SourceProtocol, "the server's estimate of table %s cannot be understood", d.table.Name)
		}
		for i := range n {
			n, _ := strconv.ParseFloat(rows[i][at].text(), 64) // null: impossible, so 0
			parts[i].rows = d.likely(n)
		}
		parts = parts[n:]
	}
	return nil
}

// likely undoes what InnoDB does to its estimates: beyond ten pages it doubles
// them, and then cuts them to half of the table.
func (d *divider) likely(estimate float64) float64 {
	switch {
	case estimate >= 0.49*d.rows:
		return max(estimate, d.rows)
	case estimate > exactPages*d.perPage:
		return estimate / 2
	}
	return estimate
}

func (d *divider) hint() string {
	if d.index == "" {
		return ""
	}
	return " FORCE INDEX (" + quoteName(d.index) + ")"
}

// walkLarge cuts pieces that are still too large by going along the index.
func (d *divider) walkLarge(ctx context.Context, pieces []piece) ([]piece, error) {
	var out []piece
	for _, p := range pieces {
		walked := false
		for p.rows > 2*d.target {
			cut, err := d.walk(ctx, p)
			if err != nil {
				return nil, err
			}
			if cut == nil {
				break
			}
			out = append(out, piece{p.lower, cut, d.target})
			p.lower, p.rows = cut, max(p.rows-d.target, 2*d.target+1) // the estimate may be short: on to the end
			walked = true
		}
		if walked {
			p.rows = small * d.target // what is left: less than a chunk, perhaps nothing
		}
		out = append(out, p)
	}
	return out, nil
}

// walk returns the key that is target rows behind the start of p, nil when p ends
// before it.
func (d *divider) walk(ctx context.Context, p piece) ([]literal, error) {
	k := keyRange{columns: d.columns, lower: p.lower, upper: p.upper}
	return d.first(ctx, k.where(), len(d.key), "", int64(d.target))
}

// first returns the leading n columns of a key: the one at the offset among those
// that meet the condition, in the order of the index.
func (d *divider) first(ctx context.Context, where string, n int, direction string, offset int64) ([]literal, error) {
	var cols, order []string
	for _, k := range d.key[:n] {
		c := &d.table.Columns[k]
		order = append(order, quoteName(c.Name)+direction)
		if f, _ := literalFormOf(c.Type); f == litText || f == litBytes {
			cols = append(cols, "HEX("+quoteName(c.Name)+")")
		} else {
			cols = append(cols, quoteName(c.Name))
		}
	}
	rows, err := d.c.query(ctx, fmt.Sprintf("SELECT %s FROM %s%s WHERE %s ORDER BY %s LIMIT %d, 1",
		strings.Join(cols, ", "), tableName(d.table.Name), d.hint(), where, strings.Join(order, ", "), offset))
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	out := make([]literal, n)
	for i := range n {
		if out[i], err = readLiteral(d.table.Columns[d.key[i]].Type, rows[0][i].bytes); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// small is the part of a chunk that is not worth one of its own.
const small = 0.15

// merge puts neighbours together that are small, and returns the cuts between
// what remains.
func (d *divider) merge(pieces []piece) [][]literal {
	var cuts [][]literal
	var sum float64
	for i, p := range pieces {
		full := sum+p.rows > 1.2*d.target
		worth := sum > small*d.target && p.rows > small*d.target || sum+p.rows > 1.8*d.target
		if i > 0 && full && worth {
			cuts = append(cuts, p.lower)
			sum = 0
		}
		sum += p.rows
	}
	return cuts
}
