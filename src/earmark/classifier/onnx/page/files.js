/** The panel that answers for files. */
import { Bars, element, percent } from "./bars.js";
import { decide } from "./decide.js";
import { readFile } from "./sound.js";

const MOST_SHOWN = 50;
const BARS = 5; // of a file, and one for each chosen class

export function startFiles(engine, description) {
  const [input, drop] = ["files", "drop"].map((id) => document.getElementById(id));
  let last = Promise.resolve();
  const add = (files) => {
    for (const file of files) {
      const row = newRow(file);
      last = last.then(() => answerFile(engine, description, file, row)); // one after the other
    }
  };
  input.addEventListener("change", () => {
    add([...input.files]);
    input.value = "";
  });
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault(); // a file dropped beside the field must not replace the page
      drop.classList.toggle("over", kind === "dragenter" || kind === "dragover");
      if (kind === "drop") add([...event.dataTransfer.files]);
    });
  }
}

function newRow(file) {
  const row = element("li");
  row.append(element("p", "name", file.name), element("p", "answer", "…"));
  const results = document.getElementById("results");
  results.prepend(row);
  while (results.children.length > MOST_SHOWN) results.lastElementChild.remove();
  return row;
}

async function answerFile(engine, description, file, row) {
  const [name, answer] = [row.querySelector(".name"), row.querySelector(".answer")];
  try {
    const samples = await readFile(file, description.rate_hz, description.audio);
    const seconds = samples.length / description.rate_hz;
    const { scores, knownScore } = await engine.run(samples);
    const decided = decide(description, scores, knownScore);
    name.textContent = `${file.name}, ${seconds.toFixed(1)} s`;
    showAnswer(row, answer, decided, description);
    row.append(player(file));
    row.dataset.state = "done";
  } catch (error) {
    answer.remove();
    row.append(element("p", "problem", error.message));
    row.dataset.state = "failed";
  }
}

function showAnswer(row, answer, decided, description) {
  answer.textContent = decided.text;
  answer.classList.toggle("unknown", decided.isUnknown);
  if (decided.isUnknown) {
    const [nearest] = decided.ranked;
    row.append(element("p", "note", "It is unlike the training clips. The nearest class is " +
      `${nearest.label} (${percent(nearest.score)}).`));
  }
  const list = element("ol", "bars");
  const bars = new Bars(list, description.labels, Math.max(BARS, decided.chosen.length));
  bars.show(decided);
  row.append(list);
  if (bars.hidden > 0) {
    const more = element("button", "link", `Show all ${description.labels.length} classes`);
    more.type = "button";
    more.addEventListener("click", () => {
      bars.showAll(decided);
      more.remove();
    });
    row.append(more);
  }
}

function player(file) {
  const audio = element("audio");
  audio.controls = true;
  audio.preload = "none";
  audio.src = URL.createObjectURL(file);
  return audio;
}
