package page

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"godwit/internal/api"
	"godwit/test/web/fake"
)

const rows = `[...document.querySelectorAll('.tbody .row:not([hidden])')]`

func TestLogin_when_the_token_is_wrong_and_right(t *testing.T) {
	h := serve(t, 20, 20)
	p := open(t, h.url())
	p.visit("/jobs/orders-to-pg/errors")
	p.until("the form", "document.activeElement.id === 'token'")
	p.shot("login")
	p.keys("nonsense\r")
	p.says(".problem", "TOKEN_REFUSED")
	p.until("focus is back in the field", "document.activeElement.id === 'token'")
	p.keys(fake.Operator + "\r")
	p.says("h1", "orders-to-pg")
	if path := eval[string](p, "location.pathname"); path != "/jobs/orders-to-pg/errors" {
		t.Errorf("after the login: %s", path)
	}
	if kept := eval[string](p, "JSON.stringify(localStorage) + JSON.stringify(sessionStorage) + document.cookie"); strings.Contains(kept, fake.Operator) {
		t.Errorf("the token can be read by code: %s", kept)
	}
	p.quiet("401")
	p.click("button[title='Log out']", "")
	p.until("the form", "document.activeElement.id === 'token'")
	p.visit("/")
	p.until("the form again", "document.activeElement.id === 'token'")
}

func TestJobs_when_filtered_sorted_and_acted_on(t *testing.T) {
	h := serve(t, 500, 100)
	h.fake.Tick()
	p := open(t, h.url())
	p.login(fake.Operator)
	p.says(".sentence", "need you")
	p.says(".needs", "may not read the binlog")
	p.says(".tools", "500 of 500 jobs")
	h.fake.Tick()
	p.says(".c-rate", "k/s")
	p.until("rates of the last minutes", "[...document.querySelectorAll('.tbody .row:not([hidden]) .spark path')].filter(e => e.getAttribute('d')).length > 5")
	if n := h.fake.Asked("GET /api/v1/history"); n > 3 { // one for those seen, and for those that a new order brought
		t.Errorf("the rates of a screen cost %d requests", n)
	}
	p.shot("jobs")
	p.slash()
	p.keys("media")
	p.says(".tools", "50 of 500")
	p.until("the address has the filter", "location.search.includes('q=media')")
	p.click(".c-rate .sort", "Rate")
	p.until("the fastest first", "document.querySelector('[aria-sort=descending]') && location.search.includes('sort=-rate')")
	p.click(".c-rate .sort", "Rate")
	p.until("the other way", "document.querySelector('[aria-sort=ascending]') && location.search.includes('sort=rate')")
	p.visit(eval[string](p, "location.pathname + location.search"))
	p.says(".tools", "50 of 500")
	p.until("the order is kept", "document.querySelector('[aria-sort=ascending]')")
	p.click(".chip", "Clear filters")
	p.click(".chip", "Paused")
	p.says(".tools", "of 500 jobs")
	p.until("only paused ones", rows+".every(r => r.textContent.includes('Paused'))")
	p.click(".chip", "Paused")
	p.click(".sentence a", "need you")
	p.says(".tools", "2 of 500")
	p.click(".chip", "Clear filters")

	p.says(".tools", "500 of 500")
	p.click(".head .c-pick input", "")
	p.says(".picker", "500 selected")
	p.slash()
	p.keys("shop-01")
	p.until("what is not seen is not selected", "document.querySelector('.picker strong').textContent === '9 selected'")
	p.shot("selected")
	p.click(".picker button", "Pause")
	p.says("dialog", "left out")
	p.until("the focus is in the dialog", "document.querySelector('dialog').contains(document.activeElement)")
	p.click("dialog input#reason", "")
	p.keys("the lake is moved")
	p.shot("bulk")
	p.click("dialog button", "Pause 8 jobs")
	p.says("dialog", "done")
	p.shot("bulk-done")
	p.click("dialog button", "Close")
	p.until("it is asked for", rows+".some(r => r.textContent.includes('pausing…'))")
	for name, want := range map[string]api.Desired{"shop-010": api.DesiredPaused, "shop-020": api.DesiredRunning, "orders-to-pg": api.DesiredRunning} {
		if got := h.fake.Wanted(name); got != want {
			t.Errorf("%s: wanted: %s", name, got)
		}
	}
	if n := h.fake.Asked("GET /api/v1/jobs/shop-010/history"); n != 0 {
		t.Errorf("the history of one job was asked for %d times by a list", n)
	}
	p.quiet()
}

