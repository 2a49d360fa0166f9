// All jobs: is everything fine, and what needs somebody.

import { actButton, ACTS, bulk, carry } from './actions.js'
import { spark } from './chart.js'
import { problem } from './dialog.js'
import { attr, button, facts, h, icon, once, replace, show, text } from './dom.js'
import { ago, byteRate, bytes, clock, count, date, duration, hour, moment, NONE, onZone, percent, plural, rate, short, timeOfDay, UNKNOWN } from './format.js'
import { bind } from './keys.js'
import { say } from './notice.js'
import { choose, go, jobPath } from './router.js'
import { look, past, sample } from './sparks.js'
import { badge, done, lag, moves, rank, speed, standing, STATUSES, turning, word } from './state.js'
import { follow, load, narrow, store } from './store.js'
import { shortWay } from './way.js'
import { picker, sorted, Table } from './table.js'

/** @typedef {import('./api.js').Job} Job */

const HEALTH = ['failed', 'alarm', 'retrying', 'changing', 'ok', 'idle']
const NEEDED = 8

/** What a sort key takes of a job. @type {Record<string, (j: Job) => any>} */
const BY = {
  health: (j) => HEALTH.indexOf(j.health), status: (j) => rank(j.standing.status), since: (j) => j.standing.since, name: (j) => j.name, way: (j) => j.way ?? '',
  done, rate: (j) => (moves(j) ? speed(j).value : null), lag, end, alarms: (j) => j.alarms ?? 0, updated: (j) => j.updated, by: (j) => j.updated_by ?? '',
}

/** end of a job in seconds from now. @param {Job} j @returns {number|null} */
function end(j) {
  if (!moves(j)) return null
  const p = j.progress
  return p?.left?.seconds ?? p?.stream?.catch_up_s ?? null
}

/** wishes of an address, as far as they make sense. @param {URLSearchParams} query */
function wishes(query) {
  const sort = query.get('sort') ?? ''
  return {
    q: query.get('q') ?? '', status: query.getAll('status').filter((s) => STATUSES.includes(s)), kind: query.get('kind') ?? '', group: query.get('group') ?? '',
    needs: query.get('needs') === '1', sort: sort.replace(/^-/, '') in BY ? sort : 'health',
  }
}

