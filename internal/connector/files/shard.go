package files

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/store"
)

// shard is the records of one shard. It holds nothing but where they are.
//
// The protocol: whoever creates number n+1 after reading n, and then finds no
// greater one, has done the n+1st act of the shard. Creation is exclusive, so of
// two writers that know n one is refused; and because records are pruned, so that
// a number far behind may be free again, nothing follows from a creation until
// the second listing has shown that it is the greatest.
type shard struct {
	*objects
	task string
	dir  string
}

func (o *objects) shard(task string) *shard {
	return &shard{objects: o, task: task, dir: shardsDir + task + "/"}
}

func (s *shard) key(n uint64) string {
	return fmt.Sprintf("%scommits/%0*d", s.dir, numberDigits, n)
}

// listing is what is stored of a shard's records.
type listing struct {
	numbers  []uint64
	keys     []string // records and done notes, in the order of numbers
	greatest uint64
	done     bool // the greatest has nothing left to publish or to sweep
}

func (l *listing) has(n uint64) bool {
	for _, m := range l.numbers {
		if m == n {
			return true
		}
	}
	return false
}

// maxListed bounds a listing; pruning keeps it at a few.
const maxListed = 100_000

func (s *shard) list(ctx context.Context) (*listing, error) {
	l := &listing{}
	prefix := s.dir + "commits/"
	for o, err := range s.store.List(ctx, prefix, "") {
		if err != nil {
			return nil, s.fail(err, "commit records of %q cannot be listed", s.task)
		}
		n, done, ok := parseNumber(strings.TrimPrefix(o.Key, prefix))
		if !ok {
			continue
		}
		if len(l.keys) >= maxListed {
			return nil, fault.New(fault.TargetBroken, "%s has more than %d records", prefix, maxListed)
		}
		l.keys = append(l.keys, o.Key)
		if done {
			l.done = l.done || n == l.greatest
			continue
		}
		l.numbers = append(l.numbers, n)
		if n > l.greatest {
			l.greatest, l.done = n, false
		}
	}
	return l, nil
}

// read returns record n. The error is store.ErrNotFound when it is not there.
func (s *shard) read(ctx context.Context, n uint64) (*record, error) {
	key := s.key(n)
	b, err := s.get(ctx, key, maxRecordBytes)
	if err != nil {
		return nil, err
	}
	r, err := decodeRecord(b, n)
	if err != nil {
		return nil, at(err, key)
	}
	return r, nil
}

// latest returns the greatest record and the listing it was found by; nil when
// the shard was never opened.
func (s *shard) latest(ctx context.Context) (*record, *listing, error) {
	for range maxTries {
		l, err := s.list(ctx)
		if err != nil || l.greatest == 0 {
			return nil, l, err
		}
		r, err := s.read(ctx, l.greatest)
		if errors.Is(err, store.ErrNotFound) {
			continue // others went on and pruned it
		}
		return r, l, err
	}
	return nil, nil, s.restless()
}

// maxTries bounds loops that only other writers' progress can prolong.
const maxTries = 100

func (s *shard) restless() error {
	return fault.New(fault.TargetFailed, "the records of %q change faster than they can be read", s.task).
		Try("end other runs that write to this target as the same job")
}

// receipts returns what r names, from its side object if it has one. The error
// is store.ErrNotFound when that is gone.
func (s *shard) receipts(ctx context.Context, r *record) ([]store.Receipt, error) {
	if r.Side == nil {
		return r.Receipts, nil
	}
	b, err := s.get(ctx, r.Side.Key, maxSideBytes)
	if err != nil {
		return nil, err
	}
	rs, err := decodeSide(b, r.Side)
	if err != nil {
		return nil, at(err, r.Side.Key)
	}
	return rs, nil
}

// taken is a shard that was taken over.
type taken struct {
	task     string
	record   *record
	receipts []store.Receipt // to be published again
	clean    bool            // nothing to publish or to sweep
	listing  *listing        // that showed the record to be the greatest
	sides    []string        // side objects of earlier records
}

// take raises the epoch: after it returns, no older writer's commit succeeds. The
// positions and receipts of the record before are part of the raise itself, so
// that there is no moment at which only an older record knows them.
func (s *shard) take(ctx context.Context, c connector.Claim) (*taken, error) {
	for range maxTries {
		last, l, err := s.latest(ctx)
		if err != nil {
			return nil, err
		}
		if last != nil && c.Less(last.Claim) {
			return nil, fault.New(fault.FencedOff, "%q was opened by %v, which is newer than %v", s.task, last.Claim, c)
		}
		t, err := s.raise(ctx, last, l, c)
		if t != nil || err != nil {
			return t, err
		}
	}
	return nil, s.restless()
}

