/** The question of a review: a label, what it sounds like, and what can be decided. */

import { state } from '../api.js';
import { h, icon, number, percent } from '../dom.js';
import { button, ear, label } from '../parts.js';
import { REVIEW } from '../texts.js';
import { capital, heard } from './learning.js';

/** @typedef {import('./review.js').Suspect} Suspect */

const MOST_OTHERS = 40; // classes that have a button

/** @param {Suspect} suspect @param {(what: string) => void} decide keep, relabel, drop or a class */
export function question(suspect, decide) {
  const { clip, suggested, evidence, reason, neighbours, decision } = suspect, given = clip.label ?? '';
  const others = state().classes.filter(({ name }) => name !== given && name !== suggested).slice(0, MOST_OTHERS);
  const isTaken = (/** @type {string} */ what) => ({ 'aria-pressed': String(decision === what) });
  return h('section', h('h2.question', { tabindex: -1 }, h('span', REVIEW.labelled), given ? label(given) : h('b', REVIEW.noLabel), suggested ? [h('span.but', REVIEW.soundsLike), label(suggested)] : h('span.but', REVIEW.unlike), evidence != null && h('span.how', REVIEW.evidence(percent(evidence)))),
    heard(clip, { big: true }),
    h('div.decisions', { role: 'group', 'aria-label': REVIEW.decision },
      suggested && button(REVIEW.change(suggested), { primary: !decision, key: 'Enter', class: 'choice', ...isTaken('relabel'), onclick: () => decide('relabel') }),
      button(REVIEW.keep(given), { key: 'K', class: 'choice', ...isTaken('keep'), onclick: () => decide('keep') }), button(REVIEW.leaveOut, { key: 'X', class: 'choice', ...isTaken('drop'), onclick: () => decide('drop') })),
    others.length > 0 && h('div.others', { role: 'group', 'aria-label': REVIEW.others }, h('span.how', REVIEW.others), others.map(({ name }) => h('button.button', { type: 'button', ...isTaken(name), onclick: () => decide(name) }, ear(name), h('span', name)))),
    reason && h('p.reason', icon('note'), h('span', `${capital(reason)}.`)),
    neighbours.length > 0 && h('div.near', h('h3', REVIEW.alike), h('p.how', REVIEW.alikeText), h('div.tiles.five', neighbours.map((near) => h('div', heard(near, { note: REVIEW.similar(number(near.similarity, 2)) }), near.label && label(near.label))))));
}
