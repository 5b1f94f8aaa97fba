/** Review: one suspicious label at a time, with the clips that sound most alike. */

import { get, on, post, state } from '../api.js';
import { h, put, say } from '../dom.js';
import { button, empty, trouble } from '../parts.js';
import { REVIEW } from '../texts.js';
import { capital, isRunning, isTaken, newest, progressLine, sentenceOf } from './learning.js';
import { question } from './review-question.js';
import { queue } from './review-queue.js';

/**
 * @typedef {import('./learning.js').Printed} Printed
 * @typedef {import('../types.js').Frame} Frame
 * @typedef {import('../types.js').Job} Job
 * @typedef {{row: number, clip: Printed, suggested: string|null, evidence: number|null, reason: string|null, neighbours: (Printed & {similarity: number})[], decision: string}} Suspect
 * @typedef {{name: string, model: string|null, command: string, verdict: {word: string, why: string}|null, suspects: Suspect[]}} Found
 */

export const title = REVIEW.title;

const WORDS = new Set(['keep', 'relabel', 'drop']); // decisions that are no names of classes

const APPLIED = 'reviews-applied'; // in the storage of the session: reviews whose decisions were applied, and the sentence of the change

/** @returns {Object<string, string>} */
const applied = () => JSON.parse(sessionStorage.getItem(APPLIED) ?? '{}');

/** Remember that a review was applied, or that it was taken back. @param {string} name @param {string} [said] */
function remember(name, said) {
  const all = applied();
  if (said) all[name] = said; else delete all[name];
  sessionStorage.setItem(APPLIED, JSON.stringify(all));
}

/** The screen. @param {HTMLElement} box @param {string} name of a review; the newest one without @param {Frame} frame */
export function render(box, name, frame) {
  const screen = new Review(box, name, frame);
  queueMicrotask(() => screen.begin()); // the frame shows its own command first
  return { keys: (/** @type {string} */ key, /** @type {KeyboardEvent} */ event) => screen.press(key, event), update: (/** @type {string} */ name) => { if (name === 'state') screen.look(); }, leave: () => screen.leave() };
}

class Review {
  /** @param {HTMLElement} box @param {string} name @param {Frame} frame */
  constructor(box, name, frame) {
    this.name = name;
    this.frame = frame;
    /** @type {Job|null} */ this.job = null;
    /** @type {Found|null} */ this.found = null;
    /** @type {{row: number, before: string}[]} */ this.past = [];
    /** @type {ReturnType<typeof progressLine>|null} */ this.progress = null;
    this.at = 0;
    this.isGone = false;
    this.saving = Promise.resolve();
    this.actions = h('div.actions');
    this.notice = h('div.notices', { 'aria-live': 'polite' });
    this.body = h('div.review');
    this.spoken = h('p.hidden', { role: 'status' });
    put(box, h('header.head', h('div', h('h1', title), h('p.lede', REVIEW.lede)), this.actions), this.notice, this.body, this.spoken);
    this.off = on('job', (job) => this.heard(job));
    this.back = (/** @type {KeyboardEvent} */ event) => this.turnBack(event);
    addEventListener('keydown', this.back, true);
  }

  leave() {
    this.isGone = true;
    this.off();
    removeEventListener('keydown', this.back, true);
  }

  async begin() {
    try {
      const last = newest('review'), names = /** @type {string[]} */ (await get('/api/reviews'));
      if (this.isGone) return;
      if (!this.name && last && isRunning(last)) this.follow(last);
      else if (this.name || names.length) await this.read(this.name || names[0]);
      else this.showStart();
    } catch (error) { this.showTrouble(sentenceOf(error)); }
  }

  /** The change of an applied review may have been taken back. */
  look() {
    const said = this.found && applied()[this.found.name];
    if (!said || bare(state().redo ?? '') !== bare(said) || !this.found) return;
    remember(this.found.name);
    this.show();
  }

  // ---- looking for suspects ----

  async start() {
    try {
      const { can_train: isPossible, reason, defaults: { group, folds } } = await get('/api/choices');
      if (!isPossible) { this.showTrouble(reason); return; }
      this.follow(await post('/api/jobs', { kind: 'review', choices: { ...(group && { group }), ...(folds && { folds }) } }));
    } catch (error) { this.showTrouble(sentenceOf(error)); }
  }

  /** @param {Job} job */
  follow(job) {
    if (this.isGone) return;
    this.job = job;
    this.progress = progressLine(REVIEW.looking(state().counts.labelled), job);
    this.actions.replaceChildren();
    this.body.replaceChildren();
    this.notice.replaceChildren(this.progress.box);
    this.frame.command(job.command);
    if (!isRunning(job)) this.heard(job);
  }

