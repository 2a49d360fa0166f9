// Charts as SVG: a line, a band where many samples share a pixel, a gap where there
// is none. Charts of a group share their cursor; the arrow keys move it.

import { attr, h, replace, s, text } from './dom.js'
import { day, duration, hour, moment, onZone } from './format.js'

const HEIGHT = 150
const PAD = { left: 64, right: 12, top: 10, bottom: 22 }
const LAG_TICKS = [0, 1, 10, 60, 600, 3600, 86400, 604800]
const ROWS = 30

/** @typedef {{from: number, step: number, values: (number|null)[]}} Data from in ms, step in seconds */

/** group of charts with one cursor. */
export class Group {
  constructor() {
    /** @type {Chart[]} */ this.charts = []
    /** @type {number|null} */ this.at = null
    this.end = onZone(() => this.charts.forEach((c) => c.draw()))
  }
  /** @param {number|null} at ms */
  move(at) {
    this.at = at
    this.charts.forEach((c) => c.point(at))
  }
  close() {
    this.end()
    this.charts.forEach((c) => c.watch.disconnect())
  }
}

export class Chart {
  /**
   * @param {Group} group
   * @param {{title: string, write: (v: number) => string, colour: number, scale?: 'linear'|'lag'|'bytes', ceiling?: number, ceilingName?: string}} o
   */
  constructor(group, o) {
    this.o = o
    this.group = group
    this.most = 1
    /** @type {Data} */ this.data = { from: 0, step: 1, values: [] }
    this.width = 400
    this.plot = s('g')
    this.line = s('line', { class: 'cursor', y1: PAD.top, y2: HEIGHT - PAD.bottom })
    this.dot = s('circle', { r: 3.5, class: 'dot' })
    this.svg = s('svg', { class: 'plot colour-' + o.colour, height: HEIGHT, 'aria-hidden': 'true' }, this.plot, this.line, this.dot)
    this.now = h('span', { class: 'reading' })
    this.area = h('div', {
      class: 'area', tabindex: 0, role: 'slider', 'aria-label': o.title, 'aria-orientation': 'horizontal', onkeydown: (/** @type {KeyboardEvent} */ e) => this.#key(e),
      onpointermove: (/** @type {PointerEvent} */ e) => this.#hover(e), onpointerleave: () => group.move(null), onblur: () => group.move(null),
    }, this.svg)
    this.table = h('table')
    this.details = h('details', { ontoggle: () => this.#table() }, h('summary', {}, 'as a table'), this.table)
    this.element = h('figure', { class: 'chart' }, h('figcaption', {}, h('strong', {}, o.title), this.now), this.area, this.details)
    this.watch = new ResizeObserver(() => this.draw())
    this.watch.observe(this.area)
    group.charts.push(this)
  }

  /** set gives the chart its data. @param {Data} data */
  set(data) {
    this.data = data
    this.draw()
    this.point(this.group.at)
    if (this.details.open) this.#table()
  }

  /** @param {number} v the share of the height */
  #share(v) {
    if (this.o.scale !== 'lag') return v / this.most
    const whole = 1 + Math.log10(Math.max(10, this.most))
    return v < 1 ? v / whole : (1 + Math.log10(v)) / whole
  }

  /** @param {number} v */
  #y(v) {
    return HEIGHT - PAD.bottom - Math.min(1, Math.max(0, this.#share(v))) * (HEIGHT - PAD.top - PAD.bottom)
  }

  /** @param {number} i a sample */
  #x(i) {
    return PAD.left + (i / Math.max(1, this.data.values.length - 1)) * (this.width - PAD.left - PAD.right)
  }

  draw() {
    this.width = Math.max(200, this.area.clientWidth || 400)
    attr(this.svg, 'width', this.width)
    attr(this.svg, 'viewBox', `0 0 ${this.width} ${HEIGHT}`)
    let most = this.o.ceiling ?? 0
    for (const v of this.data.values) if (v !== null && v > most) most = v
    this.most = most * (this.o.scale === 'lag' ? 1 : 1.05) || 1
    replace(this.plot, this.#axes(), this.#series())
    this.#say(this.#last())
  }

  #axes() {
    const out = []
    for (const v of this.#ticks()) {
      const y = this.#y(v)
      out.push(s('line', { class: v === 0 ? 'axis' : 'grid', x1: PAD.left, x2: this.width - PAD.right, y1: y, y2: y }),
        s('text', { class: 'tick', x: PAD.left - 6, y: y + 4, 'text-anchor': 'end' }, this.o.scale === 'lag' ? (v === 0 ? '0' : duration(v)) : this.o.write(v)))
    }
    const n = Math.max(2, Math.min(7, Math.floor(this.width / 110)))
    const { from, step, values } = this.data
    const span = (values.length - 1) * step
    for (let k = 0; values.length > 1 && k < n; k++) {
      const share = k / (n - 1)
      const at = from + share * span * 1000
      out.push(s('text', { class: 'tick', x: PAD.left + share * (this.width - PAD.left - PAD.right), y: HEIGHT - 6, 'text-anchor': k === 0 ? 'start' : k === n - 1 ? 'end' : 'middle' },
        span > 2 * 86400 ? day(at) + ' ' + hour(at) : hour(at)))
    }
    if (this.o.ceiling) {
      const y = this.#y(this.o.ceiling)
      out.push(s('line', { class: 'ceiling', x1: PAD.left, x2: this.width - PAD.right, y1: y, y2: y }),
        s('text', { class: 'tick', x: this.width - PAD.right, y: y + 13, 'text-anchor': 'end' }, this.o.ceilingName ?? ''))
    }
    return out
  }

  #ticks() {
    if (this.o.scale === 'lag') return LAG_TICKS.filter((t) => t <= Math.max(10, this.most))
    const base = this.o.scale === 'bytes' ? 1024 : 10
    let step = base ** Math.floor(Math.log(this.most / 3) / Math.log(base))
    while (this.most / step > 4.5) step *= 2
    const out = []
    for (let v = 0; v <= this.most; v += step) out.push(v)
    return out
  }

