package mysql

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// gtid names a transaction: MariaDB's by domain, server and number, MySQL's by the
// server it was first committed on and number. A MySQL without GTIDs has none: the
// zero gtid.
type gtid struct {
	domain, server uint32
	uuid           uuid // MySQL's server; zero on MariaDB
	seq            uint64
}

// uuid is a MySQL server's identity.
type uuid [16]byte

func (u uuid) String() string {
	var b [36]byte
	at := 0
	for i, part := range [...][]byte{u[:4], u[4:6], u[6:8], u[8:10], u[10:]} {
		if i > 0 {
			b[at] = '-'
			at++
		}
		at += hex.Encode(b[at:], part)
	}
	return string(b[:])
}

func parseUUID(text string) (u uuid, err error) {
	bad := fmt.Errorf("%q is not a server's UUID", clip(text, 60))
	if len(text) != 36 {
		return u, bad
	}
	if n, err := hex.Decode(u[:], []byte(strings.ReplaceAll(text, "-", ""))); err != nil || n != len(u) || u.String() != strings.ToLower(text) {
		return u, bad
	}
	return u, nil
}

func (g gtid) String() string {
	if g.uuid != (uuid{}) {
		return g.uuid.String() + ":" + strconv.FormatUint(g.seq, 10)
	}
	b := make([]byte, 0, 32)
	b = strconv.AppendUint(b, uint64(g.domain), 10)
	b = append(b, '-')
	b = strconv.AppendUint(b, uint64(g.server), 10)
	b = append(b, '-')
	return string(strconv.AppendUint(b, g.seq, 10))
}

func parseGTID(text string) (gtid, error) {
	f := strings.Split(text, "-")
	if len(f) != 3 {
		return gtid{}, fmt.Errorf("%q is not a GTID", clip(text, 60))
	}
	n := numbers{}
	g := gtid{domain: uint32(n.read(f[0], 32)), server: uint32(n.read(f[1], 32)), seq: n.read(f[2], 64)}
	return g, n.err
}

// gtidState is what a log has up to a place: on MariaDB the last GTID of each
// domain, on MySQL the set of all GTIDs. The zero state is of a log in which
// nothing was written.
type gtidState struct {
	last    []gtid    // MariaDB's, sorted by domain
	sets    []uuidSet // MySQL's, sorted by UUID
	unknown bool      // the place was taken without asking for them
}

// uuidSet is the numbers of one server's transactions.
type uuidSet struct {
	uuid   uuid
	ranges []seqRange // rising, with gaps between them
}

// seqRange is the numbers from first to last, both among them.
type seqRange struct{ first, last uint64 }

// Bounds of a state that is read.
const (
	maxDomains = 256
	maxRanges  = 1 << 16
)

// unknownGTIDs stands for a state that nobody asked for.
const unknownGTIDs = "?"

// errGTIDs reports a state that no server writes.
var errGTIDs = errors.New("the GTIDs are not of the form that servers write")

// parseGTIDs reads a state as a server gives it. Spaces and line breaks between
// its parts mean nothing.
func parseGTIDs(text string) (gtidState, error) {
	var out gtidState
	if text == unknownGTIDs {
		return gtidState{unknown: true}, nil
	}
	n := 0
	for t := range strings.SplitSeq(text, ",") {
		t = strings.TrimSpace(t)
		if t == "" {
			continue
		}
		if n++; n > maxDomains {
			return out, fmt.Errorf("GTIDs of more than %d domains or servers", maxDomains)
		}
		if strings.Contains(t, ":") {
			if err := out.parseSet(t); err != nil {
				return gtidState{}, err
			}
			continue
		}
		g, err := parseGTID(t)
		if err != nil {
			return gtidState{}, err
		}
		out.set(g)
	}
	if len(out.last) > 0 && len(out.sets) > 0 {
		return gtidState{}, errGTIDs
	}
	return out, nil
}

