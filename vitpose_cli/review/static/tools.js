// Numbers and time: nothing of the page.

export const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
export const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Return the place some steps on from one of `count`, round the ends; from none (-1), at an end. */
export function stepped(from, steps, count) {
  if (from < 0) return steps > 0 ? 0 : count - 1;
  return (from + steps + count) % count;
}

/** Return `fn` that runs only when it has not been called again for `ms`. */
export function debounced(fn, ms) {
  let timer;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => fn(...args), ms);
  };
}

export const newUid = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) =>
    byte.toString(16).padStart(2, '0'),
  ).join('');
