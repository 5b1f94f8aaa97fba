/** The recorder: one press, a countdown, several pieces, each in the folder while it is recorded. */

import { state } from '../api.js';
import { h, icon, number, say } from '../dom.js';
import { keep, paint, token } from '../draw.js';
import { microphones } from '../microphone.js';
import { button, placeOf, trouble } from '../parts.js';
import { stop as silence } from '../player.js';
import { openMicrophone, Take } from '../recorder.js';
import { COMMON, DATA } from '../texts.js';

/** @typedef {import('../recorder.js').Piece} Piece */
/** @typedef {import('../recorder.js').Microphone} Microphone */

const COUNT_MS = 800;
const QUIET = 0.002; // the loudest value of a take that a deaf microphone gives
const CLIPPED = 0.999;
const BARS = 240;
/** What was set last holds until the page is closed. */
const settings = { pieces: 5, seconds: 2, device: '' };
/** Pieces that the folder does not have yet. @type {Set<Piece>} */
const unsaved = new Set();

addEventListener('beforeunload', (event) => { if (unsaved.size) event.preventDefault(); });

/** @param {string} text @param {[string, string][]} options value and words @param {string} value @param {(value: string) => void} onpick */
function picker(text, options, value, onpick) {
  const select = h('select', { onchange: () => onpick(select.value) }, options.map(([v, words]) => h('option', { value: v, selected: v === value }, words)));
  return { box: h('label', h('span', text), select), select };
}

export class RecorderBar {
  /** @type {string|null} */
  target = null;
  /** @type {Take|null} */
  take = null;
  /** @type {Microphone|null} */
  microphone = null;
  isOpening = false;
  wasSet = false;
  options = '';
  timer = 0;
  count = 0;
  kept = 0;
  loudest = 0;
  clippedAt = 0;
  /** @type {Float32Array} */
  peaks = new Float32Array(BARS);
  notes = h('div.recorder-notes');
  face = h('span.dot');
  main = h('button.record', { type: 'button', 'aria-keyshortcuts': 'R', onclick: () => this.press() }, this.face);
  what = h('b');
  how = h('span.how');
  wave = h('canvas.live', { 'aria-hidden': 'true' });
  time = h('span.num');
  pips = h('span.pips', { 'aria-hidden': 'true' });
  meter = h('meter', { min: 0, max: 1, low: 0.3, high: 0.92, optimum: 0.6, value: 0, 'aria-label': DATA.level });
  warning = h('span.loud', { role: 'status' });
  for = picker(DATA.for, [], '', (value) => { this.target = value || null; });
  device = picker(DATA.input, [], '', (value) => { settings.device = value; });

