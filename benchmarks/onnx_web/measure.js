/** Scores raw samples and files with the page's own modules, and listens to the fake microphone. */

const report = (name, value) => fetch(`/${name}`, { method: "POST", body: JSON.stringify(value) });
const bytesOf = async (path) => (await fetch(path)).arrayBuffer();
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
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

if (plan.seconds) {
  const frame = document.createElement("iframe");
  Object.assign(frame, { src: "/site/index.html", width: 900, height: 900, allow: "microphone" });
  document.body.append(frame);
  while (!frame.contentDocument?.documentElement?.dataset.state) await wait(50);
  const page = frame.contentDocument;
  page.getElementById("listen").click();
  await wait(1000 * plan.seconds);
  const heard = [...page.querySelectorAll("#heard li")].map((item) => item.firstChild.textContent);
  await report("heard", { heard, length: page.getElementById("seconds").value });
}
