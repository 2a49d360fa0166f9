package powerfs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path"
	"sort"
	"strings"
	"syscall"
	"time"

	"godwit/internal/store/local"
)

// FS is a process's view of a Disk. It implements local.FS and is safe for
// concurrent use.
type FS struct {
	d      *Disk
	steps  []Step
	faults []*Fault
	before func(Step)
	dead   bool
}

var _ local.FS = (*FS)(nil)

// Inject adds a fault.
func (p *FS) Inject(f *Fault) {
	p.d.mu.Lock()
	defer p.d.mu.Unlock()
	p.faults = append(p.faults, f)
}

// Reached says whether a step failed by f, and which.
func (p *FS) Reached(f *Fault) (Step, bool) {
	p.d.mu.Lock()
	defer p.d.mu.Unlock()
	return f.step, f.reached
}

// Steps returns the steps so far that change something.
func (p *FS) Steps() []Step {
	p.d.mu.Lock()
	defer p.d.mu.Unlock()
	return append([]Step(nil), p.steps...)
}

// Before has call called before every step, also those that only look, while no
// lock is held: a test can let processes wait for each other in it.
func (p *FS) Before(call func(Step)) {
	p.d.mu.Lock()
	defer p.d.mu.Unlock()
	p.before = call
}

// Kill ends the process: all it does from now on fails with ErrDead and has no
// effect, its locks are free. What it did stays, synced or not.
func (p *FS) Kill() {
	p.d.mu.Lock()
	defer p.d.mu.Unlock()
	p.dead = true
}

// do takes a step. effect gets true for a torn write.
func (p *FS) do(op Op, name string, effect func(torn bool) error) error {
	d := p.d
	d.mu.Lock()
	if call := p.before; call != nil {
		s := Step{N: len(p.steps), Op: op, Path: name}
		d.mu.Unlock()
		call(s)
		d.mu.Lock()
	}
	defer d.mu.Unlock()
	if d.off {
		return failed(op, name, ErrOff)
	}
	if p.dead {
		return failed(op, name, ErrDead)
	}
	s := Step{N: len(p.steps), Op: op, Path: name}
	if !op.looks() {
		p.steps = append(p.steps, s)
	}
	f := p.fault(s)
	if f == nil {
		return failed(op, name, effect(false))
	}
	p.dead = p.dead || f.Dies
	if f.Torn && op == Write {
		_ = effect(true)
	} else if f.After {
		if err := effect(false); err != nil && !f.Dies {
			return failed(op, name, err)
		}
	}
	return failed(op, name, f.err())
}

func (p *FS) fault(s Step) (found *Fault) {
	for _, f := range p.faults {
		if f.hit(s) && found == nil {
			found = f
		}
	}
	return found
}

func failed(op Op, name string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &fs.PathError{Op: string(op), Path: name, Err: err}
}

