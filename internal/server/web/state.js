// States as they are shown: a picture, a word, and a class that gives the fill. What
// is and what is wanted stay apart until they are the same.

import { attr, h, icon, once, redraw, text } from './dom.js'
import { ago, duration } from './format.js'

/**
 * @typedef {import('./api.js').Standing} Standing
 * @typedef {import('./api.js').Wish} Wish
 * @typedef {{kind: string, icon: string, word: string, turning: string}} Shown
 */

/** Seconds without a report after which a running job is not known to run. */
const SILENT = 40
/** Seconds of lag from which 'behind' is said. */
const BEHIND = 60

/** @type {Record<string, {kind: string, icon: string, word: string}>} */
const STATUS = {
  unassigned: { kind: 'rest', icon: 'wait', word: 'Unassigned' },
  preparing: { kind: 'run', icon: 'wait', word: 'Preparing' },
  running: { kind: 'run', icon: 'play', word: 'Running' },
  retrying: { kind: 'care', icon: 'retry', word: 'Retrying' },
  stopping: { kind: 'run', icon: 'wait', word: 'Stopping' },
  paused: { kind: 'rest', icon: 'pause', word: 'Paused' },
  stopped: { kind: 'rest', icon: 'stop', word: 'Stopped' },
  failed: { kind: 'fail', icon: 'cross', word: 'Failed' },
  finished: { kind: 'good', icon: 'check', word: 'Finished' },
}

export const STATUSES = Object.keys(STATUS)

/** word of a status. @param {string} status */
export function word(status) {
  return STATUS[status]?.word ?? status
}

/** rank sorts states, worst first. @param {string} status */
export function rank(status) {
  return ['failed', 'retrying', 'unassigned', 'stopping', 'preparing', 'running', 'paused', 'stopped', 'finished'].indexOf(status)
}

/** turning says what is on its way from what is to what is wanted; empty: nothing. @param {Standing} s @param {Wish|undefined} w */
export function turning(s, w) {
  const at = s.status
  if (!w || at === 'failed' || at === 'finished') return ''
  if (w.desired === 'paused' && at !== 'paused' && at !== 'stopped') return 'pausing…'
  if (w.desired === 'stopped' && at !== 'stopped') return 'stopping…'
  if (w.desired === 'running' && at === 'paused') return 'resuming…'
  if (w.desired === 'running' && at === 'stopped') return 'starting…'
  return ''
}

/** standing of a job, table or task as it is shown. @param {{standing: Standing, wish?: Wish, progress?: any}} it @param {number} now ms, the server's @returns {Shown} */
export function standing(it, now) {
  const s = it.standing
  const base = STATUS[s.status] ?? { kind: 'none', icon: 'query', word: s.status }
  const shown = { ...base, turning: turning(s, it.wish) }
  const lag = it.progress?.stream?.lag
  if (s.status === 'running' && it.progress?.sampled_at) {
    const silent = (now - Date.parse(it.progress.sampled_at)) / 1000
    if (silent > SILENT) return { ...shown, kind: 'none', icon: 'query', word: 'No report for ' + duration(silent) }
  }
  if (s.status === 'running' && lag?.state === 'caught_up') Object.assign(shown, { kind: 'good', icon: 'check', word: 'Caught up' })
  else if (s.status === 'running' && lag?.state === 'behind' && lag.seconds > BEHIND) Object.assign(shown, { kind: 'care', icon: 'warn', word: 'Behind ' + duration(lag.seconds) })
  else if (s.status === 'retrying' && s.fruitless) shown.word = `Retrying, ${s.fruitless}×`
  if ((s.status === 'paused' || s.status === 'stopped') && it.wish?.by && !shown.turning) shown.word += ' by ' + it.wish.by
  return shown
}

/** badge shows a state; set draws it anew. @returns {{el: HTMLElement, set: (shown: Shown) => void}} */
export function badge() {
  const picture = icon('wait')
  const name = h('span')
  const turn = h('span', { class: 'turn' })
  const el = h('span', { class: 'state' }, picture, name, turn)
  const draw = once((/** @type {string} */ key) => {
    const [kind, image, word, turns] = key.split('\n')
    attr(el, 'class', 'state is-' + kind)
    attr(el, 'title', word)
    redraw(picture, image)
    text(name, word)
    text(turn, turns ? ' → ' + turns : '')
  })
  return { el, set: (shown) => draw([shown.kind, shown.icon, shown.word, shown.turning].join('\n')) }
}

/** since: '4 m ago'; the moment itself is the title of whoever shows it. @param {Standing} s @param {number} now */
export function since(s, now) {
  return ago(s.since, now)
}

/** What a job does now, in numbers that every screen takes from here. */

/** speed of a job and its unit. @param {import('./api.js').Job} job @returns {{value: number|null|undefined, unit: string}} */
export function speed(job) {
  const p = job.progress
  if (job.kind === 'files') return { value: p?.files?.objects_s, unit: 'objects/s' }
  if (p?.phase === 'stream') return { value: p.stream?.changes_s, unit: 'changes/s' }
  return { value: p?.rows_s, unit: 'rows/s' }
}

/** moves reports whether a job does anything whose speed could be told. @param {import('./api.js').Job} job */
export function moves(job) {
  return ['running', 'preparing', 'retrying', 'stopping'].includes(job.standing.status)
}

/** done of a job in percent; null where that is not known or does not apply. @param {import('./api.js').Job} job @returns {number|null} */
export function done(job) {
  if (job.standing.status === 'finished') return 100
  return job.progress?.phase === 'stream' ? null : job.progress?.progress?.pct ?? null
}

/** lag of a job in seconds; null: unknown or none. @param {import('./api.js').Job} job @returns {number|null} */
export function lag(job) {
  const l = job.progress?.stream?.lag
  return l && l.state !== 'unknown' && typeof l.seconds === 'number' ? l.seconds : null
}
