/** Crops of faces with the same result as on the server; `face_crop.py` says how. */

import { centred, even, part, reduced } from "./pixels.js";

/** Fit the frame of a face to eyes, nose and mouth: `[x, y, side, angle]`, in pixels and degrees. */
export function fitSquare(points, frame) {
  const mean = (list) => list.reduce(([x, y], one) => [x + one[0], y + one[1]], [0, 0])
    .map((sum) => sum / list.length);
  const shares = frame.map(([x, y]) => [x - 0.5, y - 0.5]);
  const [own, found] = [mean(shares), mean(points)];
  let [real, imaginary, spread] = [0, 0, 0];
  points.forEach(([x, y], at) => {
    const [u, v] = [shares[at][0] - own[0], shares[at][1] - own[1]];
    real += x * u + y * v;
    imaginary += y * u - x * v;
    spread += u * u + v * v;
  });
  const [cosine, sine] = [real / spread, imaginary / spread];
  const x = found[0] - cosine * own[0] + sine * own[1];
  const y = found[1] - sine * own[0] - cosine * own[1];
  const angle = (Math.atan2(sine, cosine) * 180) / Math.PI;
  return [x, y, Math.max(1, Math.hypot(cosine, sine)), angle];
}

/** The part of an upright square that is inside a picture: `[left, top, width, height]`. */
export function boxOf([x, y, side], { width, height }) {
  const clip = (value, low, high) => Math.min(Math.max(even(value), low), high);
  const [left, top] = [clip(x - side / 2, 0, width - 1), clip(y - side / 2, 0, height - 1)];
  const [right, bottom] = [clip(x + side / 2, left + 1, width), clip(y + side / 2, top + 1, height)];
  return [left, top, right - left, bottom - top];
}

/** Crop a face to `size` pixels: upright in its `square`, or by its `box` if it has none. */
export function cut(picture, { box, square }, size) {
  return square ? upright(picture, square, size) : centred(picture, box, size);
}

function upright(picture, [x, y, side, angle], size) {
  const factor = Math.max(1, Math.floor(side / size));
  const [cosine, sine] = [Math.cos((angle * Math.PI) / 180), Math.sin((angle * Math.PI) / 180)];
  const reach = (side / 2) * (Math.abs(cosine) + Math.abs(sine)) + 2 * factor;
  const [left, right] = range(x, reach, picture.width);
  const [top, bottom] = range(y, reach, picture.height);
  const small = reduced(part(picture, left, top, right - left, bottom - top), factor);
  const face = new Uint8Array(size * size);
  for (let row = 0, at = 0; row < size; row++) {
    const down = ((row + 0.5) / size - 0.5) * side;
    for (let column = 0; column < size; column++, at++) {
      const across = ((column + 0.5) / size - 0.5) * side;
      const u = (across * cosine - down * sine + (x - left)) / factor - 0.5;
      const v = (across * sine + down * cosine + (y - top)) / factor - 0.5;
      face[at] = Math.floor(sample(small, u, v) + 0.5);
    }
  }
  return face;
}

/** Start and end of what is up to `reach` from a centre, within a side of `length` pixels. */
export function range(centre, reach, length) {
  const start = Math.min(Math.max(Math.floor(centre - reach), 0), length - 1);
  return [start, Math.min(Math.max(Math.ceil(centre + reach), start + 1), length)];
}

/** Interpolate linearly at a point; one outside takes the value of the nearest edge. */
function sample({ pixels, width, height }, u, v) {
  const [x, y] = [Math.min(Math.max(u, 0), width - 1), Math.min(Math.max(v, 0), height - 1)];
  const [left, top] = [Math.floor(x), Math.floor(y)];
  const [right, bottom] = [Math.min(left + 1, width - 1), Math.min(top + 1, height - 1)];
  const [across, down] = [x - left, y - top];
  const mixed = (row) => pixels[row * width + left] * (1 - across) + pixels[row * width + right] * across;
  return mixed(top) * (1 - down) + mixed(bottom) * down;
}
