/** The microphone as 16-bit samples at the device's own rate, and takes: pieces that are uploaded while they are recorded. */

import { ApiError, appendUpload, beginUpload, dropUpload, finishUpload } from './api.js';
import { contextOf, MicrophoneError, openStream } from './microphone.js';

/** @typedef {import('./types.js').Clip} Clip */
/** @typedef {{samples: Int16Array, peak: number}} Chunk */
/** @typedef {{rate: number, name: string, close(): void}} Microphone */

const PATIENCE_MS = 2500; // without a chunk: the device is gone

/**
 * Open the microphone without echo, noise or gain control; chunks come until close() or onlost().
 * @param {{device?: string, onchunk: (chunk: Chunk) => void, onlost: () => void}} options
 * @returns {Promise<Microphone>} MicrophoneError if there is none
 */
export async function openMicrophone({ device, onchunk, onlost }) {
  const stream = await openStream(device ?? ''), [track] = stream.getAudioTracks(), { context, source } = contextOf(stream);
  let heard = performance.now(), isOpen = true;
  const close = () => {
    if (!isOpen) return;
    isOpen = false;
    clearInterval(watch);
    track.stop();
    context.close();
  };
  const lose = () => {
    if (!isOpen) return;
    close();
    onlost();
  };
  const watch = setInterval(() => { if (performance.now() - heard > PATIENCE_MS && document.visibilityState === 'visible') lose(); }, 500);
  track.addEventListener('ended', lose);
  try {
    await context.audioWorklet.addModule('/static/js/recorder-worklet.js');
    const node = new AudioWorkletNode(context, 'recorder', { numberOfOutputs: 0 });
    node.port.addEventListener('message', ({ data }) => {
      heard = performance.now();
      if (isOpen) onchunk(data);
    });
    node.port.start();
    source.connect(node);
    await context.resume();
    heard = performance.now();
  } catch {
    close();
    throw new MicrophoneError('busy');
  }
  return { rate: context.sampleRate, name: track.label, close };
}

/** @param {number} ms */
const sleep = (ms) => new Promise((done) => { setTimeout(done, ms); });
const SEND_S = 0.25; // seconds of sound in a part of an upload
const PART_SAMPLES = 1 << 18; // the most in a part: 512 KB

const PASSING = new Set([0, 401, 403, 429, 502, 503]); // no answer, or none to this page yet

/** @typedef {'sending'|'waiting'|'kept'|'failed'} PieceState */

/** One piece on its way to the folder. Its samples stay in the page until the folder has them. */
export class Piece {
  /** @type {Int16Array[]} */
  chunks = [];
  /** @type {PieceState} */
  state = 'sending';
  /** @type {ApiError|null} */
  error = null;
  /** @type {Clip|null} */
  clip = null;
  /** The id of the upload once it is whole: a piece that is only tried is no clip. */
  upload = '';
  samples = 0;
  isEnded = false;
  isDropped = false;
  /** @type {string[]} uploads of which an ended studio may have kept what had come */
  #lost = [];
  #wake = () => {};
  #sent = 0;

  /** @param {import('./api.js').About} about @param {(piece: Piece) => void} tell */
  constructor(about, tell) {
    this.about = about;
    this.tell = tell;
    this.finished = this.#run();
  }

  /** @param {Int16Array} samples */
  push(samples) {
    this.chunks.push(samples);
    this.samples += samples.length;
    this.#wake();
  }

  end() {
    this.isEnded = true;
    this.#wake();
  }

  /** Forget it: too short to be a piece. */
  drop() {
    this.isDropped = true;
    this.end();
  }

  /** Send a failed piece once more. */
  again() {
    if (this.state !== 'failed') return;
    this.finished = this.#run();
  }

