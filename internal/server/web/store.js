// What the page knows of the server: read once, then kept by what the stream tells.
// Screens are told of changes together, once a second; of a new state at once.

import { get, pages } from './api.js'

/**
 * @typedef {import('./api.js').Job} Job
 * @typedef {import('./api.js').Alarm} Alarm
 * @typedef {{jobs: Set<string>|null, entries: any[]}} News jobs: null means all
 */

/** Up to this many jobs are kept, filtered and sorted here; of more the server sends what its filter lets through. */
const MOST = 3000
const BEAT = 1000
const SOON = 40

export const store = {
  /** @type {Map<string, Job>} */ jobs: new Map(),
  /** @type {Map<string, Job>} those that somebody must look at */ needs: new Map(),
  /** @type {Map<string, Alarm>} that hold, by id */ alarms: new Map(),
  /** @type {any} */ overview: null,
  /** @type {Refusal|Error|null} why there are no jobs yet */ failure: null,
  loaded: false,
  total: 0,
  /** @type {any} whose token this is */ who: null,
  skew: 0,
  /** now is the server's clock, ms. */
  now() {
    return Date.now() + this.skew
  },
  /** partial: there are more jobs than are kept here. */
  get partial() {
    return this.total > this.jobs.size
  },
  get mayAct() {
    return this.who?.role === 'operate'
  },
}
/** @typedef {import('./api.js').Refusal} Refusal */

/** @type {Set<(news: News) => void>} */
const followers = new Set()
/** @type {News} */
let news = fresh()
let timer = 0
let last = 0
let ticks = 0
/** @type {Record<string, any>} what the server is asked for when there are too many */
let narrowed = {}
/** @type {{type: string, data: any}[]|null} what came while a listing was under way */
let held = null

/** @returns {News} */
function fresh() {
  return { jobs: new Set(), entries: [] }
}

/** follow calls f with what changed; it returns what ends that. @param {(news: News) => void} f */
export function follow(f) {
  followers.add(f)
  return () => followers.delete(f)
}

/** wake makes a tick, now or with the next beat. @param {boolean} soon */
function wake(soon) {
  const wait = soon ? SOON : Math.max(SOON, last + BEAT - performance.now())
  if (timer && !soon) return
  clearTimeout(timer)
  timer = window.setTimeout(tick, wait)
}

function tick() {
  timer = 0
  last = performance.now()
  const what = news
  news = fresh()
  for (const f of followers) f(what)
  if (++ticks % 1000 === 0) performance.clearMeasures('tick')
  performance.measure('tick', { start: last })
}

/** touch says that everything may look different: another zone, another width. */
export function touch() {
  news.jobs = null
  wake(true)
}

/** When the stream last told of a job. @type {Map<string, number>} */
const told = new Map()

/**
 * put takes a job over that an answer brought. asked is when it was asked for
 * (performance.now): what the stream told since is newer than the answer.
 * @param {Job} job @param {number} [asked]
 */
export function put(job, asked) {
  if (asked !== undefined && (told.get(job.name) ?? 0) > asked) return
  const before = store.jobs.get(job.name)
  store.jobs.set(job.name, job)
  if (!before) store.total = Math.max(store.total, store.jobs.size)
  news.jobs?.add(job.name)
  const turned = !before || before.standing.status !== job.standing.status || before.wish.desired !== job.wish.desired
  if (store.needs.has(job.name)) store.needs.set(job.name, job)
  if (!before || before.health !== job.health || turned) needsSoon()
  wake(turned)
}

/** apply takes over what the stream tells. @param {string} type @param {any} data */
export function apply(type, data) {
  if (held) {
    held.push({ type, data })
    return
  }
  if (type === 'job') {
    // Of more jobs than are kept, only those that are shown are followed.
    if (store.partial && !store.jobs.has(data.name)) return
    told.set(data.name, performance.now())
    put(data)
  } else if (type === 'gone') {
    told.set(data.name, performance.now())
    drop(data.name)
  } else if (type === 'alarm') {
    if (data.resolved) store.alarms.delete(data.id)
    else store.alarms.set(data.id, data)
    if (data.job) news.jobs?.add(data.job)
    wake(true)
  } else if (type === 'audit') {
    news.entries.push(data)
    wake(false)
  } else if (type === 'reset') void load()
}

/** drop forgets a job. @param {string} name */
export function drop(name) {
  if (store.jobs.delete(name)) store.total--
  store.needs.delete(name)
  news.jobs?.add(name)
  wake(true)
}

/** narrow is what the server is to let through while there are more jobs than are kept. @param {Record<string, any>} query */
export function narrow(query) {
  const same = JSON.stringify(query) === JSON.stringify(narrowed)
  narrowed = query
  if (!same && (store.partial || store.jobs.size > MOST)) void load()
}

let loading = 0
/** load reads all jobs anew. What the stream tells meanwhile is applied after it. */
export async function load() {
  const mine = ++loading
  held = held ?? []
  /** @type {Map<string, Job>} */
  const found = new Map()
  let total = 0
  try {
    const read = async (/** @type {any} */ query) => pages('/jobs', { limit: 1000, ...query }, (page) => {
      total = page.total
      for (const j of page.items) found.set(j.name, j)
      return found.size < MOST
    })
    await read({})
    if (total > found.size && Object.keys(narrowed).length) {
      found.clear()
      await read(narrowed)
    }
    if (mine !== loading) return
    store.jobs = found
    store.total = total
    store.loaded = true
    store.failure = null
  } catch (e) {
    if (mine !== loading) return
    store.failure = /** @type {Error} */ (e)
  }
  const kept = held ?? []
  held = null
  kept.filter((k) => k.type !== 'reset').forEach((k) => apply(k.type, k.data))
  touch()
  needsSoon()
}

/** overview reads the numbers of all jobs; whoever waits learns whether the server answers. */
export async function overview() {
  const sent = Date.now()
  const o = await get('/overview')
  const at = Date.parse(o.at)
  // Where the clocks agree to a second, that is what the answer's way took.
  if (at) store.skew = Math.abs(at - (sent + Date.now()) / 2) > 1000 ? at - (sent + Date.now()) / 2 : 0
  const more = store.overview?.needs_you !== o.needs_you
  store.overview = o
  if (more) needsSoon()
  wake(false)
}

let asked = 0
/** needsSoon reads who needs somebody and which alarms hold, once for many changes. */
function needsSoon() {
  if (asked) return
  asked = window.setTimeout(async () => {
    asked = 0
    try {
      const [page, alarms] = await Promise.all([get('/jobs', { needs_you: true, limit: 1000 }), get('/alarms')])
      store.needs = new Map(page.items.map((/** @type {Job} */ j) => [j.name, j]))
      store.alarms = new Map(alarms.items.map((/** @type {Alarm} */ a) => [a.id, a]))
      touch()
    } catch { /* the next beat tells whether anybody answers */ }
  }, 150)
}
