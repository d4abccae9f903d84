// Who is who over the frames of a video: the numbers of people, and whom a person recognises.

import {app, render} from './app.js';
import {editChosen} from './changes.js';
import {$} from './elements.js';
import {toast} from './notices.js';
import {chosenPerson} from './people.js';
import {progress} from './progress.js';
import {saver} from './saver.js';
import {ask} from './server.js';
import {wait} from './tools.js';

const NEW = 'new';
const AS_TRACKED = 'tracked';
const NOTHING = {known: null, uid: null, isSaid: false};

let asked = ''; // the frame that the server was asked about, and the labels it had then
let offered = NOTHING; // what the choice in the page was made of: the people known, who is chosen

/** Ask who is who in the open frame, until the server knows or another frame is open. */
async function learn(frame, version) {
  while (asked === version) {
    const found = await ask(`frames/${frame}/identities`).catch(() => ({pending: true}));
    if (asked !== version) return;
    if (!found.pending) {
      app.known = {frame, ...found};
      return render();
    }
    await wait(500);
  }
}

export function renderIdentity() {
  const {frame, known} = app;
  const version = `${frame.number} ${frame.version} ${progress.numLabelChanges}`;
  if (frame.video !== null && asked !== version && !saver.isPending(frame.number)) {
    asked = version;
    learn(frame.number, version);
  }
  const person = chosenPerson();
  const isKnown = Boolean(person) && known.frame === frame.number && person.uid in known.numbers;
  $('identity').hidden = !isKnown;
  if (!isKnown) return;
  const isOf = offered.uid === person.uid;
  if (isOf && document.activeElement === $('identity-choice')) return; // in use, it stays as it is
  const isSaid = person.recognised !== null;
  $('identity-hint').textContent = known.lost.includes(person.uid)
    ? `Nobody comes into sight any more where you said (frame ${person.recognised?.index}): say it again.`
    : 'From here on; the two swap numbers.';
  if (isOf && offered.known === known && offered.isSaid === isSaid) return;
  offered = {known, uid: person.uid, isSaid};
  $('identity-choice').replaceChildren(...choices(person));
}

/** Return whom a person may be: who is here first, then those who were seen last. */
function choices(person) {
  const {known} = app;
  const own = known.numbers[person.uid];
  const here = new Map(
    app.frame.people.map(({uid}, position) => [known.numbers[uid], position + 1]),
  );
  const option = (value, text) => new Option(text, value, false, value === own);
  const before = known.before.map(({number, last_index: last}) => {
    const place = here.get(number) ?? Infinity;
    const where = place < Infinity ? `person ${place}` : `frame ${last}`;
    return {place, option: option(number, `#${number} · ${where}`)};
  });
  before.sort((a, b) => (a.place === b.place ? 0 : a.place - b.place)); // others stay latest first
  const options = before.map((each) => each.option);
  if (known.before.some(({number}) => number === own)) options.push(option(NEW, 'Somebody new'));
  else options.unshift(option(own, `#${own} · new`));
  if (person.recognised) options.push(option(AS_TRACKED, 'As tracked'));
  return options;
}

/** Say who the chosen person is, from the open frame on. */
function recognise(value) {
  const {numbers, before} = offered.known;
  const own = numbers[app.person];
  if (value === own) return;
  const whom = before.find(({number}) => number === value)?.sighting;
  editChosen('say who it is', (person, people) => {
    for (const other of people) // who is somebody else's by word alone leaves the number
      if (numbers[other.uid] === value) other.recognised = null;
    person.recognised = whom ?? (value === NEW ? NEW : null);
  });
  const said = {[NEW]: 'this is somebody new', [AS_TRACKED]: 'this is who the tracker says'}[value];
  toast(
    `From this frame on, ${said ?? `this is #${value}, and whoever was #${value} is #${own}`}.`,
    6,
  );
}

/** Say why the chosen person cannot be recognised. */
function whyNoChoice() {
  if (chosenPerson().track_id !== null)
    return 'These numbers came with the labels: they are corrected where those are from.';
  if (app.known.frame !== app.frame.number || app.known.are_given) return 'Who is who is not known yet.';
  return 'Nobody gets a number here: the run is one of --no-track, or its labels brought their own.';
}

/** Go to the choice of who the chosen person is, and open it. */
export function goToIdentity() {
  if (app.frame.video === null) return toast('People have numbers in videos alone.');
  if (!chosenPerson()) return toast('Choose a person first: click one, or press P.');
  if ($('identity').hidden) return toast(whyNoChoice(), 6);
  $('identity-choice').focus();
  try {
    $('identity-choice').showPicker();
  } catch {
    /* arrows choose without it */
  }
  return undefined;
}

export function setUpIdentity() {
  $('identity-choice').addEventListener('change', (event) => {
    recognise(event.target.value);
    offered = {...offered, uid: null}; // made anew, of what then holds
    $('overlay').focus();
  });
  $('identity-choice').addEventListener('blur', render);
}
