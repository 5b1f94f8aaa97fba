/** The choices of a training: sentences with their cost, and good defaults. */

import { state } from '../api.js';
import { h, icon, number } from '../dom.js';
import { coded, ear, inkOf } from '../parts.js';
import { TRAIN } from '../texts.js';
import { span } from './learning.js';

/**
 * @typedef {{name: string, about: string, minutes: number|null, is_at_hand: boolean, download_mb: number|null}} Network
 * @typedef {{name: string, what: string, n_groups: number}} Group
 * @typedef {object} Offers
 * @property {boolean} can_train
 * @property {string|null} reason
 * @property {string[]} notes
 * @property {Object<string, any>} defaults
 * @property {string[]} taken
 * @property {string[]} automatic
 * @property {string|null} advice
 * @property {Network[]} backbones
 * @property {string[]} heads
 * @property {string[]} finetunes
 * @property {Object<string, string>} about
 * @property {Group[]} groups
 * @property {{name: string, reason: string}[]} no_groups
 * @property {Object<string, string>} impossible
 * @property {number} seconds
 * @typedef {Object<string, any>} Chosen
 */

const LEAST = 3; // recordings of a class without which there is no training
const ENOUGH = 5; // recordings of a class that the usual test needs

/** What a folder lacks before a training is possible. */
export function missing() {
  const { classes } = state();
  return { classes: Math.max(0, 2 - classes.length), few: classes.filter(({ n_clips: n }) => n < LEAST).map(({ name, n_clips: n }) => ({ name, more: LEAST - n })) };
}

/** What a training begins with. @param {Offers} offers @returns {Chosen} */
export const begun = ({ defaults }) => ({ group: null, finetune: null, detector: false, no_compare: false, seed: 0, head: 'auto', backbone: 'auto', ...defaults });

/** Choices as the server takes them: the usual ones are left out. @param {Chosen} chosen @param {Offers} offers */
export function wanted(chosen, { impossible }) {
  const { name, backbone, group, detector, finetune, head, seed, folds } = chosen, tunes = Boolean(finetune) && !detector;
  return {
    name: name.trim(), unknown: Boolean(chosen.unknown) && !detector && !tunes && !impossible.unknown, ...(backbone !== 'auto' && { backbone }), ...(head !== 'auto' && { head }),
    ...(group ? { group } : folds ? { folds } : {}), ...(detector && { detector: true }), ...(tunes && { finetune }), ...(chosen.no_compare && !detector && { no_compare: true }), ...(seed > 0 && { seed }),
  };
}

/** The form; `changed` is called after each choice. @param {Offers} offers @param {Chosen} chosen @param {() => void} changed */
export function form(offers, chosen, changed) {
  const { about, groups, backbones, impossible } = offers;
  /** @param {string} key @param {any} value */
  const set = (key, value) => { chosen[key] = value; changed(); };
  /** @param {string} key @param {any} value @param {string} name @param {string} what @param {string} [cost] @param {boolean} [disabled] */
  const pick = (key, value, name, what, cost, disabled = false) => option('radio', { name: key, disabled, checked: (chosen[key] ?? null) === value, onchange: () => set(key, value) }, name, what, cost);
  /** @param {string} key @param {string} name @param {string} what @param {boolean} isOn @param {(isOn: boolean) => any} value @param {boolean} [disabled] */
  const tick = (key, name, what, isOn, value, disabled = false) => option('checkbox', { name: key, disabled, checked: isOn && !disabled, onchange: (/** @type {Event} */ event) => set(key, value(/** @type {HTMLInputElement} */ (event.target).checked)) }, name, what);
  const use = h('fieldset', h('legend', TRAIN.whatFor), pick('detector', false, TRAIN.clips, TRAIN.clipsWhat), pick('detector', true, TRAIN.events, TRAIN.eventsWhat),
    tick('unknown', TRAIN.mayBeUnknown, impossible.unknown ?? TRAIN.unknownWhat, Boolean(chosen.unknown), (isOn) => isOn, Boolean(impossible.unknown)));
  const tests = h('fieldset', h('legend', TRAIN.whatIsNew), groups.map(({ name, n_groups: n }) => pick('group', name, TRAIN.group(name), TRAIN.groupWhat(name, n))), pick('group', null, TRAIN.recording, groups.length ? TRAIN.recordingHigher : TRAIN.recordingWhat),
    offers.no_groups.length > 0 && h('p.how', TRAIN.noGroups, ' ', offers.no_groups.map(({ reason }) => reason).join(' ')));
  const listens = h('fieldset', h('legend', TRAIN.whoListens), pick('backbone', 'auto', TRAIN.auto, TRAIN.autoWhat(offers.automatic), TRAIN.about(span(offers.seconds))),
    h('details', { open: chosen.backbone !== 'auto' }, h('summary', TRAIN.others(backbones.length)), h('div.stack', backbones.map((network) => pick('backbone', network.name, network.name, network.is_at_hand ? network.about : TRAIN.toFetch(network.about, network.download_mb), network.minutes == null ? '' : TRAIN.about(span(60 * network.minutes)), !network.is_at_hand)))), offers.advice && h('p.how', coded(offers.advice)));
  const tuning = h('fieldset', h('legend', TRAIN.tuning), h('p.how', impossible.finetune ? `${about.finetune} ${impossible.finetune}` : about.finetune), pick('finetune', null, TRAIN.frozen, TRAIN.frozenWhat), offers.finetunes.map((way) => pick('finetune', way, TRAIN.tunings[way] ?? way, about[way] ?? '', '', Boolean(impossible.finetune))));
  const heads = h('fieldset', h('legend', TRAIN.heads), offers.heads.map((head) => pick('head', head, TRAIN.headNames[head] ?? head, about[head] ?? '')));
  const seed = h('input#train-seed', { type: 'number', min: 0, max: 999999, value: chosen.seed, oninput: () => set('seed', Math.max(0, Math.floor(Number(seed.value)) || 0)) });
  const rest = h('fieldset', h('legend', TRAIN.rest), tick('no_compare', TRAIN.compare, about.compare ?? '', !chosen.no_compare, (isOn) => !isOn), h('div.field', h('label', { for: 'train-seed' }, TRAIN.seed), seed, h('span.how', TRAIN.seedWhat)));
  return h('div.choices', nameField(offers, chosen, changed), h('div.two', use, tests, listens, h('fieldset', h('legend', TRAIN.plan), plan())), notes(offers),
    h('details.further', h('summary', TRAIN.further), h('div.two', tuning, heads, rest)));
}

