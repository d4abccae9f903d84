// The list of frames.

import {app} from './app.js';
import {$, remPx, setIcon} from './elements.js';
import {saver} from './saver.js';
import {ask} from './server.js';
import {clamp, debounced, wait} from './tools.js';
import {STATE_WORDS} from './words.js';

const END_CHARS = 11; // of a name, which stay where it is cut: frames differ in `000123.jpg`
const MAX_LIST_PX = 8e6; // browsers cannot make elements much taller

/** The frames that the filter leaves; only rows that can be seen exist. */
class FrameList {
  constructor() {
    this.on = null; // open(number), leave(): a row was clicked
    this.box = $('list');
    this.space = $('list-space');
    this.numbers = [];
    this.states = [];
    this.rows = new Map(); // number -> what the server told
    this.elements = new Map(); // position -> element
    this.position = -1;
    this.load = debounced(() => this.fetchRows(), 40);
    this.box.addEventListener('scroll', () => this.render());
    this.box.addEventListener('keydown', (event) => this.key(event));
    this.box.addEventListener('click', (event) => {
      const row = event.target.closest('.row');
      if (!row) return;
      this.on.open(this.numbers[Number(row.dataset.position)]);
      this.on.leave();
    });
    new ResizeObserver(() => this.layout()).observe(this.box);
  }

  /** List what the server has found. */
  show(found) {
    this.numbers = found.numbers;
    this.states = Array.from(found.states, (digit) => app.run.states[Number(digit)]);
    this.rows.clear();
    this.position = this.numbers.indexOf(app.opening ?? app.frame?.number);
    this.layout();
    this.reveal();
  }

  setState(number, state, numPeople) {
    const position = this.numbers.indexOf(number);
    if (position >= 0) this.states[position] = state;
    const row = this.rows.get(number);
    if (row) Object.assign(row, {state, num_people: numPeople});
    this.render();
  }

  setRow(row) {
    this.rows.set(row.number, row);
    const position = this.numbers.indexOf(row.number);
    if (position >= 0) this.states[position] = row.state;
    this.render();
  }

  select(number) {
    this.position = this.numbers.indexOf(number);
    this.reveal();
    this.render();
  }

  /** Open the first frame where the open one is not listed. */
  openFirst() {
    if (this.position < 0 && this.numbers.length) this.on.open(this.numbers[0]);
  }

  /** Return the number of the frame some steps away, undefined at the ends. */
  step(steps) {
    return this.numbers[this.position + steps];
  }

  /** Return the next frame that nobody has decided about, from the one that is open. */
  nextOpen() {
    const count = this.numbers.length;
    for (let step = 1; step <= count; step++) {
      const position = (this.position + step) % count;
      if (['todo', 'draft'].includes(this.states[position]) && position !== this.position)
        return this.numbers[position];
    }
    return undefined;
  }

  // -- rows

  get visibleRows() {
    return this.box.clientHeight / this.rowPx;
  }
  get squeezed() {
    return this.numbers.length * this.rowPx > MAX_LIST_PX;
  }

  /** The position at the top edge of the list; not a whole number. */
  get top() {
    if (!this.squeezed) return this.box.scrollTop / this.rowPx;
    const range = this.space.offsetHeight - this.box.clientHeight;
    return (this.box.scrollTop / range) * (this.numbers.length - this.visibleRows);
  }

  set top(position) {
    const wanted = clamp(position, 0, Math.max(0, this.numbers.length - this.visibleRows));
    if (this.squeezed) {
      const range = this.space.offsetHeight - this.box.clientHeight;
      this.box.scrollTop = (wanted / (this.numbers.length - this.visibleRows)) * range;
    } else {
      this.box.scrollTop = wanted * this.rowPx;
    }
  }

  layout() {
    this.rowPx = 4 * remPx();
    this.space.style.height = `${Math.min(this.numbers.length * this.rowPx, MAX_LIST_PX)}px`;
    for (const element of this.elements.values()) element.remove();
    this.elements.clear();
    this.render();
  }

  reveal() {
    if (this.position < 0) return;
    if (this.position < this.top) this.top = this.position;
    else if (this.position + 1 > this.top + this.visibleRows)
      this.top = this.position + 1 - this.visibleRows;
  }