  /** @param {Job} job */
  heard(job) {
    if (this.job?.id !== job.id) return;
    if (isRunning(job)) { this.progress?.set(job); return; }
    this.job = null;
    if (job.state === 'done') location.hash = `/review/${encodeURIComponent(job.choices.name)}`;
    else if (job.state === 'stopped') this.showStart();
    else this.showTrouble(capital(job.error));
  }

  /** @param {string} name */
  async read(name) {
    this.found = /** @type {Found} */ (await get(`/api/reviews/${encodeURIComponent(name)}`));
    if (this.isGone) return;
    const open = this.found.suspects.findIndex(({ decision }) => !decision);
    this.at = Math.max(0, open);
    this.frame.command(this.found.command);
    this.show();
  }

  // ---- deciding ----

  /** @param {string} what keep, drop, relabel or a class */
  decide(what) {
    const { found } = this, now = found?.suspects[this.at];
    if (!found || !now) return;
    const { label } = now.clip, wanted = what === label ? 'keep' : what === now.suggested ? 'relabel' : what;
    this.past.push({ row: now.row, before: now.decision });
    now.decision = wanted;
    this.save(now.row, wanted);
    say(REVIEW.said(wanted, now.clip.label ?? '', now.suggested ?? ''));
    const { suspects } = found, open = [...suspects.keys()].map((k) => (this.at + 1 + k) % suspects.length).find((k) => !suspects[k].decision);
    if (open != null) this.at = open;
    this.show();
  }

  /** Decisions are saved one after the other, as they were made. @param {number} row @param {string} decision */
  save(row, decision) {
    const path = `/api/reviews/${encodeURIComponent(this.found?.name ?? '')}/decide`;
    this.saving = this.saving.then(() => post(path, { row, decision })).catch((error) => {
      const suspect = this.found?.suspects.find((one) => one.row === row);
      if (suspect) suspect.decision = '';
      this.show();
      this.notice.replaceChildren(trouble('error', REVIEW.notSaved, sentenceOf(error)));
    });
  }

  undo() {
    const last = this.past.pop(), suspects = this.found?.suspects ?? [];
    if (!last) return false;
    this.at = Math.max(0, suspects.findIndex(({ row }) => row === last.row));
    suspects[this.at].decision = last.before;
    this.save(last.row, last.before);
    say(REVIEW.undone);
    this.show();
    return true;
  }

