/**
 * Face detection with the same network, sizes and rules as on the server: `face_detector.py` and
 * `candidates.py` explain them, and the server's card has their values.
 */

import { boxOf, fitSquare, range } from "./face_crop.js";
import { even, planes, reduced, resized } from "./pixels.js";

const MOST = 2000; // candidates that are merged; as in candidates.py

/**
 * Return the two ways to detect faces in an `ImageData`: `everywhere(frame, settings)` gives all,
 * the largest first, `near(frame, square, settings, closeup)` the square of a known face or null. `run`
 * takes the network's input and gives its outputs.
 */
export function detector(run, rules) {
  const look = async (small, border, { left = 0, top = 0, factors }) => {
    const input = canvas(small, border, rules);
    return placed(await run(input), (x, y) => [
      (x - input.left) * factors[0] + left,
      (y - input.top) * factors[1] + top,
    ]);
  };
  const closest = async (frame, square, closeup) => {
    const [x, y, side] = square;
    const reach = (side * closeup.room) / 2;
    const [left, right] = range(x, reach, frame.width);
    const [top, bottom] = range(y, reach, frame.height);
    const own = [right - left, bottom - top];
    const size = own.map((length) => Math.max(1, even((length * closeup.size) / (2 * reach))));
    const small = shrunk(planes(frame, [left, top, ...own]), size);
    const factors = own.map((length, at) => length / size[at]);
    const found = merged(await look(small, closeup.border, { left, top, factors }), rules);
    return found.find((one) => isSameFace(one.square, square)) ?? { score: 0, square: null };
  };
  const near = async (frame, square, settings, closeup) => {
    const found = await closest(frame, square, closeup);
    return found.score >= settings.score * closeup.share ? found.square : null;
  };
  const addConfirmed = async (found, doubtful, frame) => {
    for (const place of doubtful) {
      if (found.some((one) => isPart(place, one, rules.inside))) continue;
      const seen = [];
      for (const closeup of rules.second_looks) seen.push(await closest(frame, place, closeup));
      const square = seen.find((one) => one.square)?.square;
      const total = seen.reduce((sum, one) => sum + one.score, 0);
      const isNew = square && !found.some((one) => isSameFace(square, one));
      if (isNew && total >= rules.sure * seen.length) found.push(square);
    }
  };
  const looks = async (frame, sizes, least) => {
    const candidates = [];
    let small = planes(frame);
    const longest = Math.max(frame.width, frame.height);
    for (const level of sizes) {
      const own = [frame.width, frame.height];
      const size = own.map((side) => Math.max(1, even(side * (level / longest))));
      small = shrunk(small, size);
      const factors = own.map((side, at) => side / size[at]);
      for (const part of tiles(size, rules)) {
        const [left, top] = [part[0] * factors[0], part[1] * factors[1]];
        const border = level <= rules.bordered ? rules.border : 0;
        const found = await look(cropped(small, part), border, { left, top, factors });
        candidates.push(...found.filter(({ box }) => box[2] - box[0] >= least(level) * factors[0]));
      }
    }
    return merged(candidates, rules);
  };
  const everywhere = async (frame, settings) => {
    const [sure, doubtful] = [[], []];
    const longest = Math.max(frame.width, frame.height);
    const sizes = levels(longest, settings, rules.step);
    const least = (level) =>
      level < sizes[0] && level <= rules.bordered ? rules.smallest_bordered : settings.smallest;
    for (const { score, box, square } of await looks(frame, sizes, least)) {
      const isFilled = box[2] - box[0] >= rules.filled * Math.min(frame.width, frame.height);
      if (sure.some((one) => isPart(square, one, rules.inside))) continue;
      (score >= (isFilled ? rules.filled_score : settings.score) ? sure : doubtful).push(square);
    }
    await addConfirmed(sure, doubtful.slice(0, rules.most_doubtful), frame);
    if (!sure.length && settings.closest) {
      const closely = await looks(frame, fineLevels(longest, settings, rules), () => settings.smallest);
      await addConfirmed(sure, closely.slice(0, rules.most_closely).map(({ square }) => square), frame);
    }
    return detections(sure.filter(([, , side]) => side >= settings.min_face), frame);
  };
  return { everywhere, near };
}

/** Squares as the faces of a picture, the largest first: `[{square, box}]`. */
export function detections(squares, frame) {
  return [...squares]
    .sort((one, other) => other[2] - one[2])
    .map((square) => ({ square, box: boxOf(square, frame) }));
}

/** Whether two squares are those of one face. */
export function isSameFace([x, y, side], [left, top, other]) {
  const distance = Math.max(Math.abs(x - left), Math.abs(y - top));
  return distance < Math.max(side, other) / 2 && side / other > 0.5 && side / other < 2;
}

/** Whether a square is inside a face: an eye in a large picture can look like a small face. */
function isPart([x, y, side], [left, top, other], inside) {
  return side * 2 <= other && Math.hypot(x - left, y - top) < inside * other;
}

