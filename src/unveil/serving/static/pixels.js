/**
 * Image operations with the same results as on the server, so that both crop the same face: gray
 * conversion as in Pillow, reduction as OpenCV's INTER_AREA, crop and resize as Pillow's BILINEAR.
 *
 * A picture is `{pixels, width, height}`, a byte of gray for each pixel, row by row.
 */

/** Round half to even, as Python and OpenCV do. */
export function even(value) {
  const up = Math.round(value);
  return up - value === 0.5 && up % 2 ? up - 1 : up;
}

/** Convert the RGBA bytes of an `ImageData` to gray. */
export function gray({ data, width, height }) {
  const pixels = new Uint8Array(width * height);
  for (let at = 0, from = 0; at < pixels.length; at++, from += 4) {
    pixels[at] = (data[from] * 19595 + data[from + 1] * 38470 + data[from + 2] * 7471 + 32768) >> 16;
  }
  return { pixels, width, height };
}

/** Downscale a picture by the factor `scale`; each new pixel is the mean of those it covers. */
export function reduced(picture, scale) {
  if (scale === 1) return picture;
  const width = Math.max(1, even(picture.width / scale));
  const height = Math.max(1, even(picture.height / scale));
  const [columns, rows] = [covered(picture.width, width), covered(picture.height, height)];
  const resized = resampled(picture, columns, rows, false);
  const isQuartered = picture.width === 2 * width && picture.height === 2 * height;
  // OpenCV rounds the mean of four pixels half up, and all other means half to even.
  return rounded(resized, isQuartered ? Math.round : even, { width, height });
}

/** Resize a picture by linear interpolation with weights of 1/256 (INTER_LINEAR_EXACT). */
export function stretched(picture, width, height) {
  const [columns, rows] = [between(picture.width, width), between(picture.height, height)];
  const narrow = new Int32Array(width * picture.height);
  for (let row = 0, at = 0; row < picture.height; row++) {
    for (let column = 0; column < width; column++, at++) {
      const from = row * picture.width + columns.first[column];
      const [one, other] = [picture.pixels[from], picture.pixels[from + 1] | 0];
      narrow[at] = (one << 8) + (other - one) * columns.second[column];
    }
  }
  const pixels = new Uint8Array(width * height);
  for (let row = 0, at = 0; row < height; row++) {
    const second = rows.second[row];
    for (let from = rows.first[row] * width, end = from + width; from < end; from++, at++) {
      const [one, other] = [narrow[from], narrow[from + width] | 0];
      pixels[at] = ((one << 8) + (other - one) * second + 32768) >> 16;
    }
  }
  return { pixels, width, height };
}

/** Crop a centred square from a box `[left, top, width, height]` and resize it to `size` pixels. */
export function cut(picture, [left, top, width, height], size) {
  const piece = part(picture, left, top, width, height);
  if (width === size && height === size) return piece.pixels;
  const side = Math.min(width, height);
  const columns = weighed(width, (width - side) / 2, side, size);
  const rows = weighed(height, (height - side) / 2, side, size);
  return rounded(resampled(piece, columns, rows, true), Math.round, {}).pixels;
}

function part({ pixels, width: stride }, left, top, width, height) {
  const taken = new Uint8Array(width * height);
  for (let row = 0; row < height; row++) {
    const from = (top + row) * stride + left;
    taken.set(pixels.subarray(from, from + width), row * width);
  }
  return { pixels: taken, width, height };
}

/** For each new pixel: the first source pixel and the weights of it and the following ones. */
function taps(target, most) {
  return { first: new Int32Array(target), weights: new Float64Array(target * most), most, target };
}

function covered(source, target) {
  const scale = source / target;
  const result = taps(target, Math.ceil(scale) + 2);
  for (let at = 0; at < target; at++) {
    const [start, end] = [at * scale, Math.min((at + 1) * scale, source)];
    const first = Math.floor(start + 1e-3);
    result.first[at] = first;
    for (let from = first; from < end - 1e-3; from++) {
      const share = Math.min(from + 1, end) - Math.max(from, start);
      result.weights[at * result.most + from - first] = share / (end - start);
    }
  }
  return result;
}

/** For each new pixel: the source pixel before it, and 256 times the weight of the next one. */
function between(source, target) {
  const [first, second] = [new Int32Array(target), new Int32Array(target)];
  for (let at = 0; at < target; at++) {
    const place = ((at + 0.5) * source) / target - 0.5;
    first[at] = Math.min(Math.max(Math.floor(place), 0), source - 1);
    const isEdge = place < 0 || first[at] === source - 1;
    second[at] = isEdge ? 0 : even((place - first[at]) * 256);
  }
  return { first, second };
}

function weighed(source, start, length, target) {
  const scale = length / target;
  const reach = Math.max(scale, 1);
  const result = taps(target, Math.ceil(reach) * 2 + 2);
  for (let at = 0; at < target; at++) {
    const centre = start + (at + 0.5) * scale;
    const first = Math.max(0, Math.floor(centre - reach + 0.5));
    const end = Math.min(source, Math.floor(centre + reach + 0.5));
    const shares = [];
    for (let from = first; from < end; from++) {
      shares.push(Math.max(0, 1 - Math.abs(from - centre + 0.5) / reach));
    }
    const sum = shares.reduce((one, other) => one + other, 0);
    result.first[at] = first;
    result.weights.set(shares.map((share) => share / sum), at * result.most);
  }
  return result;
}

/** Convolve along rows, then along columns; like Pillow with bytes in between. */
function resampled({ pixels, width, height }, columns, rows, areBytes) {
  const narrow = new Float64Array(columns.target * height);
  for (let row = 0, at = 0; row < height; row++) {
    for (let column = 0; column < columns.target; column++, at++) {
      const from = row * width + columns.first[column];
      let sum = 0;
      for (let tap = 0, of = column * columns.most; tap < columns.most; tap++, of++) {
        // Pixels past the last one have no weight, and are not numbers.
        sum += columns.weights[of] * (pixels[from + tap] | 0);
      }
      narrow[at] = areBytes ? Math.round(sum) : sum;
    }
  }
  const result = new Float64Array(columns.target * rows.target);
  for (let row = 0; row < rows.target; row++) {
    for (let tap = 0; tap < rows.most; tap++) {
      const weight = rows.weights[row * rows.most + tap];
      if (!weight) continue;
      const [to, from] = [row * columns.target, (rows.first[row] + tap) * columns.target];
      for (let column = 0; column < columns.target; column++) {
        result[to + column] += weight * narrow[from + column];
      }
    }
  }
  return result;
}

function rounded(values, round, size) {
  const pixels = new Uint8Array(values.length);
  for (let at = 0; at < values.length; at++) pixels[at] = round(values[at]);
  return { pixels, ...size };
}
