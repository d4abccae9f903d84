// An edit of a frame, as it is sent to the server.

import {ask, ServerError} from './server.js';
import {store} from './store.js';

const NOT_WRITTEN = 507; // the status where the server's disk is full, or the like

/** Whether an edit may yet be saved: there is nothing wrong with it. */
export const mayPass = (error) => !(error instanceof ServerError) || error.status === NOT_WRITTEN;

/** Whether the server has looked at an edit and not taken it: that is an answer, too. */
export const isRefused = (error) => [404, 409, 422].includes(error.status);

export const UNANSWERED =
  'The server does not answer. Your last edit is kept here until it does.';

export const READING =
  'The run is still being read. What you decide is kept here, and saved once all of it is known.';

/** Tell why an edit is not saved, and what becomes of it. */
export function notSaved(error) {
  if (!(error instanceof ServerError)) return UNANSWERED;
  if (error.status === NOT_WRITTEN)
    return `${error.body.error} Your last edit is kept here and tried again.`;
  return (
    'This page is of an earlier review. Open the link that the terminal shows now: ' +
    (store.lasts
      ? 'what could not be saved will be saved then.'
      : 'what could not be saved has to be done again there, as the browser keeps nothing of pages.')
  );
}

/** Send an edit that was made on `version`; a second time it changes nothing. */
export const post = (number, version, {state, people}, options) =>
  ask(`frames/${number}`, {version, state, people}, options);

/** Return the version that the server has made of one of these edits, null where it has none. */
export async function versionOf(number, version, jobs) {
  for (const job of jobs) {
    try {
      return (await post(number, version, job)).version;
    } catch (error) {
      if (mayPass(error)) throw error;
    }
  }
  return null;
}

/** Have an edit written down that is not to count: both versions are in the history then. */
export const setAside = (number, version, {state, people, seen}) =>
  ask(`frames/${number}/aside`, {version, state, people: people ?? seen});

/** Return the number of the frame of this name, null where there is none. */
export async function findFrame(name) {
  const {numbers} = await ask(`frames?${new URLSearchParams({name})}`);
  return numbers[0] ?? null;
}
