/** The editor of a long recording: seen, heard and labelled without loading it whole. */

import { get, post, state } from '../api.js';
import { Marks } from '../editor-marks.js';
import { Overview } from '../editor-overview.js';
import { Stage } from '../editor-stage.js';
import { RegionTable } from '../editor-table.js';
import { clock, h, icon, number, put, say, seconds } from '../dom.js';
import { button, head, trouble } from '../parts.js';
import { COMMON, EDITOR } from '../texts.js';

/** @typedef {import('../types.js').Clip} Clip */
/** @typedef {{id: string, name: string, seconds: number, rate_hz: number, channels: number, bytes: number, error: string|null, regions: Clip[]}} Recording */

export const title = EDITOR.title;
const SECTIONS_S = [10, 20, 30, 60, 120, 300];
/** @type {import('../editor-stage.js').View[]} */
const VIEWS = ['both', 'picture', 'wave'];
const SPEEDS = [0.25, 0.5, 1, 1.5, 2];
const USUAL_S = 60;
const LEAST_S = 0.02;
const PLAYHEAD_STEPS = 100; // of a section, for a press of an arrow
const REGION_STEPS = 400;
const SETTLE_MS = 500; // after the last press of an arrow, before a region is saved

/** Seconds of "1:02:03.5", "62.5" or "62,5"; NaN for anything else. @param {string} text */
function secondsOf(text) {
  const parts = text.trim().replace(',', '.').split(':');
  return parts.length > 3 || parts.some((part) => !/^\d+(\.\d*)?$/.test(part)) ? NaN : parts.reduce((sum, part) => 60 * sum + Number(part), 0);
}

class Editor {
  /** @param {HTMLElement} box @param {Recording} recording */
  constructor(box, recording) {
    this.recording = recording;
    this.length = Math.min(USUAL_S, recording.seconds);
    /** @type {Clip[]} */
    this.regions = [];
    this.isLoading = false;
    /** @type {string|null} */
    this.chosen = null;
    this.mark = NaN; // where a region begins that is made with the keys
    this.isStale = false;
    this.timer = 0;
    /** @type {Clip|null} */
    this.moving = null;
    this.overview = new Overview(recording.id, recording.seconds, (from) => this.show(from), () => this.stage.box.focus({ preventScroll: true }));
    this.stage = new Stage(recording.id, recording.seconds, {
      create: (start, end) => this.create(start, end), change: (id, start, end) => this.move(id, start, end), choose: (id) => this.choose(id, false),
      time: () => this.showTime(), playing: (isOn) => this.showPlaying(isOn), finish: () => { if (!this.stage.goOn()) this.showPlaying(false); else this.showSection(); }, fail: (text) => say(text),
    });
    this.marks = new Marks({ choose: (id) => this.choose(id), brush: (label) => this.setBrush(label), label: (label) => this.label(label), remove: (id) => this.remove(id), play: () => this.playChosen(), ends: (start, end) => this.setEnds(start, end) });
    this.table = new RegionTable({ choose: (id) => this.choose(id), remove: (id) => this.remove(id) });
    this.place = h('span.place');
    this.zoom = h('select', { onchange: () => this.setLength(Number(this.zoom.value)) }, [...new Set([...SECTIONS_S.filter((s) => s < recording.seconds), ...(recording.seconds <= 300 ? [recording.seconds] : [])])].map((s) => h('option', { value: s }, s === recording.seconds ? EDITOR.whole : s < 60 ? EDITOR.seconds(s) : seconds(s))));
    this.views = VIEWS.map((view) => h('button', { type: 'button', 'aria-pressed': String(view === 'both'), onclick: () => this.setView(view) }, EDITOR.views[view]));
    this.playing = button(EDITOR.play, { sign: 'play', key: 'Space', onclick: () => this.toggle() });
    this.time = h('span.num');
    this.speed = h('select', { onchange: () => this.stage.setSpeed(Number(this.speed.value)) }, SPEEDS.map((speed) => h('option', { value: speed, selected: speed === 1 }, EDITOR.times(number(speed, speed % 1 ? 2 : 0)))));
    this.note = h('p.note-line', { hidden: true });
    this.count = h('h2', EDITOR.regions(0));
    this.build(box);
    this.setBrush(state().classes[0]?.name ?? '');
    this.takeRegions(recording.regions);
    this.overview.open();
    this.stage.open();
    this.show(0);
  }

