/** Classes as columns: name, count, recording, files, and a list of clips each; places for classes to come. */

import { refresh, state } from '../api.js';
import { h, icon, number, put, say } from '../dom.js';
import { button, ear, inkOf } from '../parts.js';
import { COMMON, DATA } from '../texts.js';
import { change } from './data-choice.js';
import { ClipList, drag } from './data-list.js';

/** @typedef {import('./data-choice.js').Choice} Choice */
/** @typedef {{record: (label: string) => void, files: (label: string) => void, renamed: (old: string, name: string) => void, free: (label: string) => Promise<void>}} Deeds */

const FEW = 20; // clips of a class
/** The same name but for capitals. @param {string} name */
const twin = (name) => state().classes.find((other) => other.name !== name && other.name.toLowerCase() === name.toLowerCase())?.name;

/** A column that takes clips dragged to it. @param {HTMLElement} box @param {Choice} choice @param {() => string} name */
function takeClips(box, choice, name) {
  box.addEventListener('dragover', (event) => {
    if (!drag.isOn) return;
    event.preventDefault();
    box.classList.add('over');
  });
  box.addEventListener('dragleave', (event) => { if (!box.contains(/** @type {Node|null} */ (event.relatedTarget))) box.classList.remove('over'); });
  box.addEventListener('drop', (event) => {
    box.classList.remove('over');
    if (!drag.isOn) return;
    event.preventDefault();
    drag.isOn = false;
    choice.label(name());
  });
}

