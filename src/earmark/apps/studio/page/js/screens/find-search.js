/** Search by example: examples and conditions, then what was found, to hear, to judge and to keep. */

import { post, refresh, state } from '../api.js';
import { h, icon, put, say } from '../dom.js';
import { button, empty, trouble } from '../parts.js';
import { FIND } from '../texts.js';
import { Examples } from './find-examples.js';
import { asked, conditions, exampleOf, kept, keyOf } from './find-kept.js';
import { aboutOf, outsideNote, scoreText, stretchTile, timeOf } from './find-tile.js';
import { isTaken, sentenceOf } from './learning.js';

/**
 * @typedef {import('./find-kept.js').About} About
 * @typedef {import('./find-tile.js').Hit} Hit
 * @typedef {import('../types.js').Frame} Frame
 */

const TOP = 48; // stretches that are asked for at once
const MOST_LINES = 200;

export class View {
  /** @param {About} about @param {Frame} frame */
  constructor(about, frame) {
    this.about = about;
    this.frame = frame;
    this.top = TOP;
    this.number = 0;
    this.isGone = false;
    this.examples = new Examples(() => this.changed());
    this.go = button(FIND.search, { primary: true, sign: 'find', key: 'Enter', onclick: () => this.search() });
    this.notice = h('div.notices', { 'aria-live': 'polite' });
    this.spoken = h('p.hidden', { role: 'status' });
    this.heading = h('div.found-head');
    this.list = h('ol.hits', { 'aria-label': FIND.hits });
    this.rest = h('div.row');
    /** @type {HTMLElement[]} */ this.cards = [];
    this.at = 0;
    this.box = h('div.search', h('section.query', h('div.query-like', h('h2', FIND.queryTitle), this.examples.box), h('div.query-where', this.conditions(), h('div.row', this.go, h('span.how', FIND.compared(about.windows))))), this.notice, this.heading, this.list, this.rest, this.spoken);
    this.changed();
    this.show();
  }

  conditions() {
    const onkeydown = (/** @type {KeyboardEvent} */ event) => { if (event.key === 'Enter') { /** @type {HTMLElement} */ (event.target).blur(); this.search(); } };
    const fields = this.about.columns.filter(({ n_values: n }) => n > 1).map(({ name, values, n_values: n }) => {
      const change = (/** @type {string} */ value) => { kept.where[name] = value; };
      const input = n > values.length
        ? h('input', { type: 'text', value: kept.where[name] ?? '', placeholder: FIND.any, size: 12, maxlength: 200, onkeydown, onchange: () => change(input.value.trim()) })
        : h('select', { onchange: () => change(input.value) }, h('option', { value: '' }, FIND.any), values.map((value) => h('option', { value, selected: kept.where[name] === value }, value)));
      return h('label.which', h('span', name), input);
    });
    const free = h('input', { type: 'text', value: kept.where[''] ?? '', placeholder: FIND.conditionExample, size: 18, maxlength: 300, onkeydown, onchange: () => { kept.where[''] = free.value.trim(); } });
    return h('fieldset.conditions', h('legend', FIND.conditions), h('div.row', fields, h('label.which', h('span', FIND.condition), free)));
  }

  changed() {
    this.go.toggleAttribute('disabled', !kept.like.length);
  }

  // ---- searching ----

  /** @param {number} [top] */
  async search(top = TOP) {
    if (!kept.like.length) return;
    const turn = ++this.number;
    this.top = top;
    this.notice.replaceChildren(h('p.how', { role: 'status' }, FIND.searching));
    try {
      const answer = await post('/api/find/search', { archive: kept.archive, like: kept.like.map(asked), unlike: kept.unlike.map(asked), where: conditions(), top });
      if (turn !== this.number || this.isGone) return;
      Object.assign(kept, { hits: answer.hits, said: answer.said, command: answer.command });
      this.at = 0;
      this.notice.replaceChildren();
      this.show();
      this.spoken.textContent = FIND.found(answer.hits.length);
      if (top === TOP) this.select(0);
    } catch (error) {
      if (turn === this.number) this.notice.replaceChildren(trouble('error', FIND.notSearched, sentenceOf(error)));
    }
  }

