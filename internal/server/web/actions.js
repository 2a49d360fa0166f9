// What people ask of jobs. An act is shown as asked for until the server says that it
// is so; what loses work is confirmed first.

import { act, actOnAll, call, job as path, Refusal } from './api.js'
import { ask, open, problem } from './dialog.js'
import { attr, button, h, replace } from './dom.js'
import { count, duration, plural } from './format.js'
import { note, say } from './notice.js'
import { drop, put, store } from './store.js'

/** @typedef {import('./api.js').Job} Job */

/** @type {Record<string, {word: string, icon: string, asked: string, undo?: string}>} */
export const ACTS = {
  pause: { word: 'Pause', icon: 'pause', asked: 'Pausing', undo: 'resume' },
  resume: { word: 'Resume', icon: 'play', asked: 'Resuming', undo: 'pause' },
  retry: { word: 'Retry now', icon: 'retry', asked: 'Retrying' },
  stop: { word: 'Stop…', icon: 'stop', asked: 'Stopping', undo: 'start' },
  start: { word: 'Start…', icon: 'play', asked: 'Starting', undo: 'stop' },
  resync: { word: 'Resync…', icon: 'retry', asked: 'Reading again' },
  reset: { word: 'Read again…', icon: 'retry', asked: 'Reading again' },
  silence: { word: 'Silence…', icon: 'bell', asked: 'Silencing' },
  plan: { word: 'What would it do?', icon: 'search', asked: 'Planning' },
  submit: { word: 'Submit', icon: 'play', asked: 'Submitting' },
  effects: { word: 'What would it change?', icon: 'search', asked: 'Comparing' },
  edit: { word: 'Apply', icon: 'check', asked: 'Applying' },
  verify: { word: 'Verify…', icon: 'check', asked: 'Verifying' },
  delete: { word: 'Delete…', icon: 'trash', asked: 'Deleting' },
}

/** whyNot says why nothing may be changed here; empty: it may. */
export function whyNot() {
  return store.mayAct ? '' : `The token ${store.who?.name ?? ''} may look at everything and change nothing (its role is read)`
}

/**
 * actButton is a button for something that changes a job. One that may not be used
 * can still be reached, and says why.
 * @param {string} kind of ACTS @param {() => Promise<any>|void} run @param {{main?: boolean, word?: string, bare?: boolean, on?: string}} [o]
 */
export function actButton(kind, run, o = {}) {
  const a = ACTS[kind]
  const why = whyNot()
  const word = o.word ?? a.word
  const b = button(word, async () => {
    if (why) note(why)
    else if (b.getAttribute('aria-busy') !== 'true') {
      attr(b, 'aria-busy', 'true')
      await Promise.resolve(run()).finally(() => attr(b, 'aria-busy', null))
    }
  }, { icon: a.icon, class: o.main ? 'main' : kind === 'delete' ? 'bad' : '', 'data-act': kind, ...(o.on ? { 'aria-label': `${word}: ${o.on}` } : {}) })
  if (why) {
    attr(b, 'aria-disabled', 'true')
    attr(b, 'title', why)
    attr(b, 'aria-description', why)
  }
  return b
}

/** acted asks something of a job, and takes over what it is then. @param {string} name @param {{act: string, tables?: string[], tasks?: string[], reason?: string}} body */
async function acted(name, body) {
  const asked = performance.now()
  put(await act(name, body), asked)
}

/** carry does an act at once, and says so. @param {string} name @param {{act: string, tables?: string[], tasks?: string[], reason?: string}} body @param {string} [of] what of the job */
export async function carry(name, body, of) {
  const a = ACTS[body.act]
  try {
    await acted(name, body)
    note(`${a.asked} ${of ?? name}.`, a.undo ? { act: { word: ACTS[a.undo].word, run: () => void carry(name, { ...body, act: /** @type {string} */ (a.undo) }, of) } } : {})
    return true
  } catch (e) {
    refused(a.word.replace('…', '') + ' ' + (of ?? name), e)
    return false
  }
}

/** refused says what was not done, and why. @param {string} what @param {any} e */
export function refused(what, e) {
  const f = e instanceof Refusal ? e.fault : { code: 'PAGE', what: String(e?.message ?? e), hint: '' }
  note(`Not done: ${what}. ${f.code}: ${f.what}. ${f.hint ?? ''}`, { bad: true })
}

/** actsOf are the acts that make sense for a job as it is. @param {Job} job */
export function actsOf(job) {
  const at = job.standing.status
  const want = job.wish.desired
  const out = []
  if (at === 'failed' || at === 'retrying') out.push('retry')
  if (want === 'paused') out.push('resume', 'stop')
  else if (want === 'stopped' || at === 'finished') out.push('start')
  else out.push('pause', 'stop')
  if (want === 'stopped' && at === 'stopped') out.push('reset')
  if (!verifies(job)) out.push('verify')
  out.push('delete')
  return out
}

