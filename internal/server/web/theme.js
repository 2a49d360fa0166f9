// Light, dark, or as the machine has it.

import { button, redraw, attr } from './dom.js'

const KEY = 'godwit.theme'
const NEXT = { auto: 'light', light: 'dark', dark: 'auto' }
const PICTURE = { auto: 'auto', light: 'sun', dark: 'moon' }
const NAME = { auto: 'as the system has it', light: 'light', dark: 'dark' }

/** @returns {'auto'|'light'|'dark'} */
function chosen() {
  try {
    const t = localStorage.getItem(KEY)
    return t === 'light' || t === 'dark' ? t : 'auto'
  } catch {
    return 'auto'
  }
}

/** apply puts the choice on the root; the style sheet does the rest. */
export function apply() {
  attr(document.documentElement, 'data-theme', chosen())
}

/** toggle is the switch. */
export function toggle() {
  const b = button('', next, { icon: 'auto', bare: true, class: 'quiet' })
  const draw = () => {
    redraw(b.firstChild, PICTURE[chosen()])
    const name = 'Colours: ' + NAME[chosen()]
    attr(b, 'aria-label', name)
    attr(b, 'title', name)
  }
  function next() {
    try {
      localStorage.setItem(KEY, NEXT[chosen()])
    } catch { /* it cannot be kept */ }
    apply()
    draw()
  }
  draw()
  return b
}
