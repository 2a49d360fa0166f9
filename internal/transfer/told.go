package transfer

import (
	"sync"

	"godwit/internal/watch"
)

// ledger is what the record was told of each range. A range that is run again counts
// its pages anew, so what was told of it is taken back first.
type ledger struct {
	record *watch.Files

	mu   sync.Mutex
	told map[int]*told
}

// told is what the record knows of one range.
type told struct {
	found watch.Ended
	ended map[string]watch.Ended // by state
	whole bool                   // it is listed to its end
}

func newLedger(record *watch.Files) *ledger {
	return &ledger{record: record, told: map[int]*told{}}
}

// of returns what was told of a range; l.mu is held.
func (l *ledger) of(rg int) *told {
	if l.told[rg] == nil {
		l.told[rg] = &told{ended: map[string]watch.Ended{}}
	}
	return l.told[rg]
}

// found tells of objects that a listing found.
func (l *ledger) found(rg, objects int, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.of(rg)
	t.found.Objects += int64(objects)
	t.found.Bytes += bytes
	l.record.Listed(objects, bytes)
}

// ended tells of objects that came to their final state.
func (l *ledger) ended(rg int, state string, objects int, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.of(rg)
	e := t.ended[state]
	e.Objects += int64(objects)
	e.Bytes += bytes
	t.ended[state] = e
	l.record.Ended(state, objects, bytes)
}

// listed tells once that a range is listed to its end.
func (l *ledger) listed(rg int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.of(rg); !t.whole {
		t.whole = true
		l.record.RangeListed()
	}
}

// takeBack takes back what was counted of a range.
func (l *ledger) takeBack(rg int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.of(rg)
	for state, e := range t.ended {
		l.record.Ended(state, -int(e.Objects), -e.Bytes)
	}
	l.record.Listed(-int(t.found.Objects), -t.found.Bytes)
	t.found, t.ended = watch.Ended{}, map[string]watch.Ended{}
}
