/** Around the picture of a section: a lane a class, the class of new regions, and the chosen region. */

import { state } from './api.js';
import { clock, h } from './dom.js';
import { button, ear, inkOf, label } from './parts.js';
import { EDITOR } from './texts.js';

/** @typedef {import('./types.js').Clip} Clip */
/**
 * @typedef {{choose: (id: string) => void, brush: (label: string) => void, label: (label: string) => void, remove: (id: string) => void,
 *   play: () => void, ends: (start: string, end: string) => void}} Acts
 */

export class Marks {
  /** @param {Acts} acts */
  constructor(acts) {
    this.acts = acts;
    this.brush = '';
    this.shownClip = '';
    this.lanes = h('div.lanes', { 'aria-hidden': 'true' }); // the table has the same for everyone
    this.name = h('input', { placeholder: EDITOR.newClass, 'aria-label': EDITOR.newClassName, maxlength: 200, size: 12, onkeydown: (event) => { if (event.key === 'Enter') this.takeName(); }, onblur: () => this.takeName() });
    this.brushes = h('div.brush', { role: 'group', 'aria-label': EDITOR.brush });
    this.chosen = h('div.chosen-box', { 'aria-live': 'polite' });
    this.showChosen(null, true);
  }

  takeName() {
    const name = this.name.value.trim();
    this.name.value = '';
    if (name) this.acts.brush(name);
  }

  /** @param {string} name */
  setBrush(name) {
    this.brush = name;
    const names = state().classes.map((each) => each.name), all = name && !names.includes(name) ? [...names, name] : names;
    this.brushes.replaceChildren(h('span.how', EDITOR.brush), ...all.map((each) => h('button', { type: 'button', class: 'button', 'aria-pressed': String(each === name), onclick: () => this.acts.brush(each) }, ear(each), h('span', each))), this.name);
  }

  /** @param {Clip[]} regions @param {number} from @param {number} length @param {string|null} chosen */
  showLanes(regions, from, length, chosen) {
    const inView = regions.filter(({ start, end }) => (end ?? Infinity) > from && (start ?? 0) < from + length), seen = new Set(inView.map((clip) => clip.label)).add(this.brush);
    const names = state().classes.map(({ name }) => name).filter((name) => seen.delete(name));
    for (const name of seen) if (name) names.push(name);
    const hasNone = inView.some(({ label }) => !label);
    this.lanes.replaceChildren(...[...names, ...(hasNone ? ['unknown'] : [])].map((name) => h('div.lane', label(name), h('div.lane-line', inView.filter((clip) => (clip.label ?? 'unknown') === name).map(({ id, start, end }) =>
      h('span', { class: `bar ${inkOf(name)}`, 'data-chosen': id === chosen, style: { '--x': Math.max(0, (start ?? 0) - from) / length, '--w': (Math.min(from + length, end ?? Infinity) - Math.max(from, start ?? 0)) / length }, onclick: () => this.acts.choose(id) }))))));
  }

  /** @param {Clip|null} clip @param {boolean} [isForced] also if it is shown already */
  showChosen(clip, isForced = false) {
    const words = clip ? `${clip.id} ${clip.start} ${clip.end} ${clip.label}` : '';
    if (words === this.shownClip && !isForced) return;
    this.shownClip = words;
    this.chosen.className = `chosen-box ${clip?.label ? inkOf(clip.label) : 'ku'}`;
    if (!clip) {
      this.chosen.replaceChildren(h('span.how', EDITOR.noneChosen));
      return;
    }
    /** @param {string} text @param {number|null} value */
    const field = (text, value) => h('input', { value: clock(value ?? 0, 2).replace(/,(?=\d+$)/, '.'), 'aria-label': text, autocomplete: 'off', onchange: () => this.acts.ends(start.value, end.value) });
    const start = field(EDITOR.start, clip.start), end = field(EDITOR.end, clip.end);
    this.chosen.replaceChildren(label(clip.label ?? 'unknown'), h('label', h('span', EDITOR.start), start), h('label', h('span', EDITOR.end), end),
      button(EDITOR.findMore, { sign: 'find', quiet: true, go: `#/find/-/search/${clip.id}` }), button(EDITOR.playIt, { sign: 'play', quiet: true, key: 'Enter', onclick: this.acts.play }), button(EDITOR.remove, { sign: 'bin', quiet: true, key: 'X', onclick: () => this.acts.remove(clip.id) }));
  }
}
