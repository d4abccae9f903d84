// What outlives the page.

/** What the browser keeps for the page; what it does not, as its storage is full or blocked, the
 * page has until it is closed. */
class Store {
  #kept = null;
  #here = new Map();

  constructor(storage) {
    try {
      this.#kept = storage();
    } catch {
      /* the browser lets pages keep nothing */
    }
  }

  /** Whether everything is kept also when the page is closed. */
  get lasts() {
    return this.#kept !== null && this.#here.size === 0;
  }

  get(key) {
    return this.#here.get(key) ?? this.#kept?.getItem(key) ?? null;
  }

  set(key, value) {
    try {
      this.#kept.setItem(key, value);
      this.#here.delete(key);
    } catch {
      this.#here.set(key, value);
    }
  }

  delete(key) {
    this.#here.delete(key);
    this.#kept?.removeItem(key);
  }

  /** Return the keys of what the browser keeps, also of other pages. */
  keptKeys() {
    return Object.keys(this.#kept ?? {});
  }
}

export const store = new Store(() => localStorage); // unsaved edits, and the theme
export const visitStore = new Store(() => sessionStorage); // of this tab
