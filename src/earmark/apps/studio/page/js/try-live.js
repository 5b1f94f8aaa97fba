/** Try with the microphone: what is heard, while it is heard. */

import { h, icon, say } from './dom.js';
import { Live, lookNow } from './live.js';
import { isAllowed, MicrophoneError, microphones } from './microphone.js';
import { button, trouble } from './parts.js';
import { COMMON, TRY } from './texts.js';
import { Board, MOST_LANES, QUIET_DB } from './try-board.js';
import { Heard } from './try-heard.js';

/** @typedef {import('./models.js').Model} Model */
/** @typedef {import('./try-board.js').Phase} Phase */

const DELAYS = 120; // the latest that are looked at
const isNarrow = matchMedia('(max-width: 56rem)');
const isDark = matchMedia('(prefers-color-scheme: dark)');

/** @param {number[]} values @param {number} share */
const quantile = (values, share) => values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(share * values.length))];

/** The live part of Try, for one visit; `close` frees the microphone. */
export class LiveView {
  /** @param {{models: Model[], name: string, onmodel: (name: string) => void, onfile: () => void}} options */
  constructor({ models, name, onmodel, onfile }) {
    this.models = models;
    this.name = name;
    this.onfile = onfile;
    /** @type {Phase} */
    this.phase = 'ready';
    /** @type {Live|null} */
    this.live = null;
    /** @type {any} */
    this.about = null;
    /** @type {any} */
    this.latest = null;
    this.borders = { threshold: 0, quietDb: QUIET_DB };
    this.device = '';
    this.refusal = '';
    this.kept = '';
    this.isQuiet = false;
    this.frame = 0;
    this.longTasks = 0;
    /** @type {number[]} */
    this.delays = [];
    this.heard = new Heard({ cut: (start, end) => this.live?.cut(start, end) ?? Promise.resolve({ rate: 1, samples: null }), hush: (isOn) => this.hush(isOn), name: () => this.name });
    this.board = new Board(models, name, {
      start: () => this.begin(), pause: () => this.toggle(),
      model: (chosen) => { this.name = chosen; onmodel(chosen); this.setModel(); },
      device: (id) => { this.device = id; this.restart(); },
      threshold: (threshold) => { this.heard.setThreshold(threshold); this.setBorders({ threshold }); },
      quiet: (quietDb) => this.setBorders({ quietDb }),
    });
    this.pause = this.board.pause;
    this.box = h('div.live-view', this.board.troubles, this.board.live, h('div.two.try', this.board.answers, this.heard.box));
    this.ends = [() => cancelAnimationFrame(this.frame), ...this.watch()];
    this.board.setModel(models.find((model) => model.name === name));
    this.setPhase('ready');
    isAllowed().then((may) => { if (may && this.phase === 'ready') this.begin(); });
  }

  /** Follow sizes, themes, devices and long tasks; returns what ends that. */
  watch() {
    const sizes = new ResizeObserver(() => this.sendSize()), onlook = () => this.sendLook(), ondevice = () => { this.showDevices(); };
    sizes.observe(this.board.pictures);
    isDark.addEventListener('change', onlook);
    isNarrow.addEventListener('change', onlook);
    navigator.mediaDevices?.addEventListener('devicechange', ondevice);
    const tasks = PerformanceObserver.supportedEntryTypes?.includes('longtask') ? new PerformanceObserver((list) => { this.longTasks += list.getEntries().length; }) : null;
    tasks?.observe({ type: 'longtask' });
    return [() => sizes.disconnect(), () => isDark.removeEventListener('change', onlook), () => isNarrow.removeEventListener('change', onlook), () => navigator.mediaDevices?.removeEventListener('devicechange', ondevice), () => tasks?.disconnect()];
  }

  // ---- the way of a listening ----

  async begin() {
    if (this.live) return;
    const { board } = this;
    board.troubles.replaceChildren();
    board.newPictures();
    this.setPhase('asking');
    const live = new Live((kind, value) => { if (live === this.live) this.hear(kind, value); });
    this.live = live;
    try {
      const opened = await live.open({ device: this.device, model: this.name, picture: board.picture, tracks: board.tracks });
      if (live !== this.live || !opened) return;
      this.sendLook();
      this.sendSize();
      this.setBorders({});
      this.setPhase(live.isHeld ? 'paused' : 'on');
      this.showDevices(opened.name);
    } catch (error) {
      if (live !== this.live) return;
      this.showNoSound(error instanceof MicrophoneError ? error : new MicrophoneError('failed', /** @type {Error} */ (error).message));
    }
  }

  stop() {
    this.live?.close();
    this.live = null;
    this.isQuiet = false;
    this.delays = [];
  }

  restart() {
    const wasOn = Boolean(this.live);
    this.stop();
    this.setPhase('ready');
    if (wasOn) this.begin();
  }

  setModel() {
    this.heard.clear();
    this.board.setModel(this.models.find(({ name }) => name === this.name));
    this.restart();
  }

  async toggle() {
    if (!this.live) {
      this.begin();
    } else if (this.phase === 'paused') {
      this.setPhase('on');
      await this.live.resume();
    } else if (this.phase !== 'asking') {
      this.setPhase('paused');
      await this.live.pause();
    }
  }

  /** Listen to nothing while the page itself makes a sound. @param {boolean} isOn */
  async hush(isOn) {
    if (!this.live || this.phase === 'paused') return;
    if (isOn) await this.live.pause();
    else await this.live.resume();
  }

