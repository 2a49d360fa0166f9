// The page begins here: who is it, what is shown, does anybody answer.

import { get, logout, onTrouble } from './api.js'
import * as audit from './audit.js'
import { attr, button, h, icon, replace, text } from './dom.js'
import { duration, isUTC, onZone, setUTC, timeOfDay } from './format.js'
import * as job from './job.js'
import * as jobs from './jobs.js'
import * as keys from './keys.js'
import { live, now, start as listen, stop, trouble } from './live.js'
import * as login from './login.js'
import { banner, say, tidy } from './notice.js'
import { go, here, start as route } from './router.js'
import { follow, store } from './store.js'
import * as submit from './submit.js'
import { apply as colours, toggle } from './theme.js'

const main = /** @type {HTMLElement} */ (document.getElementById('main'))
const top = /** @type {HTMLElement} */ (document.getElementById('top'))

/** @type {{key: string, view: any}|null} */
let shown = null
let asking = false

/** draw shows the screen of the address; a screen that can stay is told of its new choices. */
function draw() {
  if (asking || !store.who) return
  const at = here()
  for (const a of top.querySelectorAll('nav a')) attr(a, 'aria-current', a.getAttribute('href') === (at.view === 'jobs' ? '/' : '/' + at.view) ? 'page' : null)
  const key = at.view + ' ' + at.name
  if (shown?.key === key) {
    if (at.view === 'job') shown.view.again(at.tab, at.query)
    else shown.view.again?.(at.query)
    return
  }
  shown?.view.close?.()
  const moved = shown !== null
  tidy()
  scrollTo({ top: 0, behavior: 'instant' })
  if (at.view === 'jobs') shown = { key, view: jobs.mount(main, at.query) }
  else if (at.view === 'job') shown = { key, view: job.mount(main, at.name, at.tab, at.query) }
  else if (at.view === 'submit') shown = { key, view: submit.mount(main) }
  else if (at.view === 'audit') shown = { key, view: log(at.query) }
  else {
    replace(main, h('h1', {}, 'Not here'), h('p', {}, 'This address leads to nothing. ', h('a', { href: '/' }, 'All jobs')))
    shown = { key, view: {} }
  }
  // Whoever follows a link by keyboard goes on reading at the new screen.
  if (moved) main.focus({ preventScroll: true })
}

/** log shows who changed what, of all jobs. @param {URLSearchParams} query */
function log(query) {
  document.title = 'Audit · Godwit'
  const stage = h('div')
  replace(main, h('nav', { class: 'crumbs', 'aria-label': 'Path' }, h('a', { href: '/' }, 'Jobs'), ' / audit'), h('h1', {}, 'Who changed what'), stage)
  const panel = audit.mount(stage, '', query)
  const end = follow(panel.tell)
  return {
    close() {
      end()
      panel.close()
    },
  }
}

/** header of the page: where to, whose token, which clock, which colours. */
function header() {
  const zone = button('', () => setUTC(!isUTC()), { icon: 'clock', class: 'quiet' })
  const words = /** @type {HTMLElement} */ (zone.lastElementChild)
  const name = () => text(words, isUTC() ? 'UTC' : 'Local')
  onZone(name)
  name()
  zone.title = 'Times in UTC, or as here'
  const light = h('span', { class: 'light', id: 'light' }, h('i'), h('span'))
  replace(top, h('a', { class: 'home', href: '/' }, h('img', { src: '/logo.svg', alt: '', width: 24, height: 24 }), h('strong', {}, 'Godwit')), light,
    h('nav', { class: 'main-nav', 'aria-label': 'Pages' }, h('a', { href: '/' }, 'Jobs'), h('a', { href: '/submit' }, 'Submit'), h('a', { href: '/audit' }, 'Audit')),
    h('div', { class: 'right' }, store.mayAct ? null : h('span', { class: 'who', title: 'This token may look at everything and change nothing' }, icon('lock'), 'read only'), h('span', { class: 'muted who-name' }, store.who?.name ?? ''),
      zone, toggle(), button('Keys', keys.list, { bare: true, icon: 'query', class: 'quiet' }), button('Log out', leave, { icon: 'out', bare: true, class: 'quiet' })))
  tellState()
}

async function leave() {
  await logout()
  ask(false)
}

/** ask shows the form for the token in place of everything. @param {boolean} again */
function ask(again) {
  if (asking) return
  asking = true
  stop()
  store.who = null
  store.jobs = new Map()
  store.needs = new Map()
  store.alarms = new Map()
  store.overview = null
  store.loaded = false
  shown?.view.close?.()
  shown = null
  banner(null)
  document.body.classList.remove('stale')
  replace(top)
  login.show(main, again, () => {
    asking = false
    if (location.pathname === '/login') history.replaceState(null, '', '/')
    void begin()
  })
}

const LIGHT = { connecting: 'connecting…', live: 'live', polling: 'every 5 s', lost: 'no answer' }

function tellState() {
  const light = document.getElementById('light')
  if (!light) return
  light.className = 'light is-' + live.state
  light.title = live.state === 'polling' ? 'No stream of events comes through; the server is asked every five seconds' : ''
  text(/** @type {Element} */ (light.lastElementChild), LIGHT[live.state])
}

let counting = 0
/** @param {import('./live.js').State} state @param {import('./live.js').State} before */
function turned(state, before) {
  tellState()
  document.body.classList.toggle('stale', state === 'lost')
  clearInterval(counting)
  if (state === 'lost') {
    const wait = h('span', { 'aria-hidden': 'true' }) // counted down: not for ears
    const count = () => text(wait, live.next > Date.now() ? 'Trying again in ' + duration(Math.ceil((live.next - Date.now()) / 1000)) : 'Trying again…')
    count()
    counting = window.setInterval(count, 500)
    banner([h('strong', {}, `No news since ${live.heard ? timeOfDay(live.heard) : 'the page was opened'}`), ` from ${location.host}. What is shown is what was known then. `, wait, ' ', button('Try now', now)])
  } else {
    banner(null)
    if (before === 'lost') say('The server answers again.')
  }
}

async function begin() {
  try {
    store.who = await get('/whoami')
  } catch (e) {
    const err = /** @type {any} */ (e)
    if (err.status === 401 || err.status === 403) return ask(false)
    banner([h('strong', {}, `${err.fault?.what ?? err}. `), 'Trying again every 3 s. ', button('Try now', () => location.reload())])
    setTimeout(begin, 3000)
    return
  }
  banner(null)
  header()
  draw()
  listen(turned)
}

colours()
keys.start()
keys.bind('g', 'all jobs', () => go('/'))
keys.bind('s', 'submit a job', () => go('/submit'))
keys.bind('l', 'who changed what', () => go('/audit'))
route(draw)
onTrouble({ unauthorized: () => store.who && ask(true), gone: trouble })
void begin()
