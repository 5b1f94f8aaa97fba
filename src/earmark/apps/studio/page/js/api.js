/** The server: requests, uploads, and the events that keep the page true. */

/** @typedef {import('./types.js').State} State */
/** @typedef {import('./types.js').Clip} Clip */
/** @typedef {import('./types.js').Job} Job */

/** What the server refused or could not do. `detail` is a sentence to show. */
export class ApiError extends Error {
  /** @param {number} status 0 if the server did not answer @param {string} detail */
  constructor(status, detail) {
    super(detail);
    this.status = status;
    this.detail = detail;
  }
}

const SILENT = 'The studio on this machine does not answer. Start it again with “earmark studio”; nothing is lost.';

/**
 * One request; any answer but 2xx becomes an ApiError.
 * @param {string} path
 * @param {RequestInit} [options]
 */
export async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { credentials: 'same-origin', ...options });
  } catch (error) {
    if (/** @type {Error} */ (error).name === 'AbortError') throw error;
    throw new ApiError(0, SILENT);
  }
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  throw new ApiError(answer.status, problem.detail || problem.title || `The studio answered ${answer.status} to ${path.split('?')[0]}.`);
}

/** @param {string} path @param {RequestInit} [options] @returns {Promise<any>} */
export const get = async (path, options) => (await ask(path, options)).json();

/** @param {string} path @param {unknown} [body] @param {RequestInit} [options] @returns {Promise<any>} */
export const post = async (path, body = {}, options = {}) =>
  (await ask(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body), ...options })).json();

/** A query string of what is not null or undefined. @param {Object<string, string|number|boolean|null|undefined>} values */
export function query(values) {
  const kept = Object.entries(values).filter(([, value]) => value != null && value !== false).map(([key, value]) => [key, value === true ? '1' : String(value)]);
  return kept.length ? `?${new URLSearchParams(kept)}` : '';
}

// ---- uploads ----

const PIECE_BYTES = 1 << 20; // the most the server takes at once

/** @typedef {{kind: 'file'|'pcm', name: string, bytes?: number|null, folder?: string|null, label?: string|null, take?: string|null, rate_hz?: number|null, purpose?: 'keep'|'try'}} About */

/** Begin an upload; the answer is its id. @param {About} about @param {AbortSignal} [signal] @returns {Promise<string>} */
export const beginUpload = async (about, signal) =>
  (await post('/api/uploads', { bytes: null, folder: null, label: null, take: null, rate_hz: null, purpose: 'keep', ...about }, { signal })).upload;

/** Append bytes; the answer is where the next ones go. @param {string} id @param {number} offset @param {Blob|ArrayBuffer} data @param {AbortSignal} [signal] @returns {Promise<number>} */
export const appendUpload = async (id, offset, data, signal) =>
  (await (await ask(`/api/uploads/${id}?offset=${offset}`, { method: 'PUT', headers: { 'Content-Type': 'application/octet-stream' }, body: data, signal })).json()).offset;

/** @param {string} id @param {AbortSignal} [signal] @returns {Promise<{version: number, clip: Clip}>} */
export const finishUpload = (id, signal) => post(`/api/uploads/${id}/done`, {}, { signal });

/** @param {string} id */
export const dropUpload = (id) => ask(`/api/uploads/${id}`, { method: 'DELETE' }).catch(() => null);

/**
 * Send a whole file in pieces.
 * @param {File} file
 * @param {{folder?: string|null, label?: string|null, purpose?: 'keep'|'try', onprogress?: (share: number) => void, signal?: AbortSignal, finish?: boolean}} [options] finish: false leaves the upload open (Try)
 * @returns {Promise<{upload: string, clip?: Clip, version?: number}>}
 */
