/** The archives of the folder: which one is searched, what is in it, and how one is made. */

import { get, post, state } from '../api.js';
import { h, icon, seconds } from '../dom.js';
import { button, coded, trouble } from '../parts.js';
import { FIND } from '../texts.js';
import { sentenceOf } from './learning.js';

/** @typedef {import('./find-kept.js').About} About */

const NAMES = /^[\p{L}\p{N}_](?:[\p{L}\p{N}_ .()+-]*[\p{L}\p{N}_)+])?$/u;

/** @param {string} name */
const wrongName = (name) => (NAMES.test(name) && name.length <= 80 ? '' : FIND.wrongName);

/** A name that no archive has. @param {string[]} taken @param {string} word */
function freeName(taken, word) {
  let name = word;
  for (let k = 2; taken.includes(name); k++) name = `${word} ${k}`;
  return name;
}

/**
 * The form that makes an archive.
 * @param {{archives: string[], sources: string[]}} listed
 * @param {{begun: (job: import('../types.js').Job) => void, command: import('../types.js').Frame['command']}} acts
 */
export function archiveForm({ archives, sources }, { begun, command }) {
  const own = state().folder, notice = h('div.notices', { 'aria-live': 'polite' });
  const chosen = { source: '', name: freeName(archives, own.name.replaceAll(/[^\p{L}\p{N}_ -]/gu, '') || 'archive'), backbone: 'auto', isNamed: false };
  const why = h('p.how'), start = button(FIND.index, { primary: true, key: 'Enter', onclick: () => begin() });
  const name = h('input#archive-name', { type: 'text', value: chosen.name, maxlength: 80, oninput: () => { chosen.name = name.value.trim(); chosen.isNamed = true; changed(); } });
  const choices = () => ({ name: chosen.name, ...(chosen.source && { source: chosen.source }), ...(chosen.backbone !== 'auto' && { backbone: chosen.backbone }) });
  const changed = () => {
    const wrong = wrongName(chosen.name);
    why.textContent = wrong || FIND.nameHow;
    name.setAttribute('aria-invalid', String(Boolean(wrong)));
    start.toggleAttribute('disabled', Boolean(wrong));
    if (!wrong) command({ kind: 'index', choices: choices() });
  };
  const begin = async () => {
    start.disabled = true;
    try {
      begun(await post('/api/jobs', { kind: 'index', choices: choices() }));
    } catch (error) {
      notice.replaceChildren(trouble('error', FIND.notIndexed, sentenceOf(error)));
      start.disabled = false;
    }
  };
  /** @param {string} value @param {string} title @param {string} how */
  const option = (value, title, how) => h('label.option', h('input', { type: 'radio', name: 'source', checked: chosen.source === value, onchange: () => {
    chosen.source = value;
    if (!chosen.isNamed) name.value = chosen.name = freeName(archives, (value || own.name).replaceAll(/[^\p{L}\p{N}_ -]/gu, '') || 'archive');
    changed();
  } }), h('span', h('b', title), h('span.how', how)));
  const select = h('select#archive-network', { onchange: () => { chosen.backbone = select.value; changed(); } }, h('option', { value: 'auto' }, FIND.usualNetwork));
  get('/api/choices').then(({ backbones }) => select.append(...backbones.filter((/** @type {{is_at_hand: boolean, name: string}} */ { is_at_hand: isThere, name: each }) => isThere && each !== 'speech-embedding').map((/** @type {{name: string}} */ { name: each }) => h('option', { value: each }, each))), () => null);
  changed();
  const box = h('section.make-archive', h('h2', archives.length ? FIND.anotherTitle : FIND.firstTitle), h('p.how', FIND.archiveText), notice,
    h('fieldset', h('legend', FIND.source), option('', FIND.ownSource(own.name), FIND.ownSourceHow(state().counts.recordings)), sources.map((each) => option(each, each, FIND.otherSourceHow)),
      h('p.note-line', icon('note'), h('span', coded(FIND.moreSources(own.name))))),
    h('div.field', h('label', { for: 'archive-name' }, FIND.archiveName), name, why), h('div.field', h('label', { for: 'archive-network' }, FIND.network), select, h('p.how', FIND.networkHow)), h('div.row', start));
  return { box, keys: (/** @type {string} */ key) => { if (key !== 'Enter' || start.disabled) return false; begin(); return true; } };
}

/** What is in an archive, in a line, with what is gone. @param {About} about @param {{update: (() => void)|null}} acts */
export function archiveLine(about, { update }) {
  const { recordings, seconds: length, network, windows, n_gone: gone, n_failed: failed } = about;
  const list = (/** @type {string} */ title, /** @type {string[]} */ names, /** @type {number} */ n) => n > 0 && h('details', h('summary', title), h('ul.paths', names.map((name) => h('li', name)), n > names.length && h('li', FIND.andMore(n - names.length))));
  return h('section.archive-line', h('div.row', h('p.how', FIND.about(recordings, seconds(length), windows, network ?? '')), update ? button(FIND.update, { quiet: true, onclick: update }) : h('p.how', coded(FIND.updateHow))),
    list(FIND.gone(gone), about.gone, gone), list(FIND.failed(failed), about.failed, failed));
}