  /** @param {HTMLElement} box */
  build(box) {
    const { recording } = this;
    const move = (/** @type {number} */ by) => () => this.show(this.stage.from + by * this.length);
    put(box, h('section.editor',
      head(recording.name, EDITOR.about(seconds(recording.seconds), number(recording.rate_hz / 1000, recording.rate_hz % 1000 ? 1 : 0), recording.channels), button(EDITOR.back, { sign: 'back', go: '#/data' })),
      this.overview.box, this.overview.note, this.note,
      h('div.section-bar', h('span.row', button('', { sign: 'back', quiet: true, 'aria-label': EDITOR.before, title: EDITOR.before, onclick: move(-1) }), this.place, button('', { sign: 'next', quiet: true, 'aria-label': EDITOR.after, title: EDITOR.after, onclick: move(1) })), h('label', h('span', EDITOR.section), this.zoom), h('div.tabs', { role: 'group', 'aria-label': EDITOR.view }, this.views)),
      h('div.stage-row', h('div.stage-side', h('span', EDITOR.side[0]), h('span', EDITOR.side[1])), this.stage.box), this.marks.lanes,
      h('div.transport', this.playing, this.time, h('label', h('span', EDITOR.speed), this.speed)),
      this.marks.brushes, this.marks.chosen,
      h('p.how#editor-how', EDITOR.how), h('details.keys-of', h('summary', EDITOR.keysTitle), h('table.keys', h('tbody', EDITOR.keys.map(([keys, what]) => h('tr', h('th', { scope: 'row' }, keys.map((key) => h('kbd', key))), h('td', what)))))),
      h('div.regions-head', this.count), this.table.scroll));
  }

  /** @param {import('../editor-stage.js').View} view */
  setView(view) {
    this.views.forEach((tab, k) => tab.setAttribute('aria-pressed', String(VIEWS[k] === view)));
    this.stage.setView(view);
  }

  // ---- sections ----

  /** @param {number} from */
  show(from) {
    this.stage.show(from, this.length);
    this.showSection();
  }

  /** @param {number} length */
  setLength(length) {
    const middle = this.stage.at >= this.stage.from && this.stage.at <= this.stage.from + this.length ? this.stage.at : this.stage.from + this.length / 2;
    this.length = Math.min(length, this.recording.seconds);
    this.show(middle - this.length / 2);
  }

  /** @param {number} by 1 or -1 */
  setZoom(by) {
    const options = [...this.zoom.options].map(({ value }) => Number(value)), k = options.indexOf(this.length) + by;
    if (options[k]) this.setLength(options[k]);
  }

  showSection() {
    const { from, length } = this.stage;
    this.length = length;
    this.zoom.value = String(length);
    this.place.textContent = EDITOR.place(clock(from, length < 30 ? 1 : 0), clock(from + length, length < 30 ? 1 : 0));
    this.overview.show(from, length);
    this.marks.showLanes(this.regions, from, length, this.chosen);
    this.showTime();
  }

  // ---- playing ----

  toggle() {
    if (this.stage.isPlaying || this.stage.playOnLoad) return this.stage.pause();
    const { at, from } = this.stage;
    if (at < from || at >= from + this.length - 0.01) this.stage.seekTo(from);
    this.stage.play();
    return undefined;
  }

  playChosen() {
    const clip = this.chosenClip;
    if (clip) this.stage.play({ start: clip.start ?? 0, end: clip.end ?? this.recording.seconds });
  }

  /** @param {boolean} isOn */
  showPlaying(isOn) {
    this.playing.replaceChildren(icon(isOn ? 'pause' : 'play'), h('span', isOn ? EDITOR.pause : EDITOR.play), h('kbd', { 'aria-hidden': 'true' }, 'Space'));
  }

  showTime() {
    const text = EDITOR.timeOf(clock(this.stage.at, 1), clock(this.recording.seconds));
    if (this.time.textContent !== text) this.time.textContent = text;
  }

  // ---- regions ----

  get chosenClip() {
    return this.regions.find(({ id }) => id === this.chosen) ?? null;
  }

  /** @param {Clip[]} regions */
  takeRegions(regions) {
    const before = this.chosenClip, whole = regions.find(({ start, end }) => start === null && end === null);
    this.regions = regions.filter(({ start, end }) => start !== null || end !== null).toSorted((a, b) => (a.start ?? 0) - (b.start ?? 0));
    this.note.hidden = !whole?.label;
    this.note.replaceChildren(icon('note'), h('span', EDITOR.wholeLabel(whole?.label ?? '')));
    if (this.chosen && !this.chosenClip) this.chosen = this.heirOf(before);
    this.showRegions();
  }

  /** The region that took the place of another, as an undo leaves it. @param {Clip|null} old @returns {string|null} */
  heirOf(old) {
    const near = old ? this.regions.filter(({ start, end }) => (start ?? 0) < (old.end ?? Infinity) && (end ?? Infinity) > (old.start ?? 0)) : [];
    return near.length === 1 ? near[0].id : null;
  }

