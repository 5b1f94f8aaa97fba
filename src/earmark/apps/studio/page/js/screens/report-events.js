/** The numbers of a detector: events that are found, events that are right, and false ones an hour. */

import { h, number, percent } from '../dom.js';
import { label, scale } from '../parts.js';
import { REPORT } from '../texts.js';

/**
 * @typedef {{label: string|null, precision: number|null, recall: number|null, f1_iou30: number|null, false_per_hour: number|null, false_per_hour_upper: number|null, ci95: Object<string, [number, number]>, counts: Object<string, {right: number, false: number, missed: number}>}} EventFigures
 */

/** @param {any} summary */
export function eventNumbers({ events, thresholds }) {
  /** @type {EventFigures} */ const all = events.overall;
  const rows = /** @type {const} */ (['f1_iou30', 'recall', 'precision']).flatMap((key) => (all[key] == null ? [] : [{ name: REPORT.eventRows[key], value: all[key], low: all.ci95[key]?.[0] ?? null, high: all.ci95[key]?.[1] ?? null, main: key === 'f1_iou30' }]));
  const { right, missed, false: wrong } = all.counts.iou30;
  return [h('section.figures', h('p.big', percent(all.f1_iou30 ?? 0), h('small', REPORT.eventHeadline(right, right + missed, wrong))), scale(rows), h('p', REPORT.falseAnHour(all.false_per_hour, all.false_per_hour_upper)), h('p.how', REPORT.eventScheme(events.scheme))),
    h('section', h('h2', REPORT.classes), h('div.table-box', { tabindex: 0, role: 'region', 'aria-label': REPORT.classes }, h('table.wide', h('thead', h('tr', h('th', { scope: 'col' }, REPORT.class), h('th', { scope: 'col' }, REPORT.found), h('th', { scope: 'col' }, REPORT.right), h('th.n', { scope: 'col' }, REPORT.f1), h('th.n', { scope: 'col' }, REPORT.falseHour), h('th.n', { scope: 'col' }, REPORT.threshold))),
      h('tbody', events.classes.toSorted((/** @type {EventFigures} */ a, /** @type {EventFigures} */ b) => (a.f1_iou30 ?? 0) - (b.f1_iou30 ?? 0)).map((/** @type {EventFigures} */ one) => eventRow(one, thresholds)))))),
    events.confusions?.length > 0 && h('section', h('h2', REPORT.confusions), h('ul.pairs', events.confusions.slice(0, 20).map((/** @type {any} */ one) => h('li', label(one.label), h('span.how', REPORT.answered), label(one.answered), h('span.num', number(one.count))))))];
}

/** @param {number|null} value */
const share = (value) => (value == null ? '–' : h('span.share', { style: { '--v': value } }, percent(value)));

/** @param {number|null|undefined} value @param {number} digits */
const plain = (value, digits) => (value == null ? '–' : number(value, digits));

/** @param {EventFigures} figures @param {Object<string, number|null>} thresholds */
function eventRow({ label: name, recall, precision, f1_iou30: f1, false_per_hour: wrong }, thresholds) {
  return h('tr', h('th', { scope: 'row' }, label(name ?? '')), h('td', share(recall)), h('td', share(precision)), h('td.n', plain(f1, 2)), h('td.n', plain(wrong, 1)), h('td.n', plain(thresholds?.[name ?? ''], 2)));
}
