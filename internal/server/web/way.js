// The way of the data: source, what happens between, sinks; with what runs along each
// arrow. Drawn for eyes, and told as a list for ears and narrow screens.

import { h, replace, s } from './dom.js'
import { ago, byteRate, bytes, count, date, duration, NONE, rate, UNKNOWN } from './format.js'
import { moves, speed } from './state.js'

const W = 880
const SINK = 84
const STALLED = 60

/** lagWords of a sink or a job. @param {any} lag watch.Lag */
export function lagWords(lag) {
  if (!lag) return NONE
  if (lag.state === 'caught_up') return 'caught up'
  if (lag.state === 'behind') return typeof lag.seconds === 'number' ? duration(lag.seconds) + ' behind' : 'behind, by how much is not known'
  return 'lag not known'
}

/** Rates of sinks are what their counts grew by. */
class Pace {
  constructor() {
    /** @type {Map<string, {at: number, rows: number}[]>} */ this.samples = new Map()
  }
  /** @param {string} sink @param {number} at ms @param {number} rows @returns {number|null} rows a second over the last ten seconds */
  of(sink, at, rows) {
    const kept = (this.samples.get(sink) ?? []).filter((x) => at - x.at < 15000 && x.rows <= rows)
    if (kept.at(-1)?.at !== at) kept.push({ at, rows })
    this.samples.set(sink, kept)
    const first = kept[0]
    return at - first.at >= 2000 ? ((rows - first.rows) * 1000) / (at - first.at) : null
  }
}

/** endsOf splits a way in words. @param {import('./api.js').Job} job */
function endsOf(job) {
  const [source, sinks] = (job.way ?? '').split('→').map((t) => t.trim())
  return { source: source || 'source', sinks: (sinks ?? '').split(',').map((t) => t.trim()).filter(Boolean) }
}

/** way makes the drawing and the list. */
export function way() {
  const drawing = s('svg', { class: 'way', 'aria-hidden': 'true' })
  const list = h('ol', { class: 'way-list' })
  const pace = new Pace()
  let last = ''
  return {
    element: h('div', {}, drawing, list),
    /** @param {import('./api.js').Job} job @param {number} now */
    set(job, now) {
      const facts = read(job, now, pace)
      const key = JSON.stringify(facts)
      if (key === last) return
      last = key
      draw(drawing, facts)
      replace(list, h('li', {}, facts.source, ': ', facts.flow), h('li', {}, facts.middle.join(', ')),
        facts.sinks.map((k) => h('li', {}, k.name, ': ', [k.rate, k.lag, k.commit, k.queueWords, k.stalled ? 'stalled' : ''].filter(Boolean).join(', '))))
    },
  }
}

/** @typedef {{name: string, stalled: boolean, fill: number, rate: string, lag: string, commit: string, rows: string, queueWords: string}} Drawn a sink */

/** read takes what the drawing and the list both show. @param {import('./api.js').Job} job @param {number} now @param {Pace} pace */
function read(job, now, pace) {
  const p = job.progress
  const ends = endsOf(job)
  const { value, unit } = speed(job)
  const going = moves(job)
  const flow = going ? `${rate(value).replace('/s', '')} ${unit}, ${byteRate(p?.bytes_s)}` : 'nothing moves'
  const middle = [p?.phase ?? 'not started']
  // Who has caught up waits for the source: that is no brake.
  if (p?.stream?.lag?.state === 'caught_up') middle.push('as fast as the source')
  else if (p?.brake) middle.push(`brake: ${[p.brake.sink, p.brake.stage].filter(Boolean).join('.')} ${Math.round(p.brake.share * 100)} %`)
  else if (going && p) middle.push('nothing here is the brake')
  if (p?.memory?.used) middle.push(`memory ${bytes(p.memory.used)}${p.memory.limit ? ' of ' + bytes(p.memory.limit) : ''}`)
  const at = date(p?.sampled_at)?.getTime() ?? now
  /** @type {Drawn[]} */
  const known = (p?.sinks ?? []).map((/** @type {any} */ k) => {
    const stalled = going && k.queue_bytes > 0 && date(k.committed_at) !== null && (now - Date.parse(k.committed_at)) / 1000 > STALLED
    const grown = pace.of(k.sink, at, k.rows)
    return {
      name: k.sink, stalled, fill: k.queue_limit_bytes ? Math.min(1, k.queue_bytes / k.queue_limit_bytes) : 0,
      rate: going ? (grown === null ? UNKNOWN + ' rows/s' : rate(grown).replace('/s', ' rows/s')) : '', lag: p?.stream ? lagWords(k.lag) : '',
      commit: k.committed_at ? 'committed ' + ago(k.committed_at, now) : 'nothing committed in this run',
      rows: count(k.rows) + ' rows', queueWords: k.queue_limit_bytes ? `queue ${bytes(k.queue_bytes)} of ${bytes(k.queue_limit_bytes)}` : '',
    }
  })
  /** @type {Drawn[]} */
  const sinks = known.length ? known : ends.sinks.map((name) => ({ name, stalled: false, fill: 0, rate: '', lag: '', commit: '', rows: '', queueWords: '' }))
  return { source: ends.source, flow, middle, sinks, going, stages: p?.stages ?? [] }
}

