/**
 * Face detection on a gray picture with the same cascade as on the server (Viola and Jones, 2001;
 * `frontalface_alt2` of OpenCV); the results match OpenCV's `detectMultiScale` to the pixel.
 *
 * Own code, because OpenCV for browsers is 11 MB and needs `unsafe-eval` in the page's policy.
 */

import { even, reduced, stretched } from "./pixels.js";

const GROWTH = 1.1;
const NEIGHBOURS = 3;
const ALIKE = 0.2;

/** Parse OpenCV's XML file; returns a function that detects faces, the largest first. */
export function detector(xml) {
  const cascade = parsed(xml);
  const sheets = new Map();
  return (picture, { smallest, window, most = Infinity }) => {
    const { width, height } = picture;
    const wanted = (Math.min(width, height) * smallest) / window;
    const scale = Math.max(1, wanted, Math.sqrt((width * height) / most));
    const boxes = grouped(candidates(cascade, reduced(picture, scale), window, sheets));
    return boxes
      .map((box) => inside(box.map((value) => value * scale), picture))
      .sort((one, other) => other[2] * other[3] - one[2] * one[3]);
  };
}

/** Flatten the file: stages have trees, trees have nodes, nodes use features, features have boxes. */
function parsed(xml) {
  const numbers = (text) => text.trim().split(/\s+/).map(Number);
  const [above, below] = xml.split("<features>");
  const rects = [...below.matchAll(/<rects>([\s\S]*?)<\/rects>/g)].map(([, feature]) =>
    [...feature.matchAll(/<_>([^<]*)<\/_>/g)].map(([, rect]) => numbers(rect)),
  );
  const trees = [];
  const stages = above.split("<stageThreshold>").slice(1).map((stage) => {
    for (const [, nodes, leaves] of stage.matchAll(
      /<internalNodes>([^<]*)<\/internalNodes>\s*<leafValues>([^<]*)</g,
    )) {
      trees.push({ nodes: numbers(nodes), leaves: numbers(leaves) });
    }
    // OpenCV's epsilon.
    return { end: trees.length, threshold: Math.fround(Math.fround(parseFloat(stage)) - 1e-5) };
  });
  const side = Number(/<height>(\d+)</.exec(above)[1]);
  return { side, stages, ...flat(trees, rects) };
}

function flat(trees, rects) {
  const nodes = trees.flatMap((tree) => tree.nodes);
  const every = (place) => nodes.filter((_, at) => at % 4 === place);
  const starts = (lengths) => {
    let end = 0;
    return lengths.map((length) => (end += length) - length);
  };
  return {
    left: Int32Array.from(every(0)),
    right: Int32Array.from(every(1)),
    rects: every(2).map((feature) => rects[feature]),
    threshold: Float32Array.from(every(3)),
    leaves: Float32Array.from(trees.flatMap((tree) => tree.leaves)),
    roots: Int32Array.from(starts(trees.map((tree) => tree.nodes.length / 4))),
    leafs: Int32Array.from(starts(trees.map((tree) => tree.leaves.length))),
  };
}

function candidates(cascade, picture, least, sheets) {
  const found = [];
  const sheet = sheetFor(cascade, picture, sheets);
  for (let growth = 1; ; growth *= GROWTH) {
    const scale = Math.fround(growth);
    const side = even(cascade.side * scale);
    if (side > picture.width || side > picture.height) return found;
    if (side >= least) {
      const size = [even(picture.width / scale), even(picture.height / scale)];
      sum(sheet, stretched(picture, ...size));
      for (const [x, y] of windows(cascade, sheet, size, scale < 2 ? 2 : 1)) {
        found.push([even(x * scale), even(y * scale), side, side]);
      }
    }
  }
}

/** Buffers for the integral images, reused for pictures of the same size. */
function sheetFor(cascade, { width, height }, sheets) {
  const key = `${width}x${height}`;
  if (!sheets.has(key)) {
    // Video frames have one size; pictures of many sizes must not fill the memory.
    if (sheets.size > 3) sheets.clear();
    sheets.set(key, blank(cascade, width + 1, height + 1));
  }
  return sheets.get(key);
}

/** Integral images (sums of all pixels above and to the left) and the offsets of the box corners. */
function blank({ rects, side }, stride, height) {
  const place = (x, y) => y * stride + x;
  const corners = ([x, y, w, h]) => [
    place(x, y),
    place(x + w, y),
    place(x, y + h),
    place(x + w, y + h),
  ];
  const none = [0, 0, 0, 0, 0];
  const three = rects.flatMap((feature) => [0, 1, 2].map((at) => feature[at] ?? none));
  return {
    stride,
    sums: new Int32Array(stride * height),
    squares: new Int32Array(stride * height),
    corners: Int32Array.from(three.flatMap(corners)),
    weights: Float64Array.from(three.map((rect) => rect[4])),
    normal: corners([1, 1, side - 2, side - 2]),
    area: (side - 2) ** 2,
  };
}

