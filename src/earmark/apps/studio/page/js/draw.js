/** Spectrograms and waveforms on canvas: ink on paper, in both themes, at any width. */

import { ask, query } from './api.js';

/** @typedef {import('./types.js').Picture} Picture */
/** @typedef {(context: CanvasRenderingContext2D, width: number, height: number) => void} Painter */

const dark = matchMedia('(prefers-color-scheme: dark)');
/** @type {WeakMap<Element, Painter>} */
const painters = new WeakMap();
const sizes = new ResizeObserver((entries) => { for (const { target } of entries) paint(/** @type {HTMLCanvasElement} */ (target)); });

dark.addEventListener('change', () => {
  tokens.clear();
  colours = null;
  for (const canvas of document.querySelectorAll('canvas')) paint(canvas);
});

/** Draw a canvas now and whenever its size or the theme changes. @param {HTMLCanvasElement} canvas @param {Painter} painter */
export function keep(canvas, painter) {
  painters.set(canvas, painter);
  sizes.observe(canvas);
  paint(canvas);
  return canvas;
}

/** Draw a kept canvas again. @param {HTMLCanvasElement} canvas */
export function paint(canvas) {
  const painter = painters.get(canvas), { clientWidth: w, clientHeight: ht } = canvas;
  if (!painter || !w || !ht) return;
  const scale = Math.min(2, devicePixelRatio || 1), width = Math.round(w * scale), height = Math.round(ht * scale);
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, w, ht);
  painter(context, w, ht);
}

/** @type {Map<string, string>} */
const tokens = new Map();
/** The value of a custom property in the present theme: token('--rec'). @param {string} name */
export function token(name) {
  if (!tokens.has(name)) tokens.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
  return /** @type {string} */ (tokens.get(name));
}

/** @type {Uint32Array|null} */
let colours = null;
/** 256 colours from --s0 (silence) to --s5 (loudest), as pixels of ImageData. */
export function inks() {
  if (colours) return colours;
  const stops = [0, 1, 2, 3, 4, 5].map((k) => (token(`--s${k}`).match(/\w\w/g) ?? []).map((x) => parseInt(x, 16)));
  const bytes = new Uint8ClampedArray(1024);
  for (let v = 0; v < 256; v++) {
    const place = (v / 255) * 5, k = Math.min(4, Math.floor(place));
    for (let c = 0; c < 3; c++) bytes[4 * v + c] = stops[k][c] + (stops[k + 1][c] - stops[k][c]) * (place - k);
    bytes[4 * v + 3] = 255;
  }
  colours = new Uint32Array(bytes.buffer);
  return colours;
}

// ---- frequency ----

const TOP_HZ = 8000;
/** @param {number} hertz */
const mel = (hertz) => Math.log1p(hertz / 700);
/** Pixels below the upper edge of a frequency. @param {number} hertz @param {number} height of the picture @param {number} [top] Hz at its upper edge */
const heightOf = (hertz, height, top = TOP_HZ) => height * (1 - mel(hertz) / mel(top));
/** The frequency at a share (0 to 1) of the height below the upper edge. @param {number} share @param {number} [top] Hz at the upper edge */
export const hertzAt = (share, top = TOP_HZ) => 700 * Math.expm1(mel(top) * (1 - share));

// ---- pictures that the server computed ----

const CACHE_BYTES = 16 << 20; // about 1,000 thumbnails
const AT_ONCE = 4; // requests
/** @type {Map<string, Picture>} */
const cache = new Map();
/** @type {Map<string, Promise<Picture>>} */
const pending = new Map();
/** @type {(() => void)[]} */
const waiting = [];
let held = 0, running = 0;

/** @param {string} key @param {Picture} made */
function remember(key, made) {
  cache.set(key, made);
  held += made.levels.length;
  for (const [old, { levels }] of cache) {
    if (held <= CACHE_BYTES || old === key) break;
    cache.delete(old);
    held -= levels.length;
  }
}

/** Wait for a free place; those who asked last come first, since they are in view. */
async function place() {
  if (running >= AT_ONCE) await /** @type {Promise<void>} */ (new Promise((done) => { waiting.push(done); }));
  running++;
}

