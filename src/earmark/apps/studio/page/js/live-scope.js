/** The running picture of live sound: a spectrogram above, a lane a class and one for unknown below. */

import { Gain, shareOf, Spectrum, topOf } from './live-spectrum.js';

const COLUMNS = 4096;
const HOP_S = 0.0125;
const ROWS = 192;
const KEPT_S = 64;
const MOST_PER_LANE = 600;
const TICKS_HZ = [500, 1000, 2000, 4000, 8000];
const STRIPE = 6;

/** @typedef {{start: number, end: number, label: string, isFinal: boolean}} Bar */
/** @typedef {{label: string, colour: string, ink: string, key: string, isUnknown: boolean}} Lane */
/**
 * @typedef {{inks: string[], grid: string, soft: string, rule: string, paper: string, unknown: string,
 *   rec: string, font: string, language: string, isNarrow: boolean, isCalm: boolean}} Look
 */
/** @typedef {{width: number, height: number, scale: number}} Size */

/** 256 colours, four bytes each, between the six inks of silence to loudest. @param {string[]} inks */
function ramp(inks) {
  const stops = inks.map((ink) => [1, 3, 5].map((k) => parseInt(ink.slice(k, k + 2), 16)));
  const out = new Uint8ClampedArray(1024);
  for (let v = 0; v < 256; v++) {
    const at = (v / 255) * (stops.length - 1);
    const k = Math.min(stops.length - 2, Math.floor(at));
    for (let c = 0; c < 3; c++) out[4 * v + c] = stops[k][c] + (stops[k + 1][c] - stops[k][c]) * (at - k);
    out[4 * v + 3] = 255;
  }
  return out;
}

/** @param {OffscreenCanvas} canvas @returns {OffscreenCanvasRenderingContext2D} */
const context2d = (canvas) => /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext('2d', { alpha: true }));

export class Scope {
  /**
   * @param {OffscreenCanvas} picture
   * @param {OffscreenCanvas} tracks
   * @param {number} rate samples a second
   */
  constructor(picture, tracks, rate) {
    this.picture = picture;
    this.tracks = tracks;
    this.rate = rate;
    this.spectrum = new Spectrum(rate, ROWS, HOP_S);
    this.gain = new Gain();
    this.levels = new Uint8Array(COLUMNS * ROWS);
    this.ring = new OffscreenCanvas(COLUMNS, ROWS);
    this.column = new ImageData(1, ROWS);
    this.count = 0;
    /** @type {Map<string, Bar[]>} */
    this.bars = new Map();
    /** @type {{start: number, end: number}[]} */
    this.gaps = [];
    /** @type {Lane[]} */
    this.lanes = [];
    this.span = 24;
    /** @type {Look | null} */
    this.look = null;
    /** @type {Uint8ClampedArray} */
    this.colours = new Uint8ClampedArray(1024);
    /** @type {(second: number) => string} */
    this.clock = String;
  }

  /** @param {Look} look */
  setLook(look) {
    this.look = look;
    this.colours = ramp(look.inks);
    const from = Math.max(0, this.count - COLUMNS);
    for (let k = from; k < this.count; k++) this.colour(k);
  }

  /** @param {Size} picture @param {Size} tracks */
  setSize(picture, tracks) {
    this.scale = picture.scale;
    this.picture.width = Math.max(1, Math.round(picture.width * picture.scale));
    this.picture.height = Math.max(1, Math.round(picture.height * picture.scale));
    this.tracks.width = Math.max(1, Math.round(tracks.width * picture.scale));
    this.tracks.height = Math.max(1, Math.round(tracks.height * picture.scale));
    this.span = picture.width < 520 ? 12 : picture.width < 1300 ? 24 : 36;
  }

  /** @param {Int16Array} samples */
  feed(samples) {
    this.spectrum.feed(samples, 32768, (levels) => {
      this.gain.follow(levels);
      const at = (this.count % COLUMNS) * ROWS;
      for (let y = 0; y < ROWS; y++) this.levels[at + y] = this.gain.shade(levels[y]);
      this.colour(this.count++);
    });
  }

  /** @param {number} k the number of a column */
  colour(k) {
    const { data } = this.column;
    const from = (k % COLUMNS) * ROWS;
    for (let y = 0; y < ROWS; y++) {
      const ink = 4 * this.levels[from + y];
      for (let c = 0; c < 4; c++) data[4 * y + c] = this.colours[ink + c];
    }
    context2d(this.ring).putImageData(this.column, k % COLUMNS, 0);
  }

  /** Add a stretch of a label; it joins the one before if both touch. @param {Bar} bar */
  add(bar) {
    const bars = this.bars.get(bar.label) ?? [];
    const last = bars.at(-1);
    if (!bar.isFinal && last && !last.isFinal && bar.start <= last.end + 0.02) last.end = Math.max(last.end, bar.end);
    else bars.push({ ...bar });
    while (bars.length > MOST_PER_LANE || (bars.length && bars[0].end < bar.end - KEPT_S)) bars.shift();
    this.bars.set(bar.label, bars);
  }

  /** @param {{start: number, end: number}} gap */
  addGap(gap) {
    const last = this.gaps.at(-1);
    if (last && gap.start <= last.end + 0.001) last.end = gap.end;
    else this.gaps.push(gap);
    if (this.gaps.length > 100) this.gaps.shift();
  }

  /** Draw what was heard until a second. @param {number} now */
  draw(now) {
    if (!this.look) return;
    this.drawPicture(now, this.look);
    this.drawTracks(now, this.look);
  }