  // One point for each pixel: the mean as a line, from least to most as a band.
  #series() {
    const { values } = this.data
    const per = Math.max(1, values.length / Math.max(1, this.width - PAD.left - PAD.right))
    let line = ''
    let band = ''
    /** @type {string[]} */
    let back = []
    let pen = false
    for (let k = 0; k < values.length; k += per) {
      let sum = 0
      let n = 0
      let low = Infinity
      let high = -Infinity
      for (let i = Math.floor(k); i < Math.min(values.length, Math.max(Math.floor(k) + 1, Math.floor(k + per))); i++) {
        const v = values[i]
        if (v === null) continue
        sum += v
        n++
        if (v < low) low = v
        if (v > high) high = v
      }
      if (n === 0) {
        band += back.reverse().join('') + (back.length ? 'Z' : '')
        back = []
        pen = false
        continue
      }
      const x = this.#x(Math.floor(k)).toFixed(1)
      line += `${pen ? 'L' : 'M'}${x} ${this.#y(sum / n).toFixed(1)}`
      band += `${pen ? 'L' : 'M'}${x} ${this.#y(high).toFixed(1)}`
      back.push(`L${x} ${this.#y(low).toFixed(1)}`)
      pen = true
    }
    band += back.reverse().join('') + (back.length ? 'Z' : '')
    return [per > 1 ? s('path', { class: 'band', d: band }) : null, s('path', { class: 'line', d: line })]
  }

  #last() {
    for (let i = this.data.values.length - 1; i >= 0; i--) if (this.data.values[i] !== null) return i
    return -1
  }

  /** @param {number} i */
  #say(i) {
    const v = this.data.values[i]
    const at = this.data.from + i * this.data.step * 1000
    const words = i < 0 ? 'no samples' : v === null || v === undefined ? `${hour(at, true)}: no sample` : `${hour(at, true)}: ${this.o.write(v)}`
    text(this.now, words)
    attr(this.area, 'aria-valuemin', 0)
    attr(this.area, 'aria-valuemax', Math.max(0, this.data.values.length - 1))
    attr(this.area, 'aria-valuenow', Math.max(0, i))
    attr(this.area, 'aria-valuetext', words)
  }

  /** point puts the cursor at a moment; null takes it away. @param {number|null} at ms */
  point(at) {
    const n = this.data.values.length
    const i = at === null ? -1 : Math.round((at - this.data.from) / this.data.step / 1000)
    const inside = i >= 0 && i < n
    attr(this.line, 'class', inside ? 'cursor on' : 'cursor')
    attr(this.dot, 'class', inside && this.data.values[i] !== null ? 'dot on' : 'dot')
    this.#say(inside ? i : this.#last())
    if (!inside) return
    attr(this.line, 'x1', this.#x(i))
    attr(this.line, 'x2', this.#x(i))
    attr(this.dot, 'cx', this.#x(i))
    attr(this.dot, 'cy', this.#y(this.data.values[i] ?? 0))
  }

  /** @param {PointerEvent} e */
  #hover(e) {
    const share = (e.clientX - this.area.getBoundingClientRect().left - PAD.left) / (this.width - PAD.left - PAD.right)
    const i = Math.round(Math.max(0, Math.min(1, share)) * (this.data.values.length - 1))
    this.group.move(this.data.from + i * this.data.step * 1000)
  }

  /** @param {KeyboardEvent} e */
  #key(e) {
    const n = this.data.values.length
    const at = this.group.at === null ? this.#last() : Math.round((this.group.at - this.data.from) / this.data.step / 1000)
    const far = Math.max(1, Math.round(n / 20))
    /** @type {Record<string, number>} */
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, PageUp: at - far, PageDown: at + far, Home: 0, End: n - 1 }
    if (!(e.key in to)) return
    e.preventDefault()
    this.group.move(this.data.from + Math.max(0, Math.min(n - 1, to[e.key])) * this.data.step * 1000)
  }

  #table() {
    if (!this.details.open) return
    const { from, step, values } = this.data
    const every = Math.max(1, Math.floor(values.length / ROWS))
    const rows = []
    for (let i = values.length - 1; i >= 0; i -= every) {
      const v = values[i]
      rows.push(h('tr', {}, h('td', {}, moment(from + i * step * 1000)), h('td', { class: 'num' }, v === null ? 'no sample' : this.o.write(v))))
    }
    replace(this.table, h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, 'time'), h('th', { scope: 'col', class: 'num' }, this.o.title))), h('tbody', {}, rows))
  }
}

/** spark draws a small line without axes; set gives it values, null is a gap. */
export function spark() {
  const path = s('path', { class: 'line' })
  const el = s('svg', { class: 'spark', viewBox: '0 0 60 18', preserveAspectRatio: 'none', 'aria-hidden': 'true' }, path)
  return {
    el,
    /** @param {(number|null)[]|undefined} values */
    set(values) {
      let most = 0
      for (const v of values ?? []) if (v !== null && v > most) most = v
      let d = ''
      let pen = false
      const n = values?.length ?? 0
      for (let i = 0; i < n; i++) {
        const v = /** @type {any} */ (values)[i]
        if (v !== null) d += `${pen ? 'L' : 'M'}${((i / Math.max(1, n - 1)) * 60).toFixed(1)} ${(17 - (most ? (v / most) * 15 : 0)).toFixed(1)}`
        pen = v !== null
      }
      attr(path, 'd', d)
    },
  }
}
