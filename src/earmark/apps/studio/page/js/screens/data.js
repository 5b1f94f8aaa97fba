/** Data: record, drop and label clips; classes as columns. */

import { refresh, state } from '../api.js';
import { h, put, say } from '../dom.js';
import { button, head } from '../parts.js';
import { stop } from '../player.js';
import { COMMON, DATA } from '../texts.js';
import { turnBack } from '../turning.js';
import { Choice, classOfKey } from './data-choice.js';
import { Columns } from './data-columns.js';
import { Adder, chooseFiles, takeDrops } from './data-files.js';
import { ClipList } from './data-list.js';
import { longList } from './data-long.js';
import { foundManifests, Panel } from './data-panel.js';
import { RecorderBar } from './data-recorder.js';

export const title = DATA.title;

/** Files go on when the screen is left. */
const adder = new Adder();

/** @param {boolean} isLong */
const views = (isLong) => h('div.segmented', { role: 'group', 'aria-label': DATA.view }, h('a', { href: '#/data', 'aria-current': isLong ? null : 'true' }, DATA.clips), h('a', { href: '#/data/long', 'aria-current': isLong ? 'true' : null }, DATA.long));

/** The head, which changes with what is there. @param {boolean} isLong */
function heading(isLong) {
  const { undo, redo, counts, classes } = state(), isFirst = !counts.recordings && !counts.clips, canTrain = classes.length > 1;
  const undoButton = button(COMMON.undo, { sign: 'undo', title: undo ?? undefined, disabled: !undo, onclick: () => { turnBack('undo'); } });
  const redoButton = redo ? button('', { sign: 'redo', 'aria-label': COMMON.redo, title: redo, onclick: () => { turnBack('redo'); } }) : null;
  const next = canTrain ? button(DATA.train, { primary: true, go: '#/train' }) : button(DATA.train, { primary: true, 'aria-disabled': 'true', title: DATA.trainNeeds, onclick: () => say(DATA.trainNeeds) });
  return head(isFirst ? DATA.firstTitle : DATA.title, isLong ? DATA.longLede : isFirst ? DATA.firstLede : DATA.lede, isFirst ? null : views(isLong), isFirst ? null : undoButton, redoButton, canTrain ? button(DATA.check, { go: '#/doctor' }) : null, next);
}

/** The command that does the same. */
const command = () => (state().counts.clips ? { kind: 'doctor', choices: {} } : undefined);

/** A slot whose content is replaced only if it says something new. */
function slot() {
  const box = h('div.slot');
  let text = '';
  return { box, set: (/** @type {HTMLElement|null} */ content) => {
    const now = content ? content.outerHTML : '';
    if (now === text) return;
    text = now;
    box.replaceChildren(...(content ? [content] : []));
  } };
}

/** @param {Choice} choice */
function tray(choice) {
  const number = h('span.count'), isCoarse = matchMedia('(pointer: coarse)').matches;
  const list = new ClipList(choice, DATA.tray, { unlabelled: true }, (total) => { box.hidden = !total; number.textContent = String(total); });
  const box = h('section.tray', { 'aria-label': DATA.tray, hidden: true }, h('div.tray-head', h('h2', DATA.tray, ' ', number), h('p.how', isCoarse ? DATA.trayHelpTouch : DATA.trayHelp)), list.box);
  return { box, list };
}

/** @param {Choice} choice */
function leftOut(choice) {
  const number = h('span.count'), list = new ClipList(choice, DATA.leftOut, { left_out: true });
  const box = h('details.left-out', { ontoggle: () => { list.virtual.refresh(); } }, h('summary', DATA.leftOut, ' ', number), h('p.how', DATA.leftOutHelp), list.box);
  return { box, list, sync: () => {
    const n = state().counts.left_out;
    box.hidden = !n;
    number.textContent = String(n);
    if (box.open) list.virtual.refresh();
  } };
}

