/** Hands the microphone's samples on in blocks. It computes nothing else: it must never be late. */

const BLOCK_S = 0.032;
const FULL = 32767;

/**
 * A block of sound as it leaves the audio thread.
 * @typedef {{number: number, first: number, at: number, samples: Int16Array}} Block
 *   number counts blocks from 0; first is the number of its first sample since the start;
 *   at is the time of its last sample, in ms since 1970.
 */

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    /** @type {MessagePort | null} */
    this.out = null;
    this.size = Math.round((BLOCK_S * sampleRate) / 128) * 128;
    this.samples = new Int16Array(this.size);
    this.filled = 0;
    this.number = 0;
    this.isOver = false;
    this.port.addEventListener('message', ({ data }) => {
      if (data.port) this.out = data.port;
      if (data.isOver) this.isOver = true;
    });
    this.port.start();
  }

  /**
   * @param {Float32Array[][]} inputs
   * @returns {boolean} whether the node stays
   */
  process(inputs) {
    const channels = inputs[0];
    if (this.isOver) return false;
    if (!this.out || !channels.length) return true;
    const count = channels.length;
    for (let i = 0; i < channels[0].length; i++) {
      let sum = 0;
      for (const channel of channels) sum += channel[i];
      const x = sum / count;
      this.samples[this.filled++] = FULL * (x > 1 ? 1 : x < -1 ? -1 : x);
      if (this.filled === this.size) this.flush();
    }
    return true;
  }

  flush() {
    const { samples, number, size } = this;
    this.out?.postMessage({ number, first: number * size, at: Date.now(), samples }, [samples.buffer]);
    this.samples = new Int16Array(size);
    this.filled = 0;
    this.number++;
  }
}

registerProcessor('capture', Capture);
