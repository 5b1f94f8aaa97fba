/** A stretch of a long recording to see and to hear, with the sound around it. */

import { state } from '../api.js';
import { clock, h, icon, number, say } from '../dom.js';
import { drawPicture, picture, whenSeen } from '../draw.js';
import { coded, trouble } from '../parts.js';
import { play, playing, stop } from '../player.js';
import { COMMON, FIND } from '../texts.js';

/**
 * @typedef {{id: string, name: string, path: string, dataset: string, start: number, end: number, seconds: number|null, score: number, is_own: boolean,
 *   silent: 'outside'|'gone'|null, columns: Object<string, string>}} Hit a stretch of a recording of an archive
 */

const AROUND_S = 1; // that is shown before and after a stretch
const PRECISE = 2; // digits of a second

/** Where a stretch is, in words. @param {{start: number}} hit */
export const timeOf = ({ start }) => clock(start, PRECISE);

/** The stretch that a picture shows. @param {Hit} hit */
function shownOf({ start, end, seconds }) {
  return { from: Math.max(0, start - AROUND_S), to: Math.min(seconds ?? end, end + AROUND_S) };
}

/**
 * The picture of a stretch, whose button plays it; or why it cannot be played.
 * @param {Hit} hit
 * @param {{big?: boolean, note?: import('../dom.js').Kid}} [options]
 */
export function stretchTile(hit, { big = false, note } = {}) {
  const caption = h('figcaption', h('span.name', { title: hit.path }, hit.name), h('span.num', note ?? timeOf(hit)));
  if (hit.silent) return h('figure', { class: `tile ${big ? 'big' : ''}` }, h('div.gone', h('b', FIND.silent[hit.silent]), h('span', FIND.silentHow[hit.silent])), caption);
  const { from, to } = shownOf(hit), length = to - from, canvas = h('canvas', { 'aria-hidden': 'true' }), line = h('span.playhead');
  const edges = { '--from': (hit.start - from) / length, '--to': (hit.end - from) / length };
  const listen = h('button.listen', { type: 'button', 'aria-label': COMMON.play(`${hit.name}, ${timeOf(hit)}`, null), style: edges, onclick: (event) => toggleStretch(hit, listen, line, event.shiftKey) },
    canvas, h('span.around.before'), h('span.around.after'), h('span.glyph', icon('play')), line);
  whenSeen(canvas, () => show(canvas, hit, from, to, big));
  return h('figure', { class: `tile ${big ? 'big' : ''}` }, listen, caption);
}

/** @param {HTMLCanvasElement} canvas @param {Hit} hit @param {number} from @param {number} to @param {boolean} big */
async function show(canvas, hit, from, to, big) {
  try {
    drawPicture(canvas, await picture(hit.id, { ...(big ? { columns: 800, rows: 192 } : { columns: 200, rows: 64 }), start: from, end: to }), { axis: big });
  } catch (error) {
    canvas.replaceWith(h('span.unread', { title: String(/** @type {Error} */ (error).message) }, COMMON.unreadable));
  }
}

/** Play a stretch in its box, or end it if it plays there. @param {Hit} hit @param {HTMLElement} box @param {HTMLElement} line @param {boolean} [isWide] with the sound around it */
export function toggleStretch(hit, box, line, isWide = false) {
  if (playing && box.classList.contains('on')) return stop();
  const { from, to } = shownOf(hit), [start, end] = isWide ? [from, to] : [hit.start, hit.end];
  play(hit.id, {
    start, end,
    onprogress: (_, second) => line.style.setProperty('--at', String((second - from) / (to - from))),
    onend: (error) => { box.classList.remove('on'); if (error) say(error); },
  });
  box.classList.add('on');
  line.style.setProperty('--at', String((start - from) / (to - from)));
}

/** Why some recordings cannot be played and what helps, or null. @param {Hit[]} hits */
export const outsideNote = (hits) => (hits.some(({ silent }) => silent === 'outside') ? trouble('warn', FIND.outsideTitle, coded(FIND.outside(state().folder.name))) : null);

/** What is known of a recording, in a line. @param {Hit} hit */
export const aboutOf = ({ columns }) => Object.entries(columns).slice(0, 4).map(([name, value]) => `${name} ${value}`).join(', ');

/** @param {number} score */
export const scoreText = (score) => number(score, 2);
