/** The regions of a recording as a table; only the rows in view are elements, however many there are. */

import { clock, h, icon, number } from './dom.js';
import { label } from './parts.js';
import { EDITOR } from './texts.js';

/** @typedef {import('./types.js').Clip} Clip */

const SPARE = 6; // rows above and below those in view

export class RegionTable {
  /** @param {{choose: (id: string) => void, remove: (id: string) => void}} acts */
  constructor(acts) {
    this.acts = acts;
    /** @type {Clip[]} */
    this.regions = [];
    /** @type {string|null} */
    this.chosen = null;
    this.first = -1;
    this.last = -1;
    this.rows = h('div.rows', { role: 'rowgroup' });
    const heads = [EDITOR.columns.label, EDITOR.columns.start, EDITOR.columns.end, EDITOR.columns.seconds, ''].map((text, k) => h('span', { role: 'columnheader', class: k && k < 4 ? 'n' : '' }, text || h('span.hidden', EDITOR.remove)));
    this.scroll = h('div.regions-table', { role: 'table', 'aria-label': EDITOR.table, tabindex: '0', onscroll: () => this.draw() }, h('div', { role: 'rowgroup' }, h('div.region-row.head', { role: 'row' }, heads)), this.rows);
    this.sizes = new ResizeObserver(() => this.draw());
    this.sizes.observe(this.scroll);
  }

  /** @param {Clip[]} regions @param {string|null} chosen */
  show(regions, chosen) {
    const isNew = chosen !== this.chosen;
    this.regions = regions;
    this.chosen = chosen;
    this.scroll.style.setProperty('--n', String(regions.length));
    this.scroll.setAttribute('aria-rowcount', String(regions.length + 1));
    if (isNew && chosen) this.bring(regions.findIndex(({ id }) => id === chosen));
    this.first = -1;
    this.draw();
  }

  get rowHeight() {
    return this.rows.offsetHeight / Math.max(1, this.regions.length) || 34;
  }

  /** @param {number} k */
  bring(k) {
    const { scroll, rowHeight } = this, head = rowHeight;
    if (k < 0) return;
    if (k * rowHeight < scroll.scrollTop) scroll.scrollTop = k * rowHeight;
    else if ((k + 2) * rowHeight + head > scroll.scrollTop + scroll.clientHeight) scroll.scrollTop = (k + 2) * rowHeight + head - scroll.clientHeight;
  }

  draw() {
    const { rowHeight, scroll } = this, first = Math.max(0, Math.floor(scroll.scrollTop / rowHeight) - SPARE), last = Math.min(this.regions.length, Math.ceil((scroll.scrollTop + scroll.clientHeight) / rowHeight) + SPARE);
    if (first === this.first && this.last === last) return;
    const focused = /** @type {HTMLElement|null} */ (document.activeElement?.closest('.region-row button'))?.dataset.of;
    this.first = first;
    this.last = last;
    this.rows.replaceChildren(...this.regions.slice(first, last).map((clip, k) => this.row(clip, first + k)));
    if (focused) /** @type {HTMLElement|null} */ (this.rows.querySelector(`[data-of="${focused}"]`))?.focus({ preventScroll: true });
  }

  /** @param {Clip} clip @param {number} k */
  row({ id, start, end, label: name }, k) {
    const a = start ?? 0, b = end ?? a, words = EDITOR.region(name ?? EDITOR.noClass, clock(a, 1));
    return h('div.region-row', { role: 'row', 'aria-rowindex': k + 2, 'aria-selected': String(id === this.chosen), style: { '--i': k } },
      h('span', { role: 'cell' }, h('button.go-to', { type: 'button', 'data-of': `go ${id}`, title: words, onclick: () => this.acts.choose(id) }, label(name ?? 'unknown'))),
      h('span.n', { role: 'cell' }, clock(a, 2)), h('span.n', { role: 'cell' }, clock(b, 2)), h('span.n', { role: 'cell' }, number(b - a, 2)),
      h('span', { role: 'cell' }, h('button.icon-button', { type: 'button', 'data-of': `no ${id}`, 'aria-label': EDITOR.removeOf(words), onclick: () => this.acts.remove(id) }, icon('bin'))));
  }

  close() {
    this.sizes.disconnect();
  }
}
