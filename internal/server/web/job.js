// One job: is it healthy, when will it finish; and its tables, tasks, errors, log.

import { actButton, actsOf, jobAct, verifies } from './actions.js'
import { get, job as path } from './api.js'
import * as audit from './audit.js'
import { Chart, Group } from './chart.js'
import { problem } from './dialog.js'
import { attr, button, facts, h, once, replace, show, text } from './dom.js'
import * as errors from './errors.js'
import * as file from './file.js'
import { ago, byteRate, bytes, clock, count, date, duration, moment, NONE, onZone, percent, plural, rate, timeOfDay, total, UNKNOWN } from './format.js'
import { bind } from './keys.js'
import { doneWords, endWords } from './jobs.js'
import { choose, go, jobPath } from './router.js'
import { badge, done, moves, speed, standing } from './state.js'
import { follow, put, store } from './store.js'
import * as letters from './letters.js'
import * as tables from './tables.js'
import * as verification from './verify.js'
import { lagWords, way } from './way.js'

/** @typedef {import('./api.js').Job} Job */
/** @typedef {{tell?: (news: import('./store.js').News) => void, close: () => void}} Panel */

const TABS = /** @type {[string, string][]} */ ([['overview', 'Overview'], ['tables', 'Tables'], ['tasks', 'Tasks'], ['errors', 'Errors'], ['letters', 'Dead letters'], ['verify', 'Verification'], ['file', 'File'], ['audit', 'Audit']])

/** mount shows the screen of a job. @param {HTMLElement} root @param {string} name @param {string} tab @param {URLSearchParams} query */
export function mount(root, name, tab, query) {
  const head = header(name)
  const links = TABS.map(([id, words]) => ({ id, words, count: h('span', { class: 'count' }), el: h('a', { href: jobPath(name, id) }) }))
  for (const l of links) l.el.append(l.words, l.count)
  const nav = h('nav', { class: 'tabs', 'aria-label': 'Of this job' }, links.map((l) => l.el))
  const stage = h('div', { class: 'stage' })
  const missing = h('div')
  replace(root, h('nav', { class: 'crumbs', 'aria-label': 'Path' }, h('a', { href: '/' }, 'Jobs'), ' / ', name), head.el, nav, missing, stage)
  /** @type {Panel|null} */
  let panel = null
  let now = ''
  document.title = name + ' · Godwit'

  /** @param {string} to @param {URLSearchParams} q */
  function open(to, q) {
    for (const l of links) attr(l.el, 'aria-current', l.id === to ? 'page' : null)
    if (to === now) return
    panel?.close()
    now = to
    stage.replaceChildren()
    if (to === 'tables' || to === 'tasks') panel = tables.mount(stage, name, q, to)
    else if (to === 'errors') panel = errors.mount(stage, name)
    else if (to === 'letters') panel = letters.mount(stage, name, q)
    else if (to === 'verify') panel = verification.mount(stage, name)
    else if (to === 'file') panel = file.mount(stage, name)
    else if (to === 'audit') panel = audit.mount(stage, name, q)
    else panel = overview(stage, name, q)
    draw(null)
  }

  /** @param {import('./store.js').News|null} news */
  function draw(news) {
    const job = store.jobs.get(name)
    show(head.el, Boolean(job))
    if (job) {
      head.set(job)
      show(links[1].el, job.kind === 'tables' || now === 'tables')
      show(links[4].el, job.kind === 'tables' || now === 'letters')
      text(links[4].count, aside(job) ? count(aside(job)) : '')
      text(links[5].count, job.verification?.verdict === 'different' ? count(job.verification.differences ?? 0) : '')
      const bad = (job.tasks.failed ?? 0) + (job.tasks.retrying ?? 0) || (job.standing.error ? 1 : 0)
      text(links[3].count, bad || job.alarms || '')
      text(links[2].count, job.tasks.total ? count(job.tasks.total) : '')
      text(links[1].count, job.progress?.tables?.total ? count(job.progress.tables.total) : '')
    }
    panel?.tell?.(news ?? { jobs: new Set([name]), entries: [] })
  }

  async function load() {
    const asked = performance.now()
    try {
      put(await get(path(name)), asked)
      replace(missing)
      draw(null)
    } catch (e) {
      if (/** @type {any} */ (e).status === 404) {
        show(nav, false)
        replace(missing, h('h1', {}, name), problem(e), h('p', {}, h('a', { href: '/' }, 'All jobs')))
        panel?.close()
        panel = null
        stage.replaceChildren()
      } else if (!store.jobs.has(name)) replace(missing, problem(e, () => void load()))
    }
  }

  const ends = [follow((news) => {
    if ((news.jobs === null || news.jobs.has(name)) && !store.jobs.has(name)) void load()
    if (news.jobs === null || news.jobs.has(name) || news.entries.length) draw(news)
    else head.tick()
  }), onZone(() => draw({ jobs: null, entries: [] })), bind('e', 'errors of the job', () => go(jobPath(name, 'errors'))), bind('o', 'overview of the job', () => go(jobPath(name))), bind('b', 'tables of the job', () => go(jobPath(name, 'tables'))), bind('f', 'file of the job', () => go(jobPath(name, 'file'))), bind('a', 'audit of the job', () => go(jobPath(name, 'audit'))), bind('u', 'all jobs', () => go('/'))]
  open(tab, query)
  if (!store.jobs.has(name)) void load()
  return {
    again: open,
    close() {
      panel?.close()
      ends.forEach((f) => f())
    },
  }
}

