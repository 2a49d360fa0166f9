package row

import (
	"math"
	"testing"

	"godwit/internal/position"
)

func TestAppendText(t *testing.T) {
	x := NewBuilder(&Pool{})
	table := &Table{Columns: make([]Column, 5)}
	x.Row(table, Read)
	x.String("Größe")
	x.Bytes([]byte{0, 255})
	x.Bytes([]byte{'a', 255})
	x.String("-0.10")
	x.Bytes(nil)
	b := x.Finish(position.Position{}, 0)
	words, _ := b.Cells(&b.Sections()[0], 0)
	for _, c := range []struct {
		t    Type
		word uint64
		want string
	}{
		{Type{Kind: Int}, math.MaxUint64, "-1"},
		{Type{Kind: Uint}, math.MaxUint64, "18446744073709551615"},
		{Type{Kind: Float32}, uint64(math.Float32bits(0.1)), "0.1"},
		{Type{Kind: Float64}, math.Float64bits(1e300), "1e+300"},
		{Type{Kind: Text}, words[0], "Größe"},
		{Type{Kind: Bytes}, words[1], "0x00ff"},
		{Type{Kind: Text}, words[2], "0x61ff"},
		{Type{Kind: Decimal}, words[3], "-0.10"},
		{Type{Kind: Text}, words[4], ""},
		{Type{Kind: Date}, PackDate(2026, 0, 0), "2026-00-00"},
		{Type{Kind: Time}, uint64(math.MaxUint64 - 3600e6 + 1), "-01:00:00"},
		{Type{Kind: Time, Scale: 2}, 838*3600e6 + 5e5, "838:00:00.50"},
		{Type{Kind: DateTime}, PackDateTime(2026, 11, 26, 1), "2026-11-26 00:00:00.000001"},
		{Type{Kind: Timestamp}, 0, "1970-01-01 00:00:00Z"},
		{Type{Kind: Timestamp, Scale: 3}, uint64(math.MaxUint64), "1969-12-31 23:59:59.999999Z"},
		{Type{Kind: Timestamp}, 1 << 63, "0000-00-00 00:00:00Z"},
		{Type{Kind: Year}, 2026, "2026"},
		{Type{Kind: Bits}, 5, "5"},
	} {
		if got := string(AppendText(nil, b, c.t, c.word)); got != c.want {
			t.Errorf("%v %#x: %q, expected %q", c.t.Kind, c.word, got, c.want)
		}
	}
}
