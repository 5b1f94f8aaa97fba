/** The classifiers of the folder as Try and Export choose them. */

/**
 * @typedef {{name: string, bytes: number, error?: string|null, labels: string[], backbones: string[], is_detector: boolean, has_unknown: boolean,
 *   verdict: {word: 'use'|'care'|'worthless', sentences: string[]}|null}} Model
 */

const CHOSEN = 'earmark classifier';

/** The rows of an answer, which may be a list or hold one. @param {any} answer @param {string} name @returns {any[]} */
export const rowsOf = (answer, name) => (Array.isArray(answer) ? answer : answer[name] ?? []);

/** The classifier that was chosen last, or the newest. @param {Model[]} models at least one */
export function usual(models) {
  const last = sessionStorage.getItem(CHOSEN);
  return models.find(({ name }) => name === last) ?? models[0];
}

/** @param {string} name */
export const choose = (name) => sessionStorage.setItem(CHOSEN, name);
