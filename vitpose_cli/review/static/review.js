// The review page: one frame at a time, its people, and what a person does to them.
//
// The server owns the labels; here is only the frame that is open. People are never changed in
// place: an edit makes new ones, so that undo is a list of what was there. Every edit goes to the
// server at once, and stays in the browser's storage until the server has it on the disk.
//
// The modules, each one noun, lowest first; none imports one that imports it:
//
//   tools, words, geometry        what knows nothing of the page
//   elements, notices, store,     what the page is made of, says, keeps,
//   server, app                   asks, and has open
//   keypoints, people             labels, and what becomes of them
//   edits, saver, timeline        edits on their way to the server, and back
//   drawing, list, progress       what is seen
//   choice, changes, identities,  what a person does to the open frame
//   stage
//   frames, steps, windows,       which frame is open, and which are listed
//   filter
//   panels, inspector, keys,      what is beside the picture, and the keys
//   commands, controls

import {app, showBy} from './app.js';
import {renderCommands, setUpCommands} from './controls.js';
import {$} from './elements.js';
import {filter} from './filter.js';
import {lookAgain, openFrame} from './frames.js';
import {renderFrameCard, renderKeypoints, renderPeople} from './inspector.js';
import {renderIdentity, setUpIdentity} from './identities.js';
import {list} from './list.js';
import {banner, toast} from './notices.js';
import {leaveDrawer, setTheme} from './panels.js';
import {progress} from './progress.js';
import {saver} from './saver.js';
import {ask, LOST, ServerError} from './server.js';
import {renderHint, renderStage} from './stage.js';
import {store} from './store.js';
import {wait} from './tools.js';
import {askForChoice, dropped, saved} from './windows.js';

/** Give to modules below what they are to call, which they do not import. */
function listen() {
  saver.on = {saved, choose: askForChoice, dropped};
  list.on = {open: openFrame, leave: leaveDrawer};
  showBy(renderFrameCard, renderPeople, renderIdentity, renderKeypoints, renderCommands, renderStage, renderHint);
}

/** Ask now and then whether the server is there, and whether the run is as it was. */
async function keepInTouch() {
  let numChanges = progress.numLabelChanges;
  for (;;) {
    await wait(5000);
    if (document.hidden || saver.pending) continue;
    try {
      progress.update(await ask('progress', null, {signal: AbortSignal.timeout(10_000)}));
      if (app.frame) renderIdentity(); // it may follow from what another window changed
      banner('', 'lost');
      if (numChanges !== progress.numLabelChanges) await lookAgain(); // at the threshold of now
      numChanges = progress.numLabelChanges;
    } catch (error) {
      banner(
        error instanceof ServerError
          ? 'This page is of an earlier review. Open the link that the terminal shows now.'
          : LOST,
        'lost',
      );
    }
  }
}

async function start() {
  listen();
  setTheme(store.get('vitpose-review theme') ?? 'auto');
  setUpCommands();
  setUpIdentity();
  app.run = await ask('run');
  $('run-name').textContent = app.run.name;
  $('reviewer').textContent = app.run.reviewer && `as ${app.run.reviewer}`;
  document.title = `${app.run.name} · vitpose review`;
  filter.setUp();
  await saver.recover();
  window.addEventListener('unhandledrejection', (event) => {
    event.preventDefault();
    toast(event.reason.message, 6);
  });
  window.addEventListener('pagehide', () => saver.flush());
  window.addEventListener('beforeunload', (event) => {
    if (saver.pending) event.preventDefault();
  });
  document.addEventListener('visibilitychange', () => lookAgain());
  window.addEventListener('focus', () => lookAgain());
  await filter.apply();
  if (document.activeElement === document.body) $('overlay').focus({preventScroll: true});
  keepInTouch();
}

start().catch((error) => banner(error.message, 'problem'));