/** @param {Offers} offers */
const notes = ({ notes: sentences }) => sentences.length > 0 && h('ul.remarks', sentences.map((sentence) => h('li', icon('note'), h('span', sentence))));

/** A radio button or a check box as a card with a sentence. @param {string} type @param {Object<string, any>} props @param {string} name @param {string} what @param {string} [cost] */
const option = (type, props, name, what, cost) => h('label.option', h('input', { type, ...props }), h('span', h('b', name), h('span.how', what)), cost ? h('small.num', cost) : null);

/** @param {Offers} offers @param {Chosen} chosen @param {() => void} changed */
function nameField({ taken }, chosen, changed) {
  const note = h('span.how#name-note', { 'aria-live': 'polite' });
  const field = h('input#train-name', { type: 'text', value: chosen.name, maxlength: 60, autocomplete: 'off', spellcheck: 'false', 'aria-describedby': 'name-note', oninput: () => {
    chosen.name = field.value;
    show();
    changed();
  } });
  const show = () => {
    const why = wrongName(field.value, taken);
    field.setAttribute('aria-invalid', String(why != null));
    note.textContent = why ?? TRAIN.nameWhat(field.value.trim());
  };
  show();
  return h('div.field', h('label', { for: 'train-name' }, TRAIN.name), field, note);
}

/** Why a name cannot be given, or null. @param {string} name @param {string[]} taken */
export function wrongName(name, taken) {
  const word = name.trim();
  if (!word) return TRAIN.needsName;
  if (!/^[\p{L}\p{N}_](?:[\p{L}\p{N}_ .()+-]*[\p{L}\p{N}_)+])?$/u.test(word)) return TRAIN.wrongName;
  return taken.some((other) => other.toLowerCase() === word.toLowerCase()) ? TRAIN.nameTaken(word) : null;
}

/** What will be learned: each class and how much it has. */
export function plan() {
  const { classes } = state(), most = Math.max(1, ...classes.map(({ n_clips: n }) => n));
  return h('div.plan', h('ul.amounts', classes.slice(0, 40).map(({ name, n_clips: n }) => h('li', { class: `amount ${inkOf(name)}` }, ear(name), h('span.name', { title: name }, name), h('span.track', { 'aria-hidden': 'true' }, h('span.fill', { style: { '--v': n / most } })), h('span.num', number(n)),
    n < ENOUGH && h('span.hint', icon('warn'), TRAIN.more((n < LEAST ? LEAST : ENOUGH) - n))))), classes.length > 40 && h('p.how', TRAIN.furtherClasses(classes.length - 40)));
}
