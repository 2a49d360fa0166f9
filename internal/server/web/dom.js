// Elements from code. Data becomes text nodes and attributes, never markup.

const SVG = 'http://www.w3.org/2000/svg'

/** @typedef {Node|string|number|null|undefined|false} Child */

/**
 * h makes an element. In props, `onX` listens, `class` and the like are attributes;
 * true is an empty attribute, false, null and undefined are none.
 * @param {string} tag
 * @param {Record<string, any>} [props]
 * @param {...(Child|Child[])} children
 * @returns {any} an HTMLElement
 */
export function h(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children)
}

/**
 * s makes an element of SVG, as h does.
 * @param {string} tag
 * @param {Record<string, any>} [props]
 * @param {...(Child|Child[])} children
 * @returns {any} an SVGElement
 */
export function s(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children)
}

/** @param {Element} e @param {Record<string, any>} props @param {(Child|Child[])[]} children */
function fill(e, props, children) {
  for (const [key, value] of Object.entries(props)) {
    if (key.startsWith('on')) e.addEventListener(key.slice(2).toLowerCase(), value)
    else attr(e, key, value)
  }
  e.append(.../** @type {any} */ (children.flat(3).filter((c) => c !== null && c !== undefined && c !== false && c !== '')))
  return e
}

/** attr sets an attribute if it changes, which costs less than setting it. @param {Element} e @param {string} key @param {any} value */
export function attr(e, key, value) {
  if (value === false || value === null || value === undefined) {
    if (e.hasAttribute(key)) e.removeAttribute(key)
    return
  }
  const text = value === true ? '' : String(value)
  if (e.getAttribute(key) !== text) e.setAttribute(key, text)
}

/** text sets the text of an element that has nothing else, if it changes. @param {Element} e @param {string|number} value */
export function text(e, value) {
  const t = String(value)
  if (e.firstChild && e.firstChild === e.lastChild && e.firstChild.nodeType === 3) {
    if (e.firstChild.nodeValue !== t) e.firstChild.nodeValue = t
  } else if (e.textContent !== t) e.textContent = t
}

/** show hides an element, or shows it. @param {HTMLElement} e @param {boolean} yes */
export function show(e, yes) {
  if (e.hidden === yes) e.hidden = !yes
}

/** replace gives an element other children. @param {Element} e @param {...(Child|Child[])} children */
export function replace(e, ...children) {
  e.replaceChildren()
  fill(e, {}, children)
}

/** icon is a picture beside a word that says the same; alone it needs a name. @param {string} name @returns {SVGElement} */
export function icon(name) {
  return s('svg', { class: 'icon', 'aria-hidden': 'true', focusable: 'false' }, s('use', { href: '#' + name }))
}

/** redraw gives an icon another picture. @param {Element} svg @param {string} name */
export function redraw(svg, name) {
  if (svg.firstElementChild) attr(svg.firstElementChild, 'href', '#' + name)
}

/**
 * button makes one; word is its name, shown unless props.bare.
 * @param {string} word @param {(e: Event) => void} onclick @param {{icon?: string, bare?: boolean, [k: string]: any}} [props]
 */
export function button(word, onclick, { icon: picture, bare, ...props } = {}) {
  return h('button', { type: 'button', ...props, onclick, ...(bare ? { 'aria-label': word, title: word } : {}) },
    picture ? icon(picture) : null, bare ? null : h('span', {}, word))
}

/** once draws only what changed. @template T @param {(value: T) => void} draw @returns {(value: T) => void} */
export function once(draw) {
  /** @type {T|undefined} */
  let last
  return (value) => {
    if (value === last) return
    last = value
    draw(value)
  }
}

/**
 * facts keeps a list of names and values in a dl: what does not change stays as it is,
 * with the focus and what is marked. A value that is empty is left out.
 * @param {HTMLElement} dl
 * @returns {(list: [string, string, {title?: string, link?: string, href?: string}?][]) => void}
 */
export function facts(dl) {
  /** @type {Map<string, {el: HTMLElement, words: HTMLElement, link: HTMLElement}>} */
  const kept = new Map()
  return (list) => {
    const seen = new Set()
    let next = dl.firstElementChild
    for (const [name, value, o = {}] of list) {
      if (!value && !o.link) continue
      seen.add(name)
      let f = kept.get(name)
      if (!f) {
        const words = h('span')
        const link = h('a')
        f = { el: h('div', {}, h('dt', {}, name), h('dd', {}, words, link)), words, link }
        kept.set(name, f)
      }
      text(f.words, o.link ? value + ' ' : value)
      attr(f.el, 'title', o.title)
      show(f.link, Boolean(o.link))
      text(f.link, o.link ?? '')
      attr(f.link, 'href', o.href)
      if (next === f.el) next = next.nextElementSibling
      else dl.insertBefore(f.el, next)
    }
    for (const [name, f] of kept) {
      if (seen.has(name)) continue
      f.el.remove()
      kept.delete(name)
    }
  }
}
