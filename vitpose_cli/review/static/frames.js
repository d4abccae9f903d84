// Frames are opened, and looked at again.

import {app, DECIDED, render} from './app.js';
import {choose} from './choice.js';
import {$} from './elements.js';
import {list} from './list.js';
import {banner, toast} from './notices.js';
import {progress} from './progress.js';
import {saver} from './saver.js';
import {ask} from './server.js';
import {stage} from './stage.js';
import {timeline} from './timeline.js';

const pictures = new Map(); // number -> Image, of the frame that is open and those that come next

/** Return the picture of a frame, which may be on its way; ask anew for one that did not come. */
function pictureOf(number) {
  let picture = pictures.get(number);
  if (!picture || (picture.complete && !picture.naturalWidth)) {
    picture = new Image();
    picture.fetchPriority = 'high'; // before thumbnails
    picture.src = `api/frames/${number}/picture`;
  }
  pictures.delete(number); // the first one is the one that was not asked for the longest
  pictures.set(number, picture);
  if (pictures.size > 8) pictures.delete(pictures.keys().next().value);
  return picture;
}

/** Do not wait for other pictures than this frame's. */
function hurry(number) {
  for (const [other, picture] of pictures) {
    if (other === number || picture.complete) continue;
    pictures.delete(other);
    picture.src = '';
  }
}

/** Open the next frame that nobody has decided about, here or in another window. */
export async function openNextOpen() {
  const next = list.nextOpen();
  if (next !== undefined && next !== app.frame.number) return openFrame(next, {onlyOpen: true});
  if (app.opening === null) list.select(app.frame.number);
  const done = DECIDED.has(app.frame.state);
  return toast(`Every ${done ? '' : 'other '}frame in this list is decided.`, 6);
}

let openings = 0; // a frame may be asked for again while the first answer is on its way

/** Open a frame; the one before stays until the new one can be seen. */
export async function openFrame(number, {onlyOpen = false} = {}) {
  if (number === undefined || number === app.frame?.number) {
    app.opening = null;
    if (number !== undefined) list.select(number);
    return undefined;
  }
  const turn = ++openings;
  const isLast = () => app.opening === number && turn === openings;
  app.opening = number;
  list.select(number);
  try {
    hurry(number);
    const picture = pictureOf(number);
    await saver.settled(number, isLast);
    if (!isLast()) return undefined;
    const view = await ask(`frames/${number}`);
    if (onlyOpen && isLast() && DECIDED.has(view.row.state)) {
      list.setRow(view.row);
      app.opening = null;
      return openNextOpen();
    }
    await picture.decode().catch(() => {});
    if (isLast()) showFrame(number, view, picture);
  } catch (error) {
    if (isLast()) {
      toast(error.message, 6);
      list.select(app.frame?.number);
    }
  }
  if (isLast()) app.opening = null;
  return undefined;
}

export function goTo(number) {
  if (number === undefined) toast('There is no further frame in this list.');
  else openFrame(number);
}

function showFrame(number, view, picture) {
  const before = app.frame;
  takeFrame(number, view);
  Object.assign(app, {person: null, keypoint: null, corner: null, adding: false, placing: false});
  progress.seconds = before?.number === number ? progress.seconds : 0;
  const alike =
    before &&
    before.video !== null &&
    before.video === view.video &&
    String(before.size_wh) === String(view.size_wh);
  stage.show(picture, alike);
  $('blank').hidden = picture.naturalWidth > 0;
  picture.hidden = !picture.naturalWidth;
  banner(misfit(picture), 'picture');
  render();
  if (!picture.naturalWidth) explainBlank(number);
  for (const next of [list.nextOpen(), list.step(1)]) if (next !== undefined) pictureOf(next);
}

export function takeFrame(number, view) {
  app.frame = {...view, number, state: view.row.state};
  if (saver.know(number, view.version)) timeline.forget(number);
  list.setRow(view.row);
  progress.update(view);
}

/** Return what to say where the labels cannot be of this picture; nothing where they may be. */
function misfit({naturalWidth, naturalHeight}) {
  const [width, height] = app.frame.size_wh ?? [naturalWidth, naturalHeight];
  const fits =
    !naturalWidth ||
    Math.abs(Math.log((naturalWidth * height) / (naturalHeight * width))) <= 0.02;
  return fits ? '' : `The labels are of a picture of ${width} × ${height}: they do not fit this one.`;
}

/** Say why there is no picture of the open frame. */
async function explainBlank(number) {
  const title = document.createElement('b');
  title.textContent = 'This picture cannot be shown';
  $('blank').replaceChildren(title);
  pictures.delete(number);
  title.after(app.frame.error ?? (await whyNot(`frames/${number}/picture`))); // if it is still there
}

/** Return why there is no such picture. */
async function whyNot(path) {
  try {
    await ask(path);
  } catch (error) {
    if (!(error instanceof SyntaxError)) return error.message; // that is how a picture reads
  }
  return 'It comes now: open another frame, and this one again.';
}

/** Whether no person has decided about a frame: then no window has changed it. */
export const isOfModel = (view) => view.reviewer === null;

/** Return what the server tells of a frame; null where it does not, or where that may be of before
 * something that was done here meanwhile. */
export async function lookAt(number) {
  const version = saver.version(number);
  const view = await ask(`frames/${number}`).catch(() => null);
  return saver.isPending(number) || saver.version(number) !== version ? null : view;
}

/** Look whether another window, or another run of `annotate`, has changed the open frame. */
export async function lookAgain(why = null) {
  const {frame} = app;
  if (!frame || saver.pending || document.hidden) return;
  const view = await lookAt(frame.number);
  if (!view || app.frame !== frame || view.version === frame.version) return;
  takeFrame(frame.number, view);
  choose(null, null);
  const who = isOfModel(view) ? 'Labelled otherwise by its run' : 'Changed in another window';
  toast(why ?? `${who}: this is the new version.`, 5);
}
