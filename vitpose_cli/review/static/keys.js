// Keys of a keyboard: what they are called, and which is pressed.

const KEY_SIGNS = {
  ArrowLeft: '←',
  ArrowRight: '→',
  ArrowUp: '↑',
  ArrowDown: '↓',
  PageDown: 'Page ↓',
  PageUp: 'Page ↑',
  Escape: 'Esc',
  Delete: 'Del',
  Backspace: '⌫',
};

export function keySign(key) {
  const parts = key === '+' ? ['+'] : key.split('+');
  return parts
    .map((part) => KEY_SIGNS[part] ?? (part.length === 1 ? part.toUpperCase() : part))
    .join('+');
}

/** Return what is on a key; where that is a letter of another script, the Latin one of its place. */
function nameOf({key, code}) {
  if (key.length > 1) return key;
  const isForeign = /[^\p{ASCII}]/u.test(key) && /\p{L}/u.test(key);
  return (isForeign && /^Key([A-Z])$/.exec(code)?.[1].toLowerCase()) || key.toLowerCase();
}

/** Return the name of a pressed key as it stands in the table. */
export function chord(event) {
  const key = nameOf(event);
  const shift = event.shiftKey && (key.length > 1 || /\p{L}/u.test(key)) ? 'Shift+' : '';
  return (
    (event.ctrlKey || event.metaKey ? 'Ctrl+' : '') + (event.altKey ? 'Alt+' : '') + shift + key
  );
}
