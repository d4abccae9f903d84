// The stage: the picture, its people, and the pointer over them.

import {app} from './app.js';
import {addPerson, commit, cycleSeen, placeChosen} from './changes.js';
import {choose} from './choice.js';
import {Drawing} from './drawing.js';
import {$} from './elements.js';
import {between, contains, far, handlePlaces, HANDLES} from './geometry.js';
import {inside, isGhost, isShown, placeKeypoint, X, Y} from './keypoints.js';
import {hint} from './notices.js';
import {chosenPerson, movePerson, nameOfChosen, personOf, resizePerson} from './people.js';

/** The drawing as a person works on it: what is under the pointer, and what it does. */
class Stage extends Drawing {
  constructor() {
    super();
    this.fingers = new Map(); // where pointers are that are down, by their ids; a mouse is one, too
    this.spaceHeld = false;
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

  show(picture, keepView) {
    this.cancel();
    super.show(picture, keepView);
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
    const tagged = [...this.people, ...(chosen ? [chosen] : [])].findLast((person) => {
      const tag = this.tagBox(person);
      return tag !== null && contains(tag, at);
    });
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
      if (!isShown(person, keypoint)) return [];
      const distance = far(this.toScreen(point[X], point[Y]), at);
      return distance <= reach * this.unit ? [{kind: 'keypoint', person, keypoint, distance}] : [];
    });
  }

  handlesNear(person, at) {
    return handlePlaces(this.boxToScreen(person.box)).flatMap((place, handle) => {
      const distance = far(place, at);
      return distance <= 9 * this.unit ? [{kind: 'handle', person, handle, distance}] : [];
    });
  }

  isOnBorder({box}, at) {
    const [left, top, right, bottom] = this.boxToScreen(box);
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
    const from = this.toFrame(start); // zooming on the way leaves it where it is
    // What is asked for counts as it was before this very click chose anything.
    this.drag = {start, from, hit, moved: false, kind: 'pan', panning, asked: app.placing};
    if (panning) return;
    if (app.adding) {
      this.drag.kind = 'rubber';
    } else if (hit.kind === 'keypoint') {
      // On the ghost of another one a click is for the keypoint that is asked for.
      if (!app.placing || !isGhost(hit.person, hit.keypoint)) choose(hit.person.uid, hit.keypoint);
      this.drag.kind = 'keypoint';
    } else if (hit.kind === 'handle' || hit.kind === 'edge') {
      const onHandle = hit.kind === 'handle';
      choose(hit.person.uid, onHandle ? app.keypoint : null, onHandle ? app.corner : null);
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
    if (!this.drag.moved && this.drag.kind === 'keypoint')
      choose(this.drag.hit.person.uid, this.drag.hit.keypoint);
    this.drag.moved = true;
    this.drag.at = at;
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
    const {kind, from, hit} = this.drag;
    if (kind === 'pan') {
      const [x, y] = this.toScreen(...from);
      this.view = {...this.view, x: this.view.x + at[0] - x, y: this.view.y + at[1] - y};
      this.fitted = false;
      return;
    }
    if (kind === 'rubber') {
      const [a, b] = [inside(from), inside(this.toFrame(at))];
      this.rubber = [
        Math.min(a[X], b[X]),
        Math.min(a[Y], b[Y]),
        Math.max(a[X], b[X]),
        Math.max(a[Y], b[Y]),
      ];
      return;
    }
    const {uid} = hit.person;
    this.preview = app.frame.people.map((each) => (each.uid === uid ? structuredClone(each) : each));
    const person = personOf(this.preview, uid);
    if (!person) return void this.cancel();
    const to = this.toFrame(at);
    const [fx, fy] = [to[X] - from[X], to[Y] - from[Y]];
    if (kind === 'keypoint') {
      const [x, y] = person.keypoints[hit.keypoint];
      placeKeypoint(person, hit.keypoint, [x + fx, y + fy]);
    } else if (kind === 'handle') {
      resizePerson(person, hit.handle, inside(this.toFrame(at)));
    } else {
      movePerson(person, fx, fy);
    }
  }

  /** Drag on from where the pointer is, where the people are no longer those that it began on. */
  dragOn() {
    if (this.preview) this.dragTo(this.drag.at);
  }

  /** Give the frame what has been dragged so far; a drag that goes on begins here. */
  keepDragged() {
    const {drag, preview} = this;
    if (!preview) return;
    this.preview = null;
    drag.from = this.toFrame(drag.at);
    commit(
      {keypoint: 'move a keypoint', handle: 'resize a box', edge: 'move a person'}[drag.kind],
      preview,
    );
  }

  up() {
    const {drag, preview, rubber} = this;
    this.keepDragged();
    this.cancel();
    if (!drag || preview) return;
    if (rubber) {
      addPerson(rubber);
    } else if (!drag.moved && !drag.panning) {
      const asked = drag.asked && app.placing && drag.kind !== 'rubber'; // whatever lies below
      if (asked || drag.kind === 'pan') this.click(drag.hit, drag.start);
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
    this.keepDragged();
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

export const stage = new Stage();

export function renderStage() {
  stage.dragOn();
  stage.setCursor();
  stage.paint();
}

/** Say what the next click or box is for. */
export function renderHint() {
  if (app.adding) hint('Draw a box around the person. Enter takes the middle, Escape leaves.');
  else hint(app.placing ? `Click where the ${nameOfChosen()} is. Full stop skips it.` : '');
}
