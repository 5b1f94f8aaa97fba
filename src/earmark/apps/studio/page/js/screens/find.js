/** Find: hours of recordings, searched by example and labelled in rounds. */

import { get, on, post, state } from '../api.js';
import { h, put } from '../dom.js';
import { button, trouble } from '../parts.js';
import { COMMON, FIND } from '../texts.js';
import { archiveForm, archiveLine } from './find-archive.js';
import { forget, kept } from './find-kept.js';
import { capital, isRunning, newest, progressLine, sentenceOf } from './learning.js';

/**
 * @typedef {import('../types.js').Frame} Frame
 * @typedef {import('../types.js').Job} Job
 * @typedef {{box: HTMLElement, keys(key: string, event: KeyboardEvent): boolean|void, leave(): void}} View
 */

export const title = COMMON.screens.find;

/** The screen. @param {HTMLElement} box @param {string} wish archive/search/clip, archive/label/class, or new @param {Frame} frame */
export function render(box, wish, frame) {
  const screen = new Find(box, wish, frame);
  queueMicrotask(() => screen.begin()); // the frame shows its own command first
  return { keys: (/** @type {string} */ key, /** @type {KeyboardEvent} */ event) => screen.press(key, event), leave: () => screen.leave() };
}

class Find {
  /** @param {HTMLElement} box @param {string} wish @param {Frame} frame */
  constructor(box, wish, frame) {
    const [name, mode = '', ...rest] = wish.split('/');
    this.name = name;
    this.mode = mode;
    this.rest = rest;
    this.frame = frame;
    /** @type {Job|null} */ this.job = null;
    /** @type {ReturnType<typeof progressLine>|null} */ this.progress = null;
    /** @type {View|{keys(key: string, event: KeyboardEvent): boolean|void}|null} */ this.view = null;
    /** @type {{archives: string[], sources: string[]}} */ this.listed = { archives: [], sources: [] };
    this.isGone = false;
    this.actions = h('div.actions');
    this.notice = h('div.notices', { 'aria-live': 'polite' });
    this.body = h('div.find');
    put(box, h('header.head', h('div', h('h1', title), h('p.lede', FIND.lede)), this.actions), this.notice, this.body);
    this.off = on('job', (job) => this.heard(job));
  }

  leave() {
    this.isGone = true;
    this.off();
    if (this.view && 'leave' in this.view) this.view.leave();
  }

  async begin() {
    const last = newest('index');
    if (last && isRunning(last)) this.follow(last);
    try {
      this.listed = await get('/api/find/archives');
    } catch (error) { this.showTrouble(sentenceOf(error)); return; }
    if (this.isGone) return;
    if (this.mode === 'search' && this.rest[0]) await this.takeExample(this.rest[0]);
    if (this.isGone) return;
    const { archives } = this.listed;
    if (this.name === 'new' || !archives.length) { this.showForm(); return; }
    const wished = archives.includes(this.name) ? this.name : archives.includes(kept.archive) ? kept.archive : archives[0];
    if (wished !== kept.archive) forget();
    kept.archive = wished;
    this.open();
  }

  /** Open the archive: it says what is in it. */
  async open() {
    this.showActions();
    this.body.replaceChildren(h('p.how', { role: 'status' }, FIND.opening));
    try {
      const about = await get(`/api/find/archives/${encodeURIComponent(kept.archive)}`);
      if (this.isGone) return;
      const { View } = await import(this.mode === 'label' ? './find-rounds.js' : './find-search.js');
      if (this.isGone) return;
      const view = /** @type {View} */ (new View(about, this.frame, this.rest.join('/')));
      this.view = view;
      const made = this.made();
      this.body.replaceChildren(...(this.mode === 'label' ? [] : [archiveLine(about, { update: made && (() => this.update(made)) })]), view.box);
    } catch (error) { this.body.replaceChildren(); this.showTrouble(sentenceOf(error)); }
  }