  /** @param {Phase} phase */
  setPhase(phase) {
    this.phase = phase;
    this.board.showPhase(phase, this.isQuiet);
    if (phase === 'on') this.heard.goOn();
    else this.heard.rest();
    if (phase !== 'on') this.board.showNow(null);
  }

  /** @param {MicrophoneError} error */
  showNoSound({ kind, message }) {
    this.stop();
    this.setPhase('no');
    const { title, text } = COMMON.microphone[kind];
    this.board.troubles.replaceChildren(trouble('error', title, kind === 'failed' ? `${text} ${message}` : text,
      button(TRY.again, { sign: 'mic', primary: true, onclick: () => this.begin() }), button(TRY.file, { sign: 'file', onclick: this.onfile })));
  }

  // ---- what the worker tells ----

  /** @param {string} kind @param {any} value */
  hear(kind, value) {
    if (kind === 'level') this.takeLevel(value);
    else if (kind === 'scores') this.score(value);
    else if (kind === 'event') this.heard.add(value);
    else if (kind === 'ready') this.takeReady(value);
    else if (kind === 'gone') this.takeGone(value);
    else if (kind === 'refused') this.refusal = value;
    else if (kind === 'lost') {
      this.showNoSound(new MicrophoneError('lost'));
      this.showDevices();
    }
  }

  /** @param {any} about */
  takeReady(about) {
    this.about = about;
    this.refusal = '';
    this.board.troubles.replaceChildren(...(about.warnings.length ? [h('p.note-line', icon('warn'), h('span', TRY.noDetector))] : []));
    if (this.phase === 'gone') this.setPhase('on');
  }

  /** @param {{pause: number, tries: number}} gone */
  takeGone({ tries }) {
    if (this.phase === 'paused' || this.phase === 'asking') return;
    this.setPhase('gone');
    if (tries < 2 && !this.refusal) return; // it may be back at once
    const [kind, title, text] = this.refusal ? /** @type {const} */ (['error', TRY.refused, this.refusal]) : /** @type {const} */ (['warn', TRY.gone.title, TRY.gone.text]);
    if (this.board.troubles.querySelector('p')?.textContent === text) return;
    this.board.troubles.replaceChildren(trouble(kind, title, text, button(TRY.gone.now, { sign: 'redo', onclick: () => this.live?.ask({ do: 'retry' }) })));
  }

  /** @param {any} level */
  takeLevel({ peak, loudness, isQuiet, sent, lost, missed, behindS }) {
    this.isQuiet = isQuiet;
    this.kept = TRY.kept(lost + missed, behindS);
    this.board.showLevel(peak, loudness);
    this.board.showSign(this.phase, isQuiet);
    Object.assign(this.box.dataset, { sent, lost: lost + missed, behind: behindS.toFixed(2), longTasks: this.longTasks });
  }

  /** @param {any} scores */
  score(scores) {
    this.latest = scores;
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      const shown = this.latest;
      if (this.phase !== 'on') return;
      if (this.about.labels.length > MOST_LANES && this.board.bringIn(shown.label)) this.sendLook();
      this.board.showScores({ ...shown, labels: this.about.labels });
      setTimeout(() => this.painted(shown)); // the frame is on the screen by then
    });
  }

  /** Note how long it took from the sound to the screen. @param {any} scores */
  painted({ capturedAt, neededAt, answeredAt, start, end }) {
    const paintedAt = Date.now();
    this.delays.push(paintedAt - neededAt);
    if (this.delays.length > DELAYS) this.delays.shift();
    const usual = quantile(this.delays, 0.5), words = TRY.delay((usual + neededAt - capturedAt) / 1000, this.kept);
    Object.assign(this.box.dataset, { delay: Math.round(usual), slowest: Math.round(quantile(this.delays, 0.95)) });
    if (this.board.delay.textContent !== words) {
      this.board.delay.textContent = words;
      this.board.delay.title = TRY.delayHow(usual / 1000);
    }
    document.dispatchEvent(new CustomEvent('earmark-live', { detail: { start, end, capturedAt, neededAt, answeredAt, paintedAt } }));
  }

  // ---- what the worker needs ----

  sendLook() {
    this.live?.ask({ do: 'look', look: lookNow(isNarrow.matches) });
    this.live?.ask({ do: 'lanes', lanes: this.board.lanesToDraw() });
  }

  sendSize() {
    const scale = Math.min(2, devicePixelRatio || 1), { picture, tracks } = this.board;
    /** @param {HTMLElement} canvas */
    const size = ({ clientWidth: width, clientHeight: height }) => ({ width, height, scale });
    this.live?.ask({ do: 'size', picture: size(picture), tracks: size(tracks) });
  }

  /** @param {{threshold?: number, quietDb?: number}} borders */
  setBorders(borders) {
    Object.assign(this.borders, borders);
    this.live?.ask({ do: 'borders', ...this.borders });
  }

  /** @param {string} [name] of the one that is used */
  async showDevices(name = '') {
    const named = (await microphones().catch(() => [])).filter(({ label }) => label);
    this.board.devices.replaceChildren(h('option', { value: '' }, name && !this.device ? TRY.usual(name) : TRY.usualDevice),
      ...named.map(({ deviceId, label }) => h('option', { value: deviceId, selected: deviceId === this.device }, label)));
    if (this.phase === 'no' && named.length) say(TRY.newDevice);
  }

  /** @param {string} key */
  keys(key) {
    if (key !== ' ' || document.activeElement?.closest('button, a')) return false;
    this.toggle();
    return true;
  }

  close() {
    for (const end of this.ends) end();
    this.heard.close();
    this.stop();
  }
}
