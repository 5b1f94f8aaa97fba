/** Takes what the microphone gives as 16-bit samples of one channel, in chunks, with their loudest value. */

const CHUNK = 2048; // samples: 43 ms at 48 kHz

class Recorder extends AudioWorkletProcessor {
  chunk = new Int16Array(CHUNK);
  filled = 0;
  peak = 0;

  /** @param {Float32Array[][]} inputs @returns {boolean} */
  process(inputs) {
    const channels = inputs[0];
    for (let i = 0; i < (channels[0]?.length ?? 0); i++) {
      let value = 0;
      for (const channel of channels) value += channel[i] / channels.length;
      this.peak = Math.max(this.peak, Math.abs(value));
      this.chunk[this.filled++] = Math.round(32767 * Math.max(-1, Math.min(1, value)));
      if (this.filled === CHUNK) this.send();
    }
    return true;
  }

  send() {
    const { chunk, peak } = this;
    this.port.postMessage({ samples: chunk, peak }, [chunk.buffer]);
    this.chunk = new Int16Array(CHUNK);
    this.filled = 0;
    this.peak = 0;
  }
}

registerProcessor('recorder', Recorder);
