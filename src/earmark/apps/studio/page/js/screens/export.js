/** Export: the ways out of the folder, each checked before it is offered. */

import { get, post, state } from '../api.js';
import { programs } from '../export-code.js';
import { bytes, date, h, icon, put, say } from '../dom.js';
import { button, chip, empty, head, trouble } from '../parts.js';
import { copyText } from '../save.js';
import { COMMON, EXPORT } from '../texts.js';
import { choose, rowsOf, usual } from '../models.js';

/** @typedef {import('../types.js').Job & {is_waiting?: boolean}} Job */
/** @typedef {import('../models.js').Model} Model */
/** @typedef {{name: string, bytes: number, made_at: number|string}} Exported */
/** @typedef {'file'|'onnx'|'onnx16'|'web'|'push'} Way */

export const title = COMMON.screens.export;
/** @type {Way[]} */
const WAYS = ['file', 'onnx', 'onnx16', 'web', 'push'];
/** @type {Object<string, (name: string) => string>} */
const FILES = { file: (name) => `${name}.earmark`, onnx: (name) => `${name}.onnx`, onnx16: (name) => `${name}-float16.onnx`, web: (name) => `${name}-web` };

/** @param {string} kind @param {string} sign @param {string} text */
const line = (kind, sign, text) => h('p', { class: `check ${kind}` }, icon(sign), h('span', text));

class Exporting {
  /** @param {HTMLElement} box @param {Model[]} models @param {Exported[]} exported @param {import('../types.js').Frame} frame */
  constructor(box, models, exported, frame) {
    this.models = models;
    this.exported = exported;
    this.frame = frame;
    this.model = usual(models);
    /** @type {Map<string, any>} results of jobs */
    this.results = new Map();
    this.program = 'python';
    this.push = { repo: '', licence: '', public: false };
    this.choice = h('select', { onchange: () => { this.model = models.find(({ name }) => name === this.choice.value) ?? this.model; choose(this.model.name); this.show(); } }, models.map(({ name }) => h('option', { value: name, selected: name === this.model.name }, name)));
    this.verdict = h('p.note-line');
    this.ways = h('div.ways');
    this.code = h('section.code-box', { 'aria-labelledby': 'code-title' });
    this.made = h('section');
    put(box, head(title, EXPORT.lede, h('label.which', h('span', EXPORT.classifier), this.choice)), this.verdict, this.ways, h('div.two', this.code, h('section', h('h2', EXPORT.labels), h('p.how', EXPORT.labelsHow), this.formats())), this.made);
    this.show();
  }

  show() {
    const { verdict } = this.model;
    this.verdict.replaceChildren(...(verdict ? [chip(verdict.word)] : []), h('span', verdict ? EXPORT.verdict : EXPORT.noVerdict));
    this.frame.command({ kind: 'export', choices: { model: this.model.name, to: 'onnx' } });
    this.showWays();
    this.showCode();
    this.showMade();
  }

  // ---- the ways ----

  showWays() {
    const focused = /** @type {HTMLElement|null} */ (document.activeElement)?.dataset.act;
    this.ways.replaceChildren(...WAYS.map((way) => this.way(way)));
    if (focused) /** @type {HTMLElement|null} */ (this.ways.querySelector(`[data-act="${focused}"]`))?.focus();
  }

  /** @param {Way} way @returns {Job|undefined} the latest job for it */
  jobOf(way) {
    return state().jobs.filter(({ kind, choices }) => choices.model === this.model.name && (way === 'push' ? kind === 'push' : kind === 'export' && (choices.to ?? 'onnx') === way)).toSorted((a, b) => (a.started_at < b.started_at ? 1 : -1))[0];
  }

  /** @param {Way} way */
  way(way) {
    const { name, what, more } = EXPORT.ways[way], job = way === 'file' ? undefined : this.jobOf(way), file = FILES[way]?.(this.model.name) ?? '', found = this.exported.find((one) => one.name === file);
    const isRunning = job?.state === 'running', isImpossible = way === 'web' && this.model.is_detector;
    return h('section.way', { 'aria-label': name, 'data-way': way, 'data-state': job?.state ?? '', onfocusin: () => this.showCommand(way) },
      h('h2', name),
      h('p.file', h('code', { title: file }, way === 'push' ? EXPORT.hub : file + (way === 'web' ? '/' : '')), h('span.num', way === 'file' ? bytes(this.model.bytes) : found ? bytes(found.bytes) : '')),
      h('div.way-text', h('p', what), way === 'push' ? this.fields() : h('p.how', isImpossible ? EXPORT.noWeb : more)),
      h('div', { role: 'status' }, this.checkLine(way, job, found)),
      h('div.row', this.acts(way, job, found, isRunning, isImpossible)));
  }

