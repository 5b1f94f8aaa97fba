/** Where a labelling stands: what the head gets right, how many there are, and whether more labels help. */

import { h, number, percent } from '../dom.js';
import { FIND } from '../texts.js';

/**
 * @typedef {{value: number, low: number, high: number}} Interval
 * @typedef {{answers: number, positives: number, negatives: number, threshold: number, precision: Interval|null, total: Interval|null, unseen: Interval|null, advice: string}} Standing
 */

/** @param {Standing} standing */
export function standingBox({ answers, positives, negatives, precision, total, unseen, advice }) {
  const most = Math.max(1, total?.high ?? 0, unseen?.high ?? 0), count = (/** @type {number} */ x) => number(Math.round(x)), share = (/** @type {number} */ x) => percent(x);
  return h('section.standing', h('h2', FIND.standingTitle), h('p', FIND.answered(answers, positives, negatives)),
    h('table.scale', h('caption.hidden', FIND.intervals), h('tbody', row(FIND.precision, precision, 1, share, true), row(FIND.total, total, most, count), row(FIND.unseen, unseen, most, count))),
    advice && h('p.advice', advice));
}

/** @param {string} name @param {Interval|null} interval @param {number} most the right end of the line @param {(x: number) => string} words @param {boolean} [main] */
function row(name, interval, most, words, main = false) {
  if (!interval) return h('tr', h('th', { scope: 'row' }, name), h('td.unknown', { colspan: 2 }, FIND.notYet));
  const { value, low, high } = interval, at = (/** @type {number} */ x) => Math.min(100, (100 * Math.max(0, x)) / most);
  return h('tr', { class: main ? 'main' : '' }, h('th', { scope: 'row' }, name),
    h('td.line', { 'aria-hidden': 'true' }, h('span.span', { style: { left: `${at(low)}%`, width: `${at(high) - at(low)}%` } }), h('span.dot', { style: { left: `${at(value)}%` } })), h('td.num', FIND.between(words(value), words(low), words(high))));
}
