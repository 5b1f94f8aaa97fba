/** A training that runs, was stopped or has failed: named stages that can be left alone. */

import { post, state } from '../api.js';
import { h, icon } from '../dom.js';
import { button, trouble } from '../parts.js';
import { TRAIN } from '../texts.js';
import { capital, doneShare, isRunning, sentenceOf, span } from './learning.js';

/** @typedef {import('../types.js').Job} Job */

/**
 * The card of a training; `set` shows what the job says now.
 * @param {Job} job @param {{again: () => void, onTrouble: (sentence: string) => void}} does
 */
export function runCard(job, does) {
  const bar = h('progress', { max: 1, 'aria-label': TRAIN.progress }), left = h('p.left'), stages = h('ol.stages'), notice = h('div'), spoken = h('p.hidden', { role: 'status' }), actions = h('div.row.between');
  const { counts, classes } = state();
  const box = h('section.run', notice, h('div.run-head', h('div', h('h2', { tabindex: -1 }, job.choices.name ?? ''), h('p.how', TRAIN.learnsFrom(counts.labelled, classes.length))), left), bar, stages, actions, spoken);
  let said = '', shown = '';
  /** @param {'stop'|'resume'} verb */
  const ask = async (verb) => {
    try { await post(`/api/jobs/${job.id}/${verb}`); } catch (error) { does.onTrouble(sentenceOf(error)); }
  };
  /** @param {Job} now */
  const set = (now) => {
    const at = placeOf(now), stage = now.stages[at];
    bar.value = now.state === 'done' ? 1 : doneShare(now);
    left.replaceChildren(...leftOf(now));
    stages.replaceChildren(...now.stages.map((one, n) => stageRow(one, n, at, now)));
    if (stage && stage.name !== said && isRunning(now)) spoken.textContent = TRAIN.stageNow(said = stage.name, at + 1, now.stages.length);
    if (now.state === shown) return;
    shown = now.state;
    notice.replaceChildren(...noticeOf(now, ask, does.again));
    actions.replaceChildren(...(isRunning(now) ? [h('p.how', TRAIN.goesOn), button(TRAIN.stop, { sign: 'stop', onclick: () => ask('stop') })] : []));
  };
  set(job);
  return { box, set };
}

/** The stage that a job is in, from 0; all of them if it is done. @param {Job} job */
function placeOf({ state: is, stage, stages }) {
  if (is === 'done') return stages.length;
  const at = stages.map(({ name }) => name).lastIndexOf(stage ?? '');
  if (at >= 0) return at;
  const begun = stages.filter(({ steps, seconds: took }) => Number(steps) > 0 || Number(took) > 0).length;
  return Math.max(0, begun - (is === 'running' ? 0 : 1));
}

/** @param {Job} job */
function leftOf(job) {
  if (!isRunning(job)) return [job.state === 'stopped' ? TRAIN.isStopped : job.state === 'failed' ? TRAIN.hasFailed : ''];
  return job.left_s == null ? [job.stage ?? TRAIN.counting] : [TRAIN.aboutLeft[0], h('span.num', span(Math.max(1, Math.round(job.left_s)))), TRAIN.aboutLeft[1]];
}

/** @param {Job['stages'][number]} stage @param {number} n @param {number} at @param {Job} job */
function stageRow({ name, steps, done, seconds: took }, n, at, job) {
  const isDone = n < at, isNow = n === at, count = Number(steps) || 0;
  const amount = isDone ? (took ? span(took) : '') : isNow && count > 1 ? TRAIN.stepsOf(Math.min(Number(done) || 0, count), count) : '';
  return h('li', { class: isDone ? 'done' : isNow ? `now ${isRunning(job) ? '' : 'stopped'}` : 'open', 'aria-current': isNow && 'step' }, h('span.stage-sign', isDone ? icon('check') : isNow ? h('i') : null, isDone && h('span.hidden', TRAIN.isDone)), h('b', name), h('span.how', TRAIN.stages[name] ?? ''), h('span.num', amount));
}

/**
 * What went wrong, what was kept, what helps.
 * @param {Job} job @param {(verb: 'stop'|'resume') => void} ask @param {() => void} again
 */
function noticeOf(job, ask, again) {
  if (job.state === 'stopped') return [trouble('warn', TRAIN.wasStopped, TRAIN.stoppedText, button(TRAIN.goOn, { primary: true, onclick: () => ask('resume') }), button(TRAIN.startAnew, { onclick: again }))];
  if (job.state !== 'failed') return [];
  return [trouble('error', TRAIN.failed, capital(job.error), h('p.how', TRAIN.failedKept), button(TRAIN.changeChoices, { primary: true, onclick: again }), button(TRAIN.tryAgain, { onclick: () => ask('resume') }), button(TRAIN.askDoctor, { go: '#/doctor' }))];
}
