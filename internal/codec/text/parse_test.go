package text_test

import (
	"testing"

	"pgregory.net/rapid"

	"godwit/internal/codec/text"
	"godwit/internal/position"
	"godwit/internal/row"
)

// TestParse_when_any_value: what Append writes is read back as the same cell.
func TestParse_when_any_value(t *testing.T) {
	kinds := []row.Kind{row.Int, row.Uint, row.Bits, row.Float32, row.Float64, row.Date, row.Time, row.DateTime, row.Timestamp, row.Year, row.Text, row.Bytes}
	tab := &row.Table{}
	rapid.Check(t, func(t *rapid.T) {
		k := row.Type{Kind: rapid.SampledFrom(kinds).Draw(t, "kind"), Scale: 6}
		word, data := rapid.Uint64().Draw(t, "word"), rapid.SliceOf(rapid.Byte()).Draw(t, "data")
		date := row.PackDate(rapid.IntRange(0, 9999).Draw(t, "year"), int(word%13), int(word>>8%32))
		switch k.Kind {
		case row.Float32:
			word &= 1<<32 - 1
		case row.Date:
			word = date
		case row.DateTime:
			word = date<<37 | word%86_400_000_000
		case row.Time:
			word = uint64(int64(word) % (1 << 60))
		case row.Timestamp:
			word = uint64(int64(word) % (1 << 60))
		case row.Year:
			word %= 10000
		}
		p := text.Append(nil, k, word, data)
		x := row.NewBuilder(&row.Pool{})
		x.At("", 0, row.Txn{})
		tab.Columns = []row.Column{{Type: k}}
		x.Row(tab, row.Read)
		if err := text.Parse(x, k, p); err != nil {
			t.Fatal(err)
		}
		b := x.Finish(position.Position{}, 0)
		words, _ := b.Cells(&b.Sections()[0], 0)
		if k.Kind.InBytes() {
			if string(b.Data(words[0])) != string(data) {
				t.Fatalf("%q was read from %q", b.Data(words[0]), p)
			}
		} else if words[0] != text.Stored(k.Kind, word) {
			t.Fatalf("%#x was read from %q, not %#x", words[0], p, word)
		}
	})
}
