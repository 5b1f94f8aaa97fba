/** Labels in rounds: a dozen windows, one question at a time, each answer kept at once; then where one stands. */

import { get, post, state } from '../api.js';
import { h, icon, put, say } from '../dom.js';
import { button, ear, label, trouble } from '../parts.js';
import { stop } from '../player.js';
import { FIND } from '../texts.js';
import { asked, conditions, kept, lasting } from './find-kept.js';
import { standingBox } from './find-standing.js';
import { aboutOf, outsideNote, stretchTile, timeOf } from './find-tile.js';
import { capital, isTaken, sentenceOf } from './learning.js';

/**
 * @typedef {import('./find-kept.js').About} About
 * @typedef {import('./find-tile.js').Hit} Hit
 * @typedef {import('./find-standing.js').Standing} Standing
 * @typedef {import('../types.js').Frame} Frame
 * @typedef {Hit & {why: string, answer: string}} Asked
 * @typedef {Hit & {answers: {who: string, suggested: string, word: string}[]}} Contradiction
 * @typedef {{round: string, name: string, proposals: Asked[], standing: Standing, notes: string[], contradictions: Contradiction[], command: string}} Round
 */

const NAME = 'earmark-who'; // in the storage of the browser: the person's name
const MOST_OTHERS = 9; // classes that have a button and a key
const RESERVED = new Set(['yes', 'no', 'skip', 'keep', 'relabel', 'drop', 'undo']); // answers, and decisions of a review: no names of classes

const storage = {
  get: () => { try { return localStorage.getItem(NAME) ?? ''; } catch { return ''; } },
  set: (/** @type {string} */ name) => { try { localStorage.setItem(NAME, name); } catch { /* a private window forgets it */ } },
};
const settings = { autoplay: true };

export class View {
  /** @param {About} about @param {Frame} frame @param {string} name of the class, or '' */
  constructor(about, frame, name) {
    this.about = about;
    this.frame = frame;
    this.name = name;
    this.who = storage.get();
    this.group = '';
    this.examples = false; // whether those of the search are of the class
    /** @type {Round|null} */ this.round = null;
    /** @type {Object<string, {yes: number, no: number}>} */ this.counts = {};
    this.at = 0;
    this.isGone = false;
    this.isAsking = false;
    this.isBetween = false; // all were answered, and the next ones wait
    this.saving = Promise.resolve();
    this.notice = h('div.notices', { 'aria-live': 'polite' });
    this.body = h('div.rounds');
    this.spoken = h('p.hidden', { role: 'status' });
    this.back = (/** @type {KeyboardEvent} */ event) => this.turnBack(event);
    addEventListener('keydown', this.back, true);
    this.box = h('div', this.notice, this.body, this.spoken);
    if (name) this.open(false);
    else this.showStart();
  }

  leave() {
    this.isGone = true;
    removeEventListener('keydown', this.back, true);
  }

  // ---- beginning ----

  async showStart() {
    this.round = null;
    this.counts = await get(`/api/find/archives/${encodeURIComponent(kept.archive)}/labels`).catch(() => ({}));
    if (this.isGone || this.round) return;
    const names = [...new Set([...Object.keys(this.counts), ...state().classes.map(({ name }) => name)])];
    const start = button(FIND.begin, { primary: true, key: 'Enter', onclick: () => this.begin(input.value, who.value) });
    const input = h('input#round-class', { type: 'text', list: 'round-classes', value: this.name || kept.label, maxlength: 100, oninput: () => changed() });
    const who = h('input#round-who', { type: 'text', value: this.who, maxlength: 60, autocomplete: 'name' });
    const given = lasting(), takes = h('input', { type: 'checkbox', onchange: () => { this.examples = takes.checked; } });
    const changed = () => {
      const name = input.value.trim(), isKnown = Boolean(this.counts[name]?.yes) || state().classes.some((one) => one.name === name);
      start.toggleAttribute('disabled', !name);
      this.examples = takes.checked = Boolean(given.length && name && !isKnown);
    };
    changed();
    const group = h('select#round-group', { onchange: () => { this.group = group.value; } }, h('option', { value: '' }, FIND.recording), this.about.columns.map(({ name }) => h('option', { value: name, selected: this.group === name }, name)));
    const known = Object.entries(this.counts);
    this.body.replaceChildren(h('section.round-start', h('h2', FIND.roundTitle),
      h('div.field', h('label', { for: 'round-class' }, FIND.className), input, h('datalist#round-classes', names.map((name) => h('option', { value: name }))), h('p.how', FIND.classHow)),
      h('div.field', h('label', { for: 'round-who' }, FIND.who), who, h('p.how', FIND.whoHow)),
      given.length > 0 && h('label.row', takes, FIND.takeExamples(given.length)),
      this.about.columns.length > 0 && h('div.field', h('label', { for: 'round-group' }, FIND.group), group),
      this.only(), h('div.row', start)),
    ...(known.length ? [h('section.labelled', h('h2', FIND.labels), h('ul.label-counts', known.map(([name, { yes, no }]) => h('li', h('button.button', { type: 'button', onclick: () => this.begin(name, who.value) }, ear(name), h('span', name), h('span.count', FIND.yesNo(yes, no))))))), this.training()] : []));
    this.starting = () => { if (input.value.trim()) this.begin(input.value, who.value); };
  }

