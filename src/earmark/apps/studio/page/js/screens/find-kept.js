/** What Find keeps while other screens are looked at: the archive, the examples, and what was found. */

/**
 * @typedef {import('./find-tile.js').Hit} Hit
 * @typedef {{id: string, name: string, label: string|null, start: number|null, end: number|null, from?: number|null, to?: number|null, isTried?: boolean}} Example
 *   a clip, the stretch from..to of a recording, or a recording that is only tried
 * @typedef {{name: string, recordings: number, seconds: number, gone: string[], n_gone: number, failed: string[], n_failed: number, datasets: string[],
 *   columns: {name: string, values: string[], n_values: number}[], network: string|null, windows: number}} About
 */

export const kept = {
  archive: '',
  /** @type {Example[]} */ like: [],
  /** @type {Example[]} */ unlike: [],
  /** @type {Object<string, string>} conditions by their column; '' is one that was written */ where: {},
  /** @type {Hit[]|null} */ hits: null,
  /** @type {Map<string, boolean>} what was said of hits: yes or no */ marks: new Map(),
  said: '', command: '', label: '', who: '',
};

/** What tells a stretch from others. @param {{id: string, start: number|null}} hit */
export const keyOf = ({ id, start }) => `${id} ${start}`;

/** An example of a hit. @param {Hit} hit @returns {Example} */
export const exampleOf = ({ id, name, start, end }) => ({ id, name, label: null, start, end, from: start, to: end });

/** What the server is told of an example. @param {Example} example */
export const asked = ({ id, from, to }) => ({ id, start: from ?? null, end: to ?? null });

/** Examples that stay: not what was only recorded or uploaded to search with. @returns {Example[]} */
export function lasting() {
  const marked = (kept.hits ?? []).filter((hit) => kept.marks.get(keyOf(hit)) && !hit.silent).map(exampleOf);
  return [...kept.like, ...marked].filter(({ isTried }) => !isTried);
}

/** The conditions as they are written on the command line. */
export const conditions = () => Object.entries(kept.where).filter(([, value]) => value).map(([column, value]) => (column ? `${column}=${value}` : value));

/** Forget what was found: it was in another archive. */
export function forget() {
  kept.hits = null;
  kept.marks.clear();
  kept.where = {};
  kept.said = kept.command = '';
}
