/** Parts that several screens share. */

import { state } from './api.js';
import { h, icon, number, percent, say, seconds } from './dom.js';
import { drawPicture, hertzAt, picture, whenSeen } from './draw.js';
import { play, playing, stop } from './player.js';
import { COMMON } from './texts.js';

/** @typedef {import('./dom.js').Kid} Kid */
/** @typedef {import('./types.js').Clip} Clip */

/** The head of a screen: what it is for, and the one thing to do next. @param {string} title @param {Kid} lede @param {...Kid} actions */
export const head = (title, lede, ...actions) => h('header.head', h('div', h('h1', title), lede ? h('p.lede', lede) : null), actions.length ? h('div.actions', actions) : null);

/** A sentence in which commands stand between backticks. @param {string} text */
export const coded = (text) => text.split('`').map((part, k) => (k % 2 ? h('code', part) : part));

/**
 * A button, or a link that looks like one if `go` is an address.
 * @param {Kid} text
 * @param {{sign?: string, primary?: boolean, quiet?: boolean, key?: string, go?: string, onclick?: (event: MouseEvent) => void} & import('./dom.js').Props} [options]
 */
export function button(text, { sign, primary, quiet, key, go, class: more = '', ...rest } = {}) {
  const props = { class: `button ${primary ? 'primary' : ''} ${quiet ? 'quiet' : ''} ${more}`, 'aria-keyshortcuts': key, ...rest };
  const kids = [sign ? icon(sign) : null, h('span', text), key ? h('kbd', { 'aria-hidden': 'true' }, key) : null];
  return /** @type {HTMLButtonElement} */ (/** @type {unknown} */ (go ? h('a', { href: go, ...props }, kids) : h('button', { type: 'button', ...props }, kids)));
}

/** The place of a class in the order of the manifest, or -1. @param {string} name */
export const placeOf = (name) => state().classes.findIndex((c) => c.name === name);

/** The class name that colours an element: "k0" to "k8", or "ku" for unknown. @param {string} name of a class, or "unknown" */
export function inkOf(name) {
  const place = placeOf(name);
  return place >= 0 ? `k${place % 9}` : 'ku';
}

/** The folded corner: a class's colour, and the key that gives its label or its first letter. @param {string} name */
export function ear(name) {
  const place = placeOf(name);
  return h('span', { class: `ear ${inkOf(name)}`, 'aria-hidden': 'true', 'data-key': place < 0 ? '?' : place < 9 ? String(place + 1) : [...name][0] });
}

/** A label in words, with its corner. @param {string} name */
export const label = (name) => h('span.label', ear(name), h('span', placeOf(name) < 0 && name === 'unknown' ? COMMON.unknown : name));

/**
 * A clip to see and to hear: a figure whose button plays. Its corner is folded if it has a label.
 * The picture is fetched once the tile is in view.
 * @param {Clip} clip
 * @param {{big?: boolean, axis?: boolean, note?: Kid, fold?: boolean}} [options]
 */
export function tile(clip, { big = false, axis = big, note, fold = true } = {}) {
  const line = h('span.playhead'), canvas = h('canvas', { 'aria-hidden': 'true' });
  const listen = h('button.listen', { type: 'button', 'aria-label': COMMON.play(clip.name, clip.label), onclick: () => toggle(clip, listen, line) },
    canvas, h('span.glyph', icon('play')), line, fold && clip.label ? ear(clip.label) : null);
  whenSeen(canvas, () => showPicture(canvas, clip, { big, axis }).then((made) => { if (big && made) readout(listen, made.seconds, made.start, made.topHz); }));
  return h('figure', { class: `tile ${big ? 'big' : ''} ${clip.error ? 'broken' : ''}` }, listen,
    h('figcaption', h('span.name', { title: clip.name }, clip.name), h('span.num', note ?? seconds(clip.seconds))));
}

/** Fetch and draw a clip's picture; a clip that cannot be read says so in its place. @param {HTMLCanvasElement} canvas @param {Clip} clip @param {{big?: boolean, axis?: boolean}} [options] */
export async function showPicture(canvas, clip, { big = false, axis = false } = {}) {
  try {
    const made = await picture(clip.id, big ? { columns: 800, rows: 192 } : { columns: 160, rows: 56 });
    drawPicture(canvas, made, { axis });
    return made;
  } catch (error) {
    canvas.replaceWith(h('span.unread', { title: String(/** @type {Error} */ (error).message) }, COMMON.unreadable));
    return null;
  }
}