/** aside are the rows that sinks of a job have put aside in its run. @param {Job} job */
function aside(job) {
  return (job.sinks ?? []).reduce((/** @type {number} */ sum, /** @type {any} */ k) => sum + (k.dead_letters ?? 0), 0)
}

/** The head of a job: what is, what is wanted, what can be done. @param {string} name */
function header(name) {
  const state = badge()
  const since = h('span', { class: 'muted' })
  const list = h('dl', { class: 'facts' })
  const tell = facts(list)
  const acts = h('div', { class: 'acts' })
  const why = h('p', { class: 'why' })
  /** @type {Job|null} */
  let job = null
  const buttons = once((/** @type {string} */ key) => {
    const focus = /** @type {HTMLElement|null} */ (acts.contains(document.activeElement) ? document.activeElement : null)?.dataset.act
    replace(acts, key.split(',').map((kind, i) => actButton(kind, () => (job ? jobAct(job, kind, () => go('/')) : undefined), { main: i === 0 })))
    // An act that is done is replaced by its opposite: whoever pressed it stays there.
    if (focus) /** @type {HTMLElement|null} */ (acts.querySelector(`[data-act="${focus}"]`) ?? acts.firstElementChild)?.focus()
  })
  const reason = once((/** @type {string} */ key) => {
    const [code, what] = key.split('\n')
    replace(why, what === undefined ? code : [h('code', { class: 'code' }, code), ' ', what, ' ', h('a', { href: jobPath(name, 'errors') }, 'what to do')])
    show(why, key !== '')
  })
  const el = h('header', { class: 'job-head' }, h('div', { class: 'title' }, h('h1', {}, name), state.el, since, acts), why, list)
  function tick() {
    if (!job) return
    state.set(standing(job, store.now()))
    text(since, 'since ' + timeOfDay(job.standing.since) + ' (' + ago(job.standing.since, store.now()) + ')')
  }
  return {
    el, tick,
    /** @param {Job} j */
    set(j) {
      job = j
      tick()
      buttons(actsOf(j).join(','))
      const f = j.standing.error
      reason(f ? `${f.code}\n${f.what}` : [j.standing.reason ?? '', j.wish.reason && j.wish.desired !== 'running' ? `${j.wish.by ?? ''}: “${j.wish.reason}”` : ''].filter(Boolean).join(' · '))
      const [a, b] = doneWords(j)
      const [e, range] = endWords(j, store.now())
      const both = (/** @type {string[]} */ ...parts) => parts.filter(Boolean).join(', ')
      const lag = j.progress?.stream?.lag
      tell([['way', j.way ?? ''], ['phase', both(a, b)], ['end', both(e, range), { title: 'at this rate: no promise' }], ['lag', lag ? lagWords(lag) + (lag.sink ? ` (${lag.sink})` : '') : ''],
        ['rate', moves(j) && j.progress ? `${rate(speed(j).value).replace('/s', '')} ${speed(j).unit}, ${byteRate(j.progress.bytes_s)}` : ''],
        ['wanted', j.wish.desired + (j.wish.by ? ' by ' + j.wish.by : ''), { title: 'since ' + moment(j.wish.since) }], ['run', both(j.run ? String(j.run) : '', j.standing.attempt ? 'attempt ' + j.standing.attempt : '')],
        ['worker', j.standing.worker ?? ''], ['version', `${j.version}${j.updated_by ? ' by ' + j.updated_by : ''}, ${ago(j.updated, store.now())}`, { title: moment(j.updated) }], ['group', j.group ?? ''], ['note', j.note ?? ''],
        ['schedule', j.schedule ? j.schedule.text + (j.schedule.next?.[0] ? '; next ' + timeOfDay(j.schedule.next[0]) : '') : '', { title: j.schedule?.next?.map(moment).join('\n') }]])
    },
  }
}