/** A class of the folder. */
class Column {
  /** @param {string} name @param {Choice} choice @param {Deeds} deeds */
  constructor(name, choice, deeds) {
    this.name = name;
    this.choice = choice;
    this.deeds = deeds;
    this.corner = h('span');
    this.input = h('input.class-name', { type: 'text', value: name, 'aria-label': DATA.className, size: 8, maxlength: 200, spellcheck: 'false', onchange: () => this.#rename(this.input.value), onkeydown: (event) => { if (event.key === 'Enter') this.input.blur(); if (event.key === 'Escape') { this.input.value = this.name; this.input.blur(); } } });
    this.number = h('span.count');
    this.hint = h('p.hint');
    this.list = new ClipList(choice, DATA.listOf(name), { label: name });
    this.recordButton = button(DATA.record, { sign: 'mic', quiet: true, 'aria-label': DATA.recordFor(name), onclick: () => deeds.record(this.name) });
    this.addButton = button(DATA.addFiles, { sign: 'add', quiet: true, 'aria-label': DATA.addFilesTo(name), onclick: () => deeds.files(this.name) });
    this.menu = h('details.menu', h('summary', { 'aria-label': DATA.menuOf(name) }, icon('more')), h('div.menu-box'));
    this.menu.addEventListener('toggle', () => { if (this.menu.open) this.#open(); });
    this.box = h('section.class', h('header', this.corner, this.input, this.number, this.menu), h('div.class-tools', this.recordButton, this.addButton), this.hint, this.list.box);
    takeClips(this.box, choice, () => this.name);
  }

  /** Show what the server knows now. */
  sync() {
    const { name } = this, of = state().classes.find((one) => one.name === name);
    const corner = ear(name), n = of?.n_clips ?? 0;
    this.box.className = `class ${inkOf(name)}`;
    this.box.dataset.class = name;
    this.box.setAttribute('aria-label', name);
    if (corner.className !== this.corner.className || corner.textContent !== this.corner.textContent) {
      this.corner.replaceWith(corner);
      this.corner = corner;
      this.list.virtual.redraw();
    }
    this.number.textContent = number(n);
    const other = twin(name), text = other ? DATA.sameName(other) : n < FEW ? DATA.few : '';
    if (text === this.hint.dataset.text) return;
    this.hint.dataset.text = text;
    this.hint.hidden = !text;
    this.hint.replaceChildren(icon('note'), h('span', text, other ? button(DATA.merge, { quiet: true, onclick: () => this.#rename(other) }) : null));
  }

  /** Become another class: the element and its list stay. @param {string} name */
  become(name) {
    this.name = name;
    this.list.which = { label: name };
    this.list.box.setAttribute('aria-label', DATA.listOf(name));
    this.recordButton.setAttribute('aria-label', DATA.recordFor(name));
    this.addButton.setAttribute('aria-label', DATA.addFilesTo(name));
    this.input.value = name;
  }

  /** @param {string} written */
  async #rename(written) {
    const old = this.name, name = written.trim();
    this.menu.open = false;
    if (!name || name === old) { this.input.value = old; return; }
    await this.deeds.free(old);
    const answer = await change('/api/classes/rename', { old, new: name });
    if (!answer) { this.input.value = old; return; }
    this.deeds.renamed(old, name);
    await refresh();
  }

  #open() {
    const box = /** @type {HTMLElement} */ (this.menu.lastElementChild), others = state().classes.filter(({ name }) => name !== this.name);
    const select = h('select', { 'aria-label': DATA.mergeInto }, others.map(({ name }) => h('option', name)));
    box.replaceChildren(button(DATA.chooseAll, { quiet: true, onclick: () => { this.menu.open = false; this.choice.pickAll(this.list); } }));
    if (others.length) put(box, h('div.row', h('span.how', DATA.mergeInto), select, button(DATA.merge, { onclick: () => this.#rename(select.value) })));
  }

  leave() { this.list.leave(); }
}

/** A class to come: a name, a button that records for it, and a hint. */
class Start {
  /** @param {string} name @param {string} hint @param {Deeds} deeds @param {boolean} [isNew] the place of a further class */
  constructor(name, hint, deeds, isNew = false) {
    this.name = name;
    this.isNew = isNew;
    this.input = h('input.class-name', { type: 'text', value: isNew ? '' : name, placeholder: isNew ? DATA.newPlaceholder : name, 'aria-label': DATA.newClassName, size: 8, maxlength: 200, spellcheck: 'false', oninput: () => this.#name() });
    this.record = h('button.record', { type: 'button', 'aria-label': DATA.recordFor(isNew ? DATA.newClass : name), onclick: () => deeds.record(this.label) }, h('span.dot'));
    this.box = h('section', { class: `class new ${isNew ? 'further' : 'start'}`, 'aria-label': isNew ? DATA.newClassName : name }, h('header', h('span.ear.new', { 'aria-hidden': 'true' }, '+'), this.input),
      h('div.start-tools', this.record, h('div', h('b', DATA.record), h('p.how', hint), button(DATA.addFiles, { sign: 'add', quiet: true, onclick: () => deeds.files(this.label) }))));
    this.#name();
  }

  get label() {
    const written = this.input.value.trim();
    if (written || !this.isNew) return written || this.name;
    const names = state().classes.map(({ name }) => name);
    let n = names.length + 1;
    while (names.includes(DATA.anotherSound(n))) n++;
    return DATA.anotherSound(n);
  }

  #name() {
    this.box.dataset.class = this.input.value.trim() || this.name;
    if (!this.isNew) this.record.setAttribute('aria-label', DATA.recordFor(this.label));
  }
}

export class Columns {
  /** @type {Map<string, Column>} */
  columns = new Map();
  /** @type {Map<string, Start>} */
  starts = new Map();

  /** @param {Choice} choice @param {Deeds} deeds */
  constructor(choice, deeds) {
    this.choice = choice;
    this.deeds = deeds;
    this.further = new Start('', DATA.newHint, deeds, true);
    this.box = h('div.classes');
    takeClips(this.further.box, choice, () => this.further.label);
  }

  /** Columns of the classes that there are, in their order; lists look at the server again. */
  sync() {
    const { classes } = state(), names = classes.map(({ name }) => name);
    for (const [name, column] of this.columns) {
      if (names.includes(name)) continue;
      column.leave();
      this.columns.delete(name);
    }
    for (const name of names) if (!this.columns.has(name)) this.columns.set(name, new Column(name, this.choice, this.deeds));
    const sounds = names.filter((name) => name !== DATA.background).length, wanted = /** @type {string[]} */ ([...DATA.starts.slice(sounds), ...(names.some((name) => name.toLowerCase() === DATA.background) ? [] : [DATA.background])]);
    for (const name of this.starts.keys()) if (!wanted.includes(name)) this.starts.delete(name);
    for (const name of wanted) if (!this.starts.has(name)) this.starts.set(name, new Start(name, name === DATA.background ? DATA.backgroundHint : DATA.startHint, this.deeds));
    const boxes = [...names.map((name) => this.#column(name).box), ...wanted.map((name) => /** @type {Start} */ (this.starts.get(name)).box), this.further.box];
    if (boxes.length !== this.box.children.length || boxes.some((box, k) => box !== this.box.children[k])) this.#arrange(boxes);
    this.box.classList.toggle('none', !names.length);
    for (const column of this.columns.values()) {
      column.sync();
      column.list.virtual.refresh();
    }
  }

  /** @param {string} name @returns {Column} */
  #column(name) { return /** @type {Column} */ (this.columns.get(name)); }

  /** Put boxes in order without moving those that stand right: what is moved forgets how far it was scrolled. @param {HTMLElement[]} boxes */
  #arrange(boxes) {
    const kept = new Set(boxes);
    for (const old of Array.from(this.box.children)) if (!kept.has(/** @type {HTMLElement} */ (old))) old.remove();
    boxes.forEach((box, k) => { if (this.box.children[k] !== box) this.box.insertBefore(box, this.box.children[k] ?? null); });
  }

  /** A class was renamed, perhaps into another one. @param {string} old @param {string} name */
  rename(old, name) {
    const column = this.columns.get(old);
    if (!column || this.columns.has(name)) return;
    column.become(name);
    this.columns.delete(old);
    this.columns.set(name, column);
  }

  /** Let the user name what was just recorded. @param {string} name */
  name(name) {
    const column = this.columns.get(name);
    if (!column) return;
    column.box.scrollIntoView({ block: 'nearest' });
    if (matchMedia('(pointer: coarse)').matches) return;
    column.input.focus({ preventScroll: true });
    column.input.select();
    say(COMMON.clips(state().classes.find((one) => one.name === name)?.n_clips ?? 0), ' · ', name);
  }

  leave() { for (const column of this.columns.values()) column.leave(); }
}
