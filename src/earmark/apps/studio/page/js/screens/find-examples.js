/** The examples of a search: clips of the folder, what the microphone hears now, files, and stretches that were found. */

import { finishUpload, get, query, state, upload } from '../api.js';
import { h, icon, seconds } from '../dom.js';
import { drawPicture, picture, whenSeen } from '../draw.js';
import { button, ear, tile, trouble } from '../parts.js';
import { play, playing, stop } from '../player.js';
import { openMicrophone, Take } from '../recorder.js';
import { COMMON, FIND } from '../texts.js';
import { kept } from './find-kept.js';
import { sentenceOf } from './learning.js';

/** @typedef {import('./find-kept.js').Example} Example */
/** @typedef {import('../types.js').Clip} Clip */

const MOST_S = 5; // of an example that is recorded
const MOST_CLIPS = 24; // of a class that are offered at once

export class Examples {
  /** @param {() => void} changed called when there are others */
  constructor(changed) {
    this.changed = changed;
    /** @type {Take|null} */ this.take = null;
    /** @type {{close(): void}|null} */ this.microphone = null;
    this.list = h('ul.examples', { 'aria-label': FIND.examples });
    this.notes = h('div.notices', { 'aria-live': 'polite' });
    this.offer = h('div.offer', { hidden: true });
    this.choosing = button(FIND.chooseClip, { sign: 'data', 'aria-expanded': 'false', onclick: () => this.toggleOffer() });
    this.recording = button(FIND.record, { sign: 'mic', onclick: () => this.record() });
    this.file = h('input', { type: 'file', hidden: true, 'aria-label': FIND.file, onchange: () => this.takeFile(this.file.files?.[0]) });
    this.box = h('div.example-box', this.list, h('div.row', this.choosing, this.recording, button(FIND.file, { sign: 'file', onclick: () => this.file.click() }), this.file), this.notes, this.offer);
    this.show();
  }

  show() {
    const rows = [...kept.like.map((one) => this.row(one, kept.like, true)), ...kept.unlike.map((one) => this.row(one, kept.unlike, false))];
    this.list.replaceChildren(...(rows.length ? rows : [h('li.none', FIND.noExample)]));
  }

  /** @param {Example} example @param {Example[]} list @param {boolean} isLike */
  row(example, list, isLike) {
    const remove = () => { list.splice(list.indexOf(example), 1); this.show(); this.changed(); };
    return h('li', { class: isLike ? 'like' : 'unlike' }, h('span.sign', icon(isLike ? 'check' : 'cross'), h('span', isLike ? FIND.like : FIND.unlike)), sound(example),
      button('', { sign: 'cross', quiet: true, 'aria-label': FIND.removeExample(example.name), title: FIND.remove, onclick: remove }));
  }

  /** @param {Example} example */
  add(example) {
    kept.like.push(example);
    this.show();
    this.changed();
  }

  // ---- clips of the folder ----

  toggleOffer() {
    this.offer.hidden = !this.offer.hidden;
    this.choosing.setAttribute('aria-expanded', String(!this.offer.hidden));
    if (!this.offer.hidden) this.showOffer();
  }

  showOffer() {
    const { classes } = state(), tiles = h('div.tiles'), more = h('p.how');
    const select = h('select', { onchange: () => fill() }, classes.map(({ name }) => h('option', { value: name }, name)), h('option', { value: '' }, FIND.unlabelled));
    const fill = async () => {
      tiles.replaceChildren();
      try {
        const { clips, total } = await get(`/api/clips${query({ ...(select.value ? { label: select.value } : { unlabelled: true }), count: MOST_CLIPS })}`);
        tiles.replaceChildren(...clips.map((/** @type {Clip} */ clip) => h('div', tile(clip), button(FIND.take, { quiet: true, sign: 'add', 'aria-label': FIND.takeClip(clip.name), onclick: () => this.add({ ...clip, from: null, to: null }) }))));
        more.textContent = total > clips.length ? FIND.firstClips(clips.length, total) : total ? '' : FIND.noClips;
      } catch (error) { more.textContent = sentenceOf(error); }
    };
    this.offer.replaceChildren(h('label.which', h('span', FIND.ofClass), select), tiles, more);
    fill();
  }

  // ---- the microphone, a file ----

  async record() {
    if (this.take) { this.take.stop(); return; }
    this.notes.replaceChildren();
    stop();
    try {
      const microphone = await openMicrophone({ onchunk: ({ samples }) => this.take?.feed(samples), onlost: () => this.take?.stop(true) });
      this.microphone = microphone;
      this.take = new Take({ label: null, count: 1, seconds: MOST_S, rate: microphone.rate, purpose: 'try' }, { onpiece: () => {}, onover: () => this.recorded() });
      this.recording.replaceChildren(icon('stop'), h('span', FIND.stopRecording));
      this.recording.classList.add('recording');
    } catch (error) {
      const { kind, message } = /** @type {import('../microphone.js').MicrophoneError} */ (error), text = COMMON.microphone[kind] ?? COMMON.microphone.failed;
      this.notes.replaceChildren(trouble('error', text.title, kind === 'failed' ? `${text.text} ${message}` : text.text));
    }
  }

  async recorded() {
    const take = this.take, piece = take?.pieces[0];
    this.take = null;
    this.microphone?.close();
    this.recording.replaceChildren(icon('mic'), h('span', FIND.record));
    this.recording.classList.remove('recording');
    if (!piece) { this.notes.replaceChildren(trouble('note', FIND.tooShort, null)); return; }
    await piece.finished;
    if (piece.upload) this.add({ id: piece.upload, name: FIND.recorded, label: null, start: null, end: null, isTried: true });
    else this.notes.replaceChildren(trouble('error', FIND.notRecorded, piece.error?.detail ?? ''));
  }

  /** @param {File|undefined} file */
  async takeFile(file) {
    if (!file) return;
    this.notes.replaceChildren();
    try {
      const { upload: id } = await upload(file, { purpose: 'try', finish: false });
      await finishUpload(id);
      this.add({ id, name: file.name, label: null, start: null, end: null, isTried: true });
    } catch (error) { this.notes.replaceChildren(trouble('error', FIND.noFile, sentenceOf(error))); }
    this.file.value = '';
  }

  leave() {
    this.take?.stop(true);
    this.microphone?.close();
  }
}

/** An example to see and to hear. @param {Example} example */
function sound({ id, name, label, from, to }) {
  const canvas = h('canvas', { 'aria-hidden': 'true' }), line = h('span.playhead');
  const listen = h('button.listen', { type: 'button', 'aria-label': COMMON.play(name, label), onclick: () => {
    if (playing && listen.classList.contains('on')) return stop();
    play(id, { start: from, end: to, onprogress: (share) => line.style.setProperty('--at', String(share)), onend: () => listen.classList.remove('on') });
    listen.classList.add('on');
    return undefined;
  } }, canvas, h('span.glyph', icon('play')), line, label ? ear(label) : null);
  const caption = h('span.num');
  whenSeen(canvas, () => picture(id, { columns: 160, rows: 56, start: from, end: to }).then((made) => { drawPicture(canvas, made); caption.textContent = seconds(made.seconds); }, () => canvas.replaceWith(h('span.unread', COMMON.unreadable))));
  return h('figure.tile', listen, h('figcaption', h('span.name', { title: name }, name), caption));
}
