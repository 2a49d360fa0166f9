package codectest

import (
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"godwit/internal/codec"
	"godwit/internal/row"
)

// Text returns what a value means as text: the forms that package csv documents,
// with bytes as lower-case hexadecimal. It shares no code with any codec. data is
// for kinds in bytes, word for the others.
func Text(t row.Type, word uint64, data []byte) string {
	switch t.Kind {
	case row.Int:
		return strconv.FormatInt(int64(word), 10)
	case row.Uint, row.Bits:
		return strconv.FormatUint(word, 10)
	case row.Float32:
		return strconv.FormatFloat(float64(math.Float32frombits(uint32(word))), 'g', -1, 32)
	case row.Float64:
		return strconv.FormatFloat(math.Float64frombits(word), 'g', -1, 64)
	case row.Bytes:
		return hex.EncodeToString(data)
	case row.Date:
		y, m, d := row.UnpackDate(word)
		return fmt.Sprintf("%04d-%02d-%02d", y, m, d)
	case row.Time:
		sign, v := "", int64(word)
		if v < 0 {
			sign, v = "-", -v
		}
		return sign + clock(v, t.Scale)
	case row.DateTime:
		y, m, d, micros := row.UnpackDateTime(word)
		return fmt.Sprintf("%04d-%02d-%02d %s", y, m, d, clock(micros, t.Scale))
	case row.Timestamp:
		if int64(word) == row.ZeroTimestamp {
			return "0000-00-00 " + clock(0, t.Scale)
		}
		at := time.UnixMicro(int64(word)).UTC().Format("2006-01-02 15:04:05.000000")
		return at[:len(at)-7] + fraction(at[len(at)-6:], t.Scale)
	case row.Year:
		return fmt.Sprintf("%04d", word)
	}
	return string(data)
}

func clock(micros int64, scale int) string {
	s := micros / 1_000_000
	return fmt.Sprintf("%02d:%02d:%02d", s/3600, s/60%60, s%60) + fraction(fmt.Sprintf("%06d", micros%1_000_000), scale)
}

func fraction(six string, scale int) string {
	if scale == 0 {
		return ""
	}
	return "." + six[:scale]
}

// same compares a text that was read with the one that Text gave.
func same(kind row.Kind, got, want string) bool {
	if got == want {
		return true
	}
	bits := 64
	switch kind {
	case row.Float32:
		bits = 32
	case row.Float64:
	default:
		return false
	}
	if got == Null || want == Null {
		return false
	}
	g, err := strconv.ParseFloat(got, bits)
	if err != nil {
		return false
	}
	w, err := strconv.ParseFloat(want, bits)
	return err == nil && (math.Float64bits(g) == math.Float64bits(w) || math.IsNaN(g) && math.IsNaN(w))
}

// Expect returns the rows of b in a file of shape s as a Reader should give them.
func Expect(b *row.Batch, s codec.Shape) [][]string {
	var out [][]string
	for k := range b.Sections() {
		sec := &b.Sections()[k]
		if sec.Table != s.Table {
			continue
		}
		for span := range b.Spans(sec) {
			for i := span.Row; i < span.Row+span.Rows; i++ {
				out = append(out, expectRow(b, sec, i, span.Txn, s.Meta))
			}
		}
	}
	return out
}

func expectRow(b *row.Batch, sec *row.Section, i int, txn row.Txn, meta bool) []string {
	words, flags := b.Cells(sec, i)
	var out, absent []string
	for k, c := range sec.Table.Columns {
		switch {
		case flags[k] == row.Absent:
			absent = append(absent, strings.NewReplacer("%", "%25", ",", "%2C").Replace(fileName(sec.Table, k, meta)))
			out = append(out, Null)
		case flags[k] == row.Null:
			out = append(out, Null)
		case c.Type.Kind.InBytes():
			out = append(out, Text(c.Type, 0, b.Data(words[k])))
		default:
			out = append(out, Text(c.Type, words[k], nil))
		}
	}
	if !meta {
		return out
	}
	ts, id := Null, Null
	if txn.Time != 0 {
		ts = time.UnixMicro(txn.Time).UTC().Format("2006-01-02T15:04:05.000000Z")
	}
	if txn.ID != "" {
		id = txn.ID
	}
	op := map[row.Op]string{row.Read: "r", row.Insert: "i", row.Update: "u", row.Delete: "d", row.Before: "d", row.Truncate: "t"}[b.Op(i)]
	if b.Op(i) == row.Truncate {
		absent = nil
	}
	return append([]string{op, fmt.Sprintf("%04x", b.Incarnation) + hex.EncodeToString([]byte(b.Order(i))), ts, id, strings.Join(absent, ",")}, out...)
}

