// The review page: one frame at a time, its people, and what a person does to them.
//
// The server owns the labels; here is only the frame that is open. People are never changed in
// place: an edit makes new ones, so that undo is a list of what was there. Every edit goes to the
// server at once, and stays in the browser's storage until the server has it on the disk.
//
// In this order: helpers, server, saving, people, undo, stage, list, inspector, progress,
// what a person can do, start.

const X = 0,
  Y = 1,
  SEEN = 2,
  SCORE = 3; // the places in a keypoint
const UNLABELLED = 0,
  VISIBLE = 2;
const BY_HAND = 1; // the score of a keypoint that a person placed; no network gives it
const SEEN_WORDS = ['unlabelled', 'hidden', 'visible'];
const DECIDED = new Set(['accepted', 'fixed', 'rejected']);
const STATE_WORDS = {
  todo: 'To do',
  draft: 'Draft',
  accepted: 'Accepted',
  fixed: 'Fixed',
  rejected: 'Rejected',
  failed: 'Unreadable',
};
const COLOURS = {left: '#56b4e9', right: '#e69f00', centre: '#ffffff'};
const LOW_SCORE = 0.3;
const NOT_WRITTEN = 507; // the status where the server's disk is full, or the like
const RIM = 'rgb(18 18 20 / 80%)';

const app = {
  run: null,
  frame: null, // the open frame, as the server tells it; also `number` and `state`
  opening: null, // the number of the frame that is on its way
  person: null, // uid of the chosen person
  keypoint: null, // position of the chosen keypoint
  ghosts: false,
  names: false,
  labels: true,
  adding: false,
  reading: false, // whether the server is still reading the run
  placing: false, // whether the next click places the chosen keypoint, which was unlabelled
  added: new Set(), // uids of people that were added here: their ghosts always show
};

// ---------------------------------------------------------------------------------- helpers

const $ = (id) => document.getElementById(id);
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const readable = (name) => name.replaceAll('_', ' ');
const remPx = () => parseFloat(getComputedStyle(document.documentElement).fontSize);
const newUid = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) =>
    byte.toString(16).padStart(2, '0'),
  ).join('');

/** Return `fn` that runs only when it has not been called again for `ms`. */
function debounced(fn, ms) {
  let timer;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => fn(...args), ms);
  };
}

function setIcon(svg, name) {
  svg.querySelector('use').setAttribute('href', `#i-${name}`);
}

function newIcon(name) {
  const icon = $('row-template').content.querySelector('svg').cloneNode(true);
  setIcon(icon, name);
  return icon;
}

function moment(seconds) {
  return new Date(1000 * seconds).toLocaleString([], {dateStyle: 'medium', timeStyle: 'short'});
}

function setBar(bar, score) {
  bar.dataset.low = score < LOW_SCORE;
  bar.firstElementChild.style.width = `${Math.round(100 * clamp(score, 0, 1))}%`;
}

let toastTimer;
function toast(text, seconds = 3) {
  clearTimeout(toastTimer);
  $('toast').textContent = text;
  $('toast').classList.add('shown');
  toastTimer = setTimeout(() => $('toast').classList.remove('shown'), 1000 * seconds);
}

function banner(text, kind = 'problem') {
  $('banner').hidden = !text;
  $('banner').dataset.kind = kind;
  if ($('banner').textContent !== text) $('banner').textContent = text;
}

/** Say something to a screen reader only. */
function say(text) {
  $('spoken').textContent = text;
}

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

const store = new Store(() => localStorage); // unsaved edits, and the theme
const visitStore = new Store(() => sessionStorage); // of this tab

// ---------------------------------------------------------------------------------- server

class ServerError extends Error {
  constructor(status, body) {
    super([body.error, body.hint].filter(Boolean).join(' '));
    this.status = status;
    this.body = body;
  }
}

const LOST = 'The server does not answer. Start `vitpose review` again and open its new link.';

/** Ask the server for something, or send it an edit; where it does not answer, `LOST` is thrown. */
async function ask(path, edit, options = {}) {
  const post = edit && {
    method: 'POST',
    headers: {'Content-Type': 'application/json'},
    body: JSON.stringify(edit),
  };
  const [response, text] = await fetch(`api/${path}`, {...post, ...options})
    .then(async (answer) => [answer, await answer.text()])
    .catch(() => {
      throw new Error(LOST);
    });
  if (response.ok) return JSON.parse(text);
  let body = {error: text.split('\n')[0], hint: ''};
  try {
    body = JSON.parse(text);
  } catch {
    /* the guard speaks plain text */
  }
  throw new ServerError(response.status, body);
}

