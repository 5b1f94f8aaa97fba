/** The page's side of worker.js. */
export class Engine {
  #worker;
  #waiting = new Map();
  #next = 0;

  /** Loads the classifier; `ready` is its description, or fails with a sentence for the reader. */
  constructor() {
    this.#worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    this.ready = new Promise((resolve, reject) => {
      this.#worker.onmessage = ({ data }) => {
        if ("id" in data) this.#answer(data);
        else if (data.problem) reject(new Error(data.problem));
        else resolve(data.description);
      };
      this.#worker.onerror = () => reject(new Error(
        "A file of this folder is missing, or the server sends it with a wrong type " +
        "(.js and .mjs must be text/javascript). Copy the whole folder.",
      ));
    });
  }

  /** Scores mono samples at the classifier's rate: {scores (K,), knownScore, ms}. */
  run(samples) {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, samples }, [samples.buffer]);
    });
  }

  #answer({ id, problem, ...answer }) {
    const { resolve, reject } = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (problem) reject(new Error(problem));
    else resolve(answer);
  }
}