  /** @param {string} name @param {string} who */
  begin(name, who) {
    this.name = name.trim();
    this.who = who.trim();
    storage.set(this.who);
    this.open(false);
  }

  get asked() {
    return { archive: kept.archive, name: this.name, who: this.who };
  }

  /** Open the round that is not answered yet, or a fresh one, which waits for a press. @param {boolean} fresh */
  async open(fresh) {
    if (this.isAsking) return;
    this.isAsking = true;
    this.isBetween = fresh;
    if (!fresh) this.notice.replaceChildren(h('p.how', { role: 'status' }, FIND.reading));
    try {
      await this.saving;
      const round = await post('/api/find/round', { ...this.asked, fresh, where: conditions(), group: this.group || null, like: (this.examples ? lasting() : []).map(asked) });
      if (this.isGone) return;
      this.isAsking = false;
      this.take(round);
      this.notice.replaceChildren();
      history.replaceState(null, '', `#/find/${encodeURIComponent(kept.archive)}/label/${encodeURIComponent(this.name)}`);
      this.frame.command(round.command);
    } catch (error) {
      if (this.isGone) return;
      if (!this.round) await this.showStart();
      if (this.isGone) return;
      this.notice.replaceChildren(trouble('error', FIND.notBegun, sentenceOf(error), button(FIND.needExample, { go: `#/find/${encodeURIComponent(kept.archive)}/search` })));
    } finally { this.isAsking = false; }
  }

  /** @param {Round} round @param {number} [at] */
  take(round, at) {
    this.round = round;
    this.name = round.name ?? this.name;
    this.at = at ?? Math.max(0, round.proposals.findIndex(({ answer }) => !answer));
    this.show(at != null);
  }

  /** Ask for the windows that wait. */
  goOn() {
    this.isBetween = false;
    this.show(true);
  }

  // ---- answering ----

  /** Say that it is another class. @param {string} name */
  pick(name) {
    if (RESERVED.has(name.trim().toLowerCase())) say(FIND.reserved(name.trim()));
    else this.answer(name);
  }

  /** @param {string} word yes, no, skip or a class */
  answer(word) {
    const { round } = this, now = round?.proposals[this.at], name = word.trim();
    if (!round || !now || !name) return;
    const before = now.answer, number = this.at;
    now.answer = name === this.name ? 'yes' : name;
    this.save(round, number, name, before);
    const { proposals } = round, next = [...proposals.keys()].map((k) => (number + 1 + k) % proposals.length).find((k) => !proposals[k].answer);
    stop();
    if (next != null) this.at = next;
    this.show(true);
    if (next == null) this.open(true);
  }

  /** Answers are kept one after the other, as they were given. @param {Round} round @param {number} number @param {string} word @param {string} before */
  save(round, number, word, before) {
    this.saving = this.saving.then(async () => {
      const { answer } = await post('/api/find/answer', { ...this.asked, round: round.round, number, word }, { keepalive: true });
      round.proposals[number].answer = answer;
    }).catch((error) => {
      round.proposals[number].answer = before;
      if (this.isGone) return;
      this.isBetween = false;
      this.round = round;
      this.at = number;
      this.show(false);
      this.notice.replaceChildren(trouble('error', FIND.notSaved, sentenceOf(error)));
    });
  }