/** Play a clip in its box, or end it if it plays there. @param {Clip} clip @param {HTMLElement} box gets the class "on" @param {HTMLElement} line the playhead */
export function toggle(clip, box, line) {
  if (playing?.id === clip.id && box.classList.contains('on')) return stop();
  play(clip.id, {
    onprogress: (share) => line.style.setProperty('--at', String(share)),
    onend: (error) => { box.classList.remove('on'); if (error) say(error); },
  });
  box.classList.add('on');
  line.style.setProperty('--at', '0');
}

/** Show the second and the frequency under the pointer. @param {HTMLElement} box @param {number} duration @param {number} [from] @param {number} [top] Hz @param {Element} [picture] in the box, if it fills it only in part */
export function readout(box, duration, from = 0, top = 8000, picture = box) {
  const text = h('span.readout', { hidden: true, 'aria-hidden': 'true' });
  box.append(text);
  box.addEventListener('pointermove', (event) => {
    const { left, top: edge, width, height } = picture.getBoundingClientRect();
    text.hidden = event.clientY > edge + height;
    text.textContent = `${number(from + ((event.clientX - left) / width) * duration, 2)} s · ${number(hertzAt((event.clientY - edge) / height, top) / 1000, 2)} kHz`;
  });
  box.addEventListener('pointerleave', () => { text.hidden = true; });
}

/** What went wrong, what was kept, what helps, in this order. @param {'error'|'warn'|'note'} kind @param {Kid} title @param {Kid} text @param {...Kid} helps */
export const trouble = (kind, title, text, ...helps) => h('section', { class: `trouble ${kind}`, role: kind === 'error' ? 'alert' : 'status' }, icon(kind), h('div', h('h2', title), text ? h('p', text) : null, helps.length ? h('div.row', helps) : null));

/** A screen or a part without content: what it is for, and how to begin. @param {string} title @param {Kid} text @param {...Kid} helps */
export const empty = (title, text, ...helps) => h('section.empty', h('div.paper', { 'aria-hidden': 'true' }), h('h2', title), h('p', text), helps.length ? h('div.row', helps) : null);

/** @type {Object<string, string>} */
const VERDICT_SIGNS = { use: 'check', care: 'warn', worthless: 'error' };
/** The verdict on a model in a word. @param {'use'|'care'|'worthless'} verdict */
export const chip = (verdict) => h('span', { class: `chip ${verdict}` }, icon(VERDICT_SIGNS[verdict] ?? 'note'), COMMON.verdicts[verdict] ?? verdict);

/**
 * Values with intervals on one scale from 0 to 100 %.
 * @param {{name: string, value: number, low?: number|null, high?: number|null, main?: boolean}[]} rows
 */
export function scale(rows) {
  return h('table.scale', h('caption.hidden', COMMON.scale), h('tbody', rows.map(({ name, value, low, high, main }) => h('tr', { class: main ? 'main' : '' }, h('th', { scope: 'row' }, name),
    h('td.line', { 'aria-hidden': 'true' }, low != null && high != null ? h('span.span', { style: { left: `${100 * low}%`, width: `${100 * (high - low)}%` } }) : null, h('span.dot', { style: { left: `${100 * value}%` } })), h('td.num', percent(value, 1))))));
}

/**
 * Scores of classes and of unknown as bars, with the border of "known" if there is one.
 * @param {string[]} labels
 * @param {{border?: number|null, unknown?: boolean}} [options]
 * @returns {{box: HTMLElement, set(scores: Object<string, number>, answer?: string|null): void}}
 */
export function scoreRows(labels, { border = null, unknown = false } = {}) {
  const rows = [...labels, ...(unknown ? ['unknown'] : [])].map((name) => {
    const bar = h('span', { class: `fill ${inkOf(name)}` }), value = h('span.num', number(0, 2));
    return { name, bar, value, row: h('div.score', label(name), h('span.track', bar, border != null && name !== 'unknown' ? h('span.border') : null), value) };
  });
  const box = h('div.scores', { style: border == null ? {} : { '--border': border } }, rows.map(({ row }) => row));
  return { box, set(scores, answer) {
    for (const { name, bar, value, row } of rows) {
      const score = scores[name] ?? 0, text = number(score, 2);
      bar.style.setProperty('--v', String(score));
      if (value.textContent !== text) value.textContent = text;
      row.classList.toggle('top', name === answer);
    }
  } };
}
