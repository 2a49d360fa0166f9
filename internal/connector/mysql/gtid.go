package mysql

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// gtid is MariaDB's name of a transaction.
type gtid struct {
	domain, server uint32
	seq            uint64
}

func (g gtid) String() string {
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
	g := gtid{uint32(n.read(f[0], 32)), uint32(n.read(f[1], 32)), n.read(f[2], 64)}
	return g, n.err
}

// gtidState is the last GTID of each domain, sorted by domain.
type gtidState []gtid

// maxDomains bounds a state that is read from text.
const maxDomains = 256

func parseGTIDs(text string) (gtidState, error) {
	var out gtidState
	for t := range strings.SplitSeq(text, ",") {
		t = strings.TrimSpace(t)
		if t == "" {
			continue
		}
		g, err := parseGTID(t)
		if err != nil {
			return nil, err
		}
		if len(out) == maxDomains {
			return nil, fmt.Errorf("more than %d GTID domains", maxDomains)
		}
		out.set(g)
	}
	return out, nil
}

// set makes g the last of its domain.
func (s *gtidState) set(g gtid) {
	i, found := slices.BinarySearchFunc(*s, g.domain, func(x gtid, d uint32) int { return int(int64(x.domain) - int64(d)) })
	if found {
		(*s)[i] = g
		return
	}
	*s = slices.Insert(*s, i, g)
}

func (s gtidState) String() string {
	var b strings.Builder
	for i, g := range s {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(g.String())
	}
	return b.String()
}
