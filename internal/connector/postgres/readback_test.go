package postgres

import (
	"testing"

	"godwit/internal/position"
)

func TestApart_when_it_is_a_bitmap_or_a_list(t *testing.T) {
	for note, want := range map[string][2]bool{"": {false, false}, "IA": {true, false}, ",5,95001": {true, true}, ",51,9500": {false, false}} {
		set := position.Set{"apart": position.Note(note)}
		for i, number := range []uint32{5, 95_001} {
			if apart(set, number) != want[i] {
				t.Errorf("%q says of table %d that it is apart: %v", note, number, !want[i])
			}
		}
	}
}
