package name

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"godwit/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestGive_when_names_are_claimed_again(t *testing.T) {
	path := filepath.Join(t.TempDir(), "odd 100%?#", "names.db")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("not a database at all"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := New(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ claims, holders []string }{
		{[]string{"n", "a", "n", "b", "m", "b"}, []string{"a", "a", "b"}},
		{[]string{"n", "a", "m", "c"}, []string{"a", "b"}}, // the same key is no other
		{[]string{"\xff", "\xfe\x00", "\xff", "x"}, []string{"\xfe\x00", "\xfe\x00"}},
		{nil, nil},
	} {
		var claims []Claim
		for p := range slices.Chunk(c.claims, 2) {
			claims = append(claims, Claim{p[0], p[1]})
		}
		if got, err := s.Give(claims); err != nil || !slices.Equal(got, c.holders) {
			t.Errorf("%q: %q, %v", c.claims, got, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if _, err := s.Give([]Claim{{"n", "a"}}); !fault.Has(err, fault.StateBroken) {
		t.Errorf("%v", err)
	}
	if _, err := New(filepath.Join(path, "no folder")); !fault.Has(err, fault.StateBroken) {
		t.Errorf("%v", err)
	}
}

// Of keys that claim one name at once exactly one gets it, and all are told which.
func TestGive_when_names_are_claimed_at_once(t *testing.T) {
	s, err := New(filepath.Join(t.TempDir(), "names.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const n, people = 3_000, 4
	var all [people][]string
	var wg sync.WaitGroup
	for p := range people {
		wg.Go(func() {
			var claims []Claim
			for i := range n {
				claims = append(claims, Claim{fmt.Sprint(i), fmt.Sprint(p, " ", i)})
			}
			for c := range slices.Chunk(claims, 100) {
				got, err := s.Give(c)
				if err != nil {
					t.Error(err)
				}
				all[p] = append(all[p], got...)
			}
		})
	}
	wg.Wait()
	for _, got := range all[1:] {
		if len(got) != n || !slices.Equal(got, all[0]) {
			t.Fatal("they are told different things")
		}
	}
}