export async function upload(file, { folder, label, purpose = 'keep', onprogress, signal, finish = true } = {}) {
  const id = await beginUpload({ kind: 'file', name: file.name, bytes: file.size, folder, label, purpose }, signal);
  try {
    for (let offset = 0; offset < file.size;) {
      offset = await appendUpload(id, offset, file.slice(offset, offset + PIECE_BYTES), signal);
      onprogress?.(offset / file.size);
    }
    return { upload: id, ...(finish ? await finishUpload(id, signal) : {}) };
  } catch (error) {
    dropUpload(id);
    throw error;
  }
}

// ---- state and events ----

/** @type {Map<string, Set<(data: any) => void>>} */
const listeners = new Map();

/**
 * Hear of 'state' (the new State), 'job' (a Job), 'models', 'folder' ({trouble}), 'connection' (true or false) and
 * 'refused' (whether the server answers, but not to this browser).
 * @param {string} event
 * @param {(data: any) => void} fn
 * @returns {() => void} what ends it
 */
export function on(event, fn) {
  const set = listeners.get(event) ?? new Set();
  listeners.set(event, set.add(fn));
  return () => set.delete(fn);
}

/** @param {string} event @param {unknown} data */
function emit(event, data) {
  for (const fn of listeners.get(event) ?? []) fn(data);
}

/** @type {State} */
let latest = {
  version: -1, folder: { name: '', path: '' }, counts: { recordings: 0, clips: 0, labelled: 0, unlabelled: 0, left_out: 0 }, classes: [], columns: [], undo: null, redo: null,
  manifests: [], trouble: [], can_write: true, models: [], jobs: [], limits: { upload_bytes: 2 ** 31, piece_s: 30 }, is_remote: false, version_text: '',
};
/** The latest state that the server sent. */
export const state = () => latest;

/** @type {Promise<State>|null} */
let asking = null;
let isStale = false;
/** Ask for the state now; calls at the same time share requests. @returns {Promise<State>} */
export function refresh() {
  isStale = true;
  asking ??= (async () => {
    try {
      while (isStale) {
        isStale = false;
        latest = await get('/api/state');
      }
    } finally { asking = null; }
    emit('state', latest);
    return latest;
  })();
  return asking;
}

/** @type {EventSource|null} */
let source = null;
let isConnected = true, lastId = '';

/** @param {boolean} now */
function connection(now) {
  if (now === isConnected) return;
  isConnected = now;
  emit('connection', now);
  if (now) refresh().catch(() => null);
}

/**
 * Open the one stream of events. It comes back by itself.
 * A browser has six connections to a server for all its pages, so a hidden page has no stream.
 */
function listen() {
  source?.close();
  source = null;
  if (document.hidden) return;
  const stream = source = new EventSource(`/api/events${query({ after: lastId || null })}`);
  stream.addEventListener('open', () => connection(true));
  stream.addEventListener('error', () => {
    connection(false);
    if (stream.readyState !== EventSource.CLOSED || stream !== source) return;
    setTimeout(listen, 2000);
    get('/api/state').catch(({ status }) => emit('refused', status === 401 || status === 403));
  });
  /** @param {string} name @param {(data: any) => void} fn */
  const take = (name, fn) => stream.addEventListener(name, (event) => {
    const { data, lastEventId } = /** @type {MessageEvent} */ (event);
    lastId = lastEventId;
    fn(JSON.parse(data));
  });
  take('state', ({ version }) => { if (version !== latest.version) refresh().catch(() => null); });
  take('job', (/** @type {Job} */ job) => {
    latest.jobs = [job, ...latest.jobs.filter((other) => other.id !== job.id)];
    emit('job', job);
  });
  take('models', (data) => { refresh().catch(() => null); emit('models', data); });
  take('folder', (data) => { latest.trouble = data.trouble ?? latest.trouble; emit('folder', data); });
}

/** Listen only while the page is seen; what has changed in between comes then. */
export function listenWhileSeen() {
  document.addEventListener('visibilitychange', () => {
    listen();
    if (source) refresh().catch(() => null);
  });
  listen();
}
