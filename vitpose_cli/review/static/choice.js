// Which person and which keypoint are chosen.

import {app, render} from './app.js';
import {$} from './elements.js';
import {seenOf, UNLABELLED} from './keypoints.js';
import {say} from './notices.js';
import {chosenPerson} from './people.js';
import {readable, SEEN_WORDS} from './words.js';

export function choose(uid, keypoint) {
  app.person = uid;
  app.keypoint = uid === null ? null : keypoint;
  const person = chosenPerson();
  const point = person && app.keypoint !== null ? person.keypoints[app.keypoint] : null;
  app.placing = point !== null && seenOf(point) === UNLABELLED;
  render();
  if (!person) return;
  const number = app.frame.people.indexOf(person);
  say(point ? spoken(point, app.keypoint) : `Person ${number + 1}`);
  $('keypoints').children[app.keypoint]?.scrollIntoView({block: 'nearest'});
  $('people').children[number].scrollIntoView({block: 'nearest'});
}

function spoken(point, keypoint) {
  const [x, y] = point.map(Math.round);
  return `${readable(app.run.keypoints[keypoint])}, ${SEEN_WORDS[seenOf(point)]}, at ${x}, ${y}`;
}

export function stepPerson(steps) {
  const {people} = app.frame;
  if (!people.length) return;
  const position = people.indexOf(chosenPerson());
  const next =
    position < 0
      ? steps > 0
        ? 0
        : people.length - 1
      : (position + steps + people.length) % people.length;
  choose(people[next].uid, null);
}

export function stepKeypoint(steps) {
  const person = chosenPerson() ?? app.frame.people[0];
  if (!person) return;
  const count = person.keypoints.length;
  const next =
    app.keypoint === null ? (steps > 0 ? 0 : count - 1) : (app.keypoint + steps + count) % count;
  choose(person.uid, next);
}
