/** Data: record, drop and label clips. */

import { put } from '../dom.js';
import { head } from '../parts.js';

/** @param {HTMLElement} box @param {string} _state */
export function render(box, _state) {
  put(box, head('Data', 'This screen is being written.'));
  return {};
}
