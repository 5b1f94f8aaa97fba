/** Long recordings: a list with lengths and regions; each opens in the editor. */

import { get, on, query } from '../api.js';
import { h, number, put, say, seconds } from '../dom.js';
import { empty } from '../parts.js';
import { DATA } from '../texts.js';
import { Virtual } from '../virtual.js';

/** @typedef {{id: string, name: string, seconds: number|null, error: string|null, regions: unknown[]|number}} Long */

/** @param {Long} recording */
const row = ({ id, name, seconds: length, error, regions }) => h('a.long-row', { href: `#/data/long/${id}`, role: 'listitem' }, h('b.name', { title: name }, name), h('span.num', error ?? seconds(length)),
  h('span.num', `${number(Array.isArray(regions) ? regions.length : regions ?? 0)} ${DATA.labels}`));

/** @param {HTMLElement} box @returns {import('../types.js').Made} */
export function longList(box) {
  const list = h('div.longs', { role: 'list', 'aria-label': DATA.long }), none = empty(DATA.longEmpty, DATA.longEmptyText);
  none.hidden = true;
  put(box, list, none);
  const virtual = new Virtual(list, {
    load: async (first, count) => {
      const { total, recordings } = await get(`/api/recordings${query({ first, count, long: true })}`);
      return { total, items: recordings };
    },
    make: row, key: ({ id }) => id, height: 2.9, gap: 0.1, onerror: (error) => say(error.message), onload: (total) => { none.hidden = total > 0; list.hidden = !total; },
  });
  virtual.refresh();
  const off = on('state', () => virtual.refresh());
  return { leave: () => { off(); virtual.leave(); } };
}