  render() {
    const top = this.top;
    const first = Math.max(0, Math.floor(top) - 3);
    const last = Math.min(this.numbers.length, Math.ceil(top + this.visibleRows) + 3);
    for (const [position, element] of this.elements) {
      if (position < first || position >= last) {
        element.remove();
        this.elements.delete(position);
      }
    }
    for (let position = first; position < last; position++) {
      if (!this.elements.has(position)) this.elements.set(position, this.create(position));
      const element = this.elements.get(position);
      const offset = this.squeezed
        ? this.box.scrollTop + (position - top) * this.rowPx
        : position * this.rowPx;
      element.style.transform = `translateY(${offset}px)`;
      this.fill(element, position);
    }
    const current = this.elements.get(this.position);
    if (current) this.box.setAttribute('aria-activedescendant', current.id);
    else this.box.removeAttribute('aria-activedescendant');
    this.load();
  }

  create(position) {
    const element = $('row-template').content.firstElementChild.cloneNode(true);
    element.id = `row-${position}`;
    element.dataset.position = position;
    element.setAttribute('aria-posinset', position + 1);
    element.setAttribute('aria-setsize', this.numbers.length);
    this.space.append(element);
    return element;
  }

  fill(element, position) {
    const state = this.states[position];
    const row = this.rows.get(this.numbers[position]);
    element.dataset.state = state;
    element.setAttribute('aria-selected', position === this.position);
    setIcon(element.querySelector('.badge svg'), state);
    if (!row) return;
    const slash = row.name.lastIndexOf('/');
    const people = row.num_people === 1 ? '1 person' : `${row.num_people ?? '…'} people`;
    const score = row.num_people ? ` · ${row.score.toFixed(2)}` : '';
    element.title = `${row.name}\n${STATE_WORDS[state]}`;
    const [start, end] = element.querySelector('.row-name').children;
    const letters = [...row.name.slice(slash + 1)]; // whole ones: some are two of a string's units
    start.textContent = letters.slice(0, -END_CHARS).join('');
    end.textContent = letters.slice(-END_CHARS).join('');
    element.querySelector('.row-folder').textContent = row.name.slice(0, Math.max(slash, 0));
    element.querySelector('.row-facts').textContent =
      state === 'failed' ? 'unreadable' : people + score;
    element.setAttribute('aria-label', `${row.name}, ${people}, ${STATE_WORDS[state]}`);
  }

  /** Take note of a row that was not known when it was asked for, nor came since. */
  setNewRow(row) {
    this.rows.set(row.number, row);
    const position = [...this.elements.keys()].find((each) => this.numbers[each] === row.number);
    if (position !== undefined && !saver.isPending(row.number)) this.states[position] = row.state;
  }

  /** Get what the visible rows show; only where scrolling has come to a rest. */
  async fetchRows() {
    const shown = [...this.elements].map(([position, element]) => [
      this.numbers[position],
      element,
    ]);
    const missing = shown.map(([number]) => number).filter((number) => !this.rows.has(number));
    if (missing.length) {
      const rows = await ask(`rows?numbers=${missing}`).catch(() => []);
      for (const row of rows) if (!this.rows.has(row.number)) this.setNewRow(row);
      if (rows.length) this.render();
    }
    while (app.opening !== null) await wait(40); // its picture comes first
    for (const [number, element] of shown) {
      const image = element.querySelector('img');
      if (image.src || !element.isConnected) continue;
      image.addEventListener('load', () => image.classList.add('ready'), {once: true});
      image.src = `api/frames/${number}/thumbnail`;
    }
  }

  key(event) {
    const page = Math.max(1, Math.floor(this.visibleRows) - 1);
    const steps = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: page,
      PageUp: -page,
      Home: -Infinity,
      End: Infinity,
    }[event.key];
    if (event.key === 'Enter') {
      this.openFirst();
      $('overlay').focus();
    } else if (steps === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    else {
      const position = clamp(this.position + steps, 0, this.numbers.length - 1);
      if (this.numbers.length) this.on.open(this.numbers[position]);
    }
    event.preventDefault();
    event.stopPropagation();
  }
}

export const list = new FrameList();