/** @param {string} id @param {string} title @param {any[]} children @param {any} [beside] */
function section(id, title, children, beside) {
  return h('section', { class: 'panel', 'aria-labelledby': 's-' + id }, h('header', {}, h('h2', { id: 's-' + id }, title), beside), children)
}

/** overview: the way, how far it is, what it did lately. @param {HTMLElement} root @param {string} name @param {URLSearchParams} query @returns {Panel} */
function overview(root, name, query) {
  const drawing = way()
  const far = progress()
  const plots = charts(name, query)
  const targets = sinks()
  root.append(section('way', 'Way', [drawing.element]), targets.el, section('far', 'Progress', [far.el]), plots.el)
  return {
    tell() {
      const job = store.jobs.get(name)
      if (!job) return
      drawing.set(job, store.now())
      far.set(job)
      targets.set(job)
      plots.tell(job)
    },
    close: plots.close,
  }
}

/** sinks tells how each of them stands, where the server says so. */
function sinks() {
  const list = h('ul', { class: 'sinks' })
  const el = section('sinks', 'Sinks', [list])
  /** @type {Map<string, {el: HTMLElement, set: (k: any, job: Job) => void}>} */
  const kept = new Map()
  return {
    el,
    /** @param {Job} job */
    set(job) {
      const all = job.sinks ?? []
      show(el, all.length > 0)
      for (const k of all) {
        if (!kept.has(k.name)) kept.set(k.name, sink(k.name))
        kept.get(k.name)?.set(k, job)
      }
      const now = all.map((k) => /** @type {HTMLElement} */ (kept.get(k.name)?.el))
      if (now.length !== list.children.length || now.some((e, i) => list.children[i] !== e)) list.replaceChildren(...now)
    },
  }
}

/** sink is a line of them. @param {string} name */
function sink(name) {
  const state = badge()
  const since = h('span', { class: 'muted' })
  const does = h('span')
  const wrong = h('div', { class: 'wrong' })
  const draw = once((/** @type {string} */ key) => {
    const f = JSON.parse(key)
    replace(wrong, f ? [h('code', { class: 'code' }, f.code), ' ', f.what, f.cause ? h('div', { class: 'muted' }, f.cause) : null, f.hint ? h('div', { class: 'mend' }, f.hint) : null] : null)
    show(wrong, Boolean(f))
  })
  return {
    el: h('li', {}, state.el, h('strong', {}, name), since, does, wrong),
    /** @param {any} k @param {Job} job */
    set(k, job) {
      const p = job.progress?.sinks?.find((/** @type {any} */ x) => x.sink === name)
      state.set(standing(k, store.now()))
      text(since, date(k.standing.since) ? 'since ' + timeOfDay(k.standing.since) + ' (' + ago(k.standing.since, store.now()) + ')' : '')
      text(does, [k.standing.reason ?? '', p?.committed_at ? 'last commit ' + ago(p.committed_at, store.now()) : '', p && job.progress?.stream ? lagWords(p.lag) : '', k.dead_letters ? plural(k.dead_letters, 'dead letter') : ''].filter(Boolean).join(' · '))
      draw(JSON.stringify(k.standing.error ?? null))
    },
  }
}

