/**
 * Image operations with the same results as on the server, so that both see the same face: gray
 * conversion, and resizing with linear interpolation (BILINEAR), as in Pillow.
 *
 * A picture is `{pixels, width, height}`, a byte of gray for each pixel, row by row.
 */

/** Round half to even, as Python does. */
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

/** Split the RGBA bytes of an `ImageData`, or a part of it, into three pictures, one for each colour. */
export function planes(frame, [left, top, width, height] = [0, 0, frame.width, frame.height]) {
  return [0, 1, 2].map((colour) => {
    const pixels = new Uint8Array(width * height);
    for (let row = 0, at = 0; row < height; row++) {
      let from = ((top + row) * frame.width + left) * 4 + colour;
      for (const end = at + width; at < end; at++, from += 4) pixels[at] = frame.data[from];
    }
    return { pixels, width, height };
  });
}

/** Reduce a picture by a whole factor: the mean of each block, as Pillow's `reduce`. */
export function reduced(picture, factor) {
  if (factor === 1) return picture;
  const [width, height] = [picture.width, picture.height].map((side) => Math.ceil(side / factor));
  const pixels = new Uint8Array(width * height);
  const sums = new Uint32Array(width);
  for (let row = 0; row < height; row++) {
    const [top, bottom] = [row * factor, Math.min((row + 1) * factor, picture.height)];
    sums.fill(0);
    for (let y = top; y < bottom; y++) {
      let from = y * picture.width;
      for (let column = 0; column < width; column++) {
        const end = y * picture.width + Math.min((column + 1) * factor, picture.width);
        let sum = 0;
        while (from < end) sum += picture.pixels[from++];
        sums[column] += sum;
      }
    }
    for (let column = 0; column < width; column++) {
      const across = Math.min((column + 1) * factor, picture.width) - column * factor;
      const count = across * (bottom - top);
      pixels[row * width + column] = Math.floor((sums[column] + (count >> 1)) / count);
    }
  }
  return { pixels, width, height };
}

/** Resize a picture. */
export function resized(picture, width, height) {
  if (picture.width === width && picture.height === height) return picture;
  const columns = weighed(picture.width, 0, picture.width, width);
  const rows = weighed(picture.height, 0, picture.height, height);
  return rounded(resampled(picture, columns, rows), { width, height });
}

/** Crop a centred square from a box `[left, top, width, height]` and resize it to `size` pixels. */
export function centred(picture, [left, top, width, height], size) {
  const piece = part(picture, left, top, width, height);
  if (width === size && height === size) return piece.pixels;
  const side = Math.min(width, height);
  const columns = weighed(width, (width - side) / 2, side, size);
  const rows = weighed(height, (height - side) / 2, side, size);
  return rounded(resampled(piece, columns, rows), {}).pixels;
}

export function part({ pixels, width: stride }, left, top, width, height) {
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
function resampled({ pixels, width, height }, columns, rows) {
  const narrow = new Float64Array(columns.target * height);
  for (let row = 0, at = 0; row < height; row++) {
    for (let column = 0; column < columns.target; column++, at++) {
      const from = row * width + columns.first[column];
      let sum = 0;
      for (let tap = 0, of = column * columns.most; tap < columns.most; tap++, of++) {
        // Pixels past the last one have no weight, and are not numbers.
        sum += columns.weights[of] * (pixels[from + tap] | 0);
      }
      narrow[at] = Math.round(sum);
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

function rounded(values, size) {
  const pixels = new Uint8Array(values.length);
  for (let at = 0; at < values.length; at++) pixels[at] = Math.round(values[at]);
  return { pixels, ...size };
}
