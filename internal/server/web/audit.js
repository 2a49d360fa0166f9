// Who changed what: people, tokens, the schedule, and the server by itself.

import { pages } from './api.js'
import { problem } from './dialog.js'
import { button, h, replace, show } from './dom.js'
import { ago, moment, NONE } from './format.js'
import { choose, jobPath } from './router.js'
import { store } from './store.js'

/** @typedef {import('./api.js').Entry} Entry */

const PAGE = 100

/** mount shows the audit log of a job; without a name, of all. @param {HTMLElement} root @param {string} name @param {URLSearchParams} query */
export function mount(root, name, query) {
  const search = h('input', { type: 'search', value: query.get('q') ?? '', placeholder: 'Search', 'aria-label': 'Search the audit log', oninput: () => typed() })
  const body = h('tbody')
  const state = h('div', { class: 'empty' })
  const more = button('Older', () => void next())
  replace(root, h('div', { class: 'tools' }, h('label', { class: 'search' }, search)),
    h('div', { class: 'scroll' }, h('table', { class: 'plain audit' }, h('caption', { class: 'hidden' }, name ? 'Audit log of ' + name : 'Audit log'),
      h('thead', {}, h('tr', {}, ['Time', 'Who', ...(name ? [] : ['Job']), 'What', 'From → to', 'Reason', 'Outcome', 'Request'].map((t) => h('th', { scope: 'col' }, t)))), body)), state, more)
  /** @type {AbortController} */
  let running = new AbortController()
  let after = ''
  let timer = 0

  function typed() {
    clearTimeout(timer)
    timer = window.setTimeout(() => {
      choose({ q: search.value.trim() })
      void begin()
    }, 250)
  }

  async function begin() {
    running.abort()
    running = new AbortController()
    after = ''
    await next(true)
  }

  /** @param {boolean} [first] */
  async function next(first) {
    const signal = running.signal
    more.disabled = true
    try {
      await pages('/audit', { job: name || undefined, q: search.value.trim(), limit: PAGE, ...(after ? { after } : {}) }, (page) => {
        if (first) replace(body)
        body.append(...page.items.map((/** @type {Entry} */ e) => line(e, !name)))
        after = page.next ?? ''
        return false
      }, signal)
      show(state, body.children.length === 0)
      replace(state, search.value.trim() ? 'Nothing in the log matches.' : 'Nobody has changed anything yet.')
      show(more, after !== '')
    } catch (e) {
      if (signal.aborted) return
      show(state, true)
      replace(state, problem(e, () => void begin()))
    } finally {
      more.disabled = false
    }
  }

  show(state, true)
  replace(state, h('div', { class: 'skeleton' }))
  void begin()
  return {
    /** @param {import('./store.js').News} news */
    tell(news) {
      const ours = news.entries.filter((e) => !name || e.job === name)
      if (!ours.length || search.value.trim()) return
      body.prepend(...ours.reverse().map((e) => line(e, !name)))
      show(state, false)
    },
    close() {
      running.abort()
      clearTimeout(timer)
    },
  }
}

/** @param {Entry} e @param {boolean} whose whether its job is told */
function line(e, whose) {
  return h('tr', { class: e.outcome === 'done' ? '' : 'bad' }, h('td', { title: ago(e.at, store.now()) }, moment(e.at)), h('td', {}, e.by), whose ? h('td', {}, e.job && store.jobs.has(e.job) ? h('a', { href: jobPath(e.job) }, e.job) : e.job || NONE) : null, h('td', {}, e.what),
    h('td', {}, e.from || e.to ? [h('code', {}, e.from || NONE), ' → ', h('code', {}, e.to || NONE)] : NONE), h('td', {}, e.reason || NONE),
    h('td', {}, e.outcome, e.code ? [' ', h('code', { class: 'code' }, e.code)] : null), h('td', {}, e.request ? h('code', {}, e.request) : NONE))
}
