/** Files and folders that are dropped or chosen: found, sent one by one, and named if they could not be. */

import { refresh, upload } from '../api.js';
import { h, say } from '../dom.js';
import { button, trouble } from '../parts.js';
import { DATA } from '../texts.js';
import { change } from './data-choice.js';

/** @typedef {{file: File, folder: string|null}} Found */

const AT_ONCE = 3;
const NAMED = 12; // errors listed by name
const NOT_AUDIO = /^\.|^(readme|license|licence|copying|authors|makefile)$|\.(txt|md|rst|csv|tsv|jsonl?|xml|ya?ml|toml|ini|log|html?|css|js|pdf|docx?|xlsx?|jpe?g|png|gif|bmp|svg|webp|tiff?|ico|py|ipynb|r|m|sh|zip|textgrid|lab|eaf|jams|srt|vtt|md5|sha256|earmark|onnx)$/i;

const TABLE = /\.(csv|tsv|jsonl|ndjson|parquet)$/i; // of labels, perhaps: the folder offers to use it
const MOST_TABLES = 20;
const TRACK = /^\s*(\d[\d.,]*\t\d[\d.,]*\s|.*Begin Time \(s\))/; // of Audacity or Raven

/** @param {FileSystemDirectoryReader} reader @returns {Promise<FileSystemEntry[]>} */
const some = (reader) => new Promise((done, fail) => { reader.readEntries(done, fail); });
/** @param {FileSystemFileEntry} entry @returns {Promise<File>} */
const fileOf = (entry) => new Promise((done, fail) => { entry.file(done, fail); });

/** @param {FileSystemEntry} entry @param {string[]} above @param {Found[]} found */
async function walk(entry, above, found) {
  if (entry.isFile) {
    found.push({ file: await fileOf(/** @type {FileSystemFileEntry} */ (entry)), folder: above.join('/') || null });
    return;
  }
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  for (let entries = await some(reader); entries.length; entries = await some(reader)) { // at most 100 at a time
    for (const inner of entries) await walk(inner, [...above, entry.name], found);
  }
}

/** The label tracks of recordings that came with them. @param {Found[]} found @param {Found[]} audio */
async function tracksOf(found, audio) {
  const recordings = new Map(audio.map((one) => [`${one.folder}/${one.file.name.replace(/\.[^.]*$/, '')}`, one]));
  /** @type {Map<Found, Found>} */
  const tracks = new Map();
  for (const one of found.filter(({ file }) => /\.txt$/i.test(file.name))) {
    const parts = one.file.name.split('.');
    const recording = parts.map((_, n) => recordings.get(`${one.folder}/${parts.slice(0, n).join('.')}`)).find(Boolean);
    if (recording && TRACK.test(await one.file.slice(0, 4096).text())) tracks.set(recording, one);
  }
  return tracks;
}

/** All files of a drop, with the folders that they lay in. @param {DataTransfer} data @returns {Promise<Found[]>} */
async function filesOf(data) {
  const entries = [...data.items].map((item) => item.webkitGetAsEntry?.()).filter((entry) => entry != null);
  if (!entries.length) return [...data.files].map((file) => ({ file, folder: null }));
  /** @type {Found[]} */
  const found = [];
  for (const entry of entries) await walk(entry, [], found);
  return found;
}

/** Let the user choose files, or a folder. @param {(found: Found[]) => void} done @param {boolean} [isFolder] */
export function chooseFiles(done, isFolder = false) {
  const input = h('input', { type: 'file', hidden: true, multiple: true, webkitdirectory: isFolder, accept: isFolder ? null : 'audio/*,video/*,.flac,.opus,.aif,.aiff,.caf,.wv' });
  input.addEventListener('cancel', () => input.remove());
  input.addEventListener('change', () => {
    input.remove();
    done([...input.files ?? []].map((file) => ({ file, folder: file.webkitRelativePath.split('/').slice(0, -1).join('/') || null })));
  });
  document.body.append(input);
  input.click();
}

/** Sends files and shows how far it is; what failed is listed, the others go on. */
export class Adder {
  box = h('div.adder');
  /** @type {(Found & {label: string|null, isByFolder?: boolean, isTable?: boolean})[]} */
  queue = [];
  /** @type {{name: string, why: string}[]} */
  failed = [];
  /** @type {string[]} */
  labelled = [];
  done = 0;
  all = 0;
  tables = 0;
  others = 0;
  /** @type {AbortController|null} */
  control = null;
  bar = h('progress', { 'aria-label': DATA.dropTitle });
  title = h('h2');
  now = h('p.how.name');

