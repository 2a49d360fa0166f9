// What failed, and what to do: one card for each code and place, with what was tried,
// what comes next, and the act that mends it.

import { get, job as path } from './api.js'
import { actButton, carry, hush, refused, resync, silence } from './actions.js'
import { problem } from './dialog.js'
import { button, h, icon, replace, show } from './dom.js'
import { ago, date, moment, plural } from './format.js'
import { note } from './notice.js'
import { store } from './store.js'

/**
 * @typedef {import('./api.js').Fault} Fault
 * @typedef {import('./api.js').Standing} Standing
 * @typedef {{fault: Fault, since: string, standing: Standing|null, whole: boolean, tasks: string[], tables: string[], sinks: string[], count: number, mark?: boolean}} Card
 */

const CLASS = { retry: 'is tried again', user: 'somebody must mend it', fatal: 'a defect', fenced: 'another run took over', lost: 'something is lost' }
const AGAIN = 5000

/** mount shows the errors of a job. @param {HTMLElement} root @param {string} name */
export function mount(root, name) {
  const now = h('div', { class: 'cards', 'aria-busy': 'true' }, h('div', { class: 'skeleton' }))
  const alarms = h('ul', { class: 'alarms' })
  const held = h('section', { class: 'panel', 'aria-labelledby': 's-alarms', hidden: true }, h('h2', { id: 's-alarms' }, 'Alarms'), alarms)
  const before = h('ul', { class: 'plain-list' })
  replace(root, h('h2', { class: 'hidden' }, 'What failed, and what to do'), now, held, h('details', {}, h('summary', {}, 'Earlier'), before))
  let timer = 0
  let busy = false
  let drawn = ''
  let shown = ''
  /** @type {{el: HTMLElement, at: string, write: (t: string) => string}[]} texts that count on */
  let counting = []

  async function load() {
    if (busy) return
    busy = true
    try {
      const status = ['failed', 'retrying']
      const [job, tasks, tables, all] = await Promise.all([get(path(name)), get(path(name) + '/tasks', { status, limit: 1000 }), get(path(name) + '/tables', { status, limit: 1000 }).catch(() => ({ items: [] })), get('/alarms', { job: name, all: true })])
      draw(gather(job, tasks.items, tables.items), all.items)
    } catch (e) {
      if (!drawn) replace(now, problem(e, () => void load()))
    } finally {
      busy = false
      now.removeAttribute('aria-busy')
    }
  }

  /** @param {Card[]} cards @param {import('./api.js').Alarm[]} list */
  function draw(cards, list) {
    const key = JSON.stringify([cards, list])
    if (key === drawn) return
    drawn = key
    counting = []
    const holding = list.filter((a) => !date(a.resolved))
    const gone = list.filter((a) => date(a.resolved))
    const focus = place()
    replace(now, cards.length ? cards.map(card) : h('p', { class: 'empty fine' }, icon('check'), ' No errors now', gone.length ? `; the last alarm ended ${ago(gone[0].resolved, store.now())}.` : '.'))
    show(held, holding.length > 0)
    replace(alarms, holding.map(alarm))
    replace(before, gone.map((a) => h('li', {}, h('strong', {}, a.what), ` · raised ${moment(a.raised)}, ended ${moment(a.resolved)}`)), gone.length ? null : h('li', { class: 'muted' }, 'No alarm has ended in the days that are kept.'))
    if (focus) /** @type {HTMLElement|undefined} */ (within(root.querySelector(`[data-place="${CSS.escape(focus.of)}"]`))[focus.at])?.focus()
    count()
  }

  /** @param {Card} c */
  function card(c) {
    const f = c.fault
    const which = [...c.sinks.map((k) => 'sink ' + k), ...c.tables.map((t) => 'table ' + t), ...(c.tables.length ? [] : c.tasks.map((t) => 'task ' + t))]
    const report = [`${f.code} (${f.class}): ${f.what}`, f.where && 'where: ' + f.where, f.cause && 'cause: ' + f.cause, f.hint && 'hint: ' + f.hint, `job: ${name}`, which.length && 'of: ' + which.slice(0, 20).join(', '), 'since: ' + c.since].filter(Boolean).join('\n')
    const retry = c.mark ? actButton('resync', () => resync(name, c.tables), { main: true })
      : actButton('retry', () => carry(name, { act: 'retry', ...(c.whole ? {} : c.tasks.length ? { tasks: c.tasks } : { tables: c.tables }) }).then(() => load()), { main: true, on: f.code })
    const next = h('span')
    if (date(c.standing?.next_retry_at)) counting.push({ el: next, at: /** @type {string} */ (c.standing?.next_retry_at), write: (t) => (t.startsWith('in ') ? ', next ' + t : ', next is due') })
    const started = h('span')
    counting.push({ el: started, at: c.since, write: (t) => t })
    const tried = c.standing?.fruitless ?? 0
    return h('article', { class: 'card is-' + (f.class === 'retry' ? 'care' : 'fail'), 'data-place': f.code + (f.where ?? '') },
      h('header', {}, icon(f.class === 'retry' ? 'retry' : 'cross'), h('code', { class: 'code' }, f.code), h('span', { class: 'muted' }, CLASS[/** @type {keyof typeof CLASS} */ (f.class)] ?? f.class)),
      h('h3', {}, f.what),
      h('dl', {}, fact('where', f.where ? h('code', {}, f.where) : null), fact('cause', f.cause ? h('pre', { tabindex: 0 }, f.cause) : null),
        fact('of', which.length ? [which.slice(0, 5).join(', '), which.length > 5 ? ` and ${which.length - 5} more` : ''] : null),
        fact('when', [started, ' (', moment(c.since), ')', c.count > 1 ? `, ${c.count} times` : '']),
        fact('tried', c.standing && (tried || date(c.standing.next_retry_at)) ? [tried ? plural(tried, 'attempt') + ' in a row committed nothing' : 'is tried again', next] : null),
        fact('to do', f.hint ? h('div', { class: 'hint' }, h('span', {}, f.hint), copy('Copy the hint', f.hint)) : null),
        fact('more', h('code', {}, 'godwit explain ' + f.code))),
      h('footer', {}, retry, f.class === 'retry' && !c.whole && c.tables.length ? actButton('pause', () => carry(name, { act: 'pause', tables: c.tables }, plural(c.tables.length, 'table')), { word: 'Stop trying' }) : null, copy('Copy report', report, true)))
  }

  /** alarm is a line: what is wrong is told by its card. @param {import('./api.js').Alarm} a */
  function alarm(a) {
    const started = h('span')
    counting.push({ el: started, at: a.raised, write: (t) => t })
    const until = date(a.silenced_until)
    return h('li', { 'data-place': 'alarm ' + a.id }, icon('bell'), h('code', { class: 'code' }, a.kind), h('div', { class: 'what' }, h('strong', {}, a.what), a.on ? ` · ${a.on}` : '',
      h('div', { class: 'muted' }, 'raised ', started, ` (${moment(a.raised)})`, a.repeated ? `, told ${plural(a.repeated, 'time')} more` : '', until ? `; silent until ${moment(until)}, by ${a.silenced_by ?? '?'}` : ''),
      a.hint ? h('div', { class: 'hint' }, h('span', {}, a.hint), copy('Copy the hint', a.hint)) : null), quiet(a))
  }

  /** quiet silences an alarm, or ends that. @param {import('./api.js').Alarm} a */
  function quiet(a) {
    const until = date(a.silenced_until)
    const b = until && until.getTime() > store.now() ? actButton('silence', () => hush(a, 0).then(load, (e) => refused('Tell ' + a.kind, e)), { word: 'Tell it again', on: a.kind })
      : actButton('silence', () => silence(a, () => void load()), { on: a.kind })
    return b
  }

  function count() {
    for (const c of counting) c.el.textContent = c.write(ago(c.at, store.now()))
  }

  void load()
  timer = window.setInterval(load, AGAIN)
  return {
    /** @param {import('./store.js').News} news */
    tell(news) {
      count()
      const job = store.jobs.get(name)
      if (news.jobs === null || (job && news.jobs.has(name) && job.standing.status !== shown)) {
        shown = job?.standing.status ?? ''
        void load()
      }
    },
    close() {
      clearInterval(timer)
    },
  }
}

