package mem_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"testing"

	"godwit/internal/store"
	"godwit/internal/store/mem"
	"godwit/internal/store/storetest"
)

func TestStore_keeps_the_contract(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Store { return mem.New(mem.Options{}) }, storetest.Options{
		Second:        func(_ *testing.T, first store.Store) store.Store { return first.(*mem.Store).Second() },
		Keys:          []string{"a//b", "/a", "a/", ".", "..", "a/../b", "x", "x/y"},
		DivideObjects: 400,
		BadKeys:       []string{"", "a\x00b", "\xff", strings.Repeat("k", 1025)},
	})
}

var background = context.Background()

func body(s string) store.Body {
	return store.Body{Size: int64(len(s)), Open: func(off int64) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(s[off:])), nil
	}}
}

func TestBefore_when_it_refuses_a_call(t *testing.T) {
	boom := errors.New("boom")
	var calls []mem.Call
	s := mem.New(mem.Options{Before: func(_ context.Context, c mem.Call) error {
		calls = append(calls, c)
		if c.Key == "bad" && c.Name != "batchput" {
			return boom
		}
		return nil
	}})
	if _, err := s.Put(background, "bad", body("x"), store.PutOptions{}); !errors.Is(err, boom) {
		t.Error(err)
	}
	b, err := s.Batch(background)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"good", "bad"} {
		if _, err := b.Put(background, key, body("x"), store.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if errs := b.Commit(background); len(errs) != 1 || !errors.Is(errs["bad"], boom) {
		t.Errorf("Commit: %v", errs)
	}
	if _, err := s.Stat(background, "good"); err != nil {
		t.Error(err)
	}
	if want := (mem.Call{Name: "put", Key: "bad"}); calls[0] != want {
		t.Errorf("told of %+v", calls)
	}
}

func TestList_when_it_is_longer_than_memory(t *testing.T) {
	s := mem.New(mem.Options{
		List: func(_, after string) iter.Seq2[store.Object, error] {
			return func(yield func(store.Object, error) bool) {
				n := 0
				_, _ = fmt.Sscanf(after, "k%09d", &n)
				for ; n < 1e9 && yield(store.Object{Key: fmt.Sprintf("k%09d", n+1), Size: 1}, nil); n++ {
				}
			}
		},
		Contents: func(key string) (store.Object, []byte, error) {
			return store.Object{Key: key, Size: 1}, []byte("x"), nil
		},
		Divide: func(string, string, int) []string { return []string{"k5"} },
	})
	n := 0
	for o, err := range s.List(background, "", "k000000041") {
		if want := fmt.Sprintf("k%09d", 42+n); err != nil || o.Key != want {
			t.Fatalf("%q, %v; want %q", o.Key, err, want)
		}
		if n++; n == 1000 {
			break
		}
	}
	r, o, err := s.Open(background, "k000000007", store.Read{})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(r); string(b) != "x" || err != nil || o.Size != 1 {
		t.Errorf("%q, %v, %+v", b, err, o)
	}
	if keys, err := s.Divide(background, "", "", 2); len(keys) != 1 || err != nil {
		t.Errorf("%q, %v", keys, err)
	}
}
