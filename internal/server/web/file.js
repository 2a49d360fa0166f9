// The file of a job that lives: its text, its versions, and what an edit would do
// before it counts.

import { actButton, whyNot } from './actions.js'
import { call, get, job as path } from './api.js'
import { problem } from './dialog.js'
import { button, h, replace, show, text } from './dom.js'
import { busy, changes, editor, opener } from './editor.js'
import { moment, plural } from './format.js'
import { note, say } from './notice.js'
import { store } from './store.js'

/** @typedef {{version: number, at: string, by: string, reason?: string, changes?: any[], file?: string}} Version */

/** Edits that were begun, by job: another tab of the job does not lose them. @type {Map<string, {base: number, text: string}>} */
const drafts = new Map()

/** mount shows the file of a job. @param {HTMLElement} root @param {string} name */
export function mount(root, name) {
  const edit = editor({ label: 'Job file of ' + name, locked: whyNot() !== '', changed })
  const title = h('p', { class: 'muted' })
  const newer = h('div', { role: 'status' })
  const effects = h('div', { 'aria-live': 'polite' })
  const failed = h('div', { role: 'alert' })
  const look = actButton('effects', preview, { main: true })
  const reason = h('input', { id: 'reason', maxlength: 500, autocomplete: 'off' })
  const apply = actButton('edit', send, { main: true })
  const confirm = h('div', { class: 'fields', hidden: true }, h('div', { class: 'field' }, h('label', { for: 'reason' }, 'Reason (kept in the audit log; may be empty)'), reason), h('div', { class: 'acts end' }, button('Not yet', () => changed()), apply))
  const back = button('Discard the edit', () => {
    drafts.delete(name)
    void load()
  })
  const list = h('tbody')
  replace(root, h('div', { class: 'tools' }, ...(whyNot() ? [] : opener((t) => take(t))), back, title), newer, edit.el, h('div', { class: 'acts end' }, look), failed, effects, confirm,
    h('section', { class: 'panel', 'aria-labelledby': 's-versions' }, h('h2', { id: 's-versions' }, 'Versions'),
      h('div', { class: 'scroll' }, h('table', { class: 'plain' }, h('thead', {}, h('tr', {}, ['Version', 'When', 'By', 'Reason', 'Changed', ''].map((t) => h('th', { scope: 'col' }, t)))), list))))
  const running = new AbortController()
  let base = 0
  let lives = ''

  /** take makes a text the edit. @param {string} t */
  function take(t) {
    edit.set(t)
    changed()
  }

  /** An edit that differs from what was looked at must be looked at again. */
  function changed() {
    if (edit.get() === lives) drafts.delete(name)
    else if (base) drafts.set(name, { base, text: edit.get() })
    show(back, drafts.has(name))
    show(confirm, false)
    replace(effects)
    replace(failed)
  }

  async function load() {
    try {
      const versions = (await get(path(name) + '/versions', {}, running.signal)).items
      const v = await get(`${path(name)}/versions/${versions[0].version}`, {}, running.signal)
      base = v.version
      lives = v.file
      const begun = drafts.get(name)
      if (begun && begun.base !== base) replace(newer, h('p', { class: 'care-line' }, `Version ${base} lives now; your edit began at version ${begun.base}. What it would change is told against version ${base}.`))
      else replace(newer)
      edit.set(begun?.text ?? lives)
      show(back, Boolean(begun))
      draw(versions)
    } catch (e) {
      if (!running.signal.aborted) replace(failed, problem(e, () => void load()))
    }
  }

  /** @param {Version[]} versions */
  function draw(versions) {
    const [v] = versions
    text(title, `Version ${v.version} by ${v.by}, ${moment(v.at)}`)
    replace(list, versions.map((o, i) => h('tr', {}, h('td', {}, String(o.version)), h('td', {}, moment(o.at)), h('td', {}, o.by), h('td', {}, o.reason || '—'), h('td', {}, o.changes?.length ? o.changes.map((c) => c.field).join(', ') : i === versions.length - 1 ? 'submitted' : 'the text only'),
      h('td', {}, button(i ? 'Go back to it…' : 'Show it', () => void older(o.version), { class: 'quiet', 'aria-label': `${i ? 'Go back to' : 'Show'} version ${o.version}` })))))
  }

  /** older takes the text of a version as the edit. @param {number} version */
  async function older(version) {
    try {
      const v = await get(`${path(name)}/versions/${version}`, {}, running.signal)
      take(v.file)
      edit.el.scrollIntoView({ block: 'nearest' })
      if (version !== base) await preview()
    } catch (e) {
      replace(failed, problem(e))
    }
  }

  /** @param {boolean} before only to look */
  function ask(before) {
    return call('PUT', path(name), { body: { version: base, file: edit.get(), ...(before ? { preview: true } : { reason: reason.value.trim() }) } })
  }

  async function preview() {
    changed()
    busy(effects, 'Asking what that would change…')
    try {
      const { changes: found } = await ask(true)
      const refuses = found.filter((/** @type {any} */ c) => c.does === 'refused')
      const same = edit.get() === lives
      replace(effects, h('section', { class: 'panel', 'aria-label': 'Effects' }, h('h2', {}, same ? 'It is the text that lives' : refuses.length ? `Refused: ${plural(refuses.length, 'change')} cannot be made to a job that lives` : found.length ? `${plural(found.length, 'change')}, with what ${found.length === 1 ? 'it does' : 'each does'}` : 'Only the text changes'), same ? null : changes(found),
        refuses.length ? h('p', {}, 'Take them back, or submit a job with another name and target.') : null))
      show(confirm, !same && refuses.length === 0)
      say(`${plural(found.length, 'change')}${refuses.length ? ', refused' : ''}`)
      if (!confirm.hidden) reason.focus()
    } catch (e) {
      refused(e)
    }
  }

  async function send() {
    try {
      const r = await ask(false)
      note(`Version ${r.version} of ${name} lives.`)
      drafts.delete(name)
      reason.value = ''
      changed()
      await load()
    } catch (e) {
      refused(e)
    }
  }

  /** @param {any} e */
  function refused(e) {
    replace(effects)
    show(confirm, false)
    if (e.problems?.length) edit.tell(e.problems)
    replace(failed, e.problems?.length ? h('p', { class: 'bad' }, 'The file has problems, see above.') : problem(e, e.fault?.code === 'VERSION_CHANGED' ? () => void load().then(preview) : undefined))
  }

  void load()
  return {
    tell() {
      const job = store.jobs.get(name)
      if (!job || !base || job.version <= base) return
      if (drafts.has(name)) replace(newer, h('p', { class: 'care-line' }, `Version ${job.version} lives now, by ${job.updated_by ?? 'somebody'}. `, button('Compare with it', () => void load().then(preview))))
      else void load()
    },
    close() {
      running.abort()
      edit.close()
    },
  }
}
