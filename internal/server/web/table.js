// A table of any length: only the rows that are seen are in the document. It scrolls
// with the page, keeps the focus, and is a grid to keyboards and screen readers.

import { attr, button, h, icon, redraw, show } from './dom.js'

/**
 * @template T
 * @typedef {{id: string, label: string, sorts?: {key: string, label: string, down?: boolean}[], make: (cell: HTMLElement) => (item: T) => void}} Column
 */

const OVERSCAN = 6
const PRINTED = 500

/** @template T */
export class Table {
  /**
   * @param {{label: string, name: string, columns: Column<T>[], key: (item: T) => string, href?: (item: T) => string, open?: (item: T) => void, selectable?: boolean, onSelect?: () => void, onSort?: (sort: string) => void}} o
   */
  constructor(o) {
    this.o = o
    /** @type {T[]} */ this.items = []
    /** @type {Map<string, number>} */ this.places = new Map()
    /** @type {Set<string>} */ this.selected = new Set()
    /** @type {Map<string, {el: HTMLElement, box: HTMLInputElement|null, fills: ((item: T) => void)[], inner: HTMLElement[]|null}>} */ this.rows = new Map()
    this.spare = /** @type {any[]} */ ([])
    this.active = ''
    this.anchor = -1
    this.sort = ''
    /** @type {[number, number]} */ this.window = [0, 0]
    this.row = 48
    this.all = o.selectable ? h('input', { type: 'checkbox', 'aria-label': 'Select all that are shown', onchange: () => this.selectAll(this.all.checked) }) : null
    /** @type {Map<string, {cell: HTMLElement, mark: SVGElement, button: HTMLElement}>} */ this.heads = new Map()
    this.head = this.#head()
    this.body = h('div', { class: 'tbody', role: 'rowgroup' })
    this.empty = h('div', { class: 'empty' })
    this.grid = h('div', { class: 'table t-' + o.name, role: 'grid', 'aria-label': o.label, 'aria-multiselectable': o.selectable ? 'true' : null, onkeydown: (/** @type {KeyboardEvent} */ e) => this.#key(e) },
      h('div', { role: 'rowgroup', class: 'thead' }, this.head), this.body)
    this.element = h('div', {}, this.grid, this.empty)
    this.printing = false
    this.frame = 0
    this.soon = () => {
      if (!this.frame) this.frame = requestAnimationFrame(() => {
        this.frame = 0
        this.draw(false)
      })
    }
    this.measure = () => {
      this.row = parseFloat(getComputedStyle(this.grid).getPropertyValue('--row')) || 48
      this.draw(false)
    }
    this.before = () => {
      this.printing = true
      this.draw(false)
    }
    this.after = () => {
      this.printing = false
      this.draw(false)
    }
    addEventListener('scroll', this.soon, { passive: true })
    addEventListener('resize', this.measure)
    addEventListener('beforeprint', this.before)
    addEventListener('afterprint', this.after)
    this.body.addEventListener('focusin', (/** @type {FocusEvent} */ e) => this.#focused(e))
  }

  close() {
    removeEventListener('scroll', this.soon)
    removeEventListener('resize', this.measure)
    removeEventListener('beforeprint', this.before)
    removeEventListener('afterprint', this.after)
  }

  #head() {
    const cells = this.o.columns.map((c) => {
      const sorts = c.sorts ?? []
      const cell = h('div', { role: 'columnheader', class: 'c-' + c.id }, sorts.length ? null : h('span', {}, c.label))
      for (const s of sorts) {
        const mark = icon('down')
        const b = h('button', { type: 'button', class: 'sort', onclick: () => this.o.onSort?.(this.#turned(s.key, s.down ? '-' : '')) }, s.label, mark)
        cell.append(b)
        this.heads.set(s.key, { cell, mark, button: b })
      }
      return cell
    })
    if (this.all) cells.unshift(h('div', { role: 'columnheader', class: 'c-pick' }, this.all))
    return h('div', { role: 'row', class: 'row head', 'aria-rowindex': 1 }, ...cells)
  }

  /** @param {string} key @param {string} sign of the first click: '-' where the greatest is looked for */
  #turned(key, sign) {
    if (this.sort !== sign + key) return sign + key
    return (sign ? '' : '-') + key
  }

  /** setSort shows by what the items are sorted. @param {string} sort a key, with - descending */
  setSort(sort) {
    if (sort === this.sort) return
    this.sort = sort
    const key = sort.replace(/^-/, '')
    for (const head of this.heads.values()) attr(head.cell, 'aria-sort', null)
    for (const [k, head] of this.heads) {
      attr(head.button, 'class', k === key ? 'sort on' : 'sort')
      redraw(head.mark, sort === '-' + k ? 'up' : 'down')
      if (k === key) attr(head.cell, 'aria-sort', sort.startsWith('-') ? 'descending' : 'ascending')
    }
  }

  /** set gives the table its items, sorted. @param {T[]} items @param {any} [whenEmpty] what is shown instead of none */
  set(items, whenEmpty) {
    this.items = items
    this.places.clear()
    items.forEach((it, i) => this.places.set(this.o.key(it), i))
    if (!this.places.has(this.active)) this.active = ''
    // Nothing is acted on that cannot be seen.
    for (const k of this.selected) if (!this.places.has(k)) this.selected.delete(k)
    attr(this.grid, 'aria-rowcount', items.length + 1)
    show(this.empty, items.length === 0)
    if (items.length === 0 && whenEmpty) this.empty.replaceChildren(whenEmpty)
    if (this.all) {
      const n = this.selected.size
      this.all.checked = n > 0 && n === items.length
      this.all.indeterminate = n > 0 && n < items.length
    }
    this.draw(true)
  }

  /** seen are the items in the window, as it was drawn last. */
  seen() {
    return this.items.slice(...this.window)
  }

  range() {
    if (this.printing) return [0, Math.min(this.items.length, PRINTED)]
    const top = this.body.getBoundingClientRect().top
    const first = Math.max(0, Math.floor(-top / this.row) - OVERSCAN)
    const last = Math.min(this.items.length, Math.ceil((innerHeight - top) / this.row) + OVERSCAN)
    return [Math.min(first, this.items.length), Math.max(first, last)]
  }

  /** draw shows the rows that are seen; anew fills those that stay too. @param {boolean} anew */
  draw(anew) {
    if (!this.grid.isConnected) return
    const [first, last] = this.range()
    this.window = [first, last]
    const height = (this.printing ? last : this.items.length) * this.row
    this.body.style.height = height + 'px'
    const wanted = new Set()
    for (let i = first; i < last; i++) wanted.add(this.o.key(this.items[i]))
    const focus = /** @type {HTMLElement|null} */ (this.body.contains(document.activeElement) ? document.activeElement : null)
    if (focus && this.places.has(this.active)) wanted.add(this.active)
    for (const [k, r] of this.rows) {
      if (wanted.has(k)) continue
      this.rows.delete(k)
      this.spare.push(r)
      r.el.hidden = true
    }
    const order = [...wanted].map((k) => /** @type {[string, number]} */ ([k, this.places.get(k) ?? 0])).sort((a, b) => a[1] - b[1])
    const stop = this.places.has(this.active) && this.rows.has(this.active) ? this.active : order[0]?.[0]
    let next = this.body.firstElementChild
    for (const [k, i] of order) {
      const known = this.rows.has(k)
      const r = this.rows.get(k) ?? this.#take(k)
      while (next && next !== r.el && /** @type {HTMLElement} */ (next).hidden) next = next.nextElementSibling
      if (next === r.el) next = next.nextElementSibling
      else this.body.insertBefore(r.el, next)
      const y = `translateY(${i * this.row}px)`
      if (r.el.style.transform !== y) r.el.style.transform = y
      attr(r.el, 'aria-rowindex', i + 2)
      if (anew || !known) for (const f of r.fills) f(this.items[i])
      this.#mark(r, k, k === stop)
    }
    if (focus?.isConnected && document.activeElement !== focus) focus.focus({ preventScroll: true })
  }

  /** @param {string} k */
  #take(k) {
    const r = this.spare.pop() ?? this.#make()
    r.el.hidden = false
    r.el.dataset.key = k
    this.rows.set(k, r)
    return r
  }

  #make() {
    const box = this.o.selectable ? h('input', { type: 'checkbox', 'aria-label': 'Select', onclick: (/** @type {MouseEvent} */ e) => this.#pick(el.dataset.key, e.shiftKey) }) : null
    const el = h('div', { role: 'row', class: 'row', onclick: (/** @type {MouseEvent} */ e) => this.#click(e, el.dataset.key) },
      box ? h('div', { role: 'gridcell', class: 'c-pick' }, box) : null)
    const fills = this.o.columns.map((c) => {
      const cell = h('div', { role: 'gridcell', class: 'c-' + c.id, 'data-label': c.label })
      el.append(cell)
      return c.make(cell)
    })
    return { el, box, fills, inner: null }
  }

  /** @param {any} r @param {string} k @param {boolean} stop whether Tab comes to it */
  #mark(r, k, stop) {
    const on = this.selected.has(k)
    if (r.box) {
      r.box.checked = on
      attr(r.el, 'aria-selected', on ? 'true' : 'false')
    }
    if (r.stop === stop) return
    r.stop = stop
    attr(r.el, 'tabindex', stop ? 0 : -1)
    r.inner ??= [...r.el.querySelectorAll('a,button,input')]
    for (const e of r.inner) attr(e, 'tabindex', stop ? 0 : -1)
  }

  /** @param {FocusEvent} e */
  #focused(e) {
    const row = /** @type {HTMLElement|null} */ (/** @type {Element} */ (e.target).closest('.row'))
    if (row?.dataset.key && row.dataset.key !== this.active) {
      this.active = row.dataset.key
      this.draw(false)
    }
  }

  /** @param {MouseEvent} e @param {string} k */
  #click(e, k) {
    if (/** @type {Element} */ (e.target).closest('a,button,input,label') || getSelection()?.toString()) return
    this.#open(k)
  }

  /** @param {string} k */
  #open(k) {
    const i = this.places.get(k)
    if (i !== undefined) this.o.open?.(this.items[i])
  }

