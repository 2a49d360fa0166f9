package page

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestWalk_when_the_server_is_real walks the whole page on a real server with a real
// database: what somebody does from the first job to the last, and at 3 a.m.
func TestWalk_when_the_server_is_real(t *testing.T) {
	r := newReal(t)
	stop := r.change()
	defer stop()
	p := open(t, r.url())
	p.signIn(r)
	p.submitFirst(r)
	p.lookAtTables(r)
	r.submit("media", r.files("media"))
	r.submit("broken", r.tables("broken", "WALK_WRONG"))
	p.lookAtErrors()
	p.mend()
	p.holdAndGoOn()
	p.stopAndStart()
	p.surviveKill(r)
	p.onlyRead(r)
	p.remove()
	p.drain(r)
}

// fill gives a field a text, as pasting does.
func (p *tab) fill(selector, text string) {
	p.t.Helper()
	p.until(selector, fmt.Sprintf("document.querySelector(%q)?.checkVisibility()", selector))
	eval[bool](p, fmt.Sprintf("(() => { const e = document.querySelector(%q); e.focus(); e.value = %q; e.dispatchEvent(new Event('input', {bubbles: true})); return true })()", selector, text))
}

// same says that the page was never loaded anew since.
const same = "window.walked === true"

func (p *tab) signIn(r *real) {
	p.visit("/")
	p.until("the form", "document.activeElement.id === 'token'")
	p.keys("godwit_nonsense\r")
	p.says(".problem", "TOKEN_REFUSED")
	p.keys(r.tokens["operate"] + "\r")
	p.says(".empty", "No job lives here yet")
	p.shot("real-empty")
	p.quiet("401")
	eval[bool](p, "window.walked = true")
}

func (p *tab) submitFirst(r *real) {
	p.click(".empty a", "Submit a job")
	p.says("h1", "Submit a job")
	p.fill("#file", strings.Replace(r.tables("shop-to-lake", "WALK_PASSWORD"), "every:", "evry:", 1))
	p.says(".flaws", "line 8")
	p.says(".flaws", "every")
	p.shot("real-submit-bad")
	p.click(".acts button", "Submit")
	p.says(".bad", "Nothing was submitted")
	p.click(".flaws .place", "line 8")
	p.until("the cursor is there", "document.activeElement.id === 'file' && document.activeElement.value.slice(document.activeElement.selectionStart).startsWith('evry')")
	p.fill("#file", r.tables("shop-to-lake", "WALK_PASSWORD"))
	p.says(".flaws", "The file is good: it is the job shop-to-lake")
	p.click(".acts button", "What would it do?")
	p.says(".plan", "All systems are ready")
	for _, table := range []string{"shop.customers", "shop.items", "shop.orders"} {
		p.says(".plan td", table)
	}
	p.shot("real-submit")
	p.click(".acts button", "Submit")
	p.says(".job-head h1", "shop-to-lake")
}

func (p *tab) lookAtTables(r *real) {
	p.says(".facts", "stream")
	p.says(".facts", "changes/s")
	p.until("a rate and the last commit on the arrow to the sink", "/changes\\/s/.test(document.querySelector('.way').textContent) && /committed/.test(document.querySelector('.way').textContent) && /rows\\/s/.test(document.querySelector('.way').textContent)")
	p.says(".chart", "Changes a second")
	p.shot("real-job")
	p.click(".tabs a", "Tables")
	p.says(".tools", "3 of 3 tables")
	p.shot("real-tables")
	p.click(".tbody .row input", "")
	p.click(".picker button", "Pause")
	p.says(".tbody .row", "Paused")
	p.click(".note button", "Resume")
	p.until("no table is paused", "![...document.querySelectorAll('.tbody .row')].some(e => e.textContent.includes('Paused'))")
	p.click(".tbody .row input", "")
	p.click(".picker button", "Resync")
	p.says("dialog", "from the first row to the last")
	p.shot("real-resync")
	p.keys("they differ\r")
	p.until("the dialog is gone", "!document.querySelector('dialog[open]')")
}

func (p *tab) lookAtErrors() {
	p.click(".main-nav a", "Jobs")
	p.says(".tools", "3 of 3 jobs")
	p.says(".needs", "broken")
	p.says(".needs", "SOURCE_AUTH")
	p.says(".t-jobs", "media")
	p.shot("real-jobs")
	p.click(".needs a.name", "broken")
	for _, what := range []string{"SOURCE_AUTH", "Access denied", "to do", "godwit explain SOURCE_AUTH"} {
		p.says(".card", what)
	}
	if text := eval[string](p, "document.body.innerText"); strings.Contains(text, "not-the-password") {
		p.t.Error("the page shows a password")
	}
	p.shot("real-errors")
	p.click(".alarms button", "Silence…")
	p.until("a time can be chosen", "document.querySelector('dialog select#time')")
	p.fill("dialog #reason", "the password is being changed")
	p.shot("real-silence")
	p.click("dialog button[type=submit]", "Silence")
	p.says(".alarms", "silent until")
	p.says(".alarms button", "Tell it again")
	p.click(".card button", "Retry now")
	p.says(".note", "Retrying broken")
}

