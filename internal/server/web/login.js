// Who is it? A token, traded for a cookie that code cannot read.

import { login } from './api.js'
import { problem } from './dialog.js'
import { h, replace } from './dom.js'

/** show asks for a token; done is called when the server took one. @param {HTMLElement} root @param {boolean} again somebody was logged in before @param {() => void} done */
export function show(root, again, done) {
  const token = h('input', { id: 'token', name: 'token', type: 'password', autocomplete: 'current-password', spellcheck: 'false', required: true })
  const failed = h('div', { role: 'alert' })
  const go = h('button', { type: 'submit', class: 'main' }, 'Log in')
  const form = h('form', {
    class: 'login', onsubmit: async (/** @type {Event} */ e) => {
      e.preventDefault()
      go.disabled = true
      try {
        await login(token.value.trim())
        token.value = ''
        done()
      } catch (err) {
        replace(failed, problem(err))
        token.select()
      } finally {
        go.disabled = false
      }
    },
  }, h('h1', {}, 'Godwit'), again ? h('p', {}, 'The session has ended: the token expired or was revoked, or the server forgot it.') : null,
  h('label', { for: 'token' }, 'Token'), token, failed, go,
  h('p', { class: 'muted' }, 'A token is made on the server’s machine: ', h('code', {}, 'godwit token create NAME')))
  replace(root, form)
  document.title = 'Log in · Godwit'
  token.focus()
}
