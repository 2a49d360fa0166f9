// The tables of a job, ten thousand of them, and its tasks: each with its own state
// and its own acts.

import { actButton, ACTS, carry, resync } from './actions.js'
import { job as path, pages } from './api.js'
import { problem } from './dialog.js'
import { attr, button, h, icon, once, replace, show, text } from './dom.js'
import { ago, bytes, count, date, moment, NONE, percent, plural, rate, short, UNKNOWN } from './format.js'
import { bind } from './keys.js'
import { say } from './notice.js'
import { choose } from './router.js'
import { badge, rank, standing, STATUSES, word } from './state.js'
import { store } from './store.js'
import { picker, sorted, Table } from './table.js'

/** @typedef {any} Item a Table or a Task of the API */

const MOVING = ['preparing', 'running', 'retrying', 'stopping', 'failed', 'paused']
const BEAT = 5000
/** What states mean of a part: its turn has not come; its rows are there, and its changes may go on to come. @type {Record<string, string>} */
const OF_PARTS = { unassigned: 'Waiting', finished: 'Copied' }
const WHOLE = 60000

/** rows of a table; null: not known. @param {Item} t */
const rows = (t) => (typeof t.rows === 'number' && t.rows >= 0 ? t.rows : null)
/** @param {Item} t */
const share = (t) => (t.standing.status === 'finished' ? 100 : rows(t) ? Math.min(99.9, (100 * (t.done ?? 0)) / /** @type {number} */ (rows(t))) : t.chunks ? (100 * (t.chunks_done ?? 0)) / t.chunks : null)

/** @type {Record<string, (t: Item) => any>} */
const BY = {
  status: (t) => rank(t.standing.status), since: (t) => t.standing.since, name: (t) => t.name ?? t.id, kind: (t) => t.kind, table: (t) => t.table ?? '', rows, done: share, bytes: (t) => (t.bytes >= 0 ? t.bytes : null),
  rate: (t) => t.rows_s, chunk: (t) => t.chunks_done, attempt: (t) => t.standing.attempt, error: (t) => t.standing.error?.code ?? t.mark ?? '', worker: (t) => t.standing.worker ?? '',
}

