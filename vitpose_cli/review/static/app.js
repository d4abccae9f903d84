// The open frame, and how it is shown.

export const DECIDED = new Set(['accepted', 'fixed', 'rejected']);

/** What the page has open and how it shows it. */
export const app = {
  run: null,
  frame: null, // the open frame, as the server tells it; also `number` and `state`
  // who is who, as the server told it of one frame: it follows from all labels before, too
  known: {frame: null, are_given: true, numbers: {}, before: [], lost: []},
  opening: null, // the number of the frame that is on its way
  person: null, // uid of the chosen person
  keypoint: null, // position of the chosen keypoint
  corner: null, // the chosen corner of the person's box, as in `HANDLES`
  ghosts: false,
  names: false,
  labels: true,
  adding: false,
  queued: false, // whether the list is the queue alone
  numFrames: 0, // how many frames the run had when the list was made
  reading: false, // whether the server is still reading the run
  placing: false, // whether the next click places the chosen keypoint, which was unlabelled
  added: new Set(), // uids of people that were added here: their ghosts always show
};

const views = []; // what shows the open frame, in this order

/** Have something shown anew at every `render`. */
export function showBy(...more) {
  views.push(...more);
}

/** Show the open frame as it is now. */
export function render() {
  if (app.frame) for (const view of views) view();
}
