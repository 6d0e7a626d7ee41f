/** Answers, the same whoever gave them, and why there is none. */

/** The server, or what stands for it, would not answer; `status` is that of HTTP, where known. */
export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** Put boxes and rows of probabilities into the form in which the server answers. */
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
