/**
 * Face detection in a video: near the faces of the frame before, at times in the whole frame, as
 * `face_following.py` explains.
 */

import { detections, isSameFace } from "./face_detector.js";

/** Return a function that detects the faces of one video's frames, in order. */
export function following({ everywhere, near }, settings, { closeup, most, interval }) {
  let [squares, due] = [[], 0];
  return async (frame, now) => {
    let known = squares;
    if (now >= due || squares.length > most) {
      known = [];
      due = now + interval;
    }
    const found = [];
    for (const square of known) found.push(await near(frame, square, settings, closeup));
    const isLost = found.some((one, at) => !one || found.slice(0, at).some((other) => isSameFace(one, other)));
    const faces = isLost || !known.length ? await everywhere(frame, settings) : detections(found, frame);
    squares = faces.map(({ square }) => square);
    return faces;
  };
}
