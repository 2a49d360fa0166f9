package position

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"godwit/test/golden"
)

func TestCompare_when_logs_differ(t *testing.T) {
	a, b := New("log1", "\x01", "t"), New("log2", "\x02", "t")
	if _, err := a.Compare(b); !errors.Is(err, ErrOtherLog) {
		t.Fatalf("comparing two logs: %v", err)
	}
	var zero Position
	for _, c := range []struct {
		p, q Position
		want int
	}{
		{zero, zero, 0}, {zero, a, -1}, {a, zero, 1},
		{a, New("log1", "\x01\x00", ""), -1}, {New("log1", "\xff", ""), a, 1},
		{a, New("log1", "\x01", "another token"), 0},
	} {
		if got, err := c.p.Compare(c.q); err != nil || got != c.want {
			t.Errorf("Compare(%v, %v) = %d, %v", c.p, c.q, got, err)
		}
	}
}

// sample covers what the binary form must carry: bytes of every value, empty
// fields, notes.
func sample() Set {
	return Set{
		"stream":   New("mariadb:7", "\x00\x01\xff\n", `{"gtid":"0-1-7"}`),
		"c0-63":    New("mariadb:7", "", ""),
		"complete": Note("AQI"),
		"":         {},
	}
}

func TestSet_golden(t *testing.T) {
	b, err := sample().MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	golden.Same(t, "testdata/set-v1.hex", []byte(hex.Dump(b)))
	back, err := UnmarshalSet(b)
	if err != nil || !back.Equal(sample()) {
		t.Fatalf("read back %v, %v", back, err)
	}
}

func TestSet_when_malformed(t *testing.T) {
	good, _ := sample().MarshalBinary()
	for i := range good {
		if s, err := UnmarshalSet(good[:i]); err == nil {
			t.Fatalf("cut at %d it was read as %v", i, s)
		}
	}
	if _, err := UnmarshalSet(append(bytes.Clone(good), 0)); err == nil {
		t.Fatal("trailing bytes were taken")
	}
	newer := bytes.Clone(good)
	newer[0] = setVersion + 1
	if _, err := UnmarshalSet(newer); !errors.Is(err, ErrNewerFormat) {
		t.Fatalf("a newer version: %v", err)
	}
	if _, err := (Set{"k": Note(strings.Repeat("x", MaxSetBytes))}).MarshalBinary(); err == nil {
		t.Fatal("a set beyond the bound was written")
	}
}

func FuzzUnmarshalSet(f *testing.F) {
	good, _ := sample().MarshalBinary()
	f.Add(good)
	f.Add([]byte{1, 255, 255, 255, 255, 15})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := UnmarshalSet(b)
		if err != nil {
			return
		}
		again, err := s.MarshalBinary()
		if err != nil {
			return // larger than the bound once lengths are minimal: cannot be
		}
		back, err := UnmarshalSet(again)
		if err != nil || !back.Equal(s) {
			t.Fatalf("%v read back as %v, %v", s, back, err)
		}
	})
}