// ---------------------------------------------------------------------------------- saving

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

  constructor(listeners) {
    this.on = listeners; // saved(number, view), choose(job, current), dropped(number, current)
  }

  get pending() {
    return this.#jobs.size > 0 || this.#asides.size > 0 || this.#busy;
  }

  isPending(number) {
    return this.#jobs.has(number) || this.#flying?.number === number;
  }

  /** Whether a frame, null for none, has an edit that could not be saved so far. */
  isStuck(number) {
    return this.#attempts > 0 && number !== null && this.isPending(number);
  }

  /** Wait until the server has every edit of a frame: only then can it be asked for it. */
  async settled(number) {
    while (this.isPending(number) && !this.isStuck(number)) await wait(20);
    if (this.isStuck(number)) toast(WAITS, 6);
    while (this.isPending(number)) await wait(20);
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

  /** Send what is left when the page is closed; the answers are not waited for. */
  flush() {
    clearTimeout(this.#timer);
    if (this.#busy) return; // its answer decides what the next version is
    for (const [number, job] of this.#jobs)
      this.#post(number, job, {keepalive: true}).catch(() => {});
  }

  /** Send edits that an earlier page could not. */
  async recover() {
    const prefix = this.#key('');
    for (const key of store.keptKeys().filter((each) => each.startsWith(prefix))) {
      const [name] = key.slice(prefix.length).split('\0');
      const number = await findFrame(name).catch(() => null); // of a run that cannot be read
      if (number === null) continue; // its frame may yet be labelled again
      const {version, sent = [], ...job} = JSON.parse(store.get(key));
      try {
        await this.#recover(number, job, version, sent);
      } catch (error) {
        if (mayPass(error)) continue; // the next page tries again
        toast(`An edit of ${name} could not be saved: ${error.message}`, 8);
      }
      store.delete(key);
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
        const view = await this.#post(number, job).finally(() => {
          this.#flying = null;
        });
        this.#attempts = 0;
        banner('');
        this.#versions.set(number, view.version);
        this.#unanswered.delete(number);
        const newer = this.#jobs.get(number);
        if (newer) this.#remember(number, newer);
        else store.delete(this.#key(job.name));
        this.on.saved(number, view);
      } catch (error) {
        const newer = this.#jobs.get(number);  // a decision alone goes on with these labels
        this.#jobs.set(number, newer ? {...newer, people: newer.people ?? job.people} : job);
        if (error.status === 409) {
          const own = await this.#isOwn(number).catch((lost) => this.#waitAfter(lost));
          if (own === false) await this.#resolve(number, error.body.current);
        } else if (error.status === 422 || error.status === 404) this.#drop(number, error.message);
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

  async #waitAfter(error) {
    this.#show('failed', 'Not saved');
    banner(notSaved(error), 'unsaved');
    await wait(Math.min(5000, 250 * 2 ** this.#attempts++));
  }

  async #resolve(number, current) {
    const job = this.#jobs.get(number);
    const mine = (await this.on.choose(job, current)) === 'mine';
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
      await setAside(aside.number, aside.version, aside);
      this.#attempts = 0;
      banner('');
    } catch (error) {
      if (error.status !== 422 && error.status !== 404) return this.#waitAfter(error);
      toast(error.message, 8);
    }
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

const WAITS = 'This waits until the last edit is saved. Another frame can be opened meanwhile.';

/** Whether an edit may yet be saved: there is nothing wrong with it. */
const mayPass = (error) => !(error instanceof ServerError) || error.status === NOT_WRITTEN;

/** Tell why an edit is not saved, and what becomes of it. */
function notSaved(error) {
  if (!(error instanceof ServerError))
    return 'The server does not answer. Your last edit is kept here until it does.';
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
const post = (number, version, {state, people}, options) =>
  ask(`frames/${number}`, {version, state, people}, options);

/** Return the version that the server has made of one of these edits, null where it has none. */
async function versionOf(number, version, jobs) {
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
const setAside = (number, version, {state, people, seen}) =>
  ask(`frames/${number}/aside`, {version, state, people: people ?? seen});

/** Return the number of the frame of this name, null where there is none. */
async function findFrame(name) {
  const {numbers} = await ask(`frames?${new URLSearchParams({name})}`);
  return numbers[0] ?? null;
}

// ---------------------------------------------------------------------------------- people

const personOf = (people, uid) => people.find((person) => person.uid === uid);
const chosenPerson = () => app.frame && personOf(app.frame.people, app.person);
const isPlaced = (point) => point[X] !== 0 || point[Y] !== 0; // other tools write 0, 0 for nothing

/** The score of a person as it stands in COCO files: see `Instances.scores`. */
function scoreOf(person) {
  const counted = person.keypoints.map((point) => point[SCORE]).filter((score) => score > 0.2);
  const total = counted.reduce((sum, score) => sum + score, 0);
  return (person.box_score * total) / Math.max(counted.length, 1);
}

/** Where a keypoint stands that nobody has placed: as in the mean pose of the run. */
function usualPlace(person, keypoint) {
  const [x0, y0, x1, y1] = person.box;
  const [u, v] = app.run.template[keypoint];
  return inside([x0 + u * (x1 - x0), y0 + v * (y1 - y0)]);
}

function inside([x, y]) {
  const [width, height] = app.frame.size_wh;
  return [clamp(x, 0, width - 1), clamp(y, 0, height - 1)];
}

/** Whether a place is in the picture, up to its edges: what is not is no label in COCO files. */
function isInside([x, y]) {
  const [width, height] = app.frame.size_wh;
  return x >= 0 && x <= width && y >= 0 && y <= height;
}

/** Whether a person put a keypoint outside of the picture, where it is a label. */
const isHeldOutside = (point) => point[SEEN] > 0 && point[SCORE] === BY_HAND && !isInside(point);

/** What a keypoint is labelled as: not at all where a model puts it outside of the picture, as
 * `labelled_visibility` has it for the document. What it is stored as stays. */
const seenOf = (point) => (isInside(point) || isHeldOutside(point) ? point[SEEN] : UNLABELLED);

/** Whether a keypoint has a place of its own, where it is once it is made visible. */
const hasPlace = (point) => isPlaced(point) && (isInside(point) || isHeldOutside(point));

/** Put a keypoint somewhere in the picture; that labels it. One that a person put outside of the
 * picture may stay there. */
function placeKeypoint(person, keypoint, place, seen) {
  const before = person.keypoints[keypoint];
  const [x, y] = isHeldOutside(before) ? place : inside(place);
  person.keypoints[keypoint] = [x, y, seen ?? (seenOf(before) || VISIBLE), BY_HAND];
}

/** Label a keypoint where it is, at its usual place where that is nowhere; or take its label. */
function setSeen(person, keypoint, seen) {
  const before = person.keypoints[keypoint];
  const [x, y] = seen && !hasPlace(before) ? usualPlace(person, keypoint) : before;
  person.keypoints[keypoint] = [x, y, seen, seen ? BY_HAND : 0];
}

function movePerson(person, dx, dy) {
  const [width, height] = app.frame.size_wh;
  const [x0, y0, x1, y1] = person.box;
  dx = clamp(dx, -x1, width - x0);
  dy = clamp(dy, -y1, height - y0);
  person.box = [x0 + dx, y0 + dy, x1 + dx, y1 + dy];
  for (const point of person.keypoints) {
    if (!isPlaced(point)) continue;
    const moved = [point[X] + dx, point[Y] + dy];
    if (!seenOf(point) && isInside(moved)) point[SEEN] = UNLABELLED; // as it was outside
    [point[X], point[Y]] = isInside(point) ? inside(moved) : moved;
  }
}

function swapSides({keypoints: points}, pairs) {
  for (const [left, right] of pairs)
    [points[left], points[right]] = [points[right], points[left]];
}

function newPerson(box) {
  const person = {uid: newUid(), box, box_score: 1, track_id: null, keypoints: []};
  person.keypoints = app.run.template.map((_, keypoint) => [
    ...usualPlace(person, keypoint),
    UNLABELLED,
    0,
  ]);
  return person;
}

function overlap(a, b) {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  if (width <= 0 || height <= 0) return 0;
  const area = (box) => (box[2] - box[0]) * (box[3] - box[1]);
  return (width * height) / (area(a) + area(b) - width * height);
}

const isSame = (a, b) => a.track_id !== null && a.track_id === b.track_id;
const isNear = (a, b) => overlap(a.box, b.box) > 0.3;

/** Return the person of another frame who is most likely the same. */
function counterpart(person, others) {
  const same = others.find((other) => isSame(person, other));
  if (same || !others.length) return same;
  const best = others.reduce((a, b) =>
    overlap(person.box, b.box) > overlap(person.box, a.box) ? b : a,
  );
  return overlap(person.box, best.box) > 0 || others.length === 1 ? best : undefined;
}

// ---------------------------------------------------------------------------------- undo

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

/** Do something to the open frame: `change` gets a copy of its people. */
function edit(label, change, {merge = null} = {}) {
  if (!app.frame || app.frame.error) return;
  const people = structuredClone(app.frame.people);
  change(people);
  commit(label, people, merge);
}

/** Give the open frame these people; where they are as they were, nothing was done. */
function commit(label, people, merge = null) {
  const {number, state} = app.frame;
  if (JSON.stringify(people) === JSON.stringify(app.frame.people))
    return void toast('Nothing is changed by that.');
  const after = {people, state: state === 'accepted' || state === 'fixed' ? 'fixed' : 'draft'};
  timeline.push({number, label, merge, before: {people: app.frame.people, state}, after});
  become(after, merge ? 250 : 0);
}

/** Give the open frame people and a state, and save it. What was touched is never `todo` again. */
function become({people, state: wanted}, delayMs = 0) {
  const frame = app.frame;
  const state = wanted === 'todo' ? 'draft' : wanted;
  const told = wanted === 'failed' ? 'draft' : state; // not decided, whether it can be read or not
  const same = frame.people === people || frame.error !== null; // nobody can be labelled there
  frame.people = people;
  frame.state = state;
  if (!personOf(people, app.person)) choose(null, null);
  app.placing &&= seenOf(chosenPerson().keypoints[app.keypoint]) === UNLABELLED;
  const job = {name: frame.name, state: told, people: same ? null : people};
  saver.put(frame.number, {...job, seen: frame.error === null ? people : null}, delayMs);
  list.setState(frame.number, state, people.length);
  render();
}

let travels = Promise.resolve();

/** Undo or redo one step after the other: each has to open its frame first. */
function travel(side, verb) {
  if (saver.isStuck(app.opening)) return toast(WAITS, 6); // or all would be done at once later
  travels = travels
    .then(() => travelOnce(side, verb))
    .catch((error) => toast(error.message, 6));
  return undefined;
}

async function travelOnce(side, verb) {
  const step = timeline.next(side);
  if (!step) return;
  await openFrame(step.number);
  if (app.frame?.number !== step.number) return; // it is still the next step
  if (!timeline.has(step))
    return toast(`Not ${verb.toLowerCase()}: another window changed this frame meanwhile.`, 6);
  if (timeline.next(side) !== step) return; // something else was done meanwhile
  timeline.pass(side);
  become(step[side]);
  toast(`${verb}: ${step.label}`);
}

// ---------------------------------------------------------------------------------- stage

/** The picture and what is drawn over it. Its view is `screen = frame * scale + (x, y)`. */
class Stage {
  constructor() {
    this.canvas = $('overlay');
    this.context = this.canvas.getContext('2d');
    this.picture = $('picture');
    this.view = {scale: 1, x: 0, y: 0};
    this.fitted = true;
    this.fingers = new Map(); // where pointers are that are down, by their ids; a mouse is one, too
    this.drag = null;
    this.preview = null; // people while something is dragged
    this.hover = null;
    this.rubber = null; // the box that is being drawn
    this.pointer = null;
    this.spaceHeld = false;
    this.queued = false;
    new ResizeObserver(() => this.resize()).observe($('stage'));
    this.watchRatio();
    this.canvas.addEventListener('pointerdown', (event) => this.down(event));
    this.canvas.addEventListener('pointermove', (event) => this.move(event));
    this.canvas.addEventListener('pointerup', () => this.up());
    this.canvas.addEventListener('pointercancel', () => this.cancel());
    this.canvas.addEventListener('lostpointercapture', (event) =>
      this.fingers.delete(event.pointerId),
    );
    this.canvas.addEventListener('pointerleave', () => {
      this.pointer = this.hover = null;
      this.paint();
    });
    this.canvas.addEventListener('contextmenu', (event) => this.menu(event));
    this.canvas.addEventListener('wheel', (event) => this.wheel(event), {passive: false});
  }

  get people() {
    return this.preview ?? app.frame?.people ?? [];
  }
  get unit() {
    return this.rem / 14;
  }

  // -- view

  resize() {
    this.rem = remPx();
    const {clientWidth: width, clientHeight: height} = $('stage');
    this.ratio = devicePixelRatio; // pixels of the canvas to one of the page
    this.size = [width, height];
    this.canvas.width = Math.round(width * this.ratio);
    this.canvas.height = Math.round(height * this.ratio);
    if (this.fitted) this.fit();
    else this.paintNow();
  }

  /** Paint anew on a screen of other pixels: there the size on the page can be what it was. */
  watchRatio() {
    const onChange = () => {
      this.paint();
      this.watchRatio();
    };
    const screen = matchMedia(`(resolution: ${devicePixelRatio}dppx)`);
    screen.addEventListener('change', onChange, {once: true});
  }

  show(picture, keepView) {
    picture.id = 'picture';
    picture.alt = '';
    picture.draggable = false;
    this.picture.replaceWith(picture);
    this.picture = picture;
    this.cancel();
    if (keepView && !this.fitted) this.paint();
    else this.fit();
  }

  fit(box = null) {
    if (!app.frame?.size_wh) return this.paint();
    const [width, height] = app.frame.size_wh;
    const [x0, y0, x1, y1] = box ?? [-0.5, -0.5, width - 0.5, height - 0.5];
    const margin = this.rem * (box ? 4 : 1);
    const [w, h] = this.size.map((side) => Math.max(side - 2 * margin, 40));
    const scale = clamp(Math.min(w / Math.max(x1 - x0, 1), h / Math.max(y1 - y0, 1)), 0.01, 60);
    this.view = {
      scale,
      x: this.size[0] / 2 - (scale * (x0 + x1)) / 2,
      y: this.size[1] / 2 - (scale * (y0 + y1)) / 2,
    };
    this.fitted = !box;
    this.paint();
  }

  zoomBy(factor, [x, y] = this.size.map((side) => side / 2)) {
    const scale = clamp(this.view.scale * factor, 0.01, 60);
    const change = scale / this.view.scale;
    this.view = {scale, x: x - (x - this.view.x) * change, y: y - (y - this.view.y) * change};
    this.fitted = false;
    this.paint();
  }

  toScreen(x, y) {
    const {scale, x: left, y: top} = this.view;
    return [x * scale + left, y * scale + top];
  }

  toFrame([x, y]) {
    const {scale, x: left, y: top} = this.view;
    return [(x - left) / scale, (y - top) / scale];
  }

  /** Return the box that Enter adds a person in: the middle of what is seen. */
  middleBox() {
    const [x0, y0] = inside(this.toFrame([0.35 * this.size[0], 0.2 * this.size[1]]));
    const [x1, y1] = inside(this.toFrame([0.65 * this.size[0], 0.8 * this.size[1]]));
    return [x0, y0, x1, y1];
  }

  // -- painting

  paint() {
    if (this.queued) return;
    this.queued = true;
    requestAnimationFrame(() => {
      this.queued = false;
      this.paintNow();
    });
  }

  paintNow() {
    if (this.ratio !== devicePixelRatio) this.resize();
    const {context, view, unit, ratio} = this;
    if (app.frame?.size_wh) {
      const [width, height] = app.frame.size_wh;
      const half = view.scale / 2; // frame pixel (0, 0) is the centre of the top left one
      this.picture.style.width = `${width}px`;
      this.picture.style.height = `${height}px`;
      const [left, top] = [view.x - half, view.y - half];
      this.picture.style.transform = `translate(${left}px, ${top}px) scale(${view.scale})`;
      this.picture.style.imageRendering = view.scale * ratio > 4 ? 'pixelated' : 'auto';
    }
    Object.assign(this.canvas.dataset, {scale: view.scale, x: view.x, y: view.y});
    $('zoom-level').textContent = `${Math.round(100 * view.scale)} %`;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, ...this.size);
    context.lineCap = context.lineJoin = 'round';
    context.font = `600 ${11 * unit}px ${getComputedStyle(document.body).fontFamily}`;
    if (app.labels) {
      const chosen = personOf(this.people, app.person);
      for (const person of this.people)
        if (person !== chosen) this.paintPerson(person, chosen ? 0.5 : 1);
      if (chosen) this.paintPerson(chosen, 1, true);
      this.paintWords(chosen);
    }
    if (this.rubber) this.paintBox(this.rubber, true);
    if (app.adding && !this.rubber && this.pointer) this.paintCross(this.pointer);
  }

  paintPerson(person, alpha, chosen = false) {
    const {context, view} = this;
    const [x0, y0, x1, y1] = person.box;
    const size = Math.sqrt((x1 - x0) * (y1 - y0)) * view.scale;
    const radius = clamp(size / 42, 2, 4.6) * this.unit * (chosen ? 1.15 : 1);
    context.globalAlpha = alpha;
    this.paintBox(person.box, chosen);
    const points = person.keypoints.map((point) => this.toScreen(point[X], point[Y]));
    const edges = app.run.edges.filter(
      ([a, b]) => seenOf(person.keypoints[a]) && seenOf(person.keypoints[b]),
    );
    for (const [width, colour] of [
      [radius + 2, () => RIM],
      [radius, edgeColour],
    ]) {
      context.lineWidth = 0.75 * width;
      for (const [a, b] of edges) this.line(points[a], points[b], colour(a, b));
    }
    person.keypoints.forEach((point, keypoint) => {
      const seen = seenOf(point);
      if (seen) this.paintKeypoint(points[keypoint], keypoint, radius, seen);
      else if (this.isGhost(person, keypoint)) this.paintGhost(points[keypoint], keypoint, radius);
    });
    if (chosen && app.keypoint !== null && this.isShown(person, app.keypoint)) {
      context.lineWidth = 2 * this.unit;
      this.ring(points[app.keypoint], radius + 5 * this.unit, RIM, 3.5);
      this.ring(points[app.keypoint], radius + 5 * this.unit, '#fff', 1.7);
    }
    context.globalAlpha = 1;
    this.paintTag(person, chosen);
  }

  paintBox([x0, y0, x1, y1], chosen) {
    const {context, unit} = this;
    const [left, top] = this.toScreen(x0, y0),
      [right, bottom] = this.toScreen(x1, y1);
    for (const [width, colour] of [
      [chosen ? 3.6 : 2.2, RIM],
      [chosen ? 1.7 : 1, chosen ? '#fff' : 'rgb(255 255 255 / 75%)'],
    ]) {
      context.lineWidth = width * unit;
      context.strokeStyle = colour;
      context.strokeRect(left, top, right - left, bottom - top);
    }
    if (!chosen || this.rubber) return;
    for (const [x, y] of handlePlaces([left, top, right, bottom])) {
      context.fillStyle = '#fff';
      context.strokeStyle = RIM;
      context.lineWidth = 1.4 * unit;
      context.beginPath();
      context.rect(x - 3.5 * unit, y - 3.5 * unit, 7 * unit, 7 * unit);
      context.fill();
      context.stroke();
    }
  }

  paintKeypoint(place, keypoint, radius, seen) {
    const colour = COLOURS[app.run.sides[keypoint]];
    this.disc(place, radius + 1.4 * this.unit, RIM);
    this.disc(place, radius, colour);
    if (seen !== VISIBLE) this.disc(place, 0.58 * radius, 'rgb(18 18 20)');
  }

  paintGhost(place, keypoint, radius) {
    const {context, unit} = this;
    this.ring(place, radius + unit, 'rgb(18 18 20 / 45%)', 2.6);
    context.setLineDash([2.4 * unit, 2.4 * unit]);
    this.ring(place, radius + unit, COLOURS[app.run.sides[keypoint]], 1.5);
    context.setLineDash([]);
  }

  paintTag(person, chosen) {
    const box = this.tagBox(person);
    this.pill(
      box.text,
      box.left,
      box.top,
      chosen ? '#fff' : 'rgb(24 26 30 / 82%)',
      chosen ? '#15181c' : '#fff',
    );
  }

  /** Write the names of the keypoint under the pointer, of the chosen one, or of all. */
  paintWords(chosen) {
    const named = [];
    if (chosen && app.names)
      chosen.keypoints.forEach((_, keypoint) => named.push([chosen, keypoint]));
    else if (chosen && app.keypoint !== null) named.push([chosen, app.keypoint]);
    if (this.hover?.kind === 'keypoint' && !this.drag)
      named.push([this.hover.person, this.hover.keypoint]);
    for (const [person, keypoint] of named) {
      if (!this.isShown(person, keypoint)) continue;
      const [x, y] = this.toScreen(...person.keypoints[keypoint]);
      this.pill(
        readable(app.run.keypoints[keypoint]),
        x + 10 * this.unit,
        y - 22 * this.unit,
        'rgb(24 26 30 / 88%)',
        '#fff',
      );
    }
  }

  paintCross([x, y]) {
    this.context.lineWidth = this.unit;
    for (const colour of [RIM, 'rgb(255 255 255 / 80%)']) {
      this.line([x, 0], [x, this.size[1]], colour);
      this.line([0, y], [this.size[0], y], colour);
      this.context.setLineDash([6, 6]);
    }
    this.context.setLineDash([]);
  }

  pill(text, left, top, paint, ink) {
    const {context, unit} = this;
    const width = context.measureText(text).width + 10 * unit;
    context.fillStyle = paint;
    context.beginPath();
    context.roundRect(left, top, width, 17 * unit, 4 * unit);
    context.fill();
    context.fillStyle = ink;
    context.fillText(text, left + 5 * unit, top + 12.6 * unit);
  }

  line([x0, y0], [x1, y1], colour) {
    this.context.strokeStyle = colour;
    this.context.beginPath();
    this.context.moveTo(x0, y0);
    this.context.lineTo(x1, y1);
    this.context.stroke();
  }

  disc([x, y], radius, colour) {
    this.context.fillStyle = colour;
    this.context.beginPath();
    this.context.arc(x, y, radius, 0, 2 * Math.PI);
    this.context.fill();
  }

  ring([x, y], radius, colour, width) {
    this.context.strokeStyle = colour;
    this.context.lineWidth = width * this.unit;
    this.context.beginPath();
    this.context.arc(x, y, radius, 0, 2 * Math.PI);
    this.context.stroke();
  }

  /** Where the number of a person stands, by which it can be dragged. */
  tagBox(person) {
    const number = this.people.indexOf(person) + 1;
    const [left, top] = this.toScreen(person.box[0], person.box[1]);
    const text = `${number}`;
    return {
      text,
      left: clamp(left, 2, this.size[0] - 30),
      top: clamp(top - 19 * this.unit, 2, this.size[1] - 20),
      width: this.context.measureText(text).width + 10 * this.unit,
      height: 17 * this.unit,
    };
  }

  isGhost(person, keypoint) {
    const point = person.keypoints[keypoint];
    return (
      seenOf(point) === UNLABELLED && isPlaced(point) && (app.ghosts || app.added.has(person.uid))
    );
  }

  isShown(person, keypoint) {
    return seenOf(person.keypoints[keypoint]) > 0 || this.isGhost(person, keypoint);
  }

  // -- what is under the pointer

  hit(at) {
    if (!app.frame || !app.labels) return {kind: 'none'};
    const chosen = chosenPerson();
    const found = [];
    if (chosen) {
      found.push(...this.keypointsNear(chosen, at, 12), ...this.handlesNear(chosen, at));
    }
    if (!app.placing) {
      for (const person of this.people)
        if (person !== chosen) found.push(...this.keypointsNear(person, at, 9));
    }
    if (found.length) return found.reduce((a, b) => (b.distance < a.distance ? b : a));
    if (app.placing) return {kind: 'none'};
    const tagged = this.people.find((person) => contains(this.tagBox(person), at));
    if (tagged) return {kind: 'edge', person: tagged};
    if (chosen && this.isOnBorder(chosen, at)) return {kind: 'edge', person: chosen};
    const [x, y] = this.toFrame(at);
    const around = this.people.filter(
      ({box}) => x >= box[0] && x <= box[2] && y >= box[1] && y <= box[3],
    );
    const area = ({box}) => (box[2] - box[0]) * (box[3] - box[1]);
    around.sort((a, b) => area(a) - area(b));
    return around.length ? {kind: 'inside', people: around} : {kind: 'none'};
  }

  keypointsNear(person, at, reach) {
    return person.keypoints.flatMap((point, keypoint) => {
      if (!this.isShown(person, keypoint)) return [];
      const distance = far(this.toScreen(point[X], point[Y]), at);
      return distance <= reach * this.unit ? [{kind: 'keypoint', person, keypoint, distance}] : [];
    });
  }

  handlesNear(person, at) {
    const [left, top] = this.toScreen(person.box[0], person.box[1]);
    const [right, bottom] = this.toScreen(person.box[2], person.box[3]);
    return handlePlaces([left, top, right, bottom]).flatMap((place, handle) => {
      const distance = far(place, at);
      return distance <= 9 * this.unit ? [{kind: 'handle', person, handle, distance}] : [];
    });
  }

  isOnBorder({box}, at) {
    const [left, top] = this.toScreen(box[0], box[1]),
      [right, bottom] = this.toScreen(box[2], box[3]);
    const near = 5 * this.unit;
    const within =
      at[0] > left - near && at[0] < right + near && at[1] > top - near && at[1] < bottom + near;
    const deep =
      at[0] > left + near && at[0] < right - near && at[1] > top + near && at[1] < bottom - near;
    return within && !deep;
  }

  // -- pointer

  at(event) {
    const {left, top} = this.canvas.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }

  down(event) {
    if (event.button === 2 || !app.frame) return;
    this.canvas.focus({preventScroll: true});
    this.canvas.setPointerCapture(event.pointerId);
    const start = this.at(event);
    this.fingers.set(event.pointerId, start);
    if (this.fingers.size > 1) return void this.cancel(); // two fingers move the picture alone
    const panning = event.button === 1 || this.spaceHeld;
    const hit = panning ? {kind: 'none'} : this.hit(start);
    this.drag = {start, hit, moved: false, view: {...this.view}, kind: 'pan', panning};
    if (panning) return;
    if (app.adding) {
      this.drag.kind = 'rubber';
    } else if (hit.kind === 'keypoint') {
      choose(hit.person.uid, hit.keypoint);
      this.drag.kind = 'keypoint';
    } else if (hit.kind === 'handle' || hit.kind === 'edge') {
      choose(hit.person.uid, hit.kind === 'handle' ? app.keypoint : null);
      this.drag.kind = hit.kind;
    }
  }

  move(event) {
    const at = (this.pointer = this.at(event));
    const isDown = this.fingers.has(event.pointerId);
    if (isDown && this.fingers.size > 1) return this.pinch(event.pointerId, at);
    if (isDown) this.fingers.set(event.pointerId, at);
    else if (this.drag) return undefined; // a mouse that hovers beside a finger
    if (!this.drag) {
      this.hover = app.adding ? null : this.hit(at);
      this.setCursor();
      return this.paint();
    }
    if (!this.drag.moved && far(at, this.drag.start) < 3 * this.unit) return undefined;
    this.drag.moved = true;
    this.dragTo(at);
    this.setCursor();
    return this.paint();
  }

  /** Move and zoom by two fingers: what lies between them stays there. */
  pinch(finger, at) {
    const before = between(...this.fingers.values());
    this.fingers.set(finger, at);
    const after = between(...this.fingers.values());
    this.view.x += after.middle[0] - before.middle[0];
    this.view.y += after.middle[1] - before.middle[1];
    this.zoomBy(after.distance / before.distance, after.middle);
  }

  dragTo(at) {
    const {kind, start, view, hit} = this.drag;
    const [dx, dy] = [at[0] - start[0], at[1] - start[1]];
    if (kind === 'pan') {
      this.view = {...view, x: view.x + dx, y: view.y + dy};
      this.fitted = false;
      return;
    }
    if (kind === 'rubber') {
      const [a, b] = [inside(this.toFrame(start)), inside(this.toFrame(at))];
      this.rubber = [
        Math.min(a[X], b[X]),
        Math.min(a[Y], b[Y]),
        Math.max(a[X], b[X]),
        Math.max(a[Y], b[Y]),
      ];
      return;
    }
    this.preview = structuredClone(app.frame.people);
    const person = personOf(this.preview, hit.person.uid);
    const [fx, fy] = [dx / this.view.scale, dy / this.view.scale];
    if (kind === 'keypoint') {
      const [x, y] = person.keypoints[hit.keypoint];
      placeKeypoint(person, hit.keypoint, [x + fx, y + fy]);
    } else if (kind === 'handle') {
      person.box = resized(person.box, hit.handle, inside(this.toFrame(at)));
    } else {
      movePerson(person, fx, fy);
    }
  }

  up() {
    const {drag, preview, rubber} = this;
    this.cancel();
    if (!drag) return;
    if (preview) {
      commit(
        {keypoint: 'move a keypoint', handle: 'resize a box', edge: 'move a person'}[drag.kind],
        preview,
      );
    } else if (rubber) {
      addPerson(rubber);
    } else if (!drag.moved && !drag.panning && drag.kind === 'pan') {
      this.click(drag.hit, drag.start);
    }
  }

  click(hit, at) {
    if (app.placing) return placeChosen(this.toFrame(at));
    if (hit.kind !== 'inside') return choose(null, null);
    const position = hit.people.findIndex(({uid}) => uid === app.person);
    return choose(hit.people[(position + 1) % hit.people.length].uid, null);
  }

  /** Drop what is being dragged; return whether there was something. */
  cancel() {
    const busy = Boolean(this.drag || this.rubber);
    this.drag = this.preview = this.rubber = this.hover = null;
    this.setCursor();
    this.paint();
    return busy;
  }

  menu(event) {
    event.preventDefault();
    const hit = this.hit(this.at(event));
    if (hit.kind !== 'keypoint') return;
    choose(hit.person.uid, hit.keypoint);
    cycleSeen();
  }

  wheel(event) {
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode === 1 ? 30 : 1);
    this.zoomBy(Math.exp(-pixels * (event.ctrlKey ? 0.01 : 0.0016)), this.at(event));
  }

  setCursor() {
    const kind = this.drag?.kind ?? this.hover?.kind;
    const cursors = {
      keypoint: 'pointer',
      edge: 'move',
      handle: HANDLES[(this.drag?.hit ?? this.hover)?.handle]?.cursor,
    };
    const idle = this.drag?.moved || this.spaceHeld ? 'grabbing' : 'grab';
    this.canvas.style.cursor =
      app.adding || (app.placing && !cursors[kind]) ? 'crosshair' : (cursors[kind] ?? idle);
  }
}

const far = ([ax, ay], [bx, by]) => Math.hypot(ax - bx, ay - by);
const between = (a, b) => ({
  middle: [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2],
  distance: Math.max(far(a, b), 1),
});
const contains = ({left, top, width, height}, [x, y]) =>
  x >= left && x <= left + width && y >= top && y <= top + height;

/** The handles of a box: which of its sides (x0, y0, x1, y1) each of them moves. */
const HANDLES = [
  {sides: [0, 1], cursor: 'nwse-resize'},
  {sides: [null, 1], cursor: 'ns-resize'},
  {sides: [2, 1], cursor: 'nesw-resize'},
  {sides: [2, null], cursor: 'ew-resize'},
  {sides: [2, 3], cursor: 'nwse-resize'},
  {sides: [null, 3], cursor: 'ns-resize'},
  {sides: [0, 3], cursor: 'nesw-resize'},
  {sides: [0, null], cursor: 'ew-resize'},
];

function handlePlaces(box) {
  const middle = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2];
  return HANDLES.map(({sides}) =>
    sides.map((side, axis) => (side === null ? middle[axis] : box[side])),
  );
}

function resized(box, handle, place) {
  const [...result] = box;
  HANDLES[handle].sides.forEach((side, axis) => {
    if (side === null) return;
    result[side] =
      side < 2 ? Math.min(place[axis], box[axis + 2] - 1) : Math.max(place[axis], box[axis] + 1);
  });
  return result;
}

function edgeColour(a, b) {
  const [first, second] = [app.run.sides[a], app.run.sides[b]];
  if (first === second || second === 'centre') return COLOURS[first];
  return first === 'centre' ? COLOURS[second] : COLOURS.centre;
}

// ---------------------------------------------------------------------------------- list

const MAX_LIST_PX = 8e6; // browsers cannot make elements much taller

/** The frames that the filter leaves; only rows that can be seen exist. */
class FrameList {
  constructor() {
    this.box = $('list');
    this.space = $('list-space');
    this.numbers = [];
    this.states = [];
    this.rows = new Map(); // number -> what the server told
    this.elements = new Map(); // position -> element
    this.position = -1;
    this.load = debounced(() => this.fetchRows(), 40);
    this.box.addEventListener('scroll', () => this.render());
    this.box.addEventListener('keydown', (event) => this.key(event));
    this.box.addEventListener('click', (event) => {
      const row = event.target.closest('.row');
      if (!row) return;
      openFrame(this.numbers[Number(row.dataset.position)]);
      leaveDrawer();
    });
    new ResizeObserver(() => this.layout()).observe(this.box);
  }

  /** List what the server has found. */
  show(found) {
    this.numbers = found.numbers;
    this.states = Array.from(found.states, (digit) => app.run.states[Number(digit)]);
    this.rows.clear();
    this.position = this.numbers.indexOf(app.opening ?? app.frame?.number);
    this.layout();
    this.reveal();
  }

  setState(number, state, numPeople) {
    const position = this.numbers.indexOf(number);
    if (position >= 0) this.states[position] = state;
    const row = this.rows.get(number);
    if (row) Object.assign(row, {state, num_people: numPeople});
    this.render();
  }

  setRow(row) {
    this.rows.set(row.number, row);
    const position = this.numbers.indexOf(row.number);
    if (position >= 0) this.states[position] = row.state;
    this.render();
  }

  select(number) {
    this.position = this.numbers.indexOf(number);
    this.reveal();
    this.render();
  }

  /** Open the first frame where the open one is not listed. */
  openFirst() {
    if (this.position < 0 && this.numbers.length) openFrame(this.numbers[0]);
  }

  /** Return the number of the frame some steps away, undefined at the ends. */
  step(steps) {
    return this.numbers[this.position + steps];
  }

  /** Return the next frame that nobody has decided about, from the one that is open. */
  nextOpen() {
    const count = this.numbers.length;
    for (let step = 1; step <= count; step++) {
      const position = (this.position + step) % count;
      if (['todo', 'draft'].includes(this.states[position]) && position !== this.position)
        return this.numbers[position];
    }
    return undefined;
  }

  // -- rows

  get visibleRows() {
    return this.box.clientHeight / this.rowPx;
  }
  get squeezed() {
    return this.numbers.length * this.rowPx > MAX_LIST_PX;
  }

  /** The position at the top edge of the list; not a whole number. */
  get top() {
    if (!this.squeezed) return this.box.scrollTop / this.rowPx;
    const range = this.space.offsetHeight - this.box.clientHeight;
    return (this.box.scrollTop / range) * (this.numbers.length - this.visibleRows);
  }

  set top(position) {
    const wanted = clamp(position, 0, Math.max(0, this.numbers.length - this.visibleRows));
    if (this.squeezed) {
      const range = this.space.offsetHeight - this.box.clientHeight;
      this.box.scrollTop = (wanted / (this.numbers.length - this.visibleRows)) * range;
    } else {
      this.box.scrollTop = wanted * this.rowPx;
    }
  }

  layout() {
    this.rowPx = 4 * remPx();
    this.space.style.height = `${Math.min(this.numbers.length * this.rowPx, MAX_LIST_PX)}px`;
    for (const element of this.elements.values()) element.remove();
    this.elements.clear();
    this.render();
  }

  reveal() {
    if (this.position < 0) return;
    if (this.position < this.top) this.top = this.position;
    else if (this.position + 1 > this.top + this.visibleRows)
      this.top = this.position + 1 - this.visibleRows;
  }

  render() {
    const top = this.top;
    const first = Math.max(0, Math.floor(top) - 3);
    const last = Math.min(this.numbers.length, Math.ceil(top + this.visibleRows) + 3);
    for (const [position, element] of this.elements) {
      if (position < first || position >= last) {
        element.remove();
        this.elements.delete(position);
      }
    }
    for (let position = first; position < last; position++) {
      if (!this.elements.has(position)) this.elements.set(position, this.create(position));
      const element = this.elements.get(position);
      const offset = this.squeezed
        ? this.box.scrollTop + (position - top) * this.rowPx
        : position * this.rowPx;
      element.style.transform = `translateY(${offset}px)`;
      this.fill(element, position);
    }
    const current = this.elements.get(this.position);
    if (current) this.box.setAttribute('aria-activedescendant', current.id);
    else this.box.removeAttribute('aria-activedescendant');
    this.load();
  }

  create(position) {
    const element = $('row-template').content.firstElementChild.cloneNode(true);
    element.id = `row-${position}`;
    element.dataset.position = position;
    element.setAttribute('aria-posinset', position + 1);
    element.setAttribute('aria-setsize', this.numbers.length);
    this.space.append(element);
    return element;
  }

  fill(element, position) {
    const state = this.states[position];
    const row = this.rows.get(this.numbers[position]);
    element.dataset.state = state;
    element.setAttribute('aria-selected', position === this.position);
    setIcon(element.querySelector('.badge svg'), state);
    if (!row) return;
    const slash = row.name.lastIndexOf('/');
    const people = row.num_people === 1 ? '1 person' : `${row.num_people ?? '…'} people`;
    const score = row.num_people ? ` · ${row.score.toFixed(2)}` : '';
    element.title = `${row.name}\n${STATE_WORDS[state]}`;
    element.querySelector('.row-name').textContent = row.name.slice(slash + 1);
    element.querySelector('.row-folder').textContent = row.name.slice(0, Math.max(slash, 0));
    element.querySelector('.row-facts').textContent =
      state === 'failed' ? 'unreadable' : people + score;
    element.setAttribute('aria-label', `${row.name}, ${people}, ${STATE_WORDS[state]}`);
  }

  /** Get what the visible rows show; only where scrolling has come to a rest. */
  async fetchRows() {
    const shown = [...this.elements].map(([position, element]) => [
      this.numbers[position],
      element,
    ]);
    const missing = shown.map(([number]) => number).filter((number) => !this.rows.has(number));
    if (missing.length) {
      const rows = await ask(`rows?numbers=${missing}`).catch(() => []);
      for (const row of rows) this.rows.set(row.number, row);
      if (rows.length) this.render();
    }
    for (const [number, element] of shown) {
      const image = element.querySelector('img');
      if (image.src || !element.isConnected) continue;
      image.addEventListener('load', () => image.classList.add('ready'), {once: true});
      image.src = `api/frames/${number}/thumbnail`;
    }
  }

  key(event) {
    const page = Math.max(1, Math.floor(this.visibleRows) - 1);
    const steps = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: page,
      PageUp: -page,
      Home: -Infinity,
      End: Infinity,
    }[event.key];
    if (event.key === 'Enter') {
      this.openFirst();
      $('overlay').focus();
    } else if (steps === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    else {
      const position = clamp(this.position + steps, 0, this.numbers.length - 1);
      if (this.numbers.length) openFrame(this.numbers[position]);
    }
    event.preventDefault();
    event.stopPropagation();
  }
}

// ---------------------------------------------------------------------------------- inspector

/** Give a list as many children as wanted, made from a template; return them. */
function children(parent, template, count) {
  while (parent.children.length > count) parent.lastElementChild.remove();
  while (parent.children.length < count)
    parent.append($(template).content.firstElementChild.cloneNode(true));
  return [...parent.children];
}

function renderFrameCard() {
  const {frame} = app;
  const slash = frame.name.lastIndexOf('/');
  $('frame-name').textContent = frame.name.slice(slash + 1);
  $('frame-name').title = frame.name;
  const facts = [frame.size_wh && frame.size_wh.join(' × ')];
  if (frame.time_s !== null) facts.push(`${frame.time_s.toFixed(2)} s`);
  if (slash > 0) facts.unshift(frame.name.slice(0, slash));
  $('frame-facts').textContent = facts.filter(Boolean).join(' · ');
  const by = DECIDED.has(frame.state) && frame.reviewer ? ` by ${frame.reviewer}` : '';
  const when = by && frame.edited_at_s ? `, ${moment(frame.edited_at_s)}` : '';
  $('frame-state').dataset.state = frame.state;
  $('frame-state').replaceChildren(newIcon(frame.state), STATE_WORDS[frame.state] + by + when);
  $('reasons').replaceChildren(
    ...frame.reasons.map((reason) => {
      const item = document.createElement('li');
      item.textContent = reason;
      return item;
    }),
  );
}

function renderPeople() {
  const {people} = app.frame;
  const rows = children($('people'), 'person-template', people.length);
  $('people-title').textContent = people.length
    ? `People · ${people.length}`
    : 'Nobody is labelled';
  people.forEach((person, position) => {
    const button = rows[position].firstElementChild;
    const score = scoreOf(person);
    const labelled = person.keypoints.filter(seenOf).length;
    const track = person.track_id === null ? '' : ` · #${person.track_id}`;
    button.querySelector('.person-number').textContent = position + 1;
    button.querySelector('.person-text').textContent =
      `${labelled} of ${person.keypoints.length}${track}`;
    button.querySelector('.score').textContent = score.toFixed(2);
    setBar(button.querySelector('.bar'), score);
    button.setAttribute('aria-pressed', person.uid === app.person);
    button.setAttribute(
      'aria-label',
      `Person ${position + 1}, ${labelled} keypoints, score ${score.toFixed(2)}`,
    );
    button.onclick = () => choose(person.uid === app.person ? null : person.uid, null);
  });
}

function renderKeypoints() {
  const person = chosenPerson();
  $('keypoints-hint').hidden = Boolean(person) || app.frame.people.length === 0;
  const rows = children($('keypoints'), 'keypoint-template', person ? person.keypoints.length : 0);
  person?.keypoints.forEach((point, keypoint) => {
    const row = rows[keypoint];
    const name = readable(app.run.keypoints[keypoint]);
    row.dataset.side = app.run.sides[keypoint];
    const seen = seenOf(point);
    row.dataset.seen = seen;
    row.classList.toggle('chosen', keypoint === app.keypoint);
    const [pick, bar, score, toggle] = row.children;
    pick.lastElementChild.textContent = name;
    pick.setAttribute('aria-pressed', keypoint === app.keypoint);
    pick.setAttribute(
      'aria-label',
      `${name}, ${SEEN_WORDS[seen]}, score ${point[SCORE].toFixed(2)}`,
    );
    pick.onclick = () => {
      choose(person.uid, keypoint);
      leaveDrawer();
    };
    setBar(bar, point[SCORE]);
    score.textContent = point[SCORE].toFixed(2);
    toggle.setAttribute('aria-label', `${name} is ${SEEN_WORDS[seen]}: change`);
    toggle.title = SEEN_WORDS[seen];
    toggle.onclick = () => {
      choose(person.uid, keypoint);
      cycleSeen();
    };
  });
}

function render() {
  if (!app.frame) return;
  renderFrameCard();
  renderPeople();
  renderKeypoints();
  renderCommands();
  stage.setCursor();
  stage.paint();
  if (app.adding)
    banner('Draw a box around the person. Enter takes the middle, Escape leaves.', 'hint');
  else if (app.placing)
    banner(
      `Click where the ${nameOfChosen()} is. Full stop skips it.`,
      'hint',
    );
  else if ($('banner').dataset.kind === 'hint') banner('', 'hint');
}

// ---------------------------------------------------------------------------------- progress

/** How far the review is, and how long a frame takes: only time in which something happens. */
class Progress {
  constructor() {
    this.counts = null;
    this.seconds = 0;
    this.lastActivity = Date.now();
    for (const kind of ['pointerdown', 'pointermove', 'keydown', 'wheel']) {
      document.addEventListener(
        kind,
        () => {
          this.lastActivity = Date.now();
        },
        {passive: true, capture: true},
      );
    }
    setInterval(() => this.tick(), 1000);
  }

  get #key() {
    return `vitpose-review ${app.run.id} seconds`;
  }
  get #times() {
    return JSON.parse(visitStore.get(this.#key) ?? '[]');
  }

  tick() {
    if (document.hidden || Date.now() - this.lastActivity > 30_000 || !app.frame) return;
    this.seconds += 1;
    this.renderPace();
  }

  /** A frame has been decided: its time counts. */
  decided() {
    const times = [...this.#times, Math.max(this.seconds, 1)].slice(-100);
    visitStore.set(this.#key, JSON.stringify(times));
  }

  update(answer) {
    this.counts = filter.queued ? answer.queue_counts : answer.counts;
    const total = Object.values(this.counts).reduce((sum, count) => sum + count, 0);
    const done = [...DECIDED].reduce((sum, state) => sum + this.counts[state], 0);
    for (const part of $('meter').children)
      part.style.width = `${(100 * this.counts[part.className]) / Math.max(total, 1)}%`;
    $('meter').setAttribute('aria-valuemax', total);
    $('meter').setAttribute('aria-valuenow', done);
    $('progress-text').textContent = `${done.toLocaleString()} of ${total.toLocaleString()}`;
    const fresh = answer.num_frames - app.numFrames;
    $('new-frames').hidden = fresh <= 0;
    $('new-frames').textContent = `${fresh.toLocaleString()} new`;
    this.renderPace();
  }

  renderPace() {
    const clock = `${Math.floor(this.seconds / 60)}:${String(this.seconds % 60).padStart(2, '0')}`;
    const times = this.#times.sort((a, b) => a - b);
    if (!times.length || !this.counts) {
      $('pace').textContent = `${clock} here`;
      return;
    }
    const median = times[times.length >> 1];
    const left = (this.counts.todo + this.counts.draft) * median;
    const remaining =
      left < 90
        ? `${Math.round(left)} s`
        : left < 5400
          ? `${Math.round(left / 60)} min`
          : `${(left / 3600).toFixed(1)} h`;
    $('pace').textContent = `${clock} here · ${median} s a frame · ${remaining} left`;
  }
}

// ------------------------------------------------------------------------ what a person can do

function spoken(point, keypoint) {
  const [x, y] = point.map(Math.round);
  return `${readable(app.run.keypoints[keypoint])}, ${SEEN_WORDS[seenOf(point)]}, at ${x}, ${y}`;
}

const nameOfChosen = () => readable(app.run.keypoints[app.keypoint]);

function choose(uid, keypoint) {
  app.person = uid;
  app.keypoint = uid === null ? null : keypoint;
  const person = chosenPerson();
  const point = person && app.keypoint !== null ? person.keypoints[app.keypoint] : null;
  app.placing = point !== null && seenOf(point) === UNLABELLED;
  render();
  if (!person) return;
  const number = app.frame.people.indexOf(person);
  say(point ? spoken(point, app.keypoint) : `Person ${number + 1}`);
  $('keypoints').children[app.keypoint]?.scrollIntoView({block: 'nearest'});
  $('people').children[number].scrollIntoView({block: 'nearest'});
}

function stepPerson(steps) {
  const {people} = app.frame;
  if (!people.length) return;
  const position = people.indexOf(chosenPerson());
  const next =
    position < 0
      ? steps > 0
        ? 0
        : people.length - 1
      : (position + steps + people.length) % people.length;
  choose(people[next].uid, null);
}

function stepKeypoint(steps) {
  const person = chosenPerson() ?? app.frame.people[0];
  if (!person) return;
  const count = person.keypoints.length;
  const next =
    app.keypoint === null ? (steps > 0 ? 0 : count - 1) : (app.keypoint + steps + count) % count;
  choose(person.uid, next);
}

/** Change the chosen person, or say that one has to be chosen. */
function editChosen(label, change, options) {
  if (!chosenPerson()) return toast('Choose a person first: click one, or press P.');
  return edit(label, (people) => change(personOf(people, app.person), people), options);
}

function setChosenSeen(seen) {
  if (app.keypoint === null)
    return toast('Choose a keypoint first: click one, or press the full stop.');
  const point = chosenPerson()?.keypoints[app.keypoint];
  editChosen(`make it ${SEEN_WORDS[seen]}`, (person) => setSeen(person, app.keypoint, seen));
  if (point && seen && !hasPlace(point))
    toast(`The ${nameOfChosen()} stands at its usual place: move it to where it is.`, 6);
  return undefined;
}

function cycleSeen() {
  const point = app.keypoint === null ? null : chosenPerson()?.keypoints[app.keypoint];
  setChosenSeen(point ? (seenOf(point) + 2) % 3 : VISIBLE);
}

function swapPair() {
  const pairs = app.run.flip_pairs.filter((pair) => pair.includes(app.keypoint));
  if (!pairs.length)
    return toast('Choose a keypoint with a partner: click one, or press the full stop.');
  return editChosen('swap a pair', (person) => swapSides(person, pairs));
}

/** Put the chosen keypoint at a click, and go on to the next that has no label. */
function placeChosen(place) {
  const keypoint = app.keypoint;
  editChosen('place a keypoint', (person) => placeKeypoint(person, keypoint, place, VISIBLE));
  const points = chosenPerson().keypoints;
  const next = points.findIndex(
    (point, index) => index > keypoint && seenOf(point) === UNLABELLED,
  );
  choose(app.person, next >= 0 ? next : keypoint);
}

function nudge(event) {
  const step = event.shiftKey ? 10 : 1;
  const [dx, dy] = {
    ArrowLeft: [-step, 0],
    ArrowRight: [step, 0],
    ArrowUp: [0, -step],
    ArrowDown: [0, step],
  }[event.key];
  const chosen = chosenPerson();
  if (!chosen) return undefined;
  if (app.keypoint !== null && !isMovable(chosen, app.keypoint))
    return toast(`The ${nameOfChosen()} is not labelled: click where it is, or press 2.`, 6);
  return editChosen(
    'nudge',
    (person) => {
      if (app.keypoint === null) return movePerson(person, dx, dy);
      const [x, y] = person.keypoints[app.keypoint];
      return placeKeypoint(person, app.keypoint, [x + dx, y + dy]);
    },
    {merge: `nudge ${app.person} ${app.keypoint}`},
  );
}

/** Whether a keypoint can go on from where it is seen: a label, or the ghost of one to be. */
function isMovable(person, keypoint) {
  return stage.isShown(person, keypoint) && hasPlace(person.keypoints[keypoint]);
}

function addPerson(box) {
  setAdding(false);
  if (box[2] - box[0] < 2 || box[3] - box[1] < 2) return;
  const person = newPerson(box);
  app.added.add(person.uid);
  edit('add a person', (people) => {
    people.push(person);
  });
  choose(person.uid, 0);
}

function setAdding(adding) {
  app.adding = adding && Boolean(app.frame?.size_wh);
  if (app.adding) app.labels = true;
  render();
}

function deleteChosen(wholePerson) {
  if (app.keypoint !== null && !wholePerson) return setChosenSeen(UNLABELLED);
  return editChosen('delete a person', (person, people) => {
    people.splice(people.indexOf(person), 1);
  });
}

async function copyPose() {
  const {frame} = app;
  if (frame.previous === null)
    return toast('There is no frame before this one in its video or folder.');
  await saver.settled(frame.previous);
  const before = await ask(`frames/${frame.previous}`);
  if (app.frame !== frame) return undefined;
  const chosen = chosenPerson();
  if (chosen) {
    const source = counterpart(chosen, before.people);
    if (!source) return toast('Nobody in the frame before is near this person.');
    return editChosen('copy a pose', (person) => {
      person.keypoints = copied(source.keypoints);
    });
  }
  const missing = before.people.filter(
    (other) => !frame.people.some((person) => isSame(person, other) || isNear(person, other)),
  );
  if (!missing.length) return toast('Everybody of the frame before is here already.');
  return edit('copy people', (people) => {
    for (const other of missing) {
      const [x0, y0] = inside(other.box),
        [x1, y1] = inside(other.box.slice(2));
      people.push({
        ...other,
        uid: newUid(),
        box: [x0, y0, x1, y1],
        keypoints: copied(other.keypoints),
      });
    }
  });
}

/** Keypoints as they are copied: placed by hand, and no labels outside of the picture. */
function copied(keypoints) {
  return keypoints.map(([x, y, seen]) =>
    seen && isInside([x, y]) ? [...inside([x, y]), seen, BY_HAND] : [x, y, UNLABELLED, 0],
  );
}

/** Decide about the open frame, and go on. The server makes `fixed` of what is not as it was. */
function decide(state) {
  if (saver.isStuck(app.opening)) return toast(WAITS, 6);
  if (app.opening !== null) return undefined; // nobody has seen the frame that is meant
  const {frame} = app;
  if (frame.error && state !== 'rejected') return toast('This frame can only be rejected.');
  const after = {people: frame.people, state};
  timeline.push({
    number: frame.number,
    label: STATE_WORDS[state].toLowerCase(),
    before: {people: frame.people, state: frame.state},
    after,
  });
  become(after);
  progress.decided();
  const next = list.nextOpen();
  if (next === undefined) return toast('Every frame in this list is decided.', 6);
  return openFrame(next);
}

function goTo(number) {
  if (number === undefined) toast('There is no further frame in this list.');
  else openFrame(number);
}

const pictures = new Map(); // number -> Image, of the frame that is open and those that come next

function pictureOf(number) {
  let picture = pictures.get(number);
  if (!picture) {
    picture = new Image();
    picture.src = `api/frames/${number}/picture`;
    pictures.set(number, picture);
    if (pictures.size > 8) pictures.delete(pictures.keys().next().value);
  }
  return picture;
}

/** Open a frame; the one before stays until the new one can be seen. */
async function openFrame(number) {
  if (number === undefined || number === app.frame?.number) {
    app.opening = null;
    if (number !== undefined) list.select(number);
    return;
  }
  app.opening = number;
  list.select(number);
  try {
    const picture = pictureOf(number);
    await saver.settled(number);
    const [view] = await Promise.all([ask(`frames/${number}`), picture.decode().catch(() => {})]);
    if (app.opening === number) await showFrame(number, view, picture);
  } catch (error) {
    if (app.opening === number) {
      toast(error.message, 6);
      list.select(app.frame?.number);
    }
  }
  app.opening = app.opening === number ? null : app.opening;
}

async function showFrame(number, view, picture) {
  const before = app.frame;
  takeFrame(number, view);
  Object.assign(app, {person: null, keypoint: null, adding: false, placing: false});
  progress.seconds = before?.number === number ? progress.seconds : 0;
  const alike =
    before &&
    before.video !== null &&
    before.video === view.video &&
    String(before.size_wh) === String(view.size_wh);
  stage.show(picture, alike);
  await explainPicture(number, picture);
  render();
  for (const next of [list.nextOpen(), list.step(1)]) if (next !== undefined) pictureOf(next);
}

function takeFrame(number, view) {
  app.frame = {...view, number, state: view.row.state};
  if (saver.know(number, view.version)) timeline.forget(number);
  list.setRow(view.row);
  progress.update(view);
}

/** Say why there is no picture, or that the labels cannot be its own. */
async function explainPicture(number, picture) {
  const {frame} = app;
  $('blank').hidden = picture.naturalWidth > 0;
  picture.hidden = !picture.naturalWidth;
  if (picture.naturalWidth) {
    const [width, height] = frame.size_wh ?? [picture.naturalWidth, picture.naturalHeight];
    const unlike =
      Math.abs(Math.log((picture.naturalWidth * height) / (picture.naturalHeight * width))) > 0.02;
    if (unlike)
      banner(`The labels are of a picture of ${width} × ${height}: they do not fit this one.`);
    else if ($('banner').dataset.kind !== 'unsaved') banner('');
    return;
  }
  pictures.delete(number);
  const reason =
    frame.error ?? (await ask(`frames/${number}/picture`).catch((error) => error.message));
  const title = document.createElement('b');
  title.textContent = 'This picture cannot be shown';
  $('blank').replaceChildren(title, document.createTextNode(String(reason)));
}

/** Look whether another window has changed the open frame meanwhile. */
async function lookAgain(why = 'Changed in another window: this is the new version.') {
  const {frame} = app;
  if (!frame || saver.pending || document.hidden) return;
  const view = await ask(`frames/${frame.number}`).catch(() => null);
  if (!view || app.frame !== frame || saver.pending || view.version === frame.version) return;
  takeFrame(frame.number, view);
  choose(null, null);
  toast(why, 5);
}

/** Tell how far the run has been read, whose first frames are listed; then list all of them. */
async function readOn() {
  if (app.reading) return;
  app.reading = true;
  for (;;) {
    const answer = await ask('progress').catch(() => ({}));
    if (answer.problem) {
      banner(`The rest of the run cannot be read. ${answer.problem}`);
      return;
    }
    if (answer.num_read === null) break;
    if (answer.num_read) filter.showReading(answer.num_read);
    await wait(500);
  }
  app.reading = false;
  app.run = await ask('run');
  filter.showVideos();
  await filter.apply();
  await lookAgain('This frame was labelled again later: these labels count.');
}

function askForChoice(job, current) {
  const dialog = $('conflict');
  const who = current.reviewer ? `by ${current.reviewer} ` : '';
  const when = current.edited_at_s
    ? `at ${new Date(1000 * current.edited_at_s).toLocaleTimeString()} `
    : '';
  $('conflict-text').textContent =
    `${job.name} was changed ${who}${when}in another window, while it was open here. ` +
    'Nothing is lost: both versions stay in the history. Which one counts?';
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => {
      if (dialog.returnValue) resolve(dialog.returnValue);
      else dialog.showModal(); // Escape is no answer
    };
  });
}

function saved(number, view) {
  list.setRow({
    ...view.row,
    ...(saver.isPending(number) && {state: list.rows.get(number)?.state ?? view.row.state}),
  });
  progress.update(view);
  if (app.frame?.number !== number) return;
  if (!saver.isPending(number)) app.frame.state = view.row.state;
  app.frame.version = view.version;
  app.frame.reviewer = view.reviewer;
  app.frame.edited_at_s = view.edited_at_s;
  render();
}

/** Show what counts of a frame, as the server told or else tells, in place of a dropped edit. */
async function dropped(number, current) {
  timeline.forget(number);
  const view = current ?? (await ask(`frames/${number}`).catch(() => null));
  if (!view) return;
  list.setRow(view.row);
  progress.update(view);
  saver.know(number, view.version);
  if (app.frame?.number === number) {
    takeFrame(number, view);
    choose(null, null);
  }
}

// -- filter

const filter = {
  queued: false,
  numRequests: 0,
  newest: null, // the promise of the last request

  query() {
    const states = [...$('filter-states').querySelectorAll('input:checked')].map(
      (input) => input.value,
    );
    const score = Number($('filter-score').value);
    return {
      queued: this.queued ? 1 : 0,
      states: states.join(','),
      video: $('filter-video').value,
      keypoint: $('filter-keypoint').value,
      max_score: score > 1 ? '' : score,
      order: $('filter-order').value,
      text: $('search').value.trim(),
    };
  },

  /** List what the filter leaves, or what another leaves that was asked for meanwhile. */
  apply() {
    this.newest = this.applyNow(++this.numRequests);
    return this.newest;
  },

  async applyNow(request) {
    const query = this.query();
    const score = Number(query.max_score);
    $('filter-score-value').textContent = score ? score.toFixed(2) : 'any';
    const {queued, order, text, ...narrowing} = query;
    $('filter-toggle').dataset.active = Object.values(narrowing).some(Boolean) || order !== 'queue';
    const found = await ask(`frames?${new URLSearchParams(query)}`);
    await (request === this.numRequests ? this.show(found, query) : this.newest);
    if (found.num_read !== null) readOn();
  },

  /** Go to what the search has found: to its first frame, unless the open one is among them. */
  async goToFound() {
    $('list').focus();
    await this.apply(); // typed as quickly as that, it has not been asked for yet
    list.openFirst();
  },

  async show(found, {queued}) {
    list.show(found);
    app.numFrames = found.num_frames;
    progress.update(found);
    const total = queued ? app.run.num_queued : found.num_frames;
    const count = list.numbers.length;
    if (found.num_read !== null) this.showReading(found.num_read);
    else
      $('frames-count').textContent =
        count === total
          ? `${count.toLocaleString()} frames`
          : `${count.toLocaleString()} of ${total.toLocaleString()} frames`;
    if (!app.frame && count) await openFrame(list.nextOpen() ?? list.numbers[0]);
    if (!count) toast('No frame fits this filter.');
  },

  showReading(numRead) {
    $('frames-count').textContent =
      `The first ${list.numbers.length.toLocaleString()} frames; the rest is being read: ` +
      `${numRead.toLocaleString()} so far`;
  },

  showVideos() {
    const {videos} = app.run;
    const [every] = $('filter-video').options;
    $('filter-video').replaceChildren(every, ...videos.map((video) => new Option(video, video)));
    $('filter-video-field').hidden = !videos.length;
  },

  setUp() {
    const {run} = app;
    this.queued = run.num_queued > 0;
    $('scope').hidden = !this.queued;
    const [queue, all] = $('scope').children;
    queue.textContent = `Queue · ${run.num_queued.toLocaleString()}`;
    all.textContent = 'All frames';
    for (const button of [queue, all]) {
      button.addEventListener('click', () => {
        this.queued = button === queue;
        queue.setAttribute('aria-pressed', this.queued);
        all.setAttribute('aria-pressed', !this.queued);
        this.apply();
      });
    }
    for (const state of run.states) $('filter-states').append(chip(state));
    this.showVideos();
    run.keypoints.forEach((name, keypoint) =>
      $('filter-keypoint').append(new Option(readable(name), keypoint)),
    );
    const apply = debounced(() => this.apply(), 150);
    $('filters').addEventListener('input', apply);
    $('filters').addEventListener('reset', () => setTimeout(apply));
    $('filters').addEventListener('submit', (event) => event.preventDefault());
    $('search').addEventListener('input', apply);
    $('search').addEventListener('keydown', (event) => {
      if (event.isComposing) return;
      if (event.key === 'Enter') this.goToFound();
      else if (event.key === 'ArrowDown') $('list').focus();
    });
    $('new-frames').addEventListener('click', () => this.apply());
  },
};

function chip(state) {
  const label = document.createElement('label');
  label.className = 'chip';
  label.dataset.state = state;
  const input = Object.assign(document.createElement('input'), {type: 'checkbox', value: state});
  const face = document.createElement('span');
  face.append(newIcon(state), STATE_WORDS[state]);
  label.append(input, face);
  return label;
}

// -- commands: the one table of keys, for the keyboard, the toolbar and the sheet; a key that is
// held down does what is done `once` no further time

const ARROWS = ['ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown'];

const COMMANDS = [
  ['Decide', [
    {id: 'accept', once: true, keys: ['a'],
     label: 'Accept, go on (Fixed if a person changed something)', run: () => decide('accepted')},
    {id: 'fix', once: true, keys: ['f'], label: 'Fixed by hand, go on',
     run: () => decide('fixed')},
    {id: 'reject', once: true, keys: ['r'], label: 'Reject: not to be used, go on',
     run: () => decide('rejected')},
  ]],
  ['Go', [
    {id: 'next', keys: ['j', 'PageDown'], label: 'Next frame', run: () => goTo(list.step(1))},
    {id: 'previous', keys: ['k', 'PageUp'], label: 'Frame before', run: () => goTo(list.step(-1))},
    {id: 'next-open', keys: ['n'], label: 'Next frame that is not decided',
     run: () => goTo(list.nextOpen())},
    {id: 'search', always: true, keys: ['/'], label: 'Find by name',
     run: () => $('search').focus()},
    {id: 'filter', always: true, keys: ['Shift+f'], label: 'Filter', run: toggleFilter},
    {id: 'frames', always: true, keys: ['o'], label: 'To the list of frames, and back',
     run: () => goToPanel($('frames'), $('list'))},
    {id: 'inspector', always: true, keys: ['i'], label: 'To people and keypoints, and back',
     run: () => goToPanel($('inspector'))},
  ]],
  ['Choose', [
    {id: 'next-person', keys: ['p'], label: 'Next person', run: () => stepPerson(1)},
    {id: 'previous-person', keys: ['Shift+p'], label: 'Person before', run: () => stepPerson(-1)},
    {id: 'next-keypoint', keys: ['.'], label: 'Next keypoint', run: () => stepKeypoint(1)},
    {id: 'previous-keypoint', keys: [','], label: 'Keypoint before', run: () => stepKeypoint(-1)},
    {id: 'escape', keys: ['Escape'], label: 'Leave what is chosen or begun', run: leave},
  ]],
  ['Change', [
    {id: 'nudge', keys: ARROWS, shown: ['← → ↑ ↓'], label: 'Move by 1 px', run: nudge},
    {id: 'nudge-far', keys: ARROWS.map((key) => `Shift+${key}`), shown: ['Shift+← → ↑ ↓'],
     label: 'Move by 10 px', run: nudge},
    {id: 'visibility', keys: ['v'], label: 'Visible → hidden → unlabelled', run: cycleSeen},
    {id: 'visible', keys: ['2'], label: 'Visible', run: () => setChosenSeen(2)},
    {id: 'hidden', keys: ['1'], label: 'Hidden, but known', run: () => setChosenSeen(1)},
    {id: 'unlabelled', keys: ['0'], label: 'Unlabelled', run: () => setChosenSeen(0)},
    {id: 'swap', keys: ['s'], label: 'Swap left and right of a person',
     run: () => editChosen('swap sides', (person) => swapSides(person, app.run.flip_pairs))},
    {id: 'swap-one', keys: ['Shift+s'], label: 'Swap one keypoint with its partner',
     run: swapPair},
    {id: 'copy', keys: ['c'], label: 'Copy the pose of the frame before', run: copyPose},
    {id: 'add', keys: ['b'], label: 'Add a person: draw a box', run: () => setAdding(!app.adding)},
    {id: 'add-here', keys: ['Enter'], label: 'Add the person in the middle',
     run: () => app.adding && addPerson(stage.middleBox())},
    {id: 'delete', keys: ['Delete', 'Backspace'], label: 'Delete a keypoint’s label, or a person',
     run: () => deleteChosen(false)},
    {id: 'delete-person', keys: ['Shift+Delete', 'Shift+Backspace'], label: 'Delete the person',
     run: () => deleteChosen(true)},
    {id: 'undo', keys: ['u', 'Ctrl+z'], label: 'Undo', enabled: () => timeline.canUndo,
     run: () => travel('before', 'Undone')},
    {id: 'redo', keys: ['Shift+u', 'Ctrl+y', 'Ctrl+Shift+z'], shown: ['Shift+U, Ctrl+Y'],
     label: 'Redo', enabled: () => timeline.canRedo,
     run: () => travel('after', 'Done again')},
  ]],
  ['Look', [
    {id: 'ghosts', keys: ['g'],
     label: 'Show where unlabelled keypoints would be', pressed: () => app.ghosts,
     run: () => toggle('ghosts')},
    {id: 'names', keys: ['l'], label: 'Name all keypoints of the person',
     run: () => toggle('names')},
    {id: 'labels', keys: ['h'], label: 'Hide or show all labels', run: () => toggle('labels')},
    {id: 'zoom', keys: ['z'], label: 'Zoom to the person, and back', run: zoomToPerson},
    {id: 'fit', keys: ['Shift+z'], label: 'Whole picture', run: () => stage.fit()},
    {id: 'zoom-in', keys: ['+', '='], label: 'Zoom in', run: () => stage.zoomBy(1.25)},
    {id: 'zoom-out', keys: ['-'], label: 'Zoom out', run: () => stage.zoomBy(0.8)},
    {id: 'theme', always: true, keys: ['Shift+t'], label: 'Light, dark, or as the system',
     run: nextTheme},
    {id: 'help', always: true, keys: ['?'], label: 'This sheet', run: () => $('sheet').showModal()},
  ]],
];
const MOUSE = [
  ['Move a keypoint', 'Drag it'],
  ['Visibility', 'Right-click a keypoint'],
  ['Move a person', 'Drag the number'],
  ['Resize a box', 'Drag a corner'],
  ['Choose a person', 'Click in the box'],
  ['Place an unlabelled keypoint', 'Click'],
  ['Move the picture', 'Drag, or Space + drag'],
  ['Zoom', 'Wheel, or two fingers'],
];
const commands = new Map(
  COMMANDS.flatMap(([, group]) => group).map((command) => [command.id, command]),
);
const byKey = new Map(
  [...commands.values()].flatMap((command) => command.keys.map((key) => [key, command])),
);
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

function keySign(key) {
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
function chord(event) {
  const key = nameOf(event);
  const shift = event.shiftKey && (key.length > 1 || /\p{L}/u.test(key)) ? 'Shift+' : '';
  return (
    (event.ctrlKey || event.metaKey ? 'Ctrl+' : '') + (event.altKey ? 'Alt+' : '') + shift + key
  );
}

function toggle(name) {
  app[name] = !app[name];
  if (name === 'ghosts')
    toast(app.ghosts ? 'Unlabelled keypoints are shown.' : 'Unlabelled keypoints are not shown.');
  render();
}

/** Go to a panel beside the picture, or back to the picture. A drawer is open while it has focus. */
function goToPanel(panel, inside = panel) {
  if (panel.contains(document.activeElement)) $('overlay').focus();
  else inside.focus();
}

/** In a small window, go back to the picture that the panel covers; return whether it does. */
function leaveDrawer() {
  const panel = document.activeElement.closest('aside');
  const covers = panel !== null && getComputedStyle(panel).position === 'absolute';
  if (covers) $('overlay').focus();
  return covers;
}

function leave() {
  if (leaveDrawer() || stage.cancel()) return;
  if (app.adding) setAdding(false);
  else if (app.keypoint !== null) choose(app.person, null);
  else choose(null, null);
}

function zoomToPerson() {
  const person = chosenPerson();
  if (person && stage.fitted) stage.fit(person.box);
  else stage.fit();
}

function toggleFilter() {
  $('filters').hidden = !$('filters').hidden;
  $('filter-toggle').setAttribute('aria-expanded', !$('filters').hidden);
  if ($('filters').hidden) $('frames').focus();
  else $('filters').querySelector('input').focus();
}

function setTheme(theme) {
  if (theme === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

function nextTheme() {
  const themes = ['auto', 'light', 'dark'];
  const theme = themes[(themes.indexOf(store.get('vitpose-review theme') ?? 'auto') + 1) % 3];
  store.set('vitpose-review theme', theme);
  setTheme(theme);
  toast({auto: 'Colours as the system has them', light: 'Light', dark: 'Dark'}[theme]);
}

function renderCommands() {
  for (const button of document.querySelectorAll('[data-command]')) {
    const command = commands.get(button.dataset.command);
    if (command.enabled) button.disabled = !command.enabled();
    if (command.pressed) button.setAttribute('aria-pressed', command.pressed());
  }
}

function setUpCommands() {
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
  if (event.target.closest('input, select, textarea')) {
    if (event.key === 'Escape') $('overlay').focus();
    return;
  }
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
  if (possible && (!command.enabled || command.enabled())) command.run(event);
}

// ---------------------------------------------------------------------------------- start

const timeline = new Timeline();
const saver = new Saver({saved, choose: askForChoice, dropped});
const stage = new Stage();
const list = new FrameList();
const progress = new Progress();

/** Ask now and then whether the server is there, and whether the run has grown. */
async function keepInTouch() {
  for (;;) {
    await wait(5000);
    if (document.hidden || saver.pending) continue;
    try {
      progress.update(await ask('progress'));
      if ($('banner').dataset.kind === 'lost') banner('');
    } catch (error) {
      banner(
        error instanceof ServerError
          ? 'This page is of an earlier review. Open the link that the terminal shows now.'
          : LOST,
        'lost',
      );
    }
  }
}

async function start() {
  setTheme(store.get('vitpose-review theme') ?? 'auto');
  setUpCommands();
  app.run = await ask('run');
  $('run-name').textContent = app.run.name;
  $('reviewer').textContent = app.run.reviewer && `as ${app.run.reviewer}`;
  document.title = `${app.run.name} · vitpose review`;
  filter.setUp();
  await saver.recover();
  await filter.apply();
  $('overlay').focus({preventScroll: true});
  window.addEventListener('unhandledrejection', (event) => {
    event.preventDefault();
    toast(event.reason.message, 6);
  });
  window.addEventListener('pagehide', () => saver.flush());
  window.addEventListener('beforeunload', (event) => {
    if (saver.pending) event.preventDefault();
  });
  document.addEventListener('visibilitychange', () => lookAgain());
  window.addEventListener('focus', () => lookAgain());
  keepInTouch();
}

start().catch((error) => banner(error.message));
