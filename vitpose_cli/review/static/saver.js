// Saving: edits reach the server in their order, and none is lost.

import {app} from './app.js';
import {
  findFrame,
  isRefused,
  mayPass,
  notSaved,
  post,
  READING,
  setAside,
  UNANSWERED,
  versionOf,
} from './edits.js';
import {$} from './elements.js';
import {banner, toast} from './notices.js';
import {ServerError} from './server.js';
import {store} from './store.js';
import {newUid, wait} from './tools.js';

export const WAITS =
  'This waits until the last edit is saved. Another frame can be opened meanwhile.';

const PATIENCE_MS = 10_000; // with a server that is there, and does not answer

/** Sends edits one after another, of each frame only the newest; keeps them until they are safe. */
class Saver {
  #jobs = new Map(); // number -> {name, state, people, seen}: people null: as they are; seen here
  #versions = new Map(); // number -> the version that the next edit is made on
  #flying = null; // {number, job}: the edit that is on its way
  #unanswered = new Map(); // number -> jobs whose answers were lost: the server may have one
  #asides = new Set(); // edits that another window's outdid, until the server has written them down
  #busy = false;
  #attempts = 0; // how often in a row an edit could not be saved
  #timer = null;

  on = null; // saved(number, view), choose(job, current), dropped(number, current)

  get pending() {
    return this.#jobs.size > 0 || this.#asides.size > 0 || this.#busy;
  }

  isPending(number) {
    return this.#jobs.has(number) || this.#flying?.number === number;
  }

  /** The version of a frame that the next edit is made on; undefined where it was never opened. */
  version(number) {
    return this.#versions.get(number);
  }

  /** Whether a frame, null for none, has an edit that could not be saved so far. */
  isStuck(number) {
    return this.#attempts > 0 && number !== null && this.isPending(number);
  }

  /** Wait until the server has every edit of a frame, for as long as that is wanted: only then can
   * it be asked for it. */
  async settled(number, isWanted = () => true) {
    const waits = () => isWanted() && this.isPending(number);
    while (waits() && !this.isStuck(number)) await wait(20);
    if (waits()) toast(WAITS, 6);
    while (waits()) await wait(20);
  }

  /** Take note of the version that the server has; return whether another window made it. */
  know(number, version) {
    if (this.isPending(number)) return false;
    const before = this.#versions.get(number);
    this.#versions.set(number, version);
    return before !== undefined && before !== version;
  }

  put(number, {name, state, people, seen}, delayMs = 0) {
    const before = this.#jobs.get(number);
    const job = {name, state, people: people ?? before?.people ?? null, seen};
    this.#jobs.set(number, job);
    this.#remember(number, job);
    this.#show('saving', 'Saving…');
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#send(), delayMs);
  }

  /** Send what is left when the page is closed; the answers are not waited for. Should the page come
   * back, it is sent again: that changes nothing, nor is it another window's. */
  flush() {
    if (this.#busy) return; // its answer decides what the next version is
    for (const [number, job] of this.#jobs) {
      this.#keepUnanswered(number, job);
      this.#post(number, job, {keepalive: true}).catch(() => {});
    }
  }

  /** Send edits that an earlier page could not. */
  async recover() {
    const prefix = this.#key('');
    for (const key of store.keptKeys().filter((each) => each.startsWith(prefix))) {
      const [name] = key.slice(prefix.length).split('\0');
      const number = await findFrame(name).catch(() => null); // of a run that cannot be read
      const kept = store.get(key); // another window, whose it is, may have saved it meanwhile
      if (number === null || kept === null) continue; // its frame may yet be labelled again
      const {version, sent = [], ...job} = JSON.parse(kept);
      try {
        await this.#recover(number, job, version, sent);
      } catch (error) {
        if (mayPass(error)) continue; // the next page tries again
        toast(`An edit of ${name} could not be saved: ${error.message}`, 8);
      }
      if (store.get(key) === kept) store.delete(key); // or that window has done more since
    }
  }

  async #recover(number, job, version, sent) {
    if (job.aside) {
      await setAside(number, version, job);
      return;
    }
    try {
      await post(number, version, job);
    } catch (error) {
      if (error.status !== 409) throw error;
      const {current} = error.body;
      const own = await versionOf(number, version, sent);
      const mine = own !== null || (await this.on.choose(job, current)) === 'mine';
      if (!mine) await setAside(number, version, job);
      else if (own !== null) await this.#recover(number, job, own, []);
      else {
        const people = job.people ?? job.seen;
        await this.#recover(number, {...job, people}, current.version, []);
      }
      return;
    }
    toast(`An edit of ${job.name} that had not been saved is saved now.`, 6);
  }

