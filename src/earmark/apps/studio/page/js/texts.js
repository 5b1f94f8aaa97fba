/** All words of the page, one object a screen. A sentence with a number is a function. */

import { number } from './dom.js';

/** "1 clip", "5 clips". @param {number} n @param {string} one @param {string} [many] */
export const count = (n, one, many = `${one}s`) => `${number(n)} ${n === 1 ? one : many}`;

export const COMMON = {
  name: 'earmark studio',
  screens: { data: 'Data', doctor: 'Doctor', train: 'Train', report: 'Report', review: 'Review', try: 'Try', find: 'Find', export: 'Export' },
  groups: { collect: 'Collect', learn: 'Learn', use: 'Use' },
  unknown: 'unknown',
  unreadable: 'cannot be read',
  /** @param {string} name @param {string|null} label */
  play: (name, label) => `Play ${name}${label ? `, ${label}` : ''}`,
  /** @type {Object<string, string>} */
  verdicts: { use: 'Use it', care: 'Use with care', worthless: 'Worthless' },
  scale: 'Accuracy with 95 % intervals',
  local: 'On this machine only. Nothing is sent.',
  remote: 'Served by another machine in your network.',
  /** @param {number} n */
  saved: (n) => (n ? `${count(n, 'recording')}, all saved` : 'Nothing here yet'),
  /** @param {number} n */
  clips: (n) => count(n, 'clip'),
  training: 'training',
  strip: 'The same in a terminal',
  copy: 'Copy',
  copied: 'The command is copied.',
  keys: 'Keys',
  keysTitle: 'Keys',
  oneLetter: 'Keys of one letter and number',
  close: 'Close',
  dismiss: 'Dismiss',
  retry: 'Try again',
  undo: 'Undo',
  redo: 'Redo',
  nothingToUndo: 'There is nothing to undo.',
  nothingToRedo: 'There is nothing to redo.',
  lost: { title: 'The studio does not answer', text: 'Everything up to now is saved in the folder. Start “earmark studio” again in the terminal; this page goes on by itself if the address stays the same.' },
  denied: { title: 'This page may not see the folder', text: 'Nothing is lost. Open the address that “earmark studio” printed when it started: it holds the key to this page.' },
  broken: { title: 'This screen does not work', text: 'Your folder is not touched. Reload the page; if it stays so, tell us what you did.' },
  reload: 'Reload',
  /** @type {Object<string, string>} what a trouble of the folder is called */
  troubles: { gone: 'The folder is gone', folder: 'The folder is gone', unreadable: 'The labels cannot be read', manifest: 'The labels cannot be read', full: 'The disk is full', disk: 'The disk is full', recovered: 'Recordings were recovered', readonly: 'The folder cannot be written' },
  troubleElse: 'Something is wrong with the folder',
  /** @type {[string, string][]} keys, then what they do */
  help: [
    ['?', 'this list'], ['G then D O T R V Y F E', 'go to Data, Doctor, Train, Report, Review, Try, Find, Export'], ['R', 'record for the chosen class; Esc stops'],
    ['1 to 9', 'give what is selected this label'], ['Space', 'play or stop'], ['↑ ↓ ← →', 'move between clips, suspects, regions; with Shift choose several'],
    ['Enter', 'take what is suggested, or the main button'], ['K', 'keep the label (Review)'], ['Y N S', 'yes, no, skip (Find)'], ['X', 'leave out'], ['Delete', 'delete'], ['Ctrl Z', 'undo; everything can be undone'], ['Ctrl Y', 'redo'],
  ],
};
// ------------------------------------------------------------------ Data
export const DATA = {};
// ------------------------------------------------------------------ Doctor
export const DOCTOR = {};
// ------------------------------------------------------------------ Train
export const TRAIN = {};
// ------------------------------------------------------------------ Report
export const REPORT = {};
// ------------------------------------------------------------------ Review
export const REVIEW = {};
// ------------------------------------------------------------------ Try
export const TRY = {};
// ------------------------------------------------------------------ Find
export const FIND = {};
// ------------------------------------------------------------------ Export
export const EXPORT = {};
// ------------------------------------------------------------------ Editor of long recordings
export const EDITOR = {};
