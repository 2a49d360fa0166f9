package local

import (
	"hash"

	"godwit/internal/fault"
	"godwit/internal/store"
)

// hashes computes the sums that contents are said to have.
type hashes struct {
	want []store.Sum
	have []hash.Hash
}

// hashesFor leaves out sums of parts, and of algorithms not known.
func hashesFor(sums []store.Sum) *hashes {
	h := &hashes{}
	for _, s := range sums {
		if n := s.Algorithm.New(); n != nil && s.Parts == 0 && s.Value != "" {
			h.want, h.have = append(h.want, s), append(h.have, n)
		}
	}
	return h
}

func (h *hashes) write(p []byte) {
	for _, n := range h.have {
		_, _ = n.Write(p)
	}
}

// check compares; fault.Corrupt.
func (h *hashes) check(where string) error {
	for i, want := range h.want {
		if have := store.SumOf(want.Algorithm, h.have[i]); have.Value != want.Value {
			return fault.New(fault.Corrupt, "the bytes have %s %s, and should have %s", want.Algorithm, have.Value, want.Value).At("%s", where)
		}
	}
	return nil
}
