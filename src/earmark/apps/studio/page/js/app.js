/** The frame around the screens: addresses, keys, troubles, and the command beside every action. */

import { listenWhileSeen, on, post, refresh, state } from './api.js';
import { at, h, icon, number, say } from './dom.js';
import { button, trouble } from './parts.js';
import { stop } from './player.js';
import { COMMON } from './texts.js';
import { turnBack } from './turning.js';

/** @typedef {import('./types.js').Made} Made */
/** @typedef {import('./types.js').Choices} Choices */
/** @typedef {{title?: string, render(box: HTMLElement, state: string, frame: import('./types.js').Frame): Made|void}} Screen */

/** @type {[string, string[]][]} */
const GROUPS = [[COMMON.groups.collect, ['data', 'doctor']], [COMMON.groups.learn, ['train', 'report', 'review']], [COMMON.groups.use, ['try', 'find', 'export']]];
/** @type {Object<string, string>} */
const LETTERS = { d: 'data', o: 'doctor', t: 'train', r: 'report', v: 'review', y: 'try', f: 'find', e: 'export' };
/** @type {Object<string, string>} */
const NAMES = COMMON.screens;

const main = at('main');
/** @type {Made} */
let made = {};
let shown = 0, heldG = 0;

// ---- the rail ----

function navigation() {
  at('nav').replaceChildren(...GROUPS.map(([name, ids]) => h('div.group', h('span.group-name', name), ids.map((id) => h('a', { href: `#/${id}`, 'data-screen': id }, icon(id), h('span', NAMES[id]), h('span.badge', { id: `badge-${id}` }))))));
  at('strip-name').textContent = COMMON.strip;
  at('copy').textContent = COMMON.copy;
  at('help').replaceChildren(h('span', COMMON.keys), h('kbd', { 'aria-hidden': 'true' }, '?'));
}

/** @param {string} id @param {string} text @param {string} [kind] */
function badge(id, text, kind = '') {
  const box = at(`badge-${id}`);
  box.textContent = text;
  box.className = `badge ${kind}`;
}

function rail() {
  const { folder, counts, models, jobs, is_remote: isRemote } = state();
  at('folder').textContent = folder.name;
  at('folder').title = folder.path;
  at('saved').textContent = COMMON.saved(counts.recordings);
  at('local').replaceChildren(icon('lock'), h('span', isRemote ? COMMON.remote : COMMON.local));
  badge('data', counts.clips || counts.unlabelled ? number(counts.clips + counts.unlabelled) : '');
  badge('report', models.length ? number(models.length) : '');
  badge('train', jobs.some((job) => job.kind === 'train' && job.state === 'running') ? COMMON.training : '', 'main');
}

/** Bring the screen's name into view where the names scroll sideways. */
function centre() {
  const nav = at('nav'), link = /** @type {HTMLElement|null} */ (nav.querySelector('[aria-current]'));
  if (link) nav.scrollLeft = link.offsetLeft - (nav.clientWidth - link.offsetWidth) / 2;
}

// ---- troubles ----

/** @type {Map<string, HTMLElement>} */
const banners = new Map();
/** Show one banner of its kind, or none. @param {string} kind @param {HTMLElement|null} banner */
function setBanner(kind, banner) {
  const old = banners.get(kind);
  if (old?.textContent === banner?.textContent && old) return;
  old?.remove();
  if (!banner) { banners.delete(kind); return; }
  banners.set(kind, banner);
  at('banners').append(banner);
}

/** Troubles that stop nobody from working. @type {Object<string, 'error'|'warn'|'note'>} */
const RANKS = { readonly: 'warn', many: 'warn', layout: 'warn', unreadable: 'warn', links: 'note', recovered: 'note', unfinished: 'note' };
const dismissed = new Set();
function troubles() {
  const open = state().trouble.filter(({ detail }) => !dismissed.has(detail));
  const kept = new Set(open.map(({ kind }) => `folder ${kind}`));
  for (const kind of banners.keys()) if (kind.startsWith('folder ') && !kept.has(kind)) setBanner(kind, null);
  for (const { kind, detail } of open) {
    const rank = /** @type {'note' | 'warn' | 'error'} */ (RANKS[kind] ?? 'error');
    setBanner(`folder ${kind}`, trouble(rank, COMMON.troubles[kind] ?? COMMON.troubleElse, detail, rank !== 'error' ? button(COMMON.dismiss, { quiet: true, onclick: () => { dismissed.add(detail); troubles(); } }) : null));
  }
}

// ---- the command in a terminal ----

let asked = 0;
/** @param {string|Choices|undefined} value */
async function command(value) {
  const number = ++asked, box = at('command');
  /** @param {string} text */
  const write = (text) => { box.replaceChildren(h('span.prompt', { 'aria-hidden': 'true' }, '$ '), text); };
  if (typeof value !== 'object') return write(value ?? `earmark studio ${quoted(state().folder.path)}`);
  try {
    const { command: text } = await post('/api/command', value);
    if (number === asked) write(text);
  } catch { /* the strip keeps what it said; the screen shows why a choice is impossible */ }
}

