/** Long recordings: a list with lengths and regions; each opens in the editor. */

import { get, on, query } from '../api.js';
import { h, put, say, seconds } from '../dom.js';
import { empty } from '../parts.js';
import { DATA, EDITOR } from '../texts.js';
import { Virtual } from '../virtual.js';

/** @typedef {{id: string, name: string, seconds: number|null, error: string|null, n_regions: number}} Long */

/** @param {Long} recording */
const row = ({ id, name, seconds: length, error, n_regions: n }) => h('a.long-row', { href: `#/data/long/${id}`, role: 'listitem' }, h('b.name', { title: name }, name), h('span.num', error ?? seconds(length)),
  h('span.num', EDITOR.regions(n)));

/** @param {HTMLElement} box @returns {import('../types.js').Made} */
export function longList(box) {
  const list = h('div.longs', { role: 'list', 'aria-label': DATA.long }), none = empty(DATA.longEmpty, DATA.longEmptyText), further = h('p.how', DATA.longEmptyText);
  none.hidden = true;
  put(box, list, none, further);
  const virtual = new Virtual(list, {
    load: async (first, count) => {
      const { total, recordings } = await get(`/api/recordings${query({ first, count, long: true })}`);
      return { total, items: recordings };
    },
    make: row, key: ({ id }) => id, height: 2.9, gap: 0.1, onerror: (error) => say(error.message), onload: (total) => { none.hidden = total > 0; list.hidden = further.hidden = !total; },
  });
  virtual.refresh();
  const off = on('state', () => virtual.refresh());
  return { leave: () => { off(); virtual.leave(); } };
}
