/** The way of live sound to the server and back: no block is dropped unless the server is long gone. */

const STEP_S = 0.08; // sound that the server scores at once
const AHEAD_S = 10; // sound that may wait for the server
const PAUSES_S = [0.5, 1, 2, 4, 8];

/** @typedef {{number: number, first: number, at: number, samples: Int16Array}} Block */
/** @typedef {{start: number, end: number}} Stretch seconds since the start of listening */
/**
 * What a link tells:
 * `ready` with what the server says of the classifier, `scores` and `event` with times since the
 * start of listening, `gone` with the seconds to the next try, `refused` with a sentence,
 * `lost` with a stretch that was dropped.
 * @typedef {(kind: string, value: any) => void} Tell
 */

export class Link {
  /** @param {string} address @param {number} rate @param {Tell} tell */
  constructor(address, rate, tell) {
    this.address = `${address}&rate=${rate}&channels=1&format=s16le&step=${STEP_S}`;
    this.rate = rate;
    this.tell = tell;
    /** @type {WebSocket | null} */
    this.socket = null;
    /** @type {Block[]} */
    this.waiting = [];
    this.sent = 0;
    this.lost = 0;
    this.next = -1; // the number of the block that has to follow
    this.first = -1; // the sample at the server's second 0
    this.tries = 0;
    this.timer = 0;
    this.isWanted = false;
  }

  /** Seconds of sound that the server has not got yet. */
  get behindS() {
    const held = this.waiting.reduce((sum, { samples }) => sum + samples.length, 0);
    return (held + (this.socket?.bufferedAmount ?? 0) / 2) / this.rate;
  }

  open() {
    this.isWanted = true;
    clearTimeout(this.timer);
    const socket = new WebSocket(this.address);
    socket.binaryType = 'arraybuffer';
    this.socket = socket;
    this.first = -1;
    socket.addEventListener('open', () => this.flush());
    socket.addEventListener('message', ({ data }) => {
      if (socket === this.socket) this.hear(JSON.parse(data));
    });
    socket.addEventListener('close', () => {
      if (socket === this.socket) this.fail();
    });
  }

  /** End the stream: what was sent is answered, and nothing is sent any more. */
  close() {
    this.isWanted = false;
    clearTimeout(this.timer);
    this.waiting = [];
    this.next = -1;
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ type: 'end' }));
    else {
      this.socket?.close();
      this.socket = null;
    }
  }

  /** @param {Block} block */
  take(block) {
    if (!this.isWanted) return;
    this.waiting.push(block);
    this.flush();
    const most = AHEAD_S * this.rate;
    while (this.waiting.length * block.samples.length > most) {
      const old = /** @type {Block} */ (this.waiting.shift());
      this.lost++;
      const start = old.first / this.rate;
      this.tell('lost', { start, end: start + old.samples.length / this.rate });
    }
  }

  flush() {
    const { socket, waiting } = this;
    if (socket?.readyState !== WebSocket.OPEN) return;
    while (waiting.length && socket.bufferedAmount < AHEAD_S * this.rate) {
      if (this.first < 0) this.first = waiting[0].first;
      else if (waiting[0].number !== this.next) {
        this.restart(); // the server counts samples, so what follows a gap needs a stream of its own
        return;
      }
      const block = /** @type {Block} */ (waiting.shift());
      socket.send(/** @type {ArrayBuffer} */ (block.samples.buffer));
      this.next = block.number + 1;
      this.sent++;
    }
  }

  restart() {
    const old = this.socket;
    this.open();
    old?.close();
  }

  /** @param {any} message */
  hear(message) {
    const offset = Math.max(0, this.first) / this.rate;
    if (message.type === 'ready') {
      this.tries = 0;
      this.tell('ready', message);
    } else if (message.type === 'scores' || message.type === 'event') {
      this.tell(message.type, { ...message, start: message.start + offset, end: message.end + offset });
    } else if (message.type === 'error') this.tell('refused', message.detail);
    else if (message.type === 'end') this.socket?.close();
  }

  fail() {
    this.socket = null;
    if (!this.isWanted) return;
    const pause = PAUSES_S[Math.min(this.tries, PAUSES_S.length - 1)];
    this.tries++;
    this.timer = setTimeout(() => this.open(), 1000 * pause);
    this.tell('gone', { pause, tries: this.tries });
  }
}
