/** Lists of any length: only the items in view are in the page, and only the pages around them in memory. */

const PAGE = 100; // items asked for at once
const PAGES = 8; // pages kept
const SPARE_ROWS = 2; // above and below the view

/**
 * @template T
 * @typedef {object} VirtualOptions
 * @property {(first: number, count: number) => Promise<{total: number, items: T[]}>} load
 * @property {(item: T, index: number) => HTMLElement} make
 * @property {(item: T) => string} key
 * @property {number} height of an item in rem
 * @property {number} [width] least width of an item in rem; without it an item is as wide as the list
 * @property {number} [gap] in rem
 * @property {(error: Error) => void} [onerror]
 * @property {(total: number) => void} [onload]
 */

/** @template T */
export class Virtual {
  total = 0;
  columns = 1;
  /** @type {Map<number, T[]>} */
  #pages = new Map();
  /** @type {Map<number, Promise<void>>} */
  #coming = new Map();
  /** @type {Map<string, {element: HTMLElement, stamp: string}>} */
  #shown = new Map();
  #turn = 0;
  #frame = 0;

  /** @param {HTMLElement} box the element that scrolls @param {VirtualOptions<T>} options */
  constructor(box, options) {
    this.box = box;
    this.options = options;
    this.room = document.createElement('div');
    this.room.className = 'virtual';
    this.room.setAttribute('role', 'none');
    box.append(this.room);
    box.addEventListener('scroll', () => this.#soon(), { passive: true });
    this.sizes = new ResizeObserver(() => this.#soon());
    this.sizes.observe(box);
  }

  /** The item at a place, if it is in memory. @param {number} index @returns {T|undefined} */
  at(index) { return this.#pages.get(Math.floor(index / PAGE))?.[index % PAGE]; }

  /** Items from a place to another, asked for where needed. @param {number} first @param {number} last @returns {Promise<T[]>} */
  async between(first, last) {
    /** @type {T[]} */
    const items = [];
    for (let page = Math.floor(first / PAGE); page <= Math.floor(last / PAGE); page++) {
      const held = this.#pages.get(page) ?? (await this.options.load(page * PAGE, PAGE)).items;
      held.forEach((item, k) => { if (page * PAGE + k >= first && page * PAGE + k <= last) items.push(item); });
    }
    return items;
  }

  /** The element of an item in view. @param {string} key */
  elementOf(key) { return this.#shown.get(key)?.element; }

  /** All elements in view. */
  elements() { return [...this.#shown.values()].map(({ element }) => element); }

  /** Ask for what is in view anew; what is shown stays until the answer is here. */
  async refresh() {
    const turn = ++this.#turn, [first, last] = this.#view(), from = Math.floor(first / PAGE), to = Math.max(from, Math.floor(Math.max(last - 1, 0) / PAGE));
    this.#coming.clear();
    try {
      const answers = await Promise.all(Array.from({ length: to - from + 1 }, (_, k) => this.options.load((from + k) * PAGE, PAGE)));
      if (turn !== this.#turn) return;
      this.#pages.clear();
      answers.forEach(({ items }, k) => this.#pages.set(from + k, items));
      this.#count(answers[0].total);
      this.#render();
    } catch (error) { this.options.onerror?.(/** @type {Error} */ (error)); }
  }

  /** Make all items again: something that they show has changed. */
  redraw() {
    for (const shown of this.#shown.values()) shown.stamp = '';
    this.#render();
  }

  /** Scroll to an item and return its element. @param {number} index @returns {Promise<HTMLElement|undefined>} */
  async reveal(index) {
    const { row } = this.#sizes(), top = Math.floor(index / this.columns) * row, { scrollTop, clientHeight } = this.box;
    if (top < scrollTop) this.box.scrollTop = top;
    else if (top + row > scrollTop + clientHeight) this.box.scrollTop = top + row - clientHeight;
    this.#render();
    await this.#coming.get(Math.floor(index / PAGE));
    const item = this.at(index);
    return item && this.elementOf(this.options.key(item));
  }

  leave() {
    this.sizes.disconnect();
    cancelAnimationFrame(this.#frame);
    this.#turn++;
  }

  #soon() {
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => this.#render());
  }

  #sizes() {
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize), { height, width, gap = 0.5 } = this.options;
    this.columns = width ? Math.max(1, Math.floor((this.room.clientWidth + gap * rem) / ((width + gap) * rem))) : 1;
    return { row: (height + gap) * rem, gap: gap * rem, rem };
  }

  /** The first item in view, and the one after the last. @returns {[number, number]} */
  #view() {
    const { row } = this.#sizes(), { scrollTop, clientHeight } = this.box;
    const first = Math.max(0, Math.floor(scrollTop / row) - SPARE_ROWS), last = Math.ceil((scrollTop + clientHeight) / row) + SPARE_ROWS;
    return [first * this.columns, Math.min(Math.max(this.total, this.columns), last * this.columns)];
  }

  /** @param {number} total */
  #count(total) {
    this.total = total;
    const { row, gap } = this.#sizes();
    this.room.style.setProperty('height', `${Math.max(0, Math.ceil(total / this.columns) * row - gap)}px`);
    this.options.onload?.(total);
  }

  /** @param {number} page */
  #fetch(page) {
    if (this.#pages.has(page) || this.#coming.has(page)) return;
    const turn = this.#turn;
    this.#coming.set(page, this.options.load(page * PAGE, PAGE).then(({ total, items }) => {
      if (turn !== this.#turn) return;
      this.#pages.set(page, items);
      if (total !== this.total) this.#count(total);
      this.#forget(page);
      this.#render();
    }, (error) => this.options.onerror?.(error)).finally(() => { if (turn === this.#turn) this.#coming.delete(page); }));
  }

  /** Keep the pages next to one. @param {number} near */
  #forget(near) {
    for (const page of [...this.#pages.keys()].toSorted((a, b) => Math.abs(b - near) - Math.abs(a - near))) {
      if (this.#pages.size <= PAGES) return;
      this.#pages.delete(page);
    }
  }

  #render() {
    if (!this.box.isConnected) return;
    const before = this.columns, { row, gap } = this.#sizes();
    if (this.columns !== before) this.room.style.setProperty('height', `${Math.max(0, Math.ceil(this.total / this.columns) * row - gap)}px`);
    const [first, last] = this.#view(), kept = new Set();
    for (let index = first; index < last && index < this.total; index++) {
      const item = this.at(index);
      if (!item) this.#fetch(Math.floor(index / PAGE));
      else kept.add(this.#place(item, index, row, gap));
    }
    for (const [key, { element }] of this.#shown) {
      if (kept.has(key)) continue;
      element.remove();
      this.#shown.delete(key);
    }
  }

  /** @param {T} item @param {number} index @param {number} row @param {number} gap @returns {string} its key */
  #place(item, index, row, gap) {
    const key = this.options.key(item), stamp = JSON.stringify(item), shown = this.#shown.get(key);
    let element = shown?.element;
    if (!element || shown?.stamp !== stamp) {
      const made = this.options.make(item, index), hadFocus = element === document.activeElement;
      element?.replaceWith(made);
      element = made;
      this.#shown.set(key, { element, stamp });
      if (!element.isConnected) this.room.append(element);
      if (hadFocus) element.focus({ preventScroll: true });
    }
    const column = index % this.columns;
    element.dataset.index = String(index);
    element.setAttribute('aria-posinset', String(index + 1));
    element.setAttribute('aria-setsize', String(this.total));
    element.style.setProperty('top', `${Math.floor(index / this.columns) * row}px`);
    element.style.setProperty('left', `calc((100% + ${gap}px) * ${column} / ${this.columns})`);
    element.style.setProperty('width', `calc((100% + ${gap}px) / ${this.columns} - ${gap}px)`);
    element.style.setProperty('height', `${row - gap}px`);
    return key;
  }
}