/** verifies reports whether the source and target of a job are being compared. @param {Job} job */
export function verifies(job) {
  return ['waiting', 'running'].includes(job.verification?.state)
}

/** jobAct does one of them. @param {Job} job @param {string} kind @param {() => void} [gone] */
export function jobAct(job, kind, gone) {
  if (kind === 'delete') return remove(job, gone)
  if (kind === 'reset') return reset(job)
  if (kind === 'verify') return verify(job)
  if (kind in REASONED) return reasoned(job, kind)
  return carry(job.name, { act: kind })
}

/** What is said before an act that is not undone by a click. @type {Record<string, (job: Job) => string>} */
const REASONED = {
  stop: (job) => `Finishes its commits, then lets go of everything ${job.name} holds: connections, locks, its place among the readers of the log. It goes on where it stands when it is started.`,
  start: (job) => (job.standing.status === 'finished' ? `Starts another run of ${job.name}.` : `${job.name} goes on where it stands.`),
}

/** reasoned asks why, and does it. @param {Job} job @param {string} kind */
function reasoned(job, kind) {
  const verb = ACTS[kind].word.replace('…', '')
  ask({
    title: `${verb} ${job.name}`, verb, words: [h('p', {}, REASONED[kind](job))],
    run: async (reason) => {
      await acted(job.name, { act: kind, reason })
      note(`${ACTS[kind].asked} ${job.name}.`)
    },
  })
}

/** verify compares source and target. @param {Job} job */
function verify(job) {
  ask({
    title: `Verify ${job.name}`, verb: 'Verify',
    words: [h('p', {}, 'Compares what source and target have, and changes neither: objects by the strongest proof both give, after a run that moves them; rows by their values, beside the run. It goes on by itself; what differs raises an alarm.')],
    run: async (reason) => {
      await call('POST', path(job.name) + '/verification', { query: { reason } })
      note(`${ACTS.verify.asked} ${job.name}.`)
    },
  })
}

/** resync reads tables again. @param {string} name @param {string[]} tables */
export function resync(name, tables) {
  const what = plural(tables.length, 'table')
  ask({
    title: `Resync ${what} of ${name}`, verb: 'Resync', danger: true,
    words: [h('p', {}, `Reads ${what} of ${name} again from the source, from the first row to the last. What the target has stays until the new copy is whole.`), names(tables)],
    run: async (reason) => {
      await acted(name, { act: 'resync', reason, tables })
      note(`Reading ${what} of ${name} again.`)
    },
  })
}

/** reset makes the next start read everything again. @param {Job} job */
function reset(job) {
  ask({
    title: `Read all of ${job.name} again`, verb: 'Read again', danger: true, name: job.name,
    words: [h('p', {}, `Forgets how far ${job.name} is. Its next start reads everything again, as a new generation; what the targets have stays until then.`)],
    run: async (reason) => {
      await call('DELETE', path(job.name) + '/positions', { query: { confirm: job.name, reason } })
      note(`The next start of ${job.name} reads everything again.`)
    },
  })
}

const SILENCES = /** @type {[number, string][]} */ ([[3600, '1 hour'], [8 * 3600, '8 hours'], [86400, '1 day'], [7 * 86400, '7 days'], [30 * 86400, '30 days']])

/** silence keeps an alarm from being sent again for a while. @param {import('./api.js').Alarm} alarm @param {() => void} done */
export function silence(alarm, done) {
  const time = h('select', { id: 'time' }, SILENCES.map(([s, words]) => h('option', { value: s }, words)))
  ask({
    title: `Silence ${alarm.kind}`, verb: 'Silence',
    words: [h('p', {}, alarm.what), h('p', { class: 'muted' }, 'It is not sent again in this time. It stays here, and its end is told.'), h('label', { for: 'time' }, 'For'), time],
    run: (reason) => hush(alarm, Number(time.value), reason).then(done),
  })
}

/** hush silences for some seconds; 0 ends a silence. @param {import('./api.js').Alarm} alarm @param {number} seconds @param {string} [reason] */
export async function hush(alarm, seconds, reason) {
  const a = await call('POST', `/alarms/${encodeURIComponent(alarm.id)}/silence`, { body: { seconds, ...(reason ? { reason } : {}) } })
  note(seconds ? `${alarm.kind} is silent for ${duration(seconds)}.` : `${alarm.kind} is told again.`)
  return a
}

