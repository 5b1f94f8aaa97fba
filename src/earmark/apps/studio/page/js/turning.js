/** Undo and redo of the folder's changes, from a button or a key. */

import { post, refresh, state } from './api.js';
import { say } from './dom.js';
import { COMMON } from './texts.js';

/** Undo or redo the last change of the folder. @param {'undo'|'redo'} way */
export async function turnBack(way) {
  try {
    if (!state()[way]) await refresh(); // a change may be newer than what this page knows
    if (!state()[way]) { say(way === 'undo' ? COMMON.nothingToUndo : COMMON.nothingToRedo); return; }
    const { said } = await post(`/api/${way}`);
    say(said);
    await refresh();
  } catch (error) {
    say(/** @type {Error} */ (error).message);
    refresh().catch(() => null);
  }
}
