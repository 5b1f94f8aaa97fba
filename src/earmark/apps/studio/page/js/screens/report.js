/** Report: a verdict with its reason, the number with its interval, and what to do about it. */

import { get, state } from '../api.js';
import { date, h, icon, put } from '../dom.js';
import { button, coded, empty, placeOf, trouble } from '../parts.js';
import { REPORT } from '../texts.js';
import { capital, sentenceOf } from './learning.js';
import { classTable } from './report-classes.js';
import { confusions, surest } from './report-confusions.js';
import { eventNumbers } from './report-events.js';
import { models } from './report-models.js';
import { curveBox, numbers } from './report-numbers.js';

/**
 * @typedef {import('../types.js').Frame} Frame
 * @typedef {import('./report-models.js').Model} Model
 * @typedef {import('./report-confusions.js').Answer} Answer
 */

export const title = REPORT.title;

/** @type {Object<string, string>} */
const SIGNS = { use: 'check', care: 'warn', worthless: 'error' };

/** The screen. @param {HTMLElement} box @param {string} name of a classifier; the newest one without @param {Frame} frame */
export function render(box, name, frame) {
  const screen = new Report(box, name, frame);
  queueMicrotask(() => screen.read()); // the frame shows its own command first
  return { update: (/** @type {string} */ event) => { if (event === 'models') screen.read(); else if (event === 'state') screen.look(); }, leave: () => { screen.isGone = true; } };
}

class Report {
  /** @param {HTMLElement} box @param {string} name @param {Frame} frame */
  constructor(box, name, frame) {
    this.box = box;
    this.frame = frame;
    this.name = name;
    this.isGone = false;
    this.turn = 0;
    this.shown = ''; // the classifier whose report is shown
    /** @type {HTMLElement|null} */ this.stale = null;
    this.version = -1;
  }

  async read() {
    const turn = ++this.turn;
    try {
      /** @type {Model[]} */ const all = await get('/api/models');
      if (turn !== this.turn || this.isGone) return;
      const model = all.find(({ name }) => name === this.name) ?? (this.name ? null : newestOf(all));
      if (!model) { this.showNone(all); return; }
      const path = `/api/models/${encodeURIComponent(model.name)}`;
      const [summary, answers] = model.has_report ? await Promise.all([get(`${path}/summary`), model.is_detector ? null : get(`${path}/answers?count=1000`).catch(() => null)]) : [null, null];
      if (turn !== this.turn || this.isGone) return;
      this.version = state().version;
      this.show(model, all, summary, answers?.mistakes ?? []);
    } catch (error) {
      if (!this.isGone) this.box.replaceChildren(h('h1', title), trouble('error', REPORT.unread, sentenceOf(error), button(REPORT.tryAgain, { onclick: () => this.read() })));
    }
  }

  /** The folder has changed: the note that says so may be due. */
  async look() {
    if (state().version === this.version || !this.stale) return;
    this.version = state().version;
    /** @type {Model[]} */ const all = await get('/api/models').catch(() => []);
    const model = all.find(({ name }) => name === this.shown);
    if (model && !this.isGone) this.stale.replaceChildren(...staleNote(model));
  }

  /** @param {Model[]} all */
  showNone(all) {
    const isLost = Boolean(this.name);
    this.box.replaceChildren();
    put(this.box, h('h1', title), empty(isLost ? REPORT.lost(this.name) : REPORT.none, isLost ? REPORT.lostText : REPORT.noneText, button(REPORT.train, { primary: true, go: '#/train/choose' })), all.length > 0 && models(all, ''));
  }

