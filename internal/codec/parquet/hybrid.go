package parquet

import "encoding/binary"

// leastRun is from how many equal indexes on they are written as a run.
const leastRun = 16

// appendIndexes appends indexes of a dictionary in the format's hybrid of runs and
// packed bits; width is how many bits each has.
func appendIndexes(b []byte, all []uint16, width int) []byte {
	first := 0 // of those not written yet
	for i := 0; i < len(all); {
		n := 1
		for i+n < len(all) && all[i+n] == all[i] {
			n++
		}
		if pad := (8 - (i-first)%8) % 8; n >= leastRun+pad {
			b = appendPacked(b, all[first:i+pad], width)
			b = appendRun(b, uint64(all[i]), n-pad, width)
			first = i + n
		}
		i += n
	}
	return appendPacked(b, all[first:], width)
}

func appendRun(b []byte, v uint64, n, width int) []byte {
	b = binary.AppendUvarint(b, uint64(n)<<1)
	for k := 0; k < width; k += 8 {
		b = append(b, byte(v>>k))
	}
	return b
}

// appendPacked appends groups of eight; the last one is filled with zeros.
func appendPacked(b []byte, all []uint16, width int) []byte {
	if len(all) == 0 {
		return b
	}
	groups := (len(all) + 7) / 8
	b = binary.AppendUvarint(b, uint64(groups)<<1|1)
	acc, have, end := uint64(0), 0, len(b)+groups*width
	for _, v := range all {
		acc |= uint64(v) << have
		have += width
		for have >= 8 {
			b = append(b, byte(acc))
			acc >>= 8
			have -= 8
		}
	}
	if have > 0 {
		b = append(b, byte(acc))
	}
	for len(b) < end {
		b = append(b, 0)
	}
	return b
}
