/** One player for the page: a second sound ends the first. */

import { query } from './api.js';

/** @typedef {{id: string, start: number|null, end: number|null}} Playing */
/** @typedef {{start?: number|null, end?: number|null, onend?: (error?: string) => void, onprogress?: (share: number, second: number) => void}} PlayOptions */

/** What plays now. @type {Playing|null} */
export let playing = null;

const audio = new Audio();
audio.preload = 'auto';
/** @type {PlayOptions} */
let options = {};
let frame = 0;

/** @param {string} [error] */
function end(error) {
  cancelAnimationFrame(frame);
  const { onend } = options;
  playing = null;
  options = {};
  onend?.(error);
}

function follow() {
  if (!playing) return;
  if (audio.duration) options.onprogress?.(audio.currentTime / audio.duration, (playing.start ?? 0) + audio.currentTime);
  frame = requestAnimationFrame(follow);
}

audio.addEventListener('ended', () => end());
audio.addEventListener('error', () => { if (playing) end('This sound cannot be played. Look at it in Doctor.'); });

/**
 * Play a clip, or a stretch of a recording.
 * @param {string} id
 * @param {PlayOptions} [how] start and end in seconds of the recording; onprogress gets the share and the second
 */
export function play(id, how = {}) {
  stop();
  playing = { id, start: how.start ?? null, end: how.end ?? null };
  options = how;
  audio.src = `/api/sounds/${id}/audio${query({ start: how.start, end: how.end })}`;
  audio.play().then(follow, (error) => { if (error.name !== 'AbortError' && playing?.id === id) end('The browser did not play this sound. Press once more.'); });
}

/** End what plays. */
export function stop() {
  if (!playing) return;
  audio.pause();
  end();
}
