// Did everything arrive? The verification of a job that goes on, and what earlier ones
// found: of files and of tables alike.

import { actButton, jobAct, verifies, whyNot } from './actions.js'
import { call, get, job as path } from './api.js'
import { problem } from './dialog.js'
import { button, facts, h, icon, replace, show } from './dom.js'
import { ago, bytes, count, date, moment, NONE, plural } from './format.js'
import { note } from './notice.js'
import { store } from './store.js'

/** @typedef {any} Verification of the API */

const BEAT = 2000
const SHOWN = 200

/** mount shows the verifications of a job. @param {HTMLElement} root @param {string} name */
export function mount(root, name) {
  const start = actButton('verify', () => {
    const job = store.jobs.get(name)
    return job ? jobAct(job, 'verify') : undefined
  }, { main: true })
  const cancel = button('Break off', () => void stop(), { icon: 'stop' })
  const going = h('section', { class: 'panel', 'aria-labelledby': 's-going', hidden: true })
  const last = h('div')
  const before = h('div')
  const failed = h('div', { role: 'alert' })
  replace(root, h('h2', { class: 'hidden' }, 'Did everything arrive?'), h('div', { class: 'tools' }, start, cancel), failed, going, last, before)
  const list = h('dl', { class: 'numbers' })
  const tell = facts(list)
  replace(going, h('header', {}, h('h2', { id: 's-going' }, 'It is being compared')), list)
  let busy = false
  let drawn = ''
  let timer = 0
  let goes = false
  let word = '' // what is counted

  async function stop() {
    if (whyNot()) return note(whyNot())
    try {
      await call('DELETE', path(name) + '/verification')
      note('The verification was broken off.')
    } catch (e) {
      replace(failed, problem(e))
    }
    void load()
  }

  async function load() {
    if (busy) return
    busy = true
    try {
      word ||= (store.jobs.get(name) ?? await get(path(name))).kind === 'files' ? 'object' : 'row'
      draw(await get(path(name) + '/verification'))
      replace(failed)
    } catch (e) {
      if (!drawn) replace(failed, problem(e, () => void load()))
    } finally {
      busy = false
    }
  }

  /** @param {{current?: Verification, last?: Verification, earlier: Verification[]}} v */
  function draw(v) {
    goes = Boolean(v.current)
    show(going, goes)
    show(cancel, goes)
    show(start, !goes)
    if (v.current) {
      const c = v.current
      tell([['state', c.state + (c.waits_for ? ': waits for ' + c.waits_for : '')], ['asked', `${ago(c.asked, store.now())} by ${c.by}${c.reason ? `: “${c.reason}”` : ''}`], ['compared', amount(c.compared, word)],
        ['differ so far', count(c.differing ?? 0)], ['judged again', c.again ? `${count(c.again)}, which may be on their way, at the end` : '']])
    }
    const key = JSON.stringify([v.last, v.earlier])
    if (key === drawn) return
    drawn = key
    replace(last, v.last ? result(v.last, word, 'Last verification') : goes ? null : h('p', { class: 'empty' }, 'It was never verified on this server. A verification compares what source and target have while the job goes on, and changes neither.'))
    replace(before, v.earlier.length ? h('section', { class: 'panel', 'aria-labelledby': 's-before' }, h('h2', { id: 's-before' }, 'Before that'), h('ul', { class: 'plain-list' }, v.earlier.map((e) => h('li', {}, moment(e.ended ?? e.asked), ' · ', verdict(e, word), ` · by ${e.by}`)))) : null)
  }

  show(cancel, false)
  replace(last, h('div', { class: 'skeleton' }))
  void load()
  timer = window.setInterval(() => {
    if (goes && !document.hidden) void load()
  }, BEAT)
  return {
    /** @param {import('./store.js').News} news */
    tell(news) {
      const job = store.jobs.get(name)
      if (job && (news.jobs === null || news.jobs.has(name)) && verifies(job) !== goes) void load()
    },
    close() {
      clearInterval(timer)
    },
  }
}

/** @param {{objects: number, bytes: number}|undefined} n @param {string} word */
function amount(n, word) {
  return plural(n?.objects ?? 0, word) + (n?.bytes ? ` (${bytes(n.bytes)})` : '')
}

/** differing are those not found equal, by kind. @param {Verification} v @returns {[number, string][]} */
function differing(v) {
  return /** @type {[number, string][]} */ ([[v.missing ?? 0, 'missing'], [v.extra ?? 0, 'extra'], [v.different ?? 0, 'different'], [v.doubled ?? 0, 'doubled'], [v.not_comparable ?? 0, 'not compared']]).filter(([n]) => n)
}

