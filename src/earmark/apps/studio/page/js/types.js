/** Shapes of what the server sends: types only, no code. */

/** @typedef {{id: string, recording: string, name: string, start: number|null, end: number|null, seconds: number|null, label: string|null, group: string|null, take: string|null, error: string|null, is_recorded?: boolean}} Clip */
/** @typedef {{version: number, total: number, clips: Clip[]}} ClipPage */
/** @typedef {{name: string, n_clips: number, n_takes: number}} ClassCount */
/** @typedef {{kind: string, detail: string}} Trouble */
/** @typedef {{name: string, steps: number|null, done: number|null, seconds: number|null}} Stage */
/** @typedef {{id: string, kind: string, choices: Object<string, any>, command: string, state: 'running'|'done'|'failed'|'stopped', stage: string|null, stages: Stage[], left_s: number|null, started_at: string, ended_at: string|null, error: string|null, result?: any}} Job */
/**
 * @typedef {object} State
 * @property {number} version
 * @property {{name: string, path: string}} folder
 * @property {{recordings: number, clips: number, labelled: number, unlabelled: number, left_out: number}} counts
 * @property {ClassCount[]} classes
 * @property {string[]} columns
 * @property {string|null} undo
 * @property {string|null} redo
 * @property {{id: string, name: string}[]} manifests
 * @property {Trouble[]} trouble
 * @property {boolean} can_write
 * @property {string[]} models
 * @property {Job[]} jobs
 * @property {{upload_bytes: number, piece_s: number}} limits
 * @property {boolean} is_remote
 * @property {string} version_text
 */
/** @typedef {{version: number, said: string}} Change */
/** @typedef {{levels: Uint8Array, columns: number, rows: number, seconds: number, topHz: number, start: number}} Picture */
/** @typedef {{kind: string, choices: Object<string, any>}} Choices */
/** @typedef {{command(value: string|Choices): void}} Frame What a screen may do to the frame around it. */
/** @typedef {{command?: string|Choices, keys?(key: string, event: KeyboardEvent): boolean|void, leave?(): void, update?(name: string, data: any): void}} Made */

export default null;