// fileName is the name of column k in a file; the suite's tables have at most one
// column that collides with each meta column, and none with what it becomes.
func fileName(t *row.Table, k int, meta bool) string {
	n := t.Columns[k].Name
	if meta {
		for _, m := range codec.MetaColumns {
			if strings.EqualFold(m, n) {
				return n + "_"
			}
		}
	}
	return n
}

// value is one cell to try.
type value struct {
	word uint64
	data string
}

func words(vs ...uint64) []value {
	out := make([]value, len(vs))
	for i, v := range vs {
		out[i].word = v
	}
	return out
}

func ints(vs ...int64) []value {
	var out []value
	for _, v := range vs {
		out = append(out, value{word: uint64(v)})
	}
	return out
}

func floats(vs ...float64) []value {
	var out []value
	for _, v := range vs {
		out = append(out, value{word: math.Float64bits(v)})
	}
	return out
}

func singles(vs ...float32) []value {
	var out []value
	for _, v := range vs {
		out = append(out, value{word: uint64(math.Float32bits(v))})
	}
	return out
}

func datas(vs ...string) []value {
	var out []value
	for _, v := range vs {
		out = append(out, value{data: v})
	}
	return out
}

// trial is a column and the values to try in it.
type trial struct {
	name   string
	t      row.Type
	values []value
}

