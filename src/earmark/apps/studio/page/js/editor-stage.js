/** One section of a long recording: its spectrogram in tiles, its waveform, its regions, and its sound. */

import Regions from '/static/vendor/regions.js';
import WaveSurfer from '/static/vendor/wavesurfer.js';
import { query } from './api.js';
import { clock, h, number } from './dom.js';
import { bitmap, contrastOf, drawAxis, hertzAt, keep, paint, peaks, picture, token } from './draw.js';
import { inkOf, placeOf } from './parts.js';
import { EDITOR } from './texts.js';

/** @typedef {import('./types.js').Clip} Clip */
/** @typedef {import('./types.js').Picture} Picture */
/** @typedef {'both'|'picture'|'wave'} View */
/** @typedef {{start: number, end: number}} Span */
/**
 * @typedef {{create: (start: number, end: number) => void, change: (id: string, start: number, end: number) => void,
 *   choose: (id: string|null) => void, time: (second: number) => void, playing: (isOn: boolean) => void, finish: () => void, fail: (text: string) => void}} Acts
 */

const TILES = 4; // of a section; they are cut at multiples of their length, so that scrolling keeps them
const TILE_COLUMNS = 512;
const TILE_ROWS = 192;
const MOST_TILES = 48;
const POINTS = 1600; // of the waveform
const SETTLE_MS = 140; // without scrolling, before sound and waveform are fetched
const WAVE_SHARE = 0.24; // of the height, below the spectrogram
const LEAST_S = 0.02; // of a region
const STEPS_S = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60];

/** What allows the library to bring its own style. */
const nonce = () => /** @type {HTMLMetaElement|null} */ (document.querySelector('meta[name=nonce]'))?.content ?? '';

export class Stage {
  /** @param {string} id @param {number} seconds @param {Acts} acts */
  constructor(id, seconds, acts) {
    this.id = id;
    this.seconds = seconds;
    this.acts = acts;
    this.from = 0;
    this.length = Math.min(60, seconds);
    /** @type {View} */
    this.view = 'both';
    this.topHz = 8000;
    /** @type {Map<string, Picture|null>} null while it is fetched */
    this.tiles = new Map();
    /** @type {Map<Picture, HTMLCanvasElement>} */
    this.maps = new Map();
    this.contrast = { from: 255, to: 0 };
    /** @type {Clip[]} */
    this.regions = [];
    /** @type {string|null} */
    this.chosen = null;
    this.brush = '';
    this.at = 0;
    this.speed = 1;
    this.timer = 0;
    this.isFilling = false;
    this.playOnLoad = false;
    /** @type {Int8Array} */
    this.pairs = new Int8Array(0);
    this.canvas = h('canvas', { 'aria-hidden': 'true' });
    this.wave = h('div.wave');
    this.read = h('span.readout', { hidden: true, 'aria-hidden': 'true' });
    this.busy = h('span.busy', { hidden: true, role: 'status' }, EDITOR.fetching);
    this.box = h('div.stage', { tabindex: '0', role: 'group', 'aria-label': EDITOR.stage, 'aria-describedby': 'editor-how' }, this.canvas, this.wave, this.read, this.busy);
    this.dark = matchMedia('(prefers-color-scheme: dark)');
    this.onlook = () => { this.maps.clear(); paint(this.canvas); this.wavesurfer?.setOptions({}); };
    this.dark.addEventListener('change', this.onlook);
    this.box.addEventListener('pointermove', (event) => this.readout(event));
    this.box.addEventListener('pointerleave', () => { this.read.hidden = true; });
    this.box.addEventListener('wheel', (event) => this.wheel(event), { passive: false });
  }

  /** Begin, once the box is in the page. */
  open() {
    const media = new Audio();
    media.preload = 'none'; // sound is fetched when it is played
    this.media = media;
    const wavesurfer = WaveSurfer.create({
      container: this.wave, height: 'auto', peaks: [[0, 0]], duration: this.length, media, interact: true, cursorWidth: 2, cursorColor: 'var(--rec)', cspNonce: nonce(),
      waveColor: token('--s4'), progressColor: token('--s4'), hideScrollbar: true, autoScroll: false, renderFunction: (_, context) => this.drawWave(context),
    });
    this.wavesurfer = wavesurfer;
    this.layer = wavesurfer.registerPlugin(Regions.create());
    wavesurfer.on('interaction', (second) => { this.seekTo(this.from + second); this.acts.choose(null); });
    wavesurfer.on('timeupdate', (second) => { if (wavesurfer.isPlaying()) this.setTime(this.from + second); });
    wavesurfer.on('play', () => this.acts.playing(true));
    wavesurfer.on('pause', () => this.acts.playing(false));
    wavesurfer.on('finish', () => this.acts.finish());
    wavesurfer.on('ready', () => this.fill());
    media.addEventListener('error', () => { if (media.src && this.wanted) this.acts.fail(EDITOR.noSound); });
    this.layer.on('region-created', (region) => this.created(region));
    this.layer.on('region-updated', (region) => this.updated(region));
    this.layer.on('region-clicked', (region, event) => { event.stopPropagation(); this.acts.choose(region.id); });
    this.setBrush(this.brush);
    keep(this.canvas, (context, w, ht) => this.draw(context, w, ht));
    this.show(this.from, this.length);
  }