  /** @param {Found[]} found @param {string|null} [label] of all; without it the name of its folder labels a file */
  async add(found, label = null) {
    const audio = found.filter(({ file }) => !NOT_AUDIO.test(file.name)), tracks = await tracksOf(found, audio);
    const tables = [...found.filter(({ file }) => TABLE.test(file.name)).slice(0, MOST_TABLES), ...tracks.values()];
    this.others += found.length - audio.length - tables.length;
    if (!audio.length && !tables.length) { say(DATA.nothingToAdd); this.others = 0; return; }
    this.queue.push(...audio.map((one) => {
      const isByFolder = label == null && one.folder != null && !tracks.has(one);
      return { ...one, label: isByFolder ? one.folder?.split('/').at(-1) ?? null : label, isByFolder };
    }));
    this.queue.push(...tables.map(({ file, folder }) => ({ file, folder, label: null, isTable: true })));
    this.all += audio.length + tables.length;
    if (this.control) { this.#show(); return; }
    this.control = new AbortController();
    this.box.replaceChildren(h('section.trouble.note', { 'aria-live': 'off' }, h('div', h('div.row.between', this.title, button(DATA.cancel, { quiet: true, onclick: () => this.control?.abort() })), this.bar, this.now)));
    this.#show();
    await Promise.all(Array.from({ length: AT_ONCE }, () => this.#work()));
    this.#end();
  }

  async #work() {
    const signal = /** @type {AbortController} */ (this.control).signal;
    for (let item = this.queue.shift(); item && !signal.aborted; item = this.queue.shift()) {
      const { file, folder, label, isByFolder, isTable } = item;
      this.now.textContent = file.name;
      try {
        const { clip } = await upload(file, { folder, label, signal });
        if (isTable) this.tables++;
        if (clip?.error) this.failed.push({ name: file.name, why: clip.error });
        else if (clip && isByFolder) this.labelled.push(clip.id);
      } catch (error) {
        if (signal.aborted) return;
        this.failed.push({ name: folder ? `${folder}/${file.name}` : file.name, why: /** @type {Error} */ (error).message });
      }
      this.done++;
      this.#show();
    }
  }

  #show() {
    this.title.textContent = DATA.adding(this.done, this.all);
    this.bar.max = this.all;
    this.bar.value = this.done;
  }

  #end() {
    const { failed, labelled, tables, others, done } = this, wasStopped = this.control?.signal.aborted, added = done - failed.length - tables;
    Object.assign(this, { queue: [], failed: [], labelled: [], done: 0, all: 0, tables: 0, others: 0, control: null });
    refresh().catch(() => null);
    if (!failed.length && !labelled.length && !tables && !others && !wasStopped) {
      say(DATA.added(added, 0), '.');
      this.box.replaceChildren();
      return;
    }
    const text = [wasStopped ? DATA.stopped : failed.length ? DATA.addedRest : '', tables ? DATA.tables(tables) : '', others ? DATA.notAudio(others) : '', labelled.length ? DATA.byFolder : ''].filter(Boolean).join(' ');
    const names = failed.length ? h('ul.errors', failed.slice(0, NAMED).map(({ name, why }) => h('li', h('b', name), ' ', why)), failed.length > NAMED ? h('li', DATA.andMore(failed.length - NAMED)) : null) : null;
    const close = () => this.box.replaceChildren();
    const report = trouble(failed.length ? 'warn' : 'note', DATA.added(added, failed.length), text,
      labelled.length ? button(DATA.noFolderLabels, { onclick: async () => { if (await change('/api/label', { ids: labelled, label: null })) close(); } }) : null, button(DATA.closeNote, { quiet: true, onclick: close }));
    if (names) report.querySelector('.row')?.before(names);
    this.box.replaceChildren(report);
  }
}

/** @param {DragEvent} event */
const isFiles = (event) => event.dataTransfer?.types.includes('Files');

/**
 * Take drops anywhere on the page. A class's column takes those over it.
 * @param {(found: Found[], label: string|null) => void} onfiles
 * @returns {() => void} what ends it
 */
export function takeDrops(onfiles) {
  const control = new AbortController(), { signal } = control;
  let timer = 0;
  addEventListener('dragover', (event) => {
    if (!isFiles(event)) return;
    event.preventDefault();
    document.body.classList.add('dropping');
    clearTimeout(timer);
    timer = setTimeout(() => document.body.classList.remove('dropping'), 300);
  }, { signal });
  addEventListener('drop', async (event) => {
    if (!isFiles(event) || !event.dataTransfer) return;
    event.preventDefault();
    document.body.classList.remove('dropping');
    const column = /** @type {HTMLElement|null} */ (/** @type {Element} */ (event.target).closest?.('[data-class]'));
    try { onfiles(await filesOf(event.dataTransfer), column?.dataset.class || null); } catch (error) { say(String(/** @type {Error} */ (error).message)); }
  }, { signal });
  return () => control.abort();
}
