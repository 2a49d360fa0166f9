package store_test

import (
	"slices"
	"testing"

	"godwit/internal/store"
)

// Sums of "abc" as published with the algorithms.
func TestSumOf_when_the_answer_is_known(t *testing.T) {
	for a, want := range map[store.Algorithm]string{
		store.SHA256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		store.SHA1:   "a9993e364706816aba3e25717850c26c9cd0d89d",
		store.MD5:    "900150983cd24fb0d6963f7d28e17f72",
		store.CRC32C: "364b3fb7",
		store.XXH3:   "06b05ab6733a618578af5f94892f3950",
	} {
		h := a.New()
		_, _ = h.Write([]byte("abc"))
		if got := store.SumOf(a, h); got != (store.Sum{Algorithm: a, Value: want}) {
			t.Errorf("%s: %+v, want %s", a, got, want)
		}
		if len(h.Sum(nil)) != h.Size() {
			t.Errorf("%s: %d bytes, Size says %d", a, len(h.Sum(nil)), h.Size())
		}
	}
	if h := store.Algorithm("of the future").New(); h != nil {
		t.Error("an unknown algorithm has a hash")
	}
}

func TestCompare_when_stores_know_different_sums(t *testing.T) {
	sum := func(a store.Algorithm, v string) store.Sum { return store.Sum{Algorithm: a, Value: v} }
	parts := func(v string, n int, size int64) store.Sum {
		return store.Sum{Algorithm: store.MD5, Value: v, Parts: n, PartSize: size}
	}
	for name, c := range map[string]struct {
		a, b []store.Sum
		want store.Likeness
		by   store.Algorithm
	}{
		"none":                            {nil, nil, store.Unknown, ""},
		"one side only":                   {[]store.Sum{sum(store.MD5, "1")}, nil, store.Unknown, ""},
		"no common kind":                  {[]store.Sum{sum(store.MD5, "1")}, []store.Sum{sum(store.SHA1, "1")}, store.Unknown, ""},
		"equal":                           {[]store.Sum{sum(store.MD5, "1")}, []store.Sum{sum(store.MD5, "1")}, store.Alike, store.MD5},
		"unequal":                         {[]store.Sum{sum(store.MD5, "1")}, []store.Sum{sum(store.MD5, "2")}, store.Unlike, store.MD5},
		"the strongest counts":            {[]store.Sum{sum(store.CRC32C, "1"), sum(store.SHA256, "1")}, []store.Sum{sum(store.CRC32C, "1"), sum(store.SHA256, "2")}, store.Unlike, store.SHA256},
		"empty values say nothing":        {[]store.Sum{sum(store.MD5, "")}, []store.Sum{sum(store.MD5, "")}, store.Unknown, ""},
		"of contents and of parts":        {[]store.Sum{sum(store.MD5, "1")}, []store.Sum{parts("2", 3, 5)}, store.Unknown, ""},
		"parts of one size, equal":        {[]store.Sum{parts("1", 3, 5)}, []store.Sum{parts("1", 3, 5)}, store.Alike, store.MD5},
		"parts of one size, unequal":      {[]store.Sum{parts("1", 3, 5)}, []store.Sum{parts("2", 3, 5)}, store.Unlike, store.MD5},
		"parts of other sizes, unequal":   {[]store.Sum{parts("1", 3, 5)}, []store.Sum{parts("2", 3, 6)}, store.Unknown, ""},
		"parts of unknown size, equal":    {[]store.Sum{parts("1", 3, 0)}, []store.Sum{parts("1", 3, 5)}, store.Alike, store.MD5},
		"parts of unknown size, unequal":  {[]store.Sum{parts("1", 3, 0)}, []store.Sum{parts("2", 3, 0)}, store.Unknown, ""},
		"other numbers of parts, unequal": {[]store.Sum{parts("1", 3, 5)}, []store.Sum{parts("2", 4, 5)}, store.Unknown, ""},
	} {
		for _, turn := range [][2][]store.Sum{{c.a, c.b}, {c.b, c.a}} {
			if got, by := store.Compare(turn[0], turn[1]); got != c.want || by.Algorithm != c.by {
				t.Errorf("%s: %d by %q, want %d by %q", name, got, by.Algorithm, c.want, c.by)
			}
		}
	}
}

func TestGuesses_when_sizes_are_usual(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		size  int64
		parts int
		want  []int64 // in MiB
	}{
		{17 * mib, 3, []int64{8}},
		{16*mib + 1, 2, []int64{16, 10, 15}},
		{16 * mib, 2, []int64{8, 10, 15}},
		{100 * mib, 7, []int64{16, 15}},
		{100 * mib, 1, []int64{100}},
		{7, 1, nil},
		{700 * mib, 100, nil}, // of 7 MiB
		{0, 1, nil},
		{8 * mib, 0, nil},
		{5 * 1024 * mib, 1024, []int64{5}},
	} {
		var got []int64
		for _, s := range (store.Sum{Algorithm: store.MD5, Value: "v", Parts: c.parts}).Guesses(c.size) {
			if s.Parts != c.parts || s.Value != "v" || s.Algorithm != store.MD5 {
				t.Errorf("another sum: %+v", s)
			}
			if s.PartSize >= mib {
				got = append(got, s.PartSize/mib)
			} else if s.PartSize != c.size {
				t.Errorf("%+v", s)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%d bytes in %d parts: %v MiB, want %v", c.size, c.parts, got, c.want)
		}
	}
	if got := (store.Sum{Value: "v", Parts: 2, PartSize: 8 * mib}).Guesses(16 * mib); got != nil {
		t.Errorf("of a known size: %v", got)
	}
}