  /** Take a clip of the folder as an example: an address names it. @param {string} id */
  async takeExample(id) {
    if (kept.like.some((one) => one.id === id)) return;
    try {
      const found = await get(`/api/find/examples/${encodeURIComponent(id)}`);
      kept.like.push({ start: null, end: null, label: null, ...found });
    } catch { /* the address is of an older folder; the choice is open */ }
  }

  showActions() {
    const { archives } = this.listed, go = (/** @type {string} */ where) => { location.hash = `/find/${where}`; };
    const select = h('select', { onchange: () => go(select.value ? `${encodeURIComponent(select.value)}/${this.mode === 'label' ? 'label' : 'search'}` : 'new') }, archives.map((name) => h('option', { value: name, selected: name === kept.archive && this.name !== 'new' }, name)), h('option', { value: '', selected: this.name === 'new' }, FIND.another));
    const tab = (/** @type {string} */ mode, /** @type {string} */ words) => h('a', { href: `#/find/${encodeURIComponent(kept.archive)}/${mode}`, 'aria-current': (this.mode === 'label') === (mode === 'label') && this.name !== 'new' && 'page' }, words);
    this.actions.replaceChildren(...(archives.length ? [h('label.which', h('span', FIND.archive), select), h('div.segmented', { role: 'navigation', 'aria-label': FIND.ways }, tab('search', FIND.byExample), tab('label', FIND.inRounds))] : []));
  }

  showForm() {
    this.showActions();
    const form = archiveForm(this.listed, { begun: (job) => this.follow(job), command: (value) => this.frame.command(value) });
    this.view = form;
    this.body.replaceChildren(form.box);
  }

  // ---- making an archive, and bringing it up to date ----

  /** The job that has made the archive, if it was one of the studio. */
  made() {
    return state().jobs.find(({ kind, choices }) => kind === 'index' && choices.name === kept.archive) ?? null;
  }

  /** Look for new recordings. @param {Job} made */
  async update(made) {
    try {
      this.follow(await post('/api/jobs', { kind: 'index', choices: made.choices }));
    } catch (error) { this.showTrouble(sentenceOf(error)); }
  }

  /** @param {Job} job */
  follow(job) {
    this.job = job;
    this.progress = progressLine(FIND.indexing(job.choices.name), job);
    this.notice.replaceChildren(this.progress.box);
    this.frame.command(job.command);
    if (!isRunning(job)) this.heard(job);
  }

  /** @param {Job} job */
  async heard(job) {
    if (job.kind !== 'index' || (this.job && this.job.id !== job.id)) return;
    if (!this.job) { if (isRunning(job)) this.follow(job); return; }
    if (isRunning(job)) { this.progress?.set(job); return; }
    this.job = null;
    this.notice.replaceChildren();
    if (job.state === 'failed') this.showTrouble(capital(job.error), button(COMMON.retry, { onclick: () => this.again(job) }));
    else if (job.state === 'stopped') this.notice.replaceChildren(trouble('note', FIND.stopped, FIND.stoppedText, button(FIND.goOn, { primary: true, onclick: () => this.again(job) })));
    else if (location.hash.startsWith(`#/find/${encodeURIComponent(job.choices.name)}`)) this.begin();
    else location.hash = `/find/${encodeURIComponent(job.choices.name)}/search`;
  }

  /** @param {Job} job */
  async again(job) {
    try { this.follow(await post(`/api/jobs/${job.id}/resume`)); } catch (error) { this.showTrouble(sentenceOf(error)); }
  }

  /** @param {string} sentence @param {...import('../dom.js').Kid} helps */
  showTrouble(sentence, ...helps) {
    this.notice.replaceChildren(trouble('error', FIND.failedTitle, sentence, ...helps));
  }

  /** @param {string} key @param {KeyboardEvent} event */
  press(key, event) {
    return this.view?.keys(key, event) ?? false;
  }
}
