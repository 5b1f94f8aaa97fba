/** Scores raw samples and files with the page's own modules. */

const report = (name, value) => fetch(`/${name}`, { method: "POST", body: JSON.stringify(value) });
const bytesOf = async (path) => (await fetch(path)).arrayBuffer();
const plan = JSON.parse(new TextDecoder().decode(await bytesOf("/sounds/plan.json")));

try {
  const { Engine } = await import("/site/engine.js");
  const { readFile } = await import("/site/sound.js");
  const engine = new Engine();
  const { rate_hz: rate, audio } = await engine.ready;
  const raw = [];
  for (const name of plan.raw) {
    const samples = new Float32Array(await bytesOf(`/sounds/${name}`));
    let best = Infinity;
    let scores;
    for (let k = 0; k < plan.repeats; k++) {
      const answer = await engine.run(samples.slice());
      [best, scores] = [Math.min(best, answer.ms), [...answer.scores]];
    }
    raw.push({ scores, ms: best, seconds: samples.length / rate });
  }
  const files = [];
  for (const name of plan.files) {
    const samples = await readFile(new File([await bytesOf(`/sounds/${name}`)], name), rate, audio);
    files.push({ samples: [...samples], scores: [...(await engine.run(samples.slice())).scores] });
  }
  await report("numbers", { raw, files });
} catch (error) {
  await report("numbers", { error: String(error) });
}