  close() {
    clearTimeout(this.timer);
    this.aborter?.abort();
    this.dark.removeEventListener('change', this.onlook);
    this.wanted = false;
    this.wavesurfer?.destroy();
  }

  // ---- which section ----

  /** Show a section; what is slow follows when scrolling has ended. @param {number} from @param {number} length */
  show(from, length) {
    const isZoom = length !== this.length;
    this.length = Math.min(length, this.seconds);
    this.from = Math.round(1000 * Math.max(0, Math.min(this.seconds - this.length, from))) / 1000;
    this.box.classList.add('moving');
    this.pause();
    if (isZoom) this.layer?.clearRegions();
    else this.fill();
    paint(this.canvas);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.settle(), SETTLE_MS);
  }

  async settle() {
    const { from, length } = this;
    this.aborter?.abort();
    this.aborter = new AbortController();
    const { signal } = this.aborter;
    this.fetchTiles(signal);
    try {
      this.pairs = (await peaks(this.id, { points: POINTS, start: from, end: from + length, signal })).pairs;
    } catch (error) {
      if (signal.aborted) return;
      this.pairs = new Int8Array(0);
      this.acts.fail(/** @type {Error} */ (error).message);
    }
    if (signal.aborted) return;
    this.wanted = false;
    const ends = { start: from.toFixed(3), end: (from + length).toFixed(3) };
    await this.wavesurfer?.load(`/api/sounds/${this.id}/audio${query(ends)}`, [[...this.pairs]], length).catch(() => null);
    if (signal.aborted) return;
    this.box.classList.remove('moving');
    this.wavesurfer?.setPlaybackRate(this.speed, true);
    this.setCursor();
    if (this.playOnLoad) this.play();
  }

  /** @param {AbortSignal} signal */
  async fetchTiles(signal) {
    const long = this.length / TILES, first = Math.floor(this.from / long), last = Math.floor((this.from + this.length - 1e-6) / long);
    /** @param {number} k */
    const fetchOne = async (k) => {
      const key = `${long}:${k}`;
      if (this.tiles.get(key) || signal.aborted) return;
      try {
        const made = await picture(this.id, { columns: TILE_COLUMNS, rows: TILE_ROWS, start: k * long, end: Math.min(this.seconds, (k + 1) * long), signal });
        this.tiles.set(key, made);
        this.follow(made.levels);
        this.topHz = made.topHz;
        paint(this.canvas);
      } catch (error) {
        if (!signal.aborted) this.acts.fail(/** @type {Error} */ (error).message);
      }
    };
    const slow = setTimeout(() => { this.busy.hidden = signal.aborted; }, 400);
    await Promise.all(Array.from({ length: last - first + 1 }, (_, n) => fetchOne(first + n)));
    clearTimeout(slow);
    if (!signal.aborted) this.busy.hidden = true;
    for (const [key, made] of this.tiles) {
      if (this.tiles.size <= MOST_TILES) break;
      this.tiles.delete(key);
      if (made) this.maps.delete(made);
    }
  }

  // ---- pictures ----

  /** All tiles have one contrast: that of the loudest and the quietest so far. @param {Uint8Array} levels */
  follow(levels) {
    const { from, to } = contrastOf(levels), old = this.contrast;
    this.contrast = { from: Math.min(from, old.from), to: Math.max(to, old.to) };
    if (this.contrast.from !== old.from || this.contrast.to !== old.to) this.maps.clear();
  }

  /** @param {CanvasRenderingContext2D} context @param {number} w @param {number} ht */
  draw(context, w, ht) {
    const long = this.length / TILES, first = Math.floor(this.from / long), per = w / this.length;
    const tall = this.view === 'both' ? ht * (1 - WAVE_SHARE) : ht;
    if (this.view !== 'wave') {
      context.imageSmoothingQuality = 'high';
      for (let k = first; k * long < this.from + this.length; k++) {
        const made = this.tiles.get(`${long}:${k}`);
        if (!made) continue;
        let map = this.maps.get(made);
        if (!map) this.maps.set(made, map = bitmap(made, this.contrast));
        context.drawImage(map, (k * long - this.from) * per, 0, made.seconds * per, tall);
      }
      drawAxis(context, w, tall, { top: this.topHz });
    }
    if (this.view === 'both') {
      context.fillStyle = token('--rule');
      context.fillRect(0, Math.round(tall), w, 1);
    }
    this.drawTimes(context, w, ht);
  }

  /** @param {CanvasRenderingContext2D} context @param {number} w @param {number} ht */
  drawTimes(context, w, ht) {
    const step = STEPS_S.find((s) => (s / this.length) * w > 84) ?? 60, digits = step < 1 ? 1 : 0;
    context.font = `11px ${token('--font')}`;
    context.lineJoin = 'round';
    for (let k = Math.ceil(this.from / step); k * step < this.from + this.length; k++) {
      const x = ((k * step - this.from) / this.length) * w, text = clock(k * step, digits);
      context.fillStyle = token('--grid');
      context.fillRect(Math.round(x), 0, 1, ht);
      if (x > w - 60) continue;
      context.lineWidth = 3;
      context.strokeStyle = token('--s0');
      context.strokeText(text, x + 4, ht - 6);
      context.fillStyle = token('--soft');
      context.fillText(text, x + 4, ht - 6);
    }
  }

  /** @param {CanvasRenderingContext2D|OffscreenCanvasRenderingContext2D} context of the library's canvas */
  drawWave(context) {
    if (this.view === 'picture' || !this.pairs.length) return;
    const { width, height } = context.canvas, tall = height * (this.view === 'both' ? WAVE_SHARE : 1), middle = height - tall / 2, n = this.pairs.length / 2;
    context.fillStyle = token('--s4');
    for (let x = 0; x < width; x++) {
      let low = 0, high = 0;
      const first = Math.floor((x * n) / width), last = Math.max(first + 1, Math.floor(((x + 1) * n) / width));
      for (let k = first; k < last && k < n; k++) {
        low = Math.min(low, this.pairs[2 * k]);
        high = Math.max(high, this.pairs[2 * k + 1]);
      }
      const top = middle - (high / 128) * (tall / 2) * 0.92, bottom = middle - (low / 128) * (tall / 2) * 0.92;
      context.fillRect(x, top, 1, Math.max(1, bottom - top));
    }
  }

  /** @param {View} view */
  setView(view) {
    this.view = view;
    paint(this.canvas);
    this.wavesurfer?.setOptions({});
  }

  /** The second and the frequency under the pointer. @param {PointerEvent} event */
  readout(event) {
    const { left, top, width, height } = this.box.getBoundingClientRect(), tall = height * (this.view === 'both' ? 1 - WAVE_SHARE : 1);
    const second = this.from + ((event.clientX - left) / width) * this.length, share = (event.clientY - top) / tall;
    this.read.hidden = false;
    this.read.textContent = clock(second, 2) + (this.view !== 'wave' && share < 1 ? ` · ${number(hertzAt(Math.max(0, share), this.topHz) / 1000, 2)} kHz` : '');
  }

  /** @param {WheelEvent} event */
  wheel(event) {
    const along = event.shiftKey ? event.deltaY : event.deltaX;
    if (!along || event.ctrlKey) return;
    event.preventDefault();
    this.show(this.from + (along / this.box.clientWidth) * this.length, this.length);
    this.acts.time(this.at);
  }

  // ---- regions ----

  /** @param {Clip[]} regions sorted by start @param {string|null} chosen */
  setRegions(regions, chosen) {
    this.regions = regions;
    this.chosen = chosen;
    this.fill();
  }

  /** @param {Clip} clip */
  isIn({ start, end }) {
    return (end ?? this.seconds) > this.from && (start ?? 0) < this.from + this.length;
  }

  /** Give the library the regions of this section. */
  fill() {
    const { layer } = this;
    if (!layer) return;
    this.isFilling = true;
    layer.clearRegions();
    for (const clip of this.regions) {
      if (!this.isIn(clip)) continue;
      const start = (clip.start ?? 0) - this.from, end = (clip.end ?? this.seconds) - this.from, isWhole = start >= 0 && end <= this.length;
      const region = layer.addRegion({ id: clip.id, start, end, drag: isWhole, resizeStart: start >= 0, resizeEnd: end <= this.length, minLength: LEAST_S, content: this.content(clip), color: this.colour(clip.label, clip.id === this.chosen) });
      this.dress(region, clip.label, clip.id === this.chosen);
    }
    this.isFilling = false;
  }

  /** @param {string|null} label @param {boolean} isChosen */
  colour(label, isChosen) {
    return `color-mix(in srgb, ${this.ink(label)} ${isChosen ? 34 : 13}%, transparent)`;
  }

  /** @param {string|null} label */
  ink(label) {
    const ink = label ? inkOf(label) : 'ku';
    return `var(--${ink === 'ku' ? 'unknown' : ink})`;
  }

  /** The folded corner of a region; it lives in the library's shadow, where the page's styles do not reach. @param {Clip} clip */
  content({ label }) {
    const place = label ? placeOf(label) : -1, corner = document.createElement('span');
    corner.textContent = place >= 0 && place < 9 ? String(place + 1) : label ? label.slice(0, 2) : '?';
    Object.assign(corner.style, { display: 'inline-grid', placeItems: 'center', minWidth: '1.15rem', height: '1.15rem', padding: '0 .15rem', font: '700 .72rem/1 system-ui, sans-serif', background: this.ink(label),
      color: place >= 0 ? `var(--i${place % 9})` : 'var(--paper)', clipPath: 'polygon(0 0, 66% 0, 100% 34%, 100% 100%, 0 100%)', pointerEvents: 'none' });
    return corner;
  }

  /** @param {import('/static/vendor/regions.js').Region} region @param {string|null} label @param {boolean} isChosen */
  dress({ element }, label, isChosen) {
    if (!element) return;
    const ink = this.ink(label), edge = `${isChosen ? 3 : 1.5}px ${label ? 'solid' : 'dashed'} ${ink}`;
    Object.assign(element.style, { borderRadius: '0', borderLeft: edge, borderRight: edge, borderTop: `4px solid ${ink}`, zIndex: isChosen ? '4' : '', transition: 'none' });
    for (const handle of element.querySelectorAll('[part*=region-handle]')) Object.assign(/** @type {HTMLElement} */ (handle).style, { border: '0', width: '8px', opacity: '1' });
  }

  /** @param {string} label that new regions get */
  setBrush(label) {
    this.brush = label;
    this.endDrawing?.();
    this.endDrawing = this.layer?.enableDragSelection({ color: this.colour(label || null, true), minLength: LEAST_S }, 4);
  }

  /** @param {import('/static/vendor/regions.js').Region} region that was drawn with the mouse */
  created({ start, end }) {
    if (!this.isFilling) this.acts.create(this.from + start, this.from + end);
  }

  /** @param {import('/static/vendor/regions.js').Region} region */
  updated({ id, start, end }) {
    const clip = this.regions.find((other) => other.id === id);
    if (!clip) return;
    const isBefore = (clip.start ?? 0) < this.from, isAfter = (clip.end ?? this.seconds) > this.from + this.length;
    this.acts.change(id, isBefore ? clip.start ?? 0 : this.from + start, isAfter ? clip.end ?? this.seconds : this.from + end);
  }

  // ---- sound ----

  /** @param {number} second */
  setTime(second) {
    this.at = second;
    this.acts.time(second);
  }

  /** Move the playhead, and the section if it is elsewhere. @param {number} second */
  seekTo(second) {
    const to = Math.max(0, Math.min(this.seconds, second));
    if (to < this.from || to > this.from + this.length) this.show(to - this.length / 4, this.length);
    this.setTime(to);
    this.setCursor();
  }

  setCursor() {
    const inside = this.at - this.from;
    if (inside >= 0 && inside <= this.length) this.wavesurfer?.setTime(inside);
  }

  get isPlaying() {
    return this.wavesurfer?.isPlaying() ?? false;
  }

  /** @param {Span} [span] a stretch, or from the playhead on */
  async play(span) {
    this.wanted = true;
    this.playOnLoad = false;
    if (span) {
      this.seekTo(span.start);
      if (this.box.classList.contains('moving')) { this.playOnLoad = true; return; }
    }
    await this.wavesurfer?.play(span ? span.start - this.from : undefined, span ? Math.min(this.length, span.end - this.from) : undefined).catch((error) => {
      if (error.name !== 'AbortError') this.acts.fail(EDITOR.noSound);
    });
  }

  pause() {
    this.playOnLoad = false;
    if (this.isPlaying) this.wavesurfer?.pause();
  }

  /** Go on with the next section. @returns {boolean} whether there is one */
  goOn() {
    const next = this.from + this.length;
    if (next >= this.seconds - 0.05) return false;
    this.at = next;
    this.show(next, this.length);
    this.playOnLoad = true;
    return true;
  }

  /** @param {number} speed */
  setSpeed(speed) {
    this.speed = speed;
    this.wavesurfer?.setPlaybackRate(speed, true);
  }
}
