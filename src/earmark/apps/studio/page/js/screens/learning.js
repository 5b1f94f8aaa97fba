/** What the screens of learning share: jobs, progress, and clips as commands print them. */

import { post, state } from '../api.js';
import { h, number, seconds } from '../dom.js';
import { button, tile } from '../parts.js';
import { LEARNING } from '../texts.js';

/**
 * @typedef {import('../types.js').Clip} Clip
 * @typedef {import('../types.js').Job & {said?: string|null, is_waiting?: boolean}} Job
 * @typedef {{id?: string|null, path?: string, name?: string, start?: number|null, end?: number|null, label?: string|null}} Printed
 *   a clip as a command prints it, with the id that the server added
 */

/** The last part of a path, with the seconds of a stretch. @param {Printed} printed */
export function nameOf({ path, name, start, end }) {
  const last = name ?? (path ?? '').split(/[\\/]/).pop() ?? '';
  return start == null ? last : `${last}, ${number(start, 1)}–${end == null ? '' : seconds(end)}`;
}

/** What a tile shows of a printed clip. @param {Printed} printed @returns {Clip} */
const clipOf = (printed) => /** @type {Clip} */ (/** @type {unknown} */ ({
  seconds: null, label: null, ...printed, id: printed.id ?? '', name: nameOf(printed),
}));

/**
 * A clip to see and to hear, or its name if it is not in the folder any more.
 * @param {Printed} printed @param {{big?: boolean, note?: import('../dom.js').Kid}} [options]
 */
export const heard = (printed, options) => (printed.id ? tile(clipOf(printed), options) : h('div.gone', h('b', nameOf(printed)), h('span', LEARNING.gone)));

/** The newest job of some kinds, or null. @param {...string} kinds @returns {Job|null} */
export function newest(...kinds) {
  const jobs = (state().jobs ?? []).filter((job) => kinds.includes(job.kind));
  return jobs.toSorted((a, b) => began(b) - began(a))[0] ?? null;
}

/** When a job began, in seconds since 1970. @param {Job} job */
const began = ({ started_at: at }) => Date.parse(at ?? '') / 1000 || 0;

/** How much of a job is done, 0 to 1. @param {Job} job */
export function doneShare(job) {
  const passed = Date.now() / 1000 - began(job);
  if (job.left_s != null && passed > 0) return passed / (passed + job.left_s);
  const { stages } = job, shares = stages.map(({ steps, done }) => (steps ? Number(done) / steps : 0));
  return shares.length ? shares.reduce((sum, share) => sum + Math.min(1, share), 0) / shares.length : 0;
}

/** How long something takes, in words. @param {number|null|undefined} left */
export function span(left) {
  if (left == null) return '';
  if (left < 90) return `${number(left < 10 ? Math.max(0.1, left) : left, left < 10 && left % 1 ? 1 : 0)} s`;
  return left < 5400 ? LEARNING.minutes(Math.round(left / 60)) : LEARNING.hours(left / 3600);
}

/**
 * A line that shows how far a job is, with a button that stops it.
 * @param {string} what @param {Job} job
 */
export function progressLine(what, job) {
  const bar = h('progress', { max: 1, 'aria-label': what });
  const stage = h('span.how'), left = h('span.num');
  const stop = button(LEARNING.stop, { quiet: true, sign: 'cross', onclick: () => { post(`/api/jobs/${job.id}/stop`, {}); } });
  /** @param {Job} now */
  const set = (now) => {
    bar.value = doneShare(now);
    stage.textContent = now.stage ?? '';
    left.textContent = now.left_s == null ? '' : LEARNING.left(span(now.left_s));
  };
  set(job);
  return { box: h('section.progress-line', h('div.row.between', h('b', what), left, stop), bar, stage), set };
}

/** Whether a job is still at work. @param {Job} job */
export const isRunning = (job) => job.state === 'running';

/** The sentence of an error, to be shown. @param {unknown} error */
export const sentenceOf = (error) => capital(error instanceof Error ? error.message : String(error));

/** A sentence with a capital at its beginning. @param {string|null|undefined} sentence */
export const capital = (sentence) => (sentence ? sentence[0].toUpperCase() + sentence.slice(1) : '');

/** Whether a key press belongs to a control with its own use of it. @param {Event} event */
export const isTaken = (event) => event.target instanceof Element && event.target.closest('button, a, input:not([type=radio], [type=checkbox]), select, textarea, summary') != null;