  showRegions() {
    const { regions, chosen } = this;
    this.count.textContent = EDITOR.regions(regions.length);
    this.stage.setRegions(regions, chosen);
    this.overview.setRegions(regions);
    this.table.show(regions, chosen);
    this.marks.showLanes(regions, this.stage.from, this.length, chosen);
    this.marks.showChosen(this.chosenClip);
  }

  /** Read the regions again: this page, another one or the command line has changed them. */
  async reload() {
    if (this.isLoading) { this.isStale = true; return; }
    this.isLoading = true;
    try {
      do {
        this.isStale = false;
        const { regions } = await get(`/api/recordings/${this.recording.id}`);
        if (!this.moving) this.takeRegions(regions);
      } while (this.isStale);
    } catch (error) {
      say(/** @type {Error} */ (error).message);
    } finally {
      this.isLoading = false;
    }
  }

  /** Change the folder, say so, and show what is there now. @param {string} path @param {Object<string, unknown>} body @param {(answer: any) => string|null} [chosen] what is chosen then */
  async change(path, body, chosen = () => this.chosen) {
    try {
      const answer = await post(path, body, { keepalive: true });
      say(answer.said);
      this.chosen = chosen(answer);
    } catch (error) {
      say(/** @type {Error} */ (error).message);
    }
    await this.reload();
  }

  /** @param {number} start @param {number} end */
  create(start, end) {
    const span = { start: Number(start.toFixed(3)), end: Number(end.toFixed(3)) };
    if (span.end - span.start < LEAST_S) return;
    this.change('/api/regions', { recording: this.recording.id, ...span, label: this.marks.brush || null }, ({ clip, id }) => clip?.id ?? id ?? null);
  }

  /** @param {string} id @param {number} start @param {number} end */
  move(id, start, end) {
    const clip = this.regions.find((other) => other.id === id);
    if (!clip || end - start < LEAST_S) return;
    this.change('/api/regions/move', { id, start: Number(start.toFixed(3)), end: Number(end.toFixed(3)), label: clip.label }, (answer) => answer.clip?.id ?? answer.id ?? null);
  }

  /** @param {string} label of the chosen region */
  label(label) {
    if (this.chosen) this.change('/api/label', { ids: [this.chosen], label });
  }

  /** @param {string} id */
  remove(id) {
    const k = this.regions.findIndex((other) => other.id === id), next = this.regions[k + 1] ?? this.regions[k - 1];
    this.change('/api/delete', { ids: [id] }, () => (this.chosen === id ? next?.id ?? null : this.chosen));
  }

  /** @param {string|null} id @param {boolean} [isFar] whether the section should go there */
  choose(id, isFar = true) {
    if (id === this.chosen && !isFar) return;
    this.saveMoving();
    this.chosen = id;
    const clip = this.chosenClip;
    if (clip && isFar) {
      const start = clip.start ?? 0, end = clip.end ?? this.recording.seconds;
      if (start < this.stage.from || end > this.stage.from + this.length) this.show(start - Math.max(0, this.length - (end - start)) / 2);
      this.stage.seekTo(start);
    }
    this.showRegions();
  }

  /** @param {number} by 1 or -1: the next one, or the one before; from the playhead if none is chosen */
  step(by) {
    const { regions } = this, here = regions.findIndex(({ id }) => id === this.chosen);
    const next = here >= 0 ? here + by : by > 0 ? regions.findIndex(({ start }) => (start ?? 0) >= this.stage.at - 0.01) : regions.findLastIndex(({ start }) => (start ?? 0) < this.stage.at);
    if (regions[next]) this.choose(regions[next].id);
  }

  /** @param {string} label */
  setBrush(label) {
    this.marks.setBrush(label);
    this.stage.setBrush(label);
  }