/** @param {string} url @param {number} start @param {AbortSignal} [signal] @returns {Promise<Picture>} */
async function load(url, start, signal) {
  await place();
  try {
    signal?.throwIfAborted();
    const answer = await ask(url, { signal }), of = (/** @type {string} */ name) => Number(answer.headers.get(name));
    const columns = of('X-Columns'), rows = of('X-Rows');
    return { levels: new Uint8Array(await answer.arrayBuffer()), columns, rows, seconds: of('X-Seconds'), topHz: of('X-Top-Hz') || TOP_HZ, start };
  } finally {
    running--;
    waiting.pop()?.();
  }
}

/**
 * The spectrogram of a clip or of a stretch of a recording, from the server or the cache.
 * @param {string} id of the clip or recording
 * @param {{columns?: number, rows?: number, start?: number|null, end?: number|null, signal?: AbortSignal}} [options]
 * @returns {Promise<Picture>}
 */
export async function picture(id, { columns = 160, rows = 64, start, end, signal } = {}) {
  const url = `/api/sounds/${id}/picture${query({ columns, rows, start, end })}`, kept = cache.get(url);
  if (kept) {
    cache.delete(url);
    cache.set(url, kept);
    return kept;
  }
  const asked = pending.get(url);
  if (asked) return asked.catch(() => load(url, start ?? 0, signal));
  const coming = load(url, start ?? 0, signal).finally(() => pending.delete(url));
  pending.set(url, coming);
  const made = await coming;
  remember(url, made);
  return made;
}

/** Waveform of a clip or stretch: pairs of lowest and highest, -128 to 127. @param {string} id @param {{points: number, start?: number|null, end?: number|null, signal?: AbortSignal}} options */
export async function peaks(id, { points, start, end, signal }) {
  const answer = await ask(`/api/sounds/${id}/peaks${query({ points, start, end })}`, { signal });
  return { pairs: new Int8Array(await answer.arrayBuffer()), seconds: Number(answer.headers.get('X-Seconds')) };
}

// ---- from levels to ink: what stands out is dark, what is always there is light ----

const MOST_RANGE = 176, LEAST_RANGE = 90; // of levels, from paper to the darkest ink: 55 dB, 28 dB
const USUAL = 0.5, LOUDEST = 0.998; // shares of a picture that are no louder than its noise, its loudest sound

/** @typedef {{from: number, to: number}} Contrast the levels that are paper and the darkest ink */

/** The contrast that suits a picture. Silence stays paper. @param {Uint8Array} levels @returns {Contrast} */
export function contrastOf(levels) {
  const counts = new Uint32Array(256);
  for (const level of levels) counts[level]++;
  /** @param {number} share */
  const quantile = (share) => {
    let level = 0, left = share * levels.length;
    while (level < 255 && (left -= counts[level]) > 0) level++;
    return level;
  };
  const to = Math.max(MOST_RANGE, quantile(LOUDEST));
  return { from: Math.min(to - LEAST_RANGE, Math.max(to - MOST_RANGE, quantile(USUAL))), to };
}

/** A picture as pixels, a column a frame. @param {Picture} made @param {Contrast} [contrast] that of the picture by itself */
export function bitmap({ levels, columns, rows }, contrast = contrastOf(levels)) {
  const { from, to } = contrast, ramp = inks();
  const ink = Uint32Array.from({ length: 256 }, (_, level) => ramp[Math.round(255 * Math.max(0, Math.min(1, (level - from) / (to - from))))]);
  const canvas = document.createElement('canvas');
  canvas.width = columns;
  canvas.height = rows;
  const image = new ImageData(columns, rows), pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < pixels.length; i++) pixels[i] = ink[levels[i]];
  /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d')).putImageData(image, 0, 0);
  return canvas;
}

/**
 * Keep a canvas filled with a picture.
 * @param {HTMLCanvasElement} canvas
 * @param {Picture} made
 * @param {{axis?: boolean}} [options]
 */
