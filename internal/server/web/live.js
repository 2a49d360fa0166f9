// One stream of events while the page is seen. Where streams do not come through, the
// server is asked every five seconds instead; where nobody answers, that is said, and
// what was known stays.

import { apply, load, overview } from './store.js'

/** @typedef {'connecting'|'live'|'polling'|'lost'} State */

const BEAT = 5000
const LONGEST = 5000

export const live = {
  /** @type {State} */ state: 'connecting',
  /** when the server was last heard of, ms of this machine's clock */ heard: 0,
  /** when it is asked again */ next: 0,
}

/** @type {EventSource|null} */
let stream = null
let id = ''
let failures = 0
let retry = 0
let beat = 0
let polled = 0
/** @type {(state: State, before: State) => void} */
let told = () => {}
let wanted = false
let listening = false

/** start opens the stream; each is called when the state changes. @param {(state: State, before: State) => void} each */
export function start(each) {
  told = each
  wanted = true
  if (!listening) {
    document.addEventListener('visibilitychange', () => (document.hidden ? close() : open()))
    addEventListener('online', now)
    listening = true
  }
  open()
}

/** stop closes everything: nobody is logged in. */
export function stop() {
  wanted = false
  close()
  id = ''
  live.state = 'connecting'
  told = () => {}
}

/** now tries at once. */
export function now() {
  if (document.hidden) return
  failures = Math.min(failures, 1)
  open()
}

/** trouble is told by whoever got no answer. */
export function trouble() {
  if (live.state === 'live' || live.state === 'polling') void check()
}

/** @param {State} state */
function set(state) {
  const before = live.state
  live.state = state
  if (state !== before) told(state, before)
}

function close() {
  stream?.close()
  stream = null
  clearTimeout(retry)
  clearInterval(beat)
  beat = 0
}

function open() {
  close()
  if (document.hidden || !wanted) return
  beat = window.setInterval(check, BEAT)
  void check()
  // Without an id there is nothing to go on from: everything is read once it is open.
  const es = new EventSource('/api/v1/events' + (id ? '?after=' + encodeURIComponent(id) : ''))
  stream = es
  es.onopen = () => {
    if (stream !== es) return
    const again = failures > 0
    failures = 0
    heard()
    set('live')
    if (!id || again) void load()
  }
  for (const type of ['job', 'gone', 'alarm', 'audit', 'reset']) {
    es.addEventListener(type, (e) => {
      if (stream !== es) return
      const m = /** @type {MessageEvent} */ (e)
      id = m.lastEventId || id
      live.heard = Date.now()
      apply(type, JSON.parse(m.data || 'null'))
    })
  }
  es.onerror = () => {
    if (stream !== es) return
    es.close()
    stream = null
    failures++
    const wait = Math.min(LONGEST, 500 * 2 ** failures)
    live.next = Date.now() + wait
    retry = window.setTimeout(open, wait)
    void check()
  }
}

function heard() {
  live.heard = Date.now()
}

/** check asks whether anybody answers, and polls while there is no stream. */
async function check() {
  try {
    await overview()
    heard()
    if (stream?.readyState === EventSource.OPEN) set('live')
    else if (failures > 1) {
      if (Date.now() - polled >= BEAT - 500) {
        polled = Date.now()
        await load()
      }
      set('polling')
    }
  } catch (e) {
    if (/** @type {any} */ (e).gone) set('lost')
  }
}
