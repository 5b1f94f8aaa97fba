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
  denied: { title: 'This page may not see the folder', text: 'Nothing is lost. Open the address that “earmark studio” printed when it started, in this browser: it holds the key. This page goes on then.' },
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
export const DATA = {
  title: 'Data',
  lede: 'Record with the microphone, or drop files and folders anywhere on this page. A few clips of each class are enough to begin.',
  firstTitle: 'Teach it your sounds',
  firstLede: 'Record or drop two or more sounds, and train. Ten minutes are enough for a first try.',
  clips: 'Clips',
  long: 'Long recordings',
  view: 'View',
  check: 'Check the data',
  train: 'Train',
  trainNeeds: 'Two classes are needed before you can train.',
  // the recorder
  recorder: 'Recorder',
  record: 'Record',
  stop: 'Stop',
  /** @param {string} name */
  recordFor: (name) => `Record ${name}`,
  orPress: 'or press ',
  ready: 'Get ready',
  /** @param {number} k @param {number} n */
  piece: (k, n) => (Number.isFinite(n) ? `Piece ${number(k)} of ${number(n)}` : `Piece ${number(k)}`),
  escStops: 'Esc stops; finished pieces are kept',
  /** @param {number} s @param {number} of */
  time: (s, of) => `${number(s, 1)} s of ${number(of, 1)} s`,
  device: 'Kept as the microphone gives it.',
  /** @param {string} name @param {number} rate */
  microphone: (name, rate) => `${name || 'Microphone'}, ${number(rate / 1000, rate % 1000 ? 1 : 0)} kHz`,
  level: 'Level',
  loud: 'Too loud: move back, or lower the input level.',
  quiet: 'Very quiet: is this the right microphone?',
  for: 'for',
  pieces: 'pieces',
  each: 'seconds each',
  input: 'microphone',
  inputDefault: 'the usual one',
  noClass: 'no class yet',
  newClass: 'a new class',
  endless: 'until I stop',
  tooShort: 'The last piece was shorter than a second and was not kept.',
  /** @param {number} n @param {string|null} label */
  recorded: (n, label) => `${count(n, 'piece')} recorded${label ? ` for ${label}` : ''}.`,
  /** @param {string} label */
  recordingNow: (label) => `Recording ${label}`,
  /** @param {number} n @param {string} why */
  waiting: (n, why) => ({ title: why ? 'This page may not see the folder any more' : 'The studio does not answer', text: `${why} ${count(n, 'piece')} ${n === 1 ? 'waits' : 'wait'} in this page and will be saved as soon as it answers. Do not close the page.`.trim() }),
  /** @param {number} kept */
  keptSoFar: (kept) => (kept ? `${count(kept, 'finished piece')} ${kept === 1 ? 'is' : 'are'} kept.` : 'Nothing had been recorded yet.'),
  /** @type {Object<string, {title: string, text: string}>} */
  failures: {
    insecure: { title: 'The browser gives no microphone to this address', text: 'Browsers allow it on this machine and over HTTPS only. Open the page on the machine itself, start the studio with --tls-cert, or record with another device and drop the files here.' },
    refused: { title: 'This page may not use the microphone', text: 'The browser or the system was told to refuse it. Allow the microphone beside the address of this page, or record with another device and drop the files here.' },
    missing: { title: 'No microphone was found', text: 'Plug one in, or record with another device and drop the files here.' },
    busy: { title: 'The microphone does not answer', text: 'Another program may be using it. Close that program, choose another microphone, or record with another device and drop the files here.' },
    lost: { title: 'The microphone was unplugged', text: 'Plug it in again, or choose another one.' },
  },
  /** @param {number} kept @param {number} lost */
  notSaved: (kept, lost) => `${kept ? `${count(kept, 'piece')} ${kept === 1 ? 'is' : 'are'} in the folder` : 'No piece is in the folder yet'}; ${count(lost, 'piece')} ${lost === 1 ? 'is' : 'are'} still in this page. Do not close it.`,
  full: 'The disk is full',
  unsaved: 'Some pieces could not be saved',
  saveAgain: 'Save them now',
  allSaved: 'All pieces are saved.',
  again: 'Try again',
  dropInstead: 'Choose files instead',
  // files
  chooseFiles: 'Choose files',
  chooseFolder: 'Choose a folder',
  addFiles: 'Add files',
  /** @param {string} name */
  addFilesTo: (name) => `Add files to ${name}`,
  dropTitle: 'Drop files or a folder anywhere',
  dropText: 'A folder with one sub-folder per class brings its labels with it. Your originals stay where they are; the studio keeps copies.',
  dropHere: 'Drop to add',
  /** @param {string} name */
  dropInto: (name) => `Drop to add to ${name}`,
  /** @param {number} done @param {number} all */
  adding: (done, all) => `Adding ${number(done)} of ${count(all, 'file')}`,
  cancel: 'Stop adding',
  /** @param {number} n @param {number} failed */
  added: (n, failed) => `${count(n, 'recording')} ${n === 1 ? 'was' : 'were'} added${failed ? `, ${number(failed)} could not be` : ''}`,
  addedRest: 'All others are in the folder. Your originals are not touched.',
  /** @param {number} n */
  notAudio: (n) => `${count(n, 'file')} ${n === 1 ? 'is' : 'are'} not audio and ${n === 1 ? 'was' : 'were'} left where ${n === 1 ? 'it is' : 'they are'}.`,
  nothingToAdd: 'There is no audio file among these.',
  stopped: 'Adding was stopped. What was added so far is kept.',
  byFolder: 'The names of their folders became their labels.',
  noFolderLabels: 'Take these labels away',
  closeNote: 'Close',
  /** @param {number} n */
  andMore: (n) => `and ${number(n)} more`,
  // tray, columns
  tray: 'Without a label',
  trayHelp: 'Choose one, listen with Space, label it with a number, or drag it to a class.',
  trayHelpTouch: 'Choose one, listen, and choose its class below.',
  /** @param {string} name */
  listOf: (name) => `Clips of ${name}`,
  className: 'Name of the class',
  newClassName: 'Name of a new class',
  /** @type {[string, string]} */
  starts: ['first sound', 'second sound'],
  startHint: 'Say it or make it several times while it records.',
  background: 'background',
  backgroundHint: 'What is there when nothing happens, so that silence is not taken for a sound.',
  newHint: 'Something else to tell apart?',
  newPlaceholder: 'New class',
  /** @param {number} n */
  anotherSound: (n) => `sound ${number(n)}`,
  few: 'Few. Aim for 20.',
  menu: 'More',
  /** @param {string} name */
  menuOf: (name) => `More for ${name}`,
  mergeInto: 'Merge into',
  merge: 'Merge',
  chooseAll: 'Choose all clips',
  /** @param {string} other */
  sameName: (other) => `Differs from “${other}” only in capitals. `,
  leftOut: 'Left out',
  leftOutHelp: 'These stay in the folder and are not used.',
  // the chosen clip
  chosen: 'Chosen clip',
  /** @param {number} n */
  nChosen: (n) => `${count(n, 'clip')} chosen`,
  play: 'Play',
  labelAs: 'Label',
  /** @param {string} name */
  giveLabel: (name) => `Label as ${name}`,
  noLabel: 'No label',
  otherClass: 'another class',
  leaveOut: 'Leave out',
  takeBack: 'Use again',
  delete: 'Delete',
  regions: 'Draw regions',
  closePanel: 'Close the panel',
  spectrogram: 'Spectrogram and waveform',
  // manifests
  found: 'Labels were found in this folder',
  foundText: 'Take them over to see and edit them here. Undo brings back what was there.',
  /** @param {string} name */
  use: (name) => `Use ${name}`,
  // long recordings
  longLede: 'Draw regions where something calls, and press the number of its class. Only what is in view is loaded, ten hours or ten days.',
  longEmpty: 'No long recordings yet',
  longEmptyText: 'Drop a recording of minutes or hours here. Labels that lie beside it as a track are shown with it.',
  recordingName: 'recording',
  length: 'length',
  labels: 'regions',
  readOnly: 'This folder cannot be written. You can look and listen; labels and recordings cannot be saved.',
};
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
