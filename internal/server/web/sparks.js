// Rates of the last quarter of an hour, of jobs that were seen: asked for once, for
// all of them together, then kept by what the stream tells.

import { get } from './api.js'
import { moves, speed } from './state.js'
import { store } from './store.js'

/** @typedef {import('./api.js').Job} Job */
/** @typedef {{at: number, n: number, values: (number|null)[]}} Past at: when the last bucket began */

const BUCKET = 15000
const BUCKETS = 60
const AT_ONCE = 200
const PAUSE = 10000

/** @type {Map<string, Past>} */
const kept = new Map()
let asking = false
let notBefore = 0

/** past of a job, as far as it is known. @param {string} name @returns {(number|null)[]|undefined} */
export function past(name) {
  return kept.get(name)?.values
}

/** look asks for the rates of jobs that are seen and not known, in one request. @param {Job[]} seen */
export async function look(seen) {
  const jobs = seen.filter((j) => moves(j) && !kept.has(j.name)).slice(0, AT_ONCE)
  if (asking || jobs.length === 0 || Date.now() < notBefore) return
  asking = true
  const fresh = new Map(jobs.map((j) => [j.name, j]))
  for (const name of fresh.keys()) kept.set(name, { at: Math.floor(Date.now() / BUCKET) * BUCKET, n: 0, values: new Array(BUCKETS).fill(null) })
  try {
    const d = await get('/history', { job: [...fresh.keys()], series: ['rows', 'changes'], span: '15m', points: BUCKETS })
    for (const { name, history } of d.items) take(/** @type {Job} */ (fresh.get(name)), history)
  } catch {
    for (const name of fresh.keys()) kept.delete(name)
    notBefore = Date.now() + PAUSE
  } finally {
    asking = false
  }
}

/** take puts what the server kept below what was told since. @param {Job} job @param {any} history */
function take(job, history) {
  const name = job.kind === 'tables' && job.progress?.phase === 'stream' ? 'changes' : 'rows'
  const values = history.series.find((/** @type {any} */ s) => s.name === name)?.values ?? []
  const mine = kept.get(job.name)?.values
  values.forEach((/** @type {number|null} */ v, /** @type {number} */ i) => {
    const k = BUCKETS - values.length + i
    if (mine && k >= 0) mine[k] ??= v
  })
}

/** sample adds what was told. @param {import('./store.js').News} news */
export function sample(news) {
  const bucket = Math.floor(Date.now() / BUCKET) * BUCKET
  for (const [name, p] of kept) {
    const job = store.jobs.get(name)
    if (!job || (bucket - p.at) / BUCKET > BUCKETS) {
      kept.delete(name)
      continue
    }
    while (p.at < bucket) {
      p.at += BUCKET
      p.n = 0
      p.values.shift()
      p.values.push(null)
    }
    const v = speed(job).value
    if (!news.jobs?.has(name) || !moves(job) || typeof v !== 'number') continue
    const last = p.values[BUCKETS - 1]
    p.n++
    p.values[BUCKETS - 1] = last === null ? v : last + (v - last) / p.n
  }
}
