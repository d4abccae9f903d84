// Which person is chosen, and which keypoint or corner of the box.

import {app, render} from './app.js';
import {$} from './elements.js';
import {BOTTOM_RIGHT, handlePlaces, TOP_LEFT} from './geometry.js';
import {seenOf, UNLABELLED} from './keypoints.js';
import {say} from './notices.js';
import {chosenPerson} from './people.js';
import {stepped} from './tools.js';
import {readable, SEEN_WORDS} from './words.js';

export function choose(uid, keypoint, corner = null) {
  app.person = uid;
  app.keypoint = uid === null ? null : keypoint;
  app.corner = corner;
  const person = chosenPerson();
  const point = person && app.keypoint !== null ? person.keypoints[app.keypoint] : null;
  app.placing = point !== null && seenOf(point) === UNLABELLED;
  render();
  if (!person) return;
  const number = app.frame.people.indexOf(person);
  if (point) say(spoken(point, app.keypoint));
  else say(`Person ${number + 1}${corner === null ? '' : spokenCorner(person.box, corner)}`);
  $('keypoints').children[app.keypoint]?.scrollIntoView({block: 'nearest'});
  $('people').children[number].scrollIntoView({block: 'nearest'});
}

function spoken(point, keypoint) {
  const [x, y] = point.map(Math.round);
  return `${readable(app.run.keypoints[keypoint])}, ${SEEN_WORDS[seenOf(point)]}, at ${x}, ${y}`;
}

function spokenCorner(box, corner) {
  const [x, y] = handlePlaces(box)[corner].map(Math.round);
  return `, ${corner === TOP_LEFT ? 'top left' : 'bottom right'} corner of the box, at ${x}, ${y}`;
}

export function stepPerson(steps) {
  const {people} = app.frame;
  if (!people.length) return;
  const next = stepped(people.indexOf(chosenPerson()), steps, people.length);
  choose(people[next].uid, null);
}

export function stepKeypoint(steps) {
  const person = chosenPerson() ?? app.frame.people[0];
  if (!person) return;
  choose(person.uid, stepped(app.keypoint ?? -1, steps, person.keypoints.length));
}

export function stepCorner() {
  const person = chosenPerson() ?? app.frame.people[0];
  if (person) choose(person.uid, null, app.corner === TOP_LEFT ? BOTTOM_RIGHT : TOP_LEFT);
}
