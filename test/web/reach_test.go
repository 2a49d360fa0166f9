package page

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"godwit/test/web/fake"
)

// faint lists texts that have too little contrast to what is behind them, and fields
// whose edge has: WCAG 2.2, 1.4.3 and 1.4.11.
const faint = `(() => {
	const parse = c => { const m = /rgba?\(([\d.]+), ([\d.]+), ([\d.]+)(?:, ([\d.]+))?\)/.exec(c); return m ? [+m[1], +m[2], +m[3], m[4] === undefined ? 1 : +m[4]] : null }
	const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3])).concat(1)
	const light = c => { const [r, g, b] = c.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b }
	const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05) }
	const behind = e => { const stack = []; for (let n = e; n; n = n.parentElement) { const c = parse(getComputedStyle(n).backgroundColor); if (c && c[3] > 0) { stack.push(c); if (c[3] === 1) break } } return stack.reverse().reduce((b, c) => over(c, b), parse(getComputedStyle(document.body).backgroundColor)) }
	const out = new Map()
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
	let seen = 0
	while (walk.nextNode()) {
		const e = walk.currentNode.parentElement
		if (!walk.currentNode.data.trim() || !e.checkVisibility({ visibilityProperty: true }) || e.closest('.hidden,noscript,.way-list,.skip,[aria-disabled=true],:disabled')) continue
		const s = getComputedStyle(e)
		const ink = parse(e instanceof SVGElement ? s.fill : s.color)
		if (!ink) { out.set('no colour ' + e.outerHTML.slice(0, 80), 0); continue }
		const ground = behind(e)
		const big = parseFloat(s.fontSize) >= 24 || (parseFloat(s.fontSize) >= 18.66 && +s.fontWeight >= 700)
		const r = ratio(over(ink, ground), ground)
		seen++
		if (r < (big ? 3 : 4.5)) out.set(e.localName + '.' + (e.getAttribute('class') ?? '') + ' in ' + e.parentElement.localName + '.' + (e.parentElement.getAttribute('class') ?? '') + ': ' + walk.currentNode.data.slice(0, 30), r)
	}
	for (const e of document.querySelectorAll('input:not([type=checkbox]),select')) {
		if (!e.checkVisibility()) continue
		const r = ratio(parse(getComputedStyle(e).borderTopColor), behind(e.parentElement))
		if (r < 3) out.set('edge of ' + e.outerHTML.slice(0, 60), r)
	}
	if (seen < 4) out.set('only ' + seen + ' texts were looked at', 0)
	return [...out].map(([k, r]) => k + ': ' + r.toFixed(2)).join('\n')
})()`

// unsound lists what a screen reader would stumble over.
const unsound = `(() => {
	const out = []
	const seen = e => e.checkVisibility()
	const ids = [...document.querySelectorAll('[id]')].map(e => e.id)
	for (const id of ids.filter((x, i) => ids.indexOf(x) !== i)) out.push('two have the id ' + id)
	for (const a of ['aria-labelledby', 'aria-describedby', 'for']) for (const e of document.querySelectorAll('[' + a + ']')) if (!document.getElementById(e.getAttribute(a))) out.push(a + ' leads nowhere: ' + e.outerHTML.slice(0, 80))
	if ([...document.querySelectorAll('h1')].filter(seen).length !== 1) out.push([...document.querySelectorAll('h1')].filter(seen).length + ' first headings')
	let last = 0
	for (const e of [...document.querySelectorAll('h1,h2,h3')].filter(seen)) { const n = +e.localName[1]; if (n > last + 1) out.push('a heading is left out before ' + e.textContent); last = n }
	for (const role of ['main', 'header']) if (!document.querySelector(role)) out.push('no ' + role)
	for (const e of document.querySelectorAll('[role=grid]')) {
		if (!e.getAttribute('aria-rowcount')) out.push('a grid without a count')
		for (const r of e.querySelectorAll('[role=row]')) if (!r.hidden && (!r.getAttribute('aria-rowindex') || [...r.children].some(c => !['gridcell', 'columnheader'].includes(c.getAttribute('role'))))) out.push('a row is unsound: ' + r.outerHTML.slice(0, 120))
	}
	for (const e of document.querySelectorAll('section')) if (seen(e) && !e.getAttribute('aria-label') && !e.getAttribute('aria-labelledby')) out.push('a section without a name: ' + e.outerHTML.slice(0, 80))
	for (const e of document.querySelectorAll('img:not([alt]),table:not(:has(th[scope]))')) if (seen(e)) out.push('unnamed: ' + e.outerHTML.slice(0, 80))
	for (const e of document.querySelectorAll('svg:not([aria-hidden]):not([role])')) out.push('a picture without a role: ' + e.outerHTML.slice(0, 80))
	for (const e of document.querySelectorAll('.state')) if (seen(e) && !e.textContent.trim()) out.push('a state by colour alone')
	return out.join('\n')
})()`

