// Package pair joins two listings in bytewise order of keys.
package pair

import (
	"context"
	"iter"

	"godwit/internal/fault"
	"godwit/internal/store"
)

// Listing is one side of a join.
type Listing struct {
	// Name says for people which listing it is, such as "the source".
	Name string
	// Objects come in bytewise order of keys, each key once. An error that comes
	// with an object that has a key concerns that object alone, and the listing
	// goes on; an error without a key ends it.
	Objects iter.Seq2[store.Object, error]
}

// Pair is a key of one or both listings.
type Pair struct {
	Key string
	// A and B are what the listings have under Key; nil: nothing. Beside an error
	// they have the key alone.
	A, B       *store.Object
	AErr, BErr error
}

// Bounds of what waits to be joined: two batches a side, and one being filled.
const (
	batchObjects = 256
	batchBytes   = 256 << 10
)

// Join yields every key of both listings once, in order. Each listing is read by a
// goroutine of its own, a few hundred objects ahead; both have ended when the
// iteration is over. An error ends it: that of a listing, fault.StoreProtocol when
// a listing is out of order, or that of ctx.
func Join(ctx context.Context, a, b Listing) iter.Seq2[Pair, error] {
	return func(yield func(Pair, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		left, right := read(ctx, a), read(ctx, b)
		defer func() {
			cancel()
			left.drain()
			right.drain()
		}()
		for {
			x, err := left.peek(ctx)
			if err != nil {
				yield(Pair{}, err)
				return
			}
			y, err := right.peek(ctx)
			if err != nil {
				yield(Pair{}, err)
				return
			}
			if x == nil && y == nil {
				return
			}
			if !yield(match(left, right, x, y), nil) {
				return
			}
		}
	}
}

// match takes the lesser of the two entries, or both when they have one key.
func match(left, right *reader, x, y *entry) Pair {
	var p Pair
	takeX := x != nil && (y == nil || x.object.Key <= y.object.Key)
	takeY := y != nil && (x == nil || y.object.Key <= x.object.Key)
	if takeX {
		p.Key, p.A, p.AErr = x.object.Key, &x.object, x.err
		left.next()
	}
	if takeY {
		p.Key, p.B, p.BErr = y.object.Key, &y.object, y.err
		right.next()
	}
	return p
}

type entry struct {
	object store.Object
	err    error
}

// reader has the entries of a listing, one batch at hand and some in the channel.
type reader struct {
	name    string
	batches chan []entry
	batch   []entry
	last    string
	begun   bool
}

func read(ctx context.Context, l Listing) *reader {
	r := &reader{name: l.Name, batches: make(chan []entry, 1)}
	go func() {
		defer close(r.batches)
		var batch []entry
		bytes := 0
		for o, err := range l.Objects {
			batch = append(batch, entry{o, err})
			bytes += len(o.Key)
			ends := err != nil && o.Key == ""
			switch {
			case send(ctx, r.batches, batch, ends || len(batch) == batchObjects || bytes >= batchBytes):
				batch, bytes = nil, 0
			case ctx.Err() != nil:
				return
			} // else the join is busy, and the batch grows
			if ends {
				return
			}
		}
		if len(batch) > 0 {
			send(ctx, r.batches, batch, true)
		}
	}()
	return r
}

// send hands over a batch: at once or not at all, unless it must wait.
func send(ctx context.Context, to chan<- []entry, batch []entry, wait bool) bool {
	select {
	case to <- batch:
		return true
	default:
	}
	if !wait {
		return false
	}
	select {
	case to <- batch:
		return true
	case <-ctx.Done():
		return false
	}
}

// peek returns the next entry; nil: the listing is at its end.
func (r *reader) peek(ctx context.Context) (*entry, error) {
	if len(r.batch) == 0 {
		select {
		case r.batch = <-r.batches:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	if len(r.batch) == 0 {
		if ctx.Err() != nil { // a reader that was ended looks like one at its end
			return nil, context.Cause(ctx)
		}
		return nil, nil
	}
	e := &r.batch[0]
	switch {
	case e.err != nil && e.object.Key == "":
		return nil, e.err
	case r.begun && e.object.Key <= r.last:
		return nil, fault.New(fault.StoreProtocol, "%s lists %q after %q, which is not in bytewise order", r.name, e.object.Key, r.last).
			Try("what compares two listings needs them in order; look whether a proxy or gateway stands between")
	}
	return e, nil
}

func (r *reader) next() {
	r.last, r.begun = r.batch[0].object.Key, true
	r.batch = r.batch[1:]
}

// drain waits until the goroutine has ended.
func (r *reader) drain() {
	for b := range r.batches {
		_ = b
	}
}
