/** What is taken for what: a map of labels and answers whose cells play their clips. */

import { get, query } from '../api.js';
import { h, number, put } from '../dom.js';
import { button, ear, label, tile } from '../parts.js';
import { REPORT } from '../texts.js';
import { clipOf } from './learning.js';

/**
 * @typedef {import('./learning.js').Printed & {label: string, answer: string, score: number|null}} Answer
 * @typedef {import('./report-classes.js').ClassFigures} ClassFigures
 */

const MOST_CLASSES = 50; // with more, the most frequent confusions are listed instead
const MOST_PAIRS = 30;
const SHOWN = 12; // clips that are shown at first
const MOST_RIGHT = 100; // right clips of a class that are listed
const MORE = 48; // clips that "more" adds

/** @param {Answer} answer */
const tileOf = (answer) => tile(clipOf(answer), { note: answer.score == null ? '' : number(answer.score, 2) });

/** @param {string[]} labels @param {ClassFigures[]} classes @param {Answer[]} answers */
export function confusions(labels, classes, answers) {
  const counts = countsOf(labels, classes, answers), panel = h('div.cell-clips', { role: 'region', 'aria-live': 'polite', 'aria-label': REPORT.cellClips });
  /** @param {string} of @param {string} answer */
  const show = async (of, answer) => {
    const isHit = of === answer, n = counts.get(of)?.get(answer) ?? 0;
    panel.replaceChildren(h('h3', isHit ? REPORT.rightCell(n, of) : REPORT.wrongCell(n, of, answer)));
    const clips = isHit ? await rightOnes(of, answers) : answers.filter((one) => one.label === of && one.answer === answer);
    put(panel, clips.length ? clipList(clips) : h('p.how', REPORT.notListed));
  };
  if (labels.length > MOST_CLASSES) return h('section.confusions', h('h2', REPORT.confusions), h('p.how', REPORT.tooMany(labels.length)), pairs(labels, counts, show), panel);
  return h('section.confusions', h('h2', REPORT.confusions), h('p.how', REPORT.confusionsText), matrix(labels, counts, show), panel);
}

/** The clips of a class that no mistake names. @param {string} name @param {Answer[]} mistakes @returns {Promise<Answer[]>} */
async function rightOnes(name, mistakes) {
  const wrong = new Set(mistakes.map(({ id }) => id)), { clips } = await get(`/api/clips${query({ label: name, count: MOST_RIGHT })}`).catch(() => ({ clips: [] }));
  return clips.filter((/** @type {Answer} */ { id }) => !wrong.has(id)).map((/** @type {Answer} */ clip) => Object.assign(clip, { label: name, answer: name, score: null }));
}

/** Clips by label, then by answer; right ones that are not listed are counted from the recall. @param {string[]} labels @param {ClassFigures[]} classes @param {Answer[]} answers */
function countsOf(labels, classes, answers) {
  /** @type {Map<string, Map<string, number>>} */
  const counts = new Map(labels.map((name) => [name, new Map()]));
  for (const { label: of, answer } of answers) counts.get(of)?.set(answer, (counts.get(of)?.get(answer) ?? 0) + 1);
  for (const { label: of, n, recall } of classes) counts.get(of)?.set(of, Math.round(n * recall));
  return counts;
}

/**
 * @param {string[]} labels @param {Map<string, Map<string, number>>} counts @param {(of: string, answer: string) => void} show
 */
function matrix(labels, counts, show) {
  const answers = [...labels, ...(labels.some((of) => counts.get(of)?.get('unknown')) ? ['unknown'] : [])];
  const table = h('table.matrix', { class: answers.length > 12 ? 'many' : '' }, h('caption.hidden', REPORT.confusions), h('thead', h('tr', h('td'), answers.map((name) => h('th', { scope: 'col', title: name }, ear(name), h('span.hidden', name))))),
    h('tbody', labels.map((of) => {
      const row = counts.get(of) ?? new Map(), sum = [...row.values()].reduce((a, b) => a + b, 0) || 1;
      return h('tr', h('th', { scope: 'row', title: of }, h('span.name', of), ear(of)), answers.map((answer) => h('td', cell(row.get(answer) ?? 0, sum, of, answer, () => show(of, answer)))));
    })));
  rove(table);
  return h('div.table-box', table);
}

