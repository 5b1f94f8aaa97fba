/** Reads recordings, and changes the sample rate. */

const MOST_BYTES = 200e6;
const MOST_SECONDS = 600;
const TAPS = 16; // zero crossings of the resampler's sinc on each side

/** Returns a file's samples (n,) at `rate`, mixed to mono as in training. */
export async function readFile(file, rate, options) {
  if (file.size > MOST_BYTES) throw new Error("It has more than 200 MB. Cut it into pieces.");
  const bytes = await file.arrayBuffer();
  const isFloat = hasFloatSamples(new DataView(bytes));
  let buffer;
  try {
    // A context of the classifier's rate: the browser's decoder resamples to it.
    buffer = await new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes);
  } catch {
    throw new Error("This browser cannot read it as audio. Convert it to WAV.");
  }
  if (buffer.duration > MOST_SECONDS) {
    throw new Error("It is longer than 10 minutes. Cut it into clips.");
  }
  const channels = Array.from({ length: buffer.numberOfChannels }, (_, c) => buffer.getChannelData(c));
  return mix(channels, options?.channel, isFloat ? options?.full_scale : 1);
}

/** Mixes channels to their mean, or takes one, counted from 1; divides by the full scale. */
export function mix(channels, channel, fullScale) {
  if (channel > channels.length) {
    throw new Error(`It has no channel ${channel}, which this classifier reads.`);
  }
  const used = channel ? [channels[channel - 1]] : channels;
  const scale = 1 / (used.length * (fullScale || 1));
  const mono = new Float32Array(used[0].length);
  for (const samples of used) for (let i = 0; i < mono.length; i++) mono[i] += samples[i];
  if (scale !== 1) for (let i = 0; i < mono.length; i++) mono[i] *= scale;
  return mono;
}

/** Says whether a file is a WAV of floats, the only samples with a full scale of their own. */
function hasFloatSamples(view) {
  if (view.byteLength < 46 || view.getUint32(0) !== 0x52494646) return false; // "RIFF"
  for (let at = 12; at + 34 <= view.byteLength;) {
    if (view.getUint32(at) === 0x666d7420) { // "fmt "
      const format = view.getUint16(at + 8, true);
      return (format === 0xfffe ? view.getUint16(at + 32, true) : format) === 3;
    }
    at += 8 + view.getUint32(at + 4, true) + (view.getUint32(at + 4, true) & 1);
  }
  return false;
}

/** Resamples by a windowed sinc. Used where a browser cannot record at the classifier's rate. */
export function resample(samples, from, to) {
  if (from === to) return samples.slice();
  const cutoff = Math.min(1, to / from) * 0.95;
  const reach = TAPS / cutoff;
  const out = new Float32Array(Math.max(1, Math.round(samples.length * to / from)));
  for (let i = 0; i < out.length; i++) {
    const at = i * from / to;
    let sum = 0;
    const last = Math.min(samples.length - 1, Math.floor(at + reach));
    for (let j = Math.max(0, Math.ceil(at - reach)); j <= last; j++) {
      const x = (j - at) * Math.PI;
      const sinc = x === 0 ? cutoff : Math.sin(x * cutoff) / x;
      sum += samples[j] * sinc * (0.5 + 0.5 * Math.cos(x / reach));
    }
    out[i] = sum;
  }
  return out;
}

/** Keeps the last `size` samples of a stream. */
export class Ring {
  constructor(size) {
    this.samples = new Float32Array(size);
    this.count = 0; // samples written so far
  }

  write(block) {
    const size = this.samples.length;
    const kept = block.length > size ? block.subarray(block.length - size) : block;
    this.count += block.length - kept.length;
    const at = this.count % size;
    const head = Math.min(kept.length, size - at);
    this.samples.set(kept.subarray(0, head), at);
    this.samples.set(kept.subarray(head), 0);
    this.count += kept.length;
  }

  /** Returns a copy of the last `n` samples, or of all if there are fewer. */
  last(n) {
    const size = this.samples.length;
    const length = Math.min(n, this.count, size);
    const out = new Float32Array(length);
    const at = (this.count - length) % size;
    const head = Math.min(length, size - at);
    out.set(this.samples.subarray(at, at + head));
    out.set(this.samples.subarray(0, length - head), head);
    return out;
  }
}
