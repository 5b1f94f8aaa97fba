/** Draws scores. Labels come from a file of somebody else: they are only ever set as text. */

const MOST = 10;

/** Returns a new element with a class and a text. */
export function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

/** Returns a share as '97 %', and never rounds to 0 or 100 what is neither. */
export function percent(share) {
  if (share > 0 && share < 0.01) return "< 1 %";
  if (share < 1 && share > 0.99) return "> 99 %";
  return `${Math.round(share * 100)} %`;
}

/** A list of bars; few classes keep their order, many show the best. */
export class Bars {
  #list;
  #labels;
  #rows;

  constructor(list, labels, most = MOST) {
    this.#list = list;
    this.#labels = labels;
    this.#draw(Math.min(labels.length, most));
  }

  /** Shows an answer of `decide`; `isSteady` keeps the classes in the order of their labels. */
  show({ ranked, chosen }, isSteady = false) {
    const order = new Map(this.#labels.map((label, k) => [label, k]));
    const shown = isSteady && ranked.length <= MOST
      ? ranked.toSorted((a, b) => order.get(a.label) - order.get(b.label))
      : ranked;
    this.#rows.forEach((parts, k) => fill(parts, shown[k], chosen.includes(shown[k].label)));
  }

  /** Shows every class, not only the best. */
  showAll(answer) {
    this.#draw(this.#labels.length);
    this.show(answer);
  }

  #draw(length) {
    this.#rows = Array.from({ length }, newRow);
    this.#list.replaceChildren(...this.#rows.map(({ row }) => row));
  }

  get hidden() {
    return this.#labels.length - this.#rows.length;
  }
}

function newRow() {
  const row = element("li");
  const [label, track, number] = [element("span", "label"), element("span", "track"), element("span", "number")];
  const [bar, mark] = [element("span", "fill"), element("span", "mark")];
  track.append(bar, mark);
  row.append(label, track, number);
  return { row, label, bar, mark, number };
}

function fill({ row, label, bar, mark, number }, { label: name, score, threshold }, isChosen) {
  row.classList.toggle("chosen", isChosen);
  label.textContent = name;
  label.dir = "auto";
  bar.style.setProperty("--score", String(Math.min(1, Math.max(0, score))));
  mark.hidden = threshold === null;
  if (threshold !== null) {
    mark.style.setProperty("--at", String(threshold));
    mark.title = `threshold ${percent(threshold)}`;
  }
  number.textContent = percent(score);
}
