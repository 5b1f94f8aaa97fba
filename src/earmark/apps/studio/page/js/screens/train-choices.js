/** The choices of a training: sentences with their cost, and good defaults. */

import { state } from '../api.js';
import { h, icon, number } from '../dom.js';
import { TRAIN } from '../texts.js';

/**
 * @typedef {{name: string, what?: string, minutes?: number|null}} Offer
 * @typedef {{name: string, backbones: Offer[], groups: Offer[], heads: string[], group?: string|null, taken?: string[]}} Offers
 * @typedef {Object<string, any>} Chosen
 */

export const LEAST = 5; // recordings of a class that a training needs

/** What a folder lacks before a training is possible. */
export function missing() {
  const { classes } = state();
  return { classes: Math.max(0, 2 - classes.length), few: classes.filter(({ n_clips: n }) => n < LEAST).map(({ name, n_clips: n }) => ({ name, more: LEAST - n })) };
}

/** What a training begins with. @param {Offers} offers @returns {Chosen} */
export const defaults = ({ name, group }) => ({ name, backbone: 'auto', group: group ?? null, unknown: state().classes.length >= 3, detector: false, finetune: null, head: 'auto', compare: true, seed: 0 });

/** Choices as the server takes them: what is not the usual one. @param {Chosen} chosen */
export function wanted({ name, backbone, group, unknown, detector, finetune, head, compare, seed }) {
  return {
    name: name.trim(), unknown: Boolean(unknown) && !detector, ...(backbone !== 'auto' && { backbone }), ...(group && { group }), ...(detector && { detector: true }),
    ...(finetune && !detector && { finetune }), ...(head !== 'auto' && { head }), ...(!compare && !detector && { no_compare: true }), ...(seed && { seed }),
  };
}

/** The form; `changed` is called after each choice. @param {Offers} offers @param {Chosen} chosen @param {() => void} changed */
export function form(offers, chosen, changed) {
  const groups = offers.groups ?? [], nets = offers.backbones ?? [];
  /** @param {string} key @param {any} value */
  const set = (key, value) => { chosen[key] = value; changed(); };
  const pick = /** @param {string} key @param {any} value @param {string} name @param {string} what @param {string} [cost] */ (key, value, name, what, cost) =>
    option('radio', { name: key, checked: (chosen[key] ?? null) === (value ?? null), onchange: () => set(key, value) }, name, what, cost);
  const listens = h('fieldset', h('legend', TRAIN.whoListens), pick('backbone', 'auto', TRAIN.auto, TRAIN.autoWhat, TRAIN.autoCost(state().counts.labelled)),
    nets.map(({ name, what, minutes }) => pick('backbone', name, TRAIN.only(name), TRAIN.networks[name] ?? what ?? '', minutes == null ? '' : TRAIN.takes(minutes))));
  const tests = h('fieldset', h('legend', TRAIN.whatIsNew), groups.map(({ name, what }) => pick('group', name, TRAIN.theGroup(name), what ?? TRAIN.groupWhat(name))), pick('group', null, TRAIN.theRecording, groups.length ? TRAIN.recordingHigher : TRAIN.recordingWhat));
  const isFew = state().classes.length < 3;
  const unknown = h('fieldset', h('legend', TRAIN.notKnown), option('checkbox', { name: 'unknown', checked: chosen.unknown && !isFew, disabled: isFew, onchange: (/** @type {Event} */ event) => set('unknown', /** @type {HTMLInputElement} */ (event.target).checked) }, TRAIN.mayBeUnknown, isFew ? TRAIN.unknownNeeds : TRAIN.unknownWhat));
  const use = h('fieldset', h('legend', TRAIN.whatFor), pick('detector', false, TRAIN.clips, TRAIN.clipsWhat), pick('detector', true, TRAIN.events, TRAIN.eventsWhat));
  return h('div.choices', nameField(offers, chosen, changed), h('div.two', listens, h('div.stack', tests, unknown)), h('div.two', use, further(offers, chosen, set)));
}

