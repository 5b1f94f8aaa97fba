/** Doctor: what is wrong with the data, with players, and remedies of one click. */

import { get, on, post, state } from '../api.js';
import { h, icon, number, put, say } from '../dom.js';
import { button, empty, trouble } from '../parts.js';
import { DOCTOR } from '../texts.js';
import { BY_EAR, card, changeOf, SIGNS } from './doctor-findings.js';
import { isRunning, newest, progressLine, sentenceOf } from './learning.js';

/**
 * @typedef {import('./doctor-findings.js').Finding} Finding
 * @typedef {import('./learning.js').Job} Job
 */

export const title = DOCTOR.title;

const WAIT_MS = 1500; // after a change, before the folder is examined again
const SEEN = 'doctor-saw'; // what the last examination saw, in the storage of the browser

/** What of the folder an examination sees, in short. */
const sight = () => JSON.stringify([state().folder.path, state().version, state().counts, state().classes]);

/** The screen. @param {HTMLElement} box @param {string} _state @param {import('../types.js').Frame} frame */
export function render(box, _state, frame) {
  const screen = new Doctor(box, frame);
  screen.begin();
  return { update: (/** @type {string} */ name) => { if (name === 'state') screen.look(); }, leave: () => screen.leave() };
}

class Doctor {
  /** @param {HTMLElement} box @param {import('../types.js').Frame} frame */
  constructor(box, frame) {
    this.frame = frame;
    /** @type {HTMLElement|null} */ this.side = null;
    /** @type {Job|null} */ this.job = null;
    /** @type {Finding[]|null} */ this.findings = null;
    /** @type {Set<string>} */ this.chosen = new Set();
    /** @type {ReturnType<typeof progressLine>|null} */ this.progress = null;
    this.saw = ''; // what the findings are of
    this.clips = 0;
    this.timer = 0;
    this.isGone = false;
    this.actions = h('div.actions');
    this.notice = h('div.notices', { 'aria-live': 'polite' });
    this.mended = h('div.notices', { 'aria-live': 'polite' }); // what the remedies have done
    this.body = h('div.doctor');
    put(box, h('header.head', h('div', h('h1', title), h('p.lede', DOCTOR.lede)), this.actions), this.mended, this.notice, this.body);
    this.off = on('job', (job) => this.heard(/** @type {Job} */ (job)));
  }

  leave() {
    this.isGone = true;
    clearTimeout(this.timer);
    this.off();
  }

  /** Show the last examination, and examine the folder if it has changed since. */
  async begin() {
    const last = newest('doctor'), fixing = newest('fix');
    if (fixing && isRunning(fixing)) this.follow(fixing);
    else if (last && isRunning(last)) this.follow(last);
    else if (last?.state === 'done') await this.read(last.id);
    this.look();
  }