// askew lists columns of the grid whose heading does not stand above them.
const askew = `(() => {
	const row = document.querySelector('.tbody .row:not([hidden])')
	if (!row || innerWidth < 768) return ''
	return [...document.querySelectorAll('.row.head > div')].filter(h => h.checkVisibility()).map(h => [h, row.querySelector(':scope > .' + h.classList[0])]).filter(([h, c]) => !c.checkVisibility() || Math.abs(h.getBoundingClientRect().left - c.getBoundingClientRect().left) > 2 || Math.abs(h.getBoundingClientRect().right - c.getBoundingClientRect().right) > 2).map(([h]) => h.textContent).join(', ')
})()`

// cut lists rows that have more to say than fits into them.
const cut = `[...document.querySelectorAll('.tbody .row:not([hidden])')].filter(e => e.scrollHeight > e.clientHeight + 1).map(e => e.scrollHeight + ' px: ' + e.innerText.replace(/\s+/g, ' ')).join('\n')`

func TestPage_when_looked_at_closely_in_both_themes(t *testing.T) {
	h := serve(t, 60, 120)
	p := open(t, h.url())
	p.visit("/")
	p.until("the form", "document.activeElement.id === 'token'")
	p.sound("the login")
	p.login(fake.Operator)
	for _, path := range []string{"/", "/?needs=1", "/jobs/shop-to-lake", "/jobs/shop-to-lake/tables", "/jobs/shop-to-lake/tasks", "/jobs/orders-to-pg/errors", "/jobs/clicks-to-lake/errors", "/jobs/media-004", "/jobs/shop-to-lake/letters", "/jobs/shop-010/letters", "/jobs/shop-to-lake/verify", "/jobs/media-004/verify", "/jobs/shop-to-lake/audit", "/jobs/shop-010/file", "/submit", "/audit", "/nowhere"} {
		p.visit(path)
		p.until("it is there", "document.querySelector('#main h1') && !document.querySelector('.skeleton')?.checkVisibility()")
		h.fake.Tick()
		p.sound(path)
	}
	p.visit("/jobs/orders-to-pg/errors")
	p.click(".alarms button", "Silence…")
	p.says("dialog", "It is not sent again")
	p.sound("a dialog")
	p.quiet()
}

// sound looks at what is shown in both themes, wide and narrow.
func (p *tab) sound(what string) {
	p.t.Helper()
	for _, width := range []int64{390, 900, 1400} {
		p.size(width, 1000)
		for name, script := range map[string]string{"unsound": unsound, "headings askew": askew, "rows cut off": cut, "without a name": nameless, "too small": small} {
			if list := eval[string](p, script); list != "" {
				p.t.Errorf("%s at %d: %s:\n%s", what, width, name, list)
			}
		}
		if wide := eval[float64](p, "document.documentElement.scrollWidth - innerWidth"); wide > 0 {
			p.t.Errorf("%s at %d: %.0f px too wide", what, width, wide)
		}
		for _, theme := range []string{"light", "dark"} {
			p.media("prefers-color-scheme", theme, "prefers-reduced-motion", "reduce")
			if list := eval[string](p, faint); list != "" {
				p.t.Errorf("%s at %d, %s: too faint:\n%s", what, width, theme, list)
			}
			p.shot(fmt.Sprintf("close-%s-%d-%s", strings.NewReplacer("/", "_", "?", "_", " ", "_").Replace(what), width, theme))
		}
	}
}

