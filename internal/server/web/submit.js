// A new job: its file, what is wrong with it, what it would do, and only then the job.

import { actButton } from './actions.js'
import { call } from './api.js'
import { problem } from './dialog.js'
import { h, icon, replace } from './dom.js'
import { busy, changes, editor, opener } from './editor.js'
import { bytes, count, duration, UNKNOWN } from './format.js'
import { note } from './notice.js'
import { go, jobPath } from './router.js'
import { put } from './store.js'

const LONG = 180000

let draft = ''

/** mount shows the screen. @param {HTMLElement} root */
export function mount(root) {
  document.title = 'Submit a job · Godwit'
  const field = (/** @type {string} */ id, /** @type {string} */ label, /** @type {Record<string, any>} */ props, /** @type {string} */ hint) => {
    const input = h('input', { id, autocomplete: 'off', 'aria-describedby': id + '-hint', ...props })
    return { input, el: h('div', { class: 'field' }, h('label', { for: id }, label), input, h('p', { class: 'muted', id: id + '-hint' }, hint)) }
  }
  const edit = editor({ label: 'Job file', locked: false, changed })
  const group = field('group', 'Group', { maxlength: 64 }, 'to filter by; may be empty')
  const remark = field('note', 'Note', { maxlength: 500 }, 'for people; may be empty')
  const schedule = field('schedule', 'Schedule', { maxlength: 100, placeholder: '0 4 * * *' }, 'of snapshot and file jobs: cron, UTC unless CRON_TZ=… is before it; empty: at once')
  const paused = h('input', { type: 'checkbox', id: 'paused' })
  const plan = h('div', { class: 'plan', 'aria-live': 'polite' })
  const failed = h('div', { role: 'alert' })
  let key = ''
  const submit = actButton('submit', send, { main: true })
  const look = actButton('plan', ask)
  replace(root, h('nav', { class: 'crumbs', 'aria-label': 'Path' }, h('a', { href: '/' }, 'Jobs'), ' / submit'), h('h1', {}, 'Submit a job'),
    h('p', { class: 'muted' }, 'Secrets are references (', h('code', {}, '${env:NAME}'), ', ', h('code', {}, '${file:PATH}'), '), never the secret itself. In a terminal: ', h('code', {}, 'godwit job submit job.yaml')),
    h('div', { class: 'tools' }, ...opener((t) => {
      edit.set(t)
      changed()
      edit.area.focus()
    })), edit.el,
    h('div', { class: 'fields' }, group.el, remark.el, schedule.el, h('div', { class: 'field' }, h('label', { class: 'check', for: 'paused' }, paused, 'Begin paused'), h('p', { class: 'muted' }, 'it is planned, and moves nothing until it is resumed'))),
    failed, plan, h('div', { class: 'acts end' }, look, submit))
  if (draft) edit.set(draft)
  edit.area.focus()

  function changed() {
    draft = edit.get()
    key = ''
    replace(failed)
    replace(plan)
  }

  async function ask() {
    replace(failed)
    busy(plan, 'Asking the systems what they allow, and planning…')
    try {
      const body = { file: edit.get() }
      const found = await call('POST', '/jobs:check', { body: { ...body, deep: true }, patience: LONG })
      if (found.problems.length) {
        edit.tell(found.problems)
        return replace(plan)
      }
      const good = found.findings.every((/** @type {any} */ f) => f.ok || f.warning)
      replace(plan, findings(found.findings))
      if (!good) return
      const wait = h('p', { class: 'muted' }, 'Planning…')
      plan.append(wait)
      const p = await call('POST', '/jobs:plan', { body, patience: LONG })
      wait.remove()
      plan.append(report(p))
    } catch (e) {
      replace(plan)
      refused(e)
    }
  }

  async function send() {
    replace(failed)
    if (!edit.get().trim()) {
      replace(failed, h('p', {}, 'There is no job file yet.'))
      return edit.area.focus()
    }
    key ||= [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, '0')).join('') // sent again it counts once
    const some = (/** @type {string} */ name, /** @type {string} */ v) => (v.trim() ? { [name]: v.trim() } : {})
    const asked = performance.now()
    try {
      const job = await call('POST', '/jobs', {
        headers: { 'Idempotency-Key': key },
        body: { file: edit.get(), desired: paused.checked ? 'paused' : 'running', ...some('group', group.input.value), ...some('note', remark.input.value), ...some('schedule', schedule.input.value) },
      })
      draft = ''
      put(job, asked)
      note(`${job.name} lives here now.`)
      go(jobPath(job.name))
    } catch (e) {
      refused(e)
    }
  }

  /** @param {any} e */
  function refused(e) {
    if (e.problems?.length) edit.tell(e.problems)
    replace(failed, e.problems?.length ? h('p', { class: 'bad' }, 'Nothing was submitted: the file has problems, see above.') : problem(e))
    failed.scrollIntoView({ block: 'nearest' })
  }

  return {
    close() {
      edit.close()
    },
  }
}