function shrunk(pictures, [width, height]) {
  return pictures.map((picture) => {
    const factor = Math.floor(Math.max(picture.width, picture.height) / Math.max(width, height));
    return resized(reduced(picture, Math.max(1, factor)), width, height);
  });
}

/** The longer sides of the picture as the network sees it, largest first. */
function levels(longest, { smallest, most, least, min_face: face }, step) {
  const sizes = [];
  for (let level = Math.min(most, (longest * smallest) / face); level > least; level /= step) {
    sizes.push(even(level));
  }
  return [...sizes, least];
}

/** Those of the closer search. */
function fineLevels(longest, { closest, least, min_face: face }, rules) {
  const sizes = [];
  let level = Math.min(closest, (longest * rules.fine_face) / face, Math.max(longest, rules.enlarged));
  for (; level > least; level /= rules.fine_step) sizes.push(even(level));
  return sizes;
}

/** The parts of an image that the network sees, as left, top, width and height. */
function tiles([width, height], rules) {
  const [across, down] = [parts(width, rules), parts(height, rules)];
  return down.flatMap(([top, tall]) => across.map(([left, wide]) => [left, top, wide, tall]));
}

function parts(length, { tile, shared }) {
  const count = Math.max(1, Math.ceil((length - shared) / (tile - shared)));
  const own = Math.ceil((length + (count - 1) * shared) / count);
  return Array.from({ length: count }, (_, at) => [Math.min(at * (own - shared), length - own), own]);
}

function cropped(pictures, [left, top, width, height]) {
  if (width === pictures[0].width && height === pictures[0].height) return pictures;
  return pictures.map(({ pixels, width: row }) => {
    const part = new pixels.constructor(width * height);
    for (let y = 0; y < height; y++) {
      const start = (top + y) * row + left;
      part.set(pixels.subarray(start, start + width), y * width);
    }
    return { pixels: part, width, height };
  });
}

/** The network's input: the picture in the middle of black, with sides that are multiples of `cell`. */
function canvas(small, border, rules) {
  const { width: own, height: tall } = small[0];
  const [width, height] = [own, tall].map((side) => Math.ceil((side + 2 * border) / rules.cell) * rules.cell);
  const [left, top] = [Math.floor((width - own) / 2), Math.floor((height - tall) / 2)];
  const data = new Uint8Array(width * height * 3);
  for (let row = 0, from = 0; row < tall; row++) {
    let to = ((top + row) * width + left) * 3;
    for (const end = from + own; from < end; from++, to += 3) tint(small, from, { data, to }, rules);
  }
  return { data, width, height, left, top };
}

/** Copy a pixel; a gray one gets the colour of skin, as `tint.py` explains. */
function tint([red, green, blue], from, { data, to }, { gray, tint_scale: scale, tint_factors: factors }) {
  const pixel = [red.pixels[from], green.pixels[from], blue.pixels[from]];
  const steps = gray - Math.max(...pixel) + Math.min(...pixel);
  for (let at = 0; at < 3; at++) {
    const value = pixel[at];
    data[to + at] = steps <= 0 ? value : Math.min(255, Math.floor((value * (scale + factors[at] * steps)) / scale));
  }
}

/** The outputs of the network in pixels of the picture: `[{score, box, points}]`. */
function placed({ scores, boxes, points }, place) {
  return Array.from(scores, (score, at) => {
    const [x0, y0, x1, y1] = boxes.subarray(at * 4, at * 4 + 4);
    const pairs = [0, 1, 2, 3].map((pair) => place(points[at * 12 + pair * 2], points[at * 12 + pair * 2 + 1]));
    return { score, box: [...place(x0, y0), ...place(x1, y1)], points: pairs };
  });
}

/** Weighted non-maximum suppression: the mean of candidates that overlap the best one, framed. */
function merged(candidates, { overlap: least, frame }) {
  let left = [...candidates].sort((one, other) => other.score - one.score).slice(0, MOST);
  const result = [];
  while (left.length) {
    const [best] = left;
    const group = left.filter((one) => one === best || overlap(best.box, one.box) > least);
    left = left.filter((one) => !group.includes(one));
    const total = group.reduce((sum, one) => sum + one.score, 0);
    const mean = (value) => group.reduce((sum, one) => sum + (one.score / total) * value(one), 0);
    const points = best.points.map((point, at) => point.map((_, axis) => mean((one) => one.points[at][axis])));
    result.push({
      score: best.score,
      box: best.box.map((_, at) => mean((one) => one.box[at])),
      square: fitSquare(points.slice(0, 4), frame),
    });
  }
  return result;
}

function overlap(one, other) {
  const width = Math.min(one[2], other[2]) - Math.max(one[0], other[0]);
  const height = Math.min(one[3], other[3]) - Math.max(one[1], other[1]);
  const shared = Math.max(0, width) * Math.max(0, height);
  const area = ([x0, y0, x1, y1]) => (x1 - x0) * (y1 - y0);
  return shared / Math.max(area(one) + area(other) - shared, 1e-9);
}
