/** Hands the microphone's samples to the page. It computes nothing: it must never be late. */
const BLOCK = 1024;

class Capture extends AudioWorkletProcessor {
  #block = new Float32Array(BLOCK);
  #filled = 0;
  #channel;

  constructor({ processorOptions }) {
    super();
    this.#channel = processorOptions.channel;
  }

  process([channels]) {
    if (!channels.length) return true;
    const used = channels[this.#channel - 1] ? [channels[this.#channel - 1]] : channels;
    for (let i = 0; i < used[0].length; i++) {
      let sum = 0;
      for (const samples of used) sum += samples[i];
      this.#block[this.#filled++] = sum / used.length;
      if (this.#filled === BLOCK) {
        this.port.postMessage(this.#block, [this.#block.buffer]);
        this.#block = new Float32Array(BLOCK);
        this.#filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("capture", Capture);