  /** What is known of the result: that it is checked, that it runs, or why there is none. @param {Way} way @param {Job|undefined} job @param {Exported|undefined} found */
  checkLine(way, job, found) {
    if (way === 'file') return line('', 'check', EXPORT.fileCheck);
    if (job?.state === 'running') return h('div', h('progress', { 'aria-label': EXPORT.making }), h('p.how', job.is_waiting ? EXPORT.waiting : way === 'push' ? EXPORT.pushing : EXPORT.making));
    if (job?.state === 'failed') return line('bad', 'error', job.error ?? EXPORT.failed);
    if (job?.state === 'stopped') return line('warn', 'warn', EXPORT.stopped);
    const result = job && this.resultOf(job);
    if (result && way === 'push') return h('div', line('', 'check', EXPORT.pushed(result.address)), this.list(EXPORT.leftOut, result.left_out ?? []));
    if (result && found) {
      const licences = (result.description?.backbones ?? []).map((/** @type {any} */ one) => `${one.name}: ${one.licence}`);
      return h('div', line('', 'check', EXPORT.checked(result.largest_difference, result.sounds)), ...(result.warnings ?? []).map((/** @type {string} */ text) => line('warn', 'warn', text)), this.list(EXPORT.licences, licences));
    }
    if (found) return line('plain', 'note', EXPORT.madeAt(date(typeof found.made_at === 'number' ? found.made_at * 1000 : found.made_at)));
    return line('plain', 'note', way === 'push' ? EXPORT.notPushed : EXPORT.notMade);
  }

  /** @param {string} name @param {string[]} texts */
  list(name, texts) {
    return texts.length ? h('details', h('summary', name), h('ul', texts.map((text) => h('li', text)))) : null;
  }

  /** The result of a job that is done; it is asked for once. @param {Job} job */
  resultOf(job) {
    if (!this.results.has(job.id)) {
      this.results.set(job.id, null);
      get(`/api/jobs/${job.id}`).then(({ result }) => { this.results.set(job.id, result ?? null); this.showWays(); }, () => this.results.delete(job.id));
    }
    return this.results.get(job.id);
  }

  /** @param {Way} way @param {Job|undefined} job @param {Exported|undefined} found @param {boolean} isRunning @param {boolean} isImpossible */
  acts(way, job, found, isRunning, isImpossible) {
    const name = EXPORT.ways[way].name;
    if (way === 'file') return [button(EXPORT.save, { sign: 'save', primary: true, go: `/api/models/${encodeURIComponent(this.model.name)}/file`, download: FILES.file(this.model.name), 'data-act': 'save file' })];
    if (isRunning && job) return [button(EXPORT.stop, { sign: 'stop', 'data-act': `stop ${way}`, 'aria-label': EXPORT.stopWhat(name), onclick: () => this.stop(job) })];
    const hasFailed = job?.state === 'failed';
    if (way === 'push') return [button(hasFailed ? EXPORT.again : EXPORT.publish, { sign: 'upload', 'data-act': 'make push', onclick: () => this.publish() })];
    const text = found ? EXPORT.anew : hasFailed ? EXPORT.again : EXPORT.make;
    const make = isImpossible ? null : button(text, { quiet: Boolean(found), 'data-act': `make ${way}`, 'aria-label': `${text}: ${name}`, onclick: () => this.start('export', { model: this.model.name, to: way }) });
    const save = found ? button(way === 'web' ? EXPORT.saveZip : EXPORT.save, { sign: 'save', go: `/api/exports/${encodeURIComponent(found.name)}`, download: way === 'web' ? `${found.name}.zip` : found.name, 'data-act': `save ${way}`, 'aria-label': `${way === 'web' ? EXPORT.saveZip : EXPORT.save}: ${name}` }) : null;
    return [save, make];
  }

  fields() {
    const { push } = this;
    const repo = h('input', { value: push.repo, placeholder: EXPORT.repoExample, autocomplete: 'off', spellcheck: 'false', oninput: () => { push.repo = repo.value.trim(); } });
    const licence = h('input', { value: push.licence, placeholder: 'cc-by-4.0', autocomplete: 'off', spellcheck: 'false', oninput: () => { push.licence = licence.value.trim(); } });
    const open = h('input', { type: 'checkbox', checked: push.public, onchange: () => { push.public = open.checked; } });
    return h('div.fields', h('label', h('span', EXPORT.repo), repo), h('label', h('span', EXPORT.licence), licence), h('label.row', open, h('span', EXPORT.open)), h('p.how', EXPORT.ways.push.more));
  }

  /** @param {Way} way */
  showCommand(way) {
    if (way === 'file') return;
    this.frame.command(way === 'push' ? { kind: 'push', choices: this.pushChoices() } : { kind: 'export', choices: { model: this.model.name, to: way } });
  }

  pushChoices() {
    const { repo, licence, public: isOpen } = this.push;
    return { model: this.model.name, repo: repo || EXPORT.repoExample, ...(licence ? { licence } : {}), ...(isOpen ? { public: true } : {}) };
  }

