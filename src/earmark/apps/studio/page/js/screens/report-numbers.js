/** The number of a report: its interval, what has to be beaten, the folds, and the learning curve. */

import { h, number, percent } from '../dom.js';
import { scale } from '../parts.js';
import { REPORT } from '../texts.js';

/**
 * @typedef {{name: string, value: number, ci95: [number, number], chance: number}} Headline
 * @typedef {{clips_per_class: number, accuracy: number, low: number, high: number}} Point
 */

const SVG = 'http://www.w3.org/2000/svg';
const WIDE = 400, HIGH = 190, LEFT = 44, BOTTOM = 34, TOP = 10, RIGHT = 14; // the curve's room, in its own units

/** @param {any} summary */
export function numbers({ estimate }) {
  const { headline, baselines = [], folds = [], unknown, fine_tuning: tuning } = estimate;
  const rows = [row(REPORT.thisOne, headline, true), ...baselines.map((/** @type {any} */ other) => row(REPORT.baselines[other.name] ?? other.name, other.headline ?? { value: other.accuracy, ci95: other.ci95 })), { name: REPORT.guessing, value: headline.chance }];
  const figure = REPORT.figures[headline.name] ?? headline.name;
  return h('section.figures', h('p.big', percent(headline.value, estimate.clips < 100 ? 0 : 1), h('small', REPORT.headline(figure, headline.ci95.map((/** @type {number} */ x) => percent(x)), estimate.clips))),
    headline.name === 'balanced_accuracy' && h('p.how', REPORT.balanced(percent(estimate.accuracy, 1))), h('h3', REPORT.beaten), scale(rows), better(headline, baselines), h('p.how', REPORT.scheme(estimate.scheme)),
    unknown && unknownText(unknown), tuning && h('p', REPORT.tuned(tuning)), folds.length > 1 && foldTable(folds, headline.name));
}

/** @param {string} name @param {{value: number, ci95?: [number, number]|null}} headline @param {boolean} [main] */
const row = (name, { value, ci95 }, main = false) => ({ name, value, low: ci95?.[0] ?? null, high: ci95?.[1] ?? null, main });

/** Whether the pretrained network has helped. @param {Headline} headline @param {any[]} baselines */
function better(headline, baselines) {
  const rival = baselines.find(({ name }) => name === 'random weights');
  if (!rival?.headline) return null;
  const points = 100 * (headline.value - rival.headline.value);
  return h('p', points >= 0 ? REPORT.helped(number(points, 1)) : REPORT.hurt(number(-points, 1)));
}

/** @param {{rate: number, accepted: number, answered: number}} unknown */
const unknownText = ({ accepted, answered }) => h('div', h('h3', REPORT.unknown), h('p', REPORT.unknownText(percent(accepted, 1), percent(1 - answered))), answered < 0.7 && h('p.how', REPORT.unknownHelp));

/** @param {any[]} folds @param {string} name */
function foldTable(folds, name) {
  const rows = folds.map((fold) => ({ name: REPORT.fold(fold.fold, fold.n), value: fold[name] ?? fold.accuracy }));
  return h('details', h('summary', REPORT.folds(folds.length)), scale(rows));
}

/** Accuracy against the size of the training set, as a picture and as a table. @param {Point[]} curve */
export function curveBox(curve) {
  return curve.length > 1 && h('section.curve', h('h2', REPORT.curve), h('p.how', REPORT.curveText(gain(curve))), drawing(curve),
    h('table.hidden', h('caption', REPORT.curve), h('thead', h('tr', h('th', { scope: 'col' }, REPORT.perClass), h('th', { scope: 'col' }, REPORT.accuracy))), h('tbody', curve.map((point) => h('tr', h('td', number(point.clips_per_class)), h('td', percent(point.accuracy)))))));
}

/** What the last doubling of the recordings has brought, in points. @param {Point[]} curve */
function gain(curve) {
  const last = curve[curve.length - 1], half = curve.toReversed().find(({ clips_per_class: n }) => 2 * n <= last.clips_per_class);
  return half ? 100 * (last.accuracy - half.accuracy) : null;
}

/** @param {string} tag @param {Object<string, string|number>} props @param {...(Node|string)} kids */
function svg(tag, props, ...kids) {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(props)) element.setAttribute(key, String(value));
  element.append(...kids);
  return element;
}

/** @param {Point[]} curve */
function drawing(curve) {
  const sizes = curve.map(({ clips_per_class: n }) => Math.log2(n)), first = sizes[0], last = sizes[sizes.length - 1] || 1;
  const lowest = Math.min(0.9, Math.floor(10 * Math.min(...curve.map(({ low }) => low))) / 10);
  /** @param {number} n */
  const x = (n) => LEFT + ((Math.log2(n) - first) / (last - first || 1)) * (WIDE - LEFT - RIGHT);
  /** @param {number} share */
  const y = (share) => TOP + (1 - (share - lowest) / (1 - lowest)) * (HIGH - TOP - BOTTOM);
  /** @param {(point: Point) => number} of @param {Point[]} points */
  const line = (of, points) => points.map((point) => `${x(point.clips_per_class)},${y(of(point))}`).join(' ');
  const marks = [lowest, (lowest + 1) / 2, 1];
  return svg('svg', { viewBox: `0 0 ${WIDE} ${HIGH}`, class: 'curve-drawing', 'aria-hidden': 'true' },
    ...marks.flatMap((mark) => [svg('line', { class: 'grid', x1: LEFT, x2: WIDE - RIGHT, y1: y(mark), y2: y(mark) }), svg('text', { x: LEFT - 6, y: y(mark) + 4, 'text-anchor': 'end' }, percent(mark))]),
    svg('polygon', { class: 'band', points: `${line(({ low }) => low, curve)} ${line(({ high }) => high, curve.toReversed())}` }),
    svg('polyline', { class: 'mean', points: line(({ accuracy }) => accuracy, curve) }),
    ...curve.flatMap((point) => [svg('circle', { cx: x(point.clips_per_class), cy: y(point.accuracy), r: 3.5 }), svg('text', { x: x(point.clips_per_class), y: HIGH - BOTTOM + 16, 'text-anchor': 'middle' }, number(point.clips_per_class))]),
    svg('text', { x: (LEFT + WIDE - RIGHT) / 2, y: HIGH - 3, 'text-anchor': 'middle' }, REPORT.perClass));
}
