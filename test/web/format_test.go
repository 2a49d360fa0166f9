package page

import (
	"fmt"
	"strings"
	"testing"
)

// numbers are what the page writes; they are the same as in the terminal, and what is
// not known is never 0.
var numbers = []struct{ call, want string }{
	{"count(1204883)", "1,204,883"}, {"count(0)", "0"}, {"count(null)", "?"}, {"count(undefined)", "?"}, {"count(-1)", "?"}, {"count(NaN)", "?"}, {"count(999)", "999"}, {"count(1000)", "1,000"},
	{"short(0)", "0"}, {"short(84100)", "84.1 k"}, {"short(999.6)", "1.00 k"}, {"short(128e6)", "128 M"}, {"short(-1)", "?"}, {"short(null)", "?"}, {"short(0.5)", "0.50"},
	{"rate(84100)", "84.1 k/s"}, {"rate(null)", "?"}, {"rate(0)", "0/s"},
	{"bytes(32715571)", "31.2 MiB"}, {"bytes(1023)", "1023 B"}, {"bytes(undefined)", "?"}, {"byteRate(null)", "?"},
	{"percent(0)", "0 %"}, {"percent(0.4)", "<1 %"}, {"percent(61.9)", "61 %"}, {"percent(99.96)", "99.9 %"}, {"percent(100)", "100 %"}, {"percent(null)", "?"},
	{"duration(0)", "0 s"}, {"duration(1.24)", "1.2 s"}, {"duration(59.7)", "1 m"}, {"duration(250)", "4 m 10 s"}, {"duration(3600)", "1 h"}, {"duration(273600)", "3 d 4 h"}, {"duration(4e7)", ">1 y"}, {"duration(null)", "?"}, {"duration(-5)", "?"},
	{"clock(580)", "0:09:40"}, {"clock(null)", "?"}, {"clock(273600)", "3 d 4 h"},
	{"total({total: 210e6, total_kind: 'estimate'})", "~210 M"}, {"total({total: 5, total_kind: 'growing'})", "≥ 5"}, {"total({total: 0, total_kind: 'none'})", "?"}, {"total(null)", "?"},
	{"ago('2026-11-26T14:00:00Z', Date.parse('2026-11-26T14:04:10Z'))", "4 m 10 s ago"}, {"ago('2026-11-26T14:00:40Z', Date.parse('2026-11-26T14:00:00Z'))", "in 40 s"}, {"ago('0001-01-01T00:00:00Z', 0)", "?"},
	{"(setUTC(true), moment('2026-11-26T14:05:18Z'))", "2026-11-26 14:05:18 UTC"}, {"moment('')", "?"},
}

func TestFormat_when_numbers_are_known_and_not(t *testing.T) {
	h := serve(t, 1, 1)
	p := open(t, h.url())
	p.visit("/login")
	var calls []string
	for _, n := range numbers {
		calls = append(calls, n.call)
	}
	got := evalLater[[]string](p, fmt.Sprintf("import('/format.js').then(m => { const {count, short, rate, bytes, byteRate, percent, duration, clock, total, ago, moment, setUTC} = m; return [%s] })", strings.Join(calls, ",\n")))
	for i, n := range numbers {
		if got[i] != n.want {
			t.Errorf("%s: %q, must be %q", n.call, got[i], n.want)
		}
	}
}

func TestGather_when_one_error_is_told_by_many(t *testing.T) {
	h := serve(t, 1, 1)
	p := open(t, h.url())
	p.visit("/login")
	got := evalLater[string](p, `import('/errors.js').then(({gather}) => {
		const standing = (since, fruitless, error) => ({status: 'retrying', since, fruitless, error})
		const busy = {class: 'retry', code: 'SOURCE_BUSY', what: 'busy', where: 'a.b'}
		const job = {standing: standing('2026-01-02', 0, {class: 'lost', code: 'SOURCE_LOST', what: 'gone'}), progress: {since: '2026-01-01', marked: [{table: 'a.c', reason: 'XA'}]}}
		const tasks = [{id: 't1', table: 'a.b', standing: standing('2026-01-03', 1, busy)}, {id: 't2', table: 'a.b', standing: standing('2026-01-01', 4, busy)}, {id: 't3', standing: standing('2026-01-01', 0)}]
		const tables = [{name: 'a.b', standing: standing('2026-01-02', 4, busy)}]
		return gather(job, tasks, tables).map(c => [c.fault.code, c.whole, c.tasks, c.tables, c.count, c.since, c.standing?.fruitless].join(' ')).join('; ')
	})`)
	want := "SOURCE_LOST true   0 2026-01-02 0; RESYNC_NEEDED false  a.c 1 2026-01-01 ; SOURCE_BUSY false t1,t2 a.b 2 2026-01-01 4"
	if got != want {
		t.Errorf("%s\nmust be\n%s", got, want)
	}
}
