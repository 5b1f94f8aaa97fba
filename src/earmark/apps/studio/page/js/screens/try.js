/** Try: the microphone or a file, and what the classifier says of it. */

import { get } from '../api.js';
import { h, put } from '../dom.js';
import { choose, rowsOf, usual } from '../models.js';
import { button, empty, head, trouble } from '../parts.js';
import { COMMON, TRY } from '../texts.js';
import { FileView } from '../try-file.js';
import { LiveView } from '../try-live.js';

/** @typedef {import('../models.js').Model} Model */

export const title = COMMON.screens.try;

/** @param {HTMLElement} box @param {string} state @param {import('../types.js').Frame} frame @returns {import('../types.js').Made} */
export function render(box, state, frame) {
  const isFile = state.split('/')[0] === 'file', clip = state.split('/')[1];
  /** @type {LiveView|FileView|null} */
  let view = null;
  let isOver = false;
  const show = async () => {
    /** @type {Model[]} */
    let models;
    try {
      models = rowsOf(await get('/api/models'), 'models').filter(({ error }) => !error);
    } catch (error) {
      box.replaceChildren(head(title, TRY.lede), trouble('error', TRY.noModels, /** @type {Error} */ (error).message, button(COMMON.retry, { onclick: show })));
      return;
    }
    if (isOver) return;
    if (!models.length) {
      box.replaceChildren(head(title, TRY.lede), empty(TRY.emptyTitle, TRY.emptyText, button(COMMON.screens.train, { primary: true, go: '#/train' })));
      return;
    }
    view = begin(models);
    if (clip && view instanceof FileView) tryClip(view, clip);
  };
  /** @param {Model[]} models */
  const begin = (models) => {
    const { name } = usual(models), onmodel = (/** @type {string} */ chosen) => { choose(chosen); tell(chosen); };
    const tell = (/** @type {string} */ chosen) => frame.command({ kind: isFile ? (models.find((model) => model.name === chosen)?.is_detector ? 'detect' : 'predict') : 'stream', choices: { model: chosen } });
    tell(name);
    box.replaceChildren();
    if (isFile) {
      const made = new FileView({ models, name, onmodel });
      put(box, head(title, TRY.fileLede, button(TRY.microphone, { sign: 'mic', go: '#/try' })), made.box);
      return made;
    }
    const made = new LiveView({ models, name, onmodel, onfile: () => { location.hash = '#/try/file'; } });
    put(box, head(title, TRY.lede, button(TRY.file, { sign: 'file', go: '#/try/file' }), made.pause), made.box);
    return made;
  };
  put(box, head(title, isFile ? TRY.fileLede : TRY.lede), h('p.how', TRY.reading));
  show();
  return {
    keys: (key) => view?.keys(key) ?? false,
    leave: () => { isOver = true; view?.close(); },
    update: (name) => { if (name === 'models' && !view) show(); },
  };
}

/** Answer for a clip that an address names. @param {FileView} view @param {string} id */
async function tryClip(view, id) {
  try {
    const recording = await get(`/api/recordings/${encodeURIComponent(id)}`);
    view.takeClip({ label: null, start: null, end: null, ...recording });
  } catch { /* the address is of an older folder; the choice is open */ }
}