  /** Search again with what a hit says. @param {Hit} hit @param {boolean} isLike */
  again(hit, isLike) {
    const list = isLike ? kept.like : kept.unlike, example = exampleOf(hit);
    if (!list.some((one) => keyOf(one) === keyOf(example))) list.push(example);
    this.examples.show();
    this.changed();
    this.search();
  }

  /** Search again with everything that was marked. */
  withMarks() {
    for (const hit of kept.hits ?? []) {
      const mark = kept.marks.get(keyOf(hit)), list = mark ? kept.like : kept.unlike;
      if (mark != null && !list.some((one) => keyOf(one) === keyOf(hit))) list.push(exampleOf(hit));
    }
    this.examples.show();
    this.search();
  }

  // ---- judging and keeping ----

  /** @param {number} k @param {boolean} isRight */
  mark(k, isRight) {
    const hit = kept.hits?.[k];
    if (!hit) return;
    const key = keyOf(hit);
    if (kept.marks.get(key) === isRight) kept.marks.delete(key);
    else kept.marks.set(key, isRight);
    this.showMark(k);
    this.showHeading();
  }

  get chosen() {
    return (kept.hits ?? []).filter((hit) => kept.marks.get(keyOf(hit)) && !hit.silent);
  }

  async keep() {
    const label = kept.label.trim(), { chosen } = this;
    if (!label || !chosen.length) return;
    try {
      const { said } = await post('/api/find/keep', { label, stretches: chosen.map(({ id, start, end }) => ({ id, start, end })) });
      for (const hit of chosen) kept.marks.delete(keyOf(hit));
      say(said);
      await refresh();
      if (this.isGone) return;
      for (const k of this.cards.keys()) this.showMark(k);
      this.showHeading(said);
    } catch (error) { this.notice.replaceChildren(trouble('error', FIND.notKept, sentenceOf(error))); }
  }

  // ---- what is shown ----

  show() {
    const { hits } = kept;
    this.cards = [];
    this.rest.replaceChildren();
    this.list.replaceChildren();
    this.heading.replaceChildren();
    if (!hits) return;
    this.frame.command(kept.command);
    if (!hits.length) { this.list.replaceChildren(h('li', empty(FIND.nothing, FIND.nothingText))); return; }
    this.cards = hits.map((hit, k) => this.card(hit, k));
    this.list.replaceChildren(...this.cards);
    const note = outsideNote(hits);
    if (note) this.notice.replaceChildren(note);
    for (const k of hits.keys()) this.showMark(k);
    this.showHeading();
    if (hits.length >= this.top && this.top < MOST_LINES) this.rest.replaceChildren(button(FIND.more, { onclick: () => this.search(Math.min(MOST_LINES, 2 * this.top)) }));
  }

  /** @param {Hit} hit @param {number} k */
  card(hit, k) {
    const name = `${hit.name}, ${timeOf(hit)}`;
    const act = (/** @type {string} */ sign, /** @type {string} */ words, /** @type {() => void} */ onclick, more = {}) => h('button.icon-button', { type: 'button', title: words, 'aria-label': `${words}: ${name}`, onclick, ...more }, icon(sign));
    return h('li.hit', { onfocusin: () => this.point(k) }, stretchTile(hit),
      h('p.hit-about', h('span', aboutOf(hit)), h('span.num', FIND.score(scoreText(hit.score)))),
      h('div.hit-acts', button(FIND.yes, { class: 'yes', key: 'Y', 'aria-pressed': 'false', 'aria-label': `${FIND.yes}: ${name}`, onclick: () => this.mark(k, true) }), button(FIND.no, { class: 'no', key: 'N', 'aria-pressed': 'false', 'aria-label': `${FIND.no}: ${name}`, onclick: () => this.mark(k, false) }),
        !hit.silent && [act('add', FIND.moreLike, () => this.again(hit, true), { class: 'plus' }), act('minus', FIND.lessLike, () => this.again(hit, false))],
        hit.is_own && h('a.icon-button', { href: `#/data/long/${hit.id}`, title: FIND.inEditor, 'aria-label': `${FIND.inEditor}: ${name}` }, icon('long'))));
  }

