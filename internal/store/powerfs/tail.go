package powerfs

import "bytes"

// tail is what may become of bytes that were written and not synced.
type tail uint8

const (
	tailAny     tail = iota // for each file something else
	tailAbsent              // the file ends before them
	tailWhole               // all there
	tailZero                // the length is there, the bytes are not
	tailPart                // the first of them
	tailPatched             // some blocks are there, others are zero
	tailKinds
)

const block = 64 // small, so that small files of tests are torn too

func (c *crash) contents(n *node) []byte {
	fresh := n.data[n.synced:]
	out := bytes.Clone(n.data[:n.synced])
	if len(fresh) == 0 && n.saved == nil {
		return out
	}
	kind := c.tail
	if kind == tailAny {
		kind = tailAbsent + tail(c.rng.IntN(int(tailKinds-tailAbsent)))
	}
	c.restore(out, n.saved, kind)
	if len(fresh) == 0 {
		return out
	}
	switch kind {
	case tailWhole:
		return append(out, fresh...)
	case tailZero:
		return append(out, make([]byte, 1+c.rng.IntN(len(fresh)))...)
	case tailPart:
		return append(out, fresh[:c.rng.IntN(len(fresh)+1)]...)
	case tailPatched:
		for len(fresh) > 0 {
			k := min(block, len(fresh))
			if c.rng.IntN(2) == 0 {
				out = append(out, fresh[:k]...)
			} else {
				out = append(out, make([]byte, k)...)
			}
			fresh = fresh[k:]
		}
	}
	return out
}

// restore puts back what the disk had of bytes overwritten and not synced: of all
// blocks, of none, or of some.
func (c *crash) restore(out, saved []byte, kind tail) {
	for at := 0; at < len(saved); at += block {
		if kind == tailAbsent || kind != tailWhole && c.rng.IntN(2) == 0 {
			copy(out[at:], saved[at:min(at+block, len(saved))])
		}
	}
}
