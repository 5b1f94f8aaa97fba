/** A list of clips: tiles in view only, chosen by pointer and keys, dragged to a class. */

import { h, icon, say, seconds, short } from '../dom.js';
import { whenSeen } from '../draw.js';
import { ear, showPicture } from '../parts.js';
import { COMMON } from '../texts.js';
import { Virtual } from '../virtual.js';
import { clipsOf } from './data-choice.js';

/** @typedef {import('../types.js').Clip} Clip */
/** @typedef {import('./data-choice.js').Choice} Choice */

/** What is dragged now: the chosen clips. */
export const drag = { isOn: false };

export class ClipList {
  /**
   * @param {Choice} choice
   * @param {string} name of the list, for screen readers
   * @param {Object<string, string|number|boolean|null>} which clips
   * @param {(total: number) => void} [onload]
   */
  constructor(choice, name, which, onload) {
    this.choice = choice;
    this.which = which;
    this.box = h('div.clips', { role: 'listbox', 'aria-multiselectable': 'true', 'aria-label': name, tabindex: -1 });
    this.virtual = new Virtual(this.box, {
      load: (first, count) => clipsOf(this.which)(first, count), make: (clip, index) => this.#make(clip, index), key: ({ id }) => id,
      height: 4.9, width: 8.5, gap: 0.5, onerror: (error) => say(error.message), onload: (total) => { this.box.hidden = !total; onload?.(total); this.#tab(); },
    });
    this.box.addEventListener('click', (event) => this.#click(event));
    this.box.addEventListener('keydown', (event) => this.#key(event));
    this.box.addEventListener('dragstart', (event) => this.#drag(event));
    this.box.addEventListener('dragend', () => { drag.isOn = false; });
    choice.listeners.add(this.mark);
  }

  leave() {
    this.virtual.leave();
    this.choice.listeners.delete(this.mark);
  }

  /** Show which clips are chosen. */
  mark = () => {
    for (const element of this.virtual.elements()) {
      const isChosen = this.choice.clips.has(/** @type {string} */ (element.dataset.id));
      if (element.getAttribute('aria-selected') !== String(isChosen)) element.setAttribute('aria-selected', String(isChosen));
    }
    this.#tab();
  };

  /** After a change: choose what now stands where the last one stood. @param {number} index */
  async settle(index) {
    await this.virtual.refresh();
    const place = Math.min(index, this.virtual.total - 1);
    if (place < 0) { this.choice.tell(); return; }
    const element = await this.virtual.reveal(place);
    await this.choice.pick(this, place);
    element?.focus({ preventScroll: true });
  }

  /** One tile of a list can be reached by Tab: the chosen one, or the first in view. */
  #tab() {
    const elements = this.virtual.elements(), { lead } = this.choice;
    const one = (lead?.list === this && this.virtual.elementOf(lead.clip.id)) || elements.find(({ dataset }) => dataset.index === '0') || elements[0];
    for (const element of elements) element.tabIndex = element === one ? 0 : -1;
  }

  /** @param {Clip} clip @param {number} index */
  #make(clip, index) {
    const canvas = h('canvas', { 'aria-hidden': 'true' }), { label, name, error } = clip;
    whenSeen(canvas, () => { showPicture(canvas, clip); });
    return h('div', { class: `clip tile ${error ? 'broken' : ''}`, role: 'option', draggable: 'true', tabindex: index ? -1 : 0, 'data-id': clip.id, 'aria-selected': String(this.choice.clips.has(clip.id)), 'aria-label': [name, label, seconds(clip.seconds), error].filter(Boolean).join(', ') },
      h('div.listen', error ? h('span.unread', { title: error }, COMMON.unreadable) : canvas, h('span.glyph', icon('play')), h('span.playhead'), label ? ear(label) : null),
      h('div.caption', h('span.name', { title: error ?? name }, short(name)), h('span.num', seconds(clip.seconds))));
  }

  /** @param {Event} event @returns {number} the place of the tile under it, or -1 */
  #place(event) {
    const tile = /** @type {HTMLElement|null} */ (/** @type {Element} */ (event.target).closest('.clip'));
    return tile ? Number(tile.dataset.index) : -1;
  }

  /** @param {MouseEvent} event */
  async #click(event) {
    const index = this.#place(event);
    if (index < 0) return;
    const add = event.ctrlKey || event.metaKey, range = event.shiftKey, isAgain = this.choice.lead?.list === this && this.choice.lead.index === index && !add && !range;
    if (isAgain) { this.choice.toggle(); return; }
    await this.choice.pick(this, index, { add, range });
    if (!add && !range) this.choice.play();
  }

  /** @param {KeyboardEvent} event */
  async #key(event) {
    const { key } = event, index = this.#place(event), { columns, total } = this.virtual;
    if ((event.ctrlKey || event.metaKey) && key.toLowerCase() === 'a') {
      event.preventDefault();
      await this.choice.pickAll(this);
      return;
    }
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -index, End: total - 1 - index, PageUp: -3 * columns, PageDown: 3 * columns }[key];
    if (step === undefined || index < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const next = Math.max(0, Math.min(total - 1, index + step));
    const element = await this.virtual.reveal(next);
    await this.choice.pick(this, next, { range: event.shiftKey });
    element?.focus({ preventScroll: true });
  }

  /** @param {DragEvent} event */
  #drag(event) {
    const index = this.#place(event), clip = this.virtual.at(index);
    if (!clip || !event.dataTransfer) return;
    if (!this.choice.clips.has(clip.id)) this.choice.pick(this, index);
    drag.isOn = true;
    event.dataTransfer.effectAllowed = 'move';
    event.dataTransfer.setData('text/plain', clip.name);
  }
}