  async undo() {
    try {
      await this.saving;
      const { word, name, round, number } = await post('/api/find/undo', this.asked);
      if (this.isGone) return;
      say(FIND.undone(FIND.answers[/** @type {'yes'} */ (word)] ?? word, name));
      this.isBetween = false;
      if (round) this.take({ ...this.round, ...round }, number);
    } catch (error) { say(sentenceOf(error)); }
  }

  /** Ctrl Z takes back an answer before it takes back a change of the folder. @param {KeyboardEvent} event */
  turnBack(event) {
    const target = event.target instanceof Element && event.target.closest('input[type=text], dialog');
    if (!(event.ctrlKey || event.metaKey) || event.shiftKey || event.key.toLowerCase() !== 'z' || target || !this.round) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    this.undo();
  }

  // ---- what is shown ----

  /** @param {boolean} plays whether the window plays by itself */
  show(plays) {
    const { round } = this;
    if (!round || this.isGone) return;
    const held = this.body.contains(document.activeElement) || document.activeElement === document.body;
    const { proposals, standing, notes, contradictions } = round, done = proposals.filter(({ answer }) => answer).length;
    const list = h('ol.round-queue', { 'aria-label': FIND.queue }, proposals.map((one, k) => this.row(one, k)));
    const isOver = this.isBetween || (proposals.length > 0 && done === proposals.length);
    const bar = h('div.round-bar', h('span.num', isOver ? FIND.roundOver : FIND.progress(done, proposals.length)), h('label.row', this.autoplay(), FIND.autoplay), button(FIND.undo, { sign: 'undo', quiet: true, key: 'U', onclick: () => this.undo() }), button(FIND.finish, { quiet: true, onclick: () => { this.showStart(); } }));
    this.body.replaceChildren();
    put(this.body, bar, this.only(), !this.isBetween && list, !isOver && outsideNote(proposals), isOver ? this.over() : this.question(proposals[this.at]), h('div.two', standingBox(standing), h('div.stack', this.training(), this.disagreements(contradictions), notes.length > 0 && h('ul.remarks', notes.map((note) => h('li', icon('note'), h('span', capital(note))))))));
    const now = proposals[this.at];
    this.spoken.textContent = isOver ? FIND.roundOver : now ? FIND.now(this.at + 1, proposals.length, this.name) : '';
    if (held) /** @type {HTMLElement|null} */ (this.body.querySelector(isOver ? '.round-over .primary' : '.question'))?.focus({ preventScroll: true });
    if (plays && settings.autoplay && !isOver) this.listen();
  }

  /** @param {Asked|undefined} now */
  question(now) {
    if (!now) return h('section.asked', h('p', FIND.noneLeft));
    const { answer } = now, words = FIND.question(this.name), others = state().classes.filter(({ name }) => name !== this.name && !RESERVED.has(name.toLowerCase())).slice(0, MOST_OTHERS);
    const isTakenWord = (/** @type {string} */ what) => ({ 'aria-pressed': String(answer === what) });
    const input = h('input', { type: 'text', placeholder: FIND.otherName, 'aria-label': FIND.others, size: 12, maxlength: 100, onkeydown: (event) => { if (event.key === 'Enter' && input.value.trim()) { this.pick(input.value); event.preventDefault(); } else if (event.key === 'Escape') input.blur(); } });
    return h('section.asked', h('h2.question', { tabindex: -1 }, h('span', words[0]), label(this.name), h('span', words[2])),
      stretchTile(now, { big: true, note: [aboutOf(now), timeOf(now)].filter(Boolean).join(', ') }), h('p.how', FIND.why[now.why] ?? ''),
      h('div.decisions', { role: 'group', 'aria-label': FIND.answer }, button(FIND.answers.yes, { key: 'Y', class: 'choice', ...isTakenWord('yes'), onclick: () => this.answer('yes') }), button(FIND.answers.no, { key: 'N', class: 'choice', ...isTakenWord('no'), onclick: () => this.answer('no') }), button(FIND.answers.skip, { key: 'S', class: 'choice', ...isTakenWord('skip'), onclick: () => this.answer('skip') })),
      h('div.others', { role: 'group', 'aria-label': FIND.others }, h('span.how', FIND.others), others.map(({ name }) => h('button.button', { type: 'button', ...isTakenWord(name), onclick: () => this.pick(name) }, ear(name), h('span', name))), input), h('p.how.keys-line', FIND.keys));
  }

