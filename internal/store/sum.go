package store

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"hash/crc32"

	"github.com/zeebo/xxh3"
)

// Algorithm names a checksum.
type Algorithm string

// Algorithms, strongest first among those with equal use: which of two sums both
// sides have is compared is decided in this order.
const (
	SHA256 Algorithm = "sha256"
	XXH3   Algorithm = "xxh3" // 128 bits
	SHA1   Algorithm = "sha1"
	MD5    Algorithm = "md5"
	CRC32C Algorithm = "crc32c"
)

// Sum is a checksum of an object's contents.
type Sum struct {
	Algorithm Algorithm `json:"algorithm"`
	Value     string    `json:"value"` // lower-case hex
	// Parts is 0 for a sum of the contents. Otherwise the sum is of the sums of
	// that many parts (an S3 ETag "…-3"); PartSize is the size of all but the last
	// of them, 0 when the store does not say.
	Parts    int   `json:"parts,omitempty"`
	PartSize int64 `json:"part_size,omitempty"`
}

// New returns a hash that computes the algorithm; nil for one that is not known.
func (a Algorithm) New() hash.Hash {
	switch a {
	case SHA256:
		return sha256.New()
	case XXH3:
		return wide{xxh3.New()}
	case SHA1:
		return sha1.New() //nolint:gosec // compares with what stores keep
	case MD5:
		return md5.New() //nolint:gosec // compares with what stores keep
	case CRC32C:
		return crc32.New(crc32.MakeTable(crc32.Castagnoli))
	}
	return nil
}

// wide is xxh3 with 128 bits.
type wide struct{ *xxh3.Hasher }

func (w wide) Size() int { return 16 }

func (w wide) Sum(b []byte) []byte {
	s := w.Sum128().Bytes()
	return append(b, s[:]...)
}

// SumOf returns the sum that h, made by a.New, has come to.
func SumOf(a Algorithm, h hash.Hash) Sum {
	return Sum{Algorithm: a, Value: hex.EncodeToString(h.Sum(nil))}
}

// Likeness is what checksums say of two objects.
type Likeness uint8

// What checksums say.
const (
	Unknown Likeness = iota // no sum of one kind on both sides
	Alike
	Unlike
)

// Compare compares two objects by the strongest kind of sum that both have, and
// returns it. Composite sums are of one kind only with as many parts of the same
// size; where a store does not say the size, equal values are proof and unequal
// ones are none.
func Compare(a, b []Sum) (Likeness, Sum) {
	for _, algorithm := range []Algorithm{SHA256, XXH3, SHA1, MD5, CRC32C} {
		for _, x := range a {
			for _, y := range b {
				if x.Algorithm != algorithm || y.Algorithm != algorithm || x.Parts != y.Parts || x.Value == "" || y.Value == "" {
					continue
				}
				switch {
				case x.Value == y.Value:
					return Alike, x
				case x.Parts == 0, x.PartSize == y.PartSize && x.PartSize > 0:
					return Unlike, x
				}
			}
		}
	}
	return Unknown, Sum{}
}

// partSizes are those, in MiB, that programs write objects with, unless they are
// told others.
var partSizes = [...]int64{8, 16, 5, 10, 15, 20, 25, 32, 50, 64, 100, 128, 200, 250, 256, 500, 512, 1024}

// Guesses returns a composite sum of an object of size bytes whose PartSize is not
// known with each of the usual sizes that make as many parts; there are few, often
// one. That the contents have such a sum is proof; that they have not is none.
func (s Sum) Guesses(size int64) []Sum {
	if s.Parts == 0 || s.PartSize > 0 || size <= 0 {
		return nil
	}
	if s.PartSize = size; s.Parts == 1 {
		return []Sum{s}
	}
	var out []Sum
	for _, n := range partSizes {
		if s.PartSize = n << 20; (size+s.PartSize-1)/s.PartSize == int64(s.Parts) {
			out = append(out, s)
		}
	}
	return out
}
