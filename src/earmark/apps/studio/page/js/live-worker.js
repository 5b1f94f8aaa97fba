/** Live sound away from the page's own thread: it is sent, answered, measured and drawn here. */

import { Link } from './live-link.js';
import { Scope } from './live-scope.js';

/** @typedef {import('./live-link.js').Block} Block */

const KEPT_S = 60; // of sound, to hear an event again
const BLOCKS = 4096; // whose times are kept
const LEVEL_EVERY_MS = 80;
const CALM_EVERY_MS = 500;

/** What was captured: the last minute of samples, and when each block came. */
class Past {
  /** @param {number} rate */
  constructor(rate) {
    this.rate = rate;
    this.samples = new Int16Array(KEPT_S * rate);
    this.count = 0;
    this.size = 1;
    this.at = new Float64Array(BLOCKS);
    this.power = new Float64Array(BLOCKS);
    this.last = -1;
    this.missed = 0;
    this.peak = 0;
  }

  /** @param {Block} block */
  take({ number, first, at, samples }) {
    this.missed += Math.max(0, number - this.last - 1);
    this.last = number;
    this.size = samples.length;
    let sum = 0;
    let peak = 0;
    const { length } = this.samples;
    for (let k = 0; k < samples.length; k++) {
      const x = samples[k];
      this.samples[(first + k) % length] = x;
      sum += x * x;
      if (x > peak) peak = x;
      else if (-x > peak) peak = -x;
    }
    this.at[number % BLOCKS] = at;
    this.power[number % BLOCKS] = sum / samples.length;
    this.count = first + samples.length;
    this.peak = Math.max(this.peak, peak);
  }

  /** When a second of the sound was captured, in ms since 1970. @param {number} second */
  timeOf(second) {
    const sample = Math.max(1, second * this.rate);
    const number = Math.max(0, this.last - BLOCKS + 1, Math.min(this.last, Math.ceil(sample / this.size) - 1));
    return this.at[number % BLOCKS] - (1000 * ((number + 1) * this.size - sample)) / this.rate;
  }

  /** The loudest block of a stretch, in dB of full scale. @param {number} start @param {number} end */
  loudness(start, end) {
    const from = Math.max(0, this.last - BLOCKS + 1, Math.floor((start * this.rate) / this.size));
    const to = Math.min(this.last, Math.ceil((end * this.rate) / this.size));
    let most = 0;
    for (let k = from; k <= to; k++) most = Math.max(most, this.power[k % BLOCKS]);
    return 10 * Math.log10(most / 2 ** 30 + 1e-12);
  }

  /** A stretch of the last minute, or null if it is gone. @param {number} start @param {number} end */
  cut(start, end) {
    const to = Math.min(this.count, Math.round(end * this.rate));
    const from = Math.max(0, Math.round(start * this.rate));
    if (from < this.count - this.samples.length || from >= to) return null;
    const { length } = this.samples;
    return Int16Array.from({ length: to - from }, (_, k) => this.samples[(from + k) % length]);
  }
}

/** All that one listening needs, from its first block to its last. */
class Listening {
  /** @param {{picture: OffscreenCanvas, tracks: OffscreenCanvas, port: MessagePort, rate: number, address: string}} start */
  constructor({ picture, tracks, port, rate, address }) {
    this.rate = rate;
    this.past = new Past(rate);
    this.scope = new Scope(picture, tracks, rate);
    this.link = new Link(address, rate, (kind, value) => this.tell(kind, value));
    this.threshold = 0;
    this.quietDb = -60;
    /** @type {any} */
    this.about = null;
    this.toldAt = 0;
    this.drawnAt = 0;
    this.isOver = false;
    port.addEventListener('message', ({ data }) => this.take(data));
    port.start();
    this.setUpClock(navigator.language);
    this.link.open();
    this.next();
  }

  /** @param {string} language */
  setUpClock(language) {
    const clock = new Intl.DateTimeFormat(language, { hour: '2-digit', minute: '2-digit', second: '2-digit' });
    this.scope.clock = (second) => clock.format(this.past.timeOf(second));
  }

