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
  noDetector: 'This classifier learned from clips, so many of its events in a stream will be false. Switch on “in long sound” in Train to make a detector.',
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
  /** @type {Object<string, {title: string, text: string}>} */
  noSound: {
    unavailable: { title: 'This browser gives no microphone to this address', text: 'Browsers give it to 127.0.0.1, localhost and addresses with https only. Open the studio by one of them, or try a file.' },
    refused: { title: 'This page may not listen', text: 'The microphone was refused. Allow it in the address bar (the sign at its left), then ask again; or try a file.' },
    missing: { title: 'There is no microphone', text: 'Connect one, or switch it on in the settings of the system. Then ask again; or try a file.' },
    busy: { title: 'The microphone is in use', text: 'Another program holds it. Close that program and ask again; or choose another microphone.' },
    unplugged: { title: 'The microphone is gone', text: 'It was unplugged or switched off. What was heard stays in the list. Connect it, or choose another one, and ask again.' },
    failed: { title: 'The microphone cannot be used', text: 'The browser says:' },
  },
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
  lede: 'Search hours of recordings with one example.',
  comingTitle: 'This screen comes with a later version',
  comingText: 'It will find more of a sound in recordings that nobody has listened to:',
  /** @type {[string, string][]} */
  steps: [
    ['Choose one example.', 'A clip of your data, or a stretch of a long recording.'],
    ['Answer a dozen.', 'The most similar sounds come with players: yes, no, or skip. Each round learns from your answers.'],
    ['See how many there are.', 'An estimate of how often it occurs, and when; then train from what was found.'],
  ],
  now: 'What works today',
  nowText: 'A detector goes through a folder of long recordings and writes an event a line. Correct its events in Data, and train again.',
  /** @param {string} folder */
  command: (folder) => `earmark detect DETECTOR.earmark '${folder}'`,
  train: 'Train a detector',
  data: 'Label a long recording',
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
  notCopied: 'The browser does not let the page copy. Select the text and copy it.',
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
