/** A training that runs, was stopped or has failed: named stages that can be left alone. */

import { post, state } from '../api.js';
import { h, icon } from '../dom.js';
import { button, trouble } from '../parts.js';
import { TRAIN } from '../texts.js';
import { doneShare, isRunning, sentenceOf, span } from './learning.js';

/** @typedef {import('./learning.js').Job} Job */

/**
 * The card of a training; `set` shows what the job says now.
 * @param {Job} job @param {{again: () => void, onTrouble: (sentence: string) => void}} does
 */
export function runCard(job, does) {
  const bar = /** @type {HTMLProgressElement} */ (h('progress', { max: 1, 'aria-label': TRAIN.title }));
  const left = h('p.left'), stages = h('ol.stages'), notice = h('div'), spoken = h('p.said', { role: 'status' }), actions = h('div.row');
  const box = h('section.run', notice, h('div.run-head', h('div', h('h2', job.choices.name ?? ''), h('p.how', TRAIN.learnsFrom(state().counts.labelled, state().classes.length))), left), bar, stages, actions, spoken);
  let said = '', shown = '';
  /** @param {string} verb */
  const ask = async (verb) => {
    try { await post(`/api/jobs/${job.id}/${verb}`, {}); } catch (error) { does.onTrouble(sentenceOf(error)); }
  };
  /** @param {Job} now */
  const set = (now) => {
    bar.value = now.state === 'done' ? 1 : doneShare(now);
    left.replaceChildren(...leftOf(now));
    stages.replaceChildren(...now.stages.map((stage, n) => stageRow(stage, n, now)));
    const stage = now.stages[numberOf(now)];
    if (stage && stage.name !== said) { said = stage.name; spoken.textContent = TRAIN.stageNow(TRAIN.stages[stage.name]?.[0] ?? stage.name, numberOf(now) + 1, now.stages.length); }
    if (now.state === shown) return;
    shown = now.state;
    notice.replaceChildren(...noticeOf(now, ask, does.again));
    actions.replaceChildren(...(isRunning(now) ? [h('p.how', TRAIN.goesOn), button(TRAIN.stop, { sign: 'cross', onclick: () => ask('stop') })] : []));
  };
  set(job);
  return { box, set };
}

/** The number of the stage that a job is in, from 0. @param {Job} job */
function numberOf({ stage, stages }) {
  const at = stages.findIndex(({ name }) => name === stage);
  return at < 0 ? stages.filter(({ steps, done }) => steps > 0 && done >= steps).length : at;
}

/** @param {Job} job */
function leftOf(job) {
  if (job.state === 'stopped') return [TRAIN.isStopped];
  if (!isRunning(job)) return [];
  return job.left_s == null ? [TRAIN.counting] : [TRAIN.about, h('span.num', span(job.left_s)), TRAIN.isLeft];
}

/** @param {Job['stages'][number]} stage @param {number} n @param {Job} job */
function stageRow({ name, steps, done, seconds: took }, n, job) {
  const at = numberOf(job), isDone = n < at || job.state === 'done', isNow = n === at && !isDone;
  const [word, what] = TRAIN.stages[name] ?? [name, ''];
  const amount = isDone ? (took == null ? '' : span(took)) : isNow && steps > 1 ? TRAIN.stepsOf(done, steps) : '';
  const kind = isDone ? 'done' : isNow ? `now${isRunning(job) ? '' : ' stopped'}` : 'open';
  return h('li', { class: kind, 'aria-current': isNow && 'step' }, h('span.stage-sign', isDone ? icon('check') : isNow && h('i')), h('b', word), h('span.how', what), h('span.num', amount));
}

/**
 * What went wrong, what was kept, what helps.
 * @param {Job} job @param {(verb: string) => void} ask @param {() => void} again
 */
function noticeOf(job, ask, again) {
  if (job.state === 'stopped') {
    return [trouble('warn', TRAIN.wasStopped, TRAIN.stoppedText, button(TRAIN.goOn, { primary: true, onclick: () => ask('resume') }), button(TRAIN.startAnew, { quiet: true, onclick: again }))];
  }
  if (job.state === 'failed') {
    return [trouble('error', TRAIN.failed, `${job.error ?? ''} ${TRAIN.failedKept}`.trim(), button(TRAIN.tryAgain, { onclick: () => ask('resume') }), button(TRAIN.changeChoices, { primary: true, onclick: again }), button(TRAIN.askDoctor, { quiet: true, go: '#/doctor' }))];
  }
  return [];
}