/** A path as a shell takes it. @param {string} path */
const quoted = (path) => (/^[\w./~@%+=:,-]+$/.test(path) ? path : `'${path.replaceAll("'", String.raw`'\''`)}'`);

async function copy() {
  const text = (at('command').textContent ?? '').replace(/^\$ /, '');
  try { await navigator.clipboard.writeText(text); } catch { getSelection()?.selectAllChildren(at('command')); return; }
  say(COMMON.copied);
}

// ---- screens ----

async function show() {
  const turn = ++shown, [, first = 'data', ...rest] = decodeURIComponent(location.hash).split('/');
  const id = NAMES[first] ? first : 'data', isLong = id === 'data' && rest[0] === 'long' && Boolean(rest[1]);
  made.leave?.();
  made = {};
  stop();
  document.title = `${NAMES[id]} · ${COMMON.name}`;
  for (const link of at('nav').querySelectorAll('a')) {
    if (link.dataset.screen === id) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  centre();
  const box = h('div', { class: `screen screen-${isLong ? 'editor' : id}` });
  try {
    const screen = /** @type {Screen} */ (await import(`./screens/${isLong ? 'editor' : id}.js`));
    if (turn !== shown) return;
    main.replaceChildren(box);
    made = screen.render(box, isLong ? rest.slice(1).join('/') : rest.join('/'), { command: (value) => { if (turn === shown) command(value); } }) ?? {};
    command(made.command);
  } catch (error) {
    console.error(error);
    main.replaceChildren(trouble('error', COMMON.broken.title, COMMON.broken.text, button(COMMON.reload, { onclick: () => location.reload() })));
  }
  scrollTo(0, 0);
}

// ---- keys ----

const storage = { get: () => { try { return localStorage.getItem('keys') !== 'off'; } catch { return true; } }, set: (/** @type {boolean} */ isOn) => { try { localStorage.setItem('keys', isOn ? 'on' : 'off'); } catch { /* a private window forgets it */ } } };
let hasLetters = storage.get();

/** "G then D O": words stay words, the rest are keys. @param {string} keys */
const keyCaps = (keys) => keys.split(' ').map((key) => (/^(then|to)$/.test(key) ? ` ${key} ` : h('kbd', key)));

function help() {
  const box = /** @type {HTMLDialogElement} */ (at('dialog'));
  const letters = h('input', { type: 'checkbox', checked: hasLetters, onchange: () => { hasLetters = letters.checked; storage.set(hasLetters); } });
  box.replaceChildren(h('h2#dialog-title', COMMON.keysTitle), h('table.keys', h('tbody', COMMON.help.map(([keys, what]) => h('tr', h('th', { scope: 'row' }, keyCaps(keys)), h('td', what))))),
    h('p', h('label.row', letters, COMMON.oneLetter)), h('form', { method: 'dialog' }, h('button.button.primary', { autofocus: true }, COMMON.close)));
  box.showModal();
}

/** @param {KeyboardEvent} event */
function press(event) {
  const { key } = event, target = /** @type {Element} */ (event.target);
  if (target.closest('input:not([type=range], [type=checkbox], [type=radio]), textarea, select, dialog')) return;
  if (event.ctrlKey || event.metaKey) {
    const letter = key.toLowerCase();
    if (letter === 'z' || letter === 'y') { event.preventDefault(); turnBack(letter === 'y' || event.shiftKey ? 'redo' : 'undo'); return; }
    if (made.keys?.(key, event)) event.preventDefault();
    return;
  }
  if (event.altKey) return;
  if (!hasLetters && key.length === 1 && key !== ' ') return;
  const lower = key.length === 1 ? key.toLowerCase() : key;
  if (heldG) {
    clearTimeout(heldG);
    heldG = 0;
    if (LETTERS[lower]) { location.hash = `/${LETTERS[lower]}`; event.preventDefault(); return; }
  }
  if (lower === 'g') heldG = setTimeout(() => { heldG = 0; }, 1500);
  else if (key === '?') help();
  else if (made.keys?.(lower, event)) event.preventDefault();
}

// ---- begin ----

async function begin() {
  navigation();
  addEventListener('hashchange', show);
  addEventListener('resize', centre);
  addEventListener('keydown', press);
  at('help').addEventListener('click', help);
  at('copy').addEventListener('click', copy);
  /** @type {HTMLElement} */ (document.querySelector('.skip')).addEventListener('click', (event) => { event.preventDefault(); main.focus(); });
  for (const name of ['state', 'job', 'models', 'folder']) on(name, (data) => { rail(); troubles(); made.update?.(name, data); });
  on('connection', (isThere) => setBanner('connection', isThere ? null : trouble('error', COMMON.lost.title, COMMON.lost.text)));
  on('refused', (isSo) => { if (isSo) setBanner('connection', trouble('error', COMMON.restarted.title, COMMON.restarted.text)); });
  try {
    await refresh();
    listenWhileSeen();
    show();
  } catch (error) {
    const { status, message } = /** @type {import('./api.js').ApiError} */ (error), text = status === 401 || status === 403 ? COMMON.denied : { title: COMMON.lost.title, text: message };
    main.replaceChildren(trouble('error', text.title, text.text, button(COMMON.retry, { onclick: () => location.reload() })));
  }
}

begin();
