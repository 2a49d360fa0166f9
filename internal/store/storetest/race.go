package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"

	"godwit/internal/fault"
	"godwit/internal/store"
	"godwit/internal/store/powerfs"
)

const racers = 3

// race is one round of processes that create, publish and put the same keys.
type race struct {
	p       *power
	rng     *rand.Rand
	disk    *powerfs.Disk
	receipt store.Receipt // published by all
	other   store.Receipt // published by process 0 where the others create
	results [racers]result
}

// result is what one process was told.
type result struct {
	create  error
	outcome store.Outcome
	publish error
	put     error
	both    error // of Publish or Create of one key
}

func raceValue(i int) string { return strings.Repeat(string(rune('A'+i)), 200+i) }

const raceStaged = "staged by one, published by all"

var errNotCalled = errors.New("not called")

func (r *race) run() error {
	ctx := context.Background()
	s, err := r.p.open(r.disk.Process())
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	stager, isStager := s.(store.Stager)
	if isStager {
		if r.receipt, err = stageIn(ctx, stager, "n/published", raceStaged); err != nil {
			return fmt.Errorf("stage: %w", err)
		}
		if r.other, err = stageIn(ctx, stager, "n/both", raceStaged); err != nil {
			return fmt.Errorf("stage: %w", err)
		}
	}
	var tasks []powerfs.Task
	for i := range racers {
		fsys := r.disk.Process()
		if r.rng.IntN(2) == 0 {
			fsys.Inject(&powerfs.Fault{N: r.rng.IntN(30), After: r.rng.IntN(2) == 0, Torn: r.rng.IntN(3) == 0, Dies: true})
		}
		s, err := r.p.open(fsys)
		if err != nil {
			return fmt.Errorf("open: %w", err)
		}
		r.results[i] = result{create: errNotCalled, publish: errNotCalled, put: errNotCalled, both: errNotCalled}
		order := r.rng.Perm(4)
		tasks = append(tasks, powerfs.Task{FS: fsys, Run: func() { r.process(ctx, s, i, order) }})
	}
	powerfs.Interleave(r.rng, tasks...)
	// The disk itself comes last: judging it publishes and syncs.
	for range r.p.o.Samples {
		if err := r.judge(ctx, r.disk.Sample(r.rng)); err != nil {
			return fmt.Errorf("after the power cut: %w", err)
		}
	}
	if err := r.judge(ctx, r.disk); err != nil {
		return fmt.Errorf("without a power cut: %w", err)
	}
	return nil
}

func (r *race) process(ctx context.Context, s store.Store, i int, order []int) {
	res := &r.results[i]
	for _, what := range order {
		switch what {
		case 0:
			if c, ok := s.(store.Creator); ok {
				res.create = c.Create(ctx, "n/created", []byte(raceValue(i)))
			}
		case 1:
			if c, ok := s.(store.Stager); ok {
				res.outcome, res.publish = c.Publish(ctx, r.receipt)
			}
		case 2:
			_, res.put = s.Put(ctx, "n/put", body([]byte(raceValue(i))), store.PutOptions{})
		case 3:
			res.both = r.claimBoth(ctx, s, i)
		}
	}
}

func (r *race) claimBoth(ctx context.Context, s store.Store, i int) error {
	stager, isStager := s.(store.Stager)
	creator, isCreator := s.(store.Creator)
	if !isStager || !isCreator {
		return errNotCalled
	}
	if i > 0 {
		return creator.Create(ctx, "n/both", []byte(raceValue(i)))
	}
	o, err := stager.Publish(ctx, r.other)
	if err == nil && o == store.Taken {
		err = errors.New("taken, says Publish, and nobody did")
	}
	return err
}

func (r *race) judge(ctx context.Context, disk *powerfs.Disk) error {
	s, err := r.p.open(disk.Process())
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	if err := r.judgeCreate(ctx, s); err != nil {
		return err
	}
	if err := r.judgePut(ctx, s); err != nil {
		return err
	}
	if err := r.judgeBoth(ctx, s); err != nil {
		return err
	}
	if stager, ok := s.(store.Stager); ok {
		return r.judgePublish(ctx, s, stager)
	}
	return nil
}

