/**
 * Apparent expression in a page: `<script type="module">` and nothing else to install.
 *
 *     import { watch } from "https://SERVER/static/unveil.js";
 *     const stop = watch(video, { onAnswer: (answer) => console.log(answer.faces) });
 *
 * In private mode, the default, the server's network runs on this device and no picture leaves it.
 * An answer has the form of `/v1/predict`: `{faces: [{emotion, reason, probabilities, box, square}],
 * reason}`, plus `width` and `height` of the frame; a box is in pixels of the frame.
 */

import { Refused } from "./predictions.js";
import { onDevice } from "./device.js";
import { cut } from "./face_crop.js";
import { saliency } from "./saliency.js";
import { gray } from "./pixels.js";
import { onServer } from "./remote.js";

export { Refused };
export { GRID } from "./saliency.js";

const LARGEST = 640; // pixels of the longer side of a frame; pictures may be twice as large
const AHEAD = 2; // frames in progress: one is processed while the next one is sent

/**
 * Open a connection: `url` of the server (default: the one this file is from), `token` if the
 * server requires one, `private: false` to process pictures on the server. Returns an asker
 * `{look, ask, close}`; throws `Refused`.
 */
export async function open({ url, token, private: isPrivate = true } = {}) {
  return (isPrivate ? onDevice : onServer)({ url: serverOf(url), token });
}

/**
 * Classify the faces of a video element until the returned function is called.
 * `onAnswer(answer, frame)` gets each answer, `onError(error)` an error that ended it,
 * `onOpen(asker)` the asker once it is open. An `asker` that is passed in stays open.
 */
export function watch(video, { asker, onAnswer, onError, onOpen, ...options }) {
  let isOver = false;
  let own = null;
  const run = async () => {
    const opened = asker ?? (own = await open(options));
    if (isOver) return;
    onOpen?.(opened);
    await follow(video, opened, { isOver: () => isOver, onAnswer });
  };
  run()
    .catch((error) => isOver || (onError ?? console.error)(error))
    .finally(() => own?.close());
  return () => {
    isOver = true;
    own?.close();
  };
}

/** Classify one picture: an image, a bitmap or a canvas. Returns the answer and its frame. */
export async function look(picture, asker) {
  // The `width` of an image element is its size in the page, not that of the file.
  const { naturalWidth: width = picture.width, naturalHeight: height = picture.height } = picture;
  if (!width || !height) throw new Refused("the picture is empty or not loaded yet");
  const frame = grab(picture, [width, height], 2 * LARGEST);
  return { answer: sized(await asker.look(frame, { isMoving: false }), frame), frame };
}

/**
 * Explain the answer for a face, one of an answer's `faces`: a saliency map of `GRID` rows with
 * `GRID` values each, of the face upright. A box alone is taken, too.
 */
export async function saliencyMap(frame, face, asker) {
  const [size, place] = [asker.imageSize, Array.isArray(face) ? { box: face } : face];
  return saliency(cut(gray(frame.data), place, size), size, asker.ask);
}

/** The old name of `saliencyMap`; it will be removed in the next version. */
export function leansOn(...values) {
  console.warn("unveil.js: leansOn is now called saliencyMap");
  return saliencyMap(...values);
}

async function follow(video, asker, { isOver, onAnswer }) {
  const canvas = document.createElement("canvas");
  const pending = new Set();
  let failed = null;
  while (!isOver() && !failed) {
    await nextFrame(video);
    if (isOver() || !video.videoWidth) continue;
    const frame = grab(video, [video.videoWidth, video.videoHeight], LARGEST, canvas);
    const prediction = asker
      .look(frame, { isMoving: true })
      .then((answer) => answer && !isOver() && onAnswer(sized(answer, frame), frame))
      .catch((error) => (failed ??= error))
      .finally(() => pending.delete(prediction));
    pending.add(prediction);
    // No frame is grabbed while two are pending, so no queue builds up.
    if (pending.size >= AHEAD) await Promise.race(pending);
  }
  if (failed && !isOver()) throw failed;
}

function nextFrame(video) {
  return new Promise((resolve) => {
    // A paused or ended video has no new frames: still classify it, but rarely.
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
  // Transparent pixels become black, as on the server.
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  return { canvas, data: context.getImageData(0, 0, canvas.width, canvas.height) };
}

function serverOf(url) {
  if (!url) return new URL(import.meta.url).origin;
  const { href, origin, protocol } = URL.canParse(url) ? new URL(url) : {};
  // All endpoints are below the root: a path in the address would be ignored silently.
  if (!["http:", "https:"].includes(protocol) || href !== `${origin}/`) {
    throw new Refused(`"${url}" is not a server address, such as https://example.org:8000`);
  }
  return origin;
}

const sized = (answer, { data: { width, height } }) => ({ ...answer, width, height });
