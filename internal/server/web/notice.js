// What is said beside the screens: the one live region, notes that go away, the banner.

import { button, h, replace } from './dom.js'

const GAP = 5000
let spoken = 0
let waiting = ''
let timer = 0

/** say lets screen readers speak, at most once in five seconds; of what comes in between the last is said. @param {string} words */
export function say(words) {
  waiting = words
  if (timer) return
  timer = window.setTimeout(() => {
    timer = 0
    spoken = Date.now()
    const region = document.getElementById('said')
    if (region) region.textContent = waiting
  }, Math.max(50, spoken + GAP - Date.now()))
}

/** note shows a line for ten seconds, or until it is closed; one with an act stays longer, one that is bad until somebody has seen it. @param {string} words @param {{act?: {word: string, run: () => void}, bad?: boolean}} [o] */
export function note(words, o = {}) {
  const box = document.getElementById('notes')
  const end = () => el.remove()
  const act = o.act
  const el = h('div', { class: o.bad ? 'note bad' : 'note' }, h('span', {}, words),
    act ? button(act.word, () => {
      end()
      act.run()
    }) : null,
    button('Close', end, { icon: 'cross', bare: true, class: 'quiet' }))
  box?.append(el)
  // The newest counts; what went wrong stays until it was seen.
  box?.querySelectorAll('.note:not(.bad)').forEach((e) => e !== el && e.remove())
  while (box && box.children.length > 3) box.firstElementChild?.remove()
  if (!o.bad) setTimeout(() => {
    if (!el.contains(document.activeElement)) end()
  }, act ? 20000 : 10000)
  say(words)
}

/** tidy takes away what was said of a screen that is left. */
export function tidy() {
  document.querySelectorAll('#notes .bad').forEach((e) => e.remove())
}

/** banner shows something that lasts above everything; null takes it away. @param {any[]|null} children */
export function banner(children) {
  const box = /** @type {HTMLElement} */ (document.getElementById('banner'))
  replace(box, ...(children ?? []))
  box.hidden = !children
}
