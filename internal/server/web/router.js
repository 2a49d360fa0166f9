// Addresses: a view, and what is chosen in it. All of a view's choices are in the
// query, so that an address can be sent to somebody.

/** @typedef {{view: 'jobs'|'job'|'submit'|'audit'|'lost', name: string, tab: string, query: URLSearchParams}} Place */

export const TABS = ['overview', 'tables', 'tasks', 'errors', 'letters', 'verify', 'file', 'audit']

/** here reads the address. @returns {Place} */
export function here() {
  const path = location.pathname.replace(/\/+$/, '')
  const query = new URLSearchParams(location.search)
  const m = /^\/jobs\/([a-z0-9-]+)(?:\/([a-z]+))?$/.exec(path)
  if (path === '' || path === '/login') return { view: 'jobs', name: '', tab: '', query }
  if (m && (!m[2] || TABS.includes(m[2]))) return { view: 'job', name: m[1], tab: m[2] ?? 'overview', query }
  if (path === '/submit' || path === '/audit') return { view: path === '/audit' ? 'audit' : 'submit', name: '', tab: '', query }
  return { view: 'lost', name: '', tab: '', query }
}

/** jobPath of a job and a tab of it. @param {string} name @param {string} [tab] */
export function jobPath(name, tab) {
  return '/jobs/' + encodeURIComponent(name) + (tab && tab !== 'overview' ? '/' + tab : '')
}

/** @type {() => void} */
let changed = () => {}

/** go opens an address of this page. @param {string} to */
export function go(to) {
  if (to === location.pathname + location.search) return
  history.pushState(null, '', to)
  changed()
}

/**
 * choose changes the query without leaving the view; an empty value is none. Steps
 * that are typed replace each other in the history.
 * @param {Record<string, string|string[]|null>} values
 */
export function choose(values) {
  const query = new URLSearchParams(location.search)
  for (const [key, value] of Object.entries(values)) {
    query.delete(key)
    for (const v of Array.isArray(value) ? value : [value]) if (v) query.append(key, v)
  }
  const text = query.toString()
  history.replaceState(null, '', location.pathname + (text ? '?' + text : ''))
}

/** start calls each when the place changes, and makes links of the page do so. @param {() => void} each */
export function start(each) {
  changed = each
  addEventListener('popstate', each)
  document.addEventListener('click', (e) => {
    const a = /** @type {Element} */ (e.target).closest?.('a[href^="/"]')
    if (!a || e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey || a.hasAttribute('download')) return
    const to = /** @type {string} */ (a.getAttribute('href'))
    if (to.startsWith('/api/')) return
    e.preventDefault()
    go(to)
  })
}
