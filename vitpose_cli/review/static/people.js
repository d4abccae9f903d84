// A person: a box and keypoints.

import {app} from './app.js';
import {handlePlaces, overlap, resized} from './geometry.js';
import {
  inside,
  isInside,
  isPlaced,
  SCORE,
  SEEN,
  seenOf,
  UNLABELLED,
  usualPlace,
  X,
  Y,
} from './keypoints.js';
import {clamp, newUid} from './tools.js';
import {readable} from './words.js';

export const personOf = (people, uid) => people.find((person) => person.uid === uid);
export const chosenPerson = () => app.frame && personOf(app.frame.people, app.person);

/** Return what a person is called over the frames of the video; null where nobody knows. */
export function numberOf(person) {
  const numbers = app.known.frame === app.frame.number ? app.known.numbers : {};
  return numbers[person.uid] ?? person.track_id;
}

export const nameOfChosen = () => readable(app.run.keypoints[app.keypoint]);

/** The score of a person as it stands in COCO files: see `Instances.scores`. */
export function scoreOf(person) {
  const counted = person.keypoints.map((point) => point[SCORE]).filter((score) => score > 0.2);
  const total = counted.reduce((sum, score) => sum + score, 0);
  return (person.box_score * total) / Math.max(counted.length, 1);
}

export function movePerson(person, dx, dy) {
  const [width, height] = app.frame.size_wh;
  const [x0, y0, x1, y1] = person.box;
  dx = clamp(dx, -x1, width - x0);
  dy = clamp(dy, -y1, height - y0);
  person.box = [x0 + dx, y0 + dy, x1 + dx, y1 + dy];
  for (const point of person.keypoints) {
    if (!isPlaced(point)) continue;
    const moved = [point[X] + dx, point[Y] + dy];
    if (!seenOf(point) && isInside(moved)) point[SEEN] = UNLABELLED; // as it was outside
    [point[X], point[Y]] = isInside(point) ? inside(moved) : moved;
  }
}

/** Move a corner of a person's box; along an axis on which it does not move it stays. */
export function moveCorner(person, corner, dx, dy) {
  const [x, y] = handlePlaces(person.box)[corner];
  const [right, down] = inside([x + dx, y + dy]);
  resizePerson(person, corner, [dx ? right : x, dy ? down : y]);
}

/** Put a handle of a person's box somewhere. Who was added here stands in it as usual, but for
 * what is placed already. */
export function resizePerson(person, handle, place) {
  person.box = resized(person.box, handle, place);
  if (!app.added.has(person.uid)) return;
  person.keypoints.forEach((point, keypoint) => {
    if (!seenOf(point)) [point[X], point[Y]] = usualPlace(person, keypoint);
  });
}

export function swapSides({keypoints: points}, pairs) {
  for (const [left, right] of pairs)
    [points[left], points[right]] = [points[right], points[left]];
}

export function newPerson(box) {
  const person = {uid: newUid(), box, box_score: 1, track_id: null, recognised: null, keypoints: []};
  person.keypoints = app.run.template.map((_, keypoint) => [
    ...usualPlace(person, keypoint),
    UNLABELLED,
    0,
  ]);
  return person;
}

export const isSame = (a, b) => a.track_id !== null && a.track_id === b.track_id;
export const isNear = (a, b) => overlap(a.box, b.box) > 0.3;

/** Return the person of another frame who is most likely the same. */
export function counterpart(person, others) {
  const same = others.find((other) => isSame(person, other));
  if (same || !others.length) return same;
  const best = others.reduce((a, b) =>
    overlap(person.box, b.box) > overlap(person.box, a.box) ? b : a,
  );
  return overlap(person.box, best.box) > 0 || others.length === 1 ? best : undefined;
}
