// What the page says to the person: in passing, until something is done, to a screen reader.

import {$} from './elements.js';

let toastTimer;

export function toast(text, seconds = 3) {
  clearTimeout(toastTimer);
  $('toast').textContent = text;
  $('toast').classList.add('shown');
  toastTimer = setTimeout(() => $('toast').classList.remove('shown'), 1000 * seconds);
}

export function banner(text, kind = 'problem') {
  $('banner').hidden = !text;
  $('banner').dataset.kind = kind;
  if ($('banner').textContent !== text) $('banner').textContent = text;
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
