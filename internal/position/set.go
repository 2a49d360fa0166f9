package position

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Set maps a split to the place reached in it. It is what a sink commits
// together with data. Callers that hand a Set over do not change it afterwards.
type Set map[string]Position

// MaxSetBytes bounds the binary form of a Set, so that every sink can hold one.
const MaxSetBytes = 16 << 10

// ErrNewerFormat reports a binary form written by a newer godwit.
var ErrNewerFormat = errors.New("written by a newer version of godwit")

// setVersion is the first byte of the binary form (docs/formats/positions.md).
const setVersion = 1

// Clone returns a copy that shares nothing with s. A nil Set gives an empty one.
func (s Set) Clone() Set {
	out := make(Set, len(s))
	maps.Copy(out, s)
	return out
}

// Equal reports whether both sets hold the same places under the same keys.
func (s Set) Equal(o Set) bool { return maps.Equal(s, o) }

// MarshalBinary returns the versioned form described in docs/formats/positions.md:
// one version byte, the number of entries, then key, log, order and token of each
// entry in key order, every string with its length before it. It fails when the
// form is larger than MaxSetBytes.
func (s Set) MarshalBinary() ([]byte, error) {
	b := []byte{setVersion}
	b = binary.AppendUvarint(b, uint64(len(s)))
	for _, k := range slices.Sorted(maps.Keys(s)) {
		p := s[k]
		for _, f := range []string{k, p.log, p.order, p.token} {
			b = binary.AppendUvarint(b, uint64(len(f)))
			b = append(b, f...)
		}
	}
	if len(b) > MaxSetBytes {
		return nil, fmt.Errorf("position set of %d bytes is larger than %d", len(b), MaxSetBytes)
	}
	return b, nil
}

// UnmarshalSet reads what MarshalBinary wrote. It refuses a newer version with
// ErrNewerFormat and anything malformed with an error that says where.
func UnmarshalSet(b []byte) (Set, error) {
	d := &decoder{in: b}
	if len(b) > MaxSetBytes {
		return nil, fmt.Errorf("position set of %d bytes is larger than %d", len(b), MaxSetBytes)
	}
	if v := d.byte(); d.err == nil && v != setVersion {
		return nil, fmt.Errorf("position set version %d: %w", v, ErrNewerFormat)
	}
	n := d.uvarint()
	out := make(Set, min(n, 1024))
	for range n {
		k := d.string()
		p := Position{d.string(), d.string(), d.string()}
		if d.err != nil {
			break
		}
		if _, twice := out[k]; twice {
			return nil, fmt.Errorf("position set: key %q twice", k)
		}
		out[k] = p
	}
	if d.err == nil && d.at != len(b) {
		d.fail("trailing bytes")
	}
	if d.err != nil {
		return nil, d.err
	}
	return out, nil
}

// decoder reads bounded fields and remembers the first error.
type decoder struct {
	in  []byte
	at  int
	err error
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("position set: %s at byte %d", what, d.at)
	}
}

func (d *decoder) byte() byte {
	if d.at >= len(d.in) {
		d.fail("cut short")
		return 0
	}
	d.at++
	return d.in[d.at-1]
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.in[min(d.at, len(d.in)):])
	if n <= 0 {
		d.fail("bad length")
		return 0
	}
	d.at += n
	return v
}

func (d *decoder) string() string {
	n := d.uvarint()
	if d.err != nil || n > uint64(len(d.in)-d.at) {
		d.fail("cut short")
		return ""
	}
	d.at += int(n)
	return string(d.in[d.at-int(n) : d.at])
}
