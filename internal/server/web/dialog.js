// Questions that are asked before something is lost.

import { button, h, replace } from './dom.js'
import { Refusal } from './api.js'

/**
 * open shows a dialog; focus stays in it, Escape closes it, and it goes back to where
 * it came from.
 * @param {string} title @param {(close: () => void) => any[]} build
 */
export function open(title, build) {
  const before = /** @type {HTMLElement|null} */ (document.activeElement)
  const body = h('div', { class: 'dialog-body' })
  const close = () => el.close()
  const el = h('dialog', { 'aria-labelledby': 'dialog-title' },
    h('header', {}, h('h2', { id: 'dialog-title' }, title), button('Close', close, { icon: 'cross', bare: true, class: 'quiet' })), body)
  el.addEventListener('close', () => {
    el.remove()
    if (before?.isConnected) before.focus({ preventScroll: true })
  })
  document.body.append(el)
  replace(body, ...build(close))
  el.showModal()
  return { el, body, close }
}

/**
 * ask asks before something that costs. With `name` it must be typed. run does it;
 * when it fails, the dialog stays and says why.
 * @param {{title: string, words: any[], verb: string, name?: string, danger?: boolean, run: (reason: string) => Promise<any>}} o
 */
export function ask(o) {
  open(o.title, (close) => {
    const reason = h('input', { id: 'reason', maxlength: 500, autocomplete: 'off', autofocus: !o.name })
    const typed = h('input', { id: 'typed', autocomplete: 'off', spellcheck: 'false', autofocus: Boolean(o.name) })
    const failed = h('div', { role: 'alert' })
    const go = h('button', { type: 'submit', class: o.danger ? 'danger' : 'main' }, o.verb)
    const form = h('form', {
      onsubmit: async (/** @type {Event} */ e) => {
        e.preventDefault()
        if (o.name && typed.value.trim() !== o.name) {
          replace(failed, h('p', {}, `Type ${o.name} to confirm.`))
          typed.focus()
          return
        }
        go.disabled = true
        try {
          await o.run(reason.value.trim())
          close()
        } catch (err) {
          go.disabled = false
          replace(failed, problem(err))
        }
      },
    }, ...o.words,
    o.name ? h('label', { for: 'typed' }, 'Type ', h('strong', {}, o.name), ' to confirm') : null, o.name ? typed : null,
    h('label', { for: 'reason' }, 'Reason (kept in the audit log; may be empty)'), reason, failed,
    h('footer', {}, button('Cancel', close), go))
    return [form]
  })
}

/** problem says why something was not done: what, where, cause, what to do. @param {any} err @param {(() => void)} [again] */
export function problem(err, again) {
  const f = err instanceof Refusal ? err.fault : { code: 'PAGE', what: String(err?.message ?? err), where: '', cause: '', hint: '' }
  return h('div', { class: 'problem' }, h('p', {}, h('code', { class: 'code' }, f.code), ' ', f.what),
    f.where ? h('p', { class: 'muted' }, 'where: ', h('code', {}, f.where)) : null,
    f.cause ? h('p', { class: 'muted' }, 'cause: ', f.cause) : null,
    f.hint ? h('p', {}, f.hint) : null,
    again ? button('Try again', again, { icon: 'retry' }) : null)
}
