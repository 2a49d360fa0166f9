// Rows that sinks refused and put aside: how many of which table, which they are, and
// why. They are read from the sinks, so only when somebody looks.

import { call, job as path } from './api.js'
import { problem } from './dialog.js'
import { button, h, replace, show } from './dom.js'
import { ago, count, moment } from './format.js'
import { choose } from './router.js'
import { store } from './store.js'

/** @typedef {{sink: string, table: string, op: string, pos: string, key?: Record<string, string|null>, row?: Record<string, string|null>, code: string, what: string, hint?: string, time: string, at: string}} Letter */

const PAGE = 100
const PATIENCE = 60000
const OPS = /** @type {Record<string, string>} */ ({ r: 'read', i: 'insert', u: 'update', d: 'delete', t: 'truncate' })

/** mount shows the dead letters of a job. @param {HTMLElement} root @param {string} name @param {URLSearchParams} query */
export function mount(root, name, query) {
  const want = { sink: query.get('sink') ?? '', table: query.get('table') ?? '' }
  const counts = h('div', { class: 'chips', role: 'group', 'aria-label': 'Filter by sink and table' })
  const body = h('tbody')
  const list = h('div', { class: 'scroll', hidden: true }, h('table', { class: 'wide letters' }, h('caption', { class: 'hidden' }, 'Dead letters of ' + name),
    h('thead', {}, h('tr', {}, ['When', 'Sink', 'Table', 'Row', 'Why it was refused', 'Place'].map((t) => h('th', { scope: 'col' }, t)))), body))
  const state = h('div', { class: 'empty' })
  const more = button('More', () => void next(false))
  const mend = h('details', { hidden: true }, h('summary', {}, 'How do these rows get into the target?'),
    h('p', {}, 'Letters stay where they are; nothing sends them again by itself. Mend what refused the row, then:'),
    h('ul', { class: 'bullets' },
      h('li', {}, 'it was the value: correct the row in the source. The change comes through the log as any other.'),
      h('li', {}, 'it was the target (a column too narrow, a constraint): mend that, stop the job and write the missing rows: ', h('code', {}, 'godwit repair JOBFILE')),
      h('li', {}, 'it was a rule, or there are many: read the table again: ', h('code', {}, `godwit job resync ${name} TABLE`))))
  const again = button('Look again', () => void begin(), { icon: 'retry' })
  replace(root, h('h2', { class: 'hidden' }, 'Rows that were put aside'), h('div', { class: 'tools' }, counts, again), mend, list, state, more)
  let running = new AbortController()
  let after = ''

  async function begin() {
    running.abort()
    running = new AbortController()
    after = ''
    await next(true)
  }

  /** @param {boolean} first */
  async function next(first) {
    const signal = running.signal
    more.disabled = true
    try {
      const r = await call('GET', path(name) + '/dead-letters', { query: { ...want, limit: PAGE, count: first, after }, signal, patience: PATIENCE })
      if (first) {
        replace(body)
        chips(r.counts ?? [], Boolean(r.at_least))
      }
      body.append(...r.letters.map(line))
      after = r.next ?? ''
      const none = body.children.length === 0
      show(list, !none)
      show(mend, !none)
      show(state, none)
      replace(state, want.sink || want.table ? 'No letter of these.' : 'No row was put aside. A sink does that where its on_error is discard_after.')
      show(more, after !== '')
    } catch (e) {
      if (signal.aborted) return
      show(state, true)
      replace(state, problem(e, () => void (first ? begin() : next(false))))
    } finally {
      more.disabled = false
    }
  }

  /** chips has one for each table of a sink. @param {{sink: string, table: string, letters: number}[]} list @param {boolean} atLeast */
  function chips(list, atLeast) {
    replace(counts, list.map((c) => {
      const on = want.sink === c.sink && want.table === c.table
      return button(`${c.sink}: ${c.table} ${atLeast ? '≥ ' : ''}${count(c.letters)}`, () => {
        Object.assign(want, on ? { sink: '', table: '' } : { sink: c.sink, table: c.table })
        choose(want)
        void begin()
      }, { class: 'chip', 'aria-pressed': on ? 'true' : 'false' })
    }))
  }

  show(more, false)
  replace(state, h('div', { class: 'skeleton' }))
  void begin()
  return {
    close() {
      running.abort()
    },
  }
}

/** @param {Letter} l */
function line(l) {
  return h('tr', {}, h('td', { title: ago(l.time, store.now()) }, moment(l.time)), h('td', {}, l.sink), h('td', {}, l.table), h('td', {}, OPS[l.op] ?? l.op, ' ', rowOf(l)),
    h('td', {}, h('code', { class: 'code' }, l.code), ' ', l.what, l.hint ? h('div', { class: 'muted' }, l.hint) : null), h('td', {}, h('code', {}, l.pos), h('div', { class: 'muted' }, l.at)))
}

/** rowOf names a row by its key, and shows what else is known of it on demand. @param {Letter} l */
function rowOf(l) {
  const words = (/** @type {Record<string, string|null>} */ cells) => Object.entries(cells).map(([k, v]) => `${k} = ${v === null ? 'null' : v}`)
  const key = words(l.key ?? {}).join(', ')
  const row = words(l.row ?? {})
  if (!row.length) return key ? h('strong', {}, key) : h('span', { class: 'muted' }, 'too large to be shown')
  return h('details', { class: 'cells' }, h('summary', {}, key || row.slice(0, 3).join(', ')), h('ul', { class: 'plain-list' }, row.map((t) => h('li', {}, h('code', {}, t)))))
}
