/** What Try shows of live sound: the pictures, the lanes, what it is now, and the scores. */

import { h, icon, number } from './dom.js';
import { token } from './draw.js';
import { button, chip, inkOf, label, placeOf, scoreRows } from './parts.js';
import { TRY } from './texts.js';

/** @typedef {import('./live-scope.js').Lane} Lane */
/** @typedef {import('./models.js').Model} Model */
/** @typedef {'ready'|'asking'|'on'|'paused'|'gone'|'no'} Phase */
/** @typedef {{labels: string[], scores: number[], label: string|null, is_unknown: boolean, isQuiet: boolean}} Scores */
/**
 * @typedef {{start: () => void, pause: () => void, model: (name: string) => void, device: (id: string) => void,
 *   threshold: (value: number) => void, quiet: (db: number) => void}} Acts
 */

export const MOST_LANES = 9;
export const QUIET_DB = -60;
const UNKNOWN = 'unknown';
const HELD_MS = 400; // how long a label stays when the next window has none
const SAID_MS = 3000; // the least between two sentences to a screen reader

/**
 * A slider with its value in words.
 * @param {string} text @param {{min: number, max: number, step: number, value: number}} range
 * @param {(value: number) => string} write @param {(value: number) => void} take
 */
function slider(text, range, write, take) {
  const output = h('output.num', write(range.value));
  const input = h('input', { type: 'range', ...range, 'aria-valuetext': write(range.value), oninput: () => {
    const now = Number(input.value);
    output.textContent = write(now);
    input.setAttribute('aria-valuetext', write(now));
    take(now);
  } });
  return h('label.range', h('span', text), input, output);
}

export class Board {
  /** @param {Model[]} models @param {string} name @param {Acts} acts */
  constructor(models, name, acts) {
    this.signText = h('span', TRY.phases.ready);
    this.chip = h('span.row');
    this.models = h('select', { onchange: () => acts.model(this.models.value) }, models.map((model) => h('option', { value: model.name, selected: model.name === name }, model.name)));
    this.devices = h('select', { onchange: () => acts.device(this.devices.value) }, h('option', { value: '' }, TRY.usualDevice));
    this.delay = h('span.how.delay');
    this.meter = h('meter', { min: 0, max: 1, value: 0, 'aria-label': TRY.level });
    this.level = h('span.num');
    this.gutter = h('div.gutter');
    this.start = h('div.scope-start', button(TRY.start, { sign: 'mic', primary: true, key: 'Space', onclick: acts.start }), h('p.how', TRY.startHow));
    this.pictures = h('div.scope-pictures');
    this.picture = h('canvas.running');
    this.tracks = h('canvas.tracks');
    this.troubles = h('div.troubles');
    this.now = h('p.now', { 'aria-hidden': 'true' });
    this.aloud = h('p.hidden', { role: 'status' });
    this.barsBox = h('div');
    this.bars = scoreRows([]);
    this.pause = button(TRY.pause, { hidden: true, onclick: acts.pause });
    this.threshold = 0;
    this.shown = '';
    this.shownAt = 0;
    this.said = '';
    this.saidAt = 0;
    /** @type {string[]} */
    this.lanes = [];
    /** @type {Map<string, number>} */
    this.heardAt = new Map();
    const ranges = h('div.ranges',
      slider(TRY.threshold, { min: 0, max: 0.99, step: 0.01, value: 0 }, (x) => (x ? number(x, 2) : TRY.all), (x) => { this.setThreshold(x); acts.threshold(x); }),
      slider(TRY.quietBelow, { min: -90, max: -20, step: 1, value: QUIET_DB }, (x) => `${number(x)} dB`, acts.quiet),
      h('p.how', TRY.thresholdHow));
    this.scope = h('div.scope', this.gutter, this.pictures);
    this.live = h('section.live-box', { 'aria-label': TRY.liveName },
      h('div.live-head', h('span.on-air', h('i'), this.signText), h('label', h('span', TRY.with), this.models), this.chip, h('label', h('span', TRY.through), this.devices), this.delay), this.now, this.aloud, this.scope);
    this.answers = h('section', this.barsBox, ranges);
    this.newPictures();
  }

  /** New canvases: one that a worker draws cannot be given to another. */
  newPictures() {
    this.picture = h('canvas.running', { role: 'img', 'aria-label': TRY.pictureName });
    this.tracks = h('canvas.tracks', { role: 'img', 'aria-label': TRY.tracksName });
    this.pictures.replaceChildren(this.picture, this.tracks, h('span.now-line', { 'aria-hidden': 'true' }), this.start);
  }

  /** @param {Model|undefined} model */
  setModel(model) {
    this.chip.replaceChildren(...(model?.verdict ? [chip(model.verdict.word)] : []));
    this.lanes = (model?.labels ?? []).slice(0, MOST_LANES);
    this.hasUnknown = model?.has_unknown ?? false;
    this.showLanes();
    this.showNow(null);
  }