  /** Ctrl Z takes back a decision before it takes back a change of the folder. @param {KeyboardEvent} event */
  turnBack(event) {
    if (!(event.ctrlKey || event.metaKey) || event.shiftKey || event.key.toLowerCase() !== 'z' || isTyping(event) || !this.undo()) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  /** @param {number} step */
  move(step) {
    const n = this.found?.suspects.length ?? 0;
    if (!n) return;
    this.at = (this.at + step + n) % n;
    this.show();
  }

  /** @param {string} key @param {KeyboardEvent} event */
  press(key, event) {
    const now = this.found?.suspects[this.at];
    if (!now || this.job) return false;
    const picked = state().classes[Number(key) - 1];
    if (picked) this.pick(picked.name);
    else if (key === 'k') this.decide('keep');
    else if (key === 'x') this.decide('drop');
    else if (key === 'u') this.undo();
    else if (key === 'ArrowDown' || key === 'ArrowRight') this.move(1);
    else if (key === 'ArrowUp' || key === 'ArrowLeft') this.move(-1);
    else if (isTaken(event)) return false;
    else if (key === ' ') /** @type {HTMLElement|null} */ (this.body.querySelector('.tile.big .listen'))?.click();
    else if (key === 'Enter' && now.suggested) this.decide('relabel');
    else return false;
    return true;
  }

  /** Give the label of a class. @param {string} name */
  pick(name) {
    const now = this.found?.suspects[this.at];
    if (now && WORDS.has(name) && name !== now.clip.label && name !== now.suggested) say(REVIEW.reserved(name));
    else this.decide(name);
  }

  // ---- what is shown ----

  show() {
    const { found } = this;
    if (!found || this.isGone) return;
    const { suspects, verdict } = found, decided = suspects.filter(({ decision }) => decision).length, isAll = decided === suspects.length;
    this.notice.replaceChildren(...(verdict?.word === 'worthless' ? [trouble('warn', REVIEW.weak, REVIEW.weakText(verdict.why), button(REVIEW.askDoctor, { go: '#/doctor' }))] : []));
    if (!suspects.length) { this.showClean(); return; }
    if (applied()[found.name]) { this.showApplied(); return; }
    const held = this.body.contains(document.activeElement) && document.activeElement?.closest('.suspect, .queue');
    this.actions.replaceChildren(h('span.num', REVIEW.progress(decided, suspects.length)), button(REVIEW.undo, { sign: 'undo', quiet: true, key: 'U', onclick: () => this.undo() }), ...(isAll ? [] : [button(REVIEW.apply(decided), { disabled: !decided, onclick: () => this.apply() })]));
    this.actions.querySelector('.quiet')?.toggleAttribute('disabled', !this.past.length);
    const list = queue(suspects, this.at, (k) => this.open(k)), now = suspects[this.at];
    const stage = [isAll && this.summary(decided), question(now, (what) => this.pickOr(what))];
    this.body.replaceChildren(h('div.with-queue', list, h('div.suspect', stage)));
    this.spoken.textContent = REVIEW.now(this.at + 1, suspects.length, now.clip.label ?? '', now.suggested);
    const current = /** @type {HTMLElement|null} */ (list.querySelector('[aria-current]'));
    if (current) list.scrollTo(current.offsetLeft - list.clientWidth / 3, current.offsetTop - list.clientHeight / 3);
    if (held) (held.matches('.queue') ? current : /** @type {HTMLElement|null} */ (this.body.querySelector('.question')))?.focus({ preventScroll: true });
  }

  /** A suspect was chosen in the queue: Enter is then for its question. @param {number} k */
  open(k) {
    this.at = k;
    this.show();
    /** @type {HTMLElement|null} */ (this.body.querySelector('.question'))?.focus({ preventScroll: true });
  }

  /** @param {string} what */
  pickOr(what) {
    if (WORDS.has(what)) this.decide(what); else this.pick(what);
  }

  /** All are decided, and nothing is changed yet. @param {number} decided */
  summary(decided) {
    const of = (/** @type {(decision: string) => boolean} */ is) => this.found?.suspects.filter(({ decision }) => is(decision)).length ?? 0;
    const kept = of((decision) => decision === 'keep'), dropped = of((decision) => decision === 'drop');
    return h('section.all-decided', h('h2', REVIEW.allDecided), h('p', REVIEW.summary(decided - kept - dropped, kept, dropped)), h('div.row', button(REVIEW.apply(decided), { primary: true, onclick: () => this.apply() })));
  }

  async apply() {
    const { found } = this;
    if (!found) return;
    try {
      await this.saving;
      const { said } = await post(`/api/reviews/${encodeURIComponent(found.name)}/apply`);
      remember(found.name, said);
      this.past = [];
      say(said);
      this.show();
    } catch (error) { this.notice.replaceChildren(trouble('error', REVIEW.notApplied, sentenceOf(error), button(REVIEW.again, { onclick: () => this.start() }))); }
  }

  showApplied() {
    this.actions.replaceChildren();
    this.body.replaceChildren(empty(REVIEW.applied, REVIEW.appliedText, button(REVIEW.train, { primary: true, go: '#/train/choose' }), button(REVIEW.undoAll, { sign: 'undo', onclick: () => this.undoAll() }), button(REVIEW.again, { quiet: true, onclick: () => this.start() })));
  }

  async undoAll() {
    try {
      const { said } = await post('/api/undo');
      if (this.found) remember(this.found.name);
      say(said);
      this.show();
    } catch (error) { this.showTrouble(sentenceOf(error)); }
  }

  showClean() {
    this.actions.replaceChildren();
    this.body.replaceChildren(empty(REVIEW.clean, REVIEW.cleanText, button(REVIEW.train, { primary: true, go: '#/train/choose' }), button(REVIEW.again, { onclick: () => this.start() })));
  }

  showStart() {
    this.found = null;
    this.actions.replaceChildren();
    this.notice.replaceChildren();
    this.frame.command({ kind: 'review', choices: {} });
    const isPossible = state().classes.length >= 2;
    this.body.replaceChildren(isPossible ? empty(REVIEW.begin, REVIEW.beginText, button(REVIEW.start, { primary: true, onclick: () => this.start() })) : empty(REVIEW.nothing, REVIEW.nothingText, button(REVIEW.toData, { primary: true, go: '#/data' })));
  }

  /** @param {string} sentence */
  showTrouble(sentence) {
    if (this.isGone) return;
    this.notice.replaceChildren(trouble('error', REVIEW.failed, sentence, button(REVIEW.again, { onclick: () => this.start() }), button(REVIEW.toData, { quiet: true, go: '#/data' })));
    if (!this.found) this.body.replaceChildren();
  }
}

/** A sentence without its full stop. @param {string} sentence */
const bare = (sentence) => sentence.replace(/\.+$/, '');

/** @param {Event} event */
const isTyping = (event) => event.target instanceof Element && event.target.closest('input, textarea, select, dialog') != null;
