/** Train: few choices with good defaults, then named stages that can be left alone. */

import { get, on, post, state } from '../api.js';
import { h, put, say } from '../dom.js';
import { button, trouble } from '../parts.js';
import { TRAIN } from '../texts.js';
import { isRunning, isTaken, newest, sentenceOf } from './learning.js';
import { begun, form, missing, plan, wanted, wrongName } from './train-choices.js';
import { runCard } from './train-run.js';

/**
 * @typedef {import('../types.js').Frame} Frame
 * @typedef {import('../types.js').Job} Job
 * @typedef {import('./train-choices.js').Offers} Offers
 * @typedef {import('./train-choices.js').Chosen} Chosen
 */

export const title = TRAIN.title;

/** @type {{chosen: Chosen|null}} */
const kept = { chosen: null }; // choices stay while other screens are looked at

/** The screen. @param {HTMLElement} box @param {string} wish "choose" for new choices @param {Frame} frame */
export function render(box, wish, frame) {
  const screen = new Train(box, frame);
  queueMicrotask(() => screen.begin(wish === 'choose')); // the frame shows its own command first
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
    this.version = -1;
    this.isGone = false;
    this.isStarting = false;
    this.lede = h('p.lede', TRAIN.lede);
    this.actions = h('div.actions');
    this.notice = h('div.notices', { 'aria-live': 'polite' });
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

  /** The folder has changed: what can be chosen may be another. @param {string} name */
  hear(name) {
    if (name === 'state' && !this.card && state().version !== this.version && !this.body.contains(document.activeElement)) this.choose();
  }

  async choose() {
    this.card = this.job = null;
    this.version = state().version;
    if (!state().classes.length) { this.showChoices(); return; }
    if (!this.offers) this.body.replaceChildren(h('p.how', { role: 'status' }, TRAIN.reading));
    try {
      this.offers = /** @type {Offers} */ (await get('/api/choices'));
    } catch (error) { this.showTrouble(sentenceOf(error)); return; }
    kept.chosen ??= begun(this.offers);
    if (wrongName(kept.chosen.name, this.offers.taken)) kept.chosen.name = this.offers.defaults.name;
    if (!this.isGone && !this.card) this.showChoices();
  }

  showChoices() {
    const { offers } = this, chosen = kept.chosen;
    this.lede.textContent = TRAIN.lede;
    this.start = button(TRAIN.start, { primary: true, key: 'Enter', onclick: () => this.begun() });
    const isPossible = this.showMissing();
    this.actions.replaceChildren(...(isPossible ? [this.start] : []));
    this.body.replaceChildren(...(isPossible && offers && chosen ? [form(offers, chosen, () => this.changed())] : state().classes.length ? [h('section', h('h2', TRAIN.plan), plan())] : []));
    this.changed();
    if (isPossible) this.warn();
  }

  /** Say what a training lacks; true if it lacks nothing. */
  showMissing() {
    const { classes, few } = missing(), steps = [...(classes ? [TRAIN.moreClasses(classes)] : []), ...few.map(({ name, more }) => TRAIN.moreOf(more, name))];
    const reason = this.offers?.can_train === false ? this.offers.reason : null;
    this.notice.replaceChildren();
    if (!steps.length && !reason) return true;
    this.notice.replaceChildren(trouble('note', TRAIN.notYet, steps.length ? TRAIN.notYetText : reason, steps.length > 0 && h('ul.lacks', steps.map((step) => h('li', step))), button(TRAIN.record, { primary: true, sign: 'mic', go: '#/data' }), state().counts.labelled > 0 && button(TRAIN.askDoctor, { go: '#/doctor' })));
    return false;
  }

  /** Warn of errors that the doctor has found. */
  async warn() {
    const last = newest('doctor');
    if (last?.state !== 'done') return;
    const { result } = await get(`/api/jobs/${last.id}`).catch(() => ({}));
    const errors = (result?.findings ?? []).filter((/** @type {{severity: string}} */ { severity }) => severity === 'error').length;
    if (errors && !this.isGone && !this.card) this.notice.replaceChildren(trouble('warn', TRAIN.errors(errors), TRAIN.errorsText, button(TRAIN.askDoctor, { go: '#/doctor' })));
  }

  changed() {
    const { offers } = this, chosen = kept.chosen;
    if (!offers || !chosen) { this.frame.command({ kind: 'train', choices: { name: 'classifier' } }); return; }
    const why = wrongName(chosen.name, offers.taken);
    this.start?.toggleAttribute('disabled', Boolean(why) || this.isStarting);
    if (!why) this.frame.command({ kind: 'train', choices: wanted(chosen, offers) });
  }

  async begun() {
    const { offers } = this, chosen = kept.chosen;
    if (this.isStarting || !chosen || !offers) return;
    this.isStarting = true;
    this.changed();
    try {
      const job = await post('/api/jobs', { kind: 'train', choices: wanted(chosen, offers) });
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
    this.start = null;
    this.lede.textContent = isRunning(job) ? TRAIN.runningLede : '';
    this.actions.replaceChildren();
    this.notice.replaceChildren();
    this.card = runCard(job, { again: () => this.choose(), onTrouble: (sentence) => this.showTrouble(sentence) });
    this.body.replaceChildren(this.card.box);
    if (isRunning(job)) put(this.body, meanwhile());
    this.frame.command(job.command);
    if (!this.body.contains(document.activeElement)) this.body.querySelector('h2')?.focus({ preventScroll: true });
    if (job.state === 'done') this.heard(job);
  }

  /** @param {Job} job */
  heard(job) {
    if (this.job?.id !== job.id) return;
    if (this.card && isRunning(this.job) !== isRunning(job) && job.state !== 'done') { this.follow(job); return; }
    this.card?.set(job);
    if (job.state === 'done') location.hash = `/report/${encodeURIComponent(job.choices.name)}`;
  }

  /** @param {string} sentence */
  showTrouble(sentence) {
    if (!this.isGone) this.notice.replaceChildren(trouble('error', TRAIN.refused, sentence, button(TRAIN.tryAgain, { onclick: () => (this.card ? this.notice.replaceChildren() : this.choose()) })));
  }

  /** @param {string} key @param {KeyboardEvent} event */
  press(key, event) {
    if (key !== 'Enter' || isTaken(event) || this.card || !this.start || this.start.disabled || !kept.chosen) return false;
    this.begun();
    return true;
  }
}

/** What can be done while a training runs. */
function meanwhile() {
  const { unlabelled } = state().counts;
  return h('section.meanwhile', h('p', h('b', TRAIN.meanwhile), ' ', h('span.how', unlabelled ? TRAIN.unlabelled(unlabelled) : TRAIN.meanwhileText)), button(unlabelled ? TRAIN.labelThem : TRAIN.toData, { go: '#/data' }));
}