/** within are those of a card that can have the focus. @param {Element|null} card */
function within(card) {
  return [...(card?.querySelectorAll('a,button,pre') ?? [])]
}

/** place is where the focus is, to be found again when the cards are drawn anew. */
function place() {
  const on = document.activeElement
  const card = /** @type {HTMLElement|null|undefined} */ (on?.closest('[data-place]'))
  return on && card ? { of: card.dataset.place ?? '', at: within(card).indexOf(on) } : null
}

/** @param {string} name @param {any} value */
function fact(name, value) {
  return value ? [h('dt', {}, name), h('dd', {}, value)] : null
}

/** copy is a button that copies a text. @param {string} word @param {string} text @param {boolean} [wide] */
function copy(word, text, wide) {
  return button(word, () => navigator.clipboard ? navigator.clipboard.writeText(text).then(() => note('Copied.'), () => note('The browser does not let the page copy: mark the text instead.')) : note('Copying needs https or localhost: mark the text instead.'), { icon: 'copy', bare: !wide, class: wide ? '' : 'quiet' })
}

/**
 * gather makes cards of what has an error: the job, its tasks, its tables. Where one
 * error is told by several, it is one card.
 * @param {import('./api.js').Job} job @param {import('./api.js').Task[]} tasks @param {import('./api.js').Table[]} tables
 * @returns {Card[]}
 */
