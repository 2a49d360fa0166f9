package local

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"unicode/utf8"
)

// What Divide reads at most.
const (
	divideFolders = 32
	divideNames   = 1 << 20 // of one folder; those after them are not looked at
	divideKept    = 4096    // of one folder, drawn by chance
)

// Divide implements store.Divider. It reads a few dozen folders, the first ones
// from the top, each once, and takes all folders it has not read for as long as
// those it has.
func (s *Store) Divide(ctx context.Context, prefix, after string, n int) ([]string, error) {
	dir, ok := s.listed(prefix)
	if !ok || n < 2 {
		return nil, nil
	}
	root, err := s.open()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, s.fail("list", "", err)
	}
	d := &divider{l: &lister{ctx: ctx, s: s, root: root, prefix: prefix, after: after}, rng: rand.New(rand.NewPCG(1, 1))}
	if err := d.read(dir); err != nil {
		return nil, err
	}
	return d.cuts(n), nil
}

type divider struct {
	l      *lister
	rng    *rand.Rand
	places []place
}

// place is where keys may be cut: after a file, or before a folder that is not
// read. It stands for weight keys; below zero: as many as a folder has.
type place struct {
	key    string
	weight float64
}

// read reads dir and folders below it, those nearest to the top first.
func (d *divider) read(dir string) error {
	level := []string{dir}
	files, folders := 0, 0 // of the folders read, for what the others may have
	for left := divideFolders; left > 0 && len(level) > 0; {
		var below []string
		for i, dir := range level {
			if left == 0 {
				d.places = append(d.places, unread(level[i:])...)
				break
			}
			left--
			seen, subs, err := d.folder(dir)
			if err != nil {
				return err
			}
			files, folders, below = files+seen, folders+1, append(below, subs...)
		}
		d.rng.Shuffle(len(below), func(i, j int) { below[i], below[j] = below[j], below[i] })
		level = below
		if left == 0 {
			d.places = append(d.places, unread(below)...)
		}
	}
	each := max(float64(files)/float64(max(folders, 1)), 1)
	for i := range d.places {
		if d.places[i].weight < 0 {
			d.places[i].weight = each
		}
	}
	slices.SortFunc(d.places, func(a, b place) int { return strings.Compare(a.key, b.key) })
	return nil
}

func unread(dirs []string) (out []place) {
	for _, dir := range dirs {
		out = append(out, place{dir, -1})
	}
	return out
}

// folder takes the files of dir for places, and returns how many there are, and
// its folders. Of more than fit a sample is kept.
func (d *divider) folder(dir string) (files int, subs []string, err error) {
	f, err := d.l.root.OpenDir(nameOf(dir))
	if err != nil {
		return 0, nil, nil // the listing will say why
	}
	defer f.Close()
	var names []string
	folders := 0
	for seen := 0; seen < divideNames; {
		if d.l.ctx.Err() != nil {
			return 0, nil, context.Cause(d.l.ctx)
		}
		batch, err := f.Next(1024)
		if err == io.EOF {
			break
		}
		if err != nil {
			return 0, nil, d.l.s.fail("list", nameOf(dir), err)
		}
		seen += len(batch)
		for _, e := range batch {
			full := dir + e.Name
			switch {
			case e.Type.IsDir() && d.l.wanted(full+"/", true):
				folders++
				subs = d.keep(subs, folders, full+"/")
			case !e.Type.IsDir() && d.l.wanted(full, false):
				files++
				names = d.keep(names, files, full)
			}
		}
	}
	for _, name := range names {
		d.places = append(d.places, place{name, float64(files) / float64(len(names))})
	}
	return files, subs, nil
}

// keep adds one to a sample in which each of the seen so far is as likely.
func (d *divider) keep(sample []string, seen int, one string) []string {
	if len(sample) < divideKept {
		return append(sample, one)
	}
	if i := d.rng.IntN(seen); i < divideKept {
		sample[i] = one
	}
	return sample
}

// cuts returns the keys nearest to n equal parts.
func (d *divider) cuts(n int) (out []string) {
	total, sum := 0.0, 0.0
	for _, p := range d.places {
		total += p.weight
	}
	part := total / float64(n)
	next := part
	last := len(d.places) - 1
	for i, p := range d.places {
		folder := strings.HasSuffix(p.key, "/")
		at := sum // what lies before a cut here
		if sum += p.weight; !folder {
			at = sum
		}
		due := at+part/2 >= next && (folder || i < last)
		fits := p.key > d.l.after && strings.HasPrefix(p.key, d.l.prefix) && utf8.ValidString(p.key)
		if at > 0 && due && fits && len(out) < n-1 {
			out = append(out, p.key)
			for next <= at+part/2 {
				next += part
			}
		}
	}
	return out
}

// listed returns the folder that keys which begin with prefix are below; false:
// there can be none.
func (s *Store) listed(prefix string) (string, bool) {
	i := strings.LastIndexByte(prefix, '/')
	if i < 0 {
		return "", true
	}
	if dir := prefix[:i]; badKey(dir) != "" || s.reserved(dir) {
		return "", false
	}
	return prefix[:i+1], true
}

// nameOf returns the name of a folder that is empty or ends with "/".
func nameOf(dir string) string {
	if dir == "" {
		return "."
	}
	return strings.TrimSuffix(dir, "/")
}
