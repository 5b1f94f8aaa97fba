/** What is chosen: its picture and waveform large, and what can be done with it. */

import { refresh, state } from '../api.js';
import { h, icon, seconds } from '../dom.js';
import { drawPicture, drawWave, peaks, picture } from '../draw.js';
import { button, ear, label, readout } from '../parts.js';
import { DATA } from '../texts.js';
import { change } from './data-choice.js';

/** @typedef {import('./data-choice.js').Choice} Choice */
/** @typedef {import('../types.js').Clip} Clip */

const POINTS = 1200;
const LONG_S = 10; // from here on regions are worth drawing

export class Panel {
  /** @param {Choice} choice */
  constructor(choice) {
    this.choice = choice;
    this.view = h('button.panel-view', { type: 'button', 'aria-label': DATA.play, onclick: () => choice.toggle() });
    this.title = h('div.panel-title');
    this.labels = h('div.panel-labels', { role: 'group', 'aria-label': DATA.labelAs });
    this.deeds = h('div.row');
    this.box = h('section.panel', { 'aria-label': DATA.chosen, hidden: true }, this.view, h('div.panel-side', this.title, this.labels, this.deeds));
    this.shown = '';
    /** @type {AbortController|null} */
    this.control = null;
    choice.listeners.add(() => this.show());
    choice.follow = (share) => {
      this.view.classList.toggle('on', share >= 0);
      if (share >= 0) this.view.style.setProperty('--at', String(share));
    };
  }

  show() {
    const { clips, lead } = this.choice, clip = lead && clips.has(lead.clip.id) ? lead.clip : clips.values().next().value;
    this.box.hidden = !clip;
    document.body.classList.toggle('has-panel', Boolean(clip));
    if (!clip) { this.shown = ''; return; }
    this.title.replaceChildren(...this.#heading(clip, clips.size), button('', { sign: 'cross', quiet: true, 'aria-label': DATA.closePanel, class: 'panel-close', onclick: () => this.choice.clear() }));
    this.#labels(clip, clips.size);
    this.#deeds(clip, clips.size);
    if (this.shown !== clip.id) this.#draw(clip);
  }

  /** @param {Clip} clip @param {number} n */
  #heading(clip, n) {
    if (n > 1) return [h('h2', DATA.nChosen(n))];
    return [h('h2.name', { title: clip.name }, clip.name), h('p.how', [seconds(clip.seconds), clip.error].filter(Boolean).join(' · ')), clip.label ? label(clip.label) : null].filter((part) => part != null);
  }

  /** @param {Clip} clip @param {number} n */
  #labels(clip, n) {
    const { classes } = state(), has = n === 1 ? clip.label : null;
    const input = h('input', { type: 'text', list: 'all-classes', placeholder: DATA.otherClass, 'aria-label': DATA.otherClass, size: 10, maxlength: 200, onkeydown: (event) => { if (event.key === 'Enter' && input.value.trim()) this.choice.label(input.value.trim()); } });
    this.labels.replaceChildren(...classes.slice(0, 9).map(({ name }) => button([ear(name), h('span', name)], { 'aria-label': DATA.giveLabel(name), 'aria-pressed': String(has === name), onclick: () => this.choice.label(name) })),
      input, h('datalist#all-classes', classes.map(({ name }) => h('option', { value: name }))));
  }

  /** @param {Clip} clip @param {number} n */
  #deeds(clip, n) {
    const { choice } = this, isOut = Boolean(choice.lead?.list.which.left_out);
    this.deeds.replaceChildren(...[
      isOut ? button(DATA.takeBack, { onclick: () => choice.change('/api/take-back') }) : button(DATA.leaveOut, { sign: 'out', key: 'X', onclick: () => choice.change('/api/leave-out', { reason: '' }) }),
      isOut || !(n > 1 || clip.label) ? null : button(DATA.noLabel, { onclick: () => choice.label(null) }),
      button(DATA.delete, { sign: 'bin', onclick: () => choice.change('/api/delete') }),
      n === 1 ? button(DATA.findMore, { sign: 'find', go: `#/find/-/search/${clip.id}` }) : null,
      n === 1 && (clip.start != null || (clip.seconds ?? 0) >= LONG_S) ? button(DATA.regions, { sign: 'long', go: `#/data/long/${clip.recording}` }) : null,
    ].filter((part) => part != null));
  }

  /** @param {Clip} clip */
  async #draw(clip) {
    this.shown = clip.id;
    this.control?.abort();
    const control = this.control = new AbortController(), { signal } = control;
    const canvas = h('canvas.panel-picture', { 'aria-hidden': 'true' }), wave = h('canvas.panel-wave', { 'aria-hidden': 'true' });
    this.view.replaceChildren(canvas, wave, h('span.playhead'), h('span.glyph', icon('play')));
    this.view.classList.remove('on');
    if (clip.error) { this.view.replaceChildren(h('span.unread', clip.error)); return; }
    try {
      const [made, { pairs }] = await Promise.all([picture(clip.id, { columns: 1024, rows: 192, signal }), peaks(clip.id, { points: POINTS, signal })]);
      if (signal.aborted) return;
      drawPicture(canvas, made, { axis: true });
      drawWave(wave, pairs);
      readout(this.view, made.seconds, made.start, made.topHz, canvas);
    } catch (error) {
      if (!signal.aborted) this.view.replaceChildren(h('span.unread', String(/** @type {Error} */ (error).message)));
    }
  }

  leave() {
    this.control?.abort();
    document.body.classList.remove('has-panel');
  }
}

/** Manifests that lie in the folder and are not in use. */
export function foundManifests() {
  const { manifests, can_write: canWrite } = state();
  if (!manifests.length || !canWrite) return null;
  return h('section.trouble.note', icon('note'), h('div', h('h2', DATA.found), h('p', DATA.foundText), h('div.row', manifests.map(({ id, name }) => button(DATA.use(name), { onclick: async () => { if (await change('/api/import', { id })) await refresh(); } })))));
}