/** progress tells all numbers of it. */
function progress() {
  const bar = h('i')
  const box = h('div', { class: 'bar wide', role: 'progressbar', 'aria-valuemin': 0, 'aria-valuemax': 100, 'aria-label': 'Done' }, bar)
  const list = h('dl', { class: 'numbers' })
  const tell = facts(list)
  const stages = h('div', { class: 'stages' })
  const active = h('div')
  const el = h('div', {}, box, list, active, stages)
  return {
    el,
    /** @param {Job} j */
    set(j) {
      const p = j.progress
      const pct = done(j)
      show(box, pct !== null)
      if (pct !== null) {
        bar.style.transform = `scaleX(${pct / 100})`
        attr(box, 'aria-valuenow', Math.floor(pct))
        attr(box, 'aria-valuetext', percent(pct))
      }
      tell(p ? numbers(j, p) : [['progress', 'nothing is known yet']])
      replace(active, p?.active?.length ? [h('h3', {}, 'Being read now'), h('ul', { class: 'plain-list' }, p.active.slice(0, 8).map((/** @type {any} */ t) => h('li', {}, h('strong', {}, t.table), ` ${percent(t.progress.pct)} · ${count(t.progress.done)} of ${total(t.progress)} · ${rate(t.rows_s)} · chunk ${t.chunks_done} of ${t.chunks}`)))] : null)
      replace(stages, p?.stages?.length && moves(j) ? [h('h3', {}, 'How each stage spent the last five minutes'), legend(), p.stages.map(stage)] : null)
    },
  }
}

/** legend of the stages. */
function legend() {
  return h('p', { class: 'legend muted', 'aria-hidden': 'true' }, [['busy', 'busy'], ['blocked', 'blocked by the next'], ['waiting', 'waiting for the previous']].map(([kind, words]) => h('span', {}, h('i', { class: kind }), words)))
}

/** @param {any} g watch.Stage */
function stage(g) {
  const part = (/** @type {string} */ kind, /** @type {number} */ share) => {
    const e = h('i', { class: kind })
    e.style.width = share * 100 + '%'
    return e
  }
  const name = [g.sink, g.stage].filter(Boolean).join('.')
  const words = `busy ${Math.round(g.busy * 100)} %, blocked by the next ${Math.round(g.blocked * 100)} %, waiting for the previous ${Math.round(g.waiting * 100)} %`
  return h('div', { class: 'stage-bar', title: words }, h('span', { class: 'name' }, name), h('span', { class: 'shares', role: 'img', 'aria-label': name + ': ' + words }, part('busy', g.busy), part('blocked', g.blocked), part('waiting', g.waiting)), h('span', { class: 'muted' }, `busy ${Math.round(g.busy * 100)} %`))
}

/** parts of a whole, but for those that are none. @param {[number, string][]} list @param {number} whole */
function parts(list, whole) {
  return (list.filter(([n]) => n).map(([n, word]) => `${count(n)} ${word}`).join(', ') || 'none') + (whole ? ` of ${count(whole)}` : '')
}

/** verdict of the verifications of a job, and what goes on. @param {Job} j */
function verdict(j) {
  const v = j.verification
  const was = v.verdict ? (v.verdict === 'equal' ? 'equal' : `${count(v.differences)} differ or are not proven equal`) + `, ${ago(v.verdict_at, store.now())}` : 'not yet'
  if (verifies(j)) return `${v.state} since ${ago(v.since, store.now())}; before that: ${was}`
  return was + (v.state === 'finished' ? '' : `; the last one: ${v.state}`)
}

