package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"godwit/internal/store"
)

func createChecks() []check {
	return []check{
		{"Create", (*env).create},
		{"CreateRace", (*env).createRace},
	}
}

func (e *env) creator() store.Creator {
	c, ok := e.s.(store.Creator)
	if !ok {
		e.fail("Creator: %w", errLacks)
	}
	return c
}

func (e *env) create() {
	c := e.creator()
	value := []byte("first")
	e.ok(c.Create(e.ctx, "d/k", value), "Create")
	copy(value, "XXXXX") // the caller's again
	e.holds(e.second, "d/k", []byte("first"))
	for _, v := range []string{"second", "first", ""} {
		e.is(c.Create(e.ctx, "d/k", []byte(v)), store.ErrExists, "Create over an object")
		e.holds(e.s, "d/k", []byte("first"))
	}
	e.put("p", []byte("put"))
	e.is(c.Create(e.ctx, "p", []byte("x")), store.ErrExists, "Create over an object put")
	e.holds(e.s, "p", []byte("put"))
	if got := e.keys(e.s.List(e.ctx, "", "")); len(got) != 2 {
		e.fail("List after Create: %q", got)
	}
}

// createRace lets many create one key. The loser must find the winner's value,
// whole, at once.
func (e *env) createRace() {
	e.creator()
	const creators = 16
	for round := range e.o.Rounds {
		key := fmt.Sprintf("race/%d", round)
		value := func(i int) []byte { return bytes.Repeat([]byte{byte('a' + i)}, 20_000+i) }
		won := make(chan int, creators)
		errs := make(chan error, creators)
		start := make(chan struct{})
		var all sync.WaitGroup
		for i := range creators {
			s := e.s
			if i%2 == 1 {
				s = e.second
			}
			all.Go(func() {
				<-start
				err := s.(store.Creator).Create(e.ctx, key, value(i))
				if err == nil {
					won <- i
				} else if !errors.Is(err, store.ErrExists) {
					errs <- err
				}
				got, _, err := read(e.ctx, s, key)
				if err == nil && (len(got) < 20_000 || !bytes.Equal(got, value(len(got)-20_000))) {
					err = errors.New("the value there is " + brief(got))
				}
				if err != nil {
					errs <- err
				}
			})
		}
		close(start)
		all.Wait()
		close(won)
		close(errs)
		for err := range errs {
			e.ok(err, "Create of %d at once", creators)
		}
		if len(won) != 1 {
			e.fail("%d of %d creators won", len(won), creators)
		}
		e.holds(e.s, key, value(<-won))
	}
}
