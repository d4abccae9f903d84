// The one table of keys, for the keyboard, the toolbar and the sheet.

import {app, render} from './app.js';
import {
  addPerson,
  copyPose,
  cycleSeen,
  deleteChosen,
  editChosen,
  nudge,
  setAdding,
  setChosenSeen,
  swapPair,
} from './changes.js';
import {choose, stepCorner, stepKeypoint, stepPerson} from './choice.js';
import {$} from './elements.js';
import {goTo, openNextOpen} from './frames.js';
import {goToIdentity} from './identities.js';
import {list} from './list.js';
import {toast} from './notices.js';
import {goToPanel, leaveDrawer, nextTheme, toggleFilter} from './panels.js';
import {chosenPerson, swapSides} from './people.js';
import {stage} from './stage.js';
import {decide, travel} from './steps.js';
import {timeline} from './timeline.js';

const ARROWS = ['ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown'];

export const COMMANDS = [
  ['Decide', [
    {id: 'accept', once: true, keys: ['a'],
     label: 'Accept, go on (Fixed if a person changed something)', run: () => decide('accepted')},
    {id: 'fix', once: true, keys: ['f'], label: 'Fixed by hand, go on',
     run: () => decide('fixed')},
    {id: 'reject', once: true, keys: ['r'], label: 'Reject: not to be used, go on',
     run: () => decide('rejected')},
  ]],
  ['Go', [
    {id: 'next', keys: ['j', 'PageDown'], label: 'Next frame', run: () => goTo(list.step(1))},
    {id: 'previous', keys: ['k', 'PageUp'], label: 'Frame before', run: () => goTo(list.step(-1))},
    {id: 'next-open', keys: ['n'], label: 'Next frame that is not decided',
     run: openNextOpen},
    {id: 'search', always: true, keys: ['/'], label: 'Find by name',
     run: () => $('search').focus()},
    {id: 'filter', always: true, keys: ['Shift+f'], label: 'Filter', run: toggleFilter},
    {id: 'frames', always: true, keys: ['o'], label: 'To the list of frames, and back',
     run: () => goToPanel($('frames'), $('list'))},
    {id: 'inspector', always: true, keys: ['i'], label: 'To people and keypoints, and back',
     run: () => goToPanel($('inspector'))},
  ]],
  ['Choose', [
    {id: 'next-person', keys: ['p'], label: 'Next person', run: () => stepPerson(1)},
    {id: 'previous-person', keys: ['Shift+p'], label: 'Person before', run: () => stepPerson(-1)},
    {id: 'next-keypoint', keys: ['.'], label: 'Next keypoint', run: () => stepKeypoint(1)},
    {id: 'previous-keypoint', keys: [','], label: 'Keypoint before', run: () => stepKeypoint(-1)},
    {id: 'corner', keys: ['e'], label: 'Next corner of the box', run: stepCorner},
    {id: 'escape', keys: ['Escape'], label: 'Leave what is chosen or begun', run: leave},
  ]],
  ['Change', [
    {id: 'nudge', keys: ARROWS, shown: ['← → ↑ ↓'], label: 'Move by 1 px', run: nudge},
    {id: 'nudge-far', keys: ARROWS.map((key) => `Shift+${key}`), shown: ['Shift+← → ↑ ↓'],
     label: 'Move by 10 px', run: nudge},
    {id: 'visibility', keys: ['v'], label: 'Visible → hidden → unlabelled', run: cycleSeen},
    {id: 'visible', keys: ['2'], label: 'Visible', run: () => setChosenSeen(2)},
    {id: 'hidden', keys: ['1'], label: 'Hidden, but known', run: () => setChosenSeen(1)},
    {id: 'unlabelled', keys: ['0'], label: 'Unlabelled', run: () => setChosenSeen(0)},
    {id: 'swap', keys: ['s'], label: 'Swap left and right of a person',
     run: () => editChosen('swap sides', (person) => swapSides(person, app.run.flip_pairs))},
    {id: 'swap-one', keys: ['Shift+s'], label: 'Swap one keypoint with its partner',
     run: swapPair},
    {id: 'copy', keys: ['c'], label: 'Copy the pose of the frame before', run: copyPose},
    {id: 'add', keys: ['b'], label: 'Add a person: draw a box', run: () => setAdding(!app.adding)},
    {id: 'add-here', keys: ['Enter'], label: 'Add the person in the middle',
     run: () => app.adding && addPerson(stage.middleBox())},
    {id: 'delete', keys: ['Delete', 'Backspace'], label: 'Delete a keypoint’s label, or a person',
     run: () => deleteChosen(false)},
    {id: 'delete-person', keys: ['Shift+Delete', 'Shift+Backspace'], label: 'Delete the person',
     run: () => deleteChosen(true)},
    {id: 'identity', keys: ['w'], label: 'Say who a person of a video is, from this frame on',
     run: goToIdentity},
    {id: 'undo', keys: ['u', 'Ctrl+z'], label: 'Undo', enabled: () => timeline.canUndo,
     run: () => travel('before', 'Undone')},
    {id: 'redo', keys: ['Shift+u', 'Ctrl+y', 'Ctrl+Shift+z'], shown: ['Shift+U, Ctrl+Y'],
     label: 'Redo', enabled: () => timeline.canRedo,
     run: () => travel('after', 'Done again')},
  ]],
  ['Look', [
    {id: 'ghosts', keys: ['g'],
     label: 'Show where unlabelled keypoints would be', pressed: () => app.ghosts,
     run: () => toggle('ghosts')},
    {id: 'names', keys: ['l'], label: 'Name all keypoints of the person',
     run: () => toggle('names')},
    {id: 'labels', keys: ['h'], label: 'Hide or show all labels', run: () => toggle('labels')},
    {id: 'zoom', keys: ['z'], label: 'Zoom to the person, and back', run: zoomToPerson},
    {id: 'fit', keys: ['Shift+z'], label: 'Whole picture', run: () => stage.fit()},
    {id: 'zoom-in', keys: ['+', '='], label: 'Zoom in', run: () => stage.zoomBy(1.25)},
    {id: 'zoom-out', keys: ['-'], label: 'Zoom out', run: () => stage.zoomBy(0.8)},
    {id: 'theme', always: true, keys: ['Shift+t'], label: 'Light, dark, or as the system',
     run: nextTheme},
    {id: 'help', always: true, keys: ['?'], label: 'This sheet', run: () => $('sheet').showModal()},
  ]],
];

export const MOUSE = [
  ['Move a keypoint', 'Drag it'],
  ['Visibility', 'Right-click a keypoint'],
  ['Move a person', 'Drag the number'],
  ['Resize a box', 'Drag a corner'],
  ['Choose a person', 'Click in the box'],
  ['Place an unlabelled keypoint', 'Click'],
  ['Move the picture', 'Drag, or Space + drag'],
  ['Zoom', 'Wheel, or two fingers'],
];

export const commands = new Map(
  COMMANDS.flatMap(([, group]) => group).map((command) => [command.id, command]),
);

export const byKey = new Map(
  [...commands.values()].flatMap((command) => command.keys.map((key) => [key, command])),
);

function toggle(name) {
  app[name] = !app[name];
  if (name === 'ghosts')
    toast(app.ghosts ? 'Unlabelled keypoints are shown.' : 'Unlabelled keypoints are not shown.');
  render();
}

function leave() {
  if (leaveDrawer() || stage.cancel()) return;
  if (app.adding) setAdding(false);
  else if (app.keypoint !== null || app.corner !== null) choose(app.person, null);
  else choose(null, null);
}

function zoomToPerson() {
  const person = chosenPerson();
  if (person && stage.fitted) stage.fit(person.box);
  else stage.fit();
}