  /** @param {number} now @param {Look} look */
  drawPicture(now, look) {
    const { picture, ring, span } = this;
    const context = context2d(picture);
    const { width, height } = picture;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = look.inks[0];
    context.fillRect(0, 0, width, height);
    context.imageSmoothingQuality = 'high';
    const back = this.spectrum.size / this.rate / 2;
    const atColumn = (/** @type {number} */ second) => (second + back) / HOP_S - 0.5;
    const first = Math.max(0, Math.ceil(atColumn(now - span)), this.count - COLUMNS + 1);
    for (let from = first; from < this.count; ) {
      const slot = from % COLUMNS;
      const n = Math.min(this.count - from, COLUMNS - slot);
      const x = ((from + 0.5) * HOP_S - back - (now - span)) * (width / span);
      context.drawImage(ring, slot, 0, n, ROWS, x, 0, n * HOP_S * (width / span), height);
      from += n;
    }
    this.drawAxis(context, width, height, now, look);
  }

  /** @param {OffscreenCanvasRenderingContext2D} context @param {number} width @param {number} height @param {number} now @param {Look} look */
  drawAxis(context, width, height, now, look) {
    const scale = this.scale ?? 1;
    const [w, h] = [width / scale, height / scale];
    const top = topOf(this.rate);
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.font = `11px ${look.font}`;
    context.lineJoin = 'round';
    const write = (/** @type {string} */ text, /** @type {number} */ x, /** @type {number} */ y) => {
      context.lineWidth = 3;
      context.strokeStyle = look.inks[0];
      context.strokeText(text, x, y);
      context.fillStyle = look.soft;
      context.fillText(text, x, y);
    };
    for (const hertz of TICKS_HZ) {
      if (hertz > 0.95 * top) continue;
      const y = Math.round(h * (1 - shareOf(hertz, top))) + 0.5;
      context.fillStyle = look.grid;
      context.fillRect(0, y, w, 1);
      write(`${hertz / 1000} kHz`, 6, y - 4);
    }
    const step = this.span > 20 ? 5 : 3;
    for (let s = Math.ceil((now - this.span) / step) * step; s < now - 1; s += step) {
      const x = ((s - now + this.span) * w) / this.span;
      if (s < 0 || x < 70) continue;
      context.fillStyle = look.grid;
      context.fillRect(Math.round(x), 0, 1, h);
      write(this.clock(s), x + 4, h - 6);
    }
  }

  /** @param {number} now @param {Look} look */
  drawTracks(now, look) {
    const { tracks, lanes, span } = this;
    const context = context2d(tracks);
    const scale = this.scale ?? 1;
    const [w, h] = [tracks.width / scale, tracks.height / scale];
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, w, h);
    const step = h / Math.max(1, lanes.length);
    const atX = (/** @type {number} */ second) => ((second - now + span) * w) / span;
    lanes.forEach((lane, k) => {
      const y = k * step;
      context.fillStyle = look.rule;
      if (k) context.fillRect(0, Math.round(y), w, 1);
      for (const bar of this.bars.get(lane.label) ?? []) {
        const x = Math.max(-4, atX(bar.start));
        const wide = Math.min(w + 4, atX(bar.end)) - x;
        if (wide < 1 || x > w) continue;
        drawBar(context, bar, lane, x, y + 4, Math.max(3, wide), step - 8);
      }
      if (look.isNarrow) drawKey(context, lane, y, step, look);
    });
    for (const gap of this.gaps) {
      const x = atX(gap.start);
      const wide = Math.max(2, atX(gap.end) - x);
      if (x + wide < 0) continue;
      context.fillStyle = look.rec;
      context.globalAlpha = 0.18;
      context.fillRect(x, 0, wide, h);
      context.globalAlpha = 1;
    }
  }
}

/**
 * @param {OffscreenCanvasRenderingContext2D} context
 * @param {Bar} bar @param {Lane} lane
 * @param {number} x @param {number} y @param {number} w @param {number} h
 */
function drawBar(context, bar, lane, x, y, w, h) {
  const inset = bar.isFinal || lane.isUnknown ? 0 : Math.round(h / 3);
  if (!lane.isUnknown) {
    context.beginPath();
    context.roundRect(x, y + inset, w, h - 2 * inset, 3);
    context.fillStyle = lane.colour;
    context.fill();
    return;
  }
  const shape = new Path2D();
  shape.roundRect(x, y, w, h, 3);
  context.save();
  context.clip(shape);
  context.strokeStyle = lane.colour;
  context.lineWidth = 2;
  context.beginPath();
  // stripes stay with the sound, so they do not swim: they begin at the bar's own start
  for (let at = x - h; at < x + w + h; at += STRIPE) {
    context.moveTo(at, y + h);
    context.lineTo(at + h, y);
  }
  context.stroke();
  context.restore();
  context.lineWidth = 1.5;
  context.strokeStyle = lane.colour;
  context.stroke(shape);
}

/** No room for names beside the lanes: their keys, in them.
 * @param {OffscreenCanvasRenderingContext2D} context @param {Lane} lane @param {number} y @param {number} step @param {Look} look */
function drawKey(context, lane, y, step, look) {
  const side = Math.min(16, step - 8);
  const top = y + (step - side) / 2;
  context.fillStyle = lane.isUnknown ? look.paper : lane.colour;
  context.fillRect(4, top, side, side);
  if (lane.isUnknown) {
    context.strokeStyle = lane.colour;
    context.lineWidth = 1.5;
    context.strokeRect(4.75, top + 0.75, side - 1.5, side - 1.5);
  }
  context.font = `700 11px ${look.font}`;
  context.fillStyle = lane.ink;
  context.textAlign = 'center';
  context.fillText(lane.key, 4 + side / 2, top + side / 2 + 4);
  context.textAlign = 'start';
}
