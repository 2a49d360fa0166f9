package local_test

import (
	"fmt"
	"slices"
	"testing"

	"godwit/internal/store"
	"godwit/internal/store/local"
	"godwit/internal/store/powerfs"
)

func TestStagedAny_when_there_are_many_keys(t *testing.T) {
	s, err := local.New(powerfs.New().Process(), "/data", local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.StagedAny(t.Context(), func(func(string) bool) { t.Error("asked for keys though nothing is staged") }); len(got) != 0 || err != nil {
		t.Fatal(got, err)
	}
	want := map[string]bool{}
	for i := range 40 {
		w, err := s.Stage(t.Context(), fmt.Sprintf("a/%d", i%20), store.PutOptions{})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(w, i)
		r, err := w.Close()
		if err != nil {
			t.Fatal(err)
		}
		if i%20 < 7 {
			want[r.Staged] = true
		}
	}
	var keys []string
	for i := range 7 {
		keys = append(keys, fmt.Sprintf("a/%d", i), fmt.Sprintf("b/%d", i))
	}
	got, err := s.StagedAny(t.Context(), slices.Values(keys))
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d receipts of %d, %v", len(got), len(want), err)
	}
	for _, r := range got {
		one, err := s.Staged(t.Context(), r.Key)
		if !want[r.Staged] || err != nil || !slices.Contains(one, r) {
			t.Fatalf("%+v is not what Staged says: %+v, %v", r, one, err)
		}
	}
}
