package mysql

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/row"
)

var _ connector.Looker = (*source)(nil)

// lookedUpAtOnce is how many keys are asked for in one query. With many more the server
// gives up on ranges and reads the table.
const lookedUpAtOnce = 100

// Look implements connector.Looker: all keys are looked up in one snapshot, opened for
// it, so that its mark is not before the call: chunks may be read in an older one. Where a
// key has a column whose values cannot be compared exactly (float), all rows of the table
// are emitted.
func (s *source) Look(ctx context.Context, t *row.Table, keys *row.Batch, emit func(*row.Batch) error) error {
	snap, err := s.openSnapshot(ctx, t.Name)
	if err == nil {
		snap, err = s.pin(ctx, snap, t.Name)
	}
	if errors.Is(err, errGone) {
		return s.readGone(ctx, t.Name, emit)
	}
	if err != nil {
		return err
	}
	defer snap.close()
	table, err := s.shapeNow(ctx, snap, t)
	if err != nil {
		return err
	}
	if err := emit(row.Mark(snap.mark, 0)); err != nil {
		return err
	}
	r := newChunkReader(s, table, snap, connector.Split{ID: t.Name.String()})
	defer r.giveBack()
	sql, err := s.selectRows(table, keyRange{})
	if err != nil {
		return err
	}
	for some, err := range conditions(table, t, keys) {
		if err == nil {
			err = lookFor(some, func(where string) error { return runRows(ctx, snap.c, table, sql+where, r, emit) })
		}
		if r.emitted != nil {
			return r.emitted
		}
		if err != nil {
			return s.readFault(ctx, snap.c, t.Name, err)
		}
	}
	return nil
}

// lookFor reads the rows that meet one of some conditions; of none, all. A text that its
// column cannot hold makes the server refuse the whole query: no row has that key, so the
// others are asked for without it.
func lookFor(some []string, read func(where string) error) error {
	where := ""
	if len(some) > 0 {
		where = " WHERE " + strings.Join(some, " OR ")
	}
	err := read(where)
	var e *serverError
	if !errors.As(err, &e) || e.code != errMixedTexts || len(some) == 0 {
		return err
	}
	if len(some) == 1 {
		return nil
	}
	half := len(some) / 2
	if err := lookFor(some[:half], read); err != nil {
		return err
	}
	return lookFor(some[half:], read)
}

// conditions yields a condition for each of the keys, some at a time; none, for all rows,
// where there are no keys. table is t as it is now.
func conditions(table, t *row.Table, keys *row.Batch) func(yield func([]string, error) bool) {
	return func(yield func([]string, error) bool) {
		if keys == nil {
			yield(nil, nil)
			return
		}
		for _, k := range t.Key {
			if table.Column(t.Columns[k].Name) < 0 {
				yield(nil, fault.New(fault.SourceShape, "table %s lost the column %s of its key", t.Name, t.Columns[k].Name))
				return
			}
			if kind := t.Columns[k].Type.Kind; kind == row.Float32 || kind == row.Float64 {
				yield(nil, nil)
				return
			}
		}
		var parts []string
		for i := range keys.Sections() {
			sec := &keys.Sections()[i]
			for j := range sec.Rows {
				words, _ := keys.Cells(sec, sec.Row+j)
				parts = append(parts, condition(t, keys, words))
				if len(parts) == lookedUpAtOnce {
					if !yield(parts, nil) {
						return
					}
					parts = parts[:0]
				}
			}
		}
		if len(parts) > 0 {
			yield(parts, nil)
		}
	}
}

func condition(t *row.Table, b *row.Batch, words []uint64) string {
	var out []string
	for _, k := range t.Key {
		c := &t.Columns[k]
		out = append(out, quoteName(c.Name)+" = "+cellSQL(c.Type, b, words[k]))
	}
	return "(" + strings.Join(out, " AND ") + ")"
}

// cellSQL returns the value of a cell as an expression that nothing can end early:
// digits, or bytes in hexadecimal.
func cellSQL(t row.Type, b *row.Batch, word uint64) string {
	switch t.Kind {
	case row.Int:
		return strconv.FormatInt(int64(word), 10)
	case row.Decimal:
		return literal{form: litNumber, text: string(b.Data(word))}.sql()
	case row.Date:
		y, m, d := row.UnpackDate(word)
		return fmt.Sprintf("'%04d-%02d-%02d'", y, m, d)
	case row.DateTime:
		y, m, d, us := row.UnpackDateTime(word)
		return fmt.Sprintf("'%04d-%02d-%02d %s'", y, m, d, clockSQL(us))
	case row.Time:
		if us := int64(word); us < 0 && us > math.MinInt64 {
			return "'-" + clockSQL(-us) + "'"
		}
		return "'" + clockSQL(int64(word)) + "'"
	case row.Timestamp:
		if int64(word) == row.ZeroTimestamp {
			return "'0000-00-00 00:00:00'"
		}
		return "'" + time.UnixMicro(int64(word)).UTC().Format("2006-01-02 15:04:05.000000") + "'"
	case row.Bytes:
		return fmt.Sprintf("x'%x'", b.Data(word))
	case row.Text, row.JSON, row.Enum, row.Labels:
		return fmt.Sprintf("_utf8mb4 x'%x'", b.Data(word))
	}
	return strconv.FormatUint(word, 10)
}

func clockSQL(us int64) string {
	return fmt.Sprintf("%02d:%02d:%02d.%06d", us/3_600_000_000, us/60_000_000%60, us/1_000_000%60, us%1_000_000)
}
