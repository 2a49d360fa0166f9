// Package powerfs is a file system in memory that models a disk whose power is
// cut: bytes are durable after Sync of their file, entries after SyncDir of their
// folder, and of everything else any part may be there afterwards. Processes use
// one Disk at the same time, fail where told to, and die.
package powerfs

import (
	"errors"
	"math/rand/v2"
	"sort"
	"sync"
	"time"

	"godwit/internal/store/local"
)

// Errors of handles that outlived what they belong to.
var (
	ErrOff  = errors.New("the power was cut")
	ErrDead = errors.New("the process is dead")
)

// Disk is the disk. It is safe for concurrent use.
type Disk struct {
	mu      sync.Mutex
	root    *node
	pending []*change // entries not yet durable, oldest first
	nodes   uint64
	clock   int64 // microseconds since the disk was made; every change takes one
	space   int64 // bytes that files may hold; below zero: no limit
	used    int64
	without Feature
	names   Names
	off     bool
}

// Names say how a file system treats names. The zero Names keep all apart, as they
// are.
type Names struct {
	// Fold makes names one for which it returns the same. An entry keeps the
	// spelling it was made with, also when a file is moved over it.
	Fold func(string) string
	// Keep returns how a new entry is spelt.
	Keep func(string) string
}

// Feature is something a file system may lack.
type Feature uint8

// Features.
const (
	Links         Feature = 1 << iota // link(2)
	ExclusiveMove                     // rename without replacing
	Locks                             // telling whether the creator of a file lives
	WholeSync                         // making everything durable at once
)

// node is a file or a folder.
type node struct {
	id       uint64
	modified int64
	links    int

	entries map[string]*node // of a folder; nil: a file
	durable map[string]*node

	data   []byte
	synced int    // so many bytes of data are durable
	saved  []byte // not nil: what of them the disk has, where they were overwritten since
	writer *writer
	marks  local.Marks
}

func (n *node) isDir() bool { return n.entries != nil }

// change is one entry set or removed (to is nil) since its folder was synced.
type change struct {
	dir   *node
	name  string
	to    *node
	needs *change // a move: the old name goes only with the new one there
	asked bool    // its folder was synced
	done  bool    // durable
}

// New returns an empty disk with a folder "/".
func New() *Disk {
	d := &Disk{space: -1}
	d.root = d.newNode(true)
	return d
}

func (d *Disk) newNode(dir bool) *node {
	d.nodes++
	d.clock++
	n := &node{id: d.nodes, modified: d.clock}
	if dir {
		n.entries, n.durable = map[string]*node{}, map[string]*node{}
	}
	return n
}

func timeOf(clock int64) time.Time {
	return time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC).Add(time.Duration(clock) * time.Microsecond)
}

// SetSpace lets files hold so many bytes more; a write beyond that is done in part
// and fails with ENOSPC. Below zero: no limit.
func (d *Disk) SetSpace(bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.space = bytes
	if bytes >= 0 {
		d.space = d.used + bytes
	}
}

// Without takes features away.
func (d *Disk) Without(f Feature) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.without = f
}

// Name makes the disk treat names otherwise. It is to be called before there are any.
func (d *Disk) Name(n Names) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.names = n
}

// spelt returns how name is spelt among entries, or would be as a new one.
func (d *Disk) spelt(entries map[string]*node, name string) string {
	if entries[name] != nil {
		return name
	}
	if d.names.Fold != nil {
		for has := range entries {
			if d.names.Fold(has) == d.names.Fold(name) {
				return has
			}
		}
	}
	if d.names.Keep != nil {
		return d.names.Keep(name)
	}
	return name
}

// Process returns a process's view of the disk.
func (d *Disk) Process() *FS { return &FS{d: d} }

// Pass lets time pass: files written to later are that much younger.
func (d *Disk) Pass(t time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clock += t.Microseconds()
}

// Crash cuts the power and returns the disk as it could look afterwards, drawn by
// rng. Everything open on the old one fails from now on.
func (d *Disk) Crash(rng *rand.Rand) *Disk {
	after := d.Sample(rng)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off = true
	return after
}

// Sample returns the disk as it could look if the power were cut now, and leaves
// this one as it is.
func (d *Disk) Sample(rng *rand.Rand) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := &crash{rng: rng, kept: map[*node][]*change{}, memo: map[*node]*node{}}
	kept := d.survivors(rng)
	for _, ch := range d.pending {
		if kept[ch] {
			c.kept[ch.dir] = append(c.kept[ch.dir], ch)
		}
	}
	c.tail = tail(rng.IntN(int(tailKinds)))
	after := &Disk{space: -1, nodes: d.nodes, clock: d.clock, without: d.without, names: d.names}
	if d.space >= 0 {
		after.space = d.space
	}
	after.root = c.copy(d.root, after)
	return after
}

