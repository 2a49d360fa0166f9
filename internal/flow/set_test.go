package flow

import (
	"slices"
	"testing"

	"godwit/internal/position"
)

// Numbers of tables rise for as long as a job lives, and notes of them stay short.
func TestBitmap_when_numbers_are_large(t *testing.T) {
	for _, numbers := range [][]uint32{{1}, {7, 8, 1500}, {5, 95_001, 1_000_000}, {1 << 24}} {
		var b bitmap
		for _, n := range numbers {
			b = b.with(n)
		}
		p := b.note()
		if got := bitmapOf(p).numbers(); !slices.Equal(got, numbers) || len(p.Token()) > shortBitmap {
			t.Errorf("%v in %d bytes are read as %v", numbers, len(p.Token()), got)
		}
	}
	var many bitmap
	for n := range uint32(10_000) {
		many = many.with(n)
	}
	if p := many.note(); len(p.Token()) > 2000 || len(bitmapOf(p).numbers()) != 10_000 {
		t.Errorf("10,000 tables take %d bytes", len(p.Token()))
	}
	for _, text := range []string{",", ",x", ",1,", ",4294967296", ",99999999", "!"} {
		if b := bitmapOf(position.Note(text)); b != nil {
			t.Errorf("%q is read as %v", text, b.numbers())
		}
	}
}