  /** Examine the folder soon if nothing is known of its present version. */
  look() {
    if (this.isGone) return;
    if (!state().counts.labelled) { this.showNothing(); return; }
    if (this.job || (this.findings && this.saw === sight())) return;
    if (this.findings && this.saw) this.notice.replaceChildren(h('p.stale', icon('note'), h('span', DOCTOR.stale)));
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.examine(), this.findings ? WAIT_MS : 0);
  }

  async examine() {
    if (this.job) return;
    await this.run('doctor', {});
  }

  /** @param {string} kind @param {object} choices */
  async run(kind, choices) {
    const seen = sight();
    if (kind === 'fix') this.mended.replaceChildren();
    try {
      const job = /** @type {Job} */ (await post('/api/jobs', { kind, choices }));
      if (kind === 'doctor') localStorage.setItem(SEEN, JSON.stringify({ id: job.id, seen }));
      if (!this.isGone) this.follow(job);
    } catch (error) { this.showTrouble(sentenceOf(error)); }
  }

  /** @param {Job} job */
  follow(job) {
    this.job = job;
    const what = job.kind === 'fix' ? DOCTOR.mending : DOCTOR.listening(state().counts.labelled);
    this.progress = progressLine(what, job);
    this.notice.replaceChildren(this.progress.box);
    if (!this.findings) this.body.replaceChildren();
    this.showActions();
    this.showSide();
    if (!isRunning(job)) this.heard(job);
  }

  /** @param {Job} job */
  heard(job) {
    if (this.job?.id !== job.id) return;
    if (isRunning(job) || (job.kind === 'fix' && job.state === 'done' && !job.said && !job.error)) { this.progress?.set(job); return; }
    this.job = null;
    this.notice.replaceChildren();
    if (job.error) this.showTrouble(job.error);
    else if (job.state === 'stopped') this.showStopped();
    else if (job.kind === 'fix') this.showMended(job.said ?? '');
    else this.read(job.id);
  }

  /** @param {string} id of an examination that is done */
  async read(id) {
    try {
      const { result } = /** @type {any} */ (await get(`/api/jobs/${id}`));
      if (this.isGone) return;
      const last = JSON.parse(localStorage.getItem(SEEN) ?? '{}');
      this.saw = last.id === id ? last.seen : '';
      this.findings = result.findings;
      this.clips = result.clips;
      this.choose();
      this.show();
    } catch (error) { this.showTrouble(sentenceOf(error)); }
  }

  /** Choose the remedies of errors and warnings, but those that an ear must judge. */
  choose() {
    const offered = (this.findings ?? []).filter(({ kind, severity, remedy }) => remedy && severity !== 'note' && !BY_EAR.has(kind));
    this.chosen = new Set(offered.map(({ kind }) => kind));
  }

  show() {
    const findings = this.findings ?? [];
    this.notice.replaceChildren();
    this.showActions();
    if (!findings.length) { this.showClean(); return; }
    const held = document.activeElement?.closest('[data-kind]')?.getAttribute('data-kind');
    const list = h('div.findings', findings.map((finding) => card(finding, this.chosen.has(finding.kind), {
      choose: (isChosen) => this.take(finding.kind, isChosen), change: (path, body) => this.change(path, body),
    })));
    this.side = h('aside.side', { 'aria-label': DOCTOR.willChange });
    this.body.replaceChildren(sums(findings), h('div.with-side', list, this.side));
    this.showSide();
    if (held) /** @type {HTMLElement|null} */ (list.querySelector(`[data-kind="${CSS.escape(held)}"] button`))?.focus();
  }

  /** @param {string} kind @param {boolean} isChosen */
  take(kind, isChosen) {
    if (isChosen) this.chosen.add(kind); else this.chosen.delete(kind);
    this.showActions();
    this.showSide();
  }

  /** Change labels by hand, as on the Data screen. @param {string} path @param {object} body */
  async change(path, body) {
    try {
      const { said } = /** @type {any} */ (await post(path, body));
      say(said);
    } catch (error) { this.showTrouble(sentenceOf(error)); }
  }

  showActions() {
    const hasErrors = this.findings?.some(({ severity }) => severity === 'error');
    this.actions.replaceChildren(
      ...(this.findings && !this.job ? [button(DOCTOR.again, { quiet: true, onclick: () => this.examine() })] : []),
      button(hasErrors ? DOCTOR.asItIs : DOCTOR.train, { primary: this.findings != null && !this.chosen.size && !hasErrors, go: '#/train/choose' }));
  }

  /** What will change, and the button that does it. */
  showSide() {
    this.frame.command(this.chosen.size ? { kind: 'fix', choices: { kinds: [...this.chosen] } } : { kind: 'doctor', choices: {} });
    if (!this.side) return;
    const chosen = (this.findings ?? []).filter(({ kind }) => this.chosen.has(kind)), count = chosen.length;
    const apply = button(DOCTOR.apply(count), { primary: true, onclick: () => this.run('fix', { kinds: chosen.map(({ kind }) => kind) }) });
    if (!count || this.job) apply.setAttribute('disabled', '');
    this.side.replaceChildren(h('h2', DOCTOR.willChange), h('p.how', DOCTOR.kept),
      count ? h('ol.changes', { tabindex: 0 }, chosen.map((finding) => h('li', icon('check'), h('span', changeOf(finding))))) : h('p.how', DOCTOR.noChange), apply);
  }

  showNothing() {
    this.findings = null;
    this.actions.replaceChildren();
    this.notice.replaceChildren();
    this.body.replaceChildren(empty(DOCTOR.nothing, DOCTOR.nothingText, button(DOCTOR.toData, { primary: true, go: '#/data' })));
  }

  showClean() {
    this.body.replaceChildren(empty(DOCTOR.clean, DOCTOR.cleanText(this.clips), button(DOCTOR.again, { onclick: () => this.examine() })));
  }

  showStopped() {
    this.notice.replaceChildren(trouble('warn', DOCTOR.stopped, DOCTOR.stoppedText, button(DOCTOR.again, { onclick: () => this.examine() })));
    this.showSide();
  }

  /** @param {string} sentence */
  showTrouble(sentence) {
    if (this.isGone) return;
    this.notice.replaceChildren(trouble('error', DOCTOR.failed, sentence, button(DOCTOR.tryAgain, { onclick: () => this.examine() })));
    this.showSide();
  }

  /** Say what was changed; the new version of the folder is then examined. @param {string} sentence */
  showMended(sentence) {
    this.chosen.clear();
    this.showActions();
    this.showSide();
    this.mended.replaceChildren(trouble('note', DOCTOR.mended, sentence, button(DOCTOR.undo, { sign: 'undo', onclick: () => this.undo() })));
    this.look();
  }

  async undo() {
    this.mended.replaceChildren();
    try { say((await post('/api/undo')).said); } catch (error) { this.showTrouble(sentenceOf(error)); }
  }
}

/** How many errors, warnings and notes. @param {Finding[]} findings */
function sums(findings) {
  return h('div.sums', /** @type {const} */ (['error', 'warning', 'note']).map((severity) => {
    const count = findings.filter((finding) => finding.severity === severity).length;
    return h('div', { class: `sum ${count ? severity : 'note'}` }, icon(SIGNS[severity]), h('b', number(count)), h('span', DOCTOR.severities[severity](count)), h('small', DOCTOR.meaning[severity]));
  }));
}
