/** Live sound: from the microphone to a worker that sends, measures and draws. No elements are made here. */

import { token } from './draw.js';
import { contextOf, openStream } from './microphone.js';

/** @typedef {(kind: string, value: any) => void} Tell */
/** @typedef {import('./live-scope.js').Lane} Lane */

/** The colours and the language that the worker draws with. @param {boolean} isNarrow @returns {import('./live-scope.js').Look} */
export const lookNow = (isNarrow) => ({
  inks: [0, 1, 2, 3, 4, 5].map((k) => token(`--s${k}`)), grid: token('--grid'), soft: token('--soft'), rule: token('--rule'), paper: token('--paper'),
  unknown: token('--unknown'), rec: token('--rec'), font: token('--font'), language: navigator.language, isNarrow, isCalm: matchMedia('(prefers-reduced-motion: reduce)').matches,
});

/** Sound from the microphone to the server and back, until `close`. */
export class Live {
  /** @param {Tell} tell what the worker tells, and `lost` */
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
   * Open the microphone and begin; MicrophoneError if there is none.
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
    track.addEventListener('ended', () => { if (!this.isOver) this.tell('lost', null); });
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