/** @param {number} x @param {number} y @param {number} w @param {number} height @param {string} name @param {string[]} lines @param {string} [kind] */
function box(x, y, w, height, name, lines, kind) {
  return s('g', { class: 'box ' + (kind ?? '') }, s('title', {}, name), s('rect', { x, y, width: w, height, rx: 6 }), s('text', { class: 'name', x: x + 12, y: y + 22 }, clip(name, w, 8.4)),
    lines.map((t, i) => s('text', { x: x + 12, y: y + 41 + i * 17 }, clip(t, w, 6.6))))
}

/** middle leaves out what is in the middle of a long text: of a path its end says most. @param {string} t @param {number} most letters */
export function middle(t, most) {
  if (t.length <= most) return t
  const head = Math.ceil(most / 3)
  return t.slice(0, head) + '…' + t.slice(t.length - (most - head - 1))
}

/** shortWay is a way whose ends can all be told in a line. @param {string} t */
export function shortWay(t) {
  return t.split(' → ').map((end) => end.split(', ').map((one) => middle(one, 34)).join(', ')).join(' → ')
}

/** clip what is too long for a box. @param {string} t @param {number} w @param {number} each width of a letter, about */
function clip(t, w, each) {
  const most = Math.floor((w - 16) / each)
  return middle(t, most)
}

/** @param {SVGElement} svg @param {ReturnType<typeof read>} f */
function draw(svg, f) {
  const height = Math.max(1.1, f.sinks.length) * SINK
  const half = height / 2
  svg.setAttribute('viewBox', `0 0 ${W} ${height + 4}`)
  const [flowRows, flowBytes] = f.flow.split(', ')
  replace(svg,
    box(2, half - 34, 200, 68, f.source, f.going ? ['source'] : ['source', 'idle']),
    s('path', { class: 'arrow', d: `M204 ${half}H316l-8 -5m8 5l-8 5` }),
    s('text', { class: 'on', x: 260, y: half - 9, 'text-anchor': 'middle' }, flowRows), s('text', { class: 'on', x: 260, y: half + 20, 'text-anchor': 'middle' }, flowBytes ?? ''),
    box(320, half - 44, 200, 88, 'godwit', f.middle), f.sinks.map((k, i) => sink(k, i * SINK + (height - f.sinks.length * SINK) / 2, half)).flat())
}

/** sink draws one, and the arrow to it with what waits on it, on the side where the arrow does not come from. @param {Drawn} k @param {number} top @param {number} half the middle of it all */
function sink(k, top, half) {
  const y = top + SINK / 2
  const below = y > half + 1
  const bar = { x: 550, y: below ? y + 8 : y - 13, height: 5, rx: 2 }
  return [
    s('path', { class: 'arrow' + (k.stalled ? ' bad' : ''), d: `M520 ${half}C580 ${half} 550 ${y} 632 ${y}l-8 -5m8 5l-8 5` }),
    k.queueWords ? s('rect', { class: 'queue', width: 70, ...bar }) : null, k.queueWords ? s('rect', { class: 'queue full', width: 70 * k.fill, ...bar }) : null,
    s('text', { class: 'on', x: 585, y: below ? y + 28 : y - 19, 'text-anchor': 'middle' }, k.rate),
    box(636, top + 4, 242, SINK - 10, k.name, [k.stalled ? 'stalled · ' + k.commit : k.commit, [k.lag, k.rows].filter(Boolean).join(' · ')].filter(Boolean), k.stalled ? 'bad' : ''),
  ]
}
