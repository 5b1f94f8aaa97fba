/** Try with a file, or with a clip of the folder: one answer, or the events of a detector. */

import { get, post, query, state, upload, dropUpload } from './api.js';
import { at, clock, h, icon, number, percent, seconds } from './dom.js';
import { drawPicture, keep, picture, stripes, token } from './draw.js';
import { pictureOf, playSound, readSound } from './local-sound.js';
import { button, inkOf, label, readout, scoreRows, tile, trouble } from './parts.js';
import { play, playing, stop } from './player.js';
import { copyText, csv } from './save.js';
import { TRY } from './texts.js';

/** @typedef {import('./types.js').Clip} Clip */
/** @typedef {import('./models.js').Model} Model */
/** @typedef {{label: string|null, labels: string[], answer?: string, score?: number, scores?: number[], seconds: number, is_unknown?: boolean, known_score?: number, events?: {start: number, end: number, label: string, score: number}[], warnings?: string[]}} Answer */
/** @typedef {{name: string, clip?: Clip, file?: File, sound?: AudioBuffer|null}} Subject */

const MOST_ROWS = 9;
const CLIPS = 60;

/** The part of Try for a recording. */
export class FileView {
  /** @param {{models: Model[], name: string, onmodel: (name: string) => void}} options */
  constructor({ models, name, onmodel }) {
    this.models = models;
    this.name = name;
    /** @type {Subject|null} */
    this.subject = null;
    /** @type {(() => void)|null} */
    this.end = null;
    this.turn = 0;
    this.input = h('input', { type: 'file', accept: 'audio/*,.flac,.opus,.w64,.caf,.aif', class: 'hidden', tabindex: '-1', 'aria-label': TRY.chooseFile, onchange: () => { this.takeFiles(this.input.files); this.input.value = ''; } });
    this.choice = h('select', { onchange: () => { this.name = this.choice.value; onmodel(this.name); if (this.subject) this.answer(); } },
      models.map((model) => h('option', { value: model.name, selected: model.name === name }, model.name)));
    this.drop = h('section.drop', icon('file'), h('div', h('b', TRY.dropTitle), h('p.how', TRY.dropHow)),
      h('div.row', button(TRY.chooseFile, { sign: 'file', primary: true, onclick: () => this.input.click() }), button(TRY.chooseClip, { sign: 'data', onclick: () => this.choose() })), this.input);
    this.result = h('div.try-result', { 'aria-live': 'polite' });
    this.box = h('div.file-view', h('div.row.between', h('label.which', h('span', TRY.with), this.choice)), this.drop, this.result);
    this.dragging = (/** @type {DragEvent} */ event) => this.dragged(event);
    for (const name of /** @type {const} */ (['dragover', 'dragleave', 'drop'])) document.addEventListener(name, this.dragging);
  }

  /** @param {DragEvent} event */
  dragged(event) {
    if (!event.dataTransfer?.types.includes('Files')) return;
    event.preventDefault();
    event.stopPropagation();
    this.drop.classList.toggle('over', event.type === 'dragover');
    if (event.type === 'drop') this.takeFiles(event.dataTransfer.files);
  }

  /** @param {FileList|null} files */
  async takeFiles(files) {
    const file = files?.[0];
    if (!file) return;
    this.subject = { name: file.name, file, sound: await readSound(file) };
    this.answer();
  }

  /** @param {Clip} clip */
  takeClip(clip) {
    this.subject = { name: clip.name, clip };
    this.answer();
  }

  // ---- a clip of the folder ----

