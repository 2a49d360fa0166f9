// Keys of the page, and the list of them.

import { open } from './dialog.js'
import { h } from './dom.js'

/** @type {Map<string, {says: string, run: () => void}>} */
const keys = new Map()

/** bind gives a key a meaning while a screen is shown; it returns what ends that. @param {string} key @param {string} says @param {() => void} run */
export function bind(key, says, run) {
  const bound = { says, run }
  keys.set(key, bound)
  return () => {
    if (keys.get(key) === bound) keys.delete(key)
  }
}

export function start() {
  bind('?', 'this list', list)
  addEventListener('keydown', (e) => {
    const on = /** @type {HTMLElement} */ (e.target)
    if (e.ctrlKey || e.metaKey || e.altKey || e.defaultPrevented || on.closest?.('input:not([type=checkbox]),textarea,select,dialog')) return
    const bound = keys.get(e.key)
    if (!bound) return
    e.preventDefault()
    bound.run()
  })
}

/** list shows all keys. */
export function list() {
  const row = (/** @type {string} */ k, /** @type {string} */ says) => [h('dt', {}, h('kbd', {}, k)), h('dd', {}, says)]
  const fixed = [['↓ ↑ or j k', 'next or previous row of a table'], ['Page, Home, End', 'far within a table'], ['Enter', 'open the row'], ['Space', 'select the row; with Shift up to it'], ['← →', 'move the cursor of a chart'], ['Esc', 'close a dialog']]
  const all = [...[...keys].map(([k, b]) => [k, b.says]), ...fixed]
  open('Keys', () => [h('dl', { class: 'keys' }, ...all.map(([k, says]) => row(k, says)))])
}