// parseSet adds "uuid:1-5:7".
func (s *gtidState) parseSet(text string) error {
	name, rest, _ := strings.Cut(text, ":")
	id, err := parseUUID(name)
	if err != nil {
		return err
	}
	for part := range strings.SplitSeq(rest, ":") {
		first, last, ok := strings.Cut(part, "-")
		if !ok {
			last = first
		}
		n := numbers{}
		r := seqRange{n.read(first, 63), n.read(last, 63)}
		if n.err != nil || r.first == 0 || r.last < r.first {
			return fmt.Errorf("%w: %q", errGTIDs, clip(part, 60))
		}
		if !s.addRange(id, r) {
			return fmt.Errorf("%w: more than %d gaps", errGTIDs, maxRanges)
		}
	}
	return nil
}

// of returns the set of a server, a new one when there is none.
func (s *gtidState) of(id uuid) *uuidSet {
	i, found := slices.BinarySearchFunc(s.sets, id, func(x uuidSet, id uuid) int { return slices.Compare(x.uuid[:], id[:]) })
	if !found {
		s.sets = slices.Insert(s.sets, i, uuidSet{uuid: id})
	}
	return &s.sets[i]
}

// addRange adds numbers and joins what touches; false when there are too many
// gaps.
func (s *gtidState) addRange(id uuid, r seqRange) bool {
	set := s.of(id)
	// The ranges from lo to hi touch r.
	lo, _ := slices.BinarySearchFunc(set.ranges, r.first, func(x seqRange, first uint64) int {
		if x.last+1 < first {
			return -1
		}
		return 1
	})
	hi := lo
	for hi < len(set.ranges) && set.ranges[hi].first <= r.last+1 {
		r.first, r.last = min(r.first, set.ranges[hi].first), max(r.last, set.ranges[hi].last)
		hi++
	}
	set.ranges = slices.Replace(set.ranges, lo, hi, r)
	return len(set.ranges) <= maxRanges
}

// set adds a transaction to the state: it is the last of its domain.
func (s *gtidState) set(g gtid) {
	switch {
	case s.unknown || g == gtid{}:
		return
	case g.uuid != uuid{}:
		s.addRange(g.uuid, seqRange{g.seq, g.seq})
		return
	}
	i, found := slices.BinarySearchFunc(s.last, g.domain, func(x gtid, d uint32) int { return int(int64(x.domain) - int64(d)) })
	if found {
		s.last[i] = g
		return
	}
	s.last = slices.Insert(s.last, i, g)
}

// clone returns a state that does not change with s.
func (s gtidState) clone() gtidState {
	out := gtidState{last: slices.Clone(s.last), sets: slices.Clone(s.sets), unknown: s.unknown}
	for i := range out.sets {
		out.sets[i].ranges = slices.Clone(out.sets[i].ranges)
	}
	return out
}

// empty reports whether nothing is known to be in the log.
func (s gtidState) empty() bool { return len(s.last) == 0 && len(s.sets) == 0 }

// has reports whether a MySQL's set has every transaction of other.
func (s gtidState) has(other gtidState) bool {
	ranges := map[uuid][]seqRange{}
	for _, x := range s.sets {
		ranges[x.uuid] = x.ranges
	}
	for _, o := range other.sets {
		for _, r := range o.ranges {
			if !slices.ContainsFunc(ranges[o.uuid], func(m seqRange) bool { return m.first <= r.first && r.last <= m.last }) {
				return false
			}
		}
	}
	return true
}

func (s gtidState) String() string {
	if s.unknown {
		return unknownGTIDs
	}
	var b strings.Builder
	for i, g := range s.last {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(g.String())
	}
	for i, set := range s.sets {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(set.uuid.String())
		for _, r := range set.ranges {
			b.WriteByte(':')
			b.WriteString(strconv.FormatUint(r.first, 10))
			if r.last > r.first {
				b.WriteByte('-')
				b.WriteString(strconv.FormatUint(r.last, 10))
			}
		}
	}
	return b.String()
}
