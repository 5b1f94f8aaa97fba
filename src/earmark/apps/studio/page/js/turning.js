/** Undo and redo of the folder's changes, from a button or a key. */

import { post, refresh, state } from './api.js';
import { say } from './dom.js';
import { COMMON } from './texts.js';

/** Undo or redo the last change of the folder. @param {'undo'|'redo'} way */
export async function turnBack(way) {
  if (!state()[way]) { say(way === 'undo' ? COMMON.nothingToUndo : COMMON.nothingToRedo); return; }
  try {
    const { said } = await post(`/api/${way}`);
    say(said);
    await refresh();
  } catch (error) {
    say(/** @type {Error} */ (error).message);
    refresh().catch(() => null);
  }
}
