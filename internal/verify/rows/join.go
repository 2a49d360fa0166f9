package rows

import "errors"

// deepest is how often a part is divided again that does not fit into memory; what is
// still larger then is of very few ids.
const deepest = 4

// share is the part of the memory ceiling that a part on disk may have: in memory it
// takes several times as much.
const share = 16

// pair is what both sides have under one id.
type pair struct {
	source, target state
	mark           int // of the source's row; -1: it has none
	fold           *fold
}

// join brings both sides together, part by part, and keeps the ids that are not equal.
func (v *comparison) join(source, target *spill, depth int, suspects *part) error {
	for i := range source.parts {
		a, b := &source.parts[i], &target.parts[i]
		if depth == 0 && !v.buckets.anyOpen(i) {
			if err := errors.Join(a.close(), b.close()); err != nil {
				return err
			}
			continue
		}
		if depth < deepest && a.size+b.size > v.Memory/share {
			if err := v.divide(a, b, depth+1, suspects); err != nil {
				return err
			}
			continue
		}
		if err := v.joinPart(a, b, suspects); err != nil {
			return err
		}
		if err := errors.Join(a.close(), b.close()); err != nil {
			return err
		}
	}
	return nil
}

// divide joins parts that are too large, after they are divided again.
func (v *comparison) divide(a, b *part, depth int, suspects *part) (err error) {
	source, target := newSpill(v.Folder, depth), newSpill(v.Folder, depth)
	defer func() { err = errors.Join(err, source.close(), target.close()) }()
	if err := errors.Join(a.each(v.onlyOpen(source.add)), a.close(), b.each(v.onlyOpen(target.add)), b.close()); err != nil {
		return err
	}
	return v.join(source, target, depth, suspects)
}

// onlyOpen is do for records of rows that may differ.
func (v *comparison) onlyOpen(do func(id, rest []byte) error) func(id, rest []byte) error {
	if v.buckets == nil {
		return do
	}
	return func(id, rest []byte) error {
		if !v.buckets.isOpen(id) {
			return nil
		}
		return do(id, rest)
	}
}

func (v *comparison) joinPart(a, b *part, suspects *part) (err error) {
	pairs := map[string]*pair{}
	var places *placesApart
	if v.History && len(v.stored.Key) > 0 && b.size > v.Memory/share { // a row with very many changes
		places = &placesApart{spill: newSpill(v.Folder, 0)}
		defer func() { err = errors.Join(err, places.close()) }()
	}
	at := func(id []byte) *pair {
		p := pairs[string(id)]
		if p == nil {
			p = &pair{mark: -1}
			pairs[string(id)] = p
		}
		return p
	}
	err = a.each(v.onlyOpen(func(id, rest []byte) error {
		p := at(id)
		p.source.n, p.source.sum, p.mark = p.source.n+1, p.source.sum.plus(readSum(rest)), mark(rest)
		return nil
	}))
	if err != nil {
		return err
	}
	err = b.each(v.onlyOpen(func(id, rest []byte) error {
		p := at(id)
		if !v.History {
			p.target.n, p.target.sum = p.target.n+1, p.target.sum.plus(readSum(rest))
			return nil
		}
		if p.fold == nil {
			p.fold = v.newFold(p.mark)
			p.fold.apart = places != nil
		}
		e := readEntry(rest, len(v.stored.Columns))
		if p.fold.add(e) && places != nil {
			return places.add(id, e.pos)
		}
		return nil
	}))
	if err == nil && places != nil {
		err = places.again(func(id, pos []byte) {
			f := pairs[string(id)].fold
			f.again = append(f.again, string(pos))
		})
	}
	if err != nil {
		return err
	}
	for id, p := range pairs {
		if p.fold != nil {
			p.target = p.fold.state(v.sums)
		}
		if p.source.same(&p.target) {
			v.report.Equal += p.source.n
			continue
		}
		if err := suspects.add([]byte(id), nil); err != nil {
			return err
		}
	}
	return nil
}

// newFold folds up to the mark of that index; without one, as the source has no such
// row, up to the last one.
func (v *comparison) newFold(mark int) *fold {
	to := v.end
	if mark >= 0 {
		to = v.bounds[mark]
	}
	return &fold{keyed: len(v.stored.Key) > 0, bound: to, after: v.emptied.before(to)}
}

// placesApart keeps the places of entries, of rows that have too many for memory, so that
// those that are alike are together.
type placesApart struct {
	*spill
	key []byte
}

func (p *placesApart) add(id, pos []byte) error {
	p.key = append(append(append(p.key[:0], byte(len(pos))), pos...), id...)
	return p.spill.add(p.key, nil)
}

// again calls visit with each that is there once more.
func (p *placesApart) again(visit func(id, pos []byte)) error {
	for i := range p.parts {
		seen := map[string]bool{}
		err := p.parts[i].each(func(key, _ []byte) error {
			if n := 1 + int(key[0]); seen[string(key)] {
				visit(key[n:], key[1:n])
			}
			seen[string(key)] = true
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
