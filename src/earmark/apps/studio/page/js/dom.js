/** Elements without a framework and without inline styles, which the page's policy forbids; numbers in the browser's language. */

const SVG = 'http://www.w3.org/2000/svg';

/**
 * @template {string} S
 * @typedef {S extends `${infer T}.${string}` ? ElementOf<T> : S extends `${infer T}#${string}` ? ElementOf<T> : S extends keyof HTMLElementTagNameMap ? HTMLElementTagNameMap[S] : HTMLElement} ElementOf
 */
/** @typedef {Node|string|number|boolean|null|undefined} Leaf */
/** @typedef {Leaf|Kid[]} Kid */
/** @typedef {{[K in keyof GlobalEventHandlersEventMap as `on${K}`]?: (event: GlobalEventHandlersEventMap[K]) => void}} Handlers */
/** @typedef {Handlers & {style?: Object<string, string|number>, class?: string} & {[key: string]: unknown}} Props */

/**
 * Make an element: h('p.note#x', {onclick, style: {'--s': .4}}, 'text', child, [children], null).
 * @template {string} S
 * @param {S} spec tag, classes and id
 * @param {Props|Kid} [first] attributes and handlers, or the first child
 * @param {...Kid} kids
 * @returns {ElementOf<S>}
 */
export function h(spec, first, ...kids) {
  const [, tag, rest] = /** @type {RegExpMatchArray} */ (spec.match(/^([\w-]+)(.*)$/));
  const element = document.createElement(tag);
  for (const [, mark, name] of rest.matchAll(/([.#])([\w-]+)/g)) {
    if (mark === '#') element.id = name;
    else element.classList.add(name);
  }
  if (first && first.constructor === Object) assign(element, /** @type {Props} */ (first));
  else kids.unshift(/** @type {Kid} */ (first));
  return /** @type {ElementOf<S>} */ (put(element, ...kids));
}

/** @param {HTMLElement} element @param {Props} props */
function assign(element, props) {
  for (const [key, value] of Object.entries(props)) {
    if (key === 'style') for (const [k, v] of Object.entries(/** @type {Object<string, string>} */ (value))) element.style.setProperty(k, v);
    else if (key === 'class') element.classList.add(...String(value ?? '').split(/\s+/).filter(Boolean));
    else if (typeof value === 'function') element.addEventListener(key.slice(2), /** @type {EventListener} */ (value));
    else if (value === true) element.setAttribute(key, '');
    else if (value !== false && value != null) element.setAttribute(key, String(value));
  }
}

/**
 * Append what there is; nothing for null, false, true and 0.
 * @template {Element} E
 * @param {E} element
 * @param {...Kid} kids
 * @returns {E}
 */
export function put(element, ...kids) {
  const leaves = /** @type {Leaf[]} */ (/** @type {unknown[]} */ (kids).flat(9));
  element.append(...leaves.filter((kid) => kid != null && kid !== false && kid !== true && kid !== 0).map((kid) => (kid instanceof Node ? kid : String(kid))));
  return element;
}

/** @param {string} id @returns {HTMLElement} */
export const at = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** @type {Object<string, string>} */
const PATHS = {
  play: 'M5 3l8 5-8 5z', pause: 'M5 3v10M11 3v10', stop: 'M4 4h8v8H4z', check: 'M3 8.5l3.5 3.5L13 4.5', cross: 'M4 4l8 8M12 4l-8 8',
  warn: 'M8 2l6.5 11.5h-13zM8 6.5v3.2M8 11.6v.2', error: 'M5 2h6l3 3v6l-3 3H5l-3-3V5zM8 5v4M8 10.9v.2', note: 'M8 7v5M8 4.2v.2M8 1.5a6.5 6.5 0 100 13 6.5 6.5 0 000-13z',
  mic: 'M8 1.8a2 2 0 00-2 2v4a2 2 0 004 0v-4a2 2 0 00-2-2zM3.5 7.5a4.5 4.5 0 009 0M8 12v2.5', undo: 'M6 3L2.5 6.5 6 10M2.5 6.5H10a3.5 3.5 0 010 7H7', redo: 'M10 3l3.5 3.5L10 10M13.5 6.5H6a3.5 3.5 0 000 7h3',
  add: 'M8 3v10M3 8h10', minus: 'M3 8h10', file: 'M4 1.8h5l3 3v9.4H4zM9 1.8v3h3', folder: 'M1.8 3.5h4.4l1.6 2h6.4v7.8H1.8z', next: 'M6 3.5L10.5 8 6 12.5', back: 'M10 3.5L5.5 8 10 12.5', lock: 'M4 7.5h8v6H4zM5.5 7.5V5a2.5 2.5 0 015 0v2.5',
  bin: 'M3 4.5h10M6.5 4.5V2.8h3v1.7M4.5 4.5l.7 9h5.6l.7-9', out: 'M8 1.8a6.2 6.2 0 100 12.4A6.2 6.2 0 008 1.8zM3.7 3.7l8.6 8.6', more: 'M3.5 8h.1M8 8h.1M12.5 8h.1', long: 'M1.5 8h2l1.5-4 2.5 9 2-7 1.5 3h3.5',
  save: 'M8 2v8M4.8 7.2L8 10.2l3.2-3M2.5 13.5h11', upload: 'M8 10.5V2.5M4.8 5.2L8 2.2l3.2 3M2.5 13.5h11', edit: 'M3 13l.7-3L11 2.7l2.3 2.3L6 12.3z',
  data: 'M2.5 9.5v-3M5.5 12V4M8.5 10.5v-5M11.5 13V3M14 9v-2', doctor: 'M7 2.5a4.5 4.5 0 100 9 4.5 4.5 0 000-9zM10.4 10.4L14 14', train: 'M2.5 13.5V10M6.2 13.5V7.5M9.8 13.5V5M13.5 13.5v-11',
  report: 'M3.5 2h9v12h-9zM6 5.5h4M6 8h4M6 10.5h2', review: 'M2 4.5h12M2 8h7M2 11.5h5M10.5 11l1.7 1.7L15 9.5',
  find: 'M2 4.5h12M2 8h3.5M2 11.5h3.5M10 6.8a2.7 2.7 0 100 5.4 2.7 2.7 0 000-5.4zM12 11.5l2.3 2.3', export: 'M8 10V2M4.8 4.8L8 1.8l3.2 3M2.5 9.5v4.5h11V9.5',
};

/** A drawn sign of 16 by 16, hidden from screen readers: words stand beside it. @param {string} name */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg'), path = document.createElementNS(SVG, 'path');
  svg.setAttribute('viewBox', '0 0 16 16');
  svg.setAttribute('class', `icon icon-${name}`);
  svg.setAttribute('aria-hidden', 'true');
  path.setAttribute('d', PATHS[name] ?? PATHS.mic);
  svg.append(path);
  return svg;
}

const language = navigator.language || 'en';
/** @type {Map<number, Intl.NumberFormat>} */
const formats = new Map();

/** @param {number} x @param {number} [digits] after the point */
export function number(x, digits = 0) {
  let format = formats.get(digits);
  if (!format) formats.set(digits, format = new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits }));
  return format.format(x);
}

