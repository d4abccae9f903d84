// A keypoint: [x, y, seen, score], in pixels of the frame; what it is labelled as, where it may be.

import {app} from './app.js';
import {clamp} from './tools.js';

export const X = 0; // the places in a keypoint
export const Y = 1;
export const SEEN = 2;
export const SCORE = 3;
export const UNLABELLED = 0;
export const VISIBLE = 2;
const BY_HAND = 1; // the score of a keypoint that a person placed; no network gives it

export function inside([x, y]) {
  const [width, height] = app.frame.size_wh;
  return [clamp(x, 0, width - 1), clamp(y, 0, height - 1)];
}

export const insideBox = (box) => [...inside(box), ...inside(box.slice(2))];

/** Whether a place is in the picture, up to its edges: what is not is no label in COCO files. */
export function isInside([x, y]) {
  const [width, height] = app.frame.size_wh;
  return x >= 0 && x <= width && y >= 0 && y <= height;
}

/** Whether a keypoint is anywhere: other tools write 0, 0 for nothing. */
export const isPlaced = (point) => point[X] !== 0 || point[Y] !== 0;

/** Whether a person put a keypoint outside of the picture, where it is a label. */
const isHeldOutside = (point) => point[SEEN] > 0 && point[SCORE] === BY_HAND && !isInside(point);

/** What a keypoint is labelled as: not at all where a model puts it outside of the picture, as
 * `labelled_visibility` has it for the document. What it is stored as stays. */
export const seenOf = (point) =>
  isInside(point) || isHeldOutside(point) ? point[SEEN] : UNLABELLED;

/** Whether a keypoint has a place of its own, where it is once it is made visible. */
export const hasPlace = (point) => isPlaced(point) && (isInside(point) || isHeldOutside(point));

/** Where a keypoint stands that nobody has placed: as in the mean pose of the run. */
export function usualPlace(person, keypoint) {
  const [x0, y0, x1, y1] = person.box;
  const [u, v] = app.run.template[keypoint];
  return inside([x0 + u * (x1 - x0), y0 + v * (y1 - y0)]);
}

/** Put a keypoint somewhere in the picture; that labels it. One that a person put outside of the
 * picture may stay there. */
export function placeKeypoint(person, keypoint, place, seen) {
  const before = person.keypoints[keypoint];
  const [x, y] = isHeldOutside(before) ? place : inside(place);
  person.keypoints[keypoint] = [x, y, seen ?? (seenOf(before) || VISIBLE), BY_HAND];
}

/** Label a keypoint where it is, at its usual place where that is nowhere; or take its label. */
export function setSeen(person, keypoint, seen) {
  const before = person.keypoints[keypoint];
  const [x, y] = seen && !hasPlace(before) ? usualPlace(person, keypoint) : before;
  person.keypoints[keypoint] = [x, y, seen, seen ? BY_HAND : 0];
}

/** Keypoints as they are copied: placed by hand, and no labels outside of the picture. */
export function copied(keypoints) {
  return keypoints.map(([x, y, seen]) =>
    seen && isInside([x, y]) ? [...inside([x, y]), seen, BY_HAND] : [x, y, UNLABELLED, 0],
  );
}

/** Whether the place of a keypoint without a label is shown. */
export function isGhost(person, keypoint) {
  const point = person.keypoints[keypoint];
  return (
    seenOf(point) === UNLABELLED && isPlaced(point) && (app.ghosts || app.added.has(person.uid))
  );
}

export function isShown(person, keypoint) {
  return seenOf(person.keypoints[keypoint]) > 0 || isGhost(person, keypoint);
}