/** @param {number} count @param {number} sum @param {string} of @param {string} answer @param {() => void} show */
function cell(count, sum, of, answer, show) {
  const isHit = of === answer;
  if (!count) return h('span.none', h('span', { 'aria-hidden': 'true' }, '·'), h('span.hidden', '0'));
  return h('button', { type: 'button', tabindex: -1, class: isHit ? 'hit' : 'miss', style: { '--a': Math.sqrt(count / sum) }, 'aria-label': REPORT.cell(count, of, answer), onclick: show }, number(count));
}

/** One stop of Tab for a table; arrows move among its buttons. @param {HTMLTableElement} table */
function rove(table) {
  const all = () => /** @type {HTMLButtonElement[]} */ ([...table.querySelectorAll('button')]);
  const first = table.querySelector('button.miss') ?? table.querySelector('button');
  first?.setAttribute('tabindex', '0');
  /** @param {HTMLButtonElement|undefined} to */
  const move = (to) => { if (to) { for (const one of all()) one.tabIndex = -1; to.tabIndex = 0; to.focus(); } };
  table.addEventListener('focusin', ({ target }) => { if (target instanceof HTMLButtonElement) { for (const one of all()) one.tabIndex = -1; target.tabIndex = 0; } });
  table.addEventListener('keydown', (event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key], at = /** @type {HTMLElement} */ (event.target).closest('td');
    if (!step || !at) return;
    event.preventDefault();
    event.stopPropagation();
    let row = /** @type {HTMLTableRowElement} */ (at.parentElement).rowIndex, column = at.cellIndex;
    for (row += step[0], column += step[1]; table.rows[row]?.cells[column]; row += step[0], column += step[1]) {
      const found = table.rows[row].cells[column].querySelector('button');
      if (found) { move(found); return; }
    }
  });
}

/** The most frequent confusions as a list. @param {string[]} labels @param {Map<string, Map<string, number>>} counts @param {(of: string, answer: string) => void} show */
function pairs(labels, counts, show) {
  const all = labels.flatMap((of) => [...counts.get(of) ?? []].filter(([answer]) => answer !== of).map(([answer, n]) => ({ of, answer, n }))).toSorted((a, b) => b.n - a.n);
  return h('ul.pairs', all.slice(0, MOST_PAIRS).map(({ of, answer, n }) => h('li', h('button.button', { type: 'button', onclick: () => show(of, answer) }, label(of), h('span.how', REPORT.answered), label(answer), h('span.num', number(n))))));
}

/** @param {Answer[]} clips */
function clipList(clips) {
  const list = h('div.tiles'), rest = h('div');
  let shown = 0;
  const add = (/** @type {number} */ n) => {
    put(list, clips.slice(shown, shown + n).map(tileOf));
    shown += n;
    rest.replaceChildren(...(shown < clips.length ? [button(REPORT.more(clips.length - shown), { quiet: true, onclick: () => add(MORE) })] : []));
  };
  add(SHOWN);
  return h('div', list, rest);
}

/** Mistakes with the highest scores. @param {Answer[]} errors @param {string} model */
export function surest(errors, model) {
  const worst = errors.toSorted((a, b) => (b.score ?? 0) - (a.score ?? 0)).slice(0, SHOWN);
  return h('section', h('div.row.between', h('div', h('h2', REPORT.surest), h('p.how', REPORT.surestText)), button(REPORT.toReview, { sign: 'review', go: '#/review', 'data-model': model })),
    h('div.tiles', worst.map((error) => h('div.mistake', tile(clipOf(error), { note: '' }), h('p', h('span', REPORT.labelled), label(error.label)), h('p', h('span', REPORT.answered), label(error.answer), error.score != null && h('span.num', number(error.score, 2)))))));
}
