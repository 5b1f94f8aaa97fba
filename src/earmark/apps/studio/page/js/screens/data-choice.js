/** Which clips are chosen, and what is done with them. */

import { get, post, query, refresh, state } from '../api.js';
import { say } from '../dom.js';
import { play, playing, stop } from '../player.js';

/** @typedef {import('../types.js').Clip} Clip */
/** @typedef {import('./data-list.js').ClipList} ClipList */

/** The chosen clips, in order of choice, and the one that the keys move. */
export class Choice {
  /** @type {Map<string, Clip>} */
  clips = new Map();
  /** @type {{list: ClipList, index: number, clip: Clip}|null} */
  lead = null;
  anchor = 0;
  /** @type {Set<() => void>} */
  listeners = new Set();
  /** Told the share of what was played, or -1 at its end. @type {((share: number) => void)|null} */
  follow = null;

  tell() { for (const listener of this.listeners) listener(); }

  /** Choose one clip, or add one, or all up to it. @param {ClipList} list @param {number} index @param {{add?: boolean, range?: boolean}} [how] */
  async pick(list, index, { add = false, range = false } = {}) {
    const clip = list.virtual.at(index);
    if (!clip) return;
    if (range && this.lead?.list === list) {
      const from = Math.min(this.anchor, index), to = Math.max(this.anchor, index);
      this.clips = new Map((await list.virtual.between(from, to)).map((one) => [one.id, one]));
    } else if (add) {
      if (!this.clips.delete(clip.id)) this.clips.set(clip.id, clip);
      this.anchor = index;
    } else {
      this.clips = new Map([[clip.id, clip]]);
      this.anchor = index;
    }
    this.lead = { list, index, clip };
    this.tell();
  }

  /** @param {ClipList} list */
  async pickAll(list) {
    if (!list.virtual.total) return;
    const all = await list.virtual.between(0, list.virtual.total - 1);
    this.clips = new Map(all.map((one) => [one.id, one]));
    this.lead = { list, index: 0, clip: all[0] };
    this.anchor = 0;
    this.tell();
  }

  clear() {
    if (!this.clips.size) return;
    stop();
    this.clips.clear();
    this.lead = null;
    this.tell();
  }

  /** Play the clip of the keys, or end it. */
  toggle() {
    const { lead } = this;
    if (!lead) return;
    if (playing?.id === lead.clip.id) { stop(); return; }
    this.play();
  }

  play() {
    const { lead } = this;
    if (!lead || lead.clip.error) return;
    play(lead.clip.id, {
      onprogress: (share) => {
        lead.list.virtual.elementOf(lead.clip.id)?.style.setProperty('--at', String(share));
        this.follow?.(share);
      },
      onend: (error) => {
        lead.list.virtual.elementOf(lead.clip.id)?.classList.remove('on');
        this.follow?.(-1);
        if (error) say(error);
      },
    });
    lead.list.virtual.elementOf(lead.clip.id)?.classList.add('on');
  }

  /** Ask the server for a change of the chosen clips, and go on to the next clip. @param {string} path @param {Object<string, unknown>} [more] */
  async change(path, more = {}) {
    const ids = [...this.clips.keys()], { lead } = this;
    if (!ids.length) return null;
    const answer = await change(path, { ids, ...more });
    if (!answer) return null;
    this.clips.clear();
    this.lead = null;
    await refresh();
    if (lead) await lead.list.settle(lead.index);
    else this.tell();
    return answer;
  }

  /** @param {string|null} label */
  label(label) { return this.change('/api/label', { label }); }
}

/** Post a change and say what was done, or why not. @param {string} path @param {Object<string, unknown>} body @returns {Promise<any>} null if it was refused */
export async function change(path, body) {
  try {
    const answer = await post(path, body);
    if (answer.said) say(answer.said);
    return answer;
  } catch (error) {
    say(/** @type {Error} */ (error).message);
    return null;
  }
}

/** Load a part of a list of clips. @param {Object<string, string|number|boolean|null>} which @returns {(first: number, count: number) => Promise<{total: number, items: Clip[]}>} */
export const clipsOf = (which) => async (first, count) => {
  const { total, clips } = await get(`/api/clips${query({ ...which, first, count })}`);
  return { total, items: clips };
};

/** The class of a key from 1 to 9. @param {string} key */
export const classOfKey = (key) => (/^[1-9]$/.test(key) ? state().classes[Number(key) - 1]?.name : undefined);
