/** A file that never leaves the page: decoded here, drawn and played without the server. */

import { Spectrum, topOf } from './live-spectrum.js';

/** @typedef {import('./types.js').Picture} Picture */

const ROWS = 160;
const COLUMNS = 1000;
const LEAST_HOP_S = 0.004;
const TURN_MS = 12; // of computing before the page may do something else
const MOST_BYTES = 200e6;

/** @param {AudioBuffer} sound @returns {Float32Array} the mean of the channels */
function mono(sound) {
  const out = new Float32Array(sound.length);
  for (let c = 0; c < sound.numberOfChannels; c++) {
    const channel = sound.getChannelData(c);
    for (let k = 0; k < out.length; k++) out[k] += channel[k] / sound.numberOfChannels;
  }
  return out;
}

/** Read a file with the browser's decoder; null if it cannot. @param {File} file */
export async function readSound(file) {
  if (file.size > MOST_BYTES) return null;
  try {
    return await new OfflineAudioContext(1, 1, 44_100).decodeAudioData(await file.arrayBuffer());
  } catch {
    return null;
  }
}

/** The picture of a sound, computed without keeping the page from anything else. @param {AudioBuffer} sound @returns {Promise<Picture>} */
export async function pictureOf(sound) {
  const samples = mono(sound), rate = sound.sampleRate, hopS = Math.max(LEAST_HOP_S, sound.duration / COLUMNS);
  /** @type {Uint8Array[]} */
  const made = [];
  const spectrum = new Spectrum(rate, ROWS, hopS);
  const piece = Math.max(1, Math.round(hopS * rate));
  let since = performance.now();
  for (let from = 0; from < samples.length; from += piece) {
    spectrum.feed(samples.subarray(from, from + piece), 1, (levels) => made.push(levels));
    if (performance.now() - since > TURN_MS) {
      await new Promise((done) => { setTimeout(done); });
      since = performance.now();
    }
  }
  const columns = Math.max(1, made.length), levels = new Uint8Array(columns * ROWS);
  made.forEach((column, x) => { for (let y = 0; y < ROWS; y++) levels[y * columns + x] = column[y]; });
  return { levels, columns, rows: ROWS, seconds: sound.duration, topHz: topOf(rate), start: 0 };
}

/** Play a sound; the answer ends it. @param {AudioBuffer} sound @param {(share: number) => void} onprogress @param {() => void} onend */
export function playSound(sound, onprogress, onend) {
  const context = new AudioContext(), source = context.createBufferSource();
  let frame = 0;
  source.buffer = sound;
  source.connect(context.destination);
  const from = context.currentTime;
  const follow = () => {
    onprogress(Math.min(1, (context.currentTime - from) / sound.duration));
    frame = requestAnimationFrame(follow);
  };
  source.addEventListener('ended', () => {
    cancelAnimationFrame(frame);
    context.close();
    onend();
  });
  source.start();
  follow();
  return () => source.stop();
}