func TestJob_when_it_fails_and_is_retried(t *testing.T) {
	h := serve(t, 30, 50)
	p := open(t, h.url())
	p.login(fake.Operator)
	p.click(".needs a.name", "orders-to-pg")
	for _, what := range []string{"SOURCE_GRANTS", "may not read the binlog", "job.yaml:4:3", "ERROR 1227", "GRANT REPLICATION SLAVE", "3 attempts", "godwit explain SOURCE_GRANTS"} {
		p.says(".card", what)
	}
	p.shot("errors")
	p.click(".card button", "Retry now")
	p.says(".note", "Retrying orders-to-pg")
	h.fake.Settle("orders-to-pg")
	p.says(".job-head .state", "Running")
	p.until("its card is gone, that of a table stays", "document.querySelectorAll('.card').length === 1 && !document.querySelector('.stage').textContent.includes('SOURCE_GRANTS')")
	p.click(".tabs a", "Audit")
	p.says("td", "retry")
	p.shot("audit")
	p.visit("/jobs/stock-to-lake/errors")
	p.says(".card", "next in")
	p.visit("/jobs/shop-to-lake/errors")
	p.says(".card", "lock wait")
	p.says(".card", "shop.orders_00017")
	p.click(".card button", "Retry now")
	p.says(".note", "Retrying")
	h.fake.Settle("shop-to-lake")
	p.says(".stage", "No errors now")
	p.quiet()
}

func TestJob_when_paused_and_resumed(t *testing.T) {
	h := serve(t, 30, 50)
	p := open(t, h.url())
	p.login(fake.Operator)
	p.visit("/jobs/shop-to-lake")
	p.says(".job-head .state", "Running")
	h.fake.Tick()
	p.says(".way .box", "commit")
	p.says(".chart", "/s")
	p.shot("job")
	p.click(".job-head button", "Pause")
	p.says(".job-head .state", "Running → pausing…")
	p.shot("pausing")
	p.until("it is not taken back while nothing is known", "document.querySelector('.job-head .state').textContent.includes('pausing…')")
	h.fake.Settle("shop-to-lake")
	p.says(".job-head .state", "Paused by ana")
	p.click(".job-head button", "Resume")
	p.says(".job-head .state", "resuming…")
	h.fake.Settle("shop-to-lake")
	p.says(".job-head .state", "Running")
	p.click(".job-head button", "Delete")
	p.says("dialog", "What it wrote stays")
	p.click("dialog button", "Delete")
	p.says("dialog", "Type shop-to-lake to confirm")
	p.keys("shop-to-lake\r")
	p.until("all jobs", "location.pathname === '/'")
	p.says(".tools", "29 of 29 jobs")
	p.quiet()
}

func TestAct_when_its_answer_is_older_than_what_the_stream_told(t *testing.T) {
	h := serve(t, 30, 50)
	p := open(t, h.url())
	p.login(fake.Operator)
	p.visit("/jobs/shop-to-lake")
	letGo := h.fake.Withhold("/api/v1/jobs/shop-to-lake/act")
	defer letGo()
	p.click(".job-head button", "Pause")
	wait(t, func() bool { return h.fake.Wanted("shop-to-lake") == api.DesiredPaused })
	h.fake.Settle("shop-to-lake")
	p.says(".job-head .state", "Paused by ana")
	letGo()
	p.says(".note", "Pausing shop-to-lake")
	evalLater[bool](p, "new Promise(r => requestAnimationFrame(() => setTimeout(() => r(true), 100)))") // a tick has been
	p.says(".job-head .state", "Paused by ana")
	if state := eval[string](p, "document.querySelector('.job-head .state').textContent"); strings.Contains(state, "→") {
		t.Errorf("it went back to %s", state)
	}
	p.quiet()
}