function sum({ stride, sums, squares }, { pixels, width, height }) {
  for (let row = 0; row < height; row++) {
    let [line, squared] = [0, 0];
    for (let column = 0; column < width; column++) {
      const value = pixels[row * width + column];
      const at = (row + 1) * stride + column + 1;
      line += value;
      squared += value * value;
      sums[at] = sums[at - stride] + line;
      // May overflow; the differences within a window are still right.
      squares[at] = squares[at - stride] + squared;
    }
  }
}

function windows(cascade, sheet, [width, height], step) {
  const found = [];
  const count = cascade.stages.length;
  const passed = judge(cascade, sheet);
  for (let y = 0; y <= height - cascade.side; y += step) {
    for (let x = 0; x <= width - cascade.side; x += step) {
      const stage = passed(y * sheet.stride + x);
      if (stage === count) found.push([x, y]);
      // Like OpenCV, skip the next window after one that fails the first stage.
      if (stage === 0) x += step;
    }
  }
  return found;
}

/** Return a function: the number of stages passed at a position; -1 if the variance is too low. */
function judge(cascade, sheet) {
  const { left, right, threshold, leaves, roots, leafs, stages } = cascade;
  const { sums, corners, weights } = sheet;
  const ends = Int32Array.from(stages.map(({ end }) => end));
  const least = Float32Array.from(stages.map((stage) => stage.threshold));
  const norming = norm(sheet);
  const box = (at, c) =>
    sums[at + corners[c]] - sums[at + corners[c + 1]] -
    sums[at + corners[c + 2]] + sums[at + corners[c + 3]];

  return (at) => {
    const factor = norming(at);
    if (factor === 0) return -1;
    for (let stage = 0, tree = 0; stage < ends.length; stage++) {
      let total = 0;
      for (; tree < ends[stage]; tree++) {
        let next = 0;
        do {
          const node = roots[tree] + next;
          const rect = node * 3;
          let value = weights[rect] * box(at, rect * 4) + weights[rect + 1] * box(at, rect * 4 + 4);
          if (weights[rect + 2] !== 0) value += weights[rect + 2] * box(at, rect * 4 + 8);
          next = Math.fround(value * factor) < threshold[node] ? left[node] : right[node];
        } while (next > 0);
        total += leaves[leafs[tree] - next];
      }
      if (total < least[stage]) return stage;
    }
    return ends.length;
  };
}

/** Return a function: the normalisation factor of the window at a position; 0 if it is uniform. */
function norm({ sums, squares, normal: [a, b, c, d], area }) {
  return (at) => {
    const total = sums[at + a] - sums[at + b] - sums[at + c] + sums[at + d];
    const squared = (squares[at + a] - squares[at + b] - squares[at + c] + squares[at + d]) >>> 0;
    const spread = area * squared - total * total;
    const factor = spread > 0 ? Math.fround(1 / Math.sqrt(spread)) : 0;
    return area * factor < 0.1 ? factor : 0;
  };
}

/** Merge groups of more than three similar boxes into one each (`groupRectangles`). */
function grouped(boxes) {
  const means = classes(boxes).map((members) => ({
    count: members.length,
    box: [0, 1, 2, 3].map((at) =>
      even(members.reduce((total, box) => total + box[at], 0) * Math.fround(1 / members.length)),
    ),
  }));
  const many = means.filter(({ count }) => count > NEIGHBOURS);
  return many.filter((one) => !many.some((other) => swallows(other, one))).map(({ box }) => box);
}

function classes(boxes) {
  const heads = boxes.map((_, at) => at);
  const head = (at) => (heads[at] === at ? at : (heads[at] = head(heads[at])));
  boxes.forEach((one, at) => {
    for (let other = 0; other < at; other++) {
      if (alike(one, boxes[other])) heads[head(at)] = head(other);
    }
  });
  const members = new Map();
  boxes.forEach((box, at) => members.set(head(at), [...(members.get(head(at)) ?? []), box]));
  return [...members.values()];
}

function alike([x, y, w, h], [left, top, width, height]) {
  const most = ALIKE * (Math.min(w, width) + Math.min(h, height)) * 0.5;
  return [x - left, y - top, x + w - left - width, y + h - top - height].every(
    (apart) => Math.abs(apart) <= most,
  );
}

function swallows(large, small) {
  if (large === small || !(large.count > Math.max(3, small.count))) return false;
  const [x, y, w, h] = small.box;
  const [left, top, width, height] = large.box;
  const [dx, dy] = [even(width * ALIKE), even(height * ALIKE)];
  return (
    x >= left - dx && y >= top - dy && x + w <= left + width + dx && y + h <= top + height + dy
  );
}

function inside([x, y, w, h], { width, height }) {
  const clip = (value, low, high) => Math.min(Math.max(even(value), low), high);
  const [left, top] = [clip(x, 0, width - 1), clip(y, 0, height - 1)];
  return [left, top, clip(x + w, left + 1, width) - left, clip(y + h, top + 1, height) - top];
}