func trials() []trial {
	out := []trial{
		{"int", row.Type{Kind: row.Int, Size: 8}, ints(0, 1, -1, 9, 10, -10, 99, 100, 101, 999, 1000, 12345, -99999, math.MaxInt32, math.MinInt32, math.MaxInt64, math.MinInt64)},
		{"uint", row.Type{Kind: row.Uint, Size: 8}, words(powersOfTen()...)},
		{"f32", row.Type{Kind: row.Float32}, singles(0, float32(math.Copysign(0, -1)), 1, -1, 0.1, 1.0/3, 16777216, 16777217, 1e-6, 1e-7, 1e20, 1e21, math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()))},
		{"f64", row.Type{Kind: row.Float64}, floats(0, math.Copysign(0, -1), 1, -1, 0.1, 1.0/3, 1e15, 1e16, 123456789012345678, 1e-5, 1e-6, 1e-7, 1e20, 1e21, -1e22, 5e-324, math.MaxFloat64, -math.MaxFloat64, math.Inf(1), math.Inf(-1), math.NaN())},
		{"dec2", row.Type{Kind: row.Decimal, Digits: 15, Scale: 2}, datas("0.00", "0.01", "-0.01", "-0.10", "1.00", "-1.00", "9999999999999.99", "-9999999999999.99")},
		{"dec0", row.Type{Kind: row.Decimal, Digits: 65}, datas("0", "-1", strings.Repeat("9", 65), "-"+strings.Repeat("9", 65))},
		{"dec38", row.Type{Kind: row.Decimal, Digits: 65, Scale: 38}, datas("0."+strings.Repeat("0", 38), "-0."+strings.Repeat("0", 37)+"1", strings.Repeat("9", 27)+"."+strings.Repeat("9", 38))},
		{"text", row.Type{Kind: row.Text}, datas("", "a", "12345678", "é", "😀", "NULL", `\N`, "0", "-1.5", "true")},
		{"bytes", row.Type{Kind: row.Bytes}, datas("", "\x00", "\xff", "\xab\xcd\xef", "hello", "\r\n\",", allBytes())},
		{"json", row.Type{Kind: row.JSON}, datas("null", `{"a": 1}`, `{"a":"x,\"y\"\n"}`, `[]`, `""`, `{"b": 1, "a": 2}`)},
		{"enum", row.Type{Kind: row.Enum, Labels: []string{"new", "paid, shipped"}}, datas("new", "paid, shipped", "")},
		{"labels", row.Type{Kind: row.Labels, Labels: []string{"a", "b"}}, datas("", "a", "a,b")},
		{"date", row.Type{Kind: row.Date}, words(row.PackDate(0, 0, 0), row.PackDate(1000, 1, 1), row.PackDate(9999, 12, 31), row.PackDate(2024, 2, 29), row.PackDate(2024, 0, 0), row.PackDate(2024, 5, 0), row.PackDate(0, 1, 1), row.PackDate(1, 1, 1))},
		{"year", row.Type{Kind: row.Year}, words(0, 1901, 1970, 2155)},
		{"bits", row.Type{Kind: row.Bits, Size: 64}, words(0, 1, 5, 255, 1<<63, math.MaxUint64)},
		{"int8", row.Type{Kind: row.Int, Size: 1}, ints(0, 1, -1, math.MaxInt8, math.MinInt8)},
		{"int16", row.Type{Kind: row.Int, Size: 2}, ints(0, -1, math.MaxInt16, math.MinInt16)},
		{"int24", row.Type{Kind: row.Int, Size: 3}, ints(0, -1, 1<<23-1, -1<<23)},
		{"int32", row.Type{Kind: row.Int, Size: 4}, ints(0, -1, math.MaxInt32, math.MinInt32)},
		{"uint8", row.Type{Kind: row.Uint, Size: 1}, words(0, 1, math.MaxUint8)},
		{"uint16", row.Type{Kind: row.Uint, Size: 2}, words(0, math.MaxUint16)},
		{"uint32", row.Type{Kind: row.Uint, Size: 4}, words(0, math.MaxInt32, math.MaxInt32+1, math.MaxUint32)},
		{"dec9", row.Type{Kind: row.Decimal, Digits: 9, Scale: 4}, datas("0.0000", "-0.0001", "99999.9999", "-99999.9999")},
		{"dec30", row.Type{Kind: row.Decimal, Digits: 30, Scale: 10}, datas("0.0000000000", "-0.0000000001", strings.Repeat("9", 20)+"."+strings.Repeat("9", 10), "-"+strings.Repeat("9", 20)+"."+strings.Repeat("9", 10))},
		{"uuid", row.Type{Kind: row.Text, Native: "uuid"}, datas("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", "01234567-89ab-cdef-0123-456789abcdef")},
	}
	const most = (838*3600 + 59*60 + 59) * 1_000_000
	for scale := range 7 {
		unit := int64(math.Pow10(6 - scale))
		top := int64(999_999) / unit * unit
		out = append(out,
			trial{fmt.Sprintf("time%d", scale), row.Type{Kind: row.Time, Scale: scale}, ints(0, unit, -unit, -1_000_000, 3_599_000_000, -3_599_000_000-top*min(1, int64(scale)), 359_999_000_000, 360_000_000_000, most, -most, most-1_000_000+top*min(1, int64(scale)))},
			trial{fmt.Sprintf("datetime%d", scale), row.Type{Kind: row.DateTime, Scale: scale}, words(0, row.PackDateTime(1000, 1, 1, 0), row.PackDateTime(9999, 12, 31, 86399_000_000+top*min(1, int64(scale))), row.PackDateTime(2024, 0, 0, unit*min(1, int64(scale))), row.PackDateTime(2024, 2, 29, 43_200_000_000), row.PackDateTime(2026, 11, 21, 50_720_000_000+123_456/unit*unit*min(1, int64(scale))))},
			trial{fmt.Sprintf("timestamp%d", scale), row.Type{Kind: row.Timestamp, Scale: scale}, ints(row.ZeroTimestamp, 1_000_000, 0, -1_000_000, -86_400_000_000, 2_147_483_647_000_000+top*min(1, int64(scale)), 951_782_400_000_000, 951_868_799_000_000, 1_709_164_800_000_000, 4_294_967_295_000_000, 1_795_269_920_000_000+123_456/unit*unit*min(1, int64(scale)), -62_135_596_800_000_000)})
	}
	return out
}

// powersOfTen returns 0, each power of ten, its two neighbours and the greatest.
func powersOfTen() []uint64 {
	out := []uint64{0, math.MaxUint64, 1 << 63}
	p := uint64(1)
	for range 20 {
		out = append(out, p-1, p, p+1)
		p *= 10
	}
	return out
}

func allBytes() string {
	var b strings.Builder
	for i := range 256 {
		b.WriteByte(byte(i))
	}
	return b.String()
}
