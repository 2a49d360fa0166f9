// Numbers and times as every screen writes them; the same as in the terminal.
// What is not known is '?', what does not apply is '—': neither is ever 0.

export const UNKNOWN = '?'
export const NONE = '—'

/** @typedef {number|null|undefined} Maybe */

/** @param {Maybe} n */
function known(n) {
  return typeof n === 'number' && Number.isFinite(n)
}

/** count writes all digits: 1,204,883. @param {Maybe} n */
export function count(n) {
  return known(n) && /** @type {number} */ (n) >= 0 ? Math.round(/** @type {number} */ (n)).toString().replace(/\B(?=(\d{3})+$)/g, ',') : UNKNOWN
}

/** three writes three significant digits, no exponent. @param {number} x */
function three(x) {
  if (x >= 99.95 || Number.isInteger(x)) return x.toFixed(0)
  return x >= 9.995 ? x.toFixed(1) : x.toFixed(2)
}

/** @param {Maybe} x @param {number} step @param {string[]} units */
function scaled(x, step, units) {
  if (!known(x) || /** @type {number} */ (x) < 0) return UNKNOWN
  let v = /** @type {number} */ (x)
  let i = 0
  while (i + 1 < units.length && v >= step * 0.9995) {
    v /= step
    i++
  }
  return three(v) + units[i]
}

/** short writes a count or a rate: 999, 84.1 k, 128 M. @param {Maybe} x */
export function short(x) {
  return scaled(x, 1000, ['', ' k', ' M', ' G', ' T'])
}

/** rate: 84.1 k/s. @param {Maybe} x */
export function rate(x) {
  return known(x) ? short(x) + '/s' : UNKNOWN
}

/** bytes: 31.2 MiB. @param {Maybe} x */
export function bytes(x) {
  return scaled(x, 1024, [' B', ' KiB', ' MiB', ' GiB', ' TiB', ' PiB'])
}

/** byteRate: 31.2 MiB/s. @param {Maybe} x */
export function byteRate(x) {
  return known(x) ? bytes(x) + '/s' : UNKNOWN
}

/** percent: 61 %, <1 %, 99.4 %; below 100 nothing shows as 100. @param {Maybe} p */
export function percent(p) {
  if (!known(p)) return UNKNOWN
  const v = /** @type {number} */ (p)
  if (v >= 100) return '100 %'
  if (v >= 99) return (Math.floor(v * 10) / 10).toFixed(1) + ' %'
  return v > 0 && v < 1 ? '<1 %' : Math.floor(v) + ' %'
}

const UNITS = [['d', 86400], ['h', 3600], ['m', 60], ['s', 1]]

/** duration of seconds in at most two units: 1.2 s, 4 m 10 s, 3 d 4 h, >1 y. @param {Maybe} seconds */
export function duration(seconds) {
  if (!known(seconds) || /** @type {number} */ (seconds) < 0) return UNKNOWN
  const t = /** @type {number} */ (seconds)
  if (t < 10) return t.toFixed(1).replace(/\.0$/, '') + ' s'
  if (t > 365 * 86400) return '>1 y'
  for (let i = 0; i < UNITS.length; i++) {
    const [name, of] = /** @type {[string, number]} */ (UNITS[i])
    const [nextName, next] = /** @type {[string, number]} */ (UNITS[Math.min(i + 1, UNITS.length - 1)])
    const rounded = Math.round(t / next) * next
    if (rounded < of && i < UNITS.length - 1) continue
    const big = Math.floor(rounded / of)
    const rest = Math.round((rounded - big * of) / next)
    return rest && next !== of ? `${big} ${name} ${rest} ${nextName}` : `${big} ${name}`
  }
  return UNKNOWN
}

/** clock writes how long something takes: 0:09:40. @param {Maybe} seconds */
export function clock(seconds) {
  if (!known(seconds) || /** @type {number} */ (seconds) < 0) return UNKNOWN
  if (/** @type {number} */ (seconds) >= 172800) return duration(seconds)
  const t = Math.floor(/** @type {number} */ (seconds))
  const two = (/** @type {number} */ n) => String(n).padStart(2, '0')
  return `${Math.floor(t / 3600)}:${two(Math.floor(t / 60) % 60)}:${two(t % 60)}`
}

