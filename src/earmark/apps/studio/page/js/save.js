/** Tables leave the page: as CSV or JSON, on the clipboard or as a file; and samples as a WAV file. */

import { say } from './dom.js';
import { COMMON } from './texts.js';

/** A value as a field of CSV. @param {unknown} value */
function field(value) {
  const text = value == null ? '' : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** @param {string[]} columns @param {Object<string, unknown>[]} rows */
export const csv = (columns, rows) => [columns, ...rows.map((row) => columns.map((name) => row[name]))].map((row) => row.map(field).join(',')).join('\n') + '\n';

/** Copy a text, and say so. @param {string} text @param {string} said */
export async function copyText(text, said) {
  try {
    await navigator.clipboard.writeText(text);
    say(said);
  } catch {
    say(COMMON.notCopied);
  }
}

/** Give a text to the reader as a file. @param {string} name @param {string} text @param {string} [type] */
export function saveText(name, text, type = 'text/csv') {
  const url = URL.createObjectURL(new Blob([text], { type })), link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
