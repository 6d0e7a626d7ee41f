/** The form of answers, the same from device and server, and the error class. */

/** The server or the device gives no answer; `status` is the HTTP status, if known. */
export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** Convert boxes and rows of probabilities to an answer as the server gives it. */
export function answered(boxes, rows, { classes, abstain_below: least }) {
  const faces = boxes.map((box, at) => {
    const probabilities = Object.fromEntries(classes.map((name, place) => [name, rows[at][place]]));
    const likeliest = classes.reduce((one, other) =>
      probabilities[other] > probabilities[one] ? other : one,
    );
    const isUnsure = least !== null && probabilities[likeliest] < least;
    return {
      emotion: isUnsure ? null : likeliest,
      reason: isUnsure ? "unsure" : null,
      probabilities,
      box,
    };
  });
  return { faces, reason: faces.length ? null : "no_face" };
}