  /** Move or stretch the chosen region by keys: shown at once, saved after the last press. @param {number} start seconds more @param {number} end seconds more */
  nudge(start, end) {
    const clip = this.chosenClip;
    if (!clip) return false;
    const long = this.recording.seconds, a = clip.start ?? 0, b = clip.end ?? long;
    const by = start === end ? Math.max(-a, Math.min(long - b, start)) : 0;
    clip.start = start === end ? a + by : Math.max(0, Math.min(b - LEAST_S, a + start));
    clip.end = start === end ? b + by : Math.min(long, Math.max(a + LEAST_S, b + end));
    this.moving = clip;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.saveMoving(), SETTLE_MS);
    this.showRegions();
    return true;
  }

  saveMoving() {
    clearTimeout(this.timer);
    const clip = this.moving;
    this.moving = null;
    if (clip) this.move(clip.id, clip.start ?? 0, clip.end ?? this.recording.seconds);
  }

  /** @param {string} start @param {string} end as they were typed */
  setEnds(start, end) {
    const [a, b] = [secondsOf(start), secondsOf(end)];
    if (!(a >= 0 && b <= this.recording.seconds + 1e-6 && b - a >= LEAST_S)) {
      say(EDITOR.wrongEnds(clock(this.recording.seconds)));
      this.marks.showChosen(this.chosenClip, true);
    } else if (this.chosen) this.move(this.chosen, a, b);
  }

  /** Set an end of a region to the playhead: of the chosen one, or of a new one. @param {boolean} isStart */
  setEnd(isStart) {
    const { at } = this.stage, clip = this.chosenClip;
    if (clip) {
      const [start, end] = isStart ? [at, clip.end ?? this.recording.seconds] : [clip.start ?? 0, at];
      if (end - start >= LEAST_S) this.move(clip.id, start, end);
      else say(EDITOR.endBeforeStart);
    } else if (isStart) {
      this.mark = at;
      say(EDITOR.marked(clock(at, 2)));
    } else if (at - this.mark >= LEAST_S) {
      this.create(this.mark, at);
      this.mark = NaN;
    } else say(Number.isNaN(this.mark) ? EDITOR.noStart : EDITOR.endBeforeStart);
  }

  // ---- keys ----

  /** @param {string} key @param {KeyboardEvent} event @returns {boolean} */
  keys(key, event) {
    const target = /** @type {Element} */ (event.target), step = this.length / PLAYHEAD_STEPS, fine = Math.max(0.01, this.length / REGION_STEPS);
    if (target.closest('button, a') && (key === ' ' || key === 'Enter')) return false;
    const label = /^[1-9]$/.test(key) ? state().classes[Number(key) - 1]?.name : undefined;
    if (label) {
      if (this.chosen) this.label(label);
      this.setBrush(label);
      return true;
    }
    /** @type {Object<string, () => unknown>} */
    const acts = {
      ' ': () => this.toggle(), Enter: () => this.playChosen(), Escape: () => this.choose(null),
      ArrowUp: () => this.step(-1), ArrowDown: () => this.step(1), PageUp: () => this.show(this.stage.from - this.length), PageDown: () => this.show(this.stage.from + this.length),
      Home: () => { this.choose(null); this.show(0); this.stage.seekTo(0); }, End: () => { this.choose(null); this.show(this.recording.seconds); },
      '+': () => this.setZoom(-1), '-': () => this.setZoom(1), '[': () => this.setEnd(true), ']': () => this.setEnd(false),
      ',': () => this.nudge(-fine, 0), '.': () => this.nudge(fine, 0), x: () => { if (this.chosen) this.remove(this.chosen); }, Delete: () => { if (this.chosen) this.remove(this.chosen); }, Backspace: () => { if (this.chosen) this.remove(this.chosen); },
    };
    if (key === 'ArrowLeft' || key === 'ArrowRight') {
      const by = key === 'ArrowLeft' ? -1 : 1;
      if (event.shiftKey) return this.nudge(0, by * fine) || (this.seek(by * 10 * step), true);
      return this.nudge(by * fine, by * fine) || (this.seek(by * step), true);
    }
    if (!Object.hasOwn(acts, key)) return false;
    acts[key]();
    return true;
  }

  /** @param {number} by seconds */
  seek(by) {
    this.stage.seekTo(this.stage.at + by);
    this.showSection();
  }

  close() {
    this.saveMoving();
    this.stage.close();
    this.overview.close();
    this.table.close();
  }
}

/** @param {HTMLElement} box @param {string} id @returns {import('../types.js').Made} */
export function render(box, id) {
  /** @type {Editor|null} */
  let editor = null;
  let isOver = false;
  const open = async () => {
    box.replaceChildren(head(title, EDITOR.opening));
    try {
      /** @type {Recording} */
      const recording = await get(`/api/recordings/${encodeURIComponent(id)}`);
      if (isOver) return;
      if (recording.error || !recording.seconds) throw new Error(recording.error ?? EDITOR.noSound);
      box.replaceChildren();
      editor = new Editor(box, recording);
    } catch (error) {
      box.replaceChildren(head(title, null, button(EDITOR.back, { sign: 'back', go: '#/data' })), trouble('error', EDITOR.cannot, /** @type {Error} */ (error).message, button(COMMON.retry, { onclick: open })));
    }
  };
  open();
  return {
    command: { kind: 'train', choices: { name: EDITOR.modelName, detector: true } },
    keys: (key, event) => editor?.keys(key, event) ?? false,
    leave: () => { isOver = true; editor?.close(); },
    update: (name) => { if (name === 'state') editor?.reload(); },
  };
}