func TestPage_when_the_server_goes_and_comes_back(t *testing.T) {
	h := serve(t, 30, 50)
	p := open(t, h.url())
	p.login(fake.Operator)
	p.says("#light", "live")
	h.fake.Tick()
	before := eval[string](p, "document.querySelector('.tbody .row .name').textContent")
	h.stop()
	p.says("#banner", "No news since")
	p.says("#light", "no answer")
	p.shot("gone")
	if after := eval[string](p, "document.querySelector('.tbody .row .name').textContent"); after != before || eval[float64](p, rows+".length") < 5 {
		t.Errorf("what was known is gone: %s, was %s", after, before)
	}
	p.click(".tbody a.name", "shop-")
	p.says("h1", "shop-")
	h.start()
	p.until("the banner is gone", "!document.querySelector('#banner').checkVisibility() || !document.querySelector('#banner').textContent")
	p.says("#light", "live")
	p.until("it is said", "document.querySelector('#said').textContent.includes('answers again')")
	p.quiet("ERR_CONNECTION", "ERR_INCOMPLETE", "ERR_EMPTY", "Failed to load")
}

func TestPage_when_streams_do_not_come_through(t *testing.T) {
	h := serve(t, 30, 50)
	h.fake.Break("/api/v1/events", 502)
	p := open(t, h.url())
	p.login(fake.Operator)
	p.says("#light", "every 5 s")
	h.fake.Tick()
	p.says(".c-rate", "k/s")
	h.fake.Break("/api/v1/events", 0)
	p.says("#light", "live")
	p.quiet("502")
}

func TestPanel_when_its_data_fail(t *testing.T) {
	h := serve(t, 30, 50)
	h.fake.Break("/api/v1/jobs/shop-to-lake/history", 500)
	p := open(t, h.url())
	p.login(fake.Operator)
	p.visit("/jobs/shop-to-lake")
	p.says(".panel .problem", "broken on purpose")
	p.says(".way .box", "lake")
	h.fake.Break("/api/v1/jobs/shop-to-lake/history", 0)
	p.click(".problem button", "Try again")
	p.says(".chart", "Memory")
	p.quiet("500")
}

func TestPage_when_the_token_may_only_read(t *testing.T) {
	h := serve(t, 30, 50)
	p := open(t, h.url())
	p.login(fake.Reader)
	p.says("#top", "read only")
	p.visit("/jobs/shop-to-lake")
	p.click(".job-head button", "Pause")
	p.says(".note", "its role is read")
	if got := h.fake.Wanted("shop-to-lake"); got != api.DesiredRunning {
		t.Errorf("wanted: %s", got)
	}
	p.shot("read-only")
	p.quiet()
}

