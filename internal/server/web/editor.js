// The text of a job file as it is edited: with the numbers of its lines, and what is
// wrong with it, told while it is typed.

import { call } from './api.js'
import { attr, button, h, replace, show } from './dom.js'
import { plural } from './format.js'

/** @typedef {{code: string, what: string, line?: number, column?: number, field?: string, hint?: string}} Flaw */

const SOON = 350

/**
 * editor makes the field; changed is called with each edit.
 * @param {{label: string, locked: boolean, changed: () => void}} o
 */
export function editor(o) {
  const gutter = h('pre', { class: 'gutter', 'aria-hidden': 'true' })
  const area = h('textarea', { id: 'file', class: 'text', wrap: 'off', spellcheck: 'false', autocomplete: 'off', autocapitalize: 'off', 'aria-label': o.label, 'aria-describedby': 'flaws', readonly: o.locked, oninput: () => typed() })
  const flaws = h('div', { class: 'flaws', id: 'flaws', role: 'status' })
  const el = h('div', {}, h('div', { class: 'editor' }, gutter, area), flaws)
  let timer = 0
  let turn = 0
  let name = ''
  area.addEventListener('scroll', () => {
    gutter.scrollTop = area.scrollTop
  })

  function typed() {
    lines([])
    attr(flaws, 'aria-busy', 'true') // of the text before
    clearTimeout(timer)
    timer = window.setTimeout(look, SOON)
    o.changed()
  }

  /** lines numbers them, and marks those that are wrong. @param {Flaw[]} list */
  function lines(list) {
    const wrong = new Set(list.map((f) => f.line))
    const n = area.value.split('\n').length
    area.rows = Math.max(9, Math.min(24, n + 1))
    replace(gutter, ...Array.from({ length: n }, (_, i) => h('span', { class: wrong.has(i + 1) ? 'wrong' : null }, String(i + 1) + '\n')))
  }

  /** look asks the server whether the text is a job file; nothing is kept there. */
  async function look() {
    const mine = ++turn
    attr(flaws, 'aria-busy', 'true')
    if (!area.value.trim()) {
      attr(flaws, 'aria-busy', null)
      replace(flaws)
      return
    }
    try {
      const r = await call('POST', '/jobs:check', { body: { file: area.value } })
      if (mine !== turn) return
      name = r.name ?? ''
      tell(r.problems.length || r.ok ? r.problems : r.findings.filter((/** @type {any} */ f) => !f.ok).map((/** @type {any} */ f) => f.error ?? { code: '', what: f.detail ?? f.name }))
    } catch (e) {
      if (mine !== turn) return
      attr(flaws, 'aria-busy', null)
      const f = /** @type {any} */ (e).fault
      replace(flaws, h('p', { class: 'muted' }, `Not checked: ${f?.what ?? e}.`))
    }
  }

  /** tell shows what is wrong, each with its place to go to. @param {Flaw[]} list */
  function tell(list) {
    attr(flaws, 'aria-busy', null)
    lines(list)
    replace(flaws, list.length === 0 ? h('p', { class: 'good' }, `The file is good${name ? `: it is the job ${name}` : ''}.`)
      : [h('p', { class: 'bad' }, plural(list.length, 'problem')), h('ul', { class: 'plain-list' }, list.map((f) => h('li', {},
        f.line ? button(`line ${f.line}${f.column ? ', column ' + f.column : ''}`, () => go(f), { class: 'place' }) : null,
        h('div', {}, h('strong', {}, f.what), f.code ? [' ', h('code', { class: 'code' }, f.code)] : null, f.hint ? h('div', {}, f.hint) : null))))])
  }

  /** go puts the cursor where something is wrong. @param {Flaw} f */
  function go(f) {
    const all = area.value.split('\n')
    const line = Math.min(all.length, f.line ?? 1)
    const start = all.slice(0, line - 1).reduce((/** @type {number} */ n, /** @type {string} */ l) => n + l.length + 1, 0)
    area.focus()
    area.setSelectionRange(start + Math.min(all[line - 1].length, Math.max(0, (f.column ?? 1) - 1)), start + all[line - 1].length)
    area.scrollTop = Math.max(0, (line - 6) * parseFloat(getComputedStyle(area).lineHeight))
  }

  lines([])
  return {
    el, area, tell,
    /** @param {string} words */
    set(words) {
      area.value = words
      lines([])
      void look()
    },
    get() {
      return area.value
    },
    close() {
      turn++
      clearTimeout(timer)
    },
  }
}

const KIND = /** @type {Record<string, string>} */ ({ 'taken over': 'rest', restarts: 'run', 're-plans': 'run', resyncs: 'care', refused: 'fail' })
const MEANS = /** @type {Record<string, string>} */ ({
  'taken over': 'as it runs; nothing starts anew', restarts: 'what it touches starts anew; nothing is read again', 're-plans': 'tables are looked for again',
  resyncs: 'a table is read again', refused: 'nothing at all is changed',
})

/** changes tells what each change of a job file does. @param {{field: string, from: string, to: string, effect: string, does?: string, why?: string}[]} list */
export function changes(list) {
  if (!list.length) return h('p', {}, 'No option is another one. Comments are not compared.')
  return h('ul', { class: 'changes' }, list.map((c) => h('li', {}, h('span', { class: 'state is-' + (KIND[c.does ?? ''] ?? 'none'), title: MEANS[c.does ?? ''] }, h('span', {}, c.does ?? c.effect)),
    h('div', {}, h('code', {}, c.field), ': ', h('code', {}, c.from || '(none)'), ' → ', h('code', {}, c.to || '(none)'),
      h('div', { class: 'muted' }, c.why || MEANS[c.does ?? ''])))))
}

/** busy says that something is asked for, until the answer replaces it. @param {HTMLElement} el @param {string} words */
export function busy(el, words) {
  show(el, true)
  replace(el, h('p', { class: 'muted' }, words))
}

/** opener is a button that reads a file of this machine. @param {(words: string) => void} take */
export function opener(take) {
  const pick = h('input', {
    type: 'file', id: 'open', accept: '.yaml,.yml,text/*', hidden: true, onchange: async () => {
      const f = pick.files?.[0]
      if (f) take(await f.text())
      pick.value = ''
    },
  })
  const b = button('Open a file…', () => pick.click())
  return [b, pick]
}
