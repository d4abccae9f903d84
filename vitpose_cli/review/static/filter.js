// Which frames are listed.

import {app} from './app.js';
import {$, newIcon} from './elements.js';
import {lookAgain, openFrame} from './frames.js';
import {list} from './list.js';
import {banner, toast} from './notices.js';
import {progress} from './progress.js';
import {ask} from './server.js';
import {debounced, wait} from './tools.js';
import {counted, readable, STATE_WORDS} from './words.js';

export const filter = {
  request: null, // stops the last request
  newest: null, // the promise of it

  query() {
    const states = [...$('filter-states').querySelectorAll('input:checked')].map(
      (input) => input.value,
    );
    const score = Number($('filter-score').value);
    return {
      queued: app.queued ? 1 : 0,
      states: states.join(','),
      video: $('filter-video').value,
      keypoint: $('filter-keypoint').value,
      max_score: score > 1 ? '' : score,
      order: $('filter-order').value,
      text: $('search').value.trim(),
    };
  },

  /** List what the filter leaves, or what another leaves that was asked for meanwhile. */
  apply() {
    // While a run is read, each search holds one of the browser's few connections. The first list
    // holds none for long, and tells that the run is being read.
    if (app.numFrames) this.request.abort();
    this.request = new AbortController();
    this.newest = this.applyNow(this.request);
    return this.newest;
  },

  async applyNow(request) {
    const query = this.query();
    const score = Number(query.max_score);
    $('filter-score-value').textContent = score ? score.toFixed(2) : 'any';
    const {queued, order, text, ...narrowing} = query;
    $('filter-toggle').dataset.active = Object.values(narrowing).some(Boolean) || order !== 'queue';
    const {signal} = request;
    const found = await ask(`frames?${new URLSearchParams(query)}`, null, {signal}).catch((error) => {
      if (request === this.request) throw error;
      return {num_read: null}; // nobody waits for it any more
    });
    await (request === this.request ? this.show(found, query) : this.newest);
    if (found.num_read !== null) readOn();
  },

  /** Go to what the search has found: to its first frame, unless the open one is among them. */
  async goToFound() {
    $('list').focus();
    await this.apply(); // typed as quickly as that, it has not been asked for yet
    list.openFirst();
  },

  async show(found, {queued}) {
    list.show(found);
    app.numFrames = found.num_frames;
    progress.update(found);
    const total = queued ? app.run.num_queued : found.num_frames;
    const count = list.numbers.length;
    if (found.num_read !== null) this.showReading(found.num_read);
    else
      $('frames-count').textContent =
        (count === total ? '' : `${count.toLocaleString()} of `) + counted(total, 'frame');
    if (!app.frame && app.opening === null && count)
      await openFrame(list.nextOpen() ?? list.numbers[0]);
    if (!count) toast('No frame fits this filter.');
  },

  showReading(numRead) {
    $('frames-count').textContent =
      `The first ${list.numbers.length.toLocaleString()} frames; the rest is being read: ` +
      `${numRead.toLocaleString()} so far`;
  },

  showVideos() {
    const {videos} = app.run;
    const choice = $('filter-video');
    const {value, options: [every]} = choice;
    choice.replaceChildren(every, ...videos.map((video) => new Option(video, video)));
    choice.value = value; // which may have been chosen while the run was being read
    $('filter-video-field').hidden = !videos.length;
  },

  setUp() {
    const {run} = app;
    app.queued = run.num_queued > 0;
    $('scope').hidden = !app.queued;
    const [queue, all] = $('scope').children;
    queue.textContent = `Queue · ${run.num_queued.toLocaleString()}`;
    all.textContent = 'All frames';
    for (const button of [queue, all]) {
      button.addEventListener('click', () => {
        app.queued = button === queue;
        queue.setAttribute('aria-pressed', app.queued);
        all.setAttribute('aria-pressed', !app.queued);
        this.apply();
      });
    }
    for (const state of run.states) $('filter-states').append(chip(state));
    this.showVideos();
    run.keypoints.forEach((name, keypoint) =>
      $('filter-keypoint').append(new Option(readable(name), keypoint)),
    );
    const apply = debounced(() => this.apply(), 150);
    $('filters').addEventListener('input', apply);
    let byHand = false; // with the pointer: then keys go on to be those of the picture
    for (const kind of ['pointerdown', 'keydown'])
      $('filters').addEventListener(kind, () => {
        byHand = kind === 'pointerdown';
      });
    $('filters').addEventListener('change', () => {
      if (byHand) $('frames').focus({preventScroll: true});
    });
    $('filters').addEventListener('reset', () => setTimeout(apply));
    $('filters').addEventListener('submit', (event) => event.preventDefault());
    $('search').addEventListener('input', apply);
    $('search').addEventListener('keydown', (event) => {
      if (event.isComposing) return;
      if (event.key === 'Enter') this.goToFound();
      else if (event.key === 'ArrowDown') $('list').focus();
    });
    $('new-frames').addEventListener('click', () => this.apply());
  },
};

function chip(state) {
  const label = document.createElement('label');
  label.className = 'chip';
  label.dataset.state = state;
  const input = Object.assign(document.createElement('input'), {type: 'checkbox', value: state});
  const face = document.createElement('span');
  face.append(newIcon(state), STATE_WORDS[state]);
  label.append(input, face);
  return label;
}

/** Tell how far the run has been read, whose first frames are listed; then list all of them. */
async function readOn() {
  if (app.reading) return;
  app.reading = true;
  for (;;) {
    const answer = await ask('progress').catch(() => ({}));
    if (answer.problem) {
      banner(`The rest of the run cannot be read. ${answer.problem}`, 'problem');
      return;
    }
    if (answer.num_read === null) break;
    if (answer.num_read) filter.showReading(answer.num_read);
    await wait(500);
  }
  app.reading = false;
  app.run = await ask('run');
  filter.showVideos();
  await filter.apply();
  await lookAgain('This frame was labelled again later: these labels count.');
}