/** mount shows tables or tasks of a job. @param {HTMLElement} root @param {string} name @param {URLSearchParams} query @param {'tables'|'tasks'} what */
export function mount(root, name, query, what) {
  const isTable = what === 'tables'
  const id = (/** @type {Item} */ t) => (isTable ? t.name : t.id)
  /** @type {Map<string, Item>} */
  let all = new Map()
  const want = { q: query.get('q') ?? '', status: query.getAll('status'), sort: query.get('sort') ?? 'status' }
  if (!(want.sort.replace(/^-/, '') in BY)) want.sort = 'status'
  const search = h('input', { type: 'search', value: want.q, placeholder: `Search ${what}`, 'aria-label': `Search ${what}`, 'aria-keyshortcuts': '/', oninput: () => change({ q: search.value.trim() }) })
  const chips = h('div', { class: 'chips', role: 'group', 'aria-label': 'Filter by state' })
  const state = h('span', { class: 'muted' })
  const fault = h('div')
  const table = new Table({ label: isTable ? 'Tables' : 'Tasks', name: what, columns: isTable ? tableColumns() : taskColumns(), key: id, selectable: true, onSelect: picked, onSort: (sort) => change({ sort }) })
  const kinds = isTable ? ['pause', 'resume', 'retry', 'resync'] : ['pause', 'resume', 'retry']
  const pick = picker(h('div', { class: 'acts' }, kinds.map((k) => actButton(k, () => act(k), { word: ACTS[k].word.replace(' now', '') }))), () => table.selectAll(false))
  replace(root, h('div', { class: 'tools' }, h('label', { class: 'search' }, icon('search'), search, h('kbd', { 'aria-hidden': 'true' }, '/')), chips, state), fault, table.element, pick.el)

  /** @param {Partial<typeof want>} to */
  function change(to) {
    Object.assign(want, to)
    choose({ q: want.q, status: want.status, sort: want.sort === 'status' ? '' : want.sort })
    draw()
    say(state.textContent ?? '')
  }
  function picked() {
    show(pick.el, table.selected.size > 0)
    text(pick.words, plural(table.selected.size, isTable ? 'table' : 'task') + ' selected')
  }
  /** @param {string} kind */
  async function act(kind) {
    const names = [...table.selected]
    if (kind === 'resync') resync(name, names)
    else if (await carry(name, { act: kind, [what]: names }, plural(names.length, isTable ? 'table' : 'task') + ' of ' + name)) table.selectAll(false)
    void moving()
  }

  const chipOf = STATUSES.map((s) => {
    const el = button('', () => change({ status: want.status.includes(s) ? want.status.filter((x) => x !== s) : [...want.status, s] }), { class: 'chip' })
    chips.append(el)
    return { s, el }
  })
  let loaded = 0
  let total = -1
  function draw() {
    /** @type {Record<string, number>} */
    const counts = {}
    for (const t of all.values()) counts[t.standing.status] = (counts[t.standing.status] ?? 0) + 1
    for (const c of chipOf) {
      text(c.el.firstElementChild, `${(isTable || c.s !== 'finished') && OF_PARTS[c.s] ? OF_PARTS[c.s] : word(c.s)} ${count(counts[c.s] ?? 0)}`)
      attr(c.el, 'aria-pressed', want.status.includes(c.s) ? 'true' : 'false')
      show(c.el, (counts[c.s] ?? 0) > 0 || want.status.includes(c.s))
    }
    const q = want.q.toLowerCase()
    const items = sorted([...all.values()].filter((t) => (!want.status.length || want.status.includes(t.standing.status)) && (!q || id(t).toLowerCase().includes(q) || (t.table ?? '').toLowerCase().includes(q))), BY[want.sort.replace(/^-/, '')], want.sort.startsWith('-'), id)
    table.setSort(want.sort)
    table.set(items, total < 0 ? h('div', { class: 'skeleton tall' }) : h('p', {}, all.size ? `No ${isTable ? 'table' : 'task'} matches.` : `This job has no ${what} yet: they are found when it is planned.`))
    text(state, total < 0 ? '' : loaded < total ? `loaded ${count(loaded)} of ${count(total)}…` : `${count(items.length)} of ${plural(total, isTable ? 'table' : 'task')}`)
    picked()
  }

  const running = new AbortController()
  let whole = 0
  let busy = false
  async function load() {
    if (busy) return
    busy = true
    const fresh = new Map()
    try {
      await pages(path(name) + '/' + what, { limit: 1000 }, (page) => {
        for (const t of page.items) fresh.set(id(t), t)
        total = page.total
        loaded = fresh.size
        if (all.size <= fresh.size) {
          all = new Map(fresh)
          draw()
        }
      }, running.signal)
      all = fresh
      whole = performance.now()
      replace(fault)
      draw()
    } catch (e) {
      if (!running.signal.aborted && total < 0) replace(fault, problem(e, () => void load()))
    } finally {
      busy = false
    }
  }
  // What moves is asked for often, everything seldom: ten thousand tables are 2 MB.
  async function moving() {
    if (busy || document.hidden || total < 0) return
    if (performance.now() - whole > WHOLE) return load()
    busy = true
    const seen = new Set()
    let turned = false
    try {
      await pages(path(name) + '/' + what, { limit: 1000, status: MOVING }, (page) => {
        for (const t of page.items) {
          seen.add(id(t))
          all.set(id(t), t)
        }
        return seen.size < 2000
      }, running.signal)
      for (const [k, t] of all) if (MOVING.includes(t.standing.status) && !seen.has(k) && seen.size < 2000) turned = true
      draw()
    } catch { /* what is shown stays; the banner tells when nobody answers */ } finally {
      busy = false
    }
    if (turned) void load()
  }

  const ends = [bind('/', 'search', () => search.focus()), bind('t', 'to the table', () => table.focus(0))]
  draw()
  table.measure()
  void load()
  const timer = window.setInterval(moving, BEAT)
  let seenStatus = ''
  return {
    /** What a job tells of the tables being read is fresher than their listing. @param {import('./store.js').News} news */
    tell(news) {
      const job = store.jobs.get(name)
      if (news.jobs === null) draw()
      if (!job || !news.jobs?.has(name)) return
      const counts = JSON.stringify([job.standing.status, job.wish.desired, job.tasks])
      if (seenStatus && counts !== seenStatus) void moving()
      seenStatus = counts
      if (!isTable) return
      for (const a of job.progress?.active ?? []) {
        const t = all.get(a.table)
        if (t) Object.assign(t, { done: a.progress.done, rows_s: a.rows_s ?? null, chunks: a.chunks, chunks_done: a.chunks_done })
      }
      // Ten thousand are not sorted anew for those few: that is done with the next listing.
      table.draw(true)
    },
    close() {
      running.abort()
      clearInterval(timer)
      ends.forEach((f) => f())
      table.close()
    },
  }
}

/** @param {string} cls */
function line(cls = 'one') {
  return h('span', { class: cls })
}

/** A cell with one text. @param {(t: Item) => string} of */
function plain(of) {
  return (/** @type {HTMLElement} */ cell) => {
    const el = line()
    cell.append(el)
    return (/** @type {Item} */ t) => text(el, of(t))
  }
}

/** @param {HTMLElement} cell */
function stateCell(cell) {
  const b = badge()
  cell.append(b.el)
  return (/** @type {Item} */ t) => {
    const shown = standing(t, store.now())
    const other = OF_PARTS[t.standing.status]
    b.set(other && (t.name || t.standing.status !== 'finished') ? { ...shown, word: other } : shown)
    attr(cell, 'title', 'since ' + moment(t.standing.since))
  }
}

