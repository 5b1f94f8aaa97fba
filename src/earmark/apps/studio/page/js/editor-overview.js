/** All hours of a recording in one strip: what is where, and which section is shown. */

import { ask, query } from './api.js';
import { clock, h, percent } from './dom.js';
import { bitmap, keep, paint, token } from './draw.js';
import { inkOf } from './parts.js';
import { EDITOR } from './texts.js';

/** @typedef {import('./types.js').Clip} Clip */
/** @typedef {import('./types.js').Picture} Picture */

const AGAIN_MS = 2000; // until a sketch is asked for again
const COLUMNS = 1024;
const ROWS = 40;
const MARKS = 10; // pixels below the picture, for regions
const STEPS_S = [10, 30, 60, 300, 600, 1800, 3600, 7200];

export class Overview {
  /** @param {string} id @param {number} seconds @param {(from: number) => void} go takes the start of a section @param {() => void} left called when the mouse has let go of the strip */
  constructor(id, seconds, go, left) {
    this.id = id;
    this.seconds = seconds;
    this.go = go;
    this.from = 0;
    this.length = 1;
    /** @type {Clip[]} */
    this.regions = [];
    /** @type {Picture|null} */
    this.picture = null;
    this.canvas = h('canvas.night', { 'aria-hidden': 'true' });
    this.view = h('span.view', { 'aria-hidden': 'true' });
    this.hours = h('div.hours', { 'aria-hidden': 'true' });
    this.note = h('p.how', { role: 'status' }, EDITOR.lookingThrough);
    this.box = h('div.overview', { role: 'slider', tabindex: '0', 'aria-label': EDITOR.overview, 'aria-valuemin': 0, 'aria-valuemax': Math.round(seconds), onkeydown: (event) => this.press(event), onpointerdown: (event) => this.grab(event), onpointerup: left, onpointermove: (event) => { if (this.box.hasPointerCapture(event.pointerId)) this.drag(event); } }, this.canvas, this.view, this.hours);
    this.sizes = new ResizeObserver(() => this.showHours());
    this.aborter = new AbortController();
    this.timer = 0;
  }

  open() {
    keep(this.canvas, (context, w, ht) => this.draw(context, w, ht));
    this.sizes.observe(this.box);
    this.load();
  }

  /** Fetch the picture; of a long recording it is a sketch until the server has gone through it. */
  async load() {
    const { signal } = this.aborter;
    try {
      const answer = await ask(`/api/sounds/${this.id}/picture${query({ columns: COLUMNS, rows: ROWS })}`, { signal, cache: 'no-store' });
      const of = (/** @type {string} */ name) => Number(answer.headers.get(name)), share = Number(answer.headers.get('X-Share') ?? 1);
      this.picture = { levels: new Uint8Array(await answer.arrayBuffer()), columns: of('X-Columns'), rows: of('X-Rows'), seconds: of('X-Seconds'), topHz: of('X-Top-Hz'), start: 0 };
      this.note.hidden = share >= 1;
      this.note.textContent = EDITOR.scanned(percent(share));
      paint(this.canvas);
      if (share < 1) this.timer = setTimeout(() => this.load(), AGAIN_MS);
    } catch (error) {
      if (!signal.aborted) this.note.textContent = /** @type {Error} */ (error).message;
    }
  }

  close() {
    clearTimeout(this.timer);
    this.aborter.abort();
    this.sizes.disconnect();
  }

  /** @param {number} from @param {number} length */
  show(from, length) {
    this.from = from;
    this.length = length;
    this.view.style.setProperty('--from', String(from / this.seconds));
    this.view.style.setProperty('--share', String(length / this.seconds));
    this.box.setAttribute('aria-valuenow', String(Math.round(from)));
    this.box.setAttribute('aria-valuetext', EDITOR.place(clock(from), clock(from + length)));
  }

  /** @param {Clip[]} regions */
  setRegions(regions) {
    this.regions = regions;
    paint(this.canvas);
  }

  /** @param {CanvasRenderingContext2D} context @param {number} w @param {number} ht */
  draw(context, w, ht) {
    if (this.picture) context.drawImage(bitmap(this.picture), 0, 0, w, ht - MARKS);
    context.fillStyle = token('--paper');
    context.fillRect(0, ht - MARKS, w, MARKS);
    for (const { start, end, label } of this.regions) {
      const ink = label ? inkOf(label) : 'ku', x = ((start ?? 0) / this.seconds) * w;
      context.fillStyle = token(ink === 'ku' ? '--unknown' : `--${ink}`);
      context.fillRect(x, ht - MARKS + 2, Math.max(1.5, (((end ?? this.seconds) - (start ?? 0)) / this.seconds) * w), MARKS - 3);
    }
  }

  showHours() {
    const w = this.box.clientWidth, step = STEPS_S.find((s) => (s / this.seconds) * w > 58) ?? 14_400;
    this.hours.replaceChildren(...Array.from({ length: Math.ceil(this.seconds / step) }, (_, k) => k * step).filter((s) => s < this.seconds * 0.97).map((s) => h('span', { style: { '--x': s / this.seconds } }, step < 60 ? clock(s) : clock(s).slice(0, 5))));
  }

  /** @param {PointerEvent} event */
  grab(event) {
    if (event.button) return;
    this.box.setPointerCapture(event.pointerId);
    this.drag(event);
  }

  /** @param {PointerEvent} event */
  drag(event) {
    const { left, width } = this.box.getBoundingClientRect();
    this.go(((event.clientX - left) / width) * this.seconds - this.length / 2);
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    const far = Math.max(this.length, this.seconds / 20);
    /** @type {Object<string, number>} */
    const to = { ArrowRight: this.from + this.length / 2, ArrowUp: this.from + this.length / 2, ArrowLeft: this.from - this.length / 2, ArrowDown: this.from - this.length / 2, PageUp: this.from + far, PageDown: this.from - far, Home: 0, End: this.seconds };
    if (!(event.key in to) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    this.go(to[event.key]);
  }
}