export function drawPicture(canvas, made, { axis = false } = {}) {
  return keep(canvas, (context, w, ht) => {
    context.imageSmoothingQuality = 'high';
    context.drawImage(bitmap(made), 0, 0, w, ht);
    if (axis) drawAxis(context, w, ht, { duration: made.seconds, from: made.start, top: made.topHz });
  });
}

/** Keep a canvas filled with a waveform. @param {HTMLCanvasElement} canvas @param {Int8Array} pairs lowest, highest */
export const drawWave = (canvas, pairs) => keep(canvas, (context, w, ht) => {
  const n = pairs.length / 2, middle = ht / 2;
  context.fillStyle = token('--s3');
  for (let x = 0; x < w; x++) {
    let low = 0, high = 0;
    for (let k = Math.floor((x * n) / w); k < Math.max(Math.floor((x * n) / w) + 1, ((x + 1) * n) / w) && k < n; k++) {
      low = Math.min(low, pairs[2 * k]);
      high = Math.max(high, pairs[2 * k + 1]);
    }
    context.fillRect(x, middle * (1 - high / 128), 1, Math.max(1, (middle * (high - low)) / 128));
  }
});

const TICKS = [250, 500, 1000, 2000, 4000, 8000, 16000];
const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 600, 1800, 3600];

/**
 * Lines and names of frequencies, and of seconds if there is a duration.
 * @param {CanvasRenderingContext2D} context
 * @param {number} w
 * @param {number} ht
 * @param {{duration?: number, from?: number, top?: number}} [options]
 */
export function drawAxis(context, w, ht, { duration = 0, from = 0, top = TOP_HZ } = {}) {
  context.font = `11px ${token('--font')}`;
  context.lineJoin = 'round';
  /** @param {string} text @param {number} x @param {number} y */
  const write = (text, x, y) => {
    context.lineWidth = 3;
    context.strokeStyle = token('--s0');
    context.strokeText(text, x, y);
    context.fillStyle = token('--soft');
    context.fillText(text, x, y);
  };
  let above = -99;
  for (const hertz of TICKS.filter((tick) => tick < top * 0.93).toReversed()) {
    const y = Math.round(heightOf(hertz, ht, top)) + 0.5;
    if (y - above < 20 || y > ht - 22 || y < 12) continue;
    above = y;
    context.fillStyle = token('--grid');
    context.fillRect(0, y, w, 1);
    write(hertz < 1000 ? `${hertz} Hz` : `${hertz / 1000} kHz`, 6, y - 3);
  }
  if (!duration) return;
  const step = STEPS.find((s) => w / (duration / s) > 64) ?? 3600;
  for (let s = Math.ceil(from / step + 0.01) * step; s < from + duration - step / 4; s += step) write(`${+s.toFixed(1)} s`, (w * (s - from)) / duration + 3, ht - 6);
}

/** Fill a stretch with the stripes that mean "unknown". @param {CanvasRenderingContext2D} context @param {number} x @param {number} y @param {number} w @param {number} ht @param {string} colour */
export function stripes(context, x, y, w, ht, colour) {
  context.save();
  context.beginPath(); context.roundRect(x, y, w, ht, 3); context.clip();
  context.strokeStyle = colour; context.lineWidth = 2;
  context.beginPath();
  for (let place = x - ht; place < x + w + ht; place += 6) { context.moveTo(place, y + ht); context.lineTo(place + ht, y); }
  context.stroke();
  context.restore();
  context.strokeStyle = colour; context.lineWidth = 1.5;
  context.beginPath(); context.roundRect(x + 0.75, y + 0.75, w - 1.5, ht - 1.5, 3); context.stroke();
}

/** @type {WeakMap<Element, () => void>} */
const unseen = new WeakMap();
const eyes = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    eyes.unobserve(target);
    unseen.get(target)?.();
    unseen.delete(target);
  }
}, { rootMargin: '150px' });

/** Do something once an element is, or is about to be, in view. @param {Element} element @param {() => void} fn */
export function whenSeen(element, fn) {
  unseen.set(element, fn);
  eyes.observe(element);
}
