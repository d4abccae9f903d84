// Places and boxes: a place is [x, y], a box [x0, y0, x1, y1].

export const far = ([ax, ay], [bx, by]) => Math.hypot(ax - bx, ay - by);

export const between = (a, b) => ({
  middle: [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2],
  distance: Math.max(far(a, b), 1),
});

export const contains = ({left, top, width, height}, [x, y]) =>
  x >= left && x <= left + width && y >= top && y <= top + height;

export function overlap(a, b) {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  if (width <= 0 || height <= 0) return 0;
  const area = (box) => (box[2] - box[0]) * (box[3] - box[1]);
  return (width * height) / (area(a) + area(b) - width * height);
}

/** The handles of a box: which of its sides (x0, y0, x1, y1) each of them moves. */
export const HANDLES = [
  {sides: [0, 1], cursor: 'nwse-resize'},
  {sides: [null, 1], cursor: 'ns-resize'},
  {sides: [2, 1], cursor: 'nesw-resize'},
  {sides: [2, null], cursor: 'ew-resize'},
  {sides: [2, 3], cursor: 'nwse-resize'},
  {sides: [null, 3], cursor: 'ns-resize'},
  {sides: [0, 3], cursor: 'nesw-resize'},
  {sides: [0, null], cursor: 'ew-resize'},
];

export const TOP_LEFT = 0; // the places of two of them, which move all sides of a box
export const BOTTOM_RIGHT = 4;

export function handlePlaces(box) {
  const middle = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2];
  return HANDLES.map(({sides}) =>
    sides.map((side, axis) => (side === null ? middle[axis] : box[side])),
  );
}

export function resized(box, handle, place) {
  const [...result] = box;
  HANDLES[handle].sides.forEach((side, axis) => {
    if (side === null) return;
    result[side] =
      side < 2 ? Math.min(place[axis], box[axis + 2] - 1) : Math.max(place[axis], box[axis] + 1);
  });
  return result;
}