func TestPage_when_used_by_keyboard_alone(t *testing.T) {
	h := serve(t, 200, 50)
	p := open(t, h.url())
	p.login(fake.Operator)
	p.keys("t")
	p.until("the first row", "document.activeElement.getAttribute('aria-rowindex') === '2'")
	for range 60 {
		p.keys(kb.ArrowDown)
	}
	p.until("far below", "document.activeElement.getAttribute('aria-rowindex') === '62'")
	p.until("it is seen", "(() => { const r = document.activeElement.getBoundingClientRect(); return r.top > 0 && r.bottom <= innerHeight })()")
	h.fake.Tick()
	p.until("the tick left the focus", "document.activeElement.getAttribute('aria-rowindex') === '62'")
	p.keys(" ")
	p.says(".picker", "1 selected")
	name := eval[string](p, "document.activeElement.dataset.key")
	p.keys("\r")
	p.says("h1", name)
	p.keys("e")
	p.until("errors", "location.pathname.endsWith('/errors')")
	p.keys("?")
	p.says("dialog", "all jobs")
	p.keys(kb.Escape)
	p.until("no dialog", "!document.querySelector('dialog')")
	p.visit("/jobs/" + name)
	p.until("charts", "document.querySelector('.chart .area')")
	if eval[bool](p, "document.querySelector('.chart .area') !== null") {
		eval[bool](p, "(document.querySelector('.chart .area').focus(), true)")
		p.keys(kb.ArrowLeft + kb.ArrowLeft)
		p.until("all charts have the cursor", "[...document.querySelectorAll('.chart')].every(c => c.querySelector('.cursor.on'))")
	}
	p.keys("u")
	p.until("all jobs", "location.pathname === '/'")
	p.quiet()
}

// The names and roles that everything that can be used must have.
const nameless = `[...document.querySelectorAll('a,button,input,[tabindex="0"],[role=grid],dialog,section')].filter(e => e.checkVisibility() && !(e.getAttribute('aria-label') || e.getAttribute('aria-labelledby') || e.textContent.trim() || document.querySelector('label[for="' + e.id + '"]'))).map(e => e.outerHTML.slice(0, 120)).join('\n')`

// small are targets below 24 px, but for links within a text.
const small = `[...document.querySelectorAll('button,input,a:not(p a):not(dd a):not(li a):not(.crumbs a)')].filter(e => { const r = e.getBoundingClientRect(); return e.checkVisibility() && r.width > 0 && !e.classList.contains('skip') && (r.height < 24 || r.width < 24) }).map(e => Math.round(e.getBoundingClientRect().width) + 'x' + Math.round(e.getBoundingClientRect().height) + ' ' + e.outerHTML.slice(0, 100)).join('\n')`

func TestPage_when_seen_at_each_width_and_in_both_themes(t *testing.T) {
	h := serve(t, 120, 300)
	p := open(t, h.url())
	p.login(fake.Operator)
	for _, path := range []string{"/", "/jobs/shop-to-lake", "/jobs/shop-to-lake/tables", "/jobs/shop-to-lake/tasks", "/jobs/orders-to-pg/errors", "/jobs/clicks-to-lake", "/jobs/media-004"} {
		p.visit(path)
		p.until("it is there", "document.querySelector('.facts dd')")
		h.fake.Tick()
		for _, width := range []int64{400, 900, 1400} {
			p.size(width, 1150)
			for _, theme := range []string{"light", "dark"} {
				p.media("prefers-color-scheme", theme)
				if wide := eval[float64](p, "document.documentElement.scrollWidth - innerWidth"); wide > 0 {
					t.Errorf("%s at %d: %.0f px too wide: %s", path, width, wide, eval[string](p, `[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1).slice(0, 3).map(e => e.outerHTML.slice(0, 120)).join('\n')`))
				}
				if list := eval[string](p, nameless); list != "" {
					t.Errorf("%s: without a name:\n%s", path, list)
				}
				if list := eval[string](p, small); list != "" {
					t.Errorf("%s at %d: smaller than 24 px:\n%s", path, width, list)
				}
				evalLater[bool](p, "new Promise(r => requestAnimationFrame(() => requestAnimationFrame(() => r(true))))")
				p.shot(fmt.Sprintf("wide-%d-%s-%s", width, theme, strings.ReplaceAll(strings.Trim(path, "/")+"-", "/", "-")))
			}
		}
	}
	p.media("prefers-color-scheme", "light", "forced-colors", "active")
	p.visit("/")
	p.until("jobs", "document.querySelector('.tbody .row')")
	p.shot("forced-colours")
	p.media("prefers-color-scheme", "light")
	p.click("#top button[title^=Colours]", "")
	p.click("#top button[title^=Colours]", "")
	p.until("dark by choice", "getComputedStyle(document.body).backgroundColor === 'rgb(20, 23, 28)'")
	p.visit("/")
	p.until("dark still", "getComputedStyle(document.body).backgroundColor === 'rgb(20, 23, 28)'")
	p.quiet()
}