/** mount shows the screen. @param {HTMLElement} root @param {URLSearchParams} query */
export function mount(root, query) {
  const want = wishes(query)
  const sentence = summary()
  const needed = needs()
  const search = h('input', { type: 'search', value: want.q, placeholder: 'Search jobs', 'aria-label': 'Search jobs by name, way, group or note', 'aria-keyshortcuts': '/', oninput: () => typed() })
  const chips = h('div', { class: 'chips', role: 'group', 'aria-label': 'Filter by state' })
  const kinds = h('div', { class: 'chips', role: 'group', 'aria-label': 'Filter by kind' })
  const matching = h('span', { class: 'muted' })
  const table = new Table({
    label: 'Jobs', name: 'jobs', columns: columns(), key: (j) => j.name, open: (j) => go(jobPath(j.name)), selectable: true,
    onSelect: picked, onSort: (sort) => change({ sort }),
  })
  const pick = picker(h('div', { class: 'acts' }, ['pause', 'resume', 'retry', 'stop', 'start', 'delete'].map((kind) => actButton(kind, () => act(kind), { word: ACTS[kind].word.replace(' now', '').replace('…', '') }))), () => {
    wholeFilter = false
    table.selectAll(false)
  })
  const fault = h('div')
  let wholeFilter = false
  const tools = h('div', { class: 'tools' }, h('label', { class: 'search' }, icon('search'), search, h('kbd', { 'aria-hidden': 'true' }, '/')), chips, kinds, matching)
  replace(root, h('h1', { class: 'hidden' }, 'Jobs'), sentence.el, needed.el,
    tools, fault, table.element, pick.el)
  document.title = 'Jobs · Godwit'

  const keep = () => choose({ q: want.q, status: want.status, kind: want.kind, group: want.group, needs: want.needs ? '1' : '', sort: want.sort === 'health' ? '' : want.sort })
  let timer = 0
  function typed() {
    clearTimeout(timer)
    timer = window.setTimeout(() => change({ q: search.value.trim() }), store.partial ? 300 : 60)
  }
  /** @param {Partial<typeof want>} to */
  function change(to) {
    Object.assign(want, to)
    wholeFilter = false
    keep()
    narrow(asked())
    draw()
    say(matching.textContent ?? '')
  }
  function filtered() {
    return Boolean(want.q || want.status.length || want.kind || want.group || want.needs)
  }
  function asked() {
    return { ...(want.q ? { q: want.q } : {}), ...(want.status.length ? { status: want.status } : {}), ...(want.kind ? { kind: want.kind } : {}), ...(want.group ? { group: want.group } : {}) }
  }
  /** @param {Job} j */
  function matches(j) {
    if (want.needs && !store.needs.has(j.name)) return false
    if (want.status.length && !want.status.includes(j.standing.status)) return false
    if (want.kind && j.kind !== want.kind) return false
    if (want.group && j.group !== want.group) return false
    const q = want.q.toLowerCase()
    return !q || [j.name, j.way, j.group, j.note].some((t) => t?.toLowerCase().includes(q))
  }

  function picked() {
    const n = wholeFilter ? store.total : table.selected.size
    show(pick.el, table.selected.size > 0)
    text(pick.words, `${wholeFilter ? 'All' : ''} ${count(n)} selected`.trim())
    // More match than are here: the filter itself can be what is acted on.
    replace(pick.more, !wholeFilter && store.partial && !want.needs && table.selected.size === table.items.length ? button(`Select all that match on the server`, () => {
      wholeFilter = true
      picked()
    }) : null)
  }
  /** @param {string} kind */
  function act(kind) {
    const names = [...table.selected]
    bulk(kind, wholeFilter ? { filter: asked() } : { names }, () => {
      wholeFilter = false
      table.selectAll(false)
    })
  }

  function draw() {
    const down = want.sort.startsWith('-')
    const items = sorted([...store.jobs.values()].filter(matches), BY[want.sort.replace(/^-/, '')], down, (j) => j.name)
    table.setSort(want.sort)
    attr(table.grid, 'aria-busy', store.loaded ? null : 'true')
    const some = !store.loaded || store.total > 0 || filtered()
    show(table.grid, store.loaded && some)
    show(tools, some)
    table.set(items, store.loaded ? emptiness() : store.failure ? null : h('div', { class: 'skeleton tall' }))
    text(matching, store.loaded ? `${count(items.length)} of ${plural(store.total, 'job')}${store.partial ? ` (of those the first ${count(store.jobs.size)} are here: narrow the filter)` : ''}` : '')
    replace(fault, store.failure && !store.loaded ? problem(store.failure, () => void load()) : null)
    sentence.set()
    needed.set()
    drawChips()
    picked()
    void look(table.seen())
  }

  function emptiness() {
    if (store.total === 0 && !filtered()) {
      return h('div', {}, h('h2', {}, 'No job lives here yet'), h('p', {}, 'A job moves data from one store to others and proves that what arrived is what left. It is one file:'),
        h('p', {}, h('a', { class: 'button', href: '/submit' }, 'Submit a job'), ' or ', h('code', {}, 'godwit job submit job.yaml')), h('p', { class: 'muted' }, 'To look at one first: ', h('code', {}, 'godwit plan job.yaml'), '; the examples of the project have some to begin with.'))
    }
    return h('div', {}, h('p', {}, 'No job matches.'), button('Show all jobs', clear))
  }
  function clear() {
    search.value = ''
    change({ q: '', status: [], kind: '', group: '', needs: false })
  }

  const chip = (/** @type {HTMLElement} */ box, /** @type {() => void} */ run) => {
    const el = button('', run, { class: 'chip' })
    box.append(el)
    return (/** @type {string} */ words, /** @type {boolean} */ on, /** @type {boolean} */ seen) => {
      text(el.firstElementChild, words)
      attr(el, 'aria-pressed', on ? 'true' : 'false')
      show(el, seen || on)
    }
  }
  const statusChips = STATUSES.map((s) => ({ s, set: chip(chips, () => change({ status: want.status.includes(s) ? want.status.filter((x) => x !== s) : [...want.status, s] })) }))
  const setNeeds = chip(chips, () => change({ needs: !want.needs }))
  const kindChips = ['tables', 'files'].map((k) => ({ k, set: chip(kinds, () => change({ kind: want.kind === k ? '' : k })) }))
  const setGroup = chip(kinds, () => change({ group: '' }))
  const setClear = chip(kinds, clear)
  function drawChips() {
    const counts = countsNow()
    for (const c of statusChips) c.set(`${word(c.s)} ${count(counts[c.s] ?? 0)}`, want.status.includes(c.s), (counts[c.s] ?? 0) > 0)
    setNeeds('Needs you', want.needs, false)
    for (const c of kindChips) c.set(c.k === 'tables' ? 'Tables' : 'Files', want.kind === c.k, true)
    setGroup('Group ' + want.group, want.group !== '', false)
    setClear('Clear filters', false, filtered())
  }

  /** @param {import('./store.js').News} news */
  function tell(news) {
    sample(news)
    draw()
  }
  const ends = [follow(tell), onZone(draw), bind('/', 'search', () => search.focus()), bind('n', 'only jobs that need you', () => change({ needs: !want.needs })), bind('t', 'to the table', () => table.focus(0))]
  const beat = window.setInterval(() => void look(table.seen()), 2000)
  narrow(asked())
  draw()
  table.measure()
  return {
    /** again the address changed while the screen stays. @param {URLSearchParams} now */
    again(now) {
      Object.assign(want, wishes(now))
      search.value = want.q
      narrow(asked())
      draw()
    },
    close() {
      clearTimeout(timer)
      clearInterval(beat)
      ends.forEach((f) => f())
      table.close()
    },
  }
}