  /** @param {{onover: (label: string|null, pieces: Piece[]) => void, onfiles: () => void}} hears */
  constructor(hears) {
    this.hears = hears;
    const endless = String(Infinity), longest = Math.min(state().limits.piece_s || 30, 30);
    const pieces = picker(DATA.pieces, [...['1', '3', '5', '10', '20'].map((n) => /** @type {[string, string]} */ ([n, n])), [endless, DATA.endless]], String(settings.pieces), (value) => { settings.pieces = Number(value); });
    const length = picker(DATA.each, [1, 2, 3, 5, 10, 30].filter((s) => s <= longest).map((s) => [String(s), number(s)]), String(settings.seconds), (value) => { settings.seconds = Number(value); });
    this.device.box.hidden = true;
    this.box = h('section.recorder', { 'aria-label': DATA.recorder }, this.main, h('div.record-what', this.what, this.how),
      h('div.record-live', this.wave, h('div.record-time', this.time, this.pips), this.warning), h('div.level', { 'aria-hidden': 'true' }, h('span', DATA.level), this.meter),
      h('div.record-for', this.for.box, this.device.box, pieces.box, length.box));
    keep(this.wave, (context, w, ht) => this.#draw(context, w, ht));
    this.sync();
    this.#show();
  }

  get isOn() { return Boolean(this.take) || this.count > 0 || this.isOpening; }

  /** Show the classes that there are now. */
  sync() {
    const names = state().classes.map(({ name }) => name);
    if (this.target === null && !this.wasSet) this.target = names[0] ?? DATA.starts[0];
    this.wasSet = true;
    const options = /** @type {[string, string][]} */ ([...names.map((name) => [name, placeOf(name) < 9 ? `${placeOf(name) + 1}  ${name}` : name]), ...(this.target && !names.includes(this.target) ? [[this.target, this.target]] : []), ['', DATA.noClass]]);
    const text = JSON.stringify([options, this.target]);
    if (text === this.options) return;
    this.options = text;
    this.for.select.replaceChildren(...options.map(([value, words]) => h('option', { value, selected: value === (this.target ?? '') }, words)));
  }

  /** @param {string} old @param {string} name */
  rename(old, name) {
    if (this.target === old) this.target = name;
    this.sync();
  }

  press() { if (this.isOn) this.stop(); else this.record(this.target); }

  /** Count to the first piece, and record. @param {string|null} label */
  async record(label) {
    if (this.isOn) { this.stop(); return; }
    silence();
    this.target = label;
    this.sync();
    this.notes.replaceChildren();
    this.isOpening = true;
    this.#show();
    try {
      const microphone = await openMicrophone({ device: settings.device, onchunk: (chunk) => this.#hear(chunk), onlost: () => this.#lose() });
      if (!this.isOpening) { microphone.close(); return; }
      this.microphone = microphone;
    } catch (error) {
      this.isOpening = false;
      this.#show();
      const { kind, message } = /** @type {import('../microphone.js').MicrophoneError} */ (error);
      this.#fail(kind, '', message);
      return;
    }
    this.isOpening = false;
    this.peaks.fill(0);
    this.loudest = 0;
    this.#countdown(3, label);
    this.#devices();
  }

  /** @param {number} from @param {string|null} label */
  #countdown(from, label) {
    this.count = from;
    this.#show();
    if (from === 3) say(DATA.ready);
    this.timer = setTimeout(() => {
      if (from > 1) { this.#countdown(from - 1, label); return; }
      this.count = 0;
      const { rate } = /** @type {Microphone} */ (this.microphone);
      const isEndless = settings.pieces === Infinity;
      this.kept = 0;
      this.take = new Take({ label, count: settings.pieces, seconds: isEndless ? Math.min(30, state().limits.piece_s || 30) : settings.seconds, rate }, { onpiece: (piece) => this.#piece(piece), onover: () => this.#over() });
      this.#show();
      say(label ? DATA.recordingNow(label) : DATA.record);
    }, COUNT_MS);
  }

  /** End now; finished pieces are kept. */
  stop() {
    clearTimeout(this.timer);
    this.isOpening = false;
    this.count = 0;
    if (this.take) {
      if (this.take.stop()) say(DATA.tooShort);
    } else this.#close();
    this.#show();
  }

  #close() {
    this.microphone?.close();
    this.microphone = null;
    this.meter.value = 0;
    this.warning.textContent = '';
  }

  #over() {
    const { take } = this;
    if (!take) return;
    this.take = null;
    this.#close();
    this.#show();
    if (this.loudest < QUIET && take.pieces.length) this.warning.textContent = DATA.quiet;
    this.hears.onover(take.plan.label, take.pieces);
  }

  /** @param {Piece} piece */
  #piece(piece) {
    if (piece.state === 'kept') { unsaved.delete(piece); this.kept++; } else unsaved.add(piece);
    const failed = [...unsaved].filter(({ state }) => state === 'failed'), waits = [...unsaved].filter(({ state }) => state === 'waiting');
    if (failed.length) {
      this.take?.stop(true);
      const isFull = failed[0].error?.status === 507;
      this.notes.replaceChildren(trouble('error', isFull ? DATA.full : DATA.unsaved, `${failed[0].error?.detail ?? ''} ${DATA.notSaved(this.kept, failed.length)}`,
        button(DATA.saveAgain, { primary: true, onclick: () => this.#again(failed) })));
    } else if (waits.length) {
      const { title, text } = DATA.waiting(waits.length, waits[0].error?.status ? waits[0].error.detail : '');
      this.notes.replaceChildren(trouble('warn', title, text));
    } else if (!unsaved.size && this.notes.querySelector('.warn')) {
      this.notes.replaceChildren();
      say(DATA.allSaved);
    }
  }

  /** @param {Piece[]} failed */
  async #again(failed) {
    this.notes.replaceChildren();
    for (const piece of failed) piece.again();
    await Promise.all(failed.map(({ finished }) => finished));
    if (failed.every((piece) => piece.state === 'kept')) say(DATA.allSaved);
  }

  #lose() {
    const { take } = this;
    clearTimeout(this.timer);
    this.count = 0;
    take?.stop(true);
    this.#close();
    this.#show();
    this.#fail('lost', DATA.keptSoFar(take?.pieces.length ?? 0));
  }

  /** @param {import('../microphone.js').Failure} kind @param {string} kept @param {string} [detail] what the browser says */
  #fail(kind, kept, detail = '') {
    const { title, text } = COMMON.microphone[kind];
    settings.device = '';
    this.notes.replaceChildren(trouble('error', title, `${kept} ${text} ${kind === 'failed' ? detail : ''}`.trim(), kind === 'insecure' ? null : button(DATA.again, { sign: 'mic', onclick: () => this.record(this.target) }), button(DATA.dropInstead, { sign: 'file', onclick: this.hears.onfiles })));
    this.#devices();
  }

  async #devices() {
    const found = await microphones();
    this.device.box.hidden = found.length < 2;
    this.device.select.replaceChildren(h('option', { value: '' }, DATA.inputDefault), ...found.filter(({ deviceId }) => deviceId !== 'default').map(({ deviceId, label }, k) => h('option', { value: deviceId, selected: deviceId === settings.device }, label || number(k + 1))));
  }

  /** @param {import('../recorder.js').Chunk} chunk */
  #hear({ samples, peak }) {
    this.peaks.copyWithin(0, 1);
    this.peaks[BARS - 1] = peak;
    this.meter.value = peak > 0 ? Math.max(0, 1 + Math.log10(peak) / 3) : 0;
    if (peak >= CLIPPED) {
      this.clippedAt = performance.now();
      this.warning.textContent = DATA.loud;
    } else if (this.clippedAt && performance.now() - this.clippedAt > 4000) {
      this.clippedAt = 0;
      this.warning.textContent = '';
    }
    if (this.take) {
      this.loudest = Math.max(this.loudest, peak);
      this.take.feed(samples);
      if (this.take) this.#time();
    }
    paint(this.wave);
  }

  #time() {
    const { take } = this;
    if (!take) return;
    const { count, seconds } = take.plan, k = Math.max(1, take.pieces.length);
    const what = DATA.piece(k, count);
    if (this.what.textContent !== what) this.what.textContent = what;
    this.time.textContent = DATA.time(take.second, seconds);
    if (this.pips.childElementCount !== (count <= 20 ? count : 0)) this.pips.replaceChildren(...Array.from({ length: count <= 20 ? count : 0 }, () => h('i')));
    [...this.pips.children].forEach((pip, n) => /** @type {HTMLElement} */ (pip).style.setProperty('--v', String(n + 1 < k ? 1 : n + 1 === k ? take.second / seconds : 0)));
  }

