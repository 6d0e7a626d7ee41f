/** Draws over a picture: labelled boxes, and the saliency map of an answer. */

import { GRID } from "./unveil.js";

const COLOURS = {
  sure: "#3ddc97",
  unsure: "#ffc145",
  ink: "#10131a",
  warm: [255, 59, 48],
  cold: [47, 123, 255],
};

/** Clear a canvas and give it the size of an answer's frame; returns its 2D context. */
export function cleared(canvas, { width, height }) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, width, height);
  return context;
}

/** Draw the box and label of each face; `isMirrored` flips them horizontally, as in a mirror. */
export function outline(context, { faces, width }, isMirrored) {
  const line = Math.max(2, width / 240);
  for (const { box, emotion } of faces) {
    const [x, y, w, h] = placed(box, width, isMirrored);
    context.strokeStyle = context.fillStyle = emotion ? COLOURS.sure : COLOURS.unsure;
    context.lineWidth = line;
    context.beginPath();
    context.roundRect(x, y, w, h, line * 4);
    context.stroke();
    label(context, emotion ?? "unsure", [x, y], Math.max(12, width / 32));
  }
}

/** Draw the saliency map over a face: red supports the answer, blue contradicts it. */
export function heat(context, map, { box, square }, width, isMirrored) {
  const most = Math.max(...map.map(Math.abs), 1e-6);
  const image = new ImageData(GRID, GRID);
  map.forEach((lost, at) => {
    const column = isMirrored ? GRID - 1 - (at % GRID) : at % GRID;
    const colour = lost > 0 ? COLOURS.warm : COLOURS.cold;
    const place = (at - (at % GRID) + column) * 4;
    image.data.set([...colour, (180 * Math.abs(lost)) / most], place);
  });
  const small = Object.assign(document.createElement("canvas"), { width: GRID, height: GRID });
  small.getContext("2d").putImageData(image, 0, 0);
  context.imageSmoothingQuality = "high";
  if (!square) return context.drawImage(small, ...placed(box, width, isMirrored));
  const [x, y, side, angle] = square;
  context.save();
  context.translate(isMirrored ? width - x : x, y);
  context.rotate(((isMirrored ? -angle : angle) * Math.PI) / 180);
  context.drawImage(small, -side / 2, -side / 2, side, side);
  context.restore();
}

function placed([x, y, w, h], width, isMirrored) {
  return [isMirrored ? width - x - w : x, y, w, h];
}

function label(context, word, [x, y], size) {
  context.font = `600 ${size}px system-ui, sans-serif`;
  const [wide, high] = [context.measureText(word).width + size * 0.8, size * 1.5];
  const top = y > high ? y - high - 2 : y + 4;
  context.beginPath();
  context.roundRect(x, top, wide, high, size * 0.3);
  context.fill();
  context.fillStyle = COLOURS.ink;
  context.textBaseline = "middle";
  context.fillText(word, x + size * 0.4, top + high / 2 + 1);
}