  /** Between two rounds: the next one waits, or is being chosen. */
  over() {
    const n = this.round?.proposals.length ?? 0;
    if (!this.isBetween || this.isAsking) return h('section.round-over', h('p.how', { role: 'status' }, FIND.reading));
    if (!n) return h('section.round-over', h('p', FIND.noneLeft));
    return h('section.round-over', h('div.row', button(FIND.next(n), { primary: true, key: 'Enter', onclick: () => this.goOn() })));
  }

  /** @param {Asked} one @param {number} k */
  row(one, k) {
    const { answer } = one, words = FIND.answers[/** @type {'yes'} */ (answer)] ?? answer;
    return h('li', h('button', { type: 'button', class: answer ? `answered is-${answer}` : '', 'aria-current': k === this.at && 'true', 'aria-label': FIND.inQueue(k + 1, words), title: one.path, onclick: () => { this.at = k; this.show(true); } }, h('span.num', String(k + 1)), answer === 'yes' ? icon('check') : answer === 'no' ? icon('cross') : answer === 'skip' ? icon('next') : answer ? ear(answer) : null));
  }

  /** The conditions of the search hold here, too. */
  only() {
    const all = conditions();
    return all.length > 0 && h('p.note-line', icon('note'), h('span', FIND.only(all)));
  }

  autoplay() {
    const box = h('input', { type: 'checkbox', checked: settings.autoplay, onchange: () => { settings.autoplay = box.checked; } });
    return box;
  }

  training() {
    const detector = h('input', { type: 'checkbox' }), start = button(FIND.train, { sign: 'train', onclick: () => this.train(detector.checked) });
    return h('section.train-labels', h('div.row', start), h('label.row', detector, FIND.detector), h('p.how', FIND.trainHow));
  }

  /** Start a training from all labels of the archive; the screen of trainings shows it. @param {boolean} isDetector */
  async train(isDetector) {
    try {
      await this.saving;
      const { name } = (await get('/api/choices')).defaults;
      await post('/api/jobs', { kind: 'train', choices: { name, archive: kept.archive, unknown: false, ...(isDetector && { detector: true }) } });
      location.hash = '/train';
    } catch (error) { this.notice.replaceChildren(trouble('error', FIND.notTrained, sentenceOf(error))); }
  }

  /** @param {Contradiction[]} contradictions */
  disagreements(contradictions) {
    const words = (/** @type {string} */ word) => FIND.answers[/** @type {'yes'} */ (word)] ?? word;
    return contradictions.length > 0 && h('section.disagreements', h('h3', FIND.contradictions), h('div.tiles', contradictions.map((one) => h('div', stretchTile(one), h('p.how', FIND.disagree(one.answers[0].who, words(one.answers[0].word), one.answers[1].who, words(one.answers[1].word)))))));
  }

  // ---- keys ----

  listen(isWide = false) {
    const tile = /** @type {HTMLElement|null} */ (this.body.querySelector('.asked .listen'));
    tile?.dispatchEvent(new MouseEvent('click', { bubbles: true, shiftKey: isWide }));
  }

  /** @param {number} step */
  move(step) {
    const n = this.round?.proposals.length ?? 0;
    if (!n) return;
    this.at = (this.at + step + n) % n;
    this.show(true);
  }

  /** @param {string} key @param {KeyboardEvent} event */
  keys(key, event) {
    if (!this.round) {
      if (key !== 'Enter' || isTaken(event)) return false;
      this.starting?.();
      return true;
    }
    const picked = /^[1-9]$/.test(key) ? state().classes[Number(key) - 1] : undefined;
    if (key === 'u') this.undo();
    else if (this.isBetween && !isTaken(event) && key === 'Enter') this.goOn();
    else if (this.isBetween) return false;
    else if (picked) this.pick(picked.name);
    else if (key === 'y') this.answer('yes');
    else if (key === 'n') this.answer('no');
    else if (key === 's') this.answer('skip');
    else if (key === 'j' || key === 'ArrowDown' || key === 'ArrowRight') this.move(1);
    else if (key === 'k' || key === 'ArrowUp' || key === 'ArrowLeft') this.move(-1);
    else if (isTaken(event)) return false;
    else if (key === ' ') this.listen(event.shiftKey);
    else return false;
    return true;
  }
}
