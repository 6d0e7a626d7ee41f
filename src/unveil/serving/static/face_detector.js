/**
 * Face detection with the same network, sizes and rules as on the server: `face_detector.py` and
 * `candidates.py` explain them, and the server's card has their values.
 */

import { boxOf, fitSquare } from "./face_crop.js";
import { even, planes, reduced, resized } from "./pixels.js";

const MOST = 2000; // candidates that are merged; as in candidates.py

/**
 * Return a function that detects the faces of an `ImageData`, the largest first, as
 * `{box, square}`. `run` takes the network's input and its shape and gives its outputs.
 */
export function detector(run, rules) {
  return async (frame, settings) => {
    const candidates = [];
    let small = planes(frame);
    const longest = Math.max(frame.width, frame.height);
    let isFirst = true;
    for (const level of levels(longest, settings, rules.step)) {
      const [width, height] = [frame.width, frame.height].map((side) =>
        Math.max(1, even(side * (level / longest))),
      );
      const factor = Math.max(small[0].width, small[0].height) / Math.max(width, height);
      small = small.map((plane) => resized(reduced(plane, Math.max(1, Math.floor(factor))), width, height));
      const isBordered = level <= rules.bordered;
      const input = canvas(small, isBordered ? rules.border : 0, rules.cell);
      const least = isBordered && !isFirst ? rules.smallest_bordered : settings.smallest;
      isFirst = false;
      const factors = [frame.width / width, frame.height / height];
      candidates.push(...found(await run(input), { least, input, factors }));
    }
    const lowest = (side) =>
      side >= rules.filled * Math.min(frame.width, frame.height) ? rules.filled_score : settings.score;
    return merged(candidates, rules.overlap)
      .filter(({ score, box }) => score >= lowest(box[2] - box[0]))
      .map(({ points }) => fitSquare(points.slice(0, 4), rules.frame))
      .filter(([, , side]) => side >= settings.min_face)
      .sort((one, other) => other[2] - one[2])
      .map((square) => ({ square, box: boxOf(square, frame) }));
  };
}

/** The longer sides of the picture as the network sees it, largest first. */
function* levels(longest, { smallest, most, least, min_face: face }, step) {
  for (let level = Math.min(most, (longest * smallest) / face); level > least; level /= step) {
    yield even(level);
  }
  yield least;
}

/** The network's input: the picture in the middle of black, with sides that are multiples of `cell`. */
function canvas(small, border, cell) {
  const { width: own, height: tall } = small[0];
  const [width, height] = [own, tall].map((side) => Math.ceil((side + 2 * border) / cell) * cell);
  const [left, top] = [Math.floor((width - own) / 2), Math.floor((height - tall) / 2)];
  const data = new Uint8Array(width * height * 3);
  small.forEach(({ pixels }, colour) => {
    for (let row = 0, from = 0; row < tall; row++) {
      let to = ((top + row) * width + left) * 3 + colour;
      for (let column = 0; column < own; column++, from++, to += 3) data[to] = pixels[from];
    }
  });
  return { data, width, height, left, top };
}

/** The outputs of the network in pixels of the picture: `[{score, box, points}]`. */
function found({ scores, boxes, points }, { least, input, factors }) {
  const placed = (x, y) => [(x - input.left) * factors[0], (y - input.top) * factors[1]];
  const result = [];
  scores.forEach((score, at) => {
    const [x0, y0, x1, y1] = boxes.subarray(at * 4, at * 4 + 4);
    if (x1 - x0 < least) return;
    const pairs = [0, 1, 2, 3].map((pair) => placed(points[at * 12 + pair * 2], points[at * 12 + pair * 2 + 1]));
    result.push({ score, box: [...placed(x0, y0), ...placed(x1, y1)], points: pairs });
  });
  return result;
}

/** Weighted non-maximum suppression: the mean of candidates that overlap the best one. */
function merged(candidates, least) {
  let left = [...candidates].sort((one, other) => other.score - one.score).slice(0, MOST);
  const result = [];
  while (left.length) {
    const [best] = left;
    const group = left.filter((one) => one === best || overlap(best.box, one.box) > least);
    left = left.filter((one) => !group.includes(one));
    const total = group.reduce((sum, one) => sum + one.score, 0);
    const mean = (value) => group.reduce((sum, one) => sum + (one.score / total) * value(one), 0);
    result.push({
      score: best.score,
      box: best.box.map((_, at) => mean((one) => one.box[at])),
      points: best.points.map((point, at) => point.map((_, axis) => mean((one) => one.points[at][axis]))),
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