  publish() {
    if (!/^[\w.-]+\/[\w.-]+$/.test(this.push.repo)) {
      say(EXPORT.repoFirst);
      /** @type {HTMLElement|null} */ (this.ways.querySelector('.fields input'))?.focus();
      return;
    }
    this.start('push', this.pushChoices());
  }

  /** @param {string} kind @param {Object<string, any>} choices */
  async start(kind, choices) {
    try {
      const job = await post('/api/jobs', { kind, choices });
      this.takeJob(job);
    } catch (error) { say(/** @type {Error} */ (error).message); }
  }

  /** @param {Job} job */
  async stop(job) {
    try {
      this.takeJob(await post(`/api/jobs/${job.id}/stop`));
    } catch (error) { say(/** @type {Error} */ (error).message); }
  }

  /** @param {Job} job */
  takeJob(job) {
    if (job?.id) state().jobs = [job, ...state().jobs.filter(({ id }) => id !== job.id)];
    this.showWays();
  }

  // ---- programs, labels, what there is ----

  showCode() {
    const all = programs(this.model.name, this.model.is_detector), [, text] = all.find(([id]) => id === this.program) ?? all[0], shown = all.some(([id]) => id === this.program) ? this.program : all[0][0];
    this.code.replaceChildren(h('div.row.between', h('h2#code-title', EXPORT.code), button(EXPORT.copy, { quiet: true, onclick: () => copyText(text, EXPORT.copied) })),
      h('div.tabs', { role: 'group', 'aria-label': EXPORT.language }, all.map(([id]) => h('button', { type: 'button', 'data-program': id, 'aria-pressed': String(id === shown), onclick: () => { this.program = id; this.showCode(); /** @type {HTMLElement|null} */ (this.code.querySelector(`[data-program=${id}]`))?.focus(); } }, EXPORT.programs[id]))),
      h('pre', { tabindex: '0', role: 'region', 'aria-label': EXPORT.programs[shown] }, h('code', text)), h('p.how', EXPORT.programHow[shown]));
  }

  formats() {
    return h('ul.formats', EXPORT.formats.map(([name, what, format]) => h('li', h('b', name), h('span.how', what), button(EXPORT.copyCommand, { quiet: true, 'aria-label': `${EXPORT.copyCommand}: ${name}`, onclick: () => copyText(EXPORT.formatCommand(`models/${this.model.name}.earmark`, format), COMMON.copied) }))));
  }

  showMade() {
    this.made.replaceChildren(...(this.exported.length ? [h('h2', EXPORT.all), h('div.table-box', { tabindex: '0', role: 'region', 'aria-label': EXPORT.all }, h('table.made', h('thead', h('tr', h('th', EXPORT.columns.file), h('th.n', EXPORT.columns.size), h('th', EXPORT.columns.made), h('th', h('span.hidden', EXPORT.save)))),
      h('tbody', this.exported.map(({ name, bytes: size, made_at: at }) => h('tr', h('td', h('code', name)), h('td.n', bytes(size)), h('td', date(typeof at === 'number' ? at * 1000 : at)), h('td', button(EXPORT.save, { quiet: true, go: `/api/exports/${encodeURIComponent(name)}`, download: '', 'aria-label': `${EXPORT.save}: ${name}` })))))))] : []));
  }

  async refresh() {
    this.exported = rowsOf(await get('/api/exports'), 'exports');
    this.showWays();
    this.showMade();
  }
}

/** @param {HTMLElement} box @param {string} _state @param {import('../types.js').Frame} frame @returns {import('../types.js').Made} */
export function render(box, _state, frame) {
  /** @type {Exporting|null} */
  let view = null;
  let isOver = false;
  const open = async () => {
    try {
      const [models, exported] = await Promise.all([get('/api/models'), get('/api/exports')]);
      if (isOver) return;
      const usable = /** @type {Model[]} */ (rowsOf(models, 'models')).filter(({ error }) => !error);
      box.replaceChildren();
      if (usable.length) view = new Exporting(box, usable, rowsOf(exported, 'exports'), frame);
      else put(box, head(title, EXPORT.lede), empty(EXPORT.emptyTitle, EXPORT.emptyText, button(COMMON.screens.train, { primary: true, go: '#/train' })));
    } catch (error) {
      box.replaceChildren(head(title, EXPORT.lede), trouble('error', EXPORT.cannot, /** @type {Error} */ (error).message, button(COMMON.retry, { onclick: open })));
    }
  };
  put(box, head(title, EXPORT.lede));
  open();
  return {
    leave: () => { isOver = true; },
    update: (name) => {
      if (name === 'job') view?.showWays();
      if (name === 'models') { if (view) view.refresh().catch(() => null); else open(); }
      if (name === 'job' || name === 'state') view?.refresh().catch(() => null);
    },
  };
}