  /** @param {number} k */
  showMark(k) {
    const mark = kept.hits && kept.marks.get(keyOf(kept.hits[k])), card = this.cards[k];
    card.classList.toggle('is-yes', mark === true);
    card.classList.toggle('is-no', mark === false);
    card.querySelector('.yes')?.setAttribute('aria-pressed', String(mark === true));
    card.querySelector('.no')?.setAttribute('aria-pressed', String(mark === false));
  }

  /** @param {string} [said] */
  showHeading(said) {
    const { chosen } = this, marked = (kept.hits ?? []).some((hit) => kept.marks.has(keyOf(hit))), usual = kept.like.find(({ label }) => label)?.label ?? '';
    kept.label ||= usual;
    const isTyping = this.heading.contains(document.activeElement) && document.activeElement?.tagName === 'INPUT';
    const add = button(FIND.keep(chosen.length), { primary: true, disabled: !chosen.length || !kept.label.trim(), onclick: () => this.keep() });
    if (isTyping) { this.heading.querySelector('.primary')?.replaceWith(add); return; }
    const input = h('input', { type: 'text', list: 'find-classes', value: kept.label, size: 12, maxlength: 100, oninput: () => { kept.label = input.value; this.showHeading(); }, onkeydown: (event) => { if (event.key === 'Enter') this.keep(); } });
    this.heading.replaceChildren();
    put(this.heading, h('div', h('h2', FIND.found(kept.hits?.length ?? 0)), h('p.how', said ?? kept.said)),
      h('div.row', h('label.which', h('span', FIND.asClass), input, h('datalist#find-classes', state().classes.map(({ name }) => h('option', { value: name })))), add, button(FIND.withMarks, { disabled: !marked, onclick: () => this.withMarks() })));
  }

  // ---- moving ----

  /** @param {number} k */
  point(k) {
    this.cards[this.at]?.classList.remove('now');
    this.at = k;
    this.cards[k]?.classList.add('now');
  }

  /** @param {number} k */
  select(k) {
    if (!this.cards.length) return;
    const at = Math.max(0, Math.min(this.cards.length - 1, k)), target = /** @type {HTMLElement|null} */ (this.cards[at].querySelector('button'));
    this.point(at);
    target?.focus();
    this.cards[at].scrollIntoView({ block: 'nearest' });
  }

  /** How many cards stand in a row. */
  get columns() {
    const [first] = this.cards, top = first?.offsetTop;
    return Math.max(1, this.cards.findIndex((card) => card.offsetTop !== top) === -1 ? this.cards.length : this.cards.findIndex((card) => card.offsetTop !== top));
  }

  /** @param {string} key @param {KeyboardEvent} event */
  keys(key, event) {
    if (key === 'Enter' && !isTaken(event)) { this.search(); return true; }
    if (!this.cards.length) return false;
    const hit = kept.hits?.[this.at];
    /** @type {Object<string, () => void>} */
    const acts = {
      j: () => this.select(this.at + 1), k: () => this.select(this.at - 1), ArrowRight: () => this.select(this.at + 1), ArrowLeft: () => this.select(this.at - 1),
      ArrowDown: () => this.select(this.at + this.columns), ArrowUp: () => this.select(this.at - this.columns),
      y: () => { this.mark(this.at, true); this.select(this.at + 1); }, n: () => { this.mark(this.at, false); this.select(this.at + 1); },
      '+': () => { if (hit && !hit.silent) this.again(hit, true); }, '-': () => { if (hit && !hit.silent) this.again(hit, false); },
    };
    if (key === ' ' && !isTaken(event)) { /** @type {HTMLElement|null} */ (this.cards[this.at].querySelector('.listen'))?.click(); return true; }
    if (!Object.hasOwn(acts, key)) return false;
    acts[key]();
    return true;
  }

  leave() {
    this.isGone = true;
    this.examples.leave();
  }
}

