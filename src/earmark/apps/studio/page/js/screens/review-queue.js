/** The queue of a review: suspects, the worst first, with what was decided. */

import { h, icon, number } from '../dom.js';
import { ear } from '../parts.js';
import { REVIEW } from '../texts.js';
import { nameOf } from './learning.js';

/** @typedef {import('./review.js').Suspect} Suspect */

const AROUND = 100; // suspects that are listed on each side of the one that is shown

/** @param {Suspect[]} suspects @param {number} at @param {(k: number) => void} go */
export function queue(suspects, at, go) {
  const first = Math.max(0, at - AROUND), some = suspects.slice(first, at + AROUND);
  const left = suspects.length - first - some.length;
  return h('div.queue', { role: 'navigation', 'aria-label': REVIEW.queue }, h('ol', { start: first + 1 }, some.map((suspect, k) => row(suspect, first + k === at, () => go(first + k)))), left > 0 && h('p.how', REVIEW.further(left)));
}

/** @param {Suspect} suspect @param {boolean} isNow @param {() => void} go */
function row({ clip, suggested, evidence, decision }, isNow, go) {
  return h('li', h('button', { type: 'button', 'aria-current': isNow && 'true', class: decision ? 'decided' : '', onclick: go },
    h('span.queue-path', nameOf(clip)), h('span.hidden', REVIEW.inQueue(clip.label ?? '', suggested, decision)), h('span.queue-what', clip.label && ear(clip.label), suggested && [icon('next'), ear(suggested)]), decision ? icon('check') : h('span.num', evidence == null ? '' : number(evidence, 2)), evidence != null && h('span.evidence', { style: { '--v': evidence } })));
}
