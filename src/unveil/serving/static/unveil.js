/**
 * Apparent expression in a page: `<script type="module">` and nothing else to install.
 *
 *     import { watch } from "https://SERVER/static/unveil.js";
 *     const stop = watch(video, { onAnswer: (answer) => console.log(answer.faces) });
 *
 * In private mode, which is the default, the server's network runs on this device and no picture
 * leaves it. An answer has the form of `/v1/predict`: `{faces: [{emotion, reason, probabilities,
 * box}], reason}`; a box is in pixels of the frame, whose `width` and `height` come along.
 */

import { Refused } from "./answers.js";
import { onDevice } from "./device.js";
import { leaning } from "./leaning.js";
import { cut, gray } from "./pixels.js";
import { onServer } from "./remote.js";

export { Refused };
export { GRID } from "./leaning.js";

const LARGEST = 640; // pixels of the longer side of a frame; pictures may be twice as large
const AHEAD = 2; // frames under way: one is answered while the next one travels

/**
 * Open what answers: `url` of the server (the one this file is from), `token` where it wants one,
 * `private: false` to let the server look. Gives `{look, ask, close}`; raises `Refused`.
 */
export async function open({ url, token, private: isPrivate = true } = {}) {
  return (isPrivate ? onDevice : onServer)({ url: serverOf(url), token });
}

/**
 * Look at a video element until the function this gives is called. `onAnswer(answer, frame)` gets
 * each answer, `onError(error)` the reason of the end when there is one, `onOpen(asker)` what
 * answers. `asker` is one that is open already; it stays open.
 */
export function watch(video, { asker, onAnswer, onError, onOpen, ...options }) {
  let isOver = false;
  let own = null;
  const run = async () => {
    const asking = asker ?? (own = await open(options));
    if (isOver) return;
    onOpen?.(asking);
    await follow(video, asking, { isOver: () => isOver, onAnswer });
  };
  run()
    .catch((error) => isOver || (onError ?? console.error)(error))
    .finally(() => own?.close());
  return () => {
    isOver = true;
    own?.close();
  };
}

/** Look at one picture: an image, a bitmap, a canvas. Gives the answer and the frame it is of. */
export async function look(picture, asker) {
  // An image in a page has a width of its own there.
  const { naturalWidth: width = picture.width, naturalHeight: height = picture.height } = picture;
  if (!width || !height) throw new Refused("the picture is empty, or not there yet");
  const frame = grab(picture, [width, height], 2 * LARGEST);
  return { answer: sized(await asker.look(frame, { isMoving: false }), frame), frame };
}

/** Say what the answer about a face leans on: shares of its square, row by row, `GRID` each. */
export async function leansOn(frame, box, asker) {
  const size = asker.imageSize;
  return leaning(cut(gray(frame.data), box, size), size, asker.ask);
}

async function follow(video, asker, { isOver, onAnswer }) {
  const canvas = document.createElement("canvas");
  const underway = new Set();
  let failed = null;
  while (!isOver() && !failed) {
    await nextFrame(video);
    if (isOver() || !video.videoWidth) continue;
    const frame = grab(video, [video.videoWidth, video.videoHeight], LARGEST, canvas);
    const looking = asker
      .look(frame, { isMoving: true })
      .then((answer) => answer && !isOver() && onAnswer(sized(answer, frame), frame))
      .catch((error) => (failed ??= error))
      .finally(() => underway.delete(looking));
    underway.add(looking);
    // A frame is not even taken while two are under way: nothing queues anywhere.
    if (underway.size >= AHEAD) await Promise.race(underway);
  }
  if (failed && !isOver()) throw failed;
}

function nextFrame(video) {
  return new Promise((resolve) => {
    // A picture that stands still, a video that ended: look at it all the same, but rarely.
    const timer = setTimeout(resolve, 1000);
    const go = () => {
      clearTimeout(timer);
      resolve();
    };
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(go);
    else requestAnimationFrame(go);
  });
}

function grab(source, [width, height], largest, canvas = document.createElement("canvas")) {
  const scale = Math.min(1, largest / Math.max(width, height));
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  // Transparent pixels lie on black, as the server has them.
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  return { canvas, data: context.getImageData(0, 0, canvas.width, canvas.height) };
}

function serverOf(url) {
  if (!url) return new URL(import.meta.url).origin;
  const { href, origin, protocol } = URL.canParse(url) ? new URL(url) : {};
  // All that is asked lies below the root: what follows it would be left out unnoticed.
  if (!["http:", "https:"].includes(protocol) || href !== `${origin}/`) {
    throw new Refused(`"${url}" is no address of a server, like https://example.org:8000`);
  }
  return origin;
}

const sized = (answer, { data: { width, height } }) => ({ ...answer, width, height });
