/** The events of a listening: a list that plays, keeps and saves, and how many there are an hour. */

import { appendUpload, beginUpload, finishUpload } from './api.js';
import { h, icon, number, say, seconds } from './dom.js';
import { button, label } from './parts.js';
import { csv, saveText } from './save.js';
import { TRY } from './texts.js';

/** @typedef {{start: number, end: number, label: string, score: number, at: number, isQuiet: boolean}} Event */
/** @typedef {{cut: (start: number, end: number) => Promise<{rate: number, samples: Int16Array|null}>, hush: (isOn: boolean) => void, name: () => string}} Needs */

const MOST = 1000; // events that are remembered
const SHOWN = 40;
const MARGIN_S = 0.25; // around an event that is played or kept
const PIECE_BYTES = 1_000_000; // that the server takes at once
const LEAST_S = 1.2; // of a clip that is kept
const clock = new Intl.DateTimeFormat(navigator.language, { hour: '2-digit', minute: '2-digit', second: '2-digit' });

/** Limits of a count whose mean is unknown, with 95 % (Wilson and Hilferty's approximation). @param {number} n */
function limits(n) {
  const low = n ? n * (1 - 1 / (9 * n) - 1.96 / (3 * Math.sqrt(n))) ** 3 : 0, m = n + 1;
  return [low, m * (1 - 1 / (9 * m) + 1.96 / (3 * Math.sqrt(m))) ** 3];
}

export class Heard {
  /** @param {Needs} needs */
  constructor(needs) {
    this.needs = needs;
    /** @type {Event[]} */
    this.events = [];
    this.threshold = 0;
    this.heardMs = 0;
    this.since = 0;
    this.dropped = 0;
    /** @type {AudioContext|null} */
    this.context = null;
    this.list = h('ol.heard', { 'aria-label': TRY.heard });
    this.none = h('p.how');
    this.rate = h('p.rate');
    this.again = button(TRY.countAgain, { quiet: true, onclick: () => this.clear() });
    this.save = button(TRY.saveList, { quiet: true, sign: 'save', onclick: () => this.saveList() });
    this.box = h('section.heard-box', h('div.row.between', h('h2', TRY.heard), h('div.row', this.again, this.save)), this.rate, this.list, this.none);
    this.timer = setInterval(() => this.showRate(), 1000);
    this.show();
  }

  get shown() {
    return this.events.filter(({ score }) => score >= this.threshold);
  }

  /** @param {Event} event */
  add(event) {
    this.events.push(event);
    if (this.events.length > MOST) {
      this.events.shift();
      this.dropped++;
    }
    if (event.score < this.threshold) return;
    this.list.prepend(this.item(event));
    while (this.list.childElementCount > SHOWN) this.list.lastElementChild?.remove();
    this.showRate();
  }

  /** @param {number} threshold */
  setThreshold(threshold) {
    this.threshold = threshold;
    this.show();
  }

  clear() {
    this.events = [];
    this.dropped = 0;
    this.heardMs = 0;
    if (this.since) this.since = Date.now();
    this.show();
  }

  goOn() {
    this.since ||= Date.now();
    this.showRate();
  }

  rest() {
    if (this.since) this.heardMs += Date.now() - this.since;
    this.since = 0;
    this.showRate();
  }

  show() {
    this.list.replaceChildren(...this.shown.slice(-SHOWN).toReversed().map((event) => this.item(event)));
    this.showRate();
  }

  /** How many an hour: what a false alarm costs is felt before the classifier is used. */
  showRate() {
    const n = this.shown.length + this.dropped, ms = this.heardMs + (this.since ? Date.now() - this.since : 0), hours = ms / 3_600_000;
    const isEarly = ms < 60_000, [low, high] = limits(n).map((x) => x / hours);
    const words = !ms ? '' : isEarly ? TRY.soFar(n, Math.round(ms / 1000)) : TRY.perHour(n / hours, low, high, seconds(Math.round(ms / 60_000) * 60));
    if (this.rate.textContent !== words) this.rate.textContent = words;
    this.none.textContent = n ? TRY.heardHow : ms ? TRY.nothingYet : TRY.heardFirst;
    this.save.hidden = this.again.hidden = !n;
  }

  /** @param {Event} event */
  item(event) {
    const name = `${event.label}, ${clock.format(event.at)}`;
    const play = h('button.icon-button', { type: 'button', 'aria-label': TRY.playEvent(name), title: TRY.playEvent(name), onclick: () => this.play(event, play) }, icon('play'));
    const keep = h('button.icon-button', { type: 'button', 'aria-label': TRY.keepEvent(name), title: TRY.keepEvent(name), onclick: () => this.keep(event, keep) }, icon('add'));
    return h('li', { class: event.isQuiet ? 'in-quiet' : '' }, h('span.num', clock.format(event.at)), label(event.label), h('span.num', number(event.score, 2)), h('span.num', seconds(event.end - event.start)), h('span.row', play, keep));
  }

  /** @param {Event} event @param {number} [least] seconds */
  stretch({ start, end }, least = 0) {
    const more = Math.max(MARGIN_S, (least - (end - start)) / 2);
    return this.needs.cut(Math.max(0, start - more), end + more);
  }

  /** @param {Event} event @param {HTMLElement} box */
  async play(event, box) {
    const { samples, rate } = await this.stretch(event);
    if (!samples) return say(TRY.tooOld);
    this.context ??= new AudioContext();
    const { context } = this, buffer = context.createBuffer(1, samples.length, rate), source = context.createBufferSource();
    buffer.copyToChannel(Float32Array.from(samples, (x) => x / 32768), 0);
    source.buffer = buffer;
    source.connect(context.destination);
    this.needs.hush(true); // it would hear itself
    box.classList.add('on');
    source.addEventListener('ended', () => {
      box.classList.remove('on');
      this.needs.hush(false);
    });
    source.start();
    return undefined;
  }

  /** Put the sound of an event into the folder, without a label. @param {Event} event @param {HTMLButtonElement} box */
  async keep(event, box) {
    const { samples, rate } = await this.stretch(event, LEAST_S);
    if (!samples) return say(TRY.tooOld);
    box.disabled = true;
    try {
      const id = await beginUpload({ kind: 'pcm', name: TRY.keptName(new Date(event.at)), bytes: samples.byteLength, rate_hz: rate });
      const bytes = /** @type {ArrayBuffer} */ (samples.buffer);
      for (let offset = 0; offset < bytes.byteLength;) offset = await appendUpload(id, offset, bytes.slice(offset, offset + PIECE_BYTES));
      await finishUpload(id);
      box.replaceChildren(icon('check'));
      say(TRY.kept1);
    } catch (error) {
      box.disabled = false;
      say(/** @type {Error} */ (error).message);
    }
    return undefined;
  }

  saveList() {
    const rows = this.shown.map(({ at, start, end, label, score }) => ({ time: new Date(at).toISOString(), start: start.toFixed(3), end: end.toFixed(3), label, score }));
    saveText(`heard-${this.needs.name()}.csv`, csv(['time', 'start', 'end', 'label', 'score'], rows));
  }

  close() {
    clearInterval(this.timer);
    this.context?.close();
  }
}