const percents = [0, 1].map((digits) => new Intl.NumberFormat(language, { style: 'percent', minimumFractionDigits: digits, maximumFractionDigits: digits }));
/** @param {number} share 0 to 1 @param {0|1} [digits] */
export const percent = (share, digits = 0) => percents[digits].format(share);

/** A duration: "0.4 s", "2.0 s", "3 min 20 s", "10 h 5 min". @param {number|null|undefined} s */
export function seconds(s) {
  if (s == null) return '';
  if (s < 60) return `${number(s, 1)} s`;
  const whole = Math.round(s);
  if (whole < 3600) return `${number(Math.floor(whole / 60))} min${whole % 60 ? ` ${number(whole % 60)} s` : ''}`;
  return `${number(Math.floor(whole / 3600))} h${whole % 3600 >= 60 ? ` ${number(Math.floor(whole % 3600 / 60))} min` : ''}`;
}

/** A time in a recording: "02:00:16". @param {number} s @param {number} [digits] of a second */
export function clock(s, digits = 0) {
  const whole = Math.floor(s + 1e-9), parts = [whole / 3600, (whole / 60) % 60, whole % 60].map((v) => String(Math.floor(v)).padStart(2, '0')).join(':');
  return digits ? parts + number(s - whole, digits).slice(1) : parts;
}

const day = new Intl.DateTimeFormat(language, { dateStyle: 'medium' }), minute = new Intl.DateTimeFormat(language, { timeStyle: 'short' });
/** The day, or the time if it was today. @param {string|number|Date} when */
export function date(when) {
  const then = new Date(when);
  return then.toDateString() === new Date().toDateString() ? minute.format(then) : day.format(then);
}

const UNITS = ['B', 'KB', 'MB', 'GB', 'TB'];
/** @param {number} n */
export function bytes(n) {
  const power = n < 1000 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log10(n) / 3)), value = n / 1000 ** power;
  return `${number(value, power && value < 10 ? 1 : 0)} ${UNITS[power]}`;
}

/** A long name without its middle: its end often tells it from others. @param {string} name @param {number} [most] */
export const short = (name, most = 20) => (name.length <= most ? name : `${name.slice(0, Math.ceil(most / 2) - 1)}…${name.slice(-Math.floor(most / 2))}`);

let timer = 0;
/** Say something to everyone: on the screen for a while, and to screen readers. @param {...Kid} words */
export function say(...words) {
  at('said').replaceChildren(h('span', words.flat()));
  clearTimeout(timer);
  timer = setTimeout(() => at('said').replaceChildren(), 7000);
}
