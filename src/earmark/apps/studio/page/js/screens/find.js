/** Find: what will come here, and what does something like it today. */

import { get, state } from '../api.js';
import { h, put } from '../dom.js';
import { rowsOf } from '../models.js';
import { button, head } from '../parts.js';
import { COMMON, FIND } from '../texts.js';

export const title = COMMON.screens.find;

/** @param {HTMLElement} box @param {string} _state @param {import('../types.js').Frame} frame @returns {import('../types.js').Made} */
export function render(box, _state, frame) {
  const { path } = state().folder;
  put(box, head(title, FIND.lede),
    h('section.coming', h('h2', FIND.comingTitle), h('p', FIND.comingText), h('ol', FIND.steps.map(([what, how]) => h('li', h('b', what), h('span.how', how)))),
      h('h2', FIND.now), h('p', FIND.nowText), h('div.row', button(FIND.train, { primary: true, go: '#/train' }), button(FIND.data, { go: '#/data' }))));
  get('/api/models').then((answer) => {
    const detector = rowsOf(answer, 'models').find((/** @type {import('../models.js').Model} */ model) => model.is_detector);
    if (detector) frame.command({ kind: 'detect', choices: { model: detector.name } });
  }, () => null);
  return { command: FIND.command(path) };
}