func TestFaint_when_something_is(t *testing.T) {
	h := serve(t, 20, 20)
	p := open(t, h.url())
	p.login(fake.Operator)
	eval[bool](p, `(() => { const e = document.createElement('p'); e.className = 'planted'; e.style.color = '#999'; e.textContent = 'too faint'; document.querySelector('main').append(e); return true })()`)
	if list := eval[string](p, faint); !strings.Contains(list, "planted") {
		t.Errorf("it was not seen: %q", list)
	}
	eval[bool](p, `(document.querySelector('.planted').append(document.createElement('section')), document.querySelector('#main').append(document.createElement('h1')), document.querySelector('.head .c-name').style.marginLeft = '9px', document.querySelector('.tbody .row').style.height = '30px', true)`)
	for want, script := range map[string]string{"first headings": unsound, "Job": askew, "px: ": cut} {
		if list := eval[string](p, script); !strings.Contains(list, want) {
			t.Errorf("it was not seen: %q", list)
		}
	}
}

// tabbable are those that Tab must come to.
const tabbable = `[...document.querySelectorAll('a[href],button,input,select,textarea,summary,[tabindex="0"]')].filter(e => e.checkVisibility({ visibilityProperty: true }) && e.tabIndex >= 0 && !e.disabled && !e.hidden)`

// who is what is used, also when it was drawn anew.
const who = `window.who = e => e.localName + ' ' + (e.getAttribute('aria-label') ?? e.textContent.trim()) + ' ' + (e.getAttribute('href') ?? e.id);`

func TestPage_when_Tab_goes_through_it(t *testing.T) {
	h := serve(t, 20, 20)
	p := open(t, h.url())
	p.login(fake.Operator)
	for _, view := range []struct{ path, last string }{ // and what comes last
		{"/", ".needs a"}, {"/jobs/shop-to-lake", ".chart .area"}, {"/jobs/orders-to-pg/errors", ".alarms button"}, {"/jobs/shop-to-lake/tables", ".tbody .row"}, {"/jobs/shop-010/file", "td button"}, {"/submit", "[data-act=submit]"},
	} {
		path := view.path
		p.visit(path)
		p.until(view.last+" is there", fmt.Sprintf("document.querySelector(%q)?.checkVisibility()", view.last))
		if path != "/" && path != "/submit" {
			p.until("its acts are there", "document.querySelector('.job-head .acts button')")
		}
		h.fake.Tick()
		eval[bool](p, "(document.activeElement.blur(), scrollTo(0, 0), true)")
		n := int(eval[float64](p, tabbable+".length"))
		unseen := ""
		for range n + 4 {
			p.keys(kb.Tab)
			unseen += eval[string](p, who+`(() => { const e = document.activeElement; if (e === document.body) return ''; (window.reached ??= new Set()).add(who(e))
				const o = getComputedStyle(e.closest('.editor') ?? e); const r = e.getBoundingClientRect()
				return (o.outlineStyle === 'none' || parseFloat(o.outlineWidth) < 2) && !e.matches('main') ? 'no outline: ' + e.outerHTML.slice(0, 90) + '\n' : r.bottom < 0 || r.top > innerHeight ? 'out of sight: ' + e.outerHTML.slice(0, 90) + '\n' : '' })()`)
		}
		if unseen != "" {
			t.Errorf("%s:\n%s", path, unseen)
		}
		if missed := eval[string](p, who+tabbable+`.filter(e => !window.reached.has(who(e)) && e.id !== 'main').map(e => e.outerHTML.slice(0, 100)).join('\n')`); missed != "" {
			t.Errorf("%s: Tab does not come to:\n%s", path, missed)
		}
	}
	p.visit("/jobs/shop-to-lake")
	p.says(".job-head h1", "shop-to-lake")
	for key, want := range map[string]string{"f": "/jobs/shop-to-lake/file", "b": "/jobs/shop-to-lake/tables", "a": "/jobs/shop-to-lake/audit", "e": "/jobs/shop-to-lake/errors", "o": "/jobs/shop-to-lake"} {
		p.keys(key)
		p.until(key+" leads to "+want, fmt.Sprintf("location.pathname === %q", want))
		eval[bool](p, "(document.activeElement.blur(), true)")
	}
	p.keys("?")
	for _, says := range []string{"file of the job", "who changed what", "submit a job", "all jobs"} {
		p.says("dialog .keys", says)
	}
	p.keys(kb.Escape)
	p.quiet()
}

