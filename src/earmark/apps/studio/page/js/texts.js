/** All words of the page, one object a screen. A sentence with a number is a function. */

import { number } from './dom.js';

/** "1 clip", "5 clips". @param {number} n @param {string} one @param {string} [many] */
export const count = (n, one, many = `${one}s`) => `${number(n)} ${n === 1 ? one : many}`;

export const COMMON = {
  name: 'earmark studio',
  screens: { data: 'Data', doctor: 'Doctor', train: 'Train', report: 'Report', review: 'Review', try: 'Try', find: 'Find', export: 'Export' },
  groups: { collect: 'Collect', learn: 'Learn', use: 'Use' },
  unknown: 'unknown',
  /** @type {Object<import('./microphone.js').Failure, {title: string, text: string}>} */
  microphone: {
    insecure: { title: 'The browser gives no microphone to this address', text: 'Browsers allow it on this machine and over HTTPS only. Open the page on the machine itself, start the studio with --tls-cert, or use files.' },
    refused: { title: 'This page may not use the microphone', text: 'The browser or the system refused it. Allow the microphone beside the address of this page, or use files.' },
    missing: { title: 'No microphone was found', text: 'Plug one in, or use files.' },
    busy: { title: 'The microphone does not answer', text: 'Another program may be using it. Close that program, choose another microphone, or use files.' },
    lost: { title: 'The microphone was unplugged', text: 'Plug it in again, or choose another one.' },
    failed: { title: 'The microphone cannot be used', text: 'Choose another one, or use files. The browser says:' },
  },
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
  notCopied: 'The browser does not let the page copy. Select the text and copy it.',
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
  lost: { title: 'The studio does not answer', text: 'Everything up to now is saved in the folder. Start “earmark studio” again in the terminal and open the address that it prints; this page goes on then.' },
  restarted: { title: 'The studio was restarted', text: 'Open the address that it printed in this browser; this page goes on then, and nothing is lost.' },
  denied: { title: 'This page may not see the folder', text: 'Nothing is lost. Open the address that “earmark studio” printed when it started, in this browser: it holds the key. This page goes on then.' },
  broken: { title: 'This screen does not work', text: 'Your folder is not touched. Reload the page; if it stays so, tell us what you did.' },
  reload: 'Reload',
  /** @type {Object<string, string>} what a trouble of the folder is called */
  troubles: { gone: 'The folder is gone', manifest: 'The labels cannot be read', full: 'The disk is full', readonly: 'The folder cannot be written', many: 'Too many recordings', layout: 'Some labels do not fit', unreadable: 'Some folders cannot be read', links: 'Some links are not followed', recovered: 'Recordings were recovered', unfinished: 'A file came only in part' },
  troubleElse: 'Something is wrong with the folder',
  /** @type {[string, string][]} keys, then what they do */
  help: [
    ['?', 'this list'], ['G then D O T R V Y F E', 'go to Data, Doctor, Train, Report, Review, Try, Find, Export'], ['R', 'record for the chosen class; Esc stops'],
    ['1 to 9', 'give what is selected this label; 0 takes it away'], ['Space', 'play or stop'], ['↑ ↓ ← →', 'move between clips, suspects, regions; with Shift choose several'],
    ['Enter', 'take what is suggested, or the main button'], ['K', 'keep the label (Review)'], ['Y N S', 'yes, no, skip (Find); U takes the last answer back'], ['J K', 'next, before (Find)'], ['+ −', 'search for more like it, for what is unlike it (Find)'], ['X', 'leave out'], ['Delete', 'delete'], ['Ctrl Z', 'undo; deleted recordings come back for 30 days'], ['Ctrl Y', 'redo'],
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
  keptSoFar: (kept) => (kept ? `${count(kept, 'piece')} ${kept === 1 ? 'is' : 'are'} kept.` : 'Nothing had been recorded yet.'),
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
  /** @param {number} done @param {number} all */
  adding: (done, all) => `Adding ${number(done)} of ${count(all, 'file')}`,
  cancel: 'Stop adding',
  /** @param {number} n @param {number} failed */
  added: (n, failed) => `${count(n, 'recording')} ${n === 1 ? 'was' : 'were'} added${failed ? `, ${number(failed)} could not be` : ''}`,
  addedRest: 'All others are in the folder. Your originals are not touched.',
  /** @param {number} n */
  notAudio: (n) => `${count(n, 'file')} ${n === 1 ? 'is' : 'are'} not audio and ${n === 1 ? 'was' : 'were'} left where ${n === 1 ? 'it is' : 'they are'}.`,
  /** @param {number} n */
  tables: (n) => `${count(n, 'table or label track', 'tables or label tracks')} came too. Use ${n === 1 ? 'it' : 'one'} above if it has the labels.`,
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
  findMore: 'Find more',
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
};

// ------------------------------------------------------------------ what the screens of learning share
export const LEARNING = {
  stop: 'Stop',
  gone: 'not in the folder any more',
  /** @param {string} time */
  left: (time) => `about ${time} left`,
  /** @param {number} n */
  minutes: (n) => `${number(n)} min`,
  /** @param {number} n */
  hours: (n) => `${number(n, 1)} h`,
};
// ------------------------------------------------------------------ Doctor
/** @type {(n: number, one: string, many?: string) => string} "One recording", "3 recordings" at the beginning of a sentence */
const many = (n, one, several = `${one}s`) => (n === 1 ? `One ${one}` : `${number(n)} ${several}`);
/** Names in a sentence; of many, the first ones. @param {string[]} names */
const some = (names) => (names.length > 3 ? `${names.slice(0, 2).join(', ')} and ${number(names.length - 2)} more` : names.join(', '));
/** @type {Object<string, (n: number, sets: number) => string>} what was found; n clips, in so many cases */
const FOUND = {
  unreadable: (n) => `${many(n, 'recording')} cannot be read`,
  empty: (n) => `${many(n, 'recording')} ${n === 1 ? 'is' : 'are'} empty`,
  incomplete: (n) => `${many(n, 'recording')} ${n === 1 ? 'is' : 'are'} cut short or damaged`,
  'a little short': (n) => `${many(n, 'recording')} ${n === 1 ? 'is' : 'are'} a little short`,
  'decoder remarks': (n) => `${many(n, 'recording')} ${n === 1 ? 'has' : 'have'} unusual data`,
  scale: (n) => `${many(n, 'recording')} ${n === 1 ? 'is' : 'are'} far beyond full scale`,
  silent: (n) => `${many(n, 'recording')} ${n === 1 ? 'is' : 'are'} silent`,
  'class of silence': () => 'One class is silence',
  clipped: (n) => `${many(n, 'recording')} ${n === 1 ? 'is' : 'are'} clipped`,
  'DC offset': (n) => `${many(n, 'recording')} ${n === 1 ? 'does' : 'do'} not swing around zero`,
  'much shorter': (n) => `${many(n, 'clip')} ${n === 1 ? 'is' : 'are'} much shorter than the others`,
  'much longer': (n) => `${many(n, 'clip')} ${n === 1 ? 'is' : 'are'} much longer than the others`,
  'mixed sample rates': (n) => `${many(n, 'recording')} ${n === 1 ? 'has' : 'have'} another sample rate than most`,
  'narrow band': (n) => `${many(n, 'recording')} ${n === 1 ? 'has' : 'have'} no high frequencies`,
  'opposite phase': (n) => `The channels of ${n === 1 ? 'one recording' : `${number(n)} recordings`} cancel each other`,
  'label conflict': (_, sets) => `${many(sets, 'sound')} ${sets === 1 ? 'has' : 'have'} more than one label`,
  'near label conflict': (_, sets) => `${many(sets, 'sound')} ${sets === 1 ? 'was' : 'were'} saved twice, with different labels`,
  leak: (_, sets) => `${many(sets, 'sound')} ${sets === 1 ? 'is' : 'are'} both learned from and tested`,
  'near leak': (_, sets) => `Copies of ${sets === 1 ? 'one sound' : `${number(sets)} sounds`} are both learned from and tested`,
  copies: (_, sets) => `${many(sets, 'sound')} ${sets === 1 ? 'is' : 'are'} there more than once`,
  'near copies': (_, sets) => `${many(sets, 'sound')} ${sets === 1 ? 'was' : 'were'} saved more than once, in different forms`,
  'no class': (n) => `${many(n, 'clip')} ${n === 1 ? 'has' : 'have'} no class`,
  'similar labels': () => 'Some class names look like one and the same',
  'similar spelling': () => 'Some class names differ in one letter only',
  'small class': (_, sets) => `${many(sets, 'class', 'classes')} ${sets === 1 ? 'has' : 'have'} too few recordings`,
  imbalance: () => 'The classes differ much in size',
  'parted recording': (_, sets) => `${many(sets, 'recording')} ${sets === 1 ? 'is' : 'are'} both learned from and tested`,
  'parted group': (_, sets) => `${many(sets, 'group')} ${sets === 1 ? 'is' : 'are'} both learned from and tested`,
  'class equals group': (_, sets) => `${many(sets, 'class', 'classes')} ${sets === 1 ? 'comes' : 'come'} from one group only`,
};

export const DOCTOR = {
  title: 'Doctor',
  lede: 'What is wrong with the data, before it costs you a wrong number.',
  /** @param {string} kind @param {number} n clips @param {number} sets cases */
  finding: (kind, n, sets) => FOUND[kind]?.(n, sets) ?? kind[0].toUpperCase() + kind.slice(1),
  /** @type {Object<string, string>} why it matters, or what helps */
  why: {
    unreadable: 'Nothing can be learned from them. Fetch them again from where they came, if you can.',
    empty: 'There is no sound in them. Copy them again, if you can.',
    incomplete: 'What is left may not fit the label any more. Listen, or copy them again.',
    silent: 'Nothing is louder than -80 dB. Silence under a label teaches that the class may be silent.',
    'class of silence': 'That may be what you want. Record quiet rooms too, so that it is not one and the same silence.',
    clipped: 'The loudest parts are cut flat. Record with less gain, or leave out the worst.',
    'DC offset': 'A fault of the recorder. It is harmless as long as it is not typical of one class.',
    'much shorter': 'They may have been cut in the wrong place. Listen.',
    'much longer': 'They may hold more than one sound. Listen.',
    'label conflict': 'The same sound under two labels: whatever is learned from one is wrong for the other. Listen, and say which it is.',
    'near label conflict': 'Nearly the same sound under two labels: one of them is wrong. Listen, and say which it is.',
    copies: 'A sound that is there twice counts twice. Exact copies are never tested by each other.',
    'near copies': 'If one is learned and the other is tested, the number is too good.',
    leak: 'A sound that was learned is known, so the number is too good.',
    'near leak': 'A sound that was learned is known, so the number is too good.',
    'similar labels': 'Names that differ only in capitals, spaces or hyphens are usually a slip. Each counts as a class of its own.',
    'similar spelling': 'If they mean one class, rename one of them on the Data screen.',
    'small class': 'A class needs five recordings to be tested fairly. Record more, or remove the class.',
    imbalance: 'A rare class hardly counts in the accuracy. Record more of it; the report then leads with balanced accuracy.',
    'narrow band': 'They come from a phone, or were compressed. Harmless if every class has such recordings.',
    'mixed sample rates': 'Frequencies lost at a low rate stay lost. Harmless if every class has such recordings.',
    'opposite phase': 'Mixed to one channel, the sound is gone. Export them with one channel only.',
    scale: 'Whole numbers may have been saved as fractions. Export them again.',
    'class equals group': 'The classifier could learn the group, such as the place or the voice, instead of the class.',
  },
  /** @param {string} advice */
  advice: (advice) => advice.slice(0, 1).toUpperCase() + advice.slice(1),
  severity: { error: 'Error', warning: 'Warning', note: 'Note' },
  severities: { error: (/** @type {number} */ n) => (n === 1 ? 'error' : 'errors'), warning: (/** @type {number} */ n) => (n === 1 ? 'warning' : 'warnings'), note: (/** @type {number} */ n) => (n === 1 ? 'note' : 'notes') },
  meaning: { error: 'gives a wrong label or a wrong number', warning: 'worth a look', note: 'harmless as it stands' },
  remedies: 'Remedies',
  /** @type {Object<string, (n: number) => string>} a remedy on its button; n clips */
  remedy: {
    unreadable: (n) => (n === 1 ? 'Leave it out' : `Leave all ${number(n)} out`), empty: (n) => (n === 1 ? 'Leave it out' : `Leave all ${number(n)} out`), silent: (n) => (n === 1 ? 'Leave it out' : `Leave all ${number(n)} out`),
    copies: () => 'Keep one of each', leak: () => 'Keep one of each', 'label conflict': () => 'Leave all of them out', 'near label conflict': () => 'Leave all of them out',
    'similar labels': () => 'Write each class in one way', 'near copies': () => 'Keep copies together', 'near leak': () => 'Keep copies on one side',
  },
  /** @param {number} n */
  leaveOut: (n) => (n === 1 ? 'Leave it out' : `Leave all ${number(n)} out`),
  /** @param {string} name @param {number} n clips */
  allAre: (name, n) => `${n === 2 ? 'Both are' : 'All are'} ${name}`,
  recordMore: 'Record more',
  byHand: 'A person has to decide this.',
  harmless: 'Nothing has to be done.',
  /** @param {number} n */
  showAll: (n) => `Show all ${number(n)}`,
  showLess: 'Show fewer',
  /** @param {number} n */
  notShown: (n) => `And ${number(n)} more; the command below lists all with --json.`,
  willChange: 'What will change',
  kept: 'Recordings are never altered. Only the table of labels changes, and Undo brings it back.',
  noChange: 'Nothing is chosen yet.',
  /** @param {number} n */
  apply: (n) => (n ? `Apply ${count(n, 'change')}` : 'Apply'),
  /** @param {string[]} names */
  areLeftOut: (names) => `${some(names)} ${names.length === 1 ? 'is' : 'are'} left out`,
  /** @param {number} n */
  oneStays: (n) => `One of each of ${count(n, 'set')} of copies stays`,
  /** @param {string[]} details */
  merged: (details) => `Each name is written in its most frequent way: ${details.slice(0, 2).join('; ')}`,
  /** @param {number} n */
  together: (n) => `${many(n, 'set')} of near copies ${n === 1 ? 'gets' : 'get'} one group each`,
  /** @param {number} n */
  onOneSide: (n) => `${many(n, 'set')} of near copies ${n === 1 ? 'goes' : 'go'} to one side of the test`,
  /** @param {number} n */
  listening: (n) => `Listening to ${count(n, 'clip')}`,
  mending: 'Applying the remedies',
  stale: 'The folder has changed since. It is examined again by itself.',
  again: 'Examine again',
  tryAgain: 'Try again',
  train: 'Train',
  asItIs: 'Train as it is',
  mended: 'The remedies are applied',
  undo: 'Undo',
  nothing: 'Nothing to examine yet',
  nothingText: 'Record or drop some sounds and give them labels. The doctor then listens to all of them, by itself.',
  toData: 'To the data',
  clean: 'Nothing is wrong',
  /** @param {number} n */
  cleanText: (n) => `All ${number(n)} clips were listened to: no copies, no conflicts, nothing clipped, silent or cut short, and every class has enough to be tested.`,
  stopped: 'The examination was stopped',
  stoppedText: 'Nothing is changed. Findings of an earlier examination stay below.',
  failed: 'That did not work',
};
// ------------------------------------------------------------------ Train
export const TRAIN = {
  title: 'Train',
  lede: 'The choices are good as they are. Change them if you know better.',
  runningLede: 'You may look at other screens, or close this page.',
  start: 'Start training',
  hasBegun: 'The training has begun.',
  reading: 'Looking at what can be chosen …',
  name: 'Name of the classifier',
  /** @param {string} name */
  nameWhat: (name) => `It will be the file models/${name}.earmark in your folder.`,
  needsName: 'Give it a name.',
  wrongName: 'Use letters, digits, blanks, dots, hyphens and underscores, and begin with a letter or digit.',
  /** @param {string} name */
  nameTaken: (name) => `There is a classifier ${name} already. Take another name.`,
  whatFor: 'What it is for',
  clips: 'Short clips and live sound',
  clipsWhat: 'One answer for each clip. Live, it says what it hears now.',
  events: 'Long recordings',
  eventsWhat: 'A detector: start, end and class of each event, and how many false ones come in an hour.',
  mayBeUnknown: 'May answer “unknown”',
  unknownWhat: 'So silence, or a fox, is not forced to be one of your classes.',
  whatIsNew: 'What must be new in the test',
  /** @param {string} name */
  group: (name) => (name === 'take' ? 'The take' : `The ${name}`),
  /** @param {string} name @param {number} n */
  groupWhat: (name, n) => (name === 'take' ? `Pieces that were recorded in one go are tested together, ${number(n)} takes in all. Honest for recordings of another day.` : `Tested on a ${name} that it has not heard, out of ${number(n)}. Honest for the next ${name}.`),
  recording: 'The recording',
  recordingWhat: 'Tested on recordings that it has not heard.',
  recordingHigher: 'Tested on other recordings only. The number is higher, and holds for sounds like these.',
  noGroups: 'Not possible:',
  whoListens: 'Who listens',
  auto: 'Chosen by earmark',
  /** @param {string[]} names */
  autoWhat: (names) => `The best networks on this machine: ${names.join(' and ')}.`,
  /** @param {number} n */
  others: (n) => `Or one of ${number(n)} networks`,
  /** @param {string} about @param {number|null} mb */
  toFetch: (about, mb) => `${about} Not on this machine yet${mb == null ? '' : ` (${number(mb)} MB)`}.`,
  /** @param {string} time */
  about: (time) => `about ${time}`,
  plan: 'What will be learned',
  /** @param {number} n */
  more: (n) => `${number(n)} more`,
  /** @param {number} n */
  furtherClasses: (n) => `and ${count(n, 'class', 'classes')} more`,
  further: 'More choices',
  tuning: 'Train the network, too?',
  frozen: 'No, only what is on top of it',
  frozenWhat: 'Seconds instead of minutes, and as good for most sounds.',
  /** @type {Object<string, string>} */
  tunings: { 'last:1': 'Its last layer', full: 'All of it', lora: 'Small additions to it (LoRA)' },
  heads: 'What decides',
  /** @type {Object<string, string>} */
  headNames: { auto: 'Whatever does best', linear: 'A linear classifier', logistic: 'Logistic regression', mlp: 'A small network', prototype: 'The average sound of each class' },
  rest: 'The rest',
  compare: 'Compare with simpler methods',
  seed: 'Random seed',
  seedWhat: 'The same seed gives the same classifier.',
  notYet: 'Not enough to learn from yet',
  notYetText: 'A training needs at least two classes with three recordings each; five are better. What is still missing:',
  /** @param {number} n */
  moreClasses: (n) => (n === 1 ? 'one more class' : `${number(n)} classes`),
  /** @param {number} n @param {string} name */
  moreOf: (n, name) => `${count(n, 'more recording')} of ${name}`.replace(/(\d+) more recording\b/, '$1 more recording'),
  record: 'Record',
  /** @param {number} n */
  errors: (n) => `The doctor has found ${count(n, 'error')}`,
  errorsText: 'Errors give wrong labels or a wrong number. Mend them first; most take one click.',
  askDoctor: 'To the doctor',
  refused: 'That did not work',
  tryAgain: 'Try again',
  progress: 'How far the training is',
  /** @param {number} clips @param {number} classes */
  learnsFrom: (clips, classes) => `${count(clips, 'clip')}, ${count(classes, 'class', 'classes')}`,
  counting: 'starting',
  aboutLeft: ['about ', ' left'],
  isStopped: 'stopped',
  hasFailed: 'failed',
  isDone: 'done',
  /** @param {number} done @param {number} steps */
  stepsOf: (done, steps) => `${number(done)} of ${number(steps)}`,
  /** @param {string} stage @param {number} n @param {number} all */
  stageNow: (stage, n, all) => `Step ${number(n)} of ${number(all)}: ${stage}.`,
  /** @type {Object<string, string>} what happens in a stage */
  stages: {
    'Listening to the recordings': 'the network turns sounds into features',
    'Choosing what works best': 'layers and heads, without what is tested',
    'Fitting the classifier': 'tested on what it has not heard, then on everything',
    'Comparing with simple methods': 'what has to be beaten',
    'Trying with fewer recordings': 'whether more of them would help',
    'Looking for copies': 'the same sound twice would be too easy',
    'Learning what is unknown': 'each class is left out in turn',
    'Fine-tuning': 'the network itself is trained',
    'Reading the recordings': 'all clips, once',
    'Listening to scenes': 'clips set among other sound',
    'Choosing windows and rules': 'how long, how sure',
    'Testing on other scenes': 'found, false and missed events',
    Downloading: 'once; it stays on this machine',
  },
  goesOn: 'It goes on when this page is closed, and the report opens when it is done.',
  stop: 'Stop',
  wasStopped: 'The training was stopped',
  stoppedText: 'What was heard so far is kept, so going on is quicker than starting anew.',
  goOn: 'Go on',
  startAnew: 'Change the choices',
  failed: 'The training has failed',
  failedKept: 'Your recordings, labels and earlier classifiers are as they were.',
  changeChoices: 'Change the choices',
  meanwhile: 'Meanwhile',
  meanwhileText: 'you may record more or correct labels. What you change now counts in the next training.',
  /** @param {number} n */
  unlabelled: (n) => `${count(n, 'clip')} ${n === 1 ? 'has' : 'have'} no label yet. What you label now counts in the next training.`,
  labelThem: 'Label them',
  toData: 'To the data',
};
// ------------------------------------------------------------------ Report
export const REPORT = {
  title: 'Report',
  /** @param {string} when @param {number|null} clips @param {number} classes */
  lede: (when, clips, classes) => `${clips == null ? '' : `${count(clips, 'clip')}, `}${count(classes, 'class', 'classes')}${when ? `; trained ${when}` : ''}.`,
  whole: 'The whole report',
  live: 'Try it live',
  askDoctor: 'Ask the doctor',
  train: 'Train',
  trainAgain: 'Train again',
  tryAgain: 'Try again',
  none: 'No classifier yet',
  noneText: 'Train one. Its report will be here: whether it may be used, how good it is, and what it takes for what.',
  /** @param {string} name */
  lost: (name) => `There is no classifier ${name}`,
  lostText: 'It may have been renamed or deleted. The others are listed below.',
  unread: 'The report cannot be shown',
  noReport: 'This classifier came without a report',
  noReportText: 'It was trained elsewhere, or with the command line without --report. What its file says is shown in the list.',
  damaged: 'This file is not a classifier',
  stale: 'The labels have changed since this training, so this report is of older data.',
  /** @type {Object<string, string>} */
  words: { use: 'Use it', care: 'Use with care', worthless: 'Worthless' },
  /** @type {Object<string, [string, string][]>} what helps, by the verdict */
  helps: {
    use: [['Export it', '#/export'], ['Review labels that look wrong', '#/review']],
    care: [['Record more', '#/data'], ['Review labels that look wrong', '#/review'], ['Ask the doctor', '#/doctor']],
    worthless: [['Record more', '#/data'], ['Review labels that look wrong', '#/review']],
  },
  /** @type {Object<string, string>} */
  figures: { accuracy: 'of the clips are right', balanced_accuracy: 'balanced accuracy: the mean over classes, so that each counts the same', macro_f1: 'macro F1: found and right, the mean over classes' },
  /** @param {string} figure @param {string[]} interval @param {number} n */
  headline: (figure, interval, n) => `${figure}. With other recordings of this kind it would lie between ${interval[0]} and ${interval[1]} (95% interval, ${count(n, 'clip')} tested).`,
  /** @param {string} value */
  balanced: (value) => `Of all clips, ${value} are right; large classes count most in that.`,
  beaten: 'What has to be beaten',
  thisOne: 'this classifier',
  /** @type {Object<string, string>} */
  baselines: { 'random weights': 'untrained network', 'log-mel statistics': 'loudness and pitch' },
  guessing: 'guessing',
  /** @param {string} text */
  scheme: (text) => `How it was tested: ${text}. Nothing that was tested had been learned.`,
  /** @param {string} points */
  helped: (points) => `What the network has learned elsewhere is worth ${points} points over the same network untrained.`,
  /** @param {string} points */
  hurt: (points) => `What the network has learned elsewhere does not help: it is ${points} points worse than the same network untrained. Try another network.`,
  unknown: 'Unknown sounds',
  /** @param {string} accepted @param {string} lost */
  unknownText: (accepted, lost) => `Of sounds of a class that it does not know, ${accepted} get a class all the same. The price: ${lost} of known sounds are answered “unknown”.`,
  unknownHelp: 'That is a high price. More classes and more recordings lower it; or train again without “unknown”.',
  /** @param {{how: string, use: string, difference: number}} tuning */
  tuned: ({ use, difference }) => `Fine-tuning changed the accuracy by ${number(100 * difference, 1)} points, so the ${use} network was kept.`,
  /** @param {number} n */
  folds: (n) => `Each of the ${number(n)} tests`,
  /** @param {string} name @param {number} n */
  fold: (name, n) => `${name}, ${count(n, 'clip')}`,
  curve: 'Would more recordings help?',
  /** @param {number|null} points */
  curveText: (points) => (points == null ? 'Accuracy with fewer recordings of each class.' : points > 1 ? `The last doubling of recordings brought ${number(points, 1)} points. Twice as many may bring some more.` : 'The last doubling of recordings brought hardly anything. More of the same will not help; other kinds may.'),
  perClass: 'recordings of each class',
  accuracy: 'accuracy',
  confusions: 'What is taken for what',
  confusionsText: 'A row is a label, a column an answer. Press a number to hear its clips.',
  /** @param {number} n */
  tooMany: (n) => `${count(n, 'class', 'classes')} are too many for a map. These are taken for each other most often:`,
  cellClips: 'Clips of the chosen number',
  /** @param {number} n @param {string} of @param {string} answer */
  cell: (n, of, answer) => (of === answer ? `${count(n, 'clip')} of ${of} answered rightly` : `${count(n, 'clip')} of ${of} answered ${answer}`),
  /** @param {number} n @param {string} of */
  rightCell: (n, of) => `${count(n, 'clip')} of ${of} ${n === 1 ? 'is' : 'are'} answered rightly`,
  /** @param {number} n @param {string} of @param {string} answer */
  wrongCell: (n, of, answer) => `${count(n, 'clip')} of ${of} ${n === 1 ? 'is' : 'are'} answered ${answer}`,
  notListed: 'These clips are not in the folder any more, or the report does not list them.',
  /** @param {number} n */
  more: (n) => `Show more (${number(n)})`,
  classes: 'Class by class',
  classesText: 'Found: how many of its clips were found. Right: how many answers of it are right. The worst is first.',
  class: 'class', clips: 'clips', found: 'found', right: 'right', f1: 'F1', toKnow: 'what to know',
  /** @param {number} n */
  moreClasses: (n) => `${count(n, 'class', 'classes')} more`,
  /** @param {number} n @param {number} of @param {string} name */
  takenFor: (n, of, name) => `${number(n)} of ${number(of)} ${n === 1 ? 'is' : 'are'} taken for ${name}`,
  nothingMissed: 'nothing missed',
  surest: 'Surest mistakes',
  surestText: 'Listen: where it is sure against the label, the label is often wrong.',
  labelled: 'labelled',
  answered: 'answered',
  toReview: 'Review the labels',
  remarks: 'What to know of this training',
  /** @type {Object<string, string>} */
  eventRows: { f1_iou30: 'found and right (F1)', recall: 'events that are found', precision: 'answers that are right' },
  /** @param {number} right @param {number} all @param {number} wrong */
  eventHeadline: (right, all, wrong) => `F1: found and right in one number. ${number(right)} of ${count(all, 'event')} were found, with ${number(wrong)} false ones.`,
  /** @param {number|null} n @param {number|null} upper */
  falseAnHour: (n, upper) => (n == null ? '' : `False events in an hour: ${number(n, n < 10 ? 1 : 0)}${upper == null ? '' : `, and up to ${number(upper, upper < 10 ? 1 : 0)} cannot be excluded`}.`),
  /** @param {string} text */
  eventScheme: (text) => `How it was tested: ${text}. An event is right if it overlaps a true one of its class by 30%.`,
  falseHour: 'false an hour', threshold: 'threshold',
  /** @param {number} n */
  all: (n) => (n === 1 ? 'One classifier' : `All ${number(n)} classifiers`),
  allText: 'Press a heading to sort. Numbers of different data cannot be compared; those of the same clips can.',
  columns: { name: 'name', verdict: 'verdict', value: 'how good, with its 95% interval', data: 'learned from', trained: 'trained', size: 'size' },
  /** @type {Object<string, string>} the figure of a classifier in a few words */
  short: { accuracy: 'accuracy', balanced_accuracy: 'balanced accuracy', macro_f1: 'macro F1', f1_iou30: 'F1 of events' },
  detector: 'detector',
  isStale: 'of older data',
  /** @param {number} clips @param {number} classes */
  learned: (clips, classes) => `${count(clips, 'clip')}, ${count(classes, 'class', 'classes')}`,
  /** @param {string} value @param {string} low @param {string} high */
  interval: (value, low, high) => `${value} (${low} to ${high})`,
};
// ------------------------------------------------------------------ Review
export const REVIEW = {
  title: 'Review',
  lede: 'Labels that look wrong, worst first. Many of them are right: listen before you decide.',
  begin: 'Which labels look wrong?',
  beginText: 'earmark learns from all other clips and asks of each label whether it would have said the same. You hear those where it would not, and decide.',
  start: 'Look for wrong labels',
  nothing: 'Nothing to review yet',
  nothingText: 'Give at least two classes some recordings. Then labels can be compared.',
  toData: 'To the data',
  /** @param {number} n */
  looking: (n) => `Comparing the labels of ${count(n, 'clip')}`,
  failed: 'That did not work',
  again: 'Look again',
  labelled: 'Labelled',
  noLabel: 'nothing',
  soundsLike: 'but sounds like',
  unlike: 'and that is not certain',
  /** @param {string} share */
  evidence: (share) => `doubt ${share}`,
  decision: 'Decision',
  /** @param {string} name */
  change: (name) => `Change to ${name}`,
  /** @param {string} name */
  keep: (name) => (name ? `Keep ${name}` : 'Keep it'),
  leaveOut: 'Leave out',
  others: 'Or it is',
  alike: 'Sounds most alike',
  alikeText: 'From other recordings or groups, so that the place or the voice does not decide.',
  /** @param {string} value */
  similar: (value) => `alike ${value}`,
  queue: 'Suspects',
  /** @param {number} n */
  further: (n) => `${number(n)} more below`,
  /** @param {string} label @param {string|null} suggested @param {string} decision */
  inQueue: (label, suggested, decision) => `labelled ${label || 'nothing'}${suggested ? `, sounds like ${suggested}` : ''}${decision ? ', decided' : ''}, doubt`,
  /** @param {number} n @param {number} all @param {string} label @param {string|null} suggested */
  now: (n, all, label, suggested) => `Suspect ${number(n)} of ${number(all)}: labelled ${label || 'nothing'}${suggested ? `, but sounds like ${suggested}` : ''}.`,
  /** @param {number} n @param {number} all */
  progress: (n, all) => `${number(n)} of ${number(all)} decided`,
  /** @param {string} decision @param {string} label @param {string} suggested */
  said: (decision, label, suggested) => ({ keep: `Kept ${label}.`, drop: 'Left out.', relabel: `Will be ${suggested}.` }[decision] ?? `Will be ${decision}.`),
  undo: 'Undo',
  undone: 'The last decision is taken back.',
  /** @param {string} name */
  reserved: (name) => `A class called ${name} cannot be given here. Change this label on the Data screen.`,
  notSaved: 'This decision could not be saved',
  /** @param {number} n */
  apply: (n) => (n ? `Apply ${count(n, 'decision')}` : 'Apply'),
  notApplied: 'The decisions could not be applied. They are kept in the folder.',
  allDecided: 'All are decided',
  /** @param {number} changed @param {number} kept @param {number} dropped */
  summary: (changed, kept, dropped) => `${count(changed, 'label')} will change, ${number(kept)} ${kept === 1 ? 'stays' : 'stay'}, ${count(dropped, 'clip')} will be left out. Nothing is changed until you apply it.`,
  applied: 'The decisions are applied',
  appliedText: 'It was one change, so one Undo takes all of it back. Train again to see what it has brought.',
  train: 'Train again',
  undoAll: 'Undo',
  clean: 'No label looks wrong',
  cleanText: 'Every label is what earmark would have said from the other clips.',
  weak: 'This list means little',
  /** @param {string} why */
  weakText: (why) => `The classifier behind it is hardly better than guessing: ${why}`,
  askDoctor: 'Ask the doctor',
};
// ------------------------------------------------------------------ Try
export const TRY = {
  lede: 'Call, play or whistle: it is answered while it sounds.',
  fileLede: 'One recording, and what the classifier says of it.',
  emptyTitle: 'No classifier yet',
  emptyText: 'Train one from your clips, then come back and make a sound.',
  noModels: 'The classifiers cannot be read',
  reading: 'Reading …',
  microphone: 'Microphone',
  file: 'Try a file',
  liveName: 'Live sound',
  with: 'with',
  through: 'through',
  usualDevice: 'the usual microphone',
  /** @param {string} name */
  usual: (name) => `the usual one: ${name}`,
  newDevice: 'A microphone is there.',
  start: 'Start listening',
  startHow: 'The browser asks for the microphone. The sound stays on this machine.',
  pause: 'Pause',
  goOn: 'Go on',
  again: 'Ask again',
  phases: { ready: 'not listening', asking: 'opening the microphone', on: 'listening', quiet: 'listening, all quiet', paused: 'paused', gone: 'the server does not answer', no: 'no microphone' },
  level: 'Level',
  newest: 'newest at the right',
  pictureName: 'Running spectrogram; its answers are below as text',
  tracksName: 'Lanes of what was heard, one a class and one for unknown; the list below has the same as text',
  /** @param {number} total seconds @param {string} kept */
  delay: (total, kept) => `answered after ${number(Math.max(0, total), 2)} s, ${kept}`,
  /** @param {number} beyond seconds */
  delayHow: (beyond) => `From the sound to the label on the screen. ${number(Math.max(0, beyond), 2)} s of it are computing and drawing; the rest is sound that the network has to hear first.`,
  /** @param {number} lost blocks @param {number} behind seconds */
  kept: (lost, behind) => (lost ? `${count(lost, 'block')} of sound lost` : behind > 1 ? `${number(behind, 1)} s still wait for the server` : 'nothing lost'),
  noDetector: 'This classifier learned from clips, so many of its events in a stream will be false. Choose “Long recordings” in Train to make a detector.',
  threshold: 'Show scores from',
  all: 'all',
  thresholdHow: 'Scores below stay out of lanes and list. Let it listen to what it should not answer, and raise this until it keeps silent.',
  quietBelow: 'Quiet below',
  /** @type {Object<string, string>} */
  now: {
    label: 'sure enough to say so',
    unknown: 'a sound, but unlike what it learned', unknownWord: 'unknown',
    nothing: 'no class reaches its threshold', nothingWord: 'nothing it knows',
    quiet: 'the level is below “quiet”', quietWord: 'quiet',
    none: '', noneWord: '',
  },
  gone: { title: 'The server does not answer', text: 'The page tries again by itself. The sound of the last 10 s waits; older sound is marked as a gap. What was heard stays here.', now: 'Try now' },
  refused: 'The server refused the sound',
  heard: 'Heard',
  heardFirst: 'Every event is listed here with its time.',
  heardHow: 'Play one to check it. “Keep” puts it into the folder without a label, so that the next training can learn from it.',
  nothingYet: 'Nothing yet. In silence it should stay silent.',
  /** @param {number} n @param {number} s */
  soFar: (n, s) => `${n ? count(n, 'event') : 'No event'} in ${count(s, 'second')}`,
  /** @param {number} rate @param {number} low @param {number} high @param {string} time */
  perHour: (rate, low, high, time) => (rate ? `${number(rate)} an hour (${number(low)} to ${number(high)} by chance), after ${time}` : `none in ${time}: fewer than ${number(high)} an hour`),
  countAgain: 'Count anew',
  saveList: 'Save as CSV',
  /** @param {string} name */
  playEvent: (name) => `Play ${name}`,
  /** @param {string} name */
  keepEvent: (name) => `Keep ${name} in the folder`,
  kept1: 'Kept. It waits in Data, without a label.',
  tooOld: 'This sound is gone: the page remembers the last minute.',
  /** @param {Date} when */
  keptName: (when) => `heard ${when.toISOString().slice(0, 19).replaceAll(':', '-').replace('T', ' ')}`,
  dropTitle: 'Drop a recording here',
  dropHow: 'It is answered and forgotten: nothing is added to the folder.',
  chooseFile: 'Choose a file',
  chooseClip: 'Choose a clip of the folder',
  ofClass: 'of',
  unlabelled: 'clips without a label',
  take: 'Try it',
  /** @param {string} name */
  takeClip: (name) => `Try ${name}`,
  /** @param {number} n @param {number} total */
  firstClips: (n, total) => `The first ${number(n)} of ${number(total)} clips.`,
  noClips: 'There is none.',
  cancel: 'Cancel',
  thinking: 'Listening to it …',
  noAnswer: 'There is no answer',
  onceMore: 'Try again',
  /** @param {string} name */
  play: (name) => `Play ${name}`,
  noPicture: 'This browser cannot draw this kind of file. The answer does not need it.',
  /** @param {string} score */
  sure: (score) => `score ${score}`,
  /** @param {string} nearest */
  unknownHow: (nearest) => `unlike the training clips; most like ${nearest}`,
  /** @param {number} n @param {number} total */
  firstScores: (n, total) => `The best ${number(n)} of ${number(total)} classes.`,
  /** @param {number} n @param {string} time */
  found: (n, time) => `${n ? count(n, 'event') : 'No event'} in ${time}`,
  events: 'Events',
  columns: { label: 'label', start: 'start', end: 'end', seconds: 'seconds', score: 'score' },
  copyCsv: 'Copy as CSV',
  copyJson: 'Copy as JSON',
  copiedCsv: 'The table is copied.',
  copiedJson: 'The answer is copied.',
};
// ------------------------------------------------------------------ Find
export const FIND = {
  lede: 'Search hours of recordings with one example, then label what is found.',
  archive: 'Archive',
  another: 'a new one …',
  ways: 'Ways of finding',
  byExample: 'By example',
  inRounds: 'In rounds',
  opening: 'Opening the archive …',
  failedTitle: 'That did not work',
  // archives
  firstTitle: 'Listen to the recordings once',
  anotherTitle: 'Another archive',
  archiveText: 'An archive holds what a network heard in every second of your recordings. It is computed once, at 100 to 200 times the speed of the sound; then a search takes a second. The recordings stay where they are.',
  source: 'Recordings',
  /** @param {string} name */
  ownSource: (name) => `This folder, ${name}`,
  /** @param {number} n */
  ownSourceHow: (n) => (n ? `${count(n, 'recording')}, with what earmark.csv says of them` : 'It has no recordings yet'),
  otherSourceHow: 'A folder that the studio was started with. All its sub-folders count.',
  /** @param {string} name */
  moreSources: (name) => `For recordings elsewhere, stop the studio and start it with their folder: \`earmark studio ${name} --recordings DIR\`. A page never names a path.`,
  archiveName: 'Name of the archive',
  nameHow: 'It is kept in archives/ of your folder.',
  wrongName: 'Use letters, digits, blanks or - _ . ( ) +, at most 80 characters.',
  network: 'Network',
  networkHow: 'All networks take windows of about one second. The usual one is quick and good for words, calls and everyday sounds.',
  usualNetwork: 'the usual one: speech-embedding',
  index: 'Make the archive',
  notIndexed: 'The archive cannot be made',
  /** @param {string} name */
  indexing: (name) => `Listening to the recordings for ${name}`,
  stopped: 'Making the archive was stopped',
  stoppedText: 'What was computed is kept, and can be searched already. It goes on from there.',
  goOn: 'Go on',
  /** @param {number} recordings @param {string} length @param {number} windows @param {string} network */
  about: (recordings, length, windows, network) => `${count(recordings, 'recording')}, ${length || 'no sound'}; ${count(windows, 'window')} of ${network}`,
  update: 'Look for new recordings',
  updateHow: 'Run `earmark index` again when there are new recordings.',
  /** @param {number} n */
  gone: (n) => `${count(n, 'recording')} ${n === 1 ? 'is' : 'are'} gone`,
  /** @param {number} n */
  failed: (n) => `${count(n, 'recording')} could not be read`,
  /** @param {number} n */
  andMore: (n) => `and ${number(n)} more`,
  // examples
  queryTitle: 'It sounds like',
  examples: 'Examples',
  like: 'like',
  unlike: 'unlike',
  noExample: 'Choose a clip of your data, record the sound, or mark a region in a long recording and press “Find more like it” there.',
  chooseClip: 'Choose a clip',
  record: 'Record it',
  stopRecording: 'Stop',
  recorded: 'just recorded',
  file: 'A file',
  remove: 'Remove',
  /** @param {string} name */
  removeExample: (name) => `Remove the example ${name}`,
  ofClass: 'of',
  unlabelled: 'clips without a label',
  take: 'Use it',
  /** @param {string} name */
  takeClip: (name) => `Use ${name} as an example`,
  /** @param {number} n @param {number} total */
  firstClips: (n, total) => `The first ${number(n)} of ${count(total, 'clip')}.`,
  noClips: 'There is none.',
  tooShort: 'That was shorter than a second. Record it once more.',
  notRecorded: 'The recording was not kept',
  noFile: 'The file cannot be used',
  // the search
  conditions: 'Only recordings with',
  any: 'any',
  condition: 'condition',
  conditionExample: 'path=*night*',
  search: 'Search',
  searching: 'Searching. The first search loads the network, which takes some seconds.',
  notSearched: 'The search did not work',
  /** @param {number} n */
  compared: (n) => `Every one of ${count(n, 'window')} is compared.`,
  hits: 'What was found, the nearest first',
  /** @param {number} n */
  found: (n) => `${count(n, 'stretch', 'stretches')} found`,
  nothing: 'Nothing was found',
  nothingText: 'No recording meets the conditions. Take one of them away.',
  /** @param {string} score */
  score: (score) => `score ${score}`,
  yes: 'Yes',
  no: 'No',
  moreLike: 'Search for more like this',
  lessLike: 'Search for what is unlike this',
  inEditor: 'Open in the editor',
  more: 'Show more',
  asClass: 'as',
  /** @param {number} n */
  keep: (n) => (n ? `Add ${count(n, 'clip')} to the data` : 'Add to the data'),
  notKept: 'They were not added',
  withMarks: 'Search again with yes and no',
  outsideTitle: 'Some recordings cannot be played',
  /** @param {string} folder */
  outside: (folder) => `They lie outside of this folder. Stop the studio, and start it with the folder of these recordings: \`earmark studio ${folder} --recordings DIR\`.`,
  /** @type {Object<string, string>} */
  silent: { outside: 'It cannot be played here', gone: 'The recording is gone' },
  /** @type {Object<string, string>} */
  silentHow: { outside: 'It lies outside of the folders of this studio.', gone: 'It was there when the archive was made.' },
  // rounds
  roundTitle: 'Label in rounds of a dozen',
  className: 'Class',
  classHow: 'What you listen for, one class at a time. If your data has clips of it, they are the first examples.',
  who: 'Your name',
  whoHow: 'It stands beside each of your answers; without it, the name of the user of this machine.',
  /** @param {number} n */
  takeExamples: (n) => `${n === 1 ? 'The one sound' : `The ${number(n)} sounds`} of the search, its examples and what you marked Yes, ${n === 1 ? 'is' : 'are'} of this class`,
  group: 'At most a few windows from each',
  recording: 'recording',
  /** @param {string[]} conditions */
  only: (conditions) => `Only recordings with ${conditions.join(' and ')}, as in the search.`,
  begin: 'Begin',
  goOnLabel: 'Go on',
  reading: 'Fitting to the labels, and choosing the next dozen …',
  notBegun: 'There is no next dozen',
  needExample: 'Find one by example',
  /** @param {string} name */
  question: (name) => ['Is this', name, '?'],
  /** @type {Object<string, string>} */
  why: { sure: 'It sounds very much like it.', uncertain: 'Hard to tell: this answer teaches most.', random: 'Drawn at random, for the estimate.', again: 'You took this answer back.' },
  answers: { yes: 'Yes', no: 'No', skip: 'Skip' },
  answer: 'Answer',
  others: 'Another class:',
  otherName: 'its name',
  /** @param {string} name */
  reserved: (name) => `“${name}” is an answer. Give the class another name.`,
  undo: 'Undo',
  /** @param {string} word @param {string} name */
  undone: (word, name) => `Took back “${word}” on ${name}.`,
  nothingToUndo: 'You have given no answer yet.',
  notSaved: 'The answer was not kept',
  autoplay: 'Play each by itself',
  /** @param {number} done @param {number} all */
  progress: (done, all) => `${number(done)} of ${number(all)} answered`,
  queue: 'The windows of this round',
  /** @param {number} k @param {number} n @param {string} name */
  now: (k, n, name) => `Window ${number(k)} of ${number(n)}: is it ${name}?`,
  /** @param {number} n */
  next: (n) => (n === 12 ? 'The next dozen' : `The next ${count(n, 'window')}`),
  roundOver: 'All answers are kept.',
  standingTitle: 'Where you stand',
  /** @param {number} all @param {number} yes @param {number} no */
  answered: (all, yes, no) => `${count(all, 'label')} with the examples; of windows of the archive, ${number(yes)} yes and ${number(no)} no.`,
  precision: 'Right, of what it would take for the class now',
  total: 'How often it is in the archive',
  unseen: 'Of these, heard by nobody yet',
  notYet: 'not known yet: more answers are needed',
  /** @param {string} value @param {string} low @param {string} high */
  between: (value, low, high) => `${value} (${low} to ${high})`,
  intervals: 'Estimates with 95 % intervals',
  contradictions: 'Two people disagree; neither answer is used',
  /** @param {string} a @param {string} wordA @param {string} b @param {string} wordB */
  disagree: (a, wordA, b, wordB) => `${a} says ${wordA}, ${b} says ${wordB}`,
  train: 'Train a classifier from these labels',
  detector: 'as a detector: it finds the sounds in long recordings and in live sound',
  trainHow: 'From all labels of this archive, of every class. Then it is in Report, Try and Export.',
  notTrained: 'The training cannot begin',
  finish: 'Another class',
  labels: 'Labelled so far',
  /** @param {number} yes @param {number} no */
  yesNo: (yes, no) => `${number(yes)} yes, ${number(no)} no`,
  noneLeft: 'No window is left to ask about.',
  /** @param {number} k @param {string} word */
  inQueue: (k, word) => `Window ${number(k)}${word ? `: ${word}` : ''}`,
  keys: 'Space plays, with Shift with the sound around it. Y, N, S answer; 1 to 9 is another class; U takes the last answer back.',
};
// ------------------------------------------------------------------ Export
export const EXPORT = {
  lede: 'Take it with you. Each way out is compared with this page’s answers before you get it.',
  classifier: 'Classifier',
  emptyTitle: 'No classifier yet',
  emptyText: 'Train one first. Then it leaves as a file, a graph, a web page, or on the hub.',
  cannot: 'The classifiers cannot be read',
  verdict: 'The verdict travels along, so that nobody takes it for more than it is.',
  noVerdict: 'This classifier was not tested, so it has no verdict.',
  /** @type {Object<string, {name: string, what: string, more: string}>} */
  ways: {
    file: { name: 'The file', what: 'For earmark: command line, Python, service. Labels, thresholds, estimate and verdict are in it, and no code.', more: 'It is in the folder already.' },
    onnx: { name: 'ONNX', what: 'One graph from the sound to the scores, for Python without PyTorch, C++, Rust, a Raspberry Pi.', more: 'A program needs onnxruntime, and neither earmark nor PyTorch.' },
    onnx16: { name: 'ONNX, half the size', what: 'The same graph with weights of 16 bits, for small devices and slow lines.', more: 'Scores may differ by up to 0.02.' },
    web: { name: 'A web page', what: 'A folder with a page that listens in any browser. Sound stays with the listener, and no server computes.', more: 'The first time, 33 MB are fetched from npm. Then it works without a network.' },
    push: { name: 'The hub', what: 'Publish it on the Hugging Face Hub, with a model card that has the verdict.', more: 'This leaves your machine. Paths, groups and hashes of your clips are left out. It needs a token: HF_TOKEN, or “hf auth login” in a terminal.' },
  },
  hub: 'huggingface.co',
  noWeb: 'The page is for classifiers of clips, and this one detects events in a stream. Take the ONNX graph.',
  repo: 'Repository',
  repoExample: 'you/name',
  repoFirst: 'Give the repository as owner/name, such as you/birds.',
  licence: 'Licence of the classifier (optional)',
  open: 'Everybody may read it',
  fileCheck: 'This is the classifier itself.',
  making: 'Making it, and comparing it with the classifier …',
  pushing: 'Publishing …',
  waiting: 'It begins when the job before it has ended.',
  failed: 'It failed, and nothing was written.',
  stopped: 'It was stopped, and nothing was written.',
  /** @param {string} address */
  pushed: (address) => `Published: ${address}`,
  leftOut: 'What was left out',
  licences: 'Licences of the networks; LICENSES.txt goes with it',
  /** @param {number} largest @param {number} sounds */
  checked: (largest, sounds) => `${count(sounds, 'sound')} compared: scores differ by ${largest < 1e-6 ? 'less than 0.000001' : `${number(largest, 6)} at most`}.`,
  /** @param {string} when */
  madeAt: (when) => `Made: ${when}. It was compared with the classifier then.`,
  notMade: 'Not made yet.',
  notPushed: 'Not published from here.',
  save: 'Save',
  saveZip: 'Save as ZIP',
  make: 'Make',
  anew: 'Make anew',
  again: 'Try again',
  stop: 'Stop',
  /** @param {string} name */
  stopWhat: (name) => `Stop: ${name}`,
  publish: 'Publish',
  code: 'Use it in ten lines',
  copy: 'Copy',
  copied: 'The program is copied.',
  language: 'Program for',
  /** @type {Object<string, string>} */
  programs: { python: 'Python', shell: 'Terminal', onnx: 'Python, ONNX only', browser: 'Browser' },
  /** @type {Object<string, string>} */
  programHow: {
    python: 'With earmark installed; the same answers as here, to the last digit.',
    shell: 'The last lines answer over HTTP.',
    onnx: 'Needs onnxruntime, soundfile and soxr.',
    browser: 'These modules are in the folder of the web page.',
  },
  labels: 'Events for other tools',
  labelsHow: 'Your labels are in earmark.csv, which every program reads. A detector writes its events in the form of the tool that comes next; copy the command and give your recordings.',
  /** @type {[string, string, string][]} name, what it is, the word for --format */
  formats: [
    ['Raven', 'selection tables, one a recording', 'raven'], ['Audacity', 'label tracks, one a recording', 'audacity'], ['Kaleidoscope', 'one table, for its cluster view', 'kaleidoscope'],
    ['CSV', 'start, end, label and score', 'csv'], ['JSON', 'an object a recording', 'json'], ['Parquet', 'a table for data frames', 'parquet'],
  ],
  copyCommand: 'Copy command',
  /** @param {string} model @param {string} format */
  formatCommand: (model, format) => `earmark detect '${model}' RECORDINGS -o exports/events --format ${format}`,
  all: 'What is in exports/',
  columns: { file: 'file', size: 'size', made: 'made' },
};
// ------------------------------------------------------------------ Editor of long recordings
export const EDITOR = {
  title: 'Long recording',
  opening: 'Opening the recording …',
  cannot: 'This recording cannot be opened',
  /** @param {string} time @param {string} kilohertz @param {number} channels */
  about: (time, kilohertz, channels) => `${time}, ${kilohertz} kHz, ${channels === 1 ? 'one channel' : count(channels, 'channel')}`,
  back: 'All data',
  overview: 'Overview of the whole recording; the arrows move the section',
  /** @param {string} share */
  scanned: (share) => `The overview is a sketch: ${share} of the recording has been gone through. You can begin meanwhile.`,
  lookingThrough: 'Looking through the whole recording for the overview. You can begin meanwhile.',
  /** @param {string} from @param {string} to */
  place: (from, to) => `${from} to ${to}`,
  before: 'Section before',
  after: 'Next section',
  section: 'section',
  whole: 'all of it',
  /** @param {number} n */
  seconds: (n) => `${number(n)} s`,
  view: 'Picture',
  views: { both: 'Both', picture: 'Spectrogram', wave: 'Waveform' },
  side: ['Frequency', 'Waveform'],
  stage: 'Section of the recording',
  fetching: 'Drawing …',
  play: 'Play',
  pause: 'Pause',
  speed: 'speed',
  /** @param {string} factor */
  times: (factor) => `× ${factor}`,
  /** @param {string} at @param {string} all */
  timeOf: (at, all) => `${at} of ${all}`,
  noSound: 'This part cannot be played. The file may have changed; look at it in Doctor.',
  brush: 'New regions are',
  newClass: 'another class',
  newClassName: 'Name of another class for new regions',
  how: 'Drag over the picture to draw a region. Drag it, or its edges, to correct it.',
  keysTitle: 'The same with keys',
  /** @type {[string[], string][]} */
  keys: [
    [['[', ']'], 'set start and end at the playhead'], [['↑', '↓'], 'choose the region before, the next one'], [['←', '→'], 'move the chosen region, or the playhead'], [['Shift', '←', '→'], 'move the end of the region; the playhead in large steps'],
    [[',', '.'], 'move the start of the region'], [['1', '9'], 'give the region its class; new ones get it, too'], [['Enter'], 'play the region'], [['X'], 'remove it'], [['Esc'], 'let go of it'],
    [['Page Up', 'Page Down'], 'section before, next section'], [['+', '−'], 'shorter section, longer section'], [['Home', 'End'], 'begin and end of the recording'],
  ],
  noneChosen: 'No region is chosen. Click one, or press ↓ for the next.',
  noClass: 'no class',
  start: 'start',
  end: 'end',
  playIt: 'Play it',
  findMore: 'Find more like it',
  remove: 'Remove',
  /** @param {string} region */
  removeOf: (region) => `Remove ${region}`,
  /** @param {string} label @param {string} at */
  region: (label, at) => `${label} at ${at}`,
  /** @param {number} n */
  regions: (n) => count(n, 'region'),
  table: 'Regions of the recording',
  columns: { label: 'class', start: 'start', end: 'end', seconds: 'seconds' },
  /** @param {string} label */
  wholeLabel: (label) => `The whole recording has the label “${label}”. Regions get labels of their own.`,
  /** @param {string} at */
  marked: (at) => `A region begins at ${at}. Move on, and press ] at its end.`,
  noStart: 'Press [ at the start of the region first.',
  endBeforeStart: 'The end has to come after the start.',
  /** @param {string} all */
  wrongEnds: (all) => `Give a start and a later end between 0 and ${all}, in seconds or as h:mm:ss.`,
  modelName: 'events',
};
