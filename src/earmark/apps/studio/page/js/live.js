/** The microphone: from permission to a worker that sends, measures and draws. No elements are made here. */

import { token } from './draw.js';

/** @typedef {'unavailable'|'refused'|'missing'|'busy'|'unplugged'|'failed'} Why why there is no sound */
/** @typedef {(kind: string, value: any) => void} Tell */
/** @typedef {import('./live-scope.js').Lane} Lane */

/** There is no sound, and why. */
export class NoSound extends Error {
  /** @param {Why} why @param {string} [detail] */
  constructor(why, detail = '') {
    super(detail || why);
    this.why = why;
  }
}

/** @type {Object<string, Why>} */
const REASONS = { NotAllowedError: 'refused', SecurityError: 'refused', NotFoundError: 'missing', OverconstrainedError: 'missing', NotReadableError: 'busy', AbortError: 'busy' };

/** Whether the microphone may be used without a question. */
export async function isAllowed() {
  try {
    const name = /** @type {PermissionName} */ ('microphone');
    return (await navigator.permissions.query({ name })).state === 'granted';
  } catch {
    return false;
  }
}

/** The microphones; their names are empty until one is allowed. @returns {Promise<MediaDeviceInfo[]>} */
export async function microphones() {
  const all = await (navigator.mediaDevices?.enumerateDevices() ?? Promise.resolve([]));
  return all.filter(({ kind, deviceId }) => kind === 'audioinput' && deviceId !== 'default' && deviceId !== 'communications');
}

/** @param {string} device its id, or an empty text for the usual one */
async function openStream(device) {
  if (!navigator.mediaDevices?.getUserMedia || !window.AudioWorkletNode) throw new NoSound('unavailable');
  try {
    return await navigator.mediaDevices.getUserMedia({
      // as it is: what is made for calls would change the sound that the classifier knows
      audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false, ...(device ? { deviceId: { exact: device } } : {}) },
    });
  } catch (error) {
    const { name, message } = /** @type {Error} */ (error);
    throw new NoSound(REASONS[name] ?? 'failed', message);
  }
}

/** A context at the device's own rate, or at the system's where a browser cannot do that. @param {MediaStream} stream */
function contextOf(stream) {
  const sampleRate = stream.getAudioTracks()[0].getSettings().sampleRate;
  for (const options of sampleRate ? [{ sampleRate }, {}] : [{}]) {
    const context = new AudioContext({ latencyHint: 'interactive', ...options });
    try {
      return { context, source: context.createMediaStreamSource(stream) };
    } catch {
      context.close();
    }
  }
  throw new NoSound('failed', 'This browser gives no sound of the microphone to pages.');
}

/** The colours and the language that the worker draws with. @param {boolean} isNarrow @returns {import('./live-scope.js').Look} */
export const lookNow = (isNarrow) => ({
  inks: [0, 1, 2, 3, 4, 5].map((k) => token(`--s${k}`)), grid: token('--grid'), soft: token('--soft'), rule: token('--rule'), paper: token('--paper'),
  unknown: token('--unknown'), rec: token('--rec'), font: token('--font'), language: navigator.language, isNarrow, isCalm: matchMedia('(prefers-reduced-motion: reduce)').matches,
});

/** Sound from the microphone to the server and back, until `close`. */
export class Live {
  /** @param {Tell} tell what the worker tells, and `unplugged` */
  constructor(tell) {
    this.tell = tell;
    this.worker = new Worker(new URL('./live-worker.js', import.meta.url), { type: 'module' });
    this.worker.addEventListener('message', ({ data }) => this.hear(data));
    /** @type {MediaStream|null} */
    this.stream = null;
    /** @type {AudioContext|null} */
    this.context = null;
    /** @type {AudioWorkletNode|null} */
    this.node = null;
    /** @type {Map<number, (cut: {rate: number, samples: Int16Array|null}) => void>} */
    this.cuts = new Map();
    this.asked = 0;
    this.isOver = false;
  }

  /**
   * Open the microphone and begin; NoSound if there is none.
   * @param {{device: string, model: string, picture: HTMLCanvasElement, tracks: HTMLCanvasElement}} choices
   */
  async open({ device, model, picture, tracks }) {
    const stream = await openStream(device);
    const [track] = stream.getAudioTracks();
    this.stream = stream;
    if (this.isOver) return this.close();
    const { context, source } = contextOf(stream);
    this.context = context;
    await context.audioWorklet.addModule(new URL('./live-worklet.js', import.meta.url));
    if (this.isOver) return this.close();
    const node = new AudioWorkletNode(context, 'capture', { numberOfOutputs: 0 });
    const { port1, port2 } = new MessageChannel();
    const surfaces = [picture.transferControlToOffscreen(), tracks.transferControlToOffscreen()];
    const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
    const address = `${scheme}://${location.host}/api/live?model=${encodeURIComponent(model)}`;
    this.worker.postMessage({ do: 'start', picture: surfaces[0], tracks: surfaces[1], port: port2, rate: context.sampleRate, address }, [...surfaces, port2]);
    node.port.postMessage({ port: port1 }, [port1]);
    source.connect(node);
    this.node = node;
    track.addEventListener('ended', () => { if (!this.isOver) this.tell('unplugged', null); });
    await context.resume();
    return { rate: context.sampleRate, name: track.label, device: track.getSettings().deviceId ?? '' };
  }

  /** Whether the browser waits for a press before it gives sound. */
  get isHeld() {
    return this.context?.state === 'suspended';
  }

  /** @param {{kind: string, value: any}} message */
  hear({ kind, value }) {
    if (kind !== 'cut') {
      this.tell(kind, value);
      return;
    }
    this.cuts.get(value.id)?.(value);
    this.cuts.delete(value.id);
  }

  /** @param {Object<string, unknown>} message */
  ask(message) {
    this.worker.postMessage(message, []);
  }

  /** A stretch of the last minute; samples are null if it is gone. @param {number} start @param {number} end @returns {Promise<{rate: number, samples: Int16Array|null}>} */
  cut(start, end) {
    const id = this.asked++;
    return new Promise((done) => {
      this.cuts.set(id, done);
      this.ask({ do: 'cut', id, start, end });
    });
  }

  async pause() {
    await this.context?.suspend();
    this.ask({ do: 'pause' });
  }

  async resume() {
    this.ask({ do: 'resume' });
    await this.context?.resume();
  }

  /** End everything, and free the microphone. */
  close() {
    this.isOver = true;
    this.node?.port.postMessage({ isOver: true }, []);
    this.stream?.getTracks().forEach((track) => track.stop());
    if (this.context?.state !== 'closed') this.context?.close();
    this.ask({ do: 'stop' });
    setTimeout(() => this.worker.terminate(), 500); // time to say good-bye to the server
    return null;
  }
}