export function gather(job, tasks, tables) {
  /** @type {Map<string, Card>} */
  const found = new Map()
  /** @param {Fault|undefined} fault @param {Standing} standing @param {{task?: string, table?: string, sink?: string, whole?: boolean}} of */
  const add = (fault, standing, of) => {
    if (!fault) return
    const key = [fault.code, fault.where ?? '', fault.what].join('\n')
    const c = found.get(key) ?? { fault, since: standing.since, standing, whole: false, tasks: [], tables: [], sinks: [], count: 0 }
    found.set(key, c)
    if (of.whole) c.whole = true
    if (of.task) {
      c.tasks.push(of.task)
      c.count++
    }
    if (of.sink) c.sinks.push(of.sink)
    if (of.table && !c.tables.includes(of.table)) c.tables.push(of.table)
    if (standing.since < c.since) c.since = standing.since
    if ((standing.next_retry_at ?? '~') < (c.standing?.next_retry_at ?? '~') || (standing.fruitless ?? 0) > (c.standing?.fruitless ?? 0)) c.standing = standing
  }
  add(job.standing.error, job.standing, { whole: true })
  for (const t of tasks) add(t.standing.error, t.standing, { task: t.id, table: t.table })
  for (const t of tables) add(t.standing.error, t.standing, { table: t.name })
  for (const k of job.sinks ?? []) add(k.standing.error, k.standing, { sink: k.name, whole: true })
  for (const m of job.progress?.marked ?? []) {
    const c = /** @type {Card} */ ({ fault: { class: 'user', code: 'RESYNC_NEEDED', what: `${m.table} left the stream at an exact place: ${m.reason}`, hint: 'Read this table again; all others go on meanwhile.' }, since: job.progress.since, standing: null, whole: false, tasks: [], tables: [m.table], sinks: [], count: 1, mark: true })
    found.set('mark ' + m.table, c)
  }
  const weight = { lost: 0, fatal: 1, fenced: 2, user: 3, retry: 4 }
  return [...found.values()].sort((a, b) => (weight[/** @type {keyof typeof weight} */ (a.fault.class)] ?? 5) - (weight[/** @type {keyof typeof weight} */ (b.fault.class)] ?? 5))
}
