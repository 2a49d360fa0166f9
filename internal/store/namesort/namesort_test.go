package namesort

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
)

func TestSorter_when_names_do_not_fit_the_memory(t *testing.T) {
	const seed = 7
	r := rand.New(rand.NewPCG(seed, 1))
	for _, limit := range []int{1, 1000, 1 << 20} {
		dir := t.TempDir()
		s := &Sorter{Limit: limit, Temp: dir}
		var want []Item
		for i := range 300 {
			it := Item{Name: fmt.Sprintf("%x\xff-%d", r.Uint32(), i), Note: fmt.Sprint(i % 3)[:i%2]}
			want = append(want, it)
			if err := s.Add(it); err != nil {
				t.Fatal(err)
			}
		}
		slices.SortFunc(want, func(a, b Item) int { return slices.Compare([]byte(a.Name), []byte(b.Name)) })
		var got []Item
		for it, err := range s.Sorted() {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, it)
		}
		if !slices.Equal(got, want) {
			t.Errorf("limit %d, seed %d: %d items, want %d, in order", limit, seed, len(got), len(want))
		}
		s.Close()
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left: %v, %v", left, err)
		}
	}
}
