package store

import (
	"hash"

	"godwit/internal/fault"
)

// Checker computes, of contents on their way, the sums that they are said to have.
type Checker struct {
	want []Sum
	have []hash.Hash
}

// NewChecker leaves out sums of parts, and of algorithms not known.
func NewChecker(sums []Sum) *Checker {
	c := &Checker{}
	for _, s := range sums {
		if h := s.Algorithm.New(); h != nil && s.Parts == 0 && s.Value != "" {
			c.want, c.have = append(c.want, s), append(c.have, h)
		}
	}
	return c
}

// None reports whether there is nothing to compare.
func (c *Checker) None() bool { return len(c.want) == 0 }

// Add takes the next bytes.
func (c *Checker) Add(p []byte) {
	for _, h := range c.have {
		_, _ = h.Write(p)
	}
}

// Check compares the sums of what was added; fault.Corrupt, at where.
func (c *Checker) Check(where string) error {
	for i, want := range c.want {
		if have := SumOf(want.Algorithm, c.have[i]); have.Value != want.Value {
			return fault.New(fault.Corrupt, "the bytes have %s %s, and should have %s", want.Algorithm, have.Value, want.Value).At("%s", where)
		}
	}
	return nil
}
