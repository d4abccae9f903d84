// What the page says to the person: in passing, until something is done, to a screen reader.

import {$} from './elements.js';

let toastTimer;

export function toast(text, seconds = 3) {
  clearTimeout(toastTimer);
  $('toast').textContent = text;
  $('toast').classList.add('shown');
  toastTimer = setTimeout(() => $('toast').classList.remove('shown'), 1000 * seconds);
}

const KINDS = ['unsaved', 'lost', 'picture', 'problem']; // of the banner: the first is shown
const standing = new Map(); // kind -> what is to be said of it

/** Say something until it is said to be over, by no text of the same kind. */
export function banner(text, kind) {
  standing.set(kind, text);
  const shown = KINDS.map((each) => standing.get(each)).find(Boolean) ?? '';
  $('banner').hidden = !shown;
  if ($('banner').textContent !== shown) $('banner').textContent = shown;
}

/** Say what the next click is for, beside what the banner may say. */
export function hint(text) {
  $('hint').hidden = !text;
  if ($('hint').textContent !== text) $('hint').textContent = text;
}

/** Say something to a screen reader only. */
export function say(text) {
  $('spoken').textContent = text;
}
