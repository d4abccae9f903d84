// From one frame to another: decisions, undo, redo.

import {app} from './app.js';
import {become} from './changes.js';
import {openFrame, openNextOpen} from './frames.js';
import {toast} from './notices.js';
import {progress} from './progress.js';
import {saver, WAITS} from './saver.js';
import {stage} from './stage.js';
import {timeline} from './timeline.js';
import {STATE_WORDS} from './words.js';

/** Decide about the open frame, and go on. The server makes `fixed` of what is not as it was. */
export function decide(state) {
  if (saver.isStuck(app.opening)) return toast(WAITS, 6);
  if (app.opening !== null) return undefined; // nobody has seen the frame that is meant
  const {frame} = app;
  if (state !== 'rejected' && (frame.error || !stage.picture.naturalWidth))
    return toast('This picture cannot be shown: the frame can only be rejected.', 6);
  const after = {people: frame.people, state};
  timeline.push({
    number: frame.number,
    label: STATE_WORDS[state].toLowerCase(),
    before: {people: frame.people, state: frame.state},
    after,
  });
  become(after);
  progress.decided();
  return openNextOpen();
}

let travels = Promise.resolve();

/** Undo or redo one step after the other: each has to open its frame first. */
export function travel(side, verb) {
  if (saver.isStuck(app.opening)) return toast(WAITS, 6); // or all would be done at once later
  travels = travels
    .then(() => travelOnce(side, verb))
    .catch((error) => toast(error.message, 6));
  return undefined;
}

async function travelOnce(side, verb) {
  const step = timeline.next(side);
  if (!step) return;
  await openFrame(step.number);
  if (app.frame?.number !== step.number) return; // it is still the next step
  if (!timeline.has(step))
    return toast(`Not ${verb.toLowerCase()}: another window changed this frame meanwhile.`, 6);
  if (timeline.next(side) !== step) return; // something else was done meanwhile
  timeline.pass(side);
  become(step[side]);
  toast(`${verb}: ${step.label}`);
}
