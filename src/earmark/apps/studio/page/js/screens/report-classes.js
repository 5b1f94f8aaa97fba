/** Class by class: what is found, what is right, and what is taken for what. */

import { h, number, percent } from '../dom.js';
import { label } from '../parts.js';
import { REPORT } from '../texts.js';

/**
 * @typedef {{label: string, n: number, recall: number, precision: number, f1: number}} ClassFigures
 * @typedef {import('./report-confusions.js').Answer} Answer
 */

const SHOWN = 30; // of more classes, the rest is folded up

/** Classes, the worst first. @param {ClassFigures[]} classes @param {Answer[]} errors */
export function classTable(classes, errors) {
  const rows = classes.toSorted((a, b) => Number(a.n === 0) - Number(b.n === 0) || a.f1 - b.f1);
  const table = (/** @type {ClassFigures[]} */ some) => h('div.table-box', { tabindex: 0, role: 'region', 'aria-label': REPORT.classes }, h('table.wide', h('thead', h('tr', h('th', { scope: 'col' }, REPORT.class), h('th.n', { scope: 'col' }, REPORT.clips), h('th', { scope: 'col' }, REPORT.found), h('th', { scope: 'col' }, REPORT.right), h('th.n', { scope: 'col' }, REPORT.f1), h('th', { scope: 'col' }, REPORT.toKnow))),
    h('tbody', some.map((figures) => classRow(figures, errors)))));
  return h('section', h('h2', REPORT.classes), h('p.how', REPORT.classesText), table(rows.slice(0, SHOWN)), rows.length > SHOWN && h('details', h('summary', REPORT.moreClasses(rows.length - SHOWN)), table(rows.slice(SHOWN))));
}

/** @param {ClassFigures} figures @param {Answer[]} errors */
function classRow({ label: name, n, recall, precision, f1 }, errors) {
  return h('tr', h('th', { scope: 'row' }, label(name)), h('td.n', number(n)), h('td', share(recall)), h('td', share(precision)), h('td.n', number(f1, 2)), h('td.how', toKnow(name, n, errors)));
}

/** @param {number} value */
const share = (value) => h('span.share', { style: { '--v': value } }, percent(value));

/** The most frequent confusion of a class, in words. @param {string} name @param {number} n @param {Answer[]} errors */
function toKnow(name, n, errors) {
  const counts = new Map();
  for (const { label: of, answer } of errors) if (of === name) counts.set(answer, (counts.get(answer) ?? 0) + 1);
  const [most] = [...counts].toSorted((a, b) => b[1] - a[1]);
  return most ? REPORT.takenFor(most[1], n, most[0]) : REPORT.nothingMissed;
}