/** verdict in a sentence. @param {Verification} v @param {string} word */
function verdict(v, word) {
  if (v.state !== 'finished') return v.state + (v.error ? `: ${v.error.code}: ${v.error.what}` : '')
  if (v.verdict === 'equal') return `equal: ${amount(v.equal, word)}`
  return differing(v).map(([n, kind]) => `${count(n)} ${kind}`).join(', ') + `; equal: ${amount(v.equal, word)}`
}

/** result shows what a verification found. @param {Verification} v @param {string} word @param {string} title */
function result(v, word, title) {
  const good = v.state === 'finished' && v.verdict === 'equal'
  const list = h('dl', { class: 'numbers' })
  facts(list)([['when', `${moment(v.started ?? v.asked)} to ${date(v.ended) ? moment(v.ended) : NONE}`], ['asked by', v.by + (v.reason ? `: “${v.reason}”` : '')], ['way', v.way ?? ''], ['by', strength(v)], ['read', v.bytes_read ? bytes(v.bytes_read) : ''],
    ['not looked for', v.not_looked_for ?? ''], ['job file', 'version ' + v.version]])
  return h('section', { class: 'panel verification', 'aria-labelledby': 's-verdict' },
    h('header', {}, h('h2', { id: 's-verdict' }, title), h('a', { href: '/api/v1' + path(v.job) + '/verification', download: v.job + '-verification.json' }, 'As JSON')),
    h('p', { class: good ? 'good-line' : 'care-line' }, icon(good ? 'check' : v.state === 'finished' ? 'cross' : 'warn'), h('strong', {}, verdict(v, word))),
    v.error?.hint ? h('p', { class: 'mend' }, v.error.hint) : null, list,
    v.tables?.length ? tables(v.tables) : null,
    v.not_compared?.length ? [h('h3', {}, 'Why some were not compared'), h('ul', { class: 'bullets' }, v.not_compared.map((/** @type {any} */ n) => h('li', {}, `${count(n.objects)}: ${n.reason}`)))] : null,
    v.differences?.length ? differences(v) : null)
}

/** strength says what proved it. @param {Verification} v */
function strength(v) {
  const by = (v.equal_by ?? []).map((/** @type {any} */ p) => `${p.by} (${count(p.objects)})`).join(', ')
  return by || (v.tables?.length ? 'values of every row' : '')
}

/** tables shows what was found of each of them in each sink. @param {any[]} list watch.VerifiedTable */
function tables(list) {
  const cell = (/** @type {number} */ n) => h('td', { class: n ? 'bad-cell' : '' }, count(n))
  return [h('h3', {}, 'Tables'), h('div', { class: 'scroll' }, h('table', { class: 'wide' }, h('caption', { class: 'hidden' }, 'What was found of each table in each sink'), h('thead', {}, h('tr', {}, ['Table', 'Sink', 'Equal', 'Missing', 'Extra', 'Different', 'Doubled', 'Not compared', 'Source at', 'Sink at'].map((t) => h('th', { scope: 'col' }, t)))),
    h('tbody', {}, list.slice(0, 1000).map((t) => h('tr', {}, h('td', {}, t.table, t.not_compared ? h('div', { class: 'muted' }, t.not_compared) : null, t.lossy?.length ? h('div', { class: 'muted' }, 'with a loss: ' + t.lossy.join(', ')) : null), h('td', {}, t.on), h('td', {}, count(t.equal ?? 0)),
      ...[t.missing, t.extra, t.different, t.doubled, t.not_comparable].map((n) => cell(n ?? 0)), h('td', {}, t.source_at || NONE), h('td', {}, t.sink_at || NONE)))))),
  list.length > 1000 ? h('p', { class: 'muted' }, `and ${count(list.length - 1000)} more`) : null]
}

/** differences shows the first of them, with the values of both sides where they are known. @param {Verification} v */
function differences(v) {
  const all = differing(v).reduce((sum, [n]) => sum + n, 0)
  const shown = v.differences.slice(0, SHOWN)
  return [h('h3', {}, all > shown.length ? `The first ${count(shown.length)} of ${count(all)} differences` : plural(all, 'difference')), h('div', { class: 'scroll' }, h('table', { class: 'wide' }, h('caption', { class: 'hidden' }, 'Differences'),
    h('thead', {}, h('tr', {}, ['What', 'Which', 'Sink', 'Why'].map((t) => h('th', { scope: 'col' }, t)))), h('tbody', {}, shown.map((/** @type {any} */ d) => h('tr', {}, h('td', {}, d.kind), h('td', {}, h('code', {}, d.key)), h('td', {}, d.row?.on ?? NONE),
      h('td', {}, d.reason ?? '', (d.row?.columns ?? []).map((/** @type {any} */ c) => h('div', {}, h('strong', {}, c.column), ': ', h('code', {}, c.source), ' → ', h('code', {}, c.sink))))))))),
  all > shown.length ? h('p', { class: 'muted' }, 'All of them, as JSON lines: ', h('code', {}, 'godwit verify JOBFILE --json')) : null]
}
