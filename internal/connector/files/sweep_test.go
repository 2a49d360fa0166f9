package files

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"godwit/internal/connector"
	"godwit/internal/store"
	"godwit/internal/store/mem"
)

var sweptFolders = []string{"shop/a/", "shop/b/", "shop/c/"}

// sweeping is a sink on a store that tells before of each name that is asked for,
// and what an owner took over that has seen two epochs end suddenly.
func sweeping(t *testing.T, before func(ctx context.Context, key string) error) (*sink, *taken, store.Stager) {
	t.Helper()
	st := mem.New(mem.Options{Before: func(ctx context.Context, c mem.Call) error {
		if c.Name == "staged" {
			return before(ctx, c.Key)
		}
		return nil
	}})
	s, err := newSink(st, testConfig(), connector.Env{Job: "shop", Name: "lake"})
	if err != nil {
		t.Fatal(err)
	}
	return s, &taken{task: "stream", record: &record{Unswept: []span{{Epoch: 3, From: 5}, {Epoch: 4, From: 1}}}}, st
}

func stageOne(t *testing.T, st store.Stager, folder string, epoch, seq uint64) store.Receipt {
	t.Helper()
	g, err := st.Stage(t.Context(), folder+fileName("stream", epoch, seq, "txt"), store.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := g.Close()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// One after another or not, the same names are asked for and the same is discarded.
func TestSweepNames_when_files_are_left(t *testing.T) {
	var want []string
	for _, width := range []int{1, sideBySide} {
		var mu sync.Mutex
		var asked []string
		note := true
		s, owner, st := sweeping(t, func(_ context.Context, key string) error {
			mu.Lock()
			defer mu.Unlock()
			if note {
				asked = append(asked, key)
			}
			return nil
		})
		s.width = width
		last := uint64(5 + len(sweptFolders) + minGap - 1) // the last that the first look finds
		left := []store.Receipt{
			stageOne(t, st, sweptFolders[2], 3, 5), stageOne(t, st, sweptFolders[0], 3, last), stageOne(t, st, sweptFolders[1], 3, last+2), stageOne(t, st, sweptFolders[0], 4, 1),
		}
		far := stageOne(t, st, sweptFolders[0], 3, last+2+uint64(len(sweptFolders)+minGap)+1) // behind the gap
		kept := stageOne(t, st, sweptFolders[0], 4, 2)
		if err := s.sweepNames(t.Context(), owner, sweptFolders, map[string]bool{kept.Staged: true}); err != nil {
			t.Fatal(err)
		}
		note = false
		for _, r := range append(left, far, kept) {
			found, err := st.Staged(t.Context(), r.Key)
			if stays := r == far || r == kept; err != nil || (len(found) > 0) != stays {
				t.Errorf("width %d: %s: %v, %v", width, r.Key, found, err)
			}
		}
		slices.Sort(asked)
		if want == nil {
			want = asked
		}
		if !slices.Equal(asked, want) || len(slices.Compact(asked)) != len(want) {
			t.Errorf("width %d asks for %d names, one after another for %d", width, len(asked), len(want))
		}
	}
}

func TestSweepNames_when_answers_take_long(t *testing.T) {
	var mu sync.Mutex
	waiting, all := 0, make(chan struct{})
	s, owner, _ := sweeping(t, func(ctx context.Context, _ string) error {
		mu.Lock()
		if waiting++; waiting == sideBySide {
			close(all)
		}
		mu.Unlock()
		select {
		case <-all:
			return nil
		case <-ctx.Done():
			return errors.New("nobody else asks")
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.sweepNames(ctx, owner, sweptFolders, nil); err != nil {
		t.Fatal(err)
	}
}

// The error is that of the first name that has one, whichever comes back first.
func TestSweepNames_when_several_fail(t *testing.T) {
	early, late := sweptFolders[1]+fileName("stream", 3, 5, "txt"), sweptFolders[0]+fileName("stream", 3, 7, "txt")
	failed := make(chan struct{})
	s, owner, _ := sweeping(t, func(ctx context.Context, key string) error {
		switch key {
		case late:
			close(failed)
			return errors.New("late")
		case early:
			select {
			case <-failed:
			case <-ctx.Done():
			}
			return errors.New("early")
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range 3 {
		failed = make(chan struct{})
		if err := s.sweepNames(ctx, owner, sweptFolders, nil); err == nil || !strings.Contains(err.Error(), "early") || ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}
