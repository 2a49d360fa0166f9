// The API, as internal/api/openapi.yaml has it. The token is in a cookie that code
// cannot read.

/**
 * @typedef {{class: string, code: string, what: string, where?: string, cause?: string, hint?: string}} Fault
 * @typedef {{status: string, since: string, reason?: string, attempt?: number, fruitless?: number, next_retry_at?: string, worker?: string, error?: Fault}} Standing
 * @typedef {{desired: string, since: string, by?: string, reason?: string}} Wish
 * @typedef {{name: string, kind: string, way?: string, group?: string, note?: string, version: number, created: string, updated: string, updated_by?: string, standing: Standing, wish: Wish, health: string, tasks: Record<string, number>, run?: number, progress?: any, schedule?: {text: string, next: string[]}, alarms?: number, sinks?: {name: string, standing: Standing}[], verification?: any, template?: string, template_version?: number, template_behind?: boolean, template_error?: any}} Job
 * @typedef {{name: string, standing: Standing, wish?: Wish, apart?: string, generation?: number, rows?: number, bytes?: number, done?: number, chunks?: number, chunks_done?: number, rows_s?: number, mark?: string}} Table
 * @typedef {{id: string, kind: string, table?: string, standing: Standing, wish?: Wish}} Task
 * @typedef {{id: string, kind: string, job?: string, on?: string, what: string, hint?: string, raised: string, resolved?: string, repeated?: number, silenced_until?: string, silenced_by?: string}} Alarm
 * @typedef {{id: number, at: string, by: string, job?: string, what: string, from?: string, to?: string, reason?: string, outcome: string, code?: string, request?: string}} Entry
 * @typedef {{done: number, skipped: number, failed: number, results: {name: string, outcome: string, why?: string, error?: Fault}[]}} BulkResult
 */

const ROOT = '/api/v1'
const PATIENCE = 20000

/** Refusal is an answer that is no success: a Problem, or no answer at all (status 0). */
export class Refusal extends Error {
  /** @param {number} status @param {any} problem */
  constructor(status, problem) {
    super(problem.title || 'The server did not answer')
    this.status = status
    /** @type {Fault & {request?: string}} */
    this.fault = { class: status === 0 || status >= 500 || status === 429 ? 'retry' : 'user', code: problem.code || 'SERVER_GONE', what: this.message, where: problem.where, cause: problem.detail, hint: problem.hint, request: problem.request }
    /** @type {any[]} of a job file */
    this.problems = problem.problems ?? []
  }
  get gone() {
    return this.status === 0 || this.status === 502 || this.status === 503 || this.status === 504
  }
}

/** @type {{unauthorized: () => void, gone: () => void}} */
const hooks = { unauthorized() {}, gone() {} }

/** onTrouble says what to do when the token counts no more, or nobody answers. @param {Partial<typeof hooks>} h */
export function onTrouble(h) {
  Object.assign(hooks, h)
}

/**
 * call sends one request.
 * @param {string} method @param {string} path @param {{body?: any, signal?: AbortSignal, query?: Record<string, any>, headers?: Record<string, string>, patience?: number}} [o] patience in ms
 * @returns {Promise<any>} the parsed answer, null where there is none
 */
export async function call(method, path, o = {}) {
  const query = new URLSearchParams()
  for (const [k, v] of Object.entries(o.query ?? {})) for (const one of [v].flat()) if (one !== undefined && one !== null && one !== '' && one !== false) query.append(k, String(one))
  const text = query.toString()
  const timeout = AbortSignal.timeout(o.patience ?? PATIENCE)
  let answer
  try {
    answer = await fetch(ROOT + path + (text ? '?' + text : ''), {
      method, credentials: 'same-origin', headers: { Accept: 'application/json', ...(o.body ? { 'Content-Type': 'application/json' } : {}), ...o.headers },
      body: o.body ? JSON.stringify(o.body) : undefined, signal: o.signal ? AbortSignal.any([o.signal, timeout]) : timeout,
    })
    if (answer.ok) return answer.status === 204 ? null : await answer.json()
  } catch (e) {
    if (o.signal?.aborted) throw e
    hooks.gone()
    throw new Refusal(0, { title: 'The server at ' + location.host + ' does not answer', hint: 'Check that `godwit serve` runs and can be reached; the page goes on trying.' })
  }
  const problem = await answer.json().catch(() => ({}))
  if (answer.status === 401) hooks.unauthorized()
  const refusal = new Refusal(answer.status, { title: `The server answered ${answer.status}`, code: 'HTTP_' + answer.status, ...problem })
  if (refusal.gone) hooks.gone()
  throw refusal
}

/** @param {string} path @param {Record<string, any>} [query] @param {AbortSignal} [signal] */
export function get(path, query, signal) {
  return call('GET', path, { query, signal })
}

/**
 * pages reads a listing page by page; each is called with the items of one, and may
 * return false to end.
 * @param {string} path @param {Record<string, any>} query @param {(page: any) => boolean|void} each @param {AbortSignal} [signal]
 */
export async function pages(path, query, each, signal) {
  let after = ''
  do {
    const page = await get(path, { ...query, after }, signal)
    if (each(page) === false) return
    after = page.next ?? ''
  } while (after)
}

/** job is the path of one. @param {string} name */
export function job(name) {
  return '/jobs/' + encodeURIComponent(name)
}

/** act asks something of a job. @param {string} name @param {{act: string, tables?: string[], tasks?: string[], reason?: string}} body @returns {Promise<Job>} */
export function act(name, body) {
  return call('POST', job(name) + '/act', { body })
}

/** actOnAll asks something of many. @param {any} body @returns {Promise<BulkResult>} */
export function actOnAll(body) {
  return call('POST', '/jobs:act', { body })
}

/** login trades a token for a cookie. @param {string} token */
export async function login(token) {
  let answer
  try {
    answer = await fetch('/login', { method: 'POST', credentials: 'same-origin', headers: { Accept: 'application/json' }, body: new URLSearchParams({ token }) })
  } catch {
    throw new Refusal(0, { title: 'The server at ' + location.host + ' does not answer' })
  }
  if (!answer.ok) throw new Refusal(answer.status, await answer.json().catch(() => ({ title: 'The server does not take this token' })))
}

/** logout forgets it. */
export async function logout() {
  await fetch('/logout', { method: 'POST', credentials: 'same-origin' }).catch(() => {})
}