/** findings of a check: what is wrong first. @param {any[]} list */
export function findings(list) {
  if (!list.length) return null
  const rank = (/** @type {any} */ f) => (f.ok ? 2 : f.warning ? 1 : 0)
  const bad = list.filter((f) => !f.ok)
  const line = (/** @type {any} */ f) => h('li', { class: ['bad', 'care', 'good'][rank(f)] }, icon(['cross', 'warn', 'check'][rank(f)]), h('div', {}, h('span', { class: 'hidden' }, ['wrong: ', 'take care: ', 'fine: '][rank(f)]), h('strong', {}, f.on), ' ', f.name, f.detail ? ': ' + f.detail : '',
    f.error ? h('div', {}, h('code', { class: 'code' }, f.error.code), ' ', f.error.what, f.error.cause ? h('div', { class: 'muted' }, f.error.cause) : null, f.error.hint ? h('div', { class: 'mend' }, f.error.hint) : null) : null))
  return h('section', { class: 'panel', 'aria-label': 'What the systems say' }, h('h2', {}, bad.some((f) => !f.warning) ? 'It cannot run yet' : bad.length ? 'It can run; look at what is marked' : 'All systems are ready'),
    h('ul', { class: 'findings' }, list.toSorted((a, b) => rank(a) - rank(b)).map(line)))
}

/** report tells what a job would do. @param {any} r PlanResult */
export function report(r) {
  const p = r.plan
  const known = (/** @type {number} */ n, /** @type {(n: number) => string} */ write) => (n >= 0 ? '~' + write(n) : UNKNOWN)
  return h('section', { class: 'panel', 'aria-label': 'Plan' }, h('h2', {}, 'What it would do'),
    r.changes?.length ? [h('h3', {}, 'To the job of this name'), changes(r.changes)] : null,
    (p.warnings ?? []).map((/** @type {any} */ w) => h('p', { class: 'care-line' }, icon('warn'), h('span', {}, w.what, w.hint ? ' ' + w.hint : ''))),
    p.copy_s ? h('p', {}, `The copy takes about ${duration(p.copy_s)}${p.copy_bytes_s ? ` at ${bytes(p.copy_bytes_s)}/s, a cautious guess` : ''}.`) : null,
    p.log_reaches_back_s ? h('p', {}, `The source's log reaches back ${duration(p.log_reaches_back_s)}.`) : null,
    p.tables?.length ? h('div', { class: 'scroll' }, h('table', { class: 'plain' }, h('thead', {}, h('tr', {}, ['Table', 'Rows', 'Size', 'Key', 'Target', 'Guarantee'].map((t) => h('th', { scope: 'col' }, t)))), h('tbody', {}, p.tables.slice(0, 500).map((/** @type {any} */ t) => h('tr', {},
      h('td', {}, t.table, t.note ? h('div', { class: 'muted' }, t.note) : null), h('td', {}, known(t.rows, count)), h('td', {}, known(t.bytes, bytes)), h('td', {}, t.key?.join(', ') || 'none: one chunk'),
      h('td', {}, t.targets.map(target)), h('td', {}, t.targets.map((/** @type {any} */ k) => h('div', { title: k.guarantee_reason }, k.guarantee)))))))) : null,
    p.tables?.length > 500 ? h('p', { class: 'muted' }, `and ${count(p.tables.length - 500)} more tables`) : null,
    p.files ? files(p.files) : null)
}

/** target is what becomes of a table in a sink: its name there, its columns, and what rules change. @param {any} k watch.PlanTarget */
function target(k) {
  if (!k.guarantee) return h('div', {}, k.sink, ': ', k.guarantee_reason)
  return [h('details', {}, h('summary', {}, k.sink, ': ', k.target), h('ul', { class: 'plain-list' }, k.columns.map((/** @type {string} */ c) => h('li', {}, h('code', {}, c))))),
    k.rules?.length ? h('ul', { class: 'bullets muted', 'aria-label': 'By rules' }, k.rules.map((/** @type {string} */ r) => h('li', {}, r))) : null]
}

/** @param {any} f watch.PlanFiles */
function files(f) {
  return [(f.dangers ?? []).map((/** @type {string} */ d) => h('p', { class: 'care-line' }, icon('warn'), h('span', {}, d))), h('p', {}, `${f.source} → ${f.sink}: ${count(f.listed.objects)} objects, ${bytes(f.listed.bytes)}. Guarantee: ${f.guarantee}.`),
    h('ul', { class: 'plain-list' }, f.objects.map((/** @type {any} */ o) => h('li', {}, h('strong', {}, o.action), ` ${count(o.objects)} (${bytes(o.bytes)})${o.reason ? ': ' + o.reason : ''}`)))]
}
