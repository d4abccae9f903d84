// What undo and redo go over.

/** What was done, over all frames: undo goes back to the frame where it was. */
class Timeline {
  #past = [];
  #future = [];

  get canUndo() {
    return this.#past.length > 0;
  }
  get canRedo() {
    return this.#future.length > 0;
  }

  /** Take note of a step; steps of one kind in quick succession become one. */
  push(step) {
    const last = this.#past.at(-1);
    this.#future = [];
    step.time = Date.now();
    if (
      step.merge &&
      last?.merge === step.merge &&
      last.number === step.number &&
      step.time - last.time < 1000
    ) {
      last.after = step.after;
      last.time = step.time;
    } else {
      this.#past.push(step);
      if (this.#past.length > 500) this.#past.shift();
    }
  }

  /** Return the step that undo (to `before` it) or redo (to `after` it) goes over next. */
  next(side) {
    return (side === 'before' ? this.#past : this.#future).at(-1);
  }

  /** Go over that step. */
  pass(side) {
    const ways = [this.#past, this.#future];
    const [from, to] = side === 'before' ? ways : ways.reverse();
    to.push(from.pop());
  }

  has(step) {
    return this.#past.includes(step) || this.#future.includes(step);
  }

  /** Forget a frame whose labels are not what they were. */
  forget(number) {
    this.#past = this.#past.filter((step) => step.number !== number);
    this.#future = this.#future.filter((step) => step.number !== number);
  }
}

export const timeline = new Timeline();
