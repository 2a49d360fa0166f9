package s3

import (
	"context"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/minio/minio-go/v7"

	"godwit/internal/fault"
)

const (
	divideRequests = 48 // most requests of one Divide
	divideLanes    = 8  // at once
	divideFiner    = 3  // leaves are cut until there are so many times more than parts
	divideDeepest  = 24 // branchings on the way down
	heavyWeight    = 4 * pageKeys
	pageKeys       = 1000
	lastRune       = string(utf8.MaxRune) // nothing of use comes after it
)

// leaf is a set of keys that are neighbours: those that begin with head.
type leaf struct {
	head   string // relative
	weight int
	heavy  bool // there are more than weight says
	depth  int
}

// Divide implements store.Divider. It looks where the keys branch, in the manner
// of a prefix tree: a request that begins behind all keys with one letter at a
// place finds the next letter there, and counts what fits a page. So it does not
// matter whether keys are flat or in folders, or what they all begin with.
func (s *Store) Divide(ctx context.Context, prefix, after string, n int) ([]string, error) {
	if n < 2 || !listable(prefix, after) {
		return nil, nil
	}
	d := &divider{s: s, ctx: ctx, after: after}
	leaves := []leaf{{head: prefix, heavy: true}}
	for d.left = divideRequests; d.left > 0; {
		if enough(leaves, n) {
			break
		}
		finer, err := d.cut(leaves)
		if fault.Has(err, fault.NameRefused) { // no key can begin like this
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if len(finer) == len(leaves) && slices.EqualFunc(finer, leaves, func(a, b leaf) bool { return a.head == b.head && a.heavy == b.heavy }) {
			break
		}
		leaves = finer
	}
	return bounds(leaves, after, n), nil
}

func enough(leaves []leaf, n int) bool {
	heavy := 0
	for _, l := range leaves {
		if l.heavy {
			heavy++
		}
	}
	return heavy == 0 || heavy >= divideFiner*n
}

type divider struct {
	s     *Store
	ctx   context.Context
	after string
	left  int // requests
}

// cut replaces the heavy leaves nearest to the root by their branches.
func (d *divider) cut(leaves []leaf) ([]leaf, error) {
	top := divideDeepest
	for _, l := range leaves {
		if l.heavy {
			top = min(top, l.depth)
		}
	}
	branches := make([][]leaf, len(leaves))
	errs := make([]error, len(leaves))
	share := max(4, d.left/max(1, countAt(leaves, top)))
	lanes := make(chan struct{}, divideLanes)
	var all sync.WaitGroup
	for i, l := range leaves {
		if branches[i] = []leaf{l}; !l.heavy || l.depth != top || top == divideDeepest || d.left < 2 {
			continue
		}
		d.left -= share
		lanes <- struct{}{}
		all.Go(func() {
			defer func() { <-lanes }()
			branches[i], errs[i] = d.branch(l, share)
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return slices.Concat(branches...), nil
}

func countAt(leaves []leaf, depth int) int {
	n := 0
	for _, l := range leaves {
		if l.heavy && l.depth == depth {
			n++
		}
	}
	return n
}

// branch finds the branches of a leaf with at most about share requests. When
// they do not suffice the last branch stands for the rest.
func (d *divider) branch(l leaf, share int) ([]leaf, error) {
	keys, more, err := d.page(l.head, d.after)
	if err != nil {
		return nil, err
	}
	if !more {
		return d.small(l, keys), nil
	}
	head, err := d.common(l.head, keys)
	if err != nil {
		return nil, err
	}
	var out []leaf
	for used := 2; ; used++ {
		var last leaf
		out, last = grouped(out, head, keys, l.depth+1)
		if !more {
			return out, nil
		}
		// The page may end inside its last branch: that one is heavy.
		out[len(out)-1].heavy = true
		if used >= share {
			return out, nil
		}
		if keys, more, err = d.page(head, last.head+lastRune); err != nil {
			return nil, err
		}
		if len(keys) == 0 {
			return out, nil
		}
	}
}

func (d *divider) small(l leaf, keys []string) []leaf {
	if len(keys) == 0 {
		return nil
	}
	// What fits a page is one leaf; it can be cut at any of its keys.
	return []leaf{{head: keys[0], weight: len(keys), depth: l.depth + 1}}
}

// grouped adds the branches that keys, all below head, belong to.
func grouped(out []leaf, head string, keys []string, depth int) ([]leaf, leaf) {
	for _, k := range keys {
		at := head
		if len(k) > len(head) {
			_, size := utf8.DecodeRuneInString(k[len(head):])
			at = k[:len(head)+size]
		}
		if len(out) > 0 && out[len(out)-1].head == at {
			out[len(out)-1].weight++
			continue
		}
		out = append(out, leaf{head: at, weight: 1, depth: depth})
	}
	return out, out[len(out)-1]
}

// common returns what all keys under head, of which keys are the first, begin
// with: nothing comes after all that begin with it.
func (d *divider) common(head string, keys []string) (string, error) {
	shared := keys[0]
	for !strings.HasPrefix(keys[len(keys)-1], shared) {
		_, size := utf8.DecodeLastRuneInString(shared)
		shared = shared[:len(shared)-size]
	}
	if len(shared) <= len(head) {
		return head, nil
	}
	// The keys of a page may share more than all do: find the longest that holds,
	// by halves.
	low, high := len(head), len(shared)
	for low < high {
		mid := (low + high + 1) / 2
		for mid < len(shared) && !utf8.RuneStart(shared[mid]) {
			mid++
		}
		none, err := d.nothingAfter(head, shared[:mid])
		if err != nil {
			return "", err
		}
		if none {
			low = mid
			continue
		}
		for high = mid - 1; high > low && !utf8.RuneStart(shared[high]); {
			high--
		}
	}
	return shared[:low], nil
}

func (d *divider) nothingAfter(head, begin string) (bool, error) {
	found, err := d.keys(head, begin+lastRune, 1)
	return len(found) == 0, err
}

// page returns the next keys, and whether there may be more.
func (d *divider) page(head, after string) ([]string, bool, error) {
	keys, err := d.keys(head, after, pageKeys)
	return keys, len(keys) == pageKeys, err
}

// keys returns up to n keys under head after after.
func (d *divider) keys(head, after string, n int) ([]string, error) {
	s := d.s
	if !listable(head, after) {
		return nil, nil
	}
	var keys []string
	err := s.call(d.ctx, act{what: actList}, s.limits.stall, func(t try) error {
		keys = keys[:0]
		o := s.listOptions(head, after)
		o.MaxKeys = n
		for i := range s.api.ListObjectsIter(t.ctx, s.at.bucket, o) {
			if i.Err != nil {
				return i.Err
			}
			if key := relative(s.at.prefix, i); key != "" {
				keys = append(keys, key)
			}
			if len(keys) == n {
				return nil
			}
		}
		return context.Cause(t.ctx)
	})
	return keys, err
}

func relative(prefix string, i minio.ObjectInfo) string {
	key, _ := strings.CutPrefix(i.Key, prefix)
	return key
}

// bounds chooses up to n-1 of the leaves' beginnings so that about as much lies
// between each two.
func bounds(leaves []leaf, after string, n int) []string {
	total := 0
	for i := range leaves {
		if leaves[i].heavy {
			leaves[i].weight = max(leaves[i].weight, heavyWeight)
		}
		total += leaves[i].weight
	}
	if total <= pageKeys {
		return nil
	}
	var out []string
	sum, last := 0, 0
	for _, l := range leaves {
		// The bound is the leaf's own beginning: a key that is just that goes left.
		if part := sum * n / total; part > last && l.head > after {
			out, last = append(out, l.head), part
		}
		sum += l.weight
	}
	return out
}