  /** @param {string} k @param {boolean} stretch */
  #pick(k, stretch) {
    const at = this.places.get(k) ?? 0
    const on = !this.selected.has(k)
    const [from, to] = stretch && this.anchor >= 0 ? [Math.min(at, this.anchor), Math.max(at, this.anchor)] : [at, at]
    for (let i = from; i <= to && i < this.items.length; i++) {
      const key = this.o.key(this.items[i])
      if (on) this.selected.add(key)
      else this.selected.delete(key)
    }
    this.anchor = at
    this.#selected()
  }

  /** selectAll that are in the table, or none. @param {boolean} yes */
  selectAll(yes) {
    this.selected = yes ? new Set(this.places.keys()) : new Set()
    this.#selected()
  }

  #selected() {
    this.set(this.items)
    this.o.onSelect?.()
  }

  /** @param {KeyboardEvent} e */
  #key(e) {
    const row = /** @type {HTMLElement} */ (e.target)
    if (!row.classList.contains('row') || e.ctrlKey || e.metaKey || e.altKey) return
    const at = this.places.get(row.dataset.key ?? '') ?? 0
    const page = Math.max(1, Math.floor(innerHeight / this.row) - 3)
    /** @type {Record<string, number>} */
    const to = { ArrowDown: at + 1, j: at + 1, ArrowUp: at - 1, k: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: this.items.length - 1 }
    if (e.key in to) this.focus(to[e.key])
    else if (e.key === 'Enter') this.#open(row.dataset.key ?? '')
    else if (e.key === ' ' && this.o.selectable) this.#pick(row.dataset.key ?? '', e.shiftKey)
    else return
    e.preventDefault()
  }

  /** focus puts the focus on a row, which is scrolled into sight. @param {number} index */
  focus(index) {
    const i = Math.max(0, Math.min(this.items.length - 1, index))
    if (!this.items[i]) return
    const top = this.body.getBoundingClientRect().top + i * this.row
    const under = this.head.getBoundingClientRect().bottom
    const low = Math.max(0, Math.min(under, 160))
    if (top < low) scrollBy({ top: top - low, behavior: 'instant' })
    else if (top + this.row > innerHeight - 70) scrollBy({ top: top + this.row - innerHeight + 70, behavior: 'instant' })
    this.active = this.o.key(this.items[i])
    this.draw(false)
    this.rows.get(this.active)?.el.focus({ preventScroll: true })
  }
}

/** sorted returns items by what a key gives of them; what is unknown comes last either way. @template T @param {T[]} items @param {(item: T) => any} by @param {boolean} down @param {(item: T) => string} name */
export function sorted(items, by, down, name) {
  const unknown = (/** @type {any} */ v) => v === null || v === undefined || v === '' || Number.isNaN(v)
  return items.map((it) => ({ it, v: by(it), n: name(it) })).sort((a, b) => {
    const ua = unknown(a.v)
    const ub = unknown(b.v)
    if (ua !== ub) return ua ? 1 : -1
    if (!ua && a.v !== b.v) return (a.v < b.v ? -1 : 1) * (down ? -1 : 1)
    return a.n < b.n ? -1 : a.n > b.n ? 1 : 0
  }).map((x) => x.it)
}

/** picker is a row of acts on what is selected. @param {HTMLElement} acts @param {() => void} clear */
export function picker(acts, clear) {
  const words = h('strong')
  const more = h('span', {})
  const el = h('div', { class: 'picker', role: 'region', 'aria-label': 'Selection', hidden: true }, words, more, acts, button('Clear', clear, { class: 'quiet' }))
  return { el, words, more }
}
