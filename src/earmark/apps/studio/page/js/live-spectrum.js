/** Spectra of live sound: samples become columns of levels on the mel scale. */

const WINDOW_S = 0.04;
const FLOOR_DB = -100;
const RANGE = 140; // of level bytes, from silence to the loudest: 55 dB
const TOP_HZ = 16_000; // microphones seldom hear more

/** @param {number} hertz */
const mel = (hertz) => Math.log1p(hertz / 700);

/** The highest frequency that is drawn of sound of a rate. @param {number} rate */
export const topOf = (rate) => Math.min(rate / 2, TOP_HZ);

/** The share of the height below a frequency, 0 to 1. @param {number} hertz @param {number} top */
export const shareOf = (hertz, top) => mel(hertz) / mel(top);

/** A Fourier transform of a fixed, even size, in place. */
class Fourier {
  /** @param {number} size a power of 2 */
  constructor(size) {
    this.size = size;
    this.cos = Float32Array.from({ length: size / 2 }, (_, k) => Math.cos((2 * Math.PI * k) / size));
    this.sin = Float32Array.from({ length: size / 2 }, (_, k) => -Math.sin((2 * Math.PI * k) / size));
    const bits = Math.log2(size);
    this.reversed = Uint32Array.from({ length: size }, (_, k) => {
      let out = 0;
      for (let b = 0; b < bits; b++) if (k & (1 << b)) out |= 1 << (bits - 1 - b);
      return out;
    });
  }

  /** @param {Float32Array} re @param {Float32Array} im */
  run(re, im) {
    const { size, reversed, cos, sin } = this;
    for (let k = 0; k < size; k++) {
      const r = reversed[k];
      if (r > k) {
        [re[k], re[r]] = [re[r], re[k]];
        [im[k], im[r]] = [im[r], im[k]];
      }
    }
    for (let half = 1; half < size; half *= 2) {
      const step = size / (2 * half);
      for (let base = 0; base < size; base += 2 * half) {
        for (let k = 0; k < half; k++) {
          const c = cos[k * step];
          const s = sin[k * step];
          const a = base + k;
          const b = a + half;
          const x = re[b] * c - im[b] * s;
          const y = re[b] * s + im[b] * c;
          re[b] = re[a] - x;
          im[b] = im[a] - y;
          re[a] += x;
          im[a] += y;
        }
      }
    }
  }
}

/** Turns samples, as they come, into columns of levels: a byte a row, the highest row first. */
export class Spectrum {
  /**
   * @param {number} rate samples a second
   * @param {number} rows of a column
   * @param {number} hopS seconds from one column to the next
   */
  constructor(rate, rows, hopS) {
    this.rows = rows;
    this.size = 2 ** Math.max(5, Math.round(Math.log2(WINDOW_S * rate)));
    this.hop = Math.max(1, Math.round(hopS * rate));
    this.fourier = new Fourier(this.size);
    this.taper = Float32Array.from({ length: this.size }, (_, k) => 0.5 - 0.5 * Math.cos((2 * Math.PI * (k + 0.5)) / this.size));
    this.re = new Float32Array(this.size);
    this.im = new Float32Array(this.size);
    this.power = new Float32Array(this.size / 2);
    this.kept = new Float32Array(this.size);
    this.due = this.hop;
    const top = topOf(rate);
    const edge = (/** @type {number} */ y) => 700 * Math.expm1(mel(top) * y);
    const bins = this.size / rate;
    this.bands = Array.from({ length: rows }, (_, y) => {
      const share = 1 - (y + 0.5) / rows;
      return { from: edge(share - 0.5 / rows) * bins, to: edge(share + 0.5 / rows) * bins };
    });
  }

  /**
   * Take samples of full scale 1; give each new column to `take`.
   * @param {ArrayLike<number>} samples
   * @param {number} full the value of full scale
   * @param {(levels: Uint8Array) => void} take
   */
  feed(samples, full, take) {
    let from = 0;
    while (from < samples.length) {
      const count = Math.min(this.due, samples.length - from, this.size);
      this.kept.copyWithin(0, count);
      for (let k = 0; k < count; k++) this.kept[this.size - count + k] = samples[from + k] / full;
      from += count;
      this.due -= count;
      if (this.due === 0) {
        take(this.column());
        this.due = this.hop;
      }
    }
  }

  /** @returns {Uint8Array} levels of the latest window: 0 is -100 dB and less, 255 is full scale */
  column() {
    const { size, re, im, power, kept, taper } = this;
    for (let k = 0; k < size; k++) re[k] = kept[k] * taper[k];
    im.fill(0);
    this.fourier.run(re, im);
    const scale = 16 / (size * size); // a full sine has power 1
    for (let k = 0; k < size / 2; k++) power[k] = (re[k] * re[k] + im[k] * im[k]) * scale;
    return Uint8Array.from(this.bands, ({ from, to }) => {
      const db = 10 * Math.log10(this.band(from, to) + 1e-12);
      return Math.max(0, Math.min(255, Math.round(255 * (1 - db / FLOOR_DB))));
    });
  }

  /** The loudest bin of a band, or what lies between two bins. @param {number} from @param {number} to */
  band(from, to) {
    const { power } = this;
    const last = power.length - 1;
    if (to - from < 1.5) {
      const at = Math.min(last - 0.001, (from + to) / 2);
      const low = Math.floor(at);
      return power[low] * (1 - at + low) + power[low + 1] * (at - low);
    }
    let most = 0;
    for (let k = Math.ceil(from); k <= Math.min(last, to); k++) if (power[k] > most) most = power[k];
    return most;
  }
}

/** Blackness of a level byte of `column`, 0 to 255, for sound whose loudest is `loudest`. */
export class Gain {
  constructor() {
    this.loudest = RANGE;
  }

  /** Follow the sound: up at once, down by a few dB a minute. @param {Uint8Array} levels */
  follow(levels) {
    let most = 0;
    for (const level of levels) if (level > most) most = level;
    this.loudest = Math.max(RANGE, most, this.loudest - 0.004);
  }

  /** @param {number} level */
  shade(level) {
    const x = (level - this.loudest + RANGE) / RANGE;
    return x <= 0 ? 0 : x >= 1 ? 255 : Math.round(255 * x ** 1.5);
  }
}
