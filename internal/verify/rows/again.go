package rows

import (
	"context"
	"time"

	"godwit/internal/fault"
)

// attempts bounds how often one thing is read that breaks in passing: for about two
// minutes, as long as a task of a job is tried.
const attempts = 10

// again reads something until it does not break in passing (fault.Retry). read begins anew
// each time, and keeps nothing of what it read before.
func (v *comparison) again(ctx context.Context, read func() error) error {
	wait := v.Wait
	for n := 1; ; n++ {
		err := read()
		if err == nil || n == attempts || ctx.Err() != nil || fault.ClassOf(err) != fault.Retry {
			return err
		}
		if v.Broke != nil {
			v.Broke(err, wait)
		}
		select {
		case <-time.After(wait):
			wait *= 2
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// againInto reads rows into a side; those of an attempt that broke are taken out of it.
func (v *comparison) againInto(ctx context.Context, s *side, source bool, read func() error) error {
	was, rows := s.mark(), v.counted(source)
	var first reading
	if source {
		first = v.first
	}
	return v.again(ctx, func() error {
		err := read()
		if err == nil || fault.ClassOf(err) != fault.Retry {
			return err
		}
		if source {
			v.first = first
		}
		v.uncount(source, rows)
		if lost := s.back(was); lost != nil {
			return lost
		}
		return err
	})
}

// counted is how many rows of a side were read.
func (v *comparison) counted(source bool) int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return *v.done.of(source)
}

// uncount tells that only so many rows of a side count.
func (v *comparison) uncount(source bool, rows int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	*v.done.of(source) = rows
	v.progress()
}

func (p *Progress) of(source bool) *int64 {
	if source {
		return &p.Source
	}
	return &p.Target
}

// sideMark is what a side had at some time.
type sideMark struct {
	buckets buckets // empty: none had a row
	out     spillMark
}

// mark holds until the next one.
func (s *side) mark() sideMark {
	if s.filled {
		s.was = append(s.was[:0], s.buckets...)
	}
	return sideMark{s.was, s.out.mark()}
}

// back takes out what was added since.
func (s *side) back(m sideMark) error {
	clear(s.buckets[copy(s.buckets, m.buckets):])
	if s.dropped { // what it had then is gone as well, and stays away
		return nil
	}
	return s.out.back(m.out)
}

// spillMark is how much a spill had at some time.
type spillMark struct {
	bytes int64
	parts [fanOut]struct{ size, n int64 }
}

func (s *spill) mark() (m spillMark) {
	m.bytes = s.bytes
	for i := range s.parts {
		m.parts[i].size, m.parts[i].n = s.parts[i].size, s.parts[i].n
	}
	return m
}

// back takes out what was added since.
func (s *spill) back(m spillMark) error {
	s.bytes = m.bytes
	for i := range s.parts {
		if err := s.parts[i].back(m.parts[i].size, m.parts[i].n); err != nil {
			return err
		}
	}
	return nil
}

// back takes out all but the first n records, which have so many bytes.
func (p *part) back(size, n int64) error {
	onDisk := p.size - int64(len(p.buf))
	p.buf = p.buf[:max(0, size-onDisk)]
	p.size, p.n = size, n
	if size >= onDisk {
		return nil
	}
	if err := p.file.Truncate(size); err != nil {
		return spillFault(err, p.dir)
	}
	if _, err := p.file.Seek(size, 0); err != nil {
		return spillFault(err, p.dir)
	}
	return nil
}