  async choose() {
    const box = /** @type {HTMLDialogElement} */ (at('dialog')), list = h('div.tiles.choose-clip'), of = h('select', { 'aria-label': TRY.ofClass }, h('option', { value: '' }, TRY.unlabelled), state().classes.map(({ name }, k) => h('option', { value: name, selected: k === 0 }, name)));
    const fill = async () => {
      const which = of.value ? { label: of.value } : { unlabelled: true };
      list.replaceChildren(h('p.how', TRY.reading));
      try {
        const { clips, total } = await get(`/api/clips${query({ ...which, first: 0, count: CLIPS })}`);
        list.replaceChildren(...clips.map((/** @type {Clip} */ clip) => h('div.pick-clip', tile(clip), button(TRY.take, { quiet: true, 'aria-label': TRY.takeClip(clip.name), onclick: () => { box.close(); this.takeClip(clip); } }))),
          ...(total > CLIPS ? [h('p.how', TRY.firstClips(CLIPS, total))] : []), ...(total ? [] : [h('p.how', TRY.noClips)]));
      } catch (error) {
        list.replaceChildren(h('p.how', /** @type {Error} */ (error).message));
      }
    };
    of.addEventListener('change', fill);
    box.replaceChildren(h('h2#dialog-title', TRY.chooseClip), h('label.row', h('span', TRY.ofClass), of), list, h('form', { method: 'dialog' }, h('button.button', TRY.cancel)));
    box.showModal();
    await fill();
  }

  // ---- the answer ----

  async answer() {
    const subject = this.subject, turn = ++this.turn;
    if (!subject) return;
    this.end?.();
    stop();
    const stage = this.stage(subject), below = h('div.answer-box', h('p.how', TRY.thinking));
    this.result.replaceChildren(h('h2', subject.name), stage.box, below);
    try {
      const answer = await this.ask(subject);
      if (turn !== this.turn) return;
      below.replaceChildren(...this.shown(subject, answer));
      stage.mark(answer.events ?? []);
    } catch (error) {
      if (turn !== this.turn) return;
      below.replaceChildren(trouble('error', TRY.noAnswer, /** @type {Error} */ (error).message, button(TRY.onceMore, { sign: 'redo', onclick: () => this.answer() })));
    }
  }

  /** @param {Subject} subject @returns {Promise<Answer>} */
  async ask({ clip, file }) {
    const path = `/api/try/${encodeURIComponent(this.name)}`;
    if (clip) return post(`${path}${query({ id: clip.id })}`);
    const sent = await upload(/** @type {File} */ (file), { purpose: 'try', finish: false });
    try {
      return await post(`${path}${query({ upload: sent.upload })}`);
    } finally {
      dropUpload(sent.upload);
    }
  }

  /** The picture with its player; `mark` draws events on it. @param {Subject} subject */
  stage(subject) {
    const canvas = h('canvas', { 'aria-hidden': 'true' }), over = h('canvas.over', { 'aria-hidden': 'true' }), line = h('span.playhead');
    const box = h('button.listen.try-picture', { type: 'button', 'aria-label': TRY.play(subject.name), onclick: () => this.toggle(subject, box, line) }, canvas, over, h('span.glyph', icon('play')), line);
    let duration = 0;
    const made = subject.clip ? picture(subject.clip.id, { columns: 1000, rows: 192 }) : subject.sound ? pictureOf(subject.sound) : Promise.reject(new Error(TRY.noPicture));
    made.then((shown) => {
      duration = shown.seconds;
      drawPicture(canvas, shown, { axis: true });
      readout(box, shown.seconds, 0, shown.topHz);
    }, () => box.replaceWith(h('p.how', TRY.noPicture)));
    return { box, mark: (/** @type {NonNullable<Answer['events']>} */ events) => keep(over, (context, w, ht) => {
      for (const { start, end, label } of duration ? events : []) {
        const x = (start / duration) * w, wide = Math.max(3, ((end - start) / duration) * w), ink = inkOf(label);
        if (label === 'unknown') stripes(context, x, 2, wide, ht - 4, token('--unknown'));
        context.fillStyle = token(ink === 'ku' ? '--unknown' : `--${ink}`);
        context.globalAlpha = 0.16;
        context.fillRect(x, 0, wide, ht);
        context.globalAlpha = 1;
        context.fillRect(x, 0, wide, 4);
      }
    }) };
  }