  /** @param {Block} block */
  take(block) {
    this.past.take(block);
    this.scope.feed(block.samples);
    this.link.take(block);
    const now = Date.now();
    if (now - this.toldAt < LEVEL_EVERY_MS) return;
    this.toldAt = now;
    const second = this.past.count / this.rate;
    const peak = 20 * Math.log10(this.past.peak / 32768 + 1e-6);
    const loudness = this.past.loudness(second - 0.3, second);
    this.past.peak = 0;
    const { sent, lost, behindS } = this.link;
    postMessage({ kind: 'level', value: { second, peak, loudness, isQuiet: loudness < this.quietDb, sent, lost, missed: this.past.missed, behindS } });
  }

  /** @param {string} kind @param {any} value */
  tell(kind, value) {
    if (kind === 'ready') this.about = value;
    if (kind === 'lost') this.scope.addGap(value);
    if (kind === 'scores') this.scored(value);
    else if (kind === 'event') {
      const at = this.past.timeOf(value.start);
      if (value.score >= this.threshold) this.scope.add({ start: value.start, end: value.end, label: value.label, isFinal: true });
      postMessage({ kind, value: { ...value, at, isQuiet: this.past.loudness(value.start, value.end) < this.quietDb } });
    } else postMessage({ kind, value });
  }

  /** @param {any} scores */
  scored(scores) {
    const { start, end } = scores, { hop, context = 0 } = this.about;
    const answeredAt = Date.now(), isQuiet = this.past.loudness(start, end) < this.quietDb;
    const best = Math.max(...scores.scores);
    const label = scores.is_unknown || best < this.threshold ? null : scores.label;
    const shown = isQuiet ? null : scores.is_unknown ? '' : label;
    const middle = (start + end) / 2;
    if (shown !== null) this.scope.add({ start: middle - hop / 2, end: middle + hop / 2, label: shown, isFinal: false });
    const capturedAt = this.past.timeOf(end), neededAt = this.past.timeOf(end + context);
    postMessage({ kind: 'scores', value: { ...scores, label, best, isQuiet, capturedAt, neededAt, answeredAt } });
  }

  /** Draw as often as the screen shows, and twice a second where motion is unwelcome. */
  next() {
    if (this.isOver) return;
    const draw = () => {
      const now = Date.now();
      if (!this.scope.look?.isCalm || now - this.drawnAt > CALM_EVERY_MS) {
        this.drawnAt = now;
        const { past } = this;
        const ahead = past.last < 0 ? 0 : Math.min(0.1, (now - past.at[past.last % BLOCKS]) / 1000);
        this.scope.draw(past.count / this.rate + (this.link.isWanted ? ahead : 0));
      }
      this.next();
    };
    if (typeof requestAnimationFrame === 'function') requestAnimationFrame(draw);
    else setTimeout(draw, 33);
  }

  close() {
    this.isOver = true;
    this.link.close();
  }
}

/** @type {Listening | null} */
let listening = null;

onmessage = ({ data }) => {
  if (data.do === 'start') {
    listening = new Listening(data);
    return;
  }
  if (!listening) return;
  const { scope, link, past } = listening;
  if (data.do === 'look') scope.setLook(data.look);
  else if (data.do === 'size') scope.setSize(data.picture, data.tracks);
  else if (data.do === 'lanes') scope.lanes = data.lanes;
  else if (data.do === 'borders') {
    listening.threshold = data.threshold;
    listening.quietDb = data.quietDb;
  } else if (data.do === 'pause') link.close();
  else if (data.do === 'resume') link.open();
  else if (data.do === 'retry') {
    link.tries = 0;
    link.restart();
  } else if (data.do === 'cut') postMessage({ kind: 'cut', value: { id: data.id, rate: past.rate, samples: past.cut(data.start, data.end) } });
  else if (data.do === 'stop') {
    listening.close();
    listening = null;
  }
};
