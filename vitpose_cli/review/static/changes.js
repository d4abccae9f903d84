// What a person can do to the people of the open frame.

import {app, render} from './app.js';
import {choose} from './choice.js';
import {
  copied,
  hasPlace,
  insideBox,
  isShown,
  placeKeypoint,
  seenOf,
  setSeen,
  UNLABELLED,
  VISIBLE,
} from './keypoints.js';
import {list} from './list.js';
import {toast} from './notices.js';
import {
  chosenPerson,
  counterpart,
  isNear,
  isSame,
  moveCorner,
  movePerson,
  nameOfChosen,
  newPerson,
  personOf,
  swapSides,
} from './people.js';
import {saver} from './saver.js';
import {ask} from './server.js';
import {timeline} from './timeline.js';
import {newUid} from './tools.js';
import {SEEN_WORDS} from './words.js';

/** Do something to the open frame: `change` gets a copy of its people. */
function edit(label, change, {merge = null} = {}) {
  if (!app.frame || app.frame.error) return;
  const people = structuredClone(app.frame.people);
  change(people);
  commit(label, people, merge);
}

/** Give the open frame these people; where they are as they were, nothing was done. */
export function commit(label, people, merge = null) {
  const {number, state} = app.frame;
  if (JSON.stringify(people) === JSON.stringify(app.frame.people))
    return void toast('Nothing is changed by that.');
  const after = {people, state: state === 'accepted' || state === 'fixed' ? 'fixed' : 'draft'};
  timeline.push({number, label, merge, before: {people: app.frame.people, state}, after});
  become(after, merge ? 250 : 0);
}

/** Give the open frame people and a state, and save it. What was touched is never `todo` again. */
export function become({people, state: wanted}, delayMs = 0) {
  const frame = app.frame;
  const state = wanted === 'todo' ? 'draft' : wanted;
  const told = wanted === 'failed' ? 'draft' : state; // not decided, whether it can be read or not
  const same = frame.people === people || frame.error !== null; // nobody can be labelled there
  frame.people = people;
  frame.state = state;
  if (!personOf(people, app.person)) choose(null, null);
  app.placing &&= seenOf(chosenPerson().keypoints[app.keypoint]) === UNLABELLED;
  const job = {name: frame.name, state: told, people: same ? null : people};
  saver.put(frame.number, {...job, seen: frame.error === null ? people : null}, delayMs);
  list.setState(frame.number, state, people.length);
  render();
}

/** Change the chosen person, or say that one has to be chosen. */
export function editChosen(label, change, options) {
  if (!chosenPerson()) return toast('Choose a person first: click one, or press P.');
  return edit(label, (people) => change(personOf(people, app.person), people), options);
}

export function setChosenSeen(seen) {
  if (app.keypoint === null)
    return toast('Choose a keypoint first: click one, or press the full stop.');
  const point = chosenPerson()?.keypoints[app.keypoint];
  editChosen(`make it ${SEEN_WORDS[seen]}`, (person) => setSeen(person, app.keypoint, seen));
  if (point && seen && !hasPlace(point))
    toast(`The ${nameOfChosen()} stands at its usual place: move it to where it is.`, 6);
  return undefined;
}

export function cycleSeen() {
  const point = app.keypoint === null ? null : chosenPerson()?.keypoints[app.keypoint];
  setChosenSeen(point ? (seenOf(point) + 2) % 3 : VISIBLE);
}

export function swapPair() {
  const pairs = app.run.flip_pairs.filter((pair) => pair.includes(app.keypoint));
  if (!pairs.length)
    return toast('Choose a keypoint with a partner: click one, or press the full stop.');
  return editChosen('swap a pair', (person) => swapSides(person, pairs));
}

/** Put the chosen keypoint at a click, and go on to the next that has no label. */
export function placeChosen(place) {
  const keypoint = app.keypoint;
  editChosen('place a keypoint', (person) => placeKeypoint(person, keypoint, place, VISIBLE));
  const points = chosenPerson().keypoints;
  const next = points.findIndex(
    (point, index) => index > keypoint && seenOf(point) === UNLABELLED,
  );
  choose(app.person, next >= 0 ? next : keypoint);
}

export function nudge(event) {
  const step = event.shiftKey ? 10 : 1;
  const [dx, dy] = {
    ArrowLeft: [-step, 0],
    ArrowRight: [step, 0],
    ArrowUp: [0, -step],
    ArrowDown: [0, step],
  }[event.key];
  const chosen = chosenPerson();
  if (!chosen) return undefined;
  if (app.keypoint !== null && !isMovable(chosen, app.keypoint))
    return toast(`The ${nameOfChosen()} is not labelled: click where it is, or press 2.`, 6);
  return editChosen(
    'nudge',
    (person) => {
      if (app.corner !== null) return moveCorner(person, app.corner, dx, dy);
      if (app.keypoint === null) return movePerson(person, dx, dy);
      const [x, y] = person.keypoints[app.keypoint];
      return placeKeypoint(person, app.keypoint, [x + dx, y + dy]);
    },
    {merge: `nudge ${app.person} ${app.keypoint} ${app.corner}`},
  );
}

/** Whether a keypoint can go on from where it is seen: a label, or the ghost of one to be. */
function isMovable(person, keypoint) {
  return isShown(person, keypoint) && hasPlace(person.keypoints[keypoint]);
}

export function addPerson(box) {
  setAdding(false);
  if (box[2] - box[0] < 2 || box[3] - box[1] < 2) return;
  const person = newPerson(box);
  app.added.add(person.uid);
  edit('add a person', (people) => {
    people.push(person);
  });
  choose(person.uid, 0);
}

export function setAdding(adding) {
  app.adding = adding && Boolean(app.frame?.size_wh);
  if (app.adding) app.labels = true;
  render();
}

export function deleteChosen(wholePerson) {
  if (app.keypoint !== null && !wholePerson) return setChosenSeen(UNLABELLED);
  const isSaid = Boolean(chosenPerson()?.recognised);
  editChosen('delete a person', (person, people) => {
    people.splice(people.indexOf(person), 1);
  });
  if (isSaid) toast('Who this is was said here: say it again in the next frame.', 6);
  return undefined;
}

export async function copyPose() {
  const {frame} = app;
  if (frame.previous === null)
    return toast('There is no frame before this one in its video or folder.');
  const uid = chosenPerson()?.uid; // by the time of the answer it may be somebody else
  await saver.settled(frame.previous);
  const before = await ask(`frames/${frame.previous}`);
  if (app.frame !== frame) return undefined;
  if (uid) {
    const chosen = personOf(frame.people, uid);
    if (!chosen) return undefined;
    const source = counterpart(chosen, before.people);
    if (!source) return toast('Nobody in the frame before is near this person.');
    return edit('copy a pose', (people) => {
      personOf(people, uid).keypoints = copied(source.keypoints);
    });
  }
  const missing = before.people.filter(
    (other) => !frame.people.some((person) => isSame(person, other) || isNear(person, other)),
  );
  if (!missing.length) return toast('Everybody of the frame before is here already.');
  return edit('copy people', (people) => {
    for (const other of missing)
      people.push({
        ...other,
        uid: newUid(),
        recognised: null,
        box: insideBox(other.box),
        keypoints: copied(other.keypoints),
      });
  });
}