  /** @param {Subject} subject @param {HTMLElement} box @param {HTMLElement} line */
  toggle({ clip, sound }, box, line) {
    const follow = (/** @type {number} */ share) => line.style.setProperty('--at', String(share));
    if (this.end) return this.end();
    if (clip && playing) return stop();
    const done = () => { box.classList.remove('on'); this.end = null; };
    if (clip) play(clip.id, { onprogress: follow, onend: done });
    else if (sound) this.end = playSound(sound, follow, done);
    box.classList.add('on');
    return undefined;
  }

  /** @param {Subject} subject @param {Answer} answer */
  shown(subject, answer) {
    const warnings = (answer.warnings ?? []).map((text) => h('p.note-line', icon('warn'), h('span', text)));
    return answer.events ? [...warnings, ...this.events(subject, answer.events, answer.seconds)] : [...warnings, ...this.scores(subject, answer)];
  }

  /** @param {Subject} subject @param {Answer} answer */
  scores(subject, answer) {
    const { labels, scores = [], is_unknown: isUnknown = false } = answer, shown = labels.slice(0, MOST_ROWS);
    const rows = scoreRows(shown), word = isUnknown ? 'unknown' : answer.label ?? labels[0];
    rows.set(Object.fromEntries(labels.map((name, k) => [name, scores[k]])), isUnknown ? null : word);
    const table = labels.map((name, k) => ({ recording: subject.name, label: name, score: scores[k] }));
    return [
      h('p.now', label(word), h('span.how', isUnknown ? TRY.unknownHow(labels[0]) : TRY.sure(percent(scores[0] ?? 0)))),
      rows.box,
      labels.length > MOST_ROWS ? h('p.how', TRY.firstScores(MOST_ROWS, labels.length)) : h('span'),
      this.copies(['recording', 'label', 'score'], table, answer),
    ];
  }

  /** @param {Subject} subject @param {NonNullable<Answer['events']>} events @param {number} duration */
  events(subject, events, duration) {
    const table = events.map((event) => ({ recording: subject.name, ...event }));
    const rows = events.map(({ start, end, label: name, score }) => h('tr', h('td', label(name)), h('td.n', clock(start, 2)), h('td.n', clock(end, 2)), h('td.n', seconds(end - start)), h('td.n', number(score, 2))));
    return [
      h('p.found', TRY.found(events.length, seconds(duration))),
      events.length ? h('div.table-box', { tabindex: '0', role: 'region', 'aria-label': TRY.events }, h('table.wide', h('thead', h('tr', h('th', TRY.columns.label), h('th.n', TRY.columns.start), h('th.n', TRY.columns.end), h('th.n', TRY.columns.seconds), h('th.n', TRY.columns.score))), h('tbody', rows))) : h('span'),
      this.copies(['recording', 'start', 'end', 'label', 'score'], table, { recording: subject.name, events }),
    ];
  }

  /** @param {string[]} columns @param {Object<string, unknown>[]} rows @param {unknown} whole */
  copies(columns, rows, whole) {
    return h('div.row', button(TRY.copyCsv, { quiet: true, onclick: () => copyText(csv(columns, rows), TRY.copiedCsv) }), button(TRY.copyJson, { quiet: true, onclick: () => copyText(JSON.stringify(whole, null, 2), TRY.copiedJson) }));
  }

  /** @param {string} key */
  keys(key) {
    if (key !== ' ') return false;
    const box = /** @type {HTMLElement|null} */ (this.result.querySelector('.try-picture'));
    if (!box || document.activeElement === box) return false;
    box.click();
    return true;
  }

  close() {
    this.turn++;
    this.end?.();
    for (const name of /** @type {const} */ (['dragover', 'dragleave', 'drop'])) document.removeEventListener(name, this.dragging);
  }
}