/** numbers of a job's progress. @param {Job} j @param {any} p watch.Progress @returns {[string, string][]} */
function numbers(j, p) {
  /** @type {[string, string][]} */
  const out = []
  const s = speed(j)
  const seconds = (/** @type {any} */ v) => (typeof v === 'number' ? duration(v) : UNKNOWN)
  if (p.files) {
    const f = p.files
    const of = (/** @type {any} */ e) => `${count(e?.objects)} (${bytes(e?.bytes)})`
    out.push(['listed', (f.listed_all ? '' : 'at least ') + of(f.listed) + `; ${count(f.ranges_listed)} of ${count(f.ranges)} key ranges`], ['copied', of(f.copied)], ['same', of(f.same)], ['failed', of(f.failed)], ['left', (f.listed_all ? '' : 'at least ') + of(f.left)], ['in flight', of(f.in_flight)])
    if (f.deleted?.objects) out.push(['deleted in the target', of(f.deleted)])
    if (f.skipped?.objects) out.push(['skipped', of(f.skipped)])
  } else if (p.progress && p.phase !== 'starting') {
    const c = p.progress
    out.push(['rows', c.total_kind === 'growing' ? `${count(c.done)}, more than estimated (${count(c.estimated)})` : `${count(c.done)} of ${total(c, count)}${typeof c.pct === 'number' ? ` (${percent(c.pct)})` : ''}`])
    if (p.tables) out.push(['tables', parts([[p.tables.done, 'done'], [p.tables.active, 'active'], [p.tables.waiting, 'waiting'], [p.tables.marked, 'need a resync']], p.tables.total)])
  }
  if (moves(j)) out.push(['rate', `${rate(s.value).replace('/s', '')} ${s.unit}, ${byteRate(p.bytes_s)}`])
  out.push(['read', bytes(p.bytes)])
  if (p.left) out.push(['left', `${clock(p.left.seconds)} ${p.left.basis ?? ''} (${clock(p.left.low)}–${clock(p.left.high)})`])
  if (p.stream) {
    const c = p.stream
    out.push(['changes', count(c.changes)], ['position', c.position || UNKNOWN], ['head', (c.head || UNKNOWN) + (typeof c.head_ahead_bytes === 'number' ? `, ${bytes(c.head_ahead_bytes)} ahead` : '') + (date(c.head_at) ? `, read ${ago(c.head_at, store.now())}` : '')])
    if (typeof c.catch_up_s === 'number') out.push(['caught up in', '~' + clock(c.catch_up_s)])
    if (typeof c.falling_s_per_min === 'number') out.push(['falls behind', `${duration(c.falling_s_per_min)} a minute` + (typeof c.lost_in_s === 'number' ? `; the log is lost in ~${duration(c.lost_in_s)}` : '')])
  }
  if (typeof p.log_kept_s === 'number') out.push(['log kept for', seconds(p.log_kept_s) + (typeof p.log_reaches_back_s === 'number' ? `; it reaches back ${seconds(p.log_reaches_back_s)}` : '')])
  out.push(['memory', p.memory?.used ? bytes(p.memory.used) + (p.memory.limit ? ' of ' + bytes(p.memory.limit) : '') : UNKNOWN])
  out.push(['tasks', j.tasks.total ? parts(['running', 'waiting', 'retrying', 'paused', 'failed', 'finished'].map((k) => [j.tasks[k], k]), j.tasks.total) : NONE])
  if (j.verification) out.push(['verified', verdict(j)])
  if (j.template) out.push(['template', `${j.template}, version ${j.template_version}` + (j.template_behind ? '; it has a newer one' + (j.template_error ? ' that was refused: ' + j.template_error.what : '') : '')])
  out.push(['as of', timeOfDay(p.sampled_at)])
  if (p.note) out.push(['this run', p.note])
  return out
}

