package rows

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"godwit/internal/row"
)

// longest is how much of a value is shown.
const longest = 256

// null is what stands for NULL; no text of a value is without quotes and has letters.
const null = "NULL"

// textsOf returns the values of a row for people.
func textsOf(s *seen) []string {
	words, flags := s.batch.Cells(s.section, s.row)
	out := make([]string, len(words))
	for c := range words {
		out[c] = text(s.section.Table.Columns[c].Type, s.batch, words[c], flags[c])
	}
	return out
}

// text returns a value so that two that differ look different: texts are quoted, and
// what cannot be seen in them is escaped.
func text(t row.Type, b *row.Batch, word uint64, flag row.Flag) string {
	switch flag {
	case row.Null:
		return null
	case row.Absent:
		return "not in the log"
	case row.Foreign:
		shown, _ := row.ParseForeign(b.Data(word))
		return shown
	}
	switch t.Kind {
	case row.Int:
		return strconv.FormatInt(int64(word), 10)
	case row.Float32:
		return strconv.FormatFloat(float64(math.Float32frombits(uint32(word))), 'g', -1, 32)
	case row.Float64:
		return strconv.FormatFloat(math.Float64frombits(word), 'g', -1, 64)
	case row.Date:
		y, m, d := row.UnpackDate(word)
		return fmt.Sprintf("%04d-%02d-%02d", y, m, d)
	case row.DateTime:
		y, m, d, us := row.UnpackDateTime(word)
		return fmt.Sprintf("%04d-%02d-%02d %s", y, m, d, clock(us))
	case row.Time:
		if us := int64(word); us < 0 {
			return "-" + clock(-us)
		}
		return clock(int64(word))
	case row.Timestamp:
		if int64(word) == row.ZeroTimestamp {
			return "0000-00-00 00:00:00"
		}
		return time.UnixMicro(int64(word)).UTC().Format("2006-01-02T15:04:05.999999Z")
	case row.Decimal:
		return string(b.Data(word))
	case row.Bytes:
		v := b.Data(word)
		return fmt.Sprintf("x'%x'", v[:min(len(v), longest/2)]) + more(len(v) > longest/2, len(v))
	case row.Text, row.JSON, row.Enum, row.Labels:
		return quoted(b.Data(word))
	}
	return strconv.FormatUint(word, 10)
}

func quoted(v []byte) string {
	n := len(v)
	if n > longest {
		v = v[:longest]
		for len(v) > 0 && !utf8.RuneStart(v[len(v)-1]) {
			v = v[:len(v)-1]
		}
		v = v[:max(0, len(v)-1)]
	}
	return strconv.Quote(string(v)) + more(n > longest, n)
}

func more(is bool, n int) string {
	if is {
		return fmt.Sprintf("… (%d bytes)", n)
	}
	return ""
}

func clock(us int64) string {
	out := fmt.Sprintf("%02d:%02d:%02d.%06d", us/3_600_000_000, us/60_000_000%60, us/1_000_000%60, us%1_000_000)
	return strings.TrimSuffix(strings.TrimRight(out, "0"), ".")
}

// describe fills in the key of a row and the values that differ.
func (v *comparison) describe(f *Finding, t *trial) {
	texts := t.source.texts
	if texts == nil {
		texts = t.target.texts
	}
	key := v.stored.Key
	if len(key) == 0 {
		for c := range v.stored.Columns {
			key = append(key, c)
		}
	}
	for _, k := range key {
		if texts != nil {
			f.Key = append(f.Key, Cell{v.stored.Columns[k].Name, texts[k]})
		}
	}
	if t.source.texts == nil || t.target.texts == nil || len(t.source.cells) != len(t.target.cells) {
		return
	}
	for c := range v.stored.Columns {
		a, b := t.source.cells[8*c:8*c+8], t.target.cells[8*c:8*c+8]
		if !bytes.Equal(a, b) {
			f.Cells = append(f.Cells, Difference{v.stored.Columns[c].Name, t.source.texts[c], t.target.texts[c]})
		}
	}
}
