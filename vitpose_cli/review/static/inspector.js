// The panel of the open frame: what is known of it, its people, their keypoints.

import {app, DECIDED} from './app.js';
import {cycleSeen} from './changes.js';
import {choose} from './choice.js';
import {$, children, newIcon} from './elements.js';
import {SCORE, seenOf} from './keypoints.js';
import {leaveDrawer} from './panels.js';
import {chosenPerson, numberOf, scoreOf} from './people.js';
import {clamp} from './tools.js';
import {counted, moment, readable, SEEN_WORDS, STATE_WORDS} from './words.js';

const LOW_SCORE = 0.3;

function setBar(bar, score) {
  bar.dataset.low = score < LOW_SCORE;
  bar.firstElementChild.style.width = `${Math.round(100 * clamp(score, 0, 1))}%`;
}

export function renderFrameCard() {
  const {frame} = app;
  const slash = frame.name.lastIndexOf('/');
  $('frame-name').textContent = frame.name.slice(slash + 1);
  $('frame-name').title = frame.name;
  const facts = [frame.size_wh && frame.size_wh.join('\u00a0×\u00a0')];
  if (frame.time_s !== null) facts.push(`${frame.time_s.toFixed(2)} s`);
  if (slash > 0) facts.unshift(frame.name.slice(0, slash));
  $('frame-facts').textContent = facts.filter(Boolean).join(' · ');
  const by = DECIDED.has(frame.state) && frame.reviewer ? ` by ${frame.reviewer}` : '';
  const when = by && frame.edited_at_s ? `, ${moment(frame.edited_at_s)}` : '';
  $('frame-state').dataset.state = frame.state;
  $('frame-state').replaceChildren(newIcon(frame.state), STATE_WORDS[frame.state] + by + when);
  $('reasons').replaceChildren(
    ...frame.reasons.map((reason) => {
      const item = document.createElement('li');
      item.textContent = reason;
      return item;
    }),
  );
}

export function renderPeople() {
  const {people} = app.frame;
  const rows = children($('people'), 'person-template', people.length);
  $('people-title').textContent = people.length
    ? `People · ${people.length}`
    : 'Nobody is labelled';
  people.forEach((person, position) => {
    const button = rows[position].firstElementChild;
    const score = scoreOf(person);
    const labelled = person.keypoints.filter(seenOf).length;
    const number = numberOf(person);
    const track = number === null ? '' : `#${number} · `;
    button.querySelector('.person-number').textContent = position + 1;
    button.querySelector('.person-text').textContent =
      `${track}${labelled} of ${person.keypoints.length}`;
    button.querySelector('.score').textContent = score.toFixed(2);
    setBar(button.querySelector('.bar'), score);
    button.setAttribute('aria-pressed', person.uid === app.person);
    button.setAttribute(
      'aria-label',
      `Person ${position + 1}, ${track}${counted(labelled, 'keypoint')}, score ${score.toFixed(2)}`,
    );
    button.onclick = () => choose(person.uid === app.person ? null : person.uid, null);
  });
}

export function renderKeypoints() {
  const person = chosenPerson();
  $('keypoints-hint').hidden = Boolean(person) || app.frame.people.length === 0;
  const rows = children($('keypoints'), 'keypoint-template', person ? person.keypoints.length : 0);
  person?.keypoints.forEach((point, keypoint) => {
    const row = rows[keypoint];
    const name = readable(app.run.keypoints[keypoint]);
    row.dataset.side = app.run.sides[keypoint];
    const seen = seenOf(point);
    row.dataset.seen = seen;
    row.classList.toggle('chosen', keypoint === app.keypoint);
    const [pick, bar, score, toggle] = row.children;
    pick.lastElementChild.textContent = name;
    pick.title = name;
    pick.setAttribute('aria-pressed', keypoint === app.keypoint);
    pick.setAttribute(
      'aria-label',
      `${name}, ${SEEN_WORDS[seen]}, score ${point[SCORE].toFixed(2)}`,
    );
    pick.onclick = () => {
      choose(person.uid, keypoint);
      leaveDrawer();
    };
    setBar(bar, point[SCORE]);
    score.textContent = point[SCORE].toFixed(2);
    toggle.setAttribute('aria-label', `${name} is ${SEEN_WORDS[seen]}: change`);
    toggle.title = SEEN_WORDS[seen];
    toggle.onclick = () => {
      choose(person.uid, keypoint);
      cycleSeen();
    };
  });
}