/** plural: 1 table, 2 tables. @param {number} n @param {string} word */
export function plural(n, word) {
  return n === 1 ? '1 ' + word : count(n) + ' ' + word + 's'
}

/** total writes how much of how much: ~ is an estimate, ≥ still grows. @param {any} c watch.Count @param {(n: Maybe) => string} [write] */
export function total(c, write = short) {
  if (!c || c.total_kind === 'none') return UNKNOWN
  return ({ estimate: '~', growing: '≥ ' }[/** @type {string} */ (c.total_kind)] ?? '') + write(c.total)
}

// Times are shown in one zone everywhere: the viewer's, or UTC.

const KEY = 'godwit.zone'
/** @type {Set<() => void>} */
const followers = new Set()
let utc = read() === 'utc'

function read() {
  try {
    return localStorage.getItem(KEY)
  } catch {
    return null
  }
}

export function isUTC() {
  return utc
}

/** setUTC chooses the zone of all times. @param {boolean} yes */
export function setUTC(yes) {
  utc = yes
  try {
    localStorage.setItem(KEY, yes ? 'utc' : 'local')
  } catch { /* a browser that keeps nothing still shows times */ }
  followers.forEach((f) => f())
}

/** onZone calls f when the zone changes; it returns what ends that. @param {() => void} f */
export function onZone(f) {
  followers.add(f)
  return () => followers.delete(f)
}

/** offset of a moment in the chosen zone, always printed. @param {Date} d */
export function offset(d) {
  if (utc) return 'UTC'
  const m = -d.getTimezoneOffset()
  const two = (/** @type {number} */ n) => String(n).padStart(2, '0')
  return (m < 0 ? '−' : '+') + two(Math.floor(Math.abs(m) / 60)) + ':' + two(Math.abs(m) % 60)
}

/** parts of a moment in the chosen zone. @param {Date} d */
function parts(d) {
  const shifted = new Date(d.getTime() - (utc ? 0 : d.getTimezoneOffset() * 60000)).toISOString()
  return { day: shifted.slice(0, 10), time: shifted.slice(11, 19) }
}

/** moment: 2026-11-26 14:05:18 +01:00. @param {string|number|Date|null|undefined} at */
export function moment(at) {
  const d = date(at)
  if (!d) return UNKNOWN
  const p = parts(d)
  return `${p.day} ${p.time} ${offset(d)}`
}

/** timeOfDay: 14:05:18 +01:00, with the day where it is not today. @param {string|number|Date|null|undefined} at */
export function timeOfDay(at) {
  const d = date(at)
  if (!d) return UNKNOWN
  const p = parts(d)
  return (p.day === parts(new Date()).day ? '' : p.day + ' ') + `${p.time} ${offset(d)}`
}

/** hour: 14:05, for axes and ends. @param {number|Date} at @param {boolean} [withSeconds] */
export function hour(at, withSeconds) {
  return parts(new Date(at)).time.slice(0, withSeconds ? 8 : 5)
}

/** day: 11-26, for axes. @param {number|Date} at */
export function day(at) {
  return parts(new Date(at)).day.slice(5)
}

/** date reads a time of the API; Go's zero time is none. @param {string|number|Date|null|undefined} at @returns {Date|null} */
export function date(at) {
  if (at === null || at === undefined || at === '') return null
  const d = new Date(at)
  return Number.isNaN(d.getTime()) || d.getFullYear() < 1970 ? null : d
}

/** ago: 4 m 10 s ago; 'in 40 s' of what is to come. @param {string|number|Date|null|undefined} at @param {number} now ms */
export function ago(at, now) {
  const d = date(at)
  if (!d) return UNKNOWN
  const t = (now - d.getTime()) / 1000
  if (Math.abs(t) < 1) return 'now'
  const text = duration(Math.abs(t) < 10 ? Math.round(Math.abs(t)) : Math.abs(t))
  return t < 0 ? 'in ' + text : text + ' ago'
}
