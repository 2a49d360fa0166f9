package carrier

import (
	"encoding/hex"
	"hash"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
	"sync"

	"godwit/internal/fault"
	"godwit/internal/store"
)

// kind is a checksum that is to be computed.
type kind struct {
	algorithm store.Algorithm
	part      int64 // 0: of the contents; else of the sums of parts of this size
}

// kinds are the checksums that a target gives for what it stored, learned from
// its answers.
type kinds struct {
	mu    sync.Mutex
	given []kind
	asked bool // there was an answer
}

// kindsMost bounds what is learned, and so what is computed.
const kindsMost = 4

// wanted returns what is to be computed so that the target's answer can be
// compared: before the first answer what stores usually give; where it gives
// nothing, otherwise.
func (k *kinds) wanted(otherwise store.Algorithm) []kind {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case !k.asked:
		return []kind{{algorithm: store.MD5}, {algorithm: store.CRC32C}, {algorithm: store.XXH3}}
	case len(k.given) == 0:
		return []kind{{algorithm: otherwise}}
	}
	return slices.Clone(k.given)
}

// checks reports whether the target may compare sums that it is sent: one that
// gives none would only compute them in vain.
func (k *kinds) checks() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return !k.asked || len(k.given) > 0
}

// learn takes an answer about an object, or a part, of size bytes.
func (k *kinds) learn(size int64, sums ...store.Sum) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked = true
	for _, n := range computable(sums, size) {
		if !slices.Contains(k.given, n) && len(k.given) < kindsMost {
			k.given = append(k.given, n)
		}
	}
}

// computable returns the kinds of sums that one pass over an object of size bytes
// can be held to.
func computable(sums []store.Sum, size int64) []kind {
	var found []kind
	for _, s := range sums {
		switch {
		case s.Value == "" || s.Algorithm.New() == nil:
		case s.Parts == 0:
			found = append(found, kind{algorithm: s.Algorithm})
		case s.PartSize > 0 && (size+s.PartSize-1)/s.PartSize == int64(s.Parts):
			found = append(found, kind{s.Algorithm, s.PartSize})
		}
	}
	return found
}

// hashes compute several sums of one stream.
type hashes []*summer

type summer struct {
	kind
	h     hash.Hash // of the contents, or of the part that goes on
	sums  hash.Hash // of the parts' sums
	left  int64     // of the part
	parts int
}

func newHashes(kinds []kind) hashes {
	hs := make(hashes, 0, len(kinds))
	for i, k := range kinds {
		if slices.Contains(kinds[:i], k) {
			continue
		}
		s := &summer{kind: k, h: k.algorithm.New(), left: k.part}
		if k.part > 0 {
			s.sums = k.algorithm.New()
		}
		hs = append(hs, s)
	}
	return hs
}

func (hs hashes) write(b []byte) {
	for _, s := range hs {
		s.write(b)
	}
}

func (s *summer) write(b []byte) {
	for s.part > 0 && int64(len(b)) >= s.left {
		_, _ = s.h.Write(b[:s.left])
		b = b[s.left:]
		s.endPart()
	}
	if len(b) > 0 {
		_, _ = s.h.Write(b)
		s.left -= int64(len(b))
	}
}

func (s *summer) endPart() {
	_, _ = s.sums.Write(s.h.Sum(nil))
	s.h.Reset()
	s.parts++
	s.left = s.part
}

// sums returns what the stream has come to; once.
func (hs hashes) sums() []store.Sum {
	out := make([]store.Sum, 0, len(hs))
	for _, s := range hs {
		if s.part == 0 {
			out = append(out, store.SumOf(s.algorithm, s.h))
			continue
		}
		if s.left < s.part {
			s.endPart()
		}
		sum := store.SumOf(s.algorithm, s.sums)
		sum.Parts, sum.PartSize = s.parts, s.part
		out = append(out, sum)
	}
	return out
}

// best returns the strongest sum of the contents, by which an object is recorded.
func best(sums []store.Sum) store.Sum {
	_, sum := store.Compare(ofContents(sums), sums)
	return sum
}

// ofContents returns the sums that are not of parts.
func ofContents(sums []store.Sum) []store.Sum {
	return slices.DeleteFunc(slices.Clone(sums), func(s store.Sum) bool { return s.Parts > 0 })
}

// confirm compares what the target stored with the bytes that left. It returns how
// that could be done: an algorithm, or "size".
func confirm(stored store.Object, size int64, ours []store.Sum) (string, error) {
	if stored.Size != size {
		return "", fault.New(fault.Corrupt, "the target stored %d bytes of %d", stored.Size, size)
	}
	switch likeness, sum := store.Compare(stored.Sums, ours); likeness {
	case store.Alike:
		return string(sum.Algorithm), nil
	case store.Unlike:
		return "", fault.New(fault.Corrupt, "the target stored other bytes than were sent: its %s checksum is %s, theirs %s",
			sum.Algorithm, sum.Value, ofKind(ours, sum))
	}
	return "size", nil
}

func ofKind(sums []store.Sum, like store.Sum) string {
	var found []string
	for _, s := range sums {
		if s.Algorithm == like.Algorithm && s.Parts == like.Parts {
			found = append(found, s.Value)
		}
	}
	return strings.Join(found, ", ")
}

// ofParts returns the sums of an object from those of its parts, in order: of the
// parts' sums for each algorithm that all parts have, and of the contents where
// that can be computed (CRC32C).
func ofParts(parts []donePart, partSize int64) []store.Sum {
	var out []store.Sum
	for _, a := range []store.Algorithm{store.SHA256, store.SHA1, store.MD5, store.CRC32C} {
		h := a.New()
		whole, all := uint32(0), true
		for _, p := range parts {
			i := slices.IndexFunc(p.Sums, func(s store.Sum) bool { return s.Algorithm == a && s.Parts == 0 })
			if i < 0 {
				all = false
				break
			}
			b, err := hex.DecodeString(p.Sums[i].Value)
			if err != nil {
				all = false
				break
			}
			_, _ = h.Write(b)
			if a == store.CRC32C && len(b) == 4 {
				whole = joinCRC(whole, uint32(b[0])<<24|uint32(b[1])<<16|uint32(b[2])<<8|uint32(b[3]), p.Size)
			}
		}
		if !all || len(parts) == 0 {
			continue
		}
		sum := store.SumOf(a, h)
		sum.Parts, sum.PartSize = len(parts), partSize
		if a == store.CRC32C {
			text := strconv.FormatUint(uint64(whole), 16)
			out = append(out, store.Sum{Algorithm: a, Value: strings.Repeat("0", 8-len(text)) + text})
		}
		out = append(out, sum)
	}
	return out
}

// joinCRC returns the CRC32C of two pieces of data one after the other from those
// of each; n is the length of the second. A CRC is the remainder of a polynomial:
// the first one's is shifted by n bytes, that is multiplied by x^8n, and the second
// one's added.
func joinCRC(first, second uint32, n int64) uint32 {
	shift := uint32(1) << 31 // x^0; the highest bit is the lowest power
	square := uint32(1) << 23
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			shift = multiply(shift, square)
		}
		square = multiply(square, square)
	}
	return multiply(shift, first) ^ second
}

// multiply multiplies two polynomials modulo that of CRC32C.
func multiply(a, b uint32) uint32 {
	product := uint32(0)
	for bit := uint32(1) << 31; bit != 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
		}
		low := b & 1
		b >>= 1
		if low == 1 {
			b ^= crc32.Castagnoli
		}
	}
	return product
}