// raise makes one attempt; nil says that another writer was faster.
func (s *shard) raise(ctx context.Context, last *record, l *listing, c connector.Claim) (*taken, error) {
	t := &taken{task: s.task, clean: last == nil || l.done}
	r := &record{N: 1, Epoch: 1, Claim: c, Carried: true}
	if last == nil {
		r.Positions = emptySet()
	} else {
		r.N, r.Epoch, r.Positions, r.Left = last.N+1, last.Epoch+1, last.Positions, last.Left
	}
	if last != nil && last.Side != nil {
		t.sides = []string{last.Side.Key}
	}
	if !t.clean {
		var err error
		if t.receipts, err = s.receipts(ctx, last); err != nil {
			return nil, s.gone(ctx, last, err)
		}
		r.Receipts, r.Side, r.Folders = last.Receipts, last.Side, last.Folders
		r.Unswept = append(r.Unswept, last.Unswept...)
		r.Unswept = append(r.Unswept, span{last.Epoch, last.Seq + 1})
		r.Unswept = r.Unswept[max(0, len(r.Unswept)-maxUnswept):]
	}
	if mine, err := s.create(ctx, r); err != nil || !mine {
		return nil, err
	}
	l, err := s.list(ctx)
	if err != nil || !l.leads(r.N) {
		return nil, err
	}
	t.record, t.listing = r, l
	return t, nil
}

// gone tells a side object that was pruned with its record, which is no error,
// from one that is missing.
func (s *shard) gone(ctx context.Context, r *record, err error) error {
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	l, lerr := s.list(ctx)
	if lerr != nil {
		return lerr
	}
	if l.greatest != r.N || l.done {
		return nil
	}
	return fault.New(fault.TargetLost, "the list of files of commit %d of %q is gone", r.N, s.task).At("%s", r.Side.Key)
}

// leads reports whether n is the greatest number, seen together with the one
// before it: that is pruned only after two greater ones exist, so a listing that
// lacks it is of a shard that went on meanwhile.
func (l *listing) leads(n uint64) bool {
	return l.greatest == n && (n == 1 || l.has(n-1))
}

// create makes r's number exclusively and reports whether r now stands there. An
// unknown outcome is never guessed: it reads back, and sends the same again until
// one is there. After an error r may be there or not.
func (s *shard) create(ctx context.Context, r *record) (mine bool, err error) {
	r.Version, r.Written = recordVersion, s.now().UTC()
	var nonce [16]byte
	rand.Read(nonce[:]) // never fails
	r.Nonce = hex.EncodeToString(nonce[:])
	key, b := s.key(r.N), r.encode()
	for try := 1; ; try++ {
		err := s.creator.Create(ctx, key, b)
		if err == nil {
			return true, nil
		}
		there, rerr := s.read(ctx, r.N)
		switch {
		case rerr == nil && there.Nonce != r.Nonce:
			return false, nil
		case rerr == nil && errors.Is(err, store.ErrExists):
			return true, nil // mine, by an attempt whose answer was lost; the refusal made it durable
		case rerr == nil:
			// Mine, and perhaps not durable: to be refused is the proof.
		case errors.Is(rerr, store.ErrNotFound) && errors.Is(err, store.ErrExists):
			return false, nil // it was there and was pruned: others are far ahead
		case !errors.Is(rerr, store.ErrNotFound) && fault.ClassOf(rerr) != fault.Retry:
			return false, rerr
		}
		err = s.fail(err, "commit %d of %q cannot be recorded", r.N, s.task)
		if try == createTries || fault.ClassOf(err) != fault.Retry || s.wait(ctx, try) != nil {
			return false, err
		}
	}
}

// createTries bounds how often a record of unknown outcome is sent.
const createTries = 4

// prune removes records that nobody needs any more, never the last two. It goes
// from the oldest on, so that a free number never lies above one in use.
// What it cannot remove costs only space.
func (s *shard) prune(ctx context.Context, l *listing) {
	prefix := s.dir + "commits/"
	for _, key := range l.keys {
		n, _, _ := parseNumber(strings.TrimPrefix(key, prefix))
		if n+1 >= l.greatest {
			return
		}
		if err := s.store.Delete(ctx, key); err != nil {
			s.warn("an old commit record cannot be removed", key, err)
			return
		}
	}
}

// finish notes that nothing of record n is left to do, so that the next owner
// need not look.
func (s *shard) finish(ctx context.Context, n uint64) error {
	err := s.creator.Create(ctx, s.key(n)+doneSuffix, []byte("{\"version\": 1}\n"))
	if errors.Is(err, store.ErrExists) {
		return nil
	}
	return err
}

// publish makes the files of rs visible under their names. It may be done again
// by anybody at any time.
func (s *shard) publish(ctx context.Context, rs []store.Receipt) error {
	return each(len(rs), s.width, func(i int) error {
		outcome, err := s.stager.Publish(ctx, rs[i])
		if err != nil {
			return s.fail(err, "%s is committed and cannot be made visible", rs[i].Key)
		}
		if outcome == store.Taken {
			s.log.Warn("a committed file is gone already: taken by a reader", "file", rs[i].Key)
		}
		return nil
	})
}

// emptySet is the stored form of a Set without entries.
func emptySet() []byte {
	b, err := position.Set{}.MarshalBinary()
	if err != nil {
		panic(err)
	}
	return b
}

// backOff waits before try+1.
func backOff(ctx context.Context, try int) error {
	t := time.NewTimer(time.Duration(try*try) * 50 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Settled implements connector.Settler.
func (s *sink) Settled(ctx context.Context, sh connector.Shard) (bool, error) {
	if err := checkTask(sh.Task); err != nil {
		return false, err
	}
	l, err := s.shard(sh.Task).list(ctx)
	return err == nil && l.done, err
}
