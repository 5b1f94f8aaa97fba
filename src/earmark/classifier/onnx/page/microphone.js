/** The panel that answers for the microphone. */
import { Bars, element, percent } from "./bars.js";
import { decide } from "./decide.js";
import { resample, Ring } from "./sound.js";

const LENGTHS_S = [0.5, 1, 2, 5, 10];
const EVERY_MS = 250;
const LEAST_S = 1; // of sound, before the first answer of a longer window
const MOST_HEARD = 24;
const QUIET_DB = -60;

/** Wires the panel up. */
export function startMicrophone(engine, description) {
  const [button, select] = ["listen", "seconds"].map((id) => document.getElementById(id));
  const problem = document.getElementById("microphone-problem");
  for (const seconds of LENGTHS_S) select.append(new Option(`${seconds} s`, seconds));
  select.value = usualLength(description);
  if (!navigator.mediaDevices || !window.AudioWorkletNode) {
    button.disabled = true;
    tell(problem, "The browser gives no microphone to this address. Use https or http://localhost.");
    return;
  }
  const panel = new Panel(engine, description, () => Number(select.value));
  let listening = null;
  button.addEventListener("click", async () => {
    button.disabled = true;
    problem.hidden = true;
    try {
      if (listening) {
        await listening.stop();
        listening = null;
      } else {
        listening = await listen(description, (source) => panel.start(source));
      }
    } catch (error) {
      tell(problem, sentenceOf(error));
    }
    if (!listening) panel.stop();
    button.disabled = false;
    button.textContent = listening ? "Stop" : "Listen";
    button.classList.toggle("on", listening !== null);
  });
}

/** Returns the length of window next to that of the training clips; 1 s if it is not known. */
function usualLength({ clip_seconds: clips }) {
  const usual = Array.isArray(clips) ? (clips[0] + clips[1]) / 2 : 1;
  const distance = (seconds) => Math.abs(Math.log(seconds / usual));
  return LENGTHS_S.reduce((best, seconds) => (distance(seconds) < distance(best) ? seconds : best));
}

function tell(place, sentence) {
  place.textContent = sentence;
  place.hidden = false;
}

function sentenceOf(error) {
  if (error.name === "NotAllowedError") return "The browser was not allowed to use the microphone. Allow it for this page.";
  if (error.name === "NotFoundError") return "This device has no microphone.";
  return `The microphone cannot be used: ${error.message}`;
}

/** Opens the microphone and calls `begin` with its ring buffer and rate; returns how to stop. */
async function listen(description, begin) {
  const stream = await navigator.mediaDevices.getUserMedia({
    // As recorded: the processing for calls would change the sound that the classifier knows.
    audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
  });
  let context;
  const stop = async () => {
    stream.getTracks().forEach((track) => track.stop());
    await context?.close();
  };
  try {
    let source;
    [context, source] = contextFor(stream, description.rate_hz);
    await context.audioWorklet.addModule(new URL("capture.js", import.meta.url));
    const capture = new AudioWorkletNode(context, "capture", {
      numberOfOutputs: 0,
      processorOptions: { channel: description.audio?.channel ?? 0 },
    });
    const ring = new Ring(Math.ceil(context.sampleRate * LENGTHS_S.at(-1)));
    capture.port.onmessage = ({ data }) => ring.write(data);
    source.connect(capture);
    await context.resume();
    begin({ ring, rate: context.sampleRate });
  } catch (error) {
    await stop();
    throw error;
  }
  return { stop };
}

/** Returns a context at `rate`, or at the device's rate where a browser cannot change it. */
function contextFor(stream, rate) {
  let context;
  try {
    context = new AudioContext({ sampleRate: rate });
    return [context, context.createMediaStreamSource(stream)];
  } catch {
    context?.close();
    context = new AudioContext();
    return [context, context.createMediaStreamSource(stream)];
  }
}

/** What is shown while the page listens. */
class Panel {
  #engine;
  #description;
  #seconds;
  #bars;
  #timer;
  #isBusy = false;
  #before = "";
  #noted = "";
  #source;
  #element = Object.fromEntries(["live", "level", "live-answer", "live-score", "live-bars", "heard",
    "microphone-hint", "microphone-problem"].map((id) => [id, document.getElementById(id)]));

  constructor(engine, description, seconds) {
    this.#engine = engine;
    this.#description = description;
    this.#seconds = seconds;
    this.#bars = new Bars(this.#element["live-bars"], description.labels);
  }

  start(source) {
    this.#source = source;
    this.#before = this.#noted = "";
    this.#element["live-answer"].textContent = "…";
    this.#element["live-answer"].classList.remove("unknown");
    this.#element["live-score"].textContent = "listening";
    this.#element.heard.replaceChildren();
    this.#element.live.hidden = false;
    this.#element["microphone-hint"].hidden = true;
    this.#timer = setInterval(() => this.#step(), EVERY_MS);
  }

  stop() {
    clearInterval(this.#timer);
    this.#source = null;
    this.#element.level.style.setProperty("--level", "0");
    this.#element["microphone-hint"].hidden = false;
  }

  async #step() {
    const source = this.#source;
    const { ring, rate } = source;
    this.#showLevel(ring.last(Math.ceil(rate * EVERY_MS / 1000)));
    if (this.#isBusy || ring.count < rate * Math.min(LEAST_S, this.#seconds())) return;
    this.#isBusy = true; // a slow device skips steps; no answers queue up
    try {
      const heard = ring.last(Math.round(rate * this.#seconds()));
      const at = ring.count / rate;
      const samples = resample(heard, rate, this.#description.rate_hz);
      const { scores, knownScore } = await this.#engine.run(samples);
      if (source === this.#source) this.#show(decide(this.#description, scores, knownScore), at);
    } catch (error) {
      tell(this.#element["microphone-problem"], error.message);
    }
    this.#isBusy = false;
  }

  #showLevel(samples) {
    const peak = samples.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    const level = 1 - Math.max(QUIET_DB, 20 * Math.log10(peak + 1e-9)) / QUIET_DB;
    this.#element.level.style.setProperty("--level", String(Math.min(1, level)));
    this.#element.level.parentElement.classList.toggle("loud", peak >= 0.99);
  }

  #show(decided, at) {
    const [answer, score] = [this.#element["live-answer"], this.#element["live-score"]];
    answer.textContent = decided.text;
    answer.classList.toggle("unknown", decided.chosen.length === 0);
    score.textContent = decided.isUnknown
      ? "unlike the training clips"
      : percent(decided.ranked[0].score);
    this.#bars.show(decided, true);
    this.#note(decided.chosen.join("; "), at);
  }

  /** Notes an answer once until another comes; twice in a row where none can be unknown. */
  #note(text, at) {
    const isStable = text === this.#before || this.#description.unknown_threshold !== null;
    this.#before = text;
    if (!isStable || text === this.#noted) return;
    this.#noted = text;
    if (!text) return;
    const item = element("li", "", text);
    item.append(" ", element("small", "", `${at.toFixed(1)} s`));
    this.#element.heard.append(item);
    if (this.#element.heard.children.length > MOST_HEARD) this.#element.heard.firstElementChild.remove();
  }
}
