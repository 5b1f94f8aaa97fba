/** A finding of the doctor: its sentence, its clips, and what can be done. */

import { h, icon, put } from '../dom.js';
import { button, ear, label } from '../parts.js';
import { DOCTOR } from '../texts.js';
import { heard, nameOf } from './learning.js';

/**
 * @typedef {import('./learning.js').Printed} Printed
 * @typedef {{detail: string, clips: Printed[]}} Item
 * @typedef {{kind: string, severity: 'error'|'warning'|'note', advice: string, clips: Printed[], items: Item[], remedy?: {kinds: string[], sentence: string}|null}} Finding
 * @typedef {{choose: (isChosen: boolean) => void, change: (path: string, body: object) => void}} Does
 */

export const SIGNS = { error: 'error', warning: 'warn', note: 'note' };

/** @type {Object<string, (finding: Finding) => string>} what a remedy of `doctor --fix` will change, in words */
const CHANGES = {
  'left out': ({ clips }) => DOCTOR.areLeftOut(clips.map(nameOf)), 'one stays': ({ items }) => DOCTOR.oneStays(items.length), merged: ({ items }) => DOCTOR.merged(items.map(({ detail }) => detail)),
  together: ({ items }) => DOCTOR.together(items.length), 'one side': ({ items }) => DOCTOR.onOneSide(items.length),
};
/** @type {Object<string, string>} the change by the kind of finding */
const DONE = {
  unreadable: 'left out', empty: 'left out', silent: 'left out', copies: 'one stays', leak: 'one stays', 'label conflict': 'left out', 'near label conflict': 'left out',
  'similar labels': 'merged', 'near copies': 'together', 'near leak': 'one side',
};

/** What will change by the remedy of a finding. @param {Finding} finding */
export const changeOf = (finding) => CHANGES[DONE[finding.kind]]?.(finding) ?? finding.remedy?.sentence ?? '';

export const BY_EAR = new Set(['label conflict', 'near label conflict']); // a person gives the right label
const LEAVABLE = new Set(['clipped', 'incomplete', 'scale', 'opposite phase', 'much shorter', 'much longer', 'a little short']);
const UNHEARD = new Set(['unreadable', 'empty']); // nothing to play
const OF_TABLE = new Set(['small class', 'imbalance', 'similar labels', 'similar spelling', 'class equals group', 'class in one fold', 'class in one split']);
const SHOWN = 3; // cases that are shown at first
const HEARD = 4; // clips of a case with a player
const MOST = 60; // cases that are shown at all

/** The card. @param {Finding} finding @param {boolean} isChosen @param {Does} does */
export function card(finding, isChosen, does) {
  const { kind, severity, items, clips } = finding, id = `finding-${kind.replace(/\W+/g, '-')}`;
  const list = h('ul.cases', { class: items.every(isSingle) && !isUnheard(kind) ? 'single' : '' }), more = items.length > SHOWN && button(DOCTOR.showAll(Math.min(items.length, MOST)), { quiet: true, 'aria-expanded': 'false', onclick: () => {
    const isOpen = more && more.getAttribute('aria-expanded') === 'true';
    list.replaceChildren(...cases(finding, isOpen ? SHOWN : MOST, does));
    if (more) { more.setAttribute('aria-expanded', String(!isOpen)); more.querySelector('span')?.replaceChildren(isOpen ? DOCTOR.showAll(Math.min(items.length, MOST)) : DOCTOR.showLess); }
  } });
  put(list, cases(finding, SHOWN, does));
  return h('article', { class: `finding ${severity}`, 'aria-labelledby': id, 'data-kind': kind },
    h('div.finding-text', h('p.kind', icon(SIGNS[severity]), DOCTOR.severity[severity], h('span.how', kind)), h('h2', { id }, DOCTOR.finding(kind, clips.length, items.length)), h('p', DOCTOR.why[kind] ?? DOCTOR.advice(finding.advice))),
    h('div.finding-does', remedies(finding, isChosen, does)),
    h('div.finding-cases', list, more, items.length > MOST && h('p.how', DOCTOR.notShown(items.length - MOST))));
}

/** The remedy as a button that stays pressed, and what a person can do by hand. @param {Finding} finding @param {boolean} isChosen @param {Does} does */
function remedies({ kind, clips, severity, remedy }, isChosen, does) {
  const ids = clips.flatMap(({ id }) => id ?? []);
  const toggle = remedy && h('button.button', { type: 'button', 'aria-pressed': String(isChosen), onclick: (/** @type {Event} */ event) => {
    const pressed = /** @type {HTMLElement} */ (event.currentTarget), isNow = pressed.getAttribute('aria-pressed') !== 'true';
    pressed.setAttribute('aria-pressed', String(isNow));
    does.choose(isNow);
  } }, icon('check'), h('span', DOCTOR.remedy[kind]?.(clips.length) ?? remedy.sentence));
  if (toggle) return h('div.row', { role: 'group', 'aria-label': DOCTOR.remedies }, toggle);
  if (LEAVABLE.has(kind) && ids.length) return h('div.row', button(DOCTOR.leaveOut(ids.length), { onclick: () => does.change('/api/leave-out', { ids, reason: kind }) }));
  if (kind === 'small class' || kind === 'imbalance') return h('div.row', button(DOCTOR.recordMore, { sign: 'mic', go: '#/data' }));
  return severity === 'note' ? h('p.how', DOCTOR.harmless) : h('p.how', DOCTOR.byHand);
}

/** Whether nothing of a finding is to be heard. @param {string} kind */
const isUnheard = (kind) => UNHEARD.has(kind) || OF_TABLE.has(kind);

/** What is said of a case; the name of its only clip stands below the picture. @param {Item} item */
const detailOf = ({ detail, clips }) => (clips.length === 1 && detail.startsWith(`${clips[0].name}: `) ? detail.slice(String(clips[0].name).length + 2) : detail);

/** Whether a case is of one clip. @param {Item} item */
const isSingle = ({ clips }) => clips.length === 1;

/** @param {Finding} finding @param {number} most @param {Does} does */
function cases({ kind, items }, most, does) {
  return items.slice(0, most).map((item) => {
    const shown = isUnheard(kind) ? [] : item.clips.slice(0, HEARD);
    return h('li.case', h('p.detail', detailOf(item)), shown.length > 0 && h('div', { class: shown.length > 1 ? 'pair' : '' }, shown.map((printed) => h('div', heard(printed), printed.label && label(printed.label)))),
      BY_EAR.has(kind) && hands(item, does));
  });
}

/** Buttons that give all clips of a case one of their labels. @param {Item} item @param {Does} does */
function hands({ clips }, does) {
  const names = [...new Set(clips.flatMap(({ label: name }) => name ?? []))], ids = clips.flatMap(({ id }) => id ?? []);
  return h('div.row', names.map((name) => h('button.button', { type: 'button', onclick: () => does.change('/api/label', { ids, label: name }) }, ear(name), DOCTOR.allAre(name, clips.length))));
}
