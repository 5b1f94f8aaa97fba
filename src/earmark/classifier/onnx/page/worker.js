/** Runs the graph apart from the page, so that the page stays quick. */
import * as ort from "./ort.wasm.min.mjs";
import { sha256 } from "./sha256.js";

const loaded = load();

loaded.then(
  ({ description }) => postMessage({ description }),
  (error) => postMessage({ problem: error.message }),
);

onmessage = async ({ data: { id, samples } }) => {
  try {
    const { session } = await loaded;
    const start = performance.now();
    const waveform = new ort.Tensor("float32", samples, [samples.length]);
    const { scores, known_score: known } = await session.run({ waveform });
    const answer = { scores: Float32Array.from(scores.data), knownScore: known.data[0] };
    if (!answer.scores.every(Number.isFinite)) throw new Error("its scores are not numbers");
    postMessage({ id, ...answer, ms: performance.now() - start });
  } catch (error) {
    postMessage({ id, problem: String(error.message ?? error) });
  }
};

async function load() {
  const [bytes, text] = await Promise.all([get("model.onnx"), get("model.json")]);
  const description = described(new TextDecoder().decode(text));
  const digest = await sha256(bytes);
  if (digest !== description.file_sha256) {
    throw new Error(
      "model.onnx is not the file that was exported: its SHA-256 is " +
      `${digest}, and model.json says ${description.file_sha256}. ` +
      "Write this folder again with `earmark export --web`.",
    );
  }
  ort.env.wasm.wasmPaths = new URL("./", import.meta.url).href;
  ort.env.wasm.proxy = false;
  ort.env.wasm.numThreads = globalThis.crossOriginIsolated
    ? Math.min(4, navigator.hardwareConcurrency || 1)
    : 1;
  const session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
  return { session, description };
}

async function get(name) {
  const response = await fetch(new URL(name, import.meta.url));
  if (!response.ok) throw new Error(`${name} is missing (HTTP ${response.status}). Copy the whole folder.`);
  return new Uint8Array(await response.arrayBuffer());
}

function described(text) {
  let found;
  try {
    found = JSON.parse(text);
  } catch {
    found = null;
  }
  const isUsable = found?.schema === 1 && found.kind === "clips" && found.rate_hz > 0 &&
    Array.isArray(found.labels) && found.labels.length > 0 &&
    (found.is_single || found.thresholds?.length === found.labels.length);
  if (!isUsable) {
    throw new Error(
      "model.json does not describe a classifier of clips that this page can use. " +
      "Write this folder again with `earmark export --web`.",
    );
  }
  return found;
}