/** A radio button or a check box as a card with a sentence. @param {string} type @param {Object<string, any>} props @param {string} name @param {string} what @param {string} [cost] */
const option = (type, props, name, what, cost) => h('label.option', h('input', { type, ...props }), h('span', h('b', name), h('span.how', what)), cost && h('small.num', cost));

/** @param {Offers} offers @param {Chosen} chosen @param {() => void} changed */
function nameField(offers, chosen, changed) {
  const note = h('span.how#name-note', { role: 'status' });
  const field = h('input#train-name', { type: 'text', value: chosen.name, maxlength: 60, autocomplete: 'off', spellcheck: 'false', 'aria-describedby': 'name-note', oninput: () => {
    chosen.name = field.value;
    show();
    changed();
  } });
  const show = () => {
    const why = wrongName(field.value, offers.taken ?? state().models);
    field.setAttribute('aria-invalid', String(why != null));
    note.replaceChildren(why ?? TRAIN.nameWhat(field.value.trim()));
  };
  show();
  return h('div.field', h('label', { for: 'train-name' }, TRAIN.name), field, note);
}

/** Why a name cannot be given, or null. @param {string} name @param {string[]} taken */
export function wrongName(name, taken) {
  const word = name.trim();
  if (!word) return TRAIN.needsName;
  if (!/^[\p{L}\p{N}][\p{L}\p{N} ._-]*$/u.test(word)) return TRAIN.wrongName;
  return taken.some((other) => other.toLowerCase() === word.toLowerCase()) ? TRAIN.nameTaken(word) : null;
}

/** What few people change. @param {Offers} offers @param {Chosen} chosen @param {(key: string, value: any) => void} set */
function further(offers, chosen, set) {
  /** @param {string} key @param {string} name @param {[string|null, string][]} values */
  const choose = (key, name, values) => h('label.row.between', h('span', name), h('select', { onchange: (/** @type {Event} */ event) => set(key, values[/** @type {HTMLSelectElement} */ (event.target).selectedIndex][0]) }, values.map(([value, words]) => h('option', { selected: (chosen[key] ?? null) === value }, words))));
  const seed = h('input#train-seed', { type: 'number', min: 0, max: 999999, value: chosen.seed, onchange: () => set('seed', Number(seed.value) || 0) });
  return h('details.further', { open: chosen.isOpen, ontoggle: (/** @type {Event} */ event) => { chosen.isOpen = /** @type {HTMLDetailsElement} */ (event.target).open; } }, h('summary', TRAIN.further),
    h('div.stack', option('checkbox', { checked: chosen.compare, onchange: (/** @type {Event} */ event) => set('compare', /** @type {HTMLInputElement} */ (event.target).checked) }, TRAIN.compare, TRAIN.compareWhat),
      choose('finetune', TRAIN.finetune, [[null, TRAIN.finetuneNo], ['lora', TRAIN.finetuneLora], ['last:2', TRAIN.finetuneLast], ['full', TRAIN.finetuneFull]]),
      h('p.how', TRAIN.finetuneWhat),
      choose('head', TRAIN.head, (offers.heads ?? ['auto', 'linear', 'logistic', 'mlp', 'prototype']).map((head) => [head, TRAIN.heads[head] ?? head])),
      h('div.row.between', h('label', { for: 'train-seed' }, TRAIN.seed), seed)));
}

/** What will be learned: each class and how much it has. */
export function plan() {
  const { classes } = state(), most = Math.max(1, ...classes.map(({ n_clips: n }) => n));
  return h('section.plan', h('h2', TRAIN.plan), h('ul.amounts', classes.map(({ name, n_clips: n }, k) => h('li', { class: `amount k${k < 9 ? k : 'u'}` }, h('span.ear', { 'aria-hidden': 'true' }, k < 9 ? String(k + 1) : ''), h('span.name', name),
    h('span.track', { 'aria-hidden': 'true' }, h('span.fill', { style: { '--v': n / most } })), h('span.num', number(n)), n < LEAST && h('span.hint', icon('warn'), TRAIN.more(LEAST - n))))), h('p.how', TRAIN.sizes(classes)));
}

