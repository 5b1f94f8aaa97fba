/** All classifiers of the folder side by side: one list to sort, all intervals on one scale. */

import { date, h, icon, number, percent } from '../dom.js';
import { chip } from '../parts.js';
import { REPORT } from '../texts.js';

/**
 * @typedef {{name: string, bytes: number, trained_at: string|null, error: string|null, labels: string[]|null, n_clips: number|null, backbones: string[], head: string, accuracy: number|null, balanced_accuracy: number|null,
 *   interval: [number, number]|null, headline: {name: string, value: number|null, ci95?: [number, number]|null}|null, verdict: {word: 'use'|'care'|'worthless', sentences: string[]}|null,
 *   has_report: boolean, is_detector: boolean, has_unknown: boolean, changed: boolean|null}} Model
 * @typedef {{key: string, name: string, of: (model: Model) => number|string, isNumber?: boolean}} Column
 */

const WORTH = { use: 2, care: 1, worthless: 0 };

/** @type {Column[]} */
const COLUMNS = [
  { key: 'name', name: REPORT.columns.name, of: ({ name }) => name.toLowerCase() },
  { key: 'verdict', name: REPORT.columns.verdict, of: ({ verdict }) => (verdict ? WORTH[verdict.word] : -1) },
  { key: 'value', name: REPORT.columns.value, of: (model) => valueOf(model) ?? -1 },
  { key: 'data', name: REPORT.columns.data, of: ({ n_clips: n }) => n ?? 0, isNumber: true },
  { key: 'trained', name: REPORT.columns.trained, of: ({ trained_at: at }) => Date.parse(at ?? '') || 0 },
  { key: 'size', name: REPORT.columns.size, of: ({ bytes }) => bytes, isNumber: true },
];

/** @param {Model} model */
const valueOf = ({ headline, balanced_accuracy: balanced, accuracy }) => headline?.value ?? balanced ?? accuracy;

const kept = { key: 'trained', isUp: false }; // the order stays while other reports are looked at

/** @param {Model[]} all @param {string} here the classifier whose report is shown */
export function models(all, here) {
  const body = h('tbody'), headings = COLUMNS.map(({ key, name, isNumber }) => h('th', { scope: 'col', class: isNumber ? 'n' : '', 'data-key': key }, h('button.sort', { type: 'button', onclick: () => order(key) }, name, icon('next'))));
  /** @param {string} key */
  const order = (key) => {
    kept.isUp = kept.key === key ? !kept.isUp : key === 'name';
    kept.key = key;
    show();
  };
  const show = () => {
    const { of } = COLUMNS.find(({ key }) => key === kept.key) ?? COLUMNS[0], way = kept.isUp ? 1 : -1;
    const sorted = all.toSorted((a, b) => (of(a) < of(b) ? -way : of(a) > of(b) ? way : 0));
    for (const th of headings) { if (th.dataset.key === kept.key) th.setAttribute('aria-sort', kept.isUp ? 'ascending' : 'descending'); else th.removeAttribute('aria-sort'); }
    body.replaceChildren(...sorted.map((model) => modelRow(model, model.name === here)));
  };
  show();
  return h('section', h('h2', REPORT.all(all.length)), h('div.table-box', { tabindex: 0, role: 'region', 'aria-label': REPORT.all(all.length) }, h('table.wide.models', h('caption.hidden', REPORT.all(all.length)), h('thead', h('tr', headings)), body)), h('p.how', REPORT.allText));
}

/** @param {Model} model @param {boolean} isHere */
function modelRow(model, isHere) {
  const { name, verdict, n_clips: n, labels, bytes, trained_at: at, is_detector: isDetector, changed, error } = model;
  return h('tr', { class: isHere ? 'chosen' : '' }, h('th', { scope: 'row' }, h('a', { href: `#/report/${encodeURIComponent(name)}`, 'aria-current': isHere && 'page' }, name), h('small', [isDetector ? REPORT.detector : '', changed ? REPORT.isStale : '', error ?? ''].filter(Boolean).join(', '))),
    h('td', verdict ? chip(verdict.word) : '–'), h('td', interval(model)), h('td.n', n == null ? '–' : REPORT.learned(n, labels?.length ?? 0)), h('td', at ? date(at) : '–'), h('td.n', size(bytes)));
}

/** @param {Model} model */
function interval(model) {
  const value = valueOf(model), range = model.headline?.ci95 ?? model.interval;
  if (value == null) return '–';
  return h('span.interval', h('span.mini', { 'aria-hidden': 'true' }, range && h('i.span', { style: { left: `${100 * range[0]}%`, width: `${100 * (range[1] - range[0])}%` } }), h('i.dot', { style: { left: `${100 * value}%` } })),
    h('span.num', range ? REPORT.interval(percent(value), percent(range[0]), percent(range[1])) : percent(value)), model.headline && h('small', REPORT.short[model.headline.name] ?? model.headline.name));
}

/** @param {number} bytes */
const size = (bytes) => (bytes < 1e6 ? `${number(bytes / 1e3)} kB` : `${number(bytes / 1e6, 1)} MB`);