/** countsNow counts jobs by state: here while all are here, else as the server did. @returns {Record<string, number>} */
export function countsNow() {
  if (store.partial || !store.loaded) return store.overview?.counts ?? {}
  /** @type {Record<string, number>} */
  const counts = {}
  for (const j of store.jobs.values()) counts[j.standing.status] = (counts[j.standing.status] ?? 0) + 1
  return counts
}

/** The sentence: each part is a filter. */
function summary() {
  const line = h('p', { class: 'sentence' })
  const numbers = h('dl', { class: 'facts' })
  const tell = facts(numbers)
  const up = h('p', { class: 'muted' })
  const parts = once((/** @type {string} */ key) => {
    const list = JSON.parse(key)
    replace(line, list.map((/** @type {any} */ p, /** @type {number} */ i) => [i ? ' · ' : '', h('a', { href: p.href, class: p.cls }, p.words)]))
  })
  return {
    el: h('section', { class: 'summary', 'aria-label': 'Summary' }, line, numbers, up),
    set() {
      const o = store.overview
      const counts = countsNow()
      /** @type {{words: string, href: string, cls: string}[]} */
      const list = []
      const needy = store.needs.size || o?.needs_you
      if (needy) list.push({ words: `${count(needy)} ${needy === 1 ? 'needs' : 'need'} you`, href: '/?needs=1', cls: 'urgent' })
      else if (o && store.total) list.push({ words: 'Nothing needs you', href: '/', cls: 'fine' })
      for (const s of ['retrying', 'running', 'preparing', 'stopping', 'unassigned', 'paused', 'stopped', 'finished']) if (counts[s]) list.push({ words: `${count(counts[s])} ${s}`, href: '/?status=' + s, cls: '' })
      parts(JSON.stringify(list))
      if (!o) return
      const known = (/** @type {any} */ v) => typeof v === 'number'
      tell([['rows', rate(o.rows_s)], ['bytes', byteRate(o.bytes_s)], ['worst lag', known(o.worst_lag_s) ? duration(o.worst_lag_s) : UNKNOWN, o.worst_lag_job ? { link: o.worst_lag_job, href: jobPath(o.worst_lag_job) } : {}],
        ['least log kept', known(o.least_kept_s) ? duration(o.least_kept_s) : '', { title: 'until a log loses what a job needs' }],
        ['memory', o.memory ? bytes(o.memory) + (o.memory_limit ? ' of ' + bytes(o.memory_limit) : '') : ''], ['as of', timeOfDay(o.at)]])
      const young = o.up_s < 300
      show(up, young)
      if (young) text(up, `The server is up for ${duration(Math.round(o.up_s))}${o.taken_up ? `; ${count(o.taken_up)} of ${plural(store.total, 'job')} taken up again` : ''}.`)
    },
  }
}

/** What needs somebody, with what is wrong and the act that mends it. */
function needs() {
  const list = h('ul')
  const title = h('h2', { id: 'needs' }, 'Needs you')
  const el = h('section', { class: 'needs', 'aria-labelledby': 'needs', hidden: true }, title, list)
  const order = (/** @type {Job} */ j) => HEALTH.indexOf(j.health)
  const draw = once((/** @type {string} */ _key) => {
    const jobs = sorted([...store.needs.values()], order, false, (j) => j.name)
    const focus = list.contains(document.activeElement) ? /** @type {HTMLElement} */ (document.activeElement) : null
    const at = /** @type {HTMLElement|null|undefined} */ (focus?.closest('li'))?.dataset.key
    replace(list, jobs.slice(0, NEEDED).map(item), jobs.length > NEEDED ? h('li', { class: 'rest' }, h('a', { href: '/?needs=1' }, `and ${count(jobs.length - NEEDED)} more`)) : null)
    if (focus && at) /** @type {HTMLElement|null} */ (list.querySelector(`[data-key="${CSS.escape(at)}"] ${focus.localName}`))?.focus()
  })
  return {
    el,
    set() {
      show(el, store.needs.size > 0)
      // Minutes change what is said of since: the key has them.
      draw(JSON.stringify([Math.floor(store.now() / 60000), [...store.needs.values()].map((j) => [j.name, j.health, j.standing.status, j.standing.since, j.standing.error?.code, j.wish.desired]), [...store.alarms.keys()]]))
    },
  }
}