// OpenRoot implements local.FS.
func (p *FS) OpenRoot(name string) (local.Root, error) {
	r := &root{p: p, path: name}
	err := p.do(OpenRoot, name, func(bool) error {
		n, err := p.d.find(p.d.root, name)
		if err == nil && !n.isDir() {
			err = syscall.ENOTDIR
		}
		r.n = n
		return err
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Mkdir implements local.FS.
func (p *FS) Mkdir(name string) error {
	return p.do(Mkdir, name, func(bool) error { return p.d.mkdir(p.d.root, name) })
}

// SyncDir implements local.FS.
func (p *FS) SyncDir(name string) error {
	return p.do(SyncDir, name, func(bool) error { return p.d.sync(p.d.root, name) })
}

// Open implements local.FS.
func (p *FS) Open(name string) (local.Reader, error) {
	return (&root{p: p, n: p.d.root, path: "/"}).Open(name)
}

func (d *Disk) find(at *node, name string) (*node, error) {
	for seg := range strings.SplitSeq(name, "/") {
		if seg == "" || seg == "." {
			continue
		}
		if !at.isDir() {
			return nil, syscall.ENOTDIR
		}
		if len(seg) > 255 {
			return nil, syscall.ENAMETOOLONG
		}
		if at = at.entries[d.spelt(at.entries, seg)]; at == nil {
			return nil, syscall.ENOENT
		}
	}
	return at, nil
}

// parent returns the folder that name is in, and its last part.
func (d *Disk) parent(at *node, name string) (*node, string, error) {
	base := path.Base(name)
	dir, err := d.find(at, path.Dir(name))
	switch {
	case err != nil:
		return nil, "", err
	case !dir.isDir():
		return nil, "", syscall.ENOTDIR
	case len(base) > 255:
		return nil, "", syscall.ENAMETOOLONG
	}
	return dir, d.spelt(dir.entries, base), nil
}

func (d *Disk) mkdir(at *node, name string) error {
	dir, base, err := d.parent(at, name)
	if err != nil {
		return err
	}
	if base == "/" || base == "." || dir.entries[base] != nil {
		return syscall.EEXIST
	}
	d.set(dir, base, d.newNode(true), nil)
	return nil
}

func (d *Disk) sync(at *node, name string) error {
	n, err := d.find(at, name)
	if err == nil && !n.isDir() {
		err = syscall.ENOTDIR
	}
	if err == nil {
		d.syncDir(n)
	}
	return err
}

// root implements local.Root.
type root struct {
	p    *FS
	n    *node
	path string
}

func (r *root) do(op Op, name string, effect func() error) error {
	return r.p.do(op, path.Join(r.path, name), func(bool) error { return effect() })
}

func (r *root) Open(name string) (local.Reader, error) {
	f := &reader{p: r.p, path: path.Join(r.path, name)}
	err := r.do(Open, name, func() (err error) {
		f.n, err = r.p.d.find(r.n, name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (r *root) Create(name string) (local.Writer, error) {
	w := &writer{p: r.p, path: path.Join(r.path, name)}
	err := r.do(Create, name, func() error {
		dir, base, err := r.p.d.parent(r.n, name)
		if err != nil {
			return err
		}
		if dir.entries[base] != nil {
			return syscall.EEXIST
		}
		w.n = r.p.d.newNode(false)
		w.n.writer = w
		r.p.d.set(dir, base, w.n, nil)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return w, nil
}

func (r *root) OpenDir(name string) (local.Dir, error) {
	l := &dir{p: r.p, path: path.Join(r.path, name)}
	err := r.do(Open, name, func() (err error) {
		l.n, err = r.p.d.find(r.n, name)
		if err == nil && !l.n.isDir() {
			err = syscall.ENOTDIR
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

func (r *root) Stat(name string) (i local.Info, err error) {
	err = r.do(Stat, name, func() error {
		n, err := r.p.d.find(r.n, name)
		if err == nil {
			i = info(n)
		}
		return err
	})
	return i, err
}

func info(n *node) local.Info {
	i := local.Info{Mode: 0o644, Size: int64(len(n.data)), Modified: timeOf(n.modified), Device: 1, Node: n.id}
	if n.isDir() {
		i.Mode = fs.ModeDir | 0o755
	}
	if n.marks.Mode != nil {
		i.Mode = i.Mode.Type() | n.marks.Mode.Perm()
	}
	if n.marks.Owner != nil {
		i.Owner = *n.marks.Owner
	}
	if !n.marks.Modified.IsZero() {
		i.Modified = n.marks.Modified
	}
	return i
}

func (r *root) Mkdir(name string) error {
	return r.do(Mkdir, name, func() error { return r.p.d.mkdir(r.n, name) })
}

func (r *root) Link(from, to string) error {
	return r.do(Link, to, func() error {
		if r.p.d.without&Links != 0 {
			return errors.ErrUnsupported
		}
		n, err := r.p.d.find(r.n, from)
		if err != nil {
			return err
		}
		dir, base, err := r.p.d.parent(r.n, to)
		switch {
		case err != nil:
			return err
		case n.isDir():
			return syscall.EPERM
		case dir.entries[base] != nil:
			return syscall.EEXIST
		}
		r.p.d.set(dir, base, n, nil)
		return nil
	})
}

func (r *root) Rename(from, to string) error {
	return r.do(Rename, to, func() error { return r.move(from, to, false) })
}

func (r *root) RenameNew(from, to string) error {
	return r.do(RenameNew, to, func() error {
		if r.p.d.without&ExclusiveMove != 0 {
			return errors.ErrUnsupported
		}
		return r.move(from, to, true)
	})
}

func (r *root) move(from, to string, exclusive bool) error {
	src, old, err := r.p.d.parent(r.n, from)
	if err != nil {
		return err
	}
	dst, base, err := r.p.d.parent(r.n, to)
	if err != nil {
		return err
	}
	n, there := src.entries[old], dst.entries[base]
	switch {
	case n == nil:
		return syscall.ENOENT
	case n.isDir():
		return syscall.EISDIR
	case exclusive && there != nil:
		return syscall.EEXIST
	case there == n: // two names of one file: nothing happens, as on any system
		return nil
	case there != nil && there.isDir():
		return syscall.EISDIR
	}
	r.p.d.set(src, old, nil, r.p.d.set(dst, base, n, nil))
	return nil
}

func (r *root) Remove(name string) error {
	return r.do(Remove, name, func() error { return r.remove(name) })
}

func (r *root) remove(name string) error {
	dir, base, err := r.p.d.parent(r.n, name)
	if err != nil {
		return err
	}
	n := dir.entries[base]
	if n == nil {
		return syscall.ENOENT
	}
	if n.isDir() {
		return syscall.EISDIR
	}
	r.p.d.set(dir, base, nil, nil)
	return nil
}

func (r *root) Reap(name string) (gone bool, err error) {
	err = r.do(Reap, name, func() error {
		n, err := r.p.d.find(r.n, name)
		if err != nil || r.p.d.without&Locks != 0 {
			return err
		}
		if w := n.writer; w != nil && !w.closed && !w.p.dead {
			return nil
		}
		gone = true
		return r.remove(name)
	})
	return gone, err
}

func (r *root) SyncDir(name string) error {
	return r.do(SyncDir, name, func() error { return r.p.d.sync(r.n, name) })
}

func (r *root) SyncAll() error {
	return r.do(SyncAll, ".", func() error {
		if r.p.d.without&WholeSync != 0 {
			return errors.ErrUnsupported
		}
		r.p.d.syncAll(r.p.d.root)
		return nil
	})
}

func (r *root) RemoveDir(name string) error {
	return r.do(RemoveDir, name, func() error {
		dir, base, err := r.p.d.parent(r.n, name)
		if err != nil {
			return err
		}
		n := dir.entries[base]
		switch {
		case n == nil:
			return syscall.ENOENT
		case !n.isDir():
			return syscall.ENOTDIR
		case len(n.entries) > 0:
			return syscall.ENOTEMPTY
		}
		r.p.d.set(dir, base, nil, nil)
		return nil
	})
}

// Append implements local.Root.
func (r *root) Append(name string) (local.Writer, error) { return r.write(name) }

// Edit implements local.Root.
func (r *root) Edit(name string) (local.Writer, error) { return r.write(name) }

func (r *root) write(name string) (local.Writer, error) {
	w := &writer{p: r.p, path: path.Join(r.path, name)}
	err := r.do(Open, name, func() (err error) {
		w.n, err = r.p.d.find(r.n, name)
		if err == nil && w.n.isDir() {
			err = syscall.EISDIR
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return w, nil
}

func (r *root) Close() error { return nil }

// writer implements local.Writer.
type writer struct {
	p      *FS
	n      *node
	path   string
	closed bool
}

func (w *writer) Write(b []byte) (int, error) { return w.write(b, -1) }

func (w *writer) WriteAt(b []byte, off int64) (int, error) { return w.write(b, off) }

// write writes at off, or where that is below zero at the end.
func (w *writer) write(b []byte, off int64) (n int, err error) {
	err = w.p.do(Write, w.path, func(torn bool) error {
		d := w.p.d
		if w.closed {
			return fs.ErrClosed
		}
		n = len(b)
		if torn {
			n /= 2
		}
		was := int64(len(w.n.data))
		at := off
		if at < 0 {
			at = was
		}
		var err error
		if grow := at + int64(n) - was; d.space >= 0 && grow > 0 && d.used+grow > d.space {
			n, err = int(max(int64(n)-(d.used+grow-d.space), 0)), syscall.ENOSPC
		}
		w.n.writeAt(b[:n], int(at))
		if w.n.links > 0 {
			d.used += int64(len(w.n.data)) - was
		}
		d.clock++
		w.n.modified, w.n.marks.Modified = d.clock, time.Time{}
		return err
	})
	return n, err
}

func (n *node) writeAt(b []byte, at int) {
	if at < n.synced && n.saved == nil && len(b) > 0 {
		n.saved = bytes.Clone(n.data[:n.synced])
	}
	if end := at + len(b); end > len(n.data) && len(b) > 0 {
		n.data = append(n.data, make([]byte, end-len(n.data))...)
	}
	copy(n.data[min(at, len(n.data)):], b)
}

func (w *writer) Sync() error {
	return w.p.do(Sync, w.path, func(bool) error {
		if w.closed {
			return fs.ErrClosed
		}
		w.n.sync()
		return nil
	})
}

func (w *writer) Mark(m local.Marks) error {
	return w.p.do(Mark, w.path, func(bool) error {
		if m.Mode != nil {
			mode := *m.Mode
			w.n.marks.Mode = &mode
		}
		if m.Owner != nil {
			owner := *m.Owner
			w.n.marks.Owner = &owner
		}
		if !m.Modified.IsZero() {
			w.n.marks.Modified = m.Modified
		}
		return nil
	})
}

func (w *writer) Stat() (i local.Info, err error) {
	err = w.p.do(Stat, w.path, func(bool) error { i = info(w.n); return nil })
	return i, err
}

func (w *writer) Close() error {
	w.p.d.mu.Lock()
	defer w.p.d.mu.Unlock()
	if w.closed {
		return fs.ErrClosed
	}
	w.closed = true
	return nil
}

// reader implements local.Reader.
type reader struct {
	p    *FS
	n    *node
	path string
	at   int64
}

func (r *reader) ReadAt(b []byte, off int64) (n int, err error) {
	err = r.p.do(Read, r.path, func(bool) error {
		if r.n.isDir() {
			return syscall.EISDIR
		}
		if off < int64(len(r.n.data)) {
			n = copy(b, r.n.data[off:])
		}
		if n < len(b) {
			return io.EOF
		}
		return nil
	})
	return n, err
}

func (r *reader) Read(b []byte) (int, error) {
	n, err := r.ReadAt(b, r.at)
	r.at += int64(n)
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}

func (r *reader) Stat() (i local.Info, err error) {
	err = r.p.do(Stat, r.path, func(bool) error { i = info(r.n); return nil })
	return i, err
}

func (r *reader) Close() error { return nil }

// dir implements local.Dir. Entries come in an order that is not the one of names.
type dir struct {
	p     *FS
	n     *node
	path  string
	names []string
	begun bool
}

func (l *dir) Next(n int) (list []local.Entry, err error) {
	err = l.p.do(List, l.path, func(bool) error {
		if !l.begun {
			l.begun = true
			l.names = make([]string, 0, len(l.n.entries))
			for name := range l.n.entries {
				l.names = append(l.names, name)
			}
			sort.Sort(sort.Reverse(sort.StringSlice(l.names)))
		}
		if len(l.names) == 0 {
			return io.EOF
		}
		for ; len(l.names) > 0 && len(list) < n; l.names = l.names[1:] {
			e := local.Entry{Name: l.names[0]}
			if f := l.n.entries[e.Name]; f == nil {
				continue
			} else if f.isDir() {
				e.Type = fs.ModeDir
			}
			list = append(list, e)
		}
		return nil
	})
	return list, err
}

func (l *dir) Rewind() error {
	l.begun = false
	return nil
}

func (l *dir) Stat(name string) (i local.Info, err error) {
	err = l.p.do(Stat, path.Join(l.path, name), func(bool) error {
		f := l.n.entries[l.p.d.spelt(l.n.entries, name)]
		if f == nil {
			return syscall.ENOENT
		}
		i = info(f)
		return nil
	})
	return i, err
}

func (l *dir) Close() error { return nil }
