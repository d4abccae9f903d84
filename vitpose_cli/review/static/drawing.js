// The picture, and people drawn over it.

import {app} from './app.js';
import {$, remPx} from './elements.js';
import {handlePlaces} from './geometry.js';
import {insideBox, isGhost, isShown, seenOf, VISIBLE, X, Y} from './keypoints.js';
import {numberOf, personOf} from './people.js';
import {clamp} from './tools.js';
import {readable} from './words.js';

const COLOURS = {left: '#56b4e9', right: '#e69f00', centre: '#ffffff'};
const RIM = 'rgb(18 18 20 / 80%)';

function edgeColour(a, b) {
  const [first, second] = [app.run.sides[a], app.run.sides[b]];
  if (first === second || second === 'centre') return COLOURS[first];
  return first === 'centre' ? COLOURS[second] : COLOURS.centre;
}

/** The picture and what is drawn over it. Its view is `screen = frame * scale + (x, y)`. */
export class Drawing {
  constructor() {
    this.canvas = $('overlay');
    this.context = this.canvas.getContext('2d');
    this.picture = $('picture');
    this.view = {scale: 1, x: 0, y: 0};
    this.fitted = true;
    this.drag = null; // this and the next four are what the pointer does: see `Stage`
    this.preview = null; // people while something is dragged
    this.hover = null;
    this.rubber = null; // the box that is being drawn
    this.pointer = null;
    this.queued = false;
    new ResizeObserver(() => this.resize()).observe($('stage'));
    this.watchRatio();
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

  boxToScreen([x0, y0, x1, y1]) {
    return [...this.toScreen(x0, y0), ...this.toScreen(x1, y1)];
  }

  toFrame([x, y]) {
    const {scale, x: left, y: top} = this.view;
    return [(x - left) / scale, (y - top) / scale];
  }

  /** Return the box that Enter adds a person in: the middle of what is seen. */
  middleBox() {
    const [width, height] = this.size;
    return insideBox([
      ...this.toFrame([0.35 * width, 0.2 * height]),
      ...this.toFrame([0.65 * width, 0.8 * height]),
    ]);
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
      else if (isGhost(person, keypoint)) this.paintGhost(points[keypoint], keypoint, radius);
    });
    if (chosen && app.keypoint !== null && isShown(person, app.keypoint))
      this.paintChoice(points[app.keypoint], radius);
    context.globalAlpha = 1;
    this.paintTag(person, chosen);
  }

  paintBox(box, chosen) {
    const {context, unit} = this;
    const [left, top, right, bottom] = this.boxToScreen(box);
    for (const [width, colour] of [
      [chosen ? 3.6 : 2.2, RIM],
      [chosen ? 1.7 : 1, chosen ? '#fff' : 'rgb(255 255 255 / 75%)'],
    ]) {
      context.lineWidth = width * unit;
      context.strokeStyle = colour;
      context.strokeRect(left, top, right - left, bottom - top);
    }
    if (!chosen || this.rubber) return;
    const places = handlePlaces([left, top, right, bottom]);
    for (const [x, y] of places) {
      context.fillStyle = '#fff';
      context.strokeStyle = RIM;
      context.lineWidth = 1.4 * unit;
      context.beginPath();
      context.rect(x - 3.5 * unit, y - 3.5 * unit, 7 * unit, 7 * unit);
      context.fill();
      context.stroke();
    }
    if (app.corner !== null) this.paintChoice(places[app.corner], 4.6 * unit);
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

  /** Draw a ring round what the arrow keys move. */
  paintChoice(place, radius) {
    this.ring(place, radius + 5 * this.unit, RIM, 3.5);
    this.ring(place, radius + 5 * this.unit, '#fff', 1.7);
  }

  paintTag(person, chosen) {
    const box = this.tagBox(person);
    if (!box) return;
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
      if (!isShown(person, keypoint)) continue;
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

  /** Where the number of a person stands, by which it can be dragged; null out of sight. It is
   * the identity in the video, or else the place in the list. */
  tagBox(person) {
    const number = numberOf(person);
    const [left, top, right, bottom] = this.boxToScreen(person.box);
    if (right < 0 || bottom < 0 || left > this.size[0] || top > this.size[1]) return null;
    const text = number === null ? `${this.people.indexOf(person) + 1}` : `#${number}`;
    const width = this.context.measureText(text).width + 10 * this.unit;
    return {
      text,
      left: clamp(left, 2, this.size[0] - width - 2),
      top: clamp(top - 19 * this.unit, 2, this.size[1] - 20),
      width,
      height: 17 * this.unit,
    };
  }
}