// wholeOrNot reads a key that holds one of the racers' values or nothing.
func wholeOrNot(ctx context.Context, s store.Store, key string) (string, bool, error) {
	got, _, err := read(ctx, s, key)
	if errors.Is(err, store.ErrNotFound) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	for i := range racers {
		if string(got) == raceValue(i) {
			return string(got), true, nil
		}
	}
	return "", false, fmt.Errorf("%s holds %s", key, brief(got))
}

func (r *race) judgeCreate(ctx context.Context, s store.Store) error {
	got, there, err := wholeOrNot(ctx, s, "n/created")
	if err != nil {
		return err
	}
	won := -1
	for i, res := range r.results {
		switch {
		case res.create == nil && won >= 0:
			return fmt.Errorf("processes %d and %d both created n/created", won, i)
		case res.create == nil:
			won = i
		case errors.Is(res.create, store.ErrExists) && !there:
			return fmt.Errorf("process %d was told that n/created exists, and it does not", i)
		case !died(res.create) && !errors.Is(res.create, store.ErrExists):
			return fmt.Errorf("process %d: %w", i, res.create)
		}
	}
	if won >= 0 && (!there || got != raceValue(won)) {
		return fmt.Errorf("process %d created n/created, which holds %s", won, brief([]byte(got)))
	}
	return nil
}

// judgeBoth: of those that published or created one key one has it, for good.
func (r *race) judgeBoth(ctx context.Context, s store.Store) error {
	got, _, err := read(ctx, s, "n/both")
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	won := -1
	for i, res := range r.results {
		lost := errors.Is(res.both, store.ErrExists) || fault.Has(res.both, fault.TargetBroken)
		switch {
		case res.both == nil && won >= 0:
			return fmt.Errorf("processes %d and %d both made n/both", won, i)
		case res.both == nil:
			won = i
		case !died(res.both) && !lost:
			return fmt.Errorf("process %d: %w", i, res.both)
		case lost && err != nil:
			return fmt.Errorf("process %d was told that n/both is there: %w", i, err)
		}
	}
	want := raceStaged
	if won > 0 {
		want = raceValue(won)
	}
	if won >= 0 && string(got) != want {
		return fmt.Errorf("process %d made n/both, which holds %s", won, brief(got))
	}
	return nil
}

func (r *race) judgePut(ctx context.Context, s store.Store) error {
	_, there, err := wholeOrNot(ctx, s, "n/put")
	if err != nil {
		return err
	}
	for i, res := range r.results {
		if res.put == nil && !there {
			return fmt.Errorf("process %d put n/put, and it is not there", i)
		}
		if !died(res.put) {
			return fmt.Errorf("process %d: %w", i, res.put)
		}
	}
	return nil
}

func (r *race) judgePublish(ctx context.Context, s store.Store, stager store.Stager) error {
	for i, res := range r.results {
		if !died(res.publish) {
			return fmt.Errorf("process %d: %w", i, res.publish)
		}
		if res.publish != nil {
			continue
		}
		if res.outcome != store.Published && res.outcome != store.Already {
			return fmt.Errorf("process %d: outcome %d", i, res.outcome)
		}
		if got, _, err := read(ctx, s, "n/published"); err != nil || string(got) != raceStaged {
			return fmt.Errorf("process %d published, and there is %s (%v)", i, brief(got), err)
		}
	}
	if o, err := stager.Publish(ctx, r.receipt); err != nil || o == store.Taken {
		return fmt.Errorf("publish afterwards: outcome %d (%v)", o, err)
	}
	list, err := stager.Staged(ctx, "n/published")
	if err != nil || slices.Contains(list, r.receipt) {
		return fmt.Errorf("staged after publish: %v (%v)", list, err)
	}
	if got, _, err := read(ctx, s, "n/published"); err != nil || string(got) != raceStaged {
		return fmt.Errorf("published afterwards, and there is %s (%v)", brief(got), err)
	}
	return nil
}

// died: nil, or the error of a process that is no more.
func died(err error) bool {
	return err == nil || errors.Is(err, errNotCalled) || errors.Is(err, powerfs.ErrDead) ||
		errors.Is(err, syscall.EIO) // of the very step at which it died
}
