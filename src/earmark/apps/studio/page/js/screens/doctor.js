/** Doctor: what is wrong with the data. */

import { put } from '../dom.js';
import { head } from '../parts.js';

/** @param {HTMLElement} box @param {string} _state */
export function render(box, _state) {
  put(box, head('Doctor', 'This screen is being written.'));
  return {};
}