const SPANS = /** @type {[string, string, number][]} */ ([['15m', '15 min', 5000], ['6h', '6 h', 15000], ['7d', '7 d', 60000]])
const PLOTS = /** @type {Record<string, {title: string, write: (v: number) => string, colour: number, scale?: 'linear'|'lag'|'bytes', of?: string}>} */ ({
  rows: { title: 'Rows a second', write: rate, colour: 1 }, changes: { title: 'Changes a second', write: rate, colour: 1, of: 'tables' },
  bytes: { title: 'Bytes a second', write: byteRate, colour: 2, scale: 'bytes' }, lag: { title: 'Lag of the worst sink', write: duration, colour: 3, scale: 'lag', of: 'tables' },
  memory: { title: 'Memory', write: bytes, colour: 4, scale: 'bytes' }, queue: { title: 'Queues', write: bytes, colour: 2, scale: 'bytes', of: 'tables' },
})

/** charts of what a job did lately. @param {string} name @param {URLSearchParams} query */
function charts(name, query) {
  let span = SPANS.some(([s]) => s === query.get('span')) ? /** @type {string} */ (query.get('span')) : '15m'
  const group = new Group()
  /** @type {Map<string, Chart>} */
  const shown = new Map()
  const fault = h('div')
  const grid = h('div', { class: 'charts' }, h('div', { class: 'skeleton tall' }))
  const picks = SPANS.map(([id, words]) => ({ id, el: button(words, () => {
    span = id
    choose({ span: id === '15m' ? '' : id })
    void load()
  }, { class: 'chip' }) }))
  const el = section('charts', 'Lately', [fault, grid], h('div', { class: 'chips', role: 'group', 'aria-label': 'Time span' }, picks.map((p) => p.el)))
  let timer = 0
  let limit = 0
  let kind = ''
  const running = new AbortController()

  async function load() {
    clearTimeout(timer)
    for (const p of picks) attr(p.el, 'aria-pressed', p.id === span ? 'true' : 'false')
    const asked = span
    try {
      if (!document.hidden) {
        const d = await get(path(name) + '/history', { span }, running.signal)
        if (asked === span) draw(d)
      }
    } catch (e) {
      if (running.signal.aborted) return
      if (!shown.size) replace(grid)
      if (!(/** @type {any} */ (e).gone && shown.size)) replace(fault, problem(e, () => void load()))
    }
    timer = window.setTimeout(load, SPANS.find(([s]) => s === span)?.[2] ?? 5000)
  }

  /** @param {any} d */
  function draw(d) {
    replace(fault)
    if (!shown.size) grid.replaceChildren()
    for (const series of d.series) {
      const plot = PLOTS[series.name]
      const some = series.values.some((/** @type {any} */ v) => v !== null)
      if (!plot || (!shown.has(series.name) && (!some || (plot.of && kind && plot.of !== kind)))) continue
      let c = shown.get(series.name)
      if (!c) {
        c = new Chart(group, { ...plot, ...(series.name === 'rows' && kind === 'files' ? { title: 'Objects a second' } : {}), ...(series.name === 'memory' && limit ? { ceiling: limit, ceilingName: 'ceiling ' + bytes(limit) } : {}) })
        shown.set(series.name, c)
        grid.append(c.element)
      }
      c.set({ from: Date.parse(d.from), step: d.step_s, values: series.values })
    }
    if (!shown.size) replace(grid, h('p', { class: 'empty' }, `No samples of the last ${SPANS.find(([s]) => s === span)?.[1]}: nothing was running.`))
  }
  let begun = false
  return {
    el,
    /** @param {Job} job */
    tell(job) {
      kind = job.kind
      limit = job.progress?.memory?.limit ?? 0
      if (!begun) {
        begun = true
        void load()
      }
    },
    close() {
      running.abort()
      clearTimeout(timer)
      group.close()
    },
  }
}