/** @param {Job} j */
function item(j) {
  const f = j.standing.error
  const alarm = [...store.alarms.values()].find((a) => a.job === j.name)
  const turns = turning(j.standing, j.wish)
  const state = badge()
  state.set(standing(j, store.now()))
  const why = f ? [h('code', { class: 'code' }, f.code), ' ', f.what] : alarm ? [h('code', { class: 'code' }, alarm.kind), ' ', alarm.what] : turns ? [turns, ' for ', duration((store.now() - Date.parse(j.wish.since)) / 1000)] : [j.standing.reason ?? 'look at its errors']
  const mend = j.standing.status === 'failed' || j.standing.status === 'retrying' ? actButton('retry', () => carry(j.name, { act: 'retry' }), { on: j.name }) : null
  return h('li', { 'data-key': j.name }, state.el, h('a', { class: 'name', href: jobPath(j.name, 'errors') }, j.name), h('span', { class: 'why', title: f?.what ?? alarm?.what ?? '' }, why),
    h('span', { class: 'muted', title: moment(j.standing.since) }, ago(j.standing.since, store.now())), mend ?? h('a', { class: 'button', href: jobPath(j.name, 'errors') }, 'Look'))
}

/** @returns {import('./table.js').Column<Job>[]} */
function columns() {
  return [
    { id: 'state', label: 'State', sorts: [{ key: 'health', label: 'Health' }, { key: 'status', label: 'State' }, { key: 'since', label: 'Since', down: true }], make: stateCell },
    { id: 'name', label: 'Job', sorts: [{ key: 'name', label: 'Job' }, { key: 'way', label: 'Way' }], make: nameCell },
    { id: 'done', label: 'Progress', sorts: [{ key: 'done', label: 'Progress', down: true }], make: doneCell },
    { id: 'rate', label: 'Rate', sorts: [{ key: 'rate', label: 'Rate', down: true }], make: rateCell },
    { id: 'lag', label: 'Lag', sorts: [{ key: 'lag', label: 'Lag', down: true }], make: lagCell },
    { id: 'end', label: 'End', sorts: [{ key: 'end', label: 'End' }], make: endCell },
    { id: 'alarms', label: 'Alarms', sorts: [{ key: 'alarms', label: 'Alarms', down: true }], make: alarmCell },
    { id: 'changed', label: 'Changed', sorts: [{ key: 'updated', label: 'Changed', down: true }, { key: 'by', label: 'by' }], make: changedCell },
  ]
}

/** two lines of a cell. @param {HTMLElement} cell @param {any} [first] @param {any} [second] */
function lines(cell, first = h('span', { class: 'one' }), second = h('span', { class: 'two' })) {
  cell.append(first, second)
  return [first, second]
}

/** @param {HTMLElement} cell */
function stateCell(cell) {
  const state = badge()
  const [, since] = lines(cell, state.el)
  return (/** @type {Job} */ j) => {
    state.set(standing(j, store.now()))
    text(since, ago(j.standing.since, store.now()))
    attr(cell, 'title', 'since ' + moment(j.standing.since))
  }
}

/** @param {HTMLElement} cell */
function nameCell(cell) {
  const [name, way] = lines(cell, h('a', { class: 'one name' }))
  return (/** @type {Job} */ j) => {
    text(name, j.name)
    attr(name, 'href', jobPath(j.name))
    text(way, [shortWay(j.way ?? ''), j.group ? 'group ' + j.group : ''].filter(Boolean).join(' · '))
    attr(cell, 'title', [j.way, j.note].filter(Boolean).join('\n'))
  }
}