  #show() {
    const isOn = Boolean(this.take), isNear = this.count > 0 || this.isOpening;
    this.box.classList.toggle('on', isOn);
    this.box.classList.toggle('near', isNear);
    this.main.setAttribute('aria-label', isOn || isNear ? DATA.stop : this.target ? DATA.recordFor(this.target) : DATA.record);
    this.main.replaceChildren(this.count ? h('span.count-in', number(this.count)) : this.isOpening ? icon('mic') : this.face);
    this.what.textContent = isOn ? DATA.piece(1, settings.pieces) : isNear ? DATA.ready : DATA.record;
    this.how.replaceChildren(...(isOn || isNear ? [DATA.escStops] : [DATA.orPress, h('kbd', 'R')]));
    this.pips.replaceChildren();
    const { microphone } = this;
    this.time.textContent = microphone ? DATA.microphone(microphone.name, microphone.rate) : DATA.device;
    for (const select of this.box.querySelectorAll('select')) select.disabled = isOn || isNear;
    if (isOn) this.#time();
    paint(this.wave);
  }

  /** @param {CanvasRenderingContext2D} context @param {number} w @param {number} ht */
  #draw(context, w, ht) {
    const bars = Math.min(BARS, Math.floor(w / 4)), isOn = Boolean(this.take);
    context.fillStyle = token(isOn ? '--rec' : '--edge');
    for (let k = 0; k < bars; k++) {
      const loud = this.isOn ? Math.sqrt(this.peaks[BARS - bars + k]) : 0;
      context.fillRect(k * 4, (ht / 2) * (1 - loud), 2, Math.max(2, ht * loud));
    }
  }

  leave() { this.stop(); }
}