func (p *tab) mend() {
	p.click(".tabs a", "File")
	p.until("its text", "document.querySelector('#file')?.value.includes('WALK_WRONG')")
	text := eval[string](p, "document.querySelector('#file').value")
	p.fill("#file", strings.ReplaceAll(text, "broken\n", "other\n"))
	p.click(".acts button", "What would it change?")
	p.says(".problem", "belong to a job's name")
	text = strings.ReplaceAll(text, "WALK_WRONG", "WALK_PASSWORD")
	p.fill("#file", text)
	p.click(".acts button", "What would it change?")
	p.says(".panel h2", "1 change, with what it does")
	p.says(".changes", "secrets: (hidden)")
	p.fill("#file", strings.ReplaceAll(text, "every: 1s", "every: 2s"))
	p.until("an edit is looked at before it counts", "!document.querySelector('#reason')?.checkVisibility()")
	p.click(".acts button", "What would it change?")
	p.says(".panel h2", "2 changes, with what each does")
	p.says(".changes", "roll.every: 1s → 2s")
	p.says(".changes .state", "restarts")
	p.shot("real-edit")
	p.fill("#reason", "the right password")
	p.click(".acts button", "Apply")
	p.says(".note", "Version 2 of broken lives")
	p.says("td", "the right password")
	p.click(".tabs a", "Overview")
	p.says(".facts", "stream")
	p.click(".tabs a", "Errors")
	p.says(".stage", "No errors now")
	p.click(".tabs a", "Audit")
	for _, what := range []string{"submit", "silence", "retry", "edit", "the right password", "the password is being changed"} {
		p.says("td", what)
	}
	p.shot("real-audit")
}

func (p *tab) holdAndGoOn() {
	p.click(".main-nav a", "Jobs")
	p.click(".tbody a.name", "shop-to-lake")
	p.click(".job-head button", "Pause")
	p.says(".job-head .state", "Paused by ana-operate")
	p.click(".job-head button", "Resume")
	p.until("it goes on", "['Running', 'Caught up'].some(w => document.querySelector('.job-head .state').textContent.includes(w))")
}

func (p *tab) stopAndStart() {
	p.click(".job-head button", "Stop…")
	p.until("the reason is where one types", "document.activeElement.id === 'reason'")
	p.keys("the lake is moved\r")
	p.says(".job-head .state", "Stopped by ana-operate")
	p.says(".job-head .why", "the lake is moved")
	p.click(".job-head button", "Read again…")
	p.says("dialog", "reads everything again")
	p.click("dialog button", "Cancel")
	p.click(".job-head button", "Start…")
	p.keys("it is there\r")
	p.says(".facts", "stream")
	p.until("it goes on", "['Running', 'Caught up'].some(w => document.querySelector('.job-head .state').textContent.includes(w))")
}

func (p *tab) surviveKill(r *real) {
	if code := r.end(syscall.SIGKILL); code != -1 {
		p.t.Errorf("it ended by itself: %d", code)
	}
	p.says("#banner", "No news since")
	p.says("#light", "no answer")
	p.shot("real-gone")
	r.start()
	p.says("#light", "live")
	p.until("the banner is gone", "!document.querySelector('#banner').checkVisibility() || !document.querySelector('#banner').textContent")
	p.says(".facts", "stream")
	p.until("it goes on", "['Running', 'Caught up'].some(w => document.querySelector('.job-head .state').textContent.includes(w))")
	p.until("a figure of now", "!document.body.classList.contains('stale')")
	p.until("the page was not loaded anew", same)
	p.quiet("401", "404", "ERR_CONNECTION", "ERR_INCOMPLETE", "ERR_EMPTY", "Failed to load", "503")
}

func (p *tab) onlyRead(r *real) {
	reader := open(p.t, r.url())
	reader.login(r.tokens["read"])
	reader.says("#top", "read only")
	reader.visit("/jobs/shop-to-lake")
	reader.says(".job-head button", "Pause")
	if why := eval[string](reader, "document.querySelector('.job-head [data-act=pause][aria-disabled=true]')?.title ?? ''"); !strings.Contains(why, "its role is read") {
		p.t.Errorf("why not: %q", why)
	}
	reader.click(".job-head button", "Pause")
	reader.says(".note", "its role is read")
	reader.visit("/jobs/shop-to-lake/file")
	reader.until("its text, to be read", "document.querySelector('#file')?.value.includes('WALK_PASSWORD') && document.querySelector('#file').readOnly")
	reader.visit("/submit")
	reader.says("button[aria-disabled=true]", "Submit")
	reader.shot("real-read-only")
	reader.quiet()
}

func (p *tab) remove() {
	p.click(".crumbs a", "Jobs")
	p.click(".tbody a.name", "media")
	p.says(".job-head h1", "media")
	p.says(".numbers", "20 (")
	p.click(".job-head button", "Verify…")
	p.says("dialog", "changes neither")
	p.keys("before it goes\r")
	p.says(".numbers", "verified")
	p.until("a verdict", "/equal, (now|\\d+ s ago)/.test(document.querySelector('.numbers').textContent)")
	p.shot("real-files")
	p.click(".job-head button", "Delete…")
	p.until("the name is where one types", "document.activeElement.id === 'typed'")
	p.keys("media")
	p.fill("dialog #reason", "not needed any more")
	p.click("dialog button[type=submit]", "Delete")
	p.says(".tools", "2 of 2 jobs")
	p.click(".main-nav a", "Audit")
	p.says("td", "not needed any more")
	p.shot("real-audit-all")
}

func (p *tab) drain(r *real) {
	p.click(".main-nav a", "Jobs")
	p.says(".tools", "2 of 2 jobs")
	if code := r.end(syscall.SIGTERM); code != 143 {
		p.t.Errorf("exit code %d\n%s", code, r.said)
	}
	p.says("#banner", "No news since")
	p.until("what was known stays", "document.querySelectorAll('.tbody .row:not([hidden])').length === 2")
	p.until("the page was never loaded anew", same)
	if found, err := filepath.Glob(filepath.Join(r.dir, "data", "shop-to-lake", "shop", "orders", "*.csv")); err != nil || len(found) == 0 {
		p.t.Errorf("nothing arrived: %v %v", found, err)
	}
	if _, err := os.Stat(filepath.Join(r.state(), "serve.json")); err == nil {
		p.t.Error("serve.json is left after a clean end")
	}
}
