/** Train: few choices with good defaults, then named stages that can be left alone. */

import { get, on, post, state } from '../api.js';
import { h, put, say } from '../dom.js';
import { button, trouble } from '../parts.js';
import { TRAIN } from '../texts.js';
import { isRunning, isTaken, newest, sentenceOf } from './learning.js';
import { defaults, form, missing, plan, wanted, wrongName } from './train-choices.js';
import { runCard } from './train-run.js';

/**
 * @typedef {import('../types.js').Frame} Frame
 * @typedef {import('../types.js').Job} Job
 * @typedef {import('./train-choices.js').Offers} Offers
 */

export const title = TRAIN.title;
export const states = ['choose'];

/** @type {{chosen: import('./train-choices.js').Chosen|null}} */
const kept = { chosen: null }; // choices stay while other screens are looked at

/** The screen. @param {HTMLElement} box @param {string} wish @param {Frame} frame */
export function render(box, wish, frame) {
  const screen = new Train(box, frame);
  screen.begin(wish === 'choose');
  return { keys: (/** @type {string} */ key, /** @type {KeyboardEvent} */ event) => screen.press(key, event), update: (/** @type {string} */ name) => screen.hear(name), leave: () => screen.leave() };
}

class Train {
  /** @param {HTMLElement} box @param {Frame} frame */
  constructor(box, frame) {
    this.frame = frame;
    /** @type {Job|null} */ this.job = null;
    /** @type {ReturnType<typeof runCard>|null} */ this.card = null;
    /** @type {Offers|null} */ this.offers = null;
    /** @type {HTMLButtonElement|null} */ this.start = null;
    this.isGone = false;
    this.isStarting = false;
    this.lede = h('p.lede');
    this.actions = h('div.actions');
    this.notice = h('div.notice', { 'aria-live': 'polite' });
    this.body = h('div.train');
    put(box, h('header.head', h('div', h('h1', title), this.lede), this.actions), this.notice, this.body);
    this.off = on('job', (job) => this.heard(job));
  }

  leave() {
    this.isGone = true;
    this.off();
  }

  /** @param {boolean} wantsChoices */
  begin(wantsChoices) {
    const last = newest('train');
    if (last && (isRunning(last) || (!wantsChoices && last.state !== 'done'))) this.follow(last);
    else this.choose();
  }

  /** The folder or the jobs have changed. @param {string} name */
  hear(name) {
    if (name === 'state' && !this.card && !this.body.contains(document.activeElement)) this.showChoices();
  }

  async choose() {
    this.card = this.job = null;
    try {
      this.offers = /** @type {Offers} */ (await get('/api/choices'));
    } catch (error) { this.showTrouble(sentenceOf(error)); return; }
    if (this.isGone) return;
    kept.chosen ??= defaults(this.offers);
    if (wrongName(kept.chosen.name, state().models)) kept.chosen.name = this.offers.name;
    this.showChoices();
  }

  showChoices() {
    const { offers } = this, chosen = kept.chosen;
    if (!offers || !chosen || this.isGone) return;
    this.lede.textContent = TRAIN.lede;
    this.start = button(TRAIN.start, { primary: true, key: 'Enter', onclick: () => this.begun() });
    this.actions.replaceChildren(this.start);
    const isPossible = this.showMissing();
    this.body.replaceChildren(...(state().classes.length ? [plan()] : []), ...(isPossible ? [form(offers, chosen, () => this.changed())] : []));
    this.changed();
    this.warn();
  }

  /** Say what a training lacks; true if it lacks nothing. */
  showMissing() {
    const { classes, few } = missing();
    this.notice.replaceChildren();
    if (!classes && !few.length) return true;
    const steps = [classes ? TRAIN.moreClasses(classes) : '', ...few.map(({ name, more }) => TRAIN.moreOf(more, name))].filter(Boolean);
    this.notice.replaceChildren(trouble('note', TRAIN.notYet, TRAIN.notYetText, h('ul.lacks', steps.map((step) => h('li', step))), button(TRAIN.record, { primary: true, sign: 'mic', go: '#/data' })));
    this.start?.setAttribute('disabled', '');
    return false;
  }

  /** Warn of errors that the doctor has found and that are still there. */
  async warn() {
    const last = newest('doctor');
    if (last?.state !== 'done' || this.notice.childElementCount) return;
    const { result } = await get(`/api/jobs/${last.id}`).catch(() => ({})), errors = (result?.findings ?? []).filter((/** @type {{severity: string}} */ { severity }) => severity === 'error').length;
    if (errors && !this.isGone && !this.card) this.notice.replaceChildren(trouble('warn', TRAIN.errors(errors), TRAIN.errorsText, button(TRAIN.askDoctor, { go: '#/doctor' })));
  }

  changed() {
    if (!kept.chosen) return;
    const why = wrongName(kept.chosen.name, state().models), lacks = missing();
    this.start?.toggleAttribute('disabled', Boolean(why || lacks.classes || lacks.few.length || this.isStarting));
    if (!why) this.frame.command({ kind: 'train', choices: wanted(kept.chosen) });
  }

  async begun() {
    if (this.isStarting || !kept.chosen) return;
    this.isStarting = true;
    this.changed();
    try {
      const job = await post('/api/jobs', { kind: 'train', choices: wanted(kept.chosen) });
      kept.chosen = null;
      say(TRAIN.hasBegun);
      if (!this.isGone) this.follow(job);
    } catch (error) { this.showTrouble(sentenceOf(error)); }
    this.isStarting = false;
    if (kept.chosen) this.changed();
  }

  /** @param {Job} job */
  follow(job) {
    this.job = job;
    this.lede.textContent = TRAIN.runningLede;
    this.actions.replaceChildren();
    this.notice.replaceChildren();
    this.card = runCard(job, { again: () => this.choose(), onTrouble: (sentence) => this.showTrouble(sentence) });
    this.body.replaceChildren(this.card.box, this.meanwhile());
    this.frame.command(job.command);
    this.body.querySelector('h2')?.focus();
  }

  /** What can be done while it runs. */
  meanwhile() {
    const { unlabelled } = state().counts;
    return h('section.meanwhile.row.between', h('p', h('b', TRAIN.meanwhile), ' ', h('span.how', unlabelled ? TRAIN.unlabelled(unlabelled) : TRAIN.meanwhileText)), button(unlabelled ? TRAIN.labelThem : TRAIN.toData, { go: '#/data' }));
  }

  /** @param {Job} job */
  heard(job) {
    if (this.job?.id !== job.id) return;
    this.card?.set(job);
    if (job.state === 'done') location.hash = `/report/${encodeURIComponent(job.choices.name)}`;
  }

  /** @param {string} sentence */
  showTrouble(sentence) {
    if (!this.isGone) this.notice.replaceChildren(trouble('error', TRAIN.refused, sentence, button(TRAIN.tryAgain, { onclick: () => (this.card ? this.notice.replaceChildren() : this.choose()) })));
  }

  /** @param {string} key @param {KeyboardEvent} event */
  press(key, event) {
    if (key !== 'Enter' || isTaken(event) || this.card || !this.start || this.start.disabled) return false;
    this.begun();
    return true;
  }
}