/** @param {HTMLElement} cell */
function errorCell(cell) {
  const el = line()
  cell.append(el)
  const draw = once((/** @type {string} */ key) => {
    const [code, words] = key.split('\n')
    replace(el, code ? [h('code', { class: 'code' }, code), ' ', words] : NONE)
    attr(cell, 'title', words || null)
    attr(cell, 'data-none', code ? null : true)
  })
  return (/** @type {Item} */ t) => draw(t.standing.error ? t.standing.error.code + '\n' + t.standing.error.what : t.mark ? 'RESYNC_NEEDED\n' + t.mark : t.dead_letters ? 'ROW_REFUSED\n' + plural(t.dead_letters, 'row') + ' put aside' : '\n')
}

/** attemptWords: which attempt, and when the next comes. @param {Item} t */
function attemptWords(t) {
  const a = t.standing.attempt
  const next = date(t.standing.next_retry_at)
  return (a ? String(a) : NONE) + (next && t.standing.status === 'retrying' ? ', next ' + ago(next, store.now()) : '')
}

/** @returns {import('./table.js').Column<Item>[]} */
function tableColumns() {
  return [
    { id: 'state', label: 'State', sorts: [{ key: 'status', label: 'State' }, { key: 'since', label: 'Since', down: true }], make: stateCell },
    { id: 'name', label: 'Table', sorts: [{ key: 'name', label: 'Table' }], make: (cell) => {
      const el = h('span', { class: 'one name' })
      cell.append(el)
      return (t) => {
        text(el, t.name)
        attr(cell, 'title', t.name + (t.apart ? '\napart: ' + t.apart : ''))
      }
    } },
    { id: 'rows', label: 'Rows', sorts: [{ key: 'rows', label: 'Rows', down: true }], make: plain((t) => (t.standing.status === 'finished' && t.done ? count(t.done) : rows(t) === null && !t.done ? UNKNOWN : `${count(t.done ?? 0)} of ${rows(t) === null ? UNKNOWN : '~' + short(rows(t))}`)) },
    { id: 'done', label: 'Done', sorts: [{ key: 'done', label: '%', down: true }], make: (cell) => {
      const bar = h('i')
      const el = line()
      cell.append(el, h('span', { class: 'bar' }, bar))
      return (t) => {
        const p = share(t)
        text(el, p === null ? UNKNOWN : percent(p))
        bar.style.transform = `scaleX(${(p ?? 0) / 100})`
      }
    } },
    { id: 'bytes', label: 'Size', sorts: [{ key: 'bytes', label: 'Size', down: true }], make: plain((t) => (typeof t.bytes === 'number' && t.bytes >= 0 ? '~' + bytes(t.bytes) : UNKNOWN)) },
    { id: 'rate', label: 'Rows/s', sorts: [{ key: 'rate', label: 'Rows/s', down: true }], make: plain((t) => (typeof t.rows_s === 'number' ? rate(t.rows_s) : ['running', 'retrying'].includes(t.standing.status) ? UNKNOWN : NONE)) },
    { id: 'chunk', label: 'Chunks', sorts: [{ key: 'chunk', label: 'Chunks', down: true }], make: plain((t) => (t.chunks ? `${count(t.chunks_done ?? 0)}/${count(t.chunks)}` : NONE)) },
    { id: 'attempt', label: 'Attempt', sorts: [{ key: 'attempt', label: 'Attempt', down: true }], make: plain(attemptWords) },
    { id: 'error', label: 'Last error', sorts: [{ key: 'error', label: 'Last error', down: true }], make: errorCell },
  ]
}

/** @returns {import('./table.js').Column<Item>[]} */
function taskColumns() {
  return [
    { id: 'state', label: 'State', sorts: [{ key: 'status', label: 'State' }, { key: 'since', label: 'Since', down: true }], make: stateCell },
    { id: 'name', label: 'Task', sorts: [{ key: 'name', label: 'Task' }], make: plain((t) => t.id) },
    { id: 'kind', label: 'Kind', sorts: [{ key: 'kind', label: 'Kind' }], make: plain((t) => t.kind) },
    { id: 'table', label: 'Table', sorts: [{ key: 'table', label: 'Table' }], make: plain((t) => t.table || NONE) },
    { id: 'attempt', label: 'Attempt', sorts: [{ key: 'attempt', label: 'Attempt', down: true }], make: plain(attemptWords) },
    { id: 'worker', label: 'Worker', sorts: [{ key: 'worker', label: 'Worker' }], make: plain((t) => t.standing.worker || NONE) },
    { id: 'error', label: 'Last error', sorts: [{ key: 'error', label: 'Last error', down: true }], make: errorCell },
  ]
}