  async #send() {
    if (this.#busy) return;
    this.#busy = true;
    this.#attempts = 0;
    while (this.#jobs.size || this.#asides.size) {
      if (this.#asides.size) {
        await this.#sendAside();
        continue;
      }
      const [number, job] = this.#jobs.entries().next().value;
      this.#jobs.delete(number);
      this.#flying = {number, job};
      try {
        const view = await this.#inTime(this.#post(number, job)).finally(() => {
          this.#flying = null;
        });
        this.#reached();
        this.#versions.set(number, view.version);
        this.#unanswered.delete(number);
        const newer = this.#jobs.get(number);
        if (newer) this.#remember(number, newer);
        else store.delete(this.#key(job.name));
        this.on.saved(number, view);
      } catch (error) {
        const newer = this.#jobs.get(number);  // a decision alone goes on with these labels
        this.#jobs.set(number, newer ? {...newer, people: newer.people ?? job.people} : job);
        if (isRefused(error)) this.#reached();
        if (error.status === 409) {
          const own = await this.#inTime(this.#isOwn(number)).catch((lost) => this.#waitAfter(lost));
          if (own === false) await this.#resolve(number, error.body.current);
        } else if (isRefused(error)) this.#drop(number, error.message);
        else {
          if (!(error instanceof ServerError)) this.#keepUnanswered(number, job);
          await this.#waitAfter(error);
        }
      }
    }
    this.#busy = false;
    this.#show('saved', 'Saved');
  }

  #post(number, job, options) {
    return post(number, this.#versions.get(number), job, options);
  }

  #keepUnanswered(number, job) {
    const jobs = this.#unanswered.get(number) ?? new Set();
    this.#unanswered.set(number, jobs.add(job));
  }

  /** Whether the server has an edit of ours whose answer was lost; then the next is made on that. */
  async #isOwn(number) {
    const jobs = this.#unanswered.get(number) ?? [];
    const version = await versionOf(number, this.#versions.get(number), jobs);
    this.#unanswered.delete(number);
    if (version !== null) this.#versions.set(number, version);
    return version !== null;
  }

  /** Wait for an answer; say so where none comes for long, which is no error yet. */
  async #inTime(answer) {
    const timer = setInterval(() => {
      this.#attempts ||= 1;
      this.#showUnsaved(app.reading ? READING : UNANSWERED);
    }, PATIENCE_MS);
    return answer.finally(() => clearInterval(timer));
  }

  #reached() {
    this.#attempts = 0;
    this.#show('saving', 'Saving…');
    for (const kind of ['unsaved', 'lost']) banner('', kind);
  }

  #showUnsaved(text) {
    this.#show('failed', 'Not saved');
    banner(text, 'unsaved');
  }

  async #waitAfter(error) {
    this.#showUnsaved(notSaved(error));
    await wait(Math.min(5000, 250 * 2 ** this.#attempts++));
  }

  async #resolve(number, current) {
    const mine = (await this.on.choose(this.#jobs.get(number), current)) === 'mine';
    const job = this.#jobs.get(number); // also with what was still on its way when it was asked
    if (!mine) this.#putAside(number, job); // while the version that was seen here is known
    this.#versions.set(number, current.version);
    if (mine) {
      job.people ??= job.seen; // a decision alone means the labels that were seen here
      this.#remember(number, job);
    } else this.#drop(number, '', current);
  }

  #drop(number, reason, current = null) {
    const job = this.#jobs.get(number);
    this.#jobs.delete(number);
    store.delete(this.#key(job.name));
    if (reason) toast(reason, 8);
    this.on.dropped(number, current);
  }

  #putAside(number, job) {
    const aside = {...job, number, version: this.#versions.get(number), aside: newUid()};
    this.#asides.add(aside);
    this.#remember(number, aside, `${job.name}\0${aside.aside}`);
  }

  async #sendAside() {
    const [aside] = this.#asides;
    try {
      await this.#inTime(setAside(aside.number, aside.version, aside));
    } catch (error) {
      if (!isRefused(error)) return this.#waitAfter(error);
      toast(error.message, 8);
    }
    this.#reached();
    this.#asides.delete(aside);
    store.delete(this.#key(`${aside.name}\0${aside.aside}`));
    return undefined;
  }

  /** Keep an edit in the browser, with those before it of which the server may have one. */
  #remember(number, job, slot = job.name) {
    const flying = this.#flying?.number === number ? this.#flying.job : null;
    const sent = new Set(this.#unanswered.get(number));
    if (flying) sent.add(flying);
    const people = job.people ?? flying?.people ?? null; // a decision alone is on these labels
    const value = {...job, people, sent: [...sent], version: this.#versions.get(number)};
    store.set(this.#key(slot), JSON.stringify(value));
  }

  #key(name) {
    return `vitpose-review ${app.run.id} ${name}`;
  }

  #show(kind, text) {
    $('save-state').dataset.kind = kind;
    $('save-state').textContent = text;
  }
}

export const saver = new Saver();
