// Commands on the page: buttons, the sheet, pressed keys.

import {app} from './app.js';
import {byKey, COMMANDS, commands, MOUSE} from './commands.js';
import {$} from './elements.js';
import {chord, keySign} from './keys.js';
import {stage} from './stage.js';

export function renderCommands() {
  for (const button of document.querySelectorAll('[data-command]')) {
    const command = commands.get(button.dataset.command);
    if (command.enabled) button.disabled = !command.enabled();
    if (command.pressed) button.setAttribute('aria-pressed', command.pressed());
  }
}

export function setUpCommands() {
  for (const button of document.querySelectorAll('[data-command]')) {
    const command = commands.get(button.dataset.command);
    button.title = `${command.label} (${command.keys.map(keySign).join(', ')})`;
    button.addEventListener('click', (event) => {
      perform(command, event);
      button.blur();
    });
    if (button.closest('.toolbar')) {
      const hint = document.createElement('kbd');
      hint.textContent = keySign(command.keys[0]);
      hint.setAttribute('aria-hidden', 'true');
      button.append(hint);
    } else if (!button.hasAttribute('aria-label') && button.id !== 'zoom-level') {
      button.setAttribute('aria-label', command.label);
    }
  }
  for (const button of document.querySelectorAll('.drawer-toggle')) // the focus stays in the drawer
    button.addEventListener('mousedown', (event) => event.preventDefault());
  const sections = COMMANDS.map(([title, group]) => [
    title,
    group.map((command) => [
      command.label,
      command.shown ?? [command.keys.map(keySign).join(', ')],
    ]),
  ]);
  sections.push(['Mouse', MOUSE.map(([effect, what]) => [effect, [what]])]);
  $('sheet-groups').replaceChildren(
    ...sections.map(([title, lines]) => sheetSection(title, lines)),
  );
  document.addEventListener('keydown', onKey);
  document.addEventListener('keyup', (event) => {
    if (event.key === ' ') stage.spaceHeld = false;
  });
  window.addEventListener('blur', () => {
    stage.spaceHeld = false; // the key is let go in another window
  });
}

function sheetSection(title, lines) {
  const section = document.createElement('section');
  section.append(Object.assign(document.createElement('h3'), {textContent: title}));
  for (const [label, keys] of lines) {
    const line = document.createElement('div');
    line.append(Object.assign(document.createElement('span'), {textContent: label}));
    for (const key of keys)
      line.append(Object.assign(document.createElement('kbd'), {textContent: key}));
    section.append(line);
  }
  return section;
}

function onKey(event) {
  if (event.isComposing || event.defaultPrevented || document.querySelector('dialog[open]')) return;
  const field = event.target.closest('input, select, textarea');
  const isCommand = field?.id === 'identity-choice' && /^[^ ]$/.test(event.key); // no search in it
  if (field && !isCommand) {
    if (event.key === 'Escape') $('overlay').focus();
    return;
  }
  if (isCommand) $('overlay').focus();
  if (event.key === ' ' && event.target === stage.canvas) {
    stage.spaceHeld = true;
    event.preventDefault();
    return;
  }
  const command = byKey.get(chord(event));
  if (!command || (event.key === 'Enter' && !app.adding)) return;
  event.preventDefault();
  if (!event.repeat || !command.once) perform(command, event);
}

function perform(command, event) {
  const possible = app.frame || command.always;
  if (command.id !== 'escape') stage.keepDragged(); // which drops it
  if (possible && (!command.enabled || command.enabled())) command.run(event);
}