/** @param {HTMLElement} box @param {string} view @param {import('../types.js').Frame} frame @returns {import('../types.js').Made} */
export function render(box, view, frame) {
  const top = slot(), notes = slot();
  if (view === 'long') {
    top.set(heading(true));
    put(box, top.box, adder.box);
    const made = longList(box), off = takeDrops((found, label) => { adder.add(found, label); });
    return { update: () => top.set(heading(true)), leave: () => { off(); made.leave?.(); } };
  }
  return clipsView(box, frame, top, notes);
}

/** @typedef {ReturnType<typeof slot>} Slot */

/** @param {HTMLElement} box @param {import('../types.js').Frame} frame @param {Slot} top @param {Slot} notes @returns {import('../types.js').Made} */
function clipsView(box, frame, top, notes) {
  const choice = new Choice(), waiting = tray(choice), out = leftOut(choice), panel = new Panel(choice);
  const add = (/** @type {string|null} */ label, isFolder = false) => chooseFiles((found) => adder.add(found, label), isFolder);
  /** @type {Map<string, Promise<unknown>>} what is still being saved for a class */
  const saving = new Map();
  const recorder = new RecorderBar({ onfiles: () => add(null), onover: async (label, pieces) => {
    const saved = Promise.all(pieces.map(({ finished }) => finished));
    if (label) saving.set(label, saved);
    await saved;
    const kept = pieces.filter((piece) => piece.state === 'kept').length;
    if (kept) say(DATA.recorded(kept, label));
    await refresh().catch(() => null);
    if (label && kept && isDefault(label) && !recorder.isOn) columns.name(label);
  } });
  const columns = new Columns(choice, {
    record: (label) => { recorder.record(label); }, files: (label) => add(label),
    renamed: (old, name) => { columns.rename(old, name); recorder.rename(old, name); },
    free: async (label) => { while (recorder.isOn && recorder.target === label) await new Promise((done) => { setTimeout(done, 200); }); await saving.get(label); },
  });
  const drop = h('section.drop', h('div', h('b', DATA.dropTitle), h('p.how', DATA.dropText)), h('div.row', button(DATA.chooseFiles, { sign: 'file', onclick: () => add(null) }), button(DATA.chooseFolder, { sign: 'folder', onclick: () => add(null, true) })));
  const seen = { version: -1 };
  const sync = () => {
    const now = state();
    top.set(heading(false));
    box.classList.toggle('first', !now.counts.recordings && !now.counts.clips);
    notes.set(foundManifests());
    recorder.sync();
    out.sync();
    if (seen.version === now.version) return;
    seen.version = now.version;
    columns.sync();
    waiting.list.virtual.refresh();
    frame.command(command() ?? `earmark studio ${now.folder.path}`);
  };
  put(box, top.box, notes.box, recorder.box, recorder.notes, adder.box, waiting.box, columns.box, drop, out.box, panel.box);
  sync();
  const off = takeDrops((found, label) => { adder.add(found, label); });
  return { command: command(), keys: (key, event) => press(key, event, choice, recorder), update: (name) => { if (name === 'state') sync(); },
    leave: () => { off(); stop(); recorder.leave(); columns.leave(); waiting.list.leave(); out.list.leave(); panel.leave(); } };
}

/** A name that nobody chose. @param {string} label */
const isDefault = (label) => DATA.starts.includes(label) || /^sound \d+$/.test(label);

/** @param {string} key @param {KeyboardEvent} event @param {Choice} choice @param {RecorderBar} recorder */
function press(key, event, choice, recorder) {
  if (event.ctrlKey || event.metaKey) return false;
  const isControl = /** @type {Element} */ (event.target).closest('button, a, summary, input');
  if (key === 'r') recorder.press();
  else if (key === 'Escape' && recorder.isOn) recorder.stop();
  else if (key === 'Escape') choice.clear();
  else if (!choice.clips.size || recorder.isOn) return false;
  else if (key === ' ' && !isControl) choice.toggle();
  else if (key === 'x') choice.change('/api/leave-out', { reason: '' });
  else if (key === 'Delete') choice.change('/api/delete');
  else if (key === '0') choice.label(null);
  else {
    const name = classOfKey(key);
    if (!name) return false;
    choice.label(name);
  }
  return true;
}