/** @param {Job} job @param {() => void} [gone] */
function remove(job, gone) {
  ask({
    title: `Delete ${job.name}`, verb: 'Delete', danger: true, name: job.name,
    words: [h('p', {}, `Stops ${job.name} and forgets it: its file, its versions, its history. What it wrote stays in the target (${job.way ?? 'its sinks'}).`)],
    run: async (reason) => {
      await call('DELETE', path(job.name), { query: { reason } })
      drop(job.name)
      note(`${job.name} is deleted; what it wrote stays.`)
      gone?.()
    },
  })
}

/** names lists them, the first thousand. @param {string[]} list */
function names(list) {
  return list.length ? h('ul', { class: 'names', tabindex: 0, 'aria-label': 'Names' }, list.slice(0, 1000).map((n) => h('li', {}, n)), list.length > 1000 ? h('li', {}, `and ${count(list.length - 1000)} more`) : null) : null
}

/**
 * bulk does one act to many jobs: first what it would be for, then, when that is
 * wanted, what became of each.
 * @param {string} kind @param {{names?: string[], filter?: any}} target @param {() => void} done
 */
export function bulk(kind, target, done) {
  const a = ACTS[kind]
  const verb = a.word.replace('…', '').replace(' now', '')
  open(`${verb} jobs`, (close) => {
    const stage = h('div', {}, h('p', { class: 'muted' }, 'Asking the server what that would be for…'))
    actOnAll({ act: kind, ...target, preview: true }).then((r) => replace(stage, preview(r)), (e) => replace(stage, problem(e), h('footer', {}, button('Close', close))))

    /** @param {import('./api.js').BulkResult} r */
    function preview(r) {
      const would = r.results.filter((x) => x.outcome === 'would')
      say(`${verb} ${plural(would.length, 'job')}, ${count(r.results.length - would.length)} left out`)
      const reason = h('input', { id: 'reason', maxlength: 500, autocomplete: 'off' })
      const typed = h('input', { id: 'typed', autocomplete: 'off' })
      const failed = h('div', { role: 'alert' })
      const phrase = kind === 'delete' ? String(would.length) : ''
      const go = h('button', { type: 'submit', class: kind === 'delete' ? 'danger' : 'main', disabled: would.length === 0 }, `${verb} ${plural(would.length, 'job')}`)
      return h('form', {
        onsubmit: async (/** @type {Event} */ e) => {
          e.preventDefault()
          if (phrase && typed.value.trim() !== phrase) return replace(failed, h('p', {}, `Type the number of jobs, ${phrase}, to confirm.`))
          go.disabled = true
          try {
            // What was shown is what is done: the jobs by name, not whatever the filter finds now.
            const did = await actOnAll({ act: kind, names: would.map((x) => x.name), reason: reason.value.trim() })
            replace(stage, results(did))
            say(`${count(did.done)} done, ${count(did.skipped)} skipped, ${count(did.failed)} failed.`)
            stage.querySelector('button')?.focus()
            done()
          } catch (err) {
            go.disabled = false
            replace(failed, problem(err))
          }
        },
      }, h('p', {}, h('strong', {}, `${verb} ${plural(would.length, 'job')}`), kind === 'delete' ? '. What they wrote stays.' : '.'), names(would.map((x) => x.name)),
      left(r.results.filter((x) => x.outcome !== 'would')),
      phrase ? [h('label', { for: 'typed' }, `Type ${phrase} to confirm`), typed] : null,
      h('label', { for: 'reason' }, 'Reason (kept in the audit log; may be empty)'), reason, failed, h('footer', {}, button('Cancel', close), go))
    }

    /** @param {import('./api.js').BulkResult} r */
    function results(r) {
      const bad = r.results.filter((x) => x.outcome === 'failed')
      return h('div', {}, h('p', {}, h('strong', {}, `${count(r.done)} done, ${count(r.skipped)} skipped, ${count(r.failed)} failed.`)),
        bad.length ? h('ul', { class: 'names', tabindex: 0, 'aria-label': 'Failed' }, bad.map((x) => h('li', {}, h('strong', {}, x.name), ': ', x.error ? `${x.error.code}: ${x.error.what}. ${x.error.hint ?? ''}` : x.why))) : null,
        left(r.results.filter((x) => x.outcome === 'skipped')), names(r.results.filter((x) => x.outcome === 'done').map((x) => x.name)),
        h('footer', {}, h('button', { type: 'button', class: 'main', onclick: close }, 'Close')))
    }
    return [stage]
  })
}

/** left out, and why. @param {{name: string, why?: string}[]} list */
function left(list) {
  return list.length ? h('details', {}, h('summary', {}, `${plural(list.length, 'job')} left out`), h('ul', { class: 'names', tabindex: 0 }, list.slice(0, 1000).map((x) => h('li', {}, x.name, x.why ? ': ' + x.why : '')))) : null
}
