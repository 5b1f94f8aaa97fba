/** Loads the classifier, says what it is, and opens both panels. */
import { element } from "./bars.js";
import { Engine } from "./engine.js";
import { startFiles } from "./files.js";
import { startMicrophone } from "./microphone.js";

const MOST_NAMED = 20;
const WARNINGS = {
  care: "Use it with care: see the report of its training.",
  worthless: "This classifier is worthless: in its training it was no better than guessing.",
};
const place = (id) => document.getElementById(id);

place("notice").remove(); // it tells readers of a file why nothing else happens
place("status").hidden = false;
const engine = new Engine();
try {
  const description = await engine.ready;
  introduce(description);
  startFiles(engine, description);
  startMicrophone(engine, description);
  place("status").hidden = true;
  place("main").hidden = false;
  document.documentElement.dataset.state = "ready";
} catch (error) {
  place("status").textContent = error.message;
  place("status").classList.add("problem");
  document.documentElement.dataset.state = "refused";
}

function introduce(description) {
  const { labels, unknown_threshold: below, is_single: isSingle } = description;
  const classes = place("classes");
  classes.append(isSingle ? "The answer is one of " : "The answer is any of ");
  classes.append(`${labels.length} classes: `, element("b", "", named(labels)));
  classes.append(typeof below === "number" ? "; or unknown." : ".");
  if (description.verdict in WARNINGS) {
    place("verdict").textContent = WARNINGS[description.verdict];
    place("verdict").classList.toggle("worthless", description.verdict === "worthless");
    place("verdict").hidden = false;
  }
  place("facts").append(...facts(description).map(([name, text]) => {
    const row = element("tr");
    row.append(element("th", "", name), element("td", "", text));
    return row;
  }));
  place("about").hidden = false;
}

function named(labels) {
  const shown = labels.slice(0, MOST_NAMED).join(", ");
  return labels.length > MOST_NAMED ? `${shown} and ${labels.length - MOST_NAMED} more` : shown;
}

function facts(description) {
  const rows = [
    ["Sample rate", `${description.rate_hz} Hz`],
    ["Verdict", description.verdict],
    ["Weights", description.precision],
    ["Classifier", description.digest],
    ["Written by", description.earmark && `earmark ${description.earmark}`],
  ];
  for (const { name, licence, source, notice } of description.backbones ?? []) {
    rows.push(["Network", [name, `licence ${licence ?? "unknown"}`, source, notice].filter(Boolean).join("; ")]);
  }
  return rows.filter(([, text]) => text);
}