  /** @param {PieceState} state */
  #set(state) {
    if (this.state === state) return;
    this.state = state;
    this.tell(this);
  }

  /** @returns {Promise<void>} */
  async #run() {
    this.#set('sending');
    this.error = null;
    for (let tries = 0; ; tries++) {
      let upload = '';
      try {
        this.#sent = 0;
        upload = await this.#patiently(() => beginUpload(this.about));
        await this.#send(upload);
        if (this.isDropped) { dropUpload(upload); return; }
        const { clip } = await this.#patiently(() => finishUpload(upload));
        this.clip = clip;
        this.upload = upload;
        this.chunks = [];
        for (const old of this.#lost.splice(0)) dropUpload(old);
        this.#set('kept');
        return;
      } catch (error) {
        const { status } = /** @type {ApiError} */ (error);
        if (upload && status === 404) this.#lost.push(upload);
        else if (upload) dropUpload(upload);
        if ([404, 409, 422].includes(status) && tries < 2) continue; // the server began anew: all samples are still here
        this.error = /** @type {ApiError} */ (error);
        this.#set('failed');
        return;
      }
    }
  }

  /** Send what has come, until the piece has ended. @param {string} upload */
  async #send(upload) {
    const least = SEND_S * (this.about.rate_hz ?? 48000);
    for (;;) {
      while (!this.isEnded && this.samples - this.#sent < least) await new Promise((done) => { this.#wake = () => done(null); });
      if (this.isDropped || this.#sent === this.samples) return;
      const part = this.#from(this.#sent, Math.min(this.samples - this.#sent, PART_SAMPLES));
      await this.#patiently(() => appendUpload(upload, 2 * this.#sent, /** @type {ArrayBuffer} */ (part.buffer)));
      this.#sent += part.length;
    }
  }

  /** @param {number} first @param {number} length */
  #from(first, length) {
    const part = new Int16Array(length);
    let begin = 0;
    for (const chunk of this.chunks) {
      const from = Math.max(first - begin, 0), to = Math.min(first + length - begin, chunk.length);
      if (to > from) part.set(chunk.subarray(from, to), begin + from - first);
      begin += chunk.length;
    }
    return part;
  }

  /** Ask until the server answers; it may be on its way back. @template T @param {() => Promise<T>} question @returns {Promise<T>} */
  async #patiently(question) {
    for (let wait = 500; ; wait = Math.min(2 * wait, 5000)) {
      try {
        const answer = await question();
        this.#set('sending');
        return answer;
      } catch (error) {
        if (!(error instanceof ApiError) || !PASSING.has(error.status)) throw error;
        this.error = error;
        this.#set('waiting');
        await sleep(wait);
      }
    }
  }
}

const LEAST_S = 1; // shorter pieces are no clips

/** "20261127-052310": when a take began, which also groups its pieces. @param {Date} now */
const stamp = (now) => [now.getFullYear(), now.getMonth() + 1, now.getDate(), '-', now.getHours(), now.getMinutes(), now.getSeconds()].map((v) => String(v).padStart(v === '-' ? 1 : 2, '0')).join('');

/** Pieces from one press, cut from the sound without a gap. */
export class Take {
  /** @type {Piece[]} */
  pieces = [];
  isOver = false;

  /**
   * @param {{label: string|null, count: number, seconds: number, rate: number, purpose?: 'keep'|'try'}} plan count may be Infinity
   * @param {{onpiece: (piece: Piece) => void, onover: () => void}} hears
   */
  constructor(plan, hears) {
    this.plan = plan;
    this.hears = hears;
    this.name = stamp(new Date());
  }

  /** Seconds of the present piece. */
  get second() { return (this.pieces.at(-1)?.samples ?? 0) / this.plan.rate; }

  /** @param {Int16Array} samples */
  feed(samples) {
    const length = Math.round(this.plan.seconds * this.plan.rate);
    while (samples.length && !this.isOver) {
      const last = this.pieces.at(-1), piece = !last || last.isEnded ? this.#begin() : last, part = samples.subarray(0, length - piece.samples);
      piece.push(part.length === samples.length ? part : part.slice());
      samples = samples.subarray(part.length);
      if (piece.samples < length) continue;
      piece.end();
      if (this.pieces.length >= this.plan.count) this.#over();
    }
  }

  /** End early; the present piece is kept if it is long enough, or all is. @param {boolean} [keepsAll] @returns {boolean} whether a piece was too short to keep */
  stop(keepsAll = false) {
    const last = this.pieces.at(-1), isShort = Boolean(!keepsAll && last && !last.isEnded && last.samples < LEAST_S * this.plan.rate);
    if (last && isShort) {
      last.drop();
      this.pieces.pop();
    } else last?.end();
    this.#over();
    return isShort;
  }

  #begin() {
    const { label, rate, purpose = 'keep' } = this.plan, name = `${this.name}-${this.pieces.length + 1}.wav`;
    const piece = new Piece({ kind: 'pcm', name, label, take: this.name, rate_hz: rate, purpose }, this.hears.onpiece);
    this.pieces.push(piece);
    this.hears.onpiece(piece);
    return piece;
  }

  #over() {
    if (this.isOver) return;
    this.isOver = true;
    this.hears.onover();
  }
}