// set changes an entry, now and in the list of what is not durable.
func (d *Disk) set(dir *node, name string, to *node, needs *change) *change {
	if was := dir.entries[name]; was != nil {
		d.unlinked(was)
	}
	d.clock++
	dir.modified = d.clock
	if to == nil {
		delete(dir.entries, name)
	} else {
		dir.entries[name] = to
		to.links++
	}
	c := &change{dir: dir, name: name, to: to, needs: needs}
	d.pending = append(d.pending, c)
	return c
}

func (d *Disk) unlinked(n *node) {
	n.links--
	if n.links == 0 && !n.isDir() {
		d.used -= int64(len(n.data))
	}
}

// syncAll makes everything durable.
func (d *Disk) syncAll(at *node) {
	if !at.isDir() {
		at.sync()
		return
	}
	for _, n := range at.entries {
		d.syncAll(n)
	}
	d.syncDir(at)
}

func (n *node) sync() { n.synced, n.saved = len(n.data), nil }

// syncDir makes the entries of dir durable, but the old name of a file that moved
// away only with the new one: one of them is always there.
func (d *Disk) syncDir(dir *node) {
	for _, c := range d.pending {
		if c.dir == dir {
			c.asked = true
		}
	}
	for settled := true; settled; {
		settled = d.settle()
	}
	rest := d.pending[:0]
	for _, c := range d.pending {
		if !c.done {
			rest = append(rest, c)
		}
	}
	clear(d.pending[len(rest):])
	d.pending = rest
}

func (d *Disk) settle() (settled bool) {
	held := map[entry]bool{} // entries with an older change that is not durable
	for _, c := range d.pending {
		if c.done {
			continue
		}
		at := entry{c.dir, c.name}
		if !c.asked || held[at] || c.needs != nil && !c.needs.done {
			held[at] = true
			continue
		}
		c.done, settled = true, true
		keep(c.dir.durable, c)
	}
	return settled
}

func keep(entries map[string]*node, c *change) {
	if c.to == nil {
		delete(entries, c.name)
	} else {
		entries[c.name] = c.to
	}
}

type entry struct {
	dir  *node
	name string
}

// survivors chooses which changes that were not made durable are there after all:
// none, all, those before some moment (a journal in order), or for each entry
// those before a moment of its own.
func (d *Disk) survivors(rng *rand.Rand) map[*change]bool {
	kept := map[*change]bool{}
	until := 0
	switch rng.IntN(5) {
	case 0:
	case 1:
		until = len(d.pending)
	case 2:
		until = rng.IntN(len(d.pending) + 1)
	default:
		d.each(rng, kept)
		return kept
	}
	for _, c := range d.pending[:until] {
		kept[c] = true
	}
	return kept
}

func (d *Disk) each(rng *rand.Rand, kept map[*change]bool) {
	lost := map[entry]bool{}
	for _, c := range d.pending {
		at := entry{c.dir, c.name}
		lost[at] = lost[at] || rng.IntN(2) == 0
		kept[c] = !lost[at]
	}
	for again := true; again; {
		again = false
		clear(lost)
		for _, c := range d.pending {
			at := entry{c.dir, c.name}
			if c.needs != nil && !c.needs.done && !kept[c.needs] {
				lost[at] = true
			}
			if kept[c] && lost[at] {
				kept[c], again = false, true
			}
			lost[at] = lost[at] || !kept[c]
		}
	}
}

// crash copies what is left of a disk.
type crash struct {
	rng  *rand.Rand
	kept map[*node][]*change // by folder, oldest first
	memo map[*node]*node     // a file may have several names
	tail tail
}

func (c *crash) copy(n *node, to *Disk) *node {
	if m := c.memo[n]; m != nil {
		m.links++
		return m
	}
	m := &node{id: n.id, modified: n.modified, links: 1, marks: n.marks}
	c.memo[n] = m
	if !n.isDir() {
		m.data = c.contents(n)
		m.synced = len(m.data)
		to.used += int64(len(m.data))
		return m
	}
	left := map[string]*node{}
	for name, e := range n.durable {
		left[name] = e
	}
	for _, ch := range c.kept[n] {
		keep(left, ch)
	}
	m.entries, m.durable = map[string]*node{}, map[string]*node{}
	names := make([]string, 0, len(left))
	for name := range left {
		names = append(names, name)
	}
	sort.Strings(names) // the same draws for the same seed
	for _, name := range names {
		e := c.copy(left[name], to)
		m.entries[name], m.durable[name] = e, e
	}
	return m
}