func TestPage_when_there_are_no_jobs(t *testing.T) {
	h := serve(t, 0, 0)
	p := open(t, h.url())
	p.visit("/")
	p.until("the form", "document.activeElement.id === 'token'")
	p.keys(fake.Operator + "\r")
	p.says(".empty", "godwit job submit job.yaml")
	p.visit("/jobs/no-such-job")
	p.says(".problem", "JOB_UNKNOWN")
	p.quiet("404")
}

// tickLimit is what one second's changes may cost: one frame.
const tickLimit = 16.0

func TestTick_when_there_are_500_jobs_and_10000_tables(t *testing.T) {
	h := serve(t, 500, 10_000)
	p := open(t, h.url())
	p.login(fake.Operator)
	measure := func(what string) {
		t.Helper()
		p.until("the stream", "document.querySelector('#light.is-live')")
		eval[bool](p, "(performance.clearMeasures('tick'), true)")
		for n := range 8 {
			h.fake.Tick()
			p.until("a tick", fmt.Sprintf("performance.getEntriesByName('tick').length > %d", n))
		}
		all := eval[[]float64](p, "performance.getEntriesByName('tick').map(e => e.duration).sort((a, b) => a - b)")
		nodes := eval[float64](p, "document.querySelectorAll('*').length")
		t.Logf("%s: ticks of %.1f ms in the middle, %.1f ms at worst, of %d; %.0f elements", what, all[len(all)/2], all[len(all)-1], len(all), nodes)
		if all[len(all)/2] > tickLimit {
			t.Errorf("%s: a tick takes %.1f ms, at most %.0f", what, all[len(all)/2], tickLimit)
		}
		if nodes > 4000 {
			t.Errorf("%s: %.0f elements in the document", what, nodes)
		}
	}
	measure("500 jobs")
	p.visit("/jobs/shop-to-lake/tables")
	began := time.Now()
	p.says(".tools", "10,000 of 10,000 tables")
	t.Logf("10,000 tables are there after %v", time.Since(began).Round(time.Millisecond))
	measure("10,000 tables")
	p.shot("tables")
	eval[bool](p, "(scrollTo(0, 150000), true)")
	p.until("rows far below", rows+".some(r => Number(r.getAttribute('aria-rowindex')) > 4000 && r.textContent.includes('shop.orders'))")
	p.slash()
	p.keys("09_017")
	p.says(".tools", "0 of 10,000")
	p.quiet()
}

func TestStream_when_the_page_is_hidden(t *testing.T) {
	h := serve(t, 10, 10)
	p := open(t, h.url())
	p.login(fake.Operator)
	p.says("#light", "live")
	if h.fake.Watchers() != 1 {
		t.Errorf("%d streams", h.fake.Watchers())
	}
	hide := "(Object.defineProperty(document, 'hidden', {configurable: true, get: () => %v}), document.dispatchEvent(new Event('visibilitychange')), true)"
	eval[bool](p, fmt.Sprintf(hide, true))
	wait(t, func() bool { return h.fake.Watchers() == 0 })
	eval[bool](p, fmt.Sprintf(hide, false))
	wait(t, func() bool { return h.fake.Watchers() == 1 })
	p.quiet()
}

// wait waits for the server to notice what the browser did.
func wait(t *testing.T, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); {
		if time.Now().After(end) {
			t.Fatal("it does not come")
		}
		time.Sleep(10 * time.Millisecond)
	}
}
