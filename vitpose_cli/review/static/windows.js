// What the server answers to an edit, where another window may have made one meanwhile.

import {app, render} from './app.js';
import {choose} from './choice.js';
import {$} from './elements.js';
import {isOfModel, lookAt, takeFrame} from './frames.js';
import {list} from './list.js';
import {progress} from './progress.js';
import {saver} from './saver.js';
import {timeline} from './timeline.js';

export function saved(number, view) {
  list.setRow({
    ...view.row,
    ...(saver.isPending(number) && {state: list.rows.get(number)?.state ?? view.row.state}),
  });
  progress.update(view);
  if (app.frame?.number === number) {
    if (!saver.isPending(number)) app.frame.state = view.row.state;
    app.frame.version = view.version;
    app.frame.reviewer = view.reviewer;
    app.frame.edited_at_s = view.edited_at_s;
  }
  render(); // who is who in a frame follows from the labels of others, too
}

/** Show what counts of a frame, as the server told or else tells, in place of a dropped edit. */
export async function dropped(number, current) {
  timeline.forget(number);
  const view = current ?? (await lookAt(number));
  if (!view) return;
  list.setRow(view.row);
  progress.update(view);
  saver.know(number, view.version);
  if (app.frame?.number === number) {
    takeFrame(number, view);
    choose(null, null);
  }
}

export function askForChoice(job, current) {
  const dialog = $('conflict');
  const who = current.reviewer ? `by ${current.reviewer} ` : '';
  const when = current.edited_at_s
    ? `at ${new Date(1000 * current.edited_at_s).toLocaleTimeString()} `
    : '';
  const what = isOfModel(current)
    ? 'got other labels from its run'
    : `was changed ${who}${when}in another window`;
  $('conflict-text').textContent =
    `${job.name} ${what}, while it was open here. ` +
    'Nothing is lost: both versions stay in the history. Which one counts?';
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => {
      if (dialog.returnValue) resolve(dialog.returnValue);
      else dialog.showModal(); // Escape is no answer
    };
  });
}
