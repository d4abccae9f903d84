// Numbers and time: nothing of the page.

export const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
export const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

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
