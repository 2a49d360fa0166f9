package postgres

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"godwit/internal/connector"
	"godwit/internal/fault"
)

var _ connector.Letterbox = (*sink)(nil)

// lettersAtOnce is how many letters are asked for in one statement, and maxLetter the
// bytes of a row that is shown.
const (
	lettersAtOnce = 500
	maxLetter     = 64 << 10
)

// Letters implements connector.Letterbox. A mark is the shard and the place of a row.
func (s *sink) Letters(ctx context.Context, after string, each func(connector.StoredLetter) error) error {
	shard, pos, ok := strings.Cut(after, ":")
	if after != "" && !ok {
		return fault.New(fault.BadRequest, "%.80q is no mark of a dead letter", after)
	}
	if there, err := s.exists(ctx); err != nil || !there {
		return err
	}
	keys, err := s.targetKeys(ctx)
	if err != nil {
		return err
	}
	for {
		r, err := s.ask(ctx, "SELECT shard, pos, source_space, source_table, op, code, reason, CASE WHEN octet_length(cells::text) <= "+strconv.Itoa(maxLetter)+
			` THEN cells::text END, to_char(buried AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM `+s.control.dead+
			" WHERE job = $1 AND sink = $2 AND (shard, pos) > ($3, $4) ORDER BY shard, pos LIMIT "+strconv.Itoa(lettersAtOnce), s.mine(shard, pos)...)
		if err != nil {
			return err
		}
		for _, row := range r.rows {
			l, err := s.storedLetter(row, keys)
			if err != nil {
				return err
			}
			if err := each(l); err != nil {
				return err
			}
			shard, pos = string(row[0]), string(row[1])
		}
		if len(r.rows) < lettersAtOnce {
			return nil
		}
	}
}

// targetKeys has the columns of the keys of this sink's tables, by "space.table".
func (s *sink) targetKeys(ctx context.Context) (map[string][]string, error) {
	r, err := s.ask(ctx, `SELECT t.source_space || '.' || t.source_table, a.attname FROM `+s.control.table+` t
 JOIN pg_namespace n ON n.nspname = t.schema_name JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.table_name
 JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
 WHERE t.job = $1 AND t.sink = $2`, s.mine()...)
	if err != nil {
		return nil, err
	}
	keys := map[string][]string{}
	for _, row := range r.rows {
		keys[string(row[0])] = append(keys[string(row[0])], string(row[1]))
	}
	return keys, nil
}

func (s *sink) storedLetter(row [][]byte, keys map[string][]string) (connector.StoredLetter, error) {
	l := connector.StoredLetter{Mark: string(row[0]) + ":" + string(row[1]), Table: string(row[2]) + "." + string(row[3]), Op: string(row[4]), Pos: string(row[1]),
		Code: string(row[5]), What: string(row[6]), At: s.control.dead}
	var err error
	if l.Time, err = time.Parse(time.RFC3339Nano, string(row[8])); err != nil {
		return l, s.letterDamaged(l, err)
	}
	if row[7] == nil {
		return l, nil
	}
	if err := json.Unmarshal(row[7], &l.Row); err != nil {
		return l, s.letterDamaged(l, err)
	}
	l.Key = map[string]*string{}
	for _, name := range keys[l.Table] {
		if v, ok := l.Row[name]; ok {
			l.Key[name] = v
		}
	}
	return l, nil
}

func (s *sink) letterDamaged(l connector.StoredLetter, err error) error {
	return fault.New(fault.TargetBroken, "the letter %s in %s cannot be read", l.Mark, s.control.dead).At("%s", s.Where()).By(err)
}