  showLanes() {
    this.bars = scoreRows(this.lanes, { border: this.threshold, unknown: this.hasUnknown });
    this.barsBox.replaceChildren(this.bars.box);
    this.setThreshold(this.threshold);
    this.scope.style.setProperty('--lanes', String(this.lanes.length + 1));
    this.gutter.replaceChildren(h('div.gutter-top', h('span', TRY.level), this.meter, this.level, h('span.how', TRY.newest)), ...[...this.lanes, UNKNOWN].map((name) => h('span.gutter-lane', label(name))));
  }

  /** With more classes than lanes, those that were heard have the lanes. @param {string|null} name @returns {boolean} whether lanes have changed */
  bringIn(name) {
    if (!name || name === UNKNOWN) return false;
    this.heardAt.set(name, Date.now());
    if (this.lanes.includes(name)) return false;
    const times = this.lanes.map((lane) => this.heardAt.get(lane) ?? 0), oldest = times.lastIndexOf(Math.min(...times));
    this.lanes = this.lanes.with(oldest, name);
    this.showLanes();
    return true;
  }

  /** @param {number} value */
  setThreshold(value) {
    this.threshold = value;
    this.bars.box.style.setProperty('--border', String(value));
    this.bars.box.classList.toggle('bordered', value > 0);
  }

  /** Lanes as the worker draws them. @returns {Lane[]} */
  lanesToDraw() {
    const lanes = this.lanes.map((name) => {
      const ink = inkOf(name), place = placeOf(name), isKnown = ink !== 'ku';
      return { label: name, isUnknown: false, key: place >= 0 && place < 9 ? String(place + 1) : name.slice(0, 1), colour: token(isKnown ? `--${ink}` : '--unknown'), ink: token(isKnown ? `--i${ink.slice(1)}` : '--paper') };
    });
    return [...lanes, { label: '', isUnknown: true, key: '?', colour: token('--unknown'), ink: token('--ink') }];
  }

  /** @param {Phase} phase @param {boolean} isQuiet */
  showPhase(phase, isQuiet) {
    const isOn = phase === 'on' || phase === 'gone' || phase === 'paused';
    this.live.dataset.phase = phase;
    this.start.hidden = phase !== 'ready';
    this.pause.hidden = !isOn;
    this.pause.replaceChildren(icon(phase === 'paused' ? 'play' : 'pause'), h('span', phase === 'paused' ? TRY.goOn : TRY.pause), h('kbd', { 'aria-hidden': 'true' }, 'Space'));
    this.showSign(phase, isQuiet);
  }

  /** @param {Phase} phase @param {boolean} isQuiet */
  showSign(phase, isQuiet) {
    const words = TRY.phases[phase === 'on' && isQuiet ? 'quiet' : phase];
    if (this.signText.textContent !== words) this.signText.textContent = words;
  }

  /** @param {number} peak dB of full scale @param {number} loudness dB of full scale */
  showLevel(peak, loudness) {
    this.meter.value = Math.max(0, Math.min(1, 1 + peak / 60));
    this.level.textContent = `${number(Math.max(-99, loudness))} dB`;
  }

  /** @param {Scores} scores */
  showScores({ labels, scores, label: name, is_unknown: isUnknown, isQuiet }) {
    /** @type {Object<string, number>} */
    const values = Object.fromEntries(labels.map((each, k) => [each, scores[k]]));
    values[UNKNOWN] = isUnknown ? 1 : 0;
    this.bars.set(values, isQuiet ? null : isUnknown ? UNKNOWN : name);
    this.showNow(isQuiet ? 'quiet' : isUnknown ? UNKNOWN : name === null ? 'nothing' : 'label', name ?? '');
  }

  /** What it is now, in one word; a label stays for a moment, so that it can be read. @param {string|null} kind @param {string} [name] */
  showNow(kind, name = '') {
    const now = Date.now(), word = kind === 'label' ? `label ${name}` : kind ?? 'none', isLabel = kind === 'label';
    if (isLabel) this.shownAt = now;
    else if (kind && this.shown.startsWith('label ') && now - this.shownAt < HELD_MS) return;
    if (word === this.shown) return;
    this.shown = word;
    this.now.replaceChildren(isLabel ? label(name) : kind === UNKNOWN ? label(UNKNOWN) : h('span.nothing', TRY.now[`${kind ?? 'none'}Word`]), h('span.how', TRY.now[kind ?? 'none']));
    if (isLabel) this.sayAloud(name, now);
  }

  /** Tell a screen reader of a label, seldom enough to be heard out. @param {string} name @param {number} now */
  sayAloud(name, now) {
    if (now - this.saidAt < (name === this.said ? 4 : 1) * SAID_MS) return;
    this.said = name;
    this.saidAt = now;
    this.aloud.textContent = name;
  }
}