func TestPage_when_motion_is_reduced(t *testing.T) {
	h := serve(t, 5, 5)
	p := open(t, h.url())
	p.login(fake.Operator)
	moving := `(() => { const e = document.createElement('div'); e.className = 'skeleton'; document.body.append(e); const s = getComputedStyle(e); const moves = s.animationName !== 'none'; e.remove(); return moves })()`
	if !eval[bool](p, moving) {
		t.Error("nothing moves at all: the test looks at the wrong thing")
	}
	p.media("prefers-reduced-motion", "reduce")
	if eval[bool](p, moving) {
		t.Error("it moves")
	}
	if n := eval[float64](p, "document.getAnimations().length"); n != 0 {
		t.Errorf("%.0f animations", n)
	}
}

func TestJob_when_its_sinks_stand_apart(t *testing.T) {
	h := serve(t, 5, 5)
	p := open(t, h.url())
	p.login(fake.Operator)
	p.visit("/jobs/clicks-to-lake")
	p.says(".way", "lake")
	if eval[bool](p, "document.querySelector('.sinks').checkVisibility()") {
		t.Error("sinks are told of which nothing is known")
	}
	evalLater[bool](p, `import('/store.js').then(({store, put}) => { put({...store.jobs.get('clicks-to-lake'), sinks: [
		{name: 'lake', standing: {status: 'running', since: '2026-11-26T14:00:00Z'}},
		{name: 'pg', standing: {status: 'retrying', since: '2026-11-26T15:00:00Z', fruitless: 3, error: {class: 'retry', code: 'SINK_BUSY', what: 'pg takes no more', cause: 'too many connections', hint: 'raise max_connections'}}}]}); return true })`)
	p.says(".sinks li", "lake")
	p.says(".sinks .state", "Running")
	p.says(".sinks .state", "Retrying, 3×")
	for _, what := range []string{"SINK_BUSY", "pg takes no more", "too many connections", "raise max_connections"} {
		p.says(".sinks .wrong", what)
	}
	p.sound("sinks")
	p.quiet()
}

func TestFile_when_edited_by_two(t *testing.T) {
	h := serve(t, 20, 20)
	p := open(t, h.url())
	p.login(fake.Operator)
	p.visit("/jobs/shop-012/file")
	p.until("its text", "document.querySelector('#file')?.value.includes('name: shop-012')")
	text := eval[string](p, "document.querySelector('#file').value")
	p.fill("#file", text+"# forbidden\n")
	p.click(".acts button", "What would it change?")
	p.says(".panel h2", "Refused: 1 change cannot be made")
	if eval[bool](p, "[...document.querySelectorAll('button')].some(b => b.textContent === 'Apply' && b.checkVisibility())") {
		t.Error("what is refused can be applied")
	}
	p.fill("#file", text+"# wrong\n")
	p.says(".flaws", "line 9, column 3")
	p.shot("wrong")
	mine := strings.NewReplacer("shop-db:", "shop-db2:", `["shop.*"]`, `["shop.*", "!shop.tmp_*"]`, "every: 120s", "every: 60s").Replace(text) + "  - name: dwh\n    postgres: {address: \"dwh:5432\", database: shop, user: godwit, password: \"${env:DWH_PASSWORD}\"}\n# mine\n"
	p.fill("#file", mine)
	p.says(".flaws", "The file is good")
	p.click(".acts button", "What would it change?")
	p.says(".panel h2", "4 changes, with what each does")
	p.size(1400, 1300)
	p.shot("edit")
	h.fake.Edit("shop-012")
	p.says(".care-line", "lives now, by ben")
	p.click(".acts button", "Apply")
	p.says(".problem", "VERSION_CHANGED")
	p.click(".tabs a", "Tables")
	p.says(".tools", "tables")
	p.click(".tabs a", "File")
	p.until("the edit is kept", "document.querySelector('#file')?.value.includes('# mine')")
	p.says(".care-line", "your edit began at version")
	p.click(".acts button", "What would it change?")
	p.click(".acts button", "Apply")
	p.says(".note", "of shop-012 lives")
	p.quiet("409")
}