  /** @param {Model} model @param {Model[]} all @param {any} summary @param {Answer[]} answers */
  show(model, all, summary, answers) {
    this.shown = model.name;
    this.stale = h('div.notices', { 'aria-live': 'polite' }, staleNote(model));
    const estimate = summary?.estimate, events = summary?.events, isWorthless = model.verdict?.word === 'worthless';
    this.box.replaceChildren();
    put(this.box, top(model, isWorthless), this.stale, verdict(model, summary));
    if (model.error) put(this.box, trouble('error', REPORT.damaged, model.error));
    else if (!summary) put(this.box, trouble('note', REPORT.noReport, REPORT.noReportText, button(REPORT.trainAgain, { go: '#/train/choose' })));
    if (events) put(this.box, eventNumbers(summary));
    if (estimate) {
      const isSingle = !('map' in estimate), errors = answers.filter(({ label, answer }) => label !== answer);
      put(this.box, h('div.two.numbers', numbers(summary), h('div.stack', isSingle && confusions(inOrder(summary.labels), estimate.classes, answers), curveBox(estimate.learning_curve ?? []))),
        classTable(estimate.classes, errors), isSingle && errors.length > 0 && surest(errors, model.name), remarks(summary));
    }
    put(this.box, models(all, model.name));
    const job = state().jobs.find(({ kind, choices }) => kind === 'train' && choices.name === model.name);
    this.frame.command(job?.command ?? { kind: 'train', choices: { name: model.name } });
  }
}

/** @param {Model[]} all */
const newestOf = (all) => all.toSorted((a, b) => Date.parse(b.trained_at ?? '') - Date.parse(a.trained_at ?? ''))[0];

/** Classes in the order of the folder, so that keys and colours follow each other. @param {string[]} labels */
const inOrder = (labels) => labels.toSorted((a, b) => (placeOf(a) + 1 || Infinity) - (placeOf(b) + 1 || Infinity) || a.localeCompare(b));

/** @param {Model} model @param {boolean} isWorthless */
function top(model, isWorthless) {
  const { name, trained_at: at, n_clips: clips, labels, has_report: hasReport, error } = model;
  return h('header.head', h('div', h('h1', name), h('p.lede', REPORT.lede(at ? date(at) : '', clips, labels?.length ?? 0))), h('div.actions',
    hasReport && button(REPORT.whole, { sign: 'file', go: `/reports/${encodeURIComponent(name)}/report.html`, target: '_blank', rel: 'noopener' }),
    !error && (isWorthless ? button(REPORT.askDoctor, { primary: true, go: '#/doctor' }) : button(REPORT.live, { primary: true, go: `#/try/${encodeURIComponent(name)}` }))));
}

/** @param {Model} model */
const staleNote = ({ changed }) => (changed ? [h('p.stale', icon('note'), h('span', REPORT.stale), button(REPORT.trainAgain, { quiet: true, go: '#/train/choose' }))] : []);

/** The verdict before any number, its reason, and what helps. @param {Model} model @param {any} summary */
function verdict(model, summary) {
  const given = summary?.estimate?.verdict ?? summary?.events?.verdict, word = model.verdict?.word ?? given?.word;
  if (!word) return null;
  const sentences = model.verdict?.sentences?.length ? model.verdict.sentences : [given?.why ?? ''];
  const helps = REPORT.helps[word] ?? [];
  return h('section', { class: `verdict ${word}`, 'aria-labelledby': 'verdict-word' }, h('div.verdict-word', icon(SIGNS[word] ?? 'note'), h('h2#verdict-word', REPORT.words[word])),
    h('div.why', sentences.filter(Boolean).map((sentence) => h('p', capital(sentence)))), h('div.row', helps.map(([text, go]) => button(text, { go }))));
}

/** What to distrust, and what could not be read. @param {any} summary */
function remarks({ warnings = [], skipped = [], notes = [] }) {
  const lines = [...warnings, ...skipped.map((/** @type {{reason: string}} */ { reason }) => reason), ...notes];
  return lines.length > 0 && h('section', h('h2', REPORT.remarks), h('ul.remarks', lines.slice(0, 50).map((line) => h('li', icon('note'), h('span', coded(line))))));
}
