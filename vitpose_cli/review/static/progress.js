// How far the review is.

import {app, DECIDED} from './app.js';
import {$} from './elements.js';
import {visitStore} from './store.js';

/** How far the review is, and how long a frame takes: only time in which something happens. */
class Progress {
  constructor() {
    this.counts = null;
    this.numLabelChanges = 0; // by all windows: any of them may change who is who in other frames
    this.seconds = 0;
    this.lastActivity = Date.now();
    for (const kind of ['pointerdown', 'pointermove', 'keydown', 'wheel']) {
      document.addEventListener(
        kind,
        () => {
          this.lastActivity = Date.now();
        },
        {passive: true, capture: true},
      );
    }
    setInterval(() => this.tick(), 1000);
  }

  get #key() {
    return `vitpose-review ${app.run.id} seconds`;
  }
  get #times() {
    return JSON.parse(visitStore.get(this.#key) ?? '[]');
  }

  tick() {
    if (document.hidden || Date.now() - this.lastActivity > 30_000 || !app.frame) return;
    this.seconds += 1;
    this.renderPace();
  }

  /** A frame has been decided: its time counts. */
  decided() {
    const times = [...this.#times, Math.max(this.seconds, 1)].slice(-100);
    visitStore.set(this.#key, JSON.stringify(times));
  }

  update(answer) {
    this.counts = app.queued ? answer.queue_counts : answer.counts;
    this.numLabelChanges = answer.num_label_changes;
    const total = Object.values(this.counts).reduce((sum, count) => sum + count, 0);
    const done = [...DECIDED].reduce((sum, state) => sum + this.counts[state], 0);
    for (const part of $('meter').children)
      part.style.width = `${(100 * this.counts[part.className]) / Math.max(total, 1)}%`;
    $('meter').setAttribute('aria-valuemax', total);
    $('meter').setAttribute('aria-valuenow', done);
    $('progress-text').textContent = `${done.toLocaleString()} of ${total.toLocaleString()}`;
    const fresh = answer.num_frames - app.numFrames;
    $('new-frames').hidden = fresh <= 0;
    $('new-frames').textContent = `${fresh.toLocaleString()} new`;
    this.renderPace();
  }

  renderPace() {
    const clock = `${Math.floor(this.seconds / 60)}:${String(this.seconds % 60).padStart(2, '0')}`;
    const times = this.#times.sort((a, b) => a - b);
    if (!times.length || !this.counts) {
      $('pace').textContent = `${clock} here`;
      return;
    }
    const median = times[times.length >> 1];
    const left = (this.counts.todo + this.counts.draft) * median;
    const remaining =
      left < 90
        ? `${Math.round(left)} s`
        : left < 5400
          ? `${Math.round(left / 60)} min`
          : `${(left / 3600).toFixed(1)} h`;
    $('pace').textContent = `${clock} here · ${median} s a frame · ${remaining} left`;
  }
}

export const progress = new Progress();