/** doneWords: what a job does, and how far it is. @param {Job} j @returns {[string, string]} */
export function doneWords(j) {
  const p = j.progress
  if (j.standing.status === 'finished') return ['done', p?.files ? `${count(p.files.copied?.objects)} copied` : p?.progress ? `${short(p.progress.done)} rows` : '']
  if (!p) return [NONE, '']
  if (p.phase === 'stream') return ['stream', p.stream?.lag?.state === 'caught_up' ? 'caught up' : p.stream?.lag?.state === 'behind' ? 'behind' : 'place not known']
  const c = p.progress
  if (p.files && !p.files.listed_all) return [p.phase, `at least ${short(p.files.listed?.objects)} listed`]
  if (!c || p.phase === 'starting') return [p.phase, '']
  const pct = typeof c.pct === 'number' ? ' ' + percent(c.pct) : ''
  const kind = /** @type {Record<string, string>} */ ({ estimate: ' of ~', growing: ', more than ', exact: ' of ', none: '' })[c.total_kind] ?? ''
  return [p.phase + pct, short(c.done) + (kind ? kind + short(c.total_kind === 'growing' ? c.estimated : c.total) : '') + (p.files ? ' objects' : ' rows')]
}

/** @param {HTMLElement} cell */
function doneCell(cell) {
  const bar = h('i')
  const box = h('span', { class: 'bar' }, bar)
  const [first, second] = lines(cell)
  cell.append(box)
  return (/** @type {Job} */ j) => {
    const [a, b] = doneWords(j)
    text(first, a)
    text(second, b)
    const pct = done(j)
    show(box, pct !== null && pct < 100)
    bar.style.transform = `scaleX(${(pct ?? 0) / 100})`
  }
}

/** @param {HTMLElement} cell */
function rateCell(cell) {
  const [value, unit] = lines(cell)
  const line = spark()
  cell.append(line.el)
  return (/** @type {Job} */ j) => {
    const s = speed(j)
    text(value, moves(j) ? rate(s.value) : NONE)
    text(unit, moves(j) ? s.unit.replace('/s', '') : '')
    line.set(past(j.name))
  }
}

/** @param {HTMLElement} cell */
function lagCell(cell) {
  const [value, sink] = lines(cell)
  return (/** @type {Job} */ j) => {
    const l = j.progress?.stream?.lag
    text(value, !l || !moves(j) ? NONE : l.state === 'caught_up' ? 'caught up' : l.state === 'behind' ? duration(l.seconds) : UNKNOWN)
    text(sink, l && moves(j) ? l.sink ?? '' : '')
  }
}

/** endWords: when a job will be done, at this rate. @param {Job} j @param {number} now @returns {[string, string]} */
export function endWords(j, now) {
  const p = j.progress
  if (j.standing.status === 'finished') return [hour(date(j.standing.since) ?? now), j.schedule?.next?.[0] ? 'next ' + ago(j.schedule.next[0], now) : 'ended']
  if (j.standing.status === 'retrying' && date(j.standing.next_retry_at)) return ['next try', ago(j.standing.next_retry_at, now)]
  if (!moves(j)) return [NONE, j.schedule?.next?.[0] ? 'next ' + ago(j.schedule.next[0], now) : '']
  if (p?.left && p.phase !== 'stream') return ['~' + clock(p.left.seconds), `${clock(p.left.low)}–${clock(p.left.high)}`]
  const s = p?.stream
  if (typeof s?.falling_s_per_min === 'number') return ['never', `loses ${duration(s.falling_s_per_min)}/min`]
  if (typeof s?.catch_up_s === 'number') return ['~' + clock(s.catch_up_s), 'to catch up']
  if (p?.phase === 'stream') return ['never', s?.lag?.state === 'caught_up' ? 'follows' : '']
  if (p?.files && !p.files.listed_all) return [UNKNOWN, 'listing goes on']
  return [UNKNOWN, 'too early to tell']
}

/** @param {HTMLElement} cell */
function endCell(cell) {
  const [value, more] = lines(cell)
  return (/** @type {Job} */ j) => {
    const [a, b] = endWords(j, store.now())
    text(value, a)
    text(more, b)
    attr(cell, 'title', b)
    attr(cell, 'class', j.progress?.stream?.falling_s_per_min && moves(j) ? 'c-end care' : 'c-end')
  }
}

/** @param {HTMLElement} cell */
function alarmCell(cell) {
  const link = h('a', { class: 'one' }, icon('bell'), h('span'))
  const none = h('span', { class: 'one' }, '0')
  cell.append(none, link)
  return (/** @type {Job} */ j) => {
    const n = j.alarms ?? 0
    show(link, n > 0)
    show(none, n === 0)
    attr(link, 'href', jobPath(j.name, 'errors'))
    attr(link, 'aria-label', plural(n, 'alarm') + ' of ' + j.name)
    text(link.lastElementChild, n)
  }
}

/** @param {HTMLElement} cell */
function changedCell(cell) {
  const [when, who] = lines(cell)
  return (/** @type {Job} */ j) => {
    text(when, ago(j.updated, store.now()))
    text(who, j.updated_by ? 'by ' + j.updated_by : '')
    attr(cell, 'title', moment(j.updated))
  }
}
